"""A network small enough for tests, and memory banks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch

from stmem_ros.model.bundle import _shapes_of
from stmem_ros.model.efficientnet import REPEATS
from stmem_ros.model.memory import MemoryBank
from stmem_ros.model.resnet import BLOCKS
from stmem_ros.model.segmenter import Architecture

SMALL = Architecture(classes=11, channels=32, hidden=32, block=(4, 5), positions=(6, 8))


@contextmanager
def shallow_backbones() -> Iterator[None]:
    """Networks are built with one block of each kind: a third of the time, the same steps."""
    with ExitStack() as stack:
        # One stage of two blocks: only a second one adds to what it was given.
        stack.enter_context(mock.patch.dict(REPEATS, efficientnet_lite0=(1, 1, 2, 1, 1, 1, 1)))
        stack.enter_context(mock.patch.dict(BLOCKS, {50: (1, 1, 2, 1)}))
        # The shapes of an architecture are kept.
        _shapes_of.cache_clear()
        stack.callback(_shapes_of.cache_clear)
        yield


def small_bank(seed: int = 0, items_per_class: int = SMALL.items_per_class) -> MemoryBank:
    """A memory bank that fits the small model; its light form has one item a class."""
    torch.manual_seed(seed)
    items = SMALL.classes * items_per_class
    classes = torch.arange(SMALL.classes).repeat_interleave(items_per_class)
    return MemoryBank(torch.randn(items, 32), torch.randn(items, 32), classes, "confidence")
