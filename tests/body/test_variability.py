"""Patients are drawn as the declared spreads say, from their own streams."""

import numpy as np
import pytest

from livingdrug.body.twin import TwinBody
from livingdrug.body.variability import BURDEN_ON_KILLING, LOW_EXPANDERS, LOW_GROWTH, draw_patients
from livingdrug.errors import InputError

SPREAD = [name for name, p in TwinBody.parameters.items() if p.spread]


def test_every_spread_is_drawn_inside_its_limits():
    drawn = draw_patients(np.arange(4000), seed=1)
    assert sorted(drawn) == sorted(SPREAD)
    for name, values in drawn.items():
        p = TwinBody.parameters[name]
        assert (values >= p.limits[0]).all()
        assert (values <= p.limits[1]).all()
        if p.spread.kind == "lognormal" and name not in ("fitness", "marrow_at_start", "resistance"):
            logs = np.log(values)
            assert np.median(logs) == pytest.approx(np.log(p.value), abs=5 * p.spread.sd / np.sqrt(4000)), name
            assert logs.std() == pytest.approx(p.spread.sd, rel=0.06), name


def test_spreads_lie_around_the_typical_values():
    drawn = draw_patients(np.arange(4000), {"kill_rate": 0.3, "contact": 1.0}, seed=1)
    assert np.median(drawn["kill_rate"]) == pytest.approx(0.3, rel=0.05)
    assert (drawn["contact"] == 1.0).all()


def test_a_larger_tumour_needs_more_effectors():
    drawn = draw_patients(np.arange(4000), seed=1)
    burden, needed = (np.log(drawn[name]) for name in ("tumour_at_start", "resistance"))
    slope, _ = np.polyfit(burden, needed, 1)
    assert slope == pytest.approx(BURDEN_ON_KILLING, abs=4 * 2.0 / 1.7 / np.sqrt(4000))  # four standard errors
    own = TwinBody.parameters["resistance"]
    assert (needed - BURDEN_ON_KILLING * burden).std() == pytest.approx(own.spread.sd, rel=0.06)


def test_a_share_expands_poorly():
    drawn = np.log(draw_patients(np.arange(20000), seed=1, spreads={"fitness": 0.05})["fitness"])
    between = np.log(LOW_GROWTH) / 2  # the two groups lie 14 standard deviations apart
    assert (drawn < between).mean() == pytest.approx(LOW_EXPANDERS, abs=0.02)


def test_a_patient_is_the_same_in_any_company():
    together, alone = draw_patients([3, 8, 2**50], seed=7), draw_patients([8], seed=7)
    assert all(together[name][1] == alone[name][0] for name in together)
    assert any((draw_patients([8], seed=6)[name] != alone[name]).any() for name in alone)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="kill_rate"):
        draw_patients([1], {"kil_rate": 1.0})
