"""Values that cannot be: refused with patient, field, value and allowed range, or marked so that a cohort goes on.

Example:
    >>> people = Patients([1, 2], {"viability": [0.9, 1.2]}, {"viability": "fraction"})
    >>> kept, left = set_aside(people, {"viability": ("fraction", 0.0, 1.0)}, "release", "mark")
    >>> kept.ids.tolist(), left.reasons
    ([1], ('bad input: viability is 1.2 fraction, allowed 0 to 1',))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from livingdrug.errors import InputError, unknown_name
from livingdrug.patients import Patients
from livingdrug.therapy.stage import Attrition

__all__ = ["Allowed", "OnBadRow", "set_aside"]

Allowed = Mapping[str, tuple[str, float, float]]
"""Column -> unit, least and largest value."""

OnBadRow = Literal["raise", "mark"]
CHOICES = ("raise", "mark")


def set_aside(
    patients: Patients, allowed: Allowed, stage: str, on_bad_row: OnBadRow = "raise", attrition: Attrition | None = None
) -> tuple[Patients, Attrition]:
    """Return the patients whose values are possible, and the attrition with those whose values are not.

    Args:
        patients: a column that they do not have is not checked.
        allowed: column -> unit, least and largest value; a missing number (NaN) is never allowed.
        stage: who asks; stands in the message and in the attrition.
        on_bad_row: ``"raise"`` refuses the cohort, ``"mark"`` lets the bad rows leave on day 0, each with its reasons.
        attrition: who left before.

    Raises:
        InputError: a column has another unit, or a value is impossible and bad rows are not to be marked.
    """
    if on_bad_row not in CHOICES:
        raise InputError(unknown_name("way with bad rows (on_bad_row)", on_bad_row, CHOICES))
    attrition = attrition or Attrition.none()
    reasons: dict[int, list[str]] = {}
    for name, (unit, least, most) in allowed.items():
        if name not in patients:
            continue
        if patients.units[name] != unit:
            raise InputError(f"{stage} needs the column {name!r} in {unit}, got {patients.units[name]}")
        values = patients[name]
        for row in np.flatnonzero(~((values >= least) & (values <= most))):
            span = f"{least:g} to {most:g}" if np.isfinite(most) else f"{least:g} or more"
            if on_bad_row == "raise":
                shown = f"{values[row]:g} {unit} for patient {patients.ids[row]}"
                raise InputError(f"{stage} needs the column {name!r} to be {span}, got {shown}")
            reasons.setdefault(int(row), []).append(f"{name} is {values[row]:g} {unit}, allowed {span}")
    if not reasons:
        return patients, attrition
    rows = np.array(sorted(reasons))
    named = ["bad input: " + "; ".join(reasons[row]) for row in rows]
    keep = np.ones(len(patients), bool)
    keep[rows] = False
    return patients.take(keep), attrition.leave(patients.ids[rows], stage, named, 0.0)
