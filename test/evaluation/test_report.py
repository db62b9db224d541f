"""The report of an evaluation: one file that any browser shows without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from support.damage import cut_image

from stmem_ros.data.synthetic.bag import create_synthetic_bag
from stmem_ros.evaluation.evaluate_bags import EvaluationOptions, evaluate_bags
from stmem_ros.evaluation.metrics.calibration import Calibration
from stmem_ros.evaluation.report.page import write_report
from stmem_ros.evaluation.report.plots import POINTS, reliability, timeline
from stmem_ros.evaluation.results.reader import Frames
from stmem_ros.evaluation.tasks.engines import JobOptions

pytestmark = pytest.mark.end_to_end

DAMAGED = 3  # index of the image that is cut short
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_bundle: Path) -> Path:
    """An evaluation of two bags, one with a damaged image, through two models."""
    root = tmp_path_factory.mktemp("report")
    create_synthetic_bag(root / "street", "straight", seed=2, frames=4, rate=10.0)
    cut_image(root / "street", root / "damaged", DAMAGED)
    other = root / "other"
    shutil.copytree(small_bundle, other)
    broken = root / "broken.mcap"
    broken.write_bytes(b"no bag")
    evaluate_bags(
        [root / "street", root / "damaged", broken],
        [str(small_bundle), str(other)],
        EvaluationOptions(device="cpu"),
        JobOptions(),
        root / "out",
    )
    write_report(root / "out")
    return root / "out"


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


class Addresses(HTMLParser):
    """Everything a page would load, and the ids and links inside it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value or "")
            elif tag == "a" and name == "href":
                self.links.append(value or "")
            elif name in ("src", "href", "xlink:href", "srcset", "data", "poster"):
                self.loaded.append(value or "")


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    found = Addresses(page)
    assert found.loaded
    assert all(address.startswith(("data:", "#")) for address in found.loaded)
    assert not {"script", "iframe", "object", "embed"} & found.tags
    assert "@import" not in page
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)


def test_it_tells_the_figures_of_both_models_and_how_they_compare(page: str, folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    for model in ("small", "other"):
        assert f"{100 * metrics['models'][model]['totals']['miou']:.2f} %" in page
    assert "other against small" in page
    assert "no difference shown" in page  # they are the same network


def test_it_names_bags_that_failed_and_damaged_images(page: str, folder: Path) -> None:
    assert "Bags that failed" in page and "broken.mcap" in page
    metrics = json.loads((folder / "metrics.json").read_text())
    (fault,) = metrics["models"]["small"]["bags"]["damaged"]["faults"]
    assert fault["index"] == DAMAGED
    assert f'<td class="n">{DAMAGED}</td>' in page and "rgb8 image of" in page


def test_it_shows_worst_frames_with_all_pictures(page: str) -> None:
    for name in ("camera", "label", "reference", "errors", "grid"):
        assert f'alt="{name}"' in page
    assert page.count('<div class="strip">') == page.count('alt="camera"') >= 4


def test_it_is_made_anew_from_the_files_alone(page: str, folder: Path) -> None:
    again = write_report(folder).read_text(encoding="utf-8")

    def without_plots(text: str) -> str:  # their ids are never the same twice
        return re.sub("<svg.*?</svg>", "", text, flags=re.DOTALL)

    assert without_plots(again) == without_plots(page)


def test_text_from_bags_is_escaped(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["failed"][0]["error"] = "<script>alert(1)</script>"
    (copy / "metrics.json").write_text(json.dumps(metrics))
    assert "<script>" not in write_report(copy).read_text(encoding="utf-8")


def test_names_are_neither_markup_nor_formulas() -> None:
    bins = Calibration()
    bins.add(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8), 2)
    svg = reliability({name: bins for name in ("$\\frac{$", "<script>", "a]]>b")})
    assert "<script>" not in svg and "frac{" in svg


def test_a_long_bag_is_drawn_with_no_more_points_than_fit() -> None:
    def plotted(count: int) -> int:
        seconds = np.arange(count) / 10
        names = ("miou", "boundary_f", "vc8", "consistency", "flicker", "mean_confidence",
                 "coverage", "grid_age", "occupied_not_free", "latency_ms")  # fmt: skip
        values = {name: np.full(count, np.nan) for name in names}
        values["miou"] = 0.7 + 0.1 * np.sin(seconds)
        state = np.full(count, "labelled", object)
        frames = Frames(np.arange(count), seconds, state, np.zeros(count, bool), values)
        return len(timeline({"small": frames}, []))

    assert plotted(40 * POINTS) < 2 * plotted(2 * POINTS)


def browser() -> str:
    for name in BROWSERS:
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip(f"no browser here to open the report with: {', '.join(BROWSERS)}")


PROBE = """<script>
window.onload = () => {
  const images = [...document.images];
  const told = {
    images: images.length,
    broken: images.filter(i => !i.complete || !i.naturalWidth).length,
    plots: [...document.querySelectorAll('svg')].filter(s => s.getBBox().width > 100).length,
    wide: document.documentElement.scrollWidth - window.innerWidth,
    fetched: performance.getEntriesByType('resource').map(e => e.name)
      .filter(n => !n.startsWith('data:')),
  };
  document.body.innerHTML = '<pre id="told">' + JSON.stringify(told) + '</pre>';
};
</script>"""


def test_a_headless_browser_shows_all_of_it_without_a_network(page: str, tmp_path: Path) -> None:
    probed = tmp_path / "probed.html"
    probed.write_text(page.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    command = [
        browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1300,900", probed.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    told = json.loads(done.stdout.split('<pre id="told">')[1].split("</pre>")[0])
    assert told["images"] == page.count("<img ") > 0
    assert told["broken"] == 0
    assert told["plots"] == page.count("<svg ") >= 3  # the calibration, a timeline a bag
    assert told["wide"] <= 0
    assert told["fetched"] == []
