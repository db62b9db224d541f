"""``stmem doctor`` finds what is well and what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stmem_ros.commands.doctor import (
    check_libraries,
    check_security,
    what_libraries_print_on_stderr,
)
from stmem_ros.online.middleware import fast_dds_profile

pytestmark = pytest.mark.usefixtures("ros_domain")


def doctor(*arguments: object, **environment: str) -> tuple[int, dict[str, dict]]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "stmem_ros.commands.stmem",
            "doctor",
            "--json",
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | environment,
    )
    return done.returncode, {f["name"]: f for f in json.loads(done.stdout)}


def test_large_images_arrive_with_the_package_s_profile(
    small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(fast_dds_profile())
    code, findings = doctor("--model", small_bundle, "--size", "1280x720")
    images = findings["images of 1280 x 720 between processes"]
    assert images["ok"], images
    assert "fastdds_large_images.xml" in findings["middleware"]["advice"]
    assert code == 0 and all(f["ok"] for f in findings.values()), findings
    assert "rmw_fastrtps_cpp" in findings["ROS 2"]["seen"]


def test_lost_images_and_a_missing_model_are_found_with_advice() -> None:
    code, findings = doctor("--model", "nonesuch", "--size", "1280x720", **{fast_dds_profile(): ""})
    images = findings["images of 1280 x 720 between processes"]
    assert not images["ok"] and "docs/middleware.md" in images["advice"]
    assert not findings["model"]["ok"] and "nonesuch" in findings["model"]["seen"]
    assert code == 1


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"ROS_SECURITY_ENABLE": "1"}, "ROS_SECURITY_ENABLE"),
        ({"ROS_SECURITY_ENABLE": "true"}, "ROS_SECURITY_KEYSTORE"),
        ({"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_KEYSTORE": "{keys}"}, "/stmem/doctor"),
    ],
)
def test_security_that_is_asked_for_and_is_not_there_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    (tmp_path / "enclaves" / "stmem" / "doctor").mkdir(parents=True)  # without keys
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(keys=tmp_path))
    finding = check_security()
    assert not finding.ok and finding.advice
    assert named in finding.seen


def test_a_network_without_security_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_SECURITY_ENABLE", raising=False)
    finding = check_security()
    assert finding.ok and finding.seen.startswith("off")


@pytest.mark.parametrize(
    ("module", "text", "named"),
    [
        ("cv2", "raise ImportError('numpy.core.multiarray failed to import')", "OpenCV"),
        ("torch", "raise ImportError('libtorch.so is damaged')", "torch"),
        ("pyarrow", "raise ImportError('pyarrow requires NumPy 2.0 or newer')", "pyarrow"),
    ],
)
def test_libraries_that_do_not_fit_are_named_with_the_line_that_mends_it(
    tmp_path: Path, module: str, text: str, named: str
) -> None:
    (tmp_path / f"{module}.py").write_text(text + "\n")
    code = (
        "from stmem_ros.commands.stmem import build_parser; build_parser(['doctor']);"
        "from stmem_ros.commands.doctor import check_libraries; import json, dataclasses;"
        "print(json.dumps(dataclasses.asdict(check_libraries())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    finding = json.loads(done.stdout)
    assert not finding["ok"] and named in finding["seen"]
    assert "pip install" in finding["advice"]


def test_a_machine_without_ros_is_told_in_findings(tmp_path: Path) -> None:
    (tmp_path / "rclpy.py").write_text("raise ModuleNotFoundError('No module named rclpy')\n")
    code, findings = doctor(PYTHONPATH=str(tmp_path))
    assert code == 1
    assert {name for name, f in findings.items() if not f["ok"]} == {
        "ROS 2", "middleware", "security", "images of 1280 x 720 between processes"
    }  # fmt: skip


def test_libraries_that_fit_are_told() -> None:
    finding = check_libraries()
    assert finding.ok and "NumPy" in finding.seen and "torch" in finding.seen


def test_what_a_library_prints_is_kept_out_of_the_findings(capfd: pytest.CaptureFixture) -> None:
    with what_libraries_print_on_stderr():
        os.write(1, b"of a library")
    os.write(1, b"of the doctor")
    printed = capfd.readouterr()
    assert printed.out == "of the doctor" and printed.err == "of a library"
