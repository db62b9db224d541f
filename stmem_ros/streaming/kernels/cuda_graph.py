"""CUDA graphs: what a function launches on a GPU, recorded once and replayed as one launch."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from stmem_ros.error_text import error_text
from stmem_ros.streaming.kernels.compilation import is_compiling

KEPT = 32  # recordings, the last used ones; each holds the memory it works in
REASON_LENGTH = 200  # characters of torch's message
WARM_UP = 3  # runs before recording, in which libraries choose and set up their kernels


class CudaGraphs:
    """Calls functions of tensors by replaying what they did for arguments of the same sizes.

    A function must launch the same each time, and change nothing but what it returns, a tensor or a
    tuple of them. What it uses beside its arguments must live as long as this, or be
    :func:`recorded`. Its results are overwritten by its next call with arguments of the same sizes:
    whoever calls from several threads holds a lock until they are read.

    Where a recording fails (no memory left, a step that cannot be recorded), functions are called
    as they are from then on, and one warning says why.

    Attributes:
        problem: why functions are called as they are; empty where they are recorded.
    """

    def __init__(self) -> None:
        self.problem = ""
        self._recordings: dict[tuple[object, ...], _Recording] = {}

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """``function(*arguments)``; arguments are tensors on a GPU, or hashable constants."""
        if self.problem:
            return function(*arguments)
        key = (function, *(_signature(argument) for argument in arguments))
        device = next(a.device for a in arguments if isinstance(a, Tensor))
        with torch.cuda.device(device):  # streams and recordings are of the current one
            recording = self._recordings.pop(key, None)
            if recording is None:
                try:
                    recording = _Recording(function, arguments)
                except RuntimeError as error:  # torch's of CUDA and of lack of memory are such
                    self._give_up(error)
                    return function(*arguments)
            self._recordings[key] = recording  # the last one
            if len(self._recordings) > KEPT:
                del self._recordings[next(iter(self._recordings))]
            return recording.replay(arguments)

    def _give_up(self, error: RuntimeError) -> None:
        self._recordings.clear()
        reason = error_text(error, REASON_LENGTH)
        self.problem = (
            f"CUDA graphs cannot be recorded ({reason}): frames are run without them, slower; "
            "set cuda_graphs to false"
        )
        warnings.warn(self.problem, stacklevel=2)


class _Recording:
    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._arguments = [a.clone() if isinstance(a, Tensor) else a for a in arguments]
        # Warmed up on a stream of its own: the default one cannot be recorded.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                function(*self._arguments)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with (
            collect_recorded() as self._constants,
            torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"),
        ):
            self._results = self._without_arguments(function(*self._arguments))

    def replay(self, arguments: tuple[Any, ...]) -> Any:
        for kept, new in zip(self._arguments, arguments, strict=True):
            if isinstance(new, Tensor):
                kept.copy_(new)
        self._graph.replay()
        return self._results

    def _without_arguments(self, results: Any) -> Any:
        """Results that are no arguments: those are overwritten before results are read."""
        if isinstance(results, tuple):
            return tuple(self._without_arguments(result) for result in results)
        lent = {_address(a) for a in self._arguments if isinstance(a, Tensor)}
        return results.clone() if _address(results) in lent else results


_current = threading.local()  # constants: the list of the recording that is made in this thread


@contextmanager
def collect_recorded() -> Iterator[list[Tensor]]:
    """The constants that :func:`recorded` sees meanwhile, in this thread."""
    _current.constants = []
    try:
        yield _current.constants
    finally:
        del _current.constants


def recorded(constant: Tensor) -> Tensor:
    """A tensor that a cache made once; a recording that reads it keeps it as long as itself."""
    if not is_compiling():
        constants = getattr(_current, "constants", None)
        if constants is not None:
            constants.append(constant)
    return constant


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _signature(argument: Any) -> object:
    return (argument.shape, argument.dtype) if isinstance(argument, Tensor) else argument
