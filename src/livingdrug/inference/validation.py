"""The checks of an event data set: every rule looks at all rows and reports each that breaks it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.data_columns import Rows
from livingdrug.inference.data_findings import WARNING, Report
from livingdrug.inference.data_limits import Limits

__all__ = ["Events", "check_log", "check_subjects", "read_events"]

OBSERVATION, DOSE, OTHER, RESET, RESET_AND_DOSE = range(5)
MODEL_RATE, MODEL_DURATION = -1.0, -2.0
LARGEST_OCCASION = 1e9


@dataclass(frozen=True, eq=False)
class Events:
    """Per row of the table: what happens, to whom, when.

    Attributes:
        ids: names of the subjects in order of the table.
        subject: index into ``ids``.
        time: NaN where it cannot be read.
        evid: 0 to 4.
        measured: the row holds a measured or censored value.
        endpoint: index into ``endpoints``; -1 where nothing is measured or the endpoint is not known.
        endpoints: names.
    """

    ids: tuple[str, ...]
    subject: np.ndarray
    time: np.ndarray
    evid: np.ndarray
    measured: np.ndarray
    endpoint: np.ndarray
    endpoints: tuple[str, ...]


def read_events(rows: Rows, endpoints: Mapping[str, str] | Sequence[str] | None, report: Report) -> Events:
    """Return what happens in each row; what cannot be goes into the report."""
    ids, subject = _subjects(rows, report)
    evid = _evid(rows, report)
    measured = (evid == OBSERVATION) & (rows.get("MDV", 0.0) == 0)
    _check_mdv(rows, evid, report)
    time = rows.get("TIME")
    report.add(np.isnan(time) & ~report.reported(rows.given["TIME"], rows.count), rows.given["TIME"], None, "no time")
    _check_order(rows, subject, time, report)
    _check_doses(rows, evid, report)
    endpoint, names = _endpoints(rows, measured, endpoints, report)
    return Events(ids, subject, time, evid, measured, endpoint, names)


def _subjects(rows: Rows, report: Report) -> tuple[tuple[str, ...], np.ndarray]:
    import pandas as pd

    words = rows.words["ID"]
    codes, names = pd.factorize(words)
    report.add(words == "", rows.given["ID"], None, "no subject")
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    again = starts[pd.Series(codes[starts]).duplicated().to_numpy()]
    report.add(again, rows.given["ID"], words, "comes again after other subjects; sort the rows by subject and time")
    return tuple(str(name) for name in names), codes


def _evid(rows: Rows, report: Report) -> np.ndarray:
    """Return 0 to 4 per row; without a column EVID a row with an amount is a dose."""
    amount = rows.get("AMT", 0.0)
    implied = np.where(amount != 0, DOSE, OBSERVATION)
    if "EVID" not in rows:
        return implied
    evid = rows.numbers["EVID"]
    odd = ~np.isnan(evid) & ~np.isin(evid, range(5))
    report.add(odd, rows.given["EVID"], evid, "must be 0 observation, 1 dose, 2 other, 3 reset or 4 reset and dose")
    return np.where(odd | np.isnan(evid), implied, evid).astype(int)


def _check_mdv(rows: Rows, evid: np.ndarray, report: Report) -> None:
    mdv = rows.get("MDV", 0.0)
    odd = ~np.isin(mdv, (0, 1))
    report.add(odd, rows.given.get("MDV", "MDV"), mdv, "must be 0, or 1 where the row has no measured value")
    if "MDV" in rows:
        report.add(
            (evid != OBSERVATION) & (rows.numbers["MDV"] == 0), rows.given["MDV"], mdv,
            "a dose or event has no measured value; taken as 1", WARNING,
        )  # fmt: skip


def _check_order(rows: Rows, subject: np.ndarray, time: np.ndarray, report: Report) -> None:
    same = np.r_[False, subject[1:] == subject[:-1]]
    with np.errstate(invalid="ignore"):
        back = same & np.r_[False, time[1:] < time[:-1]]
    texts = [f"time runs backwards: the row before has {time[at - 1]:.10g}" for at in np.flatnonzero(back)]
    report.add(np.flatnonzero(back), rows.given["TIME"], time, texts)


def _check_doses(rows: Rows, evid: np.ndarray, report: Report) -> None:
    """Report doses that cannot be given."""
    amount, rate, duration = rows.get("AMT", 0.0), rows.get("RATE", 0.0), rows.get("DUR", 0.0)
    more, interval, steady = rows.get("ADDL", 0.0), rows.get("II", 0.0), rows.get("SS", 0.0)
    dose = np.isin(evid, (DOSE, RESET_AND_DOSE))
    name = {meaning: rows.given.get(meaning, meaning) for meaning in ("AMT", "RATE", "DUR", "ADDL", "II", "SS")}
    endless = dose & (amount == 0) & (rate > 0) & (steady > 0)
    report.add((evid == OBSERVATION) & (amount != 0), name["AMT"], amount, "an observation (EVID 0) with an amount")
    report.add(np.isin(evid, (OTHER, RESET)) & (amount != 0), name["AMT"], amount, "only EVID 1 and 4 give an amount")
    report.add(dose & (amount == 0) & ~endless, name["AMT"], amount, "a dose without an amount")
    report.add(amount < 0, name["AMT"], amount, "a negative amount")
    odd_rate = (rate < 0) & ~np.isin(rate, (MODEL_RATE, MODEL_DURATION))
    report.add(odd_rate, name["RATE"], rate, "a negative rate; allowed are -1 (the model has it) and -2 (its duration)")
    report.add(duration < 0, name["DUR"], duration, "a negative duration")
    report.add(dose & (rate != 0) & (duration != 0), name["DUR"], duration, "rate and duration both given; keep one")
    report.add((more < 0) | (more != np.round(more)), name["ADDL"], more, "must be a whole number, 0 or more")
    report.add(dose & (more > 0) & (interval <= 0), name["ADDL"], more, "further doses without time between them (II)")
    report.add(more > 1e6, name["ADDL"], more, "more than a million doses")
    occasion = rows.get("OCC", 0.0)
    odd_occasion = (occasion != np.round(occasion)) | (np.abs(occasion) > LARGEST_OCCASION)
    report.add(odd_occasion, rows.given.get("OCC", "OCC"), occasion, "must be a whole number, at most a billion")
    report.add(interval < 0, name["II"], interval, "a negative time between doses")
    report.add(~np.isin(steady, (0, 1, 2)), name["SS"], steady, "must be 0, 1 or 2")
    report.add(dose & (steady > 0) & (interval <= 0) & ~endless, name["SS"], steady, "steady state without II")
    report.add(
        dose & (interval > 0) & (more == 0) & (steady == 0), name["II"], interval,
        "time between doses without further doses (ADDL) or steady state (SS); it has no effect", WARNING,
    )  # fmt: skip


def _endpoints(
    rows: Rows, measured: np.ndarray, asked: Mapping[str, str] | Sequence[str] | None, report: Report
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the endpoint of each row and the names: by DVID, else by CMT of the observations, else there is one."""
    column = "DVID" if "DVID" in rows else "CMT"
    words = rows.words.get(column, np.full(rows.count, "", object))
    found = sorted(set(words[measured].tolist()), key=_in_order)
    renamed = dict(asked) if isinstance(asked, Mapping) else None
    if column == "CMT" and len(found) <= 1 and not (renamed and found and found[0] in renamed):
        names = tuple((renamed or {}).values()) or tuple(asked or ()) or ("DV",)
        if len(names) > 1:
            raise InputError(f"the data have one endpoint and no column DVID; endpoints= names {len(names)}")
        return np.where(measured, 0, -1), names
    given = rows.given[column]
    report.add(measured & (words == ""), given, None, "no endpoint")
    if renamed is None:
        names = tuple(str(name) for name in asked) if asked is not None else tuple(word for word in found if word)
        place = {name: index for index, name in enumerate(names)}
    else:
        names = tuple(dict.fromkeys(renamed.values()))
        place = {str(word): names.index(name) for word, name in renamed.items()}
    endpoint = np.array([place.get(word, -1) for word in words.tolist()])
    unknown = np.flatnonzero(measured & (endpoint < 0) & (words != ""))
    messages = {word: unknown_name("endpoint", word, place) for word in set(words[unknown].tolist())}
    report.add(unknown, given, words, [messages[word] for word in words[unknown].tolist()])
    return np.where(measured, endpoint, -1), names


def _in_order(word: str) -> tuple[float, str]:
    try:
        return (float(word), word)
    except ValueError:
        return (np.inf, word)


def check_log(rows: Rows, events: Events, limits: Limits, log: bool | Collection[str], report: Report) -> None:
    """Report values of which no logarithm exists, where one is taken."""
    if isinstance(log, str):
        log = (log,)
    if isinstance(log, bool):
        chosen = np.full(len(events.endpoints), log)
    else:
        for name in log:
            if name not in events.endpoints:
                raise InputError(unknown_name("endpoint of log", name, events.endpoints))
        chosen = np.array([name in log for name in events.endpoints], bool)
    wrong = events.measured & (events.endpoint >= 0) & (limits.value <= 0)
    wrong &= np.append(chosen, False)[events.endpoint]
    for which, problem in (
        (limits.censoring == 0, "mark it as below the limit (CENS = 1, the limit in DV)"),
        (limits.censoring != 0, "the row is censored, so give the limit itself"),
    ):
        words = f"not above zero, and its logarithm is needed: {problem}"
        report.add(wrong & which, rows.given["DV"], limits.value, words)


def check_subjects(rows: Rows, events: Events, limits: Limits, report: Report) -> None:
    """Report what is wrong with subjects as a whole, and samples that stand there twice."""
    _check_values(rows, events, limits, report)
    _check_covariates(rows, events, report)
    _check_repeats(rows, events, report)
    count = len(events.ids)
    sampled = np.bincount(events.subject[events.measured], minlength=count)
    dose = np.isin(events.evid, (DOSE, RESET_AND_DOSE))
    dosed = np.bincount(events.subject[dose], minlength=count)
    first = _firsts(events.subject, count)
    report.add(first[(sampled == 0)], "", None, "the subject has no measured value", WARNING)
    if dose.any():
        report.add(first[dosed == 0], "", None, "the subject has no dose, though others have", WARNING)
    last_sample, first_dose = np.full(count, -np.inf), np.full(count, np.inf)
    np.fmax.at(last_sample, events.subject[events.measured], events.time[events.measured])
    np.fmin.at(first_dose, events.subject[dose], events.time[dose])
    late = (sampled > 0) & (dosed > 0) & (first_dose > last_sample)
    rows_of_dose = _firsts(np.where(dose, events.subject, count), count + 1)[:count]
    report.add(
        rows_of_dose[late], rows.given["TIME"], events.time, "the subject's first dose comes after its last sample"
    )


def _check_values(rows: Rows, events: Events, limits: Limits, report: Report) -> None:
    name = rows.given["DV"]
    missing = events.measured & np.isnan(limits.value) & (limits.censoring == 0)
    missing &= ~report.reported(name, rows.count)
    report.add(missing, name, None, "no measured value; write MDV = 1 where there is none")


def _check_covariates(rows: Rows, events: Events, report: Report) -> None:
    """Report the subjects of whom a covariate is not known at all, and gaps that are filled."""
    count = len(events.ids)
    first = _firsts(events.subject, count)
    for name, values in rows.covariates.items():
        known = np.bincount(events.subject[~np.isnan(values)], minlength=count)
        rows_each = np.bincount(events.subject, minlength=count)
        report.add(
            first[known == 0],
            name,
            None,
            "the covariate is missing in all rows of the subject; covariates= names those that you need",
        )
        gaps = (known > 0) & (known < rows_each)
        report.add(
            first[gaps], name, None, "missing in some rows of the subject; the value before or after counts", WARNING
        )


def _check_repeats(rows: Rows, events: Events, report: Report) -> None:
    """Report two samples of one endpoint, or two equal doses, at one time."""
    import pandas as pd

    frame = pd.DataFrame(
        {"subject": events.subject, "time": events.time, "evid": events.evid, "endpoint": events.endpoint}
    )
    frame.loc[events.evid != OBSERVATION, "endpoint"] = -2  # a dose is no sample
    frame["place"] = rows.words.get("CMT", np.full(rows.count, "", object))
    twice = frame.duplicated(["subject", "time", "endpoint"]).to_numpy() & events.measured & ~np.isnan(events.time)
    report.add(twice, rows.given["TIME"], events.time, "a second value of this endpoint at this time", WARNING)
    again = frame.duplicated().to_numpy() & np.isin(events.evid, (DOSE, RESET_AND_DOSE))
    report.add(again, rows.given["TIME"], events.time, "a second dose at this time into this compartment", WARNING)


def _firsts(codes: np.ndarray, count: int) -> np.ndarray:
    """Return the first row of each code."""
    first = np.zeros(count, int)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return first
