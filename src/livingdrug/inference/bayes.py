"""Bayes: the posterior of the same model, data and likelihood, drawn by the No-U-Turn sampler.

The sampler is nutpie's (Hoffman and Gelman 2014, with its own mass matrix); density and gradient are those that the
other estimators use, so values below the limit, every residual, joint models and models solved by the engine are all
there, and nothing is written twice. The extra ``bayes`` brings nutpie and ArviZ.

Priors are normal and independent on the working scale (of logarithms and logits): a log-normal prior for a typical
value, a standard deviation or a residual. Each is stated by its middle, in the model's units, and its spread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import FitError, InputError, MissingExtra, unknown_name
from livingdrug.inference.data import EventData
from livingdrug.inference.predictions import deviations
from livingdrug.inference.problem import Problem
from livingdrug.inference.scales import to_working
from livingdrug.inference.uncertainty import reported
from livingdrug.streams import seed_words

if TYPE_CHECKING:
    from livingdrug.inference.statistical import StatisticalModel

__all__ = ["Posterior", "Prior", "calibrate", "default_priors", "sample"]

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """A normal prior on the working scale.

    Attributes:
        middle: the median, in the model's units (of a spread: of the standard deviation; of a coefficient, or of an
            element of the Cholesky factor beside its diagonal: as it is).
        spread: standard deviation on the working scale; of a logarithm, 0.7 means "within a factor of four".
    """

    middle: float
    spread: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.middle) and 0 < self.spread < math.inf):
            raise InputError(f"prior: middle must be a number and spread positive, got {self.middle}, {self.spread}")


def default_priors(problem: Problem) -> dict[str, Prior]:
    """Weak priors about the first guesses, by name of the estimated entries.

    Typical values on a logarithmic or logit scale: spread 1; plain ones: their own size. Coefficients: 1. Standard
    deviations and residuals, as logarithms: 0.7. Covariances: half the first guess of the standard deviation.

    Example:
        >>> from livingdrug.inference.closed_form import ClosedForm, symbols
        >>> from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
        >>> from livingdrug.model import lognormal
        >>> data = EventData.from_arrays(ids=[1], subject=[0], time=[1.0], value=[2.0])
        >>> model = StatisticalModel(
        ...     ClosedForm("level", *symbols("level")), {"level": Estimate(3.0, lognormal(0.4))}, Endpoint("value")
        ... )
        >>> default_priors(Problem(model, data))["omega(level)"]
        Prior(middle=0.4, spread=0.7)
    """
    found = {}
    for entry in problem.free:
        name, start = problem.names[entry], float(problem.theta[entry])
        if entry < problem.betas:
            one = problem.model.estimates.get(name)
            plain = one is None or one.kind == "normal"
            size = max(abs(start), one.spread.sd if one.spread else 0.0, 1e-6) if one else 1.0
            found[name] = Prior(start if plain else one.value, size if plain else 1.0)  # type: ignore[union-attr]
        elif _is_logarithm(problem, name):
            found[name] = Prior(math.exp(start), 0.7)
        else:
            row = name.partition("(")[2].partition(",")[0]
            one = problem.model.estimates.get(row)
            found[name] = Prior(start, 0.5 * one.spread.sd if one and one.spread else 1.0)
    return found


def _is_logarithm(problem: Problem, name: str) -> bool:
    """Whether an entry after the typical values and coefficients is a logarithm."""
    entry = problem.names.index(name)
    if entry < problem.sigma[0].start:
        return name.startswith(("omega(", "gamma(")) and "," not in name
    if name.startswith("hazard:"):
        return name.startswith(("hazard:rate", "hazard:step")) or (
            name == "hazard:shape" and getattr(problem, "hazard").baseline == "weibull"  # noqa: B009
        )
    return not (name == "c" or name.endswith(":c"))


class Posterior:
    """Logarithm of the posterior density and its gradient.

    The point holds the estimated entries of theta, then the subjects' effects: as individual parameters (``centred``,
    for rich data), or divided by their spread (for sparse data, where the former sticks).

    Args:
        problem: model and data.
        priors: by name; those not named are :func:`default_priors`.
        centred: which of the two.
    """

    def __init__(self, problem: Problem, priors: Mapping[str, Prior] | None = None, *, centred: bool = True) -> None:
        if problem.model.mixture is not None:
            raise InputError("bayes: mixtures are not supported; fit them by quadrature or laplace")
        self.problem, self.centred = problem, centred
        self.priors = default_priors(problem)
        for name, prior in (priors or {}).items():
            if name not in self.priors:
                raise InputError(unknown_name("prior", name, self.priors))
            self.priors[name] = prior
        self.mean = np.array([self._working(name, prior.middle) for name, prior in self.priors.items()])
        self.sd = np.array([prior.spread for prior in self.priors.values()])
        self.size = len(self.mean) + problem.subjects * problem.d

    def _working(self, name: str, middle: float) -> float:
        one = self.problem.model.estimates.get(name)
        if one is not None:
            return to_working(one, middle)
        if self.problem.names.index(name) >= self.problem.betas and _is_logarithm(self.problem, name):
            if middle <= 0:
                raise InputError(f"prior of {name!r}: the middle must be positive, got {middle!r}")
            return math.log(middle)
        return middle

    def theta(self, point: Reals) -> Reals:
        """All entries of theta at a point."""
        theta = self.problem.theta.copy()
        theta[self.problem.free] = point[: len(self.mean)]
        return theta

    def effects(self, point: Reals) -> Reals:
        """Random effects at a point, shape (subject, effect)."""
        theta = self.theta(point)[None]
        own = point[len(self.mean) :].reshape(self.problem.subjects, self.problem.d)
        return own - self.problem.shifts(theta)[0] if self.centred else own @ self.problem.cholesky(theta)[0].T

    def point(self, theta: Reals, eta: Reals) -> Reals:
        """The point of a theta and effects."""
        row = theta[None]
        inverse = np.linalg.inv(self.problem.cholesky(row)[0])
        own = eta + self.problem.shifts(row)[0] if self.centred else eta @ inverse.T
        return np.concatenate([theta[self.problem.free], own.ravel()])

    def __call__(self, point: Reals) -> tuple[float, Reals]:
        """Logarithm of the density, up to a constant, and its gradient; -inf where it cannot be computed."""
        with np.errstate(all="ignore"):  # the sampler looks far away now and then
            try:
                value, gradient = self._density(point)
            except np.linalg.LinAlgError:
                return -math.inf, np.zeros(self.size)
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            return -math.inf, np.zeros(self.size)
        return value, gradient

    def _density(self, point: Reals) -> tuple[float, Reals]:
        problem, row = self.problem, self.theta(point)[None]
        eta = self.effects(point)[None]
        inner, found = problem.inner(row, eta)
        score = problem.score(row, eta, found).sum(axis=(0, 1))
        away = (point[: len(self.mean)] - self.mean) / self.sd
        value = float(inner.loglik.sum()) - 0.5 * float(away @ away)
        slope = inner.gradient[0]
        if self.centred:
            value += float(problem.log_prior(row, eta).sum())
            precision = np.linalg.inv(problem.covariance(row[0]))
            own = slope - eta[0] @ precision
        else:
            z = point[len(self.mean) :].reshape(problem.subjects, problem.d)
            value -= 0.5 * float((z**2).sum())
            own = slope @ problem.cholesky(row)[0] - z
            score = self._through_effects(score, slope, z, problem.cholesky(row)[0])
        return value, np.concatenate([score - away / self.sd, own.ravel()])

    def _through_effects(self, score: Reals, slope: Reals, z: Reals, L: Reals) -> Reals:
        """The score where standardised effects are held, not individual parameters."""
        problem = self.problem
        whole = np.zeros(len(problem.names))
        whole[problem.free] = score
        whole[problem.centred] = np.einsum("sd,sdc->c", slope, problem.shift)
        for block in problem.blocks:
            for (j, k), entry in zip(
                zip(*np.tril_indices(len(block.places[0])), strict=True), block.entries, strict=True
            ):
                whole[entry] = sum(
                    float(slope[:, p[j]] @ z[:, p[k]]) * (L[p[j], p[j]] if j == k else 1.0) for p in block.places
                )
        return whole[problem.free]


def sample(
    model: StatisticalModel,
    data: EventData,
    *,
    priors: Mapping[str, Prior] | None = None,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    centred: bool = True,
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
        centred: see :class:`Posterior`.
        seed: of all random numbers.
        target_accept: wanted share of accepted steps; nearer to 1 against divergences.

    Returns:
        ArviZ ``InferenceData``: the posterior of what a fit reports (in the model's units) and of ``eta`` (subject,
        effect), sampler statistics, the log likelihood of each subject, and the data.

    Raises:
        MissingExtra: nutpie or ArviZ is not installed.
        InputError: an unknown prior, or a number out of range.
        FitError: the first guesses have no likelihood.
    """
    if draws < 1 or tune < 1 or chains < 1 or not 0 < target_accept < 1:
        raise InputError("sample: draws, tune and chains must be at least 1, target_accept between 0 and 1")
    seed_words(seed)
    posterior = Posterior(model.problem(data), priors, centred=centred)
    raw = _draw(posterior, draws, tune, chains, cores, seed, target_accept)
    return _inference_data(posterior, raw)


def _draw(
    posterior: Posterior, draws: int, tune: int, chains: int, cores: int | None, seed: int, target_accept: float
) -> Any:
    """Points of all chains, and the sampler's statistics."""
    try:
        import nutpie  # pyright: ignore[reportMissingImports]
        from nutpie.compiled_pyfunc import from_pyfunc  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingExtra("Bayes", "nutpie", "bayes") from error
    _check_start(posterior)

    def start(number: int) -> Reals:
        random = np.random.Generator(np.random.Philox([number % 2**63, 5]))
        for size in (0.1, 0.01, 0.0):
            theta = posterior.problem.theta.copy()
            theta[posterior.problem.free] += size * random.standard_normal(len(posterior.mean))
            eta = np.zeros((posterior.problem.subjects, posterior.problem.d))
            point = posterior.point(theta, eta)
            if math.isfinite(posterior(point)[0]):
                return point
        return point

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


def _check_start(posterior: Posterior) -> None:
    problem = posterior.problem
    value, _ = posterior(posterior.point(problem.theta, np.zeros((problem.subjects, problem.d))))
    if not math.isfinite(value):
        raise FitError("the first guesses give the data no likelihood; change them, the residual model or the data")


def _inference_data(posterior: Posterior, raw: Any) -> Any:
    """ArviZ's store of draws in the model's units."""
    import arviz  # pyright: ignore[reportMissingImports]

    problem = posterior.problem
    points = np.asarray(raw.posterior["point"])
    shape = points.shape[:2]
    flat = points.reshape(-1, posterior.size)
    thetas = np.array([posterior.theta(point) for point in flat])
    eta = np.array([posterior.effects(point) for point in flat])
    values = [reported(problem, theta) for theta in thetas]
    found: dict[str, Any] = {n: np.array([v[n] for v in values]).reshape(shape) for n in values[0]}
    loglik = np.array([problem.loglik(theta[None], one[None])[0] for theta, one in zip(thetas, eta, strict=True)])
    rows = problem.rows
    effects = [problem.by[p] for p in problem.random] + [
        f"{problem.by[p]} {o + 1}" for o in range(problem.occasions) for p in problem.repeated
    ]
    return arviz.from_dict(
        posterior={**found, "eta": eta.reshape(*shape, problem.subjects, problem.d)},
        sample_stats={name: np.asarray(raw.sample_stats[name]) for name in ("diverging", "energy", "depth", "n_steps")
                      if name in raw.sample_stats},
        log_likelihood={"subject": loglik.reshape(*shape, problem.subjects)},
        observed_data={"value": np.where(rows.points, rows.value, np.nan)},
        coords={"subject_name": list(rows.data.ids), "effect": effects},
        dims={"eta": ["subject_name", "effect"], "subject": ["subject_name"]},
    )  # fmt: skip


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
    centred: bool = True,
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
        centred: as for :func:`sample`.
        seed: of all random numbers.

    Returns:
        Name -> rank in each simulation, for every value that is reported and not held.
    """
    posterior = Posterior(model.problem(data), priors, centred=centred)
    random = np.random.Generator(np.random.Philox([seed, 6]))
    ranks: dict[str, list[int]] = {}
    while not ranks or len(next(iter(ranks.values()))) < simulations:
        truth, drawn_data = _simulated(posterior, data, random)
        one = Posterior(model.problem(drawn_data), priors, centred=centred)
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
    f = problem.predict(theta[None], eta[None]).f
    g, value = deviations(problem, theta, f), np.empty(f.shape[1])
    censoring = np.zeros(len(value), int)
    for k, at in enumerate(problem.endpoint_rows):
        end = problem.model.ends[k]
        noise = random.standard_normal(len(at))
        if math.isfinite(end.residual.degrees):
            noise /= np.sqrt(random.chisquare(end.residual.degrees, len(at)) / end.residual.degrees)
        y = f[0, at] + g[0, at] * noise
        y = np.exp(y) if end.residual.logarithmic else y
        if end.limit is not None:
            censoring[at] = y < end.limit
            y = np.maximum(y, end.limit)
        value[at] = y
    seen = data.observations.take(problem.rows.source)
    return theta, replace(data, observations=replace(seen, value=value, censoring=censoring))
