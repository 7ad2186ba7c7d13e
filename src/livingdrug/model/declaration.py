"""A model is declared once, as a class that reads like its paper.

Example:
    >>> from livingdrug.model.declaration import Model
    >>> from livingdrug.model.symbols import ddt, parameter, state
    >>> class Decay(Model):
    ...     "One population that dies."
    ...
    ...     cells = state("cell", "CAR T cells", initial=1e6, symbol="C")
    ...     death = parameter(0.1, "1/day", "rate of death", symbol="d")
    ...     equations = {ddt(cells): -death * cells}
    ...     outputs = {"car_t_total": cells}
    >>> Decay.name, list(Decay.states), float(Decay.canonical({"death": 0.2})["death"])
    ('decay', ['cells'], 0.2)

The class is used as a value and never instantiated. Its units, names, equations and sources are checked when it is
declared; a declaration that was once found right on this machine is recognised by its hash and not checked again, so
that neither Pint nor SymPy is imported for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn

from livingdrug.errors import DeclarationError, unknown_name
from livingdrug.model.expressions import Expression, Symbol, as_expression
from livingdrug.model.fingerprint import Writer, sha256
from livingdrug.model.parameters import ParameterTable
from livingdrug.model.remembered import checked_factors
from livingdrug.model.symbols import Derivative, Event, Jump, Output, Parameter, State, as_tuple, in_canonical
from livingdrug.model.vocabulary import CYTOKINES, VOCABULARY, unit_of

__all__ = ["Block", "Model"]

# What the author of a model writes besides states, parameters and formulas.
KEYWORDS = (
    "name", "source", "blocks", "equations", "outputs", "events", "jumps", "parameter_sets", "diseases", "antigens",
    "system", "follow_up", "claims", "errata", "limitations",
)  # fmt: skip

SYSTEMS = ("human", "mouse", "in vitro")


class Block:
    """A part of a model that is too long for one class body: subclass it and list it under ``blocks`` of the model.

    It holds states, parameters, named formulas, and the ``equations`` and ``jumps`` of some states. A block uses what
    the blocks above it declare as ``Above.name``. Names are those of the whole model: each stands once in its blocks.

    Example:
        >>> from livingdrug.model.symbols import ddt, parameter, state
        >>> class Cells(Block):
        ...     cells = state("cell", "CAR T cells", initial=1e6)
        ...     death = parameter(0.1, "1/day", "rate of death")
        ...     equations = {ddt(cells): -death * cells}
        >>> class Body(Model):
        ...     "A body of one block."
        ...
        ...     blocks = [Cells]
        ...     outputs = {"car_t_total": Cells.cells}
        >>> list(Body.states), list(Body.parameters)
        (['cells'], ['death'])
    """

    equations: ClassVar[Mapping[Derivative, Any]] = {}
    jumps: ClassVar[Sequence[Jump]] = ()


class Model:
    """Base of all models; subclass it to declare one. See the module's example.

    In the class body: ``state``, ``parameter`` and named formulas; ``equations`` (``ddt(state)`` to formula);
    ``outputs`` (word of the vocabulary to formula); and if wanted ``source`` (key in sources.bib), ``events``,
    ``jumps``, ``parameter_sets``, ``name``, ``blocks`` (parts declared apart, see :class:`Block`). What it was made
    for: ``diseases``, ``antigens`` (one text or several), ``system`` (``"human"``, ``"mouse"`` or ``"in vitro"``) and
    ``follow_up`` (the days that the paper shows). Sentences for the documentation: ``claims`` (what the paper says),
    ``errata`` (its known errors) and ``limitations``.

    Raises:
        DeclarationError: when the class is made, if anything in it does not fit.
    """

    name: ClassVar[str] = "model"
    source: ClassVar[str] = ""
    blocks: ClassVar[Sequence[type[Block]]] = ()
    equations: ClassVar[Mapping[Derivative, Any]] = {}
    outputs: ClassVar[Mapping[str, Any]] = {}
    events: ClassVar[Sequence[Event]] = ()
    jumps: ClassVar[Sequence[Jump]] = ()
    parameter_sets: ClassVar[Mapping[str, Mapping[str, float]]] = {}
    diseases: ClassVar[Sequence[str]] = ()
    antigens: ClassVar[Sequence[str]] = ()
    system: ClassVar[str] = ""
    follow_up: ClassVar[float] = 365.0
    claims: ClassVar[Sequence[str]] = ()
    errata: ClassVar[Sequence[str]] = ()
    limitations: ClassVar[Sequence[str]] = ()

    states: ClassVar[Mapping[str, State]] = {}
    parameters: ClassVar[ParameterTable] = ParameterTable("model", {})
    definitions: ClassVar[Mapping[str, Expression]] = {}
    rates: ClassVar[Mapping[State, Expression]] = {}
    fingerprint: ClassVar[str] = ""

    def __new__(cls, *_args: Any, **_values: Any) -> NoReturn:
        """Refuse to make an instance."""
        raise DeclarationError(f"the model {cls.name} is used as it is: write {cls.__name__}, not {cls.__name__}(...)")

    def __init_subclass__(cls) -> None:
        _collect(cls)
        factors = checked_factors(_everything(cls), cls)
        _assemble(cls, factors)
        cls.fingerprint = _fingerprint(cls)

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the model's docstring."""
        return (cls.__doc__ or "").strip().split("\n")[0]

    @classmethod
    def describe(cls) -> str:
        """Return the model as plain text: states, parameters, equations, outputs, sources and limits."""
        from livingdrug.model.description import describe

        return describe(cls)

    @classmethod
    def to_latex(cls) -> str:
        """Return the equations as a LaTeX ``align*`` environment with the letters of the paper."""
        from livingdrug.model.description import to_latex

        return to_latex(cls)

    @classmethod
    def canonical(cls, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return all parameters in canonical units; see :meth:`ParameterTable.canonical`."""
        return cls.parameters.canonical(overrides)

    @classmethod
    def has_cytokines(cls) -> bool:
        """Whether an output is the concentration of a cytokine."""
        return any(word in CYTOKINES for word in cls.outputs)

    @classmethod
    def has_variability(cls) -> bool:
        """Whether the paper says how patients differ in a parameter."""
        return any(p.spread is not None for p in cls.parameters.values())

    @classmethod
    def source_keys(cls) -> list[str]:
        """Return the keys of all sources of the model, its own first."""
        keys = [cls.source] + [p.source_key for p in cls.parameters.values()]
        return [key for key in dict.fromkeys(keys) if key not in ("", "assumed", "recalled")]


def _collect(cls: type[Model]) -> None:
    """Sort the class body into states, parameters and formulas, and give each its name."""
    bases = [base.__name__ for base in cls.__bases__ if base is not Model]
    if bases:
        raise DeclarationError(
            f"{cls.__name__} inherits from {', '.join(bases)}, but a model stands alone: write class "
            f"{cls.__name__}(Model)"
        )
    cls.name = vars(cls).get("name") or _snake_case(cls.__name__)
    states: dict[str, State] = {}
    parameters: dict[str, Parameter] = {}
    definitions: dict[str, Expression] = {}
    for attribute, value in _declared(cls):
        if not isinstance(value, Expression):
            _refuse(cls, attribute, value)
            continue
        _check_attribute(cls, attribute, value)
        if isinstance(value, State):
            states[attribute] = value
        elif isinstance(value, Parameter):
            parameters[attribute] = value
        else:
            definitions[attribute] = value
    cls.states = MappingProxyType(states)
    cls.parameters = ParameterTable(cls.name, parameters)
    cls.definitions = MappingProxyType(definitions)
    _collect_keywords(cls)


def _declared(cls: type[Model]) -> Iterator[tuple[str, Any]]:
    """What the blocks and the class body declare, in that order; a name that stands twice is refused."""
    cls.blocks = as_tuple(cls.blocks)
    places: dict[str, str] = {}
    for part in (*cls.blocks, cls):
        if not isinstance(part, type) or not issubclass(part, (Block, Model)):
            raise DeclarationError(f"{cls.name}: blocks must hold classes made as class Name(Block), got {part!r}")
        for attribute, value in vars(part).items():
            if attribute.startswith("_") or (attribute in KEYWORDS and (part is cls or hasattr(Block, attribute))):
                continue
            if attribute in places:
                raise DeclarationError(
                    f"{cls.name}: {attribute!r} is declared in {places[attribute]} and again in {part.__name__}; "
                    "a name stands once in a model"
                )
            places[attribute] = part.__name__
            yield attribute, value


def _refuse(cls: type[Model], attribute: str, value: Any) -> None:
    """Raise for anything in the body that is no part of a model; functions are let through."""
    if callable(value) or isinstance(value, (staticmethod, classmethod, property)):
        if hasattr(Model, attribute):
            raise DeclarationError(f"{cls.name}: {attribute!r} belongs to every model and cannot be redefined")
        return
    if isinstance(value, (int, float)):
        raise DeclarationError(
            f"{cls.name}: {attribute} = {value!r} has no unit and no source; "
            f'write {attribute} = parameter({value!r}, "unit", "meaning", source=...), or start its name with _'
        )
    raise DeclarationError(f"{cls.name}: " + unknown_name("part of a model", attribute, KEYWORDS))


def _check_attribute(cls: type[Model], attribute: str, value: Expression) -> None:
    if hasattr(Model, attribute) or attribute == "time" or not attribute.isascii():
        raise DeclarationError(
            f"{cls.name}: {attribute!r} cannot name a {type(value).__name__.lower()}; take another plain word "
            f"(not {', '.join(KEYWORDS)}, time or another attribute of Model)"
        )
    if isinstance(value, Symbol):
        if not isinstance(value, (State, Parameter)):
            raise DeclarationError(f"{cls.name}: {attribute!r} must be made by state(...) or parameter(...)")
        if value.name:
            raise DeclarationError(
                f"{cls.name}: {attribute!r} is already named {value.name!r}; each state and parameter is declared "
                "once, "
                "in one model"
            )
        value.name = attribute


def _collect_keywords(cls: type[Model]) -> None:
    for keyword in ("equations", "outputs", "parameter_sets"):
        if not isinstance(getattr(cls, keyword), Mapping):
            raise DeclarationError(f"{cls.name}: {keyword} must be a dictionary, got {getattr(cls, keyword)!r}")
    _check_words(cls)
    if not cls.name.isidentifier():
        raise DeclarationError(f"{cls.name!r} cannot name a model; take a plain word such as author2020")
    cls.jumps = [jump for part in (*cls.blocks, cls) for jump in as_tuple(part.jumps)]
    texts = ("diseases", "antigens", "claims", "errata", "limitations")
    for keyword, kind in (("events", Event), ("jumps", Jump), *((text, str) for text in texts)):
        values = as_tuple(getattr(cls, keyword))
        for value in values:
            if not isinstance(value, kind):
                raise DeclarationError(f"{cls.name}: {keyword} must hold {kind.__name__.lower()} values, got {value!r}")
        setattr(cls, keyword, values)
    equations: dict[State, Any] = {}
    for left, right in (pair for part in (*cls.blocks, cls) for pair in part.equations.items()):
        if not isinstance(left, Derivative) or not isinstance(left.state, State):
            raise DeclarationError(f"{cls.name}: the left side of an equation is ddt(state), got {left!r}")
        if left.state in equations:
            raise DeclarationError(f"{cls.name}: ddt({left.state.name}) has two equations; add them up in one")
        equations[left.state] = _formula(cls, f"ddt({left.state.name})", right)
    cls.rates = equations
    cls.outputs = {word: value if isinstance(value, Output) else Output(value) for word, value in cls.outputs.items()}


def _check_words(cls: type[Model]) -> None:
    for keyword in ("name", "source", "system"):
        if not isinstance(getattr(cls, keyword), str):
            raise DeclarationError(f"{cls.name}: {keyword} must be text, got {getattr(cls, keyword)!r}")
    if cls.system and cls.system not in SYSTEMS:
        raise DeclarationError(unknown_name("system", cls.system, SYSTEMS, place=cls.name))
    if not (isinstance(cls.follow_up, (int, float)) and 0 < cls.follow_up < float("inf")):
        raise DeclarationError(f"{cls.name}: follow_up must be a positive number of days, got {cls.follow_up!r}")


def _formula(cls: type[Model], place: str, value: Any) -> Expression:
    try:
        return as_expression(value)
    except DeclarationError as error:
        raise DeclarationError(f"{cls.name}: {place}: {error}") from None


def _everything(cls: type[Model]) -> str:
    """The declaration as canonical text: all that the checks look at."""
    writer = Writer()
    writer.values("model", cls.name, cls.source)
    for s in cls.states.values():
        writer.values("state " + s.name, s.unit, s.meaning, s.symbol, s.floor)
        writer.formula("initial", s.initial)
    for p in cls.parameters.values():
        writer.values("parameter " + p.name, p.value, p.unit, p.meaning, p.symbol, p.source, p.spread, p.limits)
    for name, definition in cls.definitions.items():
        writer.formula("definition " + name, definition)
    for s, rate in cls.rates.items():
        writer.formula("rate " + s.name, rate)
    for word, o in cls.outputs.items():
        writer.values(f"output {word!r}", o.unit, o.meaning)
        writer.formula("is", o.expression)
    for e in cls.events:
        writer.values("event", e.kind)
        for part, value in (("target", e.target), ("amount", e.amount), ("at", e.at), ("duration", e.duration)):
            writer.formula(part, value)
    for j in cls.jumps:
        writer.values("jump", j.below, j.above, *([] if j.noticed else ["unnoticed"]))
        for part, value in (("state", j.state), ("birth", j.birth), ("death", j.death)):
            writer.formula(part, value)
    for name, values in cls.parameter_sets.items():
        writer.values(f"set {name!r}", *values.items() if isinstance(values, Mapping) else (values,))
    return writer.text()


def _assemble(cls: type[Model], factors: Mapping[str, float]) -> None:
    """Turn what was declared into canonical units; everything is known to be right by now."""
    for s in cls.states.values():
        s.factor = factors[s.unit]
        s.floor = (_default_floor(s) if s.floor is None else float(s.floor)) * s.factor
        s.initial = as_expression(in_canonical(s.initial, s.factor))
    for p in cls.parameters.values():
        p.factor = factors[p.unit]
        p.value = float(p.value)
        p.limits = (float(p.limits[0]), float(p.limits[1]))
        p.model_source = cls.source
    cls.rates = MappingProxyType(dict(cls.rates))
    cls.outputs = MappingProxyType({word: _output(word, o, factors) for word, o in cls.outputs.items()})
    cls.events = tuple(_event(e) for e in cls.events)
    cls.jumps = tuple(_jump(j) for j in cls.jumps)
    cls.parameter_sets = MappingProxyType(
        {name: MappingProxyType(dict(values)) for name, values in cls.parameter_sets.items()}
    )


def _output(word: str, declared: Output, factors: Mapping[str, float]) -> Output:
    known = VOCABULARY.get(word)
    unit = unit_of(word, declared.unit)
    meaning = declared.meaning or (known.meaning if known else "")
    return Output(as_expression(declared.expression), unit, meaning, factors[unit])


def _jump(declared: Jump) -> Jump:
    levels = (declared.below * declared.state.factor, declared.above * declared.state.factor)
    rates = (as_expression(declared.birth), as_expression(declared.death))
    return Jump(declared.state, *rates, *levels, bool(declared.noticed))


def _event(declared: Event) -> Event:
    amount = as_expression(in_canonical(declared.amount, declared.target.factor))
    duration = None if declared.duration is None else as_expression(declared.duration)
    return Event(declared.kind, declared.target, amount, as_expression(declared.at), duration)


def _fingerprint(cls: type[Model]) -> str:
    """Hash of everything that matters to compiled numbers: two models with the same hash may share a kernel."""
    writer = Writer()
    writer.values("parameters", *cls.parameters)
    for s in cls.states.values():
        writer.values("state " + s.name, float(s.floor), float(s.factor))
        writer.formula("initial", s.initial)
        writer.formula("rate", cls.rates[s])
    for word, o in cls.outputs.items():
        writer.values("output " + word, o.factor)
        writer.formula("is", o.expression)
    for e in cls.events:
        writer.values("event", e.kind, e.target.name)
        for part, value in (("amount", e.amount), ("at", e.at), ("duration", e.duration)):
            writer.formula(part, value)
    for j in cls.jumps:
        writer.values("jump", j.state.name, float(j.below), float(j.above), *([] if j.noticed else ["unnoticed"]))
        writer.formula("birth", j.birth)
        writer.formula("death", j.death)
    return sha256([writer.text()])


def _default_floor(s: State) -> float:
    return 1.0 if s.unit == "cell" else 1e-6


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
