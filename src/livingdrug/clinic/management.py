"""Management: which drug a rule gives at a round, in which dose, and why; the rules are data. Not for clinical use.

The rules stand in ``rules/management.toml``, each step with its source and whether it was read or recalled. ``decide``
works on columns (one entry per patient) and treats every patient by that patient's own entries alone.

Example:
    A patient of 70 kg with CRS of grade 2 gets tocilizumab, 8 mg/kg, and none at the next round 4 h later.

    >>> rule = management_rule("tisa-cel-label-2025")
    >>> grades = CohortGrades(crs=[2], icans=[0], crs_scale="lee")
    >>> state = TreatmentState.untreated(1)
    >>> first = decide(grades, state, time=3.0, weight=[70], rule=rule)
    >>> first["tocilizumab"].tolist()
    [560.0]
    >>> state = state.after(first, grades)
    >>> decide(grades, state, time=3.0 + 4 / 24, weight=[70], rule=rule)["tocilizumab"].tolist()
    [0.0]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.clinic.management_rules import (
    CLASSES,
    NOTE,
    Rule,
    Step,
    dexamethasone_equivalent,
    findings_of_rules,
    label_rule,
    management_rule,
    management_rules,
    missing_management,
    monitoring,
    regimens,
    rule_table,
    second_dose,
)
from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CLASSES",
    "HELD",
    "NOTE",
    "CohortGrades",
    "Decision",
    "Rule",
    "TreatmentState",
    "decide",
    "dexamethasone_equivalent",
    "label_rule",
    "management_rule",
    "management_rules",
    "missing_management",
    "monitoring",
    "rule_table",
    "second_dose",
]

Reals = NDArray[np.float64]
Wholes = NDArray[np.int64]
Flags = NDArray[np.bool_]
SYNDROMES = ("crs", "icans")
STEROID = CLASSES.index("steroid")
REMEMBERED = 4  # doses whose times are kept, for limits within 24 h
FORGET_AFTER = 2.0  # days after the last dose at which a well patient's course counts as over
HOURS = 24.0
A_LITTLE = 1e-6  # day: rounds every 8 h are not exact thirds of a day
DEAD = 5
MARKS = ("read", "assumed", "recalled")  # from firm to weak; a recommendation is as weak as its weakest part
HELD = (
    "",
    "limit in all",
    "limit within 24 h",
    "the course has ended",
    "too soon after the last dose",
    "improved since the last dose",
)
"""Why a drug that the grades call for is not given now; ``Decision.held`` holds the number."""


@dataclass(frozen=True, eq=False)
class CohortGrades:
    """CohortGrades of a cohort at one round, with the scales they were given on.

    Args:
        crs: grade 0 to 5 of cytokine release syndrome, shape (patient,); NaN if not known.
        icans: grade 0 to 5 of neurotoxicity, shape (patient,); NaN if not known.
        crs_scale: scale of the CRS grades, as ``grading`` names it: ``"astct-crs"``, ``"lee"`` ...
        icans_scale: scale of the grades of neurotoxicity.

    Raises:
        InputError: a grade that is not a whole number from 0 to 5, or lengths that differ.
    """

    crs: Any
    icans: Any
    crs_scale: str = "astct-crs"
    icans_scale: str = "astct-icans"

    def __post_init__(self) -> None:
        for name in SYNDROMES:
            values = np.atleast_1d(np.asarray(getattr(self, name), np.float64))
            if values.ndim != 1:
                raise InputError(f"{name} grades must be one per patient, got the shape {values.shape}")
            bad = ~(np.isnan(values) | np.isin(values, range(DEAD + 1)))
            if bad.any():
                found = f"{values[bad][0]:g} in row {int(np.argmax(bad))}"
                raise InputError(f"{name} grades must be whole numbers from 0 to 5 (NaN: not known), got {found}")
            object.__setattr__(self, name, values)
        if self.crs.shape != self.icans.shape:
            raise InputError(f"crs and icans need one length, got {self.crs.size} and {self.icans.size}")

    @classmethod
    def of_round(
        cls,
        graded: Mapping[str, Any],
        crs_scale: str = "astct-crs",
        icans_scale: str = "astct-icans",
        take: Literal["lowest", "highest"] = "lowest",
    ) -> CohortGrades:
        """Return the grades of one round of ``grading.grade_round``.

        Args:
            graded: scale -> grades, the first result of ``grade_round``.
            crs_scale: which of them is CRS.
            icans_scale: which of them is neurotoxicity.
            take: where the chart leaves a range open, treat the lowest or the highest grade that agrees with it.

        Raises:
            InputError: a scale that was not graded.
        """
        for name in (crs_scale, icans_scale):
            if name not in graded:
                raise InputError(unknown_name("graded scale", name, graded))
        crs, icans = (getattr(graded[name], take) for name in (crs_scale, icans_scale))
        return cls(crs=crs, icans=icans, crs_scale=crs_scale, icans_scale=icans_scale)

    @property
    def both(self) -> Reals:
        """CRS and ICANS side by side, shape (patient, 2)."""
        return np.stack([self.crs, self.icans], axis=1)


@dataclass(frozen=True, eq=False)
class TreatmentState:
    """What has been given so far; arrays of shape (patient, class) unless said otherwise, classes as in ``CLASSES``.

    Attributes:
        count: doses given so far.
        recent: days of the last four doses, shape (patient, class, 4), the latest first; NaN where none.
        regimen: number of the running regimen in ``regimens()``, -1 if none.
        since: day on which the running regimen began.
        strength: number of the rule's step behind the last dose; steps stand from mild to strong, so a state belongs to
            one rule.
        grades_then: CRS and ICANS when the running regimen began, shape (patient, class, 2).
        grades_last: CRS and ICANS at the last dose, shape (patient, class, 2).
        ill_since: day on which the present CRS and ICANS began, shape (patient, 2); NaN if there is none.
    """

    count: Wholes
    recent: Reals
    regimen: Wholes
    since: Reals
    strength: Wholes
    grades_then: Reals
    grades_last: Reals
    ill_since: Reals

    @classmethod
    def untreated(cls, patients: int) -> TreatmentState:
        """Return the state of a number of patients before any treatment."""
        wide = (patients, len(CLASSES))
        nothing, none = np.full(wide, np.nan), np.full(wide, -1)
        pair = np.full((*wide, len(SYNDROMES)), np.nan)
        recent = np.full((*wide, REMEMBERED), np.nan)
        ill = np.full((patients, len(SYNDROMES)), np.nan)
        return cls(np.zeros(wide, np.int64), recent, none, nothing, none.copy(), pair, pair.copy(), ill)

    def after(self, decision: Decision, grades: CohortGrades) -> TreatmentState:
        """Return the state after a decision was carried out; call it at every round, also where nothing was given."""
        state = self.noticing(grades, decision.time)
        given = np.nonzero(decision.mg > 0)
        if given[0].size:
            state = state._with_doses(given, decision, grades)
        last = np.nan_to_num(state.recent[:, :, 0], nan=-np.inf)
        well = (grades.crs == 0) & (grades.icans == 0)
        over = well[:, None] & (decision.time - last > FORGET_AFTER) & (state.regimen >= 0)
        if not over.any():
            return state
        return replace(state, regimen=np.where(over, -1, state.regimen), strength=np.where(over, -1, state.strength))

    def _with_doses(self, given: tuple[Any, ...], decision: Decision, grades: CohortGrades) -> TreatmentState:
        new = {name: getattr(self, name).copy() for name in self.__dataclass_fields__ if name != "ill_since"}
        begins = tuple(place[decision.regimen[given] != self.regimen[given]] for place in given)
        new["count"][given] += 1
        new["recent"][(*given, slice(1, None))] = self.recent[(*given, slice(None, -1))]
        new["recent"][(*given, 0)] = decision.time
        new["regimen"][given], new["strength"][given] = decision.regimen[given], decision.step[given]
        new["since"][begins] = decision.time
        new["grades_then"][begins] = grades.both[begins[0]]
        new["grades_last"][given] = grades.both[given[0]]
        return replace(self, **new)

    def noticing(self, grades: CohortGrades, time: float) -> TreatmentState:
        """Return the state in which begin and end of CRS and ICANS are noticed; unknown grades change nothing."""
        ill, well = grades.both >= 1, grades.both == 0
        began = np.where(ill & np.isnan(self.ill_since), time, self.ill_since)
        return replace(self, ill_since=np.where(well, np.nan, began))


@dataclass(frozen=True, eq=False)
class Decision:
    """What a rule gives the patients at one round; arrays of shape (patient, class), classes as in ``CLASSES``.

    Attributes:
        rule: the rule.
        time: day of the round.
        mg: dose now, 0 where none.
        regimen: number of the regimen in ``regimens()``, -1 where no step applies.
        step: number of the step in ``rule.steps``, -1 where none applies.
        held: why a drug that the grades call for is not given now, an index of ``HELD``.
        taper: steroid running, but grade 1 or less: the sources say taper and give no doses; shape (patient,).
        unknown: a grade or a finding that the rule needs is not known, so nothing was decided on it; shape (patient,).
    """

    rule: Rule
    time: float
    mg: Reals
    regimen: Wholes
    step: Wholes
    held: Wholes
    taper: Flags
    unknown: Flags

    def __getitem__(self, drug_class: str) -> Reals:
        """Return the dose of a class in mg, shape (patient,); an unknown class is an InputError."""
        if drug_class not in CLASSES:
            raise InputError(unknown_name("class of drugs", drug_class, CLASSES))
        return self.mg[:, CLASSES.index(drug_class)]

    @property
    def steroid_as_dexamethasone(self) -> Reals:
        """Steroid dose as mg of dexamethasone with the same effect, shape (patient,)."""
        drugs = [one.drug if one.drug_class == "steroid" else "" for one in regimens()]
        factors = np.array([dexamethasone_equivalent(drug) if drug else 0.0 for drug in drugs] + [0.0])
        return self["steroid"] * factors[self.regimen[:, STEROID]]

    def to_frame(self, patients: Sequence[Any] | None = None) -> pd.DataFrame:
        """Return one line per recommendation: who, when, what, and the rule, step and source behind it."""
        import pandas as pd

        columns = ["patient", "time", "drug", "dose_mg", "route", "held", "rule", "step", "strength", "text"]
        columns += ["source", "place", "mark", "note"]
        rows = []
        for row, place in np.argwhere(self.step >= 0):
            step, regimen = self.rule.steps[self.step[row, place]], regimens()[self.regimen[row, place]]
            mark = max(step.mark, regimen.mark, "assumed" if step.assumed else "read", key=MARKS.index)
            who = row if patients is None else patients[row]
            what = (regimen.drug, self.mg[row, place], regimen.route, HELD[self.held[row, place]])
            why = (self.rule.name, step.id, step.strength, step.text, step.source, step.place, mark, NOTE)
            rows.append((who, self.time, *what, *why))
        return pd.DataFrame(rows, columns=columns)


def decide(
    grades: CohortGrades,
    state: TreatmentState,
    time: float,
    weight: ArrayLike,
    rule: Rule | str,
    *,
    findings: Mapping[str, ArrayLike] | None = None,
    optional: bool = False,
    often: bool = False,
) -> Decision:
    """Return what a rule gives each patient now.

    Args:
        grades: grades at this round, shape (patient,); an unknown grade leads to no dose and sets ``unknown``.
        state: treatment so far.
        time: days since the infusion.
        weight: body weight in kg, shape (patient,).
        rule: a rule or its name.
        findings: what the rule needs beside the grades, name -> values of shape (patient,); see ``Rule.needs``.
        optional: also carry out steps that the source only asks to consider.
        often: give as often as the source allows ("every 6 to 12 h": every 6 h); otherwise as rarely.

    Raises:
        InputError: grades on another scale than the rule's, a weight that is not positive, lengths that differ, a time
            that is not finite, or a finding that is missing or unknown.
    """
    rule = management_rule(rule) if isinstance(rule, str) else rule
    size = grades.crs.size
    if state.count.shape[0] != size:
        raise InputError(f"the state is that of {state.count.shape[0]} patients, the grades are those of {size}")
    if not np.isfinite(time):
        raise InputError(f"time must be days since the infusion, got {time!r:.40}")
    kilograms = _weights(weight, size)
    _check_scales(grades, rule)
    found = _findings(findings, rule, size)
    state = state.noticing(grades, time)
    step, unknown = _applying(rule, grades, state, time, found, optional)
    step, regimen = _running(rule, step, grades, state)
    mg, held = np.zeros(step.shape), np.zeros(step.shape, np.int64)
    for number in np.unique(regimen[regimen >= 0]):
        column = CLASSES.index(regimens()[number].drug_class)
        rows = np.flatnonzero(regimen[:, column] == number)
        mg[rows, column], held[rows, column] = _dose(number, rows, grades, state, time, kilograms, often)
    recovered = (grades.crs <= 1) & (grades.icans <= 1)
    taper = np.isin(state.regimen[:, STEROID], _going_on()) & (mg[:, STEROID] == 0) & recovered
    return Decision(rule, float(time), mg, regimen, step, held, taper, unknown)


def _weights(weight: ArrayLike, size: int) -> Reals:
    values = np.broadcast_to(np.asarray(weight, np.float64), (size,)) if np.ndim(weight) <= 1 else np.empty(0)
    bad = ~(np.isfinite(values) & (values > 0))
    if values.shape != (size,) or bad.any():
        found = f"{values[bad][0]:g} kg in row {int(np.argmax(bad))}" if bad.any() else f"shape {np.shape(weight)}"
        raise InputError(f"weight must be one positive number of kg for each of {size} patients, got {found}")
    return values


def _check_scales(grades: CohortGrades, rule: Rule) -> None:
    for name, given, wanted in (
        ("CRS", grades.crs_scale, rule.crs_scale),
        ("ICANS", grades.icans_scale, rule.icans_scale),
    ):
        if wanted not in ("any", given):
            raise InputError(
                f"rule {rule.name!r} reads {name} on the scale {wanted!r}, but the grades are on {given!r}; "
                "grade the same observations on that scale: grades of two scales do not compare"
            )


def _findings(findings: Mapping[str, ArrayLike] | None, rule: Rule, size: int) -> dict[str, Reals]:
    given, known = dict(findings or {}), findings_of_rules()
    for name in given:
        if name not in known:
            raise InputError(unknown_name("finding", name, known))
    for name in rule.needs:
        if name not in given:
            raise InputError(
                f"rule {rule.name!r} needs findings={{{name!r}: ...}}: {known[name]}, one value per patient"
            )
    return {name: np.broadcast_to(np.asarray(value, np.float64), (size,)) for name, value in given.items()}


def _applying(
    rule: Rule, grades: CohortGrades, state: TreatmentState, time: float, found: Mapping[str, Reals], optional: bool
) -> tuple[Wholes, Flags]:
    """Return the number of the last step of each class that applies, and where something it needs is unknown."""
    step = np.full(state.count.shape, -1)
    graded = any(line.syndrome for line in rule.steps)
    unknown = np.isnan(grades.crs + grades.icans) & np.full(grades.crs.size, graded)
    alive = (grades.crs != DEAD) & (grades.icans != DEAD)
    for number, line in enumerate(rule.steps):
        today = line.from_day - A_LITTLE <= time <= line.to_day + A_LITTLE
        if not today or (line.strength == "consider" and not optional):
            continue
        column = CLASSES.index(line.gives.drug_class)
        applies = alive & _graded(line, grades)
        if not applies.any():
            continue
        applies &= _conditions(line, column, grades, state, time)
        for name, least in line.needs.items():
            unknown |= applies & np.isnan(found[name])
            applies &= found[name] >= least
        step[applies, column] = number
    return step, unknown


def _graded(line: Step, grades: CohortGrades) -> Flags:
    """Return who has the grades of a step; an unknown grade fits none."""
    fits = np.full(grades.crs.size, True)
    if line.syndrome:
        values = getattr(grades, line.syndrome)
        fits = np.logical_or.reduce([values == grade for grade in line.grades])
    if line.with_crs is not None:
        fits &= (grades.crs >= 1) if line.with_crs else (grades.crs == 0)
    return fits


def _conditions(line: Step, column: int, grades: CohortGrades, state: TreatmentState, time: float) -> Flags:
    """Return for whom the treatment so far and the time fulfil a step."""
    applies = state.count[:, column] <= line.given_at_most
    if line.syndrome and line.days_over >= 0:
        since = state.ill_since[:, SYNDROMES.index(line.syndrome)]
        applies &= time - np.nan_to_num(since, nan=time) > line.days_over
    if line.syndrome and (line.onset_before < np.inf or line.onset_from > -np.inf):
        began = np.nan_to_num(state.ill_since[:, SYNDROMES.index(line.syndrome)], nan=time)
        applies &= (began < line.onset_before) & (began >= line.onset_from)
    for name, least in line.doses_before.items():
        applies &= state.count[:, CLASSES.index(name)] >= least
    for name, hours in line.after.items():
        applies &= _not_improved(line, CLASSES.index(name), hours, grades, state, time)
    if line.on:
        applies &= state.regimen[:, column] == [one.name for one in regimens()].index(line.on)
    return applies


def _not_improved(
    line: Step, column: int, hours: float, grades: CohortGrades, state: TreatmentState, time: float
) -> Flags:
    """Return who has had a course of a class for so many hours without a fall of the grade."""
    place = SYNDROMES.index(line.syndrome)
    running = state.regimen[:, column] >= 0
    long = time - np.nan_to_num(state.since[:, column], nan=np.inf) >= hours / HOURS - A_LITTLE
    return running & long & (grades.both[:, place] >= state.grades_then[:, column, place])


def _going_on() -> Wholes:
    """Return the numbers of the regimens that go on after their step until the grade has fallen."""
    return np.array([number for number, one in enumerate(regimens()) if one.continue_at_grade])


def _running(rule: Rule, step: Wholes, grades: CohortGrades, state: TreatmentState) -> tuple[Wholes, Wholes]:
    """Return step and regimen of each patient and class: the new step, or the running course if that is stronger."""
    names = [one.name for one in regimens()]
    of_step = np.array([names.index(line.gives.name) for line in rule.steps] + [-1])
    until = np.array([one.continue_at_grade or DEAD for one in regimens()] + [DEAD])
    worst = np.fmax(np.fmax(grades.crs, grades.icans), 0.0)[:, None]
    goes_on = (worst < DEAD) & (worst >= until[state.regimen]) & (state.strength >= step)
    goes_on &= state.strength < len(rule.steps)
    return np.where(goes_on, state.strength, step), np.where(goes_on, state.regimen, of_step[step])


def _dose(
    number: int,
    rows: NDArray[np.intp],
    grades: CohortGrades,
    state: TreatmentState,
    time: float,
    weight: Reals,
    often: bool,
) -> tuple[Reals, Wholes]:
    """Return mg now, and the reason for giving none, of the patients in ``rows``, who are on one regimen."""
    regimen = regimens()[number]
    column = CLASSES.index(regimen.drug_class)
    same = state.regimen[rows, column] == number
    elapsed = np.where(same, time - state.since[rows, column], 0.0)
    mg, spacing, begin = np.zeros(rows.size), np.zeros(rows.size), 0.0
    for stage in regimen.stages:
        inside = elapsed >= begin - A_LITTLE
        hours = (stage.often_h or stage.every_h) if often else stage.every_h
        mg = np.where(inside, np.minimum(stage.dose(weight[rows], regimen.light_below_kg), regimen.most_mg), mg)
        spacing = np.where(inside, hours / HOURS, spacing)
        begin += stage.days
    recent = state.recent[rows, column]
    reasons = {
        "limit in all": state.count[rows, column] >= regimen.most_in_all,
        "limit within 24 h": (recent > time - 1.0 + A_LITTLE).sum(axis=1) >= regimen.most_in_24_h,
        "the course has ended": elapsed >= begin - A_LITTLE,
        "too soon after the last dose": same & (time - recent[:, 0] < spacing - A_LITTLE),
        "improved since the last dose": regimen.only_if_not_improved
        & same
        & (grades.crs[rows] < state.grades_last[rows, column, SYNDROMES.index("crs")]),
    }
    held = np.select(list(reasons.values()), [HELD.index(reason) for reason in reasons], 0)
    return np.where(held == 0, mg, 0.0), held
