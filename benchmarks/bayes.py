"""Effective draws per second beside NumPyro's NUTS: ``python -m benchmarks.bayes``.

One posterior (theophylline, twelve simulated subjects, seven parameters and 36 effects), one chain after the other, as
many draws for tuning as are kept. NumPyro's model is written for this posterior, as its users would, in both usual
forms: effects as they are (centred), and divided by their spread; the better one counts. The figure is the least
effective size of the parameters over seconds of the processor, all threads counted; compilation is given apart.
"""

import argparse
import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from benchmarks.fitting import DOSE, theophylline
from benchmarks.measure import Stopwatch
from livingdrug.inference.bayes import Posterior, _draw

Reals = np.ndarray


def ours(posterior: Posterior, draws: int) -> Callable[[int], Reals]:
    """Draw as :func:`livingdrug.inference.bayes.sample` does; shape (draw, parameter), on the working scale."""

    def once(seed: int) -> Reals:
        raw = _draw(posterior, draws, draws, 1, 1, seed, 0.8)
        return np.asarray(raw.posterior["point"])[0, :, : len(posterior.mean)]

    return once


def numpyros(posterior: Posterior, draws: int, *, centred: bool) -> Callable[[int], Reals]:
    """NumPyro's NUTS with its defaults on the same posterior.

    It starts at our first guesses: from its own random start it may stay where absorption and elimination have changed
    places, which is another solution of the same equations.
    """
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS, init_to_value

    jax.config.update("jax_enable_x64", True)
    problem, names = posterior.problem, list(posterior.priors)
    subject, hours, y = problem.rows.subject, jnp.asarray(problem.rows.time), jnp.asarray(problem.rows.value)
    order = [problem.by[p] for p in problem.random]

    def model() -> None:
        w = {
            n: numpyro.sample(n, dist.Normal(m, s)) for n, m, s in zip(names, posterior.mean, posterior.sd, strict=True)
        }
        middle = jnp.array([w[n] for n in order])
        spread = jnp.exp(jnp.array([w[f"omega({n})"] for n in order]))
        own = (middle, spread) if centred else (jnp.zeros(len(order)), jnp.ones(len(order)))
        psi = numpyro.sample("psi", dist.Normal(*own).expand([problem.subjects, len(order)]).to_event(2))
        psi = psi if centred else middle + spread * psi
        p = {n: jnp.exp(psi[subject, j]) for j, n in enumerate(order)}
        k = p["CL"] / p["V"]
        mean = DOSE * p["ka"] / p["V"] / (p["ka"] - k) * (jnp.exp(-k * hours) - jnp.exp(-p["ka"] * hours))
        numpyro.sample("y", dist.Normal(mean, jnp.exp(w["a"])), obs=y)

    guesses: dict[str, Any] = dict(zip(names, problem.theta[problem.free], strict=True))
    middle = np.array([guesses[n] for n in order]) if centred else np.zeros(len(order))
    start = init_to_value(values=guesses | {"psi": np.tile(middle, (problem.subjects, 1))})
    chain = MCMC(
        NUTS(model, init_strategy=start), num_warmup=draws, num_samples=draws, num_chains=1, progress_bar=False
    )

    def once(seed: int) -> Reals:
        chain.run(jax.random.PRNGKey(seed))
        found = jax.block_until_ready(chain.get_samples())
        return np.stack([np.asarray(found[n]) for n in names], axis=1)

    return once


def measured(samplers: dict[str, Callable[[int], Reals]], rounds: int) -> dict[str, dict[str, Any]]:
    """Let the samplers take turns: seconds, seconds of the first call beyond the later ones, effective sizes, draws."""
    import arviz

    found: dict[str, dict[str, Any]] = {}
    for name, once in samplers.items():
        start = time.process_time()
        once(0)
        found[name] = {"first": time.process_time() - start, "cpu": [], "rate": [], "draws": []}
    for seed in range(1, rounds + 1):
        for name, once in samplers.items():
            watch = Stopwatch()
            with watch:
                draws = once(seed)
            least = min(float(arviz.ess(column[None])) for column in draws.T)
            found[name]["cpu"].append(watch.cpu)
            found[name]["rate"].append(least / watch.cpu)
            found[name]["draws"].append(draws)
    return found


def apart(one: list[Reals], other: list[Reals]) -> float:
    """Largest difference of two means, in its own Monte Carlo errors."""
    import arviz

    both = [np.stack(found) for found in (one, other)]
    means = [draws.mean(axis=(0, 1)) for draws in both]
    errors = [
        np.array([np.asarray(arviz.mcse(draws[..., k])).item() for k in range(draws.shape[-1])]) for draws in both
    ]
    return float(np.max(np.abs(means[0] - means[1]) / np.hypot(*errors)))


def compare(draws: int = 1000, rounds: int = 3) -> None:
    """Print seconds, effective draws per second and their ratio."""
    model, data = theophylline()
    posterior = Posterior(model.problem(data))
    samplers = {"ours": ours(posterior, draws)}
    samplers |= {
        f"NumPyro, {n}": numpyros(posterior, draws, centred=c)
        for n, c in (("centred", True), ("spread divided", False))
    }
    found = measured(samplers, rounds)
    for name, one in found.items():
        one["median"] = median(one["rate"])
        compiled = max(one["first"] - median(one["cpu"]), 0.0)
        print(
            f"{name}: {draws} draws in {median(one['cpu']):.2f} s of processor time (compiled before in "
            f"{compiled:.1f} s), {one['median']:.0f} effective draws per second",
            flush=True,
        )
    best = max((n for n in found if n != "ours"), key=lambda n: found[n]["median"])
    print(f"  means differ by at most {apart(found['ours']['draws'], found[best]['draws']):.1f} Monte Carlo errors")
    with_compilation = median(
        math.prod([rate, cpu]) / (cpu + max(found[best]["first"] - cpu, 0.0))
        for rate, cpu in zip(found[best]["rate"], found[best]["cpu"], strict=True)
    )
    print(
        f"  ours / {best}: {found['ours']['median'] / found[best]['median']:.2f}; with its compilation counted "
        f"{found['ours']['median'] / with_compilation:.2f}",
        flush=True,
    )


def main() -> None:
    """Measure with as many draws as asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bayes", description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="kept, and as many for tuning")
    parser.add_argument("--rounds", type=int, default=3, help="seeds")
    given = parser.parse_args()
    compare(given.draws, given.rounds)


if __name__ == "__main__":
    main()
