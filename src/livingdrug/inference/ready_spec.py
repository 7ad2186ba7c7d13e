"""A statistical model written as a TOML file: a model ready to fit with changes, or any model of the library.

    omega = [["peak", "contraction"]]      # correlated effects; or "full"

    [parameters]
    decline = 0.0032                       # a number: held

    [parameters.peak]
    value = 20000                          # first guess
    spread = "lognormal"                   # how patients differ; "none" takes a spread away
    sd = 0.6
    covariates = [{ column = "WT", form = "power", centre = 70.0 }]

    [endpoints.car_t_transgene_blood]
    residual = "log_additive"
    start = [0.4]
    blq = "M3"
    limit = 50.0

    [mixture]                              # classes that nobody has seen, besides the reference class
    parameter = "peak"
    shifts = { low = -1.5 }                # of its typical value, on the scale of the effects (here: the logarithm)
    shares = { low = 0.2 }

What is not named keeps what the model ready to fit says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from livingdrug.declared import Declared, Number, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.inference import residual as residuals
from livingdrug.inference.ready import READY, ready
from livingdrug.inference.saem import SaemSettings
from livingdrug.inference.statistical import Effect, Endpoint, Estimate, Mixture, StatisticalModel
from livingdrug.model.symbols import Spread

__all__ = ["Specification", "fit_models", "read_specification", "statistical_model"]

Scale = Literal["lognormal", "normal", "logitnormal"]
CLOSED_FORMS: dict[str, tuple[str, ...]] = {
    "one_compartment": ("central",), "one_compartment_oral": ("depot", "central"), "two_compartment": ("central",),
    "two_compartment_oral": ("depot", "central"), "emax": ("level",), "logistic_growth": (),
    "biexponential": ("scale",),
}  # fmt: skip
"""Closed forms that a file can name, with their options."""


class CovariateSpec(Declared):
    """Effect of a column of the data on a parameter."""

    column: Text
    form: Literal["power", "exponential", "category"] = "power"
    centre: Number = 0.0
    value: Number = 0.0
    fixed: bool = False
    reference: Text | None = None


class ParameterSpec(Declared):
    """What is changed of one parameter."""

    value: Number | None = None
    spread: Scale | Literal["none"] | None = None
    sd: Number | None = None
    occasions: Number | None = None
    scale: Scale | None = None
    limits: tuple[Number, Number] | None = None
    fixed: bool | None = None
    fixed_spread: bool | None = None
    covariates: tuple[CovariateSpec, ...] = ()


class EndpointSpec(Declared):
    """One endpoint: its residual, limit and method for values below it."""

    residual: Literal["additive", "proportional", "combined", "combined_deviations", "log_additive", "power"] | None = (
        None
    )
    start: tuple[Number, ...] | None = None
    degrees: Number | None = None
    blq: Text | None = None
    limit: Number | None = None
    data: Text | None = None
    scale: Text | None = None


class MixtureSpec(Declared):
    """Classes that nobody has seen, which differ in the typical value of one parameter."""

    parameter: Text
    shifts: Mapping[str, Number]
    shares: Mapping[str, Number] = {}


class SaemSpec(Declared):
    """Iterations of SAEM."""

    exploring: int = 300
    smoothing: int = 200
    chains: int | None = None


class Specification(Declared):
    """A whole file."""

    model: Text | None = None
    options: Mapping[str, Any] = {}
    parameters: Mapping[str, Number | ParameterSpec] = {}
    endpoints: Mapping[str, EndpointSpec] = {}
    omega: Literal["diagonal", "full"] | tuple[tuple[Text, ...], ...] | None = None
    compartments: Mapping[str, Text] = {}
    columns: Mapping[str, Text] = {}
    mixture: MixtureSpec | None = None
    saem: SaemSpec = SaemSpec()

    def saem_settings(self) -> SaemSettings:
        """Return how SAEM runs."""
        return SaemSettings(self.saem.exploring, self.saem.smoothing, self.saem.chains)


def read_specification(path: str | Path) -> Specification:
    """Read a TOML file.

    Raises:
        InputError: the file cannot be read, or holds something unknown; the message names the place.
    """
    return declare(Specification, read_toml(path), str(path))


def fit_models() -> dict[str, str]:
    """Return the names that can be fitted, with what they are: ready, closed form, or of the library."""
    from livingdrug.library import model_names

    names = dict.fromkeys(model_names(), "library; a file must say what is estimated")
    return (
        names
        | dict.fromkeys(CLOSED_FORMS, "closed form; a file must say what is estimated")
        | {name: one.about for name, one in READY.items()}
    )


def statistical_model(name: str, spec: Specification | None = None) -> StatisticalModel:
    """Return the statistical model of a name, with the changes of a specification.

    Raises:
        InputError: an unknown name, parameter, endpoint or option, or a model that is not ready without a file.
    """
    spec = spec or Specification()
    if spec.model not in (None, name):
        raise InputError(f"the specification is for the model {spec.model!r}, not for {name!r}")
    if name in READY:
        options = dict(spec.options) | ({"columns": dict(spec.columns)} if spec.columns else {})
        return _changed(ready(name, **options), spec)
    if name not in fit_models():
        raise InputError(unknown_name("model to fit", name, fit_models(), shown=40))
    if not spec.parameters or not spec.endpoints:
        raise InputError(
            f"{name} is a structure only: --spec FILE must name the parameters that are estimated and the endpoints. "
            f"Models that are ready: {', '.join(READY)}"
        )
    return _built(name, spec)


def _changed(model: StatisticalModel, spec: Specification) -> StatisticalModel:
    parameters = dict(model.parameters)
    for name, change in spec.parameters.items():
        if name not in model.structure.parameters:
            raise InputError(unknown_name("parameter", name, model.structure.parameters, place=model.structure.name))
        old = model.estimates.get(name)
        parameters[name] = _estimate(name, change, old) if isinstance(change, ParameterSpec) else float(change)
    ends = {end.output: end for end in model.ends}
    for name, change in spec.endpoints.items():
        ends[name] = _endpoint(name, change, ends.get(name))
    omega = model.omega if spec.omega is None else spec.omega
    mixture = _mixture(spec.mixture) or model.mixture
    return replace(model, parameters=parameters, endpoints=tuple(ends.values()), omega=omega, mixture=mixture)


def _built(name: str, spec: Specification) -> StatisticalModel:
    parameters = {
        key: _estimate(key, one, None) if isinstance(one, ParameterSpec) else float(one)
        for key, one in spec.parameters.items()
    }
    ends = [_endpoint(key, one, None) for key, one in spec.endpoints.items()]
    return StatisticalModel(_structure(name, spec), parameters, ends, spec.omega or "diagonal", _mixture(spec.mixture))


def _structure(name: str, spec: Specification) -> Any:
    from livingdrug.inference import closed_form
    from livingdrug.inference.engine_model import EngineModel
    from livingdrug.library import load_model

    if name in CLOSED_FORMS:
        if spec.compartments or spec.columns:
            raise InputError(f"{name}: a closed form has no compartments or columns")
        return getattr(closed_form, name)(**_form_options(name, spec))
    if spec.options:
        raise InputError(f"{name}: options are for models ready to fit, got {', '.join(spec.options)}")
    return EngineModel(load_model(name), compartments=spec.compartments, covariates=spec.columns)


def _form_options(name: str, spec: Specification) -> dict[str, Any]:
    for option in spec.options:
        if option not in CLOSED_FORMS[name]:
            raise InputError(unknown_name(f"option of {name}", option, CLOSED_FORMS[name]))
    return {option: str(value) for option, value in spec.options.items()}


def _mixture(given: MixtureSpec | None) -> Mixture | None:
    return None if given is None else Mixture(given.parameter, given.shifts, given.shares)


def _estimate(name: str, change: ParameterSpec, old: Estimate | None) -> Estimate:
    """Return an estimate with what the file changes of it."""
    if old is None and change.value is None:
        raise InputError(f"parameters.{name}: value is missing; give a first guess")
    base = old if old is not None else Estimate(float(change.value or 0.0))
    found: dict[str, Any] = {
        key: value
        for key in ("value", "limits", "fixed", "fixed_spread", "scale")
        if (value := getattr(change, key)) is not None
    }
    if old is not None and old.fixed and change.fixed is None:
        found["fixed"] = False
    spread = _spread(name, change, base.spread)
    found["spread"] = spread
    if change.occasions is not None:
        found["occasions"] = Spread(spread.kind if spread else change.scale or base.kind, change.occasions)
    if change.covariates:
        found["covariates"] = tuple(_effect(name, one) for one in change.covariates)
    return replace(base, **found)


def _spread(name: str, change: ParameterSpec, old: Spread | None) -> Spread | None:
    if change.spread == "none":
        return None
    if change.spread is None and change.sd is None:
        return old
    kind = change.spread or (old.kind if old else None)
    sd = change.sd if change.sd is not None else old.sd if old else None
    if kind is None or sd is None:
        raise InputError(
            f'parameters.{name}: spread and sd are both needed, for example spread = "lognormal", sd = 0.3'
        )
    return Spread(kind, sd)


def _effect(name: str, one: CovariateSpec) -> Effect:
    if one.form == "power" and not one.centre > 0:
        raise InputError(f"parameters.{name}.covariates: a power effect of {one.column!r} needs a centre above 0")
    return Effect(one.column, one.form, one.centre, one.value, one.fixed, one.reference)


def _endpoint(name: str, change: EndpointSpec, old: Endpoint | None) -> Endpoint:
    base = old or Endpoint(name)
    found: dict[str, Any] = {
        key: value for key in ("blq", "limit", "data", "scale") if (value := getattr(change, key)) is not None
    }
    scatter = base.residual
    if change.residual is not None:
        scatter = _residual(name, change.residual, change.start)
    elif change.start is not None:
        scatter = replace(scatter, start=tuple(change.start))
    if change.degrees is not None:
        scatter = residuals.student_t(scatter, change.degrees)
    if len(scatter.start) != len(scatter.names):
        raise InputError(
            f"endpoints.{name}: {scatter.kind} has the parameters {', '.join(scatter.names)}, got "
            f"{len(scatter.start)} values in start"
        )
    return replace(base, residual=scatter, **found)


def _residual(name: str, kind: str, start: tuple[float, ...] | None) -> residuals.Residual:
    options = {"definition": "deviations"} if kind == "combined_deviations" else {}
    make = getattr(residuals, "combined" if kind.startswith("combined") else kind)
    try:
        return make(*(start or ()), **options)
    except TypeError:
        raise InputError(f"endpoints.{name}: {kind} cannot take {len(start or ())} values in start") from None
