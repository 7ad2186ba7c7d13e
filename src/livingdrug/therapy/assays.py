"""Assays: what a laboratory finds of a true value, when the result is there, and what it costs.

A share is read with a normal error on its own scale; copies and cell counts with a normal error of their logarithm.

Source:
    No published assay errors or prices of single tests are at hand: they are assumed, and add up to the published
    price of quality control per therapy (``shipmentinstance``: 9,312 USD). Days of the cultures are recalled.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.declared import Declared
from livingdrug.streams import normal
from livingdrug.therapy.stated import Fixed, StatedValue, within

__all__ = ["Assay", "Assays", "chance_below", "measure"]

Array = NDArray[np.float64]
Scale = Literal["share", "logarithm"]


class Assay(Declared):
    """One release test: standard deviation of its error, days until the result, cost, and whether release waits."""

    error: Annotated[StatedValue, within("1")] = Fixed(value=0.0, note="found or not found")
    turnaround: Annotated[StatedValue, within("day")]
    cost: Annotated[StatedValue, within("USD")]
    after_release: bool = False


def _assay(error: float, days: float, cost: float, note: str = "", recalled: bool = False, late: bool = False) -> Assay:
    mark = "recalled" if recalled else "assumed"
    return Assay(
        error=Fixed(value=error, note="of a share: on its scale; of copies or counts: of the logarithm"),
        turnaround=Fixed(value=days, unit="day", mark=mark, note=note),
        cost=Fixed(value=cost, unit="USD", note="share of the published 9,312 USD per therapy; the split is assumed"),
        after_release=late,
    )


class Assays(Declared):
    """The laboratory: one assay per release test."""

    viability: Assay = _assay(0.03, 1, 400)
    t_cell_purity: Assay = _assay(0.02, 1, 500)
    car_positive: Assay = _assay(0.03, 1, 700)
    cell_count: Assay = _assay(0.10, 1, 300)
    gene_copies: Assay = _assay(0.15, 3, 1_200)
    endotoxin: Assay = _assay(0.0, 1, 400)
    mycoplasma: Assay = _assay(0.0, 1, 1_000, "by PCR", recalled=True)
    replicating_virus: Assay = _assay(0.0, 3, 1_812, "by qPCR; the culture takes weeks")
    growth_of_germs: Assay = _assay(0.0, 7, 1_500, "automated culture, 5 to 7 days", recalled=True)
    growth_of_germs_final: Assay = _assay(0.0, 14, 1_500, "culture of the pharmacopoeia", recalled=True, late=True)

    def days(self, seed: int, ids: NDArray[np.uint64], *, late: bool) -> Array:
        """Return the days from sampling to the last result, shape (n,); ``late``: of the tests release waits not for.

        Zero where there is no such test.
        """
        found = np.zeros(ids.size)
        for name, assay in self.parts():
            if assay.after_release == late:
                found = np.maximum(found, assay.turnaround.draw(seed, ids, f"turnaround of {name}"))
        return found

    def cost(self, seed: int, ids: NDArray[np.uint64]) -> Array:
        """Return the cost of all tests of one batch in USD, shape (n,)."""
        return np.sum([assay.cost.draw(seed, ids, f"cost of {name}") for name, assay in self.parts()], axis=0)


def measure(true: ArrayLike, assay: Assay, scale: Scale, seed: int, ids: NDArray[np.uint64], purpose: str) -> Array:
    """Return what the assay reads of the true values, shape (n,); shares stay between 0 and 1.

    Example:
        >>> exact = Assay(turnaround=Fixed(value=1, unit="day"), cost=Fixed(value=1, unit="USD"))
        >>> measure([0.9], exact, "share", 1, np.array([5], np.uint64), "viability").tolist()
        [0.9]
    """
    values = np.asarray(true, np.float64)
    if assay.error.support == (0.0, 0.0):
        return values
    off = assay.error.draw(seed, ids, f"error size of {purpose}") * normal(seed, ids, f"error of {purpose}")[:, 0]
    return np.clip(values + off, 0.0, 1.0) if scale == "share" else values * np.exp(off)


def chance_below(true: ArrayLike, limit: ArrayLike, error: ArrayLike, scale: Scale) -> Array:
    """Return the chance that the assay reads less than the limit; without error 0 or 1.

    Example:
        >>> chance_below([0.8, 0.86], 0.8, 0.03, "share").round(3).tolist()
        [0.5, 0.023]
    """
    from scipy.special import ndtr

    true, limit, error = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (true, limit, error)))
    with np.errstate(divide="ignore", invalid="ignore"):
        away = limit - true if scale == "share" else np.log(limit) - np.log(true)
        return np.where(error > 0, ndtr(away / error), (away > 0).astype(np.float64))
