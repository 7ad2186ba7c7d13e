"""Columns of outcomes that are not held in memory: those of a table on disk, and those of some of its patients.

Both are mappings of names to arrays, so whoever asks for a column does not see where it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ChosenColumns", "StoredColumns", "column_of", "undamaged"]

KEPT = 32 * 2**20  # bytes of columns that stay in memory: numbers that share columns do not read them again
KINDS: Mapping[str, Any] = {"text": np.str_, "yes/no": np.bool_}
T = TypeVar("T")


def column_of(column: pa.ChunkedArray, unit: str) -> NDArray[Any]:
    """Return a column of an Arrow table as an array, shape (patient,); ValueError if it holds something else."""
    if unit != "text":
        return np.asarray(column.to_numpy(), KINDS.get(unit, np.float64))
    numbered = column.dictionary_encode().unify_dictionaries()
    names = numbered.chunk(0).dictionary.to_pylist() if numbered.num_chunks else []
    places = [chunk.indices.to_numpy() for chunk in numbered.chunks]
    return np.array([*names, ""], np.str_)[np.concatenate([np.zeros(0, np.intp), *places])]


def undamaged(path: Path, read: Callable[[], T]) -> T:
    """Return what is read from a Parquet file; whatever is wrong with the file is an InputError that names it."""
    import pyarrow as pa

    try:
        return read()
    except FileNotFoundError as error:
        raise InputError(f"{path}: the file has gone; run again") from error
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path}: the file is damaged ({error!s:.100}); remove it and run again") from error


class _Listed(Mapping[str, NDArray[Any]]):
    """Columns whose names are known without reading any; ``names`` holds them."""

    names: Mapping[str, Any]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class StoredColumns(_Listed):
    """The columns of a table of patients on disk: each is read when it is asked for, and the latest stay in memory."""

    def __init__(self, path: Path, units: Mapping[str, str], layout: Any) -> None:
        self.path, self.names = path, units
        self._layout = layout  # of the file, as PyArrow has it; read once
        self._kept: dict[str, pa.ChunkedArray] = {}  # the latest last; smaller than as arrays

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column, shape (patient,); InputError if the file is damaged."""
        found = self._kept.pop(name, None)
        self._kept[name] = found = self._read(name) if found is None else found
        while len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > KEPT:
            del self._kept[next(iter(self._kept))]
        return undamaged(self.path, lambda: column_of(found, self.names[name]))

    def _read(self, name: str) -> pa.ChunkedArray:
        import pyarrow.parquet as pq

        if name not in self.names:
            raise KeyError(name)

        def column() -> pa.ChunkedArray:
            with pq.ParquetFile(self.path, metadata=self._layout, page_checksum_verification=True) as file:
                return file.read([name], use_threads=False)[name]

        return undamaged(self.path, column)


class ChosenColumns(_Listed):
    """The columns of some patients of a table, in a given order; nothing is copied until a column is asked for."""

    def __init__(self, columns: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> None:
        if isinstance(columns, ChosenColumns):  # one step, however often some are chosen of some
            columns, rows = columns.columns, columns.rows[rows]
        self.columns = self.names = columns
        self.rows = rows

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column, shape (patient,)."""
        return self.columns[name][self.rows]
