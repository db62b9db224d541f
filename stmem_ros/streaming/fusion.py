"""Temporal fusion of one stream: features of new frames in, fused features of the target out."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from stmem_ros.model.aligned_fusion import AlignedFusion, AlignedWindow, Descriptors
from stmem_ros.model.stf import SpatialTemporalFusion
from stmem_ros.streaming.kernels.cuda_graph import recorded
from stmem_ros.streaming.kernels.folded_alignment import FoldedAlignment
from stmem_ros.streaming.kernels.folded_stf import FoldedFusion, FrameTokens, Positions
from stmem_ros.streaming.ring import Ring

State = tuple[Tensor, ...]
KEPT_SIZES = 4  # of features, whose positions are kept


class StreamFusion(Protocol):
    """Features N x C x h x w of frames in their order; a stream begins with its first, repeated.

    N is 1 for what is folded for one stream; else N streams go on together.

    Attributes:
        needs_float32: whether less precision would spoil it.
    """

    needs_float32: bool

    def push(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Fused features of the window's target frame, and the share of memory in them.

        The share is a number each, N: the weight of other frames, mean of all pixels, 0 to 1; not
        a number where it cannot be told.
        """

    def reset(self) -> None:
        """Forget all frames."""

    def state(self) -> State:
        """All that later frames need of those so far, of which there are some.

        Its tensors have the same sizes after each frame; of N streams N rows each.
        """

    def resume(self, state: State, size: tuple[int, int]) -> None:
        """Go on from the state of a stream whose features are ``size`` rows and columns."""


class SingleFrame:
    """No fusion: a network without STF."""

    needs_float32 = False

    def push(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return features, features.new_zeros(len(features), dtype=torch.float32)

    def reset(self) -> None:
        """There is nothing to forget."""

    def state(self) -> State:
        return ()

    def resume(self, state: State, size: tuple[int, int]) -> None:
        """There is nothing to remember."""


class TokenFusion:
    """The published STF: the ring keeps each frame's tokens and projections."""

    needs_float32 = False

    def __init__(self, folded: FoldedFusion) -> None:
        self._folded = folded
        self._ring: Ring[FrameTokens] = Ring(folded.window)
        self._size: tuple[int, int] | None = None  # of the features
        self._positions: Positions | None = None  # of that size; held, so that they are kept

    def push(self, features: Tensor) -> tuple[Tensor, Tensor]:
        frame = self._folded.project(features)
        self._ring.append(frame)
        if self._positions is None or frame.size != self._size:
            self._size, self._positions = frame.size, self._folded.positions(frame.size)
        fused = self._folded.fuse(self._ring.window(), self._positions)
        return fused, fused.new_full((1,), torch.nan)  # its attention does not tell its weights

    def reset(self) -> None:
        self._ring.clear()

    def state(self) -> State:
        """Tokens, then projections, oldest first; of all frames that the next window looks at."""
        kept = self._ring.window()[1:]
        return (*(frame.tokens for frame in kept), *(frame.projected for frame in kept))

    def resume(self, state: State, size: tuple[int, int]) -> None:
        self.reset()
        frames = self._folded.window - 1
        for tokens, projected in zip(state[:frames], state[frames:], strict=True):
            self._ring.append(FrameTokens(size, tokens, projected))


class WindowFusion:
    """The published STF as it is: the ring keeps features.

    A GPU has fast attention for its head size, and not for that of the folded one.
    """

    needs_float32 = False

    def __init__(self, stf: SpatialTemporalFusion) -> None:
        self._stf = stf
        self._ring: Ring[Tensor] = Ring(stf.window_position.shape[2])
        self._positions: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def push(self, features: Tensor) -> tuple[Tensor, Tensor]:
        self._ring.append(features)
        window = torch.stack(self._ring.window(), dim=2)
        fused = self._stf.fuse(window, *self._positions_at((window.shape[-2], window.shape[-1])))
        return fused, fused.new_full((len(fused),), torch.nan, dtype=torch.float32)

    def reset(self) -> None:
        self._ring.clear()

    def state(self) -> State:
        """Features, oldest first, of all frames that the next window looks at."""
        return tuple(self._ring.window()[1:])

    def resume(self, state: State, size: tuple[int, int]) -> None:
        self.reset()
        for features in state:
            self._ring.append(features)

    def _positions_at(self, size: tuple[int, int]) -> list[Tensor]:
        if size not in self._positions:
            if len(self._positions) == KEPT_SIZES:
                del self._positions[next(iter(self._positions))]
            self._positions[size] = self._stf.positions(size)
        return [recorded(position) for position in self._positions[size]]


class AlignedWindowFusion:
    """The light form: where the things of the last frame are in earlier ones, and these frames."""

    needs_float32 = True  # half precision tells places in a wide image to half a pixel

    def __init__(self, fusion: FoldedAlignment | AlignedFusion) -> None:
        self._fusion = fusion
        self._window: AlignedWindow | None = None

    def push(self, features: Tensor) -> tuple[Tensor, Tensor]:
        for _ in range(1 if self._window else self._fusion.window):
            self._window = self._fusion.extend(self._window, features)
        assert self._window is not None
        return self._fusion.fuse(self._window)

    def reset(self) -> None:
        self._window = None

    def state(self) -> State:
        """Frames, then paths, oldest first, without the frame that leaves; then the descriptors."""
        assert self._window is not None
        frames, paths = self._window.newest(self._fusion.window - 1)
        descriptors = self._window.descriptors
        return (*frames, *paths, descriptors.coarse, descriptors.fine)

    def resume(self, state: State, size: tuple[int, int]) -> None:
        *tensors, coarse, fine = state
        frames = self._fusion.window - 1
        self._window = AlignedWindow(
            tuple(tensors[:frames]), tuple(tensors[frames:]), Descriptors(coarse, fine)
        )
