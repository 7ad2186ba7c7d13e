"""Numbers that say where they come from: fixed, or varying between patients by a stated distribution.

Each carries its unit, the key of its source in ``sources.bib`` (or ``site data``, for numbers of one's own) and a
mark: ``read`` in the source, ``computed`` from numbers of the source, ``recalled`` from memory, or ``assumed``. A
report lists them all.

Example:
    >>> weight = LogNormal(median=80, log_sd=0.2, unit="kg", note="no published table at hand")
    >>> weight.mark, bool(40 < weight.draw(seed=1, patient_ids=[5], purpose="weight")[0] < 160)
    ('assumed', True)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, field_validator, model_validator

from livingdrug.declared import Declared, Number, Text
from livingdrug.errors import InputError, unknown_name
from livingdrug.sources import source_keys
from livingdrug.streams import patient_words, purpose_number, seed_words, uniform

__all__ = [
    "SITE_DATA", "Fixed", "Fraction", "LogNormal", "LogitNormal", "Normal", "Quantiles", "SourceKey", "Stated",
    "StatedValue", "Values", "stated_values", "within",
]  # fmt: skip

Array = NDArray[np.float64]
Mark = Literal["read", "computed", "recalled", "assumed"]
SITE_DATA = "site data"
"""Source of numbers that a site measured itself and no publication holds."""


def _known_source(key: str) -> str:
    if key and key != SITE_DATA and key not in source_keys():
        own = f"; for numbers of your own write {SITE_DATA!r}, and in the note which"
        raise InputError(unknown_name("source", key, source_keys(), shown=3) + own)
    return key


SourceKey = Annotated[Text, AfterValidator(_known_source)]


class Stated(Declared):
    """What all stated numbers share: unit, source key, mark and a note."""

    unit: Text = "1"
    source: SourceKey = ""
    mark: Mark = "assumed"
    note: Text = ""

    @model_validator(mode="after")
    def _source_fits_mark(self) -> Self:
        if self.mark in ("read", "computed") and not self.source:
            raise InputError(f"a number marked {self.mark!r} needs the key of its source; otherwise mark it 'assumed'")
        return self

    def quantile(self, probability: ArrayLike) -> Array:
        """Return the values below which patients lie with the given probabilities (0 to 1), same shape."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return the number or the distribution in words, with its unit."""
        raise NotImplementedError

    @property
    def support(self) -> tuple[float, float]:
        """The smallest and the largest value that can occur."""
        low, high = self.quantile([0.0, 1.0])
        return float(low), float(high)

    def draw(self, seed: int, patient_ids: ArrayLike, purpose: str | int) -> Array:
        """Return one value per patient, shape (n,), from the patient's stream for that purpose."""
        return self.quantile(uniform(seed, patient_ids, purpose)[:, 0])


class Fixed(Stated):
    """The same value for every patient."""

    kind: Literal["fixed"] = "fixed"
    value: Number

    def quantile(self, probability: ArrayLike) -> Array:
        """Return the value for every probability."""
        return np.full(np.shape(probability), self.value)

    def describe(self) -> str:
        """Return the value with its unit."""
        return f"{self.value:g} {self.unit}"

    def draw(self, seed: int, patient_ids: ArrayLike, purpose: str | int) -> Array:
        """Return the value once per patient; no random number is needed."""
        seed_words(seed)
        purpose_number(purpose)
        return np.full(patient_words(patient_ids)[0].shape, self.value)


class _Bell(Stated):
    """A normal number on some scale, cut off at ``low`` and ``high`` where these are given."""

    low: Number | None = None
    high: Number | None = None

    def _bell(self) -> tuple[float, float, Callable[[Any], Any], Callable[[float], float]]:
        """Return middle and spread on the normal scale, the way from it and the way to it."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _cut_leaves_something(self) -> Self:
        a, b = self._cut()
        if not b - a > 1e-9:
            raise InputError(f"no patient lies between low = {self.low} and high = {self.high}")
        if not np.all(np.isfinite(self.quantile([2.0**-54, 0.5, 1 - 2.0**-53]))):
            raise InputError("the distribution is so wide that its values are not finite")
        return self

    def _cut(self) -> tuple[float, float]:
        from scipy.special import ndtr

        middle, spread, _, to_normal = self._bell()
        low, high = ((-math.inf if bound is None else to_normal(bound)) for bound in (self.low, self.high))
        above = 1.0 if self.high is None else float(ndtr((high - middle) / spread))
        return float(ndtr((low - middle) / spread)), above

    def quantile(self, probability: ArrayLike) -> Array:
        """Return the quantile; probabilities 0 and 1 give the ends of the support."""
        from scipy.special import ndtri

        middle, spread, from_normal, _ = self._bell()
        a, b = self._cut()
        with np.errstate(over="ignore"):
            found = from_normal(middle + spread * ndtri(a + (b - a) * np.asarray(probability, np.float64)))
        return np.clip(found, -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high)

    def _ends(self) -> str:
        ends = [
            f"from {self.low:g}" if self.low is not None else "",
            f"up to {self.high:g}" if self.high is not None else "",
        ]
        return (", cut " + " ".join(filter(None, ends))) if any(ends) else ""


class Normal(_Bell):
    """A normal distribution, e.g. of an age; give ``low`` where values below it make no sense."""

    kind: Literal["normal"] = "normal"
    mean: Number
    sd: Annotated[Number, AfterValidator(lambda sd: _positive(sd))]

    def _bell(self) -> tuple[float, float, Callable[[Any], Any], Callable[[float], float]]:
        return self.mean, self.sd, lambda x: x, lambda x: x

    def describe(self) -> str:
        """Return mean and standard deviation in words."""
        return f"normal, mean {self.mean:g} {self.unit}, SD {self.sd:g}{self._ends()}"


class LogNormal(_Bell):
    """A positive number whose logarithm is normal."""

    kind: Literal["lognormal"] = "lognormal"
    median: Annotated[Number, AfterValidator(lambda median: _positive(median))]
    log_sd: Annotated[Number, AfterValidator(lambda sd: _positive(sd))]

    def _bell(self) -> tuple[float, float, Callable[[Any], Any], Callable[[float], float]]:
        return math.log(self.median), self.log_sd, np.exp, lambda x: math.log(x) if x > 0 else -math.inf

    def describe(self) -> str:
        """Return median and spread in words."""
        return f"log-normal, median {self.median:g} {self.unit}, SD of the logarithm {self.log_sd:.3g}{self._ends()}"


class LogitNormal(_Bell):
    """A fraction between 0 and 1 whose log-odds are normal."""

    kind: Literal["logitnormal"] = "logitnormal"
    unit: Text = "fraction"
    median: Annotated[Number, AfterValidator(lambda median: _inside(median))]
    logit_sd: Annotated[Number, AfterValidator(lambda sd: _positive(sd))]

    def _bell(self) -> tuple[float, float, Callable[[Any], Any], Callable[[float], float]]:
        from scipy.special import expit, logit

        return float(logit(self.median)), self.logit_sd, expit, lambda x: float(logit(min(max(x, 0.0), 1.0)))

    def describe(self) -> str:
        """Return median and spread in words."""
        return f"logit-normal, median {self.median:g}, SD of the log-odds {self.logit_sd:.3g}{self._ends()}"


class Quantiles(Stated):
    """Published quantiles, joined by a monotone curve (PCHIP) on a linear or logarithmic scale."""

    kind: Literal["quantiles"] = "quantiles"
    probabilities: tuple[Number, ...]
    values: tuple[Number, ...]
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _is_a_table(self) -> Self:
        p, v = self.probabilities, self.values
        if len(p) != len(v) or not 2 <= len(p) <= 10_000:
            raise InputError(
                f"a table of quantiles needs 2 to 10000 pairs, got {len(p)} probabilities, {len(v)} values"
            )
        if p[0] != 0 or p[-1] != 1 or any(b - a < 1e-12 for a, b in pairwise(p)):
            raise InputError("the probabilities of a table of quantiles must rise from 0 to 1")
        if any(b < a for a, b in pairwise(v)):
            raise InputError("the values of a table of quantiles must not fall")
        if self.scale == "log" and v[0] <= 0:
            raise InputError(f"a logarithmic scale needs positive values, got {v[0]}")
        return self

    def quantile(self, probability: ArrayLike) -> Array:
        """Return the value on the monotone curve; probabilities 0 and 1 give the ends of the table."""
        from scipy.interpolate import PchipInterpolator

        values = np.log(self.values) if self.scale == "log" else np.asarray(self.values)
        with np.errstate(all="ignore"):  # slopes of flat stretches
            found = PchipInterpolator(self.probabilities, values)(np.asarray(probability, np.float64))
        return np.clip(np.exp(found) if self.scale == "log" else found, self.values[0], self.values[-1])

    def describe(self) -> str:
        """Return median, ends and number of quantiles in words."""
        return (
            f"table of {len(self.values)} quantiles from {self.values[0]:g} to {self.values[-1]:g} {self.unit}, "
            f"median {float(self.quantile(0.5)):.4g}"
        )


class Values(Stated):
    """Measured values; each patient gets one of them by chance."""

    kind: Literal["values"] = "values"
    values: tuple[Number, ...]

    @field_validator("values")
    @classmethod
    def _some(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not 1 <= len(values) <= 1_000_000:
            raise InputError(f"1 to 1000000 values are needed, got {len(values)}")
        return values

    def quantile(self, probability: ArrayLike) -> Array:
        """Return the value at that place of the sorted list."""
        ordered = np.sort(np.asarray(self.values))
        place = np.floor(np.asarray(probability, np.float64) * ordered.size).astype(np.intp)
        return ordered[np.minimum(place, ordered.size - 1)]

    def describe(self) -> str:
        """Return count and ends of the values in words."""
        return f"one of {len(self.values)} values from {min(self.values):g} to {max(self.values):g} {self.unit}"


def _positive(value: float) -> float:
    if value <= 0:
        raise InputError(f"must be positive, got {value:g}")
    return value


def _inside(value: float) -> float:
    if not 0 < value < 1:
        raise InputError(f"must lie between 0 and 1, got {value:g}")
    return value


KINDS: dict[str, type[Stated]] = {
    "fixed": Fixed, "normal": Normal, "lognormal": LogNormal, "logitnormal": LogitNormal,
    "quantiles": Quantiles, "values": Values,
}  # fmt: skip


def _made(value: Any) -> Any:
    """Return a stated number from its table; the kind may be left out for a fixed value."""
    if isinstance(value, Stated):
        return value
    if not isinstance(value, dict):
        raise InputError(f"a number is stated as a table with value, unit and source, got {value!r:.60}")
    kind = value.get("kind", "fixed" if "value" in value else None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(unknown_name("kind of stated number", kind, KINDS))
    return KINDS[kind](**value)


def _kind_of(value: Any) -> str | None:
    return getattr(value, "kind", None)


StatedValue = Annotated[
    Annotated[Fixed, Tag("fixed")]
    | Annotated[Normal, Tag("normal")]
    | Annotated[LogNormal, Tag("lognormal")]
    | Annotated[LogitNormal, Tag("logitnormal")]
    | Annotated[Quantiles, Tag("quantiles")]
    | Annotated[Values, Tag("values")],
    Discriminator(_kind_of),
    BeforeValidator(_made),
]


def within(unit: str, low: float = 0.0, high: float = math.inf, *, above: bool = False) -> AfterValidator:
    """Return the check that a stated number has this unit and cannot leave the range (``above``: nor touch low)."""

    def check(value: Stated) -> Stated:
        if value.unit != unit:
            raise InputError(f"the unit must be {unit!r}, got {value.unit!r}")
        least, most = value.support
        if least < low or most > high or (above and isinstance(value, Fixed) and value.value == low):
            allowed = f"above {low:g}" if above else f"at least {low:g}"
            allowed += f" and at most {high:g}" if math.isfinite(high) else ""
            raise InputError(f"must be {allowed} {unit}, but {value.describe()} can reach from {least:g} to {most:g}")
        return value

    return AfterValidator(check)


Fraction = Annotated[StatedValue, within("fraction", 0.0, 1.0)]


def stated_values(plan: Declared, name: str = "") -> Iterator[tuple[str, Stated]]:
    """Yield every stated number inside a plan with its dotted name, in the order of declaration."""
    for part, value in plan.parts():
        full = f"{name}.{part}" if name else part
        if isinstance(value, Stated):
            yield full, value
        elif isinstance(value, Declared):
            yield from stated_values(value, full)
