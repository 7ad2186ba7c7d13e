"""The way of the patients from enrolment to the end, with the reasons of those who left."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from livingdrug.reports.numbers import count, percent

__all__ = ["Flow", "Step", "flow"]

ENDS = {
    "cured": "no tumour cell left",
    "progressed": "the tumour grew again",
    "neither": "tumour present, not grown",
}


@dataclass(frozen=True)
class Step:
    """One box: its name, how many patients, which share, who left after it and why, a note."""

    name: str
    number: str
    share: str
    losses: tuple[tuple[str, str], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Flow:
    """The steps one after the other, then the ends that the patients came to."""

    steps: tuple[Step, ...]
    ends: tuple[Step, ...]


def flow(outcome: Any) -> Flow:
    """Return the flow of an outcome's patients; those lost before a step stand with the step that they left."""
    passed = [entry for entry in outcome.flow if entry[0] not in ENDS]
    ends = [entry for entry in outcome.flow if entry[0] in ENDS]
    first, last = (passed[0][1], passed[-1][1]) if passed else (0, 0)
    steps = []
    for place, (name, number, _) in enumerate(passed):
        after = passed[place + 1] if place + 1 < len(passed) else (name, number, "")
        share = f"{_share(number, first)} of enrolled" if place else ""
        steps.append(Step(name, count(number), share, _losses(number - after[1], after[2])))
    found = [
        Step(name, count(number), f"{_share(number, last)} of {passed[-1][0]}", note=ENDS[name])
        for name, number, _ in ends
    ]
    return Flow(tuple(steps), tuple(found))


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else ""


def _losses(lost: int, reasons: str) -> tuple[tuple[str, str], ...]:
    """Return (reason, count) from a reason, or from several with their counts in brackets.

    Example:
        >>> _losses(3, "died (2); too few cells (1)")
        (('died', '2'), ('too few cells', '1'))
    """
    if not lost:
        return ()
    several = re.findall(r"(.+?) \((\d+)\)(?:; |$)", reasons)
    if sum(int(number) for _, number in several) == lost:
        return tuple((reason, count(int(number))) for reason, number in several)
    return ((reasons or "reason not stated", count(lost)),)
