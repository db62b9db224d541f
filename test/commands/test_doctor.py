"""``stmem doctor`` finds what is well and what is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from domain_coordinator import domain_id


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


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch):
    with domain_id() as number:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        yield


def test_large_images_arrive_with_the_package_s_profile(domain, small_bundle: Path) -> None:
    code, findings = doctor("--model", small_bundle, "--size", "1280x720")
    images = findings["images of 1280 x 720 between processes"]
    assert images["ok"] and "fastdds_large_images.xml" in images["seen"], images
    assert code == 0 and all(f["ok"] for f in findings.values()), findings
    assert "rmw_fastrtps_cpp" in findings["ROS 2"]["seen"]


def test_lost_images_and_a_missing_model_are_found_with_advice(domain) -> None:
    code, findings = doctor(
        "--model", "nonesuch", "--size", "1280x720", FASTDDS_DEFAULT_PROFILES_FILE=""
    )
    images = findings["images of 1280 x 720 between processes"]
    assert not images["ok"] and "docs/middleware.md" in images["advice"]
    assert not findings["model"]["ok"] and "nonesuch" in findings["model"]["seen"]
    assert code == 1
