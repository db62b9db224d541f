"""How a stream's network is run: precision, compilation, CUDA graphs.

None of it changes what is computed but for rounding. The channels lie innermost in memory whatever
is chosen (stmem_ros.model.segmenter).
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor

from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.memory import MemoryBank
from stmem_ros.streaming.core import Kernels, StreamingCore
from stmem_ros.streaming.fusion_batch import FusionBatch, Remembered
from stmem_ros.streaming.int8_features import open_int8_features
from stmem_ros.streaming.kernels.chunks import joined
from stmem_ros.streaming.kernels.cuda_graph import CudaGraphs

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = ("auto", *DTYPES)
FLOAT16_ON_CPU = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 3)


@dataclass(frozen=True)
class Execution:
    """How the network is run.

    Attributes:
        precision: of backbone, head and the published STF: ``float32``, ``bfloat16``, ``float16``,
            or ``auto``, float32 on a CPU and float16 on a GPU. A CPU computes so what gains by it
            (autocast), a GPU all of it. What costs little and decides the labels stays float32:
            places of an aligned fusion, MAR, scores.
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
        if self.precision == "float16" and device.type == "cpu" and not FLOAT16_ON_CPU:
            raise ValueError(
                f"precision is 'float16' on device 'cpu'; that takes torch 2.3 or newer, and this "
                f"is {torch.__version__}: take float32 or bfloat16"
            )
        if self.precision != "auto":
            return self
        return replace(self, precision="float16" if device.type == "cuda" else "float32")


class Runner:
    """The network of all streams of a model, run as an execution says: a :func:`shared_runner`."""

    def __init__(self, model: BundledSegmenter, execution: Execution) -> None:
        self.execution = execution
        self.device = next(model.parameters()).device
        self._on_gpu = is_gpu(self.device)
        # Streams share what is compiled, and results of graphs lie where the next frame's will:
        # threads take turns.
        shares = self._on_gpu or execution.compile
        self.turn: AbstractContextManager = threading.RLock() if shares else nullcontext()
        self.core = _core(model, execution, self._on_gpu)
        self._call: Callable[..., Any] = CudaGraphs() if execution.cuda_graphs else _call
        self._features = self.prepare(self.core.features, reduced=True)
        self._int8_features = None
        if model.int8_features is not None and _is_plain(execution, self._on_gpu):
            self._int8_features = open_int8_features(model)
        self._refine = self.prepare(self.core.refine, reduced=False)
        self._decode = self.prepare(self.core.decode, reduced=False)
        self._streams: WeakSet[RunnerFusion] = WeakSet()
        self._batch = self._make_batch() if shares else None

    @property
    def problem(self) -> str:
        """Why it is not run as the execution says, which a warning told; empty if it is."""
        return self._call.problem if isinstance(self._call, CudaGraphs) else ""

    def features(self, images: Tensor) -> Tensor:
        """Normalised images N x 3 x H x W to features N x C x h x w.

        On a CPU, in float32 and not compiled, by the int8 graph of a quantised model.
        """
        if self._int8_features is not None:
            features = self._int8_features(images)
            if features is not None:
                return features
        with self._settings():
            return self._call(self._features, images)

    def fusion(self) -> RunnerFusion:
        """The temporal fusion of a new stream."""
        fusion = self.core.fusion()
        alone = self.at_precision(fusion.push, not fusion.needs_float32)
        stream = RunnerFusion(fusion.reset, alone, self._batch)
        self._streams.add(stream)
        return stream

    def fuse(self, fusions: Sequence[RunnerFusion], features: Tensor) -> tuple[Tensor, Tensor]:
        """Features N x C x h x w of the next frames of N streams; as of :class:`StreamFusion`."""
        if self._on_gpu and self._batch is not None:
            with self._settings():
                return self._batch.push(fusions, features)
        pairs = zip(fusions, features.split(1), strict=True)
        fused, shares = zip(*(fusion.push(x) for fusion, x in pairs), strict=True)
        return joined(list(fused)), torch.cat(shares)

    def refine(self, fused: Tensor) -> Tensor:
        """Fused features to refined ones, N x C x h x w."""
        with self._settings():
            return self._call(self._refine, fused)

    def decode(self, refined: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Labels uint8 and probabilities, N x H x W, of refined features."""
        with self._settings():
            return self._call(self._decode, refined, height, width)

    def rehearse(self, fusions: Sequence[RunnerFusion], size: tuple[int, int]) -> None:
        """On a GPU: run images of a size as often as streams of it may come together.

        The first of each number takes long, as kernels are chosen and graphs recorded; so that
        is done as a stream's first image comes, and not on the road.
        """
        if not self._on_gpu:
            return
        for fusion in fusions:
            if fusion.size != size:
                fusion.size = size
                self._rehearse(sum(other.size == size for other in self._streams), size)

    def _rehearse(self, count: int, size: tuple[int, int]) -> None:
        features = self.features(torch.zeros(count, 3, *size, device=self.device))
        fused, _ = self.fuse([self.fusion() for _ in range(count)], features)
        self.decode(self.refine(fused), *size)

    def _make_batch(self) -> FusionBatch:
        fusion = self.core.fusion()
        reduced = not fusion.needs_float32
        return FusionBatch(
            fusion,
            prepare=partial(self.prepare, reduced=reduced),
            begin=partial(self.at_precision, reduced=reduced),
            call=self._call,
            streams=self._streams if self.execution.cuda_graphs else (),
        )

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
        is_cast = self._on_gpu or dtype == torch.float32  # a GPU's weights are of that type

        def run(features: Tensor, *others: Any) -> Any:
            if is_cast:
                return function(features.to(dtype), *others)
            # Each weight is used once per frame: there is nothing to cache.
            with torch.autocast(device, dtype, cache_enabled=False):
                return function(features, *others)

        return run

    def _settings(self) -> AbstractContextManager:
        """On a GPU: the fastest convolutions for each size; what is float32 is no TF32."""
        if not self._on_gpu:
            return nullcontext()
        cudnn = torch.backends.cudnn
        return cudnn.flags(
            enabled=True, benchmark=True, deterministic=cudnn.deterministic, allow_tf32=False
        )


class RunnerFusion:
    """The fusion of one stream, run as an execution says: of :meth:`Runner.fusion`.

    Attributes:
        memory: what ``batch`` remembers of the stream; None before its first frame.
        size: of its images, as far as they were rehearsed.

    Args:
        forget: what ``push_alone`` remembers.
        push_alone: goes on with one stream; where there is no ``batch``.
    """

    def __init__(
        self,
        forget: Callable[[], None],
        push_alone: Callable[[Tensor], tuple[Tensor, Tensor]],
        batch: FusionBatch | None,
    ) -> None:
        self.memory: Remembered | None = None
        self.size: tuple[int, int] | None = None
        self._forget, self._push_alone, self._batch = forget, push_alone, batch

    def push(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features 1 x C x h x w of the next frame in; as of :class:`StreamFusion`."""
        if self._batch is not None:
            return self._batch.push([self], features)
        return self._push_alone(features)

    def reset(self) -> None:
        """Forget all frames."""
        self.memory = None
        self._forget()


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def is_gpu(device: torch.device) -> bool:
    """Whether networks on a device are run as a GPU runs them best."""
    return device.type == "cuda"


def _core(model: BundledSegmenter, execution: Execution, on_gpu: bool) -> StreamingCore:
    if on_gpu:
        return StreamingCore(model, Kernels.GPU, DTYPES[execution.precision])
    # Winograd's transforms lose too many digits in less; compilers choose kernels themselves.
    plain = _is_plain(execution, on_gpu)
    return StreamingCore(model, Kernels.ONEDNN if plain else Kernels.TORCH)


def _is_plain(execution: Execution, on_gpu: bool) -> bool:
    """Whether a network runs on a CPU, in float32 and by kernels of our choice."""
    return not on_gpu and execution.precision == "float32" and not execution.compile


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
