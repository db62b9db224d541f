"""One camera and a small Nav2 on its costmap: costmaps, planner, controller, lifecycle manager.

ros2 launch stmem_ros nav2_example.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info
"""  # noqa: E501

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from stmem_ros.online.middleware import large_image_environment

SHARE = Path(__file__).resolve().parent.parent
ENCLAVE = "ROS_SECURITY_ENCLAVE_OVERRIDE"
BOND_TIMEOUT = 4.0  # s without a heartbeat, after which the lifecycle manager stops all

ARGUMENTS = (
    ("image", "image_raw", "Image topic; with image_transport compressed, without /compressed."),
    ("camera_info", "camera_info", "CameraInfo topic of that camera."),
    ("image_transport", "raw", "raw or compressed."),
    ("model", "onboard", "Model bundle: a shipped name or a folder."),
    ("params_file", str(SHARE / "config" / "nav2_example.yaml"), "Parameters of all nodes."),
    ("use_sim_time", "false", "true: follow /clock, for bags and simulators."),
    ("bond", "true", "Whether Nav2 stops where a node dies; the segmentation node needs bondpy."),
    ("enclave", "/stmem/segmentation_node", "Where security is on: the node's SROS2 enclave."),
)
# Of Nav2: package, and executable, which is the node's name too.
SERVERS = (("nav2_controller", "controller_server"), ("nav2_planner", "planner_server"))


def nodes(context: LaunchContext) -> list[Node]:
    value = LaunchConfiguration
    given = [value("params_file"), {"use_sim_time": value("use_sim_time")}]
    segmentation = LifecycleNode(
        package="stmem_ros",
        executable="segmentation_node",
        name="segmentation_node",
        namespace="",
        output="screen",
        additional_env={ENCLAVE: value("enclave")},
        parameters=[*given, {name: value(name) for name in ("model", "image_transport", "bond")}],
        remappings=[
            ("image_raw", value("image")),
            ("image_raw/compressed", [value("image"), "/compressed"]),
            ("camera_info", value("camera_info")),
        ],
    )
    servers = [
        Node(package=package, executable=name, name=name, output="screen", parameters=given)
        for package, name in SERVERS
    ]
    has_bond = value("bond").perform(context) == "true"
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager",
        output="screen",
        parameters=[*given, {"bond_timeout": BOND_TIMEOUT if has_bond else 0.0}],
    )
    return [segmentation, *servers, manager]


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, default, text in ARGUMENTS
    ]
    profiles = [SetEnvironmentVariable(*item) for item in large_image_environment().items()]
    return LaunchDescription([*arguments, *profiles, OpaqueFunction(function=nodes)])
