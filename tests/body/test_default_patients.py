"""Default patients behave as clinicians expect; their numbers all say where they are from."""

import numpy as np
import pytest

from livingdrug.body.diseases import PARAMETER_SETS, PATIENTS
from livingdrug.body.treatment import REGIMENS
from livingdrug.body.twin import TwinBody
from livingdrug.sources import source_keys, split_source

OWN = [name for name in PATIENTS if name not in ("allogeneic", "solid")]


def at(found, name, day):
    return float(np.interp(day, found.times, found[name][0]))


def test_every_number_has_a_source_or_says_that_it_is_assumed():
    known = {*source_keys(), "assumed", "recalled"}
    for patient in PATIENTS.values():
        assert split_source(patient.dose_source, "")[0] in known
        for source in (source for _, source in patient.stated.values()):
            assert split_source(source, "")[0] in known, source
        assert patient.lymphodepletion in REGIMENS
    for p in TwinBody.parameters.values():
        assert p.source_key in known, p.name


def test_parameter_sets_are_the_patients():
    assert dict(TwinBody.parameter_sets) == {name: patient.values() for name, patient in PATIENTS.items()}
    assert list(PARAMETER_SETS) == list(PATIENTS)


@pytest.mark.parametrize("name", OWN)
def test_car_t_cells_rise_contract_and_persist(clinic, name):
    found = clinic.follow(name)
    blood = found["car_t_blood"][0]
    peak, day = blood.max(), found.times[blood.argmax()]
    assert 7 <= day <= 15
    assert 1 < peak < 200  # cells per uL; cellular_kinetics of the labels: medians from 10 to 100
    assert peak > 20 * at(found, "car_t_blood", 1)
    assert 0.01 * peak < at(found, "car_t_blood", 28) < 0.6 * peak
    assert 0.001 * peak < at(found, "car_t_blood", 180) < at(found, "car_t_blood", 28)


@pytest.mark.parametrize("name", OWN)
def test_the_tumour_answers(clinic, name):
    found = clinic.follow(name)
    assert at(found, "tumour_cells", 90) < 0.01 * at(found, "tumour_cells", -6)


@pytest.mark.parametrize("name", [*OWN, "allogeneic"])
def test_inflammation_peaks_in_the_first_two_weeks_and_the_brain_after_it(clinic, name):
    found = clinic.follow(name)
    days = {each: found.times[found[each][0].argmax()] for each in ("il6", "endothelium", "crp", "brain_injury")}
    assert 2 <= days["il6"] <= 14
    assert days["il6"] < days["endothelium"] < days["brain_injury"] <= 17
    assert days["il6"] < days["crp"] <= 15
    assert 30 < found["il6"].max() < 5000
    assert found["ferritin"].max() > 3 * found["ferritin"][0, 0]
    assert days["il6"] <= found.times[found["ferritin"][0].argmax()] <= 28
    # back by day 60
    assert at(found, "il6", 60) < 0.1 * found["il6"].max()


@pytest.mark.parametrize("name", OWN)
def test_counts_fall_and_recover(clinic, name):
    found = clinic.follow(name)
    assert found["neutrophils"].min() < 1000
    assert 3 < found.times[found["neutrophils"][0].argmin()] < 20
    assert at(found, "neutrophils", 60) > 1000
    assert found["platelets"].min() < 75000
    assert found["infection_hazard"][0, -1] > found["infection_hazard"][0, 0]


def test_more_inflammation_means_slower_counts(clinic):
    """Prolonged cytopenia follows inflammation: the same patient without cytokine release recovers sooner."""
    plain, calm = clinic.follow("b_all"), clinic.follow("b_all", {"cytokine_release": 0.0})
    assert at(plain, "neutrophils", 21) < 0.7 * at(calm, "neutrophils", 21)
    assert calm["il6"].max() == pytest.approx(1.7, rel=1e-3)


def test_neutropenia_and_lack_of_antibodies_raise_the_hazard_of_infection(clinic):
    per_day = {
        name: np.diff(clinic.follow(name)["infection_hazard"][0]) / np.diff(clinic.days)
        for name in ("b_all", "myeloma")
    }
    rest = TwinBody.parameters["infection_rate"].value
    for rate in per_day.values():
        assert rate.max() > 2 * rate[0] > 2 * rest * 0.9
    assert per_day["myeloma"][-1] > 1.2 * per_day["myeloma"][0]


def test_a_solid_default_patient_hardly_answers(clinic):
    found = clinic.follow("solid")
    assert at(found, "tumour_cells", 90) > 0.5 * at(found, "tumour_cells", -6)
    assert found["il6"].max() < 10
    assert found["car_t_blood"].max() < 2
