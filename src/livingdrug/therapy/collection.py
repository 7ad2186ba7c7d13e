"""Collection: leukapheresis takes T cells from the blood.

Cells collected = collection efficiency x T cells per volume of blood x volume of blood processed. A published
regression on the logarithm of the yield stands beside it as a second method; its intercept is not public.

Left out: recruitment of cells during the run, complications, blasts and monocytes as such, the drug history (for
bendamustine see ``failure_chance``), a patient's own efficiency that comes back at the second collection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from livingdrug.declared import Declared
from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.streams import Purpose, normal, uniform
from livingdrug.therapy.bad_rows import OnBadRow, set_aside
from livingdrug.therapy.stage import Attrition, Stage, require
from livingdrug.therapy.stated import Fixed, Fraction, LogitNormal, StatedValue, within

__all__ = [
    "Apheresis",
    "CollectionPlan",
    "PhenotypeMix",
    "YieldRegression",
    "collect",
    "failure_chance",
    "regression_volume_for_target",
    "volume_for_target",
]

Array = NDArray[np.float64]
Count = Annotated[StatedValue, within("1/uL")]
Cells = Annotated[StatedValue, within("cell")]

UL_PER_L = 1e6
NORMAL_10TH = 1.2815515655446004  # minus the 10th percentile of a standard normal number
PHENOTYPES = ("naive", "central_memory", "effector_memory", "effector")
ALLOWED = {
    "cd3_per_uL": ("1/uL", 0.0, 1e5),
    "lymphocytes_per_uL": ("1/uL", 0.0, 1e6),
    "haematocrit": ("fraction", 0.05, 0.75),
}
WEIGHT = {"weight_kg": ("kg", 1.0, 500.0)}


class YieldRegression(Declared):
    """ln(T cells in 1e9) = b0 + power ln(CD3 in 1e9/L) + b haematocrit + c volume in L; b0 from a stated median."""

    count_power: Annotated[StatedValue, within("1")] = Fixed(
        value=0.86, source="oreilly2023", mark="read", note="95 % confidence 0.80 to 0.92"
    )
    per_haematocrit: Annotated[StatedValue, within("1")] = Fixed(
        value=1.30, source="oreilly2023", mark="read", note="95 % confidence 0.51 to 2.08"
    )
    per_litre: Annotated[StatedValue, within("1/L", above=True)] = Fixed(
        value=0.09, unit="1/L", source="oreilly2023", mark="read", note="95 % confidence 0.07 to 0.11"
    )
    spread: Annotated[StatedValue, within("1")] = Fixed(
        value=0.26, source="oreilly2023", mark="read", note="root mean square error of the logarithm"
    )
    anchor_efficiency: Fraction = Fixed(
        value=0.60,
        unit="fraction",
        source="cytotherapy2023collection",
        mark="assumed",
        note="the intercept is not public; a collection at the anchor has this median efficiency",
    )
    anchor_count: Annotated[StatedValue, within("1/uL", above=True)] = Fixed(value=1000.0, unit="1/uL")
    anchor_volume: Annotated[StatedValue, within("L", above=True)] = Fixed(value=5.0, unit="L")
    anchor_haematocrit: Fraction = Fixed(value=0.35, unit="fraction")

    def mean_log_yield(self, cd3_per_uL: ArrayLike, haematocrit: ArrayLike, volume: ArrayLike) -> Array:
        """Return the mean of ln(yield in 1e9 cells); arguments in 1/uL, fraction and L, broadcast."""
        with np.errstate(divide="ignore"):
            relative = np.log(np.asarray(cd3_per_uL, np.float64) / _value(self.anchor_count))
        anchor = _value(self.anchor_efficiency) * _value(self.anchor_count) * _value(self.anchor_volume) / 1e3
        return (
            math.log(anchor)
            + _value(self.count_power) * relative
            + _value(self.per_haematocrit) * (np.asarray(haematocrit) - _value(self.anchor_haematocrit))
            + _value(self.per_litre) * (np.asarray(volume) - _value(self.anchor_volume))
        )


class PhenotypeMix(Declared):
    """T cells of the bag from naive to effector: medians, scaled to a sum of one, and how far patients differ."""

    naive: Fraction = Fixed(value=0.25, unit="fraction")
    central_memory: Fraction = Fixed(value=0.25, unit="fraction")
    effector_memory: Fraction = Fixed(value=0.35, unit="fraction")
    effector: Fraction = Fixed(value=0.15, unit="fraction")
    spread: Annotated[StatedValue, within("1")] = Fixed(
        value=0.5, note="SD of the logarithm of each share before scaling"
    )


class CollectionPlan(Declared):
    """How the cells are collected: method, processed volume, thresholds, repeats, and what is in the bag."""

    method: Literal["efficiency", "regression"] = "efficiency"
    efficiency: Fraction = LogitNormal(
        median=0.60,
        logit_sd=2 * math.log(1.5) / NORMAL_10TH,
        source="cytotherapy2023collection",
        mark="computed",
        note="mean lymphocyte efficiency about 0.60; 90 % of collections reach 0.40",
    )
    regression: YieldRegression = YieldRegression()
    volume: Annotated[StatedValue, within("L", above=True)] = Fixed(
        value=5.0,
        unit="L",
        source="cytotherapy2023collection",
        mark="assumed",
        note="upper end: the mean in adults is below 5 L; with blood_volumes the most that is processed",
    )
    blood_volumes: Annotated[StatedValue, within("1", above=True)] | None = None
    blood_per_kg: Annotated[StatedValue, within("mL/kg", above=True)] = Fixed(
        value=70.0, unit="mL/kg", mark="recalled", note="blood of an adult or older child"
    )
    haematocrit: Annotated[StatedValue, within("fraction", 0.05, 0.75)] = Fixed(
        value=0.35, unit="fraction", note="where the patients have no column haematocrit"
    )
    cd3_share: Fraction = Fixed(
        value=0.682,
        unit="fraction",
        source="allen2017",
        mark="computed",
        note="914 CD3 cells of 1340 lymphocytes per uL; used where only lymphocytes_per_uL is known",
    )
    least_cd3: Count = Fixed(value=0.0, unit="1/uL", note="nobody is refused; recalled practice is 150 per uL")
    least_lymphocytes: Count = Fixed(value=0.0, unit="1/uL", note="nobody is refused; recalled practice is 500 per uL")
    most_collections: Annotated[int, Field(strict=True, ge=1, le=10)] = 1
    enough_t_cells: Cells = Fixed(
        value=1e9,
        unit="cell",
        source="infantcollection2021",
        mark="read",
        note="what tisa-cel's maker accepts; below it the next collection is made, if one is allowed",
    )
    days_between: Annotated[StatedValue, within("day")] = Fixed(value=1.0, unit="day")
    count_left: Fraction = Fixed(value=0.85, unit="fraction", note="count at the next collection over that before")
    t_cell_share: Annotated[StatedValue, within("fraction", 0.0, 1.0, above=True)] = Fixed(
        value=0.551,
        unit="fraction",
        source="infantcollection2021",
        mark="read",
        note="median T cells among the nucleated cells of 66 leukapheresis products",
    )
    cd4_fraction: Fraction = LogitNormal(
        median=0.359,
        logit_sd=0.6,
        source="jo2023",
        mark="computed",
        note="CD4/CD8 of 0.56 in lymphoma patients whose manufacture succeeded; the spread is assumed",
    )
    phenotype: PhenotypeMix = PhenotypeMix()
    frozen: Fraction = Fixed(value=0.0, unit="fraction", note="chance that the bag is frozen; shipped fresh")
    day: Annotated[StatedValue, within("day")] = Fixed(value=0.0, unit="day", note="day zero is the collection")
    least_t_cells: Cells = Fixed(value=0.0, unit="cell", note="no collection is refused for its size")


@dataclass(frozen=True, eq=False, repr=False)
class Apheresis(Stage):
    """Collected cells: how many, what they are, and the efficiency and the processed volume that gave them."""

    COLUMNS: ClassVar = {
        "collection_efficiency": "fraction",
        "processed_volume_L": "L",
        "collected_t_cells": "cell",
        "collections": "1",
        "collected_tnc": "cell",
        "cd4_fraction": "fraction",
        **{f"{name}_fraction": "fraction" for name in PHENOTYPES},
        "frozen_on_arrival": "1",
        "collection_day": "day",
    }

    @property
    def t_cells(self) -> Array:
        """T cells in the bag, shape (n,)."""
        return self.patients["collected_t_cells"]


def collect(
    patients: Patients, plan: CollectionPlan | None = None, *, seed: int = 0, on_bad_row: OnBadRow = "raise"
) -> Apheresis:
    """Collect T cells from every patient.

    Args:
        patients: need ``cd3_per_uL`` (T cells in blood before collection, 1/uL) or ``lymphocytes_per_uL`` (1/uL);
            ``weight_kg`` if the plan has ``blood_volumes``; may have ``haematocrit``, ``blood_cd4_fraction`` and the
            four ``blood_<phenotype>_fraction``, which then are those of the bag.
        plan: efficiency, volume, thresholds and repeats.
        seed: of the patients' random streams.
        on_bad_row: refuse impossible values (``"raise"``), or let those patients leave with the reason (``"mark"``).

    Raises:
        InputError: a column is missing, in another unit, or holds an impossible value.

    Source:
        efficiency and planning rule: Cytotherapy S1465-3249(23)00103-2 (``cytotherapy2023collection``); regression:
        ``oreilly2023``.

    Example:
        >>> bag = collect(Patients([1, 2], {"cd3_per_uL": [900.0, 300.0]}, {"cd3_per_uL": "1/uL"}), seed=1)
        >>> bool(bag.t_cells[0] > 1e9), len(bag.attrition)
        (True, 0)
    """
    plan = plan or CollectionPlan()
    patients, attrition = _possible(patients, plan, on_bad_row)
    patients = _with_counts(patients, plan, seed)
    columns = {**_runs(patients, plan, seed), **_contents(patients, plan, seed)}
    share = plan.t_cell_share.draw(seed, patients.ids, "t_cell_share")
    columns["collected_tnc"] = columns["collected_t_cells"] / np.maximum(share, 1e-6)
    bag = Apheresis(patients.with_columns(columns, Apheresis.COLUMNS), attrition)
    bag = bag.without(_too_low(bag.patients, plan, seed), "collection", "blood count too low to collect", 0.0)
    least = plan.least_t_cells.draw(seed, bag.patients.ids, "least_t_cells")
    too_few = bag.t_cells < least
    return bag.without(too_few, "collection", "too few T cells collected", bag.patients["collection_day"])


def volume_for_target(target: ArrayLike, cd3_per_uL: ArrayLike, efficiency: ArrayLike = 0.40) -> Array:
    """Return the litres of blood to process for a target: cells / (efficiency x count); infinite for a count of 0.

    Nine collections in ten do at least as well as the default efficiency (``cytotherapy2023collection``).

    Args:
        target: T cells wanted.
        cd3_per_uL: T cells in blood, 1/uL.
        efficiency: share of the processed T cells that is collected, above 0 and at most 1.

    Example:
        >>> float(volume_for_target(2e9, 1000.0))
        5.0
    """
    target, count, share = (np.asarray(x, np.float64) for x in (target, cd3_per_uL, efficiency))
    _check_planned("target", target, 0.0, math.inf)
    _check_planned("cd3_per_uL", count, 0.0, math.inf)
    _check_planned("efficiency", share, 1e-6, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(target == 0, 0.0, target / (share * count * UL_PER_L))


def regression_volume_for_target(
    target: ArrayLike, cd3_per_uL: ArrayLike, haematocrit: ArrayLike = 0.35, regression: YieldRegression | None = None
) -> Array:
    """Return the litres that the regression asks for; where it would be a negative volume, that of the 40 % rule.

    The critics of the regression showed that it asks for less than nothing at high counts or low targets
    (``cytotherapy2023collection``); so it is not used there.

    Example:
        >>> regression_volume_for_target([1e9, 4e9], 1000.0).round(1).tolist()
        [2.5, 8.2]
    """
    regression = regression or YieldRegression()
    wanted = np.asarray(target, np.float64)
    _check_planned("target", wanted, 0.0, math.inf)
    _check_planned("haematocrit", np.asarray(haematocrit, np.float64), 0.05, 0.75)
    simple = volume_for_target(wanted, cd3_per_uL)
    with np.errstate(divide="ignore", invalid="ignore"):
        missing = np.log(wanted / 1e9) - regression.mean_log_yield(cd3_per_uL, haematocrit, 0.0)
        asked = missing / _value(regression.per_litre)
    return np.where(asked > 0, asked, simple)


FAILURE = {
    False: Fixed(
        value=17 / 339, unit="fraction", source="jo2023", mark="computed", note="30 of 408 failed; 17 without"
    ),
    True: Fixed(value=13 / 69, unit="fraction", source="jo2023", mark="computed", note="13 of 30 failures, 56 of 378"),
}


def failure_chance(had_bendamustine: ArrayLike) -> Array:
    """Return the chance that a manufacture fails with and without bendamustine before the collection.

    From a survey of 408 patients with lymphoma (tisa-cel, Japan): bendamustine in 43.3 % of 30 failures and 14.8 % of
    378 successes, whatever the time since. It is an observed difference, not a mechanism; no stage uses it unasked.
    The British report (9 of 38 failures within 6 months, 0 of 38 controls) gives no chance, because its patients
    were chosen by their outcome.

    Args:
        had_bendamustine: 0 or 1 for each patient, shape (n,).

    Source:
        ``jo2023``; British report ``bendamustine2025``.

    Example:
        >>> failure_chance([0, 1]).round(3).tolist()
        [0.05, 0.188]
    """
    had = np.asarray(had_bendamustine, np.float64)
    if np.any((had != 0) & (had != 1)):
        raise InputError(f"had_bendamustine must be 0 or 1 for each patient, got {had[(had != 0) & (had != 1)][0]:g}")
    return np.where(had == 1, FAILURE[True].value, FAILURE[False].value)


def _value(stated: StatedValue) -> float:
    """Return the median of a stated number, which is its value if it is fixed."""
    return float(stated.quantile(0.5))


def _check_planned(name: str, values: Array, least: float, most: float) -> None:
    if np.any(~((values >= least) & (values <= most))):
        found = values[~((values >= least) & (values <= most))].flat[0]
        allowed = f"{least:g} to {most:g}" if math.isfinite(most) else f"{least:g} or more"
        raise InputError(f"{name} must be {allowed}, got {found:g}")


def _possible(patients: Patients, plan: CollectionPlan, on_bad_row: OnBadRow) -> tuple[Patients, Attrition]:
    fractions = dict.fromkeys([f"blood_{name}_fraction" for name in ("cd4", *PHENOTYPES)], ("fraction", 0.0, 1.0))
    weight = WEIGHT if plan.blood_volumes is not None else {}
    return set_aside(patients, {**ALLOWED, **fractions, **weight}, "collection", on_bad_row)


def _with_counts(patients: Patients, plan: CollectionPlan, seed: int) -> Patients:
    """Return the patients with T cells per uL, from the lymphocytes where only these are known."""
    if "cd3_per_uL" in patients or "lymphocytes_per_uL" not in patients:
        require(patients, {"cd3_per_uL": "1/uL"}, "collect")
        return patients
    share = plan.cd3_share.draw(seed, patients.ids, "cd3_share")
    return patients.with_columns({"cd3_per_uL": share * patients["lymphocytes_per_uL"]}, {"cd3_per_uL": "1/uL"})


def _too_low(patients: Patients, plan: CollectionPlan, seed: int) -> NDArray[np.bool_]:
    """Return who is refused: whoever reaches none of the thresholds that are asked for (above 0)."""
    asked, reached = np.zeros(len(patients), bool), np.zeros(len(patients), bool)
    for name, column in (("least_cd3", "cd3_per_uL"), ("least_lymphocytes", "lymphocytes_per_uL")):
        least = getattr(plan, name).draw(seed, patients.ids, name)
        if column in patients:
            asked |= least > 0
            reached |= (least > 0) & (patients[column] >= least)
    return asked & ~reached


def _volume(patients: Patients, plan: CollectionPlan, seed: int) -> Array:
    most = plan.volume.draw(seed, patients.ids, Purpose.PROCESSED_VOLUME)
    if plan.blood_volumes is None:
        return most
    require(patients, {"weight_kg": "kg"}, "collect with blood_volumes")
    blood = plan.blood_per_kg.draw(seed, patients.ids, "blood_per_kg") * patients["weight_kg"] / 1e3
    return np.minimum(plan.blood_volumes.draw(seed, patients.ids, "blood_volumes") * blood, most)


def _efficiency(patients: Patients, count: Array, volume: Array, plan: CollectionPlan, seed: int, run: int) -> Array:
    """Return the share of the processed T cells that one collection gets, shape (n,)."""
    again = "" if run == 1 else f" of collection {run}"
    if plan.method == "efficiency":
        purpose = f"efficiency{again}" if again else Purpose.COLLECTION_EFFICIENCY
        return plan.efficiency.draw(seed, patients.ids, purpose)
    if "haematocrit" in patients:
        haematocrit = patients["haematocrit"]
    else:
        haematocrit = plan.haematocrit.draw(seed, patients.ids, "haematocrit")
    luck = normal(seed, patients.ids, f"regression{again}")[:, 0] * _value(plan.regression.spread)
    cells = 1e9 * np.exp(plan.regression.mean_log_yield(count, haematocrit, volume) + luck)
    processed = count * UL_PER_L * volume
    # nobody gives more cells than passed the machine; the regression does not know that
    return np.minimum(np.divide(cells, processed, out=np.zeros_like(cells), where=processed > 0), 1.0)


def _runs(patients: Patients, plan: CollectionPlan, seed: int) -> dict[str, Array]:
    """Collect until there are enough T cells or no further collection is allowed."""
    volume, count = _volume(patients, plan, seed), patients["cd3_per_uL"]
    efficiency = _efficiency(patients, count, volume, plan, seed, 1)
    cells = efficiency * count * UL_PER_L * volume
    found = {
        "collection_efficiency": efficiency,
        "processed_volume_L": volume.copy(),
        "collected_t_cells": cells,
        "collections": np.ones(len(patients)),
        "collection_day": plan.day.draw(seed, patients.ids, "collection_day"),
    }
    enough = plan.enough_t_cells.draw(seed, patients.ids, "enough_t_cells")
    processed = count * UL_PER_L * volume
    for run in range(2, plan.most_collections + 1):
        rows = np.flatnonzero(found["collected_t_cells"] < enough)
        if not rows.size:
            break
        some = patients.take(rows)
        left = count[rows] * plan.count_left.draw(seed, some.ids, "count_left") ** (run - 1)
        share = _efficiency(some, left, volume[rows], plan, seed, run)
        found["collected_t_cells"][rows] += share * left * UL_PER_L * volume[rows]
        found["processed_volume_L"][rows] += volume[rows]
        found["collections"][rows] = run
        found["collection_day"][rows] += plan.days_between.draw(seed, some.ids, "days_between")
        processed[rows] += left * UL_PER_L * volume[rows]
        gone = np.maximum(processed[rows], 1e-300)
        found["collection_efficiency"][rows] = found["collected_t_cells"][rows] / gone
    return found


def _contents(patients: Patients, plan: CollectionPlan, seed: int) -> dict[str, Array]:
    """Return what the bag holds: the fractions measured in the patient's blood, or else those of the plan."""
    shares = _measured_phenotype(patients)
    if shares is None:
        shares = _phenotype(patients, plan.phenotype, seed)
    found = {f"{name}_fraction": shares[:, k] for k, name in enumerate(PHENOTYPES)}
    if "blood_cd4_fraction" in patients:
        found["cd4_fraction"] = patients["blood_cd4_fraction"]
    else:
        found["cd4_fraction"] = plan.cd4_fraction.draw(seed, patients.ids, "cd4_fraction")
    chance = plan.frozen.draw(seed, patients.ids, "chance of freezing")
    luck = uniform(seed, patients.ids, "frozen_on_arrival")[:, 0] if plan.frozen.support != (0.0, 0.0) else 1.0
    return {**found, "frozen_on_arrival": (luck < chance).astype(np.float64)}


def _measured_phenotype(patients: Patients) -> Array | None:
    """Return the four shares that were measured in blood, shape (n, 4), if they were."""
    names = [f"blood_{name}_fraction" for name in PHENOTYPES]
    missing = [name for name in names if name not in patients]
    if len(missing) == len(names):
        return None
    if missing:
        raise InputError(f"collect: the four phenotype fractions belong together, but {missing[0]!r} is missing")
    shares = np.column_stack([patients[name] for name in names])
    off = np.abs(shares.sum(axis=1) - 1) > 1e-6
    if np.any(off):
        row = int(np.argmax(off))
        raise InputError(
            f"collect: the four phenotype fractions of patient {patients.ids[row]} must add up to 1, "
            f"got {shares[row].sum():g}"
        )
    return shares


def _phenotype(patients: Patients, mix: PhenotypeMix, seed: int) -> Array:
    """Return the four shares, shape (n, 4): medians with logarithmic noise, scaled to a sum of one."""
    middle = np.array([_value(getattr(mix, name)) for name in PHENOTYPES])
    if middle.sum() <= 0:
        raise InputError("collection.phenotype: at least one of the four fractions must be above 0")
    weights = middle * np.exp(_value(mix.spread) * normal(seed, patients.ids, "phenotype", 4))
    return weights / weights.sum(axis=1, keepdims=True)
