"""What every text format needs to know of a model: its values, its formulas ready to be printed, its doses as numbers.

States and formulas are in canonical units (day, cell, pg, mL ...), as in the engine; parameters are shown in the units
of the paper and scaled where they enter a formula; outputs are in their declared units.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livingdrug.errors import InputError, unknown_name
from livingdrug.exports.infix import Block, Dialect, decimal
from livingdrug.exports.names import Names
from livingdrug.model.expressions import Expression, Number, Symbol, evaluate, exp, log, substitute, time, walk, where
from livingdrug.model.symbols import Parameter

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model
    from livingdrug.model.symbols import Event, Output

__all__ = ["Dose", "Sheet", "Words", "chosen_values", "individual", "plain", "sheet", "words"]


@dataclass(frozen=True)
class Dose:
    """A dose or reset of a state, as numbers; ``amount`` in canonical units, ``kind`` bolus, infusion or set."""

    kind: str
    target: str
    amount: float
    at: float
    duration: float = 0.0


@dataclass(frozen=True)
class Sheet:
    """A model made ready for printing.

    Args:
        model: the model.
        values: of all parameters, in declared units.
        rates: canonical formula per state.
        outputs: formula per output, in its declared unit.
        definitions: formula to name, for the parts that the model names.
        doses: what is given or reset, in the order of time.
        notes: sentences for the head of the text.
    """

    model: type[Model]
    values: Mapping[str, float]
    rates: Mapping[str, Expression]
    outputs: Mapping[str, Expression]
    definitions: Mapping[Expression, str]
    doses: tuple[Dose, ...]
    notes: tuple[str, ...]

    def formulas(self) -> list[Expression]:
        """Return the formulas of all rates, outputs and initial values."""
        return [*self.rates.values(), *self.outputs.values(), *(s.initial for s in self.model.states.values())]

    def name_lines(self, names: Names) -> list[str]:
        """Return one line per name that had to be changed."""
        return [f"The {old} is called {new} here." for old, new in names.changed.items()]


def chosen_values(
    model: type[Model], parameter_set: str | None = None, values: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return all parameters in declared units: those given, else those of the set, else the declared ones.

    Raises:
        InputError: for an unknown set or parameter, or a value outside its limits.

    Example:
        >>> from livingdrug.library import load_model
        >>> chosen_values(load_model("kimmel2021"), "code", {"kill_rate": 1.5})["kill_rate"]
        1.5
    """
    if parameter_set is not None and parameter_set not in model.parameter_sets:
        raise InputError(unknown_name(f"parameter set of {model.name}", parameter_set, model.parameter_sets))
    given = {**(model.parameter_sets[parameter_set] if parameter_set is not None else {}), **(values or {})}
    checked = model.canonical(given)
    for name in given:
        if checked[name].ndim:
            raise InputError(f"{model.name}: an export holds one patient; give one number for {name!r}")
    return {name: float(given.get(name, p.value)) for name, p in model.parameters.items()}


def sheet(model: type[Model], parameter_set: str | None = None, values: Mapping[str, float] | None = None) -> Sheet:
    """Make a model ready for printing; see :class:`Sheet`.

    Raises:
        InputError: for an unknown set or parameter, or a value outside its limits.
    """
    chosen = chosen_values(model, parameter_set, values)
    canonical: dict[Expression, float] = {p: chosen[n] * p.factor for n, p in model.parameters.items()}
    renewed = _resets(model, canonical)
    formulas = {s.name: renewed(rate) for s, rate in model.rates.items()}
    outputs = {
        n: renewed(o.expression) if o.factor == 1 else renewed(o.expression) / o.factor
        for n, o in model.outputs.items()
    }
    definitions = {renewed(f): n for n, f in model.definitions.items() if not isinstance(f, (Symbol, Number))}
    doses = sorted((_dose(e, canonical) for e in model.events if e.target.kind == "state"), key=lambda d: d.at)
    notes = _notes(model, parameter_set, values or {})
    given = tuple(d for d in doses if d.at < math.inf and (d.amount > 0 or d.kind == "set"))
    return Sheet(model, chosen, formulas, outputs, definitions, given, notes)


def individual(parameter: Parameter, typical: Expression, deviate: Expression) -> Expression:
    """Return a patient's value in the declared unit, from the typical value and a normal deviate of variance sd**2.

    Args:
        parameter: a parameter with a spread.
        typical: its typical value.
        deviate: normal with mean 0 and the standard deviation of the spread.
    """
    kind = parameter.spread.kind if parameter.spread else ""
    if kind == "lognormal":
        return typical * exp(deviate)
    if kind == "normal":
        return typical + deviate
    if kind == "relative_normal":
        return typical * (1 + deviate)
    if kind == "logitnormal":
        low, high = parameter.limits
        share = (typical - low) / (high - low)
        return low + (high - low) / (1 + exp(-(log(share / (1 - share)) + deviate)))
    raise InputError(f"{parameter.name}: a spread of the kind {kind!r} cannot be exported")


def plain(text: str) -> str:
    """Return text as one line of ASCII that is safe in a comment of any language."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))  # é becomes e
    ascii_text = letters.encode("ascii", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in ascii_text).split()).rstrip("\\&")


def parameter_comment(parameter: Parameter) -> str:
    """Return unit, meaning and source of a parameter as one line."""
    unit = "no unit" if parameter.unit in ("", "1") else parameter.unit
    source = f"{parameter.source_key}: {parameter.source_place}" if parameter.source_place else parameter.source_key
    spread = f"; {parameter.spread.kind.replace('_', ' ')} spread" if parameter.spread else ""
    return plain(f"{unit}; {parameter.meaning}{spread} [{source}]")


def state_comment(model: type[Model], name: str) -> str:
    """Return canonical unit and meaning of a state as one line."""
    from livingdrug.units import parse_unit

    state = model.states[name]
    canonical = str(parse_unit(state.unit).dimension)
    scale = "" if state.factor == 1 else f"; 1 {state.unit} is {decimal(state.factor)}"
    return plain(f"{canonical}; {state.meaning}{scale}")


def output_comment(output: Output) -> str:
    """Return unit and meaning of an output as one line."""
    return plain(f"{'no unit' if output.unit in ('', '1') else output.unit}; {output.meaning}")


@dataclass(frozen=True)
class Words:
    """What everything is called in one text; the keys are the names in the model.

    Args:
        states: the compartments.
        shown: parameters, typical values in declared units.
        used: parameters as the formulas take them: those of the patient, in canonical units.
        parts: the parts that the model names.
        outputs: the outputs.
        deviates: the random effect of each parameter with a spread.
    """

    states: dict[str, str]
    shown: dict[str, str]
    used: dict[str, str]
    parts: dict[Expression, str]
    outputs: dict[str, str]
    deviates: dict[str, str]

    def symbols(self, model: type[Model], clock: str) -> dict[Expression, str]:
        """Return the text of every symbol of the formulas."""
        symbols: dict[Expression, str] = {time: clock}
        symbols |= {s: self.states[n] for n, s in model.states.items()}
        return symbols | {p: self.used[n] for n, p in model.parameters.items()}


def words(made: Sheet, names: Names, *, patient: str = "_i", deviate: str = "eta_", only_scaled: bool = False) -> Words:
    """Name everything: states, parameters, parts and outputs first, so that they keep their words where they can.

    Args:
        made: the model.
        names: gives out free names.
        patient: ending of a patient's canonical value where that is not the number shown; empty for no second name.
        deviate: beginning of the names of random effects.
        only_scaled: whether a spread alone needs no second name.
    """
    model = made.model
    states = {n: names.take(n, "state") for n in model.states}
    shown = {n: names.take(n, "parameter") for n in model.parameters}
    parts = {f: names.take(n, "formula") for f, n in made.definitions.items()}
    outputs = {n: names.take(n, "output") for n in made.outputs}
    used = dict(shown)
    for name, p in model.parameters.items():
        if patient and (p.factor != 1.0 or (p.spread and not only_scaled)):
            used[name] = names.fresh(shown[name] + patient)
    deviates = {n: deviate + shown[n] for n, p in model.parameters.items() if p.spread}
    return Words(states, shown, used, parts, outputs, deviates)


def patient_value(dialect: Dialect, parameter: Parameter, typical: str, deviate: str) -> str:
    """Return the formula of a patient's canonical value from the texts of the typical value and of the deviate."""
    value, spread = Symbol("typical", "parameter"), Symbol("deviate", "parameter")
    formula = individual(parameter, value, spread) if parameter.spread else value
    formula = formula if parameter.factor == 1 else formula * parameter.factor
    return Block(dialect, {value: typical, spread: deviate}, {}, [formula]).text(formula)


def variance(parameter: Parameter) -> float:
    """Return the variance of a parameter's random effect, without the noise of the last digits."""
    return float(f"{parameter.spread.sd**2:.12g}") if parameter.spread else 0.0


def _resets(model: type[Model], canonical: Mapping[Expression, float]) -> Callable[[Expression], Expression]:
    """Return a function that puts a switch in time wherever a formula holds a parameter that an event resets.

    Conditions on time keep the first value, as does the engine, which reads them before it starts.
    """
    changed: dict[Expression, Expression] = {}
    resets = [e for e in model.events if e.target.kind == "parameter"]
    for event in sorted(resets, key=lambda e: float(evaluate(e.at, canonical))):
        before = changed.get(event.target, event.target)
        changed[event.target] = where(time < event.at, before, event.amount)
    done: dict[Expression, Expression] = {}

    def renewed(formula: Expression) -> Expression:
        if not changed:
            return formula
        for node in walk(formula):
            if node not in done:
                done[node] = _renewed_node(node, changed, done)
        return done[formula]

    return renewed


def _renewed_node(
    node: Expression, changed: Mapping[Expression, Expression], done: Mapping[Expression, Expression]
) -> Expression:
    if node in changed:
        return changed[node]
    if node.operation in ("lt", "le"):
        kinds = {n.kind for n in walk(node) if isinstance(n, Symbol)}
        if "time" in kinds and "state" not in kinds:
            return node
    return substitute(node, {o: done[o] for o in node.operands}) if node.operands else node


def _dose(event: Event, canonical: Mapping[Expression, float]) -> Dose:
    amount, at = (float(evaluate(part, canonical)) for part in (event.amount, event.at))
    duration = 0.0 if event.duration is None else float(evaluate(event.duration, canonical))
    if amount < 0:
        raise InputError(
            f"the {event.kind} of {event.target.name} on day {at:g} has the negative amount {amount:g}; event records "
            "of these programs give amounts of 0 or more, so write a loss as a term of the equation"
        )
    return Dose(event.kind, event.target.name, amount, math.inf if math.isnan(at) else at, duration)


def _notes(model: type[Model], parameter_set: str | None, values: Mapping[str, float]) -> tuple[str, ...]:
    from livingdrug.sources import cite

    notes = [f"{model.name}: {model.summary()}"]
    if model.source:
        notes.append(f"Source: {cite(model.source)}")
    if parameter_set is not None:
        notes.append(f"Values of the parameter set {parameter_set}.")
    if values:
        notes.append(f"Values given for this export: {', '.join(values)}.")
    notes.append("Time in days. Compartments in canonical units: cell, copy, pg, cm (mL), pmol, K, mmHg.")
    notes += [
        f"In livingdrug {j.state.name} is counted one by one below {decimal(j.below)} cells and may die out; here it "
        "follows its differential equation."
        for j in model.jumps
    ]
    notes.append("Written by livingdrug. Not for clinical use.")
    return tuple(plain(note) for note in notes)
