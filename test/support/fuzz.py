"""Values that resemble good ones, for tests of what comes from strangers."""

from __future__ import annotations

import copy
from typing import Any

import yaml
from hypothesis import strategies as st

NUMBERS = st.one_of(
    st.integers(-10, 300),
    st.sampled_from([2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, -(2**63), 10**30]),
    st.floats(),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def damaged_bytes(good: bytes) -> st.SearchStrategy[bytes]:
    """Bytes with some of them changed, put in, left out, or cut off."""
    words = st.one_of(
        st.binary(min_size=1, max_size=8),
        st.sampled_from([b"\xff" * 8, b"\x00" * 8, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"]),
    )
    # Headers are worth more than pixels: half of the places lie among the first and last bytes.
    places = st.one_of(
        st.integers(0, len(good)),
        st.integers(0, min(200, len(good))),
        st.integers(max(0, len(good) - 200), len(good)),
    )
    edits = st.lists(
        st.tuples(st.sampled_from(["change", "insert", "remove", "cut"]), places, words),
        min_size=1,
        max_size=5,
    )

    def damage(edits: list[tuple[str, int, bytes]]) -> bytes:
        data = bytearray(good)
        for kind, place, word in edits:
            end = {"change": place + len(word), "remove": place + 4 * len(word)}.get(kind, place)
            if kind == "cut":
                del data[place:]
            else:
                data[place:end] = b"" if kind == "remove" else word
        return bytes(data)

    return edits.map(damage)


def damaged_yaml(good: Any) -> st.SearchStrategy[bytes]:
    """A YAML file with some values replaced, left out or added; or with damaged bytes."""
    text = yaml.safe_dump(good).encode()
    edits = st.lists(
        st.tuples(
            st.lists(st.integers(0, 40), min_size=1, max_size=4),
            st.sampled_from(["replace", "remove", "add"]),
            VALUES,
        ),
        min_size=1,
        max_size=3,
    )

    def damage(edits: list[tuple[list[int], str, Any]]) -> bytes:
        content = copy.deepcopy(good)
        for path, kind, value in edits:
            _edit(content, path, kind, value)
        return yaml.safe_dump(content, allow_unicode=True).encode("utf-8", "surrogatepass")

    return st.one_of(edits.map(damage), damaged_bytes(text))


def _edit(content: Any, path: list[int], kind: str, value: Any) -> None:
    """Change the place in nested mappings and lists that a path of numbers leads to."""
    for depth, step in enumerate(path):
        keys = list(content) if isinstance(content, dict) else range(len(content))
        if not keys:
            return
        key = keys[step % len(keys)]
        inner = content[key]
        if depth == len(path) - 1 or not isinstance(inner, (dict, list)):
            break
        content = inner
    if kind == "replace":
        content[key] = value
    elif kind == "remove":
        del content[key]
    elif isinstance(content, dict):
        content[str(value)[:20]] = value
    else:
        content.append(value)
