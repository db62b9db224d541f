"""Several cameras, one costmap: one node labels them all and fuses them into one grid.

ros2 launch stmem_ros surround.launch.py cameras:=front,left,right

Each camera has a namespace of its own with `image_raw` and `camera_info` in it.
"""

import os
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

SHARE = Path(__file__).resolve().parent.parent
PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"

ARGUMENTS = (
    ("cameras", "front,left,right", "Namespaces of the cameras, with commas between them."),
    ("image", "image_raw", "Image topic inside each camera's namespace."),
    ("camera_info", "camera_info", "CameraInfo topic inside each camera's namespace."),
    ("image_transport", "raw", "raw or compressed."),
    ("model", "onboard", "Model bundle: a shipped name or a folder."),
    ("device", "auto", "Torch device: auto, cpu, cuda, cuda:N."),
    ("rectified", "false", "true if the images are rectified."),
    ("odom_frame", "odom", "Fixed frame the grid lies in."),
    ("base_frame", "base_footprint", "Robot frame whose plane z = 0 is the ground."),
    ("namespace", "", "Namespace of the node and the cameras."),
    ("use_sim_time", "false", "Follow /clock, for bags and simulators."),
    ("params_file", str(SHARE / "config" / "segmentation.yaml"), "Parameters of the node."),
)


def surround_node(context: LaunchContext) -> list[LifecycleNode]:
    value = LaunchConfiguration
    cameras = [
        name for name in value("cameras").perform(context).replace(" ", "").split(",") if name
    ]
    if not cameras:
        raise ValueError("argument cameras is empty; name at least one, as in cameras:=front,left")
    image, info = value("image").perform(context), value("camera_info").perform(context)
    names = ("image_transport", "model", "device", "rectified", "odom_frame", "base_frame")
    remappings = []
    for camera in cameras:
        remappings += [
            (f"{camera}/image_raw", f"{camera}/{image}"),
            (f"{camera}/image_raw/compressed", f"{camera}/{image}/compressed"),
            (f"{camera}/camera_info", f"{camera}/{info}"),
        ]
    return [
        LifecycleNode(
            package="stmem_ros",
            executable="segmentation_node",
            name="segmentation_node",
            namespace=value("namespace"),
            output="screen",
            parameters=[
                value("params_file"),
                {"cameras": cameras, "use_sim_time": value("use_sim_time")}
                | {name: value(name) for name in names},
            ],
            remappings=remappings,
        )
    ]


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, default, text in ARGUMENTS
    ]
    profile = os.environ.get(PROFILE, str(SHARE / "config" / "fastdds_large_images.xml"))
    return LaunchDescription(
        [
            *arguments,
            SetEnvironmentVariable(PROFILE, profile),
            OpaqueFunction(function=surround_node),
        ]
    )
