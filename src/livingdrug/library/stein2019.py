"""Stein et al. 2019: expansion, contraction and persistence of tisagenlecleucel in blood."""

from __future__ import annotations

from typing import Any

import numpy as np

from livingdrug.errors import InputError, unknown_name
from livingdrug.model import Model, ddt, log, lognormal, parameter, state, time, where
from livingdrug.model.symbols import Spread

# Random effects as printed in Table 1. The paper fits log-normal effects; whether the column holds their standard
# deviations (what Monolix prints as a rule) or their variances (how nlmixr2lib enters them) could not be confirmed.
PRINTED_EFFECTS = {
    "fold_expansion": 2.4,
    "peak_day": 0.38,
    "peak": 0.65,
    "contraction": 0.91,
    "persistent_fraction": 0.80,
    "decline": 0.86,
}
READINGS = ("standard_deviation", "variance")


def spreads(reading: str = "standard_deviation") -> dict[str, Spread]:
    """Return the spread of each parameter under one of the two readings of the printed random effects.

    Args:
        reading: ``"standard_deviation"`` (as declared in the model) or ``"variance"``.

    Raises:
        InputError: for another reading.

    Example:
        >>> round(spreads("variance")["fold_expansion"].sd, 3)
        1.549
    """
    if reading not in READINGS:
        raise InputError(unknown_name("reading of the random effects of stein2019", reading, READINGS))
    root = 0.5 if reading == "variance" else 1.0
    return {name: lognormal(value**root) for name, value in PRINTED_EFFECTS.items()}


_SPREAD = spreads()
_TABLE = "table 1, read in the transcription nlmixr2lib"


class Stein2019(Model):
    """Transgene in blood after tisagenlecleucel: exponential expansion to a peak, then a fast and a slow decline.

    An empirical population model of 90 children and young adults with B-ALL (ELIANA and ENSIGN). Day 0 is the
    infusion. Before the peak all cells are effectors; after it a part becomes memory, so that the sum falls as two
    exponentials. Tocilizumab and steroids multiply the growth rate from the day they are given until the peak; by
    default neither is given.
    """

    source = "stein2019"
    diseases, antigens, system = "B-cell acute lymphoblastic leukaemia", "CD19", "human"

    fold_expansion = parameter(
        3900, "1", "expansion from the start to the peak", symbol="f_x", source=_TABLE,
        spread=_SPREAD["fold_expansion"], limits=(1.0, float("inf")),
    )  # fmt: skip
    peak_day = parameter(
        9.3, "day", "day of the peak", symbol="T_max", source=_TABLE, spread=_SPREAD["peak_day"], limits=(1e-3, 1e4)
    )
    peak = parameter(
        24000, "copy/ug", "peak without co-medication", symbol="C_max", source=_TABLE, spread=_SPREAD["peak"]
    )
    contraction = parameter(
        0.16, "1/day", "rate of the fast decline", symbol="alpha", source=_TABLE, spread=_SPREAD["contraction"]
    )
    persistent_fraction = parameter(
        0.0079, "1", "share of the peak that declines slowly", symbol="F_B", source=_TABLE,
        spread=_SPREAD["persistent_fraction"],
    )  # fmt: skip
    decline = parameter(
        0.0032, "1/day", "rate of the slow decline", symbol="beta", source=_TABLE, spread=_SPREAD["decline"]
    )
    tocilizumab_effect = parameter(
        1.2, "1", "factor on the growth rate after tocilizumab", symbol="F_toci", source=_TABLE
    )
    steroid_effect = parameter(1.0, "1", "factor on the growth rate after steroids", symbol="F_ster", source=_TABLE)
    tocilizumab_day = parameter(
        1e6, "day", "start of tocilizumab; a day after the peak means none (median 5.7 in the 36 % who had it)",
        source="assumed: not given unless stated",
    )  # fmt: skip
    steroid_day = parameter(
        1e6, "day", "start of steroids; a day after the peak means none (median 7.5 in the 26 % who had them)",
        source="assumed: not given unless stated",
    )  # fmt: skip

    effector = state("copy/ug", "transgene in effector cells", initial=peak / fold_expansion, symbol="E", floor=1e-3)
    memory = state("copy/ug", "transgene in memory cells", symbol="M", floor=1e-3)

    growth = (
        log(fold_expansion) / peak_day
        * where(time < tocilizumab_day, 1, tocilizumab_effect)
        * where(time < steroid_day, 1, steroid_effect)
    )  # fmt: skip
    conversion = persistent_fraction * (contraction - decline)

    equations = {
        ddt(effector): where(time < peak_day, growth * effector, -contraction * effector),
        ddt(memory): where(time < peak_day, 0, conversion * effector - decline * memory),
    }
    outputs = {"car_t_transgene_blood": effector + memory}

    claims = [
        "Cells double every 0.78 days until day 9, then fall with half-lives of 4.3 and 220 days.",
        "Tocilizumab and steroids, as given, did not change the expansion.",
        "No covariate, and not the dose, explained how patients differ.",
    ]
    limitations = [
        "It is not certain whether the printed random effects are standard deviations or variances of the logarithms; "
        "the model takes standard deviations, spreads('variance') gives the other reading.",
        "Values were read in a transcription of the paper's table, the half-lives in its abstract.",
        "No dose, tumour or lymphodepletion enters: the model describes kinetics and predicts no response.",
        "No covariate was retained, and the co-medication factors showed no detectable effect (steroids exactly 1).",
    ]


def transgene(day: Any, **values: Any) -> np.ndarray:
    """Transgene in blood in closed form.

    Args:
        day: days since infusion, any shape.
        **values: parameters of :class:`Stein2019` by name, in their declared units (numbers, or arrays that broadcast
            with ``day``).

    Returns:
        copies per ug of DNA, in the shape of ``day`` and the parameters.

    Raises:
        InputError: for an unknown parameter.

    Example:
        >>> round(float(transgene(28.0)))
        1374
    """
    for name in values:
        if name not in Stein2019.parameters:
            raise InputError(unknown_name("parameter of stein2019", name, Stein2019.parameters))
    p = {name: np.asarray(values.get(name, item.value), dtype=float) for name, item in Stein2019.parameters.items()}
    day = np.asarray(day, dtype=float)
    growing = np.minimum(day, p["peak_day"])
    rate = np.log(p["fold_expansion"]) / p["peak_day"]
    effector = p["peak"] / p["fold_expansion"] * np.exp(rate * _days_of_growth(growing, p))
    after = np.maximum(day - p["peak_day"], 0.0)
    slow = p["persistent_fraction"]
    return effector * ((1 - slow) * np.exp(-p["contraction"] * after) + slow * np.exp(-p["decline"] * after))


def _days_of_growth(until: Any, p: dict[str, np.ndarray]) -> Any:
    """Integral of the two co-medication factors from day 0 to ``until``."""
    with_tocilizumab = np.maximum(until - p["tocilizumab_day"], 0.0)
    with_steroid = np.maximum(until - p["steroid_day"], 0.0)
    with_both = np.minimum(with_tocilizumab, with_steroid)
    more_t, more_s = p["tocilizumab_effect"] - 1, p["steroid_effect"] - 1
    return until + more_t * with_tocilizumab + more_s * with_steroid + more_t * more_s * with_both
