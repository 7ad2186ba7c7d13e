"""The quantities of an SBML model and their values: what a name stands for in a formula, now and at the start.

The name of a species means its concentration unless it has only substance units. It is followed as what its name means,
but as an amount if its compartment changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from livingdrug.errors import InputError
from livingdrug.exports.names import Names
from livingdrug.exports.sbml_formulas import Formula, FormulaReader, names_in, simple
from livingdrug.exports.sbml_own import FROM_FILE, OwnWords
from livingdrug.model.expressions import Expression, Number
from livingdrug.model.symbols import Parameter, State

__all__ = ["NO_UNIT", "Quantities", "place_of"]

NO_UNIT = "1"
_Key = tuple[str, str]  # ("now" or "start", identifier)


def place_of(file: str, element: Any) -> str:
    """Where an element stands, for messages."""
    words = [element.getIdAttribute()]
    words += [getattr(element, get)() for get in ("getVariable", "getSymbol") if hasattr(element, get)]
    shown = next((f" {word!r}" for word in words if word), "")
    return f"{file}: line {element.getLine()}: <{element.getElementName()}>{shown}"


class Quantities:
    """All that has an identifier and a value in one SBML model.

    Args:
        file: name of the file, for messages.
        sbml: libSBML's model.
        own: annotations of our own files.
        names: gives out names of class attributes.
    """

    def __init__(self, file: str, sbml: Any, own: OwnWords, names: Names) -> None:
        self.file, self.sbml, self.own, self.names = file, sbml, own, names
        self.states: dict[str, State] = {}
        self.attributes: dict[str, State | Parameter] = {}
        self.now: dict[str, Expression] = {}
        self.start: dict[str, Expression] = {}
        self._ids: dict[str, str] = {}
        self._amounts: dict[str, Expression] = {}
        self._local: dict[tuple[str, str], Parameter] = {}
        self._collect()

    def refuse(self, element: Any, why: str) -> InputError:
        """The error that refuses an element."""
        return InputError(f"{place_of(self.file, element)}: {why}")

    def formula(self, element: Any) -> Formula:
        """The formula of a rule, an assignment, a law, a trigger, a delay ..."""
        if not element.isSetMath():
            raise self.refuse(element, "it has no formula, so its value is left open; add one or remove it")
        return Formula(element.getMath(), place_of(self.file, element))

    # -- what there is ----------------------------------------------------------------------------------------------
    def _collect(self) -> None:
        """Everything by identifier; what is beyond us is refused here."""
        sbml = self.sbml
        for element in sbml.getListOfConstraints():
            raise self.refuse(element, "constraints, at which a simulation ends, are not watched; remove it")
        self.rules: dict[str, Any] = {}
        for rule in sbml.getListOfRules():
            if rule.isAlgebraic():
                raise self.refuse(rule, "algebraic rules are not solved; write it as an assignment or rate rule")
            self.rules[rule.getVariable()] = rule
        self.initial = {a.getSymbol(): a for a in sbml.getListOfInitialAssignments()}
        self.compartments = {c.getId(): c for c in sbml.getListOfCompartments()}
        self.species = {s.getId(): s for s in sbml.getListOfSpecies()}
        for s in self.species.values():
            if s.getCompartment() not in self.compartments:
                raise self.refuse(s, f"its compartment {s.getCompartment()!r} is not in the file")
        self.reactions = {r.getId(): r for r in sbml.getListOfReactions()}
        self.all = self.compartments | self.species | {p.getId(): p for p in sbml.getListOfParameters()}
        self.reacting: set[str] = set()
        for reaction in self.reactions.values():
            self._collect_reaction(reaction)
        self.changed = {a.getVariable() for e in sbml.getListOfEvents() for a in e.getListOfEventAssignments()}

    def _collect_reaction(self, reaction: Any) -> None:
        if reaction.isSetFast() and reaction.getFast():
            raise self.refuse(reaction, "fast reactions, in equilibrium at every moment, are not solved")
        if not reaction.isSetKineticLaw() or not reaction.getKineticLaw().isSetMath():
            raise self.refuse(reaction, "it has no kinetic law, so its rate is not known; add one")
        for reference in [*reaction.getListOfReactants(), *reaction.getListOfProducts()]:
            species = self.species.get(reference.getSpecies())
            if species is None:
                raise self.refuse(reference, f"the species {reference.getSpecies()!r} is not in the file")
            if not species.getBoundaryCondition() and not species.getConstant():
                self.reacting.add(species.getId())
            if reference.getId():
                self.all[reference.getId()] = reference

    def is_assigned(self, name: str) -> bool:
        """Whether an assignment rule gives the value at every moment."""
        return name in self.rules and self.rules[name].isAssignment()

    def is_state(self, name: str) -> bool:
        """Whether a quantity needs a state: a rate or a reaction changes it, or an event (ours may set a parameter)."""
        if name in self.rules:
            return name in self.all and self.rules[name].isRate()
        if name not in self.all or self.own.role(self.all[name]) in ("infusion", "parameter"):
            return False
        return name in self.reacting or name in self.changed

    def is_concentration(self, name: str) -> bool:
        """Whether the name of a species stands for a concentration."""
        species = self.species[name]
        compartment = self.compartments[species.getCompartment()]
        point = compartment.isSetSpatialDimensions() and compartment.getSpatialDimensionsAsDouble() == 0
        return not species.getHasOnlySubstanceUnits() and not point

    def is_kept_as_amount(self, name: str) -> bool:
        """Whether a concentration is followed as an amount, because its compartment changes."""
        if name not in self.species or name in self.rules or not self.is_concentration(name):
            return False
        room = self.species[name].getCompartment()
        return room in self.rules or room in self.changed

    # -- values -----------------------------------------------------------------------------------------------------
    def read(self, reader: FormulaReader, reader_at_start: FormulaReader) -> None:
        """Find the value of every name, now and at the start, in the order in which they need each other.

        Raises:
            InputError: if values need each other in a circle, or a formula cannot be read.
        """
        for when, name in self._order():
            now = when == "now"
            found = self._now(name, reader, reader_at_start) if now else self._start(name, reader_at_start)
            if found is not None:
                (self.now if now else self.start)[name] = found
        lines = {word: k for k, word in enumerate(self.all)}
        self.states = {word: self.states[word] for word in lines if word in self.states}
        self.attributes = dict(
            sorted(self.attributes.items(), key=lambda pair: lines.get(self._ids[pair[0]], len(lines)))
        )

    def _order(self) -> list[_Key]:
        from graphlib import CycleError, TopologicalSorter

        wanted: list[_Key] = [("now", n) for n in [*self.all, *self.reactions]]
        wanted += [("start", n) for n in self.all if self.is_state(n)]
        graph: dict[_Key, list[_Key]] = {}
        for key in wanted:  # grows while it is walked
            if key not in graph:
                graph[key] = self._needs(*key)
                wanted.extend(graph[key])
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            names = " -> ".join(name for _, name in error.args[1][:12])
            raise InputError(f"{self.file}: these values need each other in a circle: {names}") from None

    def _needs(self, when: str, name: str) -> list[_Key]:
        """What must be known before the value of a name."""
        if name in self.reactions:
            law = self.reactions[name].getKineticLaw()
            own = {p.getId() for p in local_parameters(law)}
            return [(when, n) for n in names_in(law.getMath()) if n not in own]
        if name not in self.all:
            return []
        if self.is_assigned(name):
            return [(when, n) for n in names_in(self.formula(self.rules[name]).tree)]
        room = [self.species[name].getCompartment()] if name in self.species else []
        if name in self.initial and (when == "start" or not self.is_state(name)):
            known = [("start", n) for n in names_in(self.formula(self.initial[name]).tree)]
        else:
            known = [] if when == "now" or self.is_state(name) else [("now", name)]
        both = ("now", "start") if self.is_kept_as_amount(name) else (when,)
        return known + [(w, n) for w in both for n in room]

    def _now(self, name: str, reader: FormulaReader, reader_at_start: FormulaReader) -> Expression | None:
        """What a name stands for in a rate; None if it has no value."""
        if name in self.reactions:
            return self._law(self.reactions[name], reader, self.now)
        element = self.all.get(name)
        if element is None:
            return None
        if self.is_assigned(name):
            return reader.read(self.formula(self.rules[name]), self.now)
        if self.is_state(name):
            found: Expression | None = self._new_state(name, element)
        elif self.own.role(element) == "infusion":
            return Number(0.0)
        else:
            found = self._constant(name, element, reader_at_start)
        if found is None or not self.is_kept_as_amount(name):
            return found
        return found / self.room(element, self.now)

    def _start(self, name: str, reader: FormulaReader) -> Expression | None:
        """Value of a name at time 0; None if it has none."""
        if name in self.reactions:
            return self._law(self.reactions[name], reader, self.start)
        if name not in self.all:
            return None
        if self.is_assigned(name):
            return reader.read(self.formula(self.rules[name]), self.start)
        if name in self.initial:
            return reader.read(self.formula(self.initial[name]), self.start)
        if self.is_state(name):
            return self._given(name, self.all[name], self.start)
        if self.is_kept_as_amount(name) and name in self._amounts:
            return self._amounts[name] / self.room(self.all[name], self.start)
        return self.now.get(name)

    def start_of_state(self, name: str) -> Expression:
        """Initial value of the state that follows a name.

        Raises:
            InputError: if the file gives none.
        """
        found = self.start.get(name)
        if found is None:
            raise self.refuse(self.all[name], "it has no initial value; give one")
        return simple(found * self.room(self.all[name], self.start)) if self.is_kept_as_amount(name) else found

    def room(self, species: Any, known: Mapping[str, Expression]) -> Expression:
        """Size of the compartment of a species.

        Raises:
            InputError: if it is not given.
        """
        found = known.get(species.getCompartment())
        if found is None:
            raise self.refuse(species, f"the size of its compartment {species.getCompartment()!r} is not given")
        return found

    def _law(self, reaction: Any, reader: FormulaReader, known: Mapping[str, Expression]) -> Expression:
        """Rate of a reaction; its local parameters become parameters named after it."""
        law, local = reaction.getKineticLaw(), {}
        for p in local_parameters(law):
            key = (reaction.getId(), p.getId())
            if key not in self._local and p.isSetValue():
                value = self._number(p, p.getValue()).value
                self._local[key] = self._parameter(".".join(key), "_".join(key), p, value)
            if key in self._local:
                local[p.getId()] = self._local[key]
        return reader.read(self.formula(law), {**known, **local} if local else known)

    def _constant(self, name: str, element: Any, reader_at_start: FormulaReader) -> Expression | None:
        """What never changes: a parameter where it is a number, else its formula; None if it has no value.

        An amount where the compartment changes.
        """
        kept = self.is_kept_as_amount(name)
        if name in self.initial:
            found: Expression | None = reader_at_start.read(self.formula(self.initial[name]), self.start)
        else:
            found = self._given(name, element, self.start if kept else self.now)
        if found is not None and kept:
            found = simple(found * self.room(element, self.start))
        if isinstance(found, Number) and name not in self.initial and element.getElementName() != "speciesReference":
            found = self._parameter(name, f"amount_of_{name}" if kept else name, element, found.value)
        if found is not None and kept:
            self._amounts[name] = found
        return found

    def _given(self, name: str, element: Any, known: Mapping[str, Expression]) -> Expression | None:
        """The number beside a name in the file; of a species as a concentration where its name means one."""
        kind = element.getElementName()
        if kind == "compartment":
            return self._number(element, element.getSize()) if element.isSetSize() else None
        if kind == "speciesReference":
            return self._number(element, element.getStoichiometry()) if element.isSetStoichiometry() else None
        if kind != "species":
            return self._number(element, element.getValue()) if element.isSetValue() else None
        if element.isSetInitialAmount():
            amount = self._number(element, element.getInitialAmount())
            return simple(amount / self.room(element, known)) if self.is_concentration(name) else amount
        if element.isSetInitialConcentration():
            value = self._number(element, element.getInitialConcentration())
            return value if self.is_concentration(name) else simple(value * self.room(element, known))
        return None

    def _number(self, element: Any, value: float) -> Number:
        if not math.isfinite(value):
            raise self.refuse(element, f"its value {value} is not a finite number")
        return Number(value)

    def _parameter(self, name: str, wanted: str, element: Any, value: float) -> Parameter:
        """A new parameter of the model to be."""
        meaning = element.getName() or f"{element.getElementName()} {name} of the file"
        found = self.own.parameter(element, value)
        if found is None:
            found = Parameter(value, NO_UNIT, meaning, None, FROM_FILE, None, (-math.inf, math.inf))
        self._add(name, wanted, found)
        return found

    def _new_state(self, name: str, element: Any) -> State:
        """A new state of the model to be; its initial value is filled in later."""
        meaning = element.getName() or f"{element.getElementName()} {name} of the file"
        if self.is_kept_as_amount(name):
            meaning = f"amount of {meaning}"
        found = self.own.state(element)
        if found is None:
            found = State(NO_UNIT, meaning, 0.0, None, None)
        self._add(name, f"amount_of_{name}" if self.is_kept_as_amount(name) else name, found)
        self.states[name] = found
        return found

    def _add(self, name: str, wanted: str, symbol: State | Parameter) -> None:
        attribute = self.names.take(wanted)
        self.attributes[attribute], self._ids[attribute] = symbol, name


def local_parameters(law: Any) -> list[Any]:
    """Parameters that a kinetic law has to itself."""
    return list(law.getListOfLocalParameters() if law.getLevel() == 3 else law.getListOfParameters())
