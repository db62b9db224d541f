"""Build for pip: the same CMake build as colcon's makes the messages, setuptools packs the rest.

Only used where ROS 2 comes from wheels; colcon reads package.xml and CMakeLists.txt instead.
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
BUILD = ROOT / "build" / "pip"
STAGE = BUILD / "stage"  # laid out like the environment's prefix


class RosDistribution(Distribution):
    """Tells setuptools that there are compiled files and files outside the package folder."""

    def has_ext_modules(self) -> bool:
        return True

    def has_data(self) -> bool:  # asked by editable installs, which skip data files otherwise
        return True


class InstallRosFiles(install_data):
    """Build the messages and install them, their libraries, launch and config files."""

    def run(self) -> None:
        if importlib.util.find_spec("tf2_msgs") is None or (STAGE / "share/tf2_msgs").is_dir():
            build(ROOT / "cmake" / "tf2_msgs")
        build(ROOT)
        folders: dict[str, list[str]] = {}
        for path in sorted(STAGE.rglob("*")):
            if path.is_file() and not is_python_source(path) and "include" not in path.parts:
                folders.setdefault(str(path.parent.relative_to(STAGE)), []).append(str(path))
        self.data_files = sorted(folders.items())
        super().run()


def is_python_source(path: Path) -> bool:
    """Whether setuptools itself installs this file: our sources and the commands."""
    relative = path.relative_to(STAGE).as_posix()
    own = f"{site_packages()}/stmem_ros/"
    generated = relative.startswith(own + "msg/") or relative.endswith((".so", ".c"))
    return (relative.startswith(own) and not generated) or relative.startswith("bin/")


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
    for command in (configure, ["cmake", "--build", str(binary)], ["cmake", "--install", str(binary)]):
        subprocess.run(command, check=True, env=environment, stdout=sys.stderr)


setup(distclass=RosDistribution, cmdclass={"install_data": InstallRosFiles}, data_files=[("", [])])
