"""Findings: what some rules need beside the grades, counted from round to round. Not for clinical use.

Example:
    >>> log = FeverLog.fresh(2)
    >>> log = log.after(1.0, [38.6, 37.0]).after(1.5, [39.0, 38.5])
    >>> {name: values.tolist() for name, values in log.findings().items()}
    {'high_fevers_in_24_h': [2.0, 1.0], 'high_fevers': [2.0, 1.0]}
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError

__all__ = ["HIGH_FEVER", "FeverLog"]

HIGH_FEVER = 38.5  # degC; kadauke2021 (abstract of the meeting of 2020), neurotoxicityreview2023 table 1
A_LITTLE = 1e-6  # day


@dataclass(frozen=True, eq=False)
class FeverLog:
    """How many high temperatures each patient had; a round without a temperature (NaN) counts as none.

    Attributes:
        time: day of the last round.
        times: days of the rounds of the last 24 h, shape (round,).
        high: whether the temperature was high then, shape (patient, round).
        total: high temperatures since the infusion, shape (patient,).
    """

    time: float
    times: NDArray[np.float64]
    high: NDArray[np.bool_]
    total: NDArray[np.float64]

    @classmethod
    def fresh(cls, patients: int) -> FeverLog:
        """Return the log of so many patients before their first round."""
        return cls(-np.inf, np.empty(0), np.empty((patients, 0), bool), np.zeros(patients))

    def after(self, time: float, temperature: ArrayLike) -> FeverLog:
        """Return the log after one more round.

        Args:
            time: days since the infusion, later than the round before; earlier than the infusion counts for nothing.
            temperature: degC, shape (patient,); NaN where it was not measured.

        Raises:
            InputError: a time that is not later, or another number of patients.
        """
        values = np.asarray(temperature, np.float64)
        if not time > self.time:
            raise InputError(f"a round must be later than the one before (day {self.time:g}), got day {time:g}")
        if values.shape != self.total.shape:
            raise InputError(f"needs one temperature for each of {self.total.size} patients, got {values.shape}")
        now = (values >= HIGH_FEVER) & (time >= 0)
        kept = self.times > time - 1.0 + A_LITTLE
        times = np.append(self.times[kept], time)
        return FeverLog(time, times, np.column_stack([self.high[:, kept], now]), self.total + now)

    def findings(self) -> dict[str, NDArray[np.float64]]:
        """Return ``high_fevers_in_24_h`` and ``high_fevers``, as ``decide`` takes them."""
        return {"high_fevers_in_24_h": self.high.sum(axis=1).astype(np.float64), "high_fevers": self.total}
