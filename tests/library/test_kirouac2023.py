"""kirouac2023: its sets are the published ones. Its courses are checked in tests/reference."""

from __future__ import annotations

import pandas as pd
import pytest

from livingdrug.library.kirouac2023 import Kirouac2023


def test_36_virtual_patients_with_the_first_as_default():
    groups = [name[:2] for name in Kirouac2023.parameter_sets]
    assert [groups.count(g) for g in ("CR", "PR", "NR")] == [12, 12, 12]
    first = Kirouac2023.parameter_sets["CR1"]
    assert {name: Kirouac2023.parameters[name].value for name in first} == first


def test_parameter_sets_are_the_published_ones(shared_data):
    table = pd.read_csv(shared_data / "kinetics" / "kirouac2023_virtual_patients.csv")
    letters = {
        "antigen_half": "B50", "divisions": "N", "largest_renewal": "f_max", "half_kill_effector": "TK50",
        "exhausted_uptake": "fracTx_pct", "return_to_memory": "rm", "tumour_capacity": "Bmax", "dose_loss": "f_loss",
    }  # fmt: skip
    for row in table.itertuples():
        values = Kirouac2023.parameter_sets[f"{row.group}{row.id}"]
        assert sorted(values.values()) == pytest.approx(sorted(map(float, row[3:])))
        for name, letter in letters.items():
            assert values[name] == pytest.approx(float(getattr(row, letter)))
