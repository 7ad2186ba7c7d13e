"""hanson2016: what its declaration is and what follows from it; its targets are run in tests/reference."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import solve
from livingdrug.errors import InputError
from livingdrug.library.hanson2016 import Hanson2016

# BIOMD0000000837, by the letters of the file.
PUBLISHED = {
    "r_1": 0.003, "r_2": 0.1, "r_3": 0.1, "r_4": 0.1, "d_1": 2e-4, "d_2": 1.5, "d_3": 0.004, "d_4": 0.004, "d_5": 2e-4,
    "p_0": 200, "p_1": 0.002, "p_2": 0.4, "a_1": 4e-7, "a_2": 2, "a_3": 8e-5, "b": 800, "l": 1600, "k": 4800, "n": 6,
    "D": 0,
}  # fmt: skip


def test_parameters_are_the_published_ones():
    assert {p.symbol: p.value for p in Hanson2016.parameters.values() if p.symbol} == PUBLISHED
    starts = {name: p.value for name, p in Hanson2016.parameters.items() if name.endswith("_at_start")}
    assert list(starts.values()) == [10, 10, 10, 10, 1600, 140, 300]


def test_time_is_taken_as_hours():
    """The published run lasts 720: in days, 30."""
    rates = [p for p in Hanson2016.parameters.values() if p.symbol and p.symbol[0] in "rdpaD"]
    assert all("/hour" in p.unit for p in rates if p.symbol != "a_2")
    assert Hanson2016.follow_up * 24 == 720
    assert any("unit of time" in text for text in Hanson2016.errata)


def test_the_drug_acts_only_while_it_is_given():
    days = np.linspace(0, 20, 201)
    plain, drug = solve(
        Hanson2016, {"drug_effect": [0.0, 100.0], "drug_day": 5.0, "drug_duration": 4.0}, days, rtol=1e-9
    )["inflammation_level"]
    assert plain[days < 5] == pytest.approx(drug[days < 5], rel=1e-6)
    during = (days > 6) & (days < 9)
    assert np.all(drug[during] < plain[during] - 60)  # 100/1.5 = 67 less, but for the activation that fell too
    assert drug[-1] == pytest.approx(plain[-1], rel=0.1)


def test_lymphocytes_grow_into_free_room():
    run = solve(Hanson2016, {"lymphocytes_at_start": 400.0, "tumour_at_start": 0.0}, [0.0, 2.0, 10.0])
    counts = run["absolute_lymphocyte_count"][0]
    assert counts[0] == pytest.approx(440)
    assert counts[1] > 1200  # doubling in 7 hours at most until 1600
    assert counts[2] == pytest.approx(1600, rel=0.01)


def test_a_drug_stronger_than_production_is_refused():
    with pytest.raises(InputError, match=r"drug_effect.*between 0 and 200"):
        solve(Hanson2016, {"drug_effect": 300.0}, [1.0])
