"""Where torch lacks an operator of oneDNN, the plain path is taken, and that is said."""

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from support.small import SMALL, shallow_backbones
from torch import nn

from stmem_ros.classes import CAMVID
from stmem_ros.model.bundle import BundledSegmenter, ModelInfo
from stmem_ros.model.segmenter import FORMS
from stmem_ros.streaming.kernels import onednn
from stmem_ros.streaming.kernels.fused_convolutions import FusedConv2d
from stmem_ros.streaming.kernels.winograd import WinogradConv2d
from stmem_ros.streaming.segmenter import StreamingSegmenter

CONVOLUTION_OPERATORS = (
    "_convolution_pointwise",
    "_convolution_pointwise_",
    "_reorder_convolution_weight",
)
PRODUCT_OPERATORS = ("_linear_pointwise", "_reorder_linear_weight")


class OtherTorch:
    """``torch.ops.mkldnn`` of another release: some operators are missing, or are others."""

    def __init__(self, missing: tuple[str, ...], others: dict[str, Callable[..., Any]]) -> None:
        self._operators = torch.ops.mkldnn
        self._missing, self._others = missing, others

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise AttributeError(f"no operator {name}")
        return self._others.get(name) or getattr(self._operators, name)


Replace = Callable[..., None]


@pytest.fixture
def replace_operators(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replace]:
    def forget_trials() -> None:
        onednn.convolutions_work.cache_clear()
        onednn.products_work.cache_clear()

    def replace(*missing: str, **others: Callable[..., Any]) -> None:
        monkeypatch.setattr(torch.ops, "mkldnn", OtherTorch(missing, others))
        forget_trials()

    yield replace
    forget_trials()


def small_model(form: str) -> BundledSegmenter:
    torch.manual_seed(1)
    info = ModelInfo("small", dataclasses.replace(SMALL, form=form), CAMVID, height=96)
    with shallow_backbones():
        return BundledSegmenter(info).eval()


def confidences(form: str, count: int = 4) -> np.ndarray:
    """Of some images, by a model that is new, as operators are chosen when it is first run."""
    stream = StreamingSegmenter(small_model(form))
    images = np.random.default_rng(0).integers(0, 256, (count, 64, 96, 3), np.uint8)
    return np.stack([stream.push(x, i / 10).confidence for i, x in enumerate(images)]).astype(int)


wanted_confidences = cache(confidences)  # by all operators; asked for before some are replaced


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("operator", (*CONVOLUTION_OPERATORS, *PRODUCT_OPERATORS))
def test_a_missing_operator_is_told_once_and_labels_stay(
    form: str, operator: str, replace_operators: Replace
) -> None:
    wanted = wanted_confidences(form)
    used = form == "published" or operator in CONVOLUTION_OPERATORS  # light: no products
    replace_operators(operator)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = confidences(form)
        confidences(form, 1)
    assert np.abs(found - wanted).max() <= 1
    assert [f"mkldnn.{operator} " in str(w.message) for w in caught] == [True] * used


def test_a_build_without_onednn_streams(replace_operators: Replace) -> None:
    wanted = wanted_confidences("published")
    replace_operators(*CONVOLUTION_OPERATORS, *PRODUCT_OPERATORS)
    with pytest.warns(UserWarning, match="mkldnn"):
        found = confidences("published")
    assert np.abs(found - wanted).max() <= 1


@torch.inference_mode()
def test_winograd_multiplies_without_onednn(replace_operators: Replace) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(24, 16, 3, padding=2, dilation=2)
    x = torch.randn(2, 24, 17, 30)
    replace_operators(*PRODUCT_OPERATORS)
    with pytest.warns(UserWarning, match="_reorder_linear_weight"):
        winograd = WinogradConv2d(convolution)
    torch.testing.assert_close(winograd(x), convolution(x), atol=1e-5, rtol=1e-4)


def test_an_operator_that_gives_something_else_is_not_used(replace_operators: Replace) -> None:
    replace_operators(_linear_pointwise=lambda x, weight, *rest: torch.zeros(4, 2))
    with pytest.warns(UserWarning, match="_linear_pointwise"):
        assert not onednn.products_work()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_trials_do_not_depend_on_what_the_host_set(dtype: torch.dtype) -> None:
    onednn.convolutions_work.cache_clear()
    onednn.products_work.cache_clear()
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with warnings.catch_warnings(), torch.autocast("cpu", torch.bfloat16):
            warnings.simplefilter("error")
            assert onednn.convolutions_work() and onednn.products_work()
    finally:
        torch.set_default_dtype(before)


def test_inputs_of_other_sizes_share_a_weight_that_is_in_one_order(
    replace_operators: Replace,
) -> None:
    def weights_of_two_uses() -> int:
        convolution = nn.Conv2d(16, 32, 1).eval()
        fused = FusedConv2d(convolution, nn.Identity())
        with torch.inference_mode():
            for images in (1, 2, 1, 2):
                x = torch.rand(images, 16, 24, 32).to(memory_format=torch.channels_last)
                for _ in range(2):
                    torch.testing.assert_close(fused(x), convolution(x))
        assert len(fused._weights) == 2
        return len({id(weight) for weight in fused._weights.values()})

    # Old releases of torch tell no order.
    tells_orders = hasattr(torch.ops.mkldnn, "_get_mkldnn_serialized_md")
    assert weights_of_two_uses() == (1 if tells_orders else 2)
    replace_operators("_get_mkldnn_serialized_md")
    assert weights_of_two_uses() == 2
