"""Processes: the same stages with other numbers; what differs between them, and what must not."""

import tomllib

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.therapy import Fixed, Journey, collect, engineer, multiply, processes, release, wait
from livingdrug.therapy.multiplication import courses
from livingdrug.therapy.processes import FOLDER, Process, compare, process, process_names, read_process
from livingdrug.therapy.timeline import check_order
from livingdrug.therapy.watched import watch

COUNT = 300


@pytest.fixture(scope="module")
def made():
    return {name: process(name).run(COUNT, seed=3) for name in process_names()}


@pytest.mark.parametrize("name", process_names())
def test_every_process_brings_most_patients_to_the_infusion_in_order(made, name):
    batches = made[name]
    assert len(batches.infused) > 0.8 * COUNT
    assert len(batches.infused) + len(batches.attrition) == COUNT
    assert sum(number for _, _, number in batches.funnel()) == len(batches.attrition)
    check_order(batches.infused)
    for column in batches.infused:
        assert np.all(batches.infused[column] >= 0), column


@pytest.mark.parametrize("name", process_names())
def test_every_number_of_a_file_says_where_it_comes_from(name):
    """``Stated`` refuses read or computed numbers without a source; here also: no mark without a note."""

    def numbers(table):
        for value in table.values():
            if isinstance(value, dict):
                yield from [value] if "value" in value or "kind" in value else numbers(value)

    found = list(numbers(tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))))
    assert found
    for number in found:
        assert number.get("note"), number


def test_the_standard_culture_lasts_seven_to_ten_days(made):
    days = made["standard"].infused["culture_days"]
    assert days.min() >= 7
    assert days.max() <= 10


@pytest.mark.parametrize("name", ["two_day", "next_day"])
def test_a_faster_culture_saves_its_own_days_and_no_others(made, name):
    """By construction: both have the same way, tests and conditioning, patient by patient (common streams)."""
    usual, fast = made["standard"].infused, made[name].infused
    both = np.intersect1d(usual.ids, fast.ids)
    usual, fast = usual.take(np.isin(usual.ids, both)), fast.take(np.isin(fast.ids, both))
    saved = usual["culture_days"] - fast["culture_days"]
    np.testing.assert_allclose(usual["infusion_day"] - fast["infusion_day"], saved, atol=1e-9)


def test_release_and_logistics_dominate_a_two_day_process(made):
    """Published experience (evaluate2022): what is left is release and logistics. Ours: more than four fifths."""
    row = compare([made["two_day"]]).iloc[0]
    assert row["not_culture_days"] / row["vein_to_vein_mean"] > 0.8


def test_planned_days_are_the_sum_of_the_middles():
    """1 way + 1 suite + 8.5 culture + 7 tests + 1 review + 1 way + 1 bed + 5 conditioning, from the files."""
    assert process("standard").planned()["infusion"] == pytest.approx(25.5)
    assert process("donor_bank").planned()["infusion"] == pytest.approx(8.0)  # 1 review + 1 way + 1 bed + 5


def test_the_donor_bank_costs_the_patient_no_collection_and_no_queue(made):
    people = made["donor_bank"].infused
    for event in ("collection_day", "arrival_day", "start_day", "harvest_day", "tested_day"):
        assert np.all(people[event] == 0)
    assert np.all(people["lot_culture_days"] >= 7)
    assert np.all(people["doses_per_lot"] >= 1)
    assert "donor" not in " ".join(made["donor_bank"].attrition.reasons)


def test_a_lot_that_fails_is_replaced_and_costs_nobody_a_place():
    limit = Fixed(value=0.35, unit="fraction", note="for a test: about half of the lots fail")
    strict = Process(process="donor_bank", name="strict", title="t", release={"least_car_positive": limit})
    found = strict.run(200, seed=1)
    assert not any(stage != "waiting" for stage in found.attrition.stages)
    assert found.infused["lots_made"].max() > 1
    nothing = Fixed(value=1.0, unit="fraction", note="for a test: every lot fails")
    never = Process(process="donor_bank", name="never", title="t", release={"least_car_positive": nothing})
    assert set(never.run(20, seed=1).attrition.reasons) == {"no released lot"}


@pytest.mark.parametrize("name", ["standard", "donor_bank"])
def test_order_subset_blocks_and_threads_change_nothing(made, name, monkeypatch):
    one = process(name)
    people = one.patients(COUNT, seed=3)
    monkeypatch.setattr(processes, "BLOCK", 37)
    rows = np.random.default_rng(1).permutation(COUNT)[:100]
    part = one.run(people.take(rows), seed=3, threads=1)
    whole = made[name].patients.take(rows)
    for column in whole:
        np.testing.assert_array_equal(part.patients[column], whole[column], err_msg=column)


def test_cells_in_are_cells_out_and_losses(made):
    for batches in made.values():
        people = batches.infused
        harvested = np.rint(people["harvested_car_t_cells"])
        np.testing.assert_array_equal(harvested, people["dose_cells"] + people["left_over_car_t_cells"])


def test_bad_rows_are_refused_or_marked():
    columns = {"cd3_per_uL": [900.0, 1e9], "weight_kg": [70.0, 70.0]}
    people = Patients([1, 2], columns, {"cd3_per_uL": "1/uL", "weight_kg": "kg"})
    with pytest.raises(InputError, match=r"'cd3_per_uL' to be 0 to 100000, got 1e\+09 1/uL for patient 2"):
        process("standard").run(people, seed=1)
    found = process("standard").run(people, seed=1, on_bad_row="mark")
    assert found.attrition.ids.tolist() == [2]
    frame = found.to_frame()
    assert frame["left_stage"].tolist()[1] == "collection"
    assert np.isnan(frame["dose_cells"][1])


def test_a_bad_weight_leaves_a_donor_bank_too():
    people = Patients([1, 2], {"weight_kg": [70.0, 0.0]}, {"weight_kg": "kg"})
    found = process("donor_bank").run(people, seed=1, on_bad_row="mark")
    assert found.attrition.reasons == ("bad input: weight_kg is 0 kg, allowed 1 to 500",)


def test_a_journey_starts_from_a_process_and_keeps_what_it_says_itself():
    journey = Journey(process="two_day", infusion={"model": "kimmel2021"})
    assert journey.multiplication == process("two_day").multiplication
    changed = Journey(
        process="two_day",
        multiplication={"failure": {"value": 0.1, "unit": "fraction", "note": "for a test"}},
        infusion={"model": "kimmel2021"},
    )
    assert changed.multiplication.duration == process("two_day").multiplication.duration
    assert changed.multiplication.failure.quantile(0.5) == 0.1
    with pytest.raises(InputError, match=r"unknown process 'two_days'; did you mean 'two_day'"):
        Journey(process="two_days", infusion={"model": "kimmel2021"})


def test_a_plain_journey_is_the_plain_chain():
    people = process("standard").patients(50, seed=2)
    dose, _ = Journey(infusion={"model": "kimmel2021"}).prepare(people, seed=2)
    chain = wait(release(multiply(engineer(collect(people, seed=2), seed=2), seed=2), seed=2), seed=2)
    assert dose.patients == chain.patients


def test_a_file_says_only_what_differs(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[multiplication]\ndevice = "g-rex"\n')
    mine = read_process(path)
    assert mine.name == "mine"
    assert mine.multiplication.device.title.startswith("Gas-permeable")
    assert mine.waiting == process("standard").waiting
    path.write_text('[multiplication]\ndevise = "g-rex"\n')
    with pytest.raises(InputError, match=r"mine.toml: multiplication: unknown key 'devise'; did you mean 'device'"):
        read_process(path)
    path.write_text('process = "next-day"\n')
    with pytest.raises(InputError, match="did you mean 'next_day'"):
        read_process(path)


def test_the_number_of_patients_is_checked():
    for wrong in (0, -1, 1.5, True, 10**9):
        with pytest.raises(InputError, match="number of patients"):
            process("standard").patients(wrong)


def test_a_watched_batch_is_the_batch_that_was_made(made):
    for name in ("standard", "donor_bank", "point_of_care"):
        batches = made[name]
        patient = int(batches.infused.ids[0])
        seen = watch(batches, patient, seed=9)
        assert seen.living[-1] == pytest.approx(batches.infused["harvested_t_cells"][0], rel=1e-3)
        assert seen.read_until == pytest.approx(seen.harvest_day - 2.5)
        assert np.all(seen.low <= seen.middle)
        assert np.all(seen.middle <= seen.high)
    short = watch(made["next_day"], int(made["next_day"].infused.ids[0]))
    assert short.forecast_days.size == 0
    with pytest.raises(InputError, match="patient 99999 is not among the 300 patients"):
        watch(made["standard"], 99999)


def test_courses_end_at_the_harvest():
    people = process("standard").patients(20, seed=1)
    cells = engineer(collect(people, seed=1), seed=1)
    product = multiply(cells, seed=1)
    found = courses(cells, [0.0, 8.0], seed=1)
    np.testing.assert_allclose(found[:, 1, 0], product.t_cells, rtol=1e-3)
    np.testing.assert_allclose(found[:, 1, 1], product.patients["harvested_glucose_mM"], rtol=5e-3)


def test_events_tell_everyone_who_began(made):
    found = made["standard"].events("2026-01-05")
    assert set(found["patient"]) == set(made["standard"].patients.ids.tolist())
    assert (found["event"] == "infusion").sum() == len(made["standard"].infused)
    assert found["date"].min().year in (2025, 2026)
