"""Doses, resets and samples at one time, in a closed form and in a solved model; expected values are worked out."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest

from livingdrug.errors import InputError
from livingdrug.inference.closed_form import DOSE, ClosedForm, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.engine_model import EngineModel
from livingdrug.inference.residual import additive
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
from livingdrug.model import Model, ddt, exp, lognormal, output, parameter, state, time

K = 0.15  # 3 / 20
TOP = 5.0  # 100 / 20


class Bolus(Model):
    """One compartment."""

    amount = state("mg", "drug", floor=1e-9)
    CL = parameter(3.0, "L/day", "clearance")
    V = parameter(20.0, "L", "volume")
    equations = {ddt(amount): -CL / V * amount}
    outputs = {"concentration": output(amount / V, "mg/L", "concentration")}


def closed() -> ClosedForm:
    CL, V = symbols("CL", "V")
    return ClosedForm("bolus", {"concentration": DOSE / V * exp(-CL / V * time)})


STRUCTURES = {"closed": closed, "solved": lambda: EngineModel(Bolus, compartments={"1": "amount"})}


def predicted(structure: str, text: str) -> np.ndarray:
    data = EventData.from_frame(pd.read_csv(io.StringIO(text), dtype=str))
    parameters = {"CL": Estimate(3.0, lognormal(0.3)), "V": Estimate(20.0, lognormal(0.2))}
    model = StatisticalModel(STRUCTURES[structure](), parameters, Endpoint("concentration", additive(0.5)))
    problem = model.problem(data)
    return problem.predict(problem.theta[None], np.zeros((1, problem.subjects, problem.d))).f[0]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_sample_listed_before_a_dose_of_its_time_does_not_see_it(structure: str) -> None:
    text = "ID,TIME,AMT,DV,EVID\nA,0,.,0,0\nA,0,100,.,1\nA,2,.,1,0\nA,2,100,.,1\nA,3,.,1,0\n"
    expected = [0.0, TOP * math.exp(-2 * K), TOP * (math.exp(-3 * K) + math.exp(-K))]
    assert predicted(structure, text) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_sample_listed_after_a_dose_of_its_time_sees_it(structure: str) -> None:
    text = "ID,TIME,AMT,DV,EVID\nA,0,100,.,1\nA,0,.,1,0\nA,2,100,.,1\nA,2,.,1,0\n"
    assert predicted(structure, text) == pytest.approx([TOP, TOP * (1 + math.exp(-2 * K))], rel=1e-5)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_additional_doses_come_before_a_sample_of_their_time(structure: str) -> None:
    text = "ID,TIME,AMT,DV,EVID,ADDL,II\nA,0,100,.,1,2,1\nA,1,.,1,0,.,.\nA,2.5,.,1,0,.,.\n"
    expected = [TOP * (1 + math.exp(-K)), TOP * sum(math.exp(-K * (2.5 - day)) for day in range(3))]
    assert predicted(structure, text) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_reset_ends_what_was_given_before_it(structure: str) -> None:
    text = "ID,TIME,AMT,DV,EVID\nA,0,100,.,1\nA,1,.,1,0\nA,2,.,.,3\nA,3,.,1,0\nA,4,100,.,4\nA,5,.,1,0\n"
    text += "B,0,100,.,1\nB,5,.,1,0\n"
    expected = [TOP * math.exp(-K), 0.0, TOP * math.exp(-K), TOP * math.exp(-5 * K)]
    assert predicted(structure, text) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("evid", [3, 4])
def test_a_reset_cancels_the_doses_that_were_to_come(structure: str, evid: int) -> None:
    """Doses on days 0, 1 and 2, later ones cancelled on day 2.5; that of the reset itself and its own go on."""
    again = "40,.,4,1,2" if evid == 4 else ".,.,3,.,."
    text = "ID,TIME,AMT,DV,EVID,ADDL,II\nA,0,100,.,1,9,1\nA,2.2,.,1,0,.,.\n"
    text += f"A,2.5,{again}\nA,3.5,.,1,0,.,.\nA,5,.,1,0,.,.\n"
    first = TOP * sum(math.exp(-K * (2.2 - day)) for day in range(3))
    after = [2 * math.exp(-K), 2 * (math.exp(-2.5 * K) + math.exp(-0.5 * K))] if evid == 4 else [0.0, 0.0]
    assert predicted(structure, text) == pytest.approx([first, *after], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_infusions_and_steady_states_begin_with_their_row(structure: str) -> None:
    """2 days of 50 mg a day, ended by a dose in steady state on day 1; what it holds appears with its row."""
    text = "ID,TIME,AMT,DV,RATE,II,SS\nA,0,100,.,50,.,.\nA,1,.,1,.,.,.\nA,1,40,.,.,2,1\nA,1,.,1,.,.,.\nA,4,.,1,.,.,.\n"
    running, peak = 50 / 3 * (1 - math.exp(-K)), 2 / (1 - math.exp(-2 * K))
    expected = [running, peak, peak * math.exp(-3 * K)]
    assert predicted(structure, text) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ID,TIME,AMT,DV,CMT\nA,0,100,.,1\nA,1,.,1,2\nB,0,100,.,2\nB,1,.,1,2\n", "'B', row 3.*two compartments"),
        ("ID,TIME,DV\nA,1,1\nA,2,1\n", "the data hold none"),
    ],
)
def test_doses_that_a_closed_form_cannot_have_are_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        predicted("closed", text)
