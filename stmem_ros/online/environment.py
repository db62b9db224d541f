"""Environment of the processes this package starts: middleware profile, discovery, domain."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from stmem_ros.node.security import DOCUMENT, ENABLE, SecurityError, asked_security
from stmem_ros.online.middleware import (
    FAST_DDS_PROFILE,
    FAST_DDS_PROFILE_OF_HUMBLE,
    NETWORK_PROFILE,
    large_image_environment,
)
from stmem_ros.resources import resource


def private_environment(logs: Path) -> dict[str, str]:
    """Variables of processes that talk among themselves: large images get through, on a domain of
    this machine alone that no other ROS programs are likely to use; ROS's log files go to ``logs``.

    Raises:
        SecurityError: security is on; no enclave has permissions for a domain that is chosen here.
    """
    if asked_security() is not None:
        raise SecurityError(
            f"this works on a ROS domain of its own, on this machine alone, for which no enclave "
            f"has permissions; set {ENABLE}=false for this command ({DOCUMENT})"
        )
    defaults = {
        "ROS_LOG_DIR": str(logs),
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    chosen = {key: os.environ.get(key, value) for key, value in defaults.items()}
    variables = large_image_environment()
    this_machine = str(resource("config", "fastdds_this_machine.xml"))
    for name in (FAST_DDS_PROFILE, FAST_DDS_PROFILE_OF_HUMBLE):
        if Path(variables[name]).name == NETWORK_PROFILE:
            variables[name] = this_machine
    return variables | chosen


def middleware_name() -> str:
    """The middleware rclpy uses, e.g. ``rmw_fastrtps_cpp``.

    Raises:
        ImportError: rclpy is not installed.
    """
    from rclpy.utilities import get_rmw_implementation_identifier

    return get_rmw_implementation_identifier()


def installed_helpers() -> list[str]:
    """Which of the packages that have stand-ins here are installed."""
    return [name for name in ("tf2_ros", "cv_bridge", "message_filters") if find_spec(name)]
