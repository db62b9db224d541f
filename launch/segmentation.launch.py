"""One camera: labels and costmap.

ros2 launch stmem_ros segmentation.launch.py image:=/camera/image_raw
"""

import os
import sys
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from stmem_ros.online.middleware import large_image_environment

SHARE = Path(__file__).resolve().parent.parent
ENCLAVE = "ROS_SECURITY_ENCLAVE_OVERRIDE"

ARGUMENTS = (
    ("image", "image_raw", "Image topic; with image_transport compressed, without /compressed."),
    ("camera_info", "camera_info", "CameraInfo topic of that camera."),
    ("depth_image", "depth", "Topic of depth images aligned with the images; see depth."),
    ("namespace", "", "Namespace of the node."),
    ("params_file", str(SHARE / "config" / "segmentation.yaml"), "Parameters of the node."),
    ("enclave", "/stmem/segmentation_node", "Where security is on: the node's SROS2 enclave."),
    (
        "nav2_topics",
        "false",
        "true: outputs as the tutorial of Nav2's semantic segmentation layer "
        "names them, /segmentation/mask, confidence, label_info, overlay, and points.",
    ),
)
# Of the outputs, where nav2_topics is true.
NAV2_TOPICS = (
    ("~/label", "/segmentation/mask"),
    ("~/confidence", "/segmentation/confidence"),
    ("~/vision_info", "/segmentation/label_info"),
    ("~/overlay", "/segmentation/overlay"),
    ("~/points", "/segmentation/points"),
)
PARAMETERS = (
    ("image_transport", "raw or compressed."),
    ("model", "Model bundle: a shipped name or a folder."),
    ("device", "Torch device: auto, cpu, cuda, cuda:N."),
    ("rectified", "true if the images are rectified."),
    ("depth", "true: place labels by depth images."),
    ("depth_transport", "raw or compressedDepth."),
    ("masks", "What has no label, a YAML list: \"['hood.png']\", or a polygon in it."),
    ("regions", "What is labelled, as masks: \"['[0, 0, 1280, 600]']\" (x, y, width, height)."),
    ("inference_rates", "Images labelled per second at most, as masks: [10.0]."),
    ("points", "What ~/points holds: contacts, ground or all."),
    ("odom_frame", "Fixed frame the grid lies in."),
    ("base_frame", "Robot frame whose plane z = 0 is the ground."),
    ("use_sim_time", "true: follow /clock, for bags and simulators."),
)


def segmentation_node(context: LaunchContext) -> list[LifecycleNode]:
    value = LaunchConfiguration
    given = {name: value(name) for name, _ in PARAMETERS if value(name).perform(context)}
    node = LifecycleNode(
        package="stmem_ros",
        executable="segmentation_node",
        name="segmentation_node",
        namespace=value("namespace"),
        output="screen",
        additional_env={ENCLAVE: value("enclave")},
        parameters=[value("params_file"), given],
        remappings=[
            ("image_raw", value("image")),
            ("image_raw/compressed", [value("image"), "/compressed"]),
            ("camera_info", value("camera_info")),
            ("depth", value("depth_image")),
            ("depth/compressedDepth", [value("depth_image"), "/compressedDepth"]),
            *(NAV2_TOPICS if value("nav2_topics").perform(context) == "true" else ()),
        ],
    )
    return [node]


def camera_check() -> list[ExecuteProcess]:
    """Says once which cameras there are; where security is on it would need rights of its own."""
    if os.environ.get("ROS_SECURITY_ENABLE") == "true":
        return []
    command = [sys.executable, "-m", "stmem_ros.commands.stmem", "doctor", "--graph"]
    return [ExecuteProcess(cmd=command, output="screen")]


def generate_launch_description() -> LaunchDescription:
    as_in_file = ((name, "", f"{text} Empty: as in params_file.") for name, text in PARAMETERS)
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, default, text in (*ARGUMENTS, *as_in_file)
    ]
    profiles = [SetEnvironmentVariable(*item) for item in large_image_environment().items()]
    return LaunchDescription(
        [
            *arguments,
            *profiles,
            OpaqueFunction(function=segmentation_node),
            *camera_check(),
        ]
    )
