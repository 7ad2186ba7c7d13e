"""The parts of a trial's report that are not figures: key results, flow of patients, tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from livingdrug.reports.figures import trial_size
from livingdrug.reports.numbers import MISSING, count, interval, number, percent, wilson
from livingdrug.reports.tables import Table, table

__all__ = ["cards", "endpoints", "facts", "failures", "flow", "headline", "parameters", "sources"]


@dataclass(frozen=True)
class Card:
    """One key result: a number, what it is, and how sure or compared with what."""

    value: str
    label: str
    detail: str


@dataclass(frozen=True)
class Step:
    """One box of the flow of patients, with those who left before it and why."""

    name: str
    number: str
    share: str
    losses: tuple[tuple[str, str], ...]


def cards(outcome: Any) -> list[Card]:
    """Return the results a reader should see first."""
    infused = np.asarray(outcome.patients["infused"], float) > 0
    given, enrolled = int(infused.sum()), infused.size
    made = [
        Card(
            percent(given / max(enrolled, 1)),
            "received the cells",
            f"{count(given)} of {count(enrolled)} enrolled patients",
        )
    ]
    if not given:
        return made
    cured = int(np.isfinite(np.asarray(outcome.patients["cure_day"], float)[infused]).sum())
    low, high = wilson(cured, given)
    made.append(
        Card(percent(cured / given), "of infused patients cured", f"95 % interval {percent(low)} to {percent(high)}")
    )
    made += _survival_card(outcome, 365, "1 year")
    peak, day = (np.asarray(outcome.patients[name], float)[infused] for name in ("car_peak", "car_peak_day"))
    middle = f"median peak of CAR-T cells per µL of blood, on day {number(float(np.nanmedian(day)), 2)}"
    quarters = np.nanquantile(peak, [0.25, 0.75])
    made.append(Card(number(float(np.nanmedian(peak))), middle, f"middle half {interval(*quarters)}"))
    return made


def _survival_card(outcome: Any, day: float, words: str) -> list[Card]:
    curve = outcome.survival
    if curve is None or curve.empty or curve["day"].max() < day:
        return []
    share = percent(curve[curve["day"] <= day]["pfs"].iloc[-1])
    published = outcome.published_survival
    detail = f"published curve not known at {words}"
    if published is not None and len(published) and published["day"].max() >= day:
        detail = f"published trial {percent(published[published['day'] <= day]['pfs'].iloc[-1])}"
    return [Card(share, f"without progression at {words}", detail)]


def endpoints(outcome: Any) -> Table | None:
    """Return published beside simulated for every endpoint, with the size of the difference."""
    frame = outcome.endpoints
    if frame is None or frame.empty:
        return None
    rows = frame.to_dict("records")
    cells = [
        (_name(row), _with_range(row, "published"), _with_range(row, "simulated"), _difference(row)) for row in rows
    ]
    headings = ("Endpoint", "Published", "Simulated", "Difference")
    return table(headings, cells, (1, 2, 3), "Published beside simulated", [_verdict(row) for row in rows])


VERDICTS = {"inside": "\nwithin range", "outside": "\noutside range", "": ""}


def _is_share(row: dict[str, Any]) -> bool:
    return row["unit"] in ("", "1", "fraction", "share", "proportion", "dimensionless")


def _name(row: dict[str, Any]) -> str:
    return row["endpoint"] if _is_share(row) else f"{row['endpoint']}\n{row['unit'].replace('uL', 'µL')}"


def _with_range(row: dict[str, Any], side: str) -> str:
    write = percent if _is_share(row) else number
    low, high = row[f"{side}_low"], row[f"{side}_high"]
    text = write(row[side])
    return f"{text}\n{write(low)} to {write(high)}" if np.isfinite([low, high]).all() else text


def _difference(row: dict[str, Any]) -> str:
    published, simulated = row["published"], row["simulated"]
    if not np.isfinite([published, simulated]).all():
        return MISSING
    if _is_share(row):
        size = f"{100 * (simulated - published):+.0f} points"
    elif published > 0:
        ratio = simulated / published
        size = f"{100 * (ratio - 1):+.0f}\u00a0%" if ratio < 3 else f"× {number(ratio, 2)}"
    else:
        size = number(simulated - published)
    return size.replace("-", "−") + VERDICTS[_verdict(row)]


def _verdict(row: dict[str, Any]) -> str:
    """Say whether the simulated value lies in the published interval, or the published value in the simulated one."""
    for value, side in (("simulated", "published"), ("published", "simulated")):
        ends = row[f"{side}_low"], row[f"{side}_high"]
        if np.isfinite([row[value], *ends]).all():
            return "inside" if ends[0] <= row[value] <= ends[1] else "outside"
    return ""


@dataclass(frozen=True)
class Flow:
    """The way of the patients: the steps one after the other, then the ends they came to."""

    steps: tuple[Step, ...]
    ends: tuple[Step, ...]


ENDS = ("cured", "progressed", "neither")


def flow(outcome: Any) -> Flow:
    """Return the way of the patients from enrolment to the end of the trial, with reasons."""
    entries = list(outcome.flow)
    start = entries[0][1] if entries else 0
    steps, ends = [], []
    for name, number, reason in entries:
        share = f"{percent(number / start)} of enrolled" if start and number != start else ""
        if name in ENDS:
            ends.append(Step(name, count(number), share, ()))
            continue
        if steps:
            lost = entries[len(steps) - 1][1] - number
            if lost:
                steps[-1] = Step(steps[-1].name, steps[-1].number, steps[-1].share, ((reason, count(lost)),))
        steps.append(Step(name, count(number), share, ()))
    return Flow(tuple(steps), tuple(ends))


@dataclass(frozen=True)
class Titled:
    """A table with its title and a sentence about it."""

    title: str
    words: str
    table: Table


def headline(outcome: Any) -> dict[str, Any]:
    """Return the words at the top of the page."""
    enrolled = len(outcome.patients)
    size = trial_size(outcome)
    return {
        "title": outcome.trial.title,
        "about": "",
        "run": f"{count(enrolled)} simulated patients · seed {outcome.seed}",
        "comparison": f"The published trial had {count(size)} patients." if size else "",
        "intervals": "",
        "notes": [],
    }


def parameters(outcome: Any) -> list[Titled]:
    """Return the tables of parameters with their sources."""
    return []


def failures(outcome: Any) -> Table | None:
    """Return the patients whose solve failed, where it stopped and why; none if all were solved."""
    return None


def facts(outcome: Any) -> list[tuple[str, str]]:
    """Return what is needed to compute the same result again."""
    return [("Seed", str(outcome.seed))]


def sources(outcome: Any) -> list[str]:
    """Return the publications the result rests on."""
    return list(outcome.sources)
