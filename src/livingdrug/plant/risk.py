"""What waiting costs: how likely a patient dies while waiting, and how the therapy's effect falls with the wait.

Without the infusion the cumulative hazard after t days is ``H(t) = year_hazard (t / 365.25)**shape``. After an
infusion on day w the hazard is multiplied by ``r(w) = ratio + (1 - ratio) (w / useless_after)**power``: small at first,
1 when the wait reaches ``useless_after``, and above 1 later. Both times count from referral.

Example:
    >>> risk = tully()
    >>> [round(100 * float(risk.mortality(months * MONTH)), 1) for months in (0, 1, 9)]
    [34.0, 36.1, 76.3]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import resources
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.declared import Declared, declare, read_toml
from livingdrug.errors import InputError, SolveError, unknown_name
from livingdrug.therapy.stated import Fixed, within

__all__ = ["MONTH", "YEAR", "WaitingRisk", "crossing", "fit_risk", "named_risk", "tully"]

YEAR = 365.25  # days
MONTH = YEAR / 12
CHEMOTHERAPY = 0.751  # tully2019: one-year mortality with chemotherapy, which patients also get while they wait
Array = NDArray[np.float64]


class WaitingRisk(Declared):
    """Hazard of death without the infusion, and the hazard ratio that an infusion after a wait brings."""

    year_hazard: Annotated[Fixed, within("1", above=True)]
    shape: Annotated[Fixed, within("1", above=True)] = Fixed(value=1.0, note="constant hazard")
    ratio: Annotated[Fixed, within("1", above=True)]
    useless_after: Annotated[Fixed, within("day", above=True)] | None = None
    power: Annotated[Fixed, within("1", above=True)] = Fixed(value=2.0, note="slow at first; assumed")

    def cumulative(self, day: ArrayLike) -> Array:
        """Return the cumulative hazard without an infusion up to a day, same shape."""
        return self.year_hazard.value * (np.asarray(day, np.float64) / YEAR) ** self.shape.value

    def ratio_after(self, wait: ArrayLike) -> Array:
        """Return the hazard ratio that an infusion after ``wait`` days brings, same shape."""
        days = np.asarray(wait, np.float64)
        if self.useless_after is None:
            return np.full(days.shape, self.ratio.value)
        fallen = (days / self.useless_after.value) ** self.power.value
        return self.ratio.value + (1 - self.ratio.value) * fallen

    def mortality(self, wait: ArrayLike, by: float = YEAR) -> Array:
        """Return the chance of death by a day, for patients infused after ``wait`` days (if they live to see it)."""
        days = np.minimum(np.asarray(wait, np.float64), by)
        before = self.cumulative(days)
        return 1 - np.exp(-(before + self.ratio_after(days) * (self.cumulative(by) - before)))

    def death_day(self, budget: ArrayLike, infused: ArrayLike, risk: ArrayLike = 1.0) -> Array:
        """Return the day of death since referral.

        Args:
            budget: standard exponential numbers, one per patient; the same budget gives a patient the same luck under
                any wait.
            infused: day of the infusion since referral; inf for those who are not infused.
            risk: factor on the patient's hazard.
        """
        spent, wait, factor = np.broadcast_arrays(*(np.asarray(value, np.float64) for value in (budget, infused, risk)))
        has = np.isfinite(wait)
        given = np.where(has, wait, 0.0)
        before = np.where(has, self.cumulative(given), np.inf)
        own = spent / factor
        with np.errstate(invalid="ignore"):
            total = np.where(own <= before, own, before + (own - before) / self.ratio_after(given))
        return YEAR * (total / self.year_hazard.value) ** (1 / self.shape.value)

    def loss_per_day(self, day: float, risk: float = 1.0, ahead: float = YEAR) -> float:
        """Return how much the chance to live on ``day + ahead`` falls if the infusion comes one day later.

        Example:
            >>> risk = tully()
            >>> risk.loss_per_day(10) < risk.loss_per_day(150)
            True
        """
        year, shape = self.year_hazard.value, self.shape.value

        def alive(wait: float) -> float:
            start, before, end = (year * (at / YEAR) ** shape for at in (day, wait, day + ahead))
            return math.exp(-risk * (before - start + self._ratio(wait) * (end - before)))

        return alive(day) - alive(day + 1)

    def _ratio(self, wait: float) -> float:
        if self.useless_after is None:
            return self.ratio.value
        return self.ratio.value + (1 - self.ratio.value) * (wait / self.useless_after.value) ** self.power.value


def tully() -> WaitingRisk:
    """Return the risk that reproduces the published waiting result; four numbers fitted to four, one assumed.

    Source: ``tully2019`` gives the four mortalities and no parameter; ``fit_risk`` computes these from them.
    """
    with resources.as_file(resources.files("livingdrug.plant") / "tully2019.toml") as path:
        return declare(WaitingRisk, read_toml(path), path.name)


def named_risk(value: Any) -> Any:
    """Return the risk of a name, ``tully2019``; anything but a text is handed on."""
    if not isinstance(value, str):
        return value
    if value != "tully2019":
        raise InputError(unknown_name("risk", value, ["tully2019"]))
    return tully()


def fit_risk(power: float = 2.0, *, mortality: Sequence[float] = (0.340, 0.361, 0.763, 0.751)) -> dict[str, float]:
    """Return the parameters of ``WaitingRisk`` that give four one-year mortalities exactly.

    Args:
        power: of the fall of the effect; assumed, since the four numbers cannot tell it.
        mortality: after 0, 1 and 9 months of waiting, and without an infusion.

    Raises:
        InputError: a mortality is not between 0 and 1.
        SolveError: no parameters give these numbers, e.g. with a power of 1.

    Example:
        >>> {name: round(value, 2) for name, value in fit_risk().items()}
        {'year_hazard': 1.39, 'shape': 1.59, 'ratio': 0.3, 'useless_after': 256.76}
    """
    if len(mortality) != 4 or not all(0 < value < 1 for value in mortality):
        raise InputError(f"fit_risk: four mortalities between 0 and 1 are needed, got {tuple(mortality)!r:.80}")
    from scipy.optimize import least_squares

    none, month, late, untreated = (-math.log(1 - value) for value in mortality)
    ratio = none / untreated

    def misses(unknown: Array) -> list[float]:
        shape, useless = unknown
        found = []
        for months, wanted in ((1, month), (9, late)):
            before = untreated * (months / 12) ** shape
            effect = ratio + (1 - ratio) * (months / useless) ** power
            found.append(before + effect * (untreated - before) - wanted)
        return found

    best = least_squares(misses, [1.6, 8.5], bounds=([0.2, 1.0], [8.0, 60.0]), xtol=1e-15, ftol=1e-15, gtol=1e-15)
    if np.max(np.abs(best.fun)) > 1e-9:
        raise SolveError(f"fit_risk: no waiting risk with power {power:g} gives the mortalities {tuple(mortality)}")
    return {
        "year_hazard": untreated,
        "shape": float(best.x[0]),
        "ratio": ratio,
        "useless_after": float(best.x[1]) * MONTH,
    }


def crossing(risk: WaitingRisk, comparator: float = CHEMOTHERAPY) -> float:
    """Return the wait in days at which the one-year mortality reaches that of the comparator.

    Raises:
        SolveError: it does not do so within a year.
    """
    from scipy.optimize import brentq

    def excess(wait: float) -> float:
        return float(risk.mortality(wait)) - comparator

    grid = np.linspace(0, YEAR * 0.999, 1000)
    above = np.flatnonzero(np.asarray(risk.mortality(grid)) > comparator)
    if not above.size or above[0] == 0:
        raise SolveError(f"the mortality does not cross {comparator:.1%} for waits up to a year")
    return float(brentq(excess, grid[above[0] - 1], grid[above[0]]))  # pyright: ignore[reportArgumentType]
