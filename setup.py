"""Build for pip: the same CMake build as colcon's makes the messages, setuptools packs the rest.

Only used where ROS 2 comes from wheels; colcon reads package.xml and CMakeLists.txt instead.
With STMEM_WITHOUT_ROS=1 there are no messages and no node: the rest needs neither ROS nor CMake.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Distribution, setup  # first: it provides distutils

from distutils.command.install_data import install_data  # isort: skip

ROOT = Path(__file__).parent.resolve()
BUILD = ROOT / "build" / "pip" / Path(sys.prefix).name  # environments of one checkout differ
STAGE = BUILD / "stage"  # laid out like the environment's prefix
WITHOUT_ROS = os.environ.get("STMEM_WITHOUT_ROS") == "1"


class RosDistribution(Distribution):
    """Tells setuptools that there are compiled files and files outside the package folder."""

    def has_ext_modules(self) -> bool:
        return not WITHOUT_ROS

    def has_data(self) -> bool:  # asked by editable installs, which skip data files otherwise
        return True


class InstallRosFiles(install_data):
    """Build the messages and install them, their libraries, launch and config files."""

    def run(self) -> None:
        if WITHOUT_ROS:
            share = Path("share", "stmem_ros")
            files = {path: share / path.relative_to(ROOT) for path in files_of_share()}
        else:
            if not has_real_tf2_msgs():
                build(ROOT / "cmake" / "tf2_msgs")
            build(ROOT)
            staged = {path: path.relative_to(STAGE) for path in STAGE.rglob("*") if path.is_file()}
            files = {path: target for path, target in staged.items() if is_needed(target)}
        folders: dict[str, list[str]] = {}
        for path, target in sorted(files.items()):
            folders.setdefault(str(target.parent), []).append(str(path))
        self.data_files = sorted(folders.items())
        super().run()


def files_of_share() -> list[Path]:
    """What `stmem_ros.resources` looks for, and needs no ROS."""
    folders = (ROOT / "config", ROOT / "msg")
    return [ROOT / "package.xml", *(p for f in folders for p in f.rglob("*") if p.is_file())]


def has_real_tf2_msgs() -> bool:
    """Whether a ROS installation outside this environment has it (inside, it is our stand-in)."""
    found = importlib.util.find_spec("tf2_msgs")
    return found is not None and not Path(found.origin or "").is_relative_to(sys.prefix)


def is_needed(path: Path) -> bool:
    """Whether a staged file goes into the environment: not our sources and commands, which
    setuptools installs, and nothing that is only for compiling against the messages."""
    if path.suffix == ".c" or {"include", "bin", "__pycache__"} & set(path.parts):
        return False
    if any(part.endswith(".egg-info") for part in path.parts):
        return False
    ours = Path(site_packages()) / "stmem_ros"
    generated = path.suffix == ".so" or path.is_relative_to(ours / "msg")
    return generated or not path.is_relative_to(ours)


def site_packages() -> str:
    return os.path.relpath(sysconfig.get_path("platlib"), sys.prefix)


def build(source: Path) -> None:
    """Configure, build and install one CMake project into the stage, against the ROS wheels."""
    prefix = Path(sys.prefix)
    binary = BUILD / source.name
    environment = os.environ | {
        "AMENT_PREFIX_PATH": str(prefix),
        "CMAKE_PREFIX_PATH": f"{prefix}{os.pathsep}{STAGE}",
        "PATH": f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    configure = [
        "cmake", "-S", str(source), "-B", str(binary), "-G", "Ninja", "--log-level=WARNING",
        f"-DCMAKE_INSTALL_PREFIX={STAGE}",
        f"-DCMAKE_PROJECT_INCLUDE={ROOT / 'cmake' / 'pip_wheels.cmake'}",
        f"-DPython3_EXECUTABLE={sys.executable}",
        "-DBUILD_TESTING=OFF",
    ]  # fmt: skip
    make, install = ["cmake", "--build", str(binary)], ["cmake", "--install", str(binary)]
    for command in (configure, make, install):
        subprocess.run(command, check=True, env=environment, stdout=sys.stderr)


setup(distclass=RosDistribution, cmdclass={"install_data": InstallRosFiles}, data_files=[("", [])])
