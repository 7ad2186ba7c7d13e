"""Monitoring: rounds of a ward that observe, grade and treat the twin's body, and then let it go on.

At each round the body's states become what a ward would measure; the same code that grades real charts grades them;
the rule of management decides, and what it gives enters the body before the solve goes on. Patients are told apart by
their own random streams, so the same patient under another rule or dose has the same luck, and the difference is the
cause.

Left out: death of side effects, transfer between wards, rounds that are missed, drugs for infections and low counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.body.signs import UNITS, Ward, read_body
from livingdrug.clinic.grading import begin_rounds, grade_round
from livingdrug.clinic.management import CohortGrades, TreatmentState, decide
from livingdrug.clinic.management_rules import CLASSES, Rule, management_rule
from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.engine.rounds import Round
    from livingdrug.engine.schedule import Dose
    from livingdrug.engine.solution import Solution

__all__ = ["Monitored", "monitor", "usual_rounds"]

Array = NDArray[np.float64]

SCALES = ("astct-crs", "astct-icans")
START = -6.0
"""Day on which the solve begins, before lymphodepletion."""
KEPT = ("temperature", "systolic_pressure", "spo2", "ice_score", "il6")
RECENTLY = {"tocilizumab": 1.0, "steroid": 1.0, "anakinra": 1.0}


def usual_rounds(dense_days: float = 14.0, days: float = 28.0) -> tuple[float, ...]:
    """Return the days of the rounds: every eight hours at first, then once a day.

    Example:
        >>> rounds = usual_rounds(2, 4)
        >>> [round(day, 2) for day in rounds]
        [0.33, 0.67, 1.0, 1.33, 1.67, 2.0, 3.0, 4.0]
    """
    if not 0 <= dense_days <= days:
        raise InputError(f"rounds every eight hours for {dense_days:g} days do not fit into {days:g} days of rounds")
    dense = np.arange(1, round(3 * dense_days) + 1) / 3.0
    daily = np.arange(np.floor(dense_days) + 1, days + 1)
    return tuple(float(day) for day in (*dense, *daily))


@dataclass(frozen=True, eq=False, repr=False)
class Monitored:
    """What happened to a cohort under a rule.

    Attributes:
        patient_ids: shape (patient,).
        rounds: days of the rounds, shape (round,).
        grades: scale -> grade at each round, shape (patient, round), the lowest that agrees with what was seen.
        given: milligrams of each class given at each round, shape (patient, round, class); classes in ``classes``.
        signs: item -> value at each round, shape (patient, round), for the items that were kept.
        solution: the engine's courses.
        rule: name of the rule of management.
    """

    patient_ids: NDArray[np.uint64]
    rounds: Array
    grades: Mapping[str, NDArray[np.int8]]
    given: NDArray[np.float32]
    signs: Mapping[str, NDArray[np.float32]]
    solution: Solution
    rule: str
    classes: tuple[str, ...] = CLASSES

    def __repr__(self) -> str:
        return f"<Monitored: {self.patient_ids.size} patients, {self.rounds.size} rounds, rule {self.rule}>"

    def episodes(self, scale: str = SCALES[0]) -> pd.DataFrame:
        """Return per patient the day of onset, the highest grade, its day and the day of resolution (NaN: none)."""
        import pandas as pd

        if scale not in self.grades:
            raise InputError(unknown_name("graded scale", scale, self.grades))
        grades = self.grades[scale]
        ill = grades > 0
        any_ill, days = ill.any(axis=1), self.rounds
        first, highest = ill.argmax(axis=1), grades.argmax(axis=1)
        last = ill.shape[1] - 1 - ill[:, ::-1].argmax(axis=1)
        over = any_ill & (last < days.size - 1)
        return pd.DataFrame(
            {
                "patient": self.patient_ids,
                "onset_day": np.where(any_ill, days[first], np.nan),
                "highest": grades.max(axis=1),
                "highest_day": np.where(any_ill, days[highest], np.nan),
                "resolution_day": np.where(over, days[np.minimum(last + 1, days.size - 1)], np.nan),
            }
        )

    def doses(self) -> pd.DataFrame:
        """Return every dose that the rule gave: patient, day, class, mg."""
        import pandas as pd

        rows, rounds, classes = np.nonzero(self.given)
        return pd.DataFrame(
            {
                "patient": self.patient_ids[rows],
                "day": self.rounds[rounds],
                "class": np.asarray(self.classes)[classes],
                "mg": self.given[rows, rounds, classes],
            }
        )


def monitor(
    parameters: Mapping[str, ArrayLike],
    doses: Sequence[Dose],
    times: ArrayLike,
    *,
    weight_kg: ArrayLike = 75.0,
    rule: str | Rule = "asco-2021",
    rounds: Sequence[float] | None = None,
    outputs: Sequence[str] | None = None,
    patient_ids: ArrayLike | None = None,
    keep: Sequence[str] = KEPT,
    seed: int = 0,
    noise: bool = True,
    **options: Any,
) -> Monitored:
    """Follow patients of the twin's body under a rule of management.

    Args:
        parameters: of the body, declared units, one number or one per patient; see ``body.variability``.
        doses: lymphodepletion and cells; see ``body.treatment``.
        times: days after infusion at which courses are kept, ascending; the solve begins six days before.
        weight_kg: body weight, one number or one per patient.
        rule: a rule of management or its name; ``"none"`` treats nobody.
        rounds: days of the rounds, ascending; by default :func:`usual_rounds`.
        outputs: outputs or states of the body to keep; by default all outputs.
        patient_ids: identifiers, shape (patient,); by default 0, 1, 2, ...
        keep: items of the signs to keep.
        seed: of the random streams.
        noise: False measures exactly.
        options: of the engine's ``solve``, such as ``rtol`` or ``threads``.

    Raises:
        InputError: an unknown name, a rule that needs findings which the body does not give, or days out of order.

    Example:
        >>> from livingdrug.body.diseases import PATIENTS
        >>> from livingdrug.body.treatment import cells, lymphodepletion
        >>> patient = PATIENTS["lbcl_cd28"]
        >>> given = [*lymphodepletion(patient.lymphodepletion), *cells(patient.dose_cells)]
        >>> found = monitor(patient.values(), given, [0, 7, 28], rounds=usual_rounds(3, 7), stochastic=False)
        >>> found.grades["astct-crs"].shape
        (1, 13)
    """
    from livingdrug.body.twin import TwinBody
    from livingdrug.engine.solve import solve

    chosen = management_rule(rule) if isinstance(rule, str) else rule
    if chosen.needs:
        raise InputError(f"rule {chosen.name!r} needs {', '.join(chosen.needs)}, which the body does not give")
    for item in keep:
        if item not in UNITS:
            raise InputError(unknown_name("item", item, UNITS))
    days = np.asarray(usual_rounds() if rounds is None else rounds, np.float64)
    sizes = [np.size(v) for v in (*parameters.values(), weight_kg) if np.ndim(v)]
    count = int(max([1, *sizes])) if patient_ids is None else int(np.size(patient_ids))
    ids = np.arange(count) if patient_ids is None else np.atleast_1d(np.asarray(patient_ids))
    ward = _Rounds(
        ids, chosen, np.broadcast_to(np.asarray(weight_kg, np.float64), (count,)), days.size, keep, seed, noise
    )
    asked = np.asarray(times, np.float64)
    solution = solve(
        TwinBody, parameters, np.concatenate([[START], asked]), outputs=outputs, doses=doses, rounds=days.tolist(),
        visit=ward.visit, patient_ids=ids, seed=seed, **options,
    )  # fmt: skip
    return Monitored(solution.patient_ids, days, ward.grades, ward.given, ward.signs, solution, chosen.name)


class _Rounds:
    """The ward's memory between rounds, and what it does at one."""

    def __init__(
        self, ids: NDArray[Any], rule: Rule, weight: Array, rounds: int, keep: Sequence[str], seed: int, noise: bool
    ) -> None:
        count = ids.size
        self.rule, self.weight = rule, weight
        self.ward = Ward(ids, seed=seed, noise=noise)
        self.course = begin_rounds(count)
        self.state = TreatmentState.untreated(count)
        wanted = [*SCALES, *(name for name in (rule.crs_scale, rule.icans_scale) if name not in ("", "any"))]
        self.scales = tuple(dict.fromkeys(wanted))
        self.grades = {name: np.zeros((count, rounds), np.int8) for name in self.scales}
        self.given = np.zeros((count, rounds, len(CLASSES)), np.float32)
        self.signs = {name: np.full((count, rounds), np.nan, np.float32) for name in keep}
        self.before = {name: np.zeros(count) for name in RECENTLY}

    def visit(self, at: Round) -> None:
        """Observe, grade, decide, treat."""
        seen = self.ward.measure(read_body(at), at.number)
        for name, values in self.signs.items():
            values[:, at.number] = np.where(at.running, seen[name], np.nan)
        graded, self.course = grade_round(self.scales, {**seen, **self.before}, at.time, self.course)
        for name in self.scales:
            self.grades[name][:, at.number] = np.where(at.running, graded[name].lowest, 0)
        crs, icans = (
            name if name in self.scales else usual
            for name, usual in zip((self.rule.crs_scale, self.rule.icans_scale), SCALES, strict=True)
        )
        grades = CohortGrades.of_round(graded, crs, icans)
        decision = decide(grades, self.state, at.time, self.weight, self.rule)
        self.state = self.state.after(decision, grades)
        mg = np.where(at.running[:, None], decision.mg, 0.0)
        self.given[:, at.number] = mg
        self.before = {name: (mg[:, CLASSES.index(name)] > 0).astype(float) for name in RECENTLY}
        dexamethasone = np.where(at.running, decision.steroid_as_dexamethasone, 0.0)
        for target, amount in (
            ("toci_central", mg[:, CLASSES.index("tocilizumab")]),
            ("steroid", dexamethasone),
            ("anakinra", mg[:, CLASSES.index("anakinra")]),
        ):
            if amount.any():
                at[target] = at[target] + amount
