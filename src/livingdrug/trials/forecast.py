"""Frozen forecasts: what is said of trials before their results are looked at, in one file that is never changed.

A file is text: lines of provenance that begin with ``#`` (date, version of the code, hash of the ensemble), then one
line per forecaster, trial, arm, set of patients, endpoint, time and scale, with the forecast as 99 quantiles. The last
line of provenance is a hash of all the rest, so a file that was edited afterwards is refused. That guards against
accidents; when a file was frozen is shown by the history of the repository that it lies in.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from livingdrug.errors import InputError, unknown_name
from livingdrug.trials.wording import KEYS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KEYS", "LEVELS", "STATISTICS", "TWIN", "Forecast", "forecast_row", "forecast_table", "read_forecast"]

LEVELS = tuple(k / 100 for k in range(1, 100))
QUANTILES = tuple(f"q{k:02d}" for k in range(1, 100))

PERCENTAGES = ("proportion", "survival")
STATISTICS = (
    *PERCENTAGES, "median", "median time", "geometric mean", "arithmetic mean", "geometric CV", "standard deviation",
    "hazard ratio", "correlation",
)  # fmt: skip
TWIN = "twin"
TEXTS = ("forecaster", *KEYS, "statistic", "unit")
NUMBERS = ("N", "draws", "mean", "sd", *QUANTILES)
COLUMNS = (*TEXTS, *NUMBERS)
HASH = "sha256 of all but this line"
LARGEST_FILE = 50_000_000  # bytes
LARGEST_TEXT = 300


@dataclass(frozen=True, eq=False)
class Forecast:
    """Forecasts and where they come from.

    Attributes:
        table: columns ``COLUMNS``: ``forecaster`` is "twin" or the name of a naive forecast, ``statistic`` one of
            ``STATISTICS``, ``unit`` is "%" for proportions and survival, ``N`` the patients of the trial in that set,
            ``draws`` the draws in which the statistic exists, ``q01`` to ``q99`` the quantiles (``inf``: not reached).
        provenance: date, version, ensemble and what else is needed to make it again.
    """

    table: pd.DataFrame
    provenance: Mapping[str, str]

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write a new file, read-only from then on.

        Raises:
            InputError: a file of that name exists (a frozen forecast is never written over), or the table is wrong.
        """
        target = Path(path).expanduser()
        text = self._text(str(target))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("x", encoding="utf-8", newline="\n")
        except FileExistsError:
            raise InputError(
                f"{target}: a frozen forecast is never written over; choose a new name beside it"
            ) from None
        except OSError as error:
            raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
        try:
            with file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            target.chmod(0o444)
        except BaseException:
            target.unlink(missing_ok=True)  # half a file would stand in the way of the next attempt
            raise
        return target

    def _text(self, where: str) -> str:
        body = _checked(self.table, where).to_csv(index=False, float_format="%.6g", lineterminator="\n", na_rep="")
        lines = [f"# {_word(key)}: {' '.join(str(value).split())}" for key, value in self.provenance.items()]
        return "\n".join([*lines, f"# {HASH}: {_hash(lines, body)}", body])


def _word(key: str) -> str:
    if not re.fullmatch(r"[A-Za-z][\w .-]{0,60}", key) or key == HASH:
        raise InputError(f"provenance: a key is a short name in letters and digits, got {key!r:.80}")
    return key


def _hash(lines: list[str], body: str) -> str:
    return hashlib.sha256("\n".join([*lines, body]).encode()).hexdigest()


def forecast_row(
    draws: ArrayLike, *, size: int, statistic: str, unit: str, forecaster: str = TWIN, **keys: str
) -> dict[str, Any]:
    """Return one line of a forecast from draws of the statistic.

    Args:
        draws: of the statistic as the trial would report it, parameters and chance of its own size included; NaN where
            it does not exist, infinite where it is not reached.
        size: patients of the trial in that set.
        statistic: one of ``STATISTICS``.
        unit: of it; "%" for proportions and survival, whose draws go from 0 to 100.
        forecaster: whose forecast it is.
        keys: some of ``KEYS``; what is not named is empty.

    Raises:
        InputError: an unknown key or statistic.

    Example:
        >>> row = forecast_row([40, 50, 60], size=100, statistic="proportion", unit="%", trial="A", endpoint="CR")
        >>> row["q50"], row["draws"]
        (50.0, 3)
    """
    for key in keys:
        if key not in KEYS:
            raise InputError(unknown_name("key of a forecast", key, KEYS))
    if statistic not in STATISTICS:
        raise InputError(unknown_name("statistic", statistic, STATISTICS))
    values = np.asarray(draws, np.float64).ravel()
    found = values[~np.isnan(values)]
    finite = bool(found.size) and bool(np.isfinite(found).all())
    # quantiles that are draws themselves, so that a median that is not reached stays infinite
    quantiles = np.quantile(found, LEVELS, method="inverted_cdf") if found.size else np.full(len(LEVELS), np.nan)
    return {
        "forecaster": forecaster, **{key: keys.get(key, "") for key in KEYS}, "statistic": statistic, "unit": unit,
        "N": int(size), "draws": int(found.size), "mean": float(found.mean()) if finite else np.nan,
        "sd": float(found.std(ddof=1)) if finite and found.size > 1 else np.nan,
        **dict(zip(QUANTILES, quantiles.tolist(), strict=True)),
    }  # fmt: skip


def forecast_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return lines of a forecast as a checked table.

    Raises:
        InputError: two lines that cannot be told apart, or values that are none.
    """
    import pandas as pd

    return _checked(pd.DataFrame(list(rows), columns=list(COLUMNS)), "forecast")


def read_forecast(path: str | os.PathLike[str]) -> Forecast:
    """Read a frozen forecast.

    Raises:
        InputError: the file cannot be read, is no forecast, or was changed after it was frozen.
    """
    import pandas as pd

    source = Path(path).expanduser()
    lines = read_text(source, LARGEST_FILE).split("\n")
    head = list(takewhile(lambda line: line.startswith("# "), lines))
    body = "\n".join(lines[len(head) :])
    key, _, stated = (head[-1] if head else "").removeprefix("# ").partition(": ")
    if key != HASH:
        raise InputError(f"{source}: not a forecast of livingdrug: the line with its hash is missing")
    if _hash(head[:-1], body) != stated.strip():
        raise InputError(f"{source}: does not have the hash that was frozen with it; it was changed since")
    try:
        table = pd.read_csv(io.StringIO(body), dtype=str, keep_default_na=False, index_col=False)
        missing = [name for name in COLUMNS if name not in table]
        if missing:
            raise InputError(f"{source}: columns are missing: {', '.join(missing[:5])}")
        for name in NUMBERS:
            table[name] = [float(text) if text else np.nan for text in table[name]]
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(f"{source}: the table cannot be read: {error}") from error
    facts = (line.removeprefix("# ").partition(": ") for line in head[:-1])
    return Forecast(_checked(table.loc[:, list(COLUMNS)], str(source)), {key: value for key, _, value in facts})


def read_text(source: Path, most: int) -> str:
    """Return a text in UTF-8 with plain line ends; InputError where it cannot be read or is larger than ``most``."""
    try:
        with source.open("rb") as file:
            data = file.read(most + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: not a text in UTF-8 (byte {error.start})") from error
    if len(data) > most:
        raise InputError(f"{source}: larger than {most} bytes")
    if "\0" in text:
        raise InputError(f"{source}: not a text (it holds zero bytes)")
    return text.replace("\r\n", "\n")


def _checked(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the table; InputError where a line says nothing, says it twice, or has quantiles that fall."""
    if list(table.columns) != list(COLUMNS):
        raise InputError(f"{where}: a forecast has the columns {', '.join(COLUMNS[:8])}, ...")
    texts = table.loc[:, list(TEXTS)]
    if not all(_short(text) for text in texts.to_numpy().ravel()):
        raise InputError(f"{where}: keys, statistic and unit are short texts")
    twice = texts.loc[:, ["forecaster", *KEYS]].duplicated()
    if twice.any():
        first = texts.loc[twice].iloc[0]
        raise InputError(
            f"{where}: two lines cannot be told apart: {', '.join(first[list(KEYS)])} ({first['forecaster']})"
        )
    wrong = sorted(set(table["statistic"]) - set(STATISTICS))
    if wrong:
        raise InputError(f"{where}: {unknown_name('statistic', wrong[0], STATISTICS)}")
    _check_numbers(table, where)
    return table


def _check_numbers(table: pd.DataFrame, where: str) -> None:
    size = table["N"].to_numpy(np.float64)
    if not np.all((size >= 0) & (size == np.floor(size)) & np.isfinite(size)):
        raise InputError(f"{where}: N must be a whole number of patients")
    percent = table["statistic"].isin(PERCENTAGES).to_numpy()
    if not (table.loc[percent, "unit"] == "%").all():
        raise InputError(f"{where}: the unit of a proportion or of survival is %")
    quantiles = table[list(QUANTILES)].to_numpy(np.float64)
    if np.any((quantiles[percent] < 0) | (quantiles[percent] > 100)):
        raise InputError(f"{where}: percentages go from 0 to 100")
    known = ~np.isnan(quantiles).all(axis=1)
    if np.any(quantiles[known, 1:] < quantiles[known, :-1]) or np.isnan(quantiles[known]).any():
        raise InputError(f"{where}: quantiles must rise and be complete")


def _short(text: object) -> bool:
    return isinstance(text, str) and len(text) <= LARGEST_TEXT and text.isprintable()
