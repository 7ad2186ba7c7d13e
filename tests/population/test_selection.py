"""Prevalence weights against cases with a known answer."""

import numpy as np
import pytest

from livingdrug.errors import InputError, SolveError
from livingdrug.population.selection import accept, effective_size, prevalence_weights
from livingdrug.streams import normal

IDS = np.arange(40_000)
Z = normal(7, IDS, "pool", 2)


def test_a_shifted_normal_is_the_exponential_tilt():
    """N(0, 1) tilted to mean m: weights exp(m x - m^2/2), effective share exp(-m^2), same variance."""
    shift = 0.8
    found = prevalence_weights({"x": Z[:, 0]}, {"x": shift})
    known = np.exp(shift * Z[:, 0])
    assert found.means["x"] == pytest.approx(shift, abs=1e-5)
    assert found.scores["x"] == pytest.approx(shift, abs=0.03)
    assert np.corrcoef(found.weights, known)[0, 1] > 0.999
    assert found.effective_size / IDS.size == pytest.approx(np.exp(-(shift**2)), rel=0.05)
    spread = found.weights @ Z[:, 0] ** 2 - found.means["x"] ** 2
    assert spread == pytest.approx(1.0, abs=0.05)


def test_a_wide_pool_becomes_a_narrow_population():
    """Uniform on -3..3 with mean 0.5 and mean square 0.5: the largest entropy is the normal N(0.5, 0.25), cut."""
    x = 6 * (np.arange(6001) + 0.5) / 6001 - 3
    found = prevalence_weights({"x": x, "square": x**2}, {"x": 0.5, "square": 0.5})
    density = np.exp(-0.5 * ((x - 0.5) / 0.5) ** 2)
    assert found.weights == pytest.approx(density / density.sum(), abs=2e-6)


def test_a_proportion_is_met_and_the_rest_is_left():
    high = (Z[:, 0] > 0).astype(float)
    found = prevalence_weights({"high": high}, {"high": 0.2})
    assert found.means["high"] == pytest.approx(0.2, abs=1e-5)
    assert found.weights @ Z[:, 1] == pytest.approx(Z[:, 1].mean(), abs=0.03)
    share = high.mean()
    assert found.effective_size / IDS.size == pytest.approx(1 / (0.04 / share + 0.64 / (1 - share)), rel=1e-4)


def test_accepted_patients_have_the_wanted_mean():
    found = prevalence_weights({"x": Z[:, 0]}, {"x": 0.5})
    chosen = accept(IDS, found.weights, seed=1)
    assert Z[chosen, 0].mean() == pytest.approx(0.5, abs=0.1)
    assert chosen.sum() > 500
    assert np.array_equal(accept(IDS[::-1], found.weights[::-1], seed=1), chosen[::-1])


def test_even_weights_lose_nobody():
    assert effective_size(np.ones(50)) == pytest.approx(50)
    assert prevalence_weights({"x": Z[:, 0]}, {"x": float(Z[:, 0].mean())}).effective_size == pytest.approx(IDS.size)


def test_what_a_pool_cannot_be_is_refused():
    pool = {"x": np.array([0.0, 1.0, 2.0]), "same": np.ones(3), "y": np.array([0.0, 1.0, 2.0])}
    with pytest.raises(InputError, match="between 0 and 2"):
        prevalence_weights(pool, {"x": 2.5})
    with pytest.raises(InputError, match="no weight can change"):
        prevalence_weights(pool, {"same": 1.0})
    with pytest.raises(InputError, match="'same'"):
        prevalence_weights(pool, {"sane": 1.0})
    with pytest.raises(SolveError, match="together"):
        prevalence_weights(pool, {"x": 0.5, "y": 1.5})
    with pytest.raises(InputError, match="do not fit"):
        accept([1, 2], [1.0])
    with pytest.raises(InputError, match="not all 0"):
        accept([1, 2], [0.0, 0.0])
