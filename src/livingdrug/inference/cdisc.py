"""Kinetics in CDISC's tables: SDTM's PC, CP and PP with EX and DM, and ADaM's ADPC; as SAS transport files or tables.

Which column gives what is written in :data:`SDTM_TIMES` and in the functions below; the analysis data set that comes
out was checked like any other (:mod:`livingdrug.inference.validation`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.errors import InputError, MissingExtra, unknown_name
from livingdrug.inference.data import EventData
from livingdrug.inference.data_columns import texts
from livingdrug.inference.data_files import check_file, is_transport, read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_cdisc", "read_parameters", "read_transport"]

SDTM_TIMES = ("--DTC less the first EXSTDTC", "--DTC less --RFTDTC", "--DY (study day 1 is day 0)")
"""How the time of an SDTM row is found; the first that the tables can give counts."""

DEMOGRAPHICS = ("AGE", "SEX", "RACE", "ARMCD")
BELOW_WORDS = ("BLQ", "BQL", "BLOQ", "BLLOQ", "LLOQ", "BLOD", "NOT DETECTED", "NEGATIVE")
ENCODINGS = ("UTF-8", "WINDOWS-1252")
"""Transport files do not say how their text is written; these are tried in turn."""


def read_cdisc(
    path: str | Path,
    *,
    exposure: str | Path | None = None,
    demographics: str | Path | None = None,
    treatment: str | None = None,
    tests: Sequence[str] | None = None,
    covariates: Sequence[str] | None = None,
    endpoints: Mapping[str, str] | Sequence[str] | None = None,
    lloq: float | Mapping[str, float] | None = None,
    log: bool | Collection[str] = False,
    time_unit: str | None = None,
    units: Mapping[str, str] | None = None,
) -> EventData:
    """Return the event data of a PC, CP or ADPC table, with the doses of EX and the covariates of DM.

    Args:
        path: the table with the measured values, ``.xpt`` or a text or Parquet table with CDISC's columns.
        exposure: EX; without it there are no doses and times come from ``--RFTDTC`` or ``--DY``.
        demographics: DM.
        treatment: EXTRT of the cells, where EX holds other drugs too (the lymphodepletion, as a rule).
        tests: codes of the tests to read (``PCTESTCD``, ``CPTESTCD``, ``PARAMCD``); all unless given.
        covariates: columns of DM or ADPC; of DM unless given AGE, SEX, RACE and ARMCD, where they are.
        endpoints: code -> your name; one code measured in several materials or ways is told apart as CODE/MATERIAL.
        lloq: as in :func:`livingdrug.inference.data.read_data`, and so are ``log`` and ``units``.
        log: endpoints whose logarithm is taken.
        units: endpoints -> unit, where the table does not say it.
        time_unit: unit of ADPC's AFRLT where the table does not say it (FRLTU).

    Raises:
        InputError: a file cannot be read, is none of these tables, or something in it cannot be used.
    """
    events = cdisc_events(
        path, exposure=exposure, demographics=demographics, treatment=treatment, tests=tests, covariates=covariates,
        time_unit=time_unit,
    )  # fmt: skip
    try:
        return EventData.from_frame(
            events.table, **events.options(endpoints=endpoints, lloq=lloq, log=log, units=units)
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def cdisc_events(
    path: str | Path,
    *,
    exposure: str | Path | None = None,
    demographics: str | Path | None = None,
    treatment: str | None = None,
    tests: Sequence[str] | None = None,
    covariates: Sequence[str] | None = None,
    time_unit: str | None = None,
) -> CdiscEvents:
    """Return the event table that PC, CP or ADPC make, before its rows are checked; as :func:`read_cdisc`."""
    table = _table(path)
    kind = _kind(table, path)
    if kind == "ADPC":
        return _analysis_events(table, tests, covariates, time_unit)
    doses = _doses(_table(exposure), treatment) if exposure is not None else None
    people = _table(demographics) if demographics is not None else None
    return _tabulation_events(table, kind, tests, doses, people, covariates)


def read_transport(path: str | Path) -> pd.DataFrame:
    """Return the table in a SAS transport file (version 5, as authorities take it, or 8); numbers stay numbers.

    Raises:
        InputError: the file cannot be read or is none.
        MissingExtra: the package pyreadstat is not installed.
    """
    try:
        import pyreadstat
    except ImportError as error:
        raise MissingExtra("a SAS transport file", "pyreadstat", "fit") from error
    file = check_file(path)
    for encoding in ENCODINGS:
        try:
            table: Any = pyreadstat.read_xport(str(file), encoding=encoding, disable_datetime_conversion=True)[0]
            return table
        except UnicodeDecodeError:
            continue
        except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, ValueError, OverflowError, MemoryError) as error:
            raise InputError(f"{file}: not a SAS transport file: {error!s:.120}") from error
    raise InputError(f"{file}: its text is neither UTF-8 nor Windows-1252")


def read_parameters(path: str | Path) -> pd.DataFrame:
    """Return the parameters of a PP table: id, code (PPTESTCD), value, unit.

    Raises:
        InputError: the file cannot be read or has not these columns.
    """
    import pandas as pd

    table = _table(path)
    _need(table, ("USUBJID", "PPTESTCD", "PPSTRESN"), path)
    units = texts(table["PPSTRESU"]) if "PPSTRESU" in table else np.full(len(table), "", object)
    values = _number_column(table, "PPSTRESN")
    return pd.DataFrame(
        {"id": texts(table["USUBJID"]), "code": texts(table["PPTESTCD"]), "value": values, "unit": units}
    )


@dataclass(frozen=True)
class CdiscEvents:
    """An event table with the meaning of its columns."""

    table: Any
    columns: dict[str, str]
    covariates: tuple[str, ...]
    units: dict[str, str]

    def options(self, units: Mapping[str, str] | None = None, **others: Any) -> dict[str, Any]:
        """Return how the table is to be read; what the user gives counts before what the table says."""
        renamed = others.get("endpoints")
        names = dict(renamed) if isinstance(renamed, Mapping) else {}
        known = {names.get(code, code): unit for code, unit in self.units.items()}
        own = {"columns": self.columns, "covariates": self.covariates, "units": {**known, **(units or {})}}
        return {**own, **{name: value for name, value in others.items() if value is not None}}


def _table(path: str | Path) -> Any:
    table = read_transport(path) if is_transport(path) else read_table(path)
    table.columns = [str(name).strip().upper() for name in table.columns]
    twice = [name for name in table.columns if list(table.columns).count(name) > 1]
    if twice:
        raise InputError(f"{path}: the column {twice[0]!r:.40} stands there twice")
    if not len(table):
        raise InputError(f"{path}: the table has no rows")
    return table


def _kind(table: Any, path: str | Path) -> str:
    """Return PC, CP or ADPC."""
    if "PPTESTCD" in table:
        raise InputError(f"{path}: a PP table holds parameters and no kinetics; read_parameters reads it")
    for kind in ("PC", "CP"):
        if f"{kind}TESTCD" in table:
            _need(table, ("USUBJID", f"{kind}STRESN"), path)
            return kind
    if "PARAMCD" in table and "AVAL" in table:
        _need(table, ("USUBJID",), path)
        return "ADPC"
    raise InputError(
        f"{path}: neither PC (PCTESTCD), CP (CPTESTCD) nor ADPC (PARAMCD and AVAL); found: "
        f"{', '.join(list(table.columns)[:12])}"
    )


def _need(table: Any, names: Sequence[str], path: str | Path) -> None:
    missing = [name for name in names if name not in table]
    if missing:
        raise InputError(f"{path}: the column {missing[0]} is missing; found: {', '.join(list(table.columns)[:20])}")


def _tabulation_events(
    table: Any, kind: str, tests: Sequence[str] | None, doses: Any, people: Any, covariates: Sequence[str] | None
) -> CdiscEvents:
    """Return the events of PC or CP, with those of EX and the people of DM."""
    import pandas as pd

    table = _chosen(table, f"{kind}TESTCD", tests)
    if f"{kind}STAT" in table:
        table = table[texts(table[f"{kind}STAT"]) != "NOT DONE"]
    if not len(table):
        raise InputError(f"all rows of {kind} are NOT DONE")
    value, censoring = _results(table, f"{kind}STRESN", f"{kind}STRESC")
    names = {
        "ID": "USUBJID",
        "TIME": f"{kind}DTC",
        "DV": f"{kind}STRESN",
        "CENS": f"{kind}STRESC",
        "DVID": f"{kind}TESTCD",
    }
    endpoint = _endpoints(table, kind)
    events: Any = pd.DataFrame(
        {"USUBJID": texts(table["USUBJID"]), names["TIME"]: _days(table, kind, doses), names["DV"]: value,
         names["CENS"]: censoring, names["DVID"]: endpoint, "EVID": 0}, index=table.index,
    )  # fmt: skip
    if f"{kind}LLOQ" in table:
        names["LLOQ"] = f"{kind}LLOQ"
        events[names["LLOQ"]] = table[names["LLOQ"]]
    units = _units(table, f"{kind}STRESU", endpoint)
    if doses is not None:
        names |= {"AMT": "EXDOSE", "DUR": "EXENDTC"}
        units |= _units(doses, "unit", np.full(len(doses), "amount", object))
        given: Any = doses.assign(EVID=1).rename(columns={"time": names["TIME"]}).drop(columns=["start", "unit"])
        events = pd.concat([events, given[given["USUBJID"].isin(set(events["USUBJID"]))]])
    events, chosen = _with_people(events, people, covariates)
    # SDTM sorts by test and visit; of a dose and a sample at one time the sample comes first
    events = events.sort_values(["USUBJID", names["TIME"], "EVID"], kind="stable")
    return CdiscEvents(events, {**names, "EVID": "EVID"}, chosen, units)


def _chosen(table: Any, column: str, tests: Sequence[str] | None) -> Any:
    if tests is None:
        return table
    found = texts(table[column])
    for test in tests:
        if test not in found:
            raise InputError(unknown_name(f"test ({column})", test, sorted(set(found.tolist()))))
    return table[np.isin(found, list(tests))]


def _results(table: Any, number: str, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return values and censoring: by the number, else by the text (``<50``, ``BLQ``, ``>1000``).

    A text that begins with ``<`` counts before the number: some write half the limit there.
    """
    values = table[number].to_numpy(dtype=object).copy()
    words = texts(table[text]) if text in table else np.full(len(table), "", object)
    censoring = np.zeros(len(table), int)
    for row in np.flatnonzero((texts(table[number]) == "") | np.array([word[:1] == "<" for word in words], bool)):
        word = words[row].upper()
        found = re.fullmatch(r"([<>])=?\s*([0-9.E+-]{1,30})", word)
        if found:
            censoring[row], values[row] = (1 if found[1] == "<" else -1), found[2]
        elif word[:1] == "<" or word in BELOW_WORDS:
            censoring[row], values[row] = 1, None  # the limit stands in a column of its own
        elif word:
            values[row] = words[row]  # the check says that this is no number
    return values, censoring


def _number_column(table: Any, name: str) -> np.ndarray:
    """Return a column as numbers; what is none becomes a gap, which the check reports."""
    import pandas as pd

    cells: Any = pd.to_numeric(table[name], errors="coerce")
    return np.asarray(cells, float)


def _endpoints(table: Any, kind: str) -> np.ndarray:
    """Return the code of the test; with material and method where one code has several."""
    import pandas as pd

    codes: Any = pd.Series(texts(table[f"{kind}TESTCD"]))
    for column in (f"{kind}SPEC", f"{kind}METHOD"):
        if column in table:
            words: Any = pd.Series(texts(table[column]))
            several = words.groupby(codes).transform("nunique") > 1
            codes = codes.where(~several, codes + "/" + words)
    return codes.to_numpy()


def _units(table: Any, column: str, endpoint: np.ndarray) -> dict[str, str]:
    """Return the unit of each endpoint; two units of one are an InputError."""
    found: dict[str, str] = {}
    if column not in table:
        return found
    for code, unit in sorted(set(zip(endpoint.tolist(), texts(table[column]).tolist(), strict=True))):
        if unit and found.get(code, unit) != unit:
            raise InputError(f"{code} has two units ({column}): {found[code]} and {unit}; convert one of them first")
        if unit:
            found[code] = unit
    return found


def _days(table: Any, kind: str, doses: Any) -> np.ndarray:
    """Return the days from infusion to sample, see :data:`SDTM_TIMES`."""
    import pandas as pd

    taken = _moments(table, f"{kind}DTC")
    ids: Any = pd.Series(texts(table["USUBJID"]))
    if taken is not None and doses is not None:
        first = doses.groupby("USUBJID")["start"].min()
        return _apart(taken, ids.map(first))
    if taken is not None and f"{kind}RFTDTC" in table:
        return _apart(taken, pd.Series(_moments(table, f"{kind}RFTDTC")))
    if f"{kind}DY" in table:
        day = _number_column(table, f"{kind}DY")
        return np.where(day > 0, day - 1, day)  # there is no study day 0
    raise InputError(
        f"the time of the samples cannot be found: give EX (exposure=), or {kind}RFTDTC or {kind}DY in {kind}; "
        f"tried: {'; '.join(SDTM_TIMES)}"
    )


def _moments(table: Any, column: str) -> Any:
    """Return dates and times; text that is none becomes a gap, which the check reports."""
    import pandas as pd

    if column not in table:
        return None
    words: Any = pd.Series(texts(table[column]))
    whole = words.where(words.str.fullmatch(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?"))
    return pd.to_datetime(whole, utc=True, format="ISO8601", errors="coerce")


def _apart(later: Any, earlier: Any) -> np.ndarray:
    import pandas as pd

    apart: Any = later - pd.to_datetime(earlier, utc=True)
    return np.asarray(apart.dt.total_seconds(), float) / 86400


def _doses(table: Any, treatment: str | None) -> Any:
    """Return the doses of EX: subject, start, days since the first, amount, duration."""
    import pandas as pd

    _need(table, ("USUBJID", "EXDOSE", "EXSTDTC"), "EX")
    if "EXTRT" in table:
        drugs = sorted(set(texts(table["EXTRT"]).tolist()))
        if treatment is None and len(drugs) > 1:
            raise InputError(
                f"EX holds {len(drugs)} treatments: {', '.join(drugs[:12])}; say which are the cells (treatment=)"
            )
        if treatment is not None and treatment not in drugs:
            raise InputError(unknown_name("treatment in EX (EXTRT)", treatment, drugs))
        table = table if treatment is None else table[texts(table["EXTRT"]) == treatment]
    start, end = _moments(table, "EXSTDTC"), _moments(table, "EXENDTC")
    if start.isna().any():
        row = int(np.flatnonzero(start.isna())[0])
        raise InputError(
            f"EX, row {table.index[row] + 1}: EXSTDTC {table['EXSTDTC'].iloc[row]!s:.40} is no date and time"
        )
    ids = texts(table["USUBJID"])
    found: Any = pd.DataFrame(
        {"USUBJID": ids, "start": start.to_numpy(), "EXDOSE": table["EXDOSE"].to_numpy()}, index=table.index
    )
    found["unit"] = texts(table["EXDOSU"]) if "EXDOSU" in table else ""
    first = found.groupby("USUBJID")["start"].transform("min")
    found["time"] = (found["start"] - first).dt.total_seconds() / 86400
    lasted = _apart(end, start) if end is not None else np.zeros(len(found))
    found["EXENDTC"] = np.where(lasted > 0, lasted, 0.0)
    return found


def _with_people(events: Any, people: Any, covariates: Sequence[str] | None) -> tuple[Any, tuple[str, ...]]:
    """Return the events with covariates of DM."""
    if people is None:
        if covariates:
            raise InputError(f"covariates {', '.join(covariates)} need DM (demographics=)")
        return events, ()
    _need(people, ("USUBJID",), "DM")
    chosen = tuple(name for name in DEMOGRAPHICS if name in people) if covariates is None else tuple(covariates)
    _need(people, chosen, "DM")
    ids = texts(people["USUBJID"])
    if len(set(ids.tolist())) != len(ids):
        raise InputError("DM has a subject twice")
    lookup = people.set_index(ids)
    for name in chosen:
        events[name] = lookup[name].reindex(events["USUBJID"]).to_numpy()
    return events, chosen


def _analysis_events(
    table: Any, tests: Sequence[str] | None, covariates: Sequence[str] | None, time_unit: str | None
) -> CdiscEvents:
    """Return the events of ADPC: AVAL at AFRLT, with ALLOQ and AVALC for what lies below."""
    import pandas as pd

    table = _chosen(table, "PARAMCD", tests)
    value, censoring = _results(table, "AVAL", "AVALC")
    names = {"ID": "USUBJID", "TIME": "AFRLT", "DV": "AVAL", "CENS": "AVALC", "DVID": "PARAMCD"}
    endpoint = texts(table["PARAMCD"])
    if "BLQFL" in table:
        censoring = np.where(texts(table["BLQFL"]) == "Y", 1, censoring)
    events: Any = pd.DataFrame(
        {"USUBJID": texts(table["USUBJID"]), "AFRLT": _relative_days(table, time_unit), "AVAL": value,
         "AVALC": censoring, "PARAMCD": endpoint}, index=table.index,
    )  # fmt: skip
    if "ALLOQ" in table:
        names["LLOQ"] = "ALLOQ"
        events["ALLOQ"] = table["ALLOQ"]
    chosen = tuple(covariates or ())
    _need(table, chosen, "ADPC")
    for name in chosen:
        events[name] = table[name]
    events = events.sort_values(["USUBJID", "AFRLT"], kind="stable")
    return CdiscEvents(events, names, chosen, _units(table, "AVALU", endpoint))


def _relative_days(table: Any, time_unit: str | None) -> np.ndarray:
    """Return the days since the first dose: AFRLT in its unit, else ADTM less TRTSDTM."""
    from livingdrug.units import convert

    if "AFRLT" in table:
        unit = time_unit or _only_unit(table)
        return _number_column(table, "AFRLT") * convert(1.0, unit, "day")
    if "ADTM" in table and "TRTSDTM" in table:
        return (_number_column(table, "ADTM") - _number_column(table, "TRTSDTM")) / 86400  # SAS counts seconds
    raise InputError("the time of the samples cannot be found: ADPC needs AFRLT, or ADTM and TRTSDTM as numbers")


_UNIT_WORDS = {"HOURS": "hour", "HOUR": "hour", "H": "hour", "HR": "hour", "HRS": "hour", "DAYS": "day", "DAY": "day"}


def _only_unit(table: Any) -> str:
    found = sorted(set(texts(table["FRLTU"]).tolist()) - {""}) if "FRLTU" in table else []
    if len(found) != 1 or found[0].upper() not in _UNIT_WORDS:
        raise InputError(
            f"the unit of AFRLT is not known (FRLTU: {', '.join(found[:5]) or 'missing'}); give time_unit, e.g. 'hour'"
        )
    return _UNIT_WORDS[found[0].upper()]
