"""Write what is made from the table of parameters: ``make parameters``.

These are config/segmentation.yaml, and the table between two markers in docs/node.md.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

from stmem_ros.parameter_table import PARAMETERS, Change, Parameter

ROOT = Path(__file__).parent.parent
PARAMETER_FILE = ROOT / "config" / "segmentation.yaml"
PAGE = ROOT / "docs" / "node.md"
BEGIN, END = "<!-- parameters: written by `make parameters` -->\n", "<!-- end of parameters -->\n"
HEAD = """\
# Parameters of segmentation_node with their defaults; written by `make parameters`.
/**:
  ros__parameters:
"""


def parameter_file() -> str:
    """The parameter file with all defaults, but for what may only be given at the start."""
    lines = []
    group = ""
    for parameter in PARAMETERS:
        if parameter.change is Change.NEVER:
            continue
        prefix, _, name = parameter.name.rpartition(".")
        if prefix != group:
            lines.append(f"    {prefix}:")
            group = prefix
        indent = "      " if prefix else "    "
        lines += _comment(parameter, indent)
        lines.append(f"{indent}{name}: {_yaml(parameter.default)}")
    return HEAD + "\n".join(lines) + "\n"


def page(old: str) -> str:
    """The page with the table of parameters between its markers."""
    before, rest = old.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + "\n".join(_table()) + "\n" + END + after


def _comment(parameter: Parameter, indent: str) -> list[str]:
    text = parameter.text
    if parameter.allowed:
        text += f" Allowed: {parameter.allowed}."
    return textwrap.wrap(text, 100, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _table() -> Iterator[str]:
    yield "| parameter | type | default | allowed | meaning |"
    yield "|---|---|---|---|---|"
    for p in PARAMETERS:
        allowed = ", ".join(f"`{choice}`" for choice in p.choices) or p.allowed
        yield f"| `{p.name}` | {p.type_name} | `{_yaml(p.default)}` | {allowed} | {p.text} |"


def _yaml(value: object) -> str:
    """A default as YAML; text stands without quotation marks where there is any."""
    return value if isinstance(value, str) and value else json.dumps(value)


if __name__ == "__main__":
    PARAMETER_FILE.write_text(parameter_file())
    PAGE.write_text(page(PAGE.read_text()))
