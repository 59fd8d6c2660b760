"""The report in a real browser; run by `make browser-test`, which fetches one."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.chromium import Page
from support.reports import page, phantom_pair

from itk_nephi.registration.result import Progress

FOLDER = Path(os.environ.get("CHROMIUM", Path(__file__).parents[2] / "build" / "chromium"))
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="needs Chromium: make browser-test"),
]
METHODS = [{"name": "elastix", "seconds": 35.0}, {"name": "greedy", "error": "not installed"}]


@pytest.fixture(scope="module", params=[2, 3], ids=["2D", "3D"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    history = [Progress(1, 1, n + 1, 4, {"total": 1.0 / (n + 1)}) for n in range(4)]
    text = page(phantom_pair(request.param), history=history, comparison={"methods": METHODS})
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def shown(report: Path, tmp_path: Path) -> Iterator[Page]:
    """The report, opened; it must not complain nor ask for anything but itself."""
    browser = Page(FOLDER, tmp_path)
    browser.open(report)
    yield browser
    for event in browser.events:
        kind, details = event["method"], event["params"]
        assert kind not in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"), details
        assert kind != "Log.entryAdded", details
        if kind == "Network.requestWillBeSent":
            address = details["request"]["url"]
            assert address == report.as_uri() or address.startswith("data:")
    browser.close()


def pixels(browser: Page, path: Path) -> Any:
    loaded = "Promise.all([...document.images].filter((i) => i.src).map((i) => i.decode()))"
    browser.evaluate(f"{loaded}.then(() => new Promise(requestAnimationFrame)).then(() => 1)")
    picture = Image.open(io.BytesIO(browser.screenshot(path))).convert("L")
    return np.asarray(picture, float)


def visible(browser: Page) -> list[str]:
    panels = "[...document.querySelectorAll('[role=tabpanel]')]"
    found: list[str] = browser.evaluate(
        f"{panels}.filter((panel) => panel.offsetHeight > 0).map((panel) => panel.id)"
    )
    return found


def test_each_tab_shows_its_part_alone(shown: Page) -> None:
    assert visible(shown) == ["images"]
    for part in ("accuracy", "losses", "comparison", "record", "images"):
        shown.click(f"#tab-{part}")
        assert visible(shown) == [part]


def test_tabs_and_sliders_obey_the_keyboard(shown: Page) -> None:
    shown.click("#tab-images")
    shown.press("ArrowRight")
    assert visible(shown) == ["accuracy"]
    shown.press("End")
    assert visible(shown) == ["record"]
    shown.press("Home")
    assert visible(shown) == ["images"]
    shown.press("Tab")
    assert shown.evaluate("document.activeElement.value") == "swipe"
    shown.press("ArrowRight")
    assert shown.evaluate("document.activeElement.value") == "checkerboard"
    assert shown.evaluate("document.querySelector('.plane').dataset.shown") == "checkerboard"


def test_the_slider_goes_through_the_slices(shown: Page) -> None:
    if not shown.evaluate("!!document.querySelector('.slice')"):
        assert shown.evaluate("viewer.planes.length") == 1
        return
    shown.evaluate("document.querySelector('.slice').focus()")
    shown.press("Home")
    seen = set()
    for _ in range(3):
        seen.add(shown.evaluate("document.querySelector('.fixed').src"))
        shown.press("ArrowRight")
    assert len(seen) == 3
    assert shown.evaluate("document.querySelector('output').value").endswith("mm from I")


def test_swiping_uncovers_the_moving_image(shown: Page, tmp_path: Path) -> None:
    shown.evaluate("document.querySelector('[name=outline]').click()")
    x, y, width, height = shown.evaluate(
        "(() => { const b = document.querySelector('.view').getBoundingClientRect();"
        "return [b.x, b.y, b.width, b.height]; })()"
    )
    pictures = []
    for part in (0.1, 0.9):
        shown.mouse("mousePressed", x + width / 2, y + height / 2)
        shown.mouse("mouseMoved", x + part * width, y + height / 2)
        shown.mouse("mouseReleased", x + part * width, y + height / 2)
        value = float(shown.evaluate("document.querySelector('[name=swipe]').value"))
        assert value == pytest.approx(100 * part, abs=1)
        pictures.append(pixels(shown, tmp_path / "swipe.png"))
    rows = slice(int(y + 0.2 * height), int(y + 0.8 * height))
    between, beyond = (
        np.abs(pictures[0] - pictures[1])[rows, int(x + a * width) : int(x + b * width)].max()
        for a, b in ((0.15, 0.85), (0.94, 0.98))
    )
    assert between > 30  # a registered image differs little
    assert beyond < 5


@pytest.mark.parametrize("mode", ["checkerboard", "difference", "grid", "volume", "consistency"])
def test_every_mode_draws_something_else(shown: Page, mode: str, tmp_path: Path) -> None:
    lines = shown.evaluate("document.querySelectorAll('svg path').length")
    before = pixels(shown, tmp_path / "before.png")
    shown.click(f"[value={mode}]")
    after = pixels(shown, tmp_path / "after.png")
    top, bottom = shown.evaluate(
        "(() => { const b = document.querySelector('.view').getBoundingClientRect();"
        "return [b.y, b.bottom]; })()"
    )
    view = slice(int(top) + 30, min(int(bottom), 880) - 30)
    assert np.abs(after - before)[view].max() > 20
    legends = "[...document.querySelectorAll('.legend')].filter((l) => !l.hidden)"
    assert shown.evaluate(f"{legends}.map((l) => l.dataset.mode)") == [mode]
    more = shown.evaluate("document.querySelectorAll('svg path').length") > lines
    assert more == (mode == "grid")


def test_print_shows_every_part_and_no_controls(shown: Page) -> None:
    shown.call("Emulation.setEmulatedMedia", media="print")
    assert visible(shown) == ["images", "accuracy", "losses", "comparison", "record"]
    assert shown.evaluate("document.querySelector('.controls').offsetHeight") == 0
    assert shown.call("Page.printToPDF")["data"]
