"""Compute every target of every model again, in parallel, and gather the verdicts."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from livingdrug.errors import InputError, unknown_name
from livingdrug.library import load_model, model_names
from livingdrug.qualification.independent import largest_difference, solve_independently
from livingdrug.qualification.target import FAIL, Assessment, Expected, Result, Target
from livingdrug.workers import in_processes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Qualification", "model_targets", "qualify", "qualify_model"]

VERIFICATION = Target(
    "largest difference from an independent solver",
    "1",
    "livingdrug: SciPy at tolerance 1e-10, over the plain formulas",
    recomputed=Expected(0.0, 1e-6, "agreement demanded of every model, as a share of the output's largest value"),
)
POINTS = 101


@dataclass(frozen=True)
class Qualification:
    """The verdicts on some models.

    Attributes:
        results: results of each model by its name.
        assessments: what each model may be relied on for.
    """

    results: dict[str, list[Result]]
    assessments: dict[str, Assessment]

    @property
    def failed(self) -> list[tuple[str, Result]]:
        """Every result that failed, with the name of its model."""
        return [(name, r) for name, results in self.results.items() for r in results if r.status == FAIL]

    def count(self, status: str, model: str | None = None) -> int:
        """Number of results with a status, of one model or of all."""
        chosen = self.results.values() if model is None else [self.results[model]]
        return sum(r.status == status for results in chosen for r in results)

    @property
    def table(self) -> pd.DataFrame:
        """One row per target: model, quantity, unit, paper, recomputed, ours, deviation, tolerance, status, source."""
        import pandas as pd

        rows = []
        for name, results in self.results.items():
            for r in results:
                t, by = r.target, r.judged_by
                rows.append(
                    {
                        "model": name,
                        "quantity": t.quantity,
                        "unit": t.unit,
                        "paper": t.paper.value if t.paper else math.nan,
                        "recomputed": t.recomputed.value if t.recomputed else math.nan,
                        "ours": r.ours,
                        "deviation": r.deviation,
                        "tolerance": by.tolerance,
                        "reason": by.reason,
                        "status": r.status,
                        "source": t.source,
                        "note": r.note,
                    }
                )
        return pd.DataFrame(rows)


def model_targets(model: str) -> tuple[Target, ...]:
    """Return the targets of a model, the comparison with an independent solver first.

    Raises:
        InputError: if there is no model of that name.

    Example:
        >>> model_targets("stein2019")[0].quantity
        'largest difference from an independent solver'
    """
    return (VERIFICATION, *_paper(model).TARGETS)


def qualify(
    models: Sequence[str] | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Qualification:
    """Compute every target of some models again.

    Args:
        models: names; default all.
        data: folder of the check data that are not shipped; targets that need them are marked where it is not given.
        workers: processes; default one per processor. Any number gives the same results.
        progress: called with the name of a finished model, how many are done, and of how many.

    Raises:
        InputError: for an unknown model, a folder that is not there, or fewer than one worker.

    Example:
        >>> qualify(["stein2019"], workers=1).failed
        []
    """
    names = list(dict.fromkeys(models)) if models is not None else model_names()
    for name in names:
        load_model(name)
    folder = None if data is None else Path(data)
    if folder is not None and not folder.is_dir():
        raise InputError(
            f"qualify: there is no folder {folder}; give the folder that holds kinetics/ of the check data"
        )
    workers = (os.cpu_count() or 1) if workers is None else workers
    if workers < 1:
        raise InputError(f"qualify: workers must be at least 1, got {workers}")
    done: dict[str, list[Result]] = {}
    for number, results in in_processes(_qualified, [(name, folder) for name in names], workers):
        done[names[number]] = results
        if progress is not None:
            progress(names[number], len(done), len(names))
    return Qualification({n: done[n] for n in names}, {n: _paper(n).ASSESSMENT for n in names})


def qualify_model(name: str, data: Path | None = None) -> list[Result]:
    """Compute every target of one model again, in this process."""
    paper = _paper(name)
    measured: dict[str, float] = {VERIFICATION.quantity: _difference(name), **paper.measure(data)}
    targets = model_targets(name)
    extra = set(measured) - {t.quantity for t in targets}
    assert not extra, f"{name} measures {sorted(extra)}, which are no targets"
    results = []
    for target in targets:
        if target.needs and (data is None or not (data / target.needs).is_file()):
            results.append(target.unseen())
        else:
            results.append(target.judge(measured.get(target.quantity, math.nan)))
    return results


def _qualified(task: tuple[str, Path | None]) -> list[Result]:
    return qualify_model(*task)


def _difference(name: str) -> float:
    from livingdrug.engine.solve import solve

    model = load_model(name)
    times = np.linspace(0.0, model.follow_up, POINTS)
    solution = solve(model, {}, times, stochastic=False, rtol=1e-9)
    if solution.failed.any():
        return math.nan
    ours = {output: solution[output][0] for output in model.outputs}
    return largest_difference(model, ours, solve_independently(model, {}, times))[0]


def _paper(model: str) -> ModuleType:
    if model not in model_names():
        raise InputError(unknown_name("model", model, model_names()))
    return importlib.import_module(f"livingdrug.qualification.papers.{model}")
