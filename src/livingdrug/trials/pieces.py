"""Finished pieces of a calibration in a folder, so that a run that was killed goes on where it stopped."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.storage import write_atomically

__all__ = ["Pieces", "digest"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pieces:
    """Finished pieces on disk; each says by the hash of its parameters to what it belongs."""

    folder: Path

    @classmethod
    def open(cls, folder: str | Path, about: Mapping[str, Any]) -> Pieces:
        """Return the pieces of a folder that belongs to one calibration, told by what is said ``about`` it.

        Raises:
            InputError: the folder belongs to another calibration or to other declared numbers, or cannot be used.
        """
        path = Path(folder)
        whole = json.dumps({**about, "declared": _declared_numbers()}, sort_keys=True)
        label = path / "calibration.json"
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not label.exists():
                write_atomically(label, whole)
            same = json.loads(label.read_bytes()) == json.loads(whole)
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: the folder cannot be used for a calibration: {error}") from error
        if not same:
            raise InputError(f"{folder}: this folder holds another calibration; choose another folder, or remove it")
        return cls(path)

    def read(self, name: str, theta: Array) -> tuple[Array, Array] | None:
        """Return a finished piece; None if there is none with these parameters, or its file is damaged."""
        try:
            content = io.BytesIO((self.folder / f"{name}.npz").read_bytes())
            with np.load(content, allow_pickle=False) as file:
                if str(file["hash"]) == digest(theta):
                    return file["predicted"], file["correlation"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return None

    def write(self, name: str, theta: Array, piece: tuple[Array, Array]) -> None:
        """Keep a finished piece: predictions and the correlation of their chance."""
        content = io.BytesIO()
        np.savez_compressed(content, hash=digest(theta), predicted=piece[0], correlation=piece[1])
        write_atomically(self.folder / f"{name}.npz", content.getvalue())


def _declared_numbers() -> str:
    """Return a hash of every declared number of the package: targets, trials, patients, rules of the clinic."""
    folder = Path(__file__).parents[1]
    every = sorted(folder.rglob("*.toml"), key=lambda path: path.relative_to(folder).as_posix())
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in every)).hexdigest()


def digest(theta: Array) -> str:
    """Return the hash of parameters, as text."""
    return hashlib.sha256(np.ascontiguousarray(theta).tobytes()).hexdigest()
