"""The speed of fits: ``python -m benchmarks.fitting`` prints seconds and ratios (or with some of the parts' names).

Parts: ``theophylline`` (SAEM and FOCEI), ``car_t`` (SAEM of a model that is solved, and the same SAEM driven by SciPy's
solve_ivp). Seconds are of the processor, all threads counted; beside them by the clock. ``benchmarks.bayes`` compares
draws of posteriors.
"""

import argparse
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure import Stopwatch
from benchmarks.problems import PROBLEMS
from livingdrug.inference.closed_form import one_compartment_oral
from livingdrug.inference.data import EventData
from livingdrug.inference.engine_model import BoundModel, EngineModel
from livingdrug.inference.estimation import fit
from livingdrug.inference.problem import Problem
from livingdrug.inference.residual import additive, log_additive
from livingdrug.inference.saem import Saem, SaemSettings
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
from livingdrug.model import lognormal

HOURS = np.array([0.0, 0.25, 0.5, 1, 2, 3.5, 5, 7, 9, 12, 24])  # as the twelve subjects of Boeckmann et al. 1994
DOSE = 320.0  # mg
FOUND = {"ka": 1.58, "V": 31.6, "CL": 2.75}  # near the published estimates
SPREADS = {"ka": 0.64, "V": 0.13, "CL": 0.25}
RESIDUAL = 0.7
DAYS = np.array([1.0, 3, 5, 7, 10, 14, 21, 28, 42, 60, 90, 180])
RANDOM = {"fast_expansion": 0.25, "expansion_ageing": 0.2, "effector_loss": 0.25, "burden": 1.0}
RTOL = 1e-7


def say(what: str, watch: Stopwatch, more: str = "") -> None:
    """Print one figure."""
    print(f"{what}: {watch.cpu:.2f} s of processor time, {watch.wall:.2f} s by the clock{more}", flush=True)


# -- theophylline -----------------------------------------------------------------------------------------------------
def theophylline() -> tuple[StatisticalModel, EventData]:
    """Twelve simulated subjects with the times, dose and estimates of the well-known set."""
    random, count = np.random.default_rng(1), 12
    p = {n: v * np.exp(SPREADS[n] * random.standard_normal((count, 1))) for n, v in FOUND.items()}
    k = p["CL"] / p["V"]
    clean = DOSE * p["ka"] / p["V"] / (p["ka"] - k) * (np.exp(-k * HOURS) - np.exp(-p["ka"] * HOURS))
    value = clean + RESIDUAL * random.standard_normal(clean.shape)
    data = EventData.from_arrays(
        ids=range(count), subject=np.repeat(range(count), len(HOURS)), time=np.tile(HOURS, count), value=value.ravel(),
        doses={"subject": np.arange(count), "time": 0.0, "amount": DOSE},
    )  # fmt: skip
    parameters = {
        "ka": Estimate(1.2, lognormal(0.5)),
        "CL": Estimate(3.5, lognormal(0.4)),
        "V": Estimate(25.0, lognormal(0.3)),
    }
    return StatisticalModel(one_compartment_oral(), parameters, Endpoint("concentration", additive(1.0))), data


def time_theophylline() -> None:
    """SAEM and FOCEI, best of three."""
    model, data = theophylline()
    for method, goal in (("saem", 3.0), ("focei", 1.0)):
        best = min((timed(lambda m=method: fit(model, data, m)) for _ in range(3)), key=lambda watch: watch.cpu)
        say(f"theophylline, {method}", best, f" (goal: {goal:g} s; {best.cpu / goal:.2f} of it)")


def timed(do: Callable[[], Any]) -> Stopwatch:
    """The time of one call."""
    watch = Stopwatch()
    with watch:
        do()
    return watch


# -- a model that is solved -------------------------------------------------------------------------------------------
class ScipyModel(EngineModel):
    """The same model solved one subject after the other by SciPy's solve_ivp (LSODA)."""

    def bind(self, rows: Any, outputs: Any, by: Any) -> BoundModel:
        """Join with data."""
        return ScipyBound(self, rows, outputs, by)


class ScipyBound(BoundModel):
    """Solves by SciPy; slopes are difference quotients."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tangents = False
        problem = PROBLEMS["small"]
        shared, rates = problem.code()
        lines = ["def rhs(t, y, p):"]
        lines += [f"    y{i} = y[{i}]" for i in range(len(rates))]
        lines += [f"    p{i} = p[{i}]" for i in range(len(problem.parameters))]
        lines += [f"    {name} = {code}" for name, code in shared]
        lines += [f"    return [{', '.join(rates)}]"]
        space: dict[str, Any] = {"math": math}
        exec("\n".join(lines), space)
        self.rhs, self.problem = space["rhs"], problem

    def _solve(self, values: Any, chosen: Any = (), *, tight: bool = False) -> Any:
        from scipy.integrate import solve_ivp

        K, S, states = len(values), self.rows.subjects, [self.problem.states.index(name) for name in self.outputs]
        defaults = np.array([p.value for p in self.model.parameters.values()])
        places = [self.problem.parameters.index(name) for name in self.by]
        rtol = 1e-10 if tight else self.structure.rtol
        courses = np.empty((K, S, self.times.shape[1], len(states)))
        for k in range(K):
            p = np.tile(defaults, (S, 1))
            p[:, places] = values[k]
            starts = self.problem.scaled(p)[0]
            for s in range(S):
                found = solve_ivp(
                    self.rhs,
                    (0, self.times[s, -1]),
                    starts[s],
                    "LSODA",
                    self.times[s],
                    args=(p[s],),
                    rtol=rtol,
                    atol=rtol,
                )
                courses[k, s] = (found.y[states] * self.problem.floor[states, None]).T
        f = self._picked(courses.reshape(K * S, *courses.shape[2:]), K)
        return f, np.zeros((*f.shape, 0)), np.zeros((K, S), bool)


def car_t(structure: Any, subjects: int = 100) -> Problem:
    """A trial of the bench's small problem: 5 states, 100 subjects, 12 samples of effector cells, 4 effects."""
    problem, random = PROBLEMS["small"], np.random.default_rng(3)
    p = np.tile([parameter.value for parameter in problem.model.parameters.values()], (subjects, 1))
    for name, sd in RANDOM.items():
        p[:, problem.parameters.index(name)] *= np.exp(sd * random.standard_normal(subjects))
    from livingdrug.engine.solve import solve

    clean = solve(problem.model, problem.named(p), DAYS, outputs=["effector"]).values[..., 0]
    value = np.maximum(clean, 1e-3) * np.exp(0.3 * random.standard_normal(clean.shape))
    data = EventData.from_arrays(
        ids=range(subjects), subject=np.repeat(range(subjects), len(DAYS)), time=np.tile(DAYS, subjects),
        value=value.ravel(), lloq=1e5, censoring=0, endpoints=("effector",),
    )  # fmt: skip
    declared = problem.model.parameters
    parameters = {name: Estimate(1.1 * declared[name].value, lognormal(0.4)) for name in RANDOM}
    end = Endpoint("effector", log_additive(0.5), limit=1e5)
    return Problem(StatisticalModel(structure, parameters, end), data)


def time_car_t(iterations: int = 500, compared: int = 2) -> None:
    """500 iterations on the engine; some of them also by SciPy, for the ratio."""
    model = PROBLEMS["small"].model
    problem = car_t(EngineModel(model, rtol=RTOL))
    settings = SaemSettings(iterations * 3 // 5, iterations - iterations * 3 // 5)
    run = Saem(problem, settings, problem.theta.copy())
    watch = timed(run.run)
    say(
        f"5-state model, 100 subjects, SAEM of {iterations} iterations",
        watch,
        f" (goal: 60 s; {watch.cpu / 60:.2f} of it)",
    )
    few = SaemSettings(iterations, 1, chains=2)
    pair = [car_t(kind(model, rtol=RTOL), 12) for kind in (EngineModel, ScipyModel)]
    runs = [Saem(one, few, one.theta.copy()) for one in pair]
    both = [timed(lambda one=one: [one.iterate() for _ in range(compared)]) for one in runs]
    slower = both[1].cpu / both[0].cpu
    print(f"  the same SAEM driven by solve_ivp: {slower:.0f} times slower (12 subjects, {compared} iterations)")
    apart = np.abs(runs[0].chains.place.f - runs[1].chains.place.f)  # of logarithms
    print(f"  their predictions differ by at most {np.nanmax(apart):.1e}", flush=True)


PARTS = {"theophylline": time_theophylline, "car_t": time_car_t}


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fitting", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    for part in parser.parse_args().parts:
        PARTS[part]()


if __name__ == "__main__":
    main()
