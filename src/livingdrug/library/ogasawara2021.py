"""Ogasawara et al. 2021: lag, growth and two-phase decline of lisocabtagene maraleucel, from five published means."""

from __future__ import annotations

import math

from livingdrug.model import Model, ddt, minimum, output, parameter, state, time, where

_ABSTRACT = "abstract"
_LN2 = math.log(2)


class Ogasawara2021(Model):
    """Transgene in blood after lisocabtagene maraleucel: a lag, exponential growth to a peak, then a two-phase decline.

    A piecewise population model of 261 patients with large B-cell lymphoma (TRANSCEND NHL 001; 2524 observations). Day
    0 is the infusion. Only the five mean times are published where they could be read, so all amounts are in multiples
    of the peak; the share that declines slowly is assumed and has to be chosen by the user.
    """

    source = "ogasawara2021"
    diseases, antigens, system = "large B-cell lymphoma", "CD19", "human"
    follow_up = 730.0

    lag = parameter(
        3.27, "day", "time after infusion without growth (95 % confidence interval 2.71 to 3.97)",
        symbol="T_lag", source=_ABSTRACT,
    )  # fmt: skip
    doubling_time = parameter(
        0.755, "day", "doubling time during growth (95 % confidence interval 0.667 to 0.821)",
        symbol="T_double", source=_ABSTRACT, limits=(1e-6, float("inf")),
    )  # fmt: skip
    peak_day = parameter(
        9.29, "day", "day of the peak (95 % confidence interval 8.81 to 9.70)", symbol="T_max", source=_ABSTRACT
    )
    fast_half_life = parameter(
        5.00, "day", "half-life of the fast decline (95 % confidence interval 4.15 to 5.90)",
        symbol="T_alpha", source=_ABSTRACT, limits=(1e-6, float("inf")),
    )  # fmt: skip
    slow_half_life = parameter(
        352, "day", "half-life of the slow decline (95 % confidence interval 241 to 647)",
        symbol="T_beta", source=_ABSTRACT, limits=(1e-6, float("inf")),
    )  # fmt: skip
    persistent_fraction = parameter(
        0.01, "1", "share of the peak that declines slowly: not published here, choose it", symbol="F_B",
        source="assumed: the size that stein2019 found for tisagenlecleucel (0.0079), rounded", limits=(0.0, 1.0),
    )  # fmt: skip

    effector = state(
        "1", "transgene in cells that decline fast after the peak, in multiples of the peak",
        initial=2 ** minimum((lag - peak_day) / doubling_time, 0), symbol="E", floor=1e-6,
    )  # fmt: skip
    persistent = state("1", "transgene in cells that decline slowly, in multiples of the peak", symbol="M", floor=1e-6)

    fast_decline = _LN2 / fast_half_life
    slow_decline = _LN2 / slow_half_life
    growth = where(time < lag, 0, _LN2 / doubling_time)
    # So converted, the sum after the peak is (1 - F_B) exp(-fast t) + F_B exp(-slow t).
    conversion = persistent_fraction * (fast_decline - slow_decline)

    equations = {
        ddt(effector): where(time < peak_day, growth, -fast_decline) * effector,
        ddt(persistent): where(time < peak_day, 0, conversion * effector - slow_decline * persistent),
    }
    outputs = {
        "car_t_transgene_of_peak": output(
            effector + persistent, "1", "transgene in blood as a share of its typical peak"
        ),
    }

    claims = [
        "A lag, exponential growth and a bi-exponential decline describe the transgene well.",
        "No covariate that was tested has a meaningful influence on the kinetics.",
    ]
    limitations = [
        "Only the five mean times are coded. The height of the peak, the share that declines slowly, the differences "
        "between patients and the residual error were not readable and are not in the model.",
        "The share that declines slowly is assumed: every number after about day 30 depends on it.",
        "The confidence intervals are those of the means; they say nothing about single patients.",
        "No dose, tumour or lymphodepletion enters: the model describes kinetics and predicts no response.",
        "The transgene does not move during the lag; the fall of the first days (distribution) is not described.",
    ]
