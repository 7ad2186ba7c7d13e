"""A model as MLXTRAN: the language of Monolix, Simulx and Mlxplore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from livingdrug.exports.infix import Block, Dialect, decimal
from livingdrug.exports.names import Names
from livingdrug.exports.sheet import (
    Dose,
    Sheet,
    Words,
    output_comment,
    parameter_comment,
    sheet,
    state_comment,
    words,
)
from livingdrug.model.symbols import Parameter

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["to_mlxtran"]

_WORDS = """
    t t_0 t0 T amtDose tDose inftDose amt tlag if elseif else end switch case otherwise while for function return
    true false input output table use regressor covariate distribution typical mean sd var min max prediction
    errorModel correlation level r type categories normal lognormal logitnormal probitnormal uniform gamma weibull
    exponential odeType stiff nonStiff ddeType hazard event count categorical continuous adm target depot
    compartment peripheral absorption elimination oral iv effect transfer empty reset pkmodel delay abs exp log
    log10 sqrt sin cos tan asin acos atan sinh cosh tanh floor ceil round sign factorial gammaln lgamma logit
    invlogit probit normcdf normpdf erf mod pow rem pi e E inf nan NaN EQUATION PK DEFINITION OUTPUT INDIVIDUAL
    LONGITUDINAL COVARIATE POPULATION bsmm wsmm id time
"""
RESERVED = frozenset(_WORDS.split())
MLXTRAN = Dialect("MLXTRAN")


def to_mlxtran(model: type[Model], parameter_set: str | None = None, values: Mapping[str, float] | None = None) -> str:
    """Return a text with the model, its values, doses and outputs, as Mlxplore and Simulx read it.

    Monolix takes the section ``[LONGITUDINAL]``. Parameters stand in their declared units, outputs too; compartments
    are in canonical units. Spreads become distributions of ``[INDIVIDUAL]`` with standard deviations.

    Raises:
        InputError: for an unknown set or parameter, or a value outside its limits.

    Example:
        >>> from livingdrug.library import load_model
        >>> text = to_mlxtran(load_model("stein2019"))
        >>> [line for line in text.splitlines() if line.startswith("peak_day =")]
        ['peak_day = {distribution=lognormal, typical=peak_day_pop, sd=omega_peak_day}']
    """
    made = sheet(model, parameter_set, values)
    states = list(made.model.states)
    names = Names(RESERVED | {f"{s}_0" for s in states}, prefixes=("ddt_", "omega_", "_"))
    own = words(made, names, deviate="omega_", only_scaled=True)
    typical = {n: names.take(f"{own.shown[n]}_pop") for n in own.deviates}
    equations, outputs = _equations(made, own, names)
    inputs = ", ".join(own.shown.values())
    notes = [*made.notes, *made.name_lines(names)]
    lines = [*(f"; {note}" for note in notes), "", "<MODEL>", *_individual(made, own, typical), "[LONGITUDINAL]"]
    lines += [f"input = {{{inputs}}}", "", *_macros(made.doses, own.states), "EQUATION:", *equations, ""]
    lines += ["OUTPUT:", f"output = {{{', '.join(outputs)}}}", "", "<PARAMETER>", *_values(made, own, typical), ""]
    lines += [*_design(made.doses), "<OUTPUT>", f"list = {{{', '.join(outputs)}}}"]
    lines += [f"grid = 0:1:{decimal(getattr(model, 'follow_up', 365.0))}", ""]
    return "\n".join(lines)


def _individual(made: Sheet, own: Words, typical: Mapping[str, str]) -> list[str]:
    """How parameters differ between patients."""
    if not own.deviates:
        return []
    inputs = [word for n in own.deviates for word in (typical[n], own.deviates[n])]
    lines = ["[INDIVIDUAL]", f"input = {{{', '.join(inputs)}}}", "", "DEFINITION:"]
    for name, omega in own.deviates.items():
        p = made.model.parameters[name]
        kind = p.spread.kind.removeprefix("relative_") if p.spread else ""
        ends = f", min={decimal(p.limits[0])}, max={decimal(p.limits[1])}" if kind == "logitnormal" else ""
        lines.append(f"{own.shown[name]} = {{distribution={kind}, typical={typical[name]}, sd={omega}{ends}}}")
    return [*lines, ""]


def _equations(made: Sheet, own: Words, names: Names) -> tuple[list[str], list[str]]:
    """Statements of the structural model, and the names of the outputs."""
    model = made.model
    block = Block(MLXTRAN, own.symbols(model, "t"), own.parts, made.formulas(), _assign, names.fresh)
    scaled = [
        f"{own.used[n]} = {own.shown[n]}*{decimal(p.factor)}"
        for n, p in model.parameters.items()
        if own.used[n] != own.shown[n]
    ]
    starts = [f"{own.states[n]}_0 = {block.text(s.initial)}" for n, s in model.states.items()]
    rates = [f"ddt_{own.states[n]} = {block.text(r)} ; {state_comment(model, n)}" for n, r in made.rates.items()]
    outputs = [
        f"{own.outputs[n]} = {block.text(formula)} ; {output_comment(model.outputs[n])}"
        for n, formula in made.outputs.items()
    ]
    head = ["odeType = stiff", "t_0 = 0", *scaled]
    return [*head, *block.statements, *starts, *rates, *outputs], list(own.outputs.values())


def _assign(name: str, operation: str, texts: list[str]) -> list[str]:
    if operation == "where":
        condition, value, otherwise = texts
        return [f"if {condition}", f"  {name} = {value}", "else", f"  {name} = {otherwise}", "end"]
    return [f"{name} = {texts[0]}"]


def _values(made: Sheet, own: Words, typical: Mapping[str, str]) -> list[str]:
    lines = []
    for name, p in made.model.parameters.items():
        value = made.values[name]
        lines.append(f"{typical.get(name, own.shown[name])} = {decimal(value)} ; {parameter_comment(p)}")
        if p.spread:
            lines.append(f"{own.deviates[name]} = {decimal(_deviation(p, value))}")
    return lines


def _deviation(parameter: Parameter, value: float) -> float:
    sd = parameter.spread.sd if parameter.spread else 0.0
    relative = parameter.spread is not None and parameter.spread.kind == "relative_normal"
    return sd * abs(value) if relative else sd


def _macros(doses: tuple[Dose, ...], states: Mapping[str, str]) -> list[str]:
    """Where each administration goes; a reset takes away what is there, and adds the new amount if there is one."""
    lines = []
    for number, dose in enumerate(doses, 1):
        target = states[dose.target]
        if dose.kind == "set" and dose.amount == 0:
            lines.append(f"empty(adm={number}, target={target})")
        elif dose.kind == "set":
            lines.append(f"depot(adm={number}, target={target}, p=1-{target}/amtDose)")
        else:
            lines.append(f"depot(adm={number}, target={target})")
    return ["PK:", *lines, ""] if lines else []


def _design(doses: tuple[Dose, ...]) -> list[str]:
    """When and how much; amounts in the units of the compartments."""
    if not doses:
        return []
    lines = ["<DESIGN>", "[ADMINISTRATION]"]
    for number, dose in enumerate(doses, 1):
        rate = dose.kind == "infusion" and dose.duration > 0
        extra = f", rate={decimal(dose.amount / dose.duration)}" if rate else ""
        amount = 1.0 if dose.kind == "set" and dose.amount == 0 else dose.amount
        lines.append(f"adm_{number} = {{type={number}, time={decimal(dose.at)}, amount={decimal(amount)}{extra}}}")
    treatments = ", ".join(f"adm_{number}" for number in range(1, len(doses) + 1))
    return [*lines, "[TREATMENT]", f"trt = {{{treatments}}}", ""]
