"""The table of the node's parameters: names, types, defaults, ranges, and what each does.

The node declares its ROS parameters from it; ``config/segmentation.yaml`` and the table in
``docs/node.md`` are written from it (``make parameters``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.mapper import Points
from stmem_ros.health import HealthLimits
from stmem_ros.pipeline import AS_TRAINED, NEVER
from stmem_ros.streaming.execution import PRECISIONS
from stmem_ros.streaming.image_area import SMALLEST

TYPE_NAMES = {bool: "bool", int: "integer", float: "double", str: "string"}


class Change(Enum):
    """When a parameter may change."""

    NEVER = "never"
    UNCONFIGURED = "while the node is not configured"
    ANY_TIME = "at any time"


@dataclass(frozen=True)
class Parameter:
    """One parameter of the node.

    Attributes:
        name: its ROS name; a dot stands between a group and a name in it.
        default: the value if none is given; its type is that of the parameter. Of a list: one item.
        text: what it does, for those who set it.
        lowest, highest: range of a number.
        special: numbers below the range that have a meaning of their own.
        choices: what a text may be; any if empty.
        distinct: no item of a list may be there twice.
        change: when it may change.
    """

    name: str
    default: bool | int | float | str | list[str] | list[float]
    text: str
    lowest: float = -math.inf
    highest: float = math.inf
    special: tuple[int, ...] = ()
    choices: tuple[str, ...] = ()
    distinct: bool = False
    change: Change = Change.UNCONFIGURED

    @property
    def item_type(self) -> type:
        """The type of the value; of a list that of its items."""
        return type(self.default[0] if isinstance(self.default, list) else self.default)

    @property
    def type_name(self) -> str:
        """ROS's name of the type."""
        return TYPE_NAMES[self.item_type] + " array" * isinstance(self.default, list)

    @property
    def allowed(self) -> str:
        """The choices, or the range; empty if every value of the type is allowed."""
        if math.isfinite(self.lowest):
            special = "".join(f"{number}, " for number in self.special)
            return f"{special}{self.lowest:.7g} to {self.highest:.7g}"
        return ", ".join(self.choices)

    def converted(self, value: Any) -> Any:
        """A value as one of the parameter's type: a whole number is a double where one is due."""
        if self.item_type is not float:
            return value
        if isinstance(value, list):
            return [float(item) if type(item) is int else item for item in value]
        return float(value) if type(value) is int else value

    def problem(self, value: Any) -> str:
        """What is wrong with a value, in one line; empty if nothing is."""
        shown = f"parameter {self.name} is {value!r}"
        items = value if isinstance(value, list) else [value]
        if type(value) is not type(self.default) or any(
            type(item) is not self.item_type for item in items
        ):
            return f"{shown}; it must be of the type {self.type_name}, such as {self.default!r}"
        if not items or (self.distinct and len(set(items)) != len(items)):
            return f"{shown}; it must hold at least one item{', each once' * self.distinct}"
        if self.choices and value not in self.choices:
            return f"{shown}; allowed: {self.allowed}"
        if self.item_type in (int, float) and not all(
            item in self.special or self.lowest <= item <= self.highest for item in items
        ):
            return f"{shown}; allowed: {self.allowed}"
        return ""


def _limits(name: str, what: str) -> tuple[Parameter, Parameter]:
    """The parameters of a pair of limits of ``HealthLimits``."""
    warn, error = (
        Parameter(
            f"diagnostics.{name}_{level.lower()}",
            getattr(HealthLimits, f"{name}_{level.lower()}"),
            f"Time {what}, above which the status is {level}, s.",
            lowest=0.0,
            highest=1e6,
        )
        for level in ("WARN", "ERROR")
    )
    return warn, error


PARAMETERS = (
    Parameter("model", "onboard", "Model bundle: the name of a shipped one, or a folder."),
    Parameter(
        "device",
        "auto",
        "Torch device: cpu, cuda, cuda:N, or auto, which is a GPU if there is one.",
    ),
    Parameter(
        "precision",
        "auto",
        "Precision of the network; auto is float32 on a CPU and float16 on a GPU. The node warns "
        "of a precision that the bundle was not checked in.",
        choices=PRECISIONS,
    ),
    Parameter(
        "compile",
        False,
        "Compile the network with torch.compile; the first images then take minutes.",
    ),
    Parameter(
        "cuda_graphs",
        False,
        "Record what an image launches on the GPU, and replay it; refused on a CPU.",
    ),
    Parameter(
        "memory_bank",
        "",
        "Memory bank file that takes the place of the bundle's; empty: the bundle's. It may be set "
        "while the node runs.",
        change=Change.ANY_TIME,
    ),
    Parameter(
        "autostart",
        True,
        "The node configures and activates itself at its start; false: a lifecycle manager does.",
        change=Change.NEVER,
    ),
    Parameter(
        "bond",
        False,
        "Form a bond with Nav2's lifecycle manager while the node is active; needs bondpy.",
    ),
    Parameter(
        "cameras",
        [""],
        "Namespaces of the cameras, each once; the empty name is the node's own namespace.",
        distinct=True,
    ),
    Parameter(
        "masks",
        [""],
        "What of the images is the robot itself (hood, gripper, mirror) and has no label, for each "
        "camera or one for all: a PNG of their size, black there, a polygon [[x, y], ...] around "
        "it, pixels, or empty: nothing.",
    ),
    Parameter(
        "regions",
        [""],
        "What of the images is labelled, for each camera or one for all: [x, y, width, height], "
        "pixels, or empty: all. Less of the image is faster, at the same scale.",
    ),
    Parameter(
        "inference_rates",
        [0.0],
        "How many images are labelled per second at most, for each camera or one for all, Hz, by "
        "their stamps; 0: all.",
        lowest=0.0,
        highest=1000.0,
    ),
    Parameter(
        "image_transport",
        "raw",
        "Topic of the images: image_raw, or image_raw/compressed.",
        choices=("raw", "compressed"),
    ),
    Parameter(
        "image_reliability",
        "best_effort",
        "QoS reliability of the image subscriptions; reliable is for networks that lose images "
        "(docs/middleware.md).",
        choices=("best_effort", "reliable"),
    ),
    Parameter(
        "depth",
        False,
        "Images come with depth images on topic depth, and each pixel is placed by its depth; "
        "false: by the ground plane.",
    ),
    Parameter(
        "depth_transport",
        "raw",
        "Topic of the depth images: depth, or depth/compressedDepth (PNG).",
        choices=("raw", "compressedDepth"),
    ),
    Parameter(
        "rectified",
        False,
        "The images are rectified: P of camera_info counts, and its distortion does not.",
    ),
    Parameter(
        "inference_height",
        0,
        "Height in pixels that images are scaled to for the network, smaller ones not beyond the "
        "height it was trained at, nor to more pixels than an image of 4:3 has; 0: the height it "
        "was trained at, -1: never scaled.",
        lowest=SMALLEST,
        highest=4320,
        special=(NEVER, AS_TRAINED),
    ),
    Parameter(
        "max_gap",
        1.0,
        "Longest pause between two images of a camera, s; after a longer one the network begins "
        "with an empty ring.",
        lowest=0.01,
        highest=3600.0,
    ),
    Parameter(
        "label_size",
        "image",
        "Size of label and confidence: that of the image, or that of the network's features (1/4 "
        "or 1/8, with label/camera_info).",
        choices=("image", "feature"),
    ),
    Parameter(
        "points",
        Points.CONTACTS.value,
        "What ~/points holds: contacts, where obstacles touch the ground (with depth every pixel); "
        "ground, a point for each pixel of the label image, NaN but for those of ground; or all, "
        "with obstacles too, upright over where they touch the ground.",
        choices=tuple(points.value for points in Points),
    ),
    Parameter("odom_frame", "odom", "Fixed frame that the grid lies in."),
    Parameter(
        "base_frame",
        "base_footprint",
        "Robot frame whose plane z = 0 is the ground; see costmap.level_ground.",
    ),
    Parameter(
        "transform_timeout",
        0.2,
        "How long the costmap waits for late transforms, s.",
        lowest=0.0,
        highest=5.0,
    ),
    Parameter(
        "cost_rules",
        "",
        "YAML file that gives each class a cost, a layer and a kind; empty: the package's, for the "
        "classes of CamVid, Cityscapes and IDD Lite.",
    ),
    Parameter(
        "costmap_rate",
        10.0,
        "Highest rate of the costmap messages, Hz, by the stamps of the images.",
        lowest=0.1,
        highest=100.0,
    ),
    Parameter(
        "unseen_cost",
        -1,
        "Cost of cells that were never seen, or are forgotten: -1 is unknown, 0 is for planners "
        "that want free there.",
        lowest=-1,
        highest=0,
    ),
    Parameter(
        "costmap.size",
        GridConfig.size,
        "Side of the square grid, m; it has at most 4 million cells.",
        lowest=1.0,
        highest=400.0,
    ),
    Parameter(
        "costmap.resolution", GridConfig.resolution, "Side of a cell, m.", lowest=0.02, highest=5.0
    ),
    Parameter(
        "costmap.max_range",
        GridConfig.max_range,
        "Ground farther away from base_frame than this is not read, m.",
        lowest=1.0,
        highest=200.0,
    ),
    Parameter(
        "costmap.half_life",
        GridConfig.half_life,
        "Time after which the memory of fixed classes has faded by half, s.",
        lowest=0.05,
        highest=1e6,
    ),
    Parameter(
        "costmap.moving_half_life",
        GridConfig.moving_half_life,
        "Time after which the memory of moving classes has faded by half, s.",
        lowest=0.05,
        highest=1e6,
    ),
    Parameter(
        "costmap.gain",
        GridConfig.gain,
        "Log-odds that one fully trusted observation adds.",
        lowest=0.05,
        highest=10.0,
    ),
    Parameter(
        "costmap.limit",
        GridConfig.limit,
        "Largest log-odds of a cell.",
        lowest=0.1,
        highest=20.0,
    ),
    Parameter(
        "costmap.known",
        GridConfig.known,
        "Log-odds above which a cell counts as seen; less than costmap.limit.",
        lowest=0.01,
        highest=5.0,
    ),
    Parameter(
        "costmap.max_height",
        GridConfig.max_height,
        "With depth, what is higher than this over the ground blocks nothing, m.",
        lowest=0.2,
        highest=20.0,
    ),
    Parameter(
        "costmap.level_ground",
        GridConfig.level_ground,
        "The ground is level in odom_frame, and pitch and roll of base_frame there are the body's; "
        "false: the ground is the plane z = 0 of base_frame.",
    ),
    Parameter(
        "costmap.stale_after",
        GridConfig.stale_after,
        "A grid that no labels have reached for longer than this is forgotten, and published once "
        "as unknown everywhere, s; 0: never.",
        lowest=0.0,
        highest=3600.0,
    ),
    Parameter(
        "costmap.blind_zone",
        GridConfig.blind_zone,
        "Ground around base_frame that no camera sees and that is free, at the start and where the "
        "robot drove, until it is seen otherwise: auto, a polygon [[x, y], ...] in base_frame, m, "
        "or empty: none.",
    ),
    Parameter(
        "costmap.strangeness_limit",
        GridConfig.strangeness_limit,
        "Labels of images that are stranger than this to the model (night, snow, a covered lens, a "
        "place of another kind) are not fused; about 0.6 is usual, 1.3 strange; 0: all are fused.",
        lowest=0.0,
        highest=1e6,
    ),
    *_limits("age", "since a camera's newest image came, or its labels reached the grid"),
    *_limits("latency", "from the stamp of an image until its labels are published"),
    *_limits("still", "in which images have had the same pixels, or the same stamp"),
    *_limits("future", "by which stamps lie ahead of the node's clock"),
    *(
        Parameter(
            f"diagnostics.strange_{level.lower()}",
            getattr(HealthLimits, f"strange_{level.lower()}"),
            "How unlike all that the model knows an image may be before the status is "
            f"{level}; about 0.6 is usual.",
            lowest=0.0,
            highest=1e6,
        )
        for level in ("WARN", "ERROR")
    ),
)
BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
