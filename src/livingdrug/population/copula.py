"""Correlated luck: standard normal numbers per patient whose correlations are stated (a Gaussian copula).

Every quantity has a random stream of its own; the streams are then mixed by the triangular root of the matrix, one
after the other, so that a patient's numbers never depend on who else is in the cohort.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import field_validator

from livingdrug.declared import Declared, Number, Text
from livingdrug.errors import InputError, unknown_name
from livingdrug.streams import normal
from livingdrug.therapy.stated import Mark

__all__ = ["Correlation", "correlated_normals", "correlation_matrix"]

LEAST_EIGENVALUE = 1e-6


class Correlation(Declared):
    """How strongly two quantities go together, on the normal scale, with where that is from."""

    between: tuple[Text, Text]
    value: Number
    source: Text = ""
    mark: Mark = "assumed"
    note: Text = ""

    @field_validator("value")
    @classmethod
    def _below_one(cls, value: float) -> float:
        if not -1 < value < 1:
            raise InputError(f"a correlation lies between -1 and 1, got {value:g}")
        return value


def correlation_matrix(names: Sequence[str], pairs: Iterable[Correlation]) -> NDArray[np.float64]:
    """Return the matrix of these names, shape (name, name); pairs that are not stated are independent.

    Raises:
        InputError: a pair names something else, itself, or a pair that stands there already; or no luck can have these
            correlations, since the matrix is not positive definite.

    Example:
        >>> correlation_matrix(["age", "weight"], [Correlation(between=("age", "weight"), value=0.5)]).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    matrix = np.eye(len(names))
    for pair in pairs:
        for name in pair.between:
            if name not in names:
                raise InputError(unknown_name("quantity of a correlation", name, names))
        i, j = (list(names).index(name) for name in pair.between)
        if i == j or matrix[i, j] != 0:
            raise InputError(f"the correlation between {' and '.join(pair.between)} is stated twice, or of one thing")
        matrix[i, j] = matrix[j, i] = pair.value
    least = float(np.linalg.eigvalsh(matrix)[0]) if len(names) else 1.0
    if least < LEAST_EIGENVALUE:
        raise InputError(
            f"these correlations cannot hold together: the matrix is not positive definite (least eigenvalue "
            f"{least:.3g}); make some of them weaker"
        )
    return matrix


def correlated_normals(
    names: Sequence[str], pairs: Iterable[Correlation], ids: ArrayLike, *, seed: int, purpose: str
) -> dict[str, NDArray[np.float64]]:
    """Return standard normal numbers, name -> shape (patient,), with the stated correlations; errors as above."""
    root = np.linalg.cholesky(correlation_matrix(names, pairs))
    own = [normal(seed, ids, f"{purpose}:{name}")[:, 0] for name in names]
    found = {}
    for i, name in enumerate(names):  # sums term by term: a matrix product may round by the size of the cohort
        mixed = root[i, i] * own[i]
        for j in np.flatnonzero(root[i, :i]):
            mixed = mixed + root[i, j] * own[j]
        found[name] = mixed
    return found
