"""Practice of the period and labels as rules: what each gives at first sight and later; the ward can run them."""

import datetime as dt

import numpy as np
import pytest

from livingdrug.clinic.management import (
    CLASSES,
    CohortGrades,
    TreatmentState,
    decide,
    label_rule,
    management_rule,
    management_rules,
    missing_management,
    monitoring,
    second_dose,
)
from livingdrug.errors import InputError
from livingdrug.sources import cite

PRACTICE = (
    "practice-eliana", "practice-juliet", "practice-zuma-1", "practice-zuma-1-early-steroids", "practice-transcend",
    "practice-karmma", "practice-cartitude-1",
)  # fmt: skip
LABELS = ("tisa-cel", "axi-cel", "brexu-cel", "liso-cel", "ide-cel", "cilta-cel")
STEP = 8 / 24
TOCI, STEROID, ANAKINRA = range(3)


def graded(rule, crs, icans):
    scale = management_rule(rule).crs_scale.replace("any", "astct-crs")
    return CohortGrades(crs=np.atleast_1d(crs), icans=np.atleast_1d(icans), crs_scale=scale)


def first(rule, crs, icans=0, day=2.0, **choices):
    """Milligrams per class of a patient of 70 kg at the first sight of these grades."""
    return decide(graded(rule, crs, icans), TreatmentState.untreated(1), day, 70, rule, **choices).mg[0].tolist()


def course(rule, levels, step=STEP, start=2.0, **choices):
    state, doses = TreatmentState.untreated(1), []
    for number, (crs, icans) in enumerate(levels):
        now = graded(rule, crs, icans)
        found = decide(now, state, start + number * step, 70, rule, **choices)
        state = state.after(found, now)
        doses.append(found.mg[0])
    return start + step * np.arange(len(levels)), np.array(doses)


# Kymriah label of 2018, section 2.4: tocilizumab for instability despite vasopressors or worsening breathing (taken as
# Lee 3 and 4), a steroid 12 to 18 h later without improvement. No tocilizumab in milder CRS.
@pytest.mark.parametrize("rule", ["practice-eliana", "practice-juliet"])
def test_tocilizumab_late_as_in_the_first_trials(rule):
    assert [first(rule, grade)[TOCI] for grade in range(5)] == [0, 0, 0, 560, 560]
    assert [first(rule, 0, grade) for grade in range(5)] == [[0, 0, 0]] * 5, "supportive care only"
    days, doses = course(rule, [(3, 0)] * 7)
    assert days[doses[:, TOCI] > 0] == pytest.approx([2, 2 + STEP, 2 + 2 * STEP, 3])
    assert days[doses[:, STEROID] > 0] == pytest.approx([2 + 2 * STEP, 3 + 2 * STEP]), "the first round after 12 h"
    assert doses[2, STEROID] == 140
    assert course(rule, [(3, 0), (2, 0), (2, 0), (2, 0)])[1][:, STEROID].sum() == 0


def test_later_practice_gives_tocilizumab_earlier_than_eliana():
    for rule in PRACTICE[2:]:
        assert first(rule, 2)[TOCI] == 560, rule
    assert first("tisa-cel-label-2025", 2)[TOCI] == 560


# tecartuscopy (sister label): tocilizumab at grade 2, methylprednisolone 1 mg/kg twice a day 24 h later. Recalled:
# 1 mg/kg twice a day in grade 3, 1000 mg a day in grade 4; dexamethasone 10 mg every 6 h in neurologic grades 2 and 3.
def test_zuma_1_by_its_first_label():
    rule = "practice-zuma-1"
    assert [first(rule, grade)[:2] for grade in range(5)] == [[0, 0], [0, 0], [560, 0], [560, 70], [560, 1000]]
    assert [first(rule, 0, grade)[STEROID] for grade in range(5)] == [0, 0, 10, 10, 1000]
    assert first(rule, 1, 2)[:2] == [560, 0]
    days, doses = course(rule, [(2, 0)] * 7)
    assert days[doses[:, STEROID] > 0][0] == pytest.approx(3)
    assert doses[doses[:, STEROID] > 0][0, STEROID] == 70


def test_the_early_steroid_cohort_gives_a_steroid_before_the_others():
    early, usual = "practice-zuma-1-early-steroids", "practice-zuma-1"
    assert (first(early, 2)[STEROID], first(usual, 2)[STEROID]) == (10, 0)
    assert (first(early, 0, 1)[STEROID], first(usual, 0, 1)[STEROID]) == (10, 0)
    days, doses = course(early, [(1, 0)] * 12)
    assert days[doses[:, TOCI] > 0][0] == pytest.approx(3 + STEP)  # not improving after 24 h
    assert [first("prophylactic-dexamethasone", 0, 0, day=day)[STEROID] for day in (0, 3.5)] == [10, 0]


def test_brexu_cel_adds_the_first_grade():
    days, doses = course("brexu-cel-label", [(1, 0)] * 6)
    assert days[doses[:, TOCI] > 0][0] == pytest.approx(3 + STEP)
    assert first("brexu-cel-label", 3) == first("practice-zuma-1", 3)


# Recalled tables of the labels, at first sight: mg of steroid at grades 0 to 4.
@pytest.mark.parametrize(
    ("rule", "day", "crs", "icans"),
    [
        ("liso-cel-label", 2, [0, 0, 10, 10, 20], [0, 10, 10, 10, 20]),
        ("liso-cel-label", 4, [0, 0, 0, 10, 20], [0, 0, 10, 10, 20]),
        ("ide-cel-label", 2, [0, 0, 10, 10, 20], [0, 10, 10, 10, 20]),
        ("cilta-cel-label", 2, [0, 0, 0, 10, 20], [0, 0, 10, 10, 20]),
        ("practice-karmma", 2, [0, 0, 0, 10, 20], [0, 0, 10, 10, 20]),
        ("practice-cartitude-1", 8, [0, 0, 0, 10, 20], [0, 0, 10, 10, 20]),
        ("practice-transcend", 5, [0, 0, 0, 10, 20], [0, 0, 10, 10, 20]),
        ("nccn-2026", 2, [0, 0, 10, 10, 500], [0, 0, 10, 10, 1000]),
    ],
)
def test_steroid_at_first_sight(rule, day, crs, icans):
    assert [first(rule, grade, 0, day)[STEROID] for grade in range(5)] == crs
    assert [first(rule, 0, grade, day)[STEROID] for grade in range(5)] == icans
    assert [first(rule, grade, 0, day)[TOCI] for grade in (2, 3, 4)] == [560] * 3


def test_the_day_on_which_it_began_decides_and_not_today():
    """nccncart2026, CART-6: consider dexamethasone in grade 1 that began within 72 h."""
    days, doses = course("nccn-2026", [(1, 0)] * 12, start=2.0, optional=True)
    assert (doses[days > 4, STEROID] > 0).any()
    assert course("nccn-2026", [(1, 0)] * 12, start=3.0, optional=True)[1][:, STEROID].sum() == 0
    assert first("nccn-2026", 1, 0, 2.0, optional=True)[:2] == [560, 10]
    assert course("nccn-2026", [(1, 0)] * 12, optional=True)[1][:, TOCI].astype(bool).sum() == 1, "one dose"


def test_falling_course_of_nccn():
    """CART-9, grade 4: 1000 mg a day for 3 days, 250, 125 and 60 mg every 12 h for 2 days each."""
    _, doses = course("nccn-2026", [(0, 4)] * 20, step=0.5, start=0.0)
    expected = [1000, 0] * 3 + [250] * 4 + [125] * 4 + [60] * 4 + [0] * 2
    assert doses[:, STEROID].tolist() == expected


def test_myeloma_practice_treats_a_persistent_fever():
    for rule, begins in (("practice-karmma", 5), ("practice-cartitude-1", 3)):
        days, doses = course(rule, [(1, 0)] * 12)
        assert days[doses[:, TOCI] > 0][0] == pytest.approx(begins + STEP)
        assert doses[:, STEROID].sum() == 0
    _, doses = course("practice-cartitude-1", [(2, 0)] * 4, optional=True)
    assert (doses[:, ANAKINRA] > 0).tolist() == [False, False, True, True], "after two doses of tocilizumab"


@pytest.mark.parametrize("rule", [*PRACTICE, *(label_rule(product).name for product in LABELS), "nccn-2026"])
def test_practice_and_labels_need_nothing_but_grades(rule):
    found = management_rule(rule)
    assert found.needs == ()
    assert rule in management_rules()
    assert found.mark == "read" or found.note or "recalled" in found.title


def test_labels_that_are_not_here_are_named():
    with pytest.raises(InputError, match=r"product with a label rule 'obe-cel'.*missing_management"):
        label_rule("obe-cel")
    assert any("obecabtagene" in title for title in missing_management())
    assert any("European" in title for title in missing_management())
    assert all(missing_management().values())


def test_monitoring_in_europe_after_tisa_cel():
    """Kymriah SmPC 4.4 and 4.7: one dose on site, 8 weeks without driving; near the centre for 4 weeks (NHS note)."""
    found = monitoring("tisa-cel", dt.date(2025, 8, 1), "EU")
    assert (found.tocilizumab_doses_on_site, found.no_driving_days, found.rems) == (1, 56, False)
    assert (found.stay_near_days, found.source, found.recalled) == (28, "kymriahsmpc", ())
    assert np.isnan([found.daily_days, found.visits_in_first_week]).all()


@pytest.mark.parametrize(
    ("product", "daily", "visits"),
    [("axi-cel", 10, 7), ("brexu-cel", 10, 7), ("ide-cel", 10, 7), ("cilta-cel", 14, 7), ("liso-cel", 0, 2)],
)
def test_monitoring_in_europe(product, daily, visits):
    """Section 3 of the leaflets: 10 days (cilta-cel 14), liso-cel 2 to 3 visits; 4 weeks near; 8 weeks no driving."""
    found = monitoring(product, dt.date(2025, 8, 1), "EU")
    assert (found.daily_days, found.visits_in_first_week) == (daily, visits)
    assert (found.stay_near_days, found.no_driving_days, found.rems) == (28, 56, False)
    assert found.recalled == ("tocilizumab_doses_on_site",)
    assert "leaflets" in cite(found.source).title
    with pytest.raises(InputError, match="monitoring rule in the EU 'obe-cel'"):
        monitoring("obe-cel", dt.date(2025, 8, 1), "EU")


@pytest.mark.parametrize(
    ("crs", "worst", "icans", "expected"),
    [(0, 0, 0, "give"), (1, 1, 0, "give"), (1, 2, 0, "give"), (2, 2, 0, "wait"), (3, 3, 0, "stop"), (0, 3, 0, "stop"),
     (4, 4, 0, "stop"), (5, 5, 0, "stop"), (0, 0, 1, "not known"), (2, 2, 1, "not known"), (0, 3, 2, "stop"),
     (-1, 1, 0, "not known"), (-1, -1, 0, "not known"), (0, 0, -1, "not known"), (-1, 4, 0, "stop")],
)  # fmt: skip
def test_the_second_infusion_of_a_split_dose(crs, worst, icans, expected):
    """Aucatzyl table 2: CRS grade 2 may wait up to day 21, grade 3 or more ends the treatment; ICANS was not read."""
    assert second_dose("obe-cel", crs=[crs], worst_crs=[worst], worst_icans=icans).tolist() == [expected]


def test_the_second_infusion_refuses_what_is_no_grade():
    with pytest.raises(InputError, match="product with a second dose 'axi-cel'"):
        second_dose("axi-cel", crs=0, worst_crs=0, worst_icans=0)
    for bad in (6, 1.5, float("nan")):
        with pytest.raises(InputError, match="worst_icans must be whole grades up to 5"):
            second_dose("obe-cel", crs=0, worst_crs=0, worst_icans=bad)
    with pytest.raises(InputError, match="crs must not be above worst_crs"):
        second_dose("obe-cel", crs=2, worst_crs=1, worst_icans=0)


def test_further_steps_of_the_guideline_of_2021():
    """Pocket guide, tables 1 and 2: CRS 4 that does not improve, and a steroid beside tocilizumab in ICANS 1."""
    _, doses = course("asco-2021", [(4, 0)] * 6, optional=True)
    assert doses[-1, STEROID] == pytest.approx(1000), "24 h on 500 mg without improvement"
    _, doses = course("asco-2021", [(1, 1)] * 3, optional=True)
    assert (doses[:, STEROID] > 0).tolist() == [False, True, False], "after the first tocilizumab, then every 12 h"
    assert course("asco-2021", [(4, 0)] * 6)[1][:, STEROID].max() == 500, "only considered"
    assert course("asco-2021", [(1, 1)] * 3)[1][:, STEROID].max() == 0, "only considered"


def test_what_is_assumed_shows_in_the_mark_of_a_recommendation():
    now = graded("practice-eliana", 3, 0)
    table = decide(now, TreatmentState.untreated(1), 2.0, 70, "practice-eliana").to_frame()
    assert table["mark"].tolist() == ["assumed"]
    assert table["note"].tolist() == ["not for clinical use"]


@pytest.mark.parametrize("rule", PRACTICE)
def test_the_ward_runs_every_practice(rule):
    """The twin's rounds grade on the rule's scales and give what it says."""
    from livingdrug.clinic.grading import begin_rounds, grade_round

    found = management_rule(rule)
    scales = {name for name in (found.crs_scale, found.icans_scale, "astct-crs", "astct-icans") if name != "any"}
    seen = {
        "temperature": [39.5, 39.5, 36.8], "systolic_pressure": [80, 80, 120], "vasopressors": [2, 0, 0],
        "vasopressor_dose": [30, 0, 0], "oxygen_device": 0, "oxygen_flow": 0, "spo2": 97, "ice_score": 10,
        "consciousness": 0, "seizure": 0, "motor_weakness": 0, "oedema": 0,
    }  # fmt: skip
    answer, _ = grade_round(sorted(scales), seen, 3.0, begin_rounds(3))
    crs = found.crs_scale.replace("any", "astct-crs")
    now = CohortGrades.of_round(answer, crs, "astct-icans")
    given = decide(now, TreatmentState.untreated(3), 3.0, 70, rule)
    late = rule in ("practice-eliana", "practice-juliet")
    assert given["tocilizumab"].tolist() == [560, 0 if late else 560, 0]
    assert given.mg.shape == (3, len(CLASSES))


@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize("rule", management_rules())
def test_limits_hold_on_any_course(rule, optional):
    """Kymriah label: at most 800 mg, 8 h apart, 3 in 24 h, 4 in all; nothing after death; nothing that is not asked."""
    rng = np.random.default_rng(11)
    size, weight = 40, rng.uniform(8, 140, 40)
    state, toci, when = TreatmentState.untreated(size), [], []
    high = management_rule(rule)
    findings = {name: rng.uniform(0, 60, size) for name in high.needs}
    crs, icans = rng.integers(0, 3, size), np.zeros(size, int)
    for number in range(24):
        crs = np.clip(crs + rng.integers(-1, 2, size), 0, 5)
        icans = np.clip(icans + rng.integers(-1, 2, size), 0, 4)
        scale = high.crs_scale.replace("any", "astct-crs")
        now = CohortGrades(crs=crs, icans=icans, crs_scale=scale)
        found = decide(
            now, state, 2 + number * STEP / 2, weight, rule, findings=findings, optional=optional, often=True
        )
        state = state.after(found, now)
        assert np.isfinite(found.mg).all()
        assert (found.mg >= 0).all()
        assert (found.mg[crs == 5] == 0).all(), "the dead are not treated"
        assert (found.mg[:, TOCI] <= 800).all()
        assert (found.mg[:, STEROID] <= 1000).all()
        well = (crs == 0) & (icans == 0)
        if "prophylactic" not in rule and "preemptive" not in rule:
            assert (found.mg[well] == 0).all()
        assert (found.held[found.mg > 0] == 0).all()
        assert (found.step[found.mg > 0] >= 0).all(), "every dose has a step, so a source"
        toci.append(found.mg[:, TOCI] > 0)
        when.append(found.time)
    toci, when = np.array(toci), np.array(when)
    assert (toci.sum(axis=0) <= 4).all()
    for row in range(size):
        days = when[toci[:, row]]
        assert (np.diff(days) >= 8 / 24 - 1e-6).all()
        assert all(((days > day - 1 + 1e-6) & (days <= day)).sum() <= 3 for day in days)
