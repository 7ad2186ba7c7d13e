"""How patients differ: each parameter with a spread is drawn from the patient's own stream.

Draws are independent of each other, except that a larger tumour needs more effectors. A share of patients expands
poorly, as the mixture of Mueller-Schoell et al. 2021.

Example:
    >>> drawn = draw_patients([1, 2, 3], seed=1)
    >>> drawn["kill_rate"].shape, bool((drawn["kill_rate"] > 0).all())
    ((3,), True)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.streams import normal, uniform

__all__ = ["BURDEN_ON_KILLING", "LOW_EXPANDERS", "LOW_GROWTH", "draw_patients"]

LOW_EXPANDERS = 0.197
"""Share of patients whose CAR T cells grow poorly (``muellerschoell2021``, table 1: 1 - 0.803)."""
LOW_GROWTH = 0.2
"""Growth signal of these, relative to the others (assumed: there, proliferation on the tumour falls to a twelfth)."""

BURDEN_ON_KILLING = 0.7
"""Exponent by which the effectors needed grow with the tumour (assumed; 0 is none, 1 is one for each target)."""


def draw_patients(
    patient_ids: ArrayLike, typical: Mapping[str, float] | None = None, *, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Return the parameters of each patient in declared units, name -> shape (patient,).

    Args:
        patient_ids: whole numbers, shape (patient,).
        typical: values about which patients vary, such as those of a default patient; the rest are the body's own.
        seed: of the random streams.

    Raises:
        InputError: an identifier or the seed is not a whole number in its range, or a typical value is unknown.
    """
    from livingdrug.body.twin import TwinBody

    given = dict(typical or {})
    TwinBody.canonical(given)  # refuses unknown names and values out of their limits
    count = np.atleast_1d(np.asarray(patient_ids)).size
    found = {name: np.full(count, value) for name, value in given.items()}
    for name, p in TwinBody.parameters.items():
        if p.spread is not None:
            z = normal(seed, patient_ids, f"body:{name}")[:, 0]
            found[name] = np.clip(p.spread.apply(given.get(name, p.value), z, p.limits), *p.limits)
    low = uniform(seed, patient_ids, "body:low expander")[:, 0] < LOW_EXPANDERS
    burden = found["tumour_at_start"] / max(
        given.get("tumour_at_start", TwinBody.parameters["tumour_at_start"].value), 1.0
    )
    found["half_kill_effector"] = found["half_kill_effector"] * np.clip(burden, 1e-3, 1e3) ** BURDEN_ON_KILLING
    found["growth_signal"] = np.where(low, LOW_GROWTH, 1.0) * found["growth_signal"]
    return found
