"""Risk scores: worked cases, every band of the published tables, missing values, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from livingdrug.clinic.observations import ITEMS, convert_observation
from livingdrug.clinic.scores import (
    car_hematotox,
    cytopenias,
    easix,
    hscore,
    hscore_probability,
    m_easix,
    missing_scores,
    s_easix,
    score,
    score_inputs,
    score_names,
    score_table,
)
from livingdrug.errors import InputError
from livingdrug.sources import cite


def test_easix_formulas():
    # Pennisi 2021, abstract: LDH [U/L] x creatinine [mg/dL] / platelets [1e9/L]; CRP [mg/dL] instead; LDH / platelets.
    ldh, creatinine, platelets, crp = 400.0, 0.8, 80.0, 6.0
    assert easix([ldh], [creatinine], [platelets])[0] == pytest.approx(400 * 0.8 / 80)
    assert m_easix([ldh], [crp * 10], [platelets])[0] == pytest.approx(400 * 6 / 80)
    assert s_easix([ldh], [platelets])[0] == pytest.approx(5.0)


def test_easix_keeps_the_unknown_unknown():
    found = easix([200, np.nan, 300], 1.0, [100, 100, np.nan])
    assert found[0] == pytest.approx(2.0)
    assert np.isnan(found[1:]).all()


def test_units_of_a_chart_convert():
    # 88.42 umol/L of creatinine are 1 mg/dL; 5 mg/dL of CRP are 50 mg/L.
    creatinine = convert_observation(88.42, "umol/L", "creatinine")
    crp = convert_observation(5.0, "mg/dL", "crp")
    assert easix([100], [creatinine], [100])[0] == pytest.approx(1.0)
    assert m_easix([100], [crp], [100])[0] == pytest.approx(5.0)


@pytest.mark.parametrize("name", score_names())
def test_inputs_are_in_the_units_in_which_a_chart_keeps_them(name):
    for item, unit in score_inputs(name).items():
        if item in ITEMS and item != "haemophagocytosis":
            assert ITEMS[item].unit == unit, item
    table = score_table(name, {key: [np.nan] for key in score_inputs(name)})
    assert cite(table["source"][0]).title
    assert table["mark"][0] == "read"
    assert table["note"][0] == "not for clinical use"


# Fardet 2014 as copied in Case Reports in Rheumatology 2017, table 3: each band of each item, its ends included.
HSCORE_CELLS = [
    ("immunosuppression", [(0, 0), (1, 18)]),
    ("temperature", [(36.5, 0), (38.39, 0), (38.4, 33), (39.4, 33), (39.41, 49)]),
    ("organomegaly", [(0, 0), (1, 23), (2, 38)]),
    ("cytopenias", [(0, 0), (1, 0), (2, 24), (3, 34)]),
    ("ferritin", [(1999, 0), (2000, 35), (6000, 35), (6001, 50)]),
    ("triglycerides", [(132, 0), (133, 44), (354, 44), (355, 64)]),  # 1.5 and 4 mmol/L
    ("fibrinogen", [(251, 0), (250, 30)]),
    ("ast", [(29, 0), (30, 19)]),
    ("haemophagocytosis", [(0, 0), (1, 35)]),
]
WELL = {
    "immunosuppression": 0, "temperature": 36.5, "organomegaly": 0, "cytopenias": 0, "ferritin": 100,
    "triglycerides": 80, "fibrinogen": 300, "ast": 20, "haemophagocytosis": 0,
}  # fmt: skip


@pytest.mark.parametrize(("item", "value", "points"), [(i, v, p) for i, cells in HSCORE_CELLS for v, p in cells])
def test_every_cell_of_the_hscore(item, value, points):
    found = hscore(**{**WELL, item: value})
    assert (found.lowest[0], found.highest[0]) == (points, points)


def test_hscore_of_a_published_case():
    # World J Clin Cases 2022;10:3178, tables 1 to 3: on steroids, 39.7 C, three cell lines low, ferritin 680,
    # fibrinogen 1.26 g/L, haemophagocytosis; liver, triglycerides and AST were not at hand: their range stays open.
    lines = cytopenias([5.3], [1280], [64])
    assert lines[0] == 3
    found = hscore(
        immunosuppression=1, temperature=39.7, organomegaly=np.nan, cytopenias=lines, ferritin=679.93,
        triglycerides=np.nan, fibrinogen=126, ast=np.nan, haemophagocytosis=1,
    )  # fmt: skip
    assert found.lowest[0] == 18 + 49 + 34 + 0 + 30 + 35
    assert found.highest[0] == found.lowest[0] + 38 + 64 + 19


def test_cytopenias_of_the_hscore():
    # Same table, footnote: haemoglobin <= 9.2 g/dL, leucocytes <= 5000 per uL, platelets <= 110,000 per uL.
    assert cytopenias([9.2, 9.3, 12, 12, 12], [9000] * 5, [300] * 5).tolist() == [1, 0, 0, 0, 0]
    assert cytopenias([12] * 4, [5000, 5001, 9000, 9000], [300, 300, 110, 111]).tolist() == [1, 0, 1, 0]
    assert np.isnan(cytopenias([12], [np.nan], [300])).all()


def test_largest_hscore():
    worst = {item: cells[-1][0] for item, cells in HSCORE_CELLS}
    assert hscore(**worst).highest[0] == 337  # the published range is 0 to 337


def test_cut_off_of_the_hscore():
    # 49 + 38 + 34 + 30 + 18 = 169, the published cut-off; without the immunosuppression 151.
    values = {
        **WELL,
        "temperature": 40,
        "organomegaly": 2,
        "cytopenias": 3,
        "fibrinogen": 100,
        "immunosuppression": [1, 0],
    }
    table = score_table("hscore", values)
    assert table["lowest"].tolist() == [169, 151]
    assert table["risk"].tolist() == ["high", "low"]


@pytest.mark.parametrize(
    ("points", "percent"),  # second half of the same table
    [(100, 1), (110, 3), (120, 5), (130, 9), (140, 16), (150, 25), (160, 40), (170, 54), (180, 70), (190, 80),
     (200, 88), (210, 93), (220, 96), (230, 98), (240, 99)],
)  # fmt: skip
def test_probabilities_of_the_hscore(points, percent):
    assert hscore_probability(points) == pytest.approx(percent)


# The five worked cases of the public repository: platelets, ANC, haemoglobin, CRP in mg/dL, ferritin, total.
HEMATOTOX_CASES = [
    (220, 3400, 12.4, 0.8, 180, 0),
    (130, 1800, 10.5, 1.4, 320, 1),
    (110, 950, 10.1, 4.2, 540, 3),
    (60, 700, 8.5, 2.4, 1400, 5),
    (40, 400, 7.8, 9.5, 3200, 7),
]


def test_worked_cases_of_car_hematotox():
    table = np.array(HEMATOTOX_CASES, float).T
    found = car_hematotox(table[0], table[1], table[2], table[3] * 10, table[4])
    assert found.lowest.tolist() == table[5].tolist()
    assert found.highest.tolist() == table[5].tolist()
    values = dict(
        zip(score_inputs("car_hematotox"), [table[0], table[1], table[2], table[3] * 10, table[4]], strict=True)
    )
    shown = score_table("car_hematotox", values)
    assert shown["risk"].tolist() == ["low", "low", "high", "high", "high"]
    assert shown["remark"].str.contains("third hand").all()


@pytest.mark.parametrize(
    ("item", "value", "points"),  # the ends of its bands
    [("platelets", 176, 0), ("platelets", 175, 1), ("platelets", 75, 1), ("platelets", 74, 2), ("anc", 1200, 0),
     ("anc", 1199, 1), ("haemoglobin", 9.0, 0), ("haemoglobin", 8.9, 1), ("crp", 29.9, 0), ("crp", 30, 1),
     ("ferritin", 649, 0), ("ferritin", 650, 1), ("ferritin", 2000, 1), ("ferritin", 2001, 2)],
)  # fmt: skip
def test_every_cell_of_car_hematotox(item, value, points):
    well = {"platelets": 300, "anc": 4000, "haemoglobin": 13, "crp": 1, "ferritin": 100}
    assert car_hematotox(**{**well, item: value}).lowest[0] == points


def test_what_is_unknown_widens_the_range_and_never_counts_as_normal():
    well = {"platelets": [300.0], "anc": [4000.0], "haemoglobin": [13.0], "crp": [1.0], "ferritin": [np.nan]}
    found = score("car_hematotox", well)
    assert (found.lowest[0], found.highest[0]) == (0, 2)
    assert score_table("car_hematotox", well)["risk"][0] == "not known"


def test_missing_scores_are_named_with_a_reason():
    assert len(missing_scores()) == 6
    assert any("Teachey" in title or "Cytokine models" in title for title in missing_scores())
    assert all(missing_scores().values())
    with pytest.raises(InputError, match="its numbers were not read"):
        score("teachey_2016", {})


def test_bad_input_is_said():
    with pytest.raises(InputError, match="unknown score 'easicks'; did you mean 'easix'"):
        score("easicks", {})
    with pytest.raises(InputError, match="easix needs platelets"):
        score("easix", {"ldh": 1, "creatinine": 1})
    with pytest.raises(InputError, match="unknown input of easix 'plt'"):
        score("easix", {"ldh": 1, "creatinine": 1, "plt": 1})
    with pytest.raises(InputError, match=r"platelets \[1e9/L\] must be positive and finite, got 0 in row 1"):
        easix([1, 1], [1, 1], [10, 0])
    with pytest.raises(InputError, match=r"cytopenias.*whole number from 0 to 3, got 4"):
        hscore(**{**WELL, "cytopenias": 4})
    with pytest.raises(InputError, match="must be positive and finite, got -3"):
        car_hematotox(100, -3, 9, 3, 3)


def test_the_page_names_every_score_here_and_missing():
    page = (Path(__file__).parents[2] / "docs" / "management.md").read_text(encoding="utf-8")
    for name in (*score_names(), *missing_scores()):
        assert name in page, name
