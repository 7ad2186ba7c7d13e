"""Supportive care: what low counts, infections and hyperinflammation call for; rules as data. Not for clinical use.

The lines stand in ``rules/management_support.toml`` with their source. ``support`` looks at one moment of a cohort;
what must be counted over days (days with few neutrophils, days on G-CSF) is an input.

Example:
    >>> found = support({"platelets": [8, 60], "haemoglobin": [9.0, 6.5]}, day=12)
    >>> found["platelet_transfusion"].tolist(), found["red_cell_transfusion"].tolist()
    ([True, False], [False, True])
"""

from __future__ import annotations

import operator
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.clinic.management_rules import NOTE
from livingdrug.errors import DeclarationError, InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Support", "SupportLine", "support", "support_actions", "support_inputs", "support_lines"]

Flags = NDArray[np.bool_]
FILE = Path(__file__).with_name("rules") / "management_support.toml"
COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True)
class SupportLine:
    """One line: under these conditions, this action; ``amount`` and ``per_kg`` are 0 where the source gives no dose."""

    id: str
    action: str
    when: tuple[tuple[str, str, float], ...]
    strength: str
    text: str
    unit: str
    source: str
    mark: str
    place: str = ""
    assumed: str = ""
    amount: float = 0.0
    per_kg: float = 0.0


@lru_cache(maxsize=1)
def _file() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def support_lines() -> tuple[SupportLine, ...]:
    """Return all lines."""
    return tuple(
        SupportLine(id=name, **table | {"when": tuple(_condition(name, text) for text in table["when"])})
        for name, table in _file()["lines"].items()
    )


def _condition(line: str, text: str) -> tuple[str, str, float]:
    name, relation, number = text.split()
    if name not in _file()["inputs"]:
        raise DeclarationError(unknown_name("input of supportive care", name, _file()["inputs"], place=line))
    if relation not in COMPARE:
        raise DeclarationError(unknown_name("comparison", relation, COMPARE, place=line))
    return name, relation, float(number)


def support_inputs() -> dict[str, str]:
    """Return what the lines ask for: name -> meaning with its unit."""
    return {name: f"{about['meaning']} [{about['unit']}]" for name, about in _file()["inputs"].items()}


def support_actions() -> tuple[str, ...]:
    """Return the names of all actions, such as ``g_csf`` and ``platelet_transfusion``."""
    return tuple(dict.fromkeys(line.action for line in support_lines()))


@dataclass(frozen=True, eq=False)
class Support:
    """What supportive care calls for at one moment; arrays of shape (patient, line), lines as in ``support_lines``.

    Attributes:
        day: days since the infusion.
        applies: the line is carried out.
        unknown: the line may apply, but something it asks for is not known; it is not carried out.
        amount: dose in the line's unit, 0 where nothing is given or the source has no dose.
    """

    day: float
    applies: Flags
    unknown: Flags
    amount: NDArray[np.float64]

    def __getitem__(self, action: str) -> Flags:
        """Return who gets an action, shape (patient,); an unknown action is an InputError."""
        if action not in support_actions():
            raise InputError(unknown_name("action of supportive care", action, support_actions()))
        places = [place for place, line in enumerate(support_lines()) if line.action == action]
        return np.logical_or.reduce(self.applies[:, places], axis=1)

    def to_frame(self, patients: Sequence[Any] | None = None) -> pd.DataFrame:
        """Return a line per recommendation, also of those that hang on something unknown, with its source."""
        import pandas as pd

        columns = ["patient", "day", "line", "action", "amount", "unit", "known", "strength", "text", "source", "place"]
        rows = []
        for row, place in np.argwhere(self.applies | self.unknown):
            line = support_lines()[place]
            who = row if patients is None else patients[row]
            what = (line.id, line.action, self.amount[row, place], line.unit, bool(self.applies[row, place]))
            why = (line.strength, line.text, line.source, line.place, line.mark, line.assumed, NOTE)
            rows.append((who, self.day, *what, *why))
        return pd.DataFrame(rows, columns=[*columns, "mark", "assumed", "note"])


def support(chart: Mapping[str, ArrayLike], day: float, weight: ArrayLike = 75.0, *, optional: bool = False) -> Support:
    """Return what supportive care calls for.

    Args:
        chart: inputs of ``support_inputs`` -> values of shape (patient,) or one number; NaN, or an input that is left
            out, is not known.
        day: days since the infusion.
        weight: body weight in kg, one number or one per patient.
        optional: also carry out lines that the source only asks to consider.

    Raises:
        InputError: an unknown input, lengths that differ, or a day or weight that is not possible.
    """
    inputs = support_inputs()
    for name in chart:
        if name not in inputs or name == "day":
            raise InputError(unknown_name("input of supportive care", name, [key for key in inputs if key != "day"]))
    columns = [np.atleast_1d(np.asarray(value, np.float64)) for value in (*chart.values(), weight)]
    try:
        *values, kilograms = np.broadcast_arrays(*columns)
    except ValueError as error:
        sizes = ", ".join(f"{name} {column.size}" for name, column in zip((*chart, "weight"), columns, strict=True))
        raise InputError(f"supportive care needs one value per patient in every input, got {sizes}") from error
    if not (np.isfinite(day) and (kilograms > 0).all() and np.isfinite(kilograms).all()):
        raise InputError(f"day must be finite and weights positive, got day {day!r:.40} and {kilograms.min():g} kg")
    known = dict(zip(chart, values, strict=True)) | {"day": np.full(kilograms.shape, float(day))}
    judged = [_judge(line, known, kilograms.shape, optional) for line in support_lines()]
    applies, unknown = (np.stack(part, axis=1) for part in zip(*judged, strict=True))
    dose = np.stack([line.amount + line.per_kg * kilograms for line in support_lines()], axis=1)
    return Support(float(day), applies, unknown, np.where(applies, dose, 0.0))


def _judge(
    line: SupportLine, known: Mapping[str, NDArray[np.float64]], shape: tuple[int, ...], optional: bool
) -> tuple[Flags, Flags]:
    """Return where a line applies, and where it hangs on what is not known."""
    holds, fails = np.full(shape, True), np.full(shape, line.strength == "consider" and not optional)
    for name, relation, limit in line.when:
        value = known.get(name, np.full(shape, np.nan))
        met, open_ = COMPARE[relation](value, limit), np.isnan(value)
        holds &= met
        fails |= ~met & ~open_
    return holds & ~fails, ~holds & ~fails
