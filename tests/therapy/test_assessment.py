"""Visits judge simulated tumours by the published criteria, with errors of measurement that belong to the patient."""

from __future__ import annotations

import time

import numpy as np
import pytest

from livingdrug.clinic.response import response_names
from livingdrug.clinic.survival_rules import time_to_event
from livingdrug.errors import InputError
from livingdrug.sources import source_keys, split_source
from livingdrug.therapy.assessment import CRITERIA, assess
from livingdrug.therapy.disease_measures import HOW, how_table, m_protein

DAYS = np.array([-6.0, 0.0, 14.0, 28.0, 60.0, 90.0, 120.0, 180.0, 270.0, 360.0])
VISITS = [28.0, 90.0, 180.0, 270.0, 360.0]
LYMPHOMA, LEUKAEMIA, MYELOMA, CLL = (
    "large B-cell lymphoma", "B-cell acute lymphoblastic leukaemia", "multiple myeloma", "chronic lymphocytic leukaemia"
)  # fmt: skip


def courses(*cells, negative=None, **counts):
    positive = np.array(cells, float)
    found = {"tumour_positive": positive, "tumour_negative": np.zeros_like(positive)}
    if negative is not None:
        found["tumour_negative"] = np.array(negative, float)
    return found | {name: np.broadcast_to(np.asarray(value, float), positive.shape) for name, value in counts.items()}


def names(found):
    return response_names(found.codes).tolist()


def exact(given, disease, **options):
    return assess(DAYS, given, disease, VISITS, noise=False, **options)


MELTS = [1e11, 1e11, 3e10, 1e10, 1e9, 1e8, 1e8, 1e8, 1e8, 1e8]
GROWS = [1e11, 1e11, 1.4e11, 2e11, 4e11, 6e11, 8e11, 1e12, 1e12, 1e12]
RETURNS = [1e11, 1e11, 1e10, 1e8, 1e8, 1e8, 1e9, 1e11, 3e11, 3e11]
STAYS = [1e11] * 10


def test_lymphoma_by_volume():
    """Lugano: CR needs nodes of at most 1.5 cm; one lesion of 1e8 cells is a sphere of 0.1 mL, 0.58 cm."""
    found = exact(courses(MELTS, GROWS, RETURNS, STAYS), LYMPHOMA)
    assert names(found)[0] == ["PR", "CR", "CR", "CR", "CR"]
    assert names(found)[1][1:] == ["PD"] * 4
    assert names(found)[2][:3] == ["CR", "CR", "PD"]
    assert names(found)[3] == ["SD"] * 5
    assert response_names(found.best).tolist() == ["CR", names(found)[1][0], "CR", "SD"]
    assert found.response_day.tolist()[::2] == [28.0, 28.0]
    assert found.complete_day[0] == 90.0
    assert found.progression_day[2] == 180.0
    assert np.isnan(found.progression_day[[0, 3]]).all()
    assert found.responded.tolist() == [True, False, True, False]
    assert not found.mrd_negative.any()


def test_solid_tumours_by_recist_need_confirmation():
    """A fall of the volume by 70 % is one of the diameter by 33 %: PR needs 30 %, and once more after 28 days."""
    once = [1e11, 1e11, 1e11, 3e10, 9e10, 9e10, 9e10, 9e10, 9e10, 9e10]
    found = exact(courses(once, MELTS), "solid tumour")
    assert names(found)[0][0] == "SD"
    assert response_names(found.seen)[0, 0] == "PR"
    assert names(found)[1][0] == "PR"
    assert names(exact(courses(once, MELTS), "solid tumour", confirm=False))[0][0] == "PR"


def test_leukaemia_reads_marrow_counts_and_residual_disease():
    """Among 1e12 other cells of the marrow 5 % are 5.3e10 blasts and 0.01 % are 1e8."""
    deep = [5e11, 5e11, 1e11, 4e9, 9e7, 9e7, 9e7, 9e7, 9e7, 9e7]
    shallow = [5e11, 5e11, 1e11, 4e9, 2e8, 2e8, 2e8, 2e8, 2e8, 2e8]
    relapse = [5e11, 5e11, 1e11, 4e9, 2e8, 2e8, 2e8, 2e8, 8e10, 3e11]
    refractory = [5e11] * 10
    counts = {"neutrophils": 3000.0, "platelets": [[200000.0] * 10, [50000.0] * 10, [200000.0] * 10, [200000.0] * 10]}
    found = exact(courses(deep, shallow, relapse, refractory, **counts), LEUKAEMIA)
    assert names(found)[0][:4] == ["CR"] * 4
    assert names(found)[1][:4] == ["CRi"] * 4
    assert names(found)[2] == ["CR", "CR", "SD", "PD", "PD"]  # that of day 180 was not kept for 28 days
    assert names(found)[3] == ["SD"] * 5
    assert found.mrd_negative[:, 1].tolist() == [True, False, False, False]
    assert found.mrd_negative_day[0] == 90.0
    assert np.isnan(found.complete_day[1])
    assert found.response_day[1] == 28.0
    assert np.isnan(found.progression_day[3])  # no remission, so no relapse
    without = exact(courses(deep), LEUKAEMIA)
    assert names(without)[0][0] == "CRi"  # unknown counts never make a CR


def test_myeloma_waits_for_the_protein_to_be_cleared():
    """Cells vanish at once; IgG falls by half in 21 days: PR (half) by day 28, VGPR (a tenth, 70 days) by day 90."""
    days, gone = np.insert(DAYS, 2, 1.0), [3e11, 3e11] + [0.0] * 9
    found = assess(days, courses(*[gone] * 200), MYELOMA, VISITS, noise=False)
    seen = response_names(found.seen)
    igg = seen[:, 0] == "PR"
    assert igg.mean() == pytest.approx(1 - HOW["share_iga"].value, abs=0.12)
    assert (seen[igg, 1] == "VGPR").mean() > 0.9
    iga = found.measurable & (seen[:, 0] == "VGPR")
    assert iga.mean() == pytest.approx(HOW["share_iga"].value, abs=0.12)  # IgA: 28 days are 4.7 half-lives
    complete = found.complete_day[found.measurable]
    assert np.nanmedian(complete) >= 180
    # The level falls by 2 ** (-day / half-life); immunofixation finds 0.01 g/dL.
    low = m_protein(days, [gone], level=[3.0], half_life=6.0)[0, days == 90.0]
    assert low < HOW["immunofixation"].value
    assert found.mrd_negative.any()


def test_m_protein_is_exact_for_straight_lines():
    """Cells that rise on a line from 1 to 2 in ten days, cleared at rate k: the closed form of the linear equation."""
    k, t = np.log(2) / 5.0, 10.0
    expected = np.exp(-k * t) + (1 - np.exp(-k * t)) + 0.1 * (t - (1 - np.exp(-k * t)) / k)
    fine = m_protein(np.linspace(0, 10, 201), [np.linspace(1, 2, 201)], level=[1.0], half_life=5.0)[0, -1]
    coarse = m_protein([0.0, 10.0], [[1.0, 2.0]], level=[1.0], half_life=5.0)[0, -1]
    assert fine == pytest.approx(expected, rel=1e-9)
    assert coarse == pytest.approx(expected, rel=1e-9)


def test_chronic_leukaemia():
    """Half of 1e12 cells less: PR; all but 1e7 gone: CR with normal counts, CRi with low ones."""
    half = [1e12] * 3 + [2e11] * 7
    gone = [1e12] * 3 + [1e7] * 7
    counts = {"neutrophils": 3000.0, "haemoglobin": 13.0, "platelets": [[200000.0] * 10] * 2 + [[60000.0] * 10]}
    found = exact(courses(half, gone, gone, **counts), CLL)
    assert [row[0] for row in names(found)] == ["PR", "CR", "CRi"]
    assert found.mrd_negative[:, 0].tolist() == [False, True, True]


def test_the_antigen_of_a_relapse():
    with_antigen = exact(courses(RETURNS), LYMPHOMA)
    without = exact(courses([1e11, 1e11] + [0.0] * 8, negative=[[1.0, 1.0, *RETURNS[2:]]]), LYMPHOMA)
    assert with_antigen.relapse_negative_share[0] == 0.0
    assert without.relapse_negative_share[0] == 1.0
    assert without.progression_day[0] == with_antigen.progression_day[0] == 180.0
    assert np.isnan(exact(courses(MELTS), LYMPHOMA).relapse_negative_share[0])


def test_visits_end_with_death_or_another_treatment():
    found = exact(courses(RETURNS, RETURNS), LYMPHOMA, until=[100.0, np.nan])
    assert names(found)[0] == ["CR", "CR", "NE", "NE", "NE"]
    assert np.isnan(found.progression_day[0])
    assert found.progression_day[1] == 180.0
    times = time_to_event("os", found.follow_up([100.0, 400.0], death=[100.0, np.nan]))
    assert times.day.tolist() == [100.0, 400.0]


def test_errors_belong_to_patient_and_seed():
    many = courses(*[RETURNS, STAYS, MELTS] * 30)
    ids = np.arange(90)
    together = assess(DAYS, many, LYMPHOMA, VISITS, patient_ids=ids, seed=4)
    some = {name: values[[7, 3]] for name, values in many.items()}
    alone = assess(DAYS, some, LYMPHOMA, VISITS, patient_ids=[7, 3], seed=4)
    assert (alone.codes == together.codes[[7, 3]]).all()
    other = assess(DAYS, many, LYMPHOMA, VISITS, patient_ids=ids, seed=5)
    assert (other.codes != together.codes).any()
    # a tumour that stays is not said to respond, and seldom to grow
    stays = together.codes[1::3]
    assert not np.isin(response_names(stays), ["PR", "CR"]).any()
    assert (response_names(stays) == "PD").mean() < 0.2


def test_what_cannot_be_measured_is_not_evaluable():
    none = exact(courses([0.0] * 10, [1e7] * 10, [np.nan] * 10), LYMPHOMA)
    assert names(none) == [["NE"] * 5] * 3
    assert not none.measurable.any()
    assert names(exact(courses([np.nan] * 10, [0.0] * 10), LEUKAEMIA)) == [["NE"] * 5] * 2
    for disease in CRITERIA:
        gap = courses(MELTS)
        gap["tumour_positive"][0, DAYS == 90.0] = np.nan
        assert names(exact(gap, disease, confirm=False))[0][1] == "NE", disease


def test_criteria_may_be_named_and_the_baseline_chosen():
    found = exact(courses(MELTS), "lugano", baseline=0.0)
    assert found.criteria == "lugano"
    assert "5 visits" in repr(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"disease": "large B cell lymphoma"}, "large B-cell lymphoma"),
        ({"visits": [28.0, 100.0]}, "no value on day 100"),
        ({"visits": [90.0, 28.0]}, "visits must be finite and ascend"),
        ({"visits": [-6.0, 28.0]}, "after the baseline"),
        ({"days": DAYS[::-1]}, "days must be finite and ascend"),
        ({"days": DAYS[:-1], "visits": [28.0]}, "shape"),
        ({"courses": {"tumour_positive": [MELTS]}}, "tumour_negative"),
        ({"courses": courses([-1e6] * 10)}, "not negative"),
        ({"courses": courses([np.inf] * 10)}, "finite"),
        ({"patient_ids": [1, 2]}, "one for each of 1 patients"),
    ],
)
def test_wrong_input_is_refused(change, message):
    given = {"days": DAYS, "courses": courses(MELTS), "disease": LYMPHOMA, "visits": VISITS} | change
    options = {name: given.pop(name) for name in ("patient_ids",) if name in given}
    with pytest.raises(InputError, match=message):
        assess(**given, **options)


def test_every_number_says_where_it_is_from():
    known = {*source_keys(), "assumed", "recalled"}
    assert all(split_source(how.source, "")[0] in known for how in HOW.values())
    assert list(how_table()["name"]) == list(HOW)


def test_no_patients_at_all():
    nobody = {"tumour_positive": np.zeros((0, 10)), "tumour_negative": np.zeros((0, 10))}
    assert exact(nobody, LEUKAEMIA).codes.shape == (0, 5)


def test_a_large_cohort_is_assessed_in_seconds():
    """1e5 patients with 20 visits take about a second of processor time; a tenth of it must not take a second."""
    rng = np.random.default_rng(1)
    days = np.arange(0.0, 601.0, 30.0)
    fall = rng.uniform(0.0, 0.2, (10_000, 1))
    given = {"tumour_positive": 1e11 * np.exp(-fall * days), "tumour_negative": np.zeros((10_000, days.size))}
    start = time.process_time()
    assess(days, given, MYELOMA, days[1:])
    assert time.process_time() - start < 1.0
