"""The values of the node's parameters, and the files that hold them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from stmem_ros.configuration import ConfigurationError, shown_name
from stmem_ros.costmap.blind_zone import BlindZone
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.mapper import Points
from stmem_ros.health import HealthLimits
from stmem_ros.io.parameter_file import TITLE, read_node_parameters
from stmem_ros.parameter_table import BY_NAME, PARAMETERS
from stmem_ros.pipeline import PipelineConfig
from stmem_ros.streaming.execution import Execution
from stmem_ros.streaming.image_area import is_mask_file, read_area, read_polygon, read_region

MOST_CELLS = 4_000_000  # of the grid, which takes about 60 bytes for each
CAMERA_NAME = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
# Groups of parameters, with the field that holds each and what it is made of.
GROUPS = {"costmap": ("grid", GridConfig), "diagnostics": ("health", HealthLimits)}
# Parameters, and a group of them, that rclpy declares for every node.
RCLPY_PARAMETERS = ("use_sim_time", "start_type_description_service", "qos_overrides")


@dataclass(frozen=True)
class NodeParameters:
    """The values of all parameters, by the names of the table; groups as ``GROUPS`` names them."""

    model: str
    device: str
    precision: str
    compile: bool
    cuda_graphs: bool
    memory_bank: str
    autostart: bool
    bond: bool
    cameras: tuple[str, ...]
    masks: tuple[str, ...]
    regions: tuple[str, ...]
    inference_rates: tuple[float, ...]
    image_transport: str
    image_reliability: str
    depth: bool
    depth_transport: str
    rectified: bool
    inference_height: int
    max_gap: float
    label_size: str
    points: str
    odom_frame: str
    base_frame: str
    transform_timeout: float
    cost_rules: str
    costmap_rate: float
    unseen_cost: int
    grid: GridConfig
    health: HealthLimits


def node_parameters(given: Mapping[str, Any]) -> NodeParameters:
    """The values of all parameters: those given by their ROS names, and defaults.

    Raises:
        ConfigurationError: a parameter is unknown, or a value is not allowed; the message names
            the parameter, the value and what is allowed.
    """
    values: dict[str, Any] = {p.name: p.default for p in PARAMETERS}
    for name, value in given.items():
        if name not in BY_NAME:
            nearest = get_close_matches(name, BY_NAME, n=1, cutoff=0.0)[0]
            raise ConfigurationError(
                f"parameter {shown_name(name)} is unknown; the nearest one is {nearest} "
                "(docs/node.md has all)"
            )
        values[name] = BY_NAME[name].converted(value)
        if problem := BY_NAME[name].problem(values[name]):
            raise ConfigurationError(problem)
    known, limit = values["costmap.known"], values["costmap.limit"]
    if known >= limit:
        raise ConfigurationError(
            f"parameter costmap.known is {known}; it must be less than costmap.limit, {limit}, "
            "else no cell is ever known"
        )
    size, resolution = values["costmap.size"], values["costmap.resolution"]
    if (size / resolution) ** 2 > MOST_CELLS:
        raise ConfigurationError(
            f"parameter costmap.size is {size} and costmap.resolution {resolution}: that is "
            f"{(size / resolution) ** 2:.3g} cells; allowed: at most {MOST_CELLS:.0e}"
        )
    try:
        BlindZone(values["costmap.blind_zone"])
    except ValueError as wrong:
        raise ConfigurationError(f"parameter {wrong}") from None
    _check_cameras(values)
    for warn in (n for n in values if n.startswith("diagnostics.") and n.endswith("_warn")):
        error = warn.replace("_warn", "_error")
        if values[warn] > values[error]:
            raise ConfigurationError(
                f"parameter {warn} is {values[warn]}; it must not be more than {error}, "
                f"{values[error]}"
            )
    others = {n: v for n, v in values.items() if "." not in n}
    others |= {n: tuple(v) for n, v in others.items() if isinstance(v, list)}
    for group, (attribute, kind) in GROUPS.items():
        prefix = f"{group}."
        members = {n.removeprefix(prefix): v for n, v in values.items() if n.startswith(prefix)}
        others[attribute] = kind(**members)
    return NodeParameters(**others)


def _check_cameras(values: Mapping[str, Any]) -> None:
    """Check what is given for each camera.

    Raises:
        ConfigurationError: a value is not allowed.
    """
    cameras = values["cameras"]
    for name in cameras:
        if name and not CAMERA_NAME.fullmatch(name):
            raise ConfigurationError(
                f"parameter cameras names {name!r}; a name holds letters, digits, _ and /, and no "
                "part of it begins with a digit"
            )
    for name in ("masks", "regions", "inference_rates"):
        if len(values[name]) not in (1, len(cameras)):
            raise ConfigurationError(
                f"parameter {name} has {len(values[name])} items; it must have one for each of the "
                f"{len(cameras)} cameras, or one for all"
            )
    try:
        for mask in values["masks"]:
            if mask and not is_mask_file(mask):
                read_polygon(mask)
        for region in values["regions"]:
            read_region(region)
    except ValueError as wrong:
        raise ConfigurationError(f"parameters masks and regions: {wrong}") from None
    slowest = min((rate for rate in values["inference_rates"] if rate), default=math.inf)
    for name in ("max_gap", "costmap.stale_after"):
        if values[name] and 1 / slowest > values[name]:
            raise ConfigurationError(
                f"parameter inference_rates holds {slowest:g}: an image each {1 / slowest:.3g} s; "
                f"{name} is {values[name]} and must not be less, or all is forgotten between two"
            )


def parameter_values(parameters: NodeParameters) -> dict[str, Any]:
    """The values by their ROS names, as ``node_parameters`` takes them."""
    values = {f.name: getattr(parameters, f.name) for f in fields(parameters)}
    values |= {name: list(v) for name, v in values.items() if isinstance(v, tuple)}
    for group, (attribute, _) in GROUPS.items():
        members = asdict(values.pop(attribute))
        values |= {f"{group}.{name}": value for name, value in members.items()}
    return values


def read_parameter_file(path: Path, node_name: str = "segmentation_node") -> NodeParameters:
    """The values that a ROS parameter file gives the node; the others have their defaults.

    Args:
        node_name: with its namespace where the file has several nodes of that name.

    Raises:
        ConfigurationError: the file cannot be read, gives the node nothing, names an unknown
            parameter or has a value that the node would refuse.
    """
    given = {
        name: value
        for name, value in read_node_parameters(path, node_name).items()
        if name.split(".")[0] not in RCLPY_PARAMETERS
    }
    try:
        return node_parameters(given)
    except ConfigurationError as error:
        raise ConfigurationError(f"{TITLE} {path}: {error}") from None


def pipeline_config(values: NodeParameters) -> PipelineConfig:
    """What the pipeline is told; files of masks are read.

    Raises:
        ValueError: one cannot be used; the message names it.
    """
    count = max(len(values.masks), len(values.regions))
    masks, regions = (
        each * count if len(each) == 1 else each for each in (values.masks, values.regions)
    )
    return PipelineConfig(
        cameras=values.cameras,
        areas=tuple(map(read_area, masks, regions)),
        inference_rates=values.inference_rates,
        rectified=values.rectified,
        inference_height=values.inference_height,
        max_gap=values.max_gap,
        execution=Execution(values.precision, values.compile, values.cuda_graphs),
        odom_frame=values.odom_frame,
        base_frame=values.base_frame,
        transform_timeout=values.transform_timeout,
        costmap_rate=values.costmap_rate,
        grid=values.grid,
        points=Points(values.points),
    )


DEFAULTS = node_parameters({})
