"""What a GPU would work on lies on it, told by GPUs that compute nothing (support/fake_gpu.py)."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from support.fake_gpu import Traffic, fake_gpus
from support.small import SMALL, shallow_backbones

from stmem_ros.classes import CAMVID
from stmem_ros.model.bundle import BundledSegmenter, ModelInfo
from stmem_ros.model.familiarity import Familiarity
from stmem_ros.model.memory import MemoryBank
from stmem_ros.model.segmenter import Architecture
from stmem_ros.streaming.execution import Execution, swap_memory
from stmem_ros.streaming.segmenter import StreamingSegmenter, push_together

FORMS = {
    "light": dataclasses.replace(SMALL, form="light", zoom=1.2),
    "published": SMALL,
    "psp": dataclasses.replace(SMALL, backbone="resnet50"),
}
DEVICE = "cuda:1"  # not the current one
# Lines that may cast what is large, in half precision, how often per batch: the image before the
# backbone, features for what stays float32.
CASTS = {"execution.py:run": 2}
RELEASE = tuple(map(int, torch.__version__.split(".")[:2]))
pytestmark = [
    pytest.mark.filterwarnings("ignore:model"),
    pytest.mark.skipif(
        RELEASE < (2, 3) and not torch.cuda.is_available(),
        reason="fake tensors of torch 2.2 and older need a CUDA driver",
    ),
]


def fake_streams(architecture: Architecture, precision: str, count: int) -> list:
    """Streams of a fake model; that of the last camera sees its images smaller."""
    info = ModelInfo("fake", architecture, CAMVID, 96)
    with shallow_backbones():
        model = BundledSegmenter(info).eval().requires_grad_(False).to(DEVICE)
    channels = architecture.channels
    model.familiarity = Familiarity(torch.empty(channels), torch.empty(channels, channels)).to(
        torch.device(DEVICE)
    )
    heights = [192] * max(1, count - 1) + [96] * (count > 1)
    execution = Execution(precision)
    return [StreamingSegmenter(model, inference_height=h, execution=execution) for h in heights]


def pushed(streams: list, stamp: float) -> Traffic:
    """What crosses as an image of each camera is pushed."""
    images = [np.zeros((240, 320, 3), np.uint8)] * len(streams)
    with Traffic() as traffic:
        push_together(streams, images, [stamp] * len(streams))
    return traffic


def check(traffic: Traffic, batches: int, precision: str) -> None:
    """One copy each way per batch, nothing waits, nothing is mixed, and no more casts than due."""
    assert not traffic.mixed and not traffic.waits
    assert traffic.uploads == Counter({"streaming/transfer.py:upload": batches})
    assert traffic.downloads == Counter({"streaming/transfer.py:to_host": batches})
    casts = Counter({line.split("/")[-1]: n for line, n in traffic.casts.items()})
    allowed = {} if precision == "float32" else CASTS
    assert all(n <= batches * allowed.get(line, 0) for line, n in casts.items()), casts


@pytest.mark.parametrize(
    ("form", "precision", "cameras"),
    [("light", "float16", 3), ("published", "float32", 2), ("psp", "bfloat16", 1)],
)
def test_a_frame_goes_up_once_and_its_labels_come_down_once(
    form: str, precision: str, cameras: int
) -> None:
    with fake_gpus():
        streams = fake_streams(FORMS[form], precision, cameras)
        for i in range(2):
            traffic = pushed(streams, i / 10)
        check(traffic, min(cameras, 2), precision)
        runner = streams[0].runner
        kept = [x for stream in streams for x in stream.fusion.memory.state]
        weights = [
            p for part in (runner.core.backbone, runner.core.head) for p in part.parameters()
        ]
        assert {str(x.device) for x in (*kept, *weights)} == {DEVICE}
        if form != "light":  # whose fusion stays float32
            weights += runner.core._stf.parameters()
        assert {p.dtype for p in weights} == {getattr(torch, precision)}


@pytest.mark.parametrize(("form", "precision"), [("light", "float16"), ("published", "float32")])
def test_another_memory_goes_to_the_models_device(form: str, precision: str) -> None:
    architecture = FORMS[form]
    items = architecture.classes * (1 if form == "light" else architecture.items_per_class)
    bank = MemoryBank(
        torch.zeros(items, architecture.channels),
        torch.zeros(items, architecture.channels),
        torch.zeros(items, dtype=torch.int64),
        "confidence",
    )
    with fake_gpus():
        streams = fake_streams(architecture, precision, 1)
        pushed(streams, 0.0)
        fakes = torch.empty(bank.keys.shape), torch.empty(bank.values.shape)
        object.__setattr__(bank, "keys", fakes[0])
        object.__setattr__(bank, "values", fakes[1])
        with Traffic() as traffic:
            swap_memory(streams[0].model, bank)
        assert not traffic.mixed and traffic.uploads.total() == 2
        check(pushed(streams, 0.1), 1, precision)
