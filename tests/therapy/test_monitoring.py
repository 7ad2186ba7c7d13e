"""Rounds on the twin's body: grades, treatment, and the same luck under every rule."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.body.diseases import PATIENTS
from livingdrug.body.treatment import cells, lymphodepletion
from livingdrug.body.variability import draw_patients
from livingdrug.clinic.management_rules import management_rule
from livingdrug.engine.solve import LOOSE
from livingdrug.errors import InputError
from livingdrug.therapy.monitoring import monitor, usual_rounds

COUNT = 300
ROUNDS = usual_rounds(14, 28)
DAYS = [0.0, 7.0, 14.0, 28.0, 60.0]


def follow(rule, ids=None, **options):
    patient, ids = PATIENTS["lbcl_cd28"], np.arange(COUNT) if ids is None else ids
    given = [*lymphodepletion(patient.lymphodepletion), *cells(patient.dose_cells)]
    return monitor(
        draw_patients(ids, patient.values(), seed=3), given, DAYS, rule=rule, rounds=ROUNDS, patient_ids=ids, seed=3,
        rtol=LOOSE, outputs=["car_t_blood", "il6", "il6_effect"], **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def untreated():
    return follow("none")


@pytest.fixture(scope="module")
def treated():
    return follow("asco-2021")


def test_usual_rounds():
    """Eight-hourly for 14 days, then daily: 42 + 14 rounds."""
    assert len(usual_rounds()) == 56
    assert np.all(np.diff(usual_rounds()) > 0)
    with pytest.raises(InputError, match="do not fit"):
        usual_rounds(30, 28)


def test_nobody_is_treated_without_a_rule(untreated):
    assert not untreated.given.any()
    assert not untreated.solution.failed.any()
    assert (untreated.episodes()["highest"] > 0).mean() > 0.5


def test_before_the_first_dose_both_rules_saw_the_same_patient(untreated, treated):
    """Bit for bit: the luck belongs to patient and round, not to the rule."""
    dosed = treated.given.sum(axis=2) > 0
    assert dosed.any()
    until = np.where(dosed.any(axis=1), dosed.argmax(axis=1), len(ROUNDS) - 1)
    for row, last in enumerate(until):
        for item in ("temperature", "spo2", "il6"):
            assert np.array_equal(treated.signs[item][row, : last + 1], untreated.signs[item][row, : last + 1])


def test_treatment_lowers_severe_grades(untreated, treated):
    severe = [(found.episodes()["highest"] >= 3).mean() for found in (untreated, treated)]
    assert severe[1] < severe[0]


def test_tocilizumab_raises_measured_il6_and_lowers_its_effect(untreated, treated):
    """At the next round after the first dose, in patients who got no steroid by then."""
    toci, steroid = treated.given[:, :, 0] > 0, treated.given[:, :, 1] > 0
    alone = toci.any(axis=1) & ~steroid.any(axis=1)
    assert alone.sum() > 20
    rows = np.flatnonzero(alone)
    after = np.minimum(toci[rows].argmax(axis=1) + 1, len(ROUNDS) - 1)
    measured = [found.signs["il6"][rows, after] for found in (untreated, treated)]
    assert np.median(measured[1] / measured[0]) > 1
    fever = [found.signs["temperature"][rows, after] for found in (untreated, treated)]
    assert np.median(fever[1] - fever[0]) < 0


def test_most_onsets_are_within_fourteen_days_and_the_brain_follows(untreated):
    crs, icans = untreated.episodes(), untreated.episodes("astct-icans")
    assert (crs["onset_day"].dropna() <= 14).mean() > 0.9
    both = crs["onset_day"].notna() & icans["onset_day"].notna()
    assert (icans["onset_day"] >= crs["onset_day"])[both].mean() > 0.8


def test_any_subset_in_any_order_gives_the_same(treated):
    ids = np.array([17, 3, 250])
    some = follow("asco-2021", ids, threads=1)
    for name, grades in some.grades.items():
        assert np.array_equal(grades, treated.grades[name][ids])
    assert np.array_equal(some.given, treated.given[ids])
    assert np.array_equal(some.solution.values, treated.solution.values[ids])


def test_doses_are_those_of_the_label(treated):
    """8 mg/kg for 75 kg is 600 mg; at most three in a day and four in all (Kymriah label)."""
    doses = treated.doses()
    toci = doses[doses["class"] == "tocilizumab"]
    assert set(toci["mg"]) == {600.0}
    assert toci.groupby("patient").size().max() <= 4


def test_no_tocilizumab_in_a_what_if():
    found = follow(management_rule("asco-2021").without("tocilizumab"), np.arange(40))
    assert not found.given[:, :, 0].any()
    assert "without tocilizumab" in found.rule


def test_wrong_input():
    with pytest.raises(InputError, match="asco-2021"):
        follow("asco-2012", np.arange(2))
    with pytest.raises(InputError, match="temperature"):
        follow("none", np.arange(2), keep=["temprature"])
    with pytest.raises(InputError, match="which the body does not give"):
        follow("preemptive-tocilizumab", np.arange(2))
