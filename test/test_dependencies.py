"""What is imported is named where people install it: package.xml, pyproject.toml, the documents."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Need:
    """What provides a module: the key of rosdep, if it has one, and the project of the index."""

    rosdep: str | None
    index: str


NEEDS = {
    "PIL": Need("python3-pil", "pillow"),
    "av": Need(None, "av"),
    "backports": Need("python3-rosbags-pip", "rosbags"),  # rosbags brings it
    "cv2": Need("python3-opencv", "opencv-python-headless"),
    "jinja2": Need("python3-jinja2", "jinja2"),
    "lz4": Need("python3-rosbags-pip", "rosbags"),  # likewise
    "matplotlib": Need("python3-matplotlib", "matplotlib"),
    "numpy": Need("python3-numpy", "numpy"),
    "onnxruntime": Need(None, "onnxruntime"),
    "pyarrow": Need(None, "pyarrow"),
    "pytransform3d": Need("python3-pytransform3d-pip", "pytransform3d"),
    "ray": Need(None, "ray"),
    "rosbags": Need("python3-rosbags-pip", "rosbags"),
    "scipy": Need("python3-scipy", "scipy"),
    "torch": Need("python3-torch", "torch"),
    "tqdm": Need("python3-tqdm", "tqdm"),
    "yaml": Need("python3-yaml", "pyyaml"),
}
# Parts of ROS; where an index has them, their names there begin with `ros-`.
ROS = {
    "bondpy", "cv_bridge", "launch", "launch_ros", "message_filters", "rclpy", "tf2_ros",
}  # fmt: skip
NOT_ON_THE_INDEX = {
    "bondpy", "cv_bridge", "launch", "launch_ros", "message_filters", "tf2_ros", "vision_msgs",
    "tf2_msgs",  # cmake/tf2_msgs stands in for it
}  # fmt: skip
# Keys that are not imported: torch of another distribution, what messages need when they run, and
# what pip would else bring for pytransform3d.
OTHER_KEYS = {
    "python3-pytorch-pip", "rosidl_default_runtime", "geometry_msgs",
    "python3-lxml",
}  # fmt: skip


@cache
def imported() -> set[str]:
    """Top-level names that the package and its launch files import from elsewhere."""
    found = set()
    for folder in ("stmem_ros", "launch"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module.split(".")[0])
    standard = sys.stdlib_module_names | {"compression"}  # new in Python 3.14
    return found - standard - {"stmem_ros"}


def is_of_ros(name: str) -> bool:
    return name in ROS or name.endswith(("_msgs", "_srvs", "_interfaces"))


def manifest_keys() -> set[str]:
    manifest = ET.parse(ROOT / "package.xml").getroot()
    kinds = ("depend", "exec_depend")
    return {key.text or "" for kind in kinds for key in manifest.iter(kind)}


def index_projects() -> set[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    given = project["dependencies"] + [need for name in extras for need in extras[name]]
    return {re.split(r"[\s<>=\[;!~]", need)[0] for need in given}


@pytest.mark.parametrize("name", sorted(imported()))
def test_an_import_is_named_in_the_manifests(name: str) -> None:
    if is_of_ros(name):
        assert name in manifest_keys()
        assert name in NOT_ON_THE_INDEX or f"ros-{name.replace('_', '-')}" in index_projects()
        return
    need = NEEDS[name]
    assert need.index in index_projects()
    assert need.rosdep is None or need.rosdep in manifest_keys()


def test_what_rosdep_does_not_know_is_named_where_it_is_needed() -> None:
    deployment = (ROOT / "docs" / "deployment.md").read_text()
    for name in imported():
        if not is_of_ros(name) and NEEDS[name].rosdep is None:
            assert NEEDS[name].index in deployment, f"{NEEDS[name].index} is not in deployment.md"


@pytest.mark.parametrize(
    ("command", "project"),
    [
        (["demo"], "av"),
        (["evaluate", "drive"], "pyarrow"),
        (["bench", "core", "--plot", "figures.png"], "matplotlib"),
    ],
)
def test_a_project_that_a_command_misses_is_named_with_what_brings_it(
    command: list[str], project: str, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        f"sys.modules['{project}'] = None  # as if it were not installed\n"
        "from stmem_ros.commands.stmem import main\n"
        f"sys.exit(main({command}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and f"pip install {project}" in done.stderr
    assert not any(tmp_path.iterdir())


def test_package_xml_names_nothing_that_is_not_used() -> None:
    used = {need.rosdep for name, need in NEEDS.items() if name in imported()}
    used |= {name for name in imported() if is_of_ros(name)}
    assert manifest_keys() - used - OTHER_KEYS == set()


def test_what_runs_without_extras_is_no_extra() -> None:
    """The node and `stmem doctor` run with `dependencies` alone; ROS comes besides."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        given = tomllib.load(file)["project"]["dependencies"]
    plain = {re.split(r"[\s<>=\[;!~]", need)[0] for need in given}
    for name in ("PIL", "cv2", "lz4", "numpy", "pytransform3d", "torch", "tqdm", "yaml"):
        assert NEEDS[name].index in plain
