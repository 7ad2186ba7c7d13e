"""Every hazard says where it comes from, gives back the published number, and stands in the docs."""

import re
from pathlib import Path

import numpy as np
import pytest

from livingdrug.population.diseases import DISEASES, disease
from livingdrug.sources import cite, source_keys
from livingdrug.therapy.stated import stated_values
from livingdrug.trials.hazards import Hazards, hazards_of, life_after

IDS = np.arange(1, 40_001, dtype=np.uint64)
MONTH = 365.25 / 12
DOCS = Path(__file__).parents[2] / "docs" / "trials.md"
NUMBERS = [(ill, name) for ill in DISEASES for name in Hazards.model_fields]


@pytest.mark.parametrize(("ill", "name"), NUMBERS)
def test_a_number_has_a_source_or_is_called_a_guess(ill, name):
    number = getattr(hazards_of(ill), name)
    guess = number.note.startswith("a guess")
    assert guess != (number.mark in ("read", "computed")), f"{ill}: {name}: {number.mark}, {number.note!r}"
    assert guess != bool(number.source)
    if number.source:
        cite(number.source)
    if number.mark == "computed":
        assert number.note, "says how it was computed"


def test_keys_in_the_notes_are_sources():
    for ill in DISEASES:
        for _, number in stated_values(hazards_of(ill)):
            named = re.findall(r"\b[a-z]+(?:20\d\d[a-z]*|1)\b", number.note)
            assert set(named) <= set(source_keys()), number.note


@pytest.mark.parametrize(
    ("ill", "low", "high"),
    [
        # 95 % intervals (Wilson) of those who had a next treatment after failure of CAR T cells or of three classes:
        ("lbcl", 0.587, 0.663),  # iacoboni2024 and diblasi2022: 391 of 625
        ("mcl", 0.687, 0.884),  # descartmcl2025: 49 of 61
        ("b_all_adult", 0.637, 0.889),  # wudhikarn2021: 30 of 38
        ("myeloma", 0.605, 0.726),  # connectmm2022: 155 of 232
    ],
)
def test_as_many_are_treated_again_as_published(ill, low, high):
    treated = life_after(IDS, 1, hazards_of(ill), np.zeros(IDS.size))["new_therapy"]
    assert low < np.isfinite(treated).mean() < high


@pytest.mark.parametrize(
    ("ill", "months"),
    [("b_all_adult", 7.5), ("fl", 43.0)],  # wudhikarn2021; ghione2023, from the fifth treatment on
)
def test_median_survival_after_progression(ill, months):
    death = life_after(IDS, 1, hazards_of(ill), np.zeros(IDS.size))["death"]
    assert np.median(death) / MONTH == pytest.approx(months, rel=0.04)


def test_survival_of_mantle_cell_lymphoma_after_failure():
    """descartmcl2025: 95 % intervals of the median and of those alive after 6 and 12 months."""
    death = life_after(IDS, 1, hazards_of("mcl"), np.zeros(IDS.size))["death"] / MONTH
    assert 3.2 < np.median(death) < 11.3
    assert 0.345 < np.mean(death > 6) < 0.609
    assert 0.175 < np.mean(death > 12) < 0.432


# ssa2010: chance of death within a year at these ages
AGES = [35, 45, 55, 65, 75, 85]
MEN = [0.001631, 0.003396, 0.007905, 0.016182, 0.038217, 0.101625]
WOMEN = [0.000879, 0.002161, 0.004556, 0.010298, 0.026706, 0.075729]


@pytest.mark.parametrize("name", ["lbcl", "fl", "mcl", "cll", "myeloma"])
def test_grown_people_die_of_other_causes_as_the_population_does(name):
    """Over five years, at the ages and with the share of women of the disease's patients; the table is interpolated."""
    age, female = (disease(name).columns[column].quantile((IDS - 0.5) / IDS.size) for column in ("age_years", "female"))
    ages = age[:, None] + np.arange(5.0)
    men, women = (np.exp(np.interp(ages, AGES, np.log(table))).mean(axis=1) for table in (MEN, WOMEN))
    expected = women.mean() * female.mean() + men.mean() * (1 - female.mean())
    assert hazards_of(name).rest_death.value == pytest.approx(expected, rel=0.12)


def test_the_docs_hold_these_numbers():
    head = ["| hazard | unit | " + " | ".join(DISEASES) + " |", "|---|---|" + "---|" * len(DISEASES)]
    rows = [f"| `{name}` | {_unit(name)} | " + " | ".join(_cell(each, name) for each in DISEASES) + " |"
            for name in Hazards.model_fields]  # fmt: skip
    table = "\n".join(head + rows)
    assert table in DOCS.read_text(encoding="utf-8"), f"docs/trials.md should hold this table:\n{table}"


def _unit(name: str) -> str:
    return hazards_of("lbcl").model_dump()[name]["unit"]


def _cell(ill: str, name: str) -> str:
    number = getattr(hazards_of(ill), name)
    return f"**{number.value:g}**" if number.source else f"{number.value:g}"
