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
GRADED = [name for name in NEEDED if ITEMS[name].worse]
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
