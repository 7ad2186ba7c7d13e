"""Monitoring: rounds of a ward that observe, grade and treat the twin's body, and then let it go on.

At each round the body's states become what a ward would measure; the same code that grades real charts grades them;
the rule of management decides, and what it gives enters the body before the solve goes on. Patients are told apart by
their own random streams, so the same patient under another rule or dose has the same luck, and the difference is the
cause.

Growth factor and transfusions are given only where ``support`` asks for them (``monitoring_support``).

Left out: death of side effects, transfer between wards, rounds that are missed, drugs for infections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.body.signs import LABORATORY, UNITS, Ward, read_body
from livingdrug.clinic.grading import begin_rounds, grade_round
from livingdrug.clinic.grading_rules import group
from livingdrug.clinic.management import CohortGrades, TreatmentState, decide
from livingdrug.clinic.management_findings import FeverLog
from livingdrug.clinic.management_rules import CLASSES, NOTE, Rule, Step, findings_of_rules, management_rule
from livingdrug.errors import InputError, unknown_name
from livingdrug.therapy.monitoring_support import Supportive

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.engine.rounds import Round
    from livingdrug.engine.schedule import Dose
    from livingdrug.engine.solution import Solution
    from livingdrug.therapy.assessment import Assessed

__all__ = ["Monitored", "monitor", "rounds_for", "usual_rounds"]

Array = NDArray[np.float64]

SCALES = ("astct-crs", "astct-icans")
START = -6.0
"""Day on which the solve begins, before lymphodepletion."""
KEPT = ("temperature", "systolic_pressure", "spo2", "ice_score", "il6")
DAY_EDGE = 1e-6  # day
BEFORE_CELLS = 1_000_000  # address of the luck of rounds before the infusion, beyond that of any other round
NEVER = {"antipyretic": 0.0}  # no rule gives one
RECENTLY = {"tocilizumab": 1.0, "steroid": 1.0, "anakinra": 1.0}
COUNTED = ("high_fevers_in_24_h", "high_fevers")
"""Findings that the rounds count themselves; others are given by the caller."""


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


def rounds_for(*rules: str | Rule) -> tuple[float, ...]:
    """Return the usual rounds, and a round before them for each step that must come earlier.

    Patients who are to be compared under several rules need the same rounds.

    Example:
        >>> rounds_for("prophylactic-tocilizumab", "none")[:2] == (-0.05, 1 / 3)
        True
    """
    days = usual_rounds()
    known = [management_rule(rule) if isinstance(rule, str) else rule for rule in rules]
    early = {(step.from_day + step.to_day) / 2 for rule in known for step in rule.steps if step.to_day < days[0]}
    return (*sorted(early), *days)


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
        supported: action of supportive care -> amount given at each round (ug/kg of G-CSF, units of blood), shape
            (patient, round); empty unless it was asked for.
        seed: of the random streams.
        steps: steps of the rule.
        step: place in ``steps`` of the one behind each dose, -1 where none was given, shape as ``given``.
    """

    patient_ids: NDArray[np.uint64]
    rounds: Array
    grades: Mapping[str, NDArray[np.int8]]
    given: NDArray[np.float32]
    signs: Mapping[str, NDArray[np.float32]]
    solution: Solution
    rule: str
    classes: tuple[str, ...] = CLASSES
    supported: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    seed: int = 0
    steps: tuple[Step, ...] = ()
    step: NDArray[np.int16] | None = None

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

    def response(self, disease: str, visits: ArrayLike, **options: Any) -> Assessed:
        """Return response, residual disease and relapse at visits, as ``therapy.assessment.assess`` sees them.

        Args:
            disease: a disease, or the name of criteria.
            visits: days; they and day 0 must be among the days that were kept.
            options: further arguments of ``assess``.

        Raises:
            InputError: the tumour's courses were not kept, or a day is missing.
        """
        from livingdrug.therapy.assessment import assess

        missing = [name for name in ("tumour_positive", "tumour_negative") if name not in self.solution.outputs]
        if missing:
            raise InputError(f"response needs the courses of the tumour; keep them with outputs=[..., {missing[0]!r}]")
        chosen = {"baseline": 0.0, "patient_ids": self.patient_ids, "seed": self.seed, **options}
        return assess(self.solution.times, self.solution, disease, visits, **chosen)

    def doses(self) -> pd.DataFrame:
        """Return every dose that the rule gave: patient, day, class, mg, and the rule, step and source behind it."""
        import pandas as pd

        at = np.nonzero(self.given)
        why = [self.steps[number] for number in self.step[at]] if self.step is not None else []
        return pd.DataFrame(
            {
                "patient": self.patient_ids[at[0]],
                "day": self.rounds[at[1]],
                "class": np.asarray(self.classes)[at[2]],
                "mg": self.given[at],
                "rule": self.rule,
                "step": [step.id for step in why],
                "source": [step.source for step in why],
                "mark": [step.mark for step in why],
                "note": NOTE,
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
    scales: Sequence[str] = SCALES,
    support: Sequence[str] = (),
    findings: Mapping[str, ArrayLike] | None = None,
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
        rounds: days of the rounds, ascending; by default those of :func:`rounds_for` the rule.
        outputs: outputs or states of the body to keep; by default all outputs.
        patient_ids: identifiers, shape (patient,); by default 0, 1, 2, ...
        keep: items of the signs to keep.
        scales: on which patients are graded, besides those of ASTCT and of the rule.
        support: actions of supportive care that are carried out, such as ``"g_csf"``; see ``monitoring_support``.
        findings: what the rule needs that no round can count, such as ``marrow_blasts``; one value per patient.
        seed: of the random streams.
        noise: False measures exactly.
        options: of the engine's ``solve``, such as ``rtol`` or ``threads``.

    Raises:
        InputError: an unknown name, a rule that needs findings which are not given, days out of order, or no round on
            the days on which the rule acts.

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
    for item in keep:
        if item not in UNITS:
            raise InputError(unknown_name("item", item, UNITS))
    days = np.asarray(rounds_for(chosen) if rounds is None else rounds, np.float64)
    _check_days(chosen, days)
    sizes = [np.size(v) for v in (*parameters.values(), weight_kg) if np.ndim(v)]
    count = int(max([1, *sizes])) if patient_ids is None else int(np.size(patient_ids))
    ids = np.arange(count) if patient_ids is None else np.atleast_1d(np.asarray(patient_ids))
    known = _findings(chosen, findings, count)
    ward = _Rounds(
        ids, chosen, np.broadcast_to(np.asarray(weight_kg, np.float64), (count,)), days, keep, scales, support, known,
        seed, noise,
    )  # fmt: skip
    asked = np.asarray(times, np.float64)
    solution = solve(
        TwinBody, parameters, np.concatenate([[START], asked]), outputs=outputs, doses=doses, rounds=days.tolist(),
        visit=ward.visit, patient_ids=ids, seed=seed, **options,
    )  # fmt: skip
    return Monitored(
        solution.patient_ids, days, {name: _turned(grades) for name, grades in ward.grades.items()},
        _turned(ward.given), {name: _turned(values) for name, values in ward.signs.items()}, solution, chosen.name,
        supported={name: _turned(values) for name, values in ward.care.given.items()}, seed=seed,
        steps=chosen.steps, step=_turned(ward.step),
    )  # fmt: skip


def _check_days(rule: Rule, days: Array) -> None:
    """Refuse rounds that pass over the days on which a step of the rule acts: it would silently never be given."""
    if not days.size:
        return
    for step in rule.steps:
        first, last = step.from_day - DAY_EDGE, step.to_day + DAY_EDGE
        if last < days[-1] and not ((days >= first) & (days <= last)).any():
            raise InputError(
                f"rule {rule.name!r} gives {step.gives.drug} from day {step.from_day:g} to {step.to_day:g}, but no "
                f"round falls on those days; use rounds_for({rule.name!r}), or add one"
            )


def _findings(rule: Rule, given: Mapping[str, ArrayLike] | None, count: int) -> dict[str, Array]:
    """Return the findings that stay the same, shape (patient,)."""
    meaning = findings_of_rules()
    for name in given or {}:
        if name not in meaning or name in COUNTED:
            raise InputError(unknown_name("finding that can be given", name, [n for n in meaning if n not in COUNTED]))
    for name in rule.needs:
        if name not in COUNTED and name not in (given or {}):
            raise InputError(
                f"rule {rule.name!r} needs findings={{{name!r}: ...}}: {meaning[name]}, one value per patient"
            )
    return {name: np.broadcast_to(np.asarray(v, np.float64), (count,)) for name, v in (given or {}).items()}


def _turned(rounds: NDArray[Any]) -> NDArray[Any]:
    """Return an array by round and patient as one by patient and round."""
    return np.ascontiguousarray(np.swapaxes(rounds, 0, 1))


class _Rounds:
    """The ward's memory between rounds, and what it does at one."""

    def __init__(
        self, ids: NDArray[Any], rule: Rule, weight: Array, days: Array, keep: Sequence[str], scales: Sequence[str],
        support: Sequence[str], findings: Mapping[str, Array], seed: int, noise: bool,
    ) -> None:  # fmt: skip
        count, rounds = ids.size, days.size
        self.rule, self.weight, self.findings = rule, weight, findings
        self.ward = Ward(ids, seed=seed, noise=noise)
        self.early = int((days < 0).sum())
        self.course = begin_rounds(count)
        self.state = TreatmentState.untreated(count)
        self.care = Supportive(support, weight, rounds)
        self.fevers = FeverLog.fresh(count) if set(rule.needs).intersection(COUNTED) else None
        wanted = [*SCALES, *scales, *(name for name in (rule.crs_scale, rule.icans_scale) if name not in ("", "any"))]
        self.scales = tuple(dict.fromkeys(wanted))
        # One row per round, which is written at once; turned round at the end.
        self.grades = {name: np.zeros((rounds, count), np.int8) for name in self.scales}
        self.given = np.zeros((rounds, count, len(CLASSES)), np.float32)
        self.step = np.full((rounds, count, len(CLASSES)), -1, np.int16)
        self.signs = {name: np.full((rounds, count), np.nan, np.float32) for name in keep}
        asked = {item for each in self.scales for part in group(each) for item in part.items}
        asked |= {*keep, *self.care.items}
        self.laboratory = [name for name in LABORATORY if name in asked]
        self.before = {name: np.zeros(count) for name in RECENTLY}

    def visit(self, at: Round) -> None:
        """Observe, grade, decide, treat."""
        # Rounds before the cells have luck of their own, so that the others keep theirs.
        luck = at.number - self.early if at.number >= self.early else BEFORE_CELLS + at.number
        seen = self.ward.measure(read_body(at), luck, laboratory=self.laboratory)
        for name, values in self.signs.items():
            values[at.number] = np.where(at.running, seen[name], np.nan)
        if self.fevers is not None:
            self.fevers = self.fevers.after(at.time, seen["temperature"])
        grades = self._grade(at, seen)
        mg, dexamethasone, step = self._decide(grades, at.time)
        mg = np.where(at.running[:, None], mg, 0.0)
        self.given[at.number] = mg
        self.step[at.number] = np.where(mg > 0, step, -1)
        self.before = {name: (mg[:, CLASSES.index(name)] > 0).astype(float) for name in RECENTLY}
        dexamethasone = np.where(at.running, dexamethasone, 0.0)
        for target, amount in (
            ("toci_central", mg[:, CLASSES.index("tocilizumab")]),
            ("steroid", dexamethasone),
            ("anakinra", mg[:, CLASSES.index("anakinra")]),
        ):
            if amount.any():
                at[target] = at[target] + amount
        self.care.visit(at, seen)

    def _grade(self, at: Round, seen: Mapping[str, Array]) -> CohortGrades:
        """Grade a round; before the cells there is nothing of theirs to grade."""
        crs, icans = (
            name if name in self.scales else usual
            for name, usual in zip((self.rule.crs_scale, self.rule.icans_scale), SCALES, strict=True)
        )
        if at.time < 0:
            well = np.zeros(at.running.size)
            return CohortGrades(well, well, crs, icans)
        graded, self.course = grade_round(self.scales, {**seen, **self.before, **NEVER}, at.time, self.course)
        for name in self.scales:
            self.grades[name][at.number] = np.where(at.running, graded[name].lowest, 0)
        return CohortGrades.of_round(graded, crs, icans)

    def _decide(self, grades: CohortGrades, day: float) -> tuple[Array, Array, NDArray[np.int64]]:
        """Decide on those whom it can concern: doses (patient, class), steroid as dexamethasone (patient,), steps."""
        mg, dexamethasone = np.zeros((grades.crs.size, len(CLASSES))), np.zeros(grades.crs.size)
        step = np.full(mg.shape, -1)
        rows = np.flatnonzero(self._concerned(grades))
        if rows.size:
            some = CohortGrades(grades.crs[rows], grades.icans[rows], grades.crs_scale, grades.icans_scale)
            before = TreatmentState(**{name: values[rows] for name, values in vars(self.state).items()})
            found = {**self.findings, **(self.fevers.findings() if self.fevers is not None else {})}
            found = {name: values[rows] for name, values in found.items()}
            decision = decide(some, before, day, self.weight[rows], self.rule, findings=found)
            for name, values in vars(before.after(decision, some)).items():
                getattr(self.state, name)[rows] = values
            mg[rows], dexamethasone[rows], step[rows] = decision.mg, decision.steroid_as_dexamethasone, decision.step
        return mg, dexamethasone, step

    def _concerned(self, grades: CohortGrades) -> NDArray[np.bool_]:
        """Return for whom a step may apply or a course may run: nothing changes for who is and was well."""
        ill_only = all(step.syndrome and step.grades and min(step.grades) > 0 for step in self.rule.steps)
        if not ill_only:  # a step may apply to the well
            return np.ones(grades.crs.size, bool)
        treated = (self.state.regimen >= 0).any(axis=1) | ~np.isnan(self.state.ill_since).all(axis=1)
        return treated | (grades.crs != 0) | (grades.icans != 0)
