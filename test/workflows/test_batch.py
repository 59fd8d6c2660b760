from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import itk
import numpy as np
import psutil
import pytest
from distributed import LocalCluster
from support.command_line import assert_fails, run

from benchmarks.studies.cohort import contents
from itk_nephi.io.pair_files import PairPaths, write_pair
from itk_nephi.io.pair_table import read_pair_table
from itk_nephi.io.staging import LOCK
from itk_nephi.phantoms.pairs import lung
from itk_nephi.registration import pairwise
from itk_nephi.registration.instance_optimization import RegistrationSettings
from itk_nephi.workflows.batch import RECORD, BatchSettings, PairOutcome, run_batch
from itk_nephi.workflows.batch_summary import write_summary

NAMES = ["anna", "ben", "cleo", "dan"]
QUICK = ["--steps", "3", "--points", "100", "--initial-transform", "geometry"]
SETTINGS = BatchSettings(
    registration=RegistrationSettings(steps=3, points=100, regularizer_points=100)
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    columns = ["fixed", "moving", "fixed_mask", "fixed_labels", "moving_labels"]
    columns.append("evaluation_landmarks")
    lines = [",".join(["name", *columns])]
    for seed, name in enumerate(NAMES):
        pair = lung(2, size=(40, 33), noise=5, seed=seed).pair
        files = write_pair(pair, folder / name, ".nrrd").files
        lines.append(",".join([name, *(str(files[column]) for column in columns)]))
    (folder / "table.csv").write_text("\n".join(lines))
    return folder / "table.csv"


@pytest.fixture(scope="module")
def undisturbed(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "deep"
    result = run("batch", table, "-o", output, *QUICK)
    assert result.exit_code == 0, result.output
    return output


def pairs_of(table: Path) -> list[PairPaths]:
    return read_pair_table(table, initial_transform="geometry")


def summary(output: Path) -> list[dict[str, str]]:
    with (output / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def complete(output: Path) -> list[Path]:
    return [path.parent for path in output.glob(f"*/{RECORD}")]


def unfinished(output: Path) -> set[Path]:
    return set(output.glob(".itk-nephi-*"))


def kill_amid_a_pair(output: Path) -> None:
    """Kill one of two workers that holds an unfinished folder."""
    while True:
        workers = [
            child
            for child in psutil.Process().children()
            if any("spawn_main" in argument for argument in child.cmdline())
        ]
        assert len(workers) == 2
        worker = workers[0]
        worker.suspend()
        opened = {file.resolve() for file in Path(f"/proc/{worker.pid}/fd").iterdir()}
        if opened & unfinished(output):
            worker.kill()
            return
        worker.resume()
        time.sleep(0.01)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What registrations start from now on in this process."""
    started: list[int] = []
    original = pairwise.register

    def counted(*arguments: Any, **keywords: Any) -> Any:
        started.append(1)
        return original(*arguments, **keywords)

    monkeypatch.setattr(pairwise, "register", counted)
    return started


def test_each_pair_gets_what_register_gives(undisturbed: Path, table: Path, tmp_path: Path) -> None:
    folder = table.parent / "ben"
    single = run(
        "register", folder / "fixed.nrrd", folder / "moving.nrrd",
        "-o", tmp_path / "single", *QUICK,
        "--fixed-mask", folder / "fixed_mask.nrrd",
        "--evaluation-landmarks", folder / "landmarks.csv",
        "--labels", folder / "fixed_labels.nrrd", folder / "moving_labels.nrrd",
    )  # fmt: skip
    assert single.exit_code == 0, single.output
    expected = contents(tmp_path)
    found = contents(undisturbed)
    assert {path.split("/")[0] for path in found} == set(NAMES)
    for path in (tmp_path / "single").iterdir():
        assert found[f"ben/{path.name}"] == expected[f"single/{path.name}"]


def test_the_summary_tells_the_metrics_in_the_order_of_the_table(undisturbed: Path) -> None:
    rows = summary(undisturbed)
    assert [(row["row"], row["name"], row["status"]) for row in rows] == [
        (str(number), name, "done") for number, name in enumerate(NAMES, start=1)
    ]
    for row in rows:
        metrics = json.loads((undisturbed / row["name"] / "metrics.json").read_text())
        assert float(row["ncc_after"]) == metrics["after"]["ncc"]
        assert (
            float(row["landmark_error_after_mm"]) == metrics["after"]["landmark_error_mm"]["mean"]
        )
        dice = list(metrics["after"]["dice"].values())
        assert float(row["dice_after"]) == pytest.approx(sum(dice) / len(dice))
    page = (undisturbed / "summary.html").read_text()
    assert "4 of 4 pairs registered" in page
    assert 'href="anna/overview.png"' in page


def test_what_is_done_is_not_done_again(
    undisturbed: Path, table: Path, registered: list[int]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.glob("*/*")}
    again = run("batch", table, "-o", undisturbed, *QUICK)
    assert again.exit_code == 0
    assert again.stderr.count("was done before") == 4
    assert not registered
    assert {path: path.stat().st_mtime_ns for path in undisturbed.glob("*/*")} == before
    assert [row["status"] for row in summary(undisturbed)] == ["done"] * 4


def test_what_was_made_otherwise_is_done_anew(
    undisturbed: Path, table: Path, tmp_path: Path, registered: list[int]
) -> None:
    pairs = pairs_of(table)[:1]
    first = list(run_batch(pairs, tmp_path, SETTINGS))
    expected = contents(tmp_path)
    assert expected == {k: v for k, v in contents(undisturbed).items() if k.startswith("anna/")}
    other = BatchSettings(registration=SETTINGS.registration, seed=1)
    second = list(run_batch(pairs, tmp_path, other))
    assert not any(outcome.earlier for outcome in first + second)
    assert contents(tmp_path)["anna/fixed_to_moving.h5"] != expected["anna/fixed_to_moving.h5"]
    assert len(registered) == 2
    fixed = pairs[0].fixed
    try:
        content = fixed.read_bytes()
        image = itk.imread(str(fixed))
        image.SetPixel([3, 3], 7)
        itk.imwrite(image, str(fixed))
        assert not next(run_batch(pairs, tmp_path, other)).earlier
    finally:
        fixed.write_bytes(content)
    assert not unfinished(tmp_path)


def test_what_is_chosen_is_written_and_another_choice_is_done_anew(
    table: Path, tmp_path: Path
) -> None:
    pairs = pairs_of(table)[:1]
    for results, files in (
        (("transforms",), {"fixed_to_moving.h5", "moving_to_fixed.h5"}),
        (("evaluation",), set()),
    ):
        (outcome,) = run_batch(pairs, tmp_path, replace(SETTINGS, results=results))
        assert not outcome.reason
        assert not outcome.earlier
        names = {path.name for path in (tmp_path / "anna").iterdir()}
        assert names == files | {"metrics.json", "config.toml", RECORD}
        write_summary(tmp_path, [outcome])
        (row,) = summary(tmp_path)
        assert row["status"] == "done"
        assert "overview.png" not in (tmp_path / "summary.html").read_text()
        assert bool(row["ncc_after"]) == (results == ("evaluation",))
    with pytest.raises(ValueError, match=r"expected results to be some of .*, got 'movies'"):
        replace(SETTINGS, results=("movies",))


def test_a_batch_killed_twice_goes_on_where_it_was(
    undisturbed: Path, table: Path, tmp_path: Path, registered: list[int]
) -> None:
    output = tmp_path / "output"
    for done in (1, 2):
        start = [sys.executable, "-c", "from itk_nephi.cli.app import main; main()"]
        process = subprocess.Popen(
            [*start, "batch", table, "-o", output, *QUICK], stderr=subprocess.DEVNULL
        )
        wait(
            lambda done=done: (
                len(complete(output)) >= done
                and any(path.joinpath("fixed_to_moving.h5").exists() for path in unfinished(output))
            )
        )
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert unfinished(output)
    kept = complete(output)
    assert 2 <= len(kept) < 4
    times = {path: path.stat().st_mtime_ns for path in kept}
    last = run("batch", table, "-o", output, *QUICK)
    assert last.exit_code == 0
    assert len(registered) == 4 - len(kept)
    assert {path: path.stat().st_mtime_ns for path in kept} == times
    assert contents(output) == contents(undisturbed)
    assert not unfinished(output)


def wait(happened: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < give_up
        time.sleep(0.002)


def test_a_killed_worker_s_pair_is_done_by_another(
    undisturbed: Path, table: Path, tmp_path: Path
) -> None:
    with closing(run_batch(pairs_of(table), tmp_path, SETTINGS, jobs=2)) as running:
        outcomes = [next(running)]
        kill_amid_a_pair(tmp_path)
        outcomes.extend(running)
    assert sorted(outcome.pair.name for outcome in outcomes) == NAMES
    assert not any(outcome.reason for outcome in outcomes)
    assert contents(tmp_path) == contents(undisturbed)
    assert not unfinished(tmp_path)


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Any]:
    threads = getattr(request, "param", 1)
    with LocalCluster(
        n_workers=1, threads_per_worker=threads, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


def test_an_existing_cluster_gives_the_same_results(
    undisturbed: Path, table: Path, tmp_path: Path, cluster: Any
) -> None:
    result = run("batch", table, "-o", tmp_path, *QUICK, "--dask", cluster.scheduler_address)
    assert result.exit_code == 0, result.output
    assert contents(tmp_path) == contents(undisturbed)


@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_workers_of_several_threads_are_refused(table: Path, tmp_path: Path, cluster: Any) -> None:
    result = run("batch", table, "-o", tmp_path, "--dask", cluster.scheduler_address)
    assert_fails(result, "expected workers of one thread each", "got 2")


def test_a_table_that_the_summary_would_replace_is_refused_before_registering(
    table: Path, tmp_path: Path, registered: list[int]
) -> None:
    own = tmp_path / "summary.csv"
    shutil.copy(table, own)
    result = run("batch", own, "-o", tmp_path, *QUICK)
    assert_fails(result, "expected --output to replace no input", "summary.csv")
    assert registered == []


def test_failures_are_rows_and_tried_again(
    table: Path, tmp_path: Path, registered: list[int], undisturbed: Path
) -> None:
    fixed = table.parent / "ben" / "fixed.nrrd"
    content = fixed.read_bytes()
    image = itk.imread(str(fixed))
    try:
        image.FillBuffer(5)
        itk.imwrite(image, str(fixed))
        result = run("batch", table, "-o", tmp_path, *QUICK)
    finally:
        fixed.write_bytes(content)
    assert result.exit_code == 1
    assert "3 of 4 pairs done, 1 failed" in result.stdout
    rows = summary(tmp_path)
    assert [row["status"] for row in rows] == ["done", "failed", "done", "done"]
    assert "expected fixed to have contrast" in rows[1]["remarks"]
    assert rows[1]["ncc_after"] == ""
    assert '<tr class="failed">' in (tmp_path / "summary.html").read_text()
    assert not (tmp_path / "ben").exists()
    registered.clear()
    assert run("batch", table, "-o", tmp_path, *QUICK).exit_code == 0
    assert len(registered) == 1
    assert contents(tmp_path) == contents(undisturbed)


def test_an_interruption_keeps_whole_pairs_only(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = pairwise.register

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        def callback(_: Any) -> None:
            if complete(tmp_path):
                raise KeyboardInterrupt

        return original(*arguments, **keywords | {"callback": callback})

    monkeypatch.setattr(pairwise, "register", interrupted)
    result = run("batch", table, "-o", tmp_path, *QUICK)
    assert result.exit_code == 130
    assert "the same command resumes from here" in result.stderr
    names = {"anna", "summary.csv", "summary.html", LOCK}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert len(summary(tmp_path)) == 1


def test_warnings_are_remarks(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = pairwise.register

    def warned(*arguments: Any, **keywords: Any) -> Any:
        warnings.warn("looks odd & <small>", stacklevel=1)
        return original(*arguments, **keywords)

    monkeypatch.setattr(pairwise, "register", warned)
    outcomes = list(run_batch(pairs_of(table)[:1], tmp_path, SETTINGS))
    write_summary(tmp_path, outcomes)
    assert summary(tmp_path)[0]["remarks"] == "looks odd & <small>"
    assert "looks odd &amp; &lt;small&gt;" in (tmp_path / "summary.html").read_text()


def test_guide_landmarks_steer_and_do_not_judge(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = pairwise.register, {}

    def watched(*images: Any, **options: Any) -> Any:
        seen.update(options)
        return original(*images, **options)

    monkeypatch.setattr(pairwise, "register", watched)
    pair = pairs_of(table)[0]
    path = pair.evaluation_landmarks
    assert path is not None
    guided = replace(pair, evaluation_landmarks=None, guide_landmarks=path)
    assert [outcome.reason for outcome in run_batch([guided], tmp_path, SETTINGS)] == [""]
    points = np.loadtxt(path, delimiter=",", skiprows=1)
    np.testing.assert_array_equal(np.hstack(seen["guide_landmarks"]), points)
    metrics = json.loads((tmp_path / pair.name / "metrics.json").read_text())
    assert metrics["inputs"]["guide_landmarks"] == str(path)
    assert "landmark_error_mm" not in metrics["after"]


def test_what_a_batch_has_not_made_is_left_alone(table: Path, tmp_path: Path) -> None:
    (tmp_path / "cleo").mkdir()
    (tmp_path / "cleo" / "thesis.txt").write_text("x")
    result = run("batch", table, "-o", tmp_path, *QUICK)
    assert_fails(result, "expected", "to hold nothing of a pair's name", "got cleo")
    assert (tmp_path / "cleo" / "thesis.txt").exists()


def test_two_batches_do_not_share_a_folder(table: Path, tmp_path: Path) -> None:
    with closing(run_batch(pairs_of(table), tmp_path, SETTINGS)) as running:
        assert isinstance(next(running), PairOutcome)
        with pytest.raises(ValueError, match="expected no other batch that writes to"):
            next(run_batch(pairs_of(table), tmp_path, SETTINGS))
    assert next(run_batch(pairs_of(table), tmp_path, SETTINGS)).earlier


def test_faults_of_the_table_are_told_before_anything_starts(table: Path, tmp_path: Path) -> None:
    bad = table.with_name("bad.csv")
    bad.write_text("fixed,moving\nno.nrrd,nowhere.nrrd\n")
    result = run("batch", bad, "-o", tmp_path / "output")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0] == f"itk-nephi: error: TABLE {bad} has 2 faults:"
    assert [line.strip().split(":")[0] for line in lines[1:]] == ["row 1 (pair-0001)"] * 2
    assert not (tmp_path / "output").exists()


def test_a_function_that_no_later_run_could_know_is_refused() -> None:
    registration = replace(SETTINGS.registration, dissimilarity=lambda *_: 0.0)
    with pytest.raises(ValueError, match="expected a similarity that has a name, got"):
        BatchSettings(registration=registration)


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--jobs", "0"], "expected at least one job, got 0"),
        (["--threads", "0"], "expected at least one thread, got 0"),
        (["--initial-transform", "magic"], "expected --initial-transform to be one of identity"),
        (["--steps", "0"], "expected steps of at least 1"),
    ],
)
def test_faulty_options_are_named(
    table: Path, tmp_path: Path, options: list[str], fragment: str
) -> None:
    assert_fails(run("batch", table, "-o", tmp_path, *options), fragment)


def test_several_jobs_without_dask_are_an_error(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = run("batch", table, "-o", tmp_path, "--jobs", "2", *QUICK)
    assert_fails(result, "pip install 'itk-nephi[batch]'")


@pytest.mark.parametrize("record", ["", "{", "[]", "null", '{"digest": 3}'])
def test_a_pair_whose_record_is_damaged_is_done_anew(
    table: Path, tmp_path: Path, record: str
) -> None:
    pairs = pairs_of(table)[:1]
    settings = replace(SETTINGS, results=("transforms",))
    (outcome,) = run_batch(pairs, tmp_path, settings)
    assert not outcome.reason
    (tmp_path / "anna" / RECORD).write_text(record)
    (outcome,) = run_batch(pairs, tmp_path, settings)
    assert not outcome.reason
    assert not outcome.earlier
    assert json.loads((tmp_path / "anna" / RECORD).read_text())["digest"]


@pytest.mark.parametrize("lost", ["metrics.json", "moving_to_fixed.h5"])
def test_a_pair_that_lacks_a_result_is_done_anew(table: Path, tmp_path: Path, lost: str) -> None:
    pairs = pairs_of(table)[:1]
    settings = replace(SETTINGS, results=("transforms",))
    list(run_batch(pairs, tmp_path, settings))
    expected = contents(tmp_path)
    (tmp_path / "anna" / lost).unlink()
    (outcome,) = run_batch(pairs, tmp_path, settings)
    assert not outcome.reason
    assert not outcome.earlier
    assert contents(tmp_path) == expected


def test_another_number_of_threads_does_nothing_anew(table: Path, tmp_path: Path) -> None:
    pairs = pairs_of(table)[:1]
    settings = replace(SETTINGS, results=("transforms",))
    assert [each.earlier for each in run_batch(pairs, tmp_path, settings)] == [False]
    more = replace(settings, threads=2)
    assert [each.earlier for each in run_batch(pairs, tmp_path, more)] == [True]


def test_what_others_put_into_a_folder_stays(table: Path, tmp_path: Path) -> None:
    pairs = pairs_of(table)[:1]
    for seed in (1, 2):
        settings = replace(SETTINGS, seed=seed, results=("transforms",))
        (outcome,) = run_batch(pairs, tmp_path, settings)
        assert not outcome.reason
        assert not outcome.earlier
        if seed == 1:
            (tmp_path / "anna" / "notes.txt").write_text("mine")
    assert (tmp_path / "anna" / "notes.txt").read_text() == "mine"
