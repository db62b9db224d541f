"""``metrics.json``: the result of an evaluation, for machines.

    format          2
    configuration   what the figures depend on: bags, models, replay, grid, device, threads
    execution       jobs, engine, address, resume
    versions        of python, torch, numpy, opencv, rosbags
    models          by name:
        bundle        name, path, weights_sha256, memory_sha256 (null without MAR), window, causal,
                      parameters, classes (name, colour)
        totals        Figures of all bags together
        bags          by name:
            path        of the bag
            topics      image, info, label, points: the topics read; null: not there
            rectified   whether the images were taken for rectified
            figures     Figures
            faults      list of Fault: index, stamp, reason; the first 1000
            faulty      how many there are
            missing_grids  list of MissingGrids: kind, frames, first; frames without a grid
            announced, held  images that metadata.yaml counts, and that the bag holds
            notes       what else is wrong with the bag, a line each
            error       why the bag could not be read to its end, null if it could
            sums        the accumulators, from which totals are added exactly
    failed          list of {bag, model, error}: bags that gave nothing at all
    faults          list of RunFault: kind, bag, model, text; what came to nothing
    timing          by name of the model: {totals: TimingFigures, bags: {name: TimingFigures}}
    comparisons     list of Comparison (comparison.py): models side by side, or with a baseline

Two runs of the same configuration differ in ``timing`` and ``execution`` alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stmem_ros.io.whole_output import whole_file

FORMAT = 2


class MetricsError(ValueError):
    """A ``metrics.json`` cannot be used; the message names it and says why."""


def write_metrics(path: Path, content: dict[str, Any]) -> None:
    """Write what the format holds beside its number."""
    with whole_file(path) as part:
        part.write_text(json.dumps({"format": FORMAT, **content}, indent=1) + "\n")


def read_metrics(path: Path) -> dict[str, Any]:
    """A ``metrics.json`` as :func:`write_metrics` left it.

    Raises:
        MetricsError: it is missing, no such file, or of another format.
    """
    try:
        content = json.loads(path.read_text())
        known = content["format"]
    except OSError as error:
        raise MetricsError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        problem = "it is no JSON" if isinstance(error, ValueError) else "it names no format"
        raise MetricsError(f"{path} is no metrics.json of `stmem evaluate`: {problem}") from error
    if known != FORMAT:
        raise MetricsError(f"{path} has the format {known}; this version reads {FORMAT}")
    return content


def class_names(model: dict[str, Any]) -> list[str]:
    """The classes of an entry of ``models``."""
    return [c["name"] for c in model["bundle"]["classes"]]
