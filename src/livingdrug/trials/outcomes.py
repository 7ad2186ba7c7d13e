"""Outcomes: what became of each enrolled patient of a trial, one row per patient, in columns with a stated meaning.

Day 0 is the infusion; a patient who was never infused has day 0 on the day of leaving. What does not apply is NaN or
"". Scales of grading give columns of their own, such as ``crs_lee`` and ``crs_onset_lee``. Columns lie in memory, or in
a Parquet file from which they are read when they are asked for. Not for clinical use.

Example:
    >>> some = Outcomes.of([1, 2], {"infused": [True, False], "left_reason": ["", "death"]})
    >>> len(some), some["left_reason"].tolist(), bool(np.isnan(some["cmax"]).all())
    (2, ['', 'death'], True)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.trials.columns import KINDS, ChosenColumns, StoredColumns, column_of, undamaged

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["COLUMNS", "Outcomes", "scale_columns"]

NOTE = "not for clinical use"
ABOUT = b"livingdrug"

COLUMNS: Mapping[str, tuple[str, str]] = MappingProxyType({
    "arm": ("text", "arm of the trial"),
    "dose_level": ("text", "dose level of the trial, where it has several"),
    "infused": ("yes/no", "whether the product was infused (in an arm without one: whether treatment began)"),
    "solved": ("yes/no", "infused, and the body's course was solved to the end (an arm without a body: always)"),
    "left_stage": ("text", "where a patient left before the infusion: manufacture or waiting"),
    "left_reason": ("text", "why a patient left before the infusion"),
    "day0_from_enrolment": ("day", "days from enrolment to day 0 (infusion, or leaving)"),
    "infusion_day_from_enrolment": ("day", "days from enrolment to infusion"),
    "weight_kg": ("kg", "weight"),
    "age_years": ("year", "age"),
    "burden": ("cell", "tumour cells at the start of lymphodepletion"),
    "dose_cells": ("cell", "CAR T cells infused in all"),
    "cmax": ("assay", "highest sample"),
    "tmax": ("day", "day of the highest sample"),
    "auc28": ("assay*day", "area under the samples from day 0 to 28"),
    "half_life": ("day", "terminal half-life, where the rule of the trial gives one"),
    "clast": ("assay", "last quantifiable sample"),
    "tlast": ("day", "day of the last quantifiable sample"),
    **{f"car_t_day{day}": ("assay", f"CAR T cells, sample of day {day}") for day in (7, 14, 28, 90, 180)},
    "true_peak": ("assay", "true peak in the assay's unit, between and besides the samples"),
    "true_peak_day": ("day", "its day"),
    "tocilizumab": ("yes/no", "given at least once"),
    "tocilizumab_doses": ("1", "doses given"),
    "steroid": ("yes/no", "given at least once"),
    "anakinra": ("yes/no", "given at least once"),
    "vasopressor": ("yes/no", "at least one vasopressor"),
    "high_dose_vasopressor": ("yes/no", "a high dose, or several at a time"),
    "ventilated": ("yes/no", "mechanical ventilation"),
    "icu": ("yes/no", "needed what only an intensive care unit gives"),
    "neutropenia_day28": ("yes/no", "neutrophils of grade 3 or more on day 28"),
    "thrombocytopenia_day28": ("yes/no", "platelets of grade 3 or more on day 28"),
    "g_csf": ("yes/no", "growth factor for neutrophils, given at least once"),
    "platelet_transfusion": ("yes/no", "platelets, transfused at least once"),
    "red_cell_transfusion": ("yes/no", "red cells, transfused at least once"),
    "infection_day": ("day", "first severe infection"),
    "b_cell_aplasia_end_day": ("day", "day on which B cells were back"),
    "best_response": ("text", "best response before progression or new therapy"),
    "response_day": ("day", "first visit with a response"),
    "cr_day": ("day", "first visit with a complete response (in leukaemia CR or CRi)"),
    "mrd_negative": ("yes/no", "no minimal residual disease at a visit in complete response"),
    "progression_day": ("day", "visit at which progression or relapse was seen"),
    "progression_kind": ("text", "relapse (after a complete response) or progression"),
    "relapse_antigen": ("text", "positive or negative, where the tumour still has enough cells to tell"),
    "death_day": ("day", "day of death, wherever it happened"),
    "death_cause": ("text", "disease, infection, toxicity, transplant or other"),
    "transplant_day": ("day", "stem cell transplant in remission"),
    "new_therapy_day": ("day", "next treatment of the cancer"),
    "last_followed_day": ("day", "last day under watch: end of follow-up, drop-out or death"),
    "accrual": ("1", "place in the order of enrolment, 0 for the first, 1 for the last"),
})  # fmt: skip
"""Column -> (unit, meaning); "assay" is the unit of the trial's assay. Besides these, see :func:`scale_columns`."""


def scale_columns(syndrome: str, scale: str) -> dict[str, tuple[str, str]]:
    """Return the columns of one scale; ``syndrome`` is "crs" or "neuro".

    Example:
        >>> list(scale_columns("crs", "lee"))
        ['crs_lee', 'crs_onset_lee', 'crs_duration_lee', 'crs_days_to_3_lee']
    """
    return {
        f"{syndrome}_{scale}": ("grade", f"highest grade on the scale {scale}"),
        f"{syndrome}_onset_{scale}": ("day", "first day with a grade, whole days from the infusion"),
        f"{syndrome}_duration_{scale}": ("day", "days from onset to the end of the first episode"),
        f"{syndrome}_days_to_3_{scale}": ("day", "days from onset to grade 3"),
    }


def _blank(unit: str, count: int) -> NDArray[Any]:
    if unit == "text":
        return np.full(count, "", "<U1")
    return np.zeros(count, bool) if unit == "yes/no" else np.full(count, np.nan)


@dataclass(frozen=True, eq=False, repr=False)
class Outcomes:
    """A table of outcomes.

    Attributes:
        ids: identifier of each patient, shape (patient,).
        columns: name -> numbers, yes/no or texts, shape (patient,).
        units: name -> unit.
    """

    ids: NDArray[np.uint64]
    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str]

    @classmethod
    def of(
        cls, ids: ArrayLike, given: Mapping[str, ArrayLike], scales: Mapping[str, Sequence[str]] | None = None
    ) -> Outcomes:
        """Return a full table: given columns, and blanks for the rest.

        Args:
            ids: identifiers, shape (patient,).
            given: column -> values, shape (patient,).
            scales: syndrome -> scales that get columns.

        Raises:
            InputError: a column that does not exist, or of another length.
        """
        known = dict(COLUMNS)
        for syndrome, names in (scales or {}).items():
            for name in names:
                known |= scale_columns(syndrome, name)
        size = np.atleast_1d(np.asarray(ids)).astype(np.uint64)
        columns = {name: _blank(unit, size.size) for name, (unit, _) in known.items()}
        for name, values in given.items():
            if name not in known:
                raise InputError(unknown_name("column of outcomes", name, known))
            column = np.asarray(values, KINDS.get(known[name][0], np.float64))
            if column.shape != size.shape:
                raise InputError(f"column {name!r} must have one value for each of {size.size} patients")
            columns[name] = column
        return cls(size, columns, {name: unit for name, (unit, _) in known.items()})

    def __len__(self) -> int:
        return int(self.ids.size)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column, shape (patient,); an unknown name is an InputError with the nearest ones."""
        if name not in self.columns:
            raise InputError(unknown_name("column of outcomes", name, self.columns))
        return self.columns[name]

    def __repr__(self) -> str:
        return f"<Outcomes: {len(self)} enrolled, {int(self['infused'].sum())} infused, {len(self.columns)} columns>"

    def take(self, rows: ArrayLike) -> Outcomes:
        """Return the patients of a mask or of row numbers, in that order; a column is copied when it is asked for."""
        at = np.arange(len(self))[np.asarray(rows)]
        if np.array_equal(at, np.arange(len(self))):  # all of them, such as those of the only arm
            return self
        return Outcomes(self.ids[at], ChosenColumns(self.columns, at), self.units)

    @classmethod
    def joined(cls, parts: Sequence[Outcomes]) -> Outcomes:
        """Return several tables below one another; a column that one of them lacks is blank there."""
        if not parts:
            raise InputError("there are no outcomes to join")
        units = {name: unit for part in parts for name, unit in part.units.items()}
        columns = {
            name: np.concatenate([part.columns.get(name, _blank(unit, len(part))) for part in parts])
            for name, unit in units.items()
        }
        return cls(np.concatenate([part.ids for part in parts]), columns, units)

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table with the identifiers as column ``patient``."""
        import pandas as pd

        return pd.DataFrame({"patient": self.ids, **self.columns})

    def to_table(self) -> pa.Table:
        """Return an Arrow table; units, meanings and the notice stand in its metadata."""
        import pyarrow as pa

        columns: dict[str, Any] = {"patient": pa.array(self.ids)}
        for name, values in self.columns.items():
            columns[name] = pa.array(values).dictionary_encode() if values.dtype.kind == "U" else pa.array(values)
        about = {"units": dict(self.units), "note": NOTE}
        return pa.table(columns).replace_schema_metadata({ABOUT: json.dumps(about).encode()})

    @classmethod
    def from_table(cls, table: pa.Table) -> Outcomes:
        """Return the outcomes of a table of :meth:`to_table`; KeyError or ValueError if it is another one."""
        units = _units(table.schema)
        columns = {name: column_of(table[name], unit) for name, unit in units.items()}
        return cls(table["patient"].to_numpy().astype(np.uint64), columns, units)

    @classmethod
    def read(cls, path: str | Path) -> Outcomes:
        """Return the outcomes in a Parquet file, whose columns are read when they are asked for.

        Memory then grows by a few columns only, however many patients there are. The file must stay where it is.

        Raises:
            InputError: the file is damaged or holds something else; also later, when a column is asked for.
        """
        import pyarrow.parquet as pq

        file = Path(path)

        def opened() -> Outcomes:
            with pq.ParquetFile(file, page_checksum_verification=True) as found:
                units = _units(found.schema_arrow)
                if set(units) - set(found.schema_arrow.names):
                    raise ValueError("a column is missing")
                ids = found.read(["patient"])["patient"].to_numpy().astype(np.uint64)
                return cls(ids, StoredColumns(file, units, found.metadata), units)

        return undamaged(file, opened)


def _units(schema: pa.Schema) -> dict[str, str]:
    """Return column -> unit, as written beside a table of outcomes; KeyError or ValueError if nothing is."""
    return dict(json.loads((schema.metadata or {})[ABOUT])["units"])
