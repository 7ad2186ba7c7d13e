"""The pages of emergence checks and of designs."""

import pytest

from livingdrug.reports.trial_design import design_page
from livingdrug.reports.trial_emergence import emergence_figures, emergence_page
from livingdrug.trials.designer import TrialDesign, run_design
from livingdrug.trials.emergence import run_check

ASKED = {
    "name": "x", "trial": "zuma-7", "patients": 40,
    "power": {"sizes": [20, 60], "replicates": 50, "endpoints": [{"name": "os"}]},
    "dose_finding": {"cells": [1e8, 4e8], "replicates": 20},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "figures"), [("exposure-response", 2), ("cmax-tocilizumab", 1), ("three-scales", 1), ("split-dose", 2)]
)
def test_a_check_has_a_page(name, figures):
    found = run_check(name, 60, 2, days=120, threads=1)
    made = emergence_figures(found)
    assert len(made) == figures
    html = emergence_page(found).html
    assert html.count("<figure") == figures
    assert found.intervals in html
    assert found.settings in html
    assert all(row in html for row in found.table["group"].unique())


def test_a_design_has_a_page():
    design = TrialDesign.model_validate(ASKED)
    found = run_design(design, design.protocol(), 3, days=200, threads=1)
    html = design_page(found).html
    for name in ("power", "doses", "finding", "survival-os", "forest"):
        assert f'id="figure-{name}"' in html, name
    assert "400 M" in html
    assert "3+3" in html
