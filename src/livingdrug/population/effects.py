"""The named effects by which patients, products, diseases and trials differ, read from ``effects.toml``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from livingdrug.declared import Declared, Number, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.population.copula import Correlation, correlation_matrix
from livingdrug.population.diseases import COLUMNS
from livingdrug.therapy.stated import Mark, StatedValue

__all__ = ["Covariate", "Effect", "Effects", "effects"]


class Effect(Declared):
    """A factor on parameters of the body: title, powers, and the SD of its logarithm between patients."""

    title: Text
    on: dict[str, Number]
    spread: StatedValue


class Covariate(Declared):
    """A covariate, relative to the disease's median, to some powers on parameters of the body."""

    on: dict[str, Number]
    source: Text = ""
    mark: Mark = "assumed"
    note: Text = ""


class Effects(Declared):
    """All effects, their correlations between patients, the covariates that act, and a few numbers."""

    correlations: tuple[Correlation, ...] = ()
    effects: dict[str, Effect] = Field(min_length=1)
    covariates: dict[str, Covariate]
    direct: dict[str, Text]
    values: dict[str, StatedValue]
    replaced: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        from livingdrug.body.twin import TwinBody

        columns = (*COLUMNS, "burden_cells")
        for name in (*self.covariates, *self.direct):
            if name not in columns:
                raise InputError(unknown_name("column of the patients", name, columns))
        acted_on = [
            *self.replaced,
            *self.direct.values(),
            *(p for on in (*self.on.values(), *self.covariate_on.values()) for p in on),
        ]
        for name in acted_on:
            if name not in TwinBody.parameters:
                raise InputError(unknown_name("parameter of the body", name, TwinBody.parameters))
        correlation_matrix(tuple(self.effects), self.correlations)
        return self

    @property
    def on(self) -> dict[str, dict[str, float]]:
        """Effect -> parameter -> power."""
        return {name: effect.on for name, effect in self.effects.items()}

    @property
    def covariate_on(self) -> dict[str, dict[str, float]]:
        """Covariate -> parameter -> power."""
        return {name: covariate.on for name, covariate in self.covariates.items()}

    @property
    def governed(self) -> tuple[str, ...]:
        """Parameters whose differences come from effects and covariates, not from a spread of their own."""
        acted_on = [p for on in self.on.values() for p in on]
        return tuple(dict.fromkeys([*acted_on, *self.direct.values(), *self.replaced]))

    def value(self, name: str) -> float:
        """Return one of the few numbers; an unknown name is an InputError."""
        if name not in self.values:
            raise InputError(unknown_name("number of the effects", name, self.values))
        return float(self.values[name].quantile(0.5))


@cache
def effects() -> Effects:
    """Return the effects of this version."""
    path = Path(__file__).with_name("effects.toml")
    return declare(Effects, read_toml(path), path.name)
