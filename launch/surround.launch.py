"""Several cameras, one costmap: one node labels them all and fuses them into one grid.

ros2 launch stmem_ros surround.launch.py cameras:=front,left,right

Each camera has a namespace of its own with `image_raw` and `camera_info` in it.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from stmem_ros.online.middleware import large_image_environment

SHARE = Path(__file__).resolve().parent.parent
ENCLAVE = "ROS_SECURITY_ENCLAVE_OVERRIDE"

ARGUMENTS = (
    ("cameras", "front,left,right", "Namespaces of the cameras, with commas between them."),
    ("image", "image_raw", "Image topic inside each camera's namespace."),
    ("camera_info", "camera_info", "CameraInfo topic inside each camera's namespace."),
    ("depth_image", "depth", "Topic of depth images, likewise; see depth."),
    ("namespace", "", "Namespace of the node and the cameras."),
    ("params_file", str(SHARE / "config" / "segmentation.yaml"), "Parameters of the node."),
    ("enclave", "/stmem/segmentation_node", "Where security is on: the node's SROS2 enclave."),
)
PARAMETERS = (
    ("image_transport", "raw or compressed."),
    ("model", "Model bundle: a shipped name or a folder."),
    ("device", "Torch device: auto, cpu, cuda, cuda:N."),
    ("rectified", "true if the images are rectified."),
    ("depth", "true: place labels by depth images."),
    ("depth_transport", "raw or compressedDepth."),
    ("masks", "What has no label, of each camera or of all: \"['front.png', '']\"."),
    ("regions", "What is labelled, as masks: \"['[0, 0, 1280, 600]']\" (x, y, width, height)."),
    ("inference_rates", "Images labelled per second at most, as masks: [10.0]."),
    ("points", "What ~/points holds: contacts, ground or all."),
    ("odom_frame", "Fixed frame the grid lies in."),
    ("base_frame", "Robot frame whose plane z = 0 is the ground."),
    ("use_sim_time", "true: follow /clock, for bags and simulators."),
)


def surround_node(context: LaunchContext) -> list[LifecycleNode]:
    value = LaunchConfiguration
    cameras = [
        name for name in value("cameras").perform(context).replace(" ", "").split(",") if name
    ]
    if not cameras:
        raise ValueError("argument cameras is empty; name at least one, as in cameras:=front,left")
    image, info, depth = (
        value(topic).perform(context) for topic in ("image", "camera_info", "depth_image")
    )
    given = {name: value(name) for name, _ in PARAMETERS if value(name).perform(context)}
    remappings = []
    for camera in cameras:
        remappings += [
            (f"{camera}/image_raw", f"{camera}/{image}"),
            (f"{camera}/image_raw/compressed", f"{camera}/{image}/compressed"),
            (f"{camera}/camera_info", f"{camera}/{info}"),
            (f"{camera}/depth", f"{camera}/{depth}"),
            (f"{camera}/depth/compressedDepth", f"{camera}/{depth}/compressedDepth"),
        ]
    return [
        LifecycleNode(
            package="stmem_ros",
            executable="segmentation_node",
            name="segmentation_node",
            namespace=value("namespace"),
            output="screen",
            additional_env={ENCLAVE: value("enclave")},
            parameters=[value("params_file"), {"cameras": cameras} | given],
            remappings=remappings,
        )
    ]


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
            OpaqueFunction(function=surround_node),
        ]
    )
