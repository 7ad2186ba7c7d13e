"""Doses per kilogram in a chart: turned into doses by the patient's weight, or reported where it is not charted.

Example:
    >>> from livingdrug.clinic.observations import observe
    >>> rows = [("P1", 2.0, "vasopressor_dose", 0.3, "ug/kg/min"), ("P1", -1.0, "weight", 70, "kg")]
    >>> observe(rows).table.query("item == 'vasopressor_dose'")["value"].tolist()
    [21.0]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from livingdrug.clinic.observations_items import ITEMS
from livingdrug.clinic.observations_units import plain_unit, unit_factors

__all__ = ["PER_KILOGRAM", "without_kilograms"]

DOSE = "vasopressor_dose"
PER_KILOGRAM = {"ug/kg/min": 1.0, "ng/kg/min": 1e-3, "mg/kg/h": 1000 / 60, "ug/kg/h": 1 / 60}
"""Unit -> micrograms per kilogram and minute."""


def without_kilograms(rows: Any, report: Callable[[Any, Any, str], None]) -> Any:
    """Return a chart's rows with doses per kilogram as doses per minute; those without a weight are reported.

    Args:
        rows: patient, item, value, unit (item and unit categorical).
        report: takes rows, what was wrong, and what was done.
    """
    import pandas as pd

    factors = [PER_KILOGRAM.get(plain_unit(str(unit)).lower(), np.nan) for unit in rows["unit"].cat.categories]
    if np.isnan(factors).all():
        return rows
    factor = np.array([*factors, np.nan])[rows["unit"].cat.codes.to_numpy()]
    at = ~np.isnan(factor) & (_plain(rows["item"]) == DOSE)
    weight = rows["patient"].map(_weights(rows)).astype(float).to_numpy()
    unknown = at & np.isnan(weight)
    report(rows[unknown], "a dose per kilogram needs the patient's weight (item weight)", "set aside: not graded")
    number = np.asarray(pd.to_numeric(rows["value"], errors="coerce"), float) * factor * weight
    readable = at & ~np.isnan(number)
    value = rows["value"].astype(object).to_numpy(copy=True)
    value[readable] = np.round(number[readable], 10)
    unit = np.where(at, ITEMS[DOSE].unit, rows["unit"].astype(object).to_numpy())
    return rows.assign(value=value, unit=pd.Categorical(unit))[~unknown]


def _plain(items: Any) -> Any:
    names = np.array([str(name).strip().lower().replace(" ", "_").replace("-", "_") for name in items.cat.categories])
    return np.append(names, "")[items.cat.codes.to_numpy()]


def _weights(rows: Any) -> dict[Any, float]:
    """Return the last possible weight of each patient, in kg."""
    import pandas as pd

    one = ITEMS["weight"]
    part = rows[_plain(rows["item"]) == one.name]
    factor = {unit: (unit_factors(one.name, str(unit)) or (np.nan, 0.0))[0] for unit in part["unit"].unique()}
    number = np.asarray(pd.to_numeric(part["value"], errors="coerce"), float)
    number = number * np.array([factor[unit] for unit in part["unit"]], float)
    possible = (number >= one.least) & (number <= one.most)
    return dict(zip(part["patient"][possible], number[possible].tolist(), strict=True))
