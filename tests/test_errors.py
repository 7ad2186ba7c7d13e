"""Messages say what was asked, what is allowed and what is nearest."""

from __future__ import annotations

import pytest

from livingdrug import errors
from livingdrug.errors import nearest_names, unknown_name


def test_the_tree():
    for name in ("DeclarationError", "InputError", "SolveError", "FitError", "MissingExtra"):
        assert issubclass(getattr(errors, name), errors.LivingDrugError)
    assert issubclass(errors.InputError, ValueError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("model", "stien2019", ["stein2019"]),
            "unknown model 'stien2019'; did you mean 'stein2019'? Allowed: stein2019",
        ),
        (("model", "zzz", ["a", "b"]), "unknown model 'zzz'. Allowed: a, b"),
        (("model", "x", []), "unknown model 'x'; there are none"),
        (("key", 3, ["three"]), "unknown key '3'. Allowed: three"),
    ],
)
def test_unknown_name(arguments, message):
    assert unknown_name(*arguments) == message


def test_place_and_long_lists():
    text = unknown_name("output", "x9", [f"name_{i}" for i in range(30)], place="kimmel2021", shown=2)
    assert text == "kimmel2021: unknown output 'x9'. Allowed: name_0, name_1, ... (30 in all)"


def test_nearest_names_ignore_case():
    assert nearest_names("CAR_T_BLOOD", ["car_t_blood", "tumour"]) == ["car_t_blood"]


def test_missing_extra_names_the_command():
    assert "pip install 'livingdrug[exchange]'" in str(errors.MissingExtra("export", "libsbml", "exchange"))
