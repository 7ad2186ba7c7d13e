"""Charts as inline SVG that follow the page: light or dark, wide or narrow, without a script or the network.

Vega-Lite writes plain colours into the drawing. The page's style sheet maps each of them to a variable, so that one
drawing is legible on a light and on a dark page, and a drawing saved on its own still shows the light colours.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from livingdrug.reports.tables import Table

__all__ = ["COLOURS", "Canvas", "Figure", "band", "colour", "colour_rules", "draw", "line", "points", "variables"]

# Role -> (on a light page, on a dark page). The hues follow Okabe and Ito's colour-blind safe set.
COLOURS = {
    "simulated": ("#0b62a8", "#6cb8f0"),
    "published": ("#b5460a", "#f2a06a"),
    "regrown": ("#8c3a78", "#e29aca"),
    "ink": ("#1d2730", "#e8edf2"),
    "quiet": ("#5a6772", "#a9b5c0"),
    "grid": ("#dde3e8", "#333e48"),
}
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"


@dataclass(frozen=True)
class Canvas:
    """The room a drawing has: its width and height in pixels and whether it is for a phone."""

    width: int
    height: int
    narrow: bool


WIDE = Canvas(740, 310, False)
NARROW = Canvas(268, 240, True)


@dataclass(frozen=True)
class Figure:
    """One figure of the report: two renderings, what it says, its key and the numbers behind it.

    Args:
        legend: triples of colour role, shape (``line``, ``dashed``, ``band``, ``pale``, ``dot``) and words.
    """

    name: str
    title: str
    caption: str
    alt: str
    wide: str
    narrow: str
    legend: tuple[tuple[str, str, str], ...] = ()
    table: Table | None = None


def colour(role: str) -> str:
    """Return the colour that stands for a role in a drawing."""
    return COLOURS[role][0]


def colour_rules() -> str:
    """Return the style rules that let the drawings' colours follow the page's light or dark scheme."""
    return "\n".join(
        f'svg [{part}="{light}"]{{{part}:var(--{role})}}'
        for role, (light, _) in COLOURS.items()
        for part in ("fill", "stroke")
    )


def variables(scheme: int) -> str:
    """Return the style variables of the colours; scheme 0 is light, 1 is dark."""
    return "".join(f"--{role}:{pair[scheme]};" for role, pair in COLOURS.items())


def draw(name: str, chart: Callable[[Canvas], Any]) -> dict[str, str]:
    """Return the wide and the narrow SVG of a chart; ``chart`` makes an Altair chart for a canvas."""
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):  # no check of each part against the schema: it would take most of a report's time
        return {"wide": drawing(chart(WIDE), f"{name}-wide"), "narrow": drawing(chart(NARROW), f"{name}-narrow")}


def band(rows: list[dict[str, Any]], x: Any, y: Any, high: str, role: str, opacity: float) -> Any:
    """Return the area between the encoding ``y`` and the field ``high``."""
    import altair as alt

    return alt.Chart(_data(rows)).mark_area(color=colour(role), opacity=opacity, clip=True).encode(x=x, y=y, y2=high)


def line(rows: list[dict[str, Any]], x: Any, y: Any, role: str, **look: Any) -> Any:
    """Return a line; ``look`` are the properties of Altair's line mark."""
    import altair as alt

    return alt.Chart(_data(rows)).mark_line(color=colour(role), clip=True, strokeWidth=2.2, **look).encode(x=x, y=y)


def points(rows: list[dict[str, Any]], x: Any, y: Any, role: str) -> Any:
    """Return filled dots."""
    import altair as alt

    return alt.Chart(_data(rows)).mark_point(color=colour(role), filled=True, size=70, opacity=1).encode(x=x, y=y)


def whiskers(rows: list[dict[str, Any]], x: Any, y: Any, high: str, role: str) -> Any:
    """Return vertical lines from the encoding ``y`` to the field ``high``."""
    import altair as alt

    return alt.Chart(_data(rows)).mark_rule(color=colour(role), strokeWidth=1.8, clip=True).encode(x=x, y=y, y2=high)


def words(rows: list[dict[str, Any]], field: str, x: Any, y: Any, role: str, **look: Any) -> Any:
    """Return the texts of a field; ``look`` are the properties of Altair's text mark."""
    import altair as alt

    return alt.Chart(_data(rows)).mark_text(color=colour(role), **look).encode(x=x, y=y, text=f"{field}:N")


def ticks(high: float, canvas: Canvas, most: int = 9) -> list[float]:
    """Return round tick values from zero to ``high``, fewer on a phone.

    Example:
        >>> ticks(180, WIDE), ticks(2000, NARROW)
        ([0, 20, 40, 60, 80, 100, 120, 140, 160, 180], [0, 500, 1000, 1500, 2000])
    """
    wished = high / (4 if canvas.narrow else most)
    scale = 10 ** math.floor(math.log10(wished))
    step = next(scale * factor for factor in (1, 2, 2.5, 5, 10) if scale * factor >= wished * 0.95)
    step = int(step) if step >= 1 and float(step).is_integer() else step
    return [step * index for index in range(int(high / step + 1e-9) + 1)]


def logarithmic(low: float, high: float) -> dict[str, Any]:
    """Return the options of an axis with ticks at powers of ten from ``low`` to ``high``.

    Example:
        >>> logarithmic(0.0001, 10)["values"]
        [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0]
    """
    powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    if len(powers) < 2:  # a range so narrow that Vega's own ticks read better
        return {"tickCount": 5, "format": ",~g"}
    step = max(1, len(powers) // 6)
    labels = [power_of_ten(power) for power in powers]
    return {
        "values": [float(f"1e{power}") for power in powers[::step]],
        "labelExpr": f"{json.dumps(labels)}[round(log(datum.value) / LN10) - {powers[0]}]",
    }


def power_of_ten(power: int) -> str:
    """Return a power of ten as it is best read.

    Example:
        >>> power_of_ten(-2), power_of_ten(3), power_of_ten(-6)
        ('0.01', '1,000', '10⁻⁶')
    """
    if -3 <= power <= 5:
        return f"{10**power:,}" if power >= 0 else f"{10.0**power:.{-power}f}"
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _data(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    return alt.Data(values=[{key: _finite(value) for key, value in row.items()} for row in rows])


def _finite(value: Any) -> Any:
    """Return plain numbers of five digits; what is not finite becomes a gap."""
    if isinstance(value, str):
        return value
    return float(f"{float(value):.5g}") if math.isfinite(value) else None


def drawing(chart: Any, prefix: str = "chart") -> str:
    """Return an Altair chart as SVG in the shared look."""
    import vl_convert

    return _tidy(vl_convert.vegalite_to_svg(_specification(chart)), prefix)


def picture(chart: Any) -> bytes:
    """Return an Altair chart as a PNG on white, in the shared look."""
    import vl_convert

    return vl_convert.vegalite_to_png(_specification(chart, background="white"), scale=2)


def _specification(chart: Any, **look: Any) -> dict[str, Any]:
    """Return the chart as Vega-Lite in the shared look."""
    return {**chart.to_dict(validate=False), "config": {**_theme(), **look}}


def _theme() -> dict[str, Any]:
    """Return the look that all charts share."""
    return {
        "aria": False,
        "background": "transparent",
        "font": FONT,
        "padding": {"left": 2, "right": 12, "top": 8, "bottom": 2},
        "view": {"stroke": None},
        "axis": {
            "labelColor": colour("quiet"),
            "titleColor": colour("ink"),
            "tickColor": colour("grid"),
            "domainColor": colour("quiet"),
            "gridColor": colour("grid"),
            "labelFontSize": 12,
            "labelFlush": False,
            "titleFontSize": 12.5,
            "titleFontWeight": "normal",
            "titlePadding": 8,
        },
    }


def _tidy(svg: str, prefix: str) -> str:
    """Make a drawing fit for a page with many: its own names for clips, no fixed size, no empty parts."""
    svg = re.sub(r'<path class="(?:background|foreground)"[^>]*?d="(?:M0,0h0v0h0Z)?"[^>]*/>', "", svg)
    svg = re.sub(r' (?:pointer-events|aria-[a-z]+|role|class|xmlns:xlink|version)="[^"]*"| opacity="1"', "", svg)
    svg = re.sub(r'(?<= )(?:d|transform)="[^"]*"', lambda part: re.sub(r"(\d\.\d\d)\d+", r"\1", part[0]), svg)
    for place, name in enumerate(dict.fromkeys(re.findall(r' id="(\w+)"', svg))):
        svg = re.sub(rf'( id="|url\(#){name}\b', rf"\g<1>{prefix}-{place}", svg)
    return re.sub(r'^(<svg [^>]*?)width="[\d.]+" height="[\d.]+" ', r"\1", svg)
