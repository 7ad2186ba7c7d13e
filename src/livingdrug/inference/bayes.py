"""Bayes: the posterior of the same model, data and likelihood, drawn by the No-U-Turn sampler.

The sampler is nutpie's (Hoffman and Gelman 2014, with its own mass matrix); density and gradient
(:mod:`livingdrug.inference.posterior`) are those that the other estimators use, so values below the limit, every
residual, joint models and models solved by the engine are all there, and nothing is written twice. The extra ``bayes``
brings nutpie and ArviZ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import FitError, InputError, MissingExtra
from livingdrug.inference.data import EventData
from livingdrug.inference.posterior import Posterior, Prior, default_priors
from livingdrug.inference.problem import Problem
from livingdrug.inference.uncertainty import reported
from livingdrug.streams import seed_words

if TYPE_CHECKING:
    from livingdrug.inference.statistical import StatisticalModel

__all__ = ["Posterior", "Prior", "calibrate", "default_priors", "sample", "verdict"]

Reals = NDArray[np.float64]

R_HAT, SIZE_PER_CHAIN = 1.01, 100
"""What Vehtari et al. 2021 ask for: the rank-normalised R-hat at most, effective draws per chain at least."""
BLOCK = 100
"""Draws whose predictions are computed at once."""


def sample(
    model: StatisticalModel,
    data: EventData,
    *,
    priors: Mapping[str, Prior] | None = None,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    seed: int = 0,
    target_accept: float = 0.8,
) -> Any:
    """Draw from the posterior.

    Args:
        model: as for :func:`livingdrug.inference.estimation.fit`; the first guesses are where chains start.
        data: as there.
        priors: name of an estimated entry -> :class:`Prior`; see :func:`default_priors` for names and defaults.
        draws: kept, of each chain.
        tune: draws in which the sampler finds its step and its scales; left out.
        chains: of their own starts.
        cores: threads.
        seed: of all random numbers.
        target_accept: wanted share of accepted steps; nearer to 1 against divergences.

    Returns:
        ArviZ ``InferenceData``: ``posterior`` of what a fit reports (in the model's units) and of ``eta`` (subject,
        effect); ``posterior_predictive``, new measurements of the same patients, and ``observed_data`` beside them,
        both on the scale of the residual (logarithms for ``log_additive``), NaN for what was seen as an interval;
        ``log_likelihood`` of each subject; ``sample_stats``. Its attribute ``verdict`` is :func:`verdict`.

    Raises:
        MissingExtra: nutpie or ArviZ is not installed.
        InputError: an unknown prior, or a number out of range.
        FitError: the first guesses have no likelihood.
    """
    _whole("sample", draws=draws, tune=tune, chains=chains, cores=1 if cores is None else cores)
    if not 0 < target_accept < 1:
        raise InputError(f"sample: target_accept must lie between 0 and 1, got {target_accept!r}")
    seed_words(seed)
    posterior = Posterior(model.problem(data), priors)
    raw = _draw(posterior, draws, tune, chains, cores, seed, target_accept)
    found = _inference_data(posterior, raw, np.random.Generator(np.random.Philox([seed % 2**63, 7])))
    found.attrs["verdict"] = verdict(found)
    return found


def _whole(what: str, **given: Any) -> None:
    for name, value in given.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise InputError(f"{what}: {name} must be a whole number, at least 1, got {value!r}")


def verdict(found: Any) -> str:
    """Say in words whether draws may be believed: divergences, R-hat and effective sizes of what was estimated.

    Args:
        found: what :func:`sample` returned.

    Returns:
        A sentence that begins with ``CONVERGED`` or ``NOT CONVERGED``.
    """
    import arviz  # pyright: ignore[reportMissingImports]

    moving = [n for n in found.posterior.data_vars if n != "eta" and float(found.posterior[n].std()) > 0]
    chains = found.posterior.sizes["chain"]
    against = []
    diverged = int(found.sample_stats["diverging"].sum())
    if diverged:
        against.append(
            f"{diverged} of {found.posterior.sizes['draw'] * chains} steps diverged: parts of the posterior were not "
            "reached; take target_accept nearer to 1, narrower priors, or a model without kinks"
        )
    ratios: Any = arviz.rhat(found.posterior[moving]) if chains > 1 else {}
    worst = {n: float(v) for n, v in ratios.items()}
    apart = [f"{n} {v:.3f}" for n, v in worst.items() if not v <= R_HAT]
    if apart:
        against.append(f"the chains disagree (R-hat above {R_HAT}: {', '.join(apart)}); take more draws and tune")
    if chains == 1:
        against.append("one chain cannot show that others agree with it; take at least two")
    sizes = {n: min(float(arviz.ess(found.posterior[n], method=kind)[n]) for kind in ("bulk", "tail")) for n in moving}
    least = min(sizes, key=lambda n: sizes[n])
    if not sizes[least] >= SIZE_PER_CHAIN * chains:
        against.append(
            f"too few effective draws (least: {sizes[least]:.0f} of {least}; wanted {SIZE_PER_CHAIN * chains}); take "
            "more draws"
        )
    if against:
        return "NOT CONVERGED: " + "; ".join(against) + "."
    return (
        f"CONVERGED: no divergence, R-hat at most {max(worst.values()):.3f}, effective draws at least "
        f"{sizes[least]:.0f} ({least})."
    )


def _draw(
    posterior: Posterior, draws: int, tune: int, chains: int, cores: int | None, seed: int, target_accept: float
) -> Any:
    """Points of all chains, and the sampler's statistics."""
    try:
        import nutpie  # pyright: ignore[reportMissingImports]
        from nutpie.compiled_pyfunc import from_pyfunc  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingExtra("Bayes", "nutpie", "bayes") from error
    if not math.isfinite(posterior(posterior.start(np.random.default_rng(0), 0.0))[0]):
        raise FitError("the first guesses give the data no likelihood; change them, the residual model or the data")

    def start(number: int) -> Reals:
        random = np.random.Generator(np.random.Philox([number % 2**63, 5]))
        tried = (posterior.start(random, size) for size in (0.1, 0.01))
        return next((p for p in tried if math.isfinite(posterior(p)[0])), posterior.start(random, 0.0))

    def expand(*_seeds: Any) -> Callable[[Reals], dict[str, Reals]]:
        return lambda point: {"point": np.asarray(point, np.float64)}

    compiled = from_pyfunc(
        posterior.size, lambda: posterior, expand, [np.dtype(np.float64)], [(posterior.size,)], ["point"],
        make_initial_point_fn=start,
    )  # fmt: skip
    return nutpie.sample(
        compiled, draws=draws, tune=tune, chains=chains, cores=cores, seed=seed % 2**32, progress_bar=False,
        save_warmup=False, blocking=True, target_accept=target_accept,
    )  # fmt: skip


def _inference_data(posterior: Posterior, raw: Any, random: np.random.Generator) -> Any:
    """ArviZ's store of draws in the model's units."""
    import arviz  # pyright: ignore[reportMissingImports]

    problem, rows = posterior.problem, posterior.problem.rows
    points = np.asarray(raw.posterior["point"])
    shape = points.shape[:2]
    flat = points.reshape(-1, posterior.size)
    thetas = np.array([posterior.theta(point) for point in flat])
    eta = np.array([posterior.effects(point) for point in flat])
    values = [reported(problem, theta) for theta in thetas]
    found: dict[str, Any] = {n: np.array([v[n] for v in values]).reshape(shape) for n in values[0]}
    loglik, again = (np.empty((len(flat), size)) for size in (problem.subjects, len(rows.time)))
    for at in (slice(k, k + BLOCK) for k in range(0, len(flat), BLOCK)):
        f = problem.predict(thetas[at], eta[at]).f
        loglik[at] = problem.loglik(thetas[at], eta[at], f)
        again[at] = _measured(problem, thetas[at], f, random)
    effects = [problem.by[p] for p in problem.random] + [
        f"{problem.by[p]} {o + 1}" for o in range(problem.occasions) for p in problem.repeated
    ]
    return arviz.from_dict(
        posterior={**found, "eta": eta.reshape(*shape, problem.subjects, problem.d)},
        posterior_predictive={"value": again.reshape(*shape, -1)},
        sample_stats={name: np.asarray(raw.sample_stats[name]) for name in ("diverging", "energy", "depth", "n_steps")
                      if name in raw.sample_stats},
        log_likelihood={"subject": loglik.reshape(*shape, problem.subjects)},
        observed_data={"value": np.where(rows.points, rows.value, np.nan)},
        coords={"subject_name": list(rows.data.ids), "effect": effects, "row": np.arange(len(rows.time))},
        dims={"eta": ["subject_name", "effect"], "subject": ["subject_name"], "value": ["row"]},
    )  # fmt: skip


def _measured(problem: Problem, thetas: Reals, f: Reals, random: np.random.Generator) -> Reals:
    """Measurements drawn about predictions, on the scale of the residual; shape (theta, row)."""
    value, noise = np.empty_like(f), random.standard_normal(f.shape)
    for k, at in enumerate(problem.endpoint_rows):
        residual = problem.model.ends[k].residual
        if math.isfinite(residual.degrees):
            noise[:, at] /= np.sqrt(random.chisquare(residual.degrees, (len(f), len(at))) / residual.degrees)
        g = residual.spread(f[:, at], thetas[:, problem.sigma[k]])[0]
        value[:, at] = f[:, at] + g * noise[:, at]
    return value


# -- simulation-based calibration -------------------------------------------------------------------------------------
def calibrate(
    model: StatisticalModel,
    data: EventData,
    simulations: int,
    *,
    priors: Mapping[str, Prior] | None = None,
    draws: int = 99,
    thin: int = 5,
    tune: int = 300,
    seed: int = 0,
) -> dict[str, NDArray[np.int64]]:
    """Ranks of true values among posterior draws: uniform if the sampler and the likelihood are right (Talts 2018).

    Truths are drawn from the priors, data from the model with the times, doses, covariates and limits of ``data``; each
    data set is fitted.

    Args:
        model: the model.
        data: whose design is used; a limit comes from the endpoint.
        simulations: data sets.
        priors: as for :func:`sample`.
        draws: of the posterior that are kept: ranks run from 0 to this number.
        thin: every which draw is kept, so that they are nearly independent.
        tune: as for :func:`sample`.
        seed: of all random numbers.

    Returns:
        Name -> rank in each simulation, for every value that is reported and not held.
    """
    _whole("calibrate", simulations=simulations, draws=draws, thin=thin, tune=tune)
    seed_words(seed)
    posterior = Posterior(model.problem(data), priors)
    random = np.random.Generator(np.random.Philox([seed % 2**63, 6]))
    ranks: dict[str, list[int]] = {}
    while not ranks or len(next(iter(ranks.values()))) < simulations:
        truth, drawn_data = _simulated(posterior, data, random)
        one = Posterior(model.problem(drawn_data), priors)
        found = _draw(one, draws * thin, tune, 1, 1, int(random.integers(2**31)), 0.9)
        points = np.asarray(found.posterior["point"])[0, ::thin]
        values = [reported(one.problem, one.theta(point)) for point in points]
        for name, true in reported(one.problem, truth).items():
            ranks.setdefault(name, []).append(sum(value[name] < true for value in values))
    held = reported(posterior.problem, posterior.problem.theta)
    moved = reported(posterior.problem, posterior.problem.theta + _on(posterior.problem))
    return {name: np.array(found) for name, found in ranks.items() if held[name] != moved[name]}


def _on(problem: Problem) -> Reals:
    """One in every estimated entry."""
    step = np.zeros(len(problem.names))
    step[problem.free] = 0.1
    return step


def _simulated(posterior: Posterior, data: EventData, random: np.random.Generator) -> tuple[Reals, EventData]:
    """A theta from the priors, and data of it; values below an endpoint's limit are censored."""
    problem = posterior.problem
    if getattr(problem, "hazard", None) is not None or len(problem.rows.time) != len(data.observations):
        raise InputError("calibrate: needs a model without events, and data of which every observation takes part")
    theta = problem.theta.copy()
    theta[problem.free] = posterior.mean + posterior.sd * random.standard_normal(len(posterior.mean))
    eta = random.standard_normal((problem.subjects, problem.d)) @ problem.cholesky(theta[None])[0].T
    value = _measured(problem, theta[None], problem.predict(theta[None], eta[None]).f, random)[0]
    censoring = np.zeros(len(value), int)
    for k, at in enumerate(problem.endpoint_rows):
        end = problem.model.ends[k]
        if end.residual.logarithmic:
            value[at] = np.exp(value[at])
        if end.limit is not None:
            censoring[at] = value[at] < end.limit
            value[at] = np.maximum(value[at], end.limit)
    seen = data.observations.take(problem.rows.source)
    return theta, replace(data, observations=replace(seen, value=value, censoring=censoring))
