import json
import math
import os

import numpy as np
import pandas as pd
import pytest

from livingdrug.errors import InputError, LivingDrugError
from livingdrug.trials.run import course_days


def same(one, other):
    assert one.patients == other.patients
    assert np.array_equal(one.values, other.values, equal_nan=True)
    for name in ("stages", "attrition", "response"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    for name in ("endpoints", "survival", "summary"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)
    assert one.flow == other.flow
    assert one.failures == other.failures


def test_outcome_counts_every_patient(small):
    outcome = small.run(patients=300, seed=2)
    flow = {step: count for step, count, _ in outcome.flow}
    assert flow["enrolled"] == len(outcome.patients) == 300
    assert flow["infused"] == int(outcome.patients["infused"].sum())
    assert flow["cured"] + flow["progressed"] + flow["neither"] == flow["infused"]
    assert sum(bool(reason) for reason in outcome.attrition) == 300 - flow["infused"]
    p = outcome.patients
    given = p["infused"] > 0
    assert np.all(np.isfinite(p["pfs_day"]) == given)
    assert not np.any(np.isfinite(p["cure_day"]) & np.isfinite(p["progression_day"]))
    assert set(outcome.response[given]) <= {"CR", "PR", "SD", "PD"}
    assert set(outcome.response[~given]) == {""}
    assert np.all(p["model.C0"][given] == p["dose_cells"][given])
    assert np.all(p["model.N0"][given] == p["host_t_cells"][given])
    assert np.all(p["model.B0"][given] == p["baseline_tumour_mL"][given])
    assert p.units["dose_cells"] == "cell"
    assert not outcome.failures
    table = outcome.to_frame()
    assert len(table) == 300
    assert {"patient", "left_at", "attrition", "response"} <= set(table.columns)


def test_endpoints_are_those_of_the_patients(small):
    outcome = small.run(patients=200, seed=2)
    table = outcome.endpoints.set_index("endpoint")
    row = table.loc["CAR T cells in blood, day 7"]
    at = outcome.courses["car_t_blood"].sel(time=7.0).values
    assert row.simulated == pytest.approx(np.nanmedian(at))
    assert [row.simulated_low, row.simulated_high] == pytest.approx(np.nanquantile(at, [0.25, 0.75]).tolist())
    assert row.published == 31.55
    assert (row.output, row.day) == ("car_t_blood", 7)
    followed = outcome.patients["infused"] > 0
    responders = np.isin(outcome.response[followed], ["CR", "PR"]).mean()
    assert table.loc["Objective response"].simulated == pytest.approx(responders)
    on_day = np.mean(~(outcome.patients["progression_day"][followed] <= 365))
    assert table.loc["Progression-free on day 365"].simulated == pytest.approx(on_day)
    cured = np.isfinite(outcome.patients["cure_day"][followed]).mean()
    assert table.loc["Infused patients cured by day 2000"].simulated == pytest.approx(cured)
    assert table.loc["P(cure), smallest baseline volume (2.3 mL)"].interval.startswith("95 % binomial, 200 runs")
    assert set(table.columns) >= {"unit", "published_low", "simulated_high", "interval", "source", "note"}


def test_courses_are_labelled(small):
    outcome = small.run(patients=40, seed=1)
    course = outcome.courses["car_t_blood"].sel(patient=3)
    assert course.dims == ("time",)
    assert course.attrs["unit"] == "cell/uL"
    assert bool(course.infused) == (outcome.patients["infused"][2] > 0)
    tumour = outcome.courses["tumour_volume"].values
    progressed = np.flatnonzero(np.isfinite(outcome.patients["progression_day"]))
    for row in progressed:
        after = outcome.days > outcome.patients["progression_day"][row]
        assert np.all(np.isnan(tumour[row, after]))
        assert np.all(np.isfinite(outcome.courses["car_t_blood"].values[row]))
    quantiles = outcome.summary[["q05", "q25", "q50", "q75", "q95"]].dropna().to_numpy()
    assert np.all(np.diff(quantiles, axis=1) >= 0)


def test_blocks_and_cohort_size_do_not_matter(small):
    whole = small.run(patients=90, seed=7)
    same(small.run(patients=90, seed=7, block=37), whole)
    fewer = small.run(patients=50, seed=7)
    assert fewer.patients == whole.patients.take(whole.patients.ids <= 50)
    assert small.run(patients=90, seed=8).patients != whole.patients


def test_a_killed_run_continues(small, tmp_path, monkeypatch):
    whole = small.run(patients=90, seed=7, block=30)

    def killed(done, total):
        if done == 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.run(patients=90, seed=7, block=30, folder=tmp_path / "run", progress=killed)
    files = sorted(path.name for path in (tmp_path / "run" / "blocks").iterdir())
    assert files == [
        "patients-0000000001-0000000030.parquet",
        "patients-0000000031-0000000060.parquet",
        "run.json",
    ]
    from livingdrug.trials import run as module

    computed, calls, simulate = [], [], module.simulate_block
    monkeypatch.setattr(
        module, "simulate_block", lambda t, ids, *a, **k: computed.append(int(ids[0])) or simulate(t, ids, *a, **k)
    )
    outcome = small.run(patients=90, seed=7, block=30, folder=tmp_path / "run", progress=lambda *x: calls.append(x))
    assert computed == [61]
    assert calls == [(30, 90), (60, 90), (90, 90)]
    same(outcome, whole)


def test_a_folder_belongs_to_one_run(small, tmp_path):
    small.run(patients=10, seed=1, folder=tmp_path)
    with pytest.raises(InputError, match=r"another run \(seed 1 there, 2 asked\)"):
        small.run(patients=10, seed=2, folder=tmp_path)
    with pytest.raises(InputError, match="design of the trial or the model has changed"):
        small.model_copy(update={"title": "x"}).run(patients=10, seed=1, folder=tmp_path)
    part = next((tmp_path / "blocks").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged"):
        small.run(patients=10, seed=1, folder=tmp_path)
    (tmp_path / "blocks" / "run.json").write_text("{")
    with pytest.raises(InputError, match="not the label of a run"):
        small.run(patients=10, seed=1, folder=tmp_path)


def test_folders_that_cannot_be_used(small, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be used for a run"):
        small.run(patients=10, folder=tmp_path / "file")

    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LivingDrugError, match="No space left"):
        small.run(patients=10, folder=tmp_path / "new")
    monkeypatch.undo()
    assert list((tmp_path / "new" / "blocks").iterdir()) == []


def test_a_full_disk_leaves_nothing_half_written(small, tmp_path, monkeypatch):
    small.run(patients=10, folder=tmp_path)
    part = next((tmp_path / "blocks").glob("*.parquet"))
    part.unlink()

    def full(_file):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(LivingDrugError, match=r"patients 1 to 10: .*No space left.*finished blocks are kept"):
            small.run(patients=10, folder=tmp_path)
    assert {path.name for path in (tmp_path / "blocks").iterdir()} == {"run.json", "published-cures.json"}
    assert json.loads((tmp_path / "blocks" / "run.json").read_bytes())["patients"] == 10


def test_published_chances_of_cure_are_run_once(small, tmp_path, monkeypatch):
    first = small.run(patients=10, seed=1, folder=tmp_path)
    from livingdrug.trials import run as module

    def again(*_):
        raise AssertionError("run again")

    kept = tmp_path / "blocks" / "published-cures.json"
    with monkeypatch.context() as patch:
        patch.setattr(module, "_published_cure", again)
        same(small.run(patients=10, seed=1, folder=tmp_path), first)
    found = json.loads(kept.read_bytes())
    for wrong in ("{", '{"hash": 1}', json.dumps({**found, "counts": []}), json.dumps({**found, "counts": [[2, 1]]})):
        kept.write_text(wrong)
        with pytest.raises(InputError, match=r"published-cures\.json: the file is damaged"):
            small.run(patients=10, seed=1, folder=tmp_path)
    kept.write_text(json.dumps({**found, "hash": "0"}))
    with pytest.raises(InputError, match="belongs to another run"):
        small.run(patients=10, seed=1, folder=tmp_path)
    kept.unlink()
    same(small.run(patients=10, seed=1, folder=tmp_path), first)
    assert json.loads(kept.read_bytes()) == found


def test_failed_solves_are_shown_not_dropped(small, make_fail):
    make_fail(2, 5)
    outcome = small.run(patients=20, seed=1)
    failed = [failure["patient"] for failure in outcome.failures]
    assert failed == [patient for patient in (2, 5) if outcome.patients["infused"][patient - 1]]
    assert failed
    assert (
        "followed",
        len(outcome.patients) - int((outcome.patients["solved"] == 0).sum()),
        "the solve failed",
    ) in outcome.flow
    for patient in failed:
        assert math.isnan(outcome.patients["pfs_day"][patient - 1])
        assert outcome.response[patient - 1] == ""


def test_nobody_reaches_the_infusion(small):
    plan = small.model_dump()
    plan["arms"][0]["journey"]["waiting"]["hazard"]["value"] = 1e6
    outcome = type(small)(**plan).run(patients=10, seed=1, block=4)
    assert outcome.flow[-4] == ("infused", 0, "progressed, too ill or died while waiting")
    assert outcome.survival.empty
    assert outcome.endpoints["simulated"].iloc[0] == 0


def test_a_file_of_volumes_replaces_the_distribution(small, tmp_path):
    path = tmp_path / "volumes.csv"
    path.write_text("metabolic_tumour_volume_mL\n5\n500\n")
    outcome = small.run(patients=60, seed=1, baseline=path)
    assert set(outcome.patients["baseline_tumour_mL"]) == {5, 500}
    assert outcome.configuration["hash"] != small.run(patients=60, seed=1).configuration["hash"]
    path.write_text("volume\n5\n0\n")
    with pytest.raises(InputError, match="line 3"):
        small.run(patients=60, baseline=path)


@pytest.mark.parametrize(
    "wrong", [{"patients": 0}, {"patients": 1.5}, {"patients": True}, {"seed": -1}, {"seed": "a"}, {"block": 0}]
)
def test_wrong_numbers_are_refused(small, wrong):
    with pytest.raises(InputError):
        small.run(**wrong)


def test_a_run_can_be_made_again_from_its_configuration(small):
    configuration = json.loads(json.dumps(small.run(patients=5).configuration))
    again = type(small)(**configuration["trial"])
    assert again == small
    assert again.run(patients=5).configuration["hash"] == configuration["hash"]


def test_days_hold_what_endpoints_need(small):
    days = course_days(small)
    assert {0, 7, 14, 28, 90, 180, 2000}.issubset(days.tolist())
    assert days.size < 130


def test_units_must_agree(small):
    plan = small.model_dump()
    plan["published"][3]["unit"] = "cell/mL"
    with pytest.raises(InputError, match="car_t_blood is in cell/uL, but CAR T cells in blood, day 7 in cell/mL"):
        type(small)(**plan).run(patients=5)
    plan = small.model_dump()
    plan["population"]["columns"]["baseline_tumour_mL"]["unit"] = "L"
    with pytest.raises(InputError, match="tumour_volume is in mL, but the column baseline_tumour_mL in L"):
        type(small)(**plan).run(patients=5)


def test_printed_values_are_short(small):
    outcome = small.run(patients=5)
    assert repr(outcome).startswith("<Outcome of kimmel-zuma-1: 5 enrolled,")
    assert len(repr(outcome.patients)) < 400
    dose, ready = small.arms[0].journey.prepare(outcome.patients, seed=1)
    assert repr(dose).startswith("<Dose: ")
    assert "left" in repr(ready)
    assert repr(dose.attrition).startswith("<Attrition: ")


def test_wrong_names_of_the_model_are_named(small):
    plan = small.model_dump()
    plan["arms"][0]["journey"]["infusion"]["varied"] = ["rN", "KM"]
    with pytest.raises(InputError, match="unknown parameter of kimmel2021 'KM'"):
        type(small)(**plan).run(patients=5)
    plan["arms"][0]["journey"]["infusion"]["varied"] = ["rN", "C0"]
    with pytest.raises(InputError, match="'C0' is set twice"):
        type(small)(**plan).run(patients=5)
    plan["arms"][0]["journey"]["infusion"] |= {"varied": [], "parameter_set": "cod"}
    with pytest.raises(InputError, match="did you mean 'code'"):
        type(small)(**plan).run(patients=5)
