"""Units: one small Pint registry and the canonical units in which all numbers are computed.

The canonical units are day, cell, copy (of a transgene), pg, cm, pmol, K, mmHg and USD. They are coherent: a formula
that is right in them needs no conversion factors (a volume is cm^3 = mL, a concentration of cells is cell/cm^3). Pint
is imported at the first question, never at import.

Example:
    >>> to_canonical("cell/uL")
    1000.0
    >>> convert(2.0, "1/hour", "1/day")
    48.0
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from livingdrug.errors import InputError, unknown_name

__all__ = ["DIMENSIONLESS", "UNIT_NAMES", "Dimension", "Unit", "convert", "parse_unit", "to_canonical"]

DEFINITIONS = """
day = [time]
hour = day/24 = h
minute = hour/60 = min
second = minute/60 = s
week = 7*day
year = 365.25*day
month = year/12
cell = [cell]
copy = [copy]
pg = [mass]
ng = 1e3*pg
ug = 1e6*pg
mg = 1e9*pg
g = 1e12*pg
kg = 1e15*pg
cm = [length]
mm = cm/10
um = mm/1000
m = 100*cm
mL = cm**3
uL = mL/1000
dL = 100*mL
L = 1000*mL
pmol = [substance]
nmol = 1e3*pmol
umol = 1e6*pmol
mmol = 1e9*pmol
mol = 1e12*pmol
K = [temperature]
mmHg = [pressure]
USD = [money]
percent = 1e-2
"""

UNIT_NAMES = tuple(
    name.strip()
    for line in DEFINITIONS.split("\n")
    for name in line.split("=")
    if re.fullmatch(r"[A-Za-z]+", name.strip())
)

_POWER = r"(?: *(?:\*\*|\^) *(?:-?[0-9](?:\.[0-9]{1,3})?|\(-?[0-9]/[0-9]\)))?"
_FACTOR = rf"(?:1|[A-Za-z]+{_POWER})"
_GRAMMAR = re.compile(rf" *{_FACTOR}(?: *[*/] *{_FACTOR})* *")


@dataclass(frozen=True)
class Dimension:
    """Powers of the canonical base units, such as cell/day; multiplied and raised like a unit."""

    powers: tuple[tuple[str, Fraction], ...] = ()

    def __mul__(self, other: Dimension) -> Dimension:
        powers = dict(self.powers)
        for base, power in other.powers:
            powers[base] = powers.get(base, Fraction(0)) + power
        return Dimension(tuple(sorted((b, p) for b, p in powers.items() if p)))

    def __pow__(self, exponent: float | Fraction) -> Dimension:
        exact = Fraction(exponent).limit_denominator(1000)
        return Dimension(tuple((b, p * exact) for b, p in self.powers if exact))

    def __truediv__(self, other: Dimension) -> Dimension:
        return self * other**-1

    def __str__(self) -> str:
        over = [_power_text(b, p) for b, p in self.powers if p > 0]
        under = [_power_text(b, -p) for b, p in self.powers if p < 0]
        return "/".join([" ".join(over) or "1", *under]) if self.powers else "no unit"


DIMENSIONLESS = Dimension()


@dataclass(frozen=True)
class Unit:
    """A unit that was understood: ``text`` as given, ``factor`` to canonical units, and its dimension."""

    text: str
    factor: float
    dimension: Dimension


def to_canonical(unit: str) -> float:
    """Return the factor by which a value in ``unit`` is multiplied to be in canonical units.

    Raises:
        InputError: if the unit is not known.
    """
    return parse_unit(unit).factor


def convert(value: Any, unit: str, wanted: str) -> Any:
    """Return ``value`` (a number or an array) given in ``unit`` in the unit ``wanted``.

    Raises:
        InputError: if a unit is not known or the two do not measure the same thing.
    """
    given, asked = parse_unit(unit), parse_unit(wanted)
    if given.dimension != asked.dimension:
        raise InputError(
            f"cannot convert {unit!r} [{given.dimension}] to {wanted!r} [{asked.dimension}]: they measure different "
            "things; give both in units of the same kind"
        )
    return value * (given.factor / asked.factor)


@lru_cache(maxsize=1024)
def parse_unit(text: str) -> Unit:
    """Read a unit such as ``"cell/uL"``, ``"1/day"``, ``"cm**2"`` or ``"1"`` (no unit).

    Raises:
        InputError: if it is not a product of known units with single-digit powers.
    """
    if not isinstance(text, str):
        raise InputError(f"a unit is written as text, such as 'cell/uL', got {text!r}")
    if text.strip() in ("", "1"):
        return Unit(text, 1.0, DIMENSIONLESS)
    if len(text) > 80 or not _GRAMMAR.fullmatch(text):
        raise InputError(
            f"cannot read the unit {text!r}; write products and powers such as 'cell/uL', '1/day', 'cm**2'"
        )
    for name in re.findall(r"[A-Za-z]+", text):
        if name not in UNIT_NAMES:
            raise InputError(unknown_name(f"unit in {text!r}:", name, UNIT_NAMES, shown=40))
    registry = _registry()
    root = registry.Quantity(1, registry.parse_units(text)).to_root_units()
    powers = sorted((base, Fraction(power).limit_denominator(1000)) for base, power in root.unit_items() if power)
    return Unit(text, float(root.magnitude), Dimension(tuple(powers)))


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint

    registry = pint.UnitRegistry(None, non_int_type=Fraction)  # pyright: ignore[reportArgumentType]  exact factors
    for definition in DEFINITIONS.strip().split("\n"):
        registry.define(definition)
    return registry


def _power_text(base: str, power: Fraction) -> str:
    if power == 1:
        return base
    return f"{base}**{power}" if power.denominator == 1 else f"{base}**({power})"
