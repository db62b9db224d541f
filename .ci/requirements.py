"""What pyproject.toml asks for, a line each: `requirements.py build|run kilted|jazzy`.

The wheels of Kilted are named `ros-...` on the package index, those of Jazzy `ros-jazzy-...`.
"""

import re
import sys
from pathlib import Path

import tomllib

OTHER_NAMES = {"ros-jazzy-ament-cmake-ros-core": "ros-jazzy-ament-cmake-ros"}  # before it was split
# What the CMake files of Jazzy's wheels look for, and the wheels do not bring.
FURTHER = {
    "jazzy": (
        "ros-jazzy-ament-cmake-gmock", "ros-jazzy-ament-cmake-gtest",
        "ros-jazzy-ament-cmake-pytest", "ros-jazzy-python-cmake-module",
    ),
}  # fmt: skip
EXTRAS = ("ros", "demo", "evaluate", "export", "train", "test")


def main() -> None:
    kind, distribution = sys.argv[1:]
    with (Path(__file__).parent.parent / "pyproject.toml").open("rb") as file:
        content = tomllib.load(file)
    extras = content["project"]["optional-dependencies"]
    needs = content["build-system"]["requires"]
    if kind == "run":
        needs = content["project"]["dependencies"] + [n for name in EXTRAS for n in extras[name]]
    prefix = "ros-" if distribution == "kilted" else f"ros-{distribution}-"
    names = [re.sub("^ros-", prefix, need) for need in needs]
    if kind == "build":
        names += FURTHER.get(distribution, ())
    print("\n".join(OTHER_NAMES.get(name, name) for name in names))


if __name__ == "__main__":
    main()
