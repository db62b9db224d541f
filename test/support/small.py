"""A network small enough for tests, and memory banks for it."""

from __future__ import annotations

import torch

from stmem_ros.model.memory import MemoryBank
from stmem_ros.model.segmenter import Architecture

SMALL = Architecture(classes=11, channels=32, hidden=32, block=(4, 5), positions=(6, 8))


def small_bank(seed: int = 0, items_per_class: int = SMALL.items_per_class) -> MemoryBank:
    """A memory bank that fits the small model; its light form has one item a class."""
    torch.manual_seed(seed)
    items = SMALL.classes * items_per_class
    classes = torch.arange(SMALL.classes).repeat_interleave(items_per_class)
    return MemoryBank(torch.randn(items, 32), torch.randn(items, 32), classes, "confidence")
