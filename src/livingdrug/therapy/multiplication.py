"""Multiplication: the engineered cells grow in culture until harvest.

Living cells grow logistically after a lag: X(t) = K / (1 + (K/X0 - 1) exp(-mu (t - lag))), never above the capacity K.
At most ``seeding_limit`` cells are put into the vessel; the rest is kept and counted. The viability at harvest is
drawn, and the dead cells follow from it.

Left out: glucose, lactate, ammonia, cytokines, feeding and perfusion, the activation pulse, a growth advantage of CAR
cells, phenotype, harvest and freezing losses. Growth as good as in the published table almost never fails, so
failures enter as a stated probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.streams import Purpose, uniform
from livingdrug.therapy.declared import Declared
from livingdrug.therapy.engineering import EngineeredCells
from livingdrug.therapy.stage import Stage
from livingdrug.therapy.stated import Fixed, Fraction, LogitNormal, LogNormal, StatedValue, within

__all__ = ["MultiplicationPlan", "Product", "logistic_growth", "multiply"]


class MultiplicationPlan(Declared):
    """How the cells are grown: rate, lag, days in culture, seeding limit, capacity, viability, failures."""

    growth_rate: Annotated[StatedValue, within("1/day")] = LogNormal(
        median=0.984,
        log_sd=0.20,
        unit="1/day",
        source="tcellgrowth2019",
        mark="computed",
        note="0.041 per hour is the middle of eleven conditions; the spread is that of ten (without seeding on day 5)",
    )
    lag: Annotated[StatedValue, within("day")] = Fixed(
        value=1.5,
        unit="day",
        source="panch2019",
        mark="computed",
        note="middle: growth restarts 24 to 48 hours after activation",
    )
    duration: Annotated[StatedValue, within("day", above=True)] = Fixed(value=8.0, unit="day", note="days in culture")
    seeding_limit: Annotated[StatedValue, within("cell", above=True)] = Fixed(
        value=5e8, unit="cell", note="0.5e6 per mL in one litre"
    )
    capacity: Annotated[StatedValue, within("cell", above=True)] = Fixed(
        value=6.4e9,
        unit="cell",
        source="tcellgrowth2019",
        mark="computed",
        note="stirred tank, 6.4e6 per mL, times one litre",
    )
    viability: Fraction = LogitNormal(
        median=0.94,
        logit_sd=0.5,
        source="tcellgrowth2019",
        mark="computed",
        note="stirred tank 94 %; spread assumed so that the table's range of 77 to 96 % is covered",
    )
    failure: Fraction = Fixed(value=0.0, unit="fraction", note="failures that growth does not explain")


@dataclass(frozen=True, eq=False, repr=False)
class Product(Stage):
    """The harvest: living and dead T cells, living CAR T cells, viability, cells kept back, days in culture."""

    COLUMNS: ClassVar = {
        "seeded_t_cells": "cell",
        "kept_t_cells": "cell",
        "harvested_t_cells": "cell",
        "harvested_dead_cells": "cell",
        "harvested_car_t_cells": "cell",
        "viability": "fraction",
        "culture_days": "day",
    }

    @property
    def t_cells(self) -> NDArray[np.float64]:
        """Living T cells, shape (n,)."""
        return self.patients["harvested_t_cells"]

    @property
    def car_t_cells(self) -> NDArray[np.float64]:
        """Living CAR-positive T cells, shape (n,)."""
        return self.patients["harvested_car_t_cells"]

    @property
    def viability(self) -> NDArray[np.float64]:
        """Living cells over all cells, shape (n,)."""
        return self.patients["viability"]


def logistic_growth(
    start: ArrayLike, rate: ArrayLike, capacity: ArrayLike, days: ArrayLike, lag: ArrayLike = 0.0
) -> NDArray[np.float64]:
    """Return the cells after some days of logistic growth with a lag; all arguments broadcast, 0 cells stay 0.

    Args:
        start: cells at the start, at most the capacity.
        rate: growth rate, 1/day.
        capacity: cells that the vessel carries.
        days: days since the start.
        lag: days before growth begins.

    Example:
        >>> float(logistic_growth(1e8, 1.0, 1e10, 3.0, lag=3.0)), float(logistic_growth(1e8, 1.0, 1e10, 1e3))
        (100000000.0, 10000000000.0)
    """
    start, capacity = np.asarray(start, np.float64), np.asarray(capacity, np.float64)
    growing = np.maximum(np.asarray(days, np.float64) - np.asarray(lag, np.float64), 0.0)
    filled = start / capacity
    shrinking = np.maximum(np.exp(-np.asarray(rate, np.float64) * growing), np.finfo(np.float64).tiny)
    return start / (filled + (1 - filled) * shrinking)


def multiply(cells: EngineeredCells, plan: MultiplicationPlan | None = None, *, seed: int = 0) -> Product:
    """Grow the engineered cells and harvest them.

    Args:
        cells: engineered T cells.
        plan: growth and failures.
        seed: of the patients' random streams.

    Source:
        growth rates, densities and viability: ``tcellgrowth2019`` (doi 10.1186/s13036-019-0167-2, table 1).
    """
    plan = plan or MultiplicationPlan()
    ids = cells.patients.ids
    capacity = plan.capacity.draw(seed, ids, Purpose.CULTURE_CAPACITY)
    limit = np.minimum(plan.seeding_limit.draw(seed, ids, Purpose.SEEDING_LIMIT), capacity)
    seeded = np.minimum(cells.t_cells, limit)
    days = plan.duration.draw(seed, ids, Purpose.CULTURE_DURATION)
    rate = plan.growth_rate.draw(seed, ids, Purpose.GROWTH_RATE)
    grown = logistic_growth(seeded, rate, capacity, days, plan.lag.draw(seed, ids, Purpose.GROWTH_LAG))
    viability = np.maximum(plan.viability.draw(seed, ids, Purpose.VIABILITY), 1e-9)
    columns = {
        "seeded_t_cells": seeded,
        "kept_t_cells": cells.t_cells - seeded,
        "harvested_t_cells": grown,
        "harvested_dead_cells": grown * (1 - viability) / viability,
        "harvested_car_t_cells": grown * cells.car_positive,
        "viability": viability,
        "culture_days": days,
    }
    product = Product(cells.patients.with_columns(columns, Product.COLUMNS), cells.attrition)
    failed = uniform(seed, ids, Purpose.MANUFACTURING_FAILURE)[:, 0] < plan.failure.draw(seed, ids, "failure")
    return product.without(failed, "multiplication", "manufacture failed", days)
