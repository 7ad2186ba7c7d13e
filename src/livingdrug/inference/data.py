"""Event data sets: observations, doses and covariates of many subjects, as arrays with one store for every spelling.

Example:
    >>> data = EventData.from_arrays(
    ...     ids=["A", "B"], subject=[0, 0, 1], time=[1, 7, 7], value=[120.0, 50.0, 9000.0], censoring=[0, 1, 0]
    ... )
    >>> len(data), data.observations.value.tolist(), data.observations.lloq.tolist()
    (2, [120.0, 50.0, 9000.0], [nan, 50.0, nan])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

import numpy as np

from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.inference.data_building import Options

__all__ = ["Covariate", "Doses", "EventData", "Observations", "read_data"]

DOSE, OTHER, RESET, RESET_AND_DOSE = 1, 2, 3, 4  # EVID; 0 is an observation
INTERIOR, LEFT, RIGHT = 0, 1, -1  # CENS
LARGEST_WHOLE = 2.0**53  # below it every whole number has a float of its own

_T = TypeVar("_T", bound="_Columns")


@dataclass(frozen=True, eq=False)
class _Columns:
    """Arrays of one length that cannot be changed."""

    subject: np.ndarray

    def __post_init__(self) -> None:
        lengths = {one.name: len(getattr(self, one.name)) for one in fields(self)}
        if len(set(lengths.values())) > 1:
            raise InputError(f"the columns must have one length, got {lengths}")
        for one in fields(self):
            array = np.array(getattr(self, one.name))
            array = _whole(one.name, array) if one.name in _WHOLE else array.astype(float)
            array.flags.writeable = False
            object.__setattr__(self, one.name, array)

    def __len__(self) -> int:
        return len(self.subject)

    def take(self: _T, rows: np.ndarray) -> _T:
        """Return the rows that are named by their numbers or marked true."""
        return type(self)(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})


def _whole(name: str, values: np.ndarray) -> np.ndarray:
    """Return a column as whole numbers; refuse what a conversion would cut off or turn into another number."""
    if values.dtype.kind not in "iub" and len(values):
        numbers = values.astype(float)
        odd = np.flatnonzero(~(np.abs(numbers) < LARGEST_WHOLE) | (numbers != np.round(numbers)))
        if len(odd):
            raise InputError(f"{name} must be whole numbers, got {values[odd[0]]} at index {odd[0]}")
    return values.astype(np.int64)


_WHOLE = (
    "subject", "endpoint", "censoring", "occasion", "row", "before_dose", "compartment", "additional", "steady", "evid",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Observations(_Columns):
    """What was measured, one element per sample.

    Attributes:
        subject: which subject, as index into ``EventData.ids``.
        time: days (or whatever the file's TIME is in, see :func:`read_data`).
        value: the measured value; of a censored sample the limit itself.
        endpoint: index into ``EventData.endpoints``.
        censoring: 0 measured, 1 below ``value``, -1 above ``value``.
        limit: other end of the interval of a censored sample, NaN for none.
        lloq: lower limit of quantification in force for the sample, NaN where it is not known.
        occasion: number of the occasion, 0 where the data name none.
        row: row of the table, 1 is the first below the heading.
        before_dose: 1 where the table lists the sample before a dose (or reset) of the same time, else 0.
    """

    time: np.ndarray
    value: np.ndarray
    endpoint: np.ndarray
    censoring: np.ndarray
    limit: np.ndarray
    lloq: np.ndarray
    occasion: np.ndarray
    row: np.ndarray
    before_dose: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.before_dose is None:
            object.__setattr__(self, "before_dose", np.zeros(len(self.subject)))
        super().__post_init__()


@dataclass(frozen=True, eq=False)
class Doses(_Columns):
    """What was given: doses, resets and other events, one element per row of the table.

    Attributes:
        subject: which subject, as index into ``EventData.ids``.
        time: days.
        amount: 0 for an event that is no dose.
        rate: amount per day; 0 at once, -1 the model has the rate, -2 the model has the duration (NM-TRAN).
        duration: days; 0 at once, NaN where the model has the rate or the duration.
        compartment: index into ``EventData.compartments``.
        additional: further doses (ADDL), each ``interval`` after the one before.
        interval: days between doses (II), 0 for none.
        steady: 0, or 1 and 2 for steady state (SS).
        evid: 1 dose, 2 other, 3 reset, 4 reset and dose.
        occasion: number of the occasion, 0 where the data name none.
        row: row of the table, 1 is the first below the heading.
    """

    time: np.ndarray
    amount: np.ndarray
    rate: np.ndarray
    duration: np.ndarray
    compartment: np.ndarray
    additional: np.ndarray
    interval: np.ndarray
    steady: np.ndarray
    evid: np.ndarray
    occasion: np.ndarray
    row: np.ndarray

    def unrolled(self) -> Doses:
        """Return the same doses with every additional one as a dose of its own, in order of subject and time.

        A reset (EVID 3 and 4) and a dose in steady state (SS 1) cancel what earlier rows would still have given.
        """
        times = 1 + self.additional
        every = np.repeat(np.arange(len(self)), times)
        nth = np.arange(len(every)) - np.repeat(np.cumsum(times) - times, times)
        more = self.take(every)
        first = nth == 0
        alone = replace(
            more,
            time=more.time + nth * more.interval,
            additional=np.zeros(len(every), int),
            steady=np.where(first, more.steady, 0),
            evid=np.where(first, more.evid, DOSE),
            interval=np.where(first & (more.steady > 0), more.interval, 0.0),
        )
        kept = first | (alone.time < self._until_forgotten()[every])
        order = np.lexsort((np.arange(len(every)), alone.time, alone.subject))
        return alone.take(order[kept[order]])

    def _until_forgotten(self) -> np.ndarray:
        """Time of the next row of each row's subject that cancels what was to come, infinite for none."""
        found, coming, who = np.full(len(self), np.inf), np.inf, -1
        for k in range(len(self) - 1, -1, -1):
            if self.subject[k] != who:
                coming, who = np.inf, self.subject[k]
            found[k] = coming
            if self.forgets[k]:
                coming = self.time[k]
        return found

    @property
    def forgets(self) -> np.ndarray:
        """Rows that end what was given before: resets and doses in steady state (SS 1)."""
        return (self.evid >= RESET) | (self.steady == 1)

    @property
    def left(self) -> np.ndarray:
        """Days from each row to the next of its subject that ends what was given, infinite for none."""
        return self._until_forgotten() - self.time


@dataclass(frozen=True, eq=False)
class Covariate:
    """One covariate: its first value of each subject, and every change of those whose value moves.

    Attributes:
        values: one number per subject; of a category, its index in ``levels``.
        levels: words of the categories, empty for a number.
        subject, time, changed: the values over time, in order of subject and time; empty if no subject's value moves.
    """

    values: np.ndarray
    levels: tuple[str, ...] = ()
    subject: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    time: np.ndarray = field(default_factory=lambda: np.zeros(0))
    changed: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def varies(self) -> bool:
        """Whether some subject's value moves in time."""
        return len(self.time) > 0

    def at(self, subject: Any, time: Any) -> np.ndarray:
        """Return the values of subjects at times; a value holds until the next one, the first also before."""
        subject, time = np.broadcast_arrays(np.asarray(subject, np.int64), np.asarray(time, float))
        if not self.varies:
            return self.values[subject]
        ranks = np.unique(np.concatenate((self.time, time.ravel())), return_inverse=True)[1]
        own, asked = ranks[: len(self.time)], ranks[len(self.time) :].reshape(time.shape)
        width = len(ranks) + 1
        last = np.searchsorted(self.subject * width + own, subject * width + asked, side="right") - 1
        return self.changed[np.maximum(last, np.searchsorted(self.subject, subject))]


@dataclass(frozen=True, eq=False)
class EventData:
    """An event data set that was checked; subjects stand in the order of the table.

    Attributes:
        ids: names of the subjects.
        observations: what was measured, in order of subject and time.
        doses: what was given, in order of subject and time.
        covariates: name -> covariate.
        endpoints: names of what was measured.
        compartments: names, or numbers as text, of where doses go.
        units: what is known of units: ``"time"``, ``"amount"`` and endpoints -> unit.
        notes: what was noticed or assumed when the data were read, in words.
    """

    ids: tuple[str, ...]
    observations: Observations
    doses: Doses
    covariates: Mapping[str, Covariate]
    endpoints: tuple[str, ...]
    compartments: tuple[str, ...] = ("1",)
    units: Mapping[str, str] = field(default_factory=lambda: {"time": "day"})
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        blq = int((self.observations.censoring == LEFT).sum())
        return (
            f"EventData({len(self.ids)} subjects, {len(self.observations)} observations of "
            f"{', '.join(self.endpoints) or 'nothing'} ({blq} below the limit), {len(self.doses)} doses and events, "
            f"covariates: {', '.join(self.covariates) or 'none'})"
        )

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, **options: Unpack[Options]) -> Self:
        """Return the data of a pandas table in NM-TRAN's columns; the options are those of :func:`read_data`.

        Raises:
            InputError: something in the table cannot be used; the message lists row, column and value.

        Example:
            >>> import pandas as pd
            >>> frame = pd.DataFrame({"ID": [1, 1], "TIME": [0, 7], "DV": [".", 3.0], "AMT": [100, "."]})
            >>> EventData.from_frame(frame).doses.amount.tolist()
            [100.0]
        """
        from livingdrug.inference.data_building import event_data

        return event_data(cls, frame, **options)

    @classmethod
    def from_arrays(
        cls,
        *,
        ids: Sequence[Any],
        subject: Any,
        time: Any,
        value: Any,
        endpoint: Any = 0,
        censoring: Any = 0,
        limit: Any = np.nan,
        lloq: Any = np.nan,
        occasion: Any = 0,
        doses: Mapping[str, Any] | None = None,
        covariates: Mapping[str, Any] | None = None,
        endpoints: Sequence[str] = ("DV",),
        compartments: Sequence[str] = ("1",),
        units: Mapping[str, str] | None = None,
    ) -> Self:
        """Return the data of arrays, as a simulation has them; each may also be one number for all.

        Args:
            ids: names of the subjects.
            subject: index of the subject of each observation.
            time: days.
            value: measured values; where ``censoring`` is not 0, the limit.
            endpoint: index into ``endpoints``.
            censoring: 0 measured, 1 below ``value``, -1 above it.
            limit: other end of a censored interval, NaN for none.
            lloq: limit of quantification; of samples below the limit it is their value.
            occasion: number of the occasion.
            doses: columns of :class:`Doses`; ``subject``, ``time`` and ``amount`` are needed.
            covariates: name -> one number or word per subject.
            endpoints: names of what was measured.
            compartments: names of where doses go.
            units: ``"time"``, ``"amount"`` and endpoints -> unit.

        Raises:
            InputError: lengths differ, an index names nothing, or a number is not finite.
        """
        from livingdrug.inference.data_building import dose_columns, observation_columns, subject_covariates

        names = tuple(str(name) for name in ids)
        if len(set(names)) != len(names):
            raise InputError("two subjects have one name; give each its own id")
        columns = {"subject": subject, "time": time, "value": value, "endpoint": endpoint, "censoring": censoring,
                   "limit": limit, "lloq": lloq, "occasion": occasion}  # fmt: skip
        return cls(
            ids=names,
            observations=observation_columns(columns, len(names), len(endpoints)),
            doses=dose_columns(doses or {}, len(names), len(compartments)),
            covariates=subject_covariates(covariates or {}, len(names)),
            endpoints=tuple(endpoints),
            compartments=tuple(compartments),
            units={"time": "day", **(units or {})},
        )

    def covariate(self, name: str) -> np.ndarray:
        """Return the first value of a covariate, one per subject (of a category: its index).

        Raises:
            InputError: there is no such covariate.
        """
        if name not in self.covariates:
            raise InputError(unknown_name("covariate of the data", name, self.covariates))
        return self.covariates[name].values

    def endpoint(self, name: str) -> Observations:
        """Return the observations of one endpoint.

        Raises:
            InputError: there is no such endpoint.
        """
        if name not in self.endpoints:
            raise InputError(unknown_name("endpoint of the data", name, self.endpoints))
        return self.observations.take(self.observations.endpoint == self.endpoints.index(name))

    def take(self, subjects: Any) -> Self:
        """Return the data of some subjects, named by their numbers (once each) or marked true.

        Raises:
            InputError: a number names no subject, or one twice.
        """
        try:
            chosen = np.arange(len(self.ids))[np.asarray(subjects)]
        except IndexError as error:
            raise InputError(f"there are {len(self.ids)} subjects; {error}") from error
        if len(np.unique(chosen)) != len(chosen):
            raise InputError("a subject can be taken once only; a bootstrap sample needs new ids")
        return replace(
            self,
            ids=tuple(self.ids[index] for index in chosen),
            observations=_of(self.observations, chosen, len(self.ids)),
            doses=_of(self.doses, chosen, len(self.ids)),
            covariates={name: _covariate_of(one, chosen) for name, one in self.covariates.items()},
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the data as a table in NM-TRAN's columns, with CENS, LIMIT and LLOQ."""
        from livingdrug.inference.data_building import event_table

        return event_table(self)

    def summary(self) -> Any:
        """Return how many subjects, records and values below the limit there are, as a :class:`summary.Summary`."""
        from livingdrug.inference.summary import summarise

        return summarise(self)

    def subjects(self) -> Iterator[tuple[str, slice]]:
        """Yield each subject's name and where its observations stand."""
        ends = np.searchsorted(self.observations.subject, np.arange(len(self.ids) + 1))
        for index, name in enumerate(self.ids):
            yield name, slice(int(ends[index]), int(ends[index + 1]))


def _of(columns: _T, chosen: np.ndarray, count: int) -> _T:
    """Return the rows of the chosen subjects, which get new numbers, in the new order."""
    place = np.full(count, -1)
    place[chosen] = np.arange(len(chosen))
    rows = np.flatnonzero(place[columns.subject] >= 0)
    rows = rows[np.argsort(place[columns.subject[rows]], kind="stable")]
    kept = columns.take(rows)
    return replace(kept, subject=place[kept.subject])


def _covariate_of(covariate: Covariate, chosen: np.ndarray) -> Covariate:
    values = covariate.values[chosen]
    if not covariate.varies:
        return replace(covariate, values=values)
    place = np.full(len(covariate.values), -1)
    place[chosen] = np.arange(len(chosen))
    rows = np.flatnonzero(place[covariate.subject] >= 0)
    rows = rows[np.argsort(place[covariate.subject[rows]], kind="stable")]
    return replace(
        covariate, values=values, subject=place[covariate.subject[rows]], time=covariate.time[rows],
        changed=covariate.changed[rows],
    )  # fmt: skip


def read_data(path: str | Path, **options: Unpack[Options]) -> EventData:
    """Read an event data set from a file and check it.

    Args:
        path: ``.csv``, ``.txt``, ``.tab``, ``.dat`` (a heading; commas, semicolons, tabs or blanks between cells),
            ``.parquet``, or ``.xpt`` (ADPC, SDTM PC or CP; see :func:`livingdrug.inference.cdisc.read_cdisc`).
        **options: ``columns``: NM-TRAN's name -> name in the table, where they differ; ``covariates``: names of the
            covariates (all columns that have no other meaning unless given); ``endpoints``: name in the table -> your
            name, or the names that may occur; ``lloq``: limit of quantification, one number or endpoint -> number;
            ``log``: endpoints that a logarithm is taken of, or True for all; ``time_unit``: unit of TIME, II, RATE
            and DUR, which are then turned into days; ``units``: amount and endpoints -> unit, as words.

    Raises:
        InputError: the file cannot be read, or something in it cannot be used; the message lists row, column and value
            of the first problems, ``livingdrug data check`` lists all of them.
    """
    from livingdrug.inference.data_files import is_transport, read_table

    if is_transport(path):
        from livingdrug.inference.cdisc import read_cdisc

        if options.get("columns"):
            raise InputError(f"{path}: the columns of a CDISC table have their names; columns= is for other tables")
        chosen: dict[str, Any] = {name: one for name, one in options.items() if name != "columns"}
        return read_cdisc(path, **chosen)
    try:
        return EventData.from_frame(read_table(path), **options)
    except InputError as error:
        text = str(error)
        raise error if text.startswith(str(path)) else InputError(f"{path}: {text}") from error
