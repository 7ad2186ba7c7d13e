"""Finished blocks of a run on disk: one Parquet file each, whole or not there at all.

What a block holds is decided by who writes it. The runs for published chances of cure are kept beside the blocks, as
counts in one JSON file. A folder belongs to one configuration.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, LivingDrugError
from livingdrug.storage import write_atomically
from livingdrug.trials.columns import undamaged

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AS_PARQUET", "Store"]

CURES = "published-cures.json"
AS_PARQUET: Mapping[str, Any] = {"compression": "zstd", "write_page_checksum": True}  # so that damage is told
T = TypeVar("T")


@dataclass(frozen=True)
class Store:
    """The folder of a run's finished blocks, and the hash of the run's configuration."""

    folder: Path
    hash: str

    @classmethod
    def open(cls, folder: str | Path, configuration: Mapping[str, Any], block: int) -> Store:
        """Make the folder, or check that what lies there belongs to the same run.

        Raises:
            InputError: the folder cannot be used, or holds another run.
        """
        blocks = Path(folder) / "blocks"
        label = blocks / "run.json"
        mine = {"hash": configuration["hash"], "block": block, **_shown(configuration)}
        try:
            blocks.mkdir(parents=True, exist_ok=True)
            if not label.exists():
                write_atomically(label, json.dumps(mine, indent=2))
            theirs = json.loads(label.read_bytes())
        except OSError as error:
            raise InputError(f"{folder}: the folder cannot be used for a run: {error.strerror or error}") from error
        except ValueError as error:
            raise InputError(f"{label}: not the label of a run; choose another folder or remove it") from error
        if theirs != mine:
            other = _difference(theirs, mine)
            raise InputError(f"{folder}: this folder holds another run ({other}); choose another folder, or remove it")
        return cls(blocks, str(configuration["hash"]))

    def path(self, ids: NDArray[np.uint64]) -> Path:
        """Return the file of the patients from the first to the last identifier."""
        return self.folder / f"patients-{int(ids[0]):010d}-{int(ids[-1]):010d}.parquet"

    def write(self, ids: NDArray[np.uint64], table: pa.Table) -> None:
        """Write a block, whole or not at all; LivingDrugError when the disk refuses."""
        import pyarrow.parquet as pq

        content = io.BytesIO()
        pq.write_table(table, content, **AS_PARQUET)
        try:
            write_atomically(self.path(ids), content.getvalue())
        except LivingDrugError as error:
            raise LivingDrugError(f"patients {ids[0]} to {ids[-1]}: {error}; finished blocks are kept") from error

    def read(self, ids: NDArray[np.uint64], understand: Callable[[pa.Table], T], whose: Callable[[T], Any]) -> T | None:
        """Return a block that was written before, None if it was not; InputError if its file is damaged.

        Args:
            ids: its patients.
            understand: makes the block from its table.
            whose: the identifiers of its patients.
        """
        import pyarrow.parquet as pq

        path = self.path(ids)
        if not path.exists():
            return None
        block = undamaged(path, lambda: understand(pq.read_table(path, page_checksum_verification=True)))
        if not np.array_equal(whose(block), ids):
            raise InputError(f"{path}: the file holds other patients than its name says; remove it and run again")
        return block

    def write_cures(self, counts: Sequence[tuple[int, int]]) -> None:
        """Write (cured, solved) of each published chance of cure, whole or not at all."""
        write_atomically(self.folder / CURES, json.dumps({"hash": self.hash, "counts": counts}))

    def read_cures(self, lines: int) -> list[tuple[int, int]] | None:
        """Return what was written before, None if nothing was; InputError if the file is damaged or of another run."""
        path = self.folder / CURES
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_bytes())
            counts = [(int(cured), int(solved)) for cured, solved in found["counts"]]
            mine = found["hash"] == self.hash
            if len(counts) != lines or not all(0 <= cured <= solved for cured, solved in counts):
                raise ValueError(f"{lines} pairs of cured and solved runs are expected")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: the file is damaged ({error!s:.100}); remove it and run again") from error
        if not mine:
            raise InputError(f"{path}: the file belongs to another run; remove it and run again")
        return counts


def _shown(configuration: Mapping[str, Any]) -> dict[str, Any]:
    trial = configuration["trial"]
    name = trial["name"] if isinstance(trial, Mapping) else str(trial)
    return {"trial": name, **{key: configuration[key] for key in ("patients", "seed", "model")}}


def _difference(theirs: Any, mine: Mapping[str, Any]) -> str:
    if not isinstance(theirs, dict):
        return "its label cannot be read"
    for key in ("trial", "patients", "seed", "model", "block"):
        if theirs.get(key) != mine[key]:
            return f"{key} {theirs.get(key)!r:.60} there, {mine[key]!r:.60} asked"
    return "the design of the trial or the model has changed"
