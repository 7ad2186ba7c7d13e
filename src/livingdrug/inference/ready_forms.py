"""Structural models of CAR-T kinetics for fits, beside those of the library: variants of one published course.

Published is the piecewise course of stein2019. The others change one thing each, so that they can be fitted side by
side: a lag before growth, a smooth instead of a sharp peak, growth that slows as cells fill their space, and two causes
of the contraction. The variants are this project's own hypotheses: no paper is claimed for them.
"""

from __future__ import annotations

from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.model import Model, ddt, exp, log, minimum, parameter, sqrt, state, time, where

__all__ = ["ExhaustionLimited", "LymphodepletionLimited", "lagged", "saturable", "smooth"]

OUTPUT = "car_t_transgene_blood"
_GUESS = "assumed: first guess of a fit, near the typical course of stein2019"


def lagged() -> ClosedForm:
    """No change until ``lag``, then growth by ``fold_expansion`` over ``growth_days``, then two declines.

    Example:
        >>> lagged().parameters[:3]
        ('lag', 'growth_days', 'peak')
    """
    lag, growing, peak, fold = symbols("lag", "growth_days", "peak", "fold_expansion")
    after = time - lag - growing
    rise = peak * exp(log(fold) * after / growing)
    return ClosedForm("lagged", {OUTPUT: where(after < 0, where(time < lag, peak / fold, rise), _fall(peak, after))})


def smooth() -> ClosedForm:
    """The piecewise course with a rounded peak: days since the peak are replaced by a hyperbola of ``width`` days.

    Far from the peak it is the piecewise course; at the peak it is lower by exp(-(growth + contraction) width / 2).
    Every derivative exists, so that searches by gradients do not stumble over the day of the peak.
    """
    fold, day, peak, width = symbols("fold_expansion", "peak_day", "peak", "width")
    contraction, share, decline = symbols("contraction", "persistent_fraction", "decline")
    ahead = time - day
    after = (ahead + sqrt(ahead**2 + width**2)) / 2
    rise = peak / fold * exp(log(fold) / day * (time - after))
    return ClosedForm(
        "smooth", {OUTPUT: rise * ((1 - share) * exp(-contraction * after) + share * exp(-decline * after))}
    )


def saturable() -> ClosedForm:
    """Logistic growth from ``start`` towards ``capacity`` until ``contraction_day``, then two declines.

    Cells that grow near their capacity slow down before they contract: a plateau instead of a sharp peak.
    """
    start, capacity, growth, day = symbols("start", "capacity", "growth", "contraction_day")
    after = time - day
    rise = capacity / (1 + (capacity / start - 1) * exp(-growth * time))
    top = capacity / (1 + (capacity / start - 1) * exp(-growth * day))
    return ClosedForm("saturable", {OUTPUT: where(after < 0, rise, _fall(top, after))})


def _fall(top: object, after: object) -> object:
    contraction, share, decline = symbols("contraction", "persistent_fraction", "decline")
    return top * ((1 - share) * exp(-contraction * after) + share * exp(-decline * after))  # type: ignore[operator]


class ExhaustionLimited(Model):
    """Contraction by exhaustion: what cells have gone through slows their growth.

    Growth falls with the exposure that the cells themselves have made so far, which stands for divisions and meetings
    with antigen. A patient whose cells grow faster exhausts them sooner. A hypothesis to be fitted beside
    LymphodepletionLimited, not a published model.
    """

    name = "exhaustion_limited"
    start = parameter(6.0, "copy/ug", "transgene at infusion", source=_GUESS, symbol="E_0")
    growth = parameter(1.3, "1/day", "growth rate of fresh cells", source=_GUESS, symbol="rho")
    half_exhaustion = parameter(
        14000.0, "copy*day/ug", "accumulated transgene at which growth is halved", source=_GUESS, symbol="Q_50"
    )
    contraction = parameter(0.3, "1/day", "death rate of effector cells", source=_GUESS, symbol="alpha")
    conversion = parameter(0.0006, "1/day", "rate at which effectors become memory", source=_GUESS, symbol="phi")
    decline = parameter(0.0032, "1/day", "death rate of memory cells", source=_GUESS, symbol="beta")

    effector = state("copy/ug", "transgene in effector cells", initial=start, symbol="E", floor=1e-3)
    exposure = state("copy*day/ug", "accumulated transgene", symbol="Q", floor=1e-3)
    memory = state("copy/ug", "transgene in memory cells", symbol="M", floor=1e-3)

    equations = {
        ddt(effector): (growth / (1 + exposure / half_exhaustion) - contraction - conversion) * effector,
        ddt(exposure): effector,
        ddt(memory): conversion * effector - decline * memory,
    }
    outputs = {OUTPUT: effector + memory}
    limitations = ["A hypothesis of this project without a paper; fitted beside others, it says which fits better."]


class LymphodepletionLimited(Model):
    """Contraction by the host: growth ends when the space that lymphodepletion made has filled again.

    Growth depends on the day alone, through a logistic return of the host's lymphocytes. A patient whose cells grow
    faster reaches a higher peak on about the same day. A hypothesis to be fitted beside ExhaustionLimited, not a
    published model.
    """

    name = "lymphodepletion_limited"
    start = parameter(6.0, "copy/ug", "transgene at infusion", source=_GUESS, symbol="E_0")
    growth = parameter(1.06, "1/day", "growth rate in empty space", source=_GUESS, symbol="rho")
    recovery_day = parameter(9.6, "day", "day on which half the space is filled", source=_GUESS, symbol="T_50")
    recovery_width = parameter(
        0.7, "day", "how slowly the space fills (a logistic curve's scale)", source=_GUESS, symbol="w",
        limits=(1e-3, 1e3),
    )  # fmt: skip
    contraction = parameter(0.16, "1/day", "death rate of effector cells", source=_GUESS, symbol="alpha")
    conversion = parameter(0.0006, "1/day", "rate at which effectors become memory", source=_GUESS, symbol="phi")
    decline = parameter(0.0032, "1/day", "death rate of memory cells", source=_GUESS, symbol="beta")

    effector = state("copy/ug", "transgene in effector cells", initial=start, symbol="E", floor=1e-3)
    memory = state("copy/ug", "transgene in memory cells", symbol="M", floor=1e-3)

    _filled = 1 / (1 + exp(minimum((recovery_day - time) / recovery_width, 200)))
    space = 1 - _filled

    equations = {
        ddt(effector): (growth * space - contraction - conversion) * effector,
        ddt(memory): conversion * effector - decline * memory,
    }
    outputs = {OUTPUT: effector + memory}
    limitations = ["A hypothesis of this project without a paper; fitted beside others, it says which fits better."]
