"""What holds for every scale: worse never lowers a grade, more knowledge never widens it, units change nothing."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from livingdrug.clinic.grading import begin_rounds, grade, grade_round
from livingdrug.clinic.grading_rules import DayScale, group
from livingdrug.clinic.observations import ITEMS, observe
from livingdrug.clinic.observations_units import convert_observation, unit_factors, units_of

SCALES = [each for each in group("all") if not isinstance(each, DayScale)]
NEEDED = sorted({name for each in SCALES for name in each.items})
# A limit of normal belongs to the laboratory: with a lower one a patient's own baseline becomes the reference.
GRADED = [name for name in NEEDED if ITEMS[name].worse and not name.endswith("_upper")]
TIMES = (1.0, 1.6, 3.0, 3.2)


def values_of(one):
    if one.words:
        return st.integers(0, len(one.words) - 1).map(float)
    if one.name == "age":
        return st.floats(0, 90)
    return st.floats(one.least, one.most)


@st.composite
def charts(draw):
    """Values (or None) of some items at four times."""
    names = draw(st.lists(st.sampled_from(NEEDED), min_size=3, max_size=25, unique=True))
    return {name: [draw(st.none() | values_of(ITEMS[name])) for _ in TIMES] for name in names}


def rounds(chart):
    course, found = begin_rounds(1), []
    for place, time in enumerate(TIMES):
        seen = {name: np.nan if v[place] is None else v[place] for name, v in chart.items()}
        answer, course = grade_round([each.name for each in SCALES], seen, time, course)
        found.append({name: (int(each.lowest[0]), int(each.highest[0])) for name, each in answer.items()})
    return found


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(charts(), st.data())
def test_a_worse_patient_never_has_a_lower_grade(chart, data):
    names = [name for name in chart if name in GRADED]
    if not names:
        return
    worse = {name: list(values) for name, values in chart.items()}
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=6)):
        place, one = data.draw(st.integers(0, len(TIMES) - 1)), ITEMS[name]
        old = worse[name][place]
        if old is None:
            continue
        new = data.draw(values_of(one))
        worse[name][place] = max(old, new) if one.worse == "high" else min(old, new)
    for before, after in zip(rounds(chart), rounds(worse), strict=True):
        for name in before:
            assert after[name][0] >= before[name][0], name
            assert after[name][1] >= before[name][1], name


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(charts(), st.data())
def test_what_is_not_known_only_widens_the_grade(chart, data):
    names = [name for name in chart if ITEMS[name].absent is None and name not in ("ice_score", "capd_score")]
    if not names:
        return
    less = {name: list(values) for name, values in chart.items()}
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=6)):
        less[name][data.draw(st.integers(0, len(TIMES) - 1))] = None
    for known, unknown in zip(rounds(chart), rounds(less), strict=True):
        for name in known:
            assert unknown[name][0] <= known[name][0] <= known[name][1] <= unknown[name][1], name


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(charts(), st.data())
def test_every_grade_between_mildest_and_worst_is_inside(chart, data):
    """Any way to fill the gaps gives a grade inside the answer."""
    whole = {}
    for name in NEEDED:
        values = chart.get(name, [None] * len(TIMES))
        must = ITEMS[name].absent is None and name not in ("ice_score", "capd_score")
        filled = [data.draw(values_of(ITEMS[name])) if v is None and must else v for v in values]
        whole[name] = filled
    for place in range(len(TIMES)):  # nothing flows in room air
        if whole["oxygen_device"][place] == 0 and chart.get("oxygen_flow", [None] * len(TIMES))[place] is None:
            whole["oxygen_flow"][place] = 0.0
    for known, filled in zip(rounds(chart), rounds(whole), strict=True):
        for name in known:
            assert known[name][0] <= filled[name][0] <= filled[name][1] <= known[name][1], name


def cohort(rng, count, missing):
    """Random values, many of them near limits; NaN where nothing was observed."""
    near = {"temperature": (36, 40), "systolic_pressure": (60, 110), "oxygen_flow": (0, 10), "fio2": (21, 80),
            "vasopressors": (0, 3), "vasopressor_dose": (0, 40), "creatinine": (0.5, 8), "bilirubin": (0.3, 10),
            "ast": (10, 400), "alt": (10, 400), "ferritin": (100, 3000), "fibrinogen": (50, 400), "anc": (0, 2000),
            "platelets": (0, 200), "csf_pressure": (0, 40), "age": (0, 90)}  # fmt: skip
    found = {}
    for name in NEEDED:
        one = ITEMS[name]
        low, high = near.get(name, (one.least, one.most))
        values = rng.uniform(low, high, count)
        values = rng.integers(int(low), int(high) + 1, count).astype(float) if one.words or one.whole else values
        found[name] = np.where(rng.random(count) < missing, np.nan, values)
    return found


@pytest.mark.parametrize("name", GRADED)
def test_no_worse_item_lowers_a_grade_in_a_thousand_patients(name):
    """Each item alone, at the first or second of three times, in all scales at once; the order of random numbers is
    fixed, the patients are not chosen."""
    rng, one, count = np.random.default_rng(5), ITEMS[name], 1000
    seen = [cohort(rng, count, missing) for missing in (0.2, 0.5, 0.2)]
    baseline = cohort(rng, count, 0.5)

    def followed(visits):
        course, found = begin_rounds(count, baseline), []
        for time, values in zip((1.0, 1.6, 3.2), visits, strict=True):
            answer, course = grade_round([each.name for each in SCALES], values, time, course)
            found.append({key: np.stack([each.lowest, each.highest]) for key, each in answer.items()})
        return found

    before = followed(seen)
    for place in (0, 1):
        old, new = seen[place][name], cohort(rng, count, 0.0)[name]
        worse = np.where(np.isnan(old), old, np.maximum(old, new) if one.worse == "high" else np.minimum(old, new))
        changed = [values | ({name: worse} if k == place else {}) for k, values in enumerate(seen)]
        for was, now in zip(before, followed(changed), strict=True):
            for key in was:
                assert np.all(now[key] >= was[key]), key
                assert np.all(now[key][0] <= now[key][1]), key


@pytest.mark.parametrize("each", SCALES, ids=lambda each: each.name)
def test_an_item_that_is_missing_never_makes_a_silent_zero(each):
    """A whole chart of a well patient is grade 0. Leave one item out: the answer reaches what its worst value is."""
    well = {name: ITEMS[name].mildest if ITEMS[name].worse else 0.0 for name in NEEDED} | {"age": 40.0}
    well |= {name: ITEMS[name].absent for name in NEEDED if ITEMS[name].absent is not None}
    well.pop("capd_score", None)  # an adult is examined by ICE

    def graded(values):
        return grade_round(each.name, values, 1.0, begin_rounds(1))[0][each.name]

    whole = graded(well)
    assert (whole.lowest[0], whole.highest[0]) == (0, 0)
    told_by_others = ("oxygen_flow", "vasopressor_dose")  # nothing flows in room air, no dose without a vasopressor
    open_items = [name for name in each.items if name in well and ITEMS[name].absent is None]
    open_items = [name for name in open_items if name not in ("age", *told_by_others)]
    assert open_items
    for name in open_items:
        worst = graded(well | {name: ITEMS[name].worst})
        without = graded({key: value for key, value in well.items() if key != name})
        assert without.lowest[0] == 0
        assert without.highest[0] >= worst.highest[0], name


@pytest.mark.parametrize("name", [each.name for each in group("all")])
def test_a_chart_that_says_nothing_of_a_scale_leaves_it_open(name):
    day = 40 if "late" in name else 2
    found = grade(observe([("P", day, "heart_rate", 80, "1/min")]), name).scales[0]
    assert found.lowest[-1] == 0
    assert found.highest[-1] >= 1


@pytest.mark.parametrize("name", sorted(ITEMS))
def test_every_unit_leads_to_the_same_value(name):
    one = ITEMS[name]
    middle = (one.least + one.most) / 2 if not one.words else 1.0
    for unit in units_of(name):
        factor, offset = unit_factors(name, unit)
        assert convert_observation((middle - offset) / factor, unit, name) == pytest.approx(middle)


@settings(max_examples=20, deadline=None)
@given(st.floats(36, 41), st.floats(60, 140), st.floats(0.3, 8))
def test_units_change_no_grade(temperature, pressure, creatinine):
    first = [("P", 1, "temperature", temperature, "degC"), ("P", 1, "systolic_pressure", pressure, "mmHg"),
             ("P", 1, "creatinine", creatinine, "mg/dL")]  # fmt: skip
    # degF = degC * 9/5 + 32; 1 kPa = 7.50062 mmHg; 1 mg/dL = 88.42 umol/L of creatinine (113.12 g/mol)
    second = [("P", 1, "temperature", temperature * 1.8 + 32, "°F"),
              ("P", 1, "systolic_pressure", pressure * 0.133322387415, "kPa"),
              ("P", 1, "creatinine", creatinine * 88.42, "µmol/L")]  # fmt: skip
    near = min(abs(temperature - 38), abs(pressure - 90), *(abs(creatinine - 1.2 * k) for k in (1, 1.5, 3, 6)))
    if near < 1e-6:  # on a limit itself the last bit decides
        return
    answers = [grade(observe(rows), "all").by_time()[["lowest", "highest"]].values.tolist() for rows in (first, second)]
    assert answers[0] == answers[1]


def test_a_hundred_point_four_fahrenheit_is_a_fever():
    """100.4 degF is 38.0 degC exactly, and 38.0 is a fever (PMC9327779 table 2)."""
    assert grade(observe([("P", 1, "temperature", 100.4, "degF")]), "astct-crs").scales[0].lowest[0] == 1
    assert grade(observe([("P", 1, "temperature", 100.3, "degF")]), "astct-crs").scales[0].lowest[0] == 0
