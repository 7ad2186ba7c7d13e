"""A small stand-in for the engine and the library, so that trials are tested without either: Kimmel's equations by RK4.

Below 100 tumour cells a patient is cured or not by one random number; that is enough to exercise the trial.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.streams import uniform
from livingdrug.trials import Trial

UNIT = 5e8  # cells per (cell/uL)
VALUES = {
    "rN": (0.171, "1/day"),
    "KN": (500.0, "cell/uL"),
    "rc0": (0.037, "1/day"),
    "KC": (139.28, "cell/uL"),
    "a": (0.423, "1"),
    "b": (0.525, "1/day"),
    "rB": (0.065, "1/day"),
    "gB": (1.15, "1/day"),
    "kB": (1 / 0.247, "cell/uL"),
    "N0": (3e9, "cell"),
    "C0": (1.8e8, "cell"),
    "B0": (94.86, "mL"),
}
MODEL = SimpleNamespace(
    parameters={name: SimpleNamespace(value=value, unit=unit) for name, (value, unit) in VALUES.items()},
    parameter_sets={"code": {"rc0": 0.037}},
    outputs=("car_t_blood", "absolute_lymphocyte_count", "tumour_volume"),
    fingerprint="stand-in",
)
NINE = ("rN", "KN", "rc0", "KC", "a", "b", "rB", "gB", "kB")


@dataclass
class Failure:
    row: int
    patient: int
    time_reached: float
    worst_state: str
    reason: str


def rates(y, p):
    n, c = np.exp(y[0]), np.exp(y[1])
    total = n + c
    gap = (total - p["KN"]) ** 2
    growth = p["rc0"] + p["b"] * gap / (p["a"] * total**2 + gap)
    return np.stack(
        [
            -p["rN"] * np.log(total / p["KN"]),
            -growth * np.log(total / p["KC"]),
            p["rB"] - p["gB"] * c / (p["kB"] + c),
        ]
    )


def solve(
    model, parameters, times, *, outputs=None, crossings=None, extremes=None, patient_ids, seed=0, threads=None, fail=()
):
    for name in parameters:
        if name not in model.parameters:
            raise InputError(f"unknown parameter {name}")
    ids = np.asarray(patient_ids)
    p = {name: np.broadcast_to(parameters.get(name, value), ids.shape) for name, (value, _) in VALUES.items()}
    times = np.asarray(times, float)
    grid = np.unique(np.concatenate([np.arange(0, min(60, times[-1]), 0.25), np.arange(60, times[-1], 5.0), times]))
    y = np.stack([np.log(p["N0"] / UNIT), np.log(p["C0"] / UNIT), np.log(p["B0"] * 1e9)])
    dies = uniform(seed, ids, "jumps")[:, 0] < 0.8
    level = np.asarray(crossings["progression"].above, float)
    progression, extinct = np.full(ids.size, np.nan), np.full(ids.size, np.nan)
    peak, peak_day = np.full(ids.size, -np.inf), np.zeros(ids.size)
    values = np.full((ids.size, times.size, 3), np.nan)
    for day, following in zip(grid, np.append(grid[1:], grid[-1]), strict=True):
        cells = np.where(np.isfinite(extinct), 0.0, np.exp(np.minimum(y[2], 650)))
        extinct = np.where(np.isnan(extinct) & (cells < 100) & dies, day, extinct)
        cells = np.where(np.isfinite(extinct), 0.0, cells)
        progression = np.where(np.isnan(progression) & (cells / 1e9 >= level), day, progression)
        now = np.stack([np.exp(y[1]), np.exp(y[0]) + np.exp(y[1]), cells / 1e9], axis=1)
        peak_day = np.where(now[:, 0] > peak, day, peak_day)
        peak = np.maximum(peak, now[:, 0])
        values[:, times == day] = now[:, None, :]
        h = following - day
        k1 = rates(y, p)
        k2 = rates(y + h / 2 * k1, p)
        k3 = rates(y + h / 2 * k2, p)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + rates(y + h * k3, p))
    failed = np.isin(ids, list(fail))
    values[failed] = np.nan
    return SimpleNamespace(
        values=values[:, :, [model.outputs.index(name) for name in outputs]],
        outputs=tuple(outputs),
        units=tuple({"tumour_volume": "mL"}.get(name, "cell/uL") for name in outputs),
        status=failed.astype(np.int8),
        crossing_time={"progression": progression},
        extinct_time={"tumour": extinct},
        extreme={"car_peak": (peak_day, peak)},
        failures=lambda: [Failure(int(k), int(ids[k]), 1.0, "tumour", "made to fail") for k in np.flatnonzero(failed)],
    )


def trial() -> Trial:
    """ZUMA-1 with the names of the stand-in model."""
    found = Trial.builtin("kimmel-zuma-1").model_dump()
    infusion = found["arms"][0]["journey"]["infusion"]
    infusion["varied"] = NINE
    for link, name in zip(infusion["links"], ("C0", "N0", "B0"), strict=True):
        link["parameter"] = name
    found["follow_up"]["outputs"] = MODEL.outputs
    found["follow_up"]["tumour_state"] = "tumour"
    found["published_cures"] = found["published_cures"][:1]
    found["published_cures"][0]["runs"] = 200
    return Trial(**found)


@pytest.fixture
def small(monkeypatch):
    """ZUMA-1 on the stand-in model and solver."""
    monkeypatch.setattr("livingdrug.therapy.infusion.library_model", lambda name: MODEL)
    monkeypatch.setattr("livingdrug.therapy.infusion._solve", solve)
    return trial()


@pytest.fixture
def make_fail(monkeypatch, small):
    """Let the stand-in fail for the patients with these identifiers."""

    def fail(*ids):
        monkeypatch.setattr("livingdrug.therapy.infusion._solve", lambda *a, **k: solve(*a, **k, fail=ids))

    return fail
