"""A fit that can be stopped and taken up again: its state in one file, written whole or not at all."""

from __future__ import annotations

import copy
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from livingdrug.errors import InputError
from livingdrug.inference.problem import Problem
from livingdrug.storage import write_atomically

__all__ = ["Checkpoint"]


LAYOUT = 3
"""Of the stored state; a file with another one is refused, as it holds not what a fit needs to go on."""


class Checkpoint:
    """One file for one fit; a file of another model, data set or setting is refused."""

    def __init__(self, path: str | Path | None, problem: Problem, words: str) -> None:
        self.path = None if path is None else Path(path)
        self.key = _fingerprint(problem, words)

    def numbered(self, number: int) -> Checkpoint:
        """The file of another start of the same fit: the first has the given name, the next ones end in a number."""
        other = copy.copy(self)
        if number and self.path is not None:
            other.path = self.path.with_name(f"{self.path.stem}-{number + 1}{self.path.suffix}")
        return other

    def write(self, state: dict[str, Any]) -> None:
        """Store a state of arrays, and of words and numbers."""
        if self.path is None:
            return
        arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
        rest = {name: value for name, value in state.items() if name not in arrays}
        buffer = io.BytesIO()
        note = json.dumps({"key": self.key, **rest}, default=_plain)
        np.savez(buffer, allow_pickle=False, note=np.array(note), **arrays)
        write_atomically(self.path, buffer.getvalue())

    def read(self) -> dict[str, Any] | None:
        """Return the stored state, or None where there is none.

        Raises:
            InputError: the file is damaged, or belongs to another fit.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                found: dict[str, Any] = {name: file[name] for name in file.files}
            note = json.loads(str(found.pop("note")))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(f"{self.path}: cannot be read as the checkpoint of a fit: {error}") from error
        if note.pop("key", None) != self.key:
            raise InputError(
                f"{self.path}: belongs to another model, data set, setting or version of livingdrug; choose another "
                "file or delete this one"
            )
        return {**found, **note}


def _plain(value: Any) -> Any:
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"cannot store {type(value).__name__}")


def _fingerprint(problem: Problem, words: str) -> str:
    digest = hashlib.sha256(f"layout {LAYOUT}: {words}".encode())
    model, rows = problem.model, problem.rows
    digest.update(repr([model.structure.name, model.estimates, model.ends, model.blocks(), problem.names]).encode())
    doses = rows.doses
    for part in (problem.theta, rows.subject, rows.time, rows.endpoint, rows.value, rows.low, rows.high, rows.above,
                 problem.design, doses.subject, doses.time, doses.amount):  # fmt: skip
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
