"""The ensemble smoother: the exact posterior of linear problems, bent ones, missing runs, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.trials.smoother import begin, fit_line, move, perturbed, soften

MAP = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0], [2.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
OBSERVED = np.array([1.0, -0.5, 2.0, 0.3])
ERROR = np.diag(np.array([0.2, 0.1, 0.4, 0.3]) ** 2)
FAR = 100.0


def smooth(simulate, prior_sd, observed, error, *, members=20_000, steps=1, seed=1, farthest=FAR):
    sd = np.asarray(prior_sd, float)
    prior = theta = begin(members, np.zeros(sd.size), sd, seed=seed)
    noisy = perturbed(observed, error, members, seed=seed)
    course, runs = [theta], []
    for _ in range(steps):
        runs.append(simulate(theta))
        line = fit_line(course, runs, np.ones((len(observed), sd.size), bool))
        theta = move(theta, prior, sd, line, noisy, error, farthest=farthest)
        course.append(theta)
    return theta


@pytest.mark.parametrize("steps", [1, 3])
def test_ends_at_the_exact_posterior_of_a_linear_problem(steps):
    """Expected: the normal equations of the linear problem."""
    cloud = smooth(lambda theta: theta @ MAP.T, np.ones(3), OBSERVED, ERROR, steps=steps)
    covariance = np.linalg.inv(MAP.T @ np.linalg.inv(ERROR) @ MAP + np.eye(3))
    mean = covariance @ MAP.T @ np.linalg.solve(ERROR, OBSERVED)
    assert cloud.mean(axis=0) == pytest.approx(mean, abs=0.01)
    assert np.cov(cloud.T) == pytest.approx(covariance, abs=0.05 * covariance.max())


def test_a_covariance_of_errors_counts():
    """Two observations that err together say as much as one, so their sum is less certain."""
    together = np.array([[1.0, 0.999], [0.999, 1.0]]) * 0.25
    for error, sd in ((together, np.sqrt(1 / (1 + 1 / 0.25))), (np.eye(2) * 0.25, np.sqrt(1 / (1 + 2 / 0.25)))):
        cloud = smooth(lambda theta: np.repeat(theta, 2, axis=1), [1.0], [1.0, 1.0], error, seed=2)
        assert cloud.std() == pytest.approx(sd, rel=0.03)


def test_a_bent_simulator_is_met_after_some_steps():
    """y = exp(theta), seen as 5 with a small error: theta is ln 5."""
    cloud = smooth(np.exp, [1.0], [5.0], [[1e-4]], members=500, steps=8, farthest=0.8)
    assert np.exp(cloud).mean() == pytest.approx(5.0, rel=0.02)


@pytest.mark.parametrize("bend", [0.1, 0.3])
def test_a_mildly_bent_simulator_ends_near_the_exact_posterior(bend):
    """y = theta + bend theta^2, prior N(0, 1), seen as 1 with an error of 0.4: the exact posterior by quadrature."""
    cloud = smooth(lambda t: t + bend * t**2, [1.0], [1.0], [[0.16]], members=4000, steps=5, farthest=0.8)[:, 0]
    grid = np.linspace(-5, 5, 20_001)
    weight = np.exp(-(grid**2) / 2 - (1.0 - grid - bend * grid**2) ** 2 / (2 * 0.16))
    weight /= weight.sum()
    mean = (weight * grid).sum()
    sd = np.sqrt((weight * (grid - mean) ** 2).sum())
    assert cloud.mean() == pytest.approx(mean, abs=0.05)
    assert cloud.std() == pytest.approx(sd, rel=0.15)


def test_noise_of_runs_does_not_drive_the_cloud_away():
    rng = np.random.default_rng(1)
    cloud = smooth(lambda t: t + rng.normal(0, 0.5, t.shape), [1.0], [2.0], [[0.04]], members=200, steps=10)
    assert cloud.mean() == pytest.approx(2 / 1.04, abs=0.25)
    assert 0.1 < cloud.std() < 0.35  # exact: 0.196


def test_what_does_not_act_keeps_its_prior():
    prior = begin(300, np.zeros(5), np.ones(5), seed=3)
    acts = np.zeros((4, 5), bool)
    acts[:, 0] = True
    line = fit_line([prior], [prior[:, :1] @ np.ones((1, 4))], acts)
    after = move(prior, prior, np.ones(5), line, np.ones((300, 4)), np.eye(4) * 0.01, farthest=FAR)
    assert np.array_equal(after[:, 1:], prior[:, 1:])
    assert after[:, 0] == pytest.approx(np.ones(300), abs=0.05)


def test_missing_runs_are_borne():
    prior = begin(500, np.zeros(2), np.ones(2), seed=3)
    runs = prior.copy()
    runs[:40, 0] = np.nan
    runs[:, 1] = np.nan  # nobody can say: the second observation is left out
    line = fit_line([prior], [runs], np.eye(2, dtype=bool))
    seen = np.broadcast_to([2.0, 50.0], (500, 2))
    after = move(prior, prior, np.ones(2), line, seen, np.eye(2) * 0.01, farthest=FAR)
    assert after[:, 0] == pytest.approx(np.full(500, 2.0), abs=0.1)
    assert np.array_equal(after[:, 1], prior[:, 1])


def test_a_step_is_no_longer_than_allowed():
    prior = begin(50, [0.0], [2.0], seed=4)
    line = fit_line([prior], [prior], [[True]])
    after = move(prior, prior, [2.0], line, np.full((50, 1), 1e6), [[0.01]], farthest=0.5)
    assert np.abs(after - prior).max() == pytest.approx(1.0)


def test_a_target_that_is_missed_by_far_is_softened():
    line = (np.zeros(2), np.zeros((2, 1)))
    wide = soften(line, np.zeros((5, 1)), [1.0, 40.0], np.diag([1.0, 4.0]), limit=2.5)
    assert np.diag(wide) == pytest.approx([1.0, 4.0 * 20 / 2.5])


def test_same_seed_same_cloud():
    one, other, third = (perturbed(OBSERVED, ERROR, 20, seed=s) for s in (4, 4, 5))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, third)


def test_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="do not fit"):
        fit_line([np.zeros((5, 1))], [np.zeros((5, 1))], np.ones((1, 2), bool))
    with pytest.raises(InputError, match="positive definite"):
        perturbed([0.0], [[-1.0]], 5)
    with pytest.raises(InputError, match="finite"):
        move(
            np.zeros((5, 1)), np.zeros((5, 1)), [1.0], (np.zeros(1), np.ones((1, 1))), np.full((5, 1), np.nan), [[1.0]]
        )
