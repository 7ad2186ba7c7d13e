"""Cohorts of every default disease with both kinds of product: peaks, responses, relapses, and what moves them.

Nothing here is a trial's number. The limits are those that the issue of the body names (peaks of responders between
day 7 and 15, later in the others), or say that the virtual patients differ enough: 40 to 90 % respond, and relapses
with and without the antigen occur.
"""

import itertools

import numpy as np
import pytest

from livingdrug.body.diseases import DISEASES, KINDS, PATIENTS
from livingdrug.body.treatment import cells, lymphodepletion
from livingdrug.body.twin import TwinBody
from livingdrug.body.variability import draw_patients
from livingdrug.engine.solve import LOOSE, solve
from livingdrug.therapy.assessment import assess

VISITS = [28.0, 90.0, 180.0, 270.0, 360.0]
DAYS = np.unique(np.concatenate([[-6.0], np.arange(0.0, 30.0, 0.25), np.arange(30.0, 61.0, 1.0), VISITS]))
OUTPUTS = [
    "tumour_positive", "tumour_negative", "car_t_blood", "il6", "endothelium", "brain_injury", "neutrophils",
    "platelets", "haemoglobin", "absolute_lymphocyte_count",
]  # fmt: skip
# Disease -> the default patient whose dose, lymphodepletion and spreads are used.
LIKE = {"lbcl": "lbcl_cd28", "b_all": "b_all", "cll": "cll", "myeloma": "myeloma"}
EVERY = list(itertools.product(LIKE, KINDS))
COUNT = 500


def follow(disease, kind, changes=None, count=COUNT, doses=None):
    patient, ids = PATIENTS[LIKE[disease]], np.arange(count)
    typical = {name: value for name, (value, _) in {**KINDS[kind], **DISEASES[disease]}.items()}
    drawn = draw_patients(ids, {**typical, **(changes or {})}, seed=5, spreads=patient.spreads)
    given = [*lymphodepletion(patient.lymphodepletion), *cells(patient.dose_cells)] if doses is None else doses
    found = solve(TwinBody, drawn, DAYS, doses=given, patient_ids=ids, seed=5, rtol=LOOSE, outputs=OUTPUTS)
    assert not found.failures()
    return found


def seen(found, disease):
    return assess(found.times, found, PATIENTS[LIKE[disease]].disease, VISITS, seed=5)


def peak_day(found):
    early = found.times <= 60
    return found.times[early][found["car_t_blood"][:, early].argmax(axis=1)]


@pytest.fixture(scope="module")
def cohorts():
    return {key: follow(*key) for key in EVERY}


@pytest.fixture(scope="module")
def judged(cohorts):
    return {key: seen(found, key[0]) for key, found in cohorts.items()}


@pytest.mark.parametrize("key", EVERY, ids="-".join)
def test_responders_peak_between_day_7_and_15_and_others_later(cohorts, judged, key):
    days, responded = peak_day(cohorts[key]), judged[key].responded
    assert (~responded).sum() > 50
    assert 7.0 <= np.median(days[responded]) <= 15.0
    assert np.median(days[~responded]) >= np.median(days[responded]) + 0.5
    # the same if response is half of the tumour on day 28, whatever the criteria
    tumour = cohorts[key]["tumour_positive"] + cohorts[key]["tumour_negative"]
    half = tumour[:, DAYS == 28.0][:, 0] < 0.5 * tumour[:, 0]
    assert 7.0 <= np.median(days[half]) <= 15.0
    assert np.median(days[~half]) >= np.median(days[half]) + 0.5


@pytest.mark.parametrize("disease", LIKE)
def test_4_1bb_peaks_later_than_cd28(cohorts, disease):
    assert np.median(peak_day(cohorts[disease, "4-1BB"])) > np.median(peak_day(cohorts[disease, "CD28"]))


@pytest.mark.parametrize("key", EVERY, ids="-".join)
def test_some_respond_and_some_of_them_relapse(judged, key):
    found = judged[key]
    assert 0.4 < found.responded.mean() < 0.9
    relapsed = found.responded & np.isfinite(found.progression_day)
    assert 0.05 < relapsed.sum() / found.responded.sum() < 0.8
    assert 0.02 < np.isfinite(found.complete_day).mean() < found.responded.mean()
    assert 60 < np.median(found.progression_day[relapsed]) <= 360  # relapses come after months


@pytest.mark.parametrize("key", EVERY, ids="-".join)
def test_inflammation_ends_even_where_the_tumour_stays(cohorts, judged, key):
    """Release lasts days to weeks (labels yescarta2024, kymriah2025: medians of 7 to 8 days), never months."""
    il6, stays = cohorts[key]["il6"], ~judged[key].responded
    at = {day: il6[stays, np.searchsorted(DAYS, day)] for day in (90.0, 180.0)}
    assert (il6[stays].max(axis=1) > 100).mean() > 0.5  # it was there
    for day, found in at.items():
        assert (found > 100).mean() < 0.05, day


@pytest.mark.parametrize("disease", ["lbcl", "b_all"])
def test_relapses_occur_with_and_without_the_antigen(judged, disease):
    for kind in KINDS:
        found = judged[disease, kind]
        relapsed = found.responded & np.isfinite(found.progression_day)
        negative = found.relapse_negative_share[relapsed] > 0.5
        assert 0.03 < negative.mean() < 0.95, kind


@pytest.mark.parametrize("key", EVERY, ids="-".join)
def test_responders_have_the_higher_peaks(cohorts, judged, key):
    """muellerschoell2021 and the label of tisagenlecleucel (B-ALL): responders expand more."""
    peak = cohorts[key]["car_t_blood"].max(axis=1)
    assert np.median(peak[judged[key].responded]) > np.median(peak[~judged[key].responded])


def test_hardly_anybody_with_a_solid_tumour_responds(clinic):
    """So a time to the peak of responders has no meaning there."""
    found = clinic.cohort("solid", 200, stochastic=True)
    tumour = found["tumour_positive"] + found["tumour_negative"]
    assert (tumour[:, np.searchsorted(found.times, 90.0)] < 0.5 * tumour[:, 0]).mean() < 0.1


# ---- one number each moves one thing

LEVERS = {
    # lever: (low, high, what must rise by which factor at least)
    "expansion_capacity": (0.5, 2.0, "peak", 1.5),
    "fitness": (0.7, 1.4, "peak", 1.5),
    "resistance": (1.0, 20.0, "failures", 1.5),
    "exhaustion": (0.02, 0.3, "failures", 1.2),
    "negative_share": (1e-15, 1e-9, "negative", 1.5),
    "cytokine_gain": (0.5, 2.0, "il6", 2.0),
    "endothelial_sensitivity": (0.5, 2.0, "vessels", 2.0),
    "brain_sensitivity": (0.5, 2.0, "brain", 2.0),
    "marrow_sensitivity": (0.5, 2.0, "low counts", 1.5),
    "activation_lag": (0.5, 4.0, "onset", 1.2),
    "antigen_density": (0.1, 10.0, "peak", 1.2),
}


def measured(found, what):
    judged = seen(found, "b_all")
    day = np.where((found["il6"] > 30).any(axis=1), DAYS[(found["il6"] > 30).argmax(axis=1)], np.nan)
    low = (found["neutrophils"] < 500)[:, DAYS <= 60]
    return {
        "peak": lambda: np.median(found["car_t_blood"].max(axis=1)),
        "failures": lambda: 1 - judged.responded.mean(),
        "negative": lambda: (judged.relapse_negative_share > 0.5).mean(),
        "il6": lambda: np.median(found["il6"].max(axis=1)),
        "vessels": lambda: np.median(found["endothelium"].max(axis=1) - 1),
        "brain": lambda: np.median(found["brain_injury"].max(axis=1)),
        "low counts": lambda: low.mean(),
        "onset": lambda: np.nanmedian(day),
    }[what]()


@pytest.mark.parametrize("lever", LEVERS)
def test_each_lever_moves_what_it_is_for(lever):
    low, high, what, factor = LEVERS[lever]
    least, most = (measured(follow("b_all", "4-1BB", {lever: value}, count=150), what) for value in (low, high))
    assert most > factor * least, (least, most)


def test_mutation_makes_more_of_the_clone_without_antigen():
    """The levers of escape are two: what is there at the start, and what joins it."""
    start = {"negative_share": 1e-9}
    few, many = (
        follow("b_all", "4-1BB", {**start, "mutation": rate}, count=100)["tumour_negative"][:, DAYS == 28.0]
        for rate in (0.0, 1e-7)
    )
    assert np.median(many) > 2 * np.median(few)
