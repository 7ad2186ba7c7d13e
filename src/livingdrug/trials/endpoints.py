"""Endpoints: how each published number is computed from simulated patients, and the interval beside it.

A new endpoint is one function here and its name in ``ENDPOINTS``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.trials.survival import Curve, median_of_trials, share_of_trials, wilson

if TYPE_CHECKING:
    from livingdrug.patients import Patients
    from livingdrug.trials.design import Published, PublishedCure, Trial

__all__ = ["ENDPOINTS", "Evidence", "Simulated", "column_on_day", "cure_row", "endpoint_row"]

Array = NDArray[np.float64]
DAYS_PER_MONTH = 365.25 / 12
QUARTILES = "quartiles of patients"
TRIALS = "95 % of trials of this size"
MIDDLE = "2.5 % to 97.5 % of patients"


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the endpoints are computed from; arrays have one entry per enrolled patient.

    Attributes:
        trial: the design.
        patients: enrolled patients with their results; NaN where a result does not apply.
        stages: stage at which a patient left before the infusion, "" otherwise.
        responses: best response, "" without one.
        curve: progression-free survival of the infused patients, None if nobody was infused.
    """

    trial: Trial
    patients: Patients
    stages: NDArray[np.str_]
    responses: NDArray[np.str_]
    curve: Curve | None

    @property
    def followed(self) -> NDArray[np.bool_]:
        """Who was infused and solved to the end."""
        return self.patients["solved"] > 0


@dataclass(frozen=True)
class Simulated:
    """A simulated endpoint with its interval and what the interval is."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    interval: str = ""
    note: str = ""


def column_on_day(output: str, day: float) -> str:
    """Return the name of the column that holds an output on a day, e.g. ``car_t_blood_day_7``."""
    return f"{output}_day_{day:g}"


def _quartiles(values: Array, tail: float = 0.25, interval: str = QUARTILES) -> Simulated:
    known = values[np.isfinite(values)]
    if known.size == 0:
        return Simulated(note="no patient")
    low, middle, high = np.quantile(known, [tail, 0.5, 1 - tail])
    return Simulated(float(middle), float(low), float(high), interval)


def _share(members: NDArray[np.bool_], size: int) -> Simulated:
    if members.size == 0:
        return Simulated(note="no patient")
    share = float(members.mean())
    low, high = share_of_trials(share, size)
    return Simulated(share, float(low), float(high), TRIALS)


def output_on_day(evidence: Evidence, row: Published) -> Simulated:
    """Median and quartiles of an output on a day after infusion."""
    return _quartiles(evidence.patients[column_on_day(row.output, row.day or 0.0)])


def car_t_peak(evidence: Evidence, row: Published) -> Simulated:  # noqa: ARG001
    """Median and quartiles of the highest CAR-T value."""
    return _quartiles(evidence.patients["car_peak"])


def car_t_peak_day(evidence: Evidence, row: Published) -> Simulated:  # noqa: ARG001
    """Median and quartiles of the day of the highest CAR-T value."""
    return _quartiles(evidence.patients["car_peak_day"])


def infused(evidence: Evidence, row: Published) -> Simulated:  # noqa: ARG001
    """Share of the enrolled patients who are infused."""
    return _share(evidence.patients["infused"] > 0, evidence.trial.enrolled)


def lost_at(*stages: str) -> Callable[[Evidence, Published], Simulated]:
    """Return the endpoint: share of the enrolled patients who leave at one of these stages."""

    def lost(evidence: Evidence, row: Published) -> Simulated:  # noqa: ARG001
        return _share(np.isin(evidence.stages, stages), evidence.trial.enrolled)

    return lost


def cured(evidence: Evidence, row: Published) -> Simulated:  # noqa: ARG001
    """Share of the followed patients whose tumour dies out before it progresses."""
    return _share(np.isfinite(evidence.patients["cure_day"][evidence.followed]), evidence.trial.size)


def cure_day(evidence: Evidence, row: Published) -> Simulated:  # noqa: ARG001
    """Median day of cure among the cured, with the range of nearly all of them."""
    return _quartiles(evidence.patients["cure_day"], 0.025, MIDDLE)


def progression_day(evidence: Evidence, row: Published) -> Simulated:  # noqa: ARG001
    """Median day of progression among those who progress, with the range of nearly all of them."""
    return _quartiles(evidence.patients["progression_day"], 0.025, MIDDLE)


def response(evidence: Evidence, row: Published) -> Simulated:
    """Share of the followed patients whose best response is one of those named."""
    return _share(np.isin(evidence.responses[evidence.followed], row.response), evidence.trial.size)


def progression_free_on_day(evidence: Evidence, row: Published) -> Simulated:
    """Share of the infused patients without progression on a day (Kaplan-Meier)."""
    if evidence.curve is None:
        return Simulated(note="no patient")
    share = float(evidence.curve.at(row.day or 0.0))
    low, high = share_of_trials(share, evidence.trial.size)
    return Simulated(share, float(low), float(high), TRIALS)


def progression_free_median(evidence: Evidence, row: Published) -> Simulated:
    """Median progression-free survival, in days or months as the published value."""
    if evidence.curve is None:
        return Simulated(note="no patient")
    unit = DAYS_PER_MONTH if row.unit == "month" else 1.0
    low, high = median_of_trials(evidence.curve, evidence.trial.size)
    value = evidence.curve.first_day_below(0.5)
    note = "" if math.isfinite(value) else "not reached"
    if math.isfinite(low) and not math.isfinite(high):
        note = f"{note}; upper end of the interval not reached".lstrip("; ")
    return Simulated(value / unit, low / unit, high / unit, TRIALS, note)


def curve_inside_band(evidence: Evidence, row: Published) -> Simulated:  # noqa: ARG001
    """Share of the points of the published curve that lie in the 95 % band of trials of its size."""
    published = evidence.trial.published_survival
    if published is None or evidence.curve is None:
        return Simulated(note="no curve")
    low, high = share_of_trials(evidence.curve.at(published.day), published.patients)
    inside = (low <= published.share) & (np.asarray(published.share) <= high)
    return Simulated(float(inside.mean()), note="days that follow each other are not independent")


ENDPOINTS: dict[str, Callable[[Evidence, Published], Simulated]] = {
    "output_on_day": output_on_day,
    "car_t_peak": car_t_peak,
    "car_t_peak_day": car_t_peak_day,
    "infused": infused,
    "manufacture_failed": lost_at("collection", "multiplication", "release"),
    "lost_while_waiting": lost_at("waiting"),
    "cured": cured,
    "cure_day": cure_day,
    "progression_day": progression_day,
    "response": response,
    "progression_free_on_day": progression_free_on_day,
    "progression_free_median": progression_free_median,
    "curve_inside_band": curve_inside_band,
}


def endpoint_row(evidence: Evidence, row: Published) -> dict[str, Any]:
    """Return one line of the table published beside simulated.

    A published share without its own interval gets Wilson's from the number of patients.
    """
    found = ENDPOINTS[row.endpoint](evidence, row)
    low, high = row.low, row.high
    if low is None and high is None and row.value is not None and row.patients and row.unit == "fraction":
        low, high = wilson(row.value * row.patients, row.patients)
    mark = (
        ""
        if row.mark == "read"
        else f"published value {row.mark}, not verified"
        if row.mark == "recalled"
        else row.mark
    )
    return {
        "endpoint": row.label,
        "unit": row.unit,
        "published": _number(row.value),
        "published_low": _number(low),
        "published_high": _number(high),
        "simulated": found.value,
        "simulated_low": found.low,
        "simulated_high": found.high,
        "interval": found.interval,
        "source": row.source,
        "note": "; ".join(filter(None, (row.note, found.note, mark))),
        "output": row.output,
        "day": _number(row.day),
    }


def cure_row(row: PublishedCure, cures: int, runs: int) -> dict[str, Any]:
    """Return the line of a published probability of cure beside the runs with exactly its setting."""
    low, high = wilson(row.value * row.runs, row.runs)
    simulated_low, simulated_high = wilson(cures, runs)
    return {
        "endpoint": row.label,
        "unit": "fraction",
        "published": row.value,
        "published_low": low,
        "published_high": high,
        "simulated": cures / runs if runs else math.nan,
        "simulated_low": simulated_low,
        "simulated_high": simulated_high,
        "interval": f"95 % binomial, {runs} runs (published {row.runs})",
        "source": row.source,
        "note": row.note,
        "output": "",
        "day": math.nan,
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
