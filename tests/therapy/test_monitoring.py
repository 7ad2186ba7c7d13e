"""Rounds on the twin's body: grades, treatment, and the same luck under every rule."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.body.diseases import PATIENTS
from livingdrug.body.signs import UNITS
from livingdrug.body.treatment import cells, lymphodepletion
from livingdrug.body.variability import draw_patients
from livingdrug.clinic.management_rules import management_rule
from livingdrug.engine.solve import LOOSE
from livingdrug.errors import InputError
from livingdrug.therapy import monitoring
from livingdrug.therapy.disease_measures import marrow_blasts
from livingdrug.therapy.monitoring import monitor, rounds_for, usual_rounds
from livingdrug.therapy.monitoring_support import Supportive

COUNT = 300
ROUNDS = usual_rounds(14, 28)
DAYS = [0.0, 7.0, 14.0, 28.0, 60.0]


def follow(rule, ids=None, **options):
    patient, ids = PATIENTS["lbcl_cd28"], np.arange(COUNT) if ids is None else ids
    given = [*lymphodepletion(patient.lymphodepletion), *cells(patient.dose_cells)]
    return monitor(
        draw_patients(ids, patient.values(), seed=3), given, DAYS, rule=rule, patient_ids=ids, seed=3, rtol=LOOSE,
        **{"rounds": ROUNDS, "outputs": ["car_t_blood", "il6", "il6_effect"], **options},
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


@pytest.mark.parametrize("rule", ["practice-eliana", "prophylactic-anakinra", "nccn-2026"])
def test_until_its_first_dose_a_rule_changes_nothing(untreated, rule):
    """Whatever the rule: signs and grades up to the round of the first dose are those without treatment."""
    found = follow(rule, np.arange(60))
    dosed = found.given.sum(axis=2) > 0
    assert dosed.any()
    for row in range(60):
        until = slice(0, (dosed[row].argmax() if dosed[row].any() else len(ROUNDS)) + 1)
        for item, values in found.signs.items():
            assert np.array_equal(values[row, until], untreated.signs[item][row, until])
        for scale in ("astct-crs", "astct-icans"):
            assert np.array_equal(found.grades[scale][row, until], untreated.grades[scale][row, until])


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


def test_untreated_release_is_over_in_most_by_day_28(untreated):
    """Labels yescarta2024 and kymriah2025: medians of 7 to 8 days, with treatment."""
    assert untreated.rounds[-1] == 28.0
    assert (untreated.grades["astct-crs"][:, -1] > 0).mean() < 0.15


def test_the_brain_suffers_before_or_without_cytokine_release_in_a_few():
    """Mostly after or with it; half the cytokines of the default patient, as with many products."""
    patient, ids = PATIENTS["lbcl_cd28"], np.arange(1000)
    given = [*lymphodepletion(patient.lymphodepletion), *cells(patient.dose_cells)]
    drawn = draw_patients(ids, {**patient.values(), "cytokine_gain": 0.5}, seed=3)
    found = monitor(drawn, given, DAYS, rule="asco-2021", patient_ids=ids, seed=3, rtol=LOOSE)
    crs, icans = found.episodes()["onset_day"], found.episodes("astct-icans")["onset_day"]
    suffers = icans.notna()
    first = (icans < crs)[suffers].mean() + crs[suffers].isna().mean()
    assert 0.02 < first < 0.2


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


def test_every_dose_carries_its_rule_step_and_source(treated):
    doses, steps = treated.doses(), {step.id: step for step in management_rule("asco-2021").steps}
    assert set(doses["rule"]) == {"asco-2021"}
    assert set(doses["note"]) == {"not for clinical use"}
    for line in doses[["class", "step", "source", "mark"]].drop_duplicates().itertuples(index=False):
        step = steps[line.step]
        assert (line.source, line.mark) == (step.source, step.mark)
        assert line[0] == step.gives.drug_class
    toci = doses[doses["class"] == "tocilizumab"].groupby("patient").first()
    rows = toci.index.to_numpy()
    at = np.searchsorted(ROUNDS, toci["day"].to_numpy())
    crs, icans = (treated.grades[name][rows, at] for name in ("astct-crs", "astct-icans"))
    assert np.all((crs >= 2) | ((icans >= 1) & (crs >= 1)))


@pytest.mark.parametrize("rule", ["asco-2021", "prophylactic-tocilizumab"])
def test_who_is_well_need_not_be_asked(monkeypatch, rule):
    """Deciding on all patients gives what deciding on those whom it can concern gives."""
    some = follow(rule, np.arange(100), rounds=rounds_for(rule))
    monkeypatch.setattr(monitoring._Rounds, "_concerned", lambda self, grades: np.ones(grades.crs.size, bool))
    every = follow(rule, np.arange(100), rounds=rounds_for(rule))
    assert some.given.any()
    assert np.array_equal(some.given, every.given)
    assert np.array_equal(some.solution.values, every.solution.values)


def test_signs_that_nobody_asks_for_are_not_drawn_and_change_nothing():
    """The laboratory has its own streams: with and without it the same patient."""
    bare, full = (follow("asco-2021", np.arange(40), keep=keep) for keep in (("temperature",), tuple(UNITS)))
    assert np.array_equal(bare.signs["temperature"], full.signs["temperature"])
    assert np.array_equal(bare.given, full.given)
    assert np.isfinite(full.signs["crp"]).all()


def test_no_tocilizumab_in_a_what_if():
    found = follow(management_rule("asco-2021").without("tocilizumab"), np.arange(40))
    assert not found.given[:, :, 0].any()
    assert "without tocilizumab" in found.rule


def test_wrong_input():
    with pytest.raises(InputError, match="asco-2021"):
        follow("asco-2012", np.arange(2))
    with pytest.raises(InputError, match="temperature"):
        follow("none", np.arange(2), keep=["temprature"])
    with pytest.raises(InputError, match="blasts in the marrow before the infusion"):
        follow("preemptive-tocilizumab", np.arange(2))
    with pytest.raises(InputError, match="marrow_blasts"):
        follow("none", np.arange(2), findings={"marow_blasts": 1.0})
    with pytest.raises(InputError, match="no round falls on those days"):
        follow("prophylactic-tocilizumab", np.arange(2))
    with pytest.raises(InputError, match="g_csf"):
        follow("none", np.arange(2), support=["gcsf"])
    with pytest.raises(InputError, match="tumour_positive"):
        follow("none", np.arange(2)).response("large B-cell lymphoma", [28])


def test_a_dose_before_the_cells_has_a_round_of_its_own():
    """Caimi 2021: one dose of 8 mg/kg, one hour before the cells; the luck of all later rounds stays."""
    rule, ids = "prophylactic-tocilizumab", np.arange(30)
    with_, without = (follow(name, ids, rounds=rounds_for(rule)) for name in (rule, "none"))
    assert with_.rounds[0] == pytest.approx(-0.05)
    assert np.all(with_.given[:, 0, 0] == 600.0)
    assert not any(grades[:, 0].any() for grades in with_.grades.values())
    plain = follow("none", ids)
    shift = without.signs["temperature"][:, 1:] - plain.signs["temperature"]
    assert np.abs(shift).max() < 0.02  # the solver's steps differ by the round, the luck does not


def test_the_second_high_fever_calls_for_anakinra_before_day_2():
    """Who has two temperatures of 38.5 or more by day 2 begins then, all others on day 2 (the rule's two steps)."""
    found = follow("prophylactic-anakinra", np.arange(150))
    given, high = found.given[:, :, 2] > 0, found.signs["temperature"] >= np.float32(38.5)
    start = found.rounds[given.argmax(axis=1)]
    second = np.array([found.rounds[np.flatnonzero(row)[1]] if row.sum() > 1 else np.inf for row in high])
    assert given.any(axis=1).all()
    assert np.allclose(start, np.minimum(second, 2.0))
    assert (start < 2).any()


def test_preemptive_tocilizumab_asks_for_blasts_and_fever():
    """Kadauke 2021: 40 % blasts in the marrow and two temperatures of 38.5 or more within 24 h; one dose."""
    ids = np.arange(150)
    blasts = np.where(ids % 2 == 0, 80.0, 10.0)
    found, label = (follow(rule, ids, **more) for rule, more in (
        ("preemptive-tocilizumab", {"findings": {"marrow_blasts": blasts}}), ("tisa-cel-label-2025", {})))  # fmt: skip
    assert np.array_equal(found.given[ids % 2 == 1], label.given[ids % 2 == 1])
    first = [
        np.where((x.given[:, :, 0] > 0).any(axis=1), (x.given[:, :, 0] > 0).argmax(axis=1), 99) for x in (found, label)
    ]
    assert np.all(first[0] <= first[1])
    assert (first[0] < first[1])[ids % 2 == 0].mean() > 0.2
    high = found.signs["temperature"] >= np.float32(38.5)
    for row in np.flatnonzero(first[0] < first[1]):
        day = found.rounds[first[0][row]]
        assert high[row, (found.rounds <= day + 1e-6) & (found.rounds > day - 1 + 1e-6)].sum() >= 2


def test_blasts_before_the_infusion_are_those_of_the_first_visit():
    """A body with as many blasts as other cells has 50 %; with the luck of a smear of 500 cells it varies by 2.2 %."""
    counted = marrow_blasts(np.full(4000, 1e12), np.arange(4000), seed=5)
    assert counted.mean() == pytest.approx(50.0, abs=0.2)
    assert counted.std() == pytest.approx(100 * np.sqrt(0.25 / 500), rel=0.05)


LATE = (*usual_rounds(14, 28), *np.arange(29.0, 61.0))
CARE = ("g_csf", "platelet_transfusion", "red_cell_transfusion")


@pytest.fixture(scope="module")
def cared():
    """The same patients with hard-hit marrow, without and with supportive care."""
    more = {"rounds": LATE, "keep": ("anc", "platelets", "haemoglobin"), "outputs": ["neutrophils"]}
    patient, ids = PATIENTS["lbcl_cd28"], np.arange(120)
    drawn = draw_patients(ids, patient.values(), seed=3) | {"marrow_sensitivity": np.full(120, 2.0)}
    given = [*lymphodepletion(patient.lymphodepletion), *cells(patient.dose_cells)]
    return [
        monitor(drawn, given, [0.0, 14.0, 28.0, 60.0], rule="none", patient_ids=ids, seed=3, rtol=LOOSE,
                support=support, **more)
        for support in ((), CARE)
    ]  # fmt: skip


def test_support_is_off_by_default(cared):
    assert not cared[0].supported
    assert tuple(cared[1].supported) == CARE


def test_support_is_given_by_the_counts_of_the_ward(cared):
    """Platelets below 10, haemoglobin below 7 (recalled lines): one unit, once a day, and only then."""
    found = cared[1]
    for name, item, limit in (
        ("platelet_transfusion", "platelets", 10.0),
        ("red_cell_transfusion", "haemoglobin", 7.0),
    ):
        given = found.supported[name]
        assert np.all(found.signs[item][given > 0] < limit)
        assert set(np.unique(given)) <= {0.0, 1.0}
        days = np.floor(found.rounds + 1e-6)
        assert max((given[:, days == day] > 0).sum(axis=1).max() for day in np.unique(days)) <= 2
        first = (found.signs[item] < limit).argmax(axis=1)
        low = (found.signs[item] < limit).any(axis=1)
        assert low.any()
        assert np.all(given[low, first[low]] == 1.0)
    assert set(np.unique(found.supported["g_csf"])) == {0.0, 5.0}


def test_support_raises_counts(cared):
    """Before the first unit nothing differs; afterwards counts are not lower, and lower counts are fewer."""
    bare, found = cared
    any_given = np.sum([given > 0 for given in found.supported.values()], axis=0) > 0
    first = np.where(any_given.any(axis=1), any_given.argmax(axis=1), len(LATE) - 1)
    for row, last in enumerate(first):
        assert np.array_equal(bare.signs["platelets"][row, : last + 1], found.signs["platelets"][row, : last + 1])
    for item, limit in (("anc", 500.0), ("platelets", 10.0), ("haemoglobin", 7.0)):
        low = [np.nanmean(x.signs[item] < limit) for x in (bare, found)]
        assert low[1] < low[0]


def test_g_csf_begins_with_the_seventh_low_day():
    """NCCN ICAHT-1 as written in the rules: fewer than 500 neutrophils for 7 days within 30 days; 5 ug/kg a day."""
    care = Supportive(["g_csf"], np.array([60.0, 90.0]), rounds=40)
    given = [
        care.decide(day, {"anc": [300.0, 900.0], "platelets": [90.0] * 2, "haemoglobin": [9.0] * 2})["g_csf"]
        for day in np.arange(0, 12, 1 / 3)
    ]
    days = np.arange(0, 12, 1 / 3)[np.array(given)[:, 0] > 0]
    assert days[0] == pytest.approx(6.0)  # days 0 to 6 are seven
    assert np.allclose(np.diff(days), 1.0)
    assert not np.array(given)[:, 1].any()


def test_response_is_that_of_the_visits():
    from livingdrug.therapy.assessment import assess

    found = follow("none", np.arange(30), outputs=["tumour_positive", "tumour_negative"])
    seen = found.response("large B-cell lymphoma", [28, 60])
    same = assess(found.solution.times, found.solution, "large B-cell lymphoma", [28, 60], baseline=0.0,
                  patient_ids=np.arange(30), seed=3)  # fmt: skip
    assert np.array_equal(seen.codes, same.codes)
    assert len(set(seen.best.tolist())) > 1
