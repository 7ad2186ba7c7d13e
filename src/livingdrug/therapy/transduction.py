"""Transduction: how gene copies fall on cells, as a ladder of three laws, and what a product's numbers say of it.

- Poisson: every cell meets the same amount of vector; the mean is m copies per cell.
- Gamma-Poisson (negative binomial): cells differ in how much they take up; the shape r is small where they differ
  much. A shape of 0 stands for no difference, which is the Poisson law (the limit of a large shape).
- With a refractory fraction z of cells that take up nothing. Then m is the mean of the other cells.

CAR-positive fraction = (1 - z) (1 - (1 + m/r)^-r); copies per cell = (1 - z) m; copies per CAR-positive cell = their
ratio. Copies per haploid genome are half of those per cell, because a cell has two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError, unknown_name

__all__ = [
    "DENOMINATORS",
    "Dispersion",
    "car_positive_fraction",
    "copies_per_positive_cell",
    "infer_dispersion",
    "vector_factor",
    "vector_survival",
]

Array = NDArray[np.float64]
Denominator = Literal["per_haploid_genome", "per_cell", "per_car_cell"]
DENOMINATORS = ("per_haploid_genome", "per_cell", "per_car_cell")
LEAST_SHAPE = 0.01  # below it nearly all copies lie in a few cells


def car_positive_fraction(copies_per_cell: ArrayLike, shape: ArrayLike = 0.0, refractory: ArrayLike = 0.0) -> Array:
    """Return the fraction of cells with at least one copy; all arguments broadcast.

    Args:
        copies_per_cell: mean of the cells that can take up the vector, 0 or more.
        shape: of the gamma-Poisson law; 0 stands for the Poisson law.
        refractory: fraction of cells that take up nothing, 0 to 1.

    Raises:
        InputError: a value lies outside its range.

    Example:
        >>> car_positive_fraction([0.0, 1.0]).round(3).tolist()
        [0.0, 0.632]
        >>> float(car_positive_fraction(1.0, shape=1.0)), float(car_positive_fraction(1.0, shape=1.0, refractory=0.2))
        (0.5, 0.4)
    """
    mean, shape = _within("copies_per_cell", copies_per_cell, 0.0, np.inf), _shape(shape)
    refractory = _within("refractory", refractory, 0.0, 1.0)
    return -np.expm1(-_misses(mean, shape)) * (1 - refractory)


def copies_per_positive_cell(copies_per_cell: ArrayLike, shape: ArrayLike = 0.0) -> Array:
    """Return the mean copies of a cell that has the gene; 1 in the limit of rare transfer.

    Refractory cells do not change it, because ``copies_per_cell`` is the mean of the others.

    Example:
        >>> copies_per_positive_cell([0.0, -np.log(1 - 0.6)]).round(3).tolist()
        [1.0, 1.527]
    """
    mean, shape = np.broadcast_arrays(_within("copies_per_cell", copies_per_cell, 0.0, np.inf), _shape(shape))
    hit = -np.expm1(-_misses(mean, shape))
    return np.divide(mean, hit, out=np.ones_like(mean), where=hit > 0)


def vector_factor(moi: ArrayLike, reference_moi: ArrayLike, half_saturation: ArrayLike) -> Array:
    """Return the copies per cell at one amount of vector over those at a reference amount.

    Copies grow as MOI / (1 + MOI / half_saturation): in proportion at first, then ever less. A reference of 0 stands
    for a method without a viral vector and gives 1.

    Args:
        moi: multiplicity of infection, vector particles that can infect per cell.
        reference_moi: at which the copies were measured.
        half_saturation: MOI at which half of the largest number of copies is reached, above 0.

    Example:
        >>> vector_factor([5.0, 10.0, 1e9], 5.0, 10.0).round(3).tolist()
        [1.0, 1.5, 3.0]
    """
    moi, reference = _within("moi", moi, 0.0, np.inf), _within("reference_moi", reference_moi, 0.0, np.inf)
    half = _within("half_saturation", half_saturation, 1e-9, np.inf)
    taken, usual = moi / (1 + moi / half), reference / (1 + reference / half)
    return np.divide(taken, usual, out=np.ones(np.broadcast_shapes(taken.shape, usual.shape)), where=usual > 0)


def vector_survival(moi: ArrayLike, safe_moi: ArrayLike, harm_per_moi: ArrayLike) -> Array:
    """Return the share of cells that survive the vector: 1 up to a safe MOI, then exp(-harm (MOI - safe)).

    Example:
        >>> vector_survival([5.0, 20.0], 10.0, 0.06).round(3).tolist()
        [1.0, 0.549]
    """
    above = np.maximum(_within("moi", moi, 0.0, np.inf) - _within("safe_moi", safe_moi, 0.0, np.inf), 0.0)
    return np.exp(-_within("harm_per_moi", harm_per_moi, 0.0, np.inf) * above)


@dataclass(frozen=True, eq=False)
class Dispersion:
    """What CAR-positive fraction and copies say of the law: each attribute has the shape of the input.

    Attributes:
        copies_per_cell: mean of all cells under the chosen denominator.
        poisson_copies: what the Poisson law would give per cell for the same CAR-positive fraction.
        shape: of the gamma-Poisson law without refractory cells; NaN where there are fewer copies than Poisson gives.
        refractory: fraction of the Poisson law with refractory cells; NaN where there are too few copies.
    """

    copies_per_cell: Array
    poisson_copies: Array
    shape: Array
    refractory: Array

    @property
    def over_dispersed(self) -> NDArray[np.bool_]:
        """Whether there are more copies than the Poisson law gives for the CAR-positive fraction."""
        return self.copies_per_cell > self.poisson_copies


def infer_dispersion(car_positive: ArrayLike, copies: ArrayLike, denominator: Denominator) -> Dispersion:
    """Return the shape, or the refractory fraction, that joins a CAR-positive fraction and a copy number.

    Two numbers of a product determine one number of the law, so each answer assumes that the other cause is absent.
    Both have a closed form with Lambert's W.

    Args:
        car_positive: fraction of cells with the receptor, above 0 and below 1.
        copies: vector copy number, above 0.
        denominator: what the copies are counted per: one of ``DENOMINATORS``.

    Raises:
        InputError: a value lies outside its range, or the denominator is unknown.

    Example:
        >>> found = infer_dispersion(0.5, 1.0, "per_cell")
        >>> round(float(found.shape), 6), round(float(found.refractory), 2)
        (1.0, 0.37)
    """
    if denominator not in DENOMINATORS:
        raise InputError(unknown_name("denominator of copies", denominator, DENOMINATORS))
    positive = _within("car_positive", car_positive, 1e-9, 1 - 1e-9)
    copies = _within("copies", copies, 1e-12, np.inf)
    mean = {"per_haploid_genome": 2 * copies, "per_cell": copies, "per_car_cell": copies * positive}[denominator]
    mean, positive = np.broadcast_arrays(mean, positive)
    poisson = -np.log1p(-positive)
    return Dispersion(mean, poisson, _shape_for(mean, poisson), _refractory_for(mean, positive, poisson))


def _shape_for(mean: Array, misses: Array) -> Array:
    """Solve r ln(1 + m/r) = misses for r: with a = misses/m, 1 + m/r = -W(-a exp(-a)) / a on the lower branch."""
    from scipy.special import lambertw

    a = np.minimum(misses / mean, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = -np.real(lambertw(-a * np.exp(-a), -1)) / a
        shape = np.where(a < 1, mean / (x - 1), np.inf)
    return np.where(misses > mean * (1 + 1e-12), np.nan, shape)


def _refractory_for(mean: Array, positive: Array, misses: Array) -> Array:
    """Solve c = u / (1 - exp(-u)) for the mean u of the cells that take up: u = c + W(-c exp(-c))."""
    from scipy.special import lambertw

    per_positive = np.maximum(mean / positive, 1.0)
    taken = per_positive + np.real(lambertw(-per_positive * np.exp(-per_positive)))
    with np.errstate(divide="ignore", invalid="ignore"):
        refractory = 1 - positive / -np.expm1(-taken)
    return np.where(misses > mean * (1 + 1e-12), np.nan, np.maximum(refractory, 0.0))


def _misses(mean: Array, shape: Array) -> Array:
    """Return minus the logarithm of the chance that a cell gets no copy."""
    spread = np.where(shape > 0, shape, 1.0)
    return np.where(shape > 0, spread * np.log1p(mean / spread), mean)


def _shape(values: ArrayLike) -> Array:
    found = np.asarray(values, np.float64)
    bad = ~((found == 0) | ((found >= LEAST_SHAPE) & np.isfinite(found)))
    if np.any(bad):
        raise InputError(f"shape must be 0 (Poisson) or {LEAST_SHAPE:g} or more, got {found[bad].flat[0]:g}")
    return found


def _within(name: str, values: ArrayLike, least: float, most: float) -> Array:
    found = np.asarray(values, np.float64)
    bad = ~((found >= least) & (found <= most) & np.isfinite(found))
    if np.any(bad):
        allowed = f"{least:g} to {most:g}" if np.isfinite(most) else f"{least:g} or more"
        raise InputError(f"{name} must be a finite number, {allowed}, got {found[bad].flat[0]:g}")
    return found
