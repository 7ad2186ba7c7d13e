"""Whatever is typed: an answer or a clear message, never a traceback."""

import contextlib
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livingdrug.cli import choice, plot, terminal
from livingdrug.errors import InputError
from livingdrug.library import load_model
from livingdrug.reports.numbers import interval, number, percent

anything = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.text(max_size=30), max_size=3))
def test_assignments_are_used_or_refused(assignments):
    model = load_model("kimmel2021")
    with contextlib.suppress(InputError):
        assert set(choice.assigned(model, assignments)) <= set(model.parameters)


@given(st.text(max_size=30))
def test_a_number_of_patients_is_a_number_a_file_or_refused(text):
    cohort = sys.modules["livingdrug.cli.trial"].cohort
    with contextlib.suppress(InputError):
        count, volumes = cohort(text, None)
        assert isinstance(count, int)
        assert volumes is None or str(volumes)


@given(st.lists(anything, min_size=1, max_size=20), st.integers(2, 70), st.integers(2, 12))
def test_any_course_can_be_plotted(values, width, height):
    lines = plot.plot(list(range(len(values))), values, width=width, height=height)
    assert lines


@given(anything, anything, st.integers(1, 6))
def test_any_number_can_be_written(low, high, digits):
    assert number(low, digits)
    assert percent(low)
    assert interval(low, high, digits)


@given(st.floats(min_value=-1e15, max_value=1e15, allow_nan=False), st.integers(2, 6))
def test_written_numbers_are_close(value, digits):
    text = number(value, digits).replace(",", "")
    if "×" in text:
        mantissa, power = text.split(" × 10")
        text = f"{mantissa}e{power.translate(str.maketrans('⁻⁰¹²³⁴⁵⁶⁷⁸⁹', '-0123456789'))}"
    assert math.isclose(float(text), value, rel_tol=0.51 * 10 ** (1 - digits), abs_tol=1e-300)


@pytest.mark.parametrize("words", ["[bold]", "[/]", "\x1b[31m", "a\nb"])
def test_words_are_printed_as_they_are(capsys, words):
    terminal.say(words)
    terminal.print_table("", ["head [unit]"], [[words]])
    printed = capsys.readouterr().out
    assert "head [unit]" in printed
    assert words.split("\n")[0].replace("\x1b", "") in printed.replace("\x1b", "")
