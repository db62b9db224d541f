"""The table of the node's parameters: what is made from it, and the files that are read by it."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from stmem_ros.configuration import ConfigurationError
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.parameter_table import PARAMETERS
from stmem_ros.parameters import (
    DEFAULTS,
    NodeParameters,
    node_parameters,
    pipeline_config,
    read_parameter_file,
)
from stmem_ros.pipeline import PipelineConfig

ROOT = Path(__file__).parent.parent


@pytest.fixture
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write", ROOT / "docs" / "write_parameters.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(folder: Path, text: str, **node: str) -> NodeParameters:
    path = folder / "node.yaml"
    path.write_text(text)
    return read_parameter_file(path, **node)


def changed(**values: object) -> NodeParameters:
    return dataclasses.replace(DEFAULTS, **values)


def test_the_parameter_file_is_written_from_the_table(writer: ModuleType) -> None:
    assert writer.PARAMETER_FILE.read_text() == writer.parameter_file(), "run `make parameters`"
    assert read_parameter_file(writer.PARAMETER_FILE) == DEFAULTS


def test_the_table_of_the_page_is_written_from_the_table(writer: ModuleType) -> None:
    text = writer.PAGE.read_text()
    assert text == writer.page(text), "run `make parameters`"
    assert all(f"| `{p.name}` | {p.type_name} |" in text for p in PARAMETERS)


def test_every_parameter_has_a_text_and_every_number_a_range_with_its_default() -> None:
    for parameter in PARAMETERS:
        assert parameter.text.endswith(".") and not parameter.problem(parameter.default)
        if type(parameter.default) in (int, float):
            assert parameter.allowed


def test_parameters_are_given_in_groups_or_by_dotted_names(tmp_path: Path) -> None:
    nested = "costmap: {size: 20.0, half_life: 5.}"
    dotted = "{costmap.size: 2e1, costmap.half_life: 5.0}"
    wanted = changed(grid=GridConfig(size=20.0, half_life=5.0))
    for given in (f"{{{nested}}}", dotted):
        assert read(tmp_path, f"/**: {{ros__parameters: {given}}}") == wanted


@pytest.mark.parametrize(
    "entry",
    [
        "/**: {P}",
        "segmentation_node: {P}",
        "/segmentation_node: {P}",
        "/car/segmentation_node: {P}",
        "car: {segmentation_node: {P}}",
        "car: {front: {segmentation_node: {P}}}",
        "/**/segmentation_node: {P}",
        "/**: {ros__parameters: {depth: false}}\nsegmentation_node: {P}",
        "segmentation_node: {P}\nother_node: {ros__parameters: {depth: false, wheels: 4}}",
    ],
)
def test_the_node_is_found_by_its_name(tmp_path: Path, entry: str) -> None:
    given = read(tmp_path, entry.replace("P", "ros__parameters: {depth: true}"))
    assert given == changed(depth=True)


def test_of_several_nodes_of_a_name_one_is_named_in_full(tmp_path: Path) -> None:
    text = "\n".join(
        f"/{name}/segmentation_node: {{ros__parameters: {{base_frame: {name}}}}}"
        for name in ("left", "right")
    )
    with pytest.raises(ConfigurationError, match=r"/left/segmentation_node.*/right/segment"):
        read(tmp_path, text)
    named = read(tmp_path, text, node_name="/right/segmentation_node")
    assert named == changed(base_frame="right")


def test_scalars_are_what_ros_takes_them_for(tmp_path: Path) -> None:
    text = "{depth: y, model: 2024-01-01, odom_frame: 1:30, cost_rules: ~, max_gap: 5e-1}"
    assert read(tmp_path, f"/**: {{ros__parameters: {text}}}") == changed(
        depth=True, model="2024-01-01", odom_frame="1:30", cost_rules="~", max_gap=0.5
    )


def test_a_whole_number_is_a_double_where_one_is_due(tmp_path: Path) -> None:
    given = read(tmp_path, "/**: {ros__parameters: {max_gap: 2, costmap: {size: 20}}}")
    assert given == changed(max_gap=2.0, grid=GridConfig(size=20.0))
    assert type(given.max_gap) is float


def test_parameters_of_every_node_are_left_to_ros(tmp_path: Path) -> None:
    text = "{use_sim_time: true, qos_overrides: {/tf: {subscription: {depth: 9}}}}"
    assert read(tmp_path, f"/**: {{ros__parameters: {text}}}") == DEFAULTS


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("{max_gap: 0}", "max_gap is 0.0"),
        ("{max_gap: '1.0'}", "max_gap is '1.0'"),
        ("{max_gap: .nan}", "max_gap is nan"),
        ("{max_gap: 0.0}", "max_gap is 0.0"),
        ("{inference_height: 360.0}", "inference_height is 360.0"),
        ("{inference_height: 31}", "inference_height is 31; allowed: -1, 0, 32 to 4320"),
        ("{inference_height: -2}", "inference_height is -2"),
        ("{unseen_cost: 50}", "unseen_cost is 50"),
        ("{depth: 1}", "depth is 1"),
        ("{model: 7}", "model is 7"),
        ("{model: }", "model is None"),
        ("{cameras: front}", "cameras is 'front'"),
        ("{cameras: []}", "cameras is []"),
        ("{cameras: [a, a]}", "cameras is ['a', 'a']"),
        ("{cameras: [a, 1]}", "cameras is ['a', 1]"),
        ("{masks: hood.png}", "masks is 'hood.png'"),
        ("{masks: ['[[1, 2]]']}", "[[1, 2]]"),
        ("{masks: [a.png, b.png]}", "masks has 2"),
        ("{cameras: [a, b, c], regions: ['', '']}", "regions has 2"),
        ("{regions: ['[0, 0, 5, 5]']}", "[0, 0, 5, 5]"),
        ("{inference_rates: [-1.0]}", "inference_rates is [-1.0]"),
        ("{inference_rates: ['5']}", "inference_rates is ['5']"),
        ("{inference_rates: [0.5]}", "inference_rates holds 0.5"),
        ("{max_gap: 9.0, inference_rates: [0.2]}", "costmap.stale_after"),
        ("{precision: float8}", "precision is 'float8'"),
        ("{costmap: {sise: 2.0}}", "costmap.sise"),
        ("{costmap: {known: 4.0}}", "costmap.known is 4.0"),
        ("{diagnostics: {age_warn: 4.0}}", "diagnostics.age_warn is 4.0"),
        ("{costmap: {size: 400.0, resolution: 0.02}}", "costmap.size is 400.0"),
        ("{costmap: {size: 201.0, resolution: 0.1}}", "costmap.resolution 0.1"),
        ("3", "ros__parameters is 3"),
    ],
)
def test_what_the_node_would_refuse_is_named(tmp_path: Path, given: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, f"/**: {{ros__parameters: {given}}}")
    message = str(caught.value)
    assert str(tmp_path / "node.yaml") in message and "\n" not in message
    assert named in message


@pytest.mark.parametrize(
    "text", ["", "other: {ros__parameters: {depth: true}}", "segmentation_node: {depth: true}", "["]
)
def test_a_file_without_parameters_for_the_node_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"node\.yaml"):
        read(tmp_path, text)


def test_values_are_given_by_their_ros_names() -> None:
    assert node_parameters({"costmap.size": 9.0, "cameras": ["a", "b"]}) == changed(
        grid=GridConfig(size=9.0), cameras=("a", "b")
    )


def test_what_is_given_for_each_camera_may_be_given_once_for_all() -> None:
    given = {"cameras": ["a", "b"], "regions": ["[0, 0, 64, 64]"], "inference_rates": [5, 10]}
    config = pipeline_config(node_parameters(given))
    assert [area.region for area in config.areas] == [(0, 0, 64, 64)]
    assert config.inference_rates == (5.0, 10.0)


def test_the_file_of_a_mask_that_is_not_there_is_named(tmp_path: Path) -> None:
    values = node_parameters({"masks": [str(tmp_path / "hood.png")]})
    with pytest.raises(ValueError, match=r"hood\.png"):
        pipeline_config(values)


def test_the_pipeline_has_the_nodes_defaults() -> None:
    assert pipeline_config(DEFAULTS) == PipelineConfig()


@pytest.mark.parametrize("name", ["/front", "front-left", "front left", "1cam", "front/"])
def test_a_camera_whose_name_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cameras.*{name}"):
        node_parameters({"cameras": [name]})
