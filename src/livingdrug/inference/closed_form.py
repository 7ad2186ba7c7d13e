"""Structural models in closed form: formulas whose values and derivatives are evaluated for all subjects at once.

A formula is written with the words of a model declaration. The engine's graph shares its parts and gives the exact
first and second derivatives; NumPy evaluates them for every chain, node and observation in one pass.

Example:
    >>> import numpy as np
    >>> from livingdrug.model import exp, time
    >>> P, k = symbols("P", "k")
    >>> decline = ClosedForm("decline", P * exp(-k * time))
    >>> decline.parameters
    ('P', 'k')
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.bound_form import BoundForm
from livingdrug.model.expressions import (
    Expression,
    Symbol,
    as_expression,
    exp,
    log,
    sqrt,
    symbols_in,
    time,
    where,
)

if TYPE_CHECKING:
    from livingdrug.inference.rows import Rows

__all__ = [
    "ClosedForm",
    "biexponential",
    "dose_into",
    "emax",
    "expansion_contraction",
    "logistic_growth",
    "one_compartment",
    "one_compartment_oral",
    "symbols",
    "two_compartment",
    "two_compartment_oral",
]

DOSE = Symbol("dose", "dose")
"""Amount of one dose; a formula that reads it is the response to one dose, ``time`` counts from it, and all doses are
added."""


def symbols(*names: str) -> tuple[Symbol, ...]:
    """Parameters of a formula.

    Example:
        >>> [s.name for s in symbols("ka", "CL")]
        ['ka', 'CL']
    """
    return tuple(Symbol(name, "parameter") for name in names)


def covariate(name: str) -> Symbol:
    """A column of the data that a formula reads, such as the dose level of a concentration-response curve."""
    return Symbol(name, "covariate")


def dose_into(compartment: str) -> Symbol:
    """Amount of one dose into a compartment of the data, for a formula that answers doses into several.

    Example:
        >>> from livingdrug.model import exp, time
        >>> k, share = symbols("k", "share")
        >>> both = ClosedForm("both", exp(-k * time) * (dose_into("2") + share * dose_into("3")))
        >>> both.parameters
        ('k', 'share', 'R2', 'D2', 'R3', 'D3')
    """
    return Symbol(f"dose into {compartment}", "dose")


class ClosedForm:
    """A structural model written as formulas of time, parameters, covariates and the dose.

    A formula that reads the dose (:data:`DOSE` where the data hold one place of doses, :func:`dose_into` where they
    hold several) is the response to one dose, and all doses are added. Where it is a sum of exponentials of the time,
    doses may be infusions and in steady state; ``R1`` and ``D1`` (after the name of each compartment) are then rate
    and duration of infusions that the data leave to the model (RATE -1 and -2), per day and in days.

    Args:
        name: of the model.
        outputs: one formula (its output is named ``value``), or output -> formula.

    Raises:
        DeclarationError: a formula holds something else than numbers and symbols.
        InputError: a formula holds a state, or both :data:`DOSE` and :func:`dose_into`.
    """

    exact_curvature = True

    def __init__(self, name: str, outputs: Any | Mapping[str, Any]) -> None:
        self.name = name
        given = outputs if isinstance(outputs, Mapping) else {"value": outputs}
        self.formulas: dict[str, Expression] = {word: as_expression(formula) for word, formula in given.items()}
        found = list(dict.fromkeys(s for formula in self.formulas.values() for s in symbols_in(formula)))
        if any(s.kind == "state" for s in found):
            raise InputError(f"{name}: a closed form has no states; fit the Model itself instead")
        self.outputs = tuple(self.formulas)
        self.dose_symbols = [s for s in found if s.kind == "dose"]
        self.doses = {s.name.removeprefix("dose into "): s.name for s in self.dose_symbols if s is not DOSE}
        if self.doses and DOSE in self.dose_symbols:
            raise InputError(f"{name}: DOSE is a dose into any compartment; write dose_into(...) everywhere or nowhere")
        own = dict.fromkeys(s.name for s in found if s.kind == "parameter")
        places = self.doses or (["1"] if self.superposed else [])
        self.timing = tuple(n for word in places for n in (f"R{word}", f"D{word}") if n not in own)
        self.parameters = (*own, *self.timing)
        self.covariates = tuple(dict.fromkeys(s.name for s in found if s.kind == "covariate"))
        # rates and durations are asked for where the data leave them to the model
        self.defaults = dict.fromkeys(self.timing, 1.0)

    @property
    def superposed(self) -> bool:
        """Whether the formulas are the response to one dose."""
        return bool(self.dose_symbols)

    def bind(self, rows: Rows, outputs: Sequence[str], by: Sequence[str]) -> BoundForm:
        """Join the formulas with the data.

        Args:
            rows: the observations.
            outputs: the output that each endpoint of the rows reads.
            by: parameters in the order of the values that will be given.
        """
        for word in outputs:
            if word not in self.formulas:
                raise InputError(unknown_name("output", word, self.formulas, place=self.name))
        return BoundForm(self, rows, outputs, by)


# -- forms in common use ----------------------------------------------------------------------------------------------
def one_compartment(central: str = "") -> ClosedForm:
    """One compartment with doses into it: ``CL``, ``V``.

    Args:
        central: compartment of the data that holds the doses; any if empty.

    Example:
        >>> one_compartment().parameters
        ('V', 'CL', 'R1', 'D1')
    """
    CL, V = symbols("CL", "V")
    return ClosedForm("one_compartment", {"concentration": _dose(central) / V * exp(-CL / V * time)})


def one_compartment_oral(depot: str = "", central: str = "") -> ClosedForm:
    """One compartment with first-order absorption: ``ka``, ``CL``, ``V``; doses from the data are added up.

    Args:
        depot: compartment of the data whose doses are absorbed; any if empty.
        central: compartment of the data whose doses go into the blood, where there are such.

    Example:
        >>> one_compartment_oral().parameters
        ('ka', 'V', 'CL', 'R1', 'D1')
        >>> one_compartment_oral(depot="1", central="2").doses
        {'1': 'dose into 1', '2': 'dose into 2'}
    """
    ka, CL, V = symbols("ka", "CL", "V")
    form = ka / (V * ka - CL) * (exp(-CL / V * time) - exp(-ka * time))
    total = _dose(depot) * form
    if central:
        total = total + dose_into(central) / V * exp(-CL / V * time)
    return ClosedForm("one_compartment_oral", {"concentration": total})


def two_compartment(central: str = "") -> ClosedForm:
    """Two compartments with doses into the first: ``CL``, ``V1``, ``Q``, ``V2``; the concentration in the first.

    Args:
        central: compartment of the data that holds the doses; any if empty.

    Example:
        >>> two_compartment().parameters[:4]
        ('V1', 'CL', 'Q', 'V2')
    """
    V1, back, fast, slow = _two_rates()
    total = (fast - back) * exp(-fast * time) + (back - slow) * exp(-slow * time)
    return ClosedForm("two_compartment", {"concentration": _dose(central) / V1 / (fast - slow) * total})


def two_compartment_oral(depot: str = "", central: str = "") -> ClosedForm:
    """Two compartments with first-order absorption into the first: ``ka``, ``CL``, ``V1``, ``Q``, ``V2``.

    Args:
        depot: compartment of the data whose doses are absorbed; any if empty.
        central: compartment of the data whose doses go into the blood, where there are such.

    Example:
        >>> two_compartment_oral().parameters[:5]
        ('ka', 'V1', 'CL', 'Q', 'V2')
    """
    (ka,), (V1, back, fast, slow) = symbols("ka"), _two_rates()
    first, second = (fast - back) / (fast - slow), (back - slow) / (fast - slow)
    absorbed = first / (ka - fast) * (exp(-fast * time) - exp(-ka * time))
    absorbed = absorbed + second / (ka - slow) * (exp(-slow * time) - exp(-ka * time))
    total = _dose(depot) * ka / V1 * absorbed
    if central:
        total = total + dose_into(central) / V1 * (first * exp(-fast * time) + second * exp(-slow * time))
    return ClosedForm("two_compartment_oral", {"concentration": total})


def _dose(compartment: str) -> Symbol:
    return dose_into(compartment) if compartment else DOSE


def _two_rates() -> tuple[Expression, Expression, Expression, Expression]:
    """Volume, return from the second compartment, and the two rates of decline, per day."""
    CL, V1, Q, V2 = symbols("CL", "V1", "Q", "V2")
    k, out, back = CL / V1, Q / V1, Q / V2
    total = k + out + back
    fast = (total + sqrt(total * total - 4 * k * back)) / 2
    return V1, back, fast, k * back / fast


def emax(level: str = "DOSE") -> ClosedForm:
    """Effect ``E0 + Emax d / (ED50 + d)`` of the dose level in the column ``level``."""
    E0, Emax, ED50 = symbols("E0", "Emax", "ED50")
    d = covariate(level)
    return ClosedForm("emax", {"effect": E0 + Emax * d / (ED50 + d)})


def logistic_growth() -> ClosedForm:
    """Growth ``Asym / (1 + exp((xmid - t) / scal))`` to an asymptote."""
    Asym, xmid, scal = symbols("Asym", "xmid", "scal")
    return ClosedForm("logistic_growth", {"size": Asym / (1 + exp((xmid - time) / scal))})


def biexponential(scale: str = "log10") -> ClosedForm:
    """Two-phase decline ``P1 exp(-l1 t) + P2 exp(-l2 t)``, as its decimal logarithm unless ``scale`` is natural."""
    P1, l1, P2, l2 = symbols("P1", "l1", "P2", "l2")
    total = P1 * exp(-l1 * time) + P2 * exp(-l2 * time)
    if scale not in {"natural", "log10"}:
        raise InputError(unknown_name("scale", scale, ("natural", "log10"), place="biexponential"))
    return ClosedForm("biexponential", {"load": log(total) / math.log(10) if scale == "log10" else total})


def expansion_contraction() -> ClosedForm:
    """Transgene of :class:`livingdrug.library.stein2019.Stein2019` in closed form, without co-medication."""
    fold, day, peak = symbols("fold_expansion", "peak_day", "peak")
    alpha, share, beta = symbols("contraction", "persistent_fraction", "decline")
    after = time - day
    rise = peak / fold * exp(log(fold) * time / day)
    fall = peak * ((1 - share) * exp(-alpha * after) + share * exp(-beta * after))
    return ClosedForm("expansion_contraction", {"car_t_transgene_blood": where(time < day, rise, fall)})
