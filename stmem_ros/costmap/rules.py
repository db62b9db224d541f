"""Cost rules: what each semantic class means to a planner."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import numpy as np

from stmem_ros.classes import CAMVID, CITYSCAPES, IDD_LITE, SemanticClass
from stmem_ros.configuration import ConfigurationError, Range, read_configuration, shown_name
from stmem_ros.resources import resource

LAYER_NAME = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*_?")  # what a part of a topic's name may be
Cost = Annotated[int, Range(ge=-1, le=100)]


class Kind(IntEnum):
    """How a class is placed in the grid; the values are those of stmem_ros/SemanticClass."""

    IGNORE = 0
    GROUND = 1
    OBSTACLE = 2


@dataclass(frozen=True)
class ClassRule:
    """Rule of one class.

    Attributes:
        kind: how it is placed.
        cost: 0..100; -1 for ignored classes.
        layer: name of its layer.
        moving: it may drive or walk away; it counts as sure as its body is.
        slender: it stands on feet, wheels or a trunk of few pixels, which labels draw too short.
        clearance: how far over the ground its body may end between its wheels, m; 0: it has none.
        overhang: how far its body may reach out over them, m.
    """

    kind: Kind
    cost: Cost = -1
    layer: str = ""
    moving: bool = False
    slender: bool = False
    clearance: Annotated[float, Range(ge=0.0, le=2.0)] = 0.0
    overhang: Annotated[float, Range(ge=0.0, le=5.0)] = 0.0


@dataclass(frozen=True)
class CostRules:
    """The rules of a label set.

    Attributes:
        classes: the label set.
        rules: of each class, in the order of the ids.
        doubtful: cost of ground that is seen but not surely free, 0..100: it may lie under a body,
            is at an obstacle's edge, was just hidden by something that moves, or its class is not
            agreed on; -1 if it counts as unknown.
    """

    classes: tuple[SemanticClass, ...]
    rules: tuple[ClassRule, ...]
    doubtful: int = -1

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the order they first occur."""
        return tuple(dict.fromkeys(rule.layer for rule in self.rules if rule.layer))

    @property
    def kinds(self) -> np.ndarray:
        """Kind of every label value, 256 uint8; values that are no class are ignored."""
        table = np.full(256, Kind.IGNORE, np.uint8)
        table[: len(self.rules)] = [rule.kind for rule in self.rules]
        return table

    @property
    def moving(self) -> np.ndarray:
        """Whether a label value is of a moving obstacle, 256 bool."""
        table = np.zeros(256, bool)
        table[: len(self.rules)] = [r.moving and r.kind is Kind.OBSTACLE for r in self.rules]
        return table

    @property
    def slender(self) -> np.ndarray:
        """Whether a label value is of a slender obstacle, 256 bool."""
        table = np.zeros(256, bool)
        table[: len(self.rules)] = [r.slender and r.kind is Kind.OBSTACLE for r in self.rules]
        return table

    @property
    def clearances(self) -> np.ndarray:
        """Clearance of every label value, 256 float32, m."""
        return self._lengths([rule.clearance for rule in self.rules])

    @property
    def overhangs(self) -> np.ndarray:
        """Overhang of every label value, 256 float32, m."""
        return self._lengths([rule.overhang for rule in self.rules])

    def _lengths(self, of_classes: list[float]) -> np.ndarray:
        table = np.zeros(256, np.float32)
        table[: len(self.rules)] = of_classes
        return table


@dataclass(frozen=True)
class RulesDescription:
    """A rules file as it is written; see :class:`CostRules`."""

    classes: dict[str, ClassRule]
    doubtful: Cost = -1


def default_rules(classes: tuple[SemanticClass, ...]) -> CostRules:
    """The shipped rules for a label set: those of CamVid's, Cityscapes' or IDD Lite's classes.

    Raises:
        ValueError: there are none for these classes.
    """
    shipped = {"camvid.yaml": CAMVID, "cityscapes.yaml": CITYSCAPES, "idd_lite.yaml": IDD_LITE}
    for file, known in shipped.items():
        if [c.name for c in classes] == [c.name for c in known]:
            return load_rules(resource("config", "cost_rules", file), classes)
    raise ValueError(
        f"no cost rules for the classes {', '.join(c.name for c in classes)}; write a file like "
        f"config/cost_rules/{next(iter(shipped))} and name it in parameter cost_rules"
    )


def load_rules(path: Path, classes: tuple[SemanticClass, ...]) -> CostRules:
    """Read the rules file for a label set.

    Raises:
        ConfigurationError: unreadable, a class without a rule, a rule for no class, or a value that
            is not allowed; one line names it.
    """
    description = read_configuration(path, RulesDescription, "cost rules")
    names = [c.name for c in classes]
    if missing := [name for name in names if name not in description.classes]:
        raise ConfigurationError(f"cost rules {path}: no rule for {', '.join(missing)}")
    if unknown := [name for name in description.classes if name not in names]:
        raise ConfigurationError(
            f"cost rules {path}: {', '.join(map(shown_name, unknown))} is no class of the model; "
            f"it has {', '.join(names)}"
        )
    for name, rule in description.classes.items():
        if problem := _problem(rule):
            raise ConfigurationError(f"cost rules {path}: classes.{name}.{problem}")
    rules = tuple(description.classes[name] for name in names)
    placed = tuple(r if r.kind is not Kind.IGNORE else ClassRule(Kind.IGNORE) for r in rules)
    return CostRules(classes, placed, description.doubtful)


def _problem(rule: ClassRule) -> str:
    """What a rule lacks; empty if nothing."""
    if rule.kind is Kind.IGNORE:
        return ""
    if rule.cost < 0:
        return f"cost is {rule.cost}; allowed: 0 to 100 for ground and obstacles"
    if not LAYER_NAME.fullmatch(rule.layer):
        return f"layer is {rule.layer!r}; it must be a name such as drivable"
    return ""
