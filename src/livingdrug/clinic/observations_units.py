"""Units of a chart: how wards and laboratories write them, and the way to the unit in which an item is kept.

Example:
    >>> convert_observation(102.2, "degF", "temperature")
    39.0
    >>> round(convert_observation(12.0, "kPa", "systolic_pressure"), 2)
    90.01
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from livingdrug.clinic.observations_items import ITEMS, item
from livingdrug.errors import InputError, unknown_name

__all__ = ["convert_observation", "plain_unit", "unit_factors", "units_of"]

KPA = 7.500615758456564  # mmHg in a kilopascal: 1000 Pa / 133.322387415 Pa (SI brochure, table 8)
CREATININE = 1 / 88.42  # mg/dL in 1 umol/L: molar mass 113.12 g/mol
BILIRUBIN = 1 / 17.10  # mg/dL in 1 umol/L: molar mass 584.66 g/mol
TRIGLYCERIDES = 88.57  # mg/dL in 1 mmol/L: molar mass 885.7 g/mol (triolein, the laboratories' custom)
HAEMOGLOBIN = 1.6114  # g/dL in 1 mmol/L of the monomer, 16114 g/mol

_MASS = {"g": 1e12, "mg": 1e9, "ug": 1e6, "ng": 1e3, "pg": 1.0}
_VOLUME = {"L": 1.0, "dL": 0.1, "mL": 1e-3, "uL": 1e-6}
_CONCENTRATION = {f"{m}/{v}": _MASS[m] / _VOLUME[v] for m in _MASS for v in _VOLUME}
_PER_LITRE = {"/L": 1.0, "/dL": 10.0, "/mL": 1e3, "/uL": 1e6, "/mm3": 1e6, "/nL": 1e9}
_COUNT = {f"{n}{v}": f * _PER_LITRE[v] for n, f in (("", 1.0), ("cell", 1.0), ("cells", 1.0)) for v in _PER_LITRE}
_COUNT |= {f"1{v}": f for v, f in _PER_LITRE.items()}
_COUNT |= {f"1e{p}{v}": 10.0**p * f for p in (3, 6, 9) for v, f in _PER_LITRE.items()}
_COUNT |= {"G/L": 1e9, "K/uL": 1e9, "thou/uL": 1e9, "K/mm3": 1e9}
_ENZYME = {"U/L": 1.0, "IU/L": 1.0, "ukat/L": 60.0, "nkat/L": 0.06}

Factors = dict[str, tuple[float, float]]


def _plain(factors: dict[str, float], kept: str, **more: float) -> Factors:
    whole = {unit: (factor / factors[kept], 0.0) for unit, factor in factors.items()}
    return whole | {unit.replace("_per_", "/"): (factor, 0.0) for unit, factor in more.items()}


_UNITS: dict[str, Factors] = {
    "degC": {"degC": (1, 0), "degF": (5 / 9, -160 / 9), "K": (1, -273.15)},
    "mmHg": {"mmHg": (1, 0), "kPa": (KPA, 0)},
    "1/min": {"1/min": (1, 0), "1/s": (60, 0)},
    "percent": {"percent": (1, 0), "fraction": (100, 0)},
    "L/min": {"L/min": (1, 0), "mL/min": (1e-3, 0), "L/h": (1 / 60, 0)},
    "ug/min": {"ug/min": (1, 0), "mg/h": (1000 / 60, 0), "ug/h": (1 / 60, 0), "mg/min": (1000, 0)},
    "year": {"year": (1, 0), "month": (1 / 12, 0), "day": (1 / 365.25, 0), "week": (7 / 365.25, 0)},
    "kg": {"kg": (1, 0), "g": (1e-3, 0), "lb": (0.45359237, 0)},
    "U/L": {unit: (factor, 0.0) for unit, factor in _ENZYME.items()},
    "1": {"1": (1, 0)},
    **{kept: _plain(_CONCENTRATION, kept) for kept in ("mg/L", "ug/L", "mg/dL", "g/dL", "pg/mL")},
    "cell/uL": _plain(_COUNT, "cell/uL"),
    "1e9/L": _plain(_COUNT, "1e9/L"),
}
_OWN: dict[str, Factors] = {
    "creatinine": {"umol/L": (CREATININE, 0)},
    "creatinine_upper": {"umol/L": (CREATININE, 0)},
    "bilirubin": {"umol/L": (BILIRUBIN, 0)},
    "bilirubin_upper": {"umol/L": (BILIRUBIN, 0)},
    "triglycerides": {"mmol/L": (TRIGLYCERIDES, 0)},
    "haemoglobin": {"mmol/L": (HAEMOGLOBIN, 0)},
    "csf_pressure": {"cmH2O": (0.0980665 * KPA, 0)},
}
_SPELLINGS = {
    "c": "degC", "°c": "degC", "cel": "degC", "f": "degF", "°f": "degF", "[degf]": "degF", "mm[hg]": "mmHg",
    "%": "percent", "bpm": "1/min", "/min": "1/min", "beats/min": "1/min", "{beats}/min": "1/min", "lpm": "L/min",
    "": "1", "{score}": "1", "score": "1", "a": "year", "years": "year", "yr": "year", "mo": "month", "d": "day",
    "wk": "week", "[lb_av]": "lb", "[iu]/l": "IU/L",
}  # fmt: skip


def units_of(name: str) -> tuple[str, ...]:
    """Return the units that are understood for an item, the one in which it is kept first."""
    kept = item(name).unit
    others = {**_UNITS[kept], **_OWN.get(name, {})}
    return (kept, *(unit for unit in others if unit != kept))


def unit_factors(name: str, unit: str) -> tuple[float, float] | None:
    """Return factor and offset from a unit, as written in a chart, to the item's own; None if it is not understood."""
    known = {**_UNITS[ITEMS[name].unit], **_OWN.get(name, {})}
    spelling = plain_unit(unit)
    lower = {unit.lower(): unit for unit in known}
    # Capitals carry meaning in few units (mg, Mg), and none of those stand in one item's list.
    return known.get(spelling) or known.get(lower.get(spelling.lower(), ""))


def convert_observation(value: Any, unit: str, name: str) -> Any:
    """Return a value (a number or an array) of an item in the unit in which the item is kept.

    Raises:
        InputError: the unit is not one of this item; without a unit only scores and counts are understood.
    """
    found = unit_factors(item(name).name, unit)
    if found is None:
        raise InputError(unknown_name(f"unit of {name}", unit, units_of(name)))
    factor, offset = found
    return value * factor + offset


def plain_unit(unit: str) -> str:
    """Return a unit without the ways in which wards write it differently (``mcg``, ``µg``, ``x10^9 / l``)."""
    text = (
        unicodedata.normalize("NFKC", unit)
        .strip()
        .replace("µ", "u")
        .replace("μ", "u")
        .replace("mcg", "ug")
        .replace("³", "3")
    )
    text = _SPELLINGS.get(text.lower(), text)
    text = re.sub(r"\{[^{}]{0,20}\}", "", text)
    text = re.sub(r"^x?\s*10(?:\*\*|\*|\^|e)?([369])(?=\s*/)", r"1e\1", text)
    text = re.sub(r"\s*/\s*", "/", text).replace("/l", "/L").replace("/dl", "/dL").replace("/ul", "/uL")
    return text.replace("/ml", "/mL").replace("/ cumm", "/mm3").replace("/cumm", "/mm3")
