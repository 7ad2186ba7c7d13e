"""Treatment: doses by regimen, weight and steroid, and what they do to the amounts in the body."""

import numpy as np
import pytest

from livingdrug.body.treatment import (
    REGIMENS,
    anakinra,
    anti_cd52,
    cells,
    growth_factor,
    lymphodepletion,
    platelets,
    red_cells,
    steroid,
    tocilizumab,
)
from livingdrug.body.twin import TwinBody
from livingdrug.engine.solve import solve
from livingdrug.errors import InputError


def test_regimens_name_states_and_an_unknown_one_is_refused():
    for regimen in REGIMENS:
        for dose in lymphodepletion(regimen):
            assert dose.target in TwinBody.states
            assert dose.at == -5.0
    with pytest.raises(InputError, match="unknown regimen of lymphodepletion 'flu-cy 5000'"):
        lymphodepletion("flu-cy 5000")


@pytest.mark.parametrize(("weight", "mg"), [(70.0, 560.0), (29.0, 348.0), (30.0, 240.0), (120.0, 800.0)])
def test_tocilizumab_by_weight(weight, mg):
    """kymriah2025: 8 mg/kg, 12 mg/kg below 30 kg, at most 800 mg."""
    assert tocilizumab(weight, day=2.0)[0].amount == pytest.approx(mg)


def test_steroids_in_milligrams_of_dexamethasone():
    """Recalled table of equivalents: each of these acts like 0.75 mg of dexamethasone."""
    for drug, mg in (
        ("dexamethasone", 0.75),
        ("methylprednisolone", 4.0),
        ("prednisone", 5.0),
        ("hydrocortisone", 20.0),
    ):
        assert steroid(mg, day=1.0, drug=drug)[0].amount == pytest.approx(0.75)
    with pytest.raises(InputError, match="unknown corticosteroid"):
        steroid(1.0, day=1.0, drug="cortisol")


def test_one_number_per_patient_and_nan_for_none(clinic):
    given = tocilizumab([70.0, 70.0, 20.0], day=[2.0, np.nan, 3.0])
    found = clinic.solve({"tumour_at_start": np.zeros(3)}, given, [0.0, 4.0], stochastic=False)
    level = found["toci_central"][:, -1]
    assert level[1] == 0 < level[2] < level[0]


def test_clearance_of_each_drug_is_its_half_life(clinic):
    given = [*steroid(10.0, day=0.0), *anakinra(100.0, day=0.0), *anti_cd52(10.0, day=0.0), *cells(0.0)]
    days = [0.0, np.log(2) / 5.0, np.log(2) / 3.3, np.log(2) / 0.12]
    found = clinic.solve({"tumour_at_start": 0.0}, given, days, stochastic=False)
    assert found["steroid"][0, 1] == pytest.approx(5.0, rel=1e-4)
    assert found["anakinra"][0, 2] == pytest.approx(50.0, rel=1e-4)
    assert found["anti_cd52"][0, 3] == pytest.approx(5.0, rel=1e-4)


def test_tocilizumab_is_that_of_frey2010(clinic):
    """The library's model of the same paper with its reference patient, 560 mg at once."""
    from livingdrug.engine.solve import Dose
    from livingdrug.library import load_model

    days = [0.0, 1.0, 7.0, 28.0]
    found = clinic.solve({"tumour_at_start": 0.0}, tocilizumab(70.0, day=0.0), days, stochastic=False)
    frey = load_model("frey2010")
    silent = {"dose_per_weight": 0.0, "dose_per_light_weight": 0.0}
    theirs = solve(frey, silent, days, doses=[Dose("central", 560.0)], outputs=["central"])
    assert found["toci_central"][0] == pytest.approx(theirs["central"][0], rel=1e-3)


def test_each_regimen_depletes_and_bendamustine_is_the_milder(clinic):
    """All leave fewer than a tenth of the T cells but bendamustine; more drug leaves fewer."""
    left = {}
    for regimen in REGIMENS:
        found = clinic.follow("lbcl_cd28", {"tumour_at_start": 0.0}, dose=0.0, regimen=regimen, days=[-6.0, 0.0])
        left[regimen] = found["normal_t_blood"][0, -1] / 500.0
    assert left["none"] == pytest.approx(1.0, rel=1e-6)
    assert left["flu-cy 500 and anti-CD52"] < left["flu-cy 500"] < left["flu-cy 300"] < left["flu-cy 250"] < 0.1
    assert left["flu-cy 250"] < left["bendamustine"] < 0.4


def test_what_is_given_for_low_counts():
    assert growth_factor(day=1.0, count=3)[0].amount == 5.0
    assert platelets(2.0, day=1.0)[0].amount == pytest.approx(60000.0)
    assert red_cells([1.0, 2.0], day=[1.0, np.nan])[0].target == "haemoglobin"
