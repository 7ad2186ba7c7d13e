"""What all stages hand on: the patients still in the therapy, what was measured, and who left where and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.patients import Patients

__all__ = ["Attrition", "Stage", "require"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Attrition:
    """Who left the therapy: identifier, stage, reason and day since collection, one entry per patient who left."""

    ids: NDArray[np.uint64]
    stages: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    days: tuple[float, ...] = ()

    @classmethod
    def none(cls) -> Attrition:
        """Return the attrition of a therapy that nobody has left."""
        return cls(np.empty(0, np.uint64))

    def __len__(self) -> int:
        return int(self.ids.size)

    def leave(self, ids: NDArray[np.uint64], stage: str, reasons: Sequence[str], days: ArrayLike) -> Attrition:
        """Return the attrition with more patients; who has left before cannot leave again (InputError)."""
        again = np.intersect1d(self.ids, ids)
        if again.size:
            raise InputError(f"{stage}: patient {again[0]} has left the therapy before")
        day = np.broadcast_to(np.asarray(days, np.float64), ids.shape).tolist()
        return Attrition(
            np.concatenate([self.ids, ids]),
            self.stages + (stage,) * int(ids.size),
            self.reasons + tuple(reasons),
            self.days + tuple(day),
        )

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many left at each stage for each reason, in the order of the stages."""
        found: dict[tuple[str, str], int] = {}
        for key in zip(self.stages, self.reasons, strict=True):
            found[key] = found.get(key, 0) + 1
        return found

    def __repr__(self) -> str:
        return f"<Attrition: {len(self)} patients left>"


@dataclass(frozen=True, eq=False, repr=False)
class Stage:
    """Patients with the columns of this stage, and the attrition so far.

    Raises:
        InputError: a column of the stage is missing, has another unit or a negative value.
    """

    patients: Patients
    attrition: Attrition
    COLUMNS: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        require(self.patients, self.COLUMNS, type(self).__name__)

    def __len__(self) -> int:
        return len(self.patients)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} patients, {len(self.attrition)} left; {', '.join(self.COLUMNS)}>"

    def without(self, leaving: NDArray[np.bool_], stage: str, reasons: str | Sequence[str], days: ArrayLike) -> Self:
        """Return the stage without the patients of a mask, who join the attrition.

        Args:
            leaving: mask, shape (n,).
            stage: where they leave.
            reasons: one reason for all, or one per patient of the stage, shape (n,).
            days: days since collection, one or shape (n,).
        """
        named = [reasons] * len(self) if isinstance(reasons, str) else list(reasons)
        gone = [reason for reason, left in zip(named, leaving, strict=True) if left]
        day = np.broadcast_to(np.asarray(days, np.float64), (len(self),))[leaving]
        attrition = self.attrition.leave(self.patients.ids[leaving], stage, gone, day)
        return replace(self, patients=self.patients.take(~leaving), attrition=attrition)


def require(patients: Patients, columns: Mapping[str, str], who: str) -> None:
    """Check that the patients have these columns, in these units and nowhere negative; otherwise an InputError."""
    for name, unit in columns.items():
        if name not in patients:
            raise InputError(
                f"{who} needs the column {name!r} ({unit}): {unknown_name('column', name, patients.columns)}"
            )
        if patients.units[name] != unit:
            raise InputError(f"{who} needs the column {name!r} in {unit}, got {patients.units[name]}")
        values = patients[name]
        if np.any(~(values >= 0)):
            row = int(np.argmin(values >= 0))
            found = f"{values[row]:g} {unit} for patient {patients.ids[row]}"
            raise InputError(f"{who} needs the column {name!r} to be 0 or more, got {found}")
