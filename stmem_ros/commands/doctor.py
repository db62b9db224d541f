"""``stmem doctor``: is everything there, and do images get through?"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from stmem_ros.commands.errors import CommandError
from stmem_ros.error_text import error_text
from stmem_ros.node.security import (
    ENABLE,
    ENCLAVE,
    KEYSTORE,
    STRATEGY,
    UNPROTECTED,
    SecurityError,
    Strategy,
    asked_security,
)

if TYPE_CHECKING:
    from stmem_ros.online.image_probe import ProbeResult


LISTENING = 2.0  # s that topics are listened to


@dataclass(frozen=True)
class Finding:
    """One thing that was checked: its name, whether it is well, what was seen, what to do."""

    name: str
    ok: bool
    seen: str
    advice: str = ""


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "doctor",
        help="check Python, ROS, middleware, torch and the model",
        epilog="example: stmem doctor --size 1920x1080",
    )
    parser.add_argument("--size", default="1280x720", help="camera image, WIDTHxHEIGHT")
    parser.add_argument("--model", default="onboard", help="shipped bundle or a bundle's folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--graph",
        action="store_true",
        help="instead, look at the topics of the running system: which cameras there are, which "
        "one the node would be given, and the command that does it",
    )
    parser.set_defaults(run_command=run)


def run(options: argparse.Namespace) -> int:
    try:
        width, height = (int(v) for v in options.size.split("x"))
    except ValueError as error:
        raise CommandError(f"--size is {options.size!r}; it must be WIDTHxHEIGHT") from error
    checks: list[Callable[[], Finding]] = (
        [check_graph]
        if options.graph
        else [
            check_python,
            check_ros,
            check_messages,
            check_security,
            check_middleware,
            check_libraries,
            check_torch,
            lambda: check_model(options.model),
            lambda: check_images(width, height),
        ]
    )
    findings = []
    for check in checks:
        with what_libraries_print_on_stderr():
            finding = check()
        findings.append(finding)
        if not options.json:
            print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}: {finding.seen}", flush=True)
            if finding.advice:
                print(f"     -> {finding.advice}")
    if options.json:
        print(json.dumps([dataclasses.asdict(f) for f in findings], indent=1))
    return 0 if all(f.ok for f in findings) else 1


@contextmanager
def what_libraries_print_on_stderr() -> Iterator[None]:
    """Keep standard output for the findings: Fast DDS 2 prints faults of its profile there."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def check_graph() -> Finding:
    try:
        from stmem_ros.online.graph import look_at_graph
    except ImportError as error:
        return Finding("cameras", False, str(error), "source ROS 2's setup.bash")
    graph = look_at_graph(LISTENING)
    there = "\n     ".join(graph.lines) or "no topics with images"
    if graph.image is None:
        return Finding("cameras", False, there, graph.problem)
    return Finding("cameras", True, there, f"{graph.image.name} would be taken: {graph.command}")


def check_python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 10)
    return Finding("Python", ok, version, "" if ok else "use Python 3.10 or newer")


def check_ros() -> Finding:
    try:
        from stmem_ros.online.environment import installed_helpers, middleware_name

        middleware = middleware_name()
    except ImportError as error:
        return Finding("ROS 2", False, str(error), "source ROS 2's setup.bash, or run make demo")
    helpers = ", ".join(installed_helpers()) or "no helpers (stand-ins are used)"
    return Finding("ROS 2", True, f"rclpy with {middleware}; {helpers}")


def check_messages() -> Finding:
    try:
        for name in ("stmem_ros.msg", "tf2_msgs.msg"):
            import_module(name)
    except ImportError as error:
        return Finding("messages", False, str(error), "build them: colcon build, or pip install .")
    return Finding("messages", True, "stmem_ros.msg and tf2_msgs.msg import")


def check_security() -> Finding:
    name = "security"
    try:
        from stmem_ros.online.security_probe import ignores_security, refusal
    except ImportError as error:
        return Finding(name, False, str(error), "ROS 2 is not there")
    try:
        strategy = asked_security()
    except SecurityError as error:
        return Finding(name, False, str(error), "nothing is protected; mend the variable")
    if strategy is None:
        seen = "off: whoever is on the network publishes images and reads labels"
        return Finding(name, True, seen)
    if ignores_security():
        seen = "the middleware ignores it, and makes nodes without keys"
        return Finding(name, False, seen, "nothing is protected; use another RMW_IMPLEMENTATION")
    enclave = os.environ.get(ENCLAVE, "/stmem/doctor")
    if reason := refusal(Path(os.environ[KEYSTORE]), enclave):
        seen = f"no node can be made in enclave {enclave}: {reason}"
        return Finding(name, False, seen, "docs/security.md says what security needs")
    if strategy is not Strategy.ENFORCE:
        return Finding(name, False, UNPROTECTED, f"export {STRATEGY}={Strategy.ENFORCE.value}")
    return Finding(name, True, f"on and enforced: a node was made in enclave {enclave}")


def check_libraries() -> Finding:
    """Whether NumPy and what was compiled for one of its releases fit together."""
    name = "libraries"
    try:
        import numpy as np
    except ImportError as error:
        return Finding(name, False, str(error), "pip install numpy")
    seen, broken = [f"NumPy {np.__version__}"], []
    for library, use in (("OpenCV", _use_opencv), ("torch", _use_torch), ("pyarrow", _use_pyarrow)):
        try:
            seen.append(f"{library} {use()}")
        except ModuleNotFoundError as error:
            if library != "pyarrow":  # which `stmem evaluate` alone needs
                broken.append(f"{library} is missing ({error})")
        except (ImportError, AttributeError, RuntimeError) as error:
            broken.append(f"{library} does not fit: {error_text(error, 200)}")
    advice = ""
    if broken:
        is_new = int(np.__version__.split(".")[0]) >= 2
        mend = '"numpy<2"' if is_new else '"opencv-python-headless<4.11" "pyarrow<21"'
        advice = f"in the environment of this Python ({sys.prefix}): pip install {mend}"
    return Finding(name, not broken, "; ".join([*broken, ", ".join(seen)]), advice)


def _use_opencv() -> str:
    import cv2
    import numpy as np

    cv2.cvtColor(np.zeros((2, 2, 3), np.uint8), cv2.COLOR_RGB2GRAY)
    return cv2.__version__


def _use_torch() -> str:
    import numpy as np
    import torch

    torch.from_numpy(np.zeros(2)).numpy()
    return torch.__version__


def _use_pyarrow() -> str:
    import pyarrow
    import pyarrow.parquet

    return pyarrow.__version__


def check_torch() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("torch", False, str(error), "install torch")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    seen = f"{torch.__version__}, {', '.join(gpus) or 'no CUDA device'}, "
    return Finding("torch", True, seen + f"{torch.get_num_threads()} CPU threads")


def check_model(name: str) -> Finding:
    from stmem_ros.model.bundle import load_bundle

    try:
        model = load_bundle(name, "cpu")
    except ValueError as error:
        return Finding("model", False, str(error), "name a shipped bundle or a bundle's folder")
    count = sum(p.numel() for p in model.parameters()) / 1e6
    return Finding("model", True, f"{model.info.name}, {count:.1f} M parameters")


def check_middleware() -> Finding:
    try:
        from stmem_ros.online.environment import middleware_name
        from stmem_ros.online.middleware import transport

        middleware = middleware_name()
    except ImportError as error:
        return Finding("middleware", False, str(error), "ROS 2 is not there")
    found = transport(middleware)
    return Finding("middleware", found.ok, f"{middleware}: {found.text}", found.advice)


def check_images(width: int, height: int) -> Finding:
    name = f"images of {width} x {height} between processes"
    try:
        from stmem_ros.online.environment import private_environment
        from stmem_ros.online.image_probe import probe
    except ImportError as error:
        return Finding(name, False, str(error), "ROS 2 is not there")
    is_secure = os.environ.get(ENABLE) == "true"
    os.environ[ENABLE] = "false"  # no enclave has permissions for the domain chosen here
    with TemporaryDirectory() as logs:
        os.environ.update(private_environment(Path(logs)))
        try:
            results = {
                "best effort": probe(width, height, reliable=False),
                "reliable": probe(width, height, reliable=True),
            }
        except RuntimeError as error:
            advice = "processes are not connected in time; docs/middleware.md says what to set"
            return Finding(name, False, str(error), advice)
    seen = "; ".join(f"{kind} {_arrived(r)}" for kind, r in results.items())
    if is_secure:
        seen += " (without security)"
    ok = results["best effort"].received >= 0.9 * results["best effort"].sent
    advice = "" if ok else "docs/middleware.md says what to set; or image_reliability: reliable"
    return Finding(name, ok, seen, advice)


def _arrived(result: ProbeResult) -> str:
    if not result.received:
        return f"0/{result.sent}"
    return (
        f"{result.received}/{result.sent}, median {result.median_ms:.1f} ms, "
        f"worst {result.worst_ms:.1f} ms"
    )
