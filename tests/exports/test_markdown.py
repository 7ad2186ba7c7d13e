"""The Markdown page: tables whose rows fit their heads, and the values that were chosen."""

import re

import pytest

from livingdrug.exports.markdown import table, to_markdown
from livingdrug.library import load_model, model_names


@pytest.mark.parametrize("name", model_names())
def test_tables_fit(name):
    model = load_model(name)
    page = to_markdown(model)
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    width = 0
    for before, row in zip(["", *page.splitlines()], page.splitlines(), strict=False):
        if row.startswith("| "):
            cells = len(re.findall(r"(?<!\\)\|", row)) - 1
            width = width if before.startswith("| ") else cells
            assert cells == width
    for part in [*model.states, *model.parameters, *model.outputs]:
        assert any(row.startswith(f"| `{part}` |") for row in rows)
    for line in [*model.claims, *model.errata, *model.limitations]:
        assert line in page


def test_doses_are_told(awkward):
    page = to_markdown(awkward)
    assert "- bolus into `A` of `half*0.1` on day `4`" in page
    assert "- `dt` is set to 0 cell on day `7.5`" in page
    assert "over `switch/2` days" in page


def test_given_values_lose_the_source_of_the_declared_ones():
    page = to_markdown(load_model("stein2019"), values={"peak_day": 11.0})
    assert (
        "| `peak_day` | `T_max` | 11 | day | day of the peak; lognormal spread, sd 0.38 | given for this page |" in page
    )
    assert "*Values: peak_day as given.*" in page


def test_a_cell_stays_in_its_row():
    assert table(("a",), [("x|y\nz",)]) == ["| a |", "| --- |", r"| x\|y z |"]
