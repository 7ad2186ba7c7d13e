"""Targets of Ogasawara et al. 2021."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livingdrug.engine.solve import Crossing, Extreme, Solution, solve
from livingdrug.library.ogasawara2021 import Ogasawara2021
from livingdrug.qualification.target import Assessment, Expected, Target, printed

ASSESSMENT = Assessment(
    question="When does lisocabtagene maraleucel start to grow, when does it peak, how fast does it fall?",
    context="Describes the mean times of the course in blood, in multiples of the peak.",
    influence="low: five means only; it says nothing about heights, patients or response",
    consequence="low: used for teaching and to plan sampling days",
    applicability="261 patients with large B-cell lymphoma after one dose in TRANSCEND NHL 001; typical patient only",
)

_ABSTRACT = "ogasawara2021: abstract"

# Mean and the ends of its 95 per cent confidence interval, days, as printed.
_MEANS = {
    "lag": ("3.27", "2.71", "3.97"),
    "doubling_time": ("0.755", "0.667", "0.821"),
    "peak_day": ("9.29", "8.81", "9.70"),
    "fast_half_life": ("5.00", "4.15", "5.90"),
    "slow_half_life": ("352", "241", "647"),
}
_WORDS = {
    "lag": "lag before growth",
    "doubling_time": "doubling time",
    "peak_day": "day of the peak",
    "fast_half_life": "half-life of the fast decline",
    "slow_half_life": "half-life of the slow decline",
}
_ENDS = ("", ", lower end of its confidence interval", ", upper end of its confidence interval")

TARGETS = (
    *(
        Target(f"{_WORDS[name]}{end}", "day", _ABSTRACT, paper=printed(value), note="read off the solved course")
        for name, values in _MEANS.items()
        for end, value in zip(_ENDS, values, strict=True)
    ),
    Target(
        "height of the peak, in multiples of the peak", "1", "ogasawara2021: the unit of the model itself",
        recomputed=Expected(1.0, 1e-6, "the solver's tolerance is 1e-9"),
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets: each mean, and each end of its interval with the other means unchanged."""
    cohort = {name: np.full(1 + 2 * len(_MEANS), float(values[0])) for name, values in _MEANS.items()}
    for k, (name, values) in enumerate(_MEANS.items()):
        cohort[name][1 + 2 * k : 3 + 2 * k] = [float(value) for value in values[1:]]
    start = 2.0 ** ((cohort["lag"] - cohort["peak_day"]) / cohort["doubling_time"])
    solution = solve(
        Ogasawara2021, cohort, [20.0, 21.0, 700.0, 701.0], outputs=["car_t_transgene_of_peak", *Ogasawara2021.states],
        crossings={"doubled": Crossing("effector", above=2 * start), "again": Crossing("effector", above=4 * start)},
        extremes={"peak": Extreme("car_t_transgene_of_peak")}, rtol=1e-9,
    )  # fmt: skip
    times = _times(solution)
    found = {"height of the peak, in multiples of the peak": float(solution.extreme["peak"][1][0])}
    for k, name in enumerate(_MEANS):
        for end, row in zip(_ENDS, (0, 1 + 2 * k, 2 + 2 * k), strict=True):
            found[f"{_WORDS[name]}{end}"] = float(times[name][row])
    return found


def _times(solution: Solution) -> dict[str, np.ndarray]:
    """The five times as they show in the courses, each of shape (patient,)."""
    doubled, again = solution.crossing_time["doubled"], solution.crossing_time["again"]
    effector, total = solution["effector"], solution["car_t_transgene_of_peak"]
    return {
        "lag": doubled - (again - doubled),
        "doubling_time": again - doubled,
        "peak_day": solution.extreme["peak"][0],
        "fast_half_life": np.log(2) / np.log(effector[:, 0] / effector[:, 1]),
        "slow_half_life": np.log(2) / np.log(total[:, 2] / total[:, 3]),  # only slow cells are left by then
    }
