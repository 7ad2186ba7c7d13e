"""What must hold for every stage of the therapy, with a real model at its end.

A stage belongs here once it stands in ``STAGES``; the last test fails for a stage of the therapy that does not.
"""

import inspect
from pathlib import Path

import numpy as np
import pytest

import livingdrug.therapy as therapy
from livingdrug.patients import Patients

COUNT = 60
UNITS = {"cd3_per_uL": "1/uL", "weight_kg": "kg", "baseline_tumour_mL": "mL"}
PLAN = {
    "model": "kimmel2021",
    "parameter_set": "code",
    "links": [
        {"parameter": "car_t_at_infusion", "column": "dose_cells"},
        {"parameter": "normal_t_at_infusion", "column": "host_t_cells"},
        {"parameter": "baseline_tumour_volume", "column": "baseline_tumour_mL"},
    ],
    "varied": ["tumour_growth", "kill_rate"],
    "variation": {"kind": "lognormal", "median": 1.0, "log_sd": 0.05, "unit": "1"},
}
DAYS = [0.0, 7.0, 28.0, 180.0]


def people(rows=None):
    """Different patients; row k is the same patient wherever it stands."""
    random = np.random.default_rng(4)
    columns = {
        "cd3_per_uL": random.uniform(150, 2500, COUNT),
        "weight_kg": random.uniform(45, 120, COUNT),
        "baseline_tumour_mL": 10 ** random.uniform(0, 3, COUNT),
    }
    rows = np.arange(COUNT) if rows is None else np.asarray(rows)
    return Patients(rows + 1, {k: v[rows] for k, v in columns.items()}, UNITS)


def journey(patients, seed=7):
    """What every stage hands on, by its verb."""
    found = {"collect": therapy.collect(patients, seed=seed)}
    found["engineer"] = therapy.engineer(found["collect"], seed=seed)
    found["multiply"] = therapy.multiply(found["engineer"], seed=seed)
    found["release"] = therapy.release(found["multiply"], seed=seed)
    found["wait"] = therapy.wait(found["release"], seed=seed)
    found["condition"] = therapy.condition(found["wait"].patients, seed=seed)
    plan = therapy.InfusionPlan.model_validate(PLAN)
    found["infuse"] = therapy.infuse(found["wait"], found["condition"], plan, times=DAYS, seed=seed)
    return found


STAGES = ("collect", "engineer", "multiply", "release", "wait", "condition", "infuse")


@pytest.fixture(scope="module")
def whole():
    return journey(people())


def rows_of(handed_on):
    """Bytes per patient: all columns, and the course where there is one."""
    patients = handed_on.patients
    columns = [patients[name] for name in patients.columns]
    values = getattr(handed_on, "values", None)
    table = np.column_stack(columns if values is None else [*columns, values.reshape(len(patients), -1)])
    return {int(i): row.tobytes() for i, row in zip(patients.ids, table, strict=True)}


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_negative_or_unknown(whole, stage):
    patients = whole[stage].patients
    assert len(patients) > 0
    for name in patients.columns:
        assert np.all(patients[name] >= 0), name
    values = getattr(whole[stage], "values", np.zeros(1))
    assert np.all(values >= -1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_order_and_company_do_not_matter(whole, stage):
    """Any order, and only every third patient, gives each patient the same bits."""
    order = np.random.default_rng(1).permutation(COUNT)
    for rows in (order, np.arange(0, COUNT, 3)):
        expected = {i: row for i, row in rows_of(whole[stage]).items() if i - 1 in set(rows.tolist())}
        assert rows_of(journey(people(rows))[stage]) == expected


@pytest.mark.parametrize("stage", STAGES)
def test_same_seed_same_patients_other_seed_others(whole, stage):
    assert rows_of(journey(people())[stage]) == rows_of(whole[stage])
    assert rows_of(journey(people(), seed=8)[stage]) != rows_of(whole[stage])


@pytest.mark.parametrize("stage", STAGES)
def test_no_patient_is_lost_without_a_reason(whole, stage):
    """Those who go on and those who left are all who came, each once."""
    if stage == "condition":  # hands on who waits for the infusion and lets nobody leave
        assert np.array_equal(whole[stage].patients.ids, whole["wait"].patients.ids)
        return
    handed_on = whole[stage]
    both = np.concatenate([handed_on.patients.ids, handed_on.attrition.ids])
    assert np.array_equal(np.sort(both), np.arange(1, COUNT + 1))
    assert all(handed_on.attrition.reasons)


def test_cells_are_not_made_from_nothing(whole):
    """No stage ends with more cells than went in; the dose and what is left are what was harvested."""
    columns = {n: whole["release"].patients[n] for n in whole["release"].patients.columns}
    assert np.all(columns["engineered_t_cells"] <= columns["collected_t_cells"])
    assert np.all(
        columns["engineered_t_cells"] + columns["preparation_loss"] == pytest.approx(columns["collected_t_cells"])
    )
    assert columns["seeded_t_cells"] + columns["kept_t_cells"] == pytest.approx(columns["engineered_t_cells"])
    assert np.all(columns["harvested_car_t_cells"] <= columns["harvested_t_cells"])
    assert columns["dose_cells"] + columns["left_over_car_t_cells"] == pytest.approx(columns["harvested_car_t_cells"])


def test_shares_and_copies_keep_their_denominators(whole):
    """The four phenotypes are all T cells; the three copy numbers say the same of one product."""
    patients = whole["engineer"].patients
    names = ("naive", "central_memory", "effector_memory", "effector")
    assert sum(patients[f"{name}_fraction"] for name in names) == pytest.approx(1.0)
    assert patients["copies_per_haploid_genome"] * 2 == pytest.approx(patients["copies_per_cell"])
    assert patients["copies_per_car_cell"] * patients["car_positive"] == pytest.approx(patients["copies_per_cell"])
    assert np.all(patients["collected_tnc"] >= patients["collected_t_cells"])


def test_the_course_starts_with_what_the_chain_made(whole):
    """Day 0 of the course is the dose, the host cells and the tumour of each patient, in their own units."""
    course = whole["infuse"]
    start = dict(zip(course.outputs, course.values[:, 0].T, strict=True))
    assert start["car_t_total"] == pytest.approx(course.patients["dose_cells"], rel=1e-12)
    assert start["tumour_volume"] == pytest.approx(course.patients["baseline_tumour_mL"], rel=1e-12)
    everyone = course.patients["dose_cells"] + course.patients["host_t_cells"]
    assert start["absolute_lymphocyte_count"] == pytest.approx(everyone / 5e8, rel=1e-12)


def test_every_stage_of_the_therapy_has_these_properties():
    """A new verb in livingdrug.therapy needs an entry in STAGES; a new file with a plan needs a verb."""
    verbs = {name for name in therapy.__all__ if inspect.isfunction(getattr(therapy, name))}
    assert verbs == set(STAGES)
    folder = Path(therapy.__file__).parent
    planned = {p.stem for p in folder.glob("*.py") if "Plan(Declared)" in p.read_text(encoding="utf-8")}
    homes = {getattr(therapy, verb).__module__.rpartition(".")[2] for verb in verbs}
    assert planned == homes


def test_release_accounts_for_every_cell(whole):
    """Whole cells: what is given, lost, sampled and left over is exactly what was harvested."""
    from livingdrug.therapy.harvest import LOSSES

    dose = whole["release"].patients
    parts = dose["dose_cells"] + sum(dose[name] for name in LOSSES)
    assert np.array_equal(parts, np.rint(dose["harvested_car_t_cells"]))
    assert np.array_equal(dose["left_over_car_t_cells"], sum(dose[name] for name in LOSSES))
