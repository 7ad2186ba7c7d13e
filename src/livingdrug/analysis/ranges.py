"""Between which values a parameter is varied, and how often each value occurs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model
    from livingdrug.model.symbols import Parameter, Spread

__all__ = ["Range", "base_values", "make_ranges"]

WRITE = "write LOW:HIGH, LOW:HIGH:log, 'x2' (half to double), '10%' or 'spread'"


@dataclass(frozen=True)
class Range:
    """The values that a parameter takes.

    Attributes:
        parameter: its name, and its ``unit``.
        low, high: smallest and largest value; of a spread, its 5 % and 95 % quantiles.
        scale: ``linear`` (every value equally often), ``log`` (every ratio equally often) or ``spread``.
        typical: the value around which the others lie.
    """

    parameter: str
    unit: str
    low: float
    high: float
    scale: str
    typical: float
    spread: Spread | None = None
    limits: tuple[float, float] = (0.0, math.inf)

    def at(self, share: ArrayLike) -> NDArray[np.float64]:
        """Return the values below which the given shares (0 to 1, any shape) of all values lie."""
        u = np.asarray(share, np.float64)
        if self.spread is not None:
            return _quantile(self.spread, self.typical, self.limits, u)
        if self.scale == "log":
            values = self.low * np.exp(u * math.log(self.high / self.low))
        else:
            values = self.low + u * (self.high - self.low)
        return np.clip(values, self.low, self.high)

    @property
    def words(self) -> str:
        """The range in words, e.g. ``0.1 to 2 1/day``."""
        ends = f"{self.low:.4g} to {self.high:.4g}" + ("" if self.unit == "1" else f" {self.unit}")
        return ends + {"linear": "", "log": ", log-uniform", "spread": " (5 % to 95 % of the patients)"}[self.scale]


def make_ranges(
    model: type[Model], asked: str | Mapping[str, Any], parameters: Mapping[str, float] | None = None
) -> tuple[Range, ...]:
    """Return the ranges of the parameters that are to be varied.

    Args:
        model: a declared model.
        asked: parameter -> ``(low, high)``, ``(low, high, "log")``, ``"x2"`` (half to double, log-uniform), ``"10%"``
            (10 % less to 10 % more, uniform) or ``"spread"`` (as declared in the model, cut at its limits). The key
            ``"*"``, or a text instead of the mapping, stands for all other parameters that are not zero and not
            held by their limits (for ``"spread"``: that have one); those ranges end at the limits of the model.
        parameters: typical values where they are not the defaults.

    Raises:
        InputError: an unknown parameter, a reversed range, values outside the parameter's limits.

    Example:
        >>> from livingdrug.library import load_model
        >>> [r.words for r in make_ranges(load_model("kimmel2021"), {"kill_rate": (0.5, 2.0), "tumour_growth": "x2"})]
        ['0.5 to 2 1/day', '0.0325 to 0.13 1/day, log-uniform']
    """
    wanted = {"*": asked} if isinstance(asked, str) else dict(asked)
    base = base_values(model, parameters)
    for name in wanted:
        if name != "*" and name not in model.parameters:
            raise InputError(unknown_name("parameter", name, model.parameters, place=f"ranges of {model.name}"))
    found = [_range(model, name, spec, base[name]) for name, spec in wanted.items() if name != "*"]
    if "*" in wanted:
        spec = wanted["*"]
        others = [p for name, p in model.parameters.items() if name not in wanted and _can_vary(p, base[name], spec)]
        found += [_within_limits(_specified(p, spec, base[p.name]), p) for p in others]
    if not found:
        raise InputError(f"{model.name}: no parameter to vary with {asked!r}; name at least one: {WRITE}")
    return tuple(found)


def base_values(model: type[Model], parameters: Mapping[str, float] | None) -> dict[str, float]:
    """Return one value for every parameter: those given, else the defaults; InputError for a wrong one."""
    model.canonical(parameters or {})
    for name, value in (parameters or {}).items():
        if np.ndim(value):
            raise InputError(f"{model.name}: {name} must be one number here, got an array of shape {np.shape(value)}")
    return {name: float((parameters or {}).get(name, p.value)) for name, p in model.parameters.items()}


def _can_vary(parameter: Parameter, typical: float, spec: Any) -> bool:
    if parameter.limits[0] == parameter.limits[1]:
        return False
    return parameter.spread is not None and parameter.spread.sd > 0 if spec == "spread" else typical != 0


def _range(model: type[Model], name: str, spec: Any, typical: float) -> Range:
    parameter = model.parameters[name]
    found = _specified(parameter, spec, typical)
    low, high = parameter.limits
    if found.low < low or found.high > high:
        raise InputError(
            f"range of {name}: {found.words} leaves the limits of {model.name}, {low:g} to {high:g} {parameter.unit}"
        )
    return found


def _within_limits(found: Range, parameter: Parameter) -> Range:
    low, high = max(found.low, parameter.limits[0]), min(found.high, parameter.limits[1])
    return Range(found.parameter, found.unit, low, high, found.scale, found.typical, found.spread, found.limits)


def _specified(parameter: Parameter, spec: Any, typical: float) -> Range:
    """The range that one specification means."""
    if isinstance(spec, str):
        spec = _read(parameter.name, spec.strip())
    if spec == "spread":
        return _of_spread(parameter, typical)
    if isinstance(spec, (tuple, list)) and len(spec) == 2 and spec[0] in ("x", "%"):
        spec = _around(parameter, spec[0], spec[1], typical)
    scale = "linear"
    if isinstance(spec, (tuple, list)) and len(spec) == 3 and spec[2] in ("log", "linear"):
        scale, spec = spec[2], spec[:2]
    if not (isinstance(spec, (tuple, list)) and len(spec) == 2 and all(_finite(end) for end in spec)):
        raise InputError(f"range of {parameter.name}: {WRITE}, or a tuple (low, high); got {spec!r}")
    low, high = map(float, spec)
    if not low < high:
        raise InputError(f"range of {parameter.name}: the low end {low:g} must lie below the high end {high:g}")
    if scale == "log" and low <= 0:
        raise InputError(f"range of {parameter.name}: a log-uniform range starts above 0, got {low:g}")
    return Range(parameter.name, parameter.unit, low, high, scale, typical)


def _read(name: str, text: str) -> Any:
    """A specification given as text."""
    if text == "spread":
        return text
    try:
        if re.fullmatch(r"x.+", text):
            return "x", float(text[1:])
        if text.endswith("%"):
            return "%", float(text[:-1]) / 100
        low, high, *scale = text.split(":")
        return float(low), float(high), *scale
    except ValueError:
        raise InputError(f"range of {name}: {WRITE}; got {text!r}") from None


def _around(parameter: Parameter, kind: str, by: float, typical: float) -> Sequence[Any]:
    if kind == "%" and 0 < by <= 1 and typical != 0:
        return sorted((typical * (1 - by), typical * (1 + by)))
    if kind == "x" and 1 < by < math.inf and typical > 0:
        return typical / by, typical * by, "log"
    raise InputError(
        f"range of {parameter.name}: a factor is above 1 and a percentage from 0 to 100, around a value that is not 0 "
        f"(and positive for a factor); got {kind}{by:g} around {typical:g} {parameter.unit}"
    )


def _of_spread(parameter: Parameter, typical: float) -> Range:
    if parameter.spread is None or not parameter.spread.sd > 0:
        raise InputError(f"range of {parameter.name}: the model declares no spread for it; {WRITE}")
    if parameter.spread.kind == "logitnormal" and not parameter.limits[0] < typical < parameter.limits[1]:
        raise InputError(f"range of {parameter.name}: a logit-normal spread needs a value inside its limits")
    low, high = (float(_quantile(parameter.spread, typical, parameter.limits, np.asarray(q))) for q in (0.05, 0.95))
    return Range(parameter.name, parameter.unit, low, high, "spread", typical, parameter.spread, parameter.limits)


def _quantile(spread: Spread, typical: float, limits: tuple[float, float], u: NDArray[np.float64]) -> Any:
    """Quantiles of the declared distribution, cut off at the parameter's limits."""
    from scipy.special import ndtr, ndtri

    below, above = sorted(float(ndtr(_standard(spread, typical, end))) for end in limits)
    if spread.kind == "logitnormal":
        below, above = 0.0, 1.0
    z = ndtri(np.clip(below + u * (above - below), 1e-15, 1 - 1e-15))
    return np.clip(spread.apply(typical, z, limits), *limits)


def _standard(spread: Spread, typical: float, value: float) -> float:
    """The standard normal number that belongs to a value."""
    if spread.kind == "lognormal":
        return (math.log(value / typical) if value > 0 else -math.inf) / spread.sd
    return (value - typical) / (spread.sd * (typical if spread.kind == "relative_normal" else 1.0))


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value)
