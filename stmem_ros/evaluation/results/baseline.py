"""Which models of an evaluation are compared with which, side by side and with a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stmem_ros.evaluation.replay.replay_options import ReplayOptions
from stmem_ros.evaluation.results.comparison import Comparison, compare
from stmem_ros.evaluation.results.folder import EvaluationFolder
from stmem_ros.evaluation.results.metrics_file import MetricsError, class_names, read_metrics


@dataclass(frozen=True)
class EvaluatedModel:
    """A model of an evaluation.

    Attributes:
        name: in ``metrics.json``.
        entry: in ``models`` of it.
        folder: of the evaluation.
    """

    name: str
    entry: dict[str, Any]
    folder: EvaluationFolder


def check_baseline(
    path: Path,
    models: dict[str, list[str]],
    bags: Mapping[str, dict[str, str | None]],
    replay: ReplayOptions,
    folder: EvaluationFolder,
) -> None:
    """Refuse a baseline that cannot be compared with.

    Args:
        models: names of the classes of each model to be compared.
        bags: the topics that are read of each bag, by its name.
        replay: what is replayed of them.
        folder: where the results go that are to be compared.

    Raises:
        MetricsError: it, or the frames beside it, cannot be used; or there is nothing to compare.
    """
    if path.resolve() == folder.metrics.resolve():
        raise MetricsError(f"the baseline {path} lies where results go; choose another --out")
    content = read_metrics(path)
    known = content["models"]
    frames = EvaluationFolder(path.parent).frames
    if not frames.is_file():
        raise MetricsError(f"{path} has no {frames.name} beside it, which a comparison needs")
    for name, classes in models.items():
        before = _counterpart(name, known)
        if before is None:
            raise MetricsError(f"{path} has several models, none is {name!r}: {', '.join(known)}")
        if classes != class_names(known[before]):
            raise MetricsError(f"{before!r} of {path} has other classes than {name!r}")
        if not set(known[before]["bags"]) & set(bags):
            have = ", ".join(known[before]["bags"]) or "none"
            raise MetricsError(f"{path} has none of these bags; its bags: {have}")
        for bag, topics in bags.items():
            _check_topics(path, bag, known[before]["bags"].get(bag, {}).get("topics", {}), topics)
    _check_part(path, content["configuration"].get("replay", {}), replay)


def _check_part(path: Path, before: Mapping[str, Any], replay: ReplayOptions) -> None:
    """Refuse a baseline of another part of the bags: its frames began with another history."""
    for name in ("start", "duration"):
        value = getattr(replay, name)
        if name in before and before[name] != value:
            raise MetricsError(
                f"{path} was made with {name} {before[name]}, this evaluation has {value}; "
                "compare the same part of the bags"
            )


def _check_topics(
    path: Path, bag: str, before: Mapping[str, str | None], topics: Mapping[str, str | None]
) -> None:
    """Refuse a baseline that read other topics of a bag."""
    for role, name in before.items():
        if role in topics and topics[role] != name:
            raise MetricsError(
                f"{path} read the {role} topic {name} of {bag}, this evaluation reads "
                f"{topics[role]}; compare the same topics"
            )


def compare_models(models: Sequence[EvaluatedModel], seed: int) -> Iterator[Comparison]:
    """The first model with each other one of the same classes."""
    first, *others = models
    for other in others:
        yield from _compare(first, other, first.name, seed)


def compare_with_baseline(
    models: Sequence[EvaluatedModel], path: Path, seed: int
) -> Iterator[Comparison]:
    """Each model with its counterpart in the ``metrics.json`` at ``path``."""
    known = read_metrics(path)["models"]
    for model in models:
        if (name := _counterpart(model.name, known)) is not None:
            before = EvaluatedModel(name, known[name], EvaluationFolder(path.parent))
            yield from _compare(before, model, f"{name} ({path})", seed)


def _compare(
    before: EvaluatedModel, after: EvaluatedModel, title: str, seed: int
) -> Iterator[Comparison]:
    """A comparison, if they share classes and bags; ``title`` of the one before."""
    classes = class_names(before.entry)
    shared = set(before.entry["bags"]) & set(after.entry["bags"])
    if classes == class_names(after.entry) and shared:
        rows = [(model.folder.frames, model.name) for model in (before, after)]
        yield compare(rows[0], rows[1], (title, after.name), classes, seed)


def _counterpart(name: str, known: dict[str, Any]) -> str | None:
    """The model of a baseline that ``name`` is compared with: of that name, or the only one."""
    if name in known:
        return name
    return next(iter(known)) if len(known) == 1 else None
