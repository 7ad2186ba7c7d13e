"""Infusions, steady states and modelled rates in closed forms.

Beside textbook formulas, SciPy and the solved model.
"""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from livingdrug.engine.graph import Graph
from livingdrug.errors import InputError
from livingdrug.inference import exponentials
from livingdrug.inference.closed_form import (
    DOSE,
    ClosedForm,
    covariate,
    dose_into,
    emax,
    one_compartment,
    one_compartment_oral,
    symbols,
    two_compartment,
    two_compartment_oral,
)
from livingdrug.inference.data import EventData
from livingdrug.inference.engine_model import EngineModel
from livingdrug.inference.estimation import fit
from livingdrug.inference.problem import Problem
from livingdrug.inference.ready_spec import read_specification, statistical_model
from livingdrug.inference.residual import additive
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
from livingdrug.model import exp, lognormal, normal, time, where

_spec = importlib.util.spec_from_file_location("event_cases", Path(__file__).with_name("event_cases.py"))
assert _spec is not None
assert _spec.loader is not None
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)
HEAD, ORAL, TIMING, rows = cases.HEAD, cases.ORAL, cases.TIMING, cases.rows

ONE = {"CL": 3.0, "V": 20.0}
K = 0.15  # 3 / 20
PK = ONE | {"ka": 1.2}
TWO = {"CL": 3.0, "V1": 20.0, "Q": 5.0, "V2": 40.0}


def read(text: str) -> EventData:
    return EventData.from_frame(pd.read_csv(io.StringIO(text), dtype=str))


def joined(structure: Any, values: dict[str, float], data: EventData) -> Problem:
    parameters = {name: Estimate(value, lognormal(0.3)) for name, value in values.items()}
    return StatisticalModel(structure, parameters, Endpoint("concentration", additive(0.5))).problem(data)


def predicted(structure: Any, values: dict[str, float], text: str) -> np.ndarray:
    problem = joined(structure, values, read(text))
    return problem.predict(problem.theta[None], np.zeros((1, problem.subjects, problem.d))).f[0]


def all_kinds() -> str:
    return HEAD + "".join(rows(f"S{k}", *one[0]) for k, one in enumerate(ORAL.values()))


@pytest.fixture(scope="module")
def everything() -> Problem:
    """Every kind of event, into depot and blood."""
    return joined(one_compartment_oral(depot="1", central="2"), PK | TIMING, read(all_kinds()))


# -- beside other answers ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["rate of the model", "steady state with a rate of the model"])
def test_as_with_every_dose_written_out(name: str) -> None:
    text = HEAD + rows("A", *ORAL[name][0])
    found = predicted(one_compartment_oral(depot="1", central="2"), PK | cases.timing_of(text), text)
    assert found == pytest.approx(cases.expected_oral(name), rel=2e-9)


def test_every_kind_as_the_same_model_solved(everything: Problem) -> None:
    """At effects drawn at random, so that the model's own rates and durations lie on both sides of the interval."""
    structure = EngineModel(cases.Oral, compartments={"1": "depot", "2": "amount"}, rtol=1e-10)
    solved = joined(structure, PK | TIMING, read(all_kinds()))
    eta = 0.3 * np.random.default_rng(2).standard_normal((3, solved.subjects, solved.d))
    assert everything.by == solved.by
    found, expected = (p.predict(p.theta[None], eta).f for p in (everything, solved))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_textbook_infusions_into_one_compartment() -> None:
    """Over 0.4 days, once and every day in steady state: R0 / CL (1 - exp(-k t)) while it runs, then a decline."""
    day, length, rate = np.array([0.1, 0.4, 0.9, 2.0]), 0.4, 250.0
    run = np.minimum(day, length)
    once = rate / 3 * -np.expm1(-K * run) * np.exp(-K * (day - run))
    trough = rate / 3 * -np.expm1(-K * length) * np.exp(-K * (1 - length)) / -np.expm1(-K)
    samples = [str(one) for one in day]
    text = HEAD + rows("A", f"0,100,.,1,1,{rate},.,.,.", *samples) + rows("B", f"0,100,.,1,1,{rate},.,1,1", *samples)
    text += rows("C", "0,0,.,1,1,30,.,.,1", *samples) + rows("D", "0,100,.,1,1,.,.,1,1", *samples)
    expected = [*once, *(once + trough * np.exp(-K * day)), *(10 * np.exp(-K * day))]
    expected += [*(5 * np.exp(-K * day) / -np.expm1(-K))]
    assert predicted(one_compartment(), ONE, text) == pytest.approx(expected, rel=1e-12)


def linear(oral: bool) -> np.ndarray:
    """Rates between depot, first and second compartment, in amounts, with an inflow as the last state."""
    k, out, back = 3 / 20, 5 / 20, 5 / 40
    rates = np.array([[-1.2, 0, 0, 0], [1.2, -k - out, back, 0], [0, out, -back, 0], [0, 0, 0, 0]])
    rates[0 if oral else 1, 3] = 1.0
    return rates


def by_exponential(oral: bool, day: float, length: float = 0.0, interval: float = 0.0) -> float:
    """Concentration after 100 mg by SciPy's exponential of a matrix; in steady state by its inverse."""
    from scipy.linalg import expm

    def after(start: np.ndarray, days: float, infused: float = 0.0) -> np.ndarray:
        return (expm(rates * days) @ np.r_[start, infused])[:3]

    rates, place = linear(oral), 0 if oral else 1

    def dosed(start: np.ndarray, until: float) -> np.ndarray:
        if not length:
            return after(start + 100 * np.eye(3)[place], until)
        run = min(until, length)
        return after(after(start, run, 100 / length), until - run)

    start = np.zeros(3)
    if interval:
        start = np.linalg.solve(np.eye(3) - expm(rates[:3, :3] * interval), dosed(start, interval))
    return float(dosed(start, day)[1] / 20)


@pytest.mark.parametrize("oral", [False, True], ids=["into the blood", "by mouth"])
def test_two_compartments_as_by_the_exponential_of_their_matrix(oral: bool) -> None:
    day = [0.2, 0.7, 1.5, 6.0, 40.0]
    samples = [str(one) for one in day]
    text = HEAD + rows("A", "0,100,.,1,1,.,.,.,.", *samples) + rows("B", "0,100,.,1,1,200,.,.,.", *samples)
    text += rows("C", "0,100,.,1,1,.,.,2,1", *samples) + rows("D", "0,100,.,1,1,200,.,2,1", *samples)
    given = [(0.0, 0.0), (0.5, 0.0), (0.0, 2.0), (0.5, 2.0)]
    expected = [by_exponential(oral, d, *one) for one in given for d in day]
    form, values = (two_compartment_oral(), TWO | {"ka": 1.2}) if oral else (two_compartment(), TWO)
    assert predicted(form, values, text) == pytest.approx(expected, rel=1e-10)


def test_a_dose_into_the_blood_beside_one_by_mouth() -> None:
    text = HEAD + rows("A", "0,100,.,1,1,.,.,.,.", "0.7") + rows("B", "0,100,.,1,2,200,.,2,1", "0.7")
    expected = [by_exponential(True, 0.7), by_exponential(False, 0.7, 0.5, 2.0)]
    found = predicted(two_compartment_oral(depot="1", central="2"), TWO | {"ka": 1.2}, text)
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("decline", [1e-6, 1e-4, 1e-2, 1.0, 30.0, 300.0])
@pytest.mark.parametrize("length", [7e-4, 0.05, 0.8])
def test_short_infusions_of_slow_and_fast_drugs_keep_their_digits(decline: float, length: float) -> None:
    """NumPy's expm1 keeps them too: (1 - exp(-k D)) / (k D) exp(-k (t - D)), and its geometric series."""
    text = (
        HEAD
        + rows("A", f"0,1,.,1,1,{1 / length:.17g},.,.,.", "1")
        + rows("B", f"0,1,.,1,1,{1 / length:.17g},.,2,1", "1")
    )
    once = -np.expm1(-decline * length) / (decline * length) * np.exp(-decline * (1 - length))
    found = predicted(one_compartment(), {"CL": decline, "V": 1.0}, text)
    assert found == pytest.approx([once, once / -np.expm1(-2 * decline)], rel=1e-11)


def test_a_subject_has_the_same_bits_whoever_stands_beside_it() -> None:
    text = rows("A", "0,30,.,1,1,.,.,.,.", "1", "2,30,.,1,1,.,.,.,.", "3")
    alone = predicted(one_compartment_oral(), PK, HEAD + text)
    beside = predicted(one_compartment_oral(), PK, HEAD + rows("Z", "0,50,.,1,1,100,.,2,1", "1") + text)
    assert alone.tobytes() == beside[1:].tobytes()


def test_small_blocks_give_the_same_bits(everything: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few pairs of rows and doses are evaluated at once, and a row with more doses than that."""
    eta = 0.2 * np.random.default_rng(5).standard_normal((4, everything.subjects, everything.d))
    whole = everything.predict(everything.theta[None], eta, 2)
    for most in (1, 7):
        monkeypatch.setattr("livingdrug.inference.bound_form.BLOCK", most)
        again = joined(one_compartment_oral(depot="1", central="2"), PK | TIMING, read(all_kinds()))
        assert any(len(part.blocks) > 1 for part in again.bound.parts)
        cut = again.predict(again.theta[None], eta, 2)
        for one, other in ((whole.f, cut.f), (whole.first, cut.first), (whole.second, cut.second)):
            assert one is not None
            assert other is not None
            assert one.tobytes() == other.tobytes()


# -- derivatives -------------------------------------------------------------------------------------------------------
def test_derivatives_are_those_of_quotients(everything: Problem) -> None:
    """First and second, by rates and durations of the model too."""
    theta = everything.theta[None]
    eta = 0.2 * np.random.default_rng(3).standard_normal((2, everything.subjects, everything.d))
    found = everything.predict(theta, eta, 2)
    assert found.first is not None
    assert found.second is not None
    assert np.abs(found.first).max(axis=(0, 1)).min() > 1  # by every parameter
    for j in range(everything.d):
        step = 1e-5 * np.eye(everything.d)[j]
        up, down = (everything.predict(theta, eta + sign * step, 1) for sign in (1, -1))
        assert found.first[..., j] == pytest.approx((up.f - down.f) / 2e-5, rel=1e-6, abs=1e-7)
        assert up.first is not None
        assert down.first is not None
        assert found.second[..., j] == pytest.approx((up.first - down.first) / 2e-5, rel=1e-6, abs=1e-7)


# -- fits --------------------------------------------------------------------------------------------------------------
def both() -> list[tuple[StatisticalModel, EventData]]:
    """A formula and the same model solved: infusions of unknown length in steady state, late samples below 3.

    The lengths lie well between two samples: at a sample the likelihood has a kink, and FOCEI no mode to stand on.
    """
    days, random = np.array([0.1, 0.2, 1.2, 3, 6, 14]), np.random.default_rng(5)
    lines = []
    for who in range(8):
        clearance, volume, length = np.array([3, 20, 0.5]) * np.exp(random.standard_normal(3) * [0.3, 0.2, 0.2])
        k, run = clearance / volume, np.minimum(days, length)
        once = 100 / length / clearance * -np.expm1(-k * run) * np.exp(-k * (days - run))
        trough = 100 / length / clearance * -np.expm1(-k * length) * np.exp(-k * (2 - length)) / -np.expm1(-2 * k)
        value = once + trough * np.exp(-k * days) + 0.1 * random.standard_normal(len(days))
        lines.append(f"{who},0,100,.,1,-2,2,1,0\n")
        lines += [f"{who},{d},.,{max(v, 3.0):.4f},0,.,.,.,{int(v <= 3)}\n" for d, v in zip(days, value, strict=True)]
    data = read("ID,TIME,AMT,DV,EVID,RATE,II,SS,CENS\n" + "".join(lines))
    parameters = {
        "CL": Estimate(3.5, lognormal(0.3)), "V": Estimate(18.0, lognormal(0.2)), "D1": Estimate(0.45, lognormal(0.2)),
    }  # fmt: skip
    structures = (one_compartment(), EngineModel(cases.Blood, compartments={"1": "amount"}))
    return [(StatisticalModel(one, parameters, Endpoint("concentration", additive(0.2))), data) for one in structures]


def test_focei_of_an_infusion_in_steady_state_agrees_with_the_solved_model() -> None:
    closed, solved = (fit(model, data, "focei", standard_errors=None) for model, data in both())
    assert (~closed.problem.rows.points).sum() >= 4
    assert dict(closed.estimates_) == pytest.approx(dict(solved.estimates_), rel=5e-4)
    assert closed.minus2ll_ == pytest.approx(solved.minus2ll_, abs=1e-3)


# -- what is refused ---------------------------------------------------------------------------------------------------
a, k, g = symbols("a", "k", "g")
BAD = {
    "lag": ClosedForm("lag", {"concentration": DOSE * where(time < a, 0, exp(-k * (time - a)))}),
    "power": ClosedForm("power", {"concentration": DOSE / (a + k * time)}),
    "kink": ClosedForm("kink", {"concentration": DOSE * exp(-where(time < 1, a, k))}),
    "saturates": ClosedForm("saturates", {"concentration": DOSE / (a + DOSE) * exp(-k * time)}),
    "baseline": ClosedForm("baseline", {"concentration": a + DOSE * exp(-k * time)}),
    "grows": ClosedForm("grows", {"concentration": DOSE * a * exp(k * time)}),
}  # fmt: skip
INFUSION, STEADY = "0,10,.,1,1,50,.,.,.", "0,10,.,1,1,.,.,1,1"


@pytest.mark.parametrize(
    ("name", "event", "words"),
    [
        ("lag", INFUSION, "lag: subject 'A', row 1: an infusion .RATE. needs a formula .* sum of exponentials"),
        ("power", STEADY, "row 1: a steady state .SS. needs a formula .* sum of exponentials"),
        ("kink", INFUSION, "sum of exponentials"),
        ("saturates", INFUSION, "row 1: the formula does not grow in proportion to the dose"),
        ("baseline", INFUSION, "row 1: the formula does not grow in proportion to the dose"),
        ("baseline", STEADY, "row 1: no steady state .SS. .* does not decline .*exponent is 0 per day"),
        ("grows", STEADY, "row 1: no steady state .SS. .* does not decline .*exponent is 0.5[0-9]* per day"),
    ],
)
def test_formulas_that_tell_nothing_of_it_are_refused(name: str, event: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        predicted(BAD[name], dict.fromkeys(BAD[name].parameters[:-2], 0.5), HEAD + rows("A", event, "1"))


def test_a_growing_response_may_be_infused() -> None:
    """10 at the rate 5 a day: a (exp(k t) - exp(k (t - 2))) / (2 k) times 10, at t = 3."""
    found = predicted(BAD["grows"], {"a": 0.5, "k": 0.5}, HEAD + rows("A", "0,10,.,1,1,5,.,.,.", "3"))
    assert found == pytest.approx([5 * (np.exp(1.5) - np.exp(0.5))], rel=1e-12)


def test_a_response_that_is_not_in_proportion_may_be_in_steady_state() -> None:
    found = predicted(BAD["saturates"], {"a": 30.0, "k": 0.5}, HEAD + rows("A", STEADY, "2"))
    assert found == pytest.approx([0.25 * np.exp(-1) / (1 - np.exp(-0.5))], rel=1e-12)


def test_later_values_without_a_steady_state_are_impossible_only() -> None:
    """Where the exponent turns positive on the way there is no prediction, and no complaint."""
    form = ClosedForm("either", {"concentration": DOSE * a * exp(-g * time)})
    parameters = {"a": Estimate(0.5, lognormal(0.3)), "g": Estimate(0.4, normal(0.3))}
    data = read(HEAD + rows("A", STEADY, "1"))
    problem = StatisticalModel(form, parameters, Endpoint("concentration", additive(0.5))).problem(data)
    found = problem.predict(problem.theta[None], np.array([[[0.0, 0.0]], [[0.0, -0.5]]])).f[:, 0]
    assert found[0] == pytest.approx(5 * np.exp(-0.4) / (1 - np.exp(-0.4)), rel=1e-12)
    assert np.isnan(found[1])
    assert problem.loglik(problem.theta[None], np.array([[[0.0, -0.5]]]))[0, 0] < -1e10


@pytest.mark.parametrize(
    ("form", "values", "event", "words"),
    [
        (one_compartment(), ONE, "0,10,.,1,1,-2,.,.,.", "'A', row 1.*duration.*'D1'"),
        (one_compartment(), ONE, "0,10,.,1,1,-1,.,1,1", "'A', row 1.*rate.*'R1'"),
        (one_compartment(), ONE, "0,10,.,1,2,-1,.,.,.", r"'A', row 1.*rate.*'R2'.*dose_into\('2'\) in place of DOSE"),
        (one_compartment("1"), ONE, "0,10,.,1,2,.,.,.,.", "'A', row 1.*compartment of a dose '2'"),
        (one_compartment(), ONE | {"D1": 1.0}, "0,10,.,1,1,.,.,.,.", "no observation depends on the parameter 'D1'"),
    ],
    ids=["duration", "rate", "elsewhere", "place", "idle"],
)
def test_what_is_missing_is_named(form: ClosedForm, values: dict[str, float], event: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        predicted(form, values, HEAD + rows("A", event, "1"))


def test_doses_into_any_and_into_named_compartments_are_not_mixed() -> None:
    with pytest.raises(InputError, match=r"dose_into\(...\) everywhere or nowhere"):
        ClosedForm("mixed", (DOSE + dose_into("2")) * exp(-k * time))


def test_a_steady_state_needs_its_interval() -> None:
    doses = {"subject": [0], "time": [0.0], "amount": [100.0], "steady": 1}
    data = EventData.from_arrays(ids=["A"], subject=[0], time=[1.0], value=[3.0], doses=doses)
    with pytest.raises(InputError, match=r"'A', row 1: steady state \(SS\) without"):
        joined(one_compartment(), ONE, data)


def test_a_formula_without_a_dose_reads_none() -> None:
    """Its effect is that of a column; how the dose was given says nothing."""
    text = "ID,TIME,AMT,DV,EVID,RATE,II,SS,DOSE\nA,0,10,.,1,5,1,1,10\nA,1,.,1,0,.,.,.,10\n"
    parameters = {"E0": Estimate(1.0, lognormal(0.3)), "Emax": Estimate(10.0), "ED50": Estimate(10.0)}
    problem = StatisticalModel(emax(), parameters, Endpoint("effect", additive(0.5))).problem(read(text))
    assert problem.predict(problem.theta[None], np.zeros((1, 1, problem.d))).f[0] == pytest.approx([6.0])


# -- reading a formula -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("formula", "count"),
    [
        (exp(-k * time) * (a - exp(-g * (time - a))), 2),
        (-exp(a - (k + g) * time) / a + exp(-k * time), 2),
        (where(a < k, exp(-a * time), a * exp(-k * time)), 2),
        (k * exp(-a * time) * exp(a * time) + k * a**2, 1),
        (covariate("WT") * exp(-k * time), 1),
        (exp(-k * time) ** 2, None),
        (exp(-k * time * time), None),
        (1 / (1 + exp(-k * time)), None),
        (where(time < a, 0.0, exp(-k * time)), None),
        (time * exp(-k * time), None),
    ],
)
def test_sums_of_exponentials_are_recognised(formula: Any, count: int | None) -> None:
    """And mean what the formula says."""
    graph = Graph()
    terms = exponentials.exponentials(graph, formula, {})
    if count is None:
        assert terms is None
        return
    assert terms is not None
    assert len(terms) == count
    form = ClosedForm("again", {"concentration": formula * DOSE})
    values = {name: 0.7 for name in ("a", "k", "g") if name in form.parameters}
    columns = ",WT\n", ",70\n"
    text = HEAD.strip() + columns[0] + "A,0,2,.,1,1,200000000,.,.,.,70\nA,3,.,1,0,1,.,.,.,.,70\n"
    plain = text.replace("200000000", ".")
    assert predicted(form, values, text) == pytest.approx(predicted(form, values, plain), rel=1e-7)


# -- named in a file ---------------------------------------------------------------------------------------------------
def test_a_file_names_a_form_its_compartments_and_its_modelled_duration(tmp_path: Path) -> None:
    """ADVAN2 with doses by mouth and an infusion into the blood whose duration is estimated, as from Python."""
    path = tmp_path / "model.toml"
    path.write_text(
        'options = { depot = "1", central = "2" }\n'
        + "".join(f'[parameters.{n}]\nvalue = {v}\nspread = "lognormal"\nsd = 0.3\n' for n, v in PK.items())
        + '[parameters.D2]\nvalue = 0.2\nspread = "lognormal"\nsd = 0.3\n'
        + '[endpoints.concentration]\nresidual = "additive"\nstart = [0.5]\n',
        encoding="utf-8",
    )
    data = read("ID,TIME,AMT,RATE,CMT,EVID,DV\n1,0,100,0,1,1,.\n1,0.1,50,-2,2,1,.\n1,0.2,0,0,2,0,3\n1,1,0,0,2,0,4\n")
    theirs = statistical_model("one_compartment_oral", read_specification(path)).problem(data)
    ours = joined(one_compartment_oral(depot="1", central="2"), PK | {"D2": 0.2}, data)
    eta = np.zeros((1, 1, 4))
    where_ours = [theirs.names.index(name) for name in ours.names]
    assert theirs.theta[where_ours] == pytest.approx(ours.theta)
    assert theirs.predict(theirs.theta[None], eta).f == pytest.approx(ours.predict(ours.theta[None], eta).f)
    path.write_text(path.read_text(encoding="utf-8").replace("depot", "depots"), encoding="utf-8")
    with pytest.raises(InputError, match=r"option of two_compartment_oral.*depots.*depot"):
        statistical_model("two_compartment_oral", read_specification(path))
