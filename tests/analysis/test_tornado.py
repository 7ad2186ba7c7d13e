"""Tornado against closed forms."""

import numpy as np
import pytest

from livingdrug.analysis import tornado
from livingdrug.errors import InputError, SolveError
from livingdrug.library import load_model
from livingdrug.library.stein2019 import transgene


def test_line_in_closed_form(models):
    """height at 5 = offset + 5 slope = 20."""
    found = tornado(models.Line, "height at 5", {"offset": (9, 12), "slope": (1.5, 3)}, days=10)
    assert found.typical == pytest.approx(20)
    assert found.table["parameter"].tolist() == ["slope", "offset"]
    assert found.table[["change_low", "change_high", "swing"]].to_numpy() == pytest.approx(
        np.array([[-2.5, 5.0, 7.5], [-1.0, 2.0, 3.0]])
    )


def test_stein2019_against_its_closed_form():
    model = load_model("stein2019")
    found = tornado(model, "car_t_transgene_blood at 28", {"*": "10%", "decline": "x2"})
    assert len(found.ranges) == len(model.parameters)
    for item, low, high in zip(found.ranges, found.at_low, found.at_high, strict=True):
        expected = [transgene(28.0, **{item.parameter: end}) for end in (item.low, item.high)]
        assert [low, high] == pytest.approx(expected, rel=1e-5)
    assert (np.diff(found.table["swing"]) <= 0).all()


def test_spreads_give_their_quantiles(models):
    """5 % and 95 % of ln N(ln 2, 0.5): 2 exp(-+1.644854 * 0.5) (R: qnorm(0.95))."""
    found = tornado(models.Product, "product at 1", "spread")
    row = found.table.iloc[0]
    assert row["parameter"] == "a"
    assert [row["at_low"], row["at_high"]] == pytest.approx([24 * np.exp(sign * 0.8224268) for sign in (-1, 1)])


def test_both_ends_on_one_side_count_from_the_typical_value(models):
    """stop = 20 is typical; the range from 22 to 30 lies beyond it, and the bar starts at the typical value."""
    found = tornado(models.Treated, "tumour_cells at 40", {"stop": (22, 30)})
    at = [1e6 * np.exp(0.1 * 40 - 0.5 * stop) for stop in (20, 22, 30)]
    assert found.table["swing"][0] == pytest.approx(at[0] - at[2], rel=1e-4)


def test_ends_that_fail_or_have_no_number_are_told(models):
    failed = tornado(models.Explosion, "max size", {"k": (0.05, 0.2), "other": "10%"}, parameters={"k": 0.08})
    assert np.isnan(failed.at_high[[r.parameter for r in failed.ranges].index("k")])
    assert "1 of 5 runs failed" in failed.caption
    never = tornado(models.Treated, "day tumour_cells below 1000", {"kill": (0.2, 0.6)})
    assert np.isnan(never.at_low[0])
    assert "1 ends gave no number" in never.caption
    assert never.figure().to_dict(validate=False)


def test_wrong_input(models):
    with pytest.raises(InputError, match="no number for the typical patient"):
        tornado(models.Treated, "day tumour_cells below 1", {"kill": (0.2, 0.6)})
    with pytest.raises(InputError, match="did you mean 'kill'"):
        tornado(models.Treated, "max tumour_cells", {"kil": (0.2, 0.6)})
    with pytest.raises(SolveError, match="no run could be solved"):
        tornado(models.Explosion, "max size", {"k": (0.2, 0.3)}, parameters={"k": 0.25})
