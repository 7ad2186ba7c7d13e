"""The fleet's own rules: every patient is counted, luck is shared, calendars, outages, failures, refusals."""

import numpy as np
import pandas as pd
import pytest

from livingdrug.errors import InputError, MissingExtra
from livingdrug.plant import FleetPlan, FleetResult, replicate


def day(value):
    return {"value": value, "unit": "day"}


def test_every_patient_is_infused_or_lost_with_a_reason_once(standard):
    patients = standard.patients
    infused, lost = patients["infusion_day"].notna(), patients["lost_day"].notna()
    assert (infused ^ lost).all()
    assert (patients.loc[lost, "lost_reason"] != "").all()
    assert (patients.loc[lost, "lost_at"].isin([step.name for step in standard.plan.steps])).all()
    assert standard.losses["patients"].sum() == lost.sum()
    assert lost.sum() > 50
    assert infused.sum() > 1000


def test_dates_of_a_patient_rise_and_name_every_step(standard):
    events = standard.events
    assert (events.groupby("patient")["day"].diff().dropna() >= -1e-9).all()
    one = standard.patients.loc[standard.patients["infusion_day"].notna(), "patient"].iloc[0]
    names = events.loc[events["patient"] == one, "event"].tolist()
    assert names[0] == "referral"
    assert "infusion" in names
    for step in standard.plan.steps:
        assert names.index(f"{step.name} begin") < names.index(f"{step.name} end")


def test_nobody_is_infused_after_death(standard):
    there = standard.patients["infusion_day"].notna()
    assert (standard.patients.loc[there, "death_day"] >= standard.patients.loc[there, "infusion_day"]).all()


def test_units_are_never_more_than_there_are(standard):
    for kind in standard.plan.resources:
        used = standard.holds[(standard.holds["resource"] == kind.name) & standard.holds["from_day"].notna()]
        times = np.concatenate([used["to_day"], used["from_day"]])
        steps = np.concatenate([-np.ones(len(used)), np.ones(len(used))])
        order = np.lexsort((steps, np.round(times, 9)))
        assert 0 < np.cumsum(steps[order]).max() <= kind.units


def test_same_seed_same_result_other_seed_other():
    plan = FleetPlan.builtin("point-of-care")
    one, again, other = (plan.run(120, seed) for seed in (4, 4, 5))
    pd.testing.assert_frame_equal(one.patients, again.patients)
    assert not one.patients.equals(other.patients)


def test_more_patients_leave_the_first_ones_luck_as_it_was(queue_plan, exponential):
    plan = queue_plan(None, 1.0)
    few, many = (plan.run(n, 2, process=exponential(3.0)).patients for n in (50, 200))
    pd.testing.assert_frame_equal(few, many.iloc[:50])


def test_two_plants_share_their_patients(queue_plan, exponential):
    """More suites: the same referrals, and nobody is infused later, since luck does not hang on the queue."""
    few, many = (queue_plan(units, 1.0).run(300, 2, process=exponential(2.5)).patients for units in (3, 5))
    assert np.array_equal(few["referral_day"], many["referral_day"])
    assert (many["infusion_day"] <= few["infusion_day"] + 1e-9).all()
    assert (many["infusion_day"] < few["infusion_day"] - 0.1).any()


def test_any_number_of_workers_gives_the_same_summary():
    plan = FleetPlan.builtin("point-of-care")
    pd.testing.assert_frame_equal(replicate(plan, 60, 1, 4), replicate(plan, 60, 1, 4, workers=2))


def test_progress_tells_how_many_are_done(queue_plan):
    told = []
    queue_plan(1, 1.0).run(250, progress=lambda done, total: told.append((done, total)))
    assert told == [(100, 250), (200, 250), (250, 250)]


def test_constant_hazard_loses_the_exponential_share(queue_plan):
    """Step of 30 days, hazard 0.01 a day: 1 - exp(-0.3) are lost, on their own days."""
    plan = queue_plan(None, 5.0, days=30.0, too_ill_per_day={"value": 0.01, "unit": "1/day"})
    patients = plan.run(8000, 1).patients
    share, expected = patients["lost_day"].notna().mean(), 1 - np.exp(-0.3)
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / 8000)
    waited = patients["lost_day"] - patients["referral_day"]
    assert waited.max() <= 30


def test_who_is_lost_in_the_queue_leaves_it_at_once(queue_plan):
    """One unit taken for 100 days: the others leave the queue on the day on which they become too ill."""
    plan = queue_plan(1, 1.0, pattern="even", days=100.0, too_ill_per_day={"value": 0.1, "unit": "1/day"})
    result = plan.run(30, 1)
    left = result.visits[result.visits["begin_day"].isna()]
    ends = result.patients.set_index("patient").loc[left["patient"], "lost_day"]
    assert len(left) > 20
    assert np.allclose(left["end_day"], ends)
    assert result.resources["left_queue"].iloc[0] == len(left)


def test_the_urgent_come_first_only_when_the_rule_says_so(queue_plan, exponential):
    groups = [{"name": "late", "share": 0.5, "urgency": 1}, {"name": "soon", "share": 0.5, "urgency": 0}]

    def waits(rule):
        result = queue_plan(2, 0.9, groups=groups, rule=rule).run(3000, 1, process=exponential(2.0))
        visits = result.visits.merge(result.patients[["patient", "group"]])
        return (visits["begin_day"] - visits["asked_day"]).groupby(visits["group"]).mean()

    fair, ranked = waits("first come"), waits("urgency")
    assert ranked["soon"] < 0.3 * ranked["late"]
    assert 0.8 < fair["soon"] / fair["late"] < 1.25


def test_the_survival_rule_serves_those_who_lose_most(queue_plan):
    """All wait for one unit; it serves in the order of what one more day costs, computed here from the risk."""
    groups = [
        {"name": name, "share": 0.25, "risk": {"value": risk, "unit": "1"}}
        for name, risk in (("a", 0.2), ("b", 0.6), ("c", 1.0), ("d", 1.5))
    ]
    plan = queue_plan(1, 1.0, groups=groups, rule="survival", risk="tully2019")
    result = plan.run(40, 3, arrivals=np.zeros(40))
    first = result.visits.sort_values("begin_day")["patient"].tolist()
    order = result.patients.set_index("patient")["group"].loc[first[1:]]
    served = order[result.patients.set_index("patient")["lost_day"].loc[first[1:]].isna()].tolist()
    loss = {group.name: plan.risk.loss_per_day(0.0, group.risk.value) for group in plan.groups}
    assert len(set(served)) == 4
    assert [loss[name] for name in served] == sorted((loss[name] for name in served), reverse=True)


def test_survival_rule_needs_a_risk(queue_plan):
    with pytest.raises(InputError, match=r"survival.*risk"):
        queue_plan(1, 1.0, rule="survival")


def test_an_outage_stops_new_work_and_finishes_the_old(queue_plan):
    """One suite, a patient of 2 days every 3 days; out of work from day 10 to 15: patient 4 comes on day 9 and is
    finished on day 11; patient 5 (day 12) begins on day 15, patient 6 (day 15) on day 17, then 19, 21 and 24."""
    outage = [{"needs": "suites", "units": 1, "start_day": 10.0, "days": day(5.0)}]
    result = queue_plan(1, 1 / 3, pattern="even", days=2.0, outages=outage).run(9)
    begin = result.visits.sort_values("patient")["begin_day"].to_numpy()
    assert begin == pytest.approx([0, 3, 6, 9, 15, 17, 19, 21, 24])
    assert result.outages[["from_day", "to_day"]].to_numpy().tolist() == [[11.0, 15.0]]


def test_chance_outages_come_as_often_as_stated(queue_plan):
    outage = [{"needs": "suites", "units": 1, "per_year": 12.0, "days": day(0.001)}]
    result = queue_plan(50, 1.0, outages=outage).run(6000, 1)
    years = result.patients["infusion_day"].max() / 365.25
    assert abs(len(result.outages) - 12 * years) < 4 * np.sqrt(12 * years)


def test_work_begins_in_working_hours_only(queue_plan):
    """Weekdays from 8 to 16 h; day 0 is a Monday; work of 6 hours does not begin after 10 h."""
    plan = queue_plan(
        None, 2.0, days=3.0,
        resources=[{"name": "staff", "units": 2, "week": "weekdays", "opens": 8.0, "closes": 16.0}],
        steps=[{"name": "making", "days": day(3.0), "by": "staff", "hands_first": day(0.25)}],
    )  # fmt: skip
    held = plan.run(200, 1).holds
    begin = held["from_day"].to_numpy()
    assert np.all(np.floor(begin) % 7 < 5)
    hours = 24 * (begin % 1)
    assert hours.min() >= 8 - 1e-9
    assert hours.max() <= 10 + 1e-9
    assert np.allclose(held["to_day"] - held["from_day"], 0.25)


def test_failed_batches_are_repeated_so_often_and_then_lost(queue_plan):
    failure = {"reason": "no growth", "chance": {"value": 1.0, "unit": "fraction"}, "back_to": "collection", "most": 2}
    steps = [
        {"name": "collection", "days": day(1.0)},
        {"name": "making", "days": day(7.0), "process": True, "failures": [failure]},
    ]
    result = queue_plan(None, 1.0, steps=steps, vein_step="collection").run(5)
    assert result.patients["batches"].tolist() == [3] * 5
    assert set(result.patients["lost_reason"]) == {"no growth"}
    assert (result.patients["lost_day"] - result.patients["referral_day"]).to_numpy() == pytest.approx([24.0] * 5)


def test_failures_come_as_often_as_stated():
    """3.87 % of batches fail (38 of 981, ukpanel2025): counted as second batches, with nobody lost otherwise."""
    calm = FleetPlan.builtin("standard").with_(risk=None, too_ill_per_day={"value": 0.0, "unit": "1/day"})
    made = calm.run(2500, 1).patients["batches"].to_numpy()
    assert set(made) == {1, 2}
    assert abs((made == 2).mean() - 38 / 981) < 4 * np.sqrt(0.0387 * 0.9613 / made.size)


def test_the_callers_process_decides_days_and_failure(queue_plan):
    def process(ids, seed):
        return ids.astype(float), ids % 2 == 0

    patients = queue_plan(None, 1.0).run(6, 1, process=process).patients
    lasted = patients["infusion_day"].fillna(patients["lost_day"]) - patients["referral_day"]
    assert lasted.to_numpy() == pytest.approx(np.arange(1, 7))
    assert patients["lost_reason"].tolist() == ["", "batch failed"] * 3


def test_each_attempt_of_the_process_has_its_own_seed(queue_plan):
    failure = {"reason": "bad", "chance": {"value": 0.5, "unit": "fraction"}, "back_to": "making", "most": 3}
    seeds = []

    def process(ids, seed):
        seeds.append(seed)
        return np.ones(ids.size), np.ones(ids.size, bool)

    steps = [{"name": "making", "days": day(1.0), "process": True, "failures": [failure]}]
    queue_plan(None, 1.0, steps=steps).run(2, 9, process=process)
    assert len(seeds) == len(set(seeds)) == 4


def test_seasons_bring_more_patients_in_their_half_of_the_year(queue_plan):
    """Rate 1 + 0.5 cos: the half-year around the peak gets 1/2 + 0.5/pi of the patients."""
    arrivals = {"per_day": {"value": 20.0, "unit": "1/day"}, "swing": 0.5, "peak_day": 0.0}
    days = queue_plan(None, 1.0, arrivals=arrivals).run(7305, 1).patients["referral_day"].to_numpy()
    turn = np.cos(2 * np.pi * days[days < 365.25] / 365.25)
    expected = 0.5 + 0.5 / np.pi
    assert abs((turn > 0).mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / turn.size)
    assert abs(days[-1] - 365.25) < 4 * 365.25 / np.sqrt(7305)


def test_costs_by_hand(queue_plan):
    """Three patients, one on each of days 0, 1 and 2; 100 USD per batch, 2 units at 10 USD a day for 2 days."""
    steps = [
        {
            "name": "making",
            "needs": "suites",
            "days": day(1.0),
            "process": True,
            "cost": {"value": 100.0, "unit": "USD"},
        }
    ]
    resources = [{"name": "suites", "units": 2, "cost_per_day": {"value": 10.0, "unit": "USD"}}]
    costs = queue_plan(2, 1.0, pattern="even", steps=steps, resources=resources).run(3).costs.set_index("item")
    assert costs["usd"].to_dict() == pytest.approx({"step: making": 300, "units: suites": 40, "all": 340})
    assert costs.loc["all", "usd_per_treated"] == pytest.approx(340 / 3)


def test_cost_per_treated_patient_has_its_interval(standard):
    row = standard.table.set_index("quantity").loc["cost per treated patient"]
    costs = standard.costs.set_index("item")
    assert row["mean"] == pytest.approx(costs.loc["all", "usd_per_treated"])
    assert 0.5 * row["mean"] < row["low"] < row["mean"] < row["high"] < 1.5 * row["mean"]


def test_a_result_comes_back_from_disk(tmp_path, standard):
    again = FleetResult.load(standard.save(tmp_path / "run"))
    assert again.plan == standard.plan
    for name in ("patients", "visits", "holds", "outages", "table", "resources"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(standard, name), check_dtype=False)
    (tmp_path / "run" / "visits.parquet").write_bytes(b"not a table")
    with pytest.raises(InputError, match=r"visits.*damaged"):
        FleetResult.load(tmp_path / "run")


def test_intervals_hold_the_truth_about_as_often_as_they_say(queue_plan, exponential):
    """Mean wait of M/M/1 at half load is 1 day: the 95 % batch-means interval should hold it in most of 40 runs."""
    held = 0
    for seed in range(40):
        row = queue_plan(1, 0.5).run(1500, seed, process=exponential(1.0)).table.set_index("quantity")
        low, high = row.loc["referral to infusion", ["low", "high"]]
        held += low <= 2.0 <= high
    assert held >= 32  # binomial 95 %: fewer than 33 of 40 happens in about one of a hundred


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arrivals": {"per_day": {"value": 0.0, "unit": "1/day"}}}, r"arrivals\.per_day.*above 0"),
        ({"arrivals": {"per_day": {"value": 1.0, "unit": "1/year"}}}, r"unit must be '1/day', got '1/year'"),
        ({"arrivals": {"per_day": {"value": 1.0, "unit": "1/day"}, "swing": 1.5}}, r"arrivals\.swing.*less than 1"),
        ({"steps": [{"name": "making", "days": day(-1.0)}]}, r"steps\.0\.days.*at least 0"),
        ({"steps": [{"name": "making", "days": day(1.0), "needs": "suite"}]}, r"did you mean 'suites'"),
        ({"steps": [{"name": "making", "days": day(1.0), "neds": "suites"}]}, r"unknown key 'neds'.*needs"),
        ({"steps": [{"name": "a", "days": day(1.0)}] * 2}, r"'a' stands there twice"),
        ({"steps": [{"name": "a", "days": day(1.0), "hands_first": day(0.1)}]}, r"hands_first.*needs a resource"),
        (
            {"resources": [{"name": "suites", "units": 1, "opens": 8.0, "closes": 10.0}],
             "steps": [{"name": "a", "days": day(1.0), "by": "suites", "hands_first": day(0.5)}]},
            r"must fit into a shift of 0\.08",
        ),
        ({"steps": [{"name": "a", "days": day(1.0), "needs": "suites", "by": "suites", "hands_first": day(0.1)}]},
         r"could never come"),
        (
            {"resources": [{"name": "a", "units": 1}, {"name": "b", "units": 1}],
             "steps": [{"name": name, "days": day(1.0), "needs": one, "by": other, "hands_last": day(0.1)}
                       for name, one, other in (("x", "a", "b"), ("y", "b", "a"))]},
            r"could block each other",
        ),
        ({"resources": [{"name": "suites", "units": 0}]}, r"resources\.0\.units.*greater than or equal to 1, got 0"),
        ({"resources": [{"name": "suites", "units": 1, "opens": 9.0, "closes": 9.0}]}, r"closes must be after opens"),
        ({"groups": [{"name": "all", "share": 0.7}]}, r"shares must add up to 1, got 0\.7"),
        ({"outages": [{"needs": "suites", "units": 2, "days": day(1.0), "start_day": 1.0}]}, r"outages\.0\.units.* 1"),
        ({"outages": [{"needs": "suites", "days": day(1.0)}]}, r"exactly one of start_day and per_year"),
        ({"vein_step": "colection"}, r"vein_step.*unknown step"),
        ({"risk": "tully"}, r"did you mean 'tully2019'"),
        ({"rule": "random"}, r"rule.*'first come', 'urgency' or 'survival'"),
        (
            {"steps": [{"name": "making", "days": day(1.0),
                        "failures": [{"reason": "x", "chance": {"value": 1.2, "unit": "fraction"}}]}]},
            r"chance.*at most 1",
        ),
        (
            {"steps": [{"name": "making", "days": day(1.0), "failures": [
                {"reason": "x", "chance": {"value": 0.1, "unit": "fraction"}, "back_to": "testing"}]}]},
            r"back_to.*unknown step so far 'testing'",
        ),
    ],
)  # fmt: skip
def test_impossible_plans_are_refused_with_the_field(change, words, queue_plan):
    with pytest.raises(InputError, match=words):
        queue_plan(1, 1.0, **change)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"patients": 0}, "1 to 1000000, got 0"),
        ({"patients": 2.5}, "whole number"),
        ({"seed": -1}, "seed"),
        ({"patients": 3, "arrivals": [0.0, 2.0, 1.0]}, "rising"),
        ({"patients": 2, "arrivals": [0.0, np.nan]}, "arrivals"),
        ({"patients": 2, "process": lambda ids, seed: ([1.0, -2.0], False)}, "got -2 day for patient 2"),
    ],
)
def test_impossible_runs_are_refused(given, words, queue_plan):
    with pytest.raises(InputError, match=words):
        queue_plan(1, 1.0).run(**given)


def test_without_simpy_the_message_says_how_to_get_it(monkeypatch, queue_plan):
    import sys

    monkeypatch.setitem(sys.modules, "simpy", None)
    with pytest.raises(MissingExtra, match=r"pip install 'livingdrug\[plant\]'"):
        queue_plan(1, 1.0).run(2)


def test_a_plan_from_a_file_names_the_file(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text('name = "x"\ntitle = "x"\n[[steps]]\nname = "making"\n')
    with pytest.raises(InputError, match=r"plan\.toml.*steps\.0\.days.*missing"):
        FleetPlan.read(path)


@pytest.mark.parametrize("name", ["standard", "point-of-care"])
def test_every_stated_number_of_a_builtin_plan_has_its_source(name):
    from livingdrug.sources import cite

    for place, stated in FleetPlan.builtin(name).stated():
        if stated.mark in ("read", "computed"):
            assert cite(stated.source), place
