"""Review of a batch record: what a reader must look at before the batch is released or given.

``verify`` says whether the record is as it was written; this says whether what was written is complete and in order.

Example:
    >>> review(())
    (OpenPoint(line=0, what='no infusion is confirmed'),)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from livingdrug.therapy.record_entries import (
    Deviation,
    HandOver,
    Infusion,
    LabelCheck,
    Material,
    Reconciliation,
    ReleaseDecision,
    Step,
    TestResult,
)
from livingdrug.therapy.record_reading import Line

__all__ = ["OpenPoint", "review"]


class OpenPoint(NamedTuple):
    """Something to look at; line 0 where it concerns no single line."""

    line: int
    what: str


def review(lines: Sequence[Line]) -> tuple[OpenPoint, ...]:
    """Return the open points of a record, in the order of the lines; a deviation that names a line settles it.

    Args:
        lines: of a record that is whole, from ``read_record``.
    """
    settled = {line.entry.concerns for line in lines if isinstance(line.entry, Deviation)}
    found = [OpenPoint(line.number, what) for line in lines for what in _alone(line)]
    found = [point for point in found if point.line not in settled]
    return tuple(sorted((*found, *_between(lines))))


def _alone(line: Line) -> Iterator[str]:
    """Yield what is open about one line by itself."""
    entry = line.entry
    values = (
        entry.values
        if isinstance(entry, Step)
        else (entry.temperature,)
        if isinstance(entry, HandOver)
        else (entry.result,)
        if isinstance(entry, TestResult)
        else ()
    )
    for value in values:
        if value.outside:
            yield f"{value.name} is outside its range, and no deviation says why"
    if isinstance(entry, HandOver) and not entry.label_matches:
        yield "the label did not match at a hand-over"
    if isinstance(entry, LabelCheck) and not entry.matches:
        yield "the labels of bag and patient did not match"
    if isinstance(entry, Material) and entry.expires < entry.at[:10]:
        yield f"material {entry.name} was used after its expiry date"
    if isinstance(entry, TestResult) and not entry.passes and not entry.result.outside:
        yield f"test {entry.test} failed, and no deviation says what follows"


def _between(lines: Sequence[Line]) -> Iterator[OpenPoint]:
    """Yield what is open between lines."""
    yield from _yields(lines)
    decisions = [line for line in lines if isinstance(line.entry, ReleaseDecision)]
    infusions = [line for line in lines if isinstance(line.entry, Infusion)]
    for decided in decisions:
        yield from _decision(decided, lines)
    if not infusions:
        yield OpenPoint(0, "no infusion is confirmed")
    for given in infusions:
        yield from _infusion(given, lines, decisions)


def _yields(lines: Sequence[Line]) -> Iterator[OpenPoint]:
    """Yield where more cells go in than the step before let out, with no growth between."""
    before: tuple[int, int] | None = None
    for line in lines:
        if isinstance(line.entry, Step) and line.entry.step == "multiplication":
            before = None
        if isinstance(line.entry, Reconciliation):
            if before is not None and line.entry.cells_in > before[1]:
                yield OpenPoint(line.number, f"more cells go in than line {before[0]} let out")
            before = line.number, line.entry.cells_out


def _decision(decided: Line, lines: Sequence[Line]) -> Iterator[OpenPoint]:
    entry = decided.entry
    if not isinstance(entry, ReleaseDecision) or entry.decision != "released":
        return
    for line in lines[: decided.number]:
        held = line.entry
        if isinstance(held, TestResult) and held.for_release and not held.passes:
            yield OpenPoint(decided.number, f"released although the test {held.test} (line {line.number}) failed")


def _infusion(given: Line, lines: Sequence[Line], decisions: Sequence[Line]) -> Iterator[OpenPoint]:
    before = [line.entry for line in decisions if line.number < given.number]
    last = before[-1] if before else None
    if not isinstance(last, ReleaseDecision) or last.decision == "rejected":
        yield OpenPoint(given.number, "infused without a release")
    elif last.at > given.entry.at:
        yield OpenPoint(given.number, "infused before the release")
    checked = any(isinstance(line.entry, LabelCheck) and line.entry.matches for line in lines[: given.number])
    if not checked:
        yield OpenPoint(given.number, "infused without a matching label check")
