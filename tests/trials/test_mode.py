"""The likeliest set: against the formula for a straight simulator, and another optimiser for a bent one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from livingdrug.errors import InputError
from livingdrug.trials.mode import find_mode

RANDOM = np.random.default_rng(5)
SLOPE = RANDOM.normal(size=(7, 3))
MEAN, SD = np.array([0.3, -0.2, 1.0]), np.array([0.8, 0.5, 1.5])
ROOT = RANDOM.normal(size=(7, 7)) * 0.1 + np.diag(np.full(7, 1.2))
ERROR = ROOT @ ROOT.T
SEEN = RANDOM.normal(size=7)
EVERY = np.ones_like(SLOPE, dtype=bool)


def test_the_mode_of_a_straight_simulator_is_that_of_the_formula():
    """Posterior precision and mean of a normal prior and normal errors, as in any text on linear models."""
    found = find_mode(lambda sets: 0.2 + sets @ SLOPE.T, MEAN, SD, SEEN, ERROR, EVERY)
    weight = np.linalg.inv(ERROR)
    precision = SLOPE.T @ weight @ SLOPE + np.diag(SD**-2)
    expected = np.linalg.solve(precision, SLOPE.T @ weight @ (SEEN - 0.2) + MEAN / SD**2)
    assert found.parameters == pytest.approx(expected, abs=1e-6)
    assert found.line[0] == pytest.approx(np.full(7, 0.2))
    assert found.line[1] == pytest.approx(SLOPE)
    assert found.sets.shape == (7, 3)
    assert found.predicted == pytest.approx(0.2 + found.sets @ SLOPE.T)


def test_the_mode_of_a_bent_simulator_is_near_that_of_another_optimiser():
    """Slopes from runs far apart are not those at the middle, so the end is near, within a third of the prior's SD."""

    def bent(sets):
        return np.tanh(0.5 * sets @ SLOPE.T) * 2

    def cost(theta):
        away = bent(theta[None])[0] - SEEN
        return away @ np.linalg.solve(ERROR, away) + (((theta - MEAN) / SD) ** 2).sum()

    found = find_mode(bent, MEAN, SD, SEEN, ERROR, EVERY)
    exact = minimize(cost, MEAN, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-8, "maxiter": 4000})
    assert found.course[-1] <= found.course[0]
    assert cost(found.parameters) < exact.fun + 1.0
    assert np.all(np.abs(found.parameters - exact.x) < SD / 3)


def test_a_parameter_that_acts_on_nothing_stays_at_its_prior():
    acts = EVERY.copy()
    acts[:, 1] = False
    found = find_mode(lambda sets: sets @ (SLOPE * acts).T, MEAN, SD, SEEN, ERROR, acts)
    assert found.parameters[1] == pytest.approx(MEAN[1])
    assert np.all(found.line[1][:, 1] == 0)


def test_what_a_run_cannot_say_counts_as_met():
    def silent(sets):
        said = sets @ SLOPE.T
        said[:, 0] = np.nan
        return said

    found = find_mode(silent, MEAN, SD, SEEN, np.diag(np.diag(ERROR)), EVERY)
    known = find_mode(lambda s: s @ SLOPE[1:].T, MEAN, SD, SEEN[1:], np.diag(np.diag(ERROR)[1:]), EVERY[1:])
    assert found.parameters == pytest.approx(known.parameters, abs=1e-8)


def test_an_error_that_is_no_covariance_is_refused():
    with pytest.raises(InputError, match="positive definite"):
        find_mode(lambda sets: sets @ SLOPE.T, MEAN, SD, SEEN, -ERROR, EVERY)
