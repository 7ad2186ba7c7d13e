"""The page of making: what it shows, and that it says what is recalled or assumed."""

import re

import pytest

from livingdrug.reports.making import comparison_page, making_page, shortening
from livingdrug.therapy import Fixed
from livingdrug.therapy.processes import Process, compare, process
from livingdrug.therapy.stated import stated_values
from livingdrug.therapy.watched import watch


@pytest.fixture(scope="module")
def made():
    return {name: process(name).run(200, seed=5) for name in ("standard", "two_day", "donor_bank")}


def test_all_figures_are_there_and_have_words(made):
    page = making_page(made["standard"], watch(made["standard"], 1)).html
    for name in ("dates", "growth", "funnel", "vein", "segments", "failures"):
        assert f'id="figure-{name}"' in page
    assert page.count("<figcaption>") == 6
    assert page.count("Not for clinical use.") >= 2
    assert "nine times in ten between" in page
    assert not re.search(r"<script|src=|@import", page)


def test_every_recalled_or_assumed_number_is_listed(made):
    page = making_page(made["two_day"]).html
    listed = page[page.index("<h3>Recalled or assumed</h3>") : page.index("<h3>Read in a source")]
    for place, stated in stated_values(made["two_day"].process):
        if stated.mark in ("recalled", "assumed"):
            assert place.replace("_", " ") in listed, place


def test_the_comparison_says_what_a_faster_culture_saves(made):
    usual, fast = made["standard"], made["two_day"]
    rows = compare([usual, fast]).set_index("process")["vein_to_vein_mean"]
    saved = rows["standard"] - rows["two_day"]
    words = shortening([usual, fast])
    assert f"({saved / rows['standard']:.0%} less)".replace("%", "\u00a0%") in words[0]
    assert f"{saved / 48.4:.0%}".replace("%", "\u00a0%") + " of the 48.4 days of tisa-cel" in words[0]
    page = comparison_page([usual, fast, made["donor_bank"]]).html
    assert 'id="figure-processes"' in page
    assert "release and logistics dominate" in page
    assert shortening([fast]) == []


def test_a_process_that_gives_nobody_a_product_has_a_page():
    nothing = Fixed(value=1.0, unit="fraction", note="for a test: nothing passes")
    none = Process(process="standard", name="none", title="None", release={"least_car_positive": nothing})
    page = making_page(none.run(40, seed=1)).html
    assert "too few CAR-positive cells" in page
    assert 'id="figure-vein"' not in page


def test_one_batch_has_a_page():
    page = making_page(process("standard").run(1, seed=1), None, 1).html
    assert 'id="figure-dates"' in page
