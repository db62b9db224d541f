"""What this machine's GPU makes of the package: `make gpu-check`, at most eight minutes.

It runs the tests that skip without a GPU, times the network in all the ways it can be run, the node
beside it, training and memory building, and ONNX Runtime where it is installed. It needs a torch
with CUDA and this repository; what else is missing is named. It leaves `gpu_check.json` and
`gpu_check.html` in the folder `--out`. `--dry-run` takes every step on the CPU, at small sizes.
"""

from __future__ import annotations

import argparse
import html
import itertools
import json
import os
import platform
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from stmem_ros.bench.ceiling import Rates, count_work, measure_rates, stage_limits, wait_for  # noqa: E402
from stmem_ros.bench.core import STAGES, load_model, run_plain, scrolling  # noqa: E402
from stmem_ros.model.bundle import load_bundle, resolve_device  # noqa: E402
from stmem_ros.streaming.execution import Execution  # noqa: E402
from stmem_ros.streaming.segmenter import StreamingSegmenter, push_together  # noqa: E402

SECONDS = 480.0  # of all steps
TEST_SECONDS = 150.0  # of the tests
FRAMES = 30  # that are timed of a case
# Jetson AGX Orin 64 GB, as its data sheet has it: dense float16 products, and memory.
ORIN = Rates(flops=42.5e12, bytes=204.8e9)
AIMS = {  # on one H200
    "onboard 720x1280, 4 cameras, frames a second": (">=", 400.0),
    "onboard 720x1280 alone, ms": ("<=", 4.0),
    "psp50 1024x2048, frames a second": (">=", 60.0),
    "onboard 720x1280, 4 cameras, GPU memory, MB": ("<=", 1500.0),
    "node at 30 Hz, image to label, pushes": ("<=", 1.1),
}


@dataclass(frozen=True)
class Case:
    """One way to run a network."""

    model: str
    size: tuple[int, int]
    execution: Execution
    cameras: int = 1

    @property
    def name(self) -> str:
        how = [name for name in ("compile", "cuda_graphs") if getattr(self.execution, name)]
        size = "x".join(map(str, self.size))
        return " ".join([self.model, size, self.execution.precision, *how, f"x{self.cameras}"])


@dataclass
class Check:
    """What is known while the steps run."""

    device: torch.device
    dry: bool
    out: Path
    started: float

    @property
    def left(self) -> float:
        """Seconds."""
        return SECONDS - (time.monotonic() - self.started)


def about(check: Check) -> dict[str, Any]:
    """The machine and its libraries."""
    gpu = check.device.type == "cuda"
    names = ("torch", "numpy", "onnxruntime-gpu", "tensorrt", "triton")
    return {
        "device": torch.cuda.get_device_name(check.device) if gpu else platform.processor(),
        "CUDA of torch": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if gpu else None,
        **{name: _version(name) for name in names},
    }


def gpu_tests(check: Check) -> dict[str, Any]:
    """The tests that skip without a GPU; on a CPU those of the same file that do not."""
    if find_spec("pytest") is None:
        return {"left out": "pytest is not installed"}
    names = "gpu_form and scales" if check.dry else "cuda or graphs or precision or cameras"
    files = ["test/streaming/test_gpu_form.py", "test/streaming/test_execution.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-k", names, *files]
    if find_spec("xdist") is None:
        command.remove("-n")
        command.remove("0")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TEST_SECONDS)
    lines = done.stdout.strip().splitlines()
    return {"passed": done.returncode == 0, "result": lines[-1] if lines else done.stderr[-300:]}


def cases(check: Check) -> Iterator[Case]:
    """What is timed, the most telling first."""
    if check.dry:
        executions = [Execution("float32"), Execution("bfloat16")]
        for execution in executions:
            yield Case("onboard", (64, 96), execution)
        yield Case("onboard", (64, 96), executions[0], 2)
        return
    half = Execution("float16")
    graphs = Execution("float16", cuda_graphs=True)
    large, small, full = (720, 1280), (360, 480), (1080, 1920)
    for execution in (graphs, half):
        yield Case("onboard", large, execution)
        yield Case("onboard", large, execution, 4)
    yield Case("psp50", (1024, 2048), half)
    yield Case("psp50", (512, 1024), half)
    for size, cameras in itertools.product((small, full), (1, 4)):
        yield Case("onboard", size, graphs, cameras)
    for cameras in (2, 6):
        yield Case("onboard", large, graphs, cameras)
    for precision in ("bfloat16", "float32"):
        for size in (small, large, full):
            yield Case("onboard", size, Execution(precision))
        yield Case("psp50", (512, 1024), Execution(precision))
    yield Case("psp50", (1024, 2048), Execution("bfloat16"))
    yield Case("onboard", large, Execution("float16", compile=True))


def core(check: Check) -> dict[str, Any]:
    """Each case: ms a push, frames a second, GPU memory, stages beside their limits."""
    rates = {p: measure_rates(check.device, p) for p in ("float32", "float16", "bfloat16")}
    found: dict[str, Any] = {"rates": {name: asdict(r) for name, r in rates.items()}}
    for case in cases(check):
        if check.left < 120:
            found[case.name] = {"left out": "no time was left"}
            continue
        try:
            found[case.name] = _time_case(check, case, rates[case.execution.precision])
        except (RuntimeError, ValueError) as error:
            found[case.name] = {"failed": _one_line(error)}
    return found


def _time_case(check: Check, case: Case, rates: Rates) -> dict[str, Any]:
    model = load_model(case.model, str(check.device))
    gpu = check.device.type == "cuda"
    if gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(check.device)
    streams = [StreamingSegmenter(model, 1e9, None, case.execution) for _ in range(case.cameras)]
    frames = 3 if check.dry else FRAMES
    warm = model.architecture.window + 2
    images = scrolling(warm + frames, case.size)
    seconds, stages = [], []
    for i, image in enumerate(images):
        wait_for(check.device)
        started = time.perf_counter()
        results = push_together(streams, [image] * case.cameras, [i / 10] * case.cameras)
        if i >= warm:
            seconds.append(time.perf_counter() - started)
            stages.append(results[0].timings)
    work = count_work(model, case.size, case.execution.precision)
    limits = stage_limits(work, rates)
    orin = stage_limits(work, ORIN)
    ms = {s: 1e3 * float(np.median([getattr(t, s) for t in stages])) for s in STAGES}
    # As far from the limits there as here, stage by stage.
    estimate = sum(orin[s].ms * max(1.0, ms[s] / case.cameras / limits[s].ms) for s in STAGES)
    push = float(np.median(seconds))
    return {
        "ms": 1e3 * push,
        "frames a second": case.cameras / push,
        "GPU MB": torch.cuda.max_memory_allocated(check.device) / 2**20 if gpu else None,
        "stages ms": ms,
        "limits ms": {s: limits[s].ms * case.cameras for s in STAGES},
        "AGX Orin, estimated ms a frame": estimate,
    }


def labels(check: Check) -> dict[str, Any]:
    """Labels of the stream beside those of the plain form in float32 on the CPU."""
    exact = load_bundle("onboard", "cpu")
    window = exact.architecture.window
    images = scrolling(window + 2, (96, 128) if check.dry else (360, 480))
    found = {}
    for precision in ("float32", "float16", "bfloat16"):
        model = load_bundle("onboard", str(check.device))
        stream = StreamingSegmenter(model, 1e9, None, Execution(precision))
        pushed = [stream.push(image, i / 10).label for i, image in enumerate(images)]
        wanted, _ = run_plain(exact, images[-window:])
        found[precision] = {"equal labels": float((pushed[-1] == wanted).mean())}
    return found


def node(check: Check) -> dict[str, Any]:
    """The node beside the bare push, at 30 and 60 Hz."""
    if find_spec("rclpy") is None:
        return {"left out": "rclpy is not installed"}
    found: dict[str, Any] = {}
    rates, size, seconds = ((2,), "96x64", 6) if check.dry else ((30, 60), "1280x720", 12)
    for rate in rates:
        file = check.out / "node.json"
        command = [sys.executable, "-m", "stmem_ros.commands.stmem", "bench", "node"]
        command += ["--rate", str(rate), "--size", size, "--seconds", str(seconds)]
        command += ["--device", str(check.device), "--force", "--json", str(file)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90)
        if done.returncode:
            found[f"{rate} Hz"] = {"failed": done.stderr.strip().splitlines()[-1:]}
            continue
        times = json.loads(file.read_text())
        file.unlink()
        keys = ("push_ms", "latency_p50_ms", "latency_p95_ms", "sent", "dropped", "lost")
        found[f"{rate} Hz"] = {key: times[key] for key in keys}
        found[f"{rate} Hz"]["pushes"] = times["latency_p50_ms"] / times["push_ms"]
    return found


def training(check: Check) -> dict[str, Any]:
    """A step of the frame stage, and a frame of the memory builder."""
    if find_spec("tensorboard") is None:
        return {"left out": "tensorboard is not installed (the extra train)"}
    from stmem_ros.model.segmenter import PRESETS, Segmenter
    from stmem_ros.training.config import StageConfig
    from stmem_ros.training.label_loss import LabelLoss
    from stmem_ros.training.loop import _optimiser
    from stmem_ros.training.losses import batch_loss
    from stmem_ros.training.processes import TrainingProcess
    from stmem_ros.training.stage_network import StageNetwork

    count, height, width = (2, 64, 96) if check.dry else (16, 360, 480)
    process = TrainingProcess(0, 1, check.device)
    model = Segmenter(replace(PRESETS["onboard"], stf=False, mar=False)).to(check.device)
    network, settings = StageNetwork(model, "frame"), StageConfig(1, count, 1e-3)
    loss_of = LabelLoss(torch.ones(11), torch.eye(11, dtype=torch.bool)).to(check.device)
    optimiser = _optimiser(network.train(), settings)
    batch = [
        torch.randint(0, 256, (count, 1, height, width, 3), dtype=torch.uint8),
        torch.randint(0, 11, (count, height, width), dtype=torch.uint8),
        torch.zeros(count, height, width, 2),
    ]
    seconds = []
    for _ in range(2 if check.dry else 12):
        wait_for(check.device)
        started = time.perf_counter()
        loss = batch_loss(network, model, batch, loss_of, process, settings, not check.dry)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        wait_for(check.device)
        seconds.append(time.perf_counter() - started)
    return {
        "step": {"images": count, "ms": 1e3 * min(seconds), "loss": float(loss.detach())},
        "memory": _memory_builder(check, (height, width)),
    }


def _memory_builder(check: Check, size: tuple[int, int]) -> dict[str, Any]:
    from stmem_ros.training.memory_builder import MEAN, build_memory
    from stmem_ros.training.samples import Sample

    model = load_bundle("onboard", str(check.device))
    images = scrolling(6, size)
    window = model.architecture.window
    label = np.zeros(size, np.uint8)
    samples: Any = [Sample(np.stack(images[i : i + window]), label) for i in range(2)]
    started = time.perf_counter()
    build_memory(model, samples, MEAN)
    return {"ms a frame": 1e3 * (time.perf_counter() - started) / len(samples)}


def onnx(check: Check) -> dict[str, Any]:
    """The exported step in ONNX Runtime, by each of its providers that is there."""
    missing = [n for n in ("onnxruntime", "onnx", "onnxscript") if find_spec(n) is None]
    if missing:
        return {"left out": f"not installed: {', '.join(missing)}"}
    import onnxruntime

    from stmem_ros.streaming.onnx_export import export_onnx

    names = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    there = [n for n in names if n in onnxruntime.get_available_providers()]
    if check.dry:
        there = ["CPUExecutionProvider"]
    if not there:
        return {"left out": "ONNX Runtime has neither CUDA nor TensorRT here"}
    size = (80, 120) if check.dry else (360, 480)
    found: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "step.onnx"
        export_onnx(load_bundle("onboard", "cpu"), size, path)
        for provider in there:
            session = onnxruntime.InferenceSession(path, providers=[provider])
            inputs = {
                i.name: np.zeros(i.shape, np.uint8 if i.name == "image" else np.float32)
                for i in session.get_inputs()
            }
            seconds = []
            for _ in range(3 if check.dry else FRAMES):
                started = time.perf_counter()
                session.run(None, inputs)
                seconds.append(time.perf_counter() - started)
            found[provider] = {"ms": 1e3 * float(np.median(seconds))}
    return found


STEPS: tuple[Callable[[Check], dict[str, Any]], ...] = (
    about, labels, gpu_tests, core, training, node, onnx,
)  # fmt: skip


def aims(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What was aimed at beside what was seen; None where it was not measured."""
    case = "onboard 720x1280 float16 cuda_graphs x"
    core_found, node_found = found["core"], found["node"]
    seen = {
        "onboard 720x1280, 4 cameras, frames a second": (f"{case}4", "frames a second"),
        "onboard 720x1280 alone, ms": (f"{case}1", "ms"),
        "psp50 1024x2048, frames a second": ("psp50 1024x2048 float16 x1", "frames a second"),
        "onboard 720x1280, 4 cameras, GPU memory, MB": (f"{case}4", "GPU MB"),
    }
    values = {aim: core_found.get(name, {}).get(key) for aim, (name, key) in seen.items()}
    values["node at 30 Hz, image to label, pushes"] = node_found.get("30 Hz", {}).get("pushes")
    rows = {}
    for aim, (sign, limit) in AIMS.items():
        value = values[aim]
        reached = None if value is None else (value >= limit if sign == ">=" else value <= limit)
        rows[aim] = {"aim": f"{sign} {limit:g}", "seen": value, "reached": reached}
    return rows


def failures(found: dict[str, Any]) -> list[str]:
    """Steps, and parts of them, that failed."""
    names = []
    for name, content in found.items():
        if isinstance(content, dict):
            inner = [f"{name}: {part}" for part in failures(content)]
            names += inner or [name] * ("failed" in content or content.get("passed") is False)
    return names


def page(found: dict[str, Any]) -> str:
    """All that was found, as a page."""
    parts = [f"<h2>{html.escape(step)}</h2>{_table(content)}" for step, content in found.items()]
    style = "body{font:15px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left}"
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>GPU check</title>"
        f"<style>{style}tr:nth-child(even){{background:#eee}}</style><h1>GPU check</h1>"
        f"{''.join(parts)}</html>\n"
    )


def _table(content: Any) -> str:
    if not isinstance(content, dict):
        return html.escape(f"{content:.3g}" if isinstance(content, float) else str(content))
    rows = (
        f"<tr><th>{html.escape(str(key))}</th><td>{_table(value)}</td></tr>"
        for key, value in content.items()
    )
    return f"<table>{''.join(rows)}</table>"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-check")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, at small sizes")
    options = parser.parse_args()
    if not options.dry_run and not torch.cuda.is_available():
        print("gpu_check: torch sees no CUDA GPU here; --dry-run takes all steps on the CPU")
        return 1
    warnings.simplefilter("ignore", UserWarning)  # of precisions that were not checked
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    device = resolve_device("cpu" if options.dry_run else "cuda:0")
    check = Check(device, options.dry_run, options.out, time.monotonic())
    found: dict[str, Any] = {}
    for step in STEPS:
        started = time.monotonic()
        try:
            if check.left <= 0:
                found[step.__name__] = {"left out": "no time was left"}
                continue
            found[step.__name__] = step(check)
        except Exception as error:  # the other steps are worth having
            traceback.print_exc()
            found[step.__name__] = {"failed": _one_line(error)}
        print(f"{step.__name__}: {time.monotonic() - started:.0f} s", flush=True)
        (options.out / "gpu_check.json").write_text(json.dumps(found, indent=1))
    found["aims"] = aims(found)
    (options.out / "gpu_check.json").write_text(json.dumps(found, indent=1))
    (options.out / "gpu_check.html").write_text(page(found))
    failed = failures(found)
    print(f"{options.out / 'gpu_check.html'}" + (f"; failed: {', '.join(failed)}" * bool(failed)))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
