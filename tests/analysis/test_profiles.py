"""Profile likelihood against exact intervals, and verdicts on models whose identifiability is known."""

import numpy as np
import pytest

from livingdrug.analysis import fit, profiles, read_data, simulate_data
from livingdrug.analysis.likelihood import Objective
from livingdrug.errors import FitError, InputError
from livingdrug.library import load_model

LIMITS = {"offset": (0.1, 100.0), "slope": (0.01, 100.0)}
DAYS = [1.0, 2.0, 4.0, 7.0]
QUANTILE_95 = 1.959963984540054  # of the standard normal distribution, R: qnorm(0.975)


@pytest.fixture(scope="module")
def line(models):
    """Data of the line with errors of 0.8, and the profiles of both parameters."""
    data = simulate_data(models.Line, {"height": DAYS}, sd=0.8, error="normal", seed=4)
    return data, profiles(models.Line, data, LIMITS)


def test_a_linear_model_has_the_textbook_interval(line):
    """Least squares by hand: estimate (X'X)^-1 X'y, interval +- 1.96 standard errors; exact for any scale."""
    data, found = line
    x = np.stack([np.ones(4), DAYS], axis=1)
    covariance = np.linalg.inv(x.T @ x) * 0.8**2
    best = covariance @ x.T @ data["value"].to_numpy() / 0.8**2
    for k, name in enumerate(("offset", "slope")):
        error = QUANTILE_95 * np.sqrt(covariance[k, k])
        curve = found[name]
        assert (curve.best, curve.low, curve.high) == pytest.approx(
            (best[k], best[k] - error, best[k] + error), rel=1e-5
        )
        assert curve.verdict == "identifiable"
    residuals = (data["value"] - x @ best) / 0.8
    assert found.fit.misfit == pytest.approx(float(np.sum(residuals**2)), rel=1e-6)
    assert found.fit.residuals == pytest.approx(residuals.to_numpy(), abs=1e-4)


def test_a_profile_is_a_parabola_for_a_linear_model(line):
    """Rise ((value - best) / standard error)^2 at every point."""
    curve = line[1]["slope"]
    error = (curve.high - curve.low) / 2 / QUANTILE_95
    assert curve.rise == pytest.approx(((curve.values - curve.best) / error) ** 2, rel=1e-4, abs=1e-6)
    assert (np.diff(curve.values) > 0).all()


def test_another_confidence(line, models):
    wide = profiles(models.Line, line[0], LIMITS, of=["slope"], confidence=0.99)
    ratio = (wide["slope"].high - wide["slope"].low) / (line[1]["slope"].high - line[1]["slope"].low)
    assert ratio == pytest.approx(2.5758293 / QUANTILE_95, rel=1e-4)  # qnorm(0.995)
    assert [curve.range.parameter for curve in wide.curves] == ["slope"]


def test_a_product_is_flat(models):
    """x' = -a b x: the data know a b (and the start), neither a nor b."""
    data = simulate_data(models.Decay, {"amount": [0.5, 1, 2, 4]}, sd=0.1, seed=5)
    limits = {"a": (1e-2, 1e2), "b": (1e-2, 1e2), "start": (0.1, 1e3)}
    found = profiles(models.Decay, data, limits)
    assert [curve.verdict for curve in found.curves] == ["flat", "flat", "identifiable"]
    known = profiles(models.Decay, data, {"a": (1e-2, 1e2), "start": (0.1, 1e3)})
    assert [curve.verdict for curve in known.curves] == ["identifiable", "identifiable"]
    assert known["a"].low < 0.5 < known["a"].high


def test_limits_of_one_factor_do_not_make_the_other_identifiable(models):
    """With b between 0.8 and 1.2 the interval of a is that of the limits of b, not of the data."""
    data = simulate_data(models.Decay, {"amount": [0.5, 1, 2, 4]}, sd=0.01, seed=None)
    found = profiles(models.Decay, data, {"a": (1e-2, 1e2), "b": (0.8, 1.2)})
    assert found["a"].verdict == "flat"
    assert found["b"].verdict == "flat"
    assert found["a"].limited.any()


def test_data_before_anything_happens_leave_one_side_open(models):
    """Early measurements with a large error: a decay of almost nothing fits, a quick one does not."""
    data = simulate_data(models.Decay, {"amount": [0.1, 0.2, 0.3]}, sd=0.3, seed=None)
    found = profiles(models.Decay, data, {"a": (1e-3, 1e2)})
    assert found["a"].verdict == "open below"
    assert np.isnan(found["a"].low)
    assert 0.5 < found["a"].high < 10


def test_a_parameter_without_effect_is_flat(models):
    data = simulate_data(models.Treated, {"tumour_cells": [1, 3, 6]}, sd=0.2, seed=None)
    found = profiles(models.Treated, data, {"stop": (10.0, 50.0), "kill": (0.01, 2.0)})
    assert found["stop"].verdict == "flat"


def test_kimmel2021_pair_that_is_not_identified():
    """The paper could not identify kill_rate and half_kill_car_t separately (limitations of the model). With few CAR T
    cells killing depends on their ratio, so both are open above; with one of them held the other is identifiable."""
    model = load_model("kimmel2021")
    few = {"car_t_at_infusion": 1.8e6}
    data = simulate_data(model, {"tumour_volume": [0, 7, 14, 28, 60]}, sd=0.3, seed=None, parameters=few)
    limits = {"kill_rate": (0.01, 100.0), "half_kill_car_t": (1e7, 1e12)}
    found = profiles(model, data, limits, parameters=few)
    assert {curve.verdict for curve in found.curves} == {"open above"}
    assert found["kill_rate"].rise[found["kill_rate"].values > 1.15].max() < 0.05
    alone = profiles(model, data, {"kill_rate": (0.01, 100.0)}, parameters=few)
    assert alone["kill_rate"].verdict == "identifiable"


def test_residuals_have_exact_slopes(models):
    """The Jacobian against central differences of the residuals, for both kinds of error."""
    for error in ("normal", "lognormal"):
        data = simulate_data(models.Decay, {"amount": [0.5, 3.0]}, sd=0.2, error=error, seed=1)
        objective = Objective(models.Decay, data, {"a": (0.1, 2.0), "start": (1.0, 20.0)}, error, None, None, ())
        point = np.log([0.6, 7.0])
        found = objective.jacobian(point).copy()
        for k in range(2):
            step = 1e-5 * np.eye(2)[k]
            difference = (objective.residuals(point + step) - objective.residuals(point - step)) / 2e-5
            assert found[:, k] == pytest.approx(difference, rel=1e-5)


def test_fit_finds_the_truth_from_far_away():
    model = load_model("stein2019")
    truth = {"peak": 9000.0, "contraction": 0.3, "peak_day": 12.0}
    days = [2, 5, 8, 11, 13, 16, 21, 28, 60]
    data = simulate_data(model, {"car_t_transgene_blood": days}, sd=0.3, seed=None, parameters=truth)
    found = fit(model, data, {"peak": (1e2, 1e6), "contraction": (0.01, 2.0), "peak_day": (3.0, 25.0)})
    assert found.values == pytest.approx(truth, rel=1e-4)
    assert found.misfit < 1e-6


def test_simulated_errors_have_the_stated_size_and_hang_on_the_seed(models):
    data = simulate_data(models.Line, {"height": np.linspace(1, 9, 4000)}, sd=0.5, error="normal", seed=2)
    errors = data["value"] - 10 - 2 * data["time_day"]
    assert errors.std() == pytest.approx(0.5, rel=0.04)  # 4 standard errors: 4 / sqrt(2 * 4000)
    assert abs(errors.mean()) < 4 * 0.5 / np.sqrt(4000)
    other = simulate_data(models.Line, {"height": np.linspace(1, 9, 4000)}, sd=0.5, error="normal", seed=3)
    same = simulate_data(models.Line, {"height": np.linspace(1, 9, 4000)}, sd=0.5, error="normal", seed=2)
    assert same.equals(data)
    assert not (other["value"] == data["value"]).any()


def test_mixed_errors_and_a_file(models, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("time_day,output,value,sd,error\n1,height,12.1,0.5,normal\n5,height,19.5,0.1,lognormal\n")
    data = read_data(path)
    assert data["error"] == ["normal", "lognormal"]
    found = fit(models.Line, data, LIMITS)
    assert found.values["offset"] + found.values["slope"] == pytest.approx(12.1, rel=1e-5)
    assert found.values["offset"] + 5 * found.values["slope"] == pytest.approx(19.5, rel=1e-5)


GOOD = {"time_day": [1.0, 2.0], "output": ["height", "height"], "value": [12.0, 14.0], "sd": [0.5, 0.5]}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"output": ["hight", "height"]}, "did you mean 'height'"),
        ({"time_day": [-1.0, 2.0]}, "time_day must not be negative"),
        ({"sd": [0.0, 0.5]}, "sd must be positive"),
        ({"value": [-1.0, 2.0]}, "must be positive"),
        ({"value": ["x", 2.0]}, "must hold numbers"),
        ({"value": [float("nan"), 2.0]}, "finite"),
        ({"value": [1.0]}, "same length"),
        ({"error": ["gamma", "normal"]}, "unknown kind of error"),
    ],
)
def test_wrong_data(models, change, named):
    with pytest.raises(InputError, match=named):
        fit(models.Line, GOOD | change, LIMITS)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ({"estimate": {"slop": (1, 2)}}, "did you mean 'slope'"),
        ({"estimate": {"slope": (0, 2)}}, "above 0"),
        ({"estimate": LIMITS, "of": ["slop"]}, "did you mean 'slope'"),
        ({"estimate": LIMITS, "confidence": 2.0}, "confidence"),
    ],
)
def test_wrong_requests(models, call, named):
    with pytest.raises(InputError, match=named):
        profiles(models.Line, GOOD, **call)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("time_day,output,value\n1,height,2\n", "'sd' is missing"),
        ("time_day,output,value,sd\n1,height,two,1\n", "line 2: value must be a number"),
        ("", "missing"),
    ],
)
def test_wrong_files(tmp_path, text, named):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=named):
        read_data(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_data(tmp_path / "nothing.csv")


def test_what_can_nowhere_be_solved_is_an_error(models):
    data = {"time_day": [9.0], "output": ["size"], "value": [3.0], "sd": [0.1]}
    with pytest.raises(FitError, match="no starting point"):
        fit(models.Explosion, data, {"k": (0.2, 0.4)}, parameters={"k": 0.3})


def test_unsolved_trials_are_counted_and_the_fit_goes_on(models):
    """size = 1 / (1 - 9 k) = 10 at k = 0.1; above 1/9 there is no course."""
    data = {"time_day": [9.0], "output": ["size"], "value": [10.0], "sd": [0.1]}
    found = profiles(models.Explosion, data, {"k": (0.01, 1.0)})
    assert found.fit.values["k"] == pytest.approx(0.1, rel=1e-5)
    low, high = ((1 - np.exp(-np.log(10) - sign * QUANTILE_95 * 0.1)) / 9 for sign in (-1, 1))
    assert (found["k"].low, found["k"].high) == pytest.approx((low, high), rel=1e-4)
