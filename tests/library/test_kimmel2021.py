"""kimmel2021: its parameter sets, spreads and jumps. Its courses are checked in tests/reference."""

from __future__ import annotations

import pytest

from livingdrug.library.kimmel2021 import Kimmel2021


def test_code_set_is_the_code_in_cells():
    """HybridModel_08_30_20.jl gives cells per uL; one is 5e6 uL / 0.01 = 5e8 cells in the body."""
    code = Kimmel2021.parameter_sets["code"]
    assert code["normal_t_capacity"] / 5e8 == pytest.approx(500)
    assert code["car_t_capacity"] / 5e8 == pytest.approx(139.28)
    assert 5e8 / code["half_kill_car_t"] == pytest.approx(0.247)
    assert Kimmel2021.parameters["half_kill_car_t"].value == pytest.approx(code["half_kill_car_t"], rel=1e-3)
    assert (code["car_t_growth"], Kimmel2021.parameter_sets["table_1"]["car_t_growth"]) == (0.037, 0.0251)


def test_nine_parameters_are_perturbed_by_five_per_cent():
    spread = [p for p in Kimmel2021.parameters.values() if p.spread]
    assert len(spread) == 9
    assert {(p.spread.kind, p.spread.sd) for p in spread if p.spread} == {("relative_normal", 0.05)}


def test_only_the_tumour_may_die_out():
    (jump,) = Kimmel2021.jumps
    assert (jump.state.name, jump.below) == ("tumour", 100.0)
