"""What a solve may be asked to watch for: levels that are crossed, largest and smallest values."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from livingdrug.errors import InputError, unknown_name


@dataclass(frozen=True)
class Crossing:
    """The first time at which an output is at or beyond a level.

    Args:
        output: name of an output or state.
        above: level to reach from below, in the output's unit; one number or one per patient.
        below: level to reach from above. Exactly one of the two is given.
        stop: whether the patient's solve ends there.
    """

    output: str
    above: ArrayLike | None = None
    below: ArrayLike | None = None
    stop: bool = False


@dataclass(frozen=True)
class Extreme:
    """The largest or smallest value of an output and its time.

    Args:
        output: name of an output or state.
        kind: ``"max"`` or ``"min"`` (the nadir).
    """

    output: str
    kind: str = "max"


def direction(name: str, crossing: Crossing) -> int:
    """+1 for a level reached from below, -1 for one reached from above."""
    if (crossing.above is None) == (crossing.below is None):
        raise InputError(f"crossing {name!r}: give exactly one of above and below")
    return 1 if crossing.above is not None else -1


def extreme_sign(name: str, extreme: Extreme) -> int:
    """+1 for a maximum, -1 for a minimum."""
    if extreme.kind not in {"max", "min"}:
        raise InputError(unknown_name("kind", extreme.kind, ["max", "min"], place=f"extreme {name!r}"))
    return 1 if extreme.kind == "max" else -1
