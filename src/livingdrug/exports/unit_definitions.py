"""Units of a model as unit definitions of SBML.

Cells and copies of a transgene are counted, so both are the unit ``item``; a cubic centimetre is a cubed metre of scale
-2; SBML has no money, so US dollars have no dimension there.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from livingdrug.units import DIMENSIONLESS, Dimension, parse_unit

__all__ = ["DAY", "UnitDefinitions"]

DAY = Dimension((("day", Fraction(1)),))
"""The dimension of time, known without a look into the table of units."""

# Canonical base unit: (name of the SBML unit, power of ten, multiplier). The mmHg is that of SI brochures: 13595.1
# kg/m**3 of mercury times 9.80665 m/s**2 times 1 mm.
_BASE = {
    "day": ("second", 0, 86400.0),
    "cell": ("item", 0, 1.0),
    "copy": ("item", 0, 1.0),
    "pg": ("gram", -12, 1.0),
    "cm": ("metre", -2, 1.0),
    "pmol": ("mole", -12, 1.0),
    "K": ("kelvin", 0, 1.0),
    "mmHg": ("pascal", 0, 133.322387415),
    "USD": ("dimensionless", 0, 1.0),
}


class UnitDefinitions:
    """The unit definitions of one SBML model; each is added when it is first asked for."""

    def __init__(self, libsbml: Any, sbml_model: Any) -> None:
        self._libsbml, self._model = libsbml, sbml_model
        self._ids: dict[tuple[Dimension, float], str] = {}

    def canonical(self, dimension: Dimension) -> str:
        """Identifier of the canonical unit of a dimension, such as ``cell_per_day``."""
        return self._identifier(dimension, 1.0, str(dimension))

    def declared(self, unit: str) -> str:
        """Identifier of a unit as it was declared, such as ``cell/uL``."""
        known = parse_unit(unit)
        return self._identifier(known.dimension, known.factor, unit)

    def ratio(self, factor: float) -> str:
        """Identifier of the unit of a number that turns a canonical value into one ``factor`` times smaller."""
        return self._identifier(DIMENSIONLESS, 1.0 / factor, f"one_{factor:g}th")

    def _identifier(self, dimension: Dimension, factor: float, text: str) -> str:
        if dimension == DIMENSIONLESS and factor == 1.0:
            return "dimensionless"
        key = (dimension, factor)
        if key not in self._ids:
            self._ids[key] = self._new(_word(text))
            self._write(self._ids[key], dimension, factor)
        return self._ids[key]

    def _new(self, word: str) -> str:
        taken, k = set(self._ids.values()), 1
        while (found := word if k == 1 else f"{word}_{k}") in taken or self._libsbml.Unit.isUnitKind(found, 3, 2):
            k += 1
        return found

    def _write(self, identifier: str, dimension: Dimension, factor: float) -> None:
        definition = self._model.createUnitDefinition()
        definition.setId(identifier)
        if factor != 1.0:
            self._add(definition, "dimensionless", 1.0, 0, factor)
        for base, power in dimension.powers:
            kind, scale, multiplier = _BASE[base]
            self._add(definition, kind, float(power), scale, multiplier)

    def _add(self, definition: Any, kind: str, exponent: float, scale: int, multiplier: float) -> None:
        unit = definition.createUnit()
        unit.setKind(self._libsbml.UnitKind_forName(kind))
        unit.setExponent(exponent)
        unit.setScale(scale)
        unit.setMultiplier(multiplier)


def _word(text: str) -> str:
    """A unit as an identifier: ``1/day`` is ``per_day``, ``cell/cm**3`` is ``cell_per_cm3``."""
    powers = re.sub(r"\s*(\*\*|\^)\s*\(?(-?)([0-9]+)([./]?)([0-9]*)\)?", _power, text.strip())
    word = re.sub(r"\s*/\s*", "_per_", re.sub(r"^1\s*/", "/", powers)).strip("_")
    return re.sub(r"[^A-Za-z0-9]+", "_", word).strip("_")


def _power(match: re.Match[str]) -> str:
    _, sign, whole, point, part = match.groups()
    return ("minus" if sign else "") + whole + ("_" if point else "") + part
