"""A model from SBML, level 2 or 3 core, as a class that the engine runs.

A file that :func:`livingdrug.exports.sbml.to_sbml` wrote comes back with its names, units and sources. In any other
file numbers are taken as they stand and carry no unit, since SBML computes with bare numbers whatever units it
declares; only time is turned into days. What the engine cannot run is refused by name, with its line: nothing is left
out in silence. Not for clinical use.

Example:
    >>> text = '''<sbml xmlns="http://www.sbml.org/sbml/level3/version2/core" level="3" version="2"><model id="fall">
    ...   <listOfParameters><parameter id="x" value="8" constant="false"/></listOfParameters>
    ...   <listOfRules><rateRule variable="x"><math xmlns="http://www.w3.org/1998/Math/MathML">
    ...     <apply><minus/><ci>x</ci></apply></math></rateRule></listOfRules></model></sbml>'''
    >>> fall = from_sbml(text)
    >>> fall.name, list(fall.states), list(fall.outputs)
    ('fall', ['x'], ['value_of_x'])
"""

from __future__ import annotations

import keyword
import math
import os
from typing import TYPE_CHECKING, Any

from livingdrug.errors import DeclarationError, InputError, unknown_name
from livingdrug.exports.names import Names
from livingdrug.exports.sbml_events import read_events
from livingdrug.exports.sbml_file import read_document
from livingdrug.exports.sbml_formulas import FormulaReader, number_of, simple
from livingdrug.exports.sbml_own import FROM_FILE, OwnWords
from livingdrug.exports.sbml_quantities import NO_UNIT, Quantities, place_of
from livingdrug.exports.sbml_words import load_libsbml
from livingdrug.model.expressions import Expression, Number, evaluate, time, walk
from livingdrug.model.symbols import Event, Output, Parameter, ddt
from livingdrug.model.vocabulary import VOCABULARY
from livingdrug.units import to_canonical

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["from_sbml"]

_TIME_UNITS = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day", 604800.0: "week", 31557600.0: "year"}
_SMALL = 1e-9
"""A state without unit may be wrong by the tolerance times this share of its start (or of the smallest other start)."""


def from_sbml(
    text_or_path: str | os.PathLike[str], name: str | None = None, *, time_unit: str | None = None
) -> type[Model]:
    """Return a model read from an SBML text or file.

    Args:
        text_or_path: the text (it begins with ``<``) or the path of a file.
        name: name of the model; that in the file if not given.
        time_unit: unit of time (such as ``"hour"``) of a file that does not say it; a day if not given.

    Raises:
        MissingExtra: if python-libsbml is not installed.
        InputError: if the file is not valid SBML of level 2 or 3, or holds something that the engine cannot run; the
            message names it and its line.
    """
    libsbml = load_libsbml("import from SBML")
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        raise InputError(f"from_sbml: {name!r} cannot name a model; take a plain word such as author2020")
    if time_unit is not None and time_unit not in _TIME_UNITS.values():
        raise InputError(unknown_name("time_unit", time_unit, _TIME_UNITS.values(), place="from_sbml"))
    file, document = read_document(libsbml, text_or_path)
    return _Reader(libsbml, file, document, time_unit).model(name)


class _Reader:
    """Turns one document into the body of a class."""

    def __init__(self, libsbml: Any, file: str, document: Any, time_unit: str | None) -> None:
        from livingdrug.model.declaration import Model

        self.file, self.sbml = file, document.getModel()
        self.notes: list[str] = []
        self.names = Names({*dir(Model), *keyword.kwlist, "time"})
        self.own = OwnWords(self.sbml, self.refuse)
        self.unit = self.unit_of_time(document, time_unit)
        self.clock = time if self.unit is None else time / self.unit
        self.quantities = Quantities(file, self.sbml, self.own, self.names)
        functions = {f.getId(): f for f in self.sbml.getListOfFunctionDefinitions()}
        self.reader = FormulaReader(libsbml, functions, self.clock, self.days)
        self.quantities.read(self.reader, FormulaReader(libsbml, functions, Number(0.0), self.days))

    def refuse(self, element: Any, why: str) -> InputError:
        """The error that refuses an element."""
        return InputError(f"{place_of(self.file, element)}: {why}")

    # -- time -------------------------------------------------------------------------------------------------------
    def unit_of_time(self, document: Any, given: str | None) -> Parameter | None:
        """The file's unit of time as a parameter that cannot vary; None in our own files, whose time is the day."""
        seconds = self.seconds(document.getLevel())
        if self.own and seconds == 86400.0:
            return None
        self.own.forget()
        self.notes.append(
            f"Read from SBML level {document.getLevel()} version {document.getVersion()}: numbers are those of the "
            "file and carry no unit here."
        )
        if seconds is None:
            unit, value = given or "day", 1.0
            self.notes.append(f"The file does not say its unit of time; it was taken as 1 {unit}.")
        else:
            unit = _TIME_UNITS.get(seconds, "second")
            value = 1.0 if seconds in _TIME_UNITS else seconds
            self.notes.append(f"The unit of time of the file is {value:g} {unit}.")
        found = Parameter(value, unit, "unit of time of the file", None, FROM_FILE, None, (value, value))
        self.unit_name = self.names.take("time_unit")
        return found

    def seconds(self, level: int) -> float | None:
        """Seconds in the file's unit of time; None if it does not say, or says that time has no dimension."""
        identifier = self.sbml.getTimeUnits() if level == 3 else "time"
        definition = self.sbml.getUnitDefinition(identifier) if identifier else None
        if definition is None:
            return 1.0 if level == 2 or identifier == "second" else None
        seconds, power = 1.0, 0.0
        for unit in definition.getListOfUnits():
            exponent = unit.getExponentAsDouble()
            try:
                seconds *= math.pow(unit.getMultiplier() * math.pow(10.0, unit.getScale()), exponent)
            except (ArithmeticError, ValueError):
                seconds = math.nan
            power += exponent if unit.isSecond() else 0.0
            if not (unit.isSecond() or unit.isDimensionless()):
                raise self.refuse(definition, "the model's unit of time is not a time")
        if power == 0:
            return None
        if power != 1 or not (math.isfinite(seconds) and seconds > 0):
            raise self.refuse(definition, "the model's unit of time is not a time")
        return float(f"{seconds:.14g}")  # 8.64 times 10**4 is 86400

    def days(self, moment: Expression) -> Expression:
        """A time in the file's unit as one in days."""
        if self.unit is None:
            return moment
        if isinstance(moment, Number):
            return Number(moment.value * self.unit.value * to_canonical(self.unit.unit))
        return moment * self.unit

    # -- the model --------------------------------------------------------------------------------------------------
    def model(self, name: str | None) -> type[Model]:
        """The class."""
        from livingdrug.model.declaration import Model

        own_name, class_name = self.own.names if self.own else ("", "")
        q = self.quantities
        if not q.states:
            raise InputError(
                f"{self.file}: nothing changes in time: it has no reaction or rate rule that the engine follows"
            )
        rates = {n: self.rate(n) for n in q.states}
        self.set_starts()
        events = read_events(q, self.reader, self.clock, self.days)
        body: dict[str, Any] = {"equations": {ddt(q.states[n]): rate for n, rate in rates.items()}, "events": events}
        body["outputs"] = self.outputs()
        definitions = self.definitions()
        body |= self.used_symbols(list(rates.values()), events, body["outputs"]) | definitions
        body |= self.own.body() if self.own else self.words()
        body["name"] = name or self.identifier(own_name or self.sbml.getId())
        title = class_name if class_name.isidentifier() else "".join(w.capitalize() for w in body["name"].split("_"))
        try:
            return type(title or "Imported", (Model,), body)
        except DeclarationError as error:
            advice = "; without the annotations of livingdrug it is read with bare numbers" if self.own else ""
            raise InputError(f"{self.file}: the model in it cannot be run: {error}{advice}") from None

    def identifier(self, text: str) -> str:
        """Name of the model in the file as a name in Python."""
        return Names(keyword.kwlist).take(text) if text else "imported"

    def rate(self, name: str) -> Expression:
        """Rate of change of a state per day."""
        q = self.quantities
        if name in q.rules:
            found = self.reader.read(q.formula(q.rules[name]), q.now)
            if self.own and self.is_infused(name):
                found = found.operands[0] if found.operation == "add" else found
        else:
            found = self.reaction_rate(name) if name in q.reacting else Number(0.0)
        if isinstance(found, Number) and found.value == 0:
            return found
        return found if self.unit is None else found / self.unit

    def is_infused(self, name: str) -> bool:
        """Whether one of our own files adds an infusion to the rate of a state."""
        return any(self.own.words(e).get("target") == name for e in self.sbml.getListOfParameters())

    def reaction_rate(self, name: str) -> Expression:
        """All that reactions add to a species and take from it, per unit of time of the file."""
        q, total = self.quantities, None
        species = q.species[name]
        for reaction in q.reactions.values():
            sides = ((reaction.getListOfReactants(), False), (reaction.getListOfProducts(), True))
            for reference, made in [(r, made) for side, made in sides for r in side if r.getSpecies() == name]:
                flow = self.times(self.stoichiometry(reference), q.now[reaction.getId()])
                total = (flow if made else -flow) if total is None else total + flow if made else total - flow
        found = total if total is not None else Number(0.0)
        factor = species.getConversionFactor() or self.sbml.getConversionFactor() if species.getLevel() == 3 else ""
        if factor and factor not in q.now:
            raise self.refuse(species, f"its conversion factor {factor!r} has no value")
        if factor:
            found = found * q.now[factor]
        if q.is_concentration(name) and not q.is_kept_as_amount(name):
            found = found / q.room(species, q.now)
        return found

    def stoichiometry(self, reference: Any) -> Expression:
        """How many of a species a reaction makes or takes."""
        q = self.quantities
        if reference.getId() in q.now:
            return q.now[reference.getId()]
        if hasattr(reference, "isSetStoichiometryMath") and reference.isSetStoichiometryMath():
            return self.reader.read(q.formula(reference.getStoichiometryMath()), q.now)
        value = reference.getStoichiometry()
        if not math.isfinite(value):
            raise self.refuse(reference, f"the stoichiometry of {reference.getSpecies()!r} is not given")
        return Number(value)

    def times(self, count: Expression, rate: Expression) -> Expression:
        return rate if isinstance(count, Number) and count.value == 1 else count * rate

    def set_starts(self) -> None:
        """Initial values; where the file has no units, how small an error no longer matters."""
        q = self.quantities
        sizes = {}
        for name, state in q.states.items():
            found = simple(q.start_of_state(name))
            state.initial = found.value / to_canonical(state.unit) if isinstance(found, Number) else found
            sizes[name] = abs(
                float(evaluate(found, {p: p.value for p in q.attributes.values() if isinstance(p, Parameter)}))
            )
        if self.own:
            return
        seen = [size for size in sizes.values() if math.isfinite(size) and size > 0]
        for name, state in q.states.items():
            size = sizes[name] if sizes[name] in seen else min(seen, default=1.0)
            state.floor = max(_SMALL * size, 1e-60)

    def outputs(self) -> dict[str, Output]:
        """What rules assign; in a file of another program also each species in the other of its two measures."""
        q, found = self.quantities, {}
        for name in q.all:
            words = self.own.words(q.all[name])
            if not q.is_assigned(name) or words.get("role") in ("definition", "part"):
                continue
            formula = q.now[name]
            if words.get("role") == "output":
                found[name] = _own_output(formula, words.get("unit", "1"), words.get("meaning"))
                continue
            word = self.names.take(f"{name}_value" if name in VOCABULARY else name)
            found[word] = Output(formula, NO_UNIT, q.all[name].getName() or f"{name} of the file")
        return found if self.own else found | self.other_measures()

    def other_measures(self) -> dict[str, Output]:
        """Amounts of concentrations, concentrations of amounts, and the value of any other state."""
        q, found = self.quantities, {}
        for name, state in q.states.items():
            room = q.now.get(q.species[name].getCompartment()) if name in q.species else None
            if q.is_kept_as_amount(name):
                word, formula = name, q.now[name]
            elif room is not None and q.is_concentration(name):
                word, formula = f"amount_of_{name}", state * room
            elif room is not None and number_of(room) != 0:
                word, formula = f"concentration_of_{name}", state / room
            else:
                word, formula = f"value_of_{name}", state
            word = self.names.take(f"{word}_value" if word in VOCABULARY else word)
            found[word] = Output(formula, NO_UNIT, f"{word.replace('_', ' ')} of the file")
        return found

    def definitions(self) -> dict[str, Expression]:
        """Named formulas of our own files."""
        q, found = self.quantities, {}
        for name in q.all:
            word = self.own.words(q.all[name]).get("definition", "")
            if word and q.is_assigned(name) and q.now[name].operands:
                found[self.names.take(word)] = q.now[name]
        return found

    def used_symbols(self, rates: list[Expression], events: list[Event], outputs: dict[str, Output]) -> dict[str, Any]:
        """States and parameters as class attributes; parameters that nothing uses are left out, and said so."""
        q = self.quantities
        formulas = [*rates, *(s.initial for s in q.states.values()), *(o.expression for o in outputs.values())]
        formulas += [part for e in events for part in (e.amount, e.at, e.duration)]
        used = {id(n) for f in formulas if isinstance(f, Expression) for n in walk(f)} | {id(e.target) for e in events}
        unused = [n for n, s in q.attributes.items() if isinstance(s, Parameter) and id(s) not in used]
        if unused:
            self.notes.append(f"Left out because nothing depends on it: {', '.join(unused[:40])}.")
        found: dict[str, Any] = {n: s for n, s in q.attributes.items() if n not in unused}
        if self.unit is not None and id(self.unit) in used:
            found[self.unit_name] = self.unit
        return found

    def words(self) -> dict[str, Any]:
        """Title and limits of a model of another program."""
        title = self.sbml.getName() or self.sbml.getId() or "A model without a name"
        renamed = [f"{old} is {new} here" for old, new in self.names.changed.items()]
        notes = [*self.notes, *([f"Renamed: {'; '.join(renamed[:40])}."] if renamed else [])]
        return {"__doc__": f"{title} (read from SBML).", "limitations": notes}


def _own_output(formula: Expression, unit: str, meaning: str | None) -> Output:
    """An output of ours in its declared unit: the file divides its formula by the factor of the unit."""
    factor = to_canonical(unit)
    if factor == 1.0:
        return Output(formula, unit, meaning)
    last = formula.operands[1] if formula.operation == "div" else None
    if isinstance(last, Number) and math.isclose(last.value, factor, rel_tol=1e-12):
        return Output(formula.operands[0], unit, meaning)
    return Output(formula * factor, unit, meaning)
