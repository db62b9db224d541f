"""A bag played to the node with /clock, what the node publishes recorded; ends with the bag.

ros2 launch stmem_ros replay.launch.py bag:=drive image:=/camera/image_raw camera_info:=/camera/camera_info
"""  # noqa: E501

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from stmem_ros.online.middleware import large_image_environment

SHARE = Path(__file__).resolve().parent.parent
ENCLAVE = "ROS_SECURITY_ENCLAVE_OVERRIDE"
JPEG = "/compressed"

ARGUMENTS = (
    ("bag", None, "Bag to play: a rosbag2 folder, an .mcap or .db3 file, or a ROS 1 bag."),
    ("image", None, "Image topic as the bag names it, raw or .../compressed."),
    ("camera_info", "camera_info", "CameraInfo topic of that camera."),
    ("output", "stmem_output", "New folder for the bag of outputs."),
    ("rate", "1.0", "Speed, 1 is real time; slow enough, every image is labelled."),
    ("params_file", str(SHARE / "config" / "segmentation.yaml"), "Parameters of the node."),
    ("enclave", "/stmem/segmentation_node", "Where security is on: the node's SROS2 enclave."),
)
PARAMETERS = (
    ("model", "Model bundle: a shipped name or a folder."),
    ("device", "Torch device: auto, cpu, cuda, cuda:N."),
    ("rectified", "true if the images are rectified."),
    ("odom_frame", "Fixed frame the grid lies in."),
    ("base_frame", "Robot frame whose plane z = 0 is the ground."),
)


def replay(context: LaunchContext) -> list:
    value = LaunchConfiguration
    image = value("image").perform(context)
    node = LifecycleNode(
        package="stmem_ros",
        executable="segmentation_node",
        name="segmentation_node",
        namespace="",
        output="screen",
        additional_env={ENCLAVE: value("enclave")},
        parameters=[
            value("params_file"),
            {name: value(name) for name, _ in PARAMETERS if value(name).perform(context)},
            {
                "use_sim_time": True,
                "image_reliability": "reliable",
                "image_transport": "compressed" if image.endswith(JPEG) else "raw",
            },
        ],
        remappings=[
            ("image_raw", image.removesuffix(JPEG)),
            (f"image_raw{JPEG}", image),
            ("camera_info", value("camera_info")),
        ],
    )
    player = ExecuteProcess(
        cmd=[
            *("stmem", "bag", "play", value("bag"), "--rate", value("rate")),
            *("--record", value("output"), "--image", image),
        ],
        output="screen",
        additional_env={ENCLAVE: "/stmem/recorder"},
    )
    end = EmitEvent(event=Shutdown(reason="the bag has ended"))
    return [
        node,
        player,
        RegisterEventHandler(OnProcessExit(target_action=player, on_exit=[end])),
    ]


def generate_launch_description() -> LaunchDescription:
    as_in_file = ((name, "", f"{text} Empty: as in params_file.") for name, text in PARAMETERS)
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, default, text in (*ARGUMENTS, *as_in_file)
    ]
    profiles = [SetEnvironmentVariable(*item) for item in large_image_environment().items()]
    return LaunchDescription([*arguments, *profiles, OpaqueFunction(function=replay)])
