"""Whether what runs is being compiled or exported."""

from __future__ import annotations

import torch


def _never() -> bool:
    """Before torch 2.3, which cannot tell: what is compiled then holds more steps than it must."""
    return False


is_compiling = getattr(torch.compiler, "is_compiling", _never)
