"""Parameter files mean the same to the node and to who reads them without ROS."""

from __future__ import annotations

from pathlib import Path

import pytest
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter

from stmem_ros.configuration import ConfigurationError
from stmem_ros.node.parameters import check_change, declare_parameters, read_parameters
from stmem_ros.parameters import NodeParameters, read_parameter_file


def node_reads(path: Path, namespace: str) -> NodeParameters:
    """What a node that is started with the file has."""
    context = rclpy.Context()
    arguments = ["--ros-args", "--params-file", str(path), "-r", f"__ns:={namespace}"]
    rclpy.init(args=arguments, context=context)
    try:
        node = Node("segmentation_node", context=context)
        declare_parameters(node)
        return read_parameters(node)
    finally:
        context.try_shutdown()


@pytest.mark.parametrize(
    "text",
    [
        "/**: {P}",
        "segmentation_node: {ros__parameters: {depth: n}}\n/**: {P}",
        "/**: {ros__parameters: {depth: n, use_sim_time: true}}\n/segmentation_node: {P}",
        "other: {ros__parameters: {depth: n}}\n/**/segmentation_node: {P}",
    ],
)
def test_a_file_means_the_same_to_the_node(tmp_path: Path, text: str, ros_domain: None) -> None:
    path = tmp_path / "node.yaml"
    values = (
        "{depth: Y, cameras: [a, b], masks: [a.png, ''], inference_rates: [5, 10], "
        "max_gap: 5e-1, inference_height: 0x40, "
        "odom_frame: 2024-01-01, transform_timeout: 1, cost_rules: ~, model: '1', "
        "costmap.size: 2.e1, "
        "costmap: {known: .25, level_ground: on}}"
    )
    path.write_text(text.replace("P", f"ros__parameters: {values}"))
    assert read_parameter_file(path) == node_reads(path, "/")
    assert read_parameter_file(path).depth


def test_a_namespace_in_a_file_means_the_same_to_the_node(tmp_path: Path, ros_domain: None) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(
        "left: {segmentation_node: {ros__parameters: {base_frame: a}}}\n"
        "/*/segmentation_node: {ros__parameters: {depth: true}}\n"
        "/right/segmentation_node: {ros__parameters: {base_frame: b}}\n"
    )
    for namespace in ("/left", "/right"):
        given = read_parameter_file(path, f"{namespace}/segmentation_node")
        assert given == node_reads(path, namespace)


@pytest.mark.parametrize(
    "given",
    ["{max_gap: 0}", "{depth: 1}", "{model: 7}", "{cameras: a}", "{unseen_cost: 9}",
     "{inference_height: 31}", "{costmap: {size: .nan}}", "{cameras: []}",
     "{label_size: half}", "{cameras: [a, 1]}", "{model: }"],
)  # fmt: skip
def test_what_the_node_refuses_is_refused_in_a_file(
    tmp_path: Path, given: str, ros_domain: None
) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(f"/**: {{ros__parameters: {given}}}")
    with pytest.raises(ConfigurationError, match=given.split(":")[-2].strip(" {")):
        read_parameter_file(path)
    with pytest.raises(Exception):  # noqa: B017  rcl and rclpy have several kinds
        node_reads(path, "/")


def test_a_height_that_the_network_cannot_see_is_refused_when_it_is_set() -> None:
    def reason(height: int) -> str:
        return check_change([Parameter("inference_height", value=height)], configured=False)

    wanted = "parameter inference_height is {}; allowed: -1, 0, 32 to 4320"
    assert [reason(height) for height in (1, 31)] == [wanted.format(1), wanted.format(31)]
    assert not any(reason(height) for height in (-1, 0, 32, 4320))
