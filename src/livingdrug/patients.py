"""The cohort that all stages share: a column per attribute, a row per patient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Patients"]


@dataclass(frozen=True, eq=False, repr=False)
class Patients:
    """A cohort: identifiers, and named columns of numbers with their units.

    Args:
        ids: one whole number per patient, all different; random streams hang on them, not on the row.
        columns: name -> numbers of shape (n,); finite, unless the name stands in ``may_be_missing``.
        units: name -> unit; a column without one has the unit "1".
        may_be_missing: names of columns in which NaN means "does not apply", e.g. the day of a cure.

    Raises:
        InputError: a column has the wrong length or a number is not finite; the message names patient and column.

    Example:
        >>> cohort = Patients([1, 2], {"weight_kg": [70.0, 82.5]}, {"weight_kg": "kg"})
        >>> len(cohort), float(cohort["weight_kg"][1]), cohort.units["weight_kg"]
        (2, 82.5, 'kg')
        >>> cohort.take([1]).ids.tolist()
        [2]
    """

    ids: NDArray[np.uint64]
    columns: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    may_be_missing: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        ids = _identifiers(self.ids)
        columns = {
            name: _column(name, values, ids, name in self.may_be_missing) for name, values in self.columns.items()
        }
        unknown = [name for name in self.units if name not in columns]
        if unknown:
            raise InputError(unknown_name("column in the units of the patients", unknown[0], columns))
        units = {name: self.units.get(name, "1") for name in columns}
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "columns", MappingProxyType(columns))
        object.__setattr__(self, "units", MappingProxyType(units))
        object.__setattr__(self, "may_be_missing", frozenset(self.may_be_missing) & columns.keys())

    def __repr__(self) -> str:
        shown = [f"{name} [{unit}]" for name, unit in self.units.items()]
        more = f", ... ({len(shown)} columns)" if len(shown) > 6 else ""
        return f"<{len(self)} patients: {', '.join(shown[:6])}{more}>"

    def __len__(self) -> int:
        return int(self.ids.size)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """Return the column of that name, read only, shape (n,); an unknown name is an InputError."""
        if name not in self.columns:
            raise InputError(unknown_name("column of the patients", name, self.columns))
        return self.columns[name]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Patients):
            return NotImplemented
        same_shape = self.columns.keys() == other.columns.keys() and self.units == other.units
        return (
            same_shape
            and np.array_equal(self.ids, other.ids)
            and all(np.array_equal(self[name], other[name], equal_nan=True) for name in self)
        )

    __hash__ = None  # type: ignore[assignment]

    def with_columns(
        self,
        columns: Mapping[str, ArrayLike],
        units: Mapping[str, str] | None = None,
        may_be_missing: frozenset[str] = frozenset(),
    ) -> Patients:
        """Return the cohort with columns added or replaced; shapes, units and errors as for the class."""
        units = dict(units or {})
        kept = {name: unit for name, unit in self.units.items() if name not in columns or name not in units}
        return Patients(
            self.ids,
            {**self.columns, **columns},  # type: ignore[dict-item]
            {**kept, **units},
            (self.may_be_missing - columns.keys()) | may_be_missing,
        )

    def take(self, chosen: ArrayLike) -> Patients:
        """Return the patients of a mask (n,) or of row numbers, in that order; a wrong length is an InputError."""
        rows = np.asarray(chosen)
        if rows.dtype == bool and rows.shape != self.ids.shape:
            raise InputError(f"a mask of {rows.size} entries cannot choose among {len(self)} patients")
        if rows.size == 0:
            rows = np.empty(0, np.intp)
        try:
            ids = self.ids[rows]
        except IndexError as error:
            raise InputError(f"row numbers must lie between 0 and {len(self) - 1}: {error}") from error
        return Patients(ids, {name: self[name][rows] for name in self}, self.units, self.may_be_missing)

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table with the identifiers as column ``patient`` and every other column after it."""
        import pandas as pd

        return pd.DataFrame({"patient": self.ids, **self.columns})


def _identifiers(ids: Any) -> NDArray[np.uint64]:
    found = np.atleast_1d(np.asarray(ids))
    if found.size == 0:
        return _frozen(np.empty(0, np.uint64))
    if found.ndim != 1 or found.dtype.kind not in "iu" or np.any(found < 0):
        raise InputError(f"patient identifiers must be a row of whole numbers from 0 up, got {found!r:.80}")
    if np.all(found[1:] > found[:-1]):  # the usual order needs no sorting
        return _frozen(found.astype(np.uint64))
    unique, counts = np.unique(found, return_counts=True)
    if np.any(counts > 1):
        raise InputError(f"patient identifiers must differ, but {unique[counts > 1][0]} stands there twice")
    return _frozen(found.astype(np.uint64))


def _column(name: str, values: Any, ids: NDArray[np.uint64], may_be_missing: bool) -> NDArray[np.float64]:
    shared = isinstance(values, np.ndarray) and not values.flags.writeable and values.base is None
    try:
        column = np.asarray(values, np.float64) if shared else np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"column {name!r} of the patients must hold numbers: {error}") from error
    if column.shape != ids.shape:
        raise InputError(f"column {name!r} must have one number for each of {ids.size} patients, got {column.shape}")
    bad = np.isinf(column) if may_be_missing else ~np.isfinite(column)
    if np.any(bad):
        row = int(np.argmax(bad))
        raise InputError(f"column {name!r} must be finite, got {column[row]} for patient {ids[row]}")
    return _frozen(column)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
