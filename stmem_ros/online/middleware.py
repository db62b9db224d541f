"""How large images go from process to process, for each middleware, and the settings they need."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stmem_ros.resources import resource

FAST_DDS = ("rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp")
CYCLONE_DDS = ("rmw_cyclonedds_cpp",)
ZENOH = ("rmw_zenoh_cpp",)

NETWORK_PROFILE = "fastdds_large_images.xml"
BEFORE_FAST_DDS_3 = ("humble", "iron", "jazzy")
CYCLONE_DDS_PROFILE = "CYCLONEDDS_URI"
RECEIVE_BUFFER = 16 * 2**20  # bytes, as config/cyclonedds_large_images.xml asks for
GRANTED = Path("/proc/sys/net/core/rmem_max")
ROUTER = ("localhost", 7447)  # where rmw_zenohd listens


@dataclass(frozen=True)
class Transport:
    """How images go between the processes of this machine.

    Attributes:
        ok: images can arrive.
        text: the way they go.
        advice: what to do for large ones; empty where nothing is to do.
    """

    ok: bool
    text: str
    advice: str = ""


def large_image_environment() -> dict[str, str]:
    """Variables that let large images through; what the user has set stays as it is.

    Each is read by its own middleware alone, so that all are set, whichever is chosen by
    ``RMW_IMPLEMENTATION``. Zenoh needs none.
    """
    defaults = {
        fast_dds_profile(): str(resource("config", NETWORK_PROFILE)),
        CYCLONE_DDS_PROFILE: resource("config", "cyclonedds_large_images.xml").as_uri(),
    }
    return {name: os.environ.get(name, value) for name, value in defaults.items()}


def fast_dds_profile() -> str:
    """The variable that names Fast DDS's profile; version 3, since Kilted, reads another one."""
    distribution = os.environ.get("ROS_DISTRO")
    is_older = distribution in BEFORE_FAST_DDS_3 if distribution else _has_wheel("ros-fastrtps")
    return f"{'FASTRTPS' if is_older else 'FASTDDS'}_DEFAULT_PROFILES_FILE"


def _has_wheel(name: str) -> bool:
    """Whether a project of the package index is installed: ROS from there names no distribution."""
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def transport(middleware: str, router: tuple[str, int] = ROUTER) -> Transport:
    """How a middleware carries images in this environment.

    Args:
        middleware: its name, as ``RMW_IMPLEMENTATION`` has it.
        router: host and port of Zenoh's router.
    """
    if middleware in FAST_DDS:
        return _fast_dds()
    if middleware in CYCLONE_DDS:
        return _cyclone_dds()
    if middleware in ZENOH:
        return _zenoh(router)
    return Transport(True, "not known to this package; measured below")


def _fast_dds() -> Transport:
    if profile := os.environ.get(fast_dds_profile()):
        return Transport(True, f"shared memory, as profile {profile} says")
    return Transport(
        True,
        "shared memory; its default segment of 512 KB is smaller than an image",
        "this package's launch files and commands set a profile; for camera drivers and other "
        f"processes: {_export(fast_dds_profile())}",
    )


def _cyclone_dds() -> Transport:
    buffer = int(GRANTED.read_text()) if GRANTED.is_file() else RECEIVE_BUFFER
    text = f"UDP on the loopback, receive buffers of at most {buffer / 2**20:.1f} MB"
    advice = []
    if buffer < RECEIVE_BUFFER:
        advice.append(f"sudo sysctl -w net.core.rmem_max={RECEIVE_BUFFER}")
    if not os.environ.get(CYCLONE_DDS_PROFILE):
        advice.append(f"for camera drivers and other processes: {_export(CYCLONE_DDS_PROFILE)}")
    return Transport(True, text, "; ".join(advice))


def _zenoh(router: tuple[str, int]) -> Transport:
    text = "TCP on the loopback, or shared memory where it is turned on"
    if any(os.environ.get(name) for name in ("ZENOH_SESSION_CONFIG_URI", "ZENOH_CONFIG_OVERRIDE")):
        return Transport(True, f"{text}, as its own settings say")
    try:
        socket.create_connection(router, timeout=1).close()
    except OSError:
        where = f"{router[0]}:{router[1]}"
        advice = "start it: ros2 run rmw_zenoh_cpp rmw_zenohd"
        return Transport(
            False, f"no router answers at {where}; nodes do not find each other", advice
        )
    return Transport(True, text)


def _export(name: str) -> str:
    return f"export {name}={large_image_environment()[name]}"
