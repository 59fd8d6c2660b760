import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import itk
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from itk_nephi.fields.settings import FieldSettings
from itk_nephi.io.staging import LOCK, locked
from itk_nephi.models.archive import read_archive, write_archive
from itk_nephi.models.encoder import EncoderSettings
from itk_nephi.models.nephi import ModelSettings
from itk_nephi.models.serialization import load_model
from itk_nephi.spatial.domain import ImageDomain, image_from_array
from itk_nephi.spatial.image_pair import ImagePair
from itk_nephi.training.augmentation import Augmentation
from itk_nephi.training.datasets import PhantomPairs
from itk_nephi.training.pair_source import PairSource
from itk_nephi.training.settings import TrainingSettings
from itk_nephi.training.training import BEST, CHECKPOINT, LAST, TrainingProgress, train
from itk_nephi.training.validation import validate

MODEL = ModelSettings(
    field=FieldSettings(width=16, frequencies=6, global_code=4, local_channels=4, local_grid=6),
    encoder=EncoderSettings(filters=(8, 8, 8), local_block=2, pooled=2, hidden=8),
    size=(24, 24),
    spacing=(1.0, 1.0),
)
SETTINGS = TrainingSettings(
    steps=4,
    batch_size=2,
    points=64,
    regularizer_points=8,
    gradicon_weight=0.5,
    warm_up=2,
    validate_every=2,
)
PAIRS = PhantomPairs(phantom="triangles_and_circles", count=6, size=24)
FEW = PhantomPairs(phantom="deformed_shape", count=2, size=24, motion=2.0, seed=50)


def losses_of(settings: TrainingSettings, output: Path) -> list[dict[str, float]]:
    """Train a little and return the losses of every step."""
    told: list[TrainingProgress] = []
    train(PAIRS, FEW, MODEL, settings, output, callback=told.append)
    assert [progress.done for progress in told] == list(range(1, settings.steps + 1))
    return [progress.losses for progress in told]


def stopper(step: int, stop: Callable[[], None]) -> Callable[[TrainingProgress], None]:
    def callback(progress: TrainingProgress) -> None:
        if progress.done == step:
            stop()

    return callback


def end() -> None:
    raise StopIteration


def test_a_model_learns_to_bring_pairs_together(tmp_path: Path) -> None:
    model = replace(
        MODEL,
        field=FieldSettings(width=32, frequencies=8, global_code=8, local_channels=8, local_grid=8),
        encoder=EncoderSettings(filters=(16, 16, 32), local_block=1, pooled=3, hidden=32),
    )
    settings = replace(
        SETTINGS,
        steps=40,
        batch_size=8,
        points=150,
        warm_up=5,
        validate_every=20,
        network_learning_rate=1e-3,
        code_learning_rate=3e-3,
    )
    pairs = replace(PAIRS, count=2)
    told: list[TrainingProgress] = []
    assert not train(pairs, pairs, model, settings, tmp_path, callback=told.append)
    first, last = (told[step].losses["dissimilarity"] for step in (0, -1))
    assert first > 0.4
    assert last < 0.6 * first
    assert [progress.done for progress in told if progress.validation] == [20, 40]
    validation = told[-1].validation
    assert validation is not None
    assert validation.dice is not None
    assert validation.landmark_error_mm is None
    assert load_model(tmp_path / BEST).settings == model
    assert any(path.name.startswith("events.out.tfevents") for path in tmp_path.iterdir())


def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = replace(SETTINGS, steps=5)
    augmentation = Augmentation(affine=0.02)
    arguments = (PAIRS, FEW, MODEL, settings)
    train(*arguments, whole, augmentation=augmentation)
    assert train(*arguments, parts, augmentation=augmentation, callback=stopper(1, end))
    ctrl_c = stopper(3, lambda: signal.raise_signal(signal.SIGINT))
    assert train(*arguments, parts, augmentation=augmentation, resume=True, callback=ctrl_c)
    assert not train(*arguments, parts, augmentation=augmentation, resume=True)
    for name in (BEST, LAST):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
    assert {path.name for path in parts.iterdir() if path.name.startswith(".")} == {LOCK}
    events = EventAccumulator(str(parts)).Reload().Scalars("loss/total")
    assert [event.step for event in events] == [1, 2, 3, 4, 5]


class Others:
    """Pairs of a class of the user's own; some of them cannot be read."""

    def __init__(self, pairs: PairSource, *damaged: int, count: int | None = None) -> None:
        self.pairs, self.damaged = pairs, damaged
        self.count = len(pairs) if count is None else count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> ImagePair:
        if number in self.damaged:
            raise ValueError(f"expected image, got pair {number}: a damaged file")
        return self.pairs[number]


@pytest.mark.parametrize("late", ["pairs", "validation", "callback"])
def test_an_error_on_the_way_loses_no_step(tmp_path: Path, late: str) -> None:
    # of the first six pairs, shuffled by the seed 0, the last is drawn by the third step
    last = int(np.random.default_rng([SETTINGS.seed, 0]).permutation(6)[-1])
    pairs, validation = Others(PAIRS, *[last] * (late == "pairs")), Others(FEW)
    if late == "validation":
        validation.damaged = (1,)

    def fail() -> None:
        raise ValueError("a damaged file")

    callback = stopper(3 if late == "callback" else 0, fail)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    with pytest.raises(ValueError, match="a damaged file"):
        train(pairs, validation, MODEL, SETTINGS, parts, callback=callback)
    state = read_archive(parts / CHECKPOINT, torch.device("cpu"))
    assert state["done"] == (3 if late == "callback" else 2)
    assert (parts / LAST).exists()
    train(Others(PAIRS), Others(FEW), MODEL, SETTINGS, parts, resume=True)
    train(PAIRS, FEW, MODEL, SETTINGS, whole)
    for name in (BEST, LAST):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


def test_other_pairs_do_not_resume_and_other_validation_pairs_judge_anew(tmp_path: Path) -> None:
    train(Others(PAIRS), FEW, MODEL, SETTINGS, tmp_path)
    with pytest.raises(ValueError, match=r"expected the settings of the checkpoint .*other pairs"):
        train(Others(PAIRS, count=5), FEW, MODEL, SETTINGS, tmp_path, resume=True)
    device = torch.device("cpu")
    state = read_archive(tmp_path / CHECKPOINT, device)
    write_archive(state | {"best": 2.0}, tmp_path / CHECKPOINT)  # more than any Dice is
    (tmp_path / BEST).unlink()
    train(Others(PAIRS), FEW, MODEL, SETTINGS, tmp_path, resume=True)
    assert not (tmp_path / BEST).exists()
    train(Others(PAIRS), replace(FEW, seed=9), MODEL, SETTINGS, tmp_path, resume=True)
    assert load_model(tmp_path / BEST).settings == MODEL


def test_pairs_that_overlap_nowhere_leave_the_best_to_the_others(tmp_path: Path) -> None:
    values = np.zeros((24, 24), np.float32)
    values[:2, :2] = np.arange(4).reshape(2, 2)
    corner = image_from_array(values, ImageDomain.of(PAIRS[0].fixed_image))
    away = itk.TranslationTransform[itk.D, 2].New()
    away.SetOffset([8.0, 8.0])
    alone = {"labels": None, "evaluation_landmarks": None}
    blind = replace(PAIRS[0], **alone, moving=(corner,), initial_transform=away)
    plain = replace(PAIRS[1], **alone)
    told: list[TrainingProgress] = []
    train(PAIRS, [blind, plain], MODEL, SETTINGS, tmp_path, callback=told.append)
    assert load_model(tmp_path / BEST).settings == MODEL
    validation = validate(load_model(tmp_path / LAST), [plain], torch.device("cpu"))
    assert told[-1].validation is not None
    assert told[-1].validation.merit == pytest.approx(validation.ncc / 2)


def test_an_auto_decoder_learns_codes_of_its_pairs(tmp_path: Path) -> None:
    model = replace(MODEL, encoder=None)
    with pytest.raises(ValueError, match="expected no augmentation of pairs with codes of their"):
        train(PAIRS, FEW, model, SETTINGS, tmp_path, augmentation=Augmentation(shift=1.0))
    train(PAIRS, FEW, model, SETTINGS, tmp_path)
    state = read_archive(tmp_path / CHECKPOINT, torch.device("cpu"))["objective"]
    assert state["codes.global_codes"].shape == (6, 4)
    assert load_model(tmp_path / LAST).encoder is None


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    two = losses_of(replace(SETTINGS, accumulate=2), tmp_path / "two")
    one = losses_of(replace(SETTINGS, batch_size=4), tmp_path / "one")
    assert two[0]["dissimilarity"] != two[1]["dissimilarity"]
    for first, second in zip(two, one, strict=True):
        assert first == pytest.approx(second, rel=1e-3, abs=1e-6)


def test_a_mixed_precision_encoder_gives_nearly_the_same_losses(tmp_path: Path) -> None:
    mixed = losses_of(replace(SETTINGS, mixed_precision=True), tmp_path / "mixed")
    single = losses_of(SETTINGS, tmp_path / "single")
    assert mixed != single
    for first, second in zip(mixed, single, strict=True):
        assert first == pytest.approx(second, rel=0.1, abs=0.01)


TWO_PROCESSES = """
import json, os, sys
from pathlib import Path
import test_training
from dataclasses import replace
batch, devices = (int(n) for n in sys.argv[2:])
settings = replace(test_training.SETTINGS, batch_size=batch, devices=devices)
told = []
test_training.train(
    test_training.PAIRS, test_training.FEW, test_training.MODEL, settings, Path(sys.argv[1]),
    callback=lambda progress: told.append(progress.losses),
)
if told:
    (Path(sys.argv[1]) / "losses.json").write_text(json.dumps(told))
"""


@pytest.mark.slow
def test_two_processes_are_one_with_a_doubled_batch(tmp_path: Path) -> None:
    import json

    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES)
    folder = Path(__file__).parent
    path = os.pathsep.join([str(folder), str(folder.parent), os.environ.get("PYTHONPATH", "")])
    losses = []
    for batch, devices in ((2, 2), (4, 1)):
        output = tmp_path / f"{devices}"
        subprocess.run(
            [sys.executable, script, output, str(batch), str(devices)],
            check=True,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            timeout=300,
        )
        losses.append(json.loads((output / "losses.json").read_text()))
    assert len(losses[0]) == SETTINGS.steps
    for first, second in zip(*losses, strict=True):
        assert first == pytest.approx(second, rel=1e-3, abs=1e-6)


def test_what_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected the checkpoint to be a file, got .*not exist"):
        train(PAIRS, FEW, MODEL, SETTINGS, tmp_path, resume=True)
    train(PAIRS, FEW, MODEL, SETTINGS, tmp_path, callback=stopper(1, end))
    with pytest.raises(ValueError, match=r"without checkpoint.pt, or to resume"):
        train(PAIRS, FEW, MODEL, SETTINGS, tmp_path)
    with pytest.raises(
        ValueError, match=r"the settings of the checkpoint .*, got other steps, seed"
    ):
        train(PAIRS, FEW, MODEL, replace(SETTINGS, steps=9, seed=1), tmp_path, resume=True)
    state = read_archive(tmp_path / CHECKPOINT, torch.device("cpu"))
    del state["format"]
    write_archive(state, tmp_path / CHECKPOINT)
    with pytest.raises(ValueError, match=r"format 2, got .* of format 1: resume with the version"):
        train(PAIRS, FEW, MODEL, SETTINGS, tmp_path, resume=True)
    (tmp_path / CHECKPOINT).write_bytes((tmp_path / CHECKPOINT).read_bytes()[:1000])
    with pytest.raises(ValueError, match="expected a checkpoint of a training, got"):
        train(PAIRS, FEW, MODEL, SETTINGS, tmp_path, resume=True)


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        locked(tmp_path, "training"),
        pytest.raises(ValueError, match="expected no other training that writes to"),
    ):
        train(PAIRS, FEW, MODEL, SETTINGS, tmp_path)


def test_pairs_that_do_not_suit_the_model_are_found_before_the_first_step(tmp_path: Path) -> None:
    solid = PhantomPairs(phantom="deformed_shape", count=1, dimension=3, size=24, motion=1)
    for pairs, validation, message in (
        (Others(PAIRS, count=0), FEW, "expected pairs to be one pair or more, got none"),
        (PAIRS, Others(FEW, count=0), "expected validation_pairs to be one pair or more"),
        (PAIRS, solid, "expected a model for 3 dimensions like the images, got one for 2"),
    ):
        with pytest.raises(ValueError, match=message):
            train(pairs, validation, MODEL, SETTINGS, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_training_that_diverges_says_where(tmp_path: Path) -> None:
    settings = replace(SETTINGS, network_learning_rate=1e30, warm_up=1)
    with pytest.raises(RuntimeError, match=r"the training diverged at step 2, where \w+ is"):
        train(PAIRS, FEW, MODEL, settings, tmp_path)


def test_missing_packages_and_devices_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="expected device to be cpu or cuda, got 'tpu'"):
        train(PAIRS, FEW, MODEL, SETTINGS, tmp_path, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="expected 1 GPUs, got 0 available"):
            train(PAIRS, FEW, MODEL, SETTINGS, tmp_path, device="cuda")
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(ImportError, match=r"lightning_fabric .*`pip install 'itk-nephi\[train\]'`"):
        train(PAIRS, FEW, MODEL, SETTINGS, tmp_path)


def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    code = """
import resource, sys, warnings
from pathlib import Path
from training.test_training import FEW, MODEL, PAIRS, SETTINGS, train
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    train(PAIRS, FEW, MODEL, SETTINGS, Path(sys.argv[1]))
except OSError as error:
    print(error)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    result = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "out"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert str(tmp_path / "out") in result.stdout
