"""No command removes or overwrites what this package did not make."""

from __future__ import annotations

from pathlib import Path

import pytest

from stmem_ros.commands.stmem import main
from stmem_ros.data.synthetic.bag import create_synthetic_bag
from stmem_ros.io.bags import BagWriter
from stmem_ros.io.output_folder import (
    EarlierLayout,
    OutputError,
    claim_folder,
    remove_folder,
    renew_folder,
)


def test_a_folder_of_ones_own_is_taken_over_again(tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    claim_folder(out)
    (out / "result.json").write_text("{}")
    claim_folder(out)
    assert (out / "result.json").exists()


def test_an_empty_folder_is_taken_over(tmp_path: Path) -> None:
    claim_folder(tmp_path)
    remove_folder(tmp_path)
    assert not tmp_path.exists()


def test_a_folder_that_holds_other_things_is_refused_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("work of years")
    for refused in (claim_folder, remove_folder, renew_folder):
        with pytest.raises(OutputError, match=r"thesis\.txt"):
            refused(tmp_path)
    claim_folder(tmp_path, force=True)
    assert (tmp_path / "thesis.txt").read_text() == "work of years"


def test_a_folder_that_contains_an_input_is_refused_though_forced(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="drive"):
        claim_folder(tmp_path, [tmp_path / "bags" / "drive"], force=True)


def test_what_was_forced_once_is_refused_again_and_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("work of years")
    claim_folder(tmp_path, force=True)
    for refused in (claim_folder, remove_folder):
        with pytest.raises(OutputError, match=r"thesis\.txt"):
            refused(tmp_path)


def test_a_folder_of_an_earlier_version_is_known_by_its_files(tmp_path: Path) -> None:
    earlier = EarlierLayout(("summary.json",), ("output",))
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "one.mcap").write_bytes(b"bytes")
    with pytest.raises(OutputError, match="output"):
        claim_folder(tmp_path, earlier=earlier)
    (tmp_path / "summary.json").write_text("{}")
    claim_folder(tmp_path, earlier=earlier)
    remove_folder(tmp_path / "output")
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "two.mcap").write_bytes(b"bytes")
    claim_folder(tmp_path, earlier=earlier)  # it is marked by now: what came since is not ours
    with pytest.raises(OutputError, match="two"):
        remove_folder(tmp_path / "output")


def test_half_a_bag_is_none(tmp_path: Path) -> None:
    with pytest.raises(KeyError), BagWriter(tmp_path / "bag"):
        raise KeyError
    assert not (tmp_path / "bag").exists()


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with recordings in ``bags``."""
    create_synthetic_bag(tmp_path / "bags" / "drive", "straight", seed=2, frames=2, rate=10.0)
    (tmp_path / "bags" / "thesis_recordings").mkdir()
    (tmp_path / "bags" / "thesis_recordings" / "one.mcap").write_bytes(b"years")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "build.log").write_text("colcon")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("evaluate bags/drive --out .", "bags/drive"),
        ("evaluate bags/drive --out . --force", "bags/drive"),
        ("evaluate bags/drive --out bags", "bags/drive"),
        ("evaluate bags/misspelled --out new", "bags/misspelled"),
        pytest.param("demo --bag bags/drive --out .", "bags/drive", marks=pytest.mark.ros),
        pytest.param("demo --out .", "'bags'", marks=pytest.mark.ros),
        pytest.param("demo --out . --force", "log", marks=pytest.mark.ros),
    ],
)
def test_commands_leave_recordings_alone(
    recordings: Path, capsys: pytest.CaptureFixture, command: str, named: str
) -> None:
    before = files(recordings)
    assert main(command.split()) == 1
    assert named in capsys.readouterr().err
    assert before <= files(recordings)


@pytest.mark.end_to_end
def test_a_failed_evaluation_leaves_the_results_of_the_last_one(
    recordings: Path, small_bundle: Path
) -> None:
    arguments = ["evaluate", "bags/drive", "--model", str(small_bundle), "--out", "results"]
    assert main(arguments) == 0
    before = files(recordings)
    assert main(["evaluate", "bags/misspelled", *arguments[2:]]) == 1
    assert files(recordings) == before
    assert main(arguments) == 0
