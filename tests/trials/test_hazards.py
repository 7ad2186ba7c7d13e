"""Every hazard says where it comes from, gives back the published number, and stands in the docs."""

import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from livingdrug.declared import read_toml
from livingdrug.errors import InputError
from livingdrug.population.diseases import DISEASES, disease
from livingdrug.sources import cite, source_keys
from livingdrug.therapy.stated import stated_values
from livingdrug.trials.hazards import Hazards, hazards_of, life_after

IDS = np.arange(1, 40_001, dtype=np.uint64)
MONTH = 365.25 / 12
DOCS = Path(__file__).parents[2] / "docs" / "trials.md"
NUMBERS = [(ill, name) for ill in DISEASES for name in Hazards.model_fields]


def _stated() -> dict:
    with resources.as_file(resources.files("livingdrug.trials") / "hazards.toml") as path:
        return read_toml(path)


STATED = _stated()


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


def test_a_disease_takes_what_it_does_not_state_from_everyone():
    shared = STATED["everyone"]
    for ill, name in NUMBERS:
        own = STATED[ill].get(name, shared.get(name))
        assert getattr(hazards_of(ill), name).value == own["value"], f"{ill}: {name}"
    for name in shared:
        assert sum(name not in STATED[ill] for ill in DISEASES) > 1, f"{name} is of everyone, but of no two diseases"


def test_everyone_is_no_disease():
    with pytest.raises(InputError, match="unknown disease with hazards 'everyone'"):
        hazards_of("everyone")


# Counts that the abstracts give, [deaths, of]; the estimate has to lie inside the sum's 95 % interval (Wilson).
INFECTIONS = [(65, 582), (54, 834), (9, 220)]  # tellidizman2022, wudhikarn2025, abid2025
GRADE_4 = [(18, 66), (1, 14), (1, 20), (2, 19)]  # brexucel2025, icucart2022, mcnerney2023, kymriah2018isi of maude2018


@pytest.mark.parametrize(
    ("ill", "name", "counts"),
    [
        ("cll", "infection_fatality", INFECTIONS),
        ("lbcl", "infection_fatality", INFECTIONS[1:2]),
        ("myeloma", "infection_fatality", INFECTIONS[2:]),
        ("b_all", "infection_fatality", [(1, 137)]),  # rangarajan2025
        ("cll", "toxicity_fatality", GRADE_4),
        ("lbcl", "toxicity_fatality", GRADE_4[1:2]),
        ("b_all", "toxicity_fatality", GRADE_4[2:]),
    ],
)
def test_as_many_die_as_counted(ill, name, counts):
    died, of = np.sum(counts, axis=0)
    assert getattr(hazards_of(ill), name).value == pytest.approx(died / of, rel=0.25)
    low, high = _wilson(died, of)
    assert low < getattr(hazards_of(ill), name).value < high


def _wilson(found: int, of: int) -> tuple[float, float]:
    share, z = found / of, 1.96
    middle, half = share + z**2 / (2 * of), z * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    return (middle - half) / (1 + z**2 / of), (middle + half) / (1 + z**2 / of)


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
        ("b_all", 0.791, 0.917),  # salvageall2025 and wudhikarn2021, all ages: 97 of 112
    ],
)
def test_as_many_are_treated_again_as_published(ill, low, high):
    treated = life_after(IDS, 1, hazards_of(ill), np.zeros(IDS.size))["new_therapy"]
    assert low < np.isfinite(treated).mean() < high


def test_the_share_of_everyone_fits_four_diseases_together():
    """625 of 956, the counts of lymphomas, adult leukaemia and myeloma above."""
    of = {"lbcl": 625, "mcl": 61, "b_all_adult": 38, "myeloma": 232}
    shared = {"treated_again": hazards_of("cll").treated_again}
    assert "treated_again" not in STATED["cll"]
    treated = 0.0
    for ill, patients in of.items():
        after = life_after(IDS, 1, hazards_of(ill).model_copy(update=shared), np.zeros(IDS.size))
        treated += patients * np.isfinite(after["new_therapy"]).mean()
    low, high = _wilson(625, 956)
    assert low < treated / sum(of.values()) < high


@pytest.mark.parametrize(
    ("ill", "months"),
    # wudhikarn2021; ghione2023, from the fifth treatment on; locommotion2024; friedes2023
    [("b_all_adult", 7.5), ("fl", 43.0), ("myeloma", 13.8), ("b_all", 15.3)],
)
def test_median_survival_after_progression(ill, months):
    death = life_after(IDS, 1, hazards_of(ill), np.zeros(IDS.size))["death"]
    assert np.median(death) / MONTH == pytest.approx(months, rel=0.04)


def test_survival_of_relapsed_adults_with_leukaemia():
    """kantarjian2019: 22.8 % of 164 alive two years after the start of inotuzumab, interval (Wilson) 0.171 to 0.298."""
    death = life_after(IDS, 1, hazards_of("b_all_adult"), np.zeros(IDS.size))["death"] / MONTH
    assert 0.171 < np.mean(death > 24) < 0.298


def test_survival_of_chronic_leukaemia_after_car_t_cells():
    """cllcart2023: half progressed by 8.9 months, 17.8 % not by 72; 31.2 % of 47 alive then (Wilson 0.198 to 0.454)."""
    never, half = 0.1776, 6.588  # months: the share and the median of the others that give both numbers
    assert never + (1 - never) * 2 ** (-8.9 / half) == pytest.approx(0.5, abs=0.001)
    assert never + (1 - never) * 2 ** (-72 / half) == pytest.approx(0.178, abs=0.001)
    place = (IDS - 0.5) / IDS.size
    progressed = np.where(place < never, np.inf, -half * np.log2((1 - place) / (1 - never)))
    death = life_after(IDS, 1, hazards_of("cll"), progressed * MONTH)["death"] / MONTH
    assert np.mean(death > 72) == pytest.approx(0.312, abs=0.01)


@pytest.mark.parametrize("ill", ["fl", "cll", "myeloma"])
def test_nobody_is_rescued_from_an_incurable_disease(ill):
    assert np.isfinite(life_after(IDS, 1, hazards_of(ill), np.zeros(IDS.size))["death"]).all()


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


@pytest.mark.parametrize("name", ["b_all_adult", "lbcl", "fl", "mcl", "cll", "myeloma"])
def test_grown_people_die_of_other_causes_as_the_population_does(name):
    """Over five years, at the ages and with the share of women of the disease's patients; the table is interpolated."""
    age, female = (disease(name).columns[column].quantile((IDS - 0.5) / IDS.size) for column in ("age_years", "female"))
    ages = age[:, None] + np.arange(5.0)
    men, women = (np.exp(np.interp(ages, AGES, np.log(table))).mean(axis=1) for table in (MEN, WOMEN))
    expected = women.mean() * female.mean() + men.mean() * (1 - female.mean())
    assert hazards_of(name).rest_death.value == pytest.approx(expected, rel=0.12)


def test_children_die_of_other_causes_as_late_after_transplants():
    """holmqvist2018: 10.4 % without relapse in 10 years; of all deaths 18.2 % infections and half without relapse."""
    rest = -np.log(1 - 0.104) / 10 * (1 - 0.182 / 0.5)
    assert hazards_of("b_all").rest_death.value == pytest.approx(rest, rel=0.05)


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
    shown = f"**{number.value:g}**" if number.source else f"{number.value:g}"
    return shown if name in STATED[ill] else f"{shown} all"
