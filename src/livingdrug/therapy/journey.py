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

from livingdrug.patients import Patients
from livingdrug.therapy.collection import CollectionPlan, collect
from livingdrug.therapy.conditioning import ConditionedPatients, ConditioningPlan, condition
from livingdrug.therapy.declared import Declared, declare, read_toml
from livingdrug.therapy.engineering import EngineeringPlan, engineer
from livingdrug.therapy.infusion import USUAL_DAYS, Course, InfusionPlan, infuse
from livingdrug.therapy.multiplication import MultiplicationPlan, multiply
from livingdrug.therapy.release import Dose, ReleasePlan, release
from livingdrug.therapy.waiting import WaitingPlan, wait

__all__ = ["Journey"]


class Journey(Declared):
    """The plans of all stages; each has published or marked defaults except the infusion, which names its model."""

    collection: CollectionPlan = CollectionPlan()
    engineering: EngineeringPlan = EngineeringPlan()
    multiplication: MultiplicationPlan = MultiplicationPlan()
    release: ReleasePlan = ReleasePlan()
    waiting: WaitingPlan = WaitingPlan()
    conditioning: ConditioningPlan = ConditioningPlan()
    infusion: InfusionPlan

    @classmethod
    def from_toml(cls, path: str | Path) -> Journey:
        """Read a journey from a TOML file; InputError names the key, the nearest allowed ones and the file."""
        return declare(cls, read_toml(path), str(path))

    def prepare(self, patients: Patients, *, seed: int = 0) -> tuple[Dose, ConditionedPatients]:
        """Return the doses and the conditioned patients of those who reach the infusion; no model is solved.

        Args:
            patients: columns ``cd3_per_uL`` (1/uL) and ``weight_kg`` (kg), and those that the links name.
            seed: of the patients' random streams.
        """
        bag = collect(patients, self.collection, seed=seed)
        product = multiply(engineer(bag, self.engineering, seed=seed), self.multiplication, seed=seed)
        dose = wait(release(product, self.release, seed=seed), self.waiting, seed=seed)
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
    ) -> Course:
        """Return the course of those who are infused, with the attrition of the others; arguments as for ``infuse``.

        Without ``times`` the course is given for a year.
        """
        dose, ready = self.prepare(patients, seed=seed)
        options = {"model": model, "outputs": outputs, "crossings": crossings, "extremes": extremes, "threads": threads}
        return infuse(dose, ready, self.infusion, times=times, seed=seed, **options)
