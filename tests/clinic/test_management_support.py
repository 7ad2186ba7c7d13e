"""Supportive care: each line at its limits, what is unknown, doses by weight, sources."""

import numpy as np
import pytest

from livingdrug.clinic.management_support import (
    _condition,
    support,
    support_actions,
    support_inputs,
    support_lines,
)
from livingdrug.errors import DeclarationError, InputError
from livingdrug.sources import cite

# Line, day, what is seen, what is just not enough. NCCN growth factors 3.2026, ICAHT-1 and -2: G-CSF from day 2 in high
# risk; fewer than 500 neutrophils for 7 days within 30 days; fewer than 1000 after day 30; after 5 days of G-CSF and 14
# days a boost; platelets below 25 for more than 7 days beyond day 21. The other limits are recalled, and say so.
LIMITS = [
    ("g-csf-high-risk", 2, {"car_hematotox": 2, "anc": 499}, [{"car_hematotox": 1}, {"anc": 500}, {"day": 1}]),
    ("g-csf-severe", 30, {"anc": 499, "days_anc_below_500": 7}, [{"days_anc_below_500": 6}, {"anc": 500}, {"day": 31}]),
    ("g-csf-late", 31, {"anc": 999}, [{"anc": 1000}, {"day": 30}]),
    ("stem-cell-boost", 14, {"anc": 499, "days_g_csf": 5}, [{"days_g_csf": 4}, {"day": 13}, {"anc": 500}]),
    ("eltrombopag", 22, {"days_platelets_below_25": 8}, [{"days_platelets_below_25": 7}, {"day": 21}]),
    ("platelets", 5, {"platelets": 9.9}, [{"platelets": 10}]),
    ("red-cells", 5, {"haemoglobin": 6.9}, [{"haemoglobin": 7}]),
    ("immunoglobulin", 90, {"igg": 3.9, "infection": 1}, [{"igg": 4}, {"infection": 0}]),
    ("antibiotics", 4, {"temperature": 38, "anc": 499}, [{"temperature": 37.9}, {"anc": 500}]),
    ("antifungal", 4, {"steroid_running": 1}, [{"steroid_running": 0}]),
    ("aciclovir", 365, {}, [{"day": 366}, {"day": -1}]),
    ("co-trimoxazole", 0, {}, [{"day": 366}, {"day": -1}]),
    ("levetiracetam", 3, {"crs": 1}, [{"crs": 0}]),
    ("iec-hs-first", 10, {"iec_hs": 2}, [{"iec_hs": 1}]),
    ("iec-hs-second", 10, {"iec_hs": 2, "days_iec_hs_treated": 2}, [{"days_iec_hs_treated": 1}, {"iec_hs": 1}]),
    ("iec-hs-third", 10, {"iec_hs": 4, "days_iec_hs_treated": 2}, [{"days_iec_hs_treated": 1}, {"iec_hs": 3}]),
]  # fmt: skip
PLACE = {line.id: place for place, line in enumerate(support_lines())}


@pytest.mark.parametrize(("line", "day", "seen", "short"), LIMITS, ids=[row[0] for row in LIMITS])
def test_each_line_at_its_limits(line, day, seen, short):
    at = PLACE[line]
    assert support(seen, day, optional=True).applies[0, at]
    assert support(seen, day).applies[0, at] == (support_lines()[at].strength == "give")
    for less in short:
        other = dict(seen) | {name: value for name, value in less.items() if name != "day"}
        found = support(other, less.get("day", day), optional=True)
        assert not found.applies[0, at]
        assert not found.unknown[0, at]
    for name in seen:
        found = support(seen | {name: np.nan}, day, optional=True)
        assert not found.applies[0, at], "what is not known leads to no dose"
        assert found.unknown[0, at]


def test_every_line_stands_in_the_table():
    assert [row[0] for row in LIMITS] == list(PLACE)


def test_worse_counts_never_call_for_less():
    rng = np.random.default_rng(3)
    for _ in range(50):
        seen = {
            "anc": rng.uniform(0, 2000, 40),
            "platelets": rng.uniform(0, 60, 40),
            "haemoglobin": rng.uniform(4, 12, 40),
        }
        worse = {name: values * rng.uniform(0, 1, 40) for name, values in seen.items()}
        rest = {
            "car_hematotox": rng.integers(0, 8, 40),
            "days_anc_below_500": rng.integers(0, 15, 40),
            "temperature": 38.5,
        }
        day = float(rng.uniform(0, 60))
        before, after = (support(one | rest, day, optional=True).applies for one in (seen, worse))
        assert (after | ~before).all()


def test_doses_by_weight_and_table():
    found = support({"anc": [400, 400], "car_hematotox": [3, 0]}, 5, weight=[60, 20])
    assert found.amount[:, PLACE["g-csf-high-risk"]].tolist() == [300, 0]  # 5 ug/kg, recalled
    assert found["g_csf"].tolist() == [True, False]
    table = found.to_frame(["A", "B"])
    row = table[(table["patient"] == "A") & (table["action"] == "g_csf")].iloc[0]
    assert (row["source"], row["mark"], row["note"]) == ("nccngrowth2026", "read", "not for clinical use")
    assert set(table[~table["known"]]["action"]) >= {"platelet_transfusion", "red_cell_transfusion"}


def test_every_line_has_a_source_and_a_mark():
    for line in support_lines():
        assert line.mark in ("read", "recalled", "assumed")
        assert line.source == "recalled" or cite(line.source).title
        assert (line.source == "recalled") <= (line.mark == "recalled")
        assert line.text
    assert len(support_inputs()) == 15


def test_a_cohort_is_judged_row_by_row():
    seen = {"platelets": [5, 50, np.nan], "haemoglobin": [9, 6, 9]}
    whole = support(seen, 10)
    for row in range(3):
        one = support({name: values[row] for name, values in seen.items()}, 10)
        np.testing.assert_array_equal(whole.applies[row], one.applies[0])
        np.testing.assert_array_equal(whole.unknown[row], one.unknown[0])


def test_bad_input_is_said():
    with pytest.raises(InputError, match="unknown input of supportive care 'platelet'; did you mean 'platelets'"):
        support({"platelet": 3}, 5)
    with pytest.raises(InputError, match="unknown input of supportive care 'day'"):
        support({"day": 3}, 5)
    with pytest.raises(InputError, match="one value per patient in every input, got platelets 2, anc 3, weight 1"):
        support({"platelets": [1, 2], "anc": [1, 2, 3]}, 5)
    with pytest.raises(InputError, match="weights positive"):
        support({"platelets": [1]}, 5, weight=0)
    with pytest.raises(InputError, match="day must be finite"):
        support({"platelets": [1]}, float("nan"))
    with pytest.raises(InputError, match="unknown action"):
        support({"platelets": [1]}, 5)["platelet"]
    with pytest.raises(DeclarationError, match="unknown comparison"):
        _condition("line", "anc == 3")
    with pytest.raises(DeclarationError, match="unknown input"):
        _condition("line", "ancs < 3")
    assert "g_csf" in support_actions()
