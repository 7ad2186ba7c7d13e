"""The same patients under several plans: shared luck, blocks in a folder, intervals."""

import numpy as np
import pandas as pd
import pytest

from livingdrug.errors import InputError
from livingdrug.population.products import DoseRule
from livingdrug.trials import scenarios
from livingdrug.trials.courses import courses
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.scenarios import Scenario, simulate_scenarios
from livingdrug.trials.simulate import simulate_arm

JULIET, ZUMA_7 = Protocol.builtin("juliet"), Protocol.builtin("zuma-7")
SHORT = {"days": 60, "threads": 1}


def doubled(trial):
    rule = DoseRule.model_validate({"levels": [{"cells": 6e8}]})
    return trial.model_copy(update={"arms": (trial.arms[0].model_copy(update={"dose": rule}),)})


@pytest.fixture(scope="module")
def pool():
    plans = [Scenario("as it was", JULIET), Scenario("again", JULIET), Scenario("more cells", doubled(JULIET))]
    return simulate_scenarios(plans, 40, 3, **SHORT)


def test_equal_plans_have_equal_patients(pool):
    pd.testing.assert_frame_equal(pool.found["as it was"].to_frame(), pool.found["again"].to_frame())
    direct = simulate_arm(JULIET, JULIET.arms[0], np.arange(1, 41), 3, days=60, threads=1)
    pd.testing.assert_frame_equal(pool.found["again"].to_frame(), direct.to_frame())


def test_only_what_the_plan_changes_differs(pool):
    one, other = pool.found["as it was"], pool.found["more cells"]
    for name in ("infused", "burden", "weight_kg", "infusion_day_from_enrolment", "accrual"):
        np.testing.assert_array_equal(one[name], other[name])
    assert set(other["dose_cells"][other["infused"]]) == {6e8}


def test_arms_share_their_patients():
    found = simulate_scenarios([Scenario(arm.name, ZUMA_7, arm.name) for arm in ZUMA_7.arms], 20, 3, **SHORT).found
    np.testing.assert_array_equal(found["axi-cel"].ids, found["standard"].ids)
    np.testing.assert_array_equal(found["axi-cel"]["age_years"], found["standard"]["age_years"])


def test_each_parameter_set_has_its_own_patients():
    settings = {"expansion": np.array([0.2, 5.0])}
    pool = simulate_scenarios([Scenario("x", JULIET)], 30, 3, settings=settings, **SHORT)
    assert (pool.sets, len(pool.found["x"])) == (2, 60)
    low, high = (np.nanmedian(pool.found["x"]["true_peak"][part]) for part in (slice(0, 30), slice(30, 60)))
    assert low < high


def test_finished_blocks_are_not_solved_again(tmp_path, monkeypatch):
    plans = [Scenario("x", JULIET)]
    first = simulate_scenarios(plans, 20, 3, folder=tmp_path, block=7, **SHORT)
    sorted((tmp_path / "x" / "blocks").glob("patients-*"))[1].unlink()
    asked, real = [], scenarios.simulate_arm
    monkeypatch.setattr(scenarios, "simulate_arm", lambda *a, **k: asked.append(len(a[2])) or real(*a, **k))
    seen = []
    again = simulate_scenarios(plans, 20, 3, folder=tmp_path, block=7, progress=lambda *at: seen.append(at), **SHORT)
    assert asked == [7]
    assert seen[-1] == (20, 20)
    pd.testing.assert_frame_equal(first.found["x"].to_frame(), again.found["x"].to_frame())
    with pytest.raises(InputError, match="another run"):
        simulate_scenarios(plans, 20, 4, folder=tmp_path, block=7, **SHORT)


def test_rows_over_which_numbers_scatter(pool):
    assert pool.rows().shape == (scenarios.RESAMPLES, 40)
    many = scenarios.Pool(pool.found, pool.scenarios, patients=2, sets=20, seed=1)
    assert many.rows().tolist()[1] == [2, 3]
    assert "20 calibrated parameter sets" in many.interval_words()


@pytest.mark.parametrize("plans", [[], [Scenario("a b", JULIET), Scenario("a-b", JULIET)]])
def test_plans_need_names_of_their_own(plans):
    with pytest.raises(InputError, match="plans need names of their own"):
        simulate_scenarios(plans, 20)


@pytest.mark.parametrize("patients", [1, 0, 2.5, True])
def test_patients_that_cannot_be(patients):
    with pytest.raises(InputError, match="patients times parameter sets"):
        simulate_scenarios([Scenario("x", JULIET)], patients)


def test_courses_are_those_of_the_same_patients():
    outcomes = simulate_arm(JULIET, JULIET.arms[0], np.arange(1, 31), 3, days=100, threads=1)
    found = courses(JULIET, JULIET.arms[0], np.arange(1, 31), 3, days=100, threads=1)
    infused = outcomes.take(outcomes["infused"])
    np.testing.assert_array_equal(found.ids, infused.ids)
    assert np.all(found.car_t.max(axis=1) <= infused["true_peak"] * (1 + 1e-6))
    np.testing.assert_allclose(found.tumour[:, 0], infused["burden"], rtol=0.01)


def test_best_change_is_the_lowest_tumour_at_a_visit_under_watch():
    from livingdrug.trials.courses import Courses
    from livingdrug.trials.outcomes import Outcomes

    days = np.array([-6.0, 10.0, *JULIET.visits.days[:2]])
    tumour = np.array([[100.0, 1.0, 50.0, 25.0], [100.0, 1.0, 150.0, 25.0], [100.0, 1.0, 50.0, 25.0]])
    watched = np.array([1000.0, JULIET.visits.days[0], 5.0])
    outcomes = Outcomes.of([1, 2, 3], {"last_followed_day": watched})
    found = Courses(np.arange(3, dtype=np.uint64), days, tumour, tumour).best_change(JULIET, outcomes)
    np.testing.assert_allclose(found, [-0.75, 0.5, np.nan])


@pytest.fixture
def shipped(monkeypatch):
    """An ensemble of five made-up parameter sets."""
    from livingdrug.trials import ensemble

    made = ensemble.Ensemble("2026-01-01", {"expansion": np.array([1.0, 2.0, 3.0, 4.0, 10.0])}, {}, "abc")
    monkeypatch.setattr(ensemble, "ensemble_names", lambda: ("2026-01-01",))
    monkeypatch.setattr(ensemble, "load_ensemble", lambda name="": made)


def test_settings_are_those_of_the_shipped_ensemble(shipped):
    one, where = scenarios.parameter_sets(1)
    assert one["expansion"].tolist() == [3.0]
    assert where == "medians of ensemble 2026-01-01, SHA-256 abc"
    assert scenarios.parameter_sets(3)[0]["expansion"].tolist() == [1.0, 3.0, 10.0]
    assert scenarios.parameter_sets(99)[0]["expansion"].size == 5


def test_a_design_over_an_ensemble_carries_trial_effects(shipped):
    from livingdrug.trials.designer import TrialDesign, run_design

    ask = {"sizes": [20], "endpoints": [{"name": "cr", "null": 0.5}]}
    design = TrialDesign.model_validate(
        {"name": "x", "trial": "juliet", "patients": 20, "parameter_sets": 3, "power": ask}
    )
    found = run_design(design, design.protocol(), 1, days=60, threads=1)
    row = found.power.to_dict("records")[0]
    assert found.pool.sets == 3
    assert row["lowest_set"] <= row["power"] <= row["highest_set"]
    assert row["error"] > 0
    one = run_design(design.model_copy(update={"parameter_sets": 1}), design.protocol(), 1, days=60, threads=1)
    assert one.pool.sets == 1
    assert "medians" in one.settings


def test_without_an_ensemble_the_default_values_are_named(monkeypatch):
    from livingdrug.trials import ensemble

    monkeypatch.setattr(ensemble, "ensemble_names", lambda: ())
    assert scenarios.parameter_sets(20)[0] == {}
    assert "not calibrated" in scenarios.parameter_sets(20)[1]
