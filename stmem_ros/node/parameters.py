"""The node's parameters: one place that declares, describes, checks and reads them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from stmem_ros.costmap.grid import GridConfig
from stmem_ros.pipeline import PipelineConfig
from stmem_ros.streaming.execution import PRECISIONS, Execution

CHOICES = {
    "image_transport": ("raw", "compressed"),
    "image_reliability": ("best_effort", "reliable"),
    "label_size": ("image", "feature"),
    "precision": PRECISIONS,
}


@dataclass(frozen=True)
class NodeParameters:
    """Values of all parameters; names and defaults are those the node declares."""

    model: str = "onboard"
    device: str = "auto"
    precision: str = "auto"
    compile: bool = False
    cuda_graphs: bool = False
    memory_bank: str = ""
    autostart: bool = True
    cameras: tuple[str, ...] = ("",)
    image_transport: str = "raw"
    image_reliability: str = "best_effort"
    depth: bool = False
    rectified: bool = False
    inference_height: int = 0
    max_gap: float = 1.0
    label_size: str = "image"
    odom_frame: str = "odom"
    base_frame: str = "base_footprint"
    transform_timeout: float = 0.2
    cost_rules: str = ""
    costmap_rate: float = 10.0
    unseen_cost: int = -1
    grid: GridConfig = field(default_factory=GridConfig)


# name: (what it does, lowest, highest, read-only while configured)
_DESCRIPTIONS: dict[str, tuple[str, float | None, float | None, bool]] = {
    "model": ("Model bundle: the name of a shipped one, or a folder.", None, None, True),
    "device": ("Torch device: auto (a GPU if there is one), cpu, cuda, cuda:N.", None, None, True),
    "precision": (
        "Of the network: auto (float32 on a CPU, float16 on a GPU), float32, bfloat16, float16.",
        None, None, True,
    ),
    "compile": (
        "By torch.compile, which takes minutes at the first images.", None, None, True,
    ),
    "cuda_graphs": (
        "Record what an image launches on the GPU, and replay it; a GPU alone.", None, None, True,
    ),
    "memory_bank": (
        "Memory bank file used instead of the bundle's; may be set while running.",
        None, None, False,
    ),
    "autostart": ("Configure and activate by itself.", None, None, True),
    "cameras": ("Camera namespaces; '' is the node's own.", None, None, True),
    "image_transport": ("raw: image_raw; compressed: image_raw/compressed.", None, None, True),
    "image_reliability": (
        "QoS of the image subscription: best_effort or reliable.", None, None, True,
    ),
    "depth": (
        "Images come with depth images (topic depth): each pixel is placed by its depth.",
        None, None, True,
    ),
    "rectified": (
        "The images are rectified: use P of camera_info and no distortion.", None, None, True,
    ),
    "inference_height": (
        "Taller images are scaled down to this many pixels for the network; "
        "0: the height the model was trained at, -1: never.", -1, 4320, True,
    ),
    "max_gap": ("A longer pause between images empties the ring, s.", 0.01, 3600.0, True),
    "label_size": (
        "Size of label and confidence: image, or feature (1/4 or 1/8, with label/camera_info).",
        None, None, True,
    ),
    "odom_frame": ("Fixed frame the grid lies in.", None, None, True),
    "base_frame": (
        "Robot frame whose plane z = 0 is the ground; see costmap.level_ground.", None, None, True,
    ),
    "transform_timeout": ("How long the costmap waits for late transforms, s.", 0.0, 5.0, True),
    "cost_rules": (
        "YAML file that gives each class a cost, a layer and a kind; '': the package's.",
        None, None, True,
    ),
    "costmap_rate": ("Highest rate of costmap messages, Hz of the image stamps.", 0.1, 100.0, True),
    "unseen_cost": ("Cost of cells never seen, or forgotten: -1 (unknown) or 0.", -1, 0, True),
    "costmap.size": ("Side of the square grid, m.", 1.0, 400.0, True),
    "costmap.resolution": ("Side of a cell, m.", 0.02, 5.0, True),
    "costmap.max_range": ("Ground farther away than this is not read, m.", 1.0, 200.0, True),
    "costmap.half_life": (
        "Memory of fixed classes fades by half in this time, s.", 0.05, 1e6, True,
    ),
    "costmap.moving_half_life": (
        "Memory of moving classes fades by half in this time, s.", 0.05, 1e6, True,
    ),
    "costmap.gain": ("Log-odds one fully trusted observation adds.", 0.05, 10.0, True),
    "costmap.limit": ("Largest log-odds of a cell.", 0.1, 20.0, True),
    "costmap.known": ("Log-odds above which a cell counts as seen.", 0.01, 5.0, True),
    "costmap.max_height": (
        "What a depth image shows higher over the ground blocks nothing, m.", 0.2, 20.0, True,
    ),
    "costmap.level_ground": (
        "true: the ground is level in odom_frame, pitch and roll of base_frame there are the "
        "body's; false: it is the plane z = 0 of base_frame.", None, None, True,
    ),
}  # fmt: skip


def declare_parameters(node: Node) -> None:
    """Declare all parameters with descriptors."""
    for name, default in _defaults().items():
        text, lowest, highest, _ = _DESCRIPTIONS[name]
        descriptor = ParameterDescriptor(description=text)
        if name == "autostart":
            descriptor.read_only = True
        if name in CHOICES:
            descriptor.additional_constraints = "One of: " + ", ".join(CHOICES[name])
        if isinstance(default, float):
            assert lowest is not None and highest is not None
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=lowest, to_value=highest)
            ]
        elif isinstance(default, int) and not isinstance(default, bool):
            descriptor.integer_range = [
                IntegerRange(from_value=int(lowest or 0), to_value=int(highest or 0), step=1)
            ]
        node.declare_parameter(name, default, descriptor)


def read_parameters(node: Node) -> NodeParameters:
    """The current values.

    Raises:
        ValueError: a value is not allowed; the message names the parameter, the value and what is.
    """
    values = {name: node.get_parameter(name).value for name in _defaults()}
    for name, value in values.items():
        if problem := check_value(name, value):
            raise ValueError(problem)
    known, limit = values["costmap.known"], values["costmap.limit"]
    if known >= limit:
        raise ValueError(
            f"parameter costmap.known is {known}; it must be less than costmap.limit, {limit}, "
            "else no cell is ever known"
        )
    grid = {n.split(".")[1]: values.pop(n) for n in list(values) if n.startswith("costmap.")}
    values["cameras"] = tuple(values["cameras"])
    return NodeParameters(grid=GridConfig(**grid), **values)


def pipeline_config(p: NodeParameters) -> PipelineConfig:
    """What the pipeline is told."""
    return PipelineConfig(
        cameras=p.cameras,
        rectified=p.rectified,
        inference_height=p.inference_height,
        max_gap=p.max_gap,
        execution=Execution(p.precision, p.compile, p.cuda_graphs),
        odom_frame=p.odom_frame,
        base_frame=p.base_frame,
        transform_timeout=p.transform_timeout,
        costmap_rate=p.costmap_rate,
        grid=p.grid,
    )


def check_change(parameters: list[Parameter], configured: bool) -> str:
    """Why a change of parameters is refused; empty if it is not."""
    for parameter in parameters:
        if parameter.name not in _DESCRIPTIONS:
            continue
        if configured and _DESCRIPTIONS[parameter.name][3]:
            return (
                f"parameter {parameter.name} cannot change while the node is configured; "
                "deactivate and clean up first"
            )
        if problem := check_value(parameter.name, parameter.value):
            return problem
    return ""


def check_value(name: str, value: Any) -> str:
    """What is wrong with a value; empty if nothing is."""
    if name in CHOICES and value not in CHOICES[name]:
        return f"parameter {name} is {value!r}; allowed: {', '.join(CHOICES[name])}"
    if name == "cameras" and (not value or len(set(value)) != len(value)):
        return f"parameter cameras is {value!r}; it must name at least one camera, each once"
    return ""


def _defaults() -> dict[str, Any]:
    defaults = {f.name: f.default for f in fields(NodeParameters) if f.name != "grid"}
    defaults["cameras"] = list(NodeParameters.cameras)
    return defaults | {f"costmap.{f.name}": f.default for f in fields(GridConfig)}
