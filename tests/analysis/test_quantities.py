"""Quantities of interest: their words, and their numbers against closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livingdrug.analysis import Quantity, measure, quantity
from livingdrug.engine.solve import Dose
from livingdrug.errors import InputError
from livingdrug.library import load_model
from livingdrug.library.stein2019 import transgene

BLOOD = "car_t_transgene_blood"


@pytest.mark.parametrize(
    "words",
    [
        "x at 28", "max x", "min x", "day of max x", "day of min x", "auc x 0 28", "day x above 10",
        "day x below 0.5 else 365", "day x above 1e+06",
    ],
)  # fmt: skip
def test_words_make_a_quantity_and_its_name_makes_it_again(words):
    assert quantity(words).name == words
    assert quantity(f"  {words.replace(' ', '   ')} ") == quantity(words)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("maximum x", "max OUTPUT"),
        ("", "write one of"),
        ("x at -1", "day 0"),
        ("auc x 28 28", "before the last"),
        ("auc x -1 28", "day 0"),
        ("day x below 1 else -5", "day 0"),
        ("x at 1e999", "finite"),
    ],
)
def test_other_words_are_refused(words, named):
    with pytest.raises(InputError, match=named):
        quantity(words)


@given(st.text(max_size=40))
def test_any_text_is_a_quantity_or_refused(text):
    try:
        found = quantity(text)
    except InputError:
        return
    assert quantity(found.name) == found


def test_an_unknown_output_is_told_with_the_nearest_names():
    with pytest.raises(InputError, match="did you mean 'car_t_transgene_blood'"):
        measure(load_model("stein2019"), "max car_t_transgen_blood", {})


def test_units(models):
    kimmel = load_model("kimmel2021")
    words = ("max car_t_blood", "auc car_t_blood 0 28", "day of max car_t_blood", "day tumour below 1")
    units = {item: quantity(item).unit(kimmel) for item in words}
    assert list(units.values()) == ["cell/uL", "cell/uL*day", "day", "day"]


def test_numbers_of_a_cohort_against_closed_forms(models):
    """Treated: least on day ``stop``; crossing by logarithms. Relative tolerance 1e-5: the solver's 1e-6 per step."""
    growth, kill = np.array([0.05, 0.1, 0.2]), np.array([0.3, 0.5, 0.6])
    words = ["min tumour_cells", "day of min tumour_cells", "tumour_cells at 50", "day tumour_cells below 100000",
             "day tumour_cells above 1e+09 else 100", "max tumour_cells", "day of max tumour_cells"]  # fmt: skip
    found = measure(models.Treated, words, {"growth": growth, "kill": kill}, days=100)
    end = 1e6 * np.exp(growth * 100 - kill * 20)
    late = 20 + np.log(1e9 / (1e6 * np.exp((growth - kill) * 20))) / growth
    expected = np.stack(
        [
            1e6 * np.exp((growth - kill) * 20),
            np.full(3, 20.0),
            1e6 * np.exp(growth * 50 - kill * 20),
            np.log(10) / (kill - growth),
            np.where(late < 100, late, 100.0),
            np.maximum(1e6, end),
            np.where(end > 1e6, 100.0, 0.0),
        ],
        axis=1,
    )
    assert found.values == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert not found.failed.any()
    assert list(found.table.columns) == ["growth", "kill", *words, "solved"]


def test_a_level_that_is_never_reached_is_no_number(models):
    found = measure(models.Treated, ["day tumour_cells below 1e-9", "day tumour_cells below 1e-9 else 7"], {})
    assert np.isnan(found.values[0, 0])
    assert found.values[0, 1] == 7
    assert not found.failed.any()


def test_areas_against_closed_forms(models):
    """stein2019 between days 3 and 28, across the kink on day 9.3, by integrating its closed form by hand."""
    expansion, contraction, share, decline = 3900, 0.16, 0.0079, 0.0032
    rate = np.log(expansion) / 9.3
    rising = 24000 / rate * (1 - np.exp(-rate * (9.3 - 3)))
    falling = 24000 * sum(
        part / speed * (1 - np.exp(-speed * (28 - 9.3))) for part, speed in ((1 - share, contraction), (share, decline))
    )
    found = measure(load_model("stein2019"), f"auc {BLOOD} 3 28", {}, rtol=1e-8).values[0, 0]
    assert found == pytest.approx(rising + falling, rel=1e-7)
    assert measure(load_model("stein2019"), f"auc {BLOOD} 3 28", {}).values[0, 0] == pytest.approx(found, rel=1e-6)


def test_an_area_of_a_state_and_with_a_dose(models):
    """Decay from 8 with 4 more on day 2: 8 / k (1 - exp(-5 k)) + 4 / k (1 - exp(-3 k)), k = 0.5."""
    found = measure(models.Decay, ["auc x 0 5", "auc amount 0 5"], {}, days=5, doses=[Dose("x", 4.0, at=2.0)])
    expected = 16 * (1 - np.exp(-2.5)) + 8 * (1 - np.exp(-1.5))
    assert found.values[0] == pytest.approx([expected, expected], rel=1e-5)


def test_areas_leave_the_other_numbers_as_they_are(models):
    kimmel = load_model("kimmel2021")
    alone = measure(kimmel, "max car_t_blood", {}).values[0, 0]
    beside = measure(kimmel, ["max car_t_blood", "auc car_t_blood 0 28"], {}).values[0, 0]
    assert beside == pytest.approx(alone, rel=1e-5)


def test_values_are_those_of_the_course():
    days = [7.0, 28.0]
    found = measure(load_model("stein2019"), [f"{BLOOD} at {day:g}" for day in days], {"peak": [1e4, 2e4]}, days=30)
    expected = [transgene(np.array(days), peak=peak) for peak in (1e4, 2e4)]
    assert found.values == pytest.approx(np.array(expected), rel=1e-5)


def test_failed_runs_are_counted_and_have_no_numbers(models):
    """Explosion with k = 0.2 ends on day 5; the runs last 10 days."""
    found = measure(models.Explosion, ["size at 1", "max size"], {"k": [0.05, 0.2, 0.01]})
    assert found.failed.tolist() == [False, True, False]
    assert np.isnan(found.values[1]).all()
    assert "1 of 3 runs failed" in found.failures()


def test_blocks_threads_and_progress_change_no_bit(models, monkeypatch):
    columns = {"kill": np.linspace(0.2, 0.9, 50)}
    whole = measure(models.Treated, "tumour_cells at 60", columns, threads=1).values
    seen = []
    monkeypatch.setattr("livingdrug.analysis.measuring.BLOCK", 7)
    parts = measure(models.Treated, "tumour_cells at 60", columns, threads=2, progress=lambda *at: seen.append(at))
    assert np.array_equal(whole, parts.values)
    assert seen[0] == (7, 50)
    assert seen[-1] == (50, 50)


def test_chance_hangs_on_the_seed(models):
    kimmel = load_model("kimmel2021")
    columns = {"baseline_tumour_volume": np.full(20, 94.86)}
    options = {"days": 80, "chance": True}
    words = "day tumour below 0.5 else 80"  # the day on which the last cell dies
    first = measure(kimmel, words, columns, seed=1, threads=1, **options).values
    assert np.array_equal(first, measure(kimmel, words, columns, seed=1, threads=2, **options).values)
    assert len(np.unique(first)) > 10
    assert not np.array_equal(first, measure(kimmel, words, columns, seed=2, **options).values)


@pytest.mark.parametrize(
    ("words", "options", "named"),
    [
        ("tumour_cells at 60", {"days": 50}, "needs day 60"),
        ("max tumour_cells", {"days": -1}, "positive number of days"),
        ("max tumour_cells", {"days": float("nan")}, "positive number of days"),
        ([], {}, "at least one quantity"),
    ],
)
def test_what_cannot_be_measured_is_refused(models, words, options, named):
    with pytest.raises(InputError, match=named):
        measure(models.Treated, words, {}, **options)


def test_a_parameter_beyond_its_limits_is_refused(models):
    with pytest.raises(InputError, match="'kill' must be a finite number between 0"):
        measure(models.Treated, "max tumour_cells", {"kill": [0.1, -0.2]})


def test_a_quantity_object_serves_as_well(models):
    assert measure(models.Line, Quantity("height", "value", (3.0,)), {}).values[0, 0] == pytest.approx(16.0)
