"""A model as SBML, level 3 version 2 core, the format in which systems biology exchanges models.

States become parameters with rate rules rather than species with reactions. A state here may be a concentration, a
pressure, a temperature or copies per microgram of DNA, and a species can be none of these; and programs that rescale
species (by compartments, by Avogadro's number) leave parameters as they are, so that every program shows the numbers of
the paper. All numbers are in canonical units (day, cell, copy, pg, cm, pmol, K, mmHg), outputs in the unit in which the
model declares them, and every number has its unit. Where an equation switches at a known time, an event without
assignments makes a solver stop there, so that none steps over the switch. What SBML has no word for (declared units,
letters of the paper, limits, spreads) stands in annotations, from which
:func:`livingdrug.exports.sbml_import.from_sbml` makes the same model again. Not for clinical use.

Example:
    >>> from livingdrug.library import load_model
    >>> text = to_sbml(load_model("stein2019"))
    >>> "<rateRule" in text and 'level="3" version="2"' in text
    True
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from livingdrug.errors import InputError
from livingdrug.exports.sbml_math import MathWriter, large_shared_parts
from livingdrug.exports.sbml_words import TEXTS, annotate, explain, load_libsbml
from livingdrug.exports.sheet import chosen_values
from livingdrug.exports.unit_definitions import DAY, UnitDefinitions
from livingdrug.model.expressions import Expression, Number, Symbol, symbols_in, time, walk
from livingdrug.model.symbols import Event, Output, Parameter, State
from livingdrug.units import DIMENSIONLESS, Dimension, parse_unit

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["to_sbml"]

_WARNING = "Not for clinical use."


def to_sbml(
    model: type[Model], parameter_set: str | None = None, values: Mapping[str, float] | None = None
) -> str:  # fmt: skip
    """Return a model as the text of an SBML L3V2 file; its unit of time is the day.

    Args:
        model: a declared model.
        parameter_set: name of one of the model's parameter sets, whose values replace the declared ones.
        values: values of single parameters in their declared units; they replace those of the set.

    Raises:
        MissingExtra: if python-libsbml is not installed.
        InputError: for an unknown set or parameter, a value outside its limits, or a model that resets a parameter on
            which the time or amount of an event depends (SBML cannot tell its first value from its later one).
    """
    libsbml = load_libsbml("export to SBML")
    chosen = chosen_values(model, parameter_set, values)
    _check_resets(model)
    document = libsbml.SBMLDocument(3, 2)
    _Writer(libsbml, document.createModel(), model, chosen).everything(parameter_set)
    return libsbml.writeSBMLToString(document)


def _check_resets(model: type[Model]) -> None:
    reset = {e.target for e in model.events if isinstance(e.target, Parameter)}
    fixed = [f for e in model.events for f in (e.at, e.amount, e.duration) if f is not None]
    fixed += [side for comparison in _switches(model) for side in comparison.operands]
    for formula in fixed if reset else ():
        for symbol in symbols_in(formula):
            if symbol in reset:
                raise InputError(
                    f"export of {model.name} to SBML: the model resets {symbol.name}, but the time or amount of an "
                    "event depends on its first value, and SBML would use the later one; declare two parameters"
                )


def _switches(model: type[Model]) -> list[Expression]:
    """Comparisons of time with what is known, in the order of the equations."""
    found = {}
    for rate in model.rates.values():
        for node in walk(rate):
            if node.operation in ("lt", "le") and time in node.operands:
                other = node.operands[node.operands[0] is time]
                if not any(s.kind == "state" for s in symbols_in(other)):
                    found[node] = None
    return list(found)


class _Writer:
    """Writes one model into one SBML model."""

    def __init__(self, libsbml: Any, sbml: Any, model: type[Model], values: Mapping[str, float]) -> None:
        self.libsbml, self.sbml, self.model, self.values = libsbml, sbml, model, values
        self.units = UnitDefinitions(libsbml, sbml)
        items = [*model.states.values(), *model.parameters.values()]
        dimensions: dict[Symbol, Dimension] = {item: parse_unit(item.unit).dimension for item in items}
        dimensions[time] = DAY
        self.dimensions = dimensions
        self.names: dict[Expression, str] = {item: item.name for item in items}
        self.taken = {"time", *self.names.values(), *model.outputs}
        self.math = MathWriter(libsbml, self.names, dimensions, self.units)
        self.rates: dict[Symbol, str] = {}
        self.rules_to_write: list[tuple[str, Expression]] = []

    def everything(self, parameter_set: str | None) -> None:
        """Write all parts in the order in which SBML wants them."""
        self.head(parameter_set)
        self.parameters()
        self.states()
        self.infusions()
        self.definitions()
        self.outputs()
        self.rules()
        self.events()

    def head(self, parameter_set: str | None) -> None:
        """Identity, unit of time, notes."""
        from livingdrug.sources import cite

        model, sbml = self.model, self.sbml
        sbml.setId(model.name)
        sbml.setName(model.summary() or model.name)
        sbml.setTimeUnits(self.units.canonical(DAY))
        explain(
            sbml, _WARNING, model.__doc__ or "",
            f"Source: {cite(model.source)}" if model.source else "No source is given.",
            f"Values: the parameter set {parameter_set}." if parameter_set else "",
            *(f"Limit: {text}" for text in model.limitations), *self.notes_on_jumps(),
            "Values are in canonical units: day, cell, copy (both SBML's item), pg, cm, pmol, K, mmHg.",
        )  # fmt: skip
        annotate(
            sbml,
            {"role": "model", "name": model.name, "class": model.__name__, "source": model.source or None,
             "system": model.system or None, "follow_up": repr(float(model.follow_up))},
            {"text": [model.__doc__ or ""]} | {word: getattr(model, word) for word in TEXTS},
        )  # fmt: skip

    def notes_on_jumps(self) -> list[str]:
        """One sentence for each population that dies out by chance, which core SBML cannot say."""
        return [
            f"Limit of this file: below {j.below:g} cells {j.state.name} is counted cell by cell and may die out by "
            "chance in livingdrug; here it follows its differential equation."
            for j in self.model.jumps
        ]

    def parameters(self) -> None:
        """One constant parameter for each of ours."""
        reset = {e.target for e in self.model.events}
        for p in self.model.parameters.values():
            element = self.quantity(p.name, self.dimensions[p], p.meaning, constant=p not in reset)
            element.setValue(self.values[p.name] * p.factor)
            explain(element, _letter(p), f"Here {self.values[p.name]:g} {p.unit}. Source: {p.source}.")
            spread = p.spread
            annotate(
                element,
                {"role": "parameter", "unit": p.unit, "symbol": p.symbol, "meaning": p.meaning, "source": p.source,
                 "lowest": repr(p.limits[0]), "highest": repr(p.limits[1]),
                 "spread": spread.kind if spread else None, "sd": repr(float(spread.sd)) if spread else None},
            )  # fmt: skip

    def states(self) -> None:
        """One changing parameter for each state, with its initial value."""
        for s in self.model.states.values():
            element = self.quantity(s.name, self.dimensions[s], s.meaning, constant=False)
            explain(element, _letter(s))
            annotate(
                element,
                {"role": "state", "unit": s.unit, "symbol": s.symbol, "meaning": s.meaning,
                 "floor": repr(s.floor / s.factor)},
            )  # fmt: skip
            if isinstance(s.initial, Number):
                element.setValue(s.initial.value)
                continue
            assignment = self.sbml.createInitialAssignment()
            assignment.setSymbol(s.name)
            assignment.setMath(self.math.write(s.initial, self.dimensions[s]))

    def infusions(self) -> None:
        """The rate at which each infused state is fed; events switch it on and off."""
        for event in self.model.events:
            if event.kind == "infusion" and event.target not in self.rates:
                s = event.target
                name = self.rates[s] = self.free(f"infusion_{s.name}")
                element = self.quantity(name, self.dimensions[s] / DAY, f"infusion of {s.meaning}", constant=False)
                element.setValue(0.0)
                annotate(element, {"role": "infusion", "target": s.name})

    def definitions(self) -> None:
        """Named formulas, and large formulas that occur more than once, as quantities with assignment rules."""
        model = self.model
        for word, o in model.outputs.items():
            if o.factor == 1.0 and o.expression.operands:
                self.names.setdefault(o.expression, word)
        for name, formula in model.definitions.items():
            if not formula.is_condition and formula not in self.names:
                self.definition(self.free(name), formula, {"role": "definition", "definition": name})
        formulas = [*model.rates.values(), *(o.expression for o in model.outputs.values())]
        for formula in list(large_shared_parts(formulas, self.names)):
            self.definition(self.free(f"shared_{len(self.rules_to_write) + 1}"), formula, {"role": "part"})

    def definition(self, name: str, formula: Expression, words: Mapping[str, Any]) -> None:
        """One assignment rule in canonical units."""
        dimension = self.math.dimension(formula) or DIMENSIONLESS
        element = self.quantity(name, dimension, str(words.get("definition", "part of the equations")), constant=False)
        annotate(element, words)
        self.names[formula] = name
        self.rules_to_write.append((name, formula))

    def free(self, wanted: str) -> str:
        """An identifier that nothing has yet."""
        name, k = wanted, 1
        while name in self.taken:
            k += 1
            name = f"{wanted}_{k}"
        self.taken.add(name)
        return name

    def quantity(self, name: str, dimension: Dimension, meaning: str, *, constant: bool) -> Any:
        """A new parameter of the document, in canonical units."""
        element = self.sbml.createParameter()
        element.setId(name)
        element.setName(meaning)
        element.setUnits(self.units.canonical(dimension))
        element.setConstant(constant)
        return element

    def rules(self) -> None:
        """Rate rules of the states, assignment rules of definitions and outputs."""
        for s, rate in self.model.rates.items():
            tree = self.math.write(rate, self.dimensions[s] / DAY)
            if s in self.rates:
                tree = self.math.call("add", tree, self.math.name(self.rates[s]))
            self.rule(self.sbml.createRateRule(), s.name, tree)
        for name, formula in self.rules_to_write:
            self.rule(self.sbml.createAssignmentRule(), name, self.math.write(formula, itself=True))
        for word, o in self.model.outputs.items():
            self.rule(self.sbml.createAssignmentRule(), word, self.output_tree(word, o))

    def rule(self, rule: Any, name: str, tree: Any) -> None:
        """Fill one rule."""
        rule.setVariable(name)
        rule.setMath(tree)

    def outputs(self) -> None:
        """One changing parameter for each output, in its declared unit."""
        names = {formula: name for name, formula in self.model.definitions.items()}
        for word, o in self.model.outputs.items():
            element = self.quantity(word, DIMENSIONLESS, o.meaning or word, constant=False)
            element.setUnits(self.units.declared(o.unit or "1"))
            own = names.get(o.expression) if self.names.get(o.expression) == word else None
            annotate(element, {"role": "output", "unit": o.unit, "meaning": o.meaning, "definition": own})

    def output_tree(self, word: str, o: Output) -> Any:
        """The formula of an output, divided by the factor of its unit."""
        itself = self.names.get(o.expression) == word
        tree = self.math.write(o.expression, parse_unit(o.unit or "1").dimension, itself=itself)
        if o.factor == 1.0:
            return tree
        return self.math.call("div", tree, self.math.number_in(o.factor, self.units.ratio(o.factor)))

    def events(self) -> None:
        """Doses, resets, and the stops at which an equation switches."""
        for k, comparison in enumerate(_switches(self.model), 1):
            at = comparison.operands[comparison.operands[0] is time]
            self.event(f"stop_{k}", self.math.write(at, DAY), {"role": "stop"})
        changes = [change for event in self.model.events for change in self.changes(event)]
        for k, (at, target, value, words) in enumerate(changes, 1):
            event = self.event(f"event_{k}", at, words)
            assignment = event.createEventAssignment()
            assignment.setVariable(target)
            assignment.setMath(value)
            if len(changes) > 1:  # those of one instant come in the order of the model
                event.createPriority().setMath(self.math.number(float(len(changes) - k), None))

    def changes(self, event: Event) -> list[tuple[Any, str, Any, dict[str, str]]]:
        """(time, target, new value, annotation) of a dose or reset; an infusion is two changes of its rate."""
        target, write = event.target, self.math.write
        at, words = write(event.at, DAY), {"role": event.kind}
        amount = write(event.amount, self.dimensions[target])
        if event.kind == "set":
            return [(at, target.name, amount, words)]
        if event.kind == "bolus":
            return [(at, target.name, self.math.call("add", self.math.name(target.name), amount), words)]
        name, duration = self.rates[target], write(event.duration, DAY)
        rate = self.math.call("div", amount, duration)
        start = self.math.call("add", self.math.name(name), rate.deepCopy())
        stop = self.math.call("sub", self.math.name(name), rate)
        end = self.math.call("add", write(event.at, DAY), duration.deepCopy())
        return [(at, name, start, words), (end, name, stop, {"role": "infusion_end"})]

    def event(self, wanted: str, at: Any, words: Mapping[str, str]) -> Any:
        """An event at a time; one at time 0 happens, as in the engine."""
        event = self.sbml.createEvent()
        event.setId(self.free(wanted))
        event.setUseValuesFromTriggerTime(False)
        annotate(event, words)
        trigger = event.createTrigger()
        trigger.setInitialValue(False)
        trigger.setPersistent(True)
        trigger.setMath(self.math.after(at))
        return event


def _letter(item: State | Parameter) -> str:
    return f"{item.meaning} (in the paper: {item.symbol})" if item.symbol else item.meaning
