"""Areas under curves of many subjects, over any interval, by the named rules for the curve between two values."""

from __future__ import annotations

import numpy as np

from livingdrug.inference.nca_rules import LINEAR, UP_DOWN

__all__ = ["area"]


def area(
    time: np.ndarray, value: np.ndarray, low: np.ndarray, high: np.ndarray, peak_time: np.ndarray, method: str
) -> np.ndarray:
    """Return the area of each subject's curve between ``low`` and ``high``; pieces outside its values count nothing.

    The curve between two values is a straight line, or an exponential where the method says so; a piece that is cut
    by an end of the interval is cut on that curve.

    Args:
        time: increasing, shape (subject, value); NaN behind the last value.
        value: not negative.
        low: start of the interval, per subject.
        high: its end.
        peak_time: per subject.
        method: one of the methods of :class:`~livingdrug.inference.nca_rules.NcaRules`.
    """
    t1, t2, c1, c2 = time[:, :-1], time[:, 1:], value[:, :-1], value[:, 1:]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        a = np.clip(low[:, None], t1, t2)
        b = np.clip(high[:, None], t1, t2)
        falls = (c2 < c1) & (c2 > 0)
        if method == LINEAR:
            falls = np.zeros_like(falls)
        elif method != UP_DOWN:
            falls = (c1 > 0) & (c2 > 0) & (c1 != c2) & (t1 >= peak_time[:, None])
        rate = np.log(c1 / c2) / (t2 - t1)
        straight = (c2 - c1) / (t2 - t1)
        linear = (b - a) * (c1 + straight * ((a + b) / 2 - t1))
        # expm1 keeps the digits where the two values are almost equal
        exponential = c1 * np.exp(-rate * (a - t1)) * -np.expm1(-rate * (b - a)) / rate
    pieces = np.where(falls, exponential, linear)
    return np.where(b > a, pieces, 0.0).sum(axis=1)
