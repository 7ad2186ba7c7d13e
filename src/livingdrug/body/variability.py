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

from livingdrug.errors import InputError, unknown_name
from livingdrug.model.symbols import Spread
from livingdrug.streams import normal, uniform

__all__ = ["BURDEN_ON_KILLING", "LOW_EXPANDERS", "LOW_GROWTH", "draw_patients"]

LOW_EXPANDERS = 0.197
"""Share of patients whose CAR T cells grow poorly (``muellerschoell2021``, table 1: 1 - 0.803)."""
LOW_GROWTH = 0.5
"""Fitness of these, relative to the others (assumed; half as fast leaves a peak of less than a tenth)."""

BURDEN_ON_KILLING = 0.7
"""Exponent by which the effectors needed grow with the tumour (assumed; 0 is none, 1 is one for each target)."""


def draw_patients(
    patient_ids: ArrayLike,
    typical: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    spreads: Mapping[str, float] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return the parameters of each patient in declared units, name -> shape (patient,).

    Args:
        patient_ids: whole numbers, shape (patient,).
        typical: values about which patients vary, such as those of a default patient; the rest are the body's own.
        seed: of the random streams.
        spreads: standard deviations that differ from the declared ones, such as those of a default patient, on the
            scale of the declared spread.

    Raises:
        InputError: an identifier or the seed is not a whole number in its range, a typical value is unknown, or a
            spread is negative or of a parameter that does not vary.
    """
    from livingdrug.body.twin import TwinBody

    given = dict(typical or {})
    TwinBody.canonical(given)  # refuses unknown names and values out of their limits
    others = _checked(spreads or {})
    count = np.atleast_1d(np.asarray(patient_ids)).size
    found = {name: np.full(count, value) for name, value in given.items()}
    for name, p in TwinBody.parameters.items():
        if p.spread is not None:
            z = normal(seed, patient_ids, f"body:{name}")[:, 0]
            sd = others.get(name, p.spread.sd)
            found[name] = np.clip(Spread(p.spread.kind, sd).apply(given.get(name, p.value), z, p.limits), *p.limits)
    low = uniform(seed, patient_ids, "body:low expander")[:, 0] < LOW_EXPANDERS
    burden = found["tumour_at_start"] / max(
        given.get("tumour_at_start", TwinBody.parameters["tumour_at_start"].value), 1.0
    )
    found["resistance"] = found["resistance"] * np.clip(burden, 1e-3, 1e3) ** BURDEN_ON_KILLING
    found["fitness"] = np.where(low, LOW_GROWTH, 1.0) * found["fitness"]
    return found


def _checked(spreads: Mapping[str, float]) -> dict[str, float]:
    from livingdrug.body.twin import TwinBody

    varying = [name for name, p in TwinBody.parameters.items() if p.spread is not None]
    for name, sd in spreads.items():
        if name not in varying:
            raise InputError(unknown_name("parameter with a spread", name, varying))
        if not (np.isfinite(sd) and sd >= 0):
            raise InputError(f"spread of {name} must be 0 or more and finite, got {sd!r}")
    return {name: float(sd) for name, sd in spreads.items()}
