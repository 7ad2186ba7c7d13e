"""Targets of Adhikarla et al. 2021."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.engine.solve import Crossing, solve
from livingdrug.library.adhikarla2021 import Adhikarla2021
from livingdrug.qualification.target import Assessment, Expected, Target, printed

ASSESSMENT = Assessment(
    question="In which order and how far apart should CAR T cells and a radionuclide be given?",
    context="Compares regimens in one mean mouse with myeloma by the days of progression and death.",
    influence="low: it explains the interplay of two treatments in mice; it carries no spread",
    consequence="low: research and teaching; never a schedule for a patient",
    applicability="one cell line (MM1S) in mice, the doses and intervals of the paper; not humans, not other nuclides",
)

_TABLE_2 = "adhikarla2021: table 2"
_TEXT = "adhikarla2021: text on the intervals"
_DAY = "the paper prints whole days, cut off or rounded"
START = 7.0  # day of the first treatment, whose burden is the one that counts
_NAMES = {
    "car_t_only": "CAR T cells alone",
    "radionuclide_only": "radionuclide alone",
    "car_t_then_radionuclide": "CAR T cells, radionuclide 25 days later",
    "radionuclide_then_car_t": "radionuclide, CAR T cells 22 days later",
}
_SINGLE = {
    "car_t_only": {"nadir": (19, "19.1"), "progression": (33, "33.7"), "death": (73, "74.0")},
    "radionuclide_only": {"nadir": (19, "18.6"), "progression": (27, "27.1"), "death": (64, "63.7")},
}
_BOTH = {"car_t_then_radionuclide": (55, "55.7"), "radionuclide_then_car_t": (43, "42.9")}
_UNTREATED = "death, untreated, "


def _whole(day: int) -> Expected:
    return Expected(day, 1.0, _DAY)


TARGETS = (
    *(
        Target(f"{what}, {_NAMES[regimen]}", "day", _TABLE_2, _whole(day), printed(own))
        for regimen, days in _SINGLE.items()
        for what, (day, own) in days.items()
    ),
    *(
        Target(f"progression, {_NAMES[regimen]}", "day", _TEXT, _whole(day), printed(own))
        for regimen, (day, own) in _BOTH.items()
    ),
    Target(
        _UNTREATED + "5e6 cells at the start", "day", _TABLE_2, _whole(43), printed("36.7"), reproducible=False,
        note="the stated number of cells at the start",
    ),
    Target(
        _UNTREATED + "1e6 cells at the start", "day", _TABLE_2, _whole(43), printed("42.6"),
        note="the number that the measured control mice were given",
    ),
    Target(
        "share of the CAR T cells left after 30 days without a tumour", "1",
        "adhikarla2021: equation for the CAR T cells", Expected(float(np.exp(-0.042 * 30)), 1e-7, "a closed form"),
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    found = {f"{what}, {name}": value for regimen, name in _NAMES.items() for what, value in _days(regimen).items()}
    wanted = {t.quantity for t in TARGETS}
    starts = {"5e6": 5e6, "1e6": 1e6}
    for text, day in zip(
        starts, _deaths({**_regimen("untreated"), "tumour_at_start": [*starts.values()]}), strict=True
    ):
        found[f"{_UNTREATED}{text} cells at the start"] = float(day)
    alone = {"tumour_at_start": 0.0, "car_t_day": 0.0, "injected_activity": 0.0}
    found[TARGETS[-1].quantity] = float(solve(Adhikarla2021, alone, [30.0], rtol=1e-9)["car_t_total"][0, 0] / 1e6)
    return {name: value for name, value in found.items() if name in wanted}


def _regimen(name: str) -> dict[str, Any]:
    return dict(Adhikarla2021.parameter_sets[name])


def _deaths(parameters: dict[str, Any]) -> NDArray[np.float64]:
    lethal = {"death": Crossing("tumour_cells", above=1e11, stop=True)}
    return solve(Adhikarla2021, parameters, [0.0, 200.0], crossings=lethal, rtol=1e-9).crossing_time["death"]


def _days(regimen: str) -> dict[str, float]:
    """Day of the lowest burden, last day on which it is back at that of day 7, and day of 1e11 cells."""
    days = np.linspace(START, 100.0, 9301)
    burden = solve(Adhikarla2021, _regimen(regimen), days, rtol=1e-9)["tumour_cells"][0]
    back = np.flatnonzero((burden[:-1] < burden[0]) & (burden[1:] >= burden[0]))
    return {
        "nadir": float(days[np.argmin(burden)]),
        "progression": float(days[back[-1] + 1]),
        "death": float(_deaths(_regimen(regimen))[0]),
    }
