"""How a stream's network is run: precision, compilation, CUDA graphs.

None of it changes what is computed but for rounding. The channels lie innermost in memory whatever
is chosen (stmem_ros.model.segmenter).
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.memory import MemoryBank
from stmem_ros.streaming.core import StreamingCore
from stmem_ros.streaming.fusion import State
from stmem_ros.streaming.kernels.cuda_graph import CudaGraphs

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = ("auto", *DTYPES)


@dataclass(frozen=True)
class Execution:
    """How the network is run.

    Attributes:
        precision: of backbone, head and STF's attention (autocast): ``float32``, ``bfloat16``,
            ``float16``, or ``auto``, float32 on a CPU and float16 on a GPU. What costs little and
            decides the labels stays float32: places of an aligned fusion, MAR, scores.
        compile: by torch.compile; takes a C++ compiler (Triton on a GPU) and, at each new image
            size, minutes.
        cuda_graphs: what a frame launches on a GPU is recorded once per image size, and replayed.
    """

    precision: str = "auto"
    compile: bool = False
    cuda_graphs: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}; allowed: {', '.join(PRECISIONS)}")

    def on(self, device: torch.device) -> Execution:
        """The same, ``auto`` resolved.

        Raises:
            ValueError: the device cannot do it.
        """
        if self.cuda_graphs and device.type != "cuda":
            raise ValueError(
                f"cuda_graphs is true on device {str(device)!r}; it takes a GPU (cuda)"
            )
        if self.precision != "auto":
            return self
        return replace(self, precision="float16" if device.type == "cuda" else "float32")


class Runner:
    """The network of all streams of a model, run as an execution says: a :func:`shared_runner`."""

    def __init__(self, model: BundledSegmenter, execution: Execution) -> None:
        self.execution = execution
        self.device = next(model.parameters()).device
        # Results of graphs lie where the next frame's will: threads take turns.
        self.turn: AbstractContextManager = (
            threading.RLock() if execution.cuda_graphs else nullcontext()
        )
        # Winograd's transforms lose too many digits in less; compilers choose kernels themselves.
        plain = execution.precision == "float32" and not execution.compile
        self.core = StreamingCore(model, cpu_kernels=plain and self.device.type == "cpu")
        if self.device.type == "cuda":  # else autocast would convert them for each frame
            self.core.backbone.to(DTYPES[execution.precision])
            self.core.head.to(DTYPES[execution.precision])
        self._call = self.make_caller()
        self._features = self.prepare(self.core.features, reduced=True)
        self._refine = self.prepare(self.core.refine, reduced=False)
        self._decode = self.prepare(self.core.decode, reduced=False)

    def features(self, images: Tensor) -> Tensor:
        """Normalised images N x 3 x H x W to features N x C x h x w."""
        return self._call(self._features, images)

    def fusion(self) -> RunnerFusion:
        """The temporal fusion of a new stream."""
        return RunnerFusion(self)

    def refine(self, fused: Tensor) -> Tensor:
        """Fused features to refined ones, N x C x h x w."""
        return self._call(self._refine, fused)

    def decode(self, refined: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Labels uint8 and probabilities, N x H x W, of refined features."""
        return self._call(self._decode, refined, height, width)

    def prepare(self, function: Callable[..., Any], reduced: bool) -> Callable[..., Any]:
        """A function of tensors at the execution's precision, compiled if that is asked for."""
        function = self.at_precision(function, reduced)
        if not self.execution.compile:
            return function
        # Compiled versions are counted, and limited, by code object: each function gets its own.
        code, closure = function.__code__.replace(), function.__closure__
        return torch.compile(FunctionType(code, function.__globals__, closure=closure))

    def at_precision(self, function: Callable[..., Any], reduced: bool) -> Callable[..., Any]:
        """A function of features, at the execution's precision if ``reduced``, else in float32."""
        dtype = DTYPES[self.execution.precision] if reduced else torch.float32
        device = self.device.type

        def run(features: Tensor, *others: Any) -> Any:
            if dtype == torch.float32:
                return function(features.float(), *others)
            # Each weight is used once per frame: there is nothing to cache.
            with torch.autocast(device, dtype, cache_enabled=False):
                return function(features, *others)

        return run

    def make_caller(self) -> Callable[..., Any]:
        """What calls prepared functions: by their CUDA graphs, if that is asked for."""
        return CudaGraphs() if self.execution.cuda_graphs else _call


class RunnerFusion:
    """The fusion of one stream, run as an execution says.

    Compilers and CUDA graphs take functions: what is remembered goes in and comes out. The first
    frame of a stream, before which there is nothing to remember, is run as it is.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._fusion = runner.core.fusion()
        reduced = not self._fusion.needs_float32
        self._push = runner.at_precision(self._fusion.push, reduced)
        self._call = runner.make_caller()
        self._step = runner.prepare(self._push_from_state, reduced)
        self._state: State | None = None
        self._shape: torch.Size | None = None  # of the features
        self._stateless = runner.execution.compile or runner.execution.cuda_graphs

    def push(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features 1 x C x h x w of the next frame in; as of :class:`StreamFusion`."""
        if self._state is not None:
            fused, share, *state = self._call(self._step, features, *self._state)
            self._state = tuple(state)
            return fused, share
        fused, share = self._push(features)
        if self._stateless:
            if features.shape != self._shape:  # what was recorded uses tensors of that size
                self._call, self._shape = self._runner.make_caller(), features.shape
            self._state = tuple(x.clone() for x in self._fusion.state())
        return fused, share

    def reset(self) -> None:
        """Forget all frames."""
        self._fusion.reset()
        self._state = None

    def _push_from_state(self, features: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        self._fusion.resume(state, (features.shape[-2], features.shape[-1]))
        return (*self._fusion.push(features), *self._fusion.state())


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


_runners: WeakKeyDictionary[BundledSegmenter, dict[Execution, Runner]] = WeakKeyDictionary()


@torch.inference_mode()
def shared_runner(model: BundledSegmenter, execution: Execution) -> Runner:
    """What runs a model; one for each way to run it, however many streams ask for it.

    Warns, once, of a precision that the model's labels were not checked in.

    Raises:
        ValueError: the model's device cannot do it.
    """
    execution = execution.on(next(model.parameters()).device)
    runners = _runners.setdefault(model, {})
    if execution not in runners:
        if execution.precision not in model.info.checked:
            warnings.warn(
                f"model {model.info.name!r} runs in {execution.precision}; its labels were checked "
                f"in {', '.join(model.info.checked)} alone (model.yaml: checked)",
                stacklevel=3,
            )
        runners[execution] = Runner(model, execution)
    return runners[execution]


@torch.inference_mode()
def swap_memory(model: BundledSegmenter, bank: MemoryBank) -> None:
    """Use another memory bank in all streams of a model, from their next frame on.

    ``load_memory`` checks that it fits.
    """
    assert model.mar is not None
    model.mar.keys.copy_(bank.keys)
    model.mar.values.copy_(bank.values)
    for runner in _runners.get(model, {}).values():
        runner.core.fold_memory()
