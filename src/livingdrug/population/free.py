"""The names by which a calibration speaks to a trial, and which of them are free.

A setting is a name and a number. ``expansion`` acts on everyone; ``expansion:lbcl`` on a group of diseases or one
disease, ``expansion:4-1BB`` on a kind of product, ``expansion:axi_cel`` on a product: the factors multiply.
``spread:expansion`` is the SD of the logarithm between patients, and may be narrowed in the same way.
``trial_effect:expansion`` is the logarithm of one trial's own factor, 0 by default.

Example:
    >>> [parameter.name for parameter in free_parameters()][:2], len(free_parameters()) <= 30
    (['expansion:b_all', 'expansion:lbcl'], True)
    >>> between("fl", "tisa_cel")
    {'expansion:fl': 0.6, 'killing:fl': 0.6, 'cytokine_gain:fl': 0.3}
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from livingdrug.declared import Declared, Number, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.population.diseases import DISEASES, Disease, disease
from livingdrug.population.effects import effects
from livingdrug.population.products import PRODUCTS, Product
from livingdrug.therapy.stated import Mark

__all__ = [
    "MOST_FREE",
    "TRIAL_EFFECTS",
    "FreeParameter",
    "applies",
    "between",
    "checked_settings",
    "factor",
    "free_parameters",
    "setting_names",
    "spread",
    "trial_log_sd",
]  # fmt: skip

Array = NDArray[np.float64]
MOST_FREE = 30
TRIAL_EFFECTS = ("expansion", "killing", "cytokine_gain", "brain_sensitivity")
"""Effects that differ from trial to trial for unknown reasons; killing is the reciprocal of resistance."""
CLASSES = ("CD28", "4-1BB")
PER_PRODUCT = 2
LARGEST_LOG_SD = 5.0
LARGEST_TRIAL_EFFECT = 10.0
Positive = Annotated[Number, Field(gt=0)]
Level = Literal["disease", "class", "product", "practice", "variance", "all"]


class FreeParameter(Declared):
    """A parameter that the calibration may move.

    Attributes:
        name: of the setting.
        level: to what it belongs.
        prior_median: on the natural scale; log-normal.
        prior_log_sd: of the logarithm.
        informed_by: which published results speak to it, in words.
        source: key of what the prior is from, or "" if assumed.
        mark: how it is known.
        note: why this prior.
    """

    name: Text
    level: Level
    prior_median: Positive = 1.0
    prior_log_sd: Positive
    informed_by: Text
    source: Text = ""
    mark: Mark = "assumed"
    note: Text = ""


class Between(Declared):
    """How much diseases or products without trials of their own may differ: SD of the logarithm, by effect."""

    disease: dict[str, Positive]
    product: dict[str, Positive]
    mark: Mark = "assumed"
    note: Text = ""


class Declaration(Declared):
    """All free parameters, checked against the names that exist, and the spread of what is not calibrated."""

    free: tuple[FreeParameter, ...]
    between: Between
    calibrated: dict[Literal["diseases", "products"], tuple[Text, ...]]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names, allowed = [free.name for free in self.free], setting_names()
        for name in names:
            if name not in allowed:
                raise InputError(unknown_name("setting", name, allowed))
            if names.count(name) > 1:
                raise InputError(f"the free parameter {name!r} stands there twice")
        if len(names) > MOST_FREE:
            raise InputError(f"{len(names)} free parameters are declared, at most {MOST_FREE} are allowed")
        for one in PRODUCTS:
            own = [name for name in names if name.endswith(f":{one}")]
            if len(own) > PER_PRODUCT:
                raise InputError(f"{one} has {len(own)} free parameters, at most {PER_PRODUCT} are allowed: {own}")
        return self


@cache
def _declaration() -> Declaration:
    path = Path(__file__).with_name("free_parameters.toml")
    return declare(Declaration, read_toml(path), path.name)


def free_parameters() -> tuple[FreeParameter, ...]:
    """Return the free parameters in the order of their declaration."""
    return _declaration().free


@cache
def setting_names() -> tuple[str, ...]:
    """Return every name that a setting can have."""
    places = ("", *(f":{place}" for place in (*DISEASES, *CLASSES, *PRODUCTS)))
    acting = [f"{effect}{place}" for effect in effects().effects for place in places]
    return (*acting, *(f"spread:{name}" for name in acting), *(f"trial_effect:{name}" for name in TRIAL_EFFECTS))


def checked_settings(settings: Mapping[str, ArrayLike] | None) -> dict[str, ArrayLike]:
    """Return the settings, checked; names that are not given keep their defaults where they are read.

    Raises:
        InputError: an unknown name (the nearest is named), a factor or spread that is not a positive number, or a
            trial effect that is not finite.
    """
    given = dict(settings or {})
    for name, value in given.items():
        if name not in setting_names():
            raise InputError(unknown_name("setting", name, setting_names()))
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all():
            raise InputError(f"setting {name!r} must be a number, got {value!r:.60}")
        if name.startswith("trial_effect:"):
            ok, allowed = np.abs(numbers) <= LARGEST_TRIAL_EFFECT, f"at most {LARGEST_TRIAL_EFFECT:g} up or down"
        elif name.startswith("spread:"):
            ok, allowed = (numbers >= 0) & (numbers <= LARGEST_LOG_SD), f"from 0 to {LARGEST_LOG_SD:g}"
        else:
            ok, allowed = numbers > 0, "above 0"
        if not ok.all():
            raise InputError(f"setting {name!r} must be {allowed}, got {value!r:.60}")
    return given


def _places(ill: Disease, drug: Product) -> tuple[str, ...]:
    """Where a setting may be stated for a patient, from wide to narrow."""
    own = (ill.group, ill.name) if ill.name != ill.group else (ill.name,)
    return (*own, drug.receptor.costimulation, drug.name)


def factor(settings: Mapping[str, ArrayLike], effect: str, ill: Disease, drug: Product) -> Array:
    """Return the product of all settings of an effect that apply to this disease and product."""
    found = np.asarray(1.0)
    for name in (effect, *(f"{effect}:{place}" for place in _places(ill, drug))):
        found = found * np.asarray(settings.get(name, 1.0), np.float64)
    return np.asarray(found * np.exp(np.asarray(settings.get(f"trial_effect:{effect}", 0.0), np.float64)))


def spread(settings: Mapping[str, ArrayLike], effect: str, ill: Disease, drug: Product) -> Array:
    """Return the SD of the logarithm between patients: the narrowest that is set or stated, else that of everyone."""
    for place in reversed(_places(ill, drug)):
        if f"spread:{effect}:{place}" in settings:
            return np.asarray(settings[f"spread:{effect}:{place}"], np.float64)
    if effect in ill.spreads:
        return np.asarray(ill.spreads[effect].quantile(0.5))
    if f"spread:{effect}" in settings:
        return np.asarray(settings[f"spread:{effect}"], np.float64)
    return np.asarray(effects().effects[effect].spread.quantile(0.5))


def applies(name: str, ill: Disease, drug: Product) -> bool:
    """Whether a setting acts on patients of this disease who get this product.

    Example:
        >>> from livingdrug.population.products import product
        >>> [applies(name, disease("b_all"), product("tisa_cel")) for name in ("killing:lbcl", "trial_effect:killing")]
        [False, True]
    """
    _, _, place = name.removeprefix("spread:").removeprefix("trial_effect:").partition(":")
    return not place or place in _places(ill, drug)


def between(of: str, given: str) -> dict[str, float]:
    """Return what a prediction must vary since no trial of this disease or product was calibrated: name -> log SD."""
    declared = _declaration()
    found: dict[str, float] = {}
    if disease(of).name not in declared.calibrated["diseases"]:
        found |= {f"{effect}:{of}": sd for effect, sd in declared.between.disease.items()}
    if given not in declared.calibrated["products"]:
        found |= {f"{effect}:{given}": sd for effect, sd in declared.between.product.items()}
    return found


def trial_log_sd() -> float:
    """Return the SD of the logarithm that all trial effects share."""
    return effects().value("trial_log_sd")
