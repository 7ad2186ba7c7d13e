"""Several runs in one table, and why their objectives differ although the fits may not.

Programs print different numbers for one likelihood:

| number | what it is |
|---|---|
| -2 log likelihood | all constants; Monolix, R's ``logLik``, NONMEM's objective *with constant* |
| NONMEM's objective | that without ln(2 pi) for each row that is a point with normal scatter |
| nlmixr2's ``OFV`` | as NONMEM's; its ``Log-likelihood``, AIC and BIC hold the constants |

A log-normal residual that is counted on the scale of the data has twice the sum of the data's logarithms more than the
same model fitted to logarithms with an additive residual.

What remains after that is the way the integral over the random effects was approximated (FOCEI, Laplace, sampling).
:func:`compare` therefore also evaluates all estimates by one yardstick, importance sampling, whose error is told.

Example:
    >>> points, minus2ll = 132, 360.7007
    >>> round(minus2ll - points * LOG_2PI, 4)  # theophylline: what NONMEM would print
    118.1009
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.nodes import importance_nodes
from livingdrug.inference.problem import Problem
from livingdrug.inference.statistical import StatisticalModel
from livingdrug.inference.uncertainty import reported
from livingdrug.inference.vector import LOG_2PI

if TYPE_CHECKING:
    from livingdrug.inference.data import EventData
    from livingdrug.inference.result import FitResult

__all__ = ["Comparison", "compare", "evaluate", "objectives", "theta_of"]


def objectives(result: FitResult) -> dict[str, float]:
    """Return the likelihood of a fit in the conventions of different programs.

    Returns:
        ``minus2ll`` (all constants), ``nonmem`` (without ln(2 pi) of points), and ``logarithms`` (NONMEM's of the same
        model fitted to logarithms, where an endpoint has a log-normal residual; else the same as ``nonmem``).
    """
    jacobian = float(result.problem.rows.constant.sum())
    return {
        "minus2ll": result.minus2ll_,
        "nonmem": result.objective_,
        "logarithms": result.objective_ + 2 * jacobian,
    }


def theta_of(problem: Problem, estimates: Mapping[str, float]) -> Any:
    """Return the vector of parameters for estimates in the model's units, as another program prints them.

    Args:
        problem: model and data.
        estimates: names as in ``FitResult.estimates_``; what is not named keeps its first guess. Correlations need all
            deviations of their group.

    Raises:
        InputError: an unknown name, or a correlation matrix that is not positive definite.
    """
    from livingdrug.inference.scales import to_working

    theta = problem.theta.copy()
    known = reported(problem, theta)
    for name in estimates:
        if name not in known:
            raise InputError(unknown_name("estimate", name, known))
    values, model = known | dict(estimates), problem.model
    for entry, name in enumerate(problem.names[: problem.betas]):
        theta[entry] = to_working(model.estimates[name], values[name]) if name in model.estimates else values[name]
    for block in problem.blocks:
        _set_block(theta, block, values)
    if model.mixture is not None:
        shares = np.array([values[name] for name in problem.names[problem.odds]])
        theta[problem.odds] = np.log(shares / (1.0 - shares.sum()))
    for place, end in zip(problem.sigma, model.ends, strict=True):
        theta[place] = end.residual.to_working([values[name] for name in problem.names[place]])
    return theta


def _set_block(theta: Any, block: Any, values: Mapping[str, float]) -> None:
    word = "sd" if block.level == "subject" else "occasion sd"
    sd = np.array([values[f"{word}({name})"] for name in block.names])
    correlation = np.eye(len(sd))
    for j, name in enumerate(block.names):
        for k in range(j):
            correlation[j, k] = correlation[k, j] = values[f"corr({name},{block.names[k]})"]
    try:
        L = np.linalg.cholesky(correlation * np.outer(sd, sd))
    except np.linalg.LinAlgError as error:
        raise InputError(f"the spreads of {', '.join(block.names)} and their correlations fit no covariance") from error
    rows, columns = np.tril_indices(len(sd))
    theta[list(block.entries)] = np.where(rows == columns, np.log(L[rows, rows]), L[rows, columns])


def evaluate(
    model: StatisticalModel, data: EventData, estimates: Mapping[str, float], *, points: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return -2 log likelihood with all constants at given estimates, and its standard error from sampling.

    Args:
        model: statistical model; its first guesses stand for what is not named.
        data: the data.
        estimates: see :func:`theta_of`.
        points: of importance sampling, per subject.
        seed: of the points.
    """
    problem = Problem(model, data)
    return _yardstick(problem, theta_of(problem, estimates), points, seed)


def _yardstick(problem: Problem, theta: Any, points: int, seed: int) -> tuple[float, float]:
    if problem.model.mixture is not None:
        problem = Problem(problem.model, problem.rows.data)  # that of a result knows each subject's class already
    nodes = importance_nodes(problem, theta, points, seed)
    return -2 * float(nodes.loglik(theta).sum()), nodes.standard_error(theta)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs side by side.

    Attributes:
        table: pandas table, one row per run: RUN, METHOD, CONVERGED, PARAMETERS, MINUS2LL, NONMEM, LIKELIHOOD,
            YARDSTICK (-2 log likelihood by importance sampling), YARDSTICK_SE, AIC and BIC of the yardstick, DELTA_AIC.
        estimates: one column per run, one row per parameter.
        notes: what a reader must know before comparing, in words.
    """

    table: Any
    estimates: Any
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.table.to_string(index=False), "", *(f"- {note}" for note in self.notes)]) + "\n"


def compare(runs: Mapping[str, FitResult], *, points: int = 2000, seed: int = 0) -> Comparison:
    """Compare runs by name, and say what their objectives can and cannot tell.

    Args:
        runs: name -> fit.
        points: of importance sampling, per subject.
        seed: of the points.

    Raises:
        InputError: fewer than two runs.
    """
    import pandas as pd

    if len(runs) < 2:
        raise InputError("a comparison needs at least two runs")
    rows = []
    for name, run in runs.items():
        value, error = _yardstick(run.problem, run.theta_, points, seed)
        free = len(run.problem.free)
        bic = value + run.bic_() - run.minus2ll_
        rows.append(
            {"RUN": name, "METHOD": run.method_, "CONVERGED": run.converged_, "PARAMETERS": free,
             "MINUS2LL": run.minus2ll_, "NONMEM": run.objective_, "LIKELIHOOD": run.likelihood_, "YARDSTICK": value,
             "YARDSTICK_SE": error, "AIC": value + 2 * free, "BIC": bic}
        )  # fmt: skip
    table = pd.DataFrame(rows)
    table["DELTA_AIC"] = table["AIC"] - table["AIC"].min()
    estimates = pd.DataFrame({name: pd.Series(dict(run.estimates_)) for name, run in runs.items()})
    return Comparison(table, estimates, tuple(_notes(runs, table)))


def _notes(runs: Mapping[str, FitResult], table: Any) -> list[str]:
    notes = []
    if len({_data_print(run) for run in runs.values()}) > 1:
        notes.append(
            "The runs do not see the same data (other rows, values, or another method for values below the limit): "
            "their likelihoods, AIC and BIC cannot be compared."
        )
    bad = [name for name, run in runs.items() if not run.converged_]
    if bad:
        notes.append(f"Not converged: {', '.join(bad)}. Their numbers are last values, not estimates.")
    if len(set(table["LIKELIHOOD"])) > 1:
        notes.append(
            "The column MINUS2LL mixes ways to approximate the likelihood, each with its own error: "
            + "; ".join(f"{row.RUN}: {row.LIKELIHOOD}" for row in table.itertuples())
            + ". Compare YARDSTICK instead: all runs by importance sampling with the same points."
        )
    points = {run.points_ for run in runs.values()}
    notes += [
        f"With {count} points, NONMEM's objective (nlmixr2's OFV) is {count * LOG_2PI:.4f} = {count} ln(2 pi) below "
        "-2 log likelihood with all constants (Monolix, R); rows below a limit have no such term."
        for count in sorted(points)
    ]
    for name, run in runs.items():
        jacobian = 2 * float(run.problem.rows.constant.sum())
        if jacobian:
            notes.append(
                f"{name}: the log-normal residual is counted on the scale of the data. A program that fits logarithms "
                f"with an additive residual prints {abs(jacobian):.4f} {'less' if jacobian < 0 else 'more'}."
            )
    if (table["YARDSTICK_SE"] > 0.5).any():
        notes.append("A standard error of the yardstick above 0.5 blurs small differences: ask for more points.")
    return notes


def _data_print(run: FitResult) -> str:
    """What tells one set of rows from another: which rows, points or intervals, and their values as measured."""
    rows, model = run.problem.rows, run.problem.model
    order = np.argsort(rows.source, kind="stable")
    logs = np.array([end.residual.logarithmic for end in model.ends])[rows.endpoint]
    known = np.where(rows.points, rows.value, rows.high)
    values = np.where(logs, np.exp(np.where(logs, known, 0.0)), known)
    digest = hashlib.sha256(rows.source[order].tobytes())
    digest.update(rows.points[order].tobytes() + np.isfinite(rows.above[order]).tobytes())
    digest.update(" ".join(f"{value:.9g}" for value in values[order]).encode())
    return digest.hexdigest()
