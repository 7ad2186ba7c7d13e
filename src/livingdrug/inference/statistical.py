"""A statistical model: what is estimated of a structural model, how subjects differ, and how measurements scatter.

Example:
    >>> from livingdrug.inference.closed_form import one_compartment_oral
    >>> from livingdrug.model import lognormal
    >>> model = StatisticalModel(
    ...     one_compartment_oral(),
    ...     {
    ...         "ka": Estimate(1.5, lognormal(0.5)),
    ...         "CL": Estimate(3.0, lognormal(0.3)),
    ...         "V": Estimate(30.0, lognormal(0.3)),
    ...     },
    ...     Endpoint("concentration", additive(1.0)),
    ... )
    >>> model.random
    ('ka', 'V', 'CL')
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.limits import METHODS
from livingdrug.inference.residual import Residual, additive
from livingdrug.model.symbols import Spread

if TYPE_CHECKING:
    from livingdrug.inference.data import EventData
    from livingdrug.inference.problem import Problem

__all__ = [
    "Effect",
    "Endpoint",
    "Estimate",
    "Mixture",
    "StatisticalModel",
    "allometry",
    "category",
    "exponential_effect",
    "power_effect",
]

KINDS = ("lognormal", "normal", "logitnormal")
SCALES = ("natural", "log", "log10")
REFERENCE = "reference"
"""Name of the class of a mixture from which the others are told by their shifts."""


@dataclass(frozen=True)
class Effect:
    """How a covariate moves a parameter; made by :func:`power_effect` and its like.

    On the scale of the random effects it adds ``coefficient * column``, where the column is ln(x / centre) for a
    power, x - centre for an exponential, and 1 for those in a category other than the reference.
    """

    covariate: str
    form: str
    centre: float = 0.0
    value: float = 0.0
    fixed: bool = False
    reference: str | None = None


def power_effect(covariate: str, centre: float, start: float = 0.1) -> Effect:
    """Multiply a log-normal parameter by (x / centre) ** coefficient."""
    if not centre > 0:
        raise InputError(f"power effect of {covariate!r}: the centre must be positive, got {centre!r}")
    return Effect(covariate, "power", float(centre), start)


def allometry(covariate: str, centre: float, exponent: float) -> Effect:
    """Multiply a log-normal parameter by (x / centre) ** exponent, the exponent held (0.75 for a clearance)."""
    return Effect(covariate, "power", float(centre), float(exponent), fixed=True)


def exponential_effect(covariate: str, centre: float, start: float = 0.0) -> Effect:
    """Multiply a log-normal parameter by exp(coefficient (x - centre)); shift a normal one."""
    return Effect(covariate, "exponential", float(centre), start)


def category(covariate: str, reference: str | None = None, start: float = 0.0) -> Effect:
    """Give every category but the reference (the first, if not named) a coefficient of its own."""
    return Effect(covariate, "category", value=start, reference=reference)


@dataclass(frozen=True)
class Estimate:
    """A parameter that is estimated.

    Attributes:
        value: first guess of the typical value, in the structural model's unit.
        spread: how subjects differ: ``lognormal(sd)``, ``normal(sd)``, ``logitnormal(sd)`` with a first guess of the
            standard deviation, or None if they do not.
        occasions: how occasions of one subject differ, of the same kind.
        covariates: effects of covariates.
        scale: scale of a parameter without spread: ``lognormal`` (positive), ``normal`` or ``logitnormal``.
        limits: the two ends of a logit-normal parameter.
        fixed: whether the typical value is held.
        fixed_spread: whether the standard deviation is held.
    """

    value: float
    spread: Spread | None = None
    occasions: Spread | None = None
    covariates: Sequence[Effect] = ()
    scale: str = "lognormal"
    limits: tuple[float, float] = (0.0, 1.0)
    fixed: bool = False
    fixed_spread: bool = False

    @property
    def kind(self) -> str:
        """Scale on which effects are added."""
        given = self.spread or self.occasions
        return given.kind if given else self.scale


@dataclass(frozen=True)
class Endpoint:
    """Something that was measured.

    Attributes:
        output: of the structural model.
        residual: how measurements scatter around it.
        blq: method for values below the limit, ``M1`` to ``M7``.
        limit: lower limit of quantification; values below it count as censored. None takes what the data say.
        data: name of the endpoint in the data; the output's name, or the only endpoint there, if None.
        scale: the data are given as they are (``natural``) or as logarithms (``log``, ``log10``), which the
            predictions then become too.
    """

    output: str
    residual: Residual = field(default_factory=additive)
    blq: str = "M3"
    limit: float | None = None
    data: str | None = None
    scale: str = "natural"

    def data_name(self, data: EventData) -> str:
        """Return the name of this endpoint in the data."""
        if self.data is not None:
            return self.data
        return data.endpoints[0] if len(data.endpoints) == 1 else self.output


@dataclass(frozen=True)
class Mixture:
    """Subjects belong to classes that nobody has seen; the classes differ in the typical value of one parameter.

    Attributes:
        parameter: which one.
        shifts: class -> first guess of its shift from the reference class, on the scale of the effects (of the
            logarithm for a log-normal parameter).
        shares: class -> first guess of its share of the subjects; the rest is the reference class. Equal if not given.
    """

    parameter: str
    shifts: Mapping[str, float]
    shares: Mapping[str, float] = field(default_factory=dict)

    def first_shares(self) -> dict[str, float]:
        """First guesses of the shares of all classes but the reference."""
        return {name: self.shares.get(name, 1.0 / (1 + len(self.shifts))) for name in self.shifts}


@dataclass(frozen=True)
class StatisticalModel:
    """Everything that a fit needs besides data.

    Attributes:
        structure: a closed form, an :class:`livingdrug.inference.engine_model.EngineModel`, or a Model.
        parameters: name -> :class:`Estimate`, or a number that is held. A Model's other parameters keep their defaults.
        endpoints: one or several.
        omega: ``diagonal``, ``full``, or groups of parameters whose effects are correlated.
        mixture: unseen classes of subjects.
    """

    structure: Any
    parameters: Mapping[str, Estimate | float]
    endpoints: Endpoint | Sequence[Endpoint]
    omega: str | Sequence[Sequence[str]] = "diagonal"
    mixture: Mixture | None = None

    def __post_init__(self) -> None:
        from livingdrug.inference.engine_model import as_structure

        structure = as_structure(self.structure)
        object.__setattr__(self, "structure", structure)
        ends = (self.endpoints,) if isinstance(self.endpoints, Endpoint) else tuple(self.endpoints)
        object.__setattr__(self, "endpoints", ends)
        for name in self.parameters:
            if name not in structure.parameters:
                raise InputError(unknown_name("parameter", name, structure.parameters, place=structure.name))
        ordered = {name: self._one(name) for name in structure.parameters}
        object.__setattr__(self, "parameters", {name: one for name, one in ordered.items() if one is not None})
        for endpoint in ends:
            _check_endpoint(structure, endpoint)
        _check_blocks(self)
        if self.mixture is not None:
            _check_mixture(self, self.mixture)

    def _one(self, name: str) -> Estimate | None:
        given = self.parameters.get(name)
        if given is None:
            if name in self.structure.defaults:
                return None
            raise InputError(f"{self.structure.name}: the parameter {name!r} is missing; give an Estimate or a number")
        one = given if isinstance(given, Estimate) else Estimate(float(given), scale="normal", fixed=True)
        _check_estimate(name, one)
        return one

    @property
    def random(self) -> tuple[str, ...]:
        """Parameters that differ between subjects."""
        return tuple(name for name, one in self.estimates.items() if one.spread)

    @property
    def by_occasion(self) -> tuple[str, ...]:
        """Parameters that differ between occasions of one subject."""
        return tuple(name for name, one in self.estimates.items() if one.occasions)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The parameters as they are used."""
        return dict(self.parameters)  # type: ignore[arg-type]

    @property
    def ends(self) -> tuple[Endpoint, ...]:
        """The endpoints."""
        return self.endpoints  # type: ignore[return-value]

    def problem(self, data: EventData) -> Problem:
        """Join the model with data: what the estimators work on."""
        from livingdrug.inference.problem import Problem

        return Problem(self, data)

    def blocks(self) -> list[list[int]]:
        """Groups of correlated random effects, as indices into ``random``; every effect is in one group."""
        names = self.random
        if self.omega == "full":
            return [list(range(len(names)))] if names else []
        groups = [] if self.omega == "diagonal" else [sorted(names.index(n) for n in group) for group in self.omega]
        alone = [[k] for k in range(len(names)) if not any(k in group for group in groups)]
        return sorted([*groups, *alone])


def _check_estimate(name: str, one: Estimate) -> None:
    for spread in (one.spread, one.occasions):
        if spread and (spread.kind not in KINDS or not 0 < spread.sd < math.inf):
            raise InputError(
                f"{name}: the spread must be lognormal(sd), normal(sd) or logitnormal(sd) with sd above 0, got {spread}"
            )
    if one.spread and one.occasions and one.spread.kind != one.occasions.kind:
        raise InputError(f"{name}: subjects and occasions must differ on one scale")
    if one.kind not in KINDS:
        raise InputError(unknown_name("scale", one.kind, KINDS, place=name))
    low, high = {"lognormal": (0.0, math.inf), "normal": (-math.inf, math.inf)}.get(one.kind, one.limits)
    if not low < one.value < high:
        raise InputError(f"{name}: a {one.kind} value must lie between {low:g} and {high:g}, got {one.value!r}")


def _check_endpoint(structure: Any, endpoint: Endpoint) -> None:
    if endpoint.output not in structure.outputs:
        raise InputError(unknown_name("output", endpoint.output, structure.outputs, place=structure.name))
    if endpoint.blq not in METHODS:
        raise InputError(unknown_name("method for values below the limit", endpoint.blq, METHODS))
    if endpoint.scale not in SCALES:
        raise InputError(unknown_name("scale", endpoint.scale, SCALES, place=endpoint.output))
    if endpoint.residual.logarithmic and endpoint.scale != "natural":
        raise InputError(
            f"{endpoint.output}: data that are logarithms already have an additive residual on their scale; "
            "log_additive takes the logarithm itself"
        )


def _check_mixture(model: StatisticalModel, mixture: Mixture) -> None:
    if mixture.parameter not in model.estimates:
        raise InputError(unknown_name("parameter", mixture.parameter, model.estimates, place="mixture"))
    if not mixture.shifts:
        raise InputError(f"mixture of {mixture.parameter}: shifts names no class; one is enough, besides the reference")
    if REFERENCE in mixture.shifts:
        raise InputError(f"mixture: {REFERENCE!r} is the class that has no shift; give the other class another name")
    for name, shift in mixture.shifts.items():
        if not name.strip() or not name.isprintable():
            raise InputError(f"mixture: a class needs a name of printable characters, got {name!r}")
        if not math.isfinite(shift):
            raise InputError(f"mixture: the shift of {name!r} must be a number, got {shift!r}")
    for name in mixture.shares:
        if name not in mixture.shifts:
            raise InputError(unknown_name("class", name, mixture.shifts, place="mixture"))
    shares = mixture.first_shares().values()
    if min(shares) <= 0 or sum(shares) >= 1:
        raise InputError(
            f"mixture: shares must be positive and leave some for the reference class, got {mixture.shares}"
        )


def _check_blocks(model: StatisticalModel) -> None:
    if isinstance(model.omega, str) and model.omega not in {"diagonal", "full"}:
        raise InputError(unknown_name("omega", model.omega, ("diagonal", "full")))
    named = [] if isinstance(model.omega, str) else [name for group in model.omega for name in group]
    for name in named:
        if name not in model.random:
            raise InputError(unknown_name("random effect", name, model.random, place="omega"))
    if len(set(named)) < len(named):
        raise InputError(f"omega: a parameter stands in two groups, got {list(model.omega)}")
    for group in model.blocks():
        held = {model.random[k]: model.estimates[model.random[k]].fixed_spread for k in group}
        if len(set(held.values())) > 1:
            raise InputError(f"omega: correlated effects are held all or none, got {held}")
