"""The folder of a training run: what lies where, and when a stage may begin there.

STAGE/                      the stage's bundle, written at its end
STAGE.checkpoint.pt         the last checkpoint
STAGE.memory.safetensors    the memory bank that ``mar`` and ``frame_mar`` begin with
tensorboard/STAGE/          curves
narrowed/                   labels that a teacher narrowed (coarse_frames.py)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stmem_ros.io.output_file import check_output_files
from stmem_ros.io.output_folder import OutputError


def checkpoint_path(run: Path, stage: str) -> Path:
    """The last checkpoint of a stage."""
    return run / f"{stage}.checkpoint.pt"


def memory_path(run: Path, stage: str) -> Path:
    """Where the memory bank of ``mar`` or ``frame_mar`` lies."""
    return run / f"{stage}.memory.safetensors"


def curves_folder(run: Path, stage: str) -> Path:
    """Where TensorBoard finds a stage's curves."""
    return run / "tensorboard" / stage


def check_stage(run: Path, stage: str, inputs: Sequence[Path], resume: bool, force: bool) -> None:
    """Check that a stage can begin, or go on.

    Args:
        inputs: bundles that are read.
        resume: go on from the checkpoint, if there is one.
        force: begin anew whatever is there.

    Raises:
        OutputError: an earlier run of the stage left something that would be lost.
    """
    checkpoint = checkpoint_path(run, stage)
    goes_on = resume and checkpoint.is_file()
    if checkpoint.exists() and not goes_on and not force:
        raise OutputError(
            f"{checkpoint} is there already; --resume continues from it, --force begins anew"
        )
    check_output_files(run / stage, inputs, force or goes_on)


def clear_stage(run: Path, stage: str) -> None:
    """Remove checkpoint and curves of an earlier run of a stage, so that nothing of it is mixed in.

    Its bundle stays until another one takes its place.
    """
    checkpoint_path(run, stage).unlink(missing_ok=True)
    for file in curves_folder(run, stage).glob("events.out.tfevents.*"):
        file.unlink()
