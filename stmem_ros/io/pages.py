"""Pages from templates: one style for all, values escaped, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **values: Any) -> str:
    """The page of a template of ``stmem_ros/templates/``."""
    environment = Environment(
        loader=PackageLoader("stmem_ros"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "css": css, "percent": percent, "number": number, "jpeg": jpeg,
    }  # fmt: skip
    return environment.get_template(template).render(**values)


def css(colour: tuple[int, int, int]) -> str:
    """A colour as CSS writes it."""
    return f"rgb({', '.join(map(str, colour))})"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent; a dash for None."""
    return "-" if share is None else f"{100 * share:.{digits}f}"


def number(value: float | None, digits: int = 1) -> str:
    """A number; a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def jpeg(data: bytes) -> str:
    """The bytes of a JPEG as an address that holds them."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
