"""A small plot for the terminal: one curve, drawn with braille dots."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from livingdrug.reports.numbers import number

__all__ = ["plot"]

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
SPAN_FOR_LOGARITHM = 100.0


def plot(days: Sequence[float], values: Sequence[float], *, width: int = 60, height: int = 10) -> list[str]:
    """Return the lines of a plot, with a logarithmic axis where the values span more than a hundredfold.

    Example:
        >>> for line in plot([0, 1, 2, 3], [0, 1, 2, 3], width=4, height=2):
        ...     print(line)
        3 │  ⡠⠊
        0 │⡠⠊
          └────
           0  3 days
    """
    pairs = [(day, value) for day, value in zip(days, values, strict=True) if math.isfinite(value)]
    if not pairs:
        return ["(no value to plot)"]
    low, high, shape = _scale([value for _, value in pairs])
    cells = [[0] * width for _ in range(height)]
    for column, share in _columns(pairs, shape, width * 2):
        row = round((1 - share) * (height * 4 - 1))
        cells[row // 4][column // 2] |= DOTS[row % 4][column % 2]
    return _framed(cells, (low, high), (pairs[0][0], pairs[-1][0]))


def _scale(values: Sequence[float]) -> tuple[float, float, Callable[[float], float | None]]:
    """Return the ends of the axis and the function from a value to its share of the height."""
    low, high = min(values), max(values)
    positive = [value for value in values if value > 0]
    logarithmic = low >= 0 and positive and high / min(positive) > SPAN_FOR_LOGARITHM
    if not logarithmic:
        span = high / 2 - low / 2 or 0.5  # halves: the whole may be larger than the largest number
        return low, high, lambda value: (value / 2 - low / 2) / span
    bottom = max(min(positive), high * 1e-9)
    depth = math.log(high / bottom)
    return bottom, high, lambda value: math.log(value / bottom) / depth if value >= bottom else None


def _columns(
    pairs: Sequence[tuple[float, float]], shape: Callable[[float], float | None], count: int
) -> list[tuple[int, float]]:
    """Return for each dot column the height of the curve there, by straight lines between the points."""
    import numpy as np

    days, values = np.array(pairs).T
    at = 2 * np.interp(np.linspace(days[0], days[-1], count), days, values / 2)  # a whole slope may overflow
    shares = [shape(value) for value in at.tolist()]
    return [(column, share) for column, share in enumerate(shares) if share is not None]


def _framed(cells: list[list[int]], limits: tuple[float, float], days: tuple[float, float]) -> list[str]:
    labels = [""] * len(cells)
    labels[0], labels[-1] = number(limits[1]), number(limits[0])
    room = max(map(len, labels))
    drawn = ["".join(chr(0x2800 + dots) if dots else " " for dots in row).rstrip() for row in cells]
    lines = [f"{label:>{room}} │{row}" for label, row in zip(labels, drawn, strict=True)]
    first, last = number(days[0]), number(days[1])
    lines.append(" " * room + " └" + "─" * len(cells[0]))
    return [*lines, " " * (room + 2) + first + " " * max(1, len(cells[0]) - len(first) - len(last)) + last + " days"]
