"""The list of models and its filters."""

import pytest

from livingdrug.library import load_model, model_names

LIBRARY = [load_model(name) for name in model_names()]


@pytest.mark.parametrize(
    ("words", "keep"),
    [
        (("--disease", "lymphoma"), lambda m: any("lymphoma" in d.lower() for d in m.diseases)),
        (("--antigen", "bcma"), lambda m: "BCMA" in m.antigens),
        (("--system", "mouse"), lambda m: m.system == "mouse"),
        (("--cytokines",), lambda m: m.has_cytokines()),
        (("--no-cytokines",), lambda m: not m.has_cytokines()),
        (("--variability", "--system", "human"), lambda m: m.has_variability() and m.system == "human"),
    ],
)
def test_filters_keep_what_was_asked_for(command, words, keep):
    found = [row["name"] for row in command("models", *words, "--json").json]
    assert found == [m.name for m in LIBRARY if keep(m)]
    assert 0 < len(found) < len(LIBRARY)
    out = command("models", *words).out
    assert all(name in out for name in found)


def test_an_unknown_word_names_what_there_is(command):
    answer = command("models", "--antigen", "CD91")
    assert answer.code == 2
    assert "CD19" in answer.err
    assert command("models", "--system", "rat").code == 2


def test_filters_that_nothing_fits(command):
    answer = command("models", "--system", "in vitro", "--variability", "--cytokines")
    assert answer.code == 0
    assert "No model" in answer.out
