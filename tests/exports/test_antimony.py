"""Export to Antimony: the text read back by Antimony's own parser gives the same course."""

import sys

import numpy as np
import pytest

from livingdrug.engine.solve import solve
from livingdrug.errors import InputError, MissingExtra
from livingdrug.exports.antimony import antimony_to_sbml, to_antimony
from livingdrug.exports.sbml_import import from_sbml
from livingdrug.library import load_model, model_names


@pytest.mark.parametrize("name", model_names())
def test_through_antimony_and_back(name):
    """Antimony drops our annotations, so the model comes back with bare numbers in canonical units."""
    model = load_model(name)
    again = from_sbml(antimony_to_sbml(to_antimony(model)))
    days = np.linspace(0, model.follow_up, 25) * 0.9973
    outputs = [*model.outputs]
    renamed = [w if w in again.outputs else f"{w}_value" for w in outputs]  # a word of the vocabulary has a unit
    expected = solve(model, {}, days, outputs=outputs, stochastic=False, rtol=1e-11).values[0]
    found = solve(again, {}, days, outputs=renamed, rtol=1e-11).values[0]
    largest = np.maximum(np.abs(expected).max(axis=0), 1e-300)
    assert np.max(np.abs(found - expected) / largest) <= 1e-8


def test_the_text_reads_like_the_model():
    text = to_antimony(load_model("stein2019"), values={"peak_day": 12.0})
    assert text.startswith("// Not for clinical use.")
    assert "effector' = piecewise(" in text
    assert "peak_day = 12" in text


def test_a_wrong_value_is_refused():
    with pytest.raises(InputError, match="did you mean 'peak_day'"):
        to_antimony(load_model("stein2019"), values={"peak_dya": 1.0})


def test_wrong_antimony_is_refused():
    with pytest.raises(InputError, match="not right Antimony"):
        antimony_to_sbml("S -> -> ;")


def test_without_antimony_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "antimony", None)
    with pytest.raises(MissingExtra, match=r"pip install 'livingdrug\[exchange\]'"):
        to_antimony(load_model("stein2019"))
