"""Resets, steady states and modelled rates in solved models, beside SciPy's solver with every dose written out."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from livingdrug.errors import InputError
from livingdrug.inference.closed_form import DOSE, ClosedForm, one_compartment_oral, symbols
from livingdrug.inference.comparison import evaluate
from livingdrug.inference.data import EventData
from livingdrug.inference.engine_model import EngineModel
from livingdrug.inference.estimation import fit
from livingdrug.inference.problem import Problem
from livingdrug.inference.residual import additive
from livingdrug.inference.saem import SaemSettings
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
from livingdrug.model import Model, ddt, exp, lognormal, output, parameter, state, time, where

_spec = importlib.util.spec_from_file_location("event_cases", Path(__file__).with_name("event_cases.py"))
assert _spec is not None
assert _spec.loader is not None
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)
KA, CL, V, MANY, HEAD, ORAL, TIMING = (
    getattr(cases, name) for name in ("KA", "CL", "V", "MANY", "HEAD", "ORAL", "TIMING")
)
Oral, course, ever, rows, written_out = cases.Oral, cases.course, cases.ever, cases.rows, cases.written_out
oral, expected_oral, timing_of = cases.oral, cases.expected_oral, cases.timing_of

VMAX, KM = 60.0, 2.0
TOP = 100 / V


class Saturable(Model):
    """One compartment whose removal saturates, with a level of its own that production and the drug set."""

    amount = state("mg", "drug", floor=1e-9)
    level = state("mg", "what the drug lowers", initial=8.0, floor=1e-9)
    Vmax = parameter(VMAX, "mg/day", "greatest removal")
    Km = parameter(KM, "mg/L", "half of it")
    V = parameter(V, "L", "volume")
    make = parameter(4.0, "mg/day", "production of the level")
    fall = parameter(0.5, "1/day", "removal of the level without drug")
    equations = {
        ddt(amount): -Vmax * amount / V / (Km + amount / V),
        ddt(level): make - fall * level * (1 + amount / V / Km),
    }
    outputs = {"concentration": output(amount / V, "mg/L", "concentration")}


class Waning(Model):
    """Removal that slows with the clock; what is there at the start is a parameter."""

    base = parameter(7.0, "mg", "amount at the start")
    rate = parameter(0.4, "1/day", "removal on the first two days")
    amount = state("mg", "drug", initial=base, floor=1e-9)
    equations = {ddt(amount): -where(time < 2, rate, rate / 4) * amount}
    outputs = {"concentration": output(amount / 1.0, "mg", "amount")}


def oral_of(clearance: float) -> Callable[..., Any]:
    return lambda _t, x: [-KA * x[0], KA * x[0] - clearance / V * x[1]]


def saturable(_t: float, x: Any) -> list[float]:
    return [-VMAX * x[0] / V / (KM + x[0] / V), 4 - 0.5 * x[1] * (1 + x[0] / V / KM)]


def waning(t: float, x: Any) -> list[float]:
    return [-(0.4 if t < 2 else 0.1) * x[0]]


def predicted(model: type[Model], text: str, timing: dict[str, float] | None = None, **options: Any) -> np.ndarray:
    data = EventData.from_frame(pd.read_csv(io.StringIO(text), dtype=str))
    problem = as_problem(model, data, timing, **options)
    return problem.predict(problem.theta[None], np.zeros((1, problem.subjects, problem.d))).f[0]


def as_problem(
    model: type[Model],
    data: EventData,
    timing: dict[str, float] | None = None,
    held: Sequence[str] = (),
    **options: Any,
) -> Problem:
    parameters: dict[str, Any] = {
        name: one.value if name in held else Estimate(one.value, lognormal(0.3))
        for name, one in model.parameters.items()
        if name not in options.get("covariates", {})
    }
    parameters |= {name: Estimate(value, lognormal(0.3)) for name, value in (timing or {}).items()}
    compartments: dict[str, str] = {str(1 + k): name for k, name in enumerate(model.states)}
    structure = EngineModel(model, compartments=compartments, **options)
    return StatisticalModel(structure, parameters, Endpoint("concentration", additive(0.5))).problem(data)


@pytest.mark.parametrize("name", ORAL)
def test_events_as_with_every_dose_written_out(name: str) -> None:
    """Each kind of event beside a subject of another kind, which must not feel it."""
    other = "reset" if name != "reset" else "steady state"
    text = HEAD + rows("A", *ORAL[name][0]) + rows("B", *ORAL[other][0])
    expected = expected_oral(name) + expected_oral(other)
    assert predicted(Oral, text, timing_of(text)) == pytest.approx(expected, rel=2e-5, abs=1e-6)


def test_all_kinds_at_once() -> None:
    text = HEAD + "".join(rows(f"S{k}", *one[0]) for k, one in enumerate(ORAL.values()))
    expected = [value for name in ORAL for value in expected_oral(name)]
    assert predicted(Oral, text, TIMING) == pytest.approx(expected, rel=2e-5, abs=1e-6)


@pytest.mark.parametrize("rate", ["", "50"], ids=["at once", "infused"])
def test_steady_state_of_a_model_that_is_not_linear(rate: str) -> None:
    """30 mg a day where at most 60 a day can be removed: the level in steady state is no sum of single doses."""
    text = HEAD + rows("A", "0,30,.,1,1,.,.,.,.", "0.5", f"3,30,.,1,1,{rate or '.'},1,1,1", "3", "3.3", "4.2", "6")
    length = 30 / float(rate) if rate else 0.0
    phases: list[Any] = [(0, 0, [(0, 0, 30, 0)]), (3, 3 - 60, [*ever(3, 1, 0, 30, length, 60), (4, 0, 30, length)])]
    expected = [written_out(saturable, (0, 8), phases, t)[0] / V for t in (0.5, 3, 3.3, 4.2, 6)]
    assert predicted(Saturable, text) == pytest.approx(expected, rel=2e-5)


def test_a_reset_sets_states_to_their_start_and_leaves_the_clock() -> None:
    """Waning slows down on day 2 of the clock, not two days after the reset; the start is 7 mg, not zero."""
    text = HEAD + rows("A", "0,3,.,1,1,.,.,.,.", "1", "1.5,.,.,3,1,.,.,.,.", "1.8", "3", "4,.,.,3,1,.,.,.,.", "6")
    phases: list[Any] = [(0, 0, [(0, 0, 3, 0)]), (1.5, 1.5, []), (4, 4, [])]
    expected = [written_out(waning, (7,), phases, t)[0] for t in (1, 1.8, 3, 6)]
    assert predicted(Waning, text) == pytest.approx(expected, rel=1e-6)


def test_two_workers_give_the_bits_of_one() -> None:
    text = HEAD + "".join(rows(f"S{k}", *one[0]) for k, one in enumerate(ORAL.values()))
    one, two = (predicted(Oral, text, TIMING, threads=threads) for threads in (1, 2))
    assert one.tobytes() == two.tobytes()


def test_a_subject_has_the_same_steady_state_whoever_stands_beside_it() -> None:
    text = rows("A", "0,30,.,1,1,.,.,1,1", "0", "0.7")
    alone = predicted(Saturable, HEAD + text)
    beside = predicted(Saturable, HEAD + rows("Z", "0,50,.,1,1,.,.,2,1", "1") + text)
    assert alone.tobytes() == beside[1:].tobytes()


def test_slopes_of_a_steady_state_are_those_of_its_formula() -> None:
    """Of dose / V ... (1 - exp(-k)) by ka, V and CL; the formula is that of repeated oral doses, one a day."""
    text = HEAD + rows("A", "0,100,.,1,1,.,.,1,1", "0", "0.4", "3")
    problem = as_problem(Oral, EventData.from_frame(pd.read_csv(io.StringIO(text), dtype=str)))
    found = problem.predict(problem.theta[None], np.zeros((1, 1, problem.d)), 1)
    assert found.first is not None
    day = np.array([0, 0.4, 3])

    def formula(values: np.ndarray) -> np.ndarray:
        a, v, c = values
        k = c / v
        return 100 * a / (v * a - c) * (np.exp(-k * day) / -np.expm1(-k) - np.exp(-a * day) / -np.expm1(-a))

    middle = np.array([KA, V, CL])
    for j in range(3):
        step = np.exp(1e-5 * np.eye(3)[j])
        slope = (formula(middle * step) - formula(middle / step)) / 2e-5
        assert found.first[0, :, j] == pytest.approx(slope, rel=1e-5)
    assert found.f[0] == pytest.approx(formula(middle), rel=1e-6)


def test_a_steady_state_is_exact_and_smooth_in_the_parameters() -> None:
    """A day removes 30 mg: Vmax = 30 + Km V ln((A + 30) / A), so A = 30 / (exp((Vmax - 30) / (Km V)) - 1).

    From 42 to 85 mg a day can be removed.
    """
    text = HEAD + rows("A", "0,30,.,1,1,.,.,1,1", "0")
    problem = as_problem(
        Saturable, EventData.from_frame(pd.read_csv(io.StringIO(text), dtype=str)), held=("make", "fall")
    )
    path = problem.theta + np.zeros((41, 1))
    path[:, 0] += np.linspace(-0.35, 0.35, 41)
    found = np.array([problem.predict(one[None], np.zeros((1, 1, problem.d))).f[0, 0] for one in path])
    exact = (30 + 30 / np.expm1((VMAX * np.exp(path[:, 0] - problem.theta[0]) - 30) / (KM * V))) / V
    assert found == pytest.approx(exact, rel=1e-7)
    assert np.diff(found, 3) == pytest.approx(np.diff(exact, 3), abs=1e-7)


@pytest.mark.parametrize(
    ("model", "event", "timing", "words"),
    [
        (Waning, "0,10,.,1,1,.,.,1,1", {}, "'A', row 1.*no steady state.*reads the time"),
        (Saturable, "0,10,.,1,1,.,.,1,2", {}, "'A', row 1.*SS 2.*'amount' of saturable is not linear"),
        (Saturable, "0,90,.,1,1,.,.,1,1", {}, "'A', row 1.*SS 1.*'amount' of saturable does not come back"),
        (Oral, "0,10,.,1,1,-2,.,.,.", {}, "'A', row 1.*duration.*RATE -2.*'D1'"),
        (Oral, "0,10,.,1,2,-1,.,.,.", {"D2": 1.0}, "'A', row 1.*rate.*RATE -1.*'R2'"),
        (Oral, "0,10,.,1,2,.001,.,1,1", {}, "'A', row 1.*10000 days every 1 days.*at once"),
        (Oral, "0,10,.,1,7,.,.,.,.", {}, "compartment '7'.*name the state"),
        (Oral, "0,10,.,1,1,.,.,.,.", {"D1": 1.0}, "no observation depends on the parameter 'D1'"),
    ],
    ids=["clock", "added", "never", "duration", "rate", "long", "place", "idle"],
)
def test_what_cannot_be_is_refused_in_words(model: type[Model], event: str, timing: dict[str, float], words: str):
    """90 mg a day are more than the 60 that can be removed."""
    with pytest.raises(InputError, match=words):
        predicted(model, HEAD + rows("A", event, "1"), timing)


def test_a_state_that_only_counts_has_no_steady_state() -> None:
    class Counted(Model):
        """A total that grows with every dose."""

        amount = state("mg", "drug", floor=1e-9)
        total = state("mg", "drug removed so far", floor=1e-9)
        k = parameter(0.3, "1/day", "removal")
        equations = {ddt(amount): -k * amount, ddt(total): k * amount}
        outputs = {"concentration": output(amount / 1.0, "mg", "amount")}

    with pytest.raises(InputError, match="the state 'total' of counted does not come back"):
        predicted(Counted, HEAD + rows("A", "0,10,.,1,1,.,.,1,1", "1"))


def test_a_dose_before_day_0_and_before_the_first_sample() -> None:
    text = HEAD + rows("A", "-2,100,.,1,2,.,.,.,.", "1") + rows("B", "0,100,.,1,1,.,.,.,.", "1")
    expected = [100 / V * np.exp(-CL / V * 3), course(oral, (0, 0), [(0, 0, 100, 0)], 0, 1)[1] / V]
    assert predicted(Oral, text) == pytest.approx(expected, rel=1e-6)


MOVING = "ID,TIME,AMT,DV,EVID,CMT,CLR\nA,0,100,.,1,2,3\nA,1,.,1,0,1,3\nA,2,.,1,0,1,6\nA,3,.,1,0,1,6\nA,4,.,1,0,1,1\n"
STILL = "B,0,100,.,1,1,2\nB,2,.,1,0,1,2\nB,4,.,1,0,1,2\n"


def test_a_parameter_that_a_column_holds_moves_with_it() -> None:
    """Clearance 3 until day 2, then 6 until day 4: the value of a row holds from its time on."""
    expected = TOP * np.exp(-np.array([3, 6, 12, 18]) / V)
    still = [course(oral_of(2.0), (0, 0), [(0, 0, 100, 0)], 0, day)[1] / V for day in (2, 4)]
    found = predicted(Oral, MOVING + STILL, covariates={"CL": "CLR"})
    assert found == pytest.approx([*expected, *still], rel=1e-6)


RESETS = HEAD + rows("A", *ORAL["reset"][0]) + rows("B", "0,10,.,1,1,.,.,.,.", "1", "2,5,.,4,1,.,.,.,.", "3")


@pytest.mark.parametrize(
    ("model", "text", "covariates", "exact"),
    [(Oral, MOVING + STILL, {"CL": "CLR"}, True), (Oral, RESETS, {}, True), (Waning, RESETS, {}, False)],
    ids=["moving column", "reset", "reset to a start that is estimated"],
)
def test_slopes_are_those_of_quotients(model: type[Model], text: str, covariates: dict[str, str], exact: bool) -> None:
    """The engine's own slopes hold past a reset unless the states return to something that is estimated."""
    data = EventData.from_frame(pd.read_csv(io.StringIO(text), dtype=str))
    problem = as_problem(model, data, covariates=covariates)
    eta = np.zeros((1, 2, problem.d))
    found = problem.predict(problem.theta[None], eta, 1)
    assert found.first is not None
    assert problem.bound.tangents == exact
    for j in range(problem.d):
        step = 1e-4 * np.eye(problem.d)[j]
        up, down = (problem.predict(problem.theta[None], eta + sign * step).f for sign in (1, -1))
        assert problem.by_effects(found.first)[..., j] == pytest.approx((up - down) / 2e-4, rel=1e-3, abs=1e-4)


def test_where_a_column_moves_is_said_with_subject_and_row() -> None:
    head, moving = MOVING.split("\n", 1)
    data = EventData.from_frame(pd.read_csv(io.StringIO(f"{head}\n{STILL}{moving}"), dtype=str))
    assert as_problem(Oral, data).rows.moves("CLR") == "first of subject 'A', row 6"


def test_a_parameter_is_not_given_twice() -> None:
    data = EventData.from_frame(pd.read_csv(io.StringIO(MOVING), dtype=str))
    model = StatisticalModel(
        EngineModel(Oral, compartments={"2": "amount"}, covariates={"CL": "CLR"}), ESTIMATES, Endpoint("concentration")
    )
    with pytest.raises(InputError, match=r"'CL' is given twice.*'CLR'"):
        model.problem(data)


# -- the same model as a formula ---------------------------------------------------------------------------------------
def steady_formula() -> ClosedForm:
    """The course after a dose of a regimen of one a day: a geometric series of the courses of single doses."""
    ka, V, CL = symbols("ka", "V", "CL")
    k = CL / V
    rise, fall = exp(-k * time) / (1 - exp(-k)), exp(-ka * time) / (1 - exp(-ka))
    return ClosedForm("steady", {"concentration": DOSE * ka / (V * ka - CL) * (rise - fall)})


ESTIMATES = {
    "ka": Estimate(1.0, lognormal(0.4)),
    "V": Estimate(18.0, lognormal(0.2)),
    "CL": Estimate(3.5, lognormal(0.3)),
}
DAYS = np.array([0.0, 0.3, 0.9, 3, 6, 12])


def simulated(subjects: int, lloq: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Days of one subject after another, and what was measured after a dose in steady state."""
    random = np.random.default_rng(seed)
    a, v, c = (np.array([KA, V, CL]) * np.exp(random.standard_normal((subjects, 3)) * [0.4, 0.2, 0.3])).T[..., None]
    value = 100 * a / (v * a - c) * (np.exp(-c / v * DAYS) / -np.expm1(-c / v) - np.exp(-a * DAYS) / -np.expm1(-a))
    return np.tile(DAYS, subjects), np.maximum(value + 0.5 * random.standard_normal(value.shape), lloq).ravel()


def both(subjects: int = 8, lloq: float = 10.0) -> dict[str, tuple[StatisticalModel, EventData]]:
    """One regimen in steady state with the late samples below the limit: as a formula and solved."""
    days, value = simulated(subjects, lloq, 3)
    found = {}
    for name, structure in (("closed", steady_formula()), ("solved", EngineModel(Oral, compartments={"1": "depot"}))):
        doses = {"subject": np.arange(subjects), "time": np.zeros(subjects), "amount": np.full(subjects, 100.0)}
        data = EventData.from_arrays(
            ids=range(subjects), subject=np.repeat(np.arange(subjects), len(DAYS)), time=days, value=value,
            censoring=value <= lloq, lloq=lloq,
            doses=doses | ({"steady": 1, "interval": 1.0} if name == "solved" else {}),
        )  # fmt: skip
        found[name] = StatisticalModel(structure, ESTIMATES, Endpoint("concentration", additive(0.6))), data
    return found


def test_focei_of_a_steady_state_agrees_with_that_of_its_formula() -> None:
    """Values below the limit count by their chance (M3) in both."""
    closed, solved = (fit(model, data, "focei", standard_errors=None) for model, data in both().values())
    assert (~solved.problem.rows.points).sum() >= 6
    assert dict(solved.estimates_) == pytest.approx(dict(closed.estimates_), rel=2e-4)
    assert solved.minus2ll_ == pytest.approx(closed.minus2ll_, abs=1e-3)


@pytest.mark.slow
def test_saem_of_a_steady_state_agrees_with_that_of_its_formula() -> None:
    """By one yardstick: both answers stand at the same -2 log likelihood of the formula, within SAEM's own noise."""
    models = both()
    settings = SaemSettings(60, 60)
    found = [fit(model, data, "saem", saem=settings, standard_errors=None) for model, data in models.values()]
    at = [evaluate(*models["closed"], dict(one.estimates_))[0] for one in found]
    assert at[1] == pytest.approx(at[0], abs=0.3)


def test_resets_between_occasions_and_values_below_the_limit() -> None:
    """Occasions begin with a reset and a dose; likelihoods of formula and solved model, at effects drawn at random."""
    lines = []
    for k, who in enumerate("ABCD"):
        for occasion, at in enumerate((0.0, 3.0 + k)):
            lines.append(f"{who},{at},{100 + 10 * k},.,{4 if at else 1},{occasion + 1},0")
            for day, value in ((0.4, 3.0), (1.0, 3.5), (2.5, 2.0)):
                lines.append(f"{who},{at + day},.,{value},0,{occasion + 1},{int(value == 2.0)}")
    text = "ID,TIME,AMT,DV,EVID,OCC,CENS\n" + "\n".join(lines) + "\n"
    data = EventData.from_frame(pd.read_csv(io.StringIO(text), dtype=str))
    parameters = ESTIMATES | {"CL": Estimate(3.5, lognormal(0.3), occasions=lognormal(0.4))}
    found = []
    for structure in (one_compartment_oral(), EngineModel(Oral, compartments={"1": "depot"})):
        problem = StatisticalModel(structure, parameters, Endpoint("concentration", additive(0.6))).problem(data)
        eta = 0.3 * np.random.default_rng(8).standard_normal((5, problem.subjects, problem.d))
        found.append((problem.loglik(problem.theta[None], eta), problem.inner(problem.theta[None], eta)[0]))
    (closed, inner), (solved, by_quotients) = found
    assert solved == pytest.approx(closed, rel=1e-5)
    assert by_quotients.gradient == pytest.approx(inner.gradient, rel=1e-3, abs=1e-3)
