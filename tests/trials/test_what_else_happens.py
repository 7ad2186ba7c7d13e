"""Waiting, hazards and comparators against the numbers that they were set to."""

import numpy as np
import pytest

from livingdrug.trials.comparators import COMPARATORS, comparator
from livingdrug.trials.enrolment import daily_hazard, growth_while_waiting, wait
from livingdrug.trials.hazards import early_events, exponential, hazards_of, life_after, transplants
from livingdrug.trials.protocol import Protocol, protocol_names

IDS = np.arange(1, 40_001, dtype=np.uint64)
MONTH = 365.25 / 12


@pytest.mark.parametrize("name", ["eliana", "juliet", "karmma-3"])
def test_who_is_lost_while_waiting(name):
    plan = Protocol.builtin(name).enrolment
    found = wait(plan, IDS, 1)
    shares = {"manufacturing failure": plan.manufacturing_failure.value} | {k: v.value for k, v in plan.lost.items()}
    for reason, share in shares.items():
        assert np.mean(found.reason == reason) == pytest.approx(
            share, abs=4 * np.sqrt(share * (1 - share) / IDS.size) + 1e-9
        )
    assert np.array_equal(found.infused, found.reason == "")
    assert np.all(found.day <= found.wait)
    assert np.median(found.wait) == pytest.approx(plan.to_infusion.quantile(0.5), rel=0.02)


def test_a_longer_wait_loses_more():
    found = wait(Protocol.builtin("juliet").enrolment, IDS, 1)
    long = found.wait > np.median(found.wait)
    lost = found.stage == "waiting"
    assert lost[long].mean() > lost[~long].mean() + 0.05
    nobody = Protocol.builtin("zuma-7").enrolment
    assert daily_hazard(nobody.model_copy(update={"lost": {}})) == 0


def test_waiting_is_the_patients_own():
    plan = Protocol.builtin("eliana").enrolment
    all_, some = wait(plan, IDS[:100], 4), wait(plan, IDS[50:60], 4)
    assert np.array_equal(all_.day[50:60], some.day)
    assert np.array_equal(all_.reason[50:60], some.reason)


def test_tumours_grow_with_the_wait_and_bridging_holds_them():
    plan = Protocol.builtin("juliet").enrolment
    middle = float(plan.to_infusion.quantile(0.5))
    rate = np.full(IDS.size, 0.02)
    later = growth_while_waiting(plan, IDS, 1, np.full(IDS.size, middle + 20), rate)
    free = np.isclose(later, np.exp(0.4))
    assert free.mean() == pytest.approx(1 - plan.bridging.value, abs=0.01)
    assert later[~free] == pytest.approx(np.exp(0.4 * (1 - plan.held.value)))
    assert growth_while_waiting(plan, IDS, 1, np.full(IDS.size, middle), rate) == pytest.approx(1.0)
    assert growth_while_waiting(plan, IDS, 1, np.full(IDS.size, 1e4), rate * 50).max() == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("disease", "months", "share_24"),
    [("b_all", 15.3, 0.43), ("lbcl", 6.3, 0.20), ("myeloma", 13.8, None)],
)
def test_life_after_progression_is_as_published(disease, months, share_24):
    """friedes2023, scholar1 and locommotion2024: median survival, and the share alive after two years."""
    death = life_after(IDS, 1, hazards_of(disease), np.zeros(IDS.size))["death"]
    assert np.median(death) / MONTH == pytest.approx(months, rel=0.04)
    if share_24:
        assert np.mean(death > 24 * MONTH) == pytest.approx(share_24, abs=0.01)


def test_every_disease_of_a_trial_has_hazards():
    for name in protocol_names():
        assert hazards_of(Protocol.builtin(name).disease).median_after.value > 0


def test_infections_kill_in_proportion_to_their_hazard():
    hazards = hazards_of("lbcl")
    days = np.array([0.0, 10.0, 1000.0])
    course = np.tile([0.0, 0.5, 1.0], (IDS.size, 1))
    found = early_events(IDS, 1, hazards, 0.0, days, course, np.full(IDS.size, np.nan))
    infected = (found.cause == "infection") & np.isfinite(found.death)
    expected = 1 - np.exp(-hazards.infection_fatality.value)
    assert infected.mean() == pytest.approx(expected, abs=0.01)
    assert np.mean(found.death[infected] <= 10) == pytest.approx(0.5, abs=0.05)
    assert np.isinf(found.drop_out).all()


def test_grade_4_kills_a_share():
    hazards = hazards_of("lbcl")
    none = np.zeros((IDS.size, 2))
    found = early_events(IDS, 1, hazards, 0.0, np.array([0.0, 900.0]), none, np.full(IDS.size, 6.0))
    toxic = found.cause == "toxicity"
    assert toxic.mean() == pytest.approx(hazards.toxicity_fatality.value, abs=0.01)
    assert np.all(found.death[toxic] == 11.0)


def test_hazards_are_per_year():
    assert np.mean(exponential(1, IDS, "any", 0.1) > 365.25) == pytest.approx(np.exp(-0.1), abs=0.005)


def test_transplants_are_of_responders():
    plan = Protocol.builtin("eliana").transplant
    response = np.where(IDS % 2 == 0, 28.0, np.nan)
    day, _ = transplants(IDS, 1, plan, response)
    assert np.isinf(day[IDS % 2 == 1]).all()
    assert np.isfinite(day[IDS % 2 == 0]).mean() == pytest.approx(plan.of_responders.value, abs=0.01)
    assert np.isinf(transplants(IDS, 1, None, response)[0]).all()


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        # orcharrd: response 42 %, complete 22 %; after 2 years 25 % without progression, 39.5 % alive
        ("lbcl_second_line", {"orr": 0.42, "cr": 0.22, "pfs 24": 0.25, "os 24": 0.395}),
        # locommotion2022: response 29.8 %, 4.6 months without progression, 12.4 months of survival
        ("myeloma_triple_exposed", {"orr": 0.298, "pfs median": 4.6, "os median": 12.4}),
    ],
)
def test_comparators_are_as_published(name, checks):
    drawn = comparator(name).draw(IDS, 1, np.arange(1.0, 3000.0, 7.0), 0.0)
    free = np.minimum(drawn["progression_day"], drawn["death_day"]) / MONTH
    alive = drawn["death_day"] / MONTH
    found = {
        "orr": np.isfinite(drawn["response_day"]).mean(), "cr": np.isfinite(drawn["cr_day"]).mean(),
        "pfs 24": np.mean(free > 24), "os 24": np.mean(alive > 24), "pfs median": np.median(free),
        "os median": np.median(alive),
    }  # fmt: skip
    for what, published in checks.items():
        assert found[what] == pytest.approx(published, rel=0.04), what


def test_crossover_helps_and_leaves_progression_alone():
    visits = np.arange(30.0, 2000.0, 30.0)
    for name in COMPARATORS:
        without, with_ = (comparator(name).draw(IDS, 1, visits, share) for share in (0.0, 1.0))
        assert np.array_equal(without["progression_day"], with_["progression_day"])
        assert np.median(with_["death_day"]) > np.median(without["death_day"])


def test_nobody_dies_of_an_infection_before_the_first():
    days, course = np.array([0.0, 1000.0]), np.tile([0.0, 3.0], (IDS.size, 1))
    found = early_events(IDS, 1, hazards_of("lbcl"), 0.0, days, course, np.full(IDS.size, np.nan))
    killed = found.cause == "infection"
    assert np.all(found.infection[killed] <= found.death[killed])
    assert np.isfinite(found.infection).mean() == pytest.approx(1 - np.exp(-3), abs=0.01)
