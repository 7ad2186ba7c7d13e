"""What is given to the body, as doses for the engine: lymphodepletion, cells, and drugs against their side effects.

Days count from the infusion. Start the solve on day -6 or earlier when lymphodepletion is given.

Example:
    >>> course = [*lymphodepletion("flu-cy 500"), *cells(2e8)]
    >>> [(dose.target, dose.at, dose.count) for dose in course]
    [('fludarabine', -5.0, 3), ('cyclophosphamide', -5.0, 3), ('infused', 0.0, 1)]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    from livingdrug.engine.schedule import Dose

__all__ = [
    "REGIMENS", "anakinra", "anti_cd52", "cells", "growth_factor", "lymphodepletion", "platelets", "red_cells",
    "steroid", "tocilizumab",
]  # fmt: skip

# Regimen: (drug, dose on one day, number of days), from day -5 on.
REGIMENS: dict[str, tuple[tuple[str, float, int], ...]] = {
    "none": (),
    "flu-cy 250": (("fludarabine", 25.0, 3), ("cyclophosphamide", 250.0, 3)),
    "flu-cy 300": (("fludarabine", 30.0, 3), ("cyclophosphamide", 300.0, 3)),
    "flu-cy 500": (("fludarabine", 30.0, 3), ("cyclophosphamide", 500.0, 3)),
    "flu-cy 500 x 2": (("fludarabine", 30.0, 4), ("cyclophosphamide", 500.0, 2)),
    "bendamustine": (("bendamustine", 90.0, 2),),
    "flu-cy 500 and anti-CD52": (("fludarabine", 30.0, 3), ("cyclophosphamide", 500.0, 3), ("anti_cd52", 13.0, 3)),
}
"""Lymphodepletion by name, in mg/m2 a day (labels yescarta2024, kymriah2025; the antibody in mg, assumed: 39 mg)."""

# Milligrams of dexamethasone that act like one of another steroid (recalled: usual table of equivalents).
EQUIVALENTS = {"dexamethasone": 1.0, "methylprednisolone": 0.1875, "prednisone": 0.15, "hydrocortisone": 0.0375}


def _dose(target: str, amount: ArrayLike, at: ArrayLike, every: float = 1.0, count: int = 1) -> Dose:
    from livingdrug.engine.schedule import Dose

    return Dose(target, amount, at, every=every, count=count)


def lymphodepletion(regimen: str, *, infusion_day: float = 0.0) -> list[Dose]:
    """Return the doses of a regimen that begins five days before an infusion; an unknown one is an InputError."""
    if regimen not in REGIMENS:
        raise InputError(unknown_name("regimen of lymphodepletion", regimen, REGIMENS))
    return [_dose(drug, amount, infusion_day - 5.0, count=days) for drug, amount, days in REGIMENS[regimen]]


def cells(number: ArrayLike, *, day: ArrayLike = 0.0) -> list[Dose]:
    """Return an infusion of CAR T cells, one number or one per patient, shape (patient,)."""
    return [_dose("infused", number, day)]


def tocilizumab(weight_kg: ArrayLike, *, day: ArrayLike) -> list[Dose]:
    """Return one dose: 8 mg/kg, below 30 kg 12 mg/kg, at most 800 mg (``kymriah2025``); NaN days give none."""
    import numpy as np

    weight = np.asarray(weight_kg, float)
    return [_dose("toci_central", np.minimum(np.where(weight < 30, 12.0, 8.0) * weight, 800.0), day)]


def steroid(
    mg: ArrayLike, *, day: ArrayLike, drug: str = "dexamethasone", every: float = 0.25, count: int = 1
) -> list[Dose]:
    """Return doses of a corticosteroid in mg of that drug; an unknown drug is an InputError."""
    import numpy as np

    if drug not in EQUIVALENTS:
        raise InputError(unknown_name("corticosteroid", drug, EQUIVALENTS))
    return [_dose("steroid", np.asarray(mg, float) * EQUIVALENTS[drug], day, every, count)]


def anakinra(mg: ArrayLike, *, day: ArrayLike, every: float = 0.25, count: int = 1) -> list[Dose]:
    """Return doses of anakinra in mg."""
    return [_dose("anakinra", mg, day, every, count)]


def anti_cd52(mg: ArrayLike, *, day: ArrayLike, count: int = 1) -> list[Dose]:
    """Return daily doses of an antibody against CD52 in mg."""
    return [_dose("anti_cd52", mg, day, count=count)]


def growth_factor(ug_per_kg: ArrayLike = 5.0, *, day: ArrayLike, count: int = 1) -> list[Dose]:
    """Return daily doses of G-CSF in ug/kg (usual: 5; recalled)."""
    return [_dose("growth_factor", ug_per_kg, day, count=count)]


def platelets(units: ArrayLike = 1.0, *, day: ArrayLike, every: float = 1.0, count: int = 1) -> list[Dose]:
    """Return transfusions of platelets; one apheresis unit raises them by 30e9/L (recalled: 30 to 60e9/L)."""
    import numpy as np

    return [_dose("platelets", np.asarray(units, float) * 30000.0, day, every, count)]


def red_cells(units: ArrayLike = 1.0, *, day: ArrayLike, every: float = 1.0, count: int = 1) -> list[Dose]:
    """Return transfusions of red cells; one unit raises haemoglobin by 1 g/dL (recalled)."""
    return [_dose("haemoglobin", units, day, every, count)]
