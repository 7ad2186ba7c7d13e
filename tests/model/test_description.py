"""A model in words and in LaTeX."""

from __future__ import annotations

import pytest

from livingdrug.library import load_model, model_names


@pytest.mark.parametrize("name", model_names())
def test_the_description_names_everything(name):
    model = load_model(name)
    text = model.describe()
    assert text.startswith(f"{name}: {model.summary()}")
    assert text.endswith("Not for clinical use.")
    for word in [*model.states, *model.parameters, *model.outputs, *model.definitions, *model.parameter_sets]:
        assert word in text
    assert not any(line != line.rstrip() for line in text.split("\n"))


def test_equations_read_like_the_paper():
    text = load_model("kimmel2021").describe()
    assert "ddt(normal_t) = -normal_t_growth*normal_t*log(all_t/normal_t_capacity)" in text
    assert "all_t = normal_t + car_t" in text
    assert "tumour, below 100 cell until above 200: births tumour_birth, deaths tumour_death per day" in text


def test_latex_has_the_letters_of_the_paper():
    latex = load_model("kimmel2021").to_latex()
    assert latex.startswith(r"\begin{align*}")
    assert r"\frac{d N}{dt} &= - N r_{N} \log{\left(\frac{\mathrm{all\_t}}{K_{N}} \right)}" in latex
    assert r"\gamma_{B}" in latex
    assert latex.count(r"\frac{d ") == 3
