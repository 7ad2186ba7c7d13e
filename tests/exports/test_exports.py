"""What all formats share: their list, the choice of values, refusals, and texts that no model can break."""

import re
import subprocess
import sys

import pytest

from livingdrug.errors import InputError
from livingdrug.exports import FORMATS, export_model
from livingdrug.exports.infix import Block, Dialect
from livingdrug.exports.names import Names
from livingdrug.library import load_model, model_names
from livingdrug.model import Model, bolus, ddt, parameter, state
from livingdrug.model.expressions import Symbol

TEXTS = ("mrgsolve", "rxode2", "nonmem", "mlxtran", "latex", "markdown")


@pytest.mark.parametrize("to", TEXTS)
@pytest.mark.parametrize("name", model_names())
def test_every_model_goes_into_every_format(name, to):
    model = load_model(name)
    text = export_model(model, to)
    assert "ot for clinical use" in text
    assert text.endswith("\n")
    if to != "nonmem":  # which writes large numbers as a mantissa times a power of ten
        numbers = {float(n) for n in re.findall(r"(?<![\w.])-?\d+\.?\d*(?:e[+-]?\d+)?", text)}
        assert not [p.name for p in model.parameters.values() if p.value not in numbers]


@pytest.mark.parametrize("to", TEXTS)
def test_chosen_values_are_written(to):
    model = load_model("kimmel2021")
    text = export_model(model, to, parameter_set="code", values={"kill_rate": 1.375})
    assert "1.375" in text
    assert "0.171" in text  # normal_t_growth of the set "code"
    assert "code" in text


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"format": "nonmen"}, "'nonmem'"),
        ({"parameter_set": "cod"}, "'code'"),
        ({"values": {"tumor_growth": 1.0}}, "'tumour_growth'"),
        ({"values": {"tumour_growth": -1.0}}, "between 0 and inf 1/day"),
        ({"values": {"tumour_growth": float("nan")}}, "finite"),
        ({"values": {"tumour_growth": [0.1, 0.2]}}, "one patient"),
    ],
)
@pytest.mark.parametrize("to", TEXTS)
def test_refusals_name_what_is_allowed(to, options, named):
    with pytest.raises(InputError, match=named):
        export_model(load_model("kimmel2021"), **{"format": to, **options})


def test_a_jump_is_told_of():
    for to in ("mrgsolve", "rxode2", "nonmem", "mlxtran"):
        head = " ".join(export_model(load_model("kimmel2021"), to).replace("\n;", "").split())
        assert "tumour is counted one by one below 100.0 cells and may die out; here it follows" in head


def odd(meaning: str, **more) -> type[Model]:
    class Odd(Model):
        """A model with odd words."""

        loss = parameter(0.5, "1/day", meaning, source="assumed: " + meaning)
        cells = state("cell", meaning, initial=1e6)
        equations = {ddt(cells): -loss * cells}
        outputs = {"car_t_total": cells}
        events = [bolus(cells, more["amount"], at=1.0)] if "amount" in more else []

    return Odd


@pytest.mark.parametrize("meaning", ["a\nb = 1;", "ends in \\", '"); system("x")', "$OMEGA 1", "µ ≥ ½ &", "*/ -- ] }"])
@pytest.mark.parametrize("to", ["mrgsolve", "rxode2", "nonmem", "mlxtran"])
def test_words_of_a_model_stay_in_their_comments(to, meaning):
    """Take all comments (and labels) away: what is left is the same whatever the model's author wrote."""
    mark = {"mrgsolve": "//", "rxode2": "#", "nonmem": ";", "mlxtran": ";"}[to]

    def code(text: str) -> list[str]:
        lines = (re.sub(r'^ *label\("[^"\\]*"\)$', "", line).split(mark)[0].rstrip() for line in text.splitlines())
        return [line for line in lines if line]

    text = export_model(odd(meaning), to)
    assert text.isascii()
    assert code(text) == code(export_model(odd("plain"), to))


@pytest.mark.parametrize("to", ["mrgsolve", "rxode2", "nonmem", "mlxtran"])
def test_letters_with_accents_lose_them_only(to):
    assert "Source: Leon-Triana et al. 2020" in export_model(load_model("leon_triana2020"), to)


def test_a_negative_dose_is_refused():
    with pytest.raises(InputError, match="negative amount -5"):
        export_model(odd("cells", amount=-5.0), "nonmem")


def test_a_long_chain_neither_overflows_nor_explodes():
    """Each step uses the one before twice: written out in full it would have 2**60 parts."""
    x = Symbol("x", "state")
    formula = x
    for _ in range(60):
        formula = formula / (1 + formula)
    block = Block(Dialect(), {x: "x"}, {}, [formula], new_name=Names(()).fresh)
    text = block.text(formula) + "".join(block.statements)
    assert len(text) < 5000
    chain = x
    for _ in range(20_000):
        chain = chain + 1
    block = Block(Dialect(), {x: "x"}, {}, [chain], new_name=Names(()).fresh)
    lines = [block.text(chain), *block.statements]
    assert "".join(lines).count("+") == 20_000
    assert max(map(len, lines)) < 2000


def test_signs_and_brackets():
    """Expected texts by hand: what must stand in brackets in at least one of the languages."""
    x, y = Symbol("x", "state"), Symbol("y", "state")
    for formula, text in (
        (x - (y - x), "x - (y - x)"),
        (x / (y * x), "x/(y*x)"),
        (x * -y, "x*(-y)"),
        (-(x**2), "-x^2.0"),
        ((-x) ** 2, "(-x)^2.0"),
        ((x**y) ** x, "(x^y)^x"),
        (x ** (y**x), "x^(y^x)"),
        (-(x + y), "-(x + y)"),
        (x + -y, "x + (-y)"),
        (-x * y, "-x*y"),
        (x * -2, "x*(-2.0)"),
        ((x * -y) ** -2, "(x*(-y))^(-2.0)"),
    ):
        assert Block(Dialect(), {x: "x", y: "y"}, {}, [formula]).text(formula) == text


def test_names_are_free_and_short():
    names = Names({"TIME"}, longest=8, upper=True)
    given = [
        names.take(word) for word in ("time", "Time", "TIME_2", "a_very_long_name", "a_very_long_other", "A_VERY_L")
    ]
    assert len(set(given)) == len(given)
    assert all(len(n) <= 8 and n == n.upper() and n != "TIME" for n in given)


def test_the_room_is_light_to_enter():
    code = "import sys, livingdrug.exports; print({'sympy', 'pint', 'libsbml', 'pandas', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_formats_are_modules_with_a_writer():
    assert list(FORMATS) == ["sbml", "antimony", *TEXTS]
    assert len({f.suffix for f in FORMATS.values()}) == len(FORMATS)
