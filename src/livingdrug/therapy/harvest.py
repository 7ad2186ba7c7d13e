"""Harvest: what is lost between the vessel and the vein; cells in = cells out + losses, to the last cell.

Cells are counted in whole numbers from here on. Sums of whole numbers below 2**53 are exact in floating point, so the
balance is an equality and not an approximation.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.declared import Declared
from livingdrug.therapy.stated import Fixed, Fraction, StatedValue, within

__all__ = ["LOSSES", "Losses", "fill_bags"]

Array = NDArray[np.float64]
LOSSES = ("lost_at_harvest", "lost_at_washing", "taken_as_samples", "surplus_car_t_cells", "lost_at_thawing")
"""What becomes of living CAR T cells that are not given; the parts add up to ``left_over_car_t_cells``."""


class Losses(Declared):
    """Shares of living cells that survive each step, cells taken as samples, and viability after thawing."""

    harvest_recovery: Fraction = Fixed(value=0.95, unit="fraction", note="no published value at hand")
    wash_recovery: Fraction = Fixed(value=0.90, unit="fraction", note="no published value at hand")
    samples: Annotated[StatedValue, within("cell")] = Fixed(
        value=1e7, unit="cell", note="living CAR T cells for tests and kept bags"
    )
    thaw_recovery: Fraction = Fixed(
        value=0.75, unit="fraction", mark="recalled", note="living cells after freezing and thawing, 60 to 85 %"
    )
    thaw_viability: Fraction = Fixed(
        value=0.88,
        unit="fraction",
        mark="recalled",
        note="viability after thawing over that before; 70 to 90 % are seen after thawing",
    )


def fill_bags(
    made: ArrayLike, wanted: ArrayLike, losses: Losses, seed: int, ids: NDArray[np.uint64]
) -> dict[str, Array]:
    """Return the dose, the parts that are lost or left, and the viability kept, each shape (n,).

    The bag is filled with the wanted dose over the usual recovery (the median), because the recovery of this patient's
    cells is known only after thawing.

    Args:
        made: living CAR T cells in the vessel.
        wanted: living CAR T cells that shall be given.
        losses: recoveries and samples.
        seed: of the patients' random streams.
        ids: identifiers of the patients.

    Example:
        >>> found = fill_bags([1e9], [1.4e8], Losses(), 1, np.array([1], np.uint64))
        >>> found["dose_cells"].tolist(), float(sum(found[name] for name in ("dose_cells", *LOSSES))[0])
        ([140000000.0], 1000000000.0)
    """
    start = np.rint(np.asarray(made, np.float64))
    harvested = np.rint(start * losses.harvest_recovery.draw(seed, ids, "harvest_recovery"))
    washed = np.rint(harvested * losses.wash_recovery.draw(seed, ids, "wash_recovery"))
    samples = np.minimum(np.rint(losses.samples.draw(seed, ids, "samples")), washed)
    usual = max(float(losses.thaw_recovery.quantile(0.5)), 1e-6)
    filled = np.minimum(np.rint(np.asarray(wanted, np.float64) / usual), washed - samples)
    dose = np.rint(filled * losses.thaw_recovery.draw(seed, ids, "thaw_recovery"))
    parts = (start - harvested, harvested - washed, samples, washed - samples - filled, filled - dose)
    return {"dose_cells": dose, "left_over_car_t_cells": start - dose, **dict(zip(LOSSES, parts, strict=True))}


def available(made: ArrayLike, losses: Losses, seed: int, ids: NDArray[np.uint64]) -> Array:
    """Return the living CAR T cells that could be given at most, with the usual recovery after thawing, shape (n,)."""
    most = fill_bags(made, np.full(np.shape(made), np.inf), losses, seed, ids)
    return (most["dose_cells"] + most["lost_at_thawing"]) * float(losses.thaw_recovery.quantile(0.5))
