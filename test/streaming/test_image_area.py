"""What of an image is labelled: masks and regions, as the network and its users meet them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.streaming.image_area import WHOLE, ImageArea, read_area
from stmem_ros.streaming.segmenter import Segmentation, StreamingSegmenter

HOOD = "[[0, 80], [40, 70], [90, 70], [127, 80], [127, 95], [0, 95]]"
MIRROR = np.s_[5:25, 100:128]


def pushed(
    model: BundledSegmenter, area: ImageArea, images: list[np.ndarray], height: int | None = None
) -> list[Segmentation]:
    stream = StreamingSegmenter(model, inference_height=height, area=area)
    return [stream.push(image, i / 10) for i, image in enumerate(images)]


def masked(text: str) -> np.ndarray:
    found = read_area(text, "").masked(96, 128)
    assert found is not None
    return found


@pytest.fixture
def mask_file(tmp_path: Path) -> str:
    pixels = np.full((96, 128), 255, np.uint8)
    pixels[MIRROR] = 0
    pixels[85:] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), pixels)
    return str(tmp_path / "mask.png")


@pytest.mark.parametrize("height", [None, 64])
@pytest.mark.parametrize("form", ["polygon", "file"])
def test_what_a_mask_covers_has_no_label_and_no_part_in_any(
    small_model: BundledSegmenter, frames, mask_file: str, form: str, height: int | None
) -> None:
    text = HOOD if form == "polygon" else mask_file
    covered, random = masked(text), np.random.default_rng(3)
    others = [frame.copy() for frame in frames]
    for other in others:
        other[covered] = random.integers(0, 256, (covered.sum(), 3))
    area = read_area(text, "")
    results = zip(*(pushed(small_model, area, f, height) for f in (frames, others)), strict=True)
    for one, other in results:
        assert np.array_equal(one.label, other.label)
        assert np.array_equal(one.confidence, other.confidence)
        assert (one.memory_share, one.strangeness) == (other.memory_share, other.strangeness)
        assert (one.label[covered] == 255).all() and (one.confidence[covered] == 0).all()
        assert (one.label[~covered] != 255).all()


def test_the_images_that_are_pushed_stay_as_they_are(small_model: BundledSegmenter, frames) -> None:
    before = [frame.copy() for frame in frames]
    pushed(small_model, read_area(HOOD, "[10, 8, 96, 64]"), frames)
    assert all(np.array_equal(a, b) for a, b in zip(before, frames, strict=True))


def test_a_region_is_labelled_as_an_image_of_its_own_at_the_scale_of_the_whole(
    small_model: BundledSegmenter, frames
) -> None:
    area = read_area("", "[16, 24, 96, 64]")
    inside = np.s_[24:88, 16:112]
    cut = [np.ascontiguousarray(frame[inside]) for frame in frames]
    results = pushed(small_model, area, frames, height=72)  # of 96: three quarters
    for one, own in zip(results, pushed(small_model, WHOLE, cut, height=48), strict=True):
        assert np.array_equal(one.label[inside], own.label)
        assert np.array_equal(one.confidence[inside], own.confidence)
        outside = np.ones(one.label.shape, bool)
        outside[inside] = False
        assert (one.label[outside] == 255).all() and (one.confidence[outside] == 0).all()


@pytest.mark.parametrize(
    ("size", "height", "seen"),
    [
        ((720, 1280), 360, (360, 640)),
        ((360, 480), 360, (360, 480)),
        ((360, 480), None, (360, 480)),
        ((96, 128), None, (96, 128)),
        ((96, 128), 360, (360, 480)),
        ((90, 90), 360, (360, 360)),
        ((320, 426), 360, (320, 426)),  # too little to be worth it
        ((64, 2048), 360, (64, 2048)),  # as many pixels as an image of 4:3 already
        ((64, 512), 360, (147, 1176)),  # as many as it has
    ],
)
def test_the_network_sees_images_at_one_height_and_no_small_one_costs_more_than_usual(
    size: tuple[int, int], height: int | None, seen: tuple[int, int]
) -> None:
    assert WHOLE.network_size(size, height) == seen
    if height is not None and size[0] < height:
        assert seen[0] * seen[1] <= max(size[0] * size[1], 1.01 * height * height * 4 / 3)


def test_a_small_image_is_labelled_as_the_same_one_enlarged(
    small_model: BundledSegmenter, frames
) -> None:
    frames = [np.ascontiguousarray(frame[::2, ::2]) for frame in frames]
    large = [cv2.resize(frame, (128, 96), interpolation=cv2.INTER_LINEAR) for frame in frames]
    for height in (small_model.info.height, 4320):
        results = pushed(small_model, WHOLE, frames, height)
        for small, same in zip(results, pushed(small_model, WHOLE, large), strict=True):
            assert small.label.shape == (48, 64)
            middle = cv2.resize(same.label, (64, 48), interpolation=cv2.INTER_NEAREST_EXACT)
            assert np.array_equal(small.label, middle)


@pytest.mark.parametrize("size", [(96, 128), (180, 240), (33, 47)])
def test_labels_of_an_enlarged_image_lie_where_the_image_has_them(size: tuple[int, int]) -> None:
    checks = (np.indices(size).sum(axis=0) % 2).astype(np.uint8)
    enlarged = WHOLE.network_size(size, 360)
    rows, columns = (
        ((np.arange(many) + 0.5) * few / many).astype(int)  # the pixel that each one lies in
        for few, many in zip(size, enlarged, strict=True)
    )
    seen = checks[np.ix_(rows, columns)]
    label, confidence = WHOLE.image_labels(seen, 255 * seen, size)
    assert np.array_equal(label, checks) and np.array_equal(confidence, 255 * checks)


def test_without_mask_and_region_all_is_labelled(small_model: BundledSegmenter, frames) -> None:
    assert read_area("", "") is WHOLE
    assert all((r.label != 255).all() for r in pushed(small_model, WHOLE, frames))


@pytest.mark.parametrize(
    ("mask", "region", "named"),
    [
        ("[[0, 0], [5, 5]]", "", "[[0, 0], [5, 5]]"),
        ("[[0, 0], [5, 5], [1]]", "", "[1]"),
        ("[[0, 0], [5, NaN], [1, 1]]", "", "NaN"),
        ("missing.png", "", "missing.png"),
        ("", "[0, 0, 640]", "[0, 0, 640]"),
        ("", "[0, 0, 16, 64]", "16"),
        ("", "[-1, 0, 64, 64]", "-1"),
        ("", "[0.5, 0, 64, 64]", "0.5"),
        ("", "all", "all"),
    ],
)
def test_what_is_no_mask_or_region_is_named(mask: str, region: str, named: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_area(mask, region)
    assert named in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [(0,), (0, 3, 7), "rgb"])
def test_a_file_that_is_no_mask_is_named(tmp_path: Path, values: object) -> None:
    path = tmp_path / "label.png"
    pixels = np.zeros((96, 128, 3), np.uint8)
    if values != "rgb":
        pixels = np.resize(np.array(values, np.uint8), (96, 128))
    cv2.imwrite(str(path), pixels)
    with pytest.raises(ValueError, match=r"^mask \S+label\.png (has|holds|is) ") as caught:
        read_area(str(path), "")
    assert str(caught.value).count("label.png") == 1


@pytest.mark.parametrize(
    ("mask", "region", "named"),
    [
        (HOOD, "[100, 0, 64, 64]", "128 x 96"),
        ("[[200, 200], [300, 200], [300, 300]]", "", "128 x 96"),
        ("[[0, 0], [127, 0], [127, 95], [0, 95]]", "", "128 x 96"),
        ("small", "", "64 x 48"),
    ],
)
def test_an_image_that_its_area_does_not_fit_is_refused_and_nothing_else_changes(
    small_model: BundledSegmenter, frames, mask: str, region: str, named: str
) -> None:
    small = np.zeros((48, 64), bool)
    area = ImageArea(mask=small) if mask == "small" else read_area(mask, region)
    stream = StreamingSegmenter(small_model, area=area)
    with pytest.raises(ValueError, match=named):
        stream.push(frames[0], 0.0)
    assert len(stream.ring) == 0
