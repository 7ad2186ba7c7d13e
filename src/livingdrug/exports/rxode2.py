"""A model as a function of ini() and model() for rxode2 and nlmixr2 (R)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from livingdrug.exports.infix import Block, Dialect, decimal
from livingdrug.exports.names import Names
from livingdrug.exports.sheet import (
    Dose,
    Sheet,
    output_comment,
    parameter_comment,
    patient_value,
    sheet,
    state_comment,
    variance,
    words,
)
from livingdrug.model.symbols import Parameter

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["to_rxode2"]

# Words of R, of rxode2 and of its event tables.
_WORDS = """
    if else repeat while function for next break TRUE FALSE NULL Inf NaN NA NA_integer_ NA_real_ in return t T F c e
    E pi time tlast tfirst tad tafd tad0 dosenum podo dose amt AMT evid EVID cmt CMT dvid DVID id ID dur DUR rate
    RATE ii II ss SS addl ADDL dv DV mdv MDV newind NEWIND rxFlag lag lead alag f d dt ini model label fix fixed add
    prop lnorm pow linCmt linMod theta eta err mtime matexp abs acos acosh asin asinh atan atan2 atanh ceiling cos
    cosh digamma exp expit expm1 factorial floor gamma ifelse is lbeta lchoose lfactorial lgamma log log10 log1p
    log1pmx log2 logit max mean median min phi pnorm probit probitInv prod psigamma quantile round sign sin sinh
    sqrt sum tan tanh tetragamma trigamma trunc var cat print printf rxode2 R0 DADT A THETA ETA
"""
RESERVED = frozenset(_WORDS.split())
R = Dialect("rxode2", where="ifelse({condition}, {value}, {otherwise})")


def to_rxode2(model: type[Model], parameter_set: str | None = None, values: Mapping[str, float] | None = None) -> str:
    """Return an R function that rxode2 simulates and, once it has an error model, nlmixr2 estimates.

    Parameters stand in their declared units with their limits, outputs too; compartments are in canonical units.
    Spreads become random effects with variances. Doses of the model are given as ``et()`` lines in comments.

    Raises:
        InputError: for an unknown set or parameter, or a value outside its limits.

    Example:
        >>> from livingdrug.library import load_model
        >>> text = to_rxode2(load_model("stein2019"))
        >>> [line.strip().split("  #")[0] for line in text.splitlines() if "d/dt(memory)" in line]
        ['d/dt(memory) <- ifelse(t < peak_day_i, 0.0, conversion*effector - decline_i*memory)']
    """
    return _text(sheet(model, parameter_set, values))


def _text(made: Sheet) -> str:
    model = made.model
    names = Names(RESERVED, prefixes=("eta_", "rx_", "_"))
    own = words(made, names)
    block = Block(R, own.symbols(model, "t"), own.parts, made.formulas(), _assign, names.fresh)
    patient = [
        f"{own.used[n]} <- {patient_value(R, p, own.shown[n], own.deviates.get(n, ''))}"
        for n, p in model.parameters.items()
        if own.used[n] != own.shown[n]
    ]
    starts = [f"{own.states[n]}(0) <- {block.text(s.initial)}" for n, s in model.states.items()]
    rates = [
        f"d/dt({own.states[n]}) <- {block.text(rate)}  # {state_comment(model, n)}" for n, rate in made.rates.items()
    ]
    outputs = [
        f"{own.outputs[n]} <- {block.text(formula)}  # {output_comment(model.outputs[n])}"
        for n, formula in made.outputs.items()
    ]
    title = names.take(model.name)
    ini = [line for n, p in model.parameters.items() for line in _initial(own.shown[n], p, made.values[n])]
    ini += [f"{own.deviates[n]} ~ {decimal(variance(model.parameters[n]))}" for n in own.deviates]
    notes = [*made.notes, *made.name_lines(names), *_doses(made.doses, own.states)]
    notes.append("To estimate with nlmixr2, add an error model such as: OUTPUT ~ prop(prop_sd).")
    body = [*patient, *block.statements, *starts, *rates, *outputs]
    lines = [f"# {note}" for note in notes]
    lines += [f"{title} <- function() {{", "  ini({", *(f"    {line}" for line in ini), "  })"]
    lines += ["  model({", *(f"    {line}" for line in body), "  })", "}", ""]
    return "\n".join(lines)


def _assign(name: str, _operation: str, texts: list[str]) -> list[str]:
    return [f"{name} <- {texts[0]}"]


def _initial(name: str, parameter: Parameter, value: float) -> list[str]:
    """The typical value with its limits; a value that lies on a limit is fixed, since it cannot be estimated."""
    low, high = parameter.limits
    if not low < value < high:
        given = f"fix({decimal(value)})"
    elif math.isfinite(high):
        given = f"c({decimal(low)}, {decimal(value)}, {decimal(high)})"
    elif math.isfinite(low):
        given = f"c({decimal(low)}, {decimal(value)})"
    else:
        given = decimal(value)
    label = parameter_comment(parameter).replace("\\", "/").replace('"', "'")
    return [f"{name} <- {given.replace('-inf', '-Inf')}", f'label("{label}")']


def _doses(doses: tuple[Dose, ...], states: Mapping[str, str]) -> list[str]:
    if not doses:
        return []
    heading = "Doses of the model, for an event table; amounts in the units of the compartments:"
    return [heading, *(f"  {_event(dose, states[dose.target])}" for dose in doses)]


def _event(dose: Dose, target: str) -> str:
    extra = ", evid = 5" if dose.kind == "set" else ""
    if dose.kind == "infusion" and dose.duration > 0:
        extra = f", rate = {decimal(dose.amount / dose.duration)}"
    return f'et(time = {decimal(dose.at)}, amt = {decimal(dose.amount)}, cmt = "{target}"{extra})'
