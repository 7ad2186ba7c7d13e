"""Scales that count days.

Tables: Rejeski 2023 as in Liang's published code (neutrophils), ash-sap 12809257 (platelets).
"""

import numpy as np
import pytest

from livingdrug.clinic.grading import grade
from livingdrug.clinic.observations import ITEMS, observe


def counts(item, days):
    return observe([("P1", day + 0.3, item, value, ITEMS[item].unit) for day, value in days.items()])


def last(scale, item, days):
    found = grade(counts(item, days), scale).scales[0]
    return int(found.lowest[-1]), int(found.highest[-1])


def early(low, low_days, normal=2000.0, start=4):
    """Daily counts of days 0 to 30, low on so many days."""
    return {day: low if start <= day < start + low_days else normal for day in range(31)}


NEUTROPHILS = [
    (501, 20, 0), (500, 1, 1), (500, 6, 1), (500, 7, 2), (500, 13, 2), (500, 14, 3), (500, 26, 3),
    (100, 1, 1), (100, 6, 1), (100, 7, 3), (100, 13, 3), (100, 14, 4), (101, 7, 2), (101, 14, 3),
]  # fmt: skip
PLATELETS = [
    (50, 20, 0), (49, 1, 1), (49, 6, 1), (49, 7, 2), (49, 26, 2), (20, 7, 2), (19, 1, 3), (19, 13, 3), (19, 14, 4),
]  # fmt: skip


@pytest.mark.parametrize(("value", "days", "expected"), NEUTROPHILS)
def test_early_icaht(value, days, expected):
    assert last("icaht-early", "anc", early(value, days)) == (expected, expected)


def test_early_icaht_never_above_500_is_grade_4():
    assert last("icaht-early", "anc", dict.fromkeys(range(31), 400)) == (4, 4)
    assert last("icaht-early", "anc", {day: 2000 if day < 3 else 400 for day in range(31)}) == (4, 4)  # Liang: by day 3
    assert last("icaht-early", "anc", {day: 2000 if day < 4 else 400 for day in range(31)}) == (3, 3)


@pytest.mark.parametrize(("value", "days", "expected"), PLATELETS)
def test_early_thrombocytopenia(value, days, expected):
    assert last("t-icaht-early", "platelets", early(value, days, normal=200.0)) == (expected, expected)


@pytest.mark.parametrize(("gap", "expected"), [(1, 2), (2, 2), (3, 1)])
def test_a_recovery_of_less_than_three_days_counts_as_low(gap, expected):
    """ash-sap 12809257, note: 3 + gap + 2 low days reach 7 only where the gap of one or two days is added."""
    low = {4, 5, 6, *range(7 + gap, 9 + gap)} | ({9 + gap} if gap == 1 else set())
    days = {day: 400 if day in low else 2000 for day in range(31)}
    assert last("icaht-early", "anc", days) == (expected, expected)


@pytest.mark.parametrize(
    ("value", "expected"), [(1501, 0), (1500, 1), (1001, 1), (1000, 2), (501, 2), (500, 3), (101, 3), (100, 4)]
)
def test_late_icaht(value, expected):
    assert last("icaht-late", "anc", {31: 4000, 40: value, 41: value, 42: 4000}) == (expected, expected)


def test_late_icaht_needs_two_measurements():
    assert last("icaht-late", "anc", {31: 4000, 40: 400, 41: 4000, 42: 4000}) == (0, 3)


@pytest.mark.parametrize(("value", "days", "expected"), [(100, 5, 0), (99, 2, 1), (50, 2, 1), (49, 2, 2), (20, 2, 2),
                                                         (19, 2, 3), (19, 13, 3), (19, 14, 4)])  # fmt: skip
def test_late_thrombocytopenia(value, days, expected):
    daily = {day: value if 40 <= day < 40 + days else 300 for day in range(31, 80)}
    assert last("t-icaht-late", "platelets", daily) == (expected, expected)


def test_days_without_a_count_are_open():
    """Weekly: 400 on days 4 and 11, normal around: 2 days are sure, at most days 1 to 13 were low."""
    assert last("icaht-early", "anc", {0: 2000, 4: 400, 11: 400, 14: 2000, 22: 2000, 30: 2000}) == (1, 2)
    assert last("icaht-early", "anc", {30: 2000}) == (0, 4)
    found = grade(observe([("P1", 5, "heart_rate", 80, "1/min")]), "icaht-early")
    assert found.by_time()[["lowest", "highest", "missing"]].iloc[-1].tolist() == [0, 1, "anc"]


def test_lowest_count_of_a_day_stands():
    rows = [
        ("P1", day + part, "anc", value, "cell/uL") for day in range(31) for part, value in ((0.2, 400), (0.8, 900))
    ]
    assert grade(observe(rows), "icaht-early").scales[0].lowest[-1] == 4


def test_patients_are_apart():
    rows = [(p, day, "anc", 400 if p == "B" else 3000, "cell/uL") for p in "ABC" for day in range(31)]
    found = grade(observe(rows), "icaht-early").scales[0]
    ends = found.lowest.reshape(3, 31)[:, -1]
    np.testing.assert_array_equal(ends, [0, 4, 0])


def test_a_chart_without_such_days_gives_no_rows():
    table = grade(observe([("P1", 2, "anc", 400, "cell/uL")]), "icaht")
    assert set(table.by_time()["scale"]) == {"icaht-early"}
    assert set(table.by_day()["scale"]) == {"icaht-early"}
    assert set(table.episodes()["scale"]) == {"icaht-early"}
