"""The lines the structure draws."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "stmem_ros"
# From the bottom up; a part imports parts of lower layers alone. Top-level modules are parts too.
LAYERS = (
    ("error_text",),
    ("configuration", "resources", "signals", "stamps"),
    ("classes",),
    ("geometry", "drawing"),
    ("io",),
    ("model",),
    ("streaming", "costmap", "data"),
    ("frames",),
    ("camera_intake",),
    ("pipeline", "health"),
    ("parameter_table",),
    ("parameters",),
    ("node", "evaluation", "training"),
    ("online",),
    ("bench", "demo"),
    ("commands",),
)
# What may import ROS.
ROS_PARTS = ("node", "online")
ROS_MODULES = ("bench/node_bench.py",)
ROS = ("rclpy", "tf2_ros", "cv_bridge", "message_filters")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def modules() -> list[tuple[str, Path]]:
    """Every module with the part it belongs to."""
    paths = [p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py"]
    return [(p.relative_to(PACKAGE).parts[0].removesuffix(".py"), p) for p in paths]


def test_only_what_drives_ros_imports_it() -> None:
    for part, path in modules():
        if part in ROS_PARTS or str(path.relative_to(PACKAGE)) in ROS_MODULES:
            continue
        for name in imports(path):
            first = name.split(".")[0]
            assert first not in ROS and not first.endswith("_msgs"), f"{path} imports {name}"
            assert not name.startswith("stmem_ros.msg"), f"{path} imports {name}"


def test_arrows_between_the_parts_point_down() -> None:
    layer_of = {part: i for i, parts in enumerate(LAYERS) for part in parts}
    for part, path in modules():
        for name in imports(path):
            other = name.split(".")[1] if name.startswith("stmem_ros.") else part
            if other not in (part, "msg"):
                assert layer_of[other] < layer_of[part], f"{path} imports {name}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {
        "stmem_ros." + str(p.relative_to(PACKAGE).with_suffix("")).replace("/", "."): p
        for _, p in modules()
    }
    left = {name: imports(path) & set(names) for name, path in names.items()}
    while ready := [name for name, needs in left.items() if not needs & set(left)]:
        for name in ready:
            del left[name]
    assert not left, f"in circles: {sorted(left)}"


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
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = stmem_ros.nothing


@pytest.mark.ros
def test_the_public_names_and_the_messages_are_there_in_any_folder(tmp_path: Path) -> None:
    code = "from stmem_ros import StreamingSegmenter, load_bundle; import stmem_ros.msg"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
