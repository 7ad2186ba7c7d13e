"""The rules of a non-compartmental analysis: each choice has a name, and a result says which were taken."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from livingdrug.errors import InputError, unknown_name

__all__ = ["NcaRules"]

ZERO, DROP, LIMIT, HALF = "zero", "drop", "lloq", "half"
BELOW = (ZERO, DROP, LIMIT, HALF)
LINEAR, UP_DOWN, TO_PEAK = "linear", "linear up/log down", "linear to the peak/log after"
CHOICES = {
    "first": BELOW,
    "middle": BELOW,
    "last": BELOW,
    "method": (UP_DOWN, LINEAR, TO_PEAK),
    "before_first": ("zero", "first value", "missing"),
    "after_last": ("missing", "extrapolate", "nothing"),
    "contraction": ("window", "best"),
    "expansion_from": ("lowest", "first"),
    "doubling": ("endpoints", "regression"),
}
_BELOW_WORDS = {
    ZERO: "count as zero",
    DROP: "are left out",
    LIMIT: "count as the limit",
    HALF: "count as half the limit",
}


@dataclass(frozen=True)
class NcaRules:
    """How a non-compartmental analysis is done; the defaults are those of PKNCA where it has such a rule.

    Attributes:
        first, middle, last: values below the limit of quantification before the first, between, and after the last
            measurable value: ``"zero"``, ``"drop"``, ``"lloq"`` or ``"half"`` (of the limit).
        method: the area between two values. ``"linear up/log down"`` takes a logarithmic piece where values fall and
            both are above zero; ``"linear to the peak/log after"`` does so after the peak.
        start, end: the interval of the area, days.
        before_first: the value at ``start`` where the first one comes later: ``"zero"`` (no cells before the
            infusion), ``"first value"``, or ``"missing"`` (then there is no area).
        after_last: where the last value comes before ``end``: ``"missing"`` (no area), ``"extrapolate"`` (it falls on
            with the terminal half-life), or ``"nothing"`` (the area ends there).
        terminal_points: fewest values for the terminal half-life.
        terminal_peak: whether the peak may be one of them.
        terminal_tolerance: of the fits whose adjusted R2 is at most this below the best, that with most values counts.
        contraction: ``"window"``: all measurable values from the peak to ``contraction_until``; ``"best"``: from the
            peak as many as give the best adjusted R2, with the same tolerance.
        contraction_until: day at which the window of contraction ends.
        contraction_points: fewest values for the contraction half-life.
        expansion_from: expansion starts at the ``"lowest"`` or at the ``"first"`` measurable value before the peak.
        doubling: ``"endpoints"``: from the start of the expansion and the peak; ``"regression"``: from the slope of
            the logarithms of all values between.
    """

    first: str = ZERO
    middle: str = DROP
    last: str = ZERO
    method: str = UP_DOWN
    start: float = 0.0
    end: float = 28.0
    before_first: str = "zero"
    after_last: str = "missing"
    terminal_points: int = 3
    terminal_peak: bool = False
    terminal_tolerance: float = 1e-4
    contraction: str = "window"
    contraction_until: float = 28.0
    contraction_points: int = 3
    expansion_from: str = "lowest"
    doubling: str = "endpoints"

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(unknown_name(f"NCA rule {name}", getattr(self, name), allowed))
        for name in ("terminal_points", "contraction_points"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 3:
                raise InputError(f"{name} must be a whole number, 3 or more, got {getattr(self, name)!r}")
        numbers = (self.start, self.end, self.contraction_until, self.terminal_tolerance)
        if not all(isinstance(one, int | float | np.number) and np.isfinite(one) for one in numbers):
            raise InputError(f"start, end, contraction_until and terminal_tolerance must be finite, got {numbers}")
        if not self.start < self.end:
            raise InputError(f"the interval of the area must end after its start, got {self.start} to {self.end}")
        if not 0 <= self.terminal_tolerance < 1:
            raise InputError(f"terminal_tolerance must be 0 or more and below 1, got {self.terminal_tolerance}")

    def describe(self) -> list[str]:
        """Return the rules as sentences.

        Example:
            >>> print(NcaRules(last="half").describe()[0])
            Values below the limit of quantification: first ones count as zero, middle ones are left out, last ones
            count as half the limit.
        """
        low, high = f"{self.start:g}", f"{self.end:g}"
        points = "the peak included" if self.terminal_peak else "the peak not included"
        window = (
            f"all measurable values from the peak to day {self.contraction_until:g}"
            if self.contraction == "window"
            else f"from the peak the values with the best adjusted R2 (within {self.terminal_tolerance:g}: most values)"
        )
        return [
            f"Values below the limit of quantification: first ones {_BELOW_WORDS[self.first]}, middle ones "
            f"{_BELOW_WORDS[self.middle]}, last ones {_BELOW_WORDS[self.last]}.",
            f"Areas: {self.method}; from day {low} (before the first value: {self.before_first}) to the last "
            f"measurable value, and to day {high} (after the last value: {self.after_last}).",
            f"Terminal half-life: the last {self.terminal_points} or more measurable values, {points}; best adjusted "
            f"R2 (within {self.terminal_tolerance:g}: most values).",
            f"Contraction half-life: {window}, at least {self.contraction_points}.",
            f"Expansion: from the {self.expansion_from} measurable value before the peak to the peak; doubling time "
            f"by {self.doubling}.",
        ]


def rule_names() -> tuple[str, ...]:
    """Return the names of all rules."""
    return tuple(one.name for one in fields(NcaRules))
