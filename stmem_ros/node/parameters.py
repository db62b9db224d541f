"""The ROS side of the node's parameters: declare them, read them, check a change."""

from __future__ import annotations

from array import array
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from stmem_ros.configuration import ConfigurationError
from stmem_ros.parameter_table import BY_NAME, PARAMETERS, Change, Parameter
from stmem_ros.parameters import NodeParameters, node_parameters


def declare_parameters(node: Node) -> None:
    """Declare all parameters with descriptors.

    Raises:
        ConfigurationError: a value that the node was started with is of another type or out of
            range; the message names the parameter, the value and what is allowed.
    """
    for parameter in PARAMETERS:
        value = parameter.converted(_given(node, parameter))
        if problem := parameter.problem(value):
            raise ConfigurationError(problem)
        descriptor = _descriptor(parameter)
        node.declare_parameter(parameter.name, value, descriptor, ignore_override=True)


def _given(node: Node, parameter: Parameter) -> Any:
    """What the node was started with, of whatever type; the default if with nothing."""
    of_any_type = ParameterDescriptor(dynamic_typing=True)
    value: Any = node.declare_parameter(parameter.name, parameter.default, of_any_type).value
    node.undeclare_parameter(parameter.name)
    return _plain(value)


def _plain(value: Any) -> Any:
    """A value of rclpy, whose arrays are of several types, with a list for each of them."""
    return list(value) if isinstance(value, tuple | array) else value


def read_parameters(node: Node) -> NodeParameters:
    """The current values.

    Raises:
        ValueError: a value is not allowed; the message names the parameter, the value and what is.
    """
    return node_parameters({name: _plain(node.get_parameter(name).value) for name in BY_NAME})


def check_change(changed: list[RosParameter], configured: bool) -> str:
    """Why a change of parameters is refused; empty if it is not."""
    for change in changed:
        parameter = BY_NAME.get(change.name)
        if parameter is None:
            continue
        if configured and parameter.change is not Change.ANY_TIME:
            return (
                f"parameter {parameter.name} cannot change while the node is configured; "
                "deactivate and clean up first"
            )
        if problem := parameter.problem(_plain(change.value)):
            return problem
    return ""


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=parameter.text)
    descriptor.read_only = parameter.change is Change.NEVER
    if parameter.choices:
        descriptor.additional_constraints = f"One of: {parameter.allowed}"
    elif isinstance(parameter.default, list) and parameter.allowed:
        descriptor.additional_constraints = f"Each: {parameter.allowed}"
    elif parameter.special:  # a range of ROS has no gaps
        descriptor.additional_constraints = f"One of: {parameter.allowed}"
    lowest, highest = min((parameter.lowest, *parameter.special)), parameter.highest
    if isinstance(parameter.default, float):
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(lowest), to_value=float(highest))
        ]
    elif type(parameter.default) is int:
        descriptor.integer_range = [
            IntegerRange(from_value=int(lowest), to_value=int(highest), step=1)
        ]
    return descriptor
