"""From a table to an event data set, and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import numpy as np

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.data import DOSE, RESET, RESET_AND_DOSE, Covariate, Doses, EventData, Observations
from livingdrug.inference.data_columns import Rows, read_rows, without_ignored
from livingdrug.inference.data_findings import WARNING, Findings, Report
from livingdrug.inference.data_limits import Limits, read_limits
from livingdrug.inference.validation import OBSERVATION, Events, check_log, check_subjects, read_events

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Options", "check_table", "event_data", "examine"]

_D = TypeVar("_D", bound=EventData)


class Options(TypedDict, total=False):
    """How a table is to be read; every option may be left out.

    Attributes:
        columns: NM-TRAN's name -> name in the table, where they differ.
        covariates: names of the covariates; all columns without another meaning unless given.
        endpoints: name in the table -> your name, or the names that may occur.
        lloq: limit of quantification: one number, or endpoint -> number.
        log: endpoints whose logarithm is taken, or True for all.
        time_unit: unit of TIME, II, RATE and DUR, which are then turned into days.
        units: ``"amount"`` and endpoints -> unit, as words.
    """

    columns: Mapping[str, str] | None
    covariates: Sequence[str] | None
    endpoints: Mapping[str, str] | Sequence[str] | None
    lloq: float | Mapping[str, float] | None
    log: bool | Collection[str]
    time_unit: str
    units: Mapping[str, str] | None


def check_table(frame: pd.DataFrame, **options: Unpack[Options]) -> Findings:
    r"""Return everything that is wrong in a table, without refusing it.

    Raises:
        InputError: the columns themselves cannot be read: one is missing, or stands there twice.

    Example:
        >>> import pandas as pd
        >>> found = check_table(pd.DataFrame({"ID": [1, 1], "TIME": [7, 0], "DV": [3.0, "high"]}))
        >>> print("\n".join(found.lines()))
        row 2, subject 1, DV = high: not a number
        row 2, subject 1, TIME = 0: time runs backwards: the row before has 7
    """
    return _examined(frame, options)[3]


def examine(frame: pd.DataFrame, **options: Unpack[Options]) -> tuple[Findings, EventData | None]:
    """Return everything that was noticed in a table, and its data unless something keeps them from being used.

    Raises:
        InputError: the columns themselves cannot be read.
    """
    rows, events, limits, findings = _examined(frame, options)
    usable = not len(findings.errors)
    return findings, _built(EventData, rows, events, limits, findings, options) if usable else None


def event_data(cls: type[_D], frame: pd.DataFrame, **options: Unpack[Options]) -> _D:
    """Return the data of a table; the options are :class:`Options`."""
    rows, events, limits, findings = _examined(frame, options)
    findings.refuse()
    return _built(cls, rows, events, limits, findings, options)


def _built(cls: type[_D], rows: Rows, events: Events, limits: Limits, findings: Findings, options: Options) -> _D:
    """Return the data of a table in which nothing is wrong."""
    factor = _days(options.get("time_unit", "day"))
    chosen = np.argsort(events.subject, kind="stable")  # within a subject the rows stand in order of time already
    measured, given = chosen[events.measured[chosen]], chosen[events.evid[chosen] != OBSERVATION]
    places = rows.words.get("CMT", np.full(rows.count, "1", object))
    compartments = tuple(dict.fromkeys(word or "1" for word in places[np.sort(given)].tolist())) or ("1",)
    return cls(
        ids=events.ids,
        observations=_observations(rows, events, limits, measured, factor),
        doses=_doses(rows, events, given, places, compartments, factor),
        covariates=_covariates(rows, events, factor),
        endpoints=events.endpoints,
        compartments=compartments,
        units={"time": "day", **(options.get("units") or {})},
        notes=tuple(dict.fromkeys(findings.warnings["problem"].tolist())),
    )


def _examined(frame: pd.DataFrame, options: Options) -> tuple[Rows, Events, Limits, Findings]:
    unknown = [name for name in options if name not in Options.__annotations__]
    if unknown:
        raise InputError(unknown_name("option of a data set", unknown[0], Options.__annotations__))
    frame, ignored = without_ignored(frame)
    report = Report(_row_names(frame))
    if ignored:
        report.whole("C", f"{ignored:,} rows are marked C and left out, as NM-TRAN does (IGNORE=C)", WARNING)
    rows = read_rows(frame, report, options.get("columns"), options.get("covariates"))
    events = read_events(rows, options.get("endpoints"), report)
    limits = read_limits(rows, events.measured, events.endpoint, events.endpoints, options.get("lloq"), report)
    check_log(rows, events, limits, options.get("log", False), report)
    check_subjects(rows, events, limits, report)
    return rows, events, limits, report.findings()


def _row_names(frame: pd.DataFrame) -> np.ndarray:
    """Return the number of each row in the table that the user has: by the index, which survives a selection."""
    index = np.asarray(frame.index)
    return index + 1 if index.dtype.kind in "iu" else np.arange(1, len(frame) + 1)


def _days(unit: str) -> float:
    from livingdrug.units import convert

    return 1.0 if unit == "day" else float(convert(1.0, unit, "day"))


def _observations(rows: Rows, events: Events, limits: Limits, at: np.ndarray, factor: float) -> Observations:
    return Observations(
        subject=events.subject[at],
        time=events.time[at] * factor,
        value=limits.value[at],
        endpoint=events.endpoint[at],
        censoring=limits.censoring[at],
        limit=limits.limit[at],
        lloq=limits.lloq[at],
        occasion=rows.get("OCC", 0.0)[at],
        row=rows.names[at],
        before_dose=_before_dose(events)[at],
    )


def _before_dose(events: Events) -> np.ndarray:
    """Return which rows stand before a dose or reset of their subject at the same time: NM-TRAN's order of records."""
    import pandas as pd

    given = np.isin(events.evid, (DOSE, RESET, RESET_AND_DOSE))
    place = np.where(given, np.arange(len(given)), -1)
    last = pd.Series(place).groupby([events.subject, events.time]).transform("max").to_numpy()
    return np.arange(len(given)) < last


def _doses(
    rows: Rows, events: Events, at: np.ndarray, places: np.ndarray, compartments: tuple[str, ...], factor: float
) -> Doses:
    place = {name: index for index, name in enumerate(compartments)}
    amount, rate, duration = (rows.get(name, 0.0)[at] for name in ("AMT", "RATE", "DUR"))
    by_model = rate < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(duration > 0, amount / duration, rate)
        duration = np.where(rate > 0, amount / rate, 0.0)
    return Doses(
        subject=events.subject[at],
        time=events.time[at] * factor,
        amount=amount,
        rate=np.where(by_model, rate, rate / factor),
        duration=np.where(by_model, np.nan, duration * factor),
        compartment=np.array([place[word or "1"] for word in places[at].tolist()], int),
        additional=rows.get("ADDL", 0.0)[at],
        interval=rows.get("II", 0.0)[at] * factor,
        steady=rows.get("SS", 0.0)[at],
        evid=events.evid[at],
        occasion=rows.get("OCC", 0.0)[at],
        row=rows.names[at],
    )


def _covariates(rows: Rows, events: Events, factor: float) -> dict[str, Covariate]:
    import pandas as pd

    found = {}
    for name, values in rows.covariates.items():
        by_subject = pd.Series(values).groupby(events.subject)
        filled = by_subject.ffill().groupby(events.subject).bfill().to_numpy()
        first = by_subject.first().to_numpy()
        levels = rows.levels.get(name, ())
        if np.array_equal(first[events.subject], filled):
            found[name] = Covariate(_frozen(first), levels)
            continue
        order = np.argsort(events.subject, kind="stable")
        last = np.r_[np.diff(events.subject[order]) != 0, True] | np.r_[np.diff(events.time[order]) != 0, True]
        at = order[last]  # of several rows at one time the last one counts
        found[name] = Covariate(
            _frozen(first), levels, _frozen(events.subject[at]), _frozen(events.time[at] * factor), _frozen(filled[at])
        )
    return found


def _frozen(array: Any) -> np.ndarray:
    array = np.array(array)
    array.flags.writeable = False
    return array


def observation_columns(columns: dict[str, Any], subjects: int, endpoints: int) -> Observations:
    """Return observations of arrays that a program has made, in order of subject and time."""
    full = _broadcast(columns)
    _check_index(full["subject"], subjects, "subject")
    _check_index(full["endpoint"], endpoints, "endpoint")
    _check_finite(full, ("time", "value"))
    if not np.isin(full["censoring"], (-1, 0, 1)).all():
        raise InputError("censoring must be 0 (measured), 1 (below value) or -1 (above value)")
    full["lloq"] = np.where(full["censoring"] == 1, full["value"], full["lloq"])
    order = np.lexsort((full["time"], full["subject"]))
    return Observations(**{name: values[order] for name, values in full.items()}, row=order + 1)


DOSE_DEFAULTS = {"rate": 0.0, "compartment": 0, "additional": 0, "interval": 0.0, "steady": 0, "evid": 1, "occasion": 0}


def dose_columns(columns: Mapping[str, Any], subjects: int, compartments: int) -> Doses:
    """Return doses of arrays that a program has made, in order of subject and time."""
    names = ("subject", "time", "amount", "duration", *DOSE_DEFAULTS)
    for name in columns:
        if name not in names:
            raise InputError(unknown_name("column of doses", name, names))
    if columns and not {"subject", "time", "amount"} <= set(columns):
        raise InputError(f"doses need subject, time and amount, got {', '.join(columns)}")
    empty = dict.fromkeys(("subject", "time", "amount"), np.zeros(0))
    full = _broadcast({**empty, **DOSE_DEFAULTS, "duration": 0.0, **columns})
    _check_index(full["subject"], subjects, "subject of a dose")
    _check_index(full["compartment"], compartments, "compartment of a dose")
    _check_finite(full, ("time", "amount", "interval"))
    amount, rate, duration = full["amount"], full["rate"].astype(float), full["duration"].astype(float)
    if (amount < 0).any() or (duration < 0).any() or (full["additional"] < 0).any():
        raise InputError("amounts, durations and additional doses must not be negative")
    if ((full["additional"] > 0) & (full["interval"] <= 0)).any():
        raise InputError("additional doses need the interval between them")
    with np.errstate(divide="ignore", invalid="ignore"):
        full["rate"] = np.where(duration > 0, amount / duration, rate)
        full["duration"] = np.where(rate > 0, amount / rate, np.where(rate < 0, np.nan, duration))
    order = np.lexsort((full["time"], full["subject"]))
    return Doses(**{name: values[order] for name, values in full.items()}, row=order + 1)


def subject_covariates(columns: Mapping[str, Any], subjects: int) -> Mapping[str, Covariate]:
    """Return covariates of one value per subject."""
    found = {}
    for name, given in columns.items():
        if isinstance(given, Covariate):
            found[name] = given
            continue
        values = np.broadcast_to(np.asarray(given), (subjects,)) if np.ndim(given) == 0 else np.asarray(given)
        if len(values) != subjects:
            raise InputError(f"the covariate {name!r} has {len(values)} values for {subjects} subjects")
        if values.dtype.kind in "OUS":
            levels, codes = np.unique(values.astype(str), return_inverse=True)
            found[name] = Covariate(_frozen(codes.astype(float)), tuple(str(level) for level in levels))
            continue
        _check_finite({name: values}, (name,))
        found[name] = Covariate(_frozen(values.astype(float)))
    return found


def _broadcast(columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
    try:
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(values)) for values in columns.values()))
    except ValueError as error:
        lengths = {name: np.shape(values) for name, values in columns.items() if np.ndim(values)}
        raise InputError(f"the columns must have one length, got {lengths}") from error
    if arrays[0].ndim != 1:
        raise InputError(f"the columns must be lists of numbers, got the shape {arrays[0].shape}")
    return dict(zip(columns, arrays, strict=True))


def _check_index(values: np.ndarray, count: int, what: str) -> None:
    wrong = (values < 0) | (values >= count) | (values != np.round(values))
    if wrong.any():
        raise InputError(f"{what}: {values[wrong][0]} is no index below {count}")


def _check_finite(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    for name in names:
        wrong = np.flatnonzero(~np.isfinite(np.asarray(columns[name], float)))
        if len(wrong):
            raise InputError(f"{name} must be finite numbers, got {columns[name][wrong[0]]} at index {wrong[0]}")


def event_table(data: EventData) -> pd.DataFrame:
    """Return an event data set as a table in NM-TRAN's columns, in order of subject and time."""
    import pandas as pd

    seen, given, ids = data.observations, data.doses, np.array(data.ids, object)
    samples = pd.DataFrame(
        {"ID": ids[seen.subject], "TIME": seen.time, "DV": seen.value, "EVID": 0, "MDV": 0,
         "DVID": np.array(data.endpoints, object)[seen.endpoint], "CENS": seen.censoring, "LIMIT": seen.limit,
         "LLOQ": seen.lloq, "OCC": seen.occasion, "_subject": seen.subject, "_row": seen.row}
    )  # fmt: skip
    doses = pd.DataFrame(
        {"ID": ids[given.subject], "TIME": given.time, "AMT": given.amount, "RATE": given.rate, "EVID": given.evid,
         "MDV": 1, "CMT": np.array(data.compartments, object)[given.compartment], "ADDL": given.additional,
         "II": given.interval, "SS": given.steady, "OCC": given.occasion, "_subject": given.subject,
         "_row": given.row}
    )  # fmt: skip
    both = pd.concat([samples, doses], ignore_index=True) if len(doses) else samples
    both = both.sort_values(["_subject", "TIME", "_row"], kind="stable", ignore_index=True)
    for name, covariate in data.covariates.items():
        values = covariate.at(both["_subject"].to_numpy(), both["TIME"].to_numpy())
        both[name] = np.array(covariate.levels, object)[values.astype(int)] if covariate.levels else values
    order = ("ID", "TIME", "AMT", "DV", "EVID", "MDV", "CMT", "RATE", "ADDL", "II", "SS", "DVID", "CENS", "LIMIT",
             "LLOQ", "OCC")  # fmt: skip
    return both.loc[:, [name for name in (*order, *data.covariates) if name in both]]
