"""ogasawara2021 beyond its targets: its closed form, what is assumed, and its limits."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import solve
from livingdrug.errors import InputError
from livingdrug.library.ogasawara2021 import Ogasawara2021

DAYS = np.array([0.0, 1.0, 3.27, 5.0, 9.29, 14.0, 28.0, 90.0, 365.0, 730.0])
WORD = "car_t_transgene_of_peak"


def closed_form(day, slow=0.01):
    """The piecewise course written out: constant, growing, falling as two exponentials."""
    growing = 2 ** ((np.clip(day, 3.27, 9.29) - 9.29) / 0.755)
    after = np.maximum(day - 9.29, 0)
    return growing * ((1 - slow) * 2 ** (-after / 5.0) + slow * 2 ** (-after / 352))


def test_the_course_is_its_closed_form():
    assert solve(Ogasawara2021, {}, DAYS, rtol=1e-10)[WORD][0] == pytest.approx(closed_form(DAYS), rel=1e-7)


def test_only_the_share_that_declines_slowly_is_assumed():
    keys = {name: p.source_key for name, p in Ogasawara2021.parameters.items()}
    assumed = {name for name, key in keys.items() if key == "assumed"}
    assert assumed == {"persistent_fraction"}
    assert set(keys.values()) == {"assumed", "ogasawara2021"}
    assert not Ogasawara2021.has_variability()  # no differences between patients were readable


@pytest.mark.parametrize("slow", [0.0, 0.2, 1.0])
def test_the_assumed_share_changes_the_tail_only(slow):
    found = solve(Ogasawara2021, {"persistent_fraction": slow}, DAYS, rtol=1e-10)[WORD][0]
    assert found == pytest.approx(closed_form(DAYS, slow), rel=1e-7)


def test_nothing_moves_during_the_lag_and_the_start_follows_from_the_times():
    found = solve(Ogasawara2021, {}, [0.0, 1.5, 3.2], rtol=1e-10)[WORD][0]
    assert found == pytest.approx(2 ** (-(9.29 - 3.27) / 0.755), rel=1e-9)


def test_a_lag_beyond_the_peak_day_means_no_growth():
    found = solve(Ogasawara2021, {"lag": 20.0, "doubling_time": 1e-3}, [0.0, 9.0, 14.29], rtol=1e-10)
    assert not found.failed[0]
    assert found[WORD][0] == pytest.approx([1.0, 1.0, 0.99 * 0.5 + 0.01 * 2 ** (-5 / 352)], rel=1e-7)


def test_times_that_are_not_positive_are_refused():
    for name in ("doubling_time", "fast_half_life", "slow_half_life"):
        with pytest.raises(InputError, match=name):
            solve(Ogasawara2021, {name: 0.0}, DAYS)
    with pytest.raises(InputError, match="persistent_fraction"):
        solve(Ogasawara2021, {"persistent_fraction": 1.2}, DAYS)
