"""Event data sets in files: text with a heading, or Parquet, as a table whose cells are read later."""

from __future__ import annotations

import codecs
import csv
import io
import re
from pathlib import Path
from typing import Any

from livingdrug.errors import InputError

__all__ = ["check_file", "is_transport", "read_table"]

LARGEST_FILE = 300_000_000  # bytes: some eight million rows; reading takes about ten times as much memory
LONGEST_HEADING = 100_000  # characters
TEXT = (".csv", ".txt", ".tab", ".dat", ".tsv", ".prn")
KINDS = (*TEXT, ".parquet", ".xpt")
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def is_transport(path: str | Path) -> bool:
    """Return whether a file is a SAS transport file by its ending."""
    return Path(path).suffix.lower() == ".xpt"


def read_table(path: str | Path) -> Any:
    """Return a file as a pandas table; text cells stay text.

    Raises:
        InputError: the file cannot be read, is too large, or is no table.
    """
    file = Path(path)
    kind = file.suffix.lower()
    if kind not in KINDS:
        raise InputError(f"{file}: a data set is a file that ends in {', '.join(KINDS)}, got {kind or 'no ending'!r}")
    if kind == ".xpt":
        raise InputError(f"{file}: a SAS transport file; livingdrug.inference.cdisc reads it")
    check_file(file)
    try:
        return _parquet(file) if kind == ".parquet" else _text(file, file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: the file cannot be read: {error.strerror or error}") from error


def check_file(path: str | Path) -> Path:
    """Return the path of a file that is there and not too large."""
    file = Path(path)
    try:
        if not file.is_file():
            raise InputError(f"{file}: there is no such file")
        if file.stat().st_size > LARGEST_FILE:
            raise InputError(f"{file}: more than {LARGEST_FILE:,} bytes are not read")
    except OSError as error:
        raise InputError(f"{file}: the file cannot be read: {error.strerror or error}") from error
    return file


def _text(file: Path, content: bytes) -> Any:
    import pandas as pd

    text = _without_comments(_decoded(file, content))
    heading = next((line for line in io.StringIO(text) if line.strip()), "").strip("\n")
    if not heading.strip(" ,;\t") or len(heading) > LONGEST_HEADING:
        raise InputError(f"{file}: the first line must be a heading such as ID,TIME,AMT,DV,EVID")
    separator = _separator(heading)
    names = _names(file, heading, separator)
    before = _lines_before(text)
    try:
        _check_cells(file, text, separator, before, len(names))
        table = pd.read_csv(
            io.StringIO(text), sep=separator, header=None, skiprows=before + 1, names=range(len(names) + 1),
            dtype=str, keep_default_na=False, skipinitialspace=True,
        )  # fmt: skip
    except (ValueError, pd.errors.ParserError, OverflowError, csv.Error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: not a table: {_tidy(error)}") from error
    table = table.iloc[:, : len(names)]
    table.columns = names
    return table


def _without_comments(text: str) -> str:
    r"""Return the text without the lines that begin with #, as NM-TRAN reads it; a heading may begin so, too.

    Example:
        >>> _without_comments("# made by me\nID,TIME\n#1,0\n1,1"), _without_comments("#ID,TIME\n1,0")
        ('ID,TIME\n1,1', '#ID,TIME\n1,0')
    """
    lines = text.split("\n")
    if not any(line.lstrip().startswith("#") for line in lines):
        return text
    plain = [at for at, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    first = plain[0] if plain else len(lines)
    before = [at for at in range(first) if lines[at].strip()]
    if before and (not plain or any(map(_is_number, re.split(r"[,;\s]+", lines[first])))):
        plain = [before[-1], *plain]  # rows of numbers follow: the last line above them is their heading
    return "\n".join(lines[at] for at in plain)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _lines_before(text: str) -> int:
    """Return how many empty lines stand before the heading."""
    return next(at for at, line in enumerate(io.StringIO(text)) if line.strip())


def _names(file: Path, heading: str, separator: str) -> list[str]:
    if separator == r"\s+":
        return [name.lstrip("#") for name in heading.split() if name.strip("#")]
    names = [name.strip().lstrip("#").strip() for name in next(csv.reader([heading], delimiter=separator))]
    while names and not names[-1]:  # a separator at the end of the line
        names.pop()
    if "" in names:
        raise InputError(f"{file}: column {names.index('') + 1} has no heading")
    return names


def _check_cells(file: Path, text: str, separator: str, before: int, count: int) -> None:
    """Refuse a row with too many or too few cells: its values may stand in the wrong column."""
    lines = io.StringIO(text)
    for _ in range(before + 1):
        lines.readline()
    blanks = separator == r"\s+"
    cells = (line.split() for line in lines) if blanks else csv.reader(lines, delimiter=separator, strict=True)
    row = 0
    for one in cells:
        if not one or (len(one) == 1 and not one[0].strip()):
            continue
        row += 1
        last = len(one) - (one[-1].strip() == "")  # a separator at the end of the line
        if len(one) < count or last > count:
            what = "fewer" if len(one) < count else "more"
            raise InputError(
                f"{file}: row {row} has {what} cells than the heading ({count}): {len(one)}. A comment begins with #"
            )


def _tidy(error: Exception) -> str:
    return str(error).replace("Error tokenizing data. C error: ", "").strip()[:200]


def _decoded(file: Path, content: bytes) -> str:
    """Return the text; UTF-8, or UTF-16 as spreadsheets write it with a mark in front."""
    encoding, start = next(((name, len(bom)) for bom, name in BOMS if content.startswith(bom)), ("utf-8", 0))
    try:
        text = content[start:].decode("utf-8") if encoding == "utf-8" else content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}: byte {error.start + start + 1} is no text in UTF-8; save the file as CSV in UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(f"{file}: it holds zero bytes, so it is no text; save the table as CSV in UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _separator(heading: str) -> str:
    r"""Return what stands between the cells.

    Example:
        >>> _separator("ID,TIME,DV"), _separator("ID;TIME;DV"), _separator("ID TIME  DV")
        (',', ';', '\\s+')
    """
    for separator in (",", ";", "\t"):
        if separator in heading:
            return separator
    return r"\s+"


def _parquet(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        if table.metadata.num_rows > 20_000_000 or table.metadata.num_columns > 2000:
            raise InputError(f"{file}: {table.metadata.num_rows:,} rows are too many")
        return table.read().to_pandas()
    except (pa.ArrowException, ValueError, OSError, TypeError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: not a table in Parquet: {error!s:.200}") from error
