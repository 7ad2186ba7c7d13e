"""What grading remembers or converts: hours of a high dose, doses per kilogram, transfused platelets, CRES, codes."""

import json

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from livingdrug.clinic.grading import begin_rounds, grade, grade_round
from livingdrug.clinic.grading_days import judge_days
from livingdrug.clinic.grading_rules import DayScale, group
from livingdrug.clinic.observations import ITEMS, convert_observation, observe
from livingdrug.clinic.observations_fhir import LOINC_ITEMS, read_bundle
from livingdrug.errors import InputError

DAY_SCALES = [each for each in group("all") if isinstance(each, DayScale)]
HIGH = {"vasopressors": 1, "vasopressor_dose": 25, "temperature": 39, "oxygen_device": 0, "organ_toxicity": 0}
HIGH |= {"creatinine": 0.8, "bilirubin": 0.5, "ast": 20, "alt": 20}


def graded(name, *visits):
    rows = [("P1", t, item, value, ITEMS[item].unit) for t, seen in visits for item, value in seen.items()]
    found = grade(observe(rows), name).scales[0]
    return list(zip(found.lowest.tolist(), found.highest.tolist(), strict=True))


# --- Three hours of a high dose (Lee 2014, Porter 2018; recalled) ----------------------------------------------------


def test_a_high_dose_counts_after_three_hours():
    low = HIGH | {"vasopressor_dose": 5}
    hours = [(1.0, low), (1.0 + 1 / 24, HIGH), (1.0 + 3.9 / 24, HIGH), (1.0 + 4.1 / 24, HIGH), (1.0 + 5 / 24, low)]
    # One hour after the low dose it has lasted for at most one hour; then for 2.9 to 3.9 h; then for 3.1 to 4.1 h.
    assert graded("lee", *hours) == [(2, 2), (2, 2), (2, 3), (3, 3), (2, 2)]


def test_at_the_first_sight_of_a_high_dose_both_are_possible():
    assert graded("lee", (2.0, HIGH)) == [(2, 3)]
    assert graded("lee", (1.0, HIGH | {"vasopressor_dose": 5}), (2.0, HIGH)) == [(2, 2), (2, 3)]
    assert graded("cartox", (2.0, HIGH | {"systolic_pressure": 110})) == [(3, 3)], "CARTOX does not ask for hours"


def test_rounds_know_the_hours_too():
    course, found = begin_rounds(1), []
    for hour in (0, 1, 2, 5):
        answer, course = grade_round("lee", HIGH, 2.0 + hour / 24, course)
        found.append((int(answer["lee"].lowest[0]), int(answer["lee"].highest[0])))
    assert found == [(2, 3), (2, 3), (2, 3), (3, 3)]


# --- Doses per kilogram ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(0.3, "ug/kg/min", 21), (0.3, "mcg/kg/min", 21), (300, "ng/kg/min", 21), (0.018, "mg/kg/h", 21),
     (0.3, "µg/kg/min", 21), (18, "ug/kg/h", 21)],
)  # fmt: skip
def test_doses_per_kilogram_convert_by_weight(value, unit, expected):
    """0.3 ug/kg/min in 70 kg are 21 ug/min; 154.32 lb are 70 kg."""
    for weight in (("P", -1, "weight", 70, "kg"), ("P", 5, "weight", 154.3235835, "lb")):
        chart = observe([("P", 2.0, "vasopressor_dose", value, unit), weight])
        assert not len(chart.findings[chart.findings["item"] == "vasopressor_dose"])
        kept = chart.table.loc[chart.table["item"] == "vasopressor_dose", "value"]
        assert kept.tolist() == pytest.approx([expected])


def test_a_dose_per_kilogram_without_weight_is_reported():
    rows = [("A", 2.0, "vasopressor_dose", 0.3, "ug/kg/min"), ("B", 2.0, "vasopressor_dose", "much", "ug/kg/min"),
            ("B", 1.0, "weight", 50, "kg"), ("A", 1.0, "weight", 5000, "kg"), ("C", 1, "vasopressor_dose", 9, "ug/min"),
            ("B", 3.0, "vasopressor_dose", 99, "ug/kg/min")]  # fmt: skip
    chart = observe(rows)
    found = chart.findings.set_index("row")
    assert "needs the patient's weight" in found.loc[1, "problem"]
    assert "not a number" in found.loc[2, "problem"]
    assert "impossible value" in found.loc[6, "problem"]
    assert set(found["done"]) == {"set aside: not graded"}
    assert chart.table["value"].tolist() == [50, 9]
    with pytest.raises(InputError, match="needs the patient's weight"):
        observe(rows[:1], strict=True)


def test_a_chart_with_and_without_kilograms_has_the_same_grades():
    both = []
    for dose, unit in ((21, "ug/min"), (0.3, "ug/kg/min")):
        rows = [("P", 0.0, "weight", 70, "kg")]
        for t in (1.0, 1.5):
            rows += [("P", t, n, v, ITEMS[n].unit) for n, v in HIGH.items() if n != "vasopressor_dose"]
            rows += [("P", t, "vasopressor_dose", dose, unit)]
        both.append(grade(observe(rows), "lee").by_time()[["time", "lowest", "highest"]].values.tolist())
    assert both[0] == both[1]
    assert both[0][-1][1:] == [3, 3]


# --- ICAHT ------------------------------------------------------------------------------------------------------------


def platelets(values, transfused=()):
    rows = [("P", day + 0.3, "platelets", value, "1e9/L") for day, value in values.items()]
    return rows + [("P", day + 0.1, "platelet_transfusion", "yes", "") for day in transfused]


def test_transfused_platelets_leave_the_grade_open():
    """ash-sap 12809257: recovery asks for 7 days without transfusion. Days 5 to 9 low, transfused on day 10."""
    values = {day: 30 if 5 <= day < 10 else 120 for day in range(31)}
    bare = grade(observe(platelets(values)), "t-icaht-early").scales[0]
    assert (bare.lowest[-1], bare.highest[-1]) == (1, 1)
    found = grade(observe(platelets(values, [10])), "t-icaht-early").scales[0]
    # Low for 5 days surely; days 10 to 16 may have been low, below 20 as well, without the transfusion.
    assert (found.lowest[-1], found.highest[-1]) == (1, 3)
    flag = found.remarks["platelet_transfusion up to 7 days before: may be low"]
    assert np.flatnonzero(flag).tolist() == list(range(10, 17))
    assert "platelet_transfusion" in grade(observe(platelets(values, [10])), "t-icaht").by_time()["attribution"][12]


def test_transfused_platelets_that_are_low_stay_low():
    values = {day: 15 if 5 <= day < 20 else 120 for day in range(31)}
    found = grade(observe(platelets(values, range(4, 20))), "t-icaht-early").scales[0]
    assert (found.lowest[-1], found.highest[-1]) == (4, 4)


def test_g_csf_changes_no_grade_of_neutrophils():
    rows = [("P", day + 0.3, "anc", 400 if 4 <= day < 12 else 3000, "cell/uL") for day in range(31)]
    with_g_csf = [*rows, *(("P", day + 0.1, "g_csf", "yes", "") for day in range(5, 12))]
    both = [grade(observe(each), "icaht-early").scales[0].highest.tolist() for each in (rows, with_g_csf)]
    assert both[0] == both[1]


def test_every_cell_of_every_day_table_decides_somewhere():
    """Windows filled with each limit for each number of days: each published cell is the deciding one at least once."""
    for each in DAY_SCALES:
        width = each.window[1] - each.window[0] + 1
        decided = set()
        for cell in each.cells:
            for days in (1, 7, 14, width):
                low = cell.below - (0.0 if each.inclusive else 1.0)
                counts = np.full((1, width), 1e5)
                counts[:, width - days :] = low
                decided |= set(np.unique(judge_days(each, counts, counts)[1]).tolist())
        missing = set(range(len(each.cells))) - decided
        assert not missing, (each.name, [each.cells[place].text for place in missing])


@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(st.data())
def test_lower_counts_never_lower_a_grade_of_scales_of_days(data):
    each = data.draw(st.sampled_from(DAY_SCALES))
    width = each.window[1] - each.window[0] + 1
    seed = data.draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    top = 3.0 * max(cell.below for cell in each.cells)
    counts = rng.uniform(0, top, (4, width))
    worse = counts * rng.uniform(0, 1, counts.shape)
    hidden = rng.random(counts.shape) < 0.2
    low, _, high, _ = judge_days(each, counts, counts)
    assert (low <= high).all()
    lower, _, higher, _ = judge_days(each, worse, worse)
    assert (lower >= low).all()
    assert (higher >= high).all()
    # Days whose count proves nothing widen the answer. (A day without a count between two that are not low is taken as
    # not low, as the page says, so dropping a count may not widen it.)
    less = judge_days(each, counts, counts, hidden)
    assert (less[0] <= low).all()
    assert (less[2] >= high).all()


def test_charts_with_a_transfusion_of_no_count_are_graded():
    rows = [("P", 3, "platelet_transfusion", "yes", ""), ("P", 3, "platelets", 60, "1e9/L")]
    found = grade(observe(rows), "t-icaht-early").scales[0]
    assert (found.lowest[-1], found.highest[-1]) == (0, 3)


# --- CRES -------------------------------------------------------------------------------------------------------------


def test_cres_asks_for_its_own_score():
    well = {"cartox_score": 10, "consciousness": "alert", "seizure": "none", "motor_weakness": "no", "oedema": "none"}
    assert graded("cartox-cres", (2, well)) == [(0, 0)]
    assert graded("cartox-cres", (2, {k: v for k, v in well.items() if k != "cartox_score"})) == [(0, 3)]
    assert graded("cartox-cres", (2, well | {"cartox_score": 1, "neurological_other_cause": "yes"})) == [(0, 0)]
    assert graded("cartox-cres", (2, well | {"papilloedema": "stage_4", "intracranial_haemorrhage": "yes"})) == [(0, 0)]


def test_pressure_of_the_fluid_in_centimetres_of_water():
    """1 cmH2O = 98.0665 Pa = 0.73556 mmHg: 27.19 cmH2O are 20 mmHg."""
    assert convert_observation(27.19, "cmH2O", "csf_pressure") == pytest.approx(20.0, abs=1e-3)


# --- Codes ------------------------------------------------------------------------------------------------------------


def check_digit(number):
    """LOINC's mod-10 rule: the odd places from the right, read as one number and doubled, beside the even places."""
    digits = number[::-1]
    doubled = str(2 * int(digits[0::2][::-1]))
    return -sum(int(digit) for digit in doubled + digits[1::2]) % 10


def test_loinc_codes_have_the_right_check_digit():
    for code in LOINC_ITEMS:
        number, digit = code.split("-")
        assert check_digit(number) == int(digit), code
    assert LOINC_ITEMS["3150-0"] == "fio2", "US Core value set of vital signs"


def test_growth_factor_of_a_bundle():
    given_ = {
        "resourceType": "MedicationAdministration",
        "status": "completed",
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "2026-01-05T08:00:00Z",
        "medicationCodeableConcept": {"text": "Pegfilgrastim 6 mg"},
    }
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": given_}]}
    chart = read_bundle(json.dumps(bundle), infusion="2026-01-01T08:00:00Z")
    assert chart.table[["item", "time", "value"]].values.tolist() == [["g_csf", 4.0, 1.0]]


# --- Days without a count ---------------------------------------------------------------------------------------------


def neutrophils(days):
    return observe([("P", day + 0.3, "anc", 2500, "cell/uL") for day in days])


def test_a_long_gap_between_normal_counts_is_open():
    """Counts of days 0 and 30 say nothing of the weeks between: never grade 0 without a word."""
    found = grade(neutrophils([0, 30]), "icaht-early").scales[0]
    assert (found.lowest[-1], found.highest[-1]) == (0, 4)
    found = grade(neutrophils([0, 8, 16, 24, 30]), "icaht-early").scales[0]
    assert (found.lowest[-1], found.highest[-1]) == (0, 0), "a week between two counts is taken as quiet"
    found = grade(neutrophils([0, 9, 16, 24, 30]), "icaht-early").scales[0]
    assert (found.lowest[-1], found.highest[-1]) == (0, 3), "eight days at or below 100 would be grade 3"


def test_a_gap_that_is_taken_as_quiet_is_named():
    """The week without counts is an assumption: each row from there on says so; a course without a gap does not."""
    rows = grade(neutrophils([0, 4, 5]), "icaht-early").by_time().set_index("time")["assumed"]
    assert rows.tolist() == [""] + ["anc of unmeasured days"] * 5
    whole = grade(neutrophils(range(6)), "icaht-early").by_time()
    assert set(whole["assumed"]) == {""}


def test_late_counts_may_be_rarer():
    found = grade(neutrophils(range(31, 101, 14)), "icaht-late").scales[0]
    assert (found.lowest[56], found.highest[56]) == (0, 0)
    found = grade(neutrophils([31, 60, 100]), "icaht-late").scales[0]
    assert (found.lowest[-1], found.highest[-1]) == (0, 4)
