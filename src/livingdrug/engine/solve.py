"""Solve a model for a cohort of patients: the one entrance to the engine.

Example:
    >>> from livingdrug.engine.solve import solve
    >>> from livingdrug.library import load_model
    >>> solution = solve(load_model("stein2019"), {}, times=[0, 9.3, 28], outputs=["car_t_transgene_blood"])
    >>> solution.values.shape
    (1, 3, 1)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.engine.run import MOST_STEPS, Cohort, Run
from livingdrug.engine.schedule import Change, Dose
from livingdrug.engine.solution import Solution
from livingdrug.engine.watch import Crossing, Extreme
from livingdrug.errors import InputError

if TYPE_CHECKING:
    from livingdrug.engine.rounds import Round
    from livingdrug.model.declaration import Model

__all__ = ["LOOSE", "TIGHT", "Change", "Crossing", "Dose", "Extreme", "Solution", "solve", "solve_in_blocks"]

TIGHT = 1e-6
"""Default relative tolerance: the error that the controller allows in one step, not a promise about the result."""
LOOSE = 1e-4
"""For a first look."""


def solve(
    model: type[Model],
    parameters: Mapping[str, ArrayLike],
    times: ArrayLike,
    *,
    outputs: Sequence[str] | None = None,
    doses: Sequence[Dose | Change] = (),
    initial: Mapping[str, ArrayLike] | None = None,
    crossings: Mapping[str, Crossing] | None = None,
    extremes: Mapping[str, Extreme] | None = None,
    tangents: Sequence[str] = (),
    rounds: Sequence[float] = (),
    visit: Callable[[Round], None] | None = None,
    patient_ids: ArrayLike | None = None,
    seed: int = 0,
    stochastic: bool = True,
    rtol: float = TIGHT,
    most_steps: int = MOST_STEPS,
    threads: int | None = None,
    lanes: int | None = None,
) -> Solution:
    """Solve a model for every patient of a cohort.

    Args:
        model: a declared model (see :func:`livingdrug.library.load_model`).
        parameters: values in declared units, one number or one per patient, shape (patient,); the rest are defaults.
        times: output times in days, ascending, shape (time,) or (patient, time). The solve starts at 0, or at the first
            time if that is negative.
        outputs: names of outputs or states; default all outputs of the model.
        doses: doses and changes besides the model's own.
        initial: states that start elsewhere than the model says, declared units, one number or one per patient.
        crossings: named levels to be watched for.
        extremes: named maxima or minima to be kept.
        tangents: parameters, or ``initial:STATE``, by which the outputs are differentiated.
        rounds: times in days at which ``visit`` is called with a :class:`livingdrug.engine.rounds.Round`.
        visit: a vectorised function that may change states, parameters and doses of the patients it is shown.
        patient_ids: identifiers of the patients, whole numbers, shape (patient,); default 0, 1, 2, ...
        seed: of the random streams; the same seed and identifier give the same course.
        stochastic: whether populations that the model allows to die out do so cell by cell.
        rtol: relative tolerance of one step, ``TIGHT`` by default.
        most_steps: a patient whose solve takes more steps than so many counts as failed.
        threads: worker threads; default one per processor. Any number gives the same bits.
        lanes: patients per vector; default by processor. Any width gives the same bits.

    Returns:
        A :class:`Solution`. A patient whose solve fails is marked there, never dropped.

    Raises:
        InputError: for an unknown name, a value that is not finite, or times out of order.
        SolveError: if the processor lacks what the engine needs.
    """
    cohort = Cohort(model, parameters, initial or {}, patient_ids, doses)
    run = Run(
        cohort, times, outputs, doses, crossings or {}, extremes or {}, tangents,
        seed=seed, stochastic=stochastic, rtol=rtol, most_steps=most_steps, threads=threads, lanes=lanes,
    )  # fmt: skip
    if len(rounds) or visit is not None:
        if tangents:
            raise InputError("tangents: sensitivities do not pass through rounds; leave out one of the two")
        from livingdrug.engine.rounds import make_rounds

        make_rounds(run, rounds, visit)
    run.advance(run.last_time)
    return run.solution()


def solve_in_blocks(
    model: type[Model],
    parameters: Callable[[NDArray[np.uint64]], Mapping[str, ArrayLike]],
    patient_ids: NDArray[np.uint64],
    times: ArrayLike,
    *,
    block: int = 4096,
    **options: Any,
) -> Iterator[Solution]:
    """Solve a large population block by block, so that memory does not grow with it.

    Args:
        model: a declared model.
        parameters: makes the parameters of the patients whose identifiers it is given.
        patient_ids: all identifiers, shape (patient,).
        times: output times, shape (time,).
        block: patients held at one time; any size gives the same courses.
        options: as for :func:`solve`.

    Yields:
        The solution of each block in turn.
    """
    for first in range(0, len(patient_ids), block):
        ids = patient_ids[first : first + block]
        yield solve(model, parameters(ids), times, patient_ids=ids, **options)
