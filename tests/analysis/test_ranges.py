"""Ranges of parameters: what each specification means, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from livingdrug.analysis import make_ranges
from livingdrug.errors import InputError
from livingdrug.library import load_model
from livingdrug.model import Model, ddt, logitnormal, normal, output, parameter, state

KIMMEL = load_model("kimmel2021")
SHARES = np.array([0.0, 0.25, 0.5, 1.0])


class Spreads(Model):
    """A parameter of each kind of spread."""

    plain = parameter(1.0, "1", "normal, cut at zero", spread=normal(0.8))
    part = parameter(0.2, "1", "logit-normal", spread=logitnormal(0.7), limits=(0.0, 1.0))
    x = state("1", "nothing", initial=1.0)
    equations = {ddt(x): 0 * plain * part}
    outputs = {"nothing": output(x, "1", "nothing")}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ((0.5, 2.0), [0.5, 0.875, 1.25, 2.0]),
        ("0.5:2", [0.5, 0.875, 1.25, 2.0]),
        ((0.01, 100.0, "log"), [0.01, 0.1, 1.0, 100.0]),
        ("0.01:100:log", [0.01, 0.1, 1.0, 100.0]),
        ("10%", [1.035, 1.0925, 1.15, 1.265]),
        ("x4", [0.2875, 0.575, 1.15, 4.6]),
    ],
)
def test_each_specification(spec, expected):
    """kill_rate is 1.15 per day."""
    assert make_ranges(KIMMEL, {"kill_rate": spec})[0].at(SHARES) == pytest.approx(expected)


def test_relative_ranges_lie_around_the_values_given():
    assert make_ranges(KIMMEL, {"kill_rate": "50%"}, {"kill_rate": 2.0})[0].at(SHARES) == pytest.approx([1, 1.5, 2, 3])


def test_spreads_have_the_declared_distribution():
    """Quantiles against scipy.stats: log-normal, normal cut at zero, and logit-normal."""
    stein = load_model("stein2019")
    u = np.linspace(0.01, 0.99, 50)
    peak = make_ranges(stein, {"peak": "spread"})[0]
    assert peak.at(u) == pytest.approx(stats.lognorm(0.65, scale=24000).ppf(u))
    plain, part = make_ranges(Spreads, "spread")
    assert plain.at(u) == pytest.approx(stats.truncnorm(-1 / 0.8, np.inf, 1.0, 0.8).ppf(u))
    logit = np.log(0.25) + 0.7 * stats.norm.ppf(u)
    assert part.at(u) == pytest.approx(1 / (1 + np.exp(-logit)))
    assert (peak.low, peak.high) == pytest.approx(stats.lognorm(0.65, scale=24000).ppf([0.05, 0.95]))


def test_all_others_stay_within_the_limits_of_the_model():
    kirouac = load_model("kirouac2023")
    found = {item.parameter: item for item in make_ranges(kirouac, {"*": "x2", "dose": (1e7, 1e9)})}
    assert len(found) == len(kirouac.parameters)
    assert found["largest_renewal"].high == 1.0
    assert (found["dose"].low, found["dose"].high) == (1e7, 1e9)
    assert {item.parameter for item in make_ranges(KIMMEL, "spread")} == {
        name for name, p in KIMMEL.parameters.items() if p.spread
    }


def test_all_others_leave_out_what_the_limits_hold():
    class Held(Model):
        """A parameter that cannot vary."""

        rate = parameter(2.0, "1/day", "rate")
        fixed = parameter(24.0, "1", "hours in a day", limits=(24.0, 24.0))
        x = state("1", "quantity", initial=1.0)
        equations = {ddt(x): -rate * fixed * x}
        outputs = {"quantity": output(x, "1", "quantity")}

    assert [r.parameter for r in make_ranges(Held, "10%")] == ["rate"]
    with pytest.raises(InputError, match="leaves the limits"):
        make_ranges(Held, {"fixed": "10%"})


@pytest.mark.parametrize(
    ("ranges", "named"),
    [
        ({"kil_rate": (1, 2)}, "did you mean 'kill_rate'"),
        ({"kill_rate": (2, 1)}, "must lie below"),
        ({"kill_rate": (1, 1)}, "must lie below"),
        ({"kill_rate": (-1, 1)}, "leaves the limits"),
        ({"kill_rate": (0, 1, "log")}, "starts above 0"),
        ({"kill_rate": (0, float("inf"))}, "LOW:HIGH"),
        ({"kill_rate": (0, 1, "cube")}, "LOW:HIGH"),
        ({"kill_rate": "wide"}, "LOW:HIGH"),
        ({"kill_rate": "x0.5"}, "factor is above 1"),
        ({"kill_rate": "x"}, "LOW:HIGH"),
        ({"kill_rate": "150%"}, "percentage"),
        ({"kill_rate": 3.0}, "LOW:HIGH"),
        ({"tumour_density": "spread"}, "declares no spread"),
        ({}, "no parameter to vary"),
    ],
)
def test_wrong_ranges_are_refused(ranges, named):
    with pytest.raises(InputError, match=named):
        make_ranges(KIMMEL, ranges)


def test_a_model_without_spread_says_so(models):
    with pytest.raises(InputError, match="no parameter to vary"):
        make_ranges(models.Line, "spread")


@given(st.text(max_size=20))
def test_any_text_is_a_range_or_refused(text):
    try:
        found = make_ranges(KIMMEL, {"kill_rate": text})[0]
    except InputError:
        return
    assert 0 <= found.low < found.high
    assert ((found.at(SHARES) >= 0) & np.isfinite(found.at(SHARES))).all()
