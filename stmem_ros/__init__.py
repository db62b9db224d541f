"""Steady semantic labels and costmaps from a moving camera: STF and MAR for ROS 2.

The public names load what they need on first use, so that importing the package is light.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

# The source tree and the generated messages (stmem_ros.msg) may lie in different folders.
__path__ = pkgutil.extend_path(__path__, __name__)

if TYPE_CHECKING:
    from stmem_ros.model.bundle import load_bundle
    from stmem_ros.streaming.segmenter import Segmentation, StreamingSegmenter

__all__ = ["Segmentation", "StreamingSegmenter", "load_bundle"]

_HOMES = {
    "load_bundle": "stmem_ros.model.bundle",
    "Segmentation": "stmem_ros.streaming.segmenter",
    "StreamingSegmenter": "stmem_ros.streaming.segmenter",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'stmem_ros' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
