"""The course of one patient as a file: a table, a picture, or a page."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livingdrug.errors import InputError, unknown_name
from livingdrug.reports import charts
from livingdrug.storage import write_atomically

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "chart_page", "decades", "write_course"]

FORMATS = (".csv", ".parquet", ".html", ".svg", ".png")
SPAN_FOR_LOGARITHM = 100.0


def write_course(course: pd.DataFrame, units: dict[str, str], title: str, path: str | os.PathLike[str]) -> Path:
    """Write one patient's course to a file; the name's ending says in which form.

    Args:
        course: column ``day`` and one column per output.
        units: output -> unit.
        title: the heading of a page.
        path: ending in .csv, .parquet, .html, .svg or .png.

    Raises:
        InputError: the ending is unknown.
        LivingDrugError: the file cannot be written.
    """
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"save {str(path)!r}: {unknown_name('ending of a file', ending or '(none)', FORMATS)}")
    target = Path(path).expanduser()
    write_atomically(target, _content(course, units, title, ending))
    return target


def _content(course: pd.DataFrame, units: dict[str, str], title: str, ending: str) -> str | bytes:
    if ending == ".csv":
        return _with_units(course, units).to_csv(index=False)
    if ending == ".parquet":
        return _with_units(course, units).to_parquet(None, index=False)
    chart = _chart(course, units)
    if ending == ".png":
        return charts.picture(chart)
    return charts.drawing(chart) if ending == ".svg" else chart_page(chart, title)


def _with_units(course: pd.DataFrame, units: dict[str, str]) -> pd.DataFrame:
    """Name the columns with their units: ``time_day``, ``car_t_blood_cell_per_uL``."""
    words = {name: _as_word(unit) for name, unit in units.items()}
    named = {name: name if not word or name.endswith(f"_{word}s") else f"{name}_{word}" for name, word in words.items()}
    columns = [{"day": "time_day", **named}[str(name)] for name in course]
    return course.set_axis(columns, axis="columns")


def _as_word(unit: str) -> str:
    """Return a unit as part of a column's name.

    Example:
        >>> _as_word("cells/uL"), _as_word("1/day"), _as_word("1")
        ('cells_per_uL', 'per_day', '')
    """
    words = unit.replace("**", "").replace("*", "_").replace(" ", "_").replace("1/", "per_").replace("/", "_per_")
    return "" if words in ("1", "dimensionless") else words


def _chart(course: pd.DataFrame, units: dict[str, str]) -> Any:
    import altair as alt

    return alt.vconcat(*(_curve(course, name, unit) for name, unit in units.items()), spacing=24)


def _curve(course: pd.DataFrame, name: str, unit: str) -> Any:
    import altair as alt

    pairs = zip(course["day"].tolist(), course[name].tolist(), strict=True)
    rows = [{"day": day, "value": value} for day, value in pairs]
    positive = [row["value"] for row in rows if row["value"] > 0]
    logarithmic = bool(positive) and max(positive) / min(positive) > SPAN_FOR_LOGARITHM
    if logarithmic:
        rows = [row for row in rows if row["value"] > 0]
    scale = alt.Scale(type="log" if logarithmic else "linear", nice=True)
    words = name.replace("_", " ") + ("" if unit in ("1", "dimensionless") else f", {unit}")
    x = alt.X("day:Q", title="day", axis=alt.Axis(grid=False))
    axis = alt.Axis(values=decades([row["value"] for row in rows])) if logarithmic else alt.Axis(tickCount=5)
    y = alt.Y("value:Q", title=words, scale=scale, axis=axis)
    return charts.line(rows, x, y, "simulated").properties(width=charts.WIDE.width, height=220)


def decades(values: list[float]) -> list[float]:
    """Return powers of ten that enclose the values, at most eight or so: their lines are enough of a grid.

    Example:
        >>> decades([0.3, 20.0])
        [0.1, 1.0, 10.0, 100.0]
    """
    lowest, highest = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    step = max(1, (highest - lowest) // 6)
    return [float(f"1e{power}") for power in range(lowest, highest + 1, step)]


def chart_page(chart: Any, title: str, caption: str = "") -> str:
    """Return a page with one drawing and its caption; it opens offline, in light and dark."""
    from markupsafe import escape

    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>:root{{color-scheme:light dark;{charts.variables(0)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{charts.variables(1)}}}}}{charts.colour_rules()}"
        "body{max-width:52rem;margin:2rem auto;padding:0 1rem;font-family:system-ui,sans-serif}"
        "svg{width:100%;height:auto}</style>"
        f"<p><strong>Not for clinical use.</strong></p><h1>{escape(title)}</h1>{charts.drawing(chart)}"
        f"{f'<p>{escape(caption)}</p>' if caption else ''}</html>"
    )
