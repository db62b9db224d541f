"""The launch files, resolved by a stand-in for `launch` where that package is not installed."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from urllib.parse import urlparse
from xml.etree import ElementTree

import pytest
import yaml

from stmem_ros.commands.stmem import build_parser
from stmem_ros.io.output_topics import output_topics
from stmem_ros.online.middleware import fast_dds_profile, large_image_environment
from stmem_ros.parameters import DEFAULTS, NodeParameters, read_parameter_file

ROOT = Path(__file__).parent.parent


class Recorded:
    """An action or substitution that remembers what it was made of."""

    def __init__(self, *positional: object, **named: object) -> None:
        self.positional, self.named = positional, named

    def perform(self, context: dict[str, str]) -> str:
        """The value of a launch configuration."""
        return context[self.positional[0]]


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {
        "launch": ("LaunchContext", "LaunchDescription"),
        "launch.actions": (
            "DeclareLaunchArgument", "EmitEvent", "ExecuteProcess", "OpaqueFunction",
            "RegisterEventHandler", "SetEnvironmentVariable",
        ),
        "launch.event_handlers": ("OnProcessExit",),
        "launch.events": ("Shutdown",),
        "launch.substitutions": ("LaunchConfiguration",),
        "launch_ros": (),
        "launch_ros.actions": ("LifecycleNode", "Node"),
    }  # fmt: skip
    for module, classes in names.items():
        made = ModuleType(module)
        for name in classes:
            setattr(made, name, type(name, (Recorded,), {}))
        monkeypatch.setitem(sys.modules, module, made)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "launch" / f"{name}.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def segmentation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    stand_in(monkeypatch)
    return load("segmentation")


@pytest.fixture
def surround(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    stand_in(monkeypatch)
    return load("surround")


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    stand_in(monkeypatch)
    return load("replay")


def defaults(description: Recorded) -> dict[str, str]:
    declared = parts(description, "DeclareLaunchArgument")
    return {a.positional[0]: a.named["default_value"] for a in declared}


def parts(description: Recorded, kind: str) -> list[Recorded]:
    return [a for a in description.positional[0] if type(a).__name__ == kind]


def started(description: Recorded, **given: str) -> list[Recorded]:
    """What a launch file starts with some arguments given."""
    (opaque,) = parts(description, "OpaqueFunction")
    return opaque.named["function"](defaults(description) | given)


def test_every_argument_is_described_and_used(segmentation: ModuleType) -> None:
    description = segmentation.generate_launch_description()
    declared = parts(description, "DeclareLaunchArgument")
    assert all(len(a.named["description"]) > 10 for a in declared)
    names = {a.positional[0] for a in declared}
    (node,) = started(description, **{name: "given" for name in names})
    used = set()

    def visit(value: object) -> None:
        if type(value).__name__ == "LaunchConfiguration":
            used.add(value.positional[0])
        elif isinstance(value, dict):
            visit(list(value.values()))
        elif isinstance(value, list | tuple):
            for item in value:
                visit(item)

    visit(list(node.named.values()))
    assert used == names - {"nav2_topics"}


@pytest.mark.parametrize("name", ["segmentation", "surround"])
def test_only_what_is_given_goes_before_the_parameter_file(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    description = load(name).generate_launch_description()
    (node,) = started(description)
    file, own = node.named["parameters"]
    assert file.positional == ("params_file",) and set(own) <= {"cameras"}
    (node,) = started(description, base_frame="base_link", depth="true")
    assert set(node.named["parameters"][1]) - {"cameras"} == {"base_frame", "depth"}


def test_what_it_sets_are_parameters_of_the_node(segmentation: ModuleType) -> None:
    own = set(NodeParameters.__dataclass_fields__) | {"use_sim_time"}
    assert {name for name, _ in segmentation.PARAMETERS} <= own
    (node,) = started(segmentation.generate_launch_description())
    assert node.named["executable"] == "segmentation_node"


def test_outputs_have_the_names_of_nav2s_tutorial_if_asked(segmentation: ModuleType) -> None:
    description = segmentation.generate_launch_description()
    for asked in ("false", "true"):
        (node,) = started(description, nav2_topics=asked)
        remapped = dict(node.named["remappings"])
        assert (remapped.get("~/label") == "/segmentation/mask") == (asked == "true")
        assert ("~/points" in remapped) == (asked == "true")


def test_surround_gives_one_node_all_cameras_with_their_topics(surround: ModuleType) -> None:
    description = surround.generate_launch_description()
    assert all(
        len(a.named["description"]) > 10 for a in parts(description, "DeclareLaunchArgument")
    )
    (node,) = started(
        description, cameras="front, rear", image="image_color", depth_image="depth_registered"
    )
    assert node.named["parameters"][1] == {"cameras": ["front", "rear"]}
    own = set(NodeParameters.__dataclass_fields__) | {"use_sim_time"}
    assert {name for name, _ in surround.PARAMETERS} <= own
    remapped = dict(node.named["remappings"])
    assert remapped["rear/image_raw"] == "rear/image_color"
    assert remapped["front/image_raw/compressed"] == "front/image_color/compressed"
    assert remapped["front/depth"] == "front/depth_registered"


def test_surround_without_cameras_says_what_is_missing(surround: ModuleType) -> None:
    given = defaults(surround.generate_launch_description()) | {"cameras": " , "}
    with pytest.raises(ValueError, match="cameras"):
        surround.surround_node(given)


@pytest.mark.parametrize(
    ("image", "transport"), [("/cam/image_raw", "raw"), ("/cam/image_raw/compressed", "compressed")]
)
def test_replay_plays_the_bag_to_the_node_and_ends_with_it(
    replay: ModuleType, image: str, transport: str
) -> None:
    description = replay.generate_launch_description()
    assert all(
        len(a.named["description"]) > 10 for a in parts(description, "DeclareLaunchArgument")
    )
    given = defaults(description) | {"bag": "drive", "image": image}
    node, player, handler = started(description, bag="drive", image=image)
    parameters = {k: v for given in node.named["parameters"][1:] for k, v in given.items()}
    assert set(parameters) <= set(NodeParameters.__dataclass_fields__) | {"use_sim_time"}
    assert parameters["use_sim_time"] is True
    assert parameters["image_transport"] == transport
    listened = "image_raw/compressed" if transport == "compressed" else "image_raw"
    assert dict(node.named["remappings"])[listened] == image

    words = [w if isinstance(w, str) else w.perform(given) for w in player.named["cmd"]]
    options = build_parser().parse_args(words[1:])
    assert (options.bag, options.rate) == (Path("drive"), 1.0)
    assert (options.record, options.image) == (Path("stmem_output"), image)
    (on_exit,) = handler.positional
    assert on_exit.named["target_action"] is player
    assert type(on_exit.named["on_exit"][0].named["event"]).__name__ == "Shutdown"


def test_node_and_player_are_in_enclaves_of_the_policy(
    segmentation: ModuleType, replay: ModuleType
) -> None:
    tree = ElementTree.parse(ROOT / "config" / "security" / "policy.xml")
    permitted = {enclave.get("path") for enclave in tree.iter("enclave")}
    for file in (segmentation, replay):
        description = file.generate_launch_description()
        given = defaults(description) | {"bag": "drive", "image": "image_raw"}
        node, *others = started(description, **given)
        (enclave,) = node.named["additional_env"].values()
        assert enclave.perform(given) == "/stmem/segmentation_node"
        assert enclave.perform(given) in permitted
    player, _ = others
    assert set(player.named["additional_env"].values()) == {"/stmem/recorder"} < permitted


@pytest.fixture
def nav2_example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    stand_in(monkeypatch)
    return load("nav2_example")


def nav2_values(name: str) -> dict[str, dict]:
    """Parameters by node of a file in config/."""
    raw = yaml.safe_load((ROOT / "config" / name).read_text())
    nested = {n: raw.pop(n)[n] for n in ("local_costmap", "global_costmap") if n in raw}
    return {node: content["ros__parameters"] for node, content in (raw | nested).items()}


def test_nav2_is_started_with_the_node_and_all_that_its_manager_manages(
    nav2_example: ModuleType,
) -> None:
    description = nav2_example.generate_launch_description()
    assert all(
        len(a.named["description"]) > 10 for a in parts(description, "DeclareLaunchArgument")
    )
    for bond, timeout in (("true", 4.0), ("false", 0.0)):
        made = started(description, bond=bond)
        names = [node.named["name"] for node in made]
        managed = nav2_values("nav2_example.yaml")["lifecycle_manager"]["node_names"]
        assert sorted(names) == sorted([*managed, "lifecycle_manager"])
        assert made[-1].named["parameters"][-1] == {"bond_timeout": timeout}
        assert all(node.named["parameters"][0].positional == ("params_file",) for node in made)
    own = set(NodeParameters.__dataclass_fields__) | {"use_sim_time"}
    assert set().union(*made[0].named["parameters"][1:]) <= own


def test_the_files_for_nav2_say_the_same_and_name_what_the_node_publishes() -> None:
    example, short = nav2_values("nav2_example.yaml"), nav2_values("nav2_local_costmap.yaml")
    node = read_parameter_file(ROOT / "config" / "nav2_example.yaml")
    published = {topic.name for topic in output_topics(())}
    for costmap in (example["local_costmap"], example["global_costmap"], short["local_costmap"]):
        assert costmap["semantic_layer"]["map_topic"] in published
        assert costmap["plugins"][0] == "semantic_layer" and costmap["rolling_window"]
        assert not costmap["trinary_costmap"] and not costmap["use_maximum"]
        assert costmap["width"] + 4 <= node.grid.size
        assert costmap["inflation_layer"]["inflation_radius"] > costmap["robot_radius"]
        assert costmap["robot_base_frame"] == node.base_frame
        assert costmap["global_frame"] == node.odom_frame
    assert example["local_costmap"]["obstacle_layer"] == short["local_costmap"]["obstacle_layer"]
    assert short["local_costmap"]["obstacle_layer"]["semantic_points"]["topic"] in published
    for values in (example, short):
        assert values["planner_server"]["GridBased"]["allow_unknown"] is False
    rate = example["local_costmap"]["update_frequency"]
    assert rate >= 2 * example["controller_server"]["controller_frequency"]
    assert not node.autostart and node.grid.blind_zone == "auto"


@pytest.mark.parametrize("name", ["segmentation", "surround", "replay", "nav2_example"])
def test_it_sets_the_profiles_of_all_middlewares_unless_the_user_did(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    monkeypatch.setenv(fast_dds_profile(), "/mine.xml")
    monkeypatch.delenv("CYCLONEDDS_URI", raising=False)
    description = load(name).generate_launch_description()
    variables = dict(a.positional for a in parts(description, "SetEnvironmentVariable"))
    assert variables == large_image_environment()
    assert variables[fast_dds_profile()] == "/mine.xml"
    assert Path(urlparse(variables["CYCLONEDDS_URI"]).path).is_file()


def test_the_parameter_file_names_parameters_and_their_defaults() -> None:
    raw = yaml.safe_load((ROOT / "config" / "segmentation.yaml").read_text())
    given = raw["/**"]["ros__parameters"]
    groups = {"grid": given.pop("costmap"), "health": given.pop("diagnostics")}
    for name, value in given.items():
        default = getattr(DEFAULTS, name)
        assert value == (list(default) if isinstance(default, tuple) else default), name
    assert set(given) == set(NodeParameters.__dataclass_fields__) - {*groups, "autostart"}
    for group, values in groups.items():
        assert values == dataclasses.asdict(getattr(DEFAULTS, group))
