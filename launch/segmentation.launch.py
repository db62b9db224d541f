"""One camera: labels and costmap.

ros2 launch stmem_ros segmentation.launch.py image:=/camera/image_raw
"""

import os
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

SHARE = Path(__file__).resolve().parent.parent
PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE"

ARGUMENTS = (
    ("image", "image_raw", "Image topic; with image_transport compressed, without /compressed."),
    ("camera_info", "camera_info", "CameraInfo topic of that camera."),
    ("image_transport", "raw", "raw or compressed."),
    ("model", "onboard", "Model bundle: a shipped name or a folder."),
    ("device", "auto", "Torch device: auto, cpu, cuda, cuda:N."),
    ("rectified", "false", "true if the images are rectified."),
    ("namespace", "", "Namespace of the node."),
    ("use_sim_time", "false", "Follow /clock, for bags and simulators."),
    ("params_file", str(SHARE / "config" / "segmentation.yaml"), "Parameters of the node."),
)


def generate_launch_description() -> LaunchDescription:
    value = LaunchConfiguration
    node = LifecycleNode(
        package="stmem_ros",
        executable="segmentation_node",
        name="segmentation_node",
        namespace=value("namespace"),
        output="screen",
        parameters=[
            value("params_file"),
            {
                name: value(name)
                for name in ("image_transport", "model", "device", "rectified", "use_sim_time")
            },
        ],
        remappings=[
            ("image_raw", value("image")),
            ("image_raw/compressed", [value("image"), "/compressed"]),
            ("camera_info", value("camera_info")),
        ],
    )
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, default, text in ARGUMENTS
    ]
    profile = os.environ.get(PROFILE, str(SHARE / "config" / "fastdds_large_images.xml"))
    return LaunchDescription([*arguments, SetEnvironmentVariable(PROFILE, profile), node])
