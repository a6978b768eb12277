"""The flight page in a real browser: every panel is drawn, nothing fails, nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from snn_controller.flight_log.store import FlightRecord
from snn_controller.report.page.page import write_page
from support.browser import EXECUTABLE, Browser
from support.page_parts import EVIL, record, troubled_flight
from support.synthetic_flight import make_flight

pytest.importorskip("plotly", reason="plotly is not installed")
pytestmark = [
    pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium or Chrome is installed"),
    pytest.mark.timeout(600),  # it draws in software, for seconds on a machine that is not busy
]
HARMLESS = "willReadFrequently"  # a hint of Chromium's about how plotly measures words
DARK_BLUE = "#4ba3dc"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


def show(
    browser: Browser, folder: Path, records: list[FlightRecord], *, scheme: str = "light"
) -> None:
    path = folder / "flight.html"
    write_page(records, path)
    browser.complaints.clear()
    browser.fetched.clear()
    browser.open(path, scheme=scheme)


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    flown = record(troubled_flight(), name=EVIL, task=EVIL)
    show(browser, tmp_path_factory.mktemp("page"), [flown])
    return browser


def complaints(browser: Browser) -> list[str]:
    return [x for x in browser.complaints if HARMLESS not in x]


def count(browser: Browser, panel: str, selector: str) -> int:
    return browser.evaluate(f"document.querySelectorAll('#{panel} {selector}').length")


def ranges(browser: Browser) -> dict[str, list[float]]:
    """Return what stretch of time every panel over time shows."""
    return browser.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.plot')].filter((x) =>"
        " x.querySelector('.cursor')).map((x) => [x.id, x.layout.xaxis.range]))"
    )


def drag(browser: Browser, panel: str, begin: float, end: float) -> None:
    """Drag the mouse over a panel, between two shares of its width."""
    box = browser.evaluate(
        f"(() => {{ const b = document.querySelector('#{panel} .nsewdrag')"
        ".getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
    )
    left, top, width, height = box
    mouse: dict[str, Any] = {"y": top + 0.5 * height, "button": "left", "clickCount": 1}
    steps = np.linspace(begin, end, 6)
    mouse["x"] = left + width * begin
    browser.command("Input.dispatchMouseEvent", type="mouseMoved", x=mouse["x"], y=mouse["y"])
    browser.command("Input.dispatchMouseEvent", type="mousePressed", **mouse)
    for share in steps:
        mouse["x"] = float(left + width * share)
        browser.command("Input.dispatchMouseEvent", type="mouseMoved", **mouse)
    browser.command("Input.dispatchMouseEvent", type="mouseReleased", **mouse)


def picture(browser: Browser, folder: Path, image: ModuleType) -> np.ndarray:
    browser.picture(folder / "page.png")
    return image.imread(folder / "page.png")


def near(pixels: np.ndarray, colour: str) -> int:
    """Return how many pixels (rows, columns, rgb) are about of a colour."""
    wanted = np.array([int(colour[at : at + 2], 16) / 255.0 for at in (1, 3, 5)])
    return int((np.abs(pixels[..., :3] - wanted).max(axis=-1) < 0.04).sum())


def test_nothing_fails_nothing_is_fetched_and_no_words_become_code(opened: Browser) -> None:
    assert complaints(opened) == []
    assert opened.evaluate("document.documentElement.dataset.trouble") is None
    outside = [x for x in opened.fetched if not x.startswith(("data:", "blob:"))]
    assert [x.rpartition("/")[2] for x in outside] == ["flight.html"]
    assert opened.evaluate("typeof window.hacked") == "undefined"
    assert opened.evaluate("document.querySelectorAll('img').length") == 0


@pytest.mark.parametrize(
    ("panel", "selector", "least"),
    [
        ("path", "canvas", 1),
        ("timeline", ".bars .point", 4),
        ("timeline", ".scatterlayer .point", 2),
        ("error", ".js-line", 4),
        ("commands", ".js-line", 8),
        ("attitude", ".js-line", 3),
        ("spikes", ".hm image", 2),
        ("membranes", ".js-line", 4),
        ("energy", ".js-line", 3),
        ("latency", ".bars .point", 20),
    ],
)
def test_every_panel_is_drawn(opened: Browser, panel: str, selector: str, least: int) -> None:
    assert count(opened, panel, selector) >= least


def test_the_path_is_seen(opened: Browser, tmp_path: Path) -> None:
    pixels = picture(opened, tmp_path, pytest.importorskip("matplotlib.image"))
    assert near(pixels[150:620, :540], "#0072b2") > 300
    assert near(pixels[150:620, :540], "#e69f00") > 30


def test_panels_share_their_time_and_pointer(opened: Browser) -> None:
    shown = "[...document.querySelectorAll('.plot')].filter((x) => x.querySelector('.cursor'))"
    home = ranges(opened)
    assert len(home) == 7
    drag(opened, "error", 0.25, 0.5)
    opened.until(f"{shown}.every((x) => x.layout.xaxis.range[1] < 2.05)")
    for low, high in ranges(opened).values():
        assert (low, high) == pytest.approx((1.0, 2.0), abs=0.05)
    opened.until("document.querySelectorAll('.cursor[style*=block]').length === 7")
    dot = "document.getElementById('path').data.find((x) => x.name === 'now').x.length"
    opened.until(f"{dot} === 1")
    opened.evaluate("document.getElementById('error').emit('plotly_doubleclick')")
    opened.until(f"{shown}.every((x) => x.layout.xaxis.range[1] > 2.05)")
    assert ranges(opened) == home
    assert complaints(opened) == []


def test_several_flights_by_night(browser: Browser, tmp_path: Path) -> None:
    records = [record(make_flight("figure8", seed=seed), name=f"flight {seed}") for seed in (1, 2)]
    show(browser, tmp_path, records, scheme="dark")
    assert complaints(browser) == []
    for panel in ("error", "commands", "spikes", "energy", "latency"):
        assert count(browser, panel, ".js-line") >= 2
    pixels = picture(browser, tmp_path, pytest.importorskip("matplotlib.image"))
    assert near(pixels[100:560, :540], DARK_BLUE) > 100
    assert pixels[..., :3].mean() < 0.2


def test_a_page_without_numbers_is_drawn(browser: Browser, tmp_path: Path) -> None:
    log = make_flight(seconds=0.1, spiking=False)
    log.ticks.clear()
    show(browser, tmp_path, [record(log)])
    assert complaints(browser) == []
    assert browser.evaluate("document.documentElement.dataset.ready") == "yes"
