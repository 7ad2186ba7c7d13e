"""The calibrated ensemble: parameter sets that agree with the calibration trials, in one small file of the package.

A file is text: lines of provenance that begin with ``#``, then one line per member with its free parameters on their
natural scale. Newer ensembles are added beside older ones; the newest is the default.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.population.free import checked_settings
from livingdrug.storage import write_atomically

__all__ = ["Ensemble", "ensemble_names", "load_ensemble", "parse_ensemble", "save_ensemble"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Parameter sets of a calibration.

    Attributes:
        name: date, and a letter if several were made on one day.
        settings: free parameter -> value of each member, shape (member,).
        trial_effects: ``trial/effect`` of the calibration trials -> logarithm of each member's, shape (member,).
        provenance: how it was made.
        hash: of its numbers.
    """

    name: str
    settings: Mapping[str, Array]
    provenance: Mapping[str, str]
    hash: str
    trial_effects: Mapping[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.settings.values())))

    def __repr__(self) -> str:
        return f"<Ensemble {self.name}: {len(self)} sets of {len(self.settings)} parameters>"

    def member(self, number: int) -> dict[str, float]:
        """Return the settings of one member."""
        return {name: float(values[number]) for name, values in self.settings.items()}

    def middle(self) -> dict[str, float]:
        """Return the median of each parameter."""
        return {name: float(np.median(values)) for name, values in self.settings.items()}


def ensemble_names() -> tuple[str, ...]:
    """Return the ensembles that are shipped, oldest first."""
    folder = resources.files("livingdrug.trials") / "ensembles"
    if not folder.is_dir():
        return ()
    return tuple(sorted(each.name.removesuffix(".csv") for each in folder.iterdir() if each.name.endswith(".csv")))


@lru_cache(maxsize=4)
def load_ensemble(name: str = "") -> Ensemble:
    """Return an ensemble by its name, or the newest.

    Raises:
        InputError: there is none of that name, or its file was changed.
    """
    known = ensemble_names()
    if not known:
        raise InputError("no ensemble is shipped with this version; make one with: livingdrug calibrate FOLDER")
    chosen = name or known[-1]
    if chosen not in known:
        raise InputError(unknown_name("ensemble", chosen, known))
    text = (resources.files("livingdrug.trials") / "ensembles" / f"{chosen}.csv").read_text(encoding="utf-8")
    return parse_ensemble(chosen, text)


def parse_ensemble(name: str, text: str) -> Ensemble:
    """Return the ensemble of a file's text; InputError if it is none, or its numbers do not have their hash."""
    head = [line for line in text.splitlines() if line.startswith("#")]
    provenance = {}
    for line in head:
        key, _, value = line[1:].partition(":")
        provenance[key.strip()] = value.strip()
    body = text[sum(len(line) + 1 for line in head) :]
    stated, found = provenance.pop("sha256", ""), hashlib.sha256(body.encode()).hexdigest()
    if stated != found:
        raise InputError(f"ensemble {name}: its numbers do not have the hash that stands above them")
    columns, _, rest = body.partition("\n")
    try:
        table = np.loadtxt(io.StringIO(rest), delimiter=",", ndmin=2)
    except ValueError as error:
        raise InputError(f"ensemble {name}: not a table of numbers: {error}") from error
    names = columns.split(",")
    if table.shape[1] != len(names) or not len(table):
        raise InputError(f"ensemble {name}: {len(names)} names stand above {table.shape[1]} columns")
    values = {column: table[:, k] for k, column in enumerate(names)}
    settings = {column: numbers for column, numbers in values.items() if "/" not in column}
    effects = {column: numbers for column, numbers in values.items() if "/" in column}
    checked_settings(settings)
    return Ensemble(name, MappingProxyType(settings), MappingProxyType(provenance), found, MappingProxyType(effects))


def save_ensemble(
    settings: Mapping[str, Array],
    provenance: Mapping[str, str],
    path: str | Path,
    trial_effects: Mapping[str, Array] | None = None,
) -> Path:
    """Write an ensemble as a new file; InputError where one exists."""
    target = Path(path)
    if target.exists():
        raise InputError(f"{target}: an ensemble is never written over; choose another name beside it")
    columns = {**settings, **(trial_effects or {})}
    rows = np.column_stack(list(columns.values()))
    lines = [",".join(f"{value:.6g}" for value in row) for row in rows]
    body = "\n".join([",".join(columns), *lines]) + "\n"
    head = [f"# {key}: {' '.join(str(value).split())}" for key, value in provenance.items()]
    head.append(f"# sha256: {hashlib.sha256(body.encode()).hexdigest()}")
    write_atomically(target, "\n".join(head) + "\n" + body)
    return target
