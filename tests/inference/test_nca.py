"""Non-compartmental analysis: cases worked by hand, closed forms, and properties that must hold."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livingdrug.errors import InputError
from livingdrug.inference.data import EventData
from livingdrug.inference.nca import PARAMETERS, NcaRules, nca, nca_of
from livingdrug.inference.nca_statistics import describe, label, statistics

DAYS = np.array([0.0, 3, 7, 10, 14, 21, 28, 60, 90, 180])


def one(found, name):
    return float(found[name][0])


def test_a_car_t_course_by_hand():
    """Every number is worked out beside its line."""
    days = [0, 3, 7, 10, 14, 21, 28, 60, 90]
    values = [0, 100, 1600, 12800, 3200, 400, 200, 100, 0]
    found = nca(days, values, lloq=50)
    assert one(found, "cmax") == 12800
    assert one(found, "tmax") == 10
    assert one(found, "clast") == 100
    assert one(found, "tlast") == 60
    rising = 150 + 3400 + 21600  # (0+100)/2*3, (100+1600)/2*4, (1600+12800)/2*3
    # falling, logarithmic: (difference)/ln(ratio)*days
    falling = 9600 / np.log(4) * 4 + 2800 / np.log(8) * 7 + 200 / np.log(2) * 7
    assert one(found, "auc_interval") == pytest.approx(rising + falling)
    assert one(found, "auc_last") == pytest.approx(rising + falling + 100 / np.log(2) * 32)
    assert one(found, "fold_expansion") == 128  # 12800 / 100
    assert one(found, "doubling_time") == pytest.approx(1.0)  # seven doublings in seven days
    # contraction: ln 12800, 3200, 400, 200 in units of ln 2 above ln 200 are 6, 4, 1, 0 on days 10, 14, 21, 28;
    # mean day 18.25, mean 2.75; products of the differences -26.8125 - 5.3125 - 4.8125 - 26.8125 = -63.75,
    # squares of days 68.0625 + 18.0625 + 7.5625 + 95.0625 = 188.75: a slope of -63.75/188.75 halvings per day
    assert one(found, "contraction_half_life") == pytest.approx(188.75 / 63.75)
    assert one(found, "contraction_count") == 4


def test_a_terminal_line_by_hand():
    """Points on an exact line of half-life 30 days after a fast fall: the best adjusted R2 takes just those."""
    days = [0, 10, 20, 40, 70, 100, 130]
    values = [10, 5000, 600, 80, 40, 20, 10]
    found = nca(days, values, lloq=5)
    assert one(found, "terminal_half_life") == pytest.approx(30.0)
    assert one(found, "terminal_count") == 4
    assert one(found, "terminal_r2") == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("rules", "area"),
    [
        # curve 0, 8, 4, BLQ, 2, BLQ on days 0, 2, 4, 6, 8, 10, LLOQ 1, linear areas to day 10
        ({}, 8 + 12 + 12 + 2),  # first zero, middle left out, last zero
        ({"middle": "zero"}, 8 + 12 + 4 + 2 + 2),
        ({"middle": "lloq"}, 8 + 12 + 5 + 3 + 2),
        ({"middle": "half"}, 8 + 12 + 4.5 + 2.5 + 2),
        ({"last": "lloq"}, 8 + 12 + 12 + 3),
        ({"last": "half"}, 8 + 12 + 12 + 2.5),
        ({"first": "lloq"}, 9 + 12 + 12 + 2),
        ({"first": "half"}, 8.5 + 12 + 12 + 2),
        ({"first": "drop"}, 8 + 12 + 12 + 2),  # nothing was there before: zero at the start
        ({"first": "drop", "before_first": "first value"}, 16 + 12 + 12 + 2),
        ({"first": "drop", "before_first": "missing"}, np.nan),
        ({"last": "drop"}, np.nan),  # the last value comes before the end
        ({"last": "drop", "after_last": "nothing"}, 8 + 12 + 12),
    ],
)
def test_values_below_the_limit_by_position(rules, area):
    found = nca([0, 2, 4, 6, 8, 10], [0, 8, 4, 0.2, 2, 0.3], lloq=1, rules=NcaRules(method="linear", end=10, **rules))
    assert one(found, "auc_interval") == pytest.approx(area, nan_ok=True)


@pytest.mark.parametrize(
    ("method", "area"),
    [
        ("linear", 8 + 12 + 6),
        ("linear up/log down", 8 + 8 / np.log(2) + 4 / np.log(2)),
        ("linear to the peak/log after", 8 + 8 / np.log(2) + 4 / np.log(2)),
    ],
)
def test_methods_of_the_area(method, area):
    found = nca([0, 2, 4, 6], [0, 8, 4, 2], rules=NcaRules(method=method, end=6))
    assert one(found, "auc_interval") == pytest.approx(area)


def test_after_the_peak_a_rise_is_logarithmic_only_by_its_own_method():
    days, values = [0, 1, 2, 3], [0, 8, 2, 4]
    up_down = nca(days, values, rules=NcaRules(end=3))
    after = nca(days, values, rules=NcaRules(end=3, method="linear to the peak/log after"))
    assert one(up_down, "auc_interval") == pytest.approx(4 + 6 / np.log(4) + 3)
    assert one(after, "auc_interval") == pytest.approx(4 + 6 / np.log(4) + 2 / np.log(2))


def test_the_ends_of_the_interval_are_cut_on_the_curve():
    """An exponential's area between any two times is known, whatever the samples are."""
    days = np.array([0.0, 1, 5, 11, 40])
    values = 100 * np.exp(-0.1 * days)
    for start, end in ((0, 28), (0.3, 7.7), (2, 3), (0, 40)):
        found = nca(days, values, rules=NcaRules(start=start, end=end))
        exact = 1000 * (np.exp(-0.1 * start) - np.exp(-0.1 * end))
        assert one(found, "auc_interval") == pytest.approx(exact, rel=1e-12)


def test_extrapolation_follows_the_terminal_half_life():
    days = np.array([0.0, 2, 4, 6, 8, 10])
    values = 100 * np.exp(-0.1 * days)
    rules = NcaRules(after_last="extrapolate")
    assert one(nca(days, values, rules=rules), "auc_interval") == pytest.approx(1000 * (1 - np.exp(-2.8)), rel=1e-9)
    assert np.isnan(nca(days, values)["auc_interval"][0])
    assert np.isnan(nca(days[:2], values[:2], rules=rules)["auc_interval"][0])  # no terminal line
    gone = nca([0, 2, 4], [0, 8, 0], rules=rules)  # zero stays zero
    assert one(gone, "auc_interval") == 16


def test_a_sample_before_the_infusion_serves_for_the_start():
    found = nca([-2, 2, 6], [0, 8, 8], rules=NcaRules(end=6, method="linear"))
    assert one(found, "auc_interval") == 6 * 2 + 32  # the line from (-2, 0) to (2, 8) passes 4 at day 0


def test_expansion_rules():
    days, values = [1, 3, 7, 10, 14, 21], [40, 10, 640, 1280, 100, 10]
    assert one(nca(days, values), "fold_expansion") == 128
    assert one(nca(days, values), "doubling_time") == pytest.approx(1.0)  # 7 doublings from day 3 to day 10
    first = nca(days, values, rules=NcaRules(expansion_from="first"))
    assert one(first, "fold_expansion") == 32
    assert one(first, "doubling_time") == pytest.approx(9 / 5)
    # logs in units of ln 2 above 10: 0, 6, 7 on days 3, 7, 10; mean 20/3 and 13/3;
    # sum of products 112 - 20*13/3 = 76/3, of squares 158 - 400/3 = 74/3
    line = nca(days, values, rules=NcaRules(doubling="regression"))
    assert one(line, "doubling_time") == pytest.approx(74 / 76)
    peak_first = nca([1, 3, 7], [40, 10, 5])
    assert np.isnan(peak_first["fold_expansion"][0])
    assert np.isnan(peak_first["doubling_time"][0])


def test_contraction_by_the_best_line_leaves_the_slow_phase_out():
    days = np.array([0, 10, 12, 14, 16, 18, 25, 28.0])
    values = np.array([1, 1024, 512, 256, 128, 64, 60, 58.0])
    best = nca(days, values, rules=NcaRules(contraction="best"))
    assert one(best, "contraction_half_life") == pytest.approx(2.0)
    assert one(best, "contraction_count") == 5
    window = nca(days, values, rules=NcaRules(contraction_until=18))
    assert one(window, "contraction_half_life") == pytest.approx(2.0)
    assert one(nca(days, values), "contraction_half_life") > 3


def test_what_cannot_be_found_is_missing_and_never_wrong():
    values = [[0, 0, 0, 0], [np.nan] * 4, [0, 5, 0, 0], [1, 2, 3, 4], [7, 7, 7, 7]]
    found = nca([0, 10, 20, 28], values)
    assert found["cmax"].tolist()[0] == 0  # as PKNCA: all below the limit is an area and a peak of zero
    assert found["auc_interval"].tolist()[0] == 0
    assert all(np.isnan(found[name][1]) for name in PARAMETERS)
    assert np.isnan(found["tmax"][0])
    assert found["terminal_half_life"][[0, 1, 2, 3, 4]] == pytest.approx([np.nan] * 5, nan_ok=True)
    assert found["contraction_half_life"][[3, 4]] == pytest.approx([np.nan] * 2, nan_ok=True)


def test_order_and_gaps_change_nothing():
    values = np.array([[0.0, 40, 900, 8000, 2000, 300, 90, 70, 60, 20]])
    straight = nca(DAYS, values, lloq=30)
    mixed = np.array([7, 2, 9, 0, 4, 1, 3, 8, 5, 6])
    shuffled = nca(DAYS[mixed], values[:, mixed], lloq=30)
    padded = nca(np.r_[np.nan, DAYS, 200, np.nan], np.c_[[[5.0]], values, [[np.nan]], [[3.0]]], lloq=30)
    for name in PARAMETERS:
        np.testing.assert_array_equal(straight[name], shuffled[name], name)
        np.testing.assert_array_equal(straight[name], padded[name], name)


curves = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-3, 1e7, allow_nan=False)), min_size=len(DAYS), max_size=len(DAYS)
)


@settings(max_examples=150, deadline=None)
@given(curves, st.floats(1e-3, 1e3))
def test_other_units_scale_and_change_nothing_else(values, factor):
    rules = NcaRules(after_last="extrapolate")
    base = nca(DAYS, [values], lloq=1.0, rules=rules)
    scaled = nca(DAYS, [np.array(values) * factor], lloq=factor, rules=rules)
    close = np.array(values)[(np.abs(np.array(values) - 1.0) < 1e-6)]
    if len(close):  # at the limit itself rounding decides on which side a value lies
        return
    for name in ("cmax", "clast", "auc_last", "auc_interval"):
        np.testing.assert_allclose(scaled[name], base[name] * factor, rtol=1e-9, err_msg=name)
    for name in ("tmax", "tlast", "fold_expansion", "doubling_time", "contraction_half_life"):
        np.testing.assert_allclose(scaled[name], base[name], rtol=1e-6, err_msg=name)


@settings(max_examples=150, deadline=None)
@given(curves)
def test_areas_lie_between_what_they_must(values):
    found = nca(DAYS, [values], rules=NcaRules(end=180))
    linear = nca(DAYS, [values], rules=NcaRules(end=180, method="linear"))
    assert found["auc_interval"][0] <= linear["auc_interval"][0] * (1 + 1e-12)  # a logarithmic piece lies below
    assert found["auc_last"][0] <= found["auc_interval"][0] * (1 + 1e-12)
    assert found["auc_interval"][0] <= 180 * found["cmax"][0] * (1 + 1e-12)


def test_each_subject_is_what_it_is_alone():
    rng = np.random.default_rng(4)
    values = np.exp(rng.normal(4, 3, (40, len(DAYS))))
    times = DAYS + rng.uniform(0, 0.9, (40, len(DAYS)))
    values[rng.random(values.shape) < 0.2] = np.nan
    rules = NcaRules(after_last="extrapolate", contraction="best", doubling="regression")
    together = nca(times, values, lloq=20, rules=rules)
    for row in range(40):
        alone = nca(times[row], values[row], lloq=20, rules=rules)
        for name in PARAMETERS:
            np.testing.assert_allclose(alone[name][0], together[name][row], rtol=1e-12, err_msg=name)


def test_lines_are_those_of_numpy():
    rng = np.random.default_rng(8)
    values = np.sort(np.exp(rng.normal(3, 1, (30, 6))), axis=1)[:, ::-1]
    times = np.cumsum(rng.uniform(1, 30, (30, 6)), axis=1)
    found = nca(times, values)
    for row in range(30):
        count = found["terminal_count"][row]
        if np.isnan(count):
            continue
        slope = np.polyfit(times[row, -int(count) :], np.log(values[row, -int(count) :]), 1)[0]
        assert found["terminal_half_life"][row] == pytest.approx(np.log(2) / -slope, rel=1e-9)


@pytest.mark.parametrize(
    ("times", "values", "options", "words"),
    [
        ([0, 1], [1, -2], {}, "subject 1 must be 0 or more"),
        ([0, 1], [1, np.inf], {}, "finite"),
        ([0, np.inf], [1, 2], {}, "time of subject 1 must be finite"),
        ([0, 0], [1, 2], {}, "two values at time 0"),
        ([0, 1], [[1, 2, 3]], {}, "fitting shapes"),
        ([0, 1], [["a", "b"]], {}, "numbers"),
        ([0, 1], [1, 2], {"lloq": -1}, "above 0"),
        ([0, 1, 2], [1, 0, 2], {"rules": NcaRules(middle="half")}, "needs the limit"),
        ([0, 1], np.ones((2, 2, 2)), {}, "shape"),
    ],
)
def test_impossible_input_is_named(times, values, options, words):
    with pytest.raises(InputError, match=words):
        nca(times, values, **options)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"first": "keep"}, "NCA rule first"),
        ({"method": "lin"}, "did you mean"),
        ({"terminal_points": 2}, "3 or more"),
        ({"end": 0.0}, "after its start"),
        ({"end": np.nan}, "finite"),
        ({"terminal_tolerance": -1.0}, "terminal_tolerance"),
    ],
)
def test_impossible_rules_are_named(rules, words):
    with pytest.raises(InputError, match=words):
        NcaRules(**rules)


def test_every_rule_is_said():
    said = " ".join(NcaRules(first="lloq", middle="half", last="zero", end=90, contraction="best").describe())
    for word in ("the limit", "half the limit", "zero", "day 90", "linear up/log down", "best adjusted R2", "lowest"):
        assert word in said


def event_data():
    return EventData.from_arrays(
        ids=["A", "B"], subject=[0] * 4 + [1] * 4, time=[2, 9, 16, 30, 7, 14, 28, 21], value=[50, 800, 200, 50] * 2,
        censoring=[1, 0, 0, 1, 1, 0, 0, 0], doses={"subject": [0, 1], "time": [2, 0], "amount": [1, 1]},
        covariates={"response": ["yes", "no"]},
    )  # fmt: skip


def test_an_event_data_set_counts_from_each_subjects_dose():
    found = nca_of(event_data())
    assert found["tmax"].tolist() == [7, 14]
    assert found["tlast"].tolist() == [14, 28]
    assert found.table()["id"].tolist() == ["A", "B"]
    # A: zero, 800, 200 and then zero at day 28 after its dose
    assert found["auc_interval"][0] == pytest.approx(7 * 400 + 600 / np.log(4) * 7 + 14 * 100)
    with pytest.raises(InputError, match="endpoint"):
        nca_of(event_data(), "flow")


def test_statistics_by_hand():
    found = describe([1, 10, 100, np.nan, 0])
    assert (found["n"], found["n_geometric"]) == (4, 3)
    assert found["geometric_mean"] == pytest.approx(10)
    assert found["geometric_cv"] == pytest.approx(100 * np.sqrt(np.exp(np.log(10) ** 2) - 1))
    # Student's t with 2 degrees of freedom, 97.5 %: 4.302653 (any table)
    assert found["geometric_high"] == pytest.approx(10 * np.exp(4.302653 * np.log(10) / np.sqrt(3)), rel=1e-6)
    assert (found["median"], found["min"], found["max"]) == (5.5, 0, 100)
    empty = describe([np.nan])
    assert empty["n"] == 0
    assert label("cmax", empty) == "not known"
    assert label("cmax", describe([5.0])) == "5"
    assert label("cmax", describe([0.0])) == "not known"


def test_statistics_by_group():
    table = nca_of(event_data()).statistics(by=["yes", "no"])
    assert table["group"].unique().tolist() == ["no", "yes"]
    row = table[(table["group"] == "yes") & (table["parameter"] == "tmax")].iloc[0]
    assert row["label"] == "7 [7 to 7]"
    with pytest.raises(InputError, match="one group per subject"):
        statistics({"cmax": np.ones(3)}, by=["a"])


def test_a_hundred_thousand_subjects_take_seconds():
    rng = np.random.default_rng(1)
    values = np.exp(rng.normal(5, 3, (100_000, 12)))
    days = np.array([0, 1, 3, 7, 10, 14, 21, 28, 60, 90, 180, 365.0])
    start = time.process_time()
    nca(days, values, lloq=50)
    assert time.process_time() - start < 8  # 0.7 s of one core when it is idle
