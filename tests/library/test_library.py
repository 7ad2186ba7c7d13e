"""What holds for every published model: it loads by name, it is quick to load, its numbers have sources."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest

import livingdrug.sources
from livingdrug.errors import InputError
from livingdrug.library import load_model, model_names
from livingdrug.model.vocabulary import VOCABULARY

MODELS = model_names()


def test_names():
    """The three of the first issue and the seventeen of the third."""
    assert set(MODELS) >= {
        "adhikarla2021", "barros2021", "brummer2022", "carrgo2020", "chen2019", "frey2010", "hanson2016",
        "hardiansyah2019", "kimmel2021", "kirouac2023", "leon_triana2020", "leon_triana2021", "minucci2024",
        "mueller_schoell2021", "ogasawara2021", "owens2021", "singh2020", "singh2021", "stein2019", "swanson2022",
    }  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_model_loads_by_its_name(name):
    model = load_model(name)
    assert model.name == name
    assert model is load_model(name)
    assert livingdrug.sources.cite(model.source).year == int(name[-4:])
    assert model.limitations
    assert model.claims
    assert model.diseases
    assert model.system in ("human", "mouse", "in vitro")
    assert len(model.fingerprint) == 64


def test_misspelt_model():
    with pytest.raises(InputError, match="unknown model 'kimmel2012'; did you mean 'kimmel2021'"):
        load_model("kimmel2012")


@pytest.mark.parametrize("name", MODELS)
def test_words_of_the_vocabulary_keep_their_meaning(name):
    for word, output in load_model(name).outputs.items():
        assert output.meaning
        if word in VOCABULARY:
            assert output.meaning == VOCABULARY[word].meaning


@pytest.mark.parametrize("name", MODELS)
def test_every_number_has_a_source(name):
    model = load_model(name)
    for p in model.parameters.values():
        assert p.source_place, p.name
        assert p.source_key in ("assumed", "recalled") or livingdrug.sources.cite(p.source_key)
    frame = model.parameters.to_frame()
    assert list(frame.index) == list(model.parameters)
    assert math.isfinite(frame["value"].sum())


def test_models_have_their_own_fingerprints():
    assert len({load_model(name).fingerprint for name in MODELS}) == len(MODELS)


LOADED = """
import sys
import livingdrug.library.{name}
print(sorted({{"sympy", "pint", "pandas", "scipy"}} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", MODELS)
def test_a_checked_model_loads_without_heavy_packages(name, tmp_path):
    environment = {**os.environ, "LIVINGDRUG_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", LOADED.format(name=name)]
    first, second = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert "pint" in first
    assert second.strip() == "[]"
