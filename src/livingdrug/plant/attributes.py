"""From the product's quality to the patient: what each attribute of the product changes in the models of the course.

Each attribute is moved over its range of release, for all patients of a cohort, while the chain makes everything else
as its plan says; then each model gives the course. Most attributes enter no model: they decide whether there is a
product, and nothing after that. ``ENTERS`` says which enters where, and how much of it is assumed. The courses are
those of the same patients for every value, also of those whose product would not be released, so that only the
attribute differs; the share that is released stands beside them.

Left out: that attributes move together (old cells divide less), host T cells by phenotype, harm by dead cells, and all
that the models leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from livingdrug.declared import Declared
from livingdrug.errors import InputError, unknown_name
from livingdrug.patients import Patients
from livingdrug.therapy.collection import Apheresis, collect
from livingdrug.therapy.conditioning import condition
from livingdrug.therapy.engineering import engineer
from livingdrug.therapy.journey import Journey
from livingdrug.therapy.multiplication import Product, multiply
from livingdrug.therapy.release import Dose, release
from livingdrug.therapy.stage import require
from livingdrug.therapy.stated import Fixed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ATTRIBUTES", "COURSES", "ENTERS", "Attribute", "attribute_effects", "chance_of_cure", "entering"]

Array = NDArray[np.float64]
EARLY, LATE = ("naive", "central_memory"), ("effector_memory", "effector")
START = 0.4  # cell/uL on day 0 in mueller_schoell2021: 0.1 of each of four phenotypes
DAYS = np.arange(0.0, 60.01, 0.25)
AUC_DAYS = 28.0
FOLLOWED = np.arange(0.0, 400.01, 0.1)  # later, no CAR T cells are left that could cure
HALF = 0.5
NO_LIMITS = {
    "least_viability": Fixed(value=0.0, unit="fraction"),
    "least_t_cell_purity": Fixed(value=0.0, unit="fraction"),
    "least_car_positive": Fixed(value=0.0, unit="fraction"),
    "most_copies_per_car_cell": Fixed(value=1e9, unit="copy/cell"),
    "most_copies_per_cell": None,
    "least_dose": Fixed(value=0.0, unit="cell/kg"),
}
P = TypeVar("P", bound=Declared)
NO = "does not enter"


@dataclass(frozen=True)
class Attribute:
    """An attribute of the product: its unit, how it is moved, and its range in a journey."""

    name: str
    title: str
    unit: str
    span: Callable[[Journey], tuple[float, float]]
    note: str


def _middle(stated: Any) -> float:
    return float(stated.quantile(0.5))


ATTRIBUTES = {
    one.name: one
    for one in (
        Attribute("viability", "viability at harvest", "fraction",
                  lambda journey: (_middle(journey.release.least_viability), 0.98), "from the release limit up"),
        Attribute("car_positive", "CAR-positive cells", "fraction",
                  lambda journey: (_middle(journey.release.least_car_positive), 0.80), "from the release limit up"),
        Attribute("copies_per_car_cell", "vector copies per CAR-positive cell", "copy/cell",
                  lambda journey: (1.05, _middle(journey.release.most_copies_per_car_cell)),
                  "up to the release limit, by the amount of vector: CAR-positive cells move along"),
        Attribute("early_share", "naive and central memory cells", "fraction", lambda _: (0.10, 0.90),
                  "no release limit exists; range assumed"),
        Attribute("dose", "dose", "cell/kg",
                  lambda journey: (_middle(journey.release.least_dose), _middle(journey.release.target_dose)),
                  "from the least dose to the target"),
    )
}  # fmt: skip

DOSE_ENTERS = "through the dose, only where too few CAR T cells are made to fill it"
ENTERS: dict[str, dict[str, str]] = {
    "kimmel2021": {
        "viability": NO,
        "car_positive": DOSE_ENTERS,
        "copies_per_car_cell": DOSE_ENTERS,
        "early_share": NO,
        "dose": "CAR T cells on day 0 (car_t_at_infusion), cell for cell",
    },
    "kirouac2023": {
        "viability": NO,
        "car_positive": DOSE_ENTERS,
        "copies_per_car_cell": DOSE_ENTERS,
        "early_share": "uptake of product cells as memory against effector cells, in proportion (assumed: the "
        "published uptake belongs to the cohort's median product)",
        "dose": "CAR T cells infused (dose), cell for cell",
    },
    "mueller_schoell2021": {
        "viability": NO,
        "car_positive": NO,
        "copies_per_car_cell": NO,
        "early_share": "shares of the four phenotypes on day 0 (assumed: those of the product; their sum is imputed in "
        "the paper)",
        "dose": NO,
    },
}
"""Model -> attribute -> how it enters. Gene copies, purity and viability enter none; the dose enters two of three."""


def entering() -> pd.DataFrame:
    """Return which attribute enters which model, one row per attribute.

    Example:
        >>> entering().set_index("attribute").loc["viability"].tolist()
        ['does not enter', 'does not enter', 'does not enter']
    """
    import pandas as pd

    return pd.DataFrame(
        [{"attribute": name} | {model: how[name] for model, how in ENTERS.items()} for name in ATTRIBUTES]
    )


def attribute_effects(
    journey: Journey,
    patients: Patients,
    attributes: Sequence[str] = tuple(ATTRIBUTES),
    models: Sequence[str] = tuple(ENTERS),
    *,
    points: int = 7,
    seed: int = 1,
    threads: int | None = None,
) -> pd.DataFrame:
    """Return what patients get when an attribute of the product is moved over its range.

    Args:
        journey: the chain; its infusion is not used, each model has its own.
        patients: need what the chain needs, and ``baseline_tumour_mL`` (mL).
        attributes: names in ``ATTRIBUTES``.
        models: names in ``ENTERS``.
        points: values of each attribute, 2 or more.
        seed: of the patients' random streams; all values share their luck.
        threads: of the solver.

    Returns:
        One row per attribute, value and model: ``released`` (share of the products), and of all who have a product
        ``dose_cells`` (median), ``peak`` (median, cell/uL), ``auc28`` (median, cell day/uL), ``response`` (share whose
        tumour has at most half of its size on day 28), ``cure`` (mean chance, kimmel2021 only), ``enters``.

    Raises:
        InputError: an unknown name, or a column of the patients is missing.
    """
    import pandas as pd

    for what, names, known in (("attribute", attributes, ATTRIBUTES), ("model of the course", models, COURSES)):
        for name in names:
            if name not in known:
                raise InputError(unknown_name(what, name, known))
    if not 2 <= points <= 100:
        raise InputError(f"attribute_effects: points must be from 2 to 100, got {points}")
    require(patients, {"baseline_tumour_mL": "mL"}, "attribute_effects")
    bag = collect(patients, journey.collection, seed=seed)
    usual = _product(journey, bag, seed, threads)
    early = float(np.median(_early(usual.patients)))
    rows = []
    for name in attributes:
        for value in np.linspace(*ATTRIBUTES[name].span(journey), points):
            product, plan = _moved(name, float(value), journey, bag, usual, seed, threads)
            released = len(release(product, plan, seed=seed)) / max(len(product), 1)
            dose = release(product, _changed(plan, NO_LIMITS), seed=seed)
            rows += [
                {"attribute": name, "unit": ATTRIBUTES[name].unit, "value": float(value), "model": model,
                 "released": released, **_outcome(model, dose, journey, early, seed, threads),
                 "enters": ENTERS[model][name]}
                for model in models
            ]  # fmt: skip
    return pd.DataFrame(rows)


def _product(journey: Journey, bag: Apheresis, seed: int, threads: int | None) -> Product:
    return multiply(engineer(bag, journey.engineering, seed=seed), journey.multiplication, seed=seed, threads=threads)


def _early(patients: Patients) -> Array:
    return np.sum([patients[f"harvested_{name}_fraction"] for name in EARLY], axis=0)


def _moved(
    name: str, value: float, journey: Journey, bag: Apheresis, usual: Product, seed: int, threads: int | None
) -> tuple[Product, Any]:
    """Return the products whose attribute has this value, and the release plan."""
    people, plan = usual.patients, journey.release
    if name == "viability":
        dead = people["harvested_t_cells"] * (1 - value) / value
        new = {"viability": np.full(len(people), value), "harvested_dead_cells": dead}
    elif name == "car_positive":
        share = np.full(len(people), value)
        new = {"car_positive": share, "harvested_car_t_cells": share * people["harvested_t_cells"]}
    elif name == "early_share":
        new = _with_early_share(people, value)
    elif name == "copies_per_car_cell":
        table = {field: getattr(journey.engineering, field) for field in type(journey.engineering).model_fields}
        table |= {
            "copies_per_cell": Fixed(value=_mean_copies(value), unit="copy/cell"),
            "over_dispersion": Fixed(value=0.0),
        }
        engineering = type(journey.engineering)(**table)
        made = engineer(bag, engineering, seed=seed)
        return multiply(made, journey.multiplication, seed=seed, threads=threads), plan
    else:
        least = Fixed(value=min(value, _middle(plan.least_dose)), unit="cell/kg")
        return usual, _changed(plan, {"target_dose": Fixed(value=value, unit="cell/kg"), "least_dose": least})
    return replace(usual, patients=people.with_columns(new)), plan


def _changed(plan: P, fields: dict[str, Any]) -> P:
    return type(plan)(**{name: getattr(plan, name) for name in type(plan).model_fields} | fields)


def _with_early_share(people: Patients, value: float) -> dict[str, Array]:
    early = _early(people)
    new = {}
    for names, total, wanted in ((EARLY, early, value), (LATE, 1 - early, 1 - value)):
        for name in names:
            part = people[f"harvested_{name}_fraction"]
            share = np.divide(part, total, out=np.full(part.shape, 1 / len(names)), where=total > 1e-9)
            new[f"harvested_{name}_fraction"] = share * wanted
    return new


def _mean_copies(per_positive: float) -> float:
    """Return the Poisson mean m for which m / (1 - exp(-m)) copies are found per CAR-positive cell, by Lambert's W."""
    from scipy.special import lambertw

    return float(per_positive + np.real(lambertw(-per_positive * np.exp(-per_positive))))


def _outcome(
    model: str, dose: Dose, journey: Journey, early: float, seed: int, threads: int | None
) -> dict[str, float]:
    """Return the medians and shares of those who are infused; NaN where nobody is."""
    given = dose.patients.take(dose.cells > 0)
    nothing: dict[str, float] = dict.fromkeys(("dose_cells", "peak", "auc28", "response", "cure"), np.nan)
    if not len(given):
        return nothing
    ready = condition(given, journey.conditioning, seed=seed).patients
    found = COURSES[model](ready, early, seed, threads)
    car, tumour = found["car_t"], found["tumour"]
    until = DAYS <= AUC_DAYS
    return nothing | {
        "dose_cells": float(np.median(given["dose_cells"])),
        "peak": float(np.median(car.max(axis=1))),
        "auc28": float(np.median(np.trapezoid(car[:, until], DAYS[until], axis=1))),
        "response": float(np.mean(tumour[:, int(AUC_DAYS / 0.25)] <= HALF * tumour[:, 0])),
        "cure": float(np.mean(found["cure"])) if "cure" in found else np.nan,
    }


Courses = dict[str, Array]


def _solve(name: str, values: dict[str, Array], people: Patients, tumour: str, threads: Any, **more: Any) -> Courses:
    from livingdrug.engine.solve import solve
    from livingdrug.library import load_model

    outputs = ["car_t_blood", tumour]
    found = solve(
        load_model(name),
        values,
        DAYS,
        outputs=outputs,
        patient_ids=people.ids,
        stochastic=False,
        threads=threads,
        **more,
    )
    if found.failed.any():
        raise InputError(f"{name}: the course of patient {people.ids[np.argmax(found.failed)]} could not be solved")
    return {"car_t": found.values[:, :, 0], "tumour": found.values[:, :, 1]}


def _kimmel(people: Patients, early: float, seed: int, threads: int | None) -> Courses:
    del early, seed
    values = _kimmel_values(people)
    return _solve("kimmel2021", values, people, "tumour_volume", threads) | {"cure": chance_of_cure(values, threads)}


def _kimmel_values(people: Patients) -> dict[str, Array]:
    from livingdrug.library import load_model

    size = len(people)
    values = {name: np.full(size, value) for name, value in load_model("kimmel2021").parameter_sets["code"].items()}
    return values | {
        "car_t_at_infusion": people["dose_cells"],
        "normal_t_at_infusion": people["host_t_cells"],
        "baseline_tumour_volume": people["baseline_tumour_mL"],
    }


def chance_of_cure(values: dict[str, Array], threads: int | None = None) -> Array:
    """Return the chance that the last tumour cell dies in kimmel2021, exactly, shape (n,).

    CAR T cells do not depend on the tumour there, so that its cells live and die independently with known rates.

    Args:
        values: parameters of the model, each shape (n,).
        threads: of the solver.

    Source:
        extinction of a birth-death process whose rates change in time: ``kendall1948``.
    """
    from scipy.integrate import cumulative_trapezoid

    from livingdrug.engine.solve import solve
    from livingdrug.library import load_model

    model = load_model("kimmel2021")
    full = {name: np.asarray(values.get(name, item.value), float)[..., None] for name, item in model.parameters.items()}
    cars = solve(model, values, FOLLOWED, outputs=["car_t_total"], stochastic=False, threads=threads).values[:, :, 0]
    death = full["kill_rate"] * cars / (full["half_kill_car_t"] + cars)
    excess = cumulative_trapezoid(death - full["tumour_growth"], FOLLOWED, axis=1, initial=0)
    odds = np.trapezoid(death * np.exp(excess), FOLLOWED, axis=1)
    cells = (full["baseline_tumour_volume"] * full["tumour_density"])[..., 0]
    return np.exp(-cells * np.log1p(1 / odds))


def _kirouac(people: Patients, early: float, seed: int, threads: int | None) -> Courses:
    """The 36 published virtual patients in turn; memory against effector cells as the product's early cells."""
    del seed
    from livingdrug.library import load_model

    sets = list(load_model("kirouac2023").parameter_sets.values())
    turn = [sets[int(number) % len(sets)] for number in people.ids]
    values = {name: np.array([one[name] for one in turn]) for name in sets[0]}
    share = _early(people)
    values["memory_uptake"] = values["memory_uptake"] * share / max(early, 1e-6)
    for name in ("early_uptake", "expanded_uptake"):
        values[name] = values[name] * (1 - share) / max(1 - early, 1e-6)
    values["dose"] = people["dose_cells"]
    return _solve("kirouac2023", values, people, "tumour_cells", threads)


def _mueller_schoell(people: Patients, early: float, seed: int, threads: int | None) -> Courses:
    del early
    from livingdrug.library.mueller_schoell2021 import low_expanders

    values = {
        "baseline_tumour_volume": people["baseline_tumour_mL"],
        "low_expansion": low_expanders(people.ids, seed=seed),
    }
    start = {name: START * people[f"harvested_{name}_fraction"] for name in (*EARLY, *LATE)}
    return _solve("mueller_schoell2021", values, people, "tumour_volume", threads, initial=start)


COURSES: dict[str, Callable[[Patients, float, int, int | None], Courses]] = {
    "kimmel2021": _kimmel,
    "kirouac2023": _kirouac,
    "mueller_schoell2021": _mueller_schoell,
}
"""Model -> how the infused patients get their courses from it."""
