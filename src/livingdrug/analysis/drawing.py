"""The look that all figures of an analysis share, and how they become files without the network."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["COLOURS", "PAGE_STYLE", "axis_title", "data", "finished", "number_format", "png", "svg", "words"]

# Okabe and Ito's set, safe for colour-blind readers; orders of two neighbours differ in lightness, too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5a6772", "#1d2730")
INK, QUIET, GRID = "#1d2730", "#5a6772", "#dde3e8"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
LINE_OF_CAPTION = 105
PAGE_STYLE = (
    "body{max-width:56rem;margin:2rem auto;padding:0 1rem;font-family:system-ui,sans-serif;color:#1d2730;"
    "background:#fff}figure{margin:0}svg{max-width:100%;height:auto}figcaption{max-width:44rem;margin:1rem 0}"
    "div{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem}td,th{padding:.2rem .7rem;text-align:right;"
    "border-bottom:1px solid #dde3e8}td:first-child,th:first-child{text-align:left}"
)


def data(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Return rows as Altair's data; what is not finite becomes a gap."""
    import altair as alt

    return alt.Data(values=[{key: _plain(value) for key, value in row.items()} for row in rows])


def finished(chart: Any, title: str = "", caption: str = "") -> Any:
    """Return the chart in the shared look, with a title and a caption under it if they are given."""
    import altair as alt

    if title:
        lines = textwrap.wrap(caption, LINE_OF_CAPTION)
        chart = chart.properties(title=alt.TitleParams(text=title, subtitle=lines, anchor="start", offset=14))
    axis = {
        "labelColor": QUIET, "titleColor": INK, "tickColor": GRID, "domainColor": QUIET, "gridColor": GRID,
        "labelFontSize": 12, "titleFontSize": 12.5, "titleFontWeight": "normal", "labelLimit": 260,
    }  # fmt: skip
    legend = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12, "labelLimit": 320}
    heading = {"color": INK, "subtitleColor": QUIET, "fontSize": 15, "subtitleFontSize": 12, "subtitlePadding": 6}
    return chart.configure(
        background="white", font=FONT, padding=14, axis=axis, legend=legend, title=heading, view={"stroke": None},
        header={"labelColor": INK, "titleColor": INK, "labelFontSize": 12.5},
    )  # fmt: skip


def svg(chart: Any) -> str:
    """Return a finished chart as SVG."""
    import vl_convert

    return vl_convert.vegalite_to_svg(chart.to_dict(validate=False))


def png(chart: Any) -> bytes:
    """Return a finished chart as PNG."""
    import vl_convert

    return vl_convert.vegalite_to_png(chart.to_dict(validate=False), scale=2)


def words(name: str) -> str:
    """Return a name without underscores."""
    return name.replace("_", " ")


def axis_title(name: str, unit: str) -> str:
    """Return what stands at an axis.

    Example:
        >>> axis_title("car_t_blood", "cell/uL"), axis_title("peak", "1")
        ('car t blood, cell/uL', 'peak')
    """
    return words(name) + ("" if unit in ("", "1", "dimensionless") else f", {unit}")


def number_format(typical: float) -> str:
    """Return how numbers of about this size are written at an axis: with a power of ten where they are long.

    Example:
        >>> number_format(0.5), number_format(2e9)
        ('~g', '.1~e')
    """
    return "~g" if 1e-3 <= abs(typical) < 1e6 else ".1~e"


def _plain(value: Any) -> Any:
    if isinstance(value, (str, bool)):
        return value
    return float(f"{float(value):.6g}") if math.isfinite(value) else None
