"""A made-up outcome with the shape of a real one, so that reports can be tested without running a trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from livingdrug.reports import report

QUANTILES = {"q05": -1.645, "q25": -0.674, "q50": 0.0, "q75": 0.674, "q95": 1.645}
DAYS = np.unique(np.concatenate([np.arange(0, 30, 1.0), np.arange(30, 400, 10.0), np.arange(400, 2001, 50.0)]))


@dataclass
class Made:
    """Attributes of an Outcome, filled with invented numbers."""

    trial: Any
    seed: int
    patients: Any
    summary: pd.DataFrame
    endpoints: pd.DataFrame
    survival: pd.DataFrame
    published_survival: pd.DataFrame
    flow: list[tuple[str, int, str]]
    assumptions: list[str]
    stated: pd.DataFrame
    sources: list[str]
    configuration: dict[str, Any]
    days: np.ndarray
    values: np.ndarray
    outputs: dict[str, str]
    failures: list[Any] = field(default_factory=list)


def make_outcome(patients: int = 400, seed: int = 1, name: str = "zuma-1", title: str = "ZUMA-1") -> Made:
    rng = np.random.default_rng(seed)
    cohort = _patients(rng, patients)
    return Made(
        trial=SimpleNamespace(name=name, title=title, model="kimmel2021", horizon_days=2000.0, size=101),
        seed=seed,
        patients=cohort,
        summary=pd.concat(
            [
                _course("car_t_blood", _car),
                _course("absolute_lymphocyte_count", _alc),
            ]
        ),
        endpoints=_endpoints(),
        survival=_survival(),
        published_survival=pd.DataFrame(
            {"day": [0.0, 60, 95, 140, 200, 300, 380, 740], "pfs": [1, 0.9, 0.7, 0.55, 0.49, 0.45, 0.42, 0.42]}
        ),
        flow=_flow(cohort),
        assumptions=["Invented numbers, for a test of the report.", "Every patient is weighed at 80 kg."],
        stated=pd.DataFrame(
            [
                {
                    "number": "arms.0.journey.release.least_viability",
                    "value": "0.8 fraction",
                    "mark": "read",
                    "source": "fda2024car",
                    "note": "",
                }
            ]
        ),
        sources=["kimmel2021"],
        configuration={"trial": name, "seed": seed, "patients": patients, "hash": "0" * 64},
        days=DAYS,
        values=_values(cohort),
        outputs={"car_t_blood": "cell/uL", "tumour_volume": "mL"},
    )


def _patients(rng: np.random.Generator, n: int) -> Any:
    volume = np.exp(rng.normal(np.log(95), 1.2, n))
    infused = rng.random(n) < 0.91
    cured = infused & (rng.random(n) < 1 / (1 + (volume / 60) ** 0.5))
    progressed = infused & ~cured & (rng.random(n) < 0.95)
    reason = np.where(infused, "", "progressed before infusion")
    columns = {
        "baseline_tumour_mL": volume,
        "infused": infused.astype(float),
        "cure_day": np.where(cured, rng.normal(50, 10, n), np.nan),
        "progression_day": np.where(progressed, rng.normal(250, 60, n), np.nan),
        "car_peak": np.where(infused, np.exp(rng.normal(3.4, 0.3, n)), np.nan),
        "car_peak_day": np.where(infused, rng.normal(7, 0.5, n), np.nan),
    }
    frame = pd.DataFrame(columns)
    frame["attrition"] = reason
    return frame


def _course(output: str, median: Any) -> pd.DataFrame:
    middle = median(DAYS)
    spread = 0.3 + 0.4 * np.minimum(DAYS, 200) / 200
    frame = pd.DataFrame({"output": output, "day": DAYS, "n": 364})
    for column, z in QUANTILES.items():
        frame[column] = middle * np.exp(z * spread)
    return frame


def _car(day: np.ndarray) -> np.ndarray:
    return 0.36 * np.exp(0.64 * np.minimum(day, 7) - 0.12 * np.clip(day - 7, 0, 35) - 0.008 * np.clip(day - 42, 0, 150))


def _alc(day: np.ndarray) -> np.ndarray:
    return 500 / (1 + 80 * np.exp(-0.35 * day)) + 5


def _values(cohort: pd.DataFrame) -> np.ndarray:
    """Tumours that shrink and die out, or shrink and grow until the patient has progressed."""
    start, progression = (cohort[name].to_numpy()[:, None] for name in ("baseline_tumour_mL", "progression_day"))
    shrunk = start * np.exp(-0.3 * np.minimum(DAYS, 60) + 0.07 * np.clip(DAYS - 60, 0, None))
    volume = np.where(np.isnan(progression) & (DAYS > 60), 0.0, shrunk)
    volume[np.nan_to_num(progression, nan=np.inf) < DAYS] = np.nan
    return np.stack([np.zeros_like(volume), volume], axis=2)


def _endpoints() -> pd.DataFrame:
    rows = []
    for day, low, middle, high in [
        (7, 16.8, 31.6, 58.8),
        (14, 3.43, 9.05, 35.7),
        (28, 0.465, 2.13, 4.75),
        (90, 0.0117, 0.112, 0.431),
    ]:
        at = float(_car(np.array([day]))[0])
        rows.append(
            (
                f"CAR-T in blood, day {day}",
                "cells/uL",
                middle,
                low,
                high,
                at,
                at * 0.8,
                at * 1.25,
                "quartiles",
                "kimmel2021",
                "",
                "car_t_blood",
                day,
            )
        )
    for day, value in [(7, 160), (14, 280), (28, 480)]:
        at = float(_alc(np.array([day]))[0])
        rows.append(
            (
                f"Lymphocytes in blood, day {day}",
                "cells/uL",
                value,
                np.nan,
                np.nan,
                at,
                at * 0.8,
                at * 1.25,
                "quartiles",
                "kimmel2021",
                "",
                "absolute_lymphocyte_count",
                day,
            )
        )
    rows.append(
        (
            "Progression-free at 1 year",
            "fraction",
            0.44,
            0.34,
            0.54,
            0.41,
            0.39,
            0.43,
            "95 %",
            "kimmel2021",
            "read from the plotted curve",
            "",
            np.nan,
        )
    )
    names = "endpoint unit published published_low published_high simulated simulated_low simulated_high"
    return pd.DataFrame(rows, columns=[*names.split(), "interval", "source", "note", "output", "day"])


def _survival() -> pd.DataFrame:
    day = np.arange(0, 2001, 20.0)
    pfs = 0.4 + 0.6 / (1 + (day / 220) ** 6)
    half = 1.96 * np.sqrt(pfs * (1 - pfs) / 101)
    return pd.DataFrame(
        {
            "day": day,
            "pfs": pfs,
            "low": np.clip(pfs - half, 0, 1),
            "high": np.clip(pfs + half, 0, 1),
            "at_risk": (364 * pfs).astype(int),
        }
    )


def _flow(cohort: pd.DataFrame) -> list[tuple[str, int, str]]:
    infused = int(cohort["infused"].sum())
    cured = int(cohort["cure_day"].notna().sum())
    progressed = int(cohort["progression_day"].notna().sum())
    return [
        ("enrolled", len(cohort), ""),
        ("infused", infused, "progressed before infusion"),
        ("cured", cured, ""),
        ("progressed", progressed, ""),
        ("neither", infused - cured - progressed, ""),
    ]


@pytest.fixture(name="make_outcome")
def _make_outcome() -> Callable[..., Made]:
    return make_outcome


@pytest.fixture(scope="session")
def page() -> str:
    return report(make_outcome()).html
