"""Release: the product is tested against its limits, and the dose is filled.

The dose is the target per kilogram, at most the cap, at most what was made. All failing tests are named, not only
the first one.

Left out: measurement error, sterility, endotoxin, mycoplasma, replicating virus, beads, potency, results that arrive
after release, release out of specification, repeated manufacture, losses by freezing and thawing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.therapy.declared import Declared
from livingdrug.therapy.multiplication import Product
from livingdrug.therapy.stage import Stage, require
from livingdrug.therapy.stated import Fixed, Fraction, StatedValue, within

__all__ = ["Dose", "ReleasePlan", "failing_tests", "release"]


class ReleasePlan(Declared):
    """What must hold for release, and how much is given."""

    least_viability: Fraction = Fixed(
        value=0.80, unit="fraction", source="cd20release2024", mark="read", note="limit of a published CAR product"
    )
    least_car_positive: Fraction = Fixed(
        value=0.10, unit="fraction", source="cd20release2024", mark="read", note="limit of a published CAR product"
    )
    most_copies_per_car_cell: Annotated[StatedValue, within("copy/cell")] = Fixed(
        value=5.0, unit="copy/cell", source="cd20release2024", mark="read", note="copies per transduced cell"
    )
    least_dose: Annotated[StatedValue, within("cell/kg")] = Fixed(
        value=1e6, unit="cell/kg", source="yescarta2024", mark="read"
    )
    target_dose: Annotated[StatedValue, within("cell/kg", above=True)] = Fixed(
        value=2e6, unit="cell/kg", source="yescarta2024", mark="read"
    )
    most_cells: Annotated[StatedValue, within("cell", above=True)] = Fixed(
        value=2e8, unit="cell", source="yescarta2024", mark="read"
    )


@dataclass(frozen=True, eq=False, repr=False)
class Dose(Stage):
    """Living CAR T cells released for infusion, and the cells of the product that are left over."""

    COLUMNS: ClassVar = {"dose_cells": "cell", "left_over_car_t_cells": "cell"}

    @property
    def cells(self) -> NDArray[np.float64]:
        """Living CAR T cells in the bag, shape (n,)."""
        return self.patients["dose_cells"]

    @property
    def cells_per_kg(self) -> NDArray[np.float64]:
        """Living CAR T cells per kilogram of body weight, shape (n,)."""
        return self.cells / self.patients["weight_kg"]


def failing_tests(product: Product, plan: ReleasePlan, *, seed: int = 0) -> dict[str, NDArray[np.bool_]]:
    """Return for each release test who fails it: reason -> mask, shape (n,)."""
    ids = product.patients.ids

    def limit(name: str) -> NDArray[np.float64]:
        return getattr(plan, name).draw(seed, ids, name)

    # a patient so heavy that the cap itself lies below the least dose per kilogram needs the cap only
    needed = np.minimum(limit("least_dose") * _weight(product.patients), limit("most_cells"))
    return {
        "viability too low": product.viability < limit("least_viability"),
        "too few CAR-positive cells": product.patients["car_positive"] < limit("least_car_positive"),
        "too many gene copies": product.patients["copies_per_car_cell"] > limit("most_copies_per_car_cell"),
        "dose too small": product.car_t_cells < needed,
    }


def _weight(patients: Patients) -> NDArray[np.float64]:
    require(patients, {"weight_kg": "kg"}, "release")
    weight = patients["weight_kg"]
    if np.any(weight == 0):
        raise InputError(f"release needs a weight above 0 kg, got 0 for patient {patients.ids[np.argmin(weight)]}")
    return weight


def release(product: Product, plan: ReleasePlan | None = None, *, seed: int = 0) -> Dose:
    """Test the product and fill the dose; who fails a test leaves with all its reasons.

    Args:
        product: harvested cells; the patients need the column ``weight_kg`` (kg).
        plan: limits and dose.
        seed: of the patients' random streams, for limits that vary.

    Raises:
        InputError: the weight is missing, or not positive.
    """
    plan = plan or ReleasePlan()
    target = plan.target_dose.draw(seed, product.patients.ids, "target_dose") * _weight(product.patients)
    most = plan.most_cells.draw(seed, product.patients.ids, "most_cells")
    given = np.minimum(np.minimum(target, most), product.car_t_cells)
    columns = {"dose_cells": given, "left_over_car_t_cells": product.car_t_cells - given}
    dose = Dose(product.patients.with_columns(columns, Dose.COLUMNS), product.attrition)
    tests = failing_tests(product, plan, seed=seed)
    failed = np.any(list(tests.values()), axis=0)
    reasons = ["; ".join(name for name, mask in tests.items() if mask[row]) for row in range(len(product))]
    return dose.without(failed, "release", reasons, product.patients["culture_days"])
