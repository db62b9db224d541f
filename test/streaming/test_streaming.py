"""Streaming gives what the plain form gives, and handles what cameras do."""

import copy
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small import SMALL, small_bank

from stmem_ros.model.bundle import BundledSegmenter, load_bundle
from stmem_ros.model.segmenter import normalise
from stmem_ros.streaming.segmenter import NotFiniteError, RestartKind, StreamingSegmenter


@pytest.fixture(scope="module", params=[("published", 1.0), ("light", 1.2)])
def small_model(request: pytest.FixtureRequest, small_bundle: Path) -> BundledSegmenter:
    """Either form, with random weights; one enlarges its images."""
    model = load_bundle(small_bundle, "cpu")
    form, zoom = request.param
    if form == "light":
        torch.manual_seed(1)
        architecture = dataclasses.replace(SMALL, form=form, zoom=zoom)
        model = BundledSegmenter(dataclasses.replace(model.info, architecture=architecture)).eval()
        torch.nn.init.normal_(model.mar.values)
    return model


def plain_label(model, images: list[np.ndarray]) -> np.ndarray:
    """Labels of the newest image by the plain form; the window is filled with the oldest."""
    window = ([images[0]] * 2 + images)[-3:]
    rgb = torch.from_numpy(np.stack(window))
    x = normalise(rgb, model.info.mean, model.info.std)
    with torch.no_grad():
        return model(x[None])[0].argmax(0).numpy()


def test_streaming_equals_the_plain_form_on_every_frame(small_model, frames) -> None:
    stream = StreamingSegmenter(small_model)
    for i, frame in enumerate(frames):
        result = stream.push(frame, i / 10)
        assert (result.label == plain_label(small_model, frames[: i + 1])).mean() > 0.999
        assert result.window == min(i + 1, 3)
        assert result.stamp == i / 10
        assert result.restart is None


def test_confidence_is_the_largest_probability(small_model, frames) -> None:
    result = StreamingSegmenter(small_model).push(frames[0], 0.0)
    x = normalise(torch.from_numpy(frames[0])[None], small_model.info.mean, small_model.info.std)
    with torch.no_grad():
        best = small_model(x[None].expand(-1, 3, -1, -1, -1)).softmax(1).amax(1)[0].numpy()
    assert np.abs(result.confidence - 255 * best).max() < 1
    assert result.label.dtype == result.confidence.dtype == np.uint8
    assert result.label.shape == frames[0].shape[:2]


def test_each_frame_goes_through_the_backbone_once(small_model, frames) -> None:
    calls = []
    stream = StreamingSegmenter(small_model)
    stream.core.backbone.register_forward_hook(lambda *a: calls.append(a[1][0].shape[0]))
    for i, frame in enumerate(frames):
        stream.push(frame, i / 10)
    assert calls == [1] * len(frames)


@pytest.mark.parametrize("size", [(90, 120), (97, 131), (32, 32), (64, 200)])
def test_any_image_size_is_labelled_at_its_own_size(small_model, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    result = StreamingSegmenter(small_model).push(image, 0.0)
    assert result.label.shape == result.confidence.shape == size
    assert result.label.max() < 11


@pytest.mark.parametrize(
    ("stamps", "kind", "seconds"),
    [
        ((0.0, 0.1, -0.5), RestartKind.TIME_WENT_BACK, "0.600 s"),
        ((0.0, 0.1, 2.1), RestartKind.GAP, "2.000 s"),
    ],
)
def test_a_jump_in_time_starts_the_stream_anew(small_model, frames, stamps, kind, seconds) -> None:
    stream = StreamingSegmenter(small_model, max_gap=1.0)
    results = [stream.push(f, s) for f, s in zip(frames, stamps, strict=False)]
    assert results[-1].restart.kind is kind and seconds in results[-1].restart.text
    assert results[-1].window == 1
    assert (results[-1].label == plain_label(small_model, [frames[2]])).mean() > 0.999


def test_a_new_image_size_starts_the_stream_anew(small_model, frames) -> None:
    stream = StreamingSegmenter(small_model)
    stream.push(frames[0], 0.0)
    result = stream.push(frames[1][:64], 0.1)
    assert result.restart.kind is RestartKind.NEW_SIZE and "128 x 64" in result.restart.text
    assert result.window == 1


def test_a_new_image_size_starts_anew_even_where_the_network_sees_the_same(
    small_model, frames
) -> None:
    stream = StreamingSegmenter(small_model, inference_height=96)
    stream.push(frames[0], 0.0)
    big = frames[1].repeat(2, 0).repeat(2, 1)
    restart = stream.push(big, 0.1).restart
    assert restart.kind is RestartKind.NEW_SIZE and "256 x 192" in restart.text


def test_reset_forgets(small_model, frames) -> None:
    stream = StreamingSegmenter(small_model)
    stream.push(frames[0], 0.0)
    stream.reset()
    assert stream.push(frames[1], 0.1).window == 1


def test_tall_images_are_scaled_for_the_network_but_labelled_whole(small_model, frames) -> None:
    big = frames[0].repeat(2, 0).repeat(2, 1)
    sizes = []
    stream = StreamingSegmenter(small_model, inference_height=96)
    stream.core.backbone.register_forward_hook(lambda *a: sizes.append(tuple(a[1][0].shape[-2:])))
    result = stream.push(big, 0.0)
    zoom = small_model.architecture.zoom
    assert sizes == [(math.ceil(96 * zoom), math.ceil(128 * zoom))]
    assert result.label.shape == big.shape[:2]


BAD_INPUTS = (
    (np.zeros((96, 128, 3), np.float32), 0.2, "float32.*uint8"),
    (np.zeros((96, 128), np.uint8), 0.2, r"\(96, 128\)"),
    (np.zeros((16, 128, 3), np.uint8), 0.2, "128 x 16.*32 x 32"),
    ([[1, 2]], 0.2, "list"),
    (np.zeros((96, 128, 3), np.uint8), float("nan"), "stamp is nan"),
)


def test_bad_input_is_refused_and_changes_nothing(small_model, frames) -> None:
    stream, untouched = StreamingSegmenter(small_model), StreamingSegmenter(small_model)
    for s in (stream, untouched):
        s.push(frames[0], 0.0)
        s.push(frames[1], 0.1)
    for image, stamp, named in BAD_INPUTS:
        with pytest.raises(ValueError, match=named):
            stream.push(image, stamp)
    a, b = stream.push(frames[2], 0.2), untouched.push(frames[2], 0.2)
    assert np.array_equal(a.label, b.label)
    assert np.array_equal(a.confidence, b.confidence)


def test_another_memory_bank_is_used_from_the_next_frame_on(small_model, frames) -> None:
    stream = StreamingSegmenter(copy.deepcopy(small_model))
    before = stream.push(frames[0], 0.0)
    stream.reset()
    stream.swap_memory(small_bank(5, len(small_model.mar.keys) // SMALL.classes))
    after = stream.push(frames[0], 0.0)
    assert not np.array_equal(before.confidence, after.confidence)


def test_the_same_frames_give_the_same_labels_to_the_last_bit(small_model, frames) -> None:
    runs = []
    for _ in range(2):
        stream = StreamingSegmenter(small_model)
        runs.append([stream.push(f, i / 10).confidence for i, f in enumerate(frames)])
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_an_error_and_never_labels(
    small_model, frames, value: float
) -> None:
    stream = StreamingSegmenter(small_model)
    for i, frame in enumerate(frames[:2]):
        stream.push(frame, i / 10)
    weight = small_model.classifier.weight.data
    kept = weight[0].clone()
    weight[0] = value
    with pytest.raises(NotFiniteError):
        stream.push(frames[2], 0.2)
    weight[0] = kept
    assert stream.push(frames[2], 0.3).window == 1  # nothing of before is looked back at


def test_after_too_long_an_interval_the_frame_alone_is_looked_at(small_model, frames) -> None:
    architecture = dataclasses.replace(small_model.architecture, longest_interval=0.4)
    stream = StreamingSegmenter(copy.deepcopy(small_model))
    stream.model.architecture = architecture
    results = [stream.push(f, s) for f, s in zip(frames, (0.0, 0.4, 0.9, 1.0), strict=False)]
    assert [r.window for r in results] == [1, 2, 1, 2]
    assert all(r.restart is None for r in results)
    assert results[2].memory_share == 0
    assert (results[2].label == plain_label(small_model, [frames[2]])).mean() > 0.999


def test_it_tells_how_much_of_memory_was_used(frames) -> None:
    model = load_bundle("onboard", "cpu")
    still, cut = StreamingSegmenter(model), StreamingSegmenter(model)
    of_still = [still.push(frames[0], i / 10).memory_share for i in range(3)]
    others = (frames[0], 255 - frames[3][::-1], np.zeros_like(frames[0]))
    of_cut = [cut.push(np.ascontiguousarray(x), i / 10).memory_share for i, x in enumerate(others)]
    assert of_still[0] == of_cut[0] == 0
    assert min(of_still[1:]) > 0.7 > 0.5 > max(of_cut[1:])


def test_the_published_form_does_not_tell_how_much_of_memory_was_used(small_bundle, frames) -> None:
    stream = StreamingSegmenter(load_bundle(small_bundle, "cpu"))
    assert [stream.push(x, i / 10).memory_share for i, x in enumerate(frames[:2])] == [0.0, None]
