"""Side effects as a trial records them: grades, onset and duration in whole days, drugs given, support needed.

Days are charted as whole days: an event within the first 24 hours is of day 1 (assumed; trials do not say).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.body.signs import WORDS
from livingdrug.clinic.management_rules import CLASSES

__all__ = ["BY_TERMS", "SIGNS", "episode", "scale_outcomes", "support_outcomes", "terms_grade"]

Array = NDArray[np.float64]
SIGNS = ("vasopressors", "vasopressor_dose", "oxygen_device", "ice_score", "consciousness", "seizure")
HIGH_DOSE = 20.0  # ug/min of noradrenaline: high-dose vasopressor of Lee 2014 table 3
DEVICES = WORDS["oxygen_device"]
VENTILATOR, HIGH_FLOW = float(DEVICES.index("ventilator")), float(DEVICES.index("high_flow"))
WELL = {"ice_score": 10.0, "consciousness": 0.0, "seizure": 0.0}
BY_TERMS = ("ctcae-v4-neuro", "ctcae-v5-neuro")
"""Scales that take the worst of many terms, which the ward does not chart one by one."""
GAP = 1.0  # days without a grade that end an episode, as in clinic.grading_episodes


MASKED = 2.0  # days after tocilizumab for which nobody calls an episode over: assumed


def episode(days: Array, ill: NDArray[np.bool_], treated: NDArray[np.bool_] | None = None) -> tuple[Array, Array]:
    """Return first and last day of each patient's first episode, NaN for none.

    An episode goes on from round to round; a round without a grade ends it, unless a grade is back within a day.

    Args:
        days: of the rounds, ascending, shape (round,).
        ill: shape (patient, round).
        treated: where a drug was given that hides signs, shape (patient, round); an episode goes on for two days.

    Example:
        >>> start, end = episode(np.array([1.0, 2.0, 3.0, 5.0, 6.0]), np.array([[0, 1, 1, 0, 1]], bool))
        >>> start.tolist(), end.tolist()
        ([2.0], [3.0])
    """
    start, end = np.full(ill.shape[0], np.nan), np.full(ill.shape[0], np.nan)
    dosed, before = np.full(ill.shape[0], -np.inf), -np.inf
    for k, day in enumerate(days):
        here = ill[:, k]
        near = (day - end <= GAP + 1e-9) | (end == before)
        if treated is not None:
            dosed = np.where(treated[:, k], day, dosed)
            here = here | (np.isfinite(start) & (day - dosed <= MASKED + 1e-9) & near)
        start = np.where(here & np.isnan(start), day, start)
        end, before = np.where(here & (np.isnan(end) | near), day, end), day
    return start, end


def terms_grade(signs: Mapping[str, NDArray[Any]]) -> NDArray[np.int8]:
    """Return the grade by terms of the nervous system (CTCAE) at rounds, shape (patient, round).

    The worst of three terms, as ``clinic.grading`` takes it: encephalopathy by what ICE shows of daily life (7 to 9
    points mild, 3 to 6 instrumental activities, 0 to 2 self-care), depressed consciousness, and seizure. This reading
    of the signs is assumed; the scale asks for a physician's words.
    """
    ice, consciousness, seizure = (np.nan_to_num(signs[name], nan=well) for name, well in WELL.items())
    encephalopathy = np.select([ice <= 2, ice <= 6, ice <= 9], [3, 2, 1], 0)
    asleep = np.select([consciousness >= 3, consciousness >= 2, consciousness >= 1], [4, 3, 2], 0)
    fit = np.select([seizure >= 2, seizure >= 1], [4, 2], 0)
    return np.maximum.reduce([encephalopathy, asleep, fit]).astype(np.int8)


def scale_outcomes(
    syndrome: str, name: str, days: Array, grades: NDArray[np.int8], treated: NDArray[np.bool_] | None = None
) -> dict[str, Array]:
    """Return the columns of one scale from the grades at rounds, shape (patient, round).

    Args:
        syndrome: "crs" or "neuro".
        name: of the scale.
        days: of the rounds.
        grades: at rounds.
        treated: where tocilizumab was given at rounds; it hides signs of cytokine release.
    """
    start, end = episode(days, grades > 0, treated if syndrome == "crs" else None)
    severe = np.where((grades >= 3).any(axis=1), days[(grades >= 3).argmax(axis=1)], np.nan)
    return {
        f"{syndrome}_{name}": grades.max(axis=1, initial=0).astype(np.float64),
        f"{syndrome}_onset_{name}": np.ceil(start - 1e-6),
        f"{syndrome}_duration_{name}": np.ceil(end - 1e-6) - np.ceil(start - 1e-6) + 1,
        f"{syndrome}_days_to_3_{name}": np.ceil(severe - 1e-6) - np.ceil(start - 1e-6) + 1,
    }


def grade_4_day(days: Array, grades: Sequence[NDArray[np.int8]]) -> Array:
    """Return the first day with grade 4 on any of the scales, NaN for never, shape (patient,)."""
    worst = np.maximum.reduce(list(grades)) >= 4
    return np.where(worst.any(axis=1), days[worst.argmax(axis=1)], np.nan)


def support_outcomes(signs: Mapping[str, NDArray[Any]], given: NDArray[np.float32], brain: Array) -> dict[str, Any]:
    """Return drugs and support, column -> shape (patient,).

    Args:
        signs: those of ``SIGNS`` at rounds, shape (patient, round).
        given: milligrams of each class at rounds, shape (patient, round, class).
        brain: highest grade of neurotoxicity, shape (patient,).
    """
    pressors, dose, device = (np.nan_to_num(np.asarray(signs[name])) for name in SIGNS[:3])
    times = (given > 0).sum(axis=1)
    drugs = {name: times[:, CLASSES.index(name)] for name in CLASSES}
    vasopressor, ventilated = (pressors > 0).any(axis=1), (device >= VENTILATOR).any(axis=1)
    return {
        "tocilizumab": drugs["tocilizumab"] > 0,
        "tocilizumab_doses": drugs["tocilizumab"].astype(np.float64),
        "steroid": drugs["steroid"] > 0,
        "anakinra": drugs["anakinra"] > 0,
        "vasopressor": vasopressor,
        "high_dose_vasopressor": ((dose >= HIGH_DOSE) | (pressors >= 2)).any(axis=1),
        "ventilated": ventilated,
        "icu": vasopressor | (device >= HIGH_FLOW).any(axis=1) | (brain >= 3),
    }
