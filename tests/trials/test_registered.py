"""Registered trials without results: what the record says, that they run, and that comparators are as published."""

import csv

import numpy as np
import pytest

from livingdrug.declared import declare
from livingdrug.errors import InputError
from livingdrug.sources import cite
from livingdrug.trials.catalogue import all_trials, find_trial
from livingdrug.trials.comparators import comparator
from livingdrug.trials.endpoint_names import endpoints_of
from livingdrug.trials.predict import predicted_protocols
from livingdrug.trials.protocol import Protocol, protocol_names, registered_names
from livingdrug.trials.twin import run_twin

NAMES = registered_names()
TRIALS = {name: Protocol.builtin(name) for name in NAMES}
MONTH = 365.25 / 12


def test_there_are_ten_of_all_diseases_apart_from_the_published_ones():
    assert len(NAMES) == 10
    assert not set(NAMES) & set(protocol_names())
    assert set(NAMES) < set(all_trials())
    assert {trial.disease for trial in TRIALS.values()} == {
        "b_all", "b_all_adult", "lbcl", "fl", "mcl", "cll", "myeloma"
    }  # fmt: skip
    assert sum(bool(arm.comparator) for trial in TRIALS.values() for arm in trial.arms) == 4
    assert find_trial(NAMES[0]) == TRIALS[NAMES[0]]


def test_they_are_predicted_and_never_calibrated():
    assert not any(trial.calibration for trial in TRIALS.values())
    predicted = [trial.name for trial in predicted_protocols()]
    assert predicted[-10:] == NAMES
    assert len(predicted) == 22  # twelve published trials that were not calibrated, and ten registered ones
    assert len({trial.label for trial in predicted_protocols()}) == 22


@pytest.mark.parametrize("name", NAMES)
def test_what_the_record_says(shared_data, name):
    """Number, enrolment, status, dates and phase against the snapshot of the registry; the first arms are given."""
    trial = TRIALS[name]
    path = shared_data / "trials" / "oncology_trials_2026-08-22.csv"
    with path.open(encoding="utf-8", newline="") as text:
        record = next(row for row in csv.DictReader(text) if row["NCTId"] == trial.registration)
    said = trial.registered
    assert said
    assert trial.size.enrolled == float(record["EnrollmentCount"])
    assert sum(trial.enrolled_in(arm) for arm in trial.arms) == trial.size.enrolled
    assert (said.status, said.start, said.updated, said.snapshot) == (
        record["OverallStatus"], record["StartDate"], record["LastUpdatePostDate"], record["SnapshotDate"]
    )  # fmt: skip
    assert "PHASE" + trial.phase == record["Phase"]
    assert said.status != "COMPLETED"
    least = record["MinAge"].split()[0]
    assert trial.eligibility.startswith((f"{least} year", f"{least} to {record['MaxAge'].split(' ')[0]} years"))
    assert said.primary == record["PrimaryEndpoints"]


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_a_source_or_a_mark(name):
    for place, stated in TRIALS[name].stated():
        assert stated.source or stated.mark in ("assumed", "recalled"), place
    assert {cite(key).key for key in TRIALS[name].sources} == {"ctgov2026"}


@pytest.mark.parametrize("name", NAMES)
def test_they_run_and_report_their_endpoints(name):
    trial = TRIALS[name]
    found = run_twin(trial, 60, seed=1, replicates=20, threads=1)
    assert len(found.outcomes) == 60
    assert found.failed == 0
    rows = found.endpoints.to_dict("records")
    assert set(endpoints_of(trial)) <= {row["endpoint"] for row in rows}
    assert trial.registered
    primary = [row["value"] for row in rows if row["endpoint"] == trial.registered.endpoint]
    assert primary
    assert np.isfinite(primary).all()
    assert all(0 <= row["value"] <= 100 for row in rows if row["unit"] == "%" and np.isfinite(row["value"]))
    assert len({row["arm"] for row in rows}) == len(trial.arms) + (len(trial.arms) > 1)


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        # leonard2019: 39.4 months without progression; recalled there: response 78 %, 83 % alive after 5 years
        ("fl_relapsed", {"orr": 0.78, "pfs median": 39.4, "os 60": 0.83}),
        # nakaya2017: after 3 years 50.6 % without progression, 60.8 % alive
        ("lbcl_first_line_high_risk", {"pfs 36": 0.506, "os 36": 0.608}),
    ],
)
def test_comparators_are_as_published(name, checks):
    ids = np.arange(1, 40_001, dtype=np.uint64)
    drawn = comparator(name).draw(ids, 1, np.arange(1.0, 3000.0, 7.0), 0.0)
    free = np.minimum(drawn["progression_day"], drawn["death_day"]) / MONTH
    alive = drawn["death_day"] / MONTH
    found = {
        "orr": np.isfinite(drawn["response_day"]).mean(), "pfs median": np.median(free),
        "pfs 36": np.mean(free > 36), "os 36": np.mean(alive > 36), "os 60": np.mean(alive > 60),
    }  # fmt: skip
    for what, published in checks.items():
        assert found[what] == pytest.approx(published, rel=0.03), what


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("endpoint", "cr/cri", "registered.endpoint: unknown endpoint of a trial in fl 'cr/cri'"),
        ("start", "2022-13-01", "registered.start: '2022-13-01' is no date"),
        ("updated", "yesterday", "is no date; write it as 2026-08-22"),
        ("stage", "x", "registered: unknown key 'stage'; did you mean 'start'"),
    ],
)
def test_a_record_that_cannot_be(key, value, words):
    design = TRIALS["nct05371093"].model_dump()
    design["registered"] = {**design["registered"], key: value}
    with pytest.raises(InputError, match=words):
        declare(Protocol, design, "odd")


@pytest.mark.parametrize("name", [*protocol_names(), *NAMES])
def test_endpoints_are_told_apart_in_a_forecast(name):
    """A forecast names an endpoint by its words without the patients, and the patients."""
    keys = [
        (words.removesuffix(f" {m.among[0]}"), m.among[0]) for words, m in endpoints_of(Protocol.builtin(name)).items()
    ]
    assert len(set(keys)) == len(keys)
