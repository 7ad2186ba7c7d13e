"""What a paper says, what we compute, and whether the two agree.

Example:
    >>> target = Target("half-life", "day", "stein2019: abstract", paper=printed("4.3"))
    >>> target.judge(4.332).status
    'PASS'
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "FAIL",
    "NEEDS_DATA",
    "NOT_REPRODUCIBLE",
    "PASS",
    "Assessment",
    "Expected",
    "Result",
    "Target",
    "between",
    "outcome",
    "printed",
    "within",
]

PASS = "PASS"  # noqa: S105 (a verdict, no password)
FAIL = "FAIL"
NOT_REPRODUCIBLE = "NOT REPRODUCIBLE IN SOURCE"
NEEDS_DATA = "NEEDS DATA"


@dataclass(frozen=True)
class Expected:
    """A number to be met: ``value`` give or take ``tolerance`` (both in the target's unit), and why that much."""

    value: float
    tolerance: float
    reason: str

    def met_by(self, found: float) -> bool:
        """Whether a number lies within the tolerance."""
        return abs(found - self.value) <= self.tolerance * (1 + 1e-12)

    def __str__(self) -> str:
        return f"{self.value:.4g}"


def printed(text: str, reason: str = "half a unit of the last printed digit") -> Expected:
    """A number as printed: the tolerance is half a unit of its last digit.

    Example:
        >>> printed("1.718e5").tolerance
        50.0
    """
    mantissa, _, exponent = text.lower().partition("e")
    digits = len(mantissa.partition(".")[2])
    return Expected(float(text), 0.5 * 10.0 ** (int(exponent or 0) - digits), reason)


def within(relative: float, value: float, reason: str) -> Expected:
    """A number with a relative tolerance, such as one that was read off a figure."""
    return Expected(value, abs(value) * relative, reason)


def between(low: float, high: float, reason: str) -> Expected:
    """A range that the number must lie in."""
    return Expected((low + high) / 2, (high - low) / 2, reason)


def outcome(happens: bool, reason: str = "it happens (1) or not (0)") -> Expected:
    """A statement that is true (1) or not (0), such as whether a tumour is cleared."""
    return Expected(float(happens), 0.0, reason)


@dataclass(frozen=True)
class Target:
    """One number that the library must reproduce.

    Args:
        quantity: what it is, in plain words; unique in the model.
        unit: its unit, ``"1"`` for none.
        source: where it stands: key in sources.bib, then the place (``"stein2019: abstract"``).
        paper: what the paper says.
        recomputed: what an implementation independent of ours gives, where there is one.
        reproducible: False where the paper's number does not follow from its own equations and values; ``recomputed``
            is then what does follow, and both are shown.
        needs: file in the check data without which it cannot be computed.
        note: a remark for the reader of the table.
    """

    quantity: str
    unit: str
    source: str
    paper: Expected | None = None
    recomputed: Expected | None = None
    reproducible: bool = True
    needs: str = ""
    note: str = ""

    def judge(self, ours: float) -> Result:
        """Compare our number with what is expected."""
        expected = [e for e in (self.paper if self.reproducible else None, self.recomputed) if e is not None]
        met = bool(expected) and math.isfinite(ours) and all(e.met_by(ours) for e in expected)
        note = self.note
        if met and not self.reproducible and self.paper is not None and self.paper.met_by(ours):
            met, note = False, "reproduced after all: mark it so"
        status = FAIL if not met else PASS if self.reproducible else NOT_REPRODUCIBLE
        return Result(self, float(ours), status, note)

    def unseen(self) -> Result:
        """Return the result of a target whose data are not there."""
        return Result(self, math.nan, NEEDS_DATA, self.note or f"needs {self.needs} of the check data")


@dataclass(frozen=True)
class Result:
    """A target with our number and the verdict."""

    target: Target
    ours: float
    status: str
    note: str = ""

    @property
    def judged_by(self) -> Expected:
        """The expectation that decides, and that the deviation is counted from."""
        target = self.target
        first, second = (target.paper, target.recomputed) if target.reproducible else (target.recomputed, target.paper)
        chosen = first or second
        assert chosen is not None, target.quantity
        return chosen

    @property
    def deviation(self) -> float:
        """Our number less the expected one."""
        return self.ours - self.judged_by.value


@dataclass(frozen=True)
class Assessment:
    """What a model may be relied on for, in the words of ICH M15 and ASME V&V 40.

    Args:
        question: the question of interest.
        context: context of use: what the model does to answer it.
        influence: weight of the model in the decision: low, medium or high, and why.
        consequence: what follows from a wrong decision: low, medium or high, and why.
        applicability: how far the published evidence covers that use.
    """

    question: str
    context: str
    influence: str
    consequence: str
    applicability: str
