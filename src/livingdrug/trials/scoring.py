"""Scores of a frozen forecast against what trials reported, the twin beside three naive forecasts.

Each reported number is joined to one line of every forecaster. It is scored by the continuous ranked probability score
(CRPS: the mean distance of the forecast from the number, less half the forecast's own spread; small is good), by the
logarithmic score on the scale on which such numbers are roughly normal (logit of percentages, logarithm of the rest),
and by whether it lies in the central 50 and 90 % interval.

Source:
    Gneiting and Raftery 2007 (``gneiting2007``): CRPS and logarithmic score.
"""

from __future__ import annotations

import csv
import math
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError, nearest_names, unknown_name
from livingdrug.trials.forecast import LEVELS, PERCENTAGES, QUANTILES, TWIN, Forecast, read_text
from livingdrug.trials.wording import KEYS, plain_keys, plain_unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["against_twin", "crps", "log_score", "plain_scale", "read_observed", "score", "summary"]

Array = NDArray[np.float64]
NEEDED = ("trial", "endpoint")
NUMBERS = ("n", "N", "percent", "value")
NOT_REACHED = ("nr", "ne", "not reached", "not estimable", "inf")
MISSING = ("nan", "na", "n/a", "-", "–", "none", "null", "not reported", "missing")
ROUNDED = 1.0  # percentage points by which a printed share may differ from its n of N
LARGEST_FILE = 20_000_000  # bytes
MOST_LINES = 100_000
STATISTIC_WORDS = (
    ("median", "median"), ("mean", "mean"), ("arithmetic mean", "mean"), ("geometric mean", "geometric mean"),
    ("geo-mean", "geometric mean"), ("geometric cv", "geometric CV"), ("standard deviation", "standard deviation"),
    ("hazard ratio", "hazard ratio"), ("correlation", "correlation"),
)  # fmt: skip
DAYS = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12, "years": 365.25}
GENERAL = ("arm", "grading_scale")
"""Keys whose absence in a line of the forecast means: all of them."""
SCORES = ("low90", "low50", "median", "high50", "high90", "place", "crps", "log_score")


def crps(quantiles: ArrayLike, observed: float) -> float:
    """Return the CRPS of a forecast in 99 quantiles, in the unit of the number; NaN where either is not finite.

    Source:
        Gneiting and Raftery 2007 (``gneiting2007``): the CRPS is twice the pinball loss, summed over all levels.

    Example:
        >>> round(crps([0.0] * 99, 2.0), 6)
        1.98
    """
    q, level = np.asarray(quantiles, np.float64), np.asarray(LEVELS)
    if not (np.isfinite(q).all() and math.isfinite(observed)):
        return math.nan
    loss = np.where(observed >= q, level * (observed - q), (1 - level) * (q - observed))
    return float(2 * loss.sum() / (len(LEVELS) + 1))


def log_score(quantiles: ArrayLike, observed: float, *, percent: bool, size: int) -> float:
    """Return minus the logarithm of the forecast's density at the number; small is good.

    The density is that of the normal distribution whose quantiles lie nearest to the forecast's, on ``plain_scale``. It
    is NaN where the number or the forecast is not finite on that scale or has no spread.
    """
    from scipy.special import ndtri

    x = plain_scale(np.asarray(quantiles, np.float64), percent, size)
    (y,) = plain_scale(np.array([observed]), percent, size)
    z = ndtri(np.asarray(LEVELS))
    if not (np.isfinite(x).all() and np.isfinite(y)):
        return math.nan
    middle, spread = float(x.mean()), float((z * x).sum() / (z * z).sum())
    if not spread > 1e-9 * (1 + abs(middle)):  # all draws alike but for rounding
        return math.nan
    return float(0.5 * ((y - middle) / spread) ** 2 + math.log(spread) + 0.5 * math.log(2 * math.pi))


def plain_scale(values: Array, percent: bool, size: float | Array) -> Array:
    """Return values on the scale on which they are roughly normal.

    Percentages become logits, moved off 0 and 100 by half a patient of ``size``; all others logarithms, NaN up to 0.
    """
    if percent:
        share = (values / 100 * size + 0.5) / (np.asarray(size) + 1)
        return np.log(share / (1 - share))
    return np.log(values, out=np.full(np.shape(values), np.nan), where=np.asarray(values) > 0)


def read_observed(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table of reported numbers: CSV with ``trial``, ``endpoint`` and ``percent``, ``value`` or n of N.

    Optional columns: arm, population, timepoint, grading_scale, unit, statistic. ``value`` may be "NR" or "NE" (not
    reached). Any other column is left alone.

    Returns:
        Columns: the keys, ``N``, ``observed``, ``unit``, ``statistic``, ``line`` (of the file).

    Raises:
        InputError: the file cannot be read, a column is missing, or a number is none; with its line.
    """
    import pandas as pd

    source = Path(path).expanduser()
    rows = [_observed(row, f"{source}, line {line}") | {"line": line} for line, row in _rows(source)]
    return pd.DataFrame(rows, columns=[*KEYS, "N", "observed", "unit", "statistic", "line"])


def _rows(source: Path) -> list[tuple[int, dict[str, str]]]:
    reader = csv.reader(read_text(source, LARGEST_FILE).splitlines(keepends=True), strict=True)
    try:
        heads = [_head(name) for name in next(reader, [])]
        for name in NEEDED:
            if name not in heads:
                raise InputError(f"{source}: {unknown_name('column', name, heads)}; a table needs {', '.join(NEEDED)}")
        twice = {name for name in heads if name and heads.count(name) > 1}
        if twice:
            raise InputError(f"{source}: the column {min(twice)!r} stands there twice")
        found = []
        for cells in reader:
            if len(cells) > len(heads) or len(found) == MOST_LINES:
                raise InputError(
                    f"{source}, line {reader.line_num}: more than {MOST_LINES} lines"
                    if len(cells) <= len(heads)
                    else f"{source}, line {reader.line_num}: {len(cells)} cells, but only {len(heads)} columns"
                )
            if any(cell.strip() for cell in cells):
                found.append((reader.line_num, dict(zip(heads, cells, strict=False))))
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num}: not comma-separated values: {error}") from error
    return found


def _head(name: str) -> str:
    """Return the name of a column; capitals do not count where they tell nothing (n and N are two columns)."""
    plain_name = name.strip().casefold()
    return plain_name if plain_name in (*KEYS, "percent", "value", "unit", "statistic") else name.strip()


def _observed(row: dict[str, str], where: str) -> dict[str, Any]:
    n, size, percent, value = (_number(row.get(name, ""), f"{where}, {name}", name) for name in NUMBERS)
    share = 100 * n / (size or math.nan)
    for bad, text in (
        (percent < 0 or percent > 100, f"percent goes from 0 to 100, got {percent:g}"),
        (size < 1, f"N must be at least 1, got {size:g}"),
        (n < 0 or n > size, f"n must lie between 0 and N = {size:g}, got {n:g}"),
        (abs(percent - share) > ROUNDED, f"percent is {percent:g}, but n of N is {n:g} of {size:g}"),
    ):
        if bad:
            raise InputError(f"{where}: {text}")
    unit = row.get("unit", "").split(";")[0].strip()
    share = percent if not math.isnan(percent) else math.nan if not math.isnan(value) else share
    observed, unit = (value, unit) if math.isnan(share) else (share, "%")
    texts = {key: row.get(key, "").strip() for key in KEYS}
    size = n if math.isnan(size) else size
    return {**texts, "N": size, "observed": observed, "unit": unit, "statistic": row.get("statistic", "").strip()}


def _number(text: str, where: str, name: str) -> float:
    plain_text = text.strip().casefold()
    if name == "percent":
        plain_text = plain_text.removesuffix("%").rstrip()
    if not plain_text or plain_text in MISSING or (name != "value" and plain_text in NOT_REACHED):
        return math.nan
    if name == "value" and plain_text in NOT_REACHED:
        return math.inf
    try:
        found = float(plain_text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{where}: a number is expected, got {text!r:.40}")
    return found


def score(forecast: Forecast, observed: pd.DataFrame) -> pd.DataFrame:
    """Return one line per forecaster and reported number: the forecast, the scores, and why it has none if so.

    A reported number belongs to the line with the same trial, endpoint and, where the report names them, the same set
    of patients, time, arm and scale; a forecast that names no arm or scale holds for all. If none or several lines fit,
    or several numbers fit one line, it is not scored, and ``note`` says so.

    Returns:
        Columns: ``forecaster``, ``line``, the keys as reported, ``unit``, ``observed``, the ends of the 90 and 50 %
        intervals, ``median``, ``place`` (share of the forecast below the number), ``crps``, ``log_score``, ``in50``,
        ``in90``, ``note``.
    """
    import pandas as pd

    reported = [
        {**row, "keys": plain_keys(row), "known": not math.isnan(float(row["observed"]))}
        for row in observed.to_dict("records")
    ]
    found = []
    for forecaster, lines in forecast.table.groupby("forecaster", sort=False):
        records = lines.to_dict("records")
        fits = _fitting([plain_keys(record) | {"family": family(record["statistic"])} for record in records], reported)
        told: dict[int, dict[tuple[float, str], int]] = defaultdict(dict)  # line of the forecast -> number -> its line
        for row, fit in zip(reported, fits, strict=True):
            if len(fit) == 1 and row["known"]:
                told[fit[0]].setdefault(_said(row), row["line"])
        for row, fit in zip(reported, fits, strict=True):
            numbers = told[fit[0]] if len(fit) == 1 and row["known"] else {}
            known = {"forecaster": forecaster, "line": row["line"], **{key: row[key] for key in KEYS}}
            judged = _judged([records[index] for index in fit], row, len(numbers) - 1)
            first = numbers.get(_said(row), row["line"])
            if first != row["line"] and len(numbers) == 1:
                judged = _unscored(row) | {"note": f"the same number as line {first}; counted once"}
            found.append(known | (judged if fit or forecaster != TWIN else judged | {"note": _why_none(records, row)}))
    columns = ["forecaster", "line", *KEYS, "unit", "observed", *SCORES, "in50", "in90", "note"]
    return pd.DataFrame(found, columns=columns)


def _fitting(lines: list[dict[str, str]], reported: list[dict[str, Any]]) -> list[list[int]]:
    """Return for each reported number the places of the lines that fit it."""
    about: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, line in enumerate(lines):
        about[line["trial"], line["endpoint"]].append(index)
    found = []
    for row in reported:
        asked = row["keys"]
        fits = [index for index in about[asked["trial"], asked["endpoint"]] if _fits(asked, lines[index])]
        # those that fit word by word, blanks included, come before all others; then those of the same statistic
        fits = [index for index in fits if all(lines[index][key] == asked[key] for key in KEYS)] or fits
        kind = family(str(row.get("statistic", "")))
        found.append([index for index in fits if lines[index]["family"] == kind] or fits if kind else fits)
    return found


def family(statistic: str) -> str:
    """Return one word for statistics that say the same with and without censoring; empty for unknown words.

    Example:
        >>> [family(text) for text in ("proportion", "median time", "mean (SD)", "geometric mean", "reported")]
        ['percent', 'median', 'mean', 'geometric mean', '']
    """
    text = statistic.strip().casefold()
    if text in (*PERCENTAGES, "percent", "percentage"):
        return "percent"
    for word, kind in STATISTIC_WORDS:
        if text.startswith(word):
            return kind
    return ""


def _fits(asked: dict[str, str], line: dict[str, str]) -> bool:
    return all(not asked[key] or line[key] == asked[key] or (key in GENERAL and not line[key]) for key in KEYS)


def _said(row: dict[str, Any]) -> tuple[float, str]:
    return float(row["observed"]), plain_unit(row["unit"])


def _unscored(row: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(SCORES, math.nan)
    return {**empty, "unit": row["unit"], "observed": row["observed"], "in50": None, "in90": None, "note": ""}


def _judged(lines: list[dict[str, Any]], row: dict[str, Any], rivals: int) -> dict[str, Any]:
    result = _unscored(row)
    if len(lines) != 1:
        statistics = sorted({line["statistic"] for line in lines})
        which = f"which statistic: {', '.join(statistics)}" if len(statistics) > 1 else "which"
        return result | {"note": f"{len(lines)} lines of the forecast fit; say {which}" if lines else "no line fits"}
    asked, given = family(str(row.get("statistic", ""))), family(lines[0]["statistic"])
    if asked and asked != given:
        return result | {"note": f"reported as {row['statistic']}, forecast as {lines[0]['statistic']}"}
    if rivals > 0:
        return result | {"note": f"{rivals + 1} reported numbers fit this line; keep one"}
    (line,) = lines
    value, unit = _in_unit(float(row["observed"]), row["unit"], line["unit"])
    quantiles = np.array([line[name] for name in QUANTILES], np.float64)
    if math.isnan(value) or np.isnan(quantiles).any():
        unlike = (
            "" if math.isnan(float(row["observed"])) else f"reported in {row['unit']!r}, forecast in {line['unit']!r}"
        )
        return result | {"note": unlike if math.isnan(value) and unlike else _missing(value)}
    return result | {"unit": unit, "observed": value} | _scored(line, quantiles, value)


def _why_none(records: list[dict[str, Any]], row: dict[str, Any]) -> str:
    """Return why no line of the forecast fits a reported number, with the nearest names."""
    asked = row["keys"]
    here = [record for record in records if plain_keys(record)["trial"] == asked["trial"]]
    if not here:
        return f"no line fits: {_unknown('trial', row['trial'], [record['trial'] for record in records])}"
    alike = [record for record in here if plain_keys(record)["endpoint"] == asked["endpoint"]]
    if not alike:
        return f"no line fits: {_unknown('endpoint', row['endpoint'], [record['endpoint'] for record in here])}"
    for key in ("population", "timepoint", "arm", "grading_scale"):
        values = sorted({plain_keys(record)[key] for record in alike})
        if asked[key] and asked[key] not in values and not (key in GENERAL and "" in values):
            return f"no line fits: {key} {asked[key]!r}; the forecast has {', '.join(repr(each) for each in values)}"
    return "no line fits: its set of patients, time, arm and scale do not stand together in one line"


def _unknown(what: str, asked: str, allowed: list[str]) -> str:
    near = nearest_names(asked, sorted(set(allowed)))
    return f"unknown {what} {asked!r}" + (f"; nearest: {', '.join(near)}" if near else "")


def _missing(value: float) -> str:
    return "no number was reported" if math.isnan(value) else "the forecast has no number"


def _in_unit(value: float, unit: str, wanted: str) -> tuple[float, str]:
    """Return the value in the unit of the forecast; NaN where one cannot be turned into the other."""
    first, last = plain_unit(unit), plain_unit(wanted)
    if first in DAYS and last in DAYS:
        return value * DAYS[first] / DAYS[last], wanted
    if first in ("fraction", "proportion") and last == "%":
        return 100 * value, wanted
    alike = first == last or not first or ("%" not in (first, last) and not last)
    return (value, wanted) if alike and not (last == "%" and not first) else (math.nan, unit)


def _scored(line: dict[str, Any], quantiles: Array, value: float) -> dict[str, Any]:
    at = dict(zip(LEVELS, quantiles, strict=True))
    percent = line["statistic"] in PERCENTAGES
    below, same = (quantiles < value).mean(), (quantiles == value).mean()
    finite = math.isfinite(value) and bool(np.isfinite(quantiles).all())
    return {
        "low90": at[0.05], "low50": at[0.25], "median": at[0.5], "high50": at[0.75], "high90": at[0.95],
        "place": float(below + same / 2), "crps": crps(quantiles, value),
        "log_score": log_score(quantiles, value, percent=percent, size=max(int(line["N"]), 1)),
        "in50": bool(at[0.25] <= value <= at[0.75]), "in90": bool(at[0.05] <= value <= at[0.95]),
        "note": "" if finite else "not reached in the report or in part of the forecast: only the intervals count",
    }  # fmt: skip


def summary(scored: pd.DataFrame) -> pd.DataFrame:
    """Return one line per forecaster: how many numbers were scored, shares in the intervals, mean logarithmic score.

    The CRPS has the unit of its number, so its mean over different units is not taken; see ``against_twin``.
    """
    import pandas as pd

    rows = []
    for forecaster, lines in scored.groupby("forecaster", sort=False):
        done = lines.loc[lines["in90"].notna()]
        rows.append({
            "forecaster": forecaster, "scored": len(done), "not_scored": len(lines) - len(done),
            "in50": done["in50"].astype(float).mean(), "in90": done["in90"].astype(float).mean(),
            "log_scored": int(done["log_score"].count()), "log_score": done["log_score"].mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def against_twin(scored: pd.DataFrame) -> pd.DataFrame:
    """Return how the twin does against each naive forecast on the numbers that both of them forecast.

    Returns:
        Columns: ``forecaster``; ``both``: numbers with scores of both; ``log_gain``: mean by which the twin's
        logarithmic score is better (above 0: the twin is better) and ``log_gain_error``, its standard error if the
        numbers were independent (those of one trial are not); ``closer``: share of numbers with the smaller CRPS for
        the twin, ties half.
    """
    import pandas as pd

    twin = scored[scored["forecaster"] == TWIN].set_index("line")
    rows = []
    for forecaster, lines in scored[scored["forecaster"] != TWIN].groupby("forecaster", sort=False):
        other = lines.set_index("line")
        both = twin.index.intersection(other.index)
        gain = (other.loc[both, "log_score"] - twin.loc[both, "log_score"]).dropna()
        nearer = (other.loc[both, "crps"] - twin.loc[both, "crps"]).dropna()
        rows.append({
            "forecaster": forecaster, "both": len(gain), "log_gain": gain.mean(),
            "log_gain_error": gain.std(ddof=1) / math.sqrt(len(gain)) if len(gain) > 1 else math.nan,
            "closer": float(((nearer > 0) + 0.5 * (nearer == 0)).mean()) if len(nearer) else math.nan,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=["forecaster", "both", "log_gain", "log_gain_error", "closer"])
