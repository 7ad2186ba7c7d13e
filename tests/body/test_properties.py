"""What must hold for any model: doses add up, patients are independent, chance belongs to the patient."""

import numpy as np
import pytest

from livingdrug.body.diseases import PATIENTS
from livingdrug.body.signs import Ward, read_body
from livingdrug.body.treatment import cells, lymphodepletion
from livingdrug.body.twin import TwinBody
from livingdrug.body.variability import draw_patients
from livingdrug.engine.solve import solve

DAYS = np.array([-6.0, 0.0, 7.0, 14.0, 28.0, 90.0, 365.0])


def test_two_half_doses_at_one_instant_are_one(clinic):
    one = clinic.follow("lbcl_cd28", dose=2e8, days=DAYS)
    halves = clinic.follow("lbcl_cd28", dose=1e8, more=cells(1e8), days=DAYS)
    assert halves.values == pytest.approx(one.values, rel=1e-9, abs=1e-9)


def test_order_company_and_threads_change_nothing(clinic):
    ids = np.array([4, 11, 2, 7])
    patient = PATIENTS["b_all"]
    given = [*lymphodepletion(patient.lymphodepletion), *cells(patient.dose_cells)]

    def follow(chosen, **options):
        drawn = draw_patients(chosen, patient.values(), seed=3)
        return clinic.solve(drawn, given, DAYS, patient_ids=chosen, seed=3, **options)

    together, back = follow(ids, threads=2), follow(ids[::-1], threads=1)
    assert (together.values == back.values[::-1]).all()
    assert (follow(ids[2:3]).values[0] == together.values[2]).all()
    assert (follow(ids[2:3] + 100).values[0] != together.values[2]).any()


def test_one_patient_on_the_ward_leaves_the_others_untouched():
    """Tocilizumab for one patient at a round: the others' courses and measurements stay the same to the last bit."""
    ids = np.arange(6)
    patient = PATIENTS["lbcl_cd28"]
    given = [*lymphodepletion(patient.lymphodepletion), *cells(patient.dose_cells)]
    drawn = draw_patients(ids, patient.values(), seed=1)

    def follow(treated):
        from livingdrug.body.treatment import tocilizumab

        ward, seen = Ward(ids, seed=1), []

        def visit(body):
            seen.append(ward.measure(read_body(body), body.number))
            if body.number == 12:
                body.give(*tocilizumab(70.0, day=np.where(ids == treated, body.time, np.nan)))

        rounds = np.arange(0.25, 14.0, 1 / 3)
        solve(TwinBody, drawn, [-6.0, 14.0], doses=given, rounds=rounds, visit=visit, outputs=["il6"], patient_ids=ids)
        return {name: np.array([each[name] for each in seen]) for name in seen[0]}

    none, one = follow(-1), follow(4)
    for name in none:
        assert (none[name][:, ids != 4] == one[name][:, ids != 4]).all(), name
    assert (one["il6"][14:, 4] > none["il6"][14:, 4]).mean() > 0.9
    assert one["temperature"][14:, 4].max() < none["temperature"][14:, 4].max()


def test_a_change_of_units_changes_nothing():
    """Parameters in declared units and their canonical values say the same: a dose in cells, volumes in litres."""
    canonical = TwinBody.canonical({"toci_volume": 3.5})
    assert float(canonical["toci_volume"]) == pytest.approx(3500.0)  # millilitres
    assert float(canonical["toci_half_block"]) == pytest.approx(1e6)  # pg per millilitre


def test_the_model_describes_itself():
    text = TwinBody.describe()
    assert "Not for clinical use." in text
    for name in (*TwinBody.states, *TwinBody.parameters, *TwinBody.outputs):
        assert name in text
    assert TwinBody.to_latex().count(r"\frac{d ") == len(TwinBody.states)
