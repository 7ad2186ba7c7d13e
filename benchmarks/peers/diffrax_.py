"""diffrax: explicit Runge-Kutta methods in JAX, compiled by XLA, 200 patients at a time (vmap)."""

from functools import lru_cache

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import sympy

from benchmarks.measure import Run, Stopwatch
from benchmarks.problems import Problem

NAME = "diffrax (vmap of 200)"
PACKAGE = "diffrax"
METHODS = ("Tsit5",)
BATCH = 200

jax.config.update("jax_enable_x64", True)


@lru_cache
def right_hand_side(problem: Problem):
    """The right-hand side f(t, y, p) of one patient."""
    shared, rates = problem.code()
    lines = ["def rhs(t, y, p):"]
    lines += [f"    y{i} = y[{i}]" for i in range(len(rates))]
    lines += [f"    p{i} = p[{i}]" for i in range(len(problem.parameters))]
    lines += [f"    {name} = {code}" for name, code in shared]
    lines += [f"    return jnp.stack([{', '.join(rates)}])"]
    space: dict = {"math": jnp, "jnp": jnp}
    exec("\n".join(lines), space)
    return space["rhs"]


def windows(times, days, end: float) -> list[tuple[int, int]]:
    """For each stretch between doses, the output times that fall into it for any patient."""
    edges = np.concatenate([np.zeros((len(days), 1)), days, np.full((len(days), 1), end)], 1)
    return [
        (int(np.searchsorted(times, edges[:, e].min())), int(np.searchsorted(times, edges[:, e + 1].max(), "right")))
        for e in range(edges.shape[1] - 1)
    ]


def course(problem: Problem, method: str, spans: tuple[tuple[int, int], ...], adjoint=None):
    """The function (state, p, days, added, tolerance) -> states (time, state) of one patient."""
    rhs, times, end = right_hand_side(problem), jnp.asarray(problem.times), problem.end
    term, solver = diffrax.ODETerm(rhs), getattr(diffrax, method)()
    adjoint = diffrax.RecursiveCheckpointAdjoint() if adjoint is None else adjoint

    def solve(state, p, days, added, tolerance):
        values = jnp.full((len(times), len(problem.states)), jnp.nan)
        control = diffrax.PIDController(rtol=tolerance, atol=tolerance)
        now = jnp.asarray(0.0)
        for e, (first, past) in enumerate(spans):
            until = days[e] if e < len(spans) - 1 else jnp.asarray(end)
            wanted = times[first:past]
            found = diffrax.diffeqsolve(
                term,
                solver,
                now,
                until,
                None,
                state,
                p,
                saveat=diffrax.SaveAt(ts=jnp.clip(wanted, now, until), t1=True),
                stepsize_controller=control,
                max_steps=200_000,
                throw=False,
                adjoint=adjoint,
            )
            inside = (wanted >= now) & ((wanted < until) | (e == len(spans) - 1))
            values = values.at[first:past].set(jnp.where(inside[:, None], found.ys[:-1], values[first:past]))
            state, now = found.ys[-1], until
            if e < len(spans) - 1:
                state = state + added[e]
        return values

    return solve


@lru_cache
def compiled(problem: Problem, method: str, spans: tuple[tuple[int, int], ...]):
    """The compiled solve of a batch of patients."""
    return jax.jit(jax.vmap(course(problem, method, spans), in_axes=(0, 0, 0, 0, None)))


def run(problem: Problem, parameters, tolerance: float, method: str = METHODS[0]) -> Run:
    """Solve for all patients; compilation happens before the clock starts."""
    state, days, added = problem.scaled(parameters)
    # The spans are those of many patients, so that every batch has the same and none is compiled anew.
    many = problem.scaled(problem.sample(20_000, 99))[1]
    solve = compiled(problem, method, tuple(windows(problem.times, many, problem.end)))
    parts = [slice(at, at + BATCH) for at in range(0, len(parameters), BATCH)]
    for part in {len(parameters[p]): p for p in parts}.values():
        solve(state[part], parameters[part], days[part], added[part], 1e-1).block_until_ready()
    with Stopwatch() as watch:
        values = [np.asarray(solve(state[p], parameters[p], days[p], added[p], tolerance)) for p in parts]
    return Run(np.concatenate(values) * problem.floor, watch.cpu, watch.wall)


@lru_cache
def compiled_gradients(problem: Problem, spans: tuple[tuple[int, int], ...]):
    """The compiled derivatives of a batch of patients by the chosen parameters, in forward mode."""
    solve = course(problem, METHODS[0], spans, diffrax.ForwardMode())
    names = [problem.symbols[parameter] for parameter in problem.model.parameters.values()]
    start = sympy.lambdify(names, problem.start_formulas, jnp)
    doses = sympy.lambdify(names, problem.dose_formulas or [[sympy.Integer(0)] * len(problem.states)], jnp)
    at = jnp.array([problem.parameters.index(name) for name in problem.chosen])

    def of_chosen(chosen, p, days, tolerance):
        p = p.at[at].set(chosen)
        added = jnp.stack([jnp.stack([jnp.asarray(a, float) for a in dose]) for dose in doses(*p)])
        return solve(jnp.stack([jnp.asarray(y, float) for y in start(*p)]), p, days, added, tolerance)

    def slopes(p, days, tolerance):
        return jax.jacfwd(of_chosen)(p[at], p, days, tolerance)

    return jax.jit(jax.vmap(slopes, in_axes=(0, 0, None)))


def gradients(problem: Problem, parameters, tolerance: float) -> Run:
    """The states' derivatives by the problem's chosen parameters (patient, time, state, parameter)."""
    days = problem.scaled(parameters)[1]
    many = problem.scaled(problem.sample(20_000, 99))[1]
    solve = compiled_gradients(problem, tuple(windows(problem.times, many, problem.end)))
    solve(parameters, days, 1e-1).block_until_ready()
    with Stopwatch() as watch:
        values = np.asarray(solve(parameters, days, tolerance))
    return Run(values * problem.floor[:, None], watch.cpu, watch.wall)
