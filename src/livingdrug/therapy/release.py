"""Release: the product is tested against its limits, and the dose is filled, frozen, thawed.

Each test reads the true value with an error. All failing tests are named, not only the first one. Results that come
after release do not hold it up; they are kept, and ``wait`` knows whether they came in time. What fails may be given
under an exception, be made again, or end there.

Left out: losses between the tests, retests, potency and beads (their limits can be loaded, no stage makes their
values), stability of the frozen bag, lots of more than one patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from livingdrug.declared import Declared
from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.streams import uniform
from livingdrug.therapy.assays import Assays, chance_below, measure
from livingdrug.therapy.bad_rows import OnBadRow, set_aside
from livingdrug.therapy.harvest import LOSSES, Losses, available, fill_bags
from livingdrug.therapy.multiplication import Product
from livingdrug.therapy.stage import Stage, require
from livingdrug.therapy.stated import Fixed, Fraction, LogitNormal, StatedValue, within
from livingdrug.therapy.timeline import collected_on

__all__ = [
    "UK_PANEL",
    "Dose",
    "OutOfSpecification",
    "Reading",
    "ReleasePlan",
    "chance_to_pass",
    "failing_tests",
    "release",
    "release_tests",
]  # fmt: skip

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
ALLOWED = {
    "viability": ("fraction", 0.0, 1.0),
    "car_positive": ("fraction", 0.0, 1.0),
    "harvested_t_cell_purity": ("fraction", 0.0, 1.0),
    "copies_per_cell": ("copy/cell", 0.0, 1e4),
    "copies_per_car_cell": ("copy/cell", 0.0, 1e4),
    "harvested_car_t_cells": ("cell", 0.0, 1e14),
    "culture_days": ("day", 0.0, 365.0),
}
WEIGHT = {"weight_kg": ("kg", 1.0, 500.0)}
NEVER_EXCUSED = ("too many gene copies", "endotoxin too high", "mycoplasma found", "replicating virus found",
                 "germs found")  # fmt: skip
NONE = Fixed(value=0.0, unit="fraction", note="no published rate at hand; a site states its own")


class OutOfSpecification(Declared):
    """What becomes of a product that fails: given under an exception, made again, or neither."""

    exception: Fraction = Fixed(value=0.0, unit="fraction", note="nothing is given out of specification")
    repeat: Fraction = Fixed(value=0.0, unit="fraction", note="nothing is made again")
    repeat_success: Fraction = Fixed(
        value=11 / 21,
        unit="fraction",
        source="ukpanel2025",
        mark="computed",
        note="11 of 21 repeats led to an infusion; by luck alone nearly all would",
    )
    repeat_days: Annotated[StatedValue, within("day")] = Fixed(
        value=21.0, unit="day", note="culture and tests once more, from cells that were kept"
    )


UK_PANEL = OutOfSpecification(
    exception=Fixed(value=19 / 58, unit="fraction", source="ukpanel2025", mark="computed", note="19 of 58"),
    repeat=Fixed(
        value=17 / 58 / (11 / 21),
        unit="fraction",
        source="ukpanel2025",
        mark="computed",
        note="so that 17 of 58 are within specification after a repeat that succeeds in 11 of 21: an input",
    ),
)
"""The British national panel: of 58 failures 19 were given out of specification, 17 after a repeat, 22 not at all."""


class ReleasePlan(Declared):
    """What must hold for release, how it is tested, what is lost on the way, and how much is given."""

    least_viability: Fraction = Fixed(
        value=0.80, unit="fraction", source="cd20release2024", mark="read", note="limit of a published CAR product"
    )
    least_t_cell_purity: Fraction = Fixed(
        value=0.80, unit="fraction", source="cd20release2024", mark="read", note="limit of a published CAR product"
    )
    least_car_positive: Fraction = Fixed(
        value=0.10, unit="fraction", source="cd20release2024", mark="read", note="limit of a published CAR product"
    )
    most_copies_per_car_cell: Annotated[StatedValue, within("copy/cell")] = Fixed(
        value=5.0, unit="copy/cell", source="cd20release2024", mark="read", note="copies per transduced cell"
    )
    most_copies_per_cell: Annotated[StatedValue, within("copy/cell")] | None = None
    least_dose: Annotated[StatedValue, within("cell/kg")] = Fixed(
        value=1e6, unit="cell/kg", source="yescarta2024", mark="read"
    )
    target_dose: Annotated[StatedValue, within("cell/kg", above=True)] = Fixed(
        value=2e6, unit="cell/kg", source="yescarta2024", mark="read"
    )
    most_cells: Annotated[StatedValue, within("cell", above=True)] = Fixed(
        value=2e8, unit="cell", source="yescarta2024", mark="read"
    )
    t_cell_purity: Fraction = LogitNormal(
        median=0.98,
        logit_sd=1.02,
        source="ari00012019",
        mark="computed",
        note="median of three batches (97.9 to 98.6 %); spread of 89 +- 10 % after selection (prodigy2018)",
    )
    losses: Losses = Losses()
    assays: Assays = Assays()
    endotoxin_high: Fraction = NONE
    mycoplasma: Fraction = NONE
    replicating_virus: Fraction = NONE
    germs: Fraction = NONE
    germs_seen_in_time: Fraction = Fixed(
        value=0.9, unit="fraction", note="share of contaminations that the fast culture finds; the final one finds all"
    )
    out_of_specification: OutOfSpecification = OutOfSpecification()


@dataclass(frozen=True, eq=False, repr=False)
class Dose(Stage):
    """Living CAR T cells to be given, what became of the others, and how the release went.

    ``left_over_car_t_cells`` is all that was harvested and is not given: the sum of the five columns after it.
    """

    COLUMNS: ClassVar = {
        "dose_cells": "cell",
        "left_over_car_t_cells": "cell",
        **dict.fromkeys(LOSSES, "cell"),
        "thawed_viability": "fraction",
        "t_cell_purity": "fraction",
        "testing_days": "day",
        "late_result_days": "day",
        "late_failure": "1",
        "out_of_specification": "1",
        "repeated": "1",
        "testing_cost_USD": "USD",
    }

    @property
    def cells(self) -> Array:
        """Living CAR T cells that are given, shape (n,)."""
        return self.patients["dose_cells"]

    @property
    def cells_per_kg(self) -> Array:
        """Living CAR T cells per kilogram of body weight, shape (n,)."""
        return self.cells / self.patients["weight_kg"]


@dataclass(frozen=True, eq=False)
class Reading:
    """One test of all products: what was read, the limit, who fails (shape (n,) each), and whether it comes late.

    A test that only finds or finds not reads 1 or 0 and has the limit 0.
    """

    reason: str
    assay: str
    unit: str
    read: Array
    limit: Array
    failed: Mask
    late: bool


def release_tests(product: Product, plan: ReleasePlan, *, seed: int = 0) -> tuple[Reading, ...]:
    """Return all release tests of the products, with errors of measurement."""
    ids, patients = product.patients.ids, _with_purity(product.patients, plan, seed)
    made = available(patients["harvested_car_t_cells"], plan.losses, seed, ids)
    tests = []
    for reason, assay, column, name in _LIMITS:
        limit = _limit(plan, name, patients, seed)
        if limit is None:
            continue
        scale = "share" if name in _SHARES else "logarithm"
        true = made if column == "dose" else patients[column]
        read = measure(true, getattr(plan.assays, assay), scale, seed, ids, assay)
        failed = read > limit if name.startswith("most") else read < limit
        unit = "cell" if column == "dose" else patients.units[column]
        tests.append(Reading(reason, assay, unit, read, limit, failed, getattr(plan.assays, assay).after_release))
    return (*tests, *_found_or_not(plan, seed, ids))


_LIMITS = (
    ("viability too low", "viability", "viability", "least_viability"),
    ("T cell purity too low", "t_cell_purity", "t_cell_purity", "least_t_cell_purity"),
    ("too few CAR-positive cells", "car_positive", "car_positive", "least_car_positive"),
    ("too many gene copies", "gene_copies", "copies_per_car_cell", "most_copies_per_car_cell"),
    ("too many gene copies", "gene_copies", "copies_per_cell", "most_copies_per_cell"),
    ("dose too small", "cell_count", "dose", "least_dose"),
)
_SHARES = ("least_viability", "least_t_cell_purity", "least_car_positive")


def _limit(plan: ReleasePlan, name: str, patients: Patients, seed: int) -> Array | None:
    stated = getattr(plan, name)
    if stated is None:
        return None
    limit = stated.draw(seed, patients.ids, name)
    if name != "least_dose":
        return limit
    # a patient so heavy that the cap itself lies below the least dose per kilogram needs the cap only
    return np.minimum(limit * _weight(patients), plan.most_cells.draw(seed, patients.ids, "most_cells"))


def _found_or_not(plan: ReleasePlan, seed: int, ids: NDArray[np.uint64]) -> list[Reading]:
    """Return the tests that find something or nothing."""
    nothing = np.zeros(ids.size)

    def happens(stated: StatedValue, name: str) -> Mask:
        if stated.support == (0.0, 0.0):
            return np.zeros(ids.size, bool)
        return uniform(seed, ids, f"chance of {name}")[:, 0] < stated.draw(seed, ids, name)

    germs = happens(plan.germs, "germs")
    seen = germs & happens(plan.germs_seen_in_time, "germs_seen_in_time") if np.any(germs) else germs
    rows = (
        ("endotoxin too high", "endotoxin", happens(plan.endotoxin_high, "endotoxin_high")),
        ("mycoplasma found", "mycoplasma", happens(plan.mycoplasma, "mycoplasma")),
        ("replicating virus found", "replicating_virus", happens(plan.replicating_virus, "replicating_virus")),
        ("germs found", "growth_of_germs", seen),
        ("germs found", "growth_of_germs_final", germs),
    )
    return [
        Reading(why, assay, "1", failed.astype(np.float64), nothing, failed, getattr(plan.assays, assay).after_release)
        for why, assay, failed in rows
    ]


def failing_tests(product: Product, plan: ReleasePlan, *, seed: int = 0) -> dict[str, Mask]:
    """Return for each reason who fails before release: reason -> mask, shape (n,)."""
    found: dict[str, Mask] = {}
    for test in release_tests(product, plan, seed=seed):
        if not test.late:
            found[test.reason] = found.get(test.reason, False) | test.failed
    return found


def chance_to_pass(product: Product, plan: ReleasePlan, *, seed: int = 0) -> dict[str, Array]:
    """Return the chance of each product to pass each test with a limit, and ``all`` of them together.

    The errors of the tests are independent, so the chances multiply. Tests that only find or find not are left out.

    Returns:
        reason of failure (or ``"all"``) -> chance, shape (n,).
    """
    ids, patients = product.patients.ids, _with_purity(product.patients, plan, seed)
    made = available(patients["harvested_car_t_cells"], plan.losses, seed, ids)
    chances: dict[str, Array] = {}
    for reason, assay, column, name in _LIMITS:
        limit = _limit(plan, name, patients, seed)
        if limit is not None:
            error = getattr(plan.assays, assay).error.draw(seed, ids, f"error size of {assay}")
            true = made if column == "dose" else patients[column]
            below = chance_below(true, limit, error, "share" if name in _SHARES else "logarithm")
            passing = below if name.startswith("most") else 1 - below
            chances[reason] = np.minimum(chances[reason], passing) if reason in chances else passing
    return {**chances, "all": np.prod(list(chances.values()), axis=0)}


def release(
    product: Product, plan: ReleasePlan | None = None, *, seed: int = 0, on_bad_row: OnBadRow = "raise"
) -> Dose:
    """Test the product and fill the dose; who fails a test leaves with all its reasons, unless the plan excuses it.

    Args:
        product: harvested cells; the patients need the column ``weight_kg`` (kg), and may have
            ``harvested_t_cell_purity`` (fraction).
        plan: limits, assays, losses, dose, and what becomes of failures.
        seed: of the patients' random streams.
        on_bad_row: refuse impossible values (``"raise"``), or let those patients leave with the reason (``"mark"``).

    Raises:
        InputError: the weight is missing or not positive, or a value is impossible, e.g. a viability of 120 %.
    """
    plan = plan or ReleasePlan()
    product = _possible(product, on_bad_row)
    product = Product(_with_purity(product.patients, plan, seed), product.attrition)
    patients = product.patients
    tests = release_tests(product, plan, seed=seed)
    stopping = [test for test in tests if not test.late]
    failed = np.any([test.failed for test in stopping], axis=0)
    fates = _fates(failed, stopping, plan, seed, patients.ids)
    patients = _made_again(patients, fates["repeated"], plan, seed)
    wanted = _wanted(patients, plan, seed)
    columns = fill_bags(patients["harvested_car_t_cells"], wanted, plan.losses, seed, patients.ids)
    columns |= _how_it_went(patients, tests, fates, plan, seed)
    dose = Dose(patients.with_columns(columns, Dose.COLUMNS), product.attrition)
    empty = dose.cells == 0
    leaving = (failed & (fates["exception"] + fates["repeated"] == 0)) | (empty & failed)
    days = collected_on(patients) + patients["culture_days"] + columns["testing_days"]
    return dose.without(leaving, "release", _reasons(leaving, stopping), days)


def _possible(product: Product, on_bad_row: OnBadRow) -> Product:
    if on_bad_row == "raise":
        _weight(product.patients)
        set_aside(product.patients, ALLOWED, "release")
        return product
    kept, attrition = set_aside(product.patients, {**ALLOWED, **WEIGHT}, "release", on_bad_row, product.attrition)
    _weight(kept)
    return Product(kept, attrition)


def _weight(patients: Patients) -> Array:
    require(patients, {"weight_kg": "kg"}, "release")
    weight = patients["weight_kg"]
    if np.any(weight == 0):
        raise InputError(f"release needs a weight above 0 kg, got 0 for patient {patients.ids[np.argmin(weight)]}")
    return weight


def _with_purity(patients: Patients, plan: ReleasePlan, seed: int) -> Patients:
    """Return the patients with the share of T cells: ``harvested_t_cell_purity`` if they have it, else drawn."""
    if "harvested_t_cell_purity" in patients:
        purity = patients["harvested_t_cell_purity"]
    else:
        purity = plan.t_cell_purity.draw(seed, patients.ids, "T cells among the cells at harvest")
    return patients.with_columns({"t_cell_purity": purity}, {"t_cell_purity": "fraction"})


def _wanted(patients: Patients, plan: ReleasePlan, seed: int) -> Array:
    target = plan.target_dose.draw(seed, patients.ids, "target_dose") * _weight(patients)
    return np.minimum(target, plan.most_cells.draw(seed, patients.ids, "most_cells"))


def _fates(
    failed: Mask, tests: list[Reading], plan: ReleasePlan, seed: int, ids: NDArray[np.uint64]
) -> dict[str, Array]:
    """Return who gets a failed product under an exception, and who one that was made again (0 or 1)."""
    path, never = plan.out_of_specification, np.zeros(ids.size, bool)
    found = {"exception": never.astype(np.float64), "repeated": never.astype(np.float64)}
    if not np.any(failed):
        return found
    for test in tests:
        never = never | (test.failed & (test.reason in NEVER_EXCUSED))
    rows = np.flatnonzero(failed)
    some = ids[rows]
    luck = uniform(seed, some, "out of specification", 2)
    exception = path.exception.draw(seed, some, "exception")
    again = path.repeat.draw(seed, some, "repeat")
    excused = (luck[:, 0] < exception) & ~never[rows]
    repeated = (luck[:, 0] >= exception) & (luck[:, 0] < exception + again)
    repeated &= luck[:, 1] < path.repeat_success.draw(seed, some, "repeat_success")
    found["exception"][rows], found["repeated"][rows] = excused, repeated
    return found


def _made_again(patients: Patients, repeated: Array, plan: ReleasePlan, seed: int) -> Patients:
    """Return the patients with the products that were made again: every value at its limit at least, cells enough."""
    rows = np.flatnonzero(repeated)
    if not rows.size:
        return patients
    some = patients.take(rows)
    new = {name: np.array(patients[name]) for name in patients}
    for _, _, column, name in _LIMITS[:-1]:
        limit = _limit(plan, name, some, seed)
        if limit is not None:
            better = np.minimum if name.startswith("most") else np.maximum
            new[column][rows] = better(new[column][rows], limit)
    share = np.maximum(new["car_positive"][rows], 1e-6)
    enough = _cells_for(_wanted(some, plan, seed), plan.losses, seed, some.ids)
    new["harvested_car_t_cells"][rows] = np.maximum(new["harvested_car_t_cells"][rows], enough)
    living = np.maximum(new["harvested_t_cells"][rows], new["harvested_car_t_cells"][rows] / share)
    new["harvested_t_cells"][rows] = living
    viability = np.maximum(new["viability"][rows], 1e-9)
    new["harvested_dead_cells"][rows] = living * (1 - viability) / viability
    return patients.with_columns(new)


def _cells_for(wanted: Array, losses: Losses, seed: int, ids: NDArray[np.uint64]) -> Array:
    """Return the cells that must be in the vessel so that the bags can be filled as wanted, shape (n,)."""
    kept = losses.harvest_recovery.draw(seed, ids, "harvest_recovery") * losses.wash_recovery.draw(
        seed, ids, "wash_recovery"
    )
    needed = wanted / max(float(losses.thaw_recovery.quantile(0.5)), 1e-6) + losses.samples.draw(seed, ids, "samples")
    return needed / np.maximum(kept, 1e-6) + 10


def _how_it_went(
    patients: Patients, tests: tuple[Reading, ...], fates: dict[str, Array], plan: ReleasePlan, seed: int
) -> dict[str, Array]:
    ids, repeated = patients.ids, fates["repeated"]
    again = plan.out_of_specification.repeat_days.draw(seed, ids, "repeat_days")
    late = np.any([test.failed for test in tests if test.late], axis=0) if any(t.late for t in tests) else repeated < 0
    kept = plan.losses.thaw_viability.draw(seed, ids, "thaw_viability")
    return {
        "thawed_viability": patients["viability"] * kept,
        "testing_days": plan.assays.days(seed, ids, late=False) + repeated * again,
        "late_result_days": plan.assays.days(seed, ids, late=True) + repeated * again,
        "late_failure": (late & (repeated == 0)).astype(np.float64),
        "out_of_specification": fates["exception"],
        "repeated": repeated,
        "testing_cost_USD": plan.assays.cost(seed, ids) * (1 + repeated),
    }


def _reasons(leaving: Mask, tests: list[Reading]) -> list[str]:
    """Return the failing tests of those who leave, joined; empty for the others."""
    reasons = [""] * leaving.size
    for row in np.flatnonzero(leaving):
        reasons[row] = "; ".join(dict.fromkeys(test.reason for test in tests if test.failed[row]))
    return reasons
