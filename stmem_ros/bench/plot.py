"""A bench's figures as a picture: bars side by side, each of parts."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

from stmem_ros.drawing import SERIES_COLOURS
from stmem_ros.io.whole_output import whole_file


def check_format(path: Path) -> None:
    """Check that a picture can be written in the format that its name ends with.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there is no such format; the message names those there are.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    formats = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix.removeprefix(".").lower() not in formats:
        raise ValueError(f"{path} ends with no format; allowed: .{', .'.join(sorted(formats))}")


def save_bars(path: Path, title: str, unit: str, bars: dict[str, dict[str, float]]) -> None:
    """Write a picture, in the format that its name ends with (.png, .svg, .pdf).

    Args:
        bars: for each bar, from the top, its parts by name; parts of one name share a colour, and
            one without a name is not explained.

    Raises:
        ImportError: matplotlib is not installed.
        OSError, ValueError: the file cannot be written, or its name ends with no such format.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    names = list(dict.fromkeys(name for parts in bars.values() for name in parts))
    colours = dict(zip(names, cycle(SERIES_COLOURS), strict=False))
    figure = Figure(figsize=(8, 1.2 + 0.45 * len(bars)), layout="constrained")
    axes = figure.subplots()
    for bar, parts in bars.items():
        left = 0.0
        for name, value in parts.items():
            axes.barh(bar, value, left=left, color=colours[name], height=0.65)
            left += value
        axes.annotate(f"{left:.3g}", (left, bar), (4, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set(title=title, xlabel=unit)
    axes.spines[["top", "right"]].set_visible(False)
    explained = [name for name in names if name]
    if explained:
        patches = [Patch(color=colours[name], label=name) for name in explained]
        figure.legend(handles=patches, loc="outside lower center", ncols=6, frameon=False)
    with whole_file(path) as part:
        figure.savefig(part, dpi=120)
