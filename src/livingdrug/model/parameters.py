"""The parameters of a model as a table, and values for a cohort turned into canonical numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from livingdrug.errors import InputError, unknown_name
from livingdrug.model.symbols import Parameter

__all__ = ["ParameterTable"]


class ParameterTable(Mapping[str, Parameter]):
    """The parameters of a model by name, in the order of their declaration."""

    def __init__(self, model: str, parameters: Mapping[str, Parameter]) -> None:
        self._model = model
        self._parameters = MappingProxyType(dict(parameters))

    def __getitem__(self, name: str) -> Parameter:
        if name not in self._parameters:
            raise KeyError(unknown_name(f"parameter of {self._model}", name, self._parameters))
        return self._parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def __repr__(self) -> str:
        return f"<{len(self)} parameters of {self._model}: {', '.join(self)}>"

    def to_frame(self) -> Any:
        """Return a pandas table: name, symbol, value, unit, meaning, source, spread, spread_sd, lowest, highest."""
        import pandas as pd

        rows = [
            {
                "name": p.name,
                "symbol": p.symbol or "",
                "value": p.value,
                "unit": p.unit,
                "meaning": p.meaning,
                "source": p.source_key,
                "place": p.source_place,
                "spread": p.spread.kind if p.spread else "",
                "spread_sd": p.spread.sd if p.spread else float("nan"),
                "lowest": p.limits[0],
                "highest": p.limits[1],
            }
            for p in self.values()
        ]
        return pd.DataFrame(rows).set_index("name")

    def canonical(self, overrides: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return every parameter in canonical units.

        Args:
            overrides: for some parameters a number, or an array with one number per patient, in the declared unit.

        Returns:
            For each parameter an array of shape () or (patients,).

        Raises:
            InputError: for an unknown name, a value that is not a finite number or lies outside the parameter's
                limits (the message says which row), or arrays of different lengths.
        """
        for name in overrides:
            if name not in self._parameters:
                raise InputError(unknown_name(f"parameter of {self._model}", name, self._parameters))
        given = {name: self._checked(self._parameters[name], value) for name, value in overrides.items()}
        lengths = {name: len(values) for name, values in given.items() if values.ndim}
        if len(set(lengths.values())) > 1:
            raise InputError(
                f"{self._model}: parameters must have one value per patient, got "
                + ", ".join(f"{n} values of {name}" for name, n in lengths.items())
            )
        return {
            name: (given[name] if name in given else np.asarray(p.value, dtype=float)) * p.factor
            for name, p in self._parameters.items()
        }

    def _checked(self, parameter: Parameter, value: Any) -> np.ndarray:
        what = f"{self._model}: parameter {parameter.name!r}"
        try:
            values = np.asarray(value)
            if values.dtype.kind not in "iuf":
                raise TypeError
            values = values.astype(float)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{what} must be a number or an array of numbers, got {value!r}") from None
        if values.ndim > 1:
            raise InputError(f"{what} must have one value per patient, got an array of shape {values.shape}")
        low, high = parameter.limits
        wrong = ~np.isfinite(values) | (values < low) | (values > high)
        if np.any(wrong):
            row = int(np.argmax(wrong)) if values.ndim else None
            found = float(values if row is None else values[row])
            raise InputError(
                f"{what} must be a finite number between {low:g} and {high:g} {_unit(parameter)}, got {found:g}"
                + ("" if row is None else f" in row {row} (of {int(wrong.sum())} such rows)")
            )
        return values


def _unit(parameter: Parameter) -> str:
    return "(no unit)" if parameter.unit in ("", "1") else parameter.unit
