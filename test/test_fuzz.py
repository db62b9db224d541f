"""What comes from strangers is used, or refused in one line; nothing crashes or grows.

The long run takes ``STMEM_FUZZ_SECONDS`` (600) in all: ``pytest -m slow test/test_fuzz.py``.
"""

from __future__ import annotations

import itertools
import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from support.bags import jpeg, panorama, write_bag
from support.cameras import CAMERAS
from support.fuzz import NUMBERS, damaged_bytes, damaged_yaml

from stmem_ros.classes import CAMVID
from stmem_ros.configuration import ConfigurationError
from stmem_ros.costmap.rules import load_rules
from stmem_ros.data.synthetic.bag import create_synthetic_bag
from stmem_ros.geometry.camera_info import to_camera
from stmem_ros.geometry.rays import newton_rays
from stmem_ros.io.bags import BAG_MESSAGES, BagError, BagReader
from stmem_ros.io.calibration import read_calibration
from stmem_ros.io.images import (
    ImageError,
    decode_colour,
    decode_compressed,
    decode_depth,
    decode_label,
)
from stmem_ros.io.points import PointsError, decode_points
from stmem_ros.model.bundle import BundleError, load_bundle
from stmem_ros.model.memory import MemoryBank
from stmem_ros.parameters import DEFAULTS, parameter_values, read_parameter_file
from stmem_ros.resources import resource as shared

EXAMPLES = 15  # of each target in the short run
ROUND = 300  # examples of a target at a time in the long one
SECONDS = float(os.environ.get("STMEM_FUZZ_SECONDS", "600"))
MOST_MEMORY = 3 << 30  # bytes that may come on top of what the process has
MOST_TIME = 60.0  # CPU seconds of an example, on a busy machine
HEADER = BAG_MESSAGES.header(1, "camera")


@dataclass(frozen=True)
class Target:
    """What is tried.

    Attributes:
        values: that resemble good ones.
        use: takes one of them.
        errors: of ours that may come out.
    """

    values: st.SearchStrategy[Any]
    use: Callable[[Any], object]
    errors: tuple[type[Exception], ...]


def in_file(folder: Path, name: str, use: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A use of bytes by way of a file."""

    def write_and_use(data: bytes) -> object:
        (folder / name).write_bytes(data)
        return use(folder / name)

    return write_and_use


def bundles(folder: Path, bundle: Path) -> Iterator[tuple[str, Target]]:
    parts = {"model.yaml": None, "weights.safetensors": None, "memory.safetensors": None}
    for name in parts:
        (folder / name).mkdir()
        for other in parts:
            if other != name:
                (folder / name / other).symlink_to(bundle / other)
        good = (bundle / name).read_bytes()
        values = damaged_yaml(yaml.safe_load(good)) if name == "model.yaml" else damaged_bytes(good)
        use = in_file(folder / name, name, lambda path: load_bundle(path.parent, "cpu"))
        yield name, Target(values, use, (BundleError,))
    good = (bundle / "memory.safetensors").read_bytes()
    load = in_file(folder, "bank", MemoryBank.load)
    yield "memory bank", Target(damaged_bytes(good), load, (ValueError,))


def files(folder: Path) -> Iterator[tuple[str, Target]]:
    rules = yaml.safe_load(shared("config", "cost_rules", "camvid.yaml").read_text())
    load = in_file(folder, "rules.yaml", lambda path: load_rules(path, CAMVID))
    yield "cost rules", Target(damaged_yaml(rules), load, (ConfigurationError,))
    values = parameter_values(DEFAULTS)
    parameters = {"/**": {"segmentation_node": {"ros__parameters": values}}}
    load = in_file(folder, "parameters.yaml", read_parameter_file)
    yield "parameters", Target(damaged_yaml(parameters), load, (ConfigurationError,))
    calibration = {
        "image_width": 640, "image_height": 480, "distortion_model": "plumb_bob",
        "camera_matrix": {"rows": 3, "cols": 3, "data": [400, 0, 320, 0, 400, 240, 0, 0, 1]},
        "distortion_coefficients": {"data": [0.1, 0.0, 0.0, 0.0, 0.0]},
    }  # fmt: skip
    load = in_file(folder, "calibration.yaml", read_calibration)
    yield "calibration", Target(damaged_yaml(calibration), load, (ValueError,))


def images() -> Iterator[tuple[str, Target]]:
    picture = panorama(1)[0]
    for suffix in (".jpg", ".png", ".webp", ".tiff"):
        good = cv2.imencode(suffix, picture)[1].tobytes()
        yield suffix, Target(damaged_bytes(good), decode_compressed, (ImageError,))
    sizes = st.one_of(st.integers(0, 12), st.integers(0, 2**32 - 1))
    encodings = ["rgb8", "bgra8", "mono8", "mono16", "bayer_rggb8", "yuyv", "32FC1", "16UC1", "no"]
    raw = st.builds(
        SimpleNamespace, height=sizes, width=sizes, step=sizes, data=st.binary(max_size=600),
        encoding=st.sampled_from(encodings), is_bigendian=st.integers(0, 255),
    )  # fmt: skip
    for decode in (decode_colour, decode_depth, decode_label):
        yield decode.__name__, Target(raw, decode, (ImageError,))
    fields = st.lists(
        st.builds(SimpleNamespace, name=st.sampled_from("xyzr"), offset=sizes, datatype=st.just(7)),
        min_size=3, max_size=4,
    )  # fmt: skip
    cloud = st.builds(
        SimpleNamespace, height=sizes, width=sizes, point_step=sizes, row_step=sizes,
        fields=fields, data=st.binary(max_size=200), is_bigendian=st.booleans(),
    )  # fmt: skip
    yield "points", Target(cloud, decode_points, (PointsError,))


def camera_infos() -> Iterator[tuple[str, Target]]:
    def damage(edits: list[tuple[str, int, Any]], name: str) -> Any:
        info = BAG_MESSAGES.camera_info(CAMERAS[name], HEADER)
        for field, index, value in edits:
            if field in ("k", "p", "d"):
                numbers = np.array(getattr(info, field), float)
                if len(numbers):
                    numbers[index % len(numbers)] = value
                setattr(info, field, numbers)
            elif field == "more":
                info.d = np.append(info.d, float(value))
            elif field == "model":
                info.distortion_model = str(value)
            else:
                part = info.roi if field.endswith("offset") else info
                setattr(part, field, int(min(max(value, 0), 2**32 - 1)) if value == value else 0)
        return info

    names = ["k", "p", "d", "more", "model", "width", "height", "binning_x", "x_offset"]
    edits = st.lists(
        st.tuples(st.sampled_from(names), st.integers(0, 13), NUMBERS), min_size=1, max_size=4
    )
    infos = st.builds(damage, edits, st.sampled_from(sorted(CAMERAS)))

    def use(info: Any) -> None:

        for rectified in (False, True):
            try:
                camera = to_camera(info, rectified)
            except ValueError as error:
                assert "\n" not in str(error)
                continue
            pixels = np.array([[0.0, 0.0], [300.0, 200.0], [1e4, 1e4]])
            camera.project(np.nan_to_num(camera.rays(pixels)))
            newton_rays(camera, pixels)
            camera.scaled(camera.width, camera.height)

    yield "camera_info", Target(infos, use, (ValueError,))


def bags(folder: Path) -> Iterator[tuple[str, Target]]:
    create_synthetic_bag(folder / "raw", "straight", seed=2, frames=1, rate=10.0)
    write_bag(folder / "jpegs", [jpeg(image) for image in panorama(2)])

    def read(path: Path) -> None:
        with BagReader(path) as bag:
            assert bag.duration >= 0
            for record in bag.records({topic.name for topic in bag.topics}):
                bag.decode(record)

    for name in ("raw", "jpegs"):
        good = next((folder / name).glob("*.mcap")).read_bytes()
        damaged = damaged_bytes(good)
        yield f"{name}.mcap", Target(damaged, in_file(folder, f"{name}.mcap", read), (BagError,))


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory, small_bundle: Path) -> dict[str, Target]:
    folder = tmp_path_factory.mktemp("fuzz")
    return dict(
        [*bundles(folder, small_bundle), *files(folder), *images(), *camera_infos(), *bags(folder)]
    )


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """What asks for far more memory than this process has fails with a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def attack(target: Target, examples: int, number: int | None = None) -> None:
    """Use many values; ``number`` tells rounds apart, None is the same round each time."""

    def use(value: Any) -> None:
        start = time.process_time()
        try:
            target.use(value)
        except target.errors as error:
            assert str(error) and "\n" not in str(error), repr(str(error))
        assert time.process_time() - start < MOST_TIME

    limits = settings(
        max_examples=examples,
        derandomize=number is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    test = limits(given(target.values)(use))
    (test if number is None else seed(number)(test))()


def test_values_of_strangers_are_used_or_refused_in_one_line(targets: dict[str, Target]) -> None:
    for target in targets.values():
        attack(target, EXAMPLES)


@pytest.mark.slow
def test_many_values_of_strangers(targets: dict[str, Target]) -> None:
    end = time.monotonic() + SECONDS
    for number, target in enumerate(itertools.cycle(targets.values()), int(time.time())):
        if time.monotonic() > end:
            return
        attack(target, ROUND, number)
