"""The lines the structure draws, and the linters."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "stmem_ros"
CORE = ("model", "streaming", "costmap", "training", "evaluation", "data")
ROS = ("rclpy", "tf2_ros", "cv_bridge", "message_filters", "rosgraph_msgs", "stmem_ros.node")
# Who may import whom inside the package; data.classes is a vocabulary all share.
ARROWS = {
    "model": {"model"},
    "streaming": {"streaming", "model"},
    "costmap": {"costmap"},
    "data": {"data", "costmap"},
    "training": {"training", "data", "model"},
    "evaluation": {"evaluation", "data", "streaming", "costmap", "model"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("part", CORE)
def test_the_core_never_imports_ros(part: str) -> None:
    for path in (PACKAGE / part).rglob("*.py"):
        for name in imports(path):
            assert not name.startswith(ROS) and not name.split(".")[0].endswith("_msgs"), (
                f"{path} imports {name}"
            )
            assert not name.startswith("stmem_ros.msg"), f"{path} imports {name}"


def test_only_the_node_imports_rclpy() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.parent != PACKAGE / "node":
            assert not any(name.split(".")[0] == "rclpy" for name in imports(path)), path


@pytest.mark.parametrize("part", CORE)
def test_arrows_between_the_parts_point_one_way(part: str) -> None:
    for path in (PACKAGE / part).rglob("*.py"):
        for name in imports(path):
            if name.startswith("stmem_ros.") and name.count(".") > 1:
                other = name.split(".")[1]
                allowed = other in ARROWS[part] or name == "stmem_ros.data.classes"
                assert allowed, f"{path} imports {name}"


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, stmem_ros; print([m for m in ('torch', 'cv2', 'rclpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_there() -> None:
    import stmem_ros

    for name in stmem_ros.__all__:
        assert getattr(stmem_ros, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = stmem_ros.nothing


@pytest.mark.parametrize("command", [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",)])
def test_linters_have_nothing_to_say(command: tuple[str, ...]) -> None:
    target = [] if command[0] == "mypy" else ["."]
    done = subprocess.run(
        [sys.executable, "-m", *command, *target], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_public_names_and_the_messages_are_there_in_any_folder(tmp_path: Path) -> None:
    code = "from stmem_ros import StreamingSegmenter, load_bundle; import stmem_ros.msg"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
