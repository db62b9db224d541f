"""``stmem bench core``: the stream beside the plain form it must equal."""

import json
from pathlib import Path

import cv2
import pytest

from stmem_ros.commands.stmem import main

pytestmark = pytest.mark.end_to_end


def test_stream_and_plain_form_are_measured_side_by_side(
    small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plot = tmp_path / "core.json", tmp_path / "core.png"
    arguments = ["--model", small_bundle, "--size", "64x96", "--repeats", 2, "--cameras", 2]
    arguments += ["--device", "cpu", "--json", out, "--plot", plot]
    assert main(["bench", "core", *map(str, arguments)]) == 0
    assert cv2.imread(str(plot)) is not None
    found = json.loads(out.read_text())
    assert found["max_abs_diff"] < 1e-3
    assert found["argmax_agreement"] > 0.999
    assert min(found["plain_ms"], found["streaming_ms"], found["floor_ms"]) > 0
    assert sum(found["stages_ms"].values()) <= 2 * found["streaming_ms"]
    assert found["peak_memory_mb"] > 50
    assert found["limits"].keys() == found["stages_ms"].keys()
    assert found["precision"] == "float32"
    assert found["cameras"] == 2 and found["together_ms"] > 0
    assert "times faster" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["480", "16x480", "ax32"])
def test_a_size_that_is_none_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "core", "--size", size])
    assert "HEIGHTxWIDTH" in capsys.readouterr().err
