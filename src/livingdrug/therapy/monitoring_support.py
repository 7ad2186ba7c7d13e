"""Supportive care at rounds: G-CSF and transfusions, as the lines of ``clinic.management_support`` ask for them.

Off unless asked for. Counts are those that the ward measures; what is given enters the body at the round, each action
at most once a day (assumed). Not for clinical use.

Example:
    Neutrophils below 500 for a week: from the eighth such day on there is G-CSF, 5 ug/kg, once a day.

    >>> care = Supportive(["g_csf"], weight_kg=np.array([70.0]), rounds=9)
    >>> for day in range(9):
    ...     given = care.decide(day, {"anc": [200.0], "platelets": [90.0], "haemoglobin": [9.0]})
    >>> given["g_csf"].tolist(), care.low_days.tolist()
    ([5.0], [9.0])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.body.treatment import platelets, red_cells
from livingdrug.clinic.management_support import support, support_lines
from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    from livingdrug.engine.rounds import Round

__all__ = ["ACTIONS", "Supportive"]

Array = NDArray[np.float64]

ACTIONS = {"g_csf": "growth_factor", "platelet_transfusion": "platelets", "red_cell_transfusion": "haemoglobin"}
"""Action that the body answers to -> the state that it raises."""
ITEMS = ("anc", "platelets", "haemoglobin")
ONCE_A_DAY = 1.0 - 1e-6  # day
FEW_NEUTROPHILS = 500.0  # cell/uL: the limit of the lines on G-CSF


class Supportive:
    """Supportive care of a cohort from round to round.

    Lines that a source only asks to consider are carried out as well: who switches an action on wants it. Lines that
    need what the ward does not know (such as the CAR-HEMATOTOX score) are not.

    Args:
        actions: of ``ACTIONS``; none: nothing is ever given.
        weight_kg: body weight, shape (patient,).
        rounds: how many rounds there will be.

    Attributes:
        given: action -> amount at each round, ug/kg of G-CSF or units of blood, shape (round, patient).
        low_days: days since the infusion on which neutrophils were below 500, shape (patient,).

    Raises:
        InputError: an unknown action.
    """

    def __init__(self, actions: Sequence[str], weight_kg: Array, rounds: int) -> None:
        for name in actions:
            if name not in ACTIONS:
                raise InputError(unknown_name("action that the body answers to", name, ACTIONS))
        count = weight_kg.size
        self.weight = weight_kg
        self.items = ITEMS if actions else ()
        self.given = {name: np.zeros((rounds, count), np.float32) for name in dict.fromkeys(actions)}
        self.low_days, self.low_last = np.zeros(count), np.full(count, -1.0)
        self.last = {name: np.full(count, -np.inf) for name in self.given}

    def visit(self, at: Round, seen: Mapping[str, Array]) -> None:
        """Give at a round what its counts ask for; before the infusion nothing."""
        if not self.given or at.time < 0:
            return
        for name, amount in self.decide(at.time, seen).items():
            amount = np.where(at.running, amount, 0.0)
            self.given[name][at.number] = amount
            if amount.any():
                at[ACTIONS[name]] = at[ACTIONS[name]] + amount * _raises(name)

    def decide(self, day: float, seen: Mapping[str, ArrayLike]) -> dict[str, Array]:
        """Return action -> amount now, ug/kg or units, shape (patient,).

        Args:
            day: since the infusion.
            seen: ``anc`` (cell/uL), ``platelets`` (1e9/L), ``haemoglobin`` (g/dL), shape (patient,).
        """
        counts = {name: np.asarray(seen[name], np.float64) for name in ITEMS}
        new = (counts["anc"] < FEW_NEUTROPHILS) & (np.floor(day) > self.low_last)
        self.low_days, self.low_last = self.low_days + new, np.where(new, np.floor(day), self.low_last)
        found = support({**counts, "days_anc_below_500": self.low_days}, day, self.weight, optional=True)
        amounts = {}
        for name, last in self.last.items():
            places = [place for place, line in enumerate(support_lines()) if line.action == name]
            amount = found.amount[:, places].max(axis=1) / (self.weight if name == "g_csf" else 1.0)
            amounts[name] = np.where(day - last >= ONCE_A_DAY, amount, 0.0)
            self.last[name] = np.where(amounts[name] > 0, day, last)
        return amounts


def _raises(action: str) -> float:
    """Return by how much one unit raises the state of the body."""
    if action == "g_csf":
        return 1.0
    dose = (platelets if action == "platelet_transfusion" else red_cells)(1.0, day=0.0)[0]
    return float(np.asarray(dose.amount))
