"""Journey: the whole chain from vein to vein as one value, in Python or TOML.

Example:
    >>> from livingdrug.patients import Patients
    >>> cohort = Patients(
    ...     [1, 2], {"cd3_per_uL": [800, 500], "weight_kg": [70, 90]}, {"cd3_per_uL": "1/uL", "weight_kg": "kg"}
    ... )
    >>> journey = Journey(infusion={"model": "kimmel2021"})
    >>> dose, ready = journey.prepare(cohort, seed=1)
    >>> dose.cells.tolist()
    [140000000.0, 180000000.0]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from livingdrug.declared import declare, read_toml
from livingdrug.patients import Patients
from livingdrug.therapy.bad_rows import OnBadRow
from livingdrug.therapy.conditioning import ConditionedPatients, ConditioningPlan, condition
from livingdrug.therapy.infusion import USUAL_DAYS, Course, InfusionPlan, infuse
from livingdrug.therapy.processes import Making
from livingdrug.therapy.release import Dose

__all__ = ["Journey"]


class Journey(Making):
    """The plans of all stages; each has published or marked defaults except the infusion, which names its model.

    With ``process`` (a built-in name such as ``"two_day"``) what is not stated is that of the process.
    """

    conditioning: ConditioningPlan = ConditioningPlan()
    infusion: InfusionPlan

    @classmethod
    def from_toml(cls, path: str | Path) -> Journey:
        """Read a journey from a TOML file; InputError names the key, the nearest allowed ones and the file."""
        return declare(cls, read_toml(path), str(path))

    def prepare(
        self, patients: Patients, *, seed: int = 0, on_bad_row: OnBadRow = "raise", threads: int | None = None
    ) -> tuple[Dose, ConditionedPatients]:
        """Return the doses and the conditioned patients of those who reach the infusion; no course is solved.

        Args:
            patients: columns ``cd3_per_uL`` (1/uL) and ``weight_kg`` (kg), and those that the links name.
            seed: of the patients' random streams.
            on_bad_row: refuse impossible values, or let those patients leave with the reason (``"mark"``).
            threads: of the culture's solver; the results do not depend on it.
        """
        dose = self.stages(patients, seed=seed, on_bad_row=on_bad_row, threads=threads)["wait"]
        assert isinstance(dose, Dose)
        return dose, condition(dose.patients, self.conditioning, seed=seed)

    def run(
        self,
        patients: Patients,
        seed: int = 0,
        *,
        times: ArrayLike = USUAL_DAYS,
        model: Any = None,
        outputs: Sequence[str] | None = None,
        crossings: Callable[[Patients], Mapping[str, Any]] | None = None,
        extremes: Mapping[str, Any] | None = None,
        threads: int | None = None,
        on_bad_row: OnBadRow = "raise",
    ) -> Course:
        """Return the course of those who are infused, with the attrition of the others; arguments as for ``infuse``.

        ``on_bad_row`` is that of ``prepare``. Without ``times`` the course is given for a year.
        """
        dose, ready = self.prepare(patients, seed=seed, on_bad_row=on_bad_row, threads=threads)
        options = {"model": model, "outputs": outputs, "crossings": crossings, "extremes": extremes, "threads": threads}
        return infuse(dose, ready, self.infusion, times=times, seed=seed, **options)
