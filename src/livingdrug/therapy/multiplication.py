"""Multiplication: the engineered cells grow in a vessel until harvest.

The culture is the model of ``culture.py``, solved for every batch: a pulse of activation drives the divisions; glucose,
lactate, ammonia, cytokine and room slow them down; cells that starve die. The vessel is a set of stated numbers
(``devices.toml``). Poor growth and low viability are results, not stated probabilities.

Left out: differences in division and death between phenotypes; oxygen, pH and temperature; losses at harvest and
freezing (release does those); contamination and other accidents, unless ``failure`` states them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BeforeValidator, Field

from livingdrug.declared import Declared, Number
from livingdrug.patients import Patients
from livingdrug.streams import Purpose, uniform
from livingdrug.therapy.bad_rows import OnBadRow, set_aside
from livingdrug.therapy.devices import MEDIUM, Device, device, medium
from livingdrug.therapy.engineering import EngineeredCells
from livingdrug.therapy.stage import Stage
from livingdrug.therapy.stated import Fixed, Fraction, StatedValue, within

__all__ = ["MultiplicationPlan", "Product", "courses", "multiply"]

Array = NDArray[np.float64]

PHENOTYPES = ("naive", "central_memory", "effector_memory", "effector")
BLOCK = 65_536
"""Batches solved at one time; any number gives the same results."""
FAILED = "manufacture failed"
MOST_CELLS = 1e14
ALLOWED = {
    "engineered_t_cells": ("cell", 0.0, MOST_CELLS),
    "car_positive": ("fraction", 0.0, 1.0),
    "engineering_viability": ("fraction", 0.0, 1.0),
    "cd4_fraction": ("fraction", 0.0, 1.0),
    "frozen_on_arrival": ("1", 0.0, 1.0),
    **{f"{name}_fraction": ("fraction", 0.0, 1.0) for name in PHENOTYPES},
}


def _device(value: Any) -> Any:
    return device(value) if isinstance(value, str) else value


def _number(unit: str, value: float, note: str, **more: Any) -> Fixed:
    return Fixed(value=value, unit=unit, note=note, **more)


PerDoubling = Annotated[StatedValue, within("1", 0.0, 1.0)]
AnySign = Annotated[StatedValue, within("1", -5.0, 5.0)]


class MultiplicationPlan(Declared):
    """How the cells are grown: vessel, days, stimulation, and what is known of the cells.

    ``device`` is a name or a table of its own. ``growth_rate``, ``activation_half_life``, ``death_rate``, ``capacity``
    and ``seeding_limit`` are the vessel's unless given here. ``stimulations`` are days of further stimulation.
    """

    device: Annotated[Device, BeforeValidator(_device)] = device("stirred tank")
    growth_rate: Annotated[StatedValue, within("1/day")] | None = None
    activation_half_life: Annotated[StatedValue, within("day", above=True)] | None = None
    death_rate: Annotated[StatedValue, within("1/day")] | None = None
    capacity: Annotated[StatedValue, within("cell", above=True)] | None = None
    seeding_limit: Annotated[StatedValue, within("cell", above=True)] | None = None
    lag: Annotated[StatedValue, within("day")] = _number(
        "day", 1.5, "middle: growth restarts 24 to 48 hours after activation", source="panch2019", mark="computed"
    )
    duration: Annotated[StatedValue, within("day", above=True)] = _number("day", 8.0, "days in culture")
    stimulations: tuple[Annotated[Number, Field(gt=0, le=60)], ...] = ()
    medium_glucose: Annotated[StatedValue, within("mmol/L", above=True)] = _number("mmol/L", 25.0, "4.5 g per litre")
    seeding_viability: Fraction = _number(
        "fraction", 0.9, "where engineering tells none (column engineering_viability)"
    )
    handling_death: Annotated[StatedValue, within("1/day")] = _number(
        "1/day", 0.1, "fresh cells: 7 % are lost in the first two days"
    )
    handling_death_frozen: Annotated[StatedValue, within("1/day")] = _number(
        "1/day", 0.4, "frozen cells: 25 % are lost; that more are lost than of fresh cells is read in panch2019"
    )
    naive: Fraction = _number("fraction", 0.4, "share at seeding where collection tells none")
    central_memory: Fraction = _number("fraction", 0.2, "share at seeding where collection tells none")
    effector_memory: Fraction = _number("fraction", 0.25, "share at seeding where collection tells none")
    effector: Fraction = _number("fraction", 0.15, "share at seeding where collection tells none")
    cd4: Fraction = _number("fraction", 0.5, "share at seeding where collection tells none")
    naive_loss: PerDoubling = _number("1", 0.20, "naive to central memory, share per doubling")
    central_memory_loss: PerDoubling = _number("1", 0.10, "central to effector memory, share per doubling")
    effector_memory_loss: PerDoubling = _number("1", 0.05, "effector memory to effector, share per doubling")
    car_advantage: AnySign = _number("1", 0.0, "change of the log-odds of CAR-positive cells per doubling: none")
    cd4_advantage: AnySign = _number("1", 0.0, "change of the log-odds of CD4 cells per doubling: none")
    failure: Fraction = _number("fraction", 0.0, "failures that growth does not explain")


@dataclass(frozen=True, eq=False, repr=False)
class Product(Stage):
    """The harvest: living and dead cells, CAR T cells, phenotype, the medium's sugar and acid, doublings, days."""

    COLUMNS: ClassVar = {
        "seeded_t_cells": "cell",
        "kept_t_cells": "cell",
        "harvested_t_cells": "cell",
        "harvested_dead_cells": "cell",
        "harvested_car_t_cells": "cell",
        "viability": "fraction",
        "culture_days": "day",
        **{f"harvested_{name}_fraction": "fraction" for name in PHENOTYPES},
        "harvested_cd4_fraction": "fraction",
        "harvested_glucose_mM": "mmol/L",
        "harvested_lactate_mM": "mmol/L",
        "divisions": "1",
    }

    @property
    def t_cells(self) -> Array:
        """Living T cells, shape (n,)."""
        return self.patients["harvested_t_cells"]

    @property
    def car_t_cells(self) -> Array:
        """Living CAR-positive T cells, shape (n,)."""
        return self.patients["harvested_car_t_cells"]

    @property
    def viability(self) -> Array:
        """Living cells over all cells, shape (n,)."""
        return self.patients["viability"]


def multiply(
    cells: EngineeredCells,
    plan: MultiplicationPlan | None = None,
    *,
    seed: int = 0,
    on_bad_row: OnBadRow = "raise",
    threads: int | None = None,
) -> Product:
    """Grow the engineered cells and harvest them.

    Args:
        cells: engineered T cells; used where present: ``engineering_viability``, ``naive_fraction`` and the three other
            phenotypes, ``cd4_fraction``, ``frozen_on_arrival``.
        plan: vessel, days and cells.
        seed: of the patients' random streams.
        on_bad_row: ``"raise"``, or ``"mark"`` to let batches with impossible values leave with the reason.
        threads: of the solver; the results do not depend on it.

    Raises:
        InputError: a column has an impossible value.

    Source:
        growth of the vessels: ``tcellgrowth2019`` (doi 10.1186/s13036-019-0167-2, table 1) and ``devices.toml``.
    """
    plan = plan or MultiplicationPlan()
    cells = _possible(cells, on_bad_row)
    batches = _batches(cells.patients, plan, seed)
    harvest, solved = _solved(batches, plan, cells.patients.ids, threads)
    columns = _columns(cells.patients, batches, harvest, plan, seed)
    product = Product(cells.patients.with_columns(columns, Product.COLUMNS), cells.attrition)
    for failed, reason in ((~solved, "the culture could not be computed"), (_accident(product, plan, seed), FAILED)):
        if failed.any():
            leaving = np.isin(product.patients.ids, cells.patients.ids[failed])
            product = product.without(leaving, "multiplication", reason, product.patients["culture_days"])
    return product


def _accident(product: Product, plan: MultiplicationPlan, seed: int) -> NDArray[np.bool_]:
    """Whose manufacture fails for a reason that growth does not explain, shape (n,)."""
    ids = product.patients.ids
    chance = plan.failure.draw(seed, ids, "failure")
    if not chance.any():
        return np.zeros(ids.size, bool)
    return uniform(seed, ids, Purpose.MANUFACTURING_FAILURE)[:, 0] < chance


def _possible(cells: EngineeredCells, on_bad_row: OnBadRow) -> EngineeredCells:
    """The batches without impossible values; the shares of the phenotypes must add up to one."""
    patients, allowed = cells.patients, dict(ALLOWED)
    shares = [f"{name}_fraction" for name in PHENOTYPES]
    if all(name in patients for name in shares):
        total = np.sum([patients[name] for name in shares], axis=0)
        patients = patients.with_columns({"sum of phenotypes": total})
        allowed["sum of phenotypes"] = ("1", 1 - 1e-6, 1 + 1e-6)
    kept, attrition = set_aside(patients, allowed, "multiplication", on_bad_row, cells.attrition)
    stay = np.isin(cells.patients.ids, kept.ids)
    return EngineeredCells(cells.patients if stay.all() else cells.patients.take(stay), attrition)


def _batches(patients: Patients, plan: MultiplicationPlan, seed: int) -> dict[str, Array]:
    """What differs between batches, as parameters of the model, name -> shape (n,)."""
    vessel, ids = plan.device, patients.ids

    def drawn(name: str, purpose: str | int) -> Array:
        own = getattr(plan, name)
        return (own if own is not None else getattr(vessel, name)).draw(seed, ids, purpose)

    def known(column: str, name: str) -> Array:
        return patients[column] if column in patients else getattr(plan, name).draw(seed, ids, f"culture {name}")

    capacity = drawn("capacity", Purpose.CULTURE_CAPACITY)
    seeded = np.minimum(patients["engineered_t_cells"], drawn("seeding_limit", Purpose.SEEDING_LIMIT))
    seeded = np.minimum(seeded, capacity)
    alive = np.maximum(known("engineering_viability", "seeding_viability"), 1e-3)
    frozen = patients["frozen_on_arrival"] if "frozen_on_arrival" in patients else np.zeros(ids.size)
    fresh_death = drawn("handling_death", "handling_death")
    frozen_death = drawn("handling_death_frozen", "handling_death_frozen")
    shares = {name: known(f"{name}_fraction", name) for name in PHENOTYPES}
    total = np.sum(list(shares.values()), axis=0)
    return {
        "capacity": capacity,
        "seeded": seeded,
        "seeded_dead": seeded * (1 - alive) / alive,
        "growth_rate": drawn("growth_rate", Purpose.GROWTH_RATE),
        "activation_half_life": drawn("activation_half_life", "activation_half_life"),
        "death_rate": drawn("death_rate", Purpose.VIABILITY),
        "lag": drawn("lag", Purpose.GROWTH_LAG),
        "handling_death": fresh_death + (frozen_death - fresh_death) * frozen,
        "duration": drawn("duration", Purpose.CULTURE_DURATION),
        **{f"{name}_at_start": shares[name] / total for name in PHENOTYPES[:3]},
        **{name: drawn(name, name) for name in ("naive_loss", "central_memory_loss", "effector_memory_loss")},
        "medium_glucose": drawn("medium_glucose", "medium_glucose"),
        **medium({name: getattr(vessel, name).draw(seed, ids, f"device {name}") for name in MEDIUM}),
    }


OUTPUTS = (*PHENOTYPES, "dead", "doublings", "glucose", "lactate")


def _solved(
    batches: Mapping[str, Array], plan: MultiplicationPlan, ids: NDArray[np.uint64], threads: int | None
) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """The cultures at harvest, name -> shape (n,), and which could be solved."""
    from livingdrug.engine.solve import LOOSE, solve
    from livingdrug.therapy.culture import Culture

    values, solved = np.zeros((ids.size, len(OUTPUTS))), np.ones(ids.size, bool)
    for first in range(0, ids.size, BLOCK):
        part = slice(first, first + BLOCK)
        given = {name: column[part] for name, column in batches.items()}
        days = given.pop("duration")
        found = solve(
            Culture,
            given,
            days[:, None],
            outputs=OUTPUTS,
            doses=_stimuli(plan, given["lag"], days),
            patient_ids=ids[part],
            rtol=LOOSE,
            threads=threads,
        )
        solved[part] = ~found.failed
        values[part] = np.where(found.failed[:, None], 0.0, np.maximum(found.values[:, 0], 0.0))
    return dict(zip(OUTPUTS, values.T, strict=True)), solved


def _stimuli(plan: MultiplicationPlan, lag: Array, days: Array) -> list[Any]:
    """Later stimuli as changes of the model; one acts at once, so its lag is taken off."""
    from livingdrug.engine.solve import Change

    return [Change("stimulated", day - lag, np.where(day < days, day, np.nan)) for day in plan.stimulations]


def courses(
    cells: EngineeredCells,
    days: ArrayLike,
    plan: MultiplicationPlan | None = None,
    *,
    outputs: Sequence[str] = ("living_cells", "glucose_medium", "lactate_medium"),
    seed: int = 0,
) -> Array:
    """Return what happens in the vessels before the harvest: the same batches as those of ``multiply``.

    Args:
        cells: engineered T cells.
        days: since seeding, ascending, shape (d,).
        plan: vessel, days and cells.
        outputs: names of outputs or states of ``culture.Culture``.
        seed: of the patients' random streams.

    Returns:
        Shape (n, d, output); NaN for a culture that could not be computed.
    """
    from livingdrug.engine.solve import LOOSE, solve
    from livingdrug.therapy.culture import Culture

    plan = plan or MultiplicationPlan()
    given = _batches(cells.patients, plan, seed)
    ends = given.pop("duration")
    found = solve(
        Culture,
        given,
        np.asarray(days, np.float64),
        outputs=list(outputs),
        doses=_stimuli(plan, given["lag"], ends),
        patient_ids=cells.patients.ids,
        rtol=LOOSE,
    )
    return np.where(found.failed[:, None, None], np.nan, found.values)


def _columns(
    patients: Patients, batches: Mapping[str, Array], harvest: Mapping[str, Array], plan: MultiplicationPlan, seed: int
) -> dict[str, Array]:
    """The columns of the product."""
    ids, doublings = patients.ids, harvest["doublings"]
    living = np.sum([harvest[name] for name in PHENOTYPES], axis=0)
    everything = living + harvest["dead"]
    cd4 = patients["cd4_fraction"] if "cd4_fraction" in patients else plan.cd4.draw(seed, ids, "culture cd4")
    car = _selected(patients["car_positive"], plan.car_advantage.draw(seed, ids, "car_advantage") * doublings)
    return {
        "seeded_t_cells": batches["seeded"],
        "kept_t_cells": patients["engineered_t_cells"] - batches["seeded"],
        "harvested_t_cells": living,
        "harvested_dead_cells": harvest["dead"],
        "harvested_car_t_cells": living * car,
        "viability": _share(living, everything),
        "culture_days": batches["duration"],
        **{f"harvested_{name}_fraction": _share(harvest[name], living) for name in PHENOTYPES},
        "harvested_cd4_fraction": _selected(cd4, plan.cd4_advantage.draw(seed, ids, "cd4_advantage") * doublings),
        "harvested_glucose_mM": harvest["glucose"],
        "harvested_lactate_mM": harvest["lactate"],
        "divisions": doublings,
    }


def _share(part: Array, whole: Array) -> Array:
    """Part over whole; 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def _selected(share: Array, log_odds: Array) -> Array:
    """The share after its log-odds have changed."""
    odds = np.exp(np.clip(log_odds, -700, 700))
    return share * odds / (1 - share + share * odds)
