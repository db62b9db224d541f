"""The fusion of streams that go on together: what each remembers is a row of what all do.

So one launch serves them all, and compilers and CUDA graphs, which take functions of tensors, get
one: what is remembered goes in and comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from stmem_ros.streaming.fusion import State, StreamFusion


@dataclass(frozen=True)
class Remembered:
    """What a stream remembers of its frames.

    Attributes:
        state: of the streams that were pushed together.
        row: the stream's in it.
        streams: how many they were.
        shape: of the features of all, of whose next push with this shape the results may take the
            place of these; None where the state is the stream's own.
    """

    state: State
    row: int = 0
    streams: int = 1
    shape: torch.Size | None = None

    def alone(self) -> State:
        """The stream's own rows."""
        if self.streams == 1:
            return self.state
        return tuple(x[self.row : self.row + 1] for x in self.state)


class Remembering(Protocol):
    """A stream, as far as it remembers; None before its first frame."""

    memory: Remembered | None


class FusionBatch:
    """Pushes the features of some streams together.

    Args:
        fusion: takes as many streams as are pushed together; remembers nothing from push to push.
        prepare: makes what is run of a function of tensors.
        begin: the same, for what is run once per stream.
        call: calls what is run.
        streams: all there are, where ``call`` overwrites the results of its last call with inputs
            of the same sizes (CUDA graphs); else none.
    """

    def __init__(
        self,
        fusion: StreamFusion,
        prepare: Callable[[Callable[..., Any]], Callable[..., Any]],
        begin: Callable[[Callable[..., Any]], Callable[..., Any]],
        call: Callable[..., Any],
        streams: Iterable[Remembering],
    ) -> None:
        self._fusion = fusion
        self._begin = begin(self._first_state)
        self._step = prepare(self._push_from_state)
        self._call = call
        self._streams = streams

    def push(self, streams: Sequence[Remembering], features: Tensor) -> tuple[Tensor, Tensor]:
        """Features N x C x h x w of the next frames of N streams; as of :class:`StreamFusion`."""
        memories = []
        for stream, first in zip(streams, features.split(1), strict=True):
            memories.append(stream.memory or Remembered(self._begin(first)))
        state = _joined(memories)
        self._save_others(streams, features.shape)
        fused, share, *after = self._call(self._step, features, *state)
        state = tuple(after)
        for row, stream in enumerate(streams):
            stream.memory = Remembered(state, row, len(streams), features.shape)
        return fused, share

    def _save_others(self, streams: Sequence[Remembering], shape: torch.Size) -> None:
        """Copy what streams remember that are not pushed now, but lies where results will."""
        for other in self._streams:
            memory = other.memory
            if memory is not None and memory.shape == shape and other not in streams:
                other.memory = Remembered(tuple(x.clone() for x in memory.alone()))

    def _first_state(self, features: Tensor) -> State:
        """As after a first frame, which the step then takes once more."""
        self._fusion.reset()
        self._fusion.push(features)
        return self._taken_state()

    def _push_from_state(self, features: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        self._fusion.resume(state, (features.shape[-2], features.shape[-1]))
        return (*self._fusion.push(features), *self._taken_state())

    def _taken_state(self) -> State:
        """The fusion's state, which it forgets."""
        state = self._fusion.state()
        self._fusion.reset()
        return state


def _joined(memories: Sequence[Remembered]) -> State:
    """The state of some streams; nothing is copied where they went together before."""
    first = memories[0]
    together = [(first.state, row, len(memories)) for row in range(len(memories))]
    if all(
        memory.state is state and (memory.row, memory.streams) == (row, count)
        for memory, (state, row, count) in zip(memories, together, strict=True)
    ):
        return first.state
    parts = zip(*(memory.alone() for memory in memories), strict=True)
    return tuple(torch.cat(rows) for rows in parts)
