"""What a reader should see first: the trial in a sentence, and its key results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from livingdrug.reports.numbers import count, interval, number, percent
from livingdrug.trials.survival import wilson

__all__ = ["Card", "cards", "headline"]


@dataclass(frozen=True)
class Card:
    """One key result: a number, what it is, how sure or compared with what, and a warning if it deviates from that."""

    value: str
    label: str
    detail: str
    deviates: str = ""


def headline(outcome: Any) -> dict[str, str]:
    """Return the words at the top of the page."""
    trial = outcome.trial
    size = f"the published trial infused {count(trial.size)}" if getattr(trial, "size", 0) else ""
    parts = [f"{count(len(outcome.patients))} simulated patients", size, f"model {trial.model}", f"seed {outcome.seed}"]
    return {"title": trial.title, "about": getattr(trial, "description", ""), "run": " · ".join(filter(None, parts))}


def cards(outcome: Any) -> list[Card]:
    """Return the key results; those of the infused patients only if there are any."""
    infused = np.asarray(outcome.patients["infused"], float) > 0
    given, enrolled = int(infused.sum()), infused.size
    share = percent(given / enrolled) if enrolled else "–"
    made = [Card(share, "received the cells", f"{count(given)} of {count(enrolled)} enrolled")]
    if given:
        made += [_cured(outcome, infused), *_progression_free(outcome, 365, "1 year"), *_peak(outcome, infused)]
    return made


def _cured(outcome: Any, infused: np.ndarray) -> Card:
    cured = np.isfinite(np.asarray(outcome.patients["cure_day"], float)[infused])
    low, high = wilson(int(cured.sum()), cured.size)
    detail = f"95\u00a0% interval {percent(low)} to {percent(high)}"
    return Card(percent(float(cured.mean())), "of infused patients cured", detail)


def _progression_free(outcome: Any, day: float, words: str) -> list[Card]:
    curve, published = outcome.survival, outcome.published_survival
    if curve.empty or curve["day"].max() < day:
        return []
    at = curve[curve["day"] <= day].iloc[-1]
    detail, deviates = "no published value", ""
    if len(published) and published["day"].max() >= day:
        value = published[published["day"] <= day]["pfs"].iloc[-1]
        detail = f"published: {percent(value)}"
        if not at["low"] <= value <= at["high"]:
            deviates = f"deviates by {abs(round(100 * (at['pfs'] - value)))} points, more than chance explains"
    return [Card(percent(at["pfs"]), f"without progression at {words}", detail, deviates)]


def _peak(outcome: Any, infused: np.ndarray) -> list[Card]:
    peak, day = (np.asarray(outcome.patients[name], float)[infused] for name in ("car_peak", "car_peak_day"))
    if not np.isfinite(peak).any():
        return []
    label = f"CAR-T cells per µL of blood at the median peak, on day {round(float(np.nanmedian(day)))}"
    detail = f"half of the patients: {interval(*np.nanquantile(peak, [0.25, 0.75]))}"
    return [Card(number(float(np.nanmedian(peak))), label, detail)]
