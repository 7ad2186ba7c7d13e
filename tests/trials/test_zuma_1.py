"""ZUMA-1 on the real engine and model: what must hold exactly, and what the paper's own simulations showed."""

import math

import numpy as np
import pytest

from livingdrug.therapy import Journey
from livingdrug.trials import Trial


@pytest.fixture(scope="module")
def outcome():
    return Trial.builtin("kimmel-zuma-1").run(patients=1500, seed=1)


def test_same_bits_for_any_block_and_threads(outcome):
    other = Trial.builtin("kimmel-zuma-1").run(patients=1500, seed=1, block=331, threads=1)
    assert other.patients == outcome.patients
    assert np.array_equal(other.values, outcome.values, equal_nan=True)
    assert other.endpoints.equals(outcome.endpoints)
    assert not outcome.failures


def test_chances_of_cure_agree_with_the_published_runs(outcome):
    # Kimmel 2021, growth 0.065 per day: 0.703, 0.403, 0.274, each from 1,000 runs; ours from as many (kimmel2021)
    rows = outcome.endpoints[outcome.endpoints["endpoint"].str.startswith("P(cure)")]
    assert rows["published"].tolist()[:3] == [0.703, 0.403, 0.274]
    assert len(rows) == 14  # and the volumes of eleven patients (cartecology)
    pooled = (rows["published"] + rows["simulated"]) / 2
    z = (rows["simulated"] - rows["published"]) / np.sqrt(2 * pooled * (1 - pooled) / 1000)
    assert np.all(np.abs(z) < 3.5), z.tolist()
    assert np.sum(z**2) < 31.3  # 99.5 % of chi-square with 14 degrees of freedom


def test_typical_kinetics_are_those_of_the_model(outcome):
    table = outcome.endpoints.set_index("endpoint")
    # deterministic course with the code's growth rate: 2.11 on day 28, 0.112 on day 90 (research note, section 5);
    # variation between patients and the cap of the dose move the median by a few per cent
    assert table.loc["CAR T cells in blood, day 28"].simulated == pytest.approx(2.11, rel=0.06)
    assert table.loc["CAR T cells in blood, day 90"].simulated == pytest.approx(0.112, rel=0.08)
    assert table.loc["Day of the peak of CAR T cells"].simulated == pytest.approx(7.0, abs=0.1)
    for day in (7, 14, 28, 90):
        row = table.loc[f"CAR T cells in blood, day {day}"]
        assert row.published_low < row.simulated < row.published_high


def test_fates_fall_when_the_paper_says(outcome):
    # most cures on days 20 to 80, none after about 140; progressions mostly on days 200 to 500 (kimmel2021)
    cure, progression = outcome.patients["cure_day"], outcome.patients["progression_day"]
    cure, progression = cure[np.isfinite(cure)], progression[np.isfinite(progression)]
    assert np.mean((cure > 20) & (cure < 80)) > 0.9
    assert cure.max() < 160
    assert np.mean((progression > 200) & (progression < 500)) > 0.9


def test_example_of_the_readme(outcome):
    course = outcome.courses["car_t_blood"].sel(patient=3)
    assert course.attrs["unit"] == "cell/uL"
    assert math.isfinite(float(course.max()))


def test_a_journey_alone_runs_for_a_year():
    trial = Trial.builtin("kimmel-zuma-1")
    journey: Journey = trial.arms[0].journey
    patients = trial.population.sample(20, seed=3)
    course = journey.run(patients, 3, outputs=["car_t_blood"])
    assert course["car_t_blood"].shape == (len(course.patients), course.days.size)
    assert len(course.patients) + len(course.attrition) == 20
    assert np.all(course["car_t_blood"] > 0)
    dose_in_model = course.patients["dose_cells"] / 5e8
    assert course["car_t_blood"][:, 0] == pytest.approx(dose_in_model)
    alone = journey.run(patients.take(patients.ids == course.patients.ids[4]), 3, outputs=["car_t_blood"])
    assert np.array_equal(alone["car_t_blood"][0], course["car_t_blood"][4])


def test_more_host_cells_less_car_t():
    plan = Trial.builtin("kimmel-zuma-1").model_dump()
    plan["published"], plan["published_cures"] = (), ()
    plan["arms"][0]["journey"]["conditioning"]["host_t_cells"]["median"] = 6e9
    weaker = Trial(**plan).run(patients=300, seed=1)
    plan["arms"][0]["journey"]["conditioning"]["host_t_cells"]["median"] = 3e9
    usual = Trial(**plan).run(patients=300, seed=1)
    given = usual.patients["infused"] > 0
    assert np.array_equal(given, weaker.patients["infused"] > 0)
    assert np.all(weaker.patients["car_peak"][given] < usual.patients["car_peak"][given])
    assert np.isfinite(weaker.patients["cure_day"]).sum() < np.isfinite(usual.patients["cure_day"]).sum()
