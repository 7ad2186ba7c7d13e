"""Units: known ones are exact, everything else is refused with a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livingdrug.errors import InputError
from livingdrug.units import UNIT_NAMES, convert, parse_unit, to_canonical


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("cell/uL", 1000.0),
        ("1", 1.0),
        ("", 1.0),
        ("1/hour", 24.0),
        ("percent", 0.01),
        ("copy/ug", 1e-6),
        ("mg/L", 1e6),
        ("pg/mL", 1.0),
        ("cm**2", 1.0),
        ("m^2", 1e4),
        ("mL**(1/3)", 1.0),
        ("week", 7.0),
        ("year", 365.25),
        ("min", 1 / 1440),
    ],
)
def test_factors_are_exact(unit, factor):
    assert to_canonical(unit) == factor


@pytest.mark.parametrize("name", UNIT_NAMES)
def test_every_unit_goes_there_and_back(name):
    assert convert(convert(3.0, name, name), name, name) == 3.0
    assert to_canonical(name) * to_canonical(f"1/{name}") == pytest.approx(1.0, rel=1e-15)


def test_unlike_units_are_not_converted():
    with pytest.raises(InputError, match=r"cannot convert 'cell/uL' \[cell/cm\*\*3\] to 'cell' \[cell\]"):
        convert(1.0, "cell/uL", "cell")


def test_misspelt_unit():
    with pytest.raises(InputError, match="did you mean 'cell'"):
        to_canonical("cells/uL")


@pytest.mark.parametrize("unit", ["9**9**9", "cell//uL", "2*cell", "day**9999", "cell**day", "%", "a" * 200, None, 3])
def test_odd_text_is_refused_at_once(unit):
    with pytest.raises(InputError):
        parse_unit(unit)


@given(st.text(max_size=20) | st.text(alphabet="celduLmy/*^()123 .", max_size=20))
def test_any_text_is_a_unit_or_refused(text):
    try:
        assert parse_unit(text).factor > 0
    except InputError as error:
        assert "unit" in str(error)  # noqa: PT017
