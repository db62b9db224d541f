"""Temporal fusion of one stream: features of new frames in, fused features of the target out."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from stmem_ros.model.aligned_fusion import Carried
from stmem_ros.streaming.folded_alignment import FoldedAlignment
from stmem_ros.streaming.folded_stf import FoldedFusion, FrameTokens, Positions
from stmem_ros.streaming.ring import Ring


class StreamFusion(Protocol):
    """Features 1 x C x h x w of frames in their order; a stream begins with its first, repeated."""

    def push(self, features: Tensor) -> Tensor:
        """Fused features of the window's target frame."""

    def reset(self) -> None:
        """Forget all frames."""


class SingleFrame:
    """No fusion: a network without STF."""

    def push(self, features: Tensor) -> Tensor:
        return features

    def reset(self) -> None:
        """There is nothing to forget."""


class TokenFusion:
    """The published STF: the ring keeps each frame's tokens and projections."""

    def __init__(self, folded: FoldedFusion) -> None:
        self._folded = folded
        self._ring: Ring[FrameTokens] = Ring(folded.window)
        self._positions: Positions | None = None  # held, so that they are kept

    def push(self, features: Tensor) -> Tensor:
        frame = self._folded.project(features)
        self._ring.append(frame)
        self._positions = self._folded.positions(frame.size)
        return self._folded.fuse(self._ring.window(), self._positions)

    def reset(self) -> None:
        self._ring.clear()


class CarriedFusion:
    """The light form: earlier frames were carried up to the last one, and move on from there."""

    def __init__(self, fusion: FoldedAlignment) -> None:
        self._fusion = fusion
        self._carried: Carried | None = None

    def push(self, features: Tensor) -> Tensor:
        for _ in range(1 if self._carried else self._fusion.window):
            self._carried = self._fusion.carry(self._carried, features)
        assert self._carried is not None
        return self._fusion.fuse(self._carried)

    def reset(self) -> None:
        self._carried = None
