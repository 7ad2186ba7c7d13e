"""One arm of a trial of the twin: from enrolment to the last day of follow-up, for a block of patients.

Everything is decided by the trial, the seed and the patients' identifiers, so blocks of any size, in any order and on
any number of workers, give the same rows. Not for clinical use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.clinic.management_rules import CLASSES
from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.streams import seed_words, uniform
from livingdrug.therapy.monitoring_support import ACTIONS
from livingdrug.trials import hazards as risk
from livingdrug.trials.enrolment import Waited, growth_while_waiting, wait
from livingdrug.trials.observed import dated_progression, on_day, real_days, samples, summarise
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Arm, Protocol
from livingdrug.trials.side_effects import (
    BY_TERMS,
    SIGNS,
    grade_4_day,
    scale_outcomes,
    support_outcomes,
    terms_grade,
)

__all__ = ["Treated", "enrolled", "simulate_arm"]

Array = NDArray[np.float64]
Ids = NDArray[np.uint64]
NEVER = np.inf
SAFETY_SCALES = ("astct-crs", "astct-icans")
COURSES = (
    "tumour_positive", "tumour_negative", "neutrophils", "platelets", "absolute_lymphocyte_count", "b_cells_blood",
    "infection_hazard",
)  # fmt: skip
LOW_NEUTROPHILS, LOW_PLATELETS = 1000.0, 50_000.0  # below: grade 3 of CTCAE, cell/uL
LATER_ROUNDS = (35.0, 42.0, 49.0, 56.0)
"""Days of the rounds after the fourth week: once a week to the eighth, for which labels warn of late events."""
REMISSION_WINDOW = 91.0  # days in which leukaemia must come into remission, as in the clinic's rule efs_b_all
B_CELLS_BACK = 20.0  # cell/uL; assumed, trials used 1 to 3 % of lymphocytes
ANTIGEN_TELLS = 0.5  # a relapse counts as negative from this share of cells without the antigen: assumed


def simulate_arm(
    protocol: Protocol,
    arm: Arm | str,
    ids: ArrayLike,
    seed: int = 0,
    settings: Mapping[str, ArrayLike] | None = None,
    *,
    days: float | None = None,
    threads: int | None = None,
    rtol: float | None = None,
) -> Outcomes:
    """Return what becomes of enrolled patients in one arm.

    Args:
        protocol: the trial.
        arm: the arm or its name.
        ids: identifiers of the enrolled, whole numbers, shape (patient,).
        seed: of all random streams.
        settings: named effects of a calibration, name -> number or shape (patient,); see ``population.free``.
        days: last day that is simulated; the trial's horizon unless given. Later visits and samples are left out.
        threads: of the solver.
        rtol: relative tolerance of the solver's steps; 1e-4 unless given. With a tolerance of 1e-6 the endpoints of
            2,000 patients differ by less than one part in ten thousand, which is nothing beside a trial's chance.

    Raises:
        InputError: an unknown arm, setting or an identifier that is no whole number.
    """
    chosen = protocol.arm(arm) if isinstance(arm, str) else arm
    found = np.atleast_1d(np.asarray(ids)).astype(np.uint64)
    seed_words(seed)
    last = protocol.follow_up.horizon_days if days is None else min(float(days), protocol.follow_up.horizon_days)
    if last < protocol.visits.days[0]:
        raise InputError(
            f"days: the first visit is on day {protocol.visits.days[0]:g}, but the course ends on {last:g}"
        )
    columns = _standard(protocol, chosen, found, seed, last) if chosen.comparator else None
    if columns is None:
        columns = _twin(protocol, chosen, found, seed, settings or {}, last, {"threads": threads, "rtol": rtol})
    columns["arm"] = np.full(found.size, chosen.name)
    columns["accrual"] = uniform(seed, found, "trial:accrual")[:, 0]
    return Outcomes.of(found, columns, protocol.scales)


def _standard(protocol: Protocol, arm: Arm, ids: Ids, seed: int, last: float) -> dict[str, Any]:
    """Return the columns of a comparator arm."""
    from livingdrug.population.diseases import disease
    from livingdrug.trials.comparators import comparator

    visits = np.asarray([day for day in protocol.visits.days if day <= last])
    drawn = comparator(arm.comparator).draw(ids, seed, visits, arm.crossover.value, protocol.visits)
    ill = disease(protocol.disease).with_columns(protocol.columns).draw(ids, seed)
    ends = _ends(protocol, ids, seed, drawn["death_day"], _drop_out(protocol, ids, seed), last)
    return {
        **_baseline(ill),
        "infused": np.ones(ids.size, bool),
        "solved": np.ones(ids.size, bool),
        "day0_from_enrolment": np.zeros(ids.size),
        **_until(drawn, ends),
    }


def _drop_out(protocol: Protocol, ids: Ids, seed: int) -> Array:
    """Return the day of drop-out, infinity for never."""
    return risk.exponential(seed, ids, "trial:drop-out", protocol.follow_up.drop_out.value)


def _twin(
    protocol: Protocol,
    arm: Arm,
    ids: Ids,
    seed: int,
    settings: Mapping[str, ArrayLike],
    last: float,
    solver: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the columns of an arm with a product: all enrolled, the infused among them."""
    ill, waited = enrolled(protocol, ids, seed)
    rows = np.flatnonzero(waited.infused)
    columns = {**_baseline(ill), **_never_infused(protocol, ids, seed, waited, last)}
    if rows.size:
        own = {name: np.broadcast_to(values, ids.size)[rows] for name, values in settings.items()}
        treated = Treated(protocol, arm, ill.take(rows), seed, own, last, solver)
        for name, values in treated.columns().items():
            columns[name] = _placed(columns.get(name), values, rows, ids.size)
    return columns


def enrolled(protocol: Protocol, ids: Ids, seed: int) -> tuple[Patients, Waited]:
    """Return enrolled patients with the tumour that they have after their wait, and what became of them meanwhile."""
    from livingdrug.population.diseases import disease

    ill = disease(protocol.disease).with_columns(protocol.columns).draw(ids, seed)
    waited = wait(protocol.enrolment, ids, seed)
    grown = growth_while_waiting(protocol.enrolment, ids, seed, waited.wait, ill["tumour_growth"])
    return ill.with_columns({"burden_cells": ill["burden_cells"] * grown}), waited


def _placed(column: Any, values: Any, rows: NDArray[np.intp], size: int) -> NDArray[Any]:
    """Return a full column in which the treated patients' values stand in their rows."""
    new = np.asarray(values)
    if new.dtype.kind == "U":
        full = np.full(size, "", np.result_type(new, "<U1") if column is None else np.result_type(new, column))
    else:
        full = np.zeros(size, bool) if new.dtype == bool else np.full(size, np.nan)
    if column is not None:
        full[:] = column
    full[rows] = new
    return full


def _baseline(ill: Patients) -> dict[str, Any]:
    return {"weight_kg": ill["weight_kg"], "age_years": ill["age_years"], "burden": ill["burden_cells"]}


def _never_infused(protocol: Protocol, ids: Ids, seed: int, waited: Waited, last: float) -> dict[str, Any]:
    """Return the columns as they are for who is never infused; day 0 is the day of leaving."""
    hazards = risk.hazards_of(protocol.disease)
    later = risk.life_after(ids, seed, hazards, np.zeros(ids.size))
    died = waited.reason == "death"
    end = _ends(protocol, ids, seed, np.where(died, 0.0, later["death"]), np.full(ids.size, NEVER), last)
    events = {
        "death_day": np.where(died, 0.0, later["death"]),
        "death_cause": np.full(ids.size, "disease"),
        "new_therapy_day": np.where(died, NEVER, later["new_therapy"]),
        "progression_day": np.where(waited.reason == "progression", 0.0, NEVER),
    }
    return {
        "infused": waited.infused,
        "left_stage": waited.stage,
        "left_reason": waited.reason,
        "day0_from_enrolment": waited.day,
        "infusion_day_from_enrolment": np.where(waited.infused, waited.day, np.nan),
        **_until(events, end),
    }


def _ends(protocol: Protocol, ids: Ids, seed: int, death: Array, drop_out: Array, last: float) -> Array:
    """Return the last day under watch."""
    cut = protocol.follow_up.days.quantile(1 - uniform(seed, ids, "trial:accrual")[:, 0])
    return np.minimum.reduce([cut, death, drop_out, np.full(ids.size, last)])


def _first_death(early: risk.Early, disease: Array, transplant: Array) -> tuple[Array, NDArray[np.str_]]:
    """Return the day of death and its cause."""
    days = np.stack([early.death, disease, transplant])
    causes = np.stack([early.cause, np.full(disease.size, "disease"), np.full(disease.size, "transplant")])
    return days.min(axis=0), np.take_along_axis(causes, days.argmin(axis=0)[None, :], 0)[0]


def _until(events: Mapping[str, Any], end: Array) -> dict[str, Any]:
    """Return days of events up to the end of the watch, NaN for what came later or never; texts go with their days."""
    found: dict[str, Any] = {"last_followed_day": end}
    for name, values in events.items():
        if name.endswith("_day"):
            found[name] = np.where(values <= end, values, np.nan)
        else:
            found[name] = values
    if "death_cause" in found:
        found["death_cause"] = np.where(np.isfinite(found["death_day"]), found["death_cause"], "")
    return found


@dataclass
class Treated:
    """The infused patients of a block, from conditioning to the end of follow-up."""

    protocol: Protocol
    arm: Arm
    ill: Patients
    seed: int
    settings: Mapping[str, ArrayLike]
    last: float
    solver: Mapping[str, Any]
    support: tuple[str, ...] = tuple(ACTIONS)

    def columns(self) -> dict[str, Any]:
        """Return the columns of the infused, shape (patient,)."""
        self.course()
        events = self.events(self.early_events())
        solved = {"solved": np.asarray(self.solution.status) == 0}
        ward = {**self.side_effects(events["last_followed_day"]), **self.counts()}
        return {**solved, **self.dose_columns(), **ward, **events, **self.kinetics(events)}

    def course(self) -> None:
        """Solve the body, with rounds of the ward."""
        from livingdrug.engine.solve import LOOSE
        from livingdrug.engine.watch import Extreme
        from livingdrug.population.diseases import disease
        from livingdrug.population.products import product
        from livingdrug.population.twin_patients import body_parameters
        from livingdrug.therapy.monitoring import monitor

        trial, ids = self.protocol, self.ill.ids
        given = product(self.arm.product)
        who = uniform(self.seed, ids, "trial:conditioned")[:, 0] < trial.enrolment.conditioned.value
        self.doses = given.doses(self.ill, self.arm.indication, rule=self.arm.dose, depleted=who, seed=self.seed)
        self.cells = given.dose_cells(self.ill, self.arm.indication, rule=self.arm.dose, seed=self.seed)
        parameters = body_parameters(self.ill, disease(trial.disease), given, self.settings, seed=self.seed)
        self.days = self.grid()
        self.watched = monitor(
            parameters, self.doses, self.days, weight_kg=self.ill["weight_kg"], rule=trial.grading.rule,
            rounds=self.rounds(), support=self.support, findings=self.findings(),
            outputs=(*COURSES, trial.sampling.output), patient_ids=ids, seed=self.seed, threads=self.solver["threads"],
            rtol=self.solver["rtol"] or LOOSE,
            keep=SIGNS, scales=self.scales(), extremes={"peak": Extreme(trial.sampling.output, "max")},
        )  # fmt: skip
        self.solution = self.watched.solution

    def rounds(self) -> tuple[float, ...]:
        """Return the days of the rounds: those that the rule needs for four weeks, then once a week."""
        from livingdrug.therapy.monitoring import rounds_for

        return tuple(day for day in (*rounds_for(self.protocol.grading.rule), *LATER_ROUNDS) if day <= self.last)

    def findings(self) -> dict[str, Array]:
        """Return what some rules ask for beside the rounds: percent of blasts in the marrow, in leukaemia."""
        return {"marrow_blasts": 100.0 * self.ill["marrow_blasts"]} if self.criteria() == "b_all" else {}

    def scales(self) -> tuple[str, ...]:
        """Return every scale graded at rounds: the trial's, and those that say how severe side effects are."""
        named = [name for names in self.protocol.scales.values() for name in names if name not in BY_TERMS]
        return tuple(dict.fromkeys([*named, *SAFETY_SCALES]))

    def grid(self) -> Array:
        """Return the days of the courses: samples, visits, days at first, then months."""
        trial = self.protocol
        months = np.arange(1, int(self.last // 30) + 1) * 30.0
        days = [*trial.sampling.days, *trial.visits.days, *range(31), 35.0, 42.0, 49.0, 56.0, *months, self.last]
        return np.unique([float(day) for day in days if 0 <= day <= self.last])

    def dose_columns(self) -> dict[str, Any]:
        """Return dose and dose level."""
        from livingdrug.population.products import product

        rule = self.arm.dose or product(self.arm.product).indication(self.arm.indication).dose
        named = (
            np.array([f"{number / 1e6:g}e6" for number in self.cells]) if rule.levels else np.full(len(self.ill), "")
        )
        return {"dose_cells": self.cells, "dose_level": named}

    def side_effects(self, end: Array) -> dict[str, Any]:
        """Return grades on the trial's scales, drugs and support, up to the last day under watch, shape (patient,)."""
        days, watched = self.watched.rounds, self.watched
        here = days[None, :] <= end[:, None]
        graded = here & (days >= 0)
        hidden = here & (watched.given[:, :, CLASSES.index("tocilizumab")] > 0)
        found: dict[str, Any] = {}
        for syndrome, names in self.protocol.scales.items():
            for name in names:
                at_rounds = terms_grade(watched.signs) if name in BY_TERMS else watched.grades[name]
                found |= scale_outcomes(syndrome, name, days, np.where(graded, at_rounds, 0).astype(np.int8), hidden)
        brain = np.where(graded, watched.grades["astct-icans"], 0).max(axis=1, initial=0).astype(float)
        signs = {name: np.where(here, values, np.nan) for name, values in watched.signs.items()}
        support = {name: (here & (amount > 0)).any(axis=1) for name, amount in watched.supported.items()}
        return {**found, **support, **support_outcomes(signs, watched.given * here[:, :, None], brain)}

    def counts(self) -> dict[str, Any]:
        """Return low counts on day 28, and the end of B-cell aplasia."""
        cells = self.solution["b_cells_blood"]
        low = np.logical_or.accumulate(cells < B_CELLS_BACK, axis=1)
        back = low & (cells >= B_CELLS_BACK) & (self.solution.times >= 28.0)[None, :]
        end = np.where(back.any(axis=1), self.solution.times[back.argmax(axis=1)], np.nan)
        return {
            "neutropenia_day28": self.on(28.0, "neutrophils") < LOW_NEUTROPHILS,
            "thrombocytopenia_day28": self.on(28.0, "platelets") < LOW_PLATELETS,
            "b_cell_aplasia_end_day": end,
        }

    def on(self, day: float, output: str) -> Array:
        """Return an output on one day of the grid, shape (patient,); NaN where the course does not reach it."""
        place = int(np.searchsorted(self.solution.times, day))
        if place >= self.solution.times.size or self.solution.times[place] != day:
            return np.full(len(self.ill), np.nan)
        return self.solution[output][:, place]

    def early_events(self) -> risk.Early:
        """Return deaths without relapse, early further treatment and drop-out."""
        worst = grade_4_day(self.watched.rounds, [self.watched.grades[name] for name in SAFETY_SCALES])
        start = self.solution.times >= 0
        return risk.early_events(
            self.ill.ids, self.seed, risk.hazards_of(self.protocol.disease), self.protocol.follow_up.drop_out.value,
            self.solution.times[start], self.solution["infection_hazard"][:, start], worst,
        )  # fmt: skip

    def events(self, early: risk.Early) -> dict[str, Any]:
        """Return responses, progression, transplant, further treatment, death and the end of the watch."""
        trial, ids, hazards = self.protocol, self.ill.ids, risk.hazards_of(self.protocol.disease)
        seen = self.assess(early.death)
        response = np.where(seen.response_day <= trial.visits.response_by, seen.response_day, np.nan)
        complete = response if self.criteria() == "b_all" else seen.complete_day
        complete = np.where(complete <= trial.visits.response_by, complete, np.nan)
        unanswered = self.no_remission(response)
        response, complete, progression = self.dated(seen.visits, response, complete, seen.progression_day)
        response, complete = (np.where(day > early.new_therapy, NEVER, day) for day in (response, complete))
        transplant, saved = risk.transplants(ids, self.seed, trial.transplant, response)
        transplant = np.where(transplant < np.minimum(progression, early.death), transplant, NEVER)
        progression = np.where(np.isfinite(transplant) & saved, NEVER, progression)
        later = risk.life_after(ids, self.seed, hazards, np.minimum(progression, unanswered))
        treated = later["new_therapy"]  # without remission not before the window for it has closed
        treated = np.where(np.isfinite(unanswered), np.maximum(treated, REMISSION_WINDOW + 1.0), treated)
        grafted = risk.transplant_death(ids, self.seed, hazards, transplant)
        death, cause = _first_death(early, later["death"], grafted)
        end = _ends(trial, ids, self.seed, death, early.drop_out, self.last)
        return _until(
            {
                "response_day": response, "cr_day": complete, "progression_day": progression,
                "transplant_day": transplant, "new_therapy_day": np.minimum(early.new_therapy, treated),
                "death_day": death, "death_cause": cause, "infection_day": early.infection,
                **self.response_columns(seen, response, complete, progression),
            },
            end,
        )  # fmt: skip

    def assess(self, until: Array) -> Any:
        """Return what the visits see."""
        from livingdrug.therapy.assessment import assess
        from livingdrug.therapy.monitoring import START

        visits = [day for day in self.protocol.visits.days if day <= self.last]
        return assess(
            self.solution.times, self.solution, self.criteria(), visits, baseline=START,
            patient_ids=self.ill.ids, until=np.where(np.isfinite(until), until, np.nan), seed=self.seed,
        )  # fmt: skip

    def criteria(self) -> str:
        """Return the criteria of response of the disease."""
        from livingdrug.trials.endpoint_names import CRITERIA

        return CRITERIA[self.protocol.disease]

    def no_remission(self, response: Array) -> Array:
        """Return the day from which leukaemia without remission is a failure, infinity for none and other diseases.

        Args:
            response: planned day of the first visit with a response, NaN for none.
        """
        if self.criteria() != "b_all":
            return np.full(response.size, NEVER)
        return np.where(response <= REMISSION_WINDOW, NEVER, self.protocol.visits.days[0])

    def dated(self, visits: Array, response: Array, complete: Array, progression: Array) -> tuple[Array, Array, Array]:
        """Return days of response, complete response and progression as they are dated; infinity for never."""
        plan, ids, rows = self.protocol.visits, self.ill.ids, np.arange(len(self.ill))
        real = real_days(visits, plan.window.value, ids, self.seed, "visits")

        def day(planned: Array) -> Array:
            place = np.minimum(np.searchsorted(visits, np.nan_to_num(planned, nan=NEVER)), visits.size - 1)
            return np.where(np.isfinite(planned), real[rows, place], NEVER)

        return day(response), day(complete), dated_progression(plan, visits, ids, self.seed, progression)

    def response_columns(self, seen: Any, response: Array, complete: Array, progression: Array) -> dict[str, Any]:
        """Return best response, residual disease, and what a relapse was like."""
        from livingdrug.clinic.response import RESPONSES

        names = np.array(RESPONSES)[seen.best]
        best = np.where(np.isfinite(response) | ~np.isin(names, ("PR", "VGPR", "CRi", "CR", "sCR")), names, "SD")
        share = seen.relapse_negative_share
        came = np.isfinite(progression)
        antigen = np.where(came & np.isfinite(share), np.where(share >= ANTIGEN_TELLS, "negative", "positive"), "")
        return {
            "best_response": best,
            "mrd_negative": np.isfinite(seen.mrd_negative_day),
            "progression_kind": np.where(came, np.where(np.isfinite(complete), "relapse", "progression"), ""),
            "relapse_antigen": antigen,
        }

    def kinetics(self, events: Mapping[str, Array]) -> dict[str, Array]:
        """Return the samples' summary, and the true peak."""
        plan, course = self.protocol.sampling, self.solution[self.protocol.sampling.output]
        planned = np.asarray([day for day in plan.days if day <= self.last])
        when = real_days(planned, plan.window.value, self.ill.ids, self.seed, "samples")
        until = np.fmin(events["last_followed_day"], np.nan_to_num(events["transplant_day"], nan=NEVER))
        seen = samples(plan, when, self.solution.times, course, self.ill.ids, self.seed, until)
        day, peak = self.solution.extreme["peak"]
        return {
            **summarise(when, seen, points=plan.half_life_points, fit=plan.half_life_fit),
            **{f"car_t_day{each}": on_day(planned, seen, float(each)) for each in (7, 14, 28, 90, 180)},
            "true_peak": peak, "true_peak_day": day,
        }  # fmt: skip
