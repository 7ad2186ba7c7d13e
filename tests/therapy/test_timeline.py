"""Time: the order of events, where the time goes, who is lost while waiting, and what is published of it."""

import csv

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.therapy import Attrition, Fixed, LogNormal, WaitingPlan, wait
from livingdrug.therapy.published_losses import PIVOTAL, VEIN_TO_VEIN, diseases, waiting_hazard
from livingdrug.therapy.stage import Stage
from livingdrug.therapy.timeline import (
    EVENTS,
    SEGMENTS,
    US_COMMUNITY,
    Schedule,
    check_order,
    events,
    segments,
    with_events,
)

UNITS = {"culture_days": "day", "testing_days": "day", "collection_day": "day"}


def stage(n=20, **columns) -> Stage:
    units = {name: unit for name, unit in UNITS.items() if name in columns}
    values = {name: np.broadcast_to(np.asarray(v, float), (n,)) for name, v in columns.items()}
    return Stage(Patients(np.arange(1, n + 1), values, units), Attrition.none())


def made(n=20) -> Stage:
    return stage(n, culture_days=8.0, testing_days=7.0)


def fixed(value, unit="day") -> Fixed:
    return Fixed(value=value, unit=unit)


def varied(value) -> LogNormal:
    return LogNormal(median=value, log_sd=0.4, unit="day")


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.floats(0, 200), min_size=8, max_size=8), st.floats(0, 60), st.floats(0, 60), st.floats(0, 20),
    st.integers(0, 2**32),
)  # fmt: skip
def test_events_are_in_order_and_segments_add_up(lengths, culture, testing, collection, seed):
    schedule = Schedule(**{name: fixed(v) for name, v in zip(Schedule.model_fields, lengths, strict=True)})
    dated = with_events(
        stage(3, culture_days=culture, testing_days=testing, collection_day=collection), schedule, seed=seed
    )
    days = np.array([dated.patients[f"{event}_day"] for event in EVENTS])
    assert np.all(np.diff(days, axis=0) >= 0)
    assert days[-1] == pytest.approx(collection + sum(lengths[2:]) + culture + testing)
    assert days[0] == pytest.approx(-lengths[0] - lengths[1])
    check_order(dated.patients)
    found = segments(dated.patients).set_index("segment")["mean"]
    assert list(found.index[:-1]) == list(SEGMENTS.values())
    assert found.iloc[2:-1].sum() == pytest.approx(found["vein to vein"])


def test_the_usual_schedule_is_about_as_long_as_in_the_trials_of_axi_cel():
    """Assumed segments, not fitted: 25 days, published medians of axi-cel 25.5 (trials) to 38 (Europe)."""
    dated = with_events(made(), Schedule())
    whole = segments(dated.patients).set_index("segment")["median"]
    assert whole["vein to vein"] == 1 + 1 + 8 + 7 + 1 + 1 + 1 + 5
    published = {row.setting: row.days for row in VEIN_TO_VEIN if row.product == "axi-cel"}
    assert whole["vein to vein"] / published["trials"] == pytest.approx(1, abs=0.05)
    assert whole["vein to vein"] < published["Europe"]  # falls short there, as the page says


def test_release_and_logistics_outlast_a_short_culture():
    """Published experience: a culture of two days alone hardly shortens the way, since the rest of it dominates."""
    short = with_events(stage(5, culture_days=2.0, testing_days=7.0), Schedule())
    usual = with_events(made(5), Schedule())
    saved = 1 - short.patients["infusion_day"] / usual.patients["infusion_day"]
    assert np.all(saved < 0.25)
    assert np.all(2.0 / short.patients["infusion_day"] < 0.15)


def test_published_medians_are_those_of_the_table(shared_data):
    with (shared_data / "manufacturing" / "vein_to_vein.csv").open(newline="") as file:
        rows = [(row["product"], row["setting"], float(row["median_days"])) for row in csv.DictReader(file)]
    assert [(v.product, v.setting, v.days) for v in VEIN_TO_VEIN] == rows
    assert (US_COMMUNITY.referral_to_consultation, US_COMMUNITY.consultation_to_collection) == tuple(
        fixed(days).model_copy(update={"source": "communityaccess2025", "mark": "read", "note": "median"})
        for days in (11.0, 107.0)
    )


def test_the_list_of_events_has_everyone_from_referral_to_the_end():
    dated = with_events(made(400), US_COMMUNITY)
    left = wait(made(400), WaitingPlan(schedule=US_COMMUNITY, hazard=fixed(0.004, "1/day")), seed=1)
    assert 0 < len(left) < 400
    table = events(left, planned=dated.patients, collected="2026-01-05")
    assert table["patient"].nunique() == 400
    last = table.groupby("patient").last()
    assert (last["event"] == "infusion").sum() == len(left)
    assert last["event"].str.startswith("left (waiting)").sum() == len(left.attrition)
    assert (table.groupby("patient")["event"].first().isin(["referral"])).all()
    assert table.groupby("patient")["day"].is_monotonic_increasing.all()
    infused = table[table["event"] == "infusion"]
    assert set(infused["date"]) == {pd.Timestamp("2026-01-30")}  # 25 days after the collection
    assert set(table[table["event"] == "referral"]["date"]) == {pd.Timestamp("2025-09-09")}  # 118 days before it
    with pytest.raises(InputError, match="must be a date such as"):
        events(left, collected="5 January")


def test_events_out_of_order_are_refused_or_marked():
    days = {"collection_day": [0.0, 3.0, 0.0], "harvest_day": [9.0, 2.0, 9.0], "infusion_day": [20.0, 20.0, 8.0]}
    people = Patients([1, 2, 3], days, dict.fromkeys(days, "day"))
    with pytest.raises(InputError, match=r"patient 2: harvest_day is 2 day, allowed 3 day \(collection_day\) or later"):
        check_order(people)
    kept, left = check_order(people, "mark")
    assert kept.ids.tolist() == [1]
    assert left.ids.tolist() == [2, 3]
    assert left.reasons[1] == "bad input: infusion_day is 8 day, allowed 9 day (harvest_day) or later"
    with pytest.raises(InputError, match="on_bad_row"):
        check_order(people, "ignore")
    with pytest.raises(InputError, match="'testing_days'"):
        with_events(stage(2, culture_days=8.0), Schedule())


# --- waiting --------------------------------------------------------------------------------------------------------


def test_the_hazard_acts_from_the_referral_when_there_is_a_schedule():
    n, hazard = 40_000, 0.004
    left = wait(made(n), WaitingPlan(schedule=US_COMMUNITY, hazard=fixed(hazard, "1/day")), seed=2)
    assert len(left) / n == pytest.approx(np.exp(-hazard * (118 + 25)), abs=4 * np.sqrt(0.25 / n))
    days = np.array(left.attrition.days)
    assert days.min() >= -118
    assert days.max() <= 25
    assert set(left.patients["vein_to_vein_days"]) == {25.0}


def test_bridging_that_works_cuts_the_hazard():
    """Share lost = 1 - exp(-h T) without, 1 - exp(-0.58 h T) with a response (roddie2023bridging: 42 % less)."""
    n, h = 60_000, 0.01
    plan = WaitingPlan(duration=fixed(30.0), hazard=fixed(h, "1/day"), bridged=fixed(0.7, "fraction"),
                       bridging_response=fixed(0.5, "fraction"))  # fmt: skip
    everyone = stage(n)
    left = wait(everyone, plan, seed=3)
    responded = left.patients["bridging_response"] > 0
    assert np.all(left.patients["bridged"][responded] == 1)
    assert responded.sum() == pytest.approx(0.35 * n * np.exp(-0.58 * h * 30), rel=0.02)
    assert (~responded).sum() == pytest.approx(0.65 * n * np.exp(-h * 30), rel=0.02)


def test_deaths_and_progressions_are_told_apart_where_their_share_is_stated():
    plan = WaitingPlan(hazard=fixed(0.05, "1/day"), death_share=fixed(0.4, "fraction"))
    counts = wait(stage(20_000), plan, seed=4).attrition.counts()
    died = counts["waiting", "died while waiting"]
    assert died / sum(counts.values()) == pytest.approx(0.4, abs=0.02)
    assert len(counts) == 2
    both = wait(stage(100), WaitingPlan(hazard=fixed(9.0, "1/day")), seed=4)
    assert set(both.attrition.reasons) == {"progressed, too ill or died while waiting"}


@pytest.mark.parametrize("disease", diseases())
def test_the_hazard_of_a_disease_gives_back_the_losses_of_its_trials(disease):
    rows = [row for row in PIVOTAL if row.disease == disease]
    hazard = waiting_hazard(disease).value
    expected = sum((row.enrolled - row.failed) * -np.expm1(-hazard * row.wait_days) for row in rows)
    assert expected == pytest.approx(sum(row.made_not_infused for row in rows), rel=0.02)


def test_the_hazard_of_lymphoma_against_two_series_that_it_does_not_know():
    """24 of 148 (pinnix2020bridging) lies within; 23 of 298 (jain2024bridging) does not: fewer were lost there."""
    lost = -np.expm1(-waiting_hazard("large B-cell lymphoma").value * 27.0)  # veintovein2023: axi-cel, US
    low, high = binomtest(24, 148).proportion_ci(method="wilson")
    assert low < lost < high
    low, high = binomtest(298 - 275, 298).proportion_ci(method="wilson")
    assert lost > high


def test_a_disease_brings_its_own_hazard():
    assert WaitingPlan(disease="multiple myeloma").hazard == waiting_hazard("multiple myeloma")
    again = WaitingPlan.model_validate(WaitingPlan(disease="multiple myeloma").model_dump())
    assert again.hazard == waiting_hazard("multiple myeloma")
    with pytest.raises(InputError, match="did you mean 'multiple myeloma'"):
        WaitingPlan(disease="multiple myelom")
    with pytest.raises(InputError, match="not both"):
        WaitingPlan(disease="multiple myeloma", hazard=fixed(0.1, "1/day"))


def test_a_late_result_that_fails_in_time_stops_the_infusion():
    columns = {"late_failure": [1.0, 0.0, 1.0], "late_result_days": [14.0, 14.0, 20.0]}
    some = stage(3, culture_days=8.0, testing_days=7.0)
    late = Stage(some.patients.with_columns(columns), Attrition.none())
    left = wait(late, WaitingPlan(schedule=Schedule()), seed=1)  # harvest on day 10, infusion on day 25
    assert left.patients.ids.tolist() == [2, 3]
    assert left.attrition.counts() == {
        ("release", "a result that came after release failed before the infusion"): 1
    }  # fmt: skip
    assert left.attrition.days == (24.0,)
    assert left.patients["late_failure"].tolist() == [0, 1]  # patient 3 was infused before the result


def test_order_and_company_do_not_matter():
    plan = WaitingPlan(
        schedule=Schedule(way_back=varied(3.0)), hazard=fixed(0.02, "1/day"), bridged=fixed(0.5, "fraction")
    )
    whole = wait(made(200), plan, seed=9)
    rows = np.random.default_rng(2).permutation(200)[:70]
    some = wait(Stage(made(200).patients.take(rows), Attrition.none()), plan, seed=9)
    back = np.argsort(some.patients.ids)
    assert 0 < len(some) < 70
    assert some.patients.take(back) == whole.patients.take(np.isin(whole.patients.ids, some.patients.ids))
