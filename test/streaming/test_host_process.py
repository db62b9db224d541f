"""A stream that is pushed changes nothing of the process it is pushed in."""

import functools
import importlib
import json
import pkgutil
import subprocess
import sys
import types
from inspect import signature
from typing import Any

import pytest
import torch

import stmem_ros.model
import stmem_ros.streaming
from stmem_ros.streaming.kernels import folded_convolutions
from stmem_ros.streaming.kernels.cuda_graph import collect_recorded

HOST = """
import ctypes, json, os, signal, sys, warnings
import cv2, numpy, torch

# torch 2.1 loads sympy at once, 2.2 when a module is made without weights.
torch.nn.Linear(1, 1, device="meta")
loaded = set(sys.modules)

symbols = []
look_up = ctypes.CDLL.__getattr__

def spy(library, name):
    symbols.append(name)
    return look_up(library, name)

ctypes.CDLL.__getattr__ = spy

def settings():
    backends = torch.backends
    return {
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads(), cv2.getNumThreads()],
        "optimised": [cv2.useOptimized(), cv2.ocl.useOpenCL()],
        "mkldnn": [backends.mkldnn.enabled, getattr(backends.mkldnn, "deterministic", None)],
        "cudnn": [backends.cudnn.enabled, backends.cudnn.benchmark, backends.cudnn.deterministic],
        "attention": [backends.cuda.flash_sdp_enabled(), backends.cuda.math_sdp_enabled()],
        "precision": [torch.get_float32_matmul_precision(), str(torch.get_default_dtype())],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gradients": [torch.is_grad_enabled(), torch.is_inference_mode_enabled()],
        "random": [torch.initial_seed(), torch.get_rng_state().tolist()],
        "numpy": numpy.geterr(),
        "warnings": [str(entry) for entry in warnings.filters],
        "signals": [str(signal.getsignal(s)) for s in sorted(signal.valid_signals())],
        "environment": dict(os.environ),
    }

before = settings()
from stmem_ros.model.bundle import load_bundle
from stmem_ros.streaming.kernels.allocator import keep_freed_memory
from stmem_ros.streaming.segmenter import StreamingSegmenter, push_together

image = numpy.zeros((520, 520, 3), numpy.uint8)  # 2^18 pixels and more
model = load_bundle(sys.argv[1], "cpu")
before["random"] = settings()["random"]  # a network that is built draws weights
streams = [StreamingSegmenter(model) for _ in range(2)]
streams[0].push(image, 0.0)
push_together(streams, [image, image], [0.1, 0.1])
compilers = sorted({"sympy", "torch._dynamo"} & set(sys.modules) - loaded)
after = settings()
pushed = "mallopt" in symbols
keep_freed_memory()
changed = [name for name in before if before[name] != after[name]]
told = {"changed": changed, "pushed": pushed, "asked": "mallopt" in symbols, "compilers": compilers}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What a process that loads the shipped model and pushes images tells of itself."""
    command = [sys.executable, "-c", HOST, "onboard"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_push_changes_no_setting_and_no_allocator(told: dict[str, Any]) -> None:
    assert told["changed"] == []
    assert told["pushed"] is False
    assert told["asked"] is (sys.platform == "linux")


def test_a_stream_loads_no_compiler(told: dict[str, Any]) -> None:
    """It takes a second and 90 MB."""
    assert told["compilers"] == []


def modules(package: types.ModuleType) -> list[types.ModuleType]:
    infos = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    return [importlib.import_module(info.name) for info in infos]


@pytest.mark.parametrize("package", [stmem_ros.model, stmem_ros.streaming])
def test_caches_are_bounded(package: types.ModuleType) -> None:
    for module in modules(package):
        for name, value in vars(module).items():
            if isinstance(value, functools._lru_cache_wrapper) and signature(value).parameters:
                assert value.cache_parameters()["maxsize"], f"{module.__name__}.{name}"


def test_a_recording_keeps_the_constants_that_it_reads() -> None:
    """Also those that the cache, which is bounded, has forgotten."""
    folded_convolutions._shifted_resize(2, 5, torch.zeros(1))
    with collect_recorded() as constants:
        constant = folded_convolutions._shifted_resize(3, 5, torch.zeros(1))
    folded_convolutions._shifted_resize(6, 5, torch.zeros(1))
    assert [x is constant for x in constants] == [True]
