"""Messages of an earlier definition brought to today's, field by field.

Definitions of ROS 1 and of earlier releases of ROS 2 have other fields than today's of the same
name: ``D`` of CameraInfo is ``d`` today, Header had ``seq``, Marker has got ``texture``. Fields
belong together by their names, without regard to capitals and underscores; what is new has the
default of its type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.typesys.base import normalize_fieldname
from rosbags.typesys.store import Typestore

Upgrade = Callable[[Any], Any]
Definitions = dict[str, Any]  # as a Typestore has them: name to constants and fields

KEPT_NOWHERE = ("seq",)  # a field of ROS 1's Header, which nothing of today stands for
_ARRAYS = (Nodetype.ARRAY, Nodetype.SEQUENCE)
_TEXTS = ("string", "wstring")
_DTYPES = {"byte": "uint8", "char": "uint8", "octet": "uint8"}


class UpgradeError(ValueError):
    """A definition cannot be brought to today's; the message names the field."""


def is_same(name: str, before: Definitions, today: Definitions) -> bool:
    """Whether a type and all types in it have the same fields in both."""
    if name not in before or name not in today:
        return name not in before and name in today  # built in: not written out in every file
    old, new = before[name][1], today[name][1]
    return len(old) == len(new) and all(
        a[0] == b[0] and _plain(a[1]) == _plain(b[1]) and
        ((inner := named_type(b[1])) is None or is_same(inner, before, today))
        for a, b in zip(old, new, strict=True)
    )  # fmt: skip


def upgrade(name: str, before: Typestore, today: Typestore) -> Upgrade:
    """What makes a message of ``today`` from one of ``before``.

    Args:
        name: of the type, in both.

    Raises:
        UpgradeError: a field has another kind of value, or may have been renamed.
    """
    old = {_key(field): (field, desc) for field, desc in before.fielddefs[name][1]}
    new = {_key(field): (field, desc) for field, desc in today.fielddefs[name][1]}
    lost = [old[key][0] for key in old.keys() - new.keys() if key not in KEPT_NOWHERE]
    added = [new[key][0] for key in new.keys() - old.keys()]
    if lost and added:
        raise UpgradeError(
            f"{name} has {', '.join(sorted(lost))} in the bag, and {', '.join(sorted(added))} "
            "today: whether these are the same is not known"
        )
    kind = today.types[name]
    steps: list[tuple[str, str, Upgrade]] = []
    defaults: list[tuple[str, Callable[[], Any]]] = []
    for key, (field, desc) in new.items():
        attribute = normalize_fieldname(field)
        if key in old:
            before_field, before_desc = old[key]
            convert = _conversion(f"{name}.{field}", before_desc, desc, before, today)
            steps.append((attribute, normalize_fieldname(before_field), convert))
        else:
            defaults.append((attribute, _default(desc, today)))

    def convert_message(message: Any) -> Any:
        values = {to: convert(getattr(message, name)) for to, name, convert in steps}
        return kind(**values, **{to: make() for to, make in defaults})

    return convert_message


def _conversion(field: str, old: Any, new: Any, before: Typestore, today: Typestore) -> Upgrade:
    if (old[0] in _ARRAYS) != (new[0] in _ARRAYS):
        raise UpgradeError(f"{field} was a list of values or is one today, but not both")
    if new[0] in _ARRAYS:
        return _array_conversion(field, old, new, before, today)
    if (old[0] == Nodetype.NAME) != (new[0] == Nodetype.NAME):
        raise UpgradeError(f"{field} was a message or is one today, but not both")
    if new[0] == Nodetype.NAME:
        return _message_conversion(field, old[1], new[1], before, today)
    _check_base(field, old, new)
    return float if new[1][0].startswith("float") and not old[1][0].startswith("float") else _same


def _array_conversion(
    field: str, old: Any, new: Any, before: Typestore, today: Typestore
) -> Upgrade:
    length = new[1][1] if new[0] == Nodetype.ARRAY else None
    if length is not None and (old[0] != Nodetype.ARRAY or old[1][1] != length):
        raise UpgradeError(f"{field} has {length} values today, but not in the bag")
    old_item, new_item = old[1][0], new[1][0]
    if new_item[0] == Nodetype.NAME and old_item[0] == Nodetype.NAME:
        convert = _message_conversion(field, old_item[1], new_item[1], before, today)
        return _same if convert is _same else lambda values: [convert(v) for v in values]
    if new_item[0] != old_item[0]:
        raise UpgradeError(f"{field} was a list of messages or is one today, but not both")
    _check_base(field, old_item, new_item)
    if new_item[1][0] in _TEXTS or new_item[1][0] == old_item[1][0]:
        return _same
    dtype = _dtype(new_item)
    return lambda values: np.asarray(values, dtype)


def _message_conversion(
    field: str, old: str, new: str, before: Typestore, today: Typestore
) -> Upgrade:
    if old != new:
        raise UpgradeError(f"{field} is a {new} today, {old} in the bag")
    if is_same(new, before.fielddefs, today.fielddefs):
        return _same
    return upgrade(new, before, today)


def _check_base(field: str, old: Any, new: Any) -> None:
    was, is_now = old[1][0], new[1][0]
    kinds = [_kind(name) for name in (was, is_now)]
    if kinds[0] != kinds[1] and kinds != ["whole", "float"]:
        raise UpgradeError(f"{field} is a {is_now} today, {was} in the bag")


def _kind(base: str) -> str:
    if base in _TEXTS:
        return "text"
    return "float" if base.startswith("float") else "bool" if base == "bool" else "whole"


def _default(desc: Any, today: Typestore) -> Callable[[], Any]:
    """What makes the value of a field that was not recorded: zeros, empty texts and lists."""
    if desc[0] == Nodetype.BASE:
        value = {"text": "", "float": 0.0, "bool": False, "whole": 0}[_kind(desc[1][0])]
        return lambda: value
    if desc[0] == Nodetype.NAME:
        kind = today.types[desc[1]]
        fields = today.fielddefs[desc[1]][1]
        made = [(normalize_fieldname(name), _default(d, today)) for name, d in fields]
        return lambda: kind(**{name: make() for name, make in made})
    item, length = desc[1]
    length = length if desc[0] == Nodetype.ARRAY else 0
    if item[0] == Nodetype.BASE and item[1][0] not in _TEXTS:
        return lambda: np.zeros(length, _dtype(item))
    make = _default(item, today) if length else lambda: None
    return lambda: [make() for _ in range(length)]


def _dtype(item: Any) -> np.dtype:
    return np.dtype(_DTYPES.get(item[1][0], item[1][0]))


def named_type(desc: Any) -> str | None:
    """The message type in a field, None for numbers and texts."""
    if desc[0] in _ARRAYS:
        return named_type(desc[1][0])
    return desc[1] if desc[0] == Nodetype.NAME else None


def _plain(desc: Any) -> Any:
    """A description in one form, whether it came from a parser or a store."""
    return tuple(_plain(part) for part in desc) if isinstance(desc, (tuple, list)) else desc


def _key(field: str) -> str:
    return field.lower().replace("_", "")


def _same(value: Any) -> Any:
    return value
