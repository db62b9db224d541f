"""Cost rules: what each semantic class means to a planner."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import yaml

from stmem_ros.classes import CAMVID, CITYSCAPES, SemanticClass
from stmem_ros.resources import resource

KEYS = ("kind", "cost", "layer", "moving", "clearance", "overhang")
LONGEST = {"clearance": 2.0, "overhang": 5.0}  # m


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
        moving: it may drive or walk away.
        clearance: how far over the ground its body may end between its wheels, m.
        overhang: how far its body may reach out over them, m.
    """

    kind: Kind
    cost: int = -1
    layer: str = ""
    moving: bool = False
    clearance: float = 0.0
    overhang: float = 0.0


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


def default_rules(classes: tuple[SemanticClass, ...]) -> CostRules:
    """The shipped rules for a label set: those of CamVid's or Cityscapes' classes.

    Raises:
        ValueError: there are none for these classes.
    """
    shipped = {"camvid.yaml": CAMVID, "cityscapes.yaml": CITYSCAPES}
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
        ValueError: unreadable, a class without a rule, a rule for no class, or a value that is not
            allowed; one line names it.
    """
    try:
        raw = yaml.safe_load(path.read_text())
        given, doubtful = dict(raw["classes"]), raw.get("doubtful", -1)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"cost rules {path} cannot be read: {error}") from error
    if extra := set(raw) - {"classes", "doubtful"}:
        raise ValueError(
            f"cost rules {path}: {', '.join(sorted(map(str, extra)))}; "
            "allowed are classes and doubtful"
        )
    names = [c.name for c in classes]
    if missing := [name for name in names if name not in given]:
        raise ValueError(f"cost rules {path}: no rule for {', '.join(missing)}")
    if unknown := [name for name in given if name not in names]:
        raise ValueError(
            f"cost rules {path}: {', '.join(map(str, unknown))} is no class of the model; "
            f"it has {', '.join(names)}"
        )
    if type(doubtful) is not int or not -1 <= doubtful <= 100:
        raise ValueError(f"cost rules {path}: doubtful is {doubtful!r}; allowed: -1 to 100")
    return CostRules(classes, tuple(_rule(path, name, given[name]) for name in names), doubtful)


def _rule(path: Path, name: str, raw: object) -> ClassRule:
    where = f"cost rules {path}, class {name}"
    if not isinstance(raw, dict) or set(raw) - set(KEYS):
        raise ValueError(f"{where}: {raw!r}; allowed are {', '.join(KEYS)}")
    kind = str(raw.get("kind")).upper()
    if kind not in Kind.__members__:
        raise ValueError(f"{where}: kind is {raw.get('kind')!r}; allowed: ground, obstacle, ignore")
    if Kind[kind] is Kind.IGNORE:
        return ClassRule(Kind.IGNORE)
    cost, layer = raw.get("cost"), raw.get("layer")
    if type(cost) is not int or not 0 <= cost <= 100:  # YAML's `no` is a bool, and that an int
        raise ValueError(f"{where}: cost is {cost!r}; allowed: 0 to 100")
    if not isinstance(layer, str) or not layer.isidentifier():
        raise ValueError(f"{where}: layer is {layer!r}; it must be a name such as drivable")
    lengths = {}
    for key, longest in LONGEST.items():
        lengths[key] = raw.get(key, 0.0)
        if not isinstance(lengths[key], int | float) or not 0 <= lengths[key] <= longest:
            raise ValueError(f"{where}: {key} is {lengths[key]!r}; allowed: 0 to {longest:g} m")
    moving = bool(raw.get("moving", False))
    return ClassRule(Kind[kind], cost, layer, moving, lengths["clearance"], lengths["overhang"])
