"""The policy of the pipeline, rule by rule, without ROS."""

from __future__ import annotations

import copy
import dataclasses
import threading

import numpy as np
import pytest
import torch
from support.small import SMALL, small_bank

from stmem_ros.bench.costmap import KnownPoses
from stmem_ros.classes import CAMVID
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.rules import default_rules
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING
from stmem_ros.data.synthetic.scene import ID
from stmem_ros.frames import CameraFrame, LabelledFrame, MapProblem, MapResult, Refusal
from stmem_ros.geometry.transforms import TransformBuffer
from stmem_ros.io.bags import BAG_MESSAGES
from stmem_ros.model.bundle import BundledSegmenter, ModelInfo
from stmem_ros.pipeline import NEVER, Pipeline, PipelineConfig
from stmem_ros.streaming.image_area import ImageArea, read_area
from stmem_ros.streaming.segmenter import RestartKind, StreamingSegmenter

RULES = default_rules(CAMVID)
HEADER = BAG_MESSAGES.header(0, "optical")
INFO = BAG_MESSAGES.camera_info(CAMERA, HEADER)
SIZE = (CAMERA.height, CAMERA.width)
CAMERA_FROM_BASE = np.linalg.inv(MOUNTING.base_from_camera())
CONFIG = PipelineConfig(grid=GridConfig(size=40.0, resolution=0.2))


def frame(rgb: np.ndarray, seconds: float, camera: str = "") -> CameraFrame:
    return CameraFrame(camera, rgb, round(seconds * 1e9), "optical")


def kinds(pipeline: Pipeline, *frames: CameraFrame) -> list[RestartKind | None]:
    """Push frames one by one; why the stream began anew with each."""
    labelled = [pipeline.label([f]).labelled[0] for f in frames]
    return [None if f.restart is None else f.restart.kind for f in labelled]


def image_of(seconds: float) -> np.ndarray:
    """An image unlike those of other times."""
    return np.full((*SIZE, 3), round(100 * seconds) % 251, np.uint8)


def road(pipeline: Pipeline, seconds: float, camera: str = "") -> LabelledFrame:
    """A frame in which all below the horizon is road, and all above sky."""
    label = np.full(SIZE, ID["road"], np.uint8)
    label[: SIZE[0] // 2] = ID["sky"]
    return surely(pipeline, frame(image_of(seconds), seconds, camera), label)


def sky(pipeline: Pipeline, seconds: float, camera: str = "") -> LabelledFrame:
    """A frame that shows no ground: the grid after it holds what it held before."""
    label = np.full(SIZE, ID["sky"], np.uint8)
    return surely(pipeline, frame(image_of(seconds), seconds, camera), label)


def surely(pipeline: Pipeline, of: CameraFrame, label: np.ndarray) -> LabelledFrame:
    return pipeline.labelled_frame(of, label, np.full_like(label, 255))


class CountingPoses(KnownPoses):
    """Known poses that count how often time went back."""

    went_back = 0

    def time_went_back(self) -> None:
        self.went_back += 1


def free_cells(result: MapResult | None) -> int:
    assert result is not None and result.placed is not None
    return int((result.placed.update.grid.cost == 0).sum())


@pytest.fixture
def poses() -> KnownPoses:
    return KnownPoses(CAMERA_FROM_BASE)


@pytest.fixture
def mapping(poses: KnownPoses) -> Pipeline:
    """A pipeline whose frames come labelled."""
    return Pipeline(None, RULES, CONFIG, poses)


@pytest.fixture
def labelling(small_model: BundledSegmenter, poses: KnownPoses) -> Pipeline:
    return Pipeline(small_model, RULES, CONFIG, poses)


# Frames to labels


def stamps_labelled(pipeline: Pipeline, frames, rate: float, camera: str = "") -> list[int]:
    """Which of the frames at a rate are labelled; adapters are told the same beforehand."""
    found = []
    for i, image in enumerate(frames):
        sent = frame(image, 1.0 + i / rate, camera)
        text = pipeline.unwanted(camera, sent.stamp)
        result = pipeline.label([sent])
        assert [r.refusal for r in result.refused] == [Refusal.UNWANTED] * bool(text)
        found += [i] * len(result.labelled)
    return found


def test_of_each_camera_no_more_images_are_labelled_than_its_rate_allows(
    small_model: BundledSegmenter, poses: KnownPoses, frames
) -> None:
    config = dataclasses.replace(CONFIG, cameras=("a", "b"), inference_rates=(10.0, 0.0))
    pipeline = Pipeline(small_model, RULES, config, poses)
    assert stamps_labelled(pipeline, frames, 30.0, "a") == [0, 3]
    assert stamps_labelled(pipeline, frames, 30.0, "b") == [0, 1, 2, 3, 4, 5]
    assert pipeline.label([frame(frames[0], 1.05, "a")]).refused[0].refusal is Refusal.LATE
    assert not pipeline.unwanted("a", round(1.21e9))
    pipeline.reset()
    assert not pipeline.unwanted("a", round(1.12e9))


def test_a_camera_that_pauses_has_no_labels_and_goes_on_as_after_a_gap(
    small_model: BundledSegmenter, poses: KnownPoses, frames
) -> None:
    config = dataclasses.replace(CONFIG, cameras=("a", "b"))
    pipeline = Pipeline(small_model, RULES, config, poses)
    for camera in ("a", "b"):
        assert stamps_labelled(pipeline, frames[:2], 10.0, camera) == [0, 1]
    pipeline.pause("a", True)
    assert pipeline.is_paused("a") and not pipeline.is_paused("b")
    both = pipeline.label([frame(frames[2], 1.2, "a"), frame(frames[2], 1.2, "b")])
    assert [f.frame.camera for f in both.labelled] == ["b"]
    assert [(r.frame.camera, r.refusal) for r in both.refused] == [("a", Refusal.UNWANTED)]
    pipeline.pause("a", False)
    (soon,) = pipeline.label([frame(frames[3], 1.3, "a")]).labelled
    assert (soon.window, soon.restart) == (3, None)
    pipeline.pause("a", True)
    pipeline.pause("a", False)
    (late,) = pipeline.label([frame(frames[4], 5.0, "a")]).labelled
    assert late.restart is not None and late.restart.kind is RestartKind.GAP


def test_each_camera_has_its_own_area(
    small_model: BundledSegmenter, poses: KnownPoses, frames
) -> None:
    areas = (
        read_area("[[0, 80], [127, 80], [127, 95], [0, 95]]", ""),
        read_area("", "[0, 0, 64, 64]"),
    )
    config = dataclasses.replace(CONFIG, cameras=("a", "b"), areas=areas)
    pipeline = Pipeline(small_model, RULES, config, poses)
    result = pipeline.label([frame(frames[0], 1.0, "a"), frame(frames[0], 1.0, "b")])
    a, b = (labelled.label == 255 for labelled in result.labelled)
    assert a[80:].all() and not a[:80].any()
    assert b[64:].all() and b[:, 64:].all() and not b[:64, :64].any()


def test_an_image_that_its_mask_does_not_fit_is_told(
    small_model: BundledSegmenter, poses: KnownPoses, frames
) -> None:
    areas = (ImageArea(mask=np.zeros((48, 64), bool)),)
    pipeline = Pipeline(small_model, RULES, dataclasses.replace(CONFIG, areas=areas), poses)
    (refused,) = pipeline.label([frame(frames[0], 1.0)]).refused
    assert refused.refusal is Refusal.INVALID and "64 x 48" in refused.text


def test_labels_are_those_of_the_stream(
    labelling: Pipeline, small_model: BundledSegmenter, frames
) -> None:
    stream = StreamingSegmenter(small_model)
    for i, image in enumerate(frames):
        expected = stream.push(image, i / 10)
        (labelled,) = labelling.label([frame(image, i / 10)]).labelled
        assert np.array_equal(labelled.label, expected.label)
        assert np.array_equal(labelled.confidence, expected.confidence)
        assert labelled.window == expected.window


def test_an_image_that_cannot_be_used_costs_its_own_camera_that_frame_alone(
    small_model: BundledSegmenter, poses: KnownPoses, frames
) -> None:
    config = dataclasses.replace(CONFIG, cameras=("left", "right"))
    pipeline = Pipeline(small_model, RULES, config, poses)
    for i, image in enumerate(frames[:3]):
        right = np.zeros((8, 8, 3), np.uint8) if i == 1 else image
        result = pipeline.label([frame(image, i / 10, "left"), frame(right, i / 10, "right")])
        assert [f.frame.camera for f in result.labelled] == (
            ["left"] if i == 1 else ["left", "right"]
        )
        assert [f.refusal for f in result.refused] == ([Refusal.INVALID] if i == 1 else [])
    assert [f.window for f in result.labelled] == [3, 2]
    assert [f.restart for f in result.labelled] == [None, None]


@pytest.mark.parametrize("back", [0.0, 0.001, 1.0])
def test_a_late_image_costs_that_image_alone(labelling: Pipeline, frames, back: float) -> None:
    assert kinds(labelling, frame(frames[0], 1.9), frame(frames[1], 2.0)) == [None, None]
    known = free_cells(labelling.fuse(road(labelling, 2.0), INFO))
    result = labelling.label([frame(frames[2], 2.0 - back)])
    assert not result.labelled
    assert [(r.refusal, r.frame.stamp) for r in result.refused] == [
        (Refusal.LATE, round((2.0 - back) * 1e9))
    ]
    (labelled,) = labelling.label([frame(frames[3], 2.1)]).labelled
    assert labelled.window == 3 and labelled.restart is None
    assert free_cells(labelling.fuse(sky(labelling, 2.1), INFO)) > known / 2 > 0


def test_an_image_without_a_stamp_among_others_costs_that_image_alone(
    labelling: Pipeline, frames
) -> None:
    kinds(labelling, frame(frames[0], 1.7e9), frame(frames[1], 1.7e9 + 0.1))
    (refused,) = labelling.label([frame(frames[2], 0.0)]).refused
    assert refused.refusal is Refusal.LATE and "0" in refused.text
    (labelled,) = labelling.label([frame(frames[3], 1.7e9 + 0.2)]).labelled
    assert labelled.window == 3 and labelled.restart is None


def test_images_that_name_no_frame_say_so(poses: KnownPoses) -> None:
    pipeline = Pipeline(None, RULES, CONFIG, poses)
    nameless = dataclasses.replace(road(pipeline, 1.0).frame, frame_id="/")
    label = np.zeros(nameless.rgb.shape[:2], np.uint8)
    result = pipeline.fuse(pipeline.labelled_frame(nameless, label, label), INFO)
    assert result.problem is MapProblem.NO_TRANSFORM and "frame_id" in result.text


def test_a_step_back_of_more_than_a_second_begins_its_cameras_stream_anew(
    small_model: BundledSegmenter, poses: KnownPoses, frames
) -> None:
    config = dataclasses.replace(CONFIG, cameras=("left", "right"))
    pipeline = Pipeline(small_model, RULES, config, poses)
    for i in range(2):
        pipeline.label([frame(frames[i], 5 + i / 10, c) for c in config.cameras])
    result = pipeline.label([frame(frames[2], 4.0, "left"), frame(frames[2], 5.2, "right")])
    assert [f.window for f in result.labelled] == [1, 3]
    left, right = (f.restart for f in result.labelled)
    assert left is not None and left.kind is RestartKind.TIME_WENT_BACK and right is None


def test_where_the_only_camera_goes_back_the_grid_begins_anew(mapping: Pipeline) -> None:
    assert free_cells(mapping.fuse(road(mapping, 9.0), INFO)) > 0
    assert free_cells(mapping.fuse(sky(mapping, 3.0), INFO)) == 0


def test_one_camera_that_goes_back_leaves_the_grid_to_the_other(poses: KnownPoses) -> None:
    config = dataclasses.replace(CONFIG, cameras=("good", "bad"))
    pipeline = Pipeline(None, RULES, config, poses)
    known = 0
    for i in range(30):
        result = pipeline.fuse(road(pipeline, 100 + i / 10, "good"), INFO)
        assert free_cells(result) >= known
        known = free_cells(result)
        stamp = (100 if i < 5 else 50) + i / 10
        result = pipeline.fuse(sky(pipeline, stamp, "bad"), INFO)
        assert result is not None
        assert result.problem is (None if i < 5 else MapProblem.OTHER_TIME)


def test_a_bag_of_two_cameras_that_is_played_again_begins_the_grid_anew_once(
    poses: KnownPoses,
) -> None:
    config = dataclasses.replace(CONFIG, cameras=("left", "right"))
    transforms = CountingPoses(CAMERA_FROM_BASE)
    pipeline = Pipeline(None, RULES, config, transforms)
    for i in range(10):
        for camera in config.cameras:
            known = free_cells(pipeline.fuse(road(pipeline, 100 + i / 10, camera), INFO))
    assert known > 0 and transforms.went_back == 0
    results = [
        pipeline.fuse(sky(pipeline, 90 + i / 10, camera), INFO)
        for i in range(10)
        for camera in config.cameras
    ]
    assert results[0].problem is MapProblem.OTHER_TIME
    assert all(free_cells(result) == 0 for result in results[1:])
    assert transforms.went_back == 1


def test_when_the_clock_goes_back_all_that_came_before_is_forgotten(
    labelling: Pipeline, frames
) -> None:
    assert kinds(labelling, frame(frames[0], 9.0), frame(frames[1], 9.1)) == [None, None]
    assert free_cells(labelling.fuse(road(labelling, 9.1), INFO)) > 0
    before = road(labelling, 9.2)
    labelling.time_went_back()
    assert labelling.fuse(before, INFO) is None
    (labelled,) = labelling.label([frame(frames[2], 8.9)]).labelled
    assert labelled.window == 1 and labelled.restart is None
    assert free_cells(labelling.fuse(sky(labelling, 8.9), INFO)) == 0


def test_a_long_gap_begins_the_stream_anew_and_leaves_the_grid(labelling: Pipeline, frames) -> None:
    assert kinds(labelling, frame(frames[0], 1.0)) == [None]
    before = road(labelling, 1.0)
    assert kinds(labelling, frame(frames[1], 3.0)) == [RestartKind.GAP]
    assert free_cells(labelling.fuse(before, INFO)) > 0


def test_a_new_image_size_begins_the_stream_anew(labelling: Pipeline, frames) -> None:
    small = np.ascontiguousarray(frames[1][:64, :64])
    assert kinds(labelling, frame(frames[0], 1.0), frame(small, 1.1)) == [
        None,
        RestartKind.NEW_SIZE,
    ]


def test_each_camera_has_a_stream_of_its_own(
    small_model: BundledSegmenter, poses: KnownPoses, frames
) -> None:
    config = dataclasses.replace(CONFIG, cameras=("left", "right"))
    pipeline = Pipeline(small_model, RULES, config, poses)
    pipeline.label([frame(frames[0], 5.0, "left")])
    result = pipeline.label([frame(frames[1], 5.1, "left"), frame(frames[1], 1.0, "right")])
    assert [f.window for f in result.labelled] == [2, 1]
    assert all(f.restart is None for f in result.labelled)


def test_reset_forgets_frames_grid_and_labels_under_way(labelling: Pipeline, frames) -> None:
    assert kinds(labelling, frame(frames[0], 1.0), frame(frames[1], 1.1)) == [None, None]
    assert free_cells(labelling.fuse(road(labelling, 1.1), INFO)) > 0
    under_way = road(labelling, 1.2)
    labelling.reset()
    assert labelling.fuse(under_way, INFO) is None
    (labelled,) = labelling.label([frame(frames[2], 1.2)]).labelled
    assert labelled.window == 1 and labelled.restart is None
    assert free_cells(labelling.fuse(sky(labelling, 1.2), INFO)) == 0


def test_frames_that_came_before_a_reset_are_labelled_with_those_before_them(
    labelling: Pipeline, frames
) -> None:
    kinds(labelling, frame(frames[0], 1.0), frame(frames[1], 1.1))
    on_its_way = dataclasses.replace(frame(frames[2], 1.2), epoch=labelling.epoch)
    labelling.reset()
    (labelled,) = labelling.label([on_its_way]).labelled
    assert labelled.window == 3
    assert labelling.fuse(labelled, INFO) is None
    (labelled,) = labelling.label([frame(frames[3], 1.3)]).labelled
    assert labelled.window == 1


def test_a_reset_does_not_wait_for_the_network(
    labelling: Pipeline, frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, goes_on = threading.Event(), threading.Event()
    refine = labelling.streams[""].runner.refine

    def slowly(*arguments: object) -> object:
        at_work.set()
        assert goes_on.wait(60)
        return refine(*arguments)

    monkeypatch.setattr(labelling.streams[""].runner, "refine", slowly)
    worker = threading.Thread(target=labelling.label, args=([frame(frames[0], 1.0)],))
    worker.start()
    assert at_work.wait(60)
    labelling.reset()  # while it works
    assert worker.is_alive()
    goes_on.set()
    worker.join()
    (labelled,) = labelling.label([frame(frames[1], 1.1)]).labelled
    assert labelled.window == 1


def test_another_memory_bank_is_used_from_the_next_frame_on(
    small_model: BundledSegmenter, poses: KnownPoses, frames
) -> None:
    model = copy.deepcopy(small_model)
    pipeline = Pipeline(model, RULES, CONFIG, poses)
    kinds(pipeline, frame(frames[0], 1.0))
    bank = small_bank(seed=5)
    pipeline.swap_memory(bank)
    assert not torch.equal(model.mar.keys.cpu(), bank.keys)
    kinds(pipeline, frame(frames[1], 1.1))
    assert torch.equal(model.mar.keys.cpu(), bank.keys)


def test_a_centred_model_labels_the_frame_before_and_says_which_it_cannot(
    poses: KnownPoses, frames
) -> None:
    torch.manual_seed(0)
    architecture = dataclasses.replace(SMALL, causal=False)
    model = BundledSegmenter(ModelInfo("centred", architecture, CAMVID, height=96)).eval()
    pipeline = Pipeline(model, RULES, CONFIG, poses)
    results = [pipeline.label([frame(frames[i], i / 10)]) for i in range(3)]
    targets = [f.frame.stamp for r in results for f in r.labelled]
    assert targets == [0, 100_000_000]
    cut_off = pipeline.label([frame(frames[3], 9.0)])
    assert [(f.refusal, f.frame.stamp) for f in cut_off.refused] == [(Refusal.CUT_OFF, 200_000_000)]
    pipeline.label([frame(frames[4], 9.1)])
    assert [f.refusal for f in pipeline.finish()] == [Refusal.CUT_OFF]
    assert pipeline.finish() == ()


@pytest.mark.parametrize(("height", "expected"), [(0, 96), (NEVER, None), (64, 64)])
def test_inference_height_may_be_the_trained_one_none_or_a_number(
    small_model: BundledSegmenter, poses: KnownPoses, height: int, expected: int | None
) -> None:
    config = dataclasses.replace(CONFIG, inference_height=height)
    assert Pipeline(small_model, RULES, config, poses).streams[""].inference_height == expected


def test_a_network_that_fails_once_labels_what_comes_then(
    small_model: BundledSegmenter, poses: KnownPoses, frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline(small_model, RULES, CONFIG, poses)
    kinds(pipeline, frame(frames[0], 1.0))
    with monkeypatch.context() as broken, pytest.raises(RuntimeError):
        broken.setattr(pipeline.streams[""].runner, "refine", failing)
        pipeline.label([frame(frames[1], 1.1)])
    (labelled,) = pipeline.label([frame(frames[2], 1.2)]).labelled
    assert labelled.frame.stamp == 1_200_000_000 and labelled.window == 1


def failing(*_: object) -> None:
    raise RuntimeError("device-side assert")


# Labels to the grid


def test_without_camera_info_the_grid_waits(mapping: Pipeline) -> None:
    result = mapping.fuse(road(mapping, 1.0), None)
    assert result is not None and result.placed is None and not result.publish
    assert result.problem is MapProblem.NO_CAMERA_INFO


def test_a_calibration_or_depth_that_does_not_fit_leaves_the_grid(mapping: Pipeline) -> None:
    wrong = BAG_MESSAGES.camera_info(dataclasses.replace(CAMERA, width=100), HEADER)
    depth = BAG_MESSAGES.image(np.zeros((2, 2, 3), np.uint8), HEADER)
    foreign = BAG_MESSAGES.image(
        np.ones((CAMERA.height, CAMERA.width), np.float32), BAG_MESSAGES.header(0, "depth_optical")
    )
    for info, distance, named in (
        (wrong, None, "100"),
        (INFO, depth, "rgb8"),
        (INFO, foreign, "'depth_optical'"),
    ):
        result = mapping.fuse(road(mapping, 1.0), info, distance)
        assert result is not None and result.placed is None
        assert result.problem is MapProblem.NOT_USABLE and named in result.text
    assert free_cells(mapping.fuse(road(mapping, 1.1), INFO)) > 0


def test_without_a_transform_to_the_camera_the_grid_waits() -> None:
    pipeline = Pipeline(None, RULES, CONFIG, TransformBuffer())
    result = pipeline.fuse(road(pipeline, 1.0), INFO)
    assert result is not None and result.placed is None
    assert result.problem is MapProblem.NO_TRANSFORM and "optical" in result.text


def mounted() -> TransformBuffer:
    """Transforms of a camera on its base, without odometry."""
    buffer = TransformBuffer()
    x, y, z = MOUNTING.base_from_camera()[:3, 3]
    buffer.add("base_footprint", "optical", 0, np.array([x, y, z, 0.5, -0.5, 0.5, -0.5]), True)
    return buffer


def test_without_odometry_the_grid_lies_in_the_base_frame_and_says_so() -> None:
    pipeline = Pipeline(None, RULES, CONFIG, mounted())
    result = pipeline.fuse(road(pipeline, 1.0), INFO)
    assert result is not None and result.placed is not None
    assert result.problem is MapProblem.NO_ODOMETRY and "odom" in result.text
    assert result.placed.frame == "base_footprint"


def test_once_odometry_was_seen_no_grid_lies_in_another_frame() -> None:
    transforms = mounted()
    pipeline = Pipeline(None, RULES, CONFIG, transforms)
    still = np.array([0, 0, 0, 1.0, 0, 0, 0])
    transforms.add("odom", "base_footprint", 1_000_000_000, still, False)
    result = pipeline.fuse(road(pipeline, 1.0), INFO)
    assert result is not None and result.placed is not None and result.placed.frame == "odom"
    known = free_cells(result)
    transforms.add("elsewhere", "base_footprint", 1_100_000_000, still, False)
    result = pipeline.fuse(road(pipeline, 1.1), INFO)
    assert result is not None and result.placed is None and not result.publish
    assert result.problem is MapProblem.LOST_ODOMETRY and "'odom'" in result.text
    transforms.add("odom", "base_footprint", 1_200_000_000, still, False)
    assert free_cells(pipeline.fuse(sky(pipeline, 1.2), INFO)) > known / 2


def test_labels_whose_transforms_are_late_are_not_due() -> None:
    transforms = mounted()
    pipeline = Pipeline(None, RULES, CONFIG, transforms)
    still = np.array([0, 0, 0, 1.0, 0, 0, 0])
    transforms.add("odom", "base_footprint", 900_000_000, still, False)
    early, patience = road(pipeline, 1.0), CONFIG.transform_timeout
    assert not pipeline.is_due(early, 0.0) and not pipeline.is_due(early, 0.9 * patience)
    assert pipeline.is_due(early, patience)
    transforms.add("odom", "base_footprint", 1_100_000_000, still, False)
    assert pipeline.is_due(early, 0.0)
    result = pipeline.fuse(early, INFO)
    assert result is not None and result.placed is not None and result.problem is None
    assert result.placed.frame == "odom"
    later = road(pipeline, 2.0)
    pipeline.reset()  # nobody wants them any more
    assert pipeline.is_due(later, 0.0)


def test_odometry_that_jumps_is_refused_until_it_stays(
    mapping: Pipeline, poses: KnownPoses
) -> None:
    assert free_cells(mapping.fuse(road(mapping, 1.0), INFO)) > 0
    poses.odom_from_base = np.eye(4)
    poses.odom_from_base[0, 3] = 500.0
    result = mapping.fuse(road(mapping, 1.1), INFO)
    assert result is not None and result.placed is None
    assert result.problem is MapProblem.NOT_USABLE and "500.0 m" in result.text
    assert free_cells(mapping.fuse(road(mapping, 1.2), INFO)) > 0


@pytest.mark.parametrize("size", [3.0, 5.0])  # as far as a vehicle gets in a second
def test_a_jump_in_a_pause_between_images_leaves_nothing_of_the_place_before(size: float) -> None:
    transforms = mounted()
    pipeline = Pipeline(None, RULES, CONFIG, transforms)
    for i in range(41):  # at 20 Hz, from 0 to 2 s
        place = np.array([size if i > 29 else 0.0, 0, 0, 1.0, 0, 0, 0])
        transforms.add("odom", "base_footprint", i * 50_000_000, place, False)
    for seconds in (0.6, 0.7, 0.8, 0.9, 1.0):
        assert free_cells(pipeline.fuse(road(pipeline, seconds), INFO)) > 0
    result = pipeline.fuse(sky(pipeline, 2.0), INFO)
    assert result is not None and result.problem is MapProblem.NOT_USABLE
    assert f"{size:.1f} m" in result.text
    assert free_cells(pipeline.fuse(sky(pipeline, 2.0), INFO)) == 0


def test_images_that_stand_still_while_the_base_moves_are_not_fused() -> None:
    transforms = mounted()
    mapping = Pipeline(None, RULES, CONFIG, transforms)
    for step in range(9):  # at 3 m/s
        place = np.array([0.3 * step, 0, 0, 1.0, 0, 0, 0])
        stamp = 1_000_000_000 + step * 100_000_000
        transforms.add("odom", "base_footprint", stamp, place, False)
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    hanging = dataclasses.replace(road(mapping, 1.0), frame=frame(image, 1.0))
    for step in range(8):
        again = dataclasses.replace(hanging, frame=frame(hanging.frame.rgb, 1.0 + 0.1 * step))
        result = mapping.fuse(again, INFO)
    assert result is not None and result.placed is None
    assert result.problem is MapProblem.NOT_USABLE and "pixels" in result.text
    assert free_cells(mapping.fuse(road(mapping, 1.75), INFO)) > 0


def test_grids_are_published_no_faster_than_their_rate(mapping: Pipeline) -> None:
    published = [mapping.fuse(road(mapping, i / 30), INFO).publish for i in range(7)]
    assert published == [True, False, False, True, False, False, True]


def test_all_cameras_fill_one_grid(poses: KnownPoses) -> None:
    config = dataclasses.replace(CONFIG, cameras=("left", "right"))
    pipeline = Pipeline(None, RULES, config, poses)
    label = np.full(SIZE, ID["sky"], np.uint8)
    image, sure = np.zeros((*SIZE, 3), np.uint8), np.full(SIZE, 255, np.uint8)
    counts = []
    for camera, columns in (("left", slice(0, 240)), ("right", slice(240, 480))):
        seen = label.copy()
        seen[180:, columns] = ID["road"]
        labelled = pipeline.labelled_frame(frame(image, 1.0, camera), seen, sure)
        counts.append(free_cells(pipeline.fuse(labelled, INFO)))
    assert counts[1] > 1.5 * counts[0] > 0


# A grid that shows the past


def test_a_grid_that_no_labels_reach_is_forgotten_once(mapping: Pipeline) -> None:
    stale = CONFIG.grid.stale_after
    assert not mapping.expire_grid(50.0)  # nothing is known yet
    for i in range(3):
        mapping.fuse(road(mapping, i / 10), INFO, now=50.0 + i / 10)
    assert not mapping.expire_grid(50.2 + stale)
    assert mapping.expire_grid(50.3 + stale)
    assert not mapping.expire_grid(99.0)


def test_labels_that_cannot_be_placed_do_not_keep_a_grid(mapping: Pipeline) -> None:
    mapping.fuse(road(mapping, 0.0), INFO, now=50.0)
    stale = CONFIG.grid.stale_after
    result = mapping.fuse(road(mapping, 0.1), None, now=50.1 + stale - 0.2)
    assert result is not None and result.problem is MapProblem.NO_CAMERA_INFO
    assert mapping.expire_grid(50.1 + stale)


@pytest.mark.parametrize("clock", [None, 1000.0], ids=["stamps", "a clock"])
def test_a_stale_grid_begins_anew_where_the_robot_is_then(
    mapping: Pipeline, poses: KnownPoses, clock: float | None
) -> None:
    """What was seen before is not in it, however far the robot went; and it goes out at once."""
    pause = CONFIG.grid.stale_after + 0.5
    fused = [
        mapping.fuse(road(mapping, t), INFO, now=None if clock is None else clock + t)
        for t in (0.0, 0.1, 0.2, 0.2 + pause)
    ]
    fresh = Pipeline(None, RULES, CONFIG, poses).fuse(road(mapping, 0.0), INFO)
    assert free_cells(fused[-1]) == free_cells(fresh) < free_cells(fused[-2])
    assert fused[-1] is not None and fused[-1].publish


def test_a_grid_is_never_stale_where_that_is_asked_for(poses: KnownPoses) -> None:
    config = dataclasses.replace(CONFIG, grid=dataclasses.replace(CONFIG.grid, stale_after=0.0))
    pipeline = Pipeline(None, RULES, config, poses)
    pipeline.fuse(road(pipeline, 0.0), INFO, now=0.0)
    assert not pipeline.expire_grid(1e9)


def test_labels_of_strange_images_are_kept_from_the_grid_where_that_is_asked_for(
    poses: KnownPoses,
) -> None:
    careful = dataclasses.replace(CONFIG.grid, strangeness_limit=1.3)
    pipeline = Pipeline(None, RULES, dataclasses.replace(CONFIG, grid=careful), poses)
    night = dataclasses.replace(road(pipeline, 1.0), strangeness=1.6)
    result = pipeline.fuse(night, INFO)
    assert result is not None and result.placed is None and result.problem is MapProblem.STRANGE
    day = dataclasses.replace(road(pipeline, 1.1), strangeness=0.6)
    assert free_cells(pipeline.fuse(day, INFO)) > 0
    careless = Pipeline(None, RULES, CONFIG, poses)
    assert free_cells(careless.fuse(night, INFO)) > 0
