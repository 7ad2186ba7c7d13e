"""The checks of a declaration, run once per declaration and machine.

Each check raises a DeclarationError that says what was found, what is allowed and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from livingdrug.errors import DeclarationError, InputError, unknown_name
from livingdrug.model.description import formula_text, number_text
from livingdrug.model.expressions import Expression, Number, Symbol, as_expression, symbols_in, time, walk
from livingdrug.model.symbols import Output, Parameter, Spread, State
from livingdrug.model.unit_check import DAY, dimension_of
from livingdrug.model.vocabulary import VOCABULARY, unit_of
from livingdrug.sources import ASSUMED, RECALLED, cite, source_keys, split_source
from livingdrug.units import Dimension, Unit, parse_unit

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["check"]

SPREADS = ("lognormal", "normal", "relative_normal", "logitnormal")


def check(model: type[Model]) -> dict[str, float]:
    """Check a collected model; return the factor to canonical units of every unit in it.

    Raises:
        DeclarationError: at the first thing that is wrong.
    """
    if not model.states:
        raise DeclarationError(
            f"{model.name}: a model needs at least one state; write cells = state('cell', 'meaning')"
        )
    units = {item.name: _unit(model, item.name, item.unit) for item in _items(model)}
    for item in _items(model):
        _check_words(model, item)
    for s in model.states.values():
        _check_state(model, s)
    for p in model.parameters.values():
        _check_parameter(model, p)
    _check_sources(model)
    _check_equations(model)
    dimensions: dict[Symbol, Dimension] = {item: units[item.name].dimension for item in _items(model)}
    dimensions[time] = DAY
    _check_formulas(model, dimensions)
    factors = {unit.text: unit.factor for unit in units.values()}
    factors |= _check_outputs(model, dimensions)
    _check_parameter_sets(model)
    _check_unused(model)
    from livingdrug.model.number_checks import check_jumps, check_start

    check_start(model, factors)
    check_jumps(model, factors)
    return factors


def _items(model: type[Model]) -> list[State | Parameter]:
    return [*model.states.values(), *model.parameters.values()]


def _unit(model: type[Model], name: str, unit: Any) -> Unit:
    try:
        return parse_unit(unit)
    except InputError as error:
        raise DeclarationError(f"{model.name}: {name}: {error}") from None


def _check_words(model: type[Model], item: State | Parameter) -> None:
    if not isinstance(item.meaning, str) or not item.meaning.strip():
        raise DeclarationError(f"{model.name}: {item.name} needs a meaning in plain words, got {item.meaning!r}")
    if item.symbol is not None and not isinstance(item.symbol, str):
        raise DeclarationError(f"{model.name}: {item.name}: symbol must be text such as 'k_1', got {item.symbol!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_state(model: type[Model], s: State) -> None:
    if s.floor is not None and not (_is_number(s.floor) and s.floor > 0):
        raise DeclarationError(f"{model.name}: {s.name}: floor must be a positive number of {s.unit}, got {s.floor!r}")


def _check_parameter(model: type[Model], p: Parameter) -> None:
    place = f"{model.name}: parameter {p.name}"
    if not _is_number(p.value):
        raise DeclarationError(f"{place}: the value must be a finite number of {p.unit}, got {p.value!r}")
    limits = p.limits
    pair = isinstance(limits, (tuple, list)) and len(limits) == 2
    if not pair or not all(isinstance(x, (int, float)) and not math.isnan(x) for x in limits) or limits[0] > limits[1]:
        raise DeclarationError(f"{place}: limits must be a pair (lowest, highest), got {limits!r}")
    if not limits[0] <= p.value <= limits[1]:
        raise DeclarationError(
            f"{place}: the value {p.value:g} {p.unit} lies outside its limits {limits[0]:g} to {limits[1]:g}; "
            "correct the value or give limits=(lowest, highest)"
        )
    if p.spread is None:
        return
    if not isinstance(p.spread, Spread) or p.spread.kind not in SPREADS:
        raise DeclarationError(
            f"{place}: spread must be lognormal(sd), normal(sd) or logitnormal(sd), got {p.spread!r}"
        )
    if not _is_number(p.spread.sd) or p.spread.sd < 0:
        raise DeclarationError(f"{place}: the sd of a spread must be a finite number from 0, got {p.spread.sd!r}")
    if p.spread.kind == "logitnormal" and not limits[0] < p.value < limits[1] < math.inf:
        raise DeclarationError(f"{place}: a logitnormal spread needs finite limits around the value, got {limits!r}")


def _check_sources(model: type[Model]) -> None:
    known = source_keys()
    if model.source:
        _check_key(model, "source", model.source, known)
    for p in model.parameters.values():
        if not isinstance(p.source, str) or not p.source.strip():
            raise DeclarationError(
                f"{model.name}: parameter {p.name}: source must be text such as 'table 1', got {p.source!r}"
            )
        key, _ = split_source(p.source, model.source)
        if key not in (ASSUMED, RECALLED):
            _check_key(model, f"parameter {p.name}", key, known)


def _check_key(model: type[Model], place: str, key: str, known: list[str]) -> None:
    try:
        cite(key)
    except InputError:
        message = unknown_name("source", key, known)
        raise DeclarationError(
            f"{model.name}: {place}: {message}; add it to sources.bib or write 'assumed: why'"
        ) from None


def _check_equations(model: type[Model]) -> None:
    own = set(model.states.values())
    for s in model.rates:
        if s not in own:
            raise DeclarationError(
                f"{model.name}: the equation of ddt({s.name or 'an unnamed state'}) is for a state that is not in "
                "this model; "
                f"its states are {', '.join(model.states)}"
            )
    missing = [name for name, s in model.states.items() if s not in model.rates]
    if missing:
        raise DeclarationError(
            f"{model.name}: no equation for {', '.join(missing)}; add ddt({missing[0]}): ... to equations, or 0 if "
            "it is constant"
        )


class _Use(NamedTuple):
    """A formula of the model: where it stands, which symbols it may use, and the quantity whose unit it has."""

    place: str
    formula: Any
    like: Symbol | None
    allowed: tuple[str, ...]
    per_day: bool = False


def _uses(model: type[Model]) -> Iterator[_Use]:
    """Every formula but the definitions and outputs."""
    anything = ("state", "parameter", "time")
    for s, rate in model.rates.items():
        yield _Use(f"ddt({s.name})", rate, s, anything, per_day=True)
    for s in model.states.values():
        yield _Use(f"initial value of {s.name}", s.initial, s, ("parameter",))
    for e in model.events:
        place = f"{e.kind} of {e.target.name}"
        yield _Use(place, e.amount, e.target, ("parameter",) if e.kind == "infusion" else ("state", "parameter"))
        yield _Use(f"day of the {place}", e.at, time, ("parameter",))
        if e.duration is not None:
            yield _Use(f"duration of the {place}", e.duration, time, ("parameter",))
    for j in model.jumps:
        yield _Use(f"births of {j.state.name}", j.birth, j.state, anything, per_day=True)
        yield _Use(f"deaths of {j.state.name}", j.death, j.state, anything, per_day=True)


def _check_formulas(model: type[Model], dimensions: Mapping[Symbol, Dimension]) -> None:
    for e in model.events:
        _check_owner(model, f"a {e.kind}", e.target, *((State, Parameter) if e.kind == "set" else (State,)))
    for j in model.jumps:
        _check_owner(model, "a jump", j.state, State)
    for name, definition in model.definitions.items():
        formula = _checked_formula(model, name, definition, ("state", "parameter", "time"))
        if not formula.is_condition:
            dimension_of(formula, dimensions, f"{model.name}: {name}")
    for use in _uses(model):
        formula = _checked_formula(model, use.place, use.formula, use.allowed)
        found = dimension_of(formula, dimensions, f"{model.name}: {use.place}")
        in_own_unit = not use.per_day and not isinstance(use.formula, Expression)
        if found is None or use.like is None or in_own_unit:
            continue
        wanted = dimensions[use.like] / DAY if use.per_day else dimensions[use.like]
        if found != wanted:
            raise DeclarationError(
                f"{model.name}: {use.place} must be in {wanted}, but {formula_text(formula)} is in {found}; "
                "check the units of its parameters"
            )


def _checked_formula(model: type[Model], place: str, value: Any, allowed: tuple[str, ...]) -> Expression:
    """The formula, after a check of its numbers, its symbols and its conditions."""
    try:
        formula = as_expression(value)
    except DeclarationError as error:
        raise DeclarationError(f"{model.name}: {place}: {error}") from None
    for node in walk(formula):
        if isinstance(node, Number) and math.isnan(node.value):
            raise DeclarationError(f"{model.name}: {place} contains NaN; every number in a formula must be known")
        if node.operation in ("lt", "le"):
            _check_condition(model, place, node)
    own = set(_items(model))
    for symbol in symbols_in(formula):
        if symbol is not time and symbol not in own:
            name = symbol.name or f"an unnamed {symbol.kind} ({getattr(symbol, 'meaning', '')})"
            message = unknown_name("name in the formula", name, [i.name for i in _items(model)])
            raise DeclarationError(f"{model.name}: {place}: {message}; a formula uses what its own model declares")
        if symbol.kind not in allowed:
            found = "time" if symbol is time else f"the {symbol.kind} {symbol.name}"
            raise DeclarationError(f"{model.name}: {place} may use {'s and '.join(allowed)}s, not {found}")
    return formula


def _check_condition(model: type[Model], place: str, comparison: Expression) -> None:
    """A condition that compares time with what is known must be one at which the solver can stop.

    A condition on states is allowed as it is: it is followed by the error control, not located.
    """
    sides = comparison.operands
    if any(s.kind == "state" for side in sides for s in symbols_in(side)):
        return
    if any(side is not time and time in symbols_in(side) for side in sides):
        raise DeclarationError(
            f"{model.name}: {place}: in the condition {formula_text(comparison)} time must stand alone on its side, "
            "as in "
            "time < start + lag"
        )


def _check_owner(model: type[Model], what: str, target: Any, *kinds: type) -> None:
    if not isinstance(target, kinds) or target not in set(_items(model)):
        allowed = [i.name for i in _items(model) if isinstance(i, kinds)]
        named = getattr(target, "name", "") or repr(target)
        raise DeclarationError(f"{model.name}: {what} needs a state of this model ({', '.join(allowed)}), got {named}")


def _check_outputs(model: type[Model], dimensions: Mapping[Symbol, Dimension]) -> dict[str, float]:
    """Check the outputs; return the factors of their units."""
    if not model.outputs:
        raise DeclarationError(f"{model.name}: a model reports something; write outputs = {{'car_t_total': cells}}")
    factors: dict[str, float] = {}
    for word, declared in model.outputs.items():
        unit, meant = _output_unit(model, word, declared)
        place = f"output {word}"
        formula = _checked_formula(model, place, declared.expression, ("state", "parameter", "time"))
        found = dimension_of(formula, dimensions, f"{model.name}: {place}")
        if found is not None and found != meant.dimension:
            raise DeclarationError(
                f"{model.name}: {place} is reported in {unit.text} [{meant.dimension}], but {formula_text(formula)} "
                f"is in {found}"
            )
        factors[unit.text] = unit.factor
    return factors


def _output_unit(model: type[Model], word: Any, declared: Output) -> tuple[Unit, Unit]:
    """The unit in which an output is reported, and the one that its word stands for."""
    if not isinstance(word, str) or not word.isidentifier() or word in model.states or word in model.parameters:
        raise DeclarationError(
            f"{model.name}: {word!r} cannot name an output; take a plain word that is no state or parameter of the "
            "model"
        )
    known = VOCABULARY.get(word)
    if known is None and (declared.unit is None or not declared.meaning):
        raise DeclarationError(
            f"{model.name}: {unknown_name('output', word, VOCABULARY, shown=40)}; for a new word write "
            f"{word!r}: output(formula, 'unit', 'meaning')"
        )
    unit = _unit(model, f"output {word}", unit_of(word, declared.unit))
    meant = parse_unit(known.unit) if known else unit
    if unit.dimension != meant.dimension:
        raise DeclarationError(
            f"{model.name}: output {word} means {known.meaning if known else ''} in {meant.text}; {unit.text} "
            "measures something else, so take another word"
        )
    return unit, meant


def _check_parameter_sets(model: type[Model]) -> None:
    for name, values in model.parameter_sets.items():
        place = f"{model.name}: parameter set {name!r}"
        if not isinstance(values, Mapping):
            raise DeclarationError(f"{place} must be a dictionary of values by parameter, got {values!r}")
        for parameter, value in values.items():
            if parameter not in model.parameters:
                raise DeclarationError(f"{place}: {unknown_name('parameter', parameter, model.parameters)}")
            low, high = model.parameters[parameter].limits
            if not _is_number(value) or not low <= value <= high:
                raise DeclarationError(f"{place}: {parameter} must be between {low:g} and {high:g}, got {value!r}")


def _check_unused(model: type[Model]) -> None:
    used = {id(node) for formula in _used_formulas(model) for node in walk(formula)}
    targets = {id(e.target) for e in model.events}
    for p in model.parameters.values():
        if id(p) not in used and id(p) not in targets:
            raise DeclarationError(
                f"{model.name}: parameter {p.name} ({number_text(p.value)} {p.unit}) is used nowhere; remove it"
            )
    for name, formula in model.definitions.items():
        if id(formula) not in used:
            raise DeclarationError(
                f"{model.name}: the formula {name} is used nowhere; remove it or start its name with _"
            )


def _used_formulas(model: type[Model]) -> Iterator[Expression]:
    yield from (as_expression(use.formula) for use in _uses(model))
    yield from (as_expression(declared.expression) for declared in model.outputs.values())
