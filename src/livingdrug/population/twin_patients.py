"""From a patient's covariates, the disease and the product to the parameters of the twin's body.

One patient's parameters hang on that patient, the seed and the settings only. Each parameter is its typical value
(of the body, then of the product's costimulation, then of the disease, then of the product), times what the patient's
covariates, the settings and the patient's own luck say, scaled to the patient's size, and cut at its limits.

Example:
    >>> from livingdrug.population.diseases import disease
    >>> patients = disease("lbcl").draw([1, 2, 3], seed=1)
    >>> once = body_parameters(patients, "lbcl", "axi_cel", seed=1)
    >>> twice = body_parameters(patients, "lbcl", "axi_cel", {"expansion:lbcl": 2.0}, seed=1)
    >>> (twice["expansion_capacity"] / once["expansion_capacity"]).round(6).tolist()
    [2.0, 2.0, 2.0]
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.population.copula import correlated_normals
from livingdrug.population.diseases import Disease, disease
from livingdrug.population.effects import Effects, effects
from livingdrug.population.free import checked_settings, factor, spread
from livingdrug.population.products import Product, product
from livingdrug.streams import normal, uniform

__all__ = ["body_parameters"]

Array = NDArray[np.float64]
Found = dict[str, Array]

GROW_WITH_SIZE = ("cell", "cell/day", "uL", "L", "L/day", "mg", "mg/day")
FALL_WITH_SIZE = ("pg/mL/cell/day", "1/cell/day", "1/mg/day")
SAME_IN_ALL = ("one_cell",)
T_CELLS_AT_REST = 500.0  # per uL: the body's host_capacity over its blood_equivalent
HOST = (0.02, 3.0)  # share of the T cells at rest that can be there before lymphodepletion


def body_parameters(
    patients: Patients,
    of: str | Disease,
    given: str | Product,
    settings: Mapping[str, ArrayLike] | None = None,
    *,
    seed: int = 0,
) -> Found:
    """Return the parameters of the twin's body that differ from its own, name -> shape (patient,), in declared units.

    Args:
        patients: as a disease draws them.
        of: the disease or its name; covariates act relative to its medians, so not one with a trial's own columns.
        given: the product or its name.
        settings: names of ``population.free`` -> factor (1 changes nothing), SD for ``spread:``, or logarithm for
            ``trial_effect:``; a number, or one per patient.
        seed: of the random streams.

    Raises:
        InputError: an unknown name, a column that is missing, or a setting that is not a positive number.
    """
    ill, drug = (disease(of) if isinstance(of, str) else of), (product(given) if isinstance(given, str) else given)
    chosen, known = checked_settings(settings), effects()
    found = _typical(ill, drug, len(patients))
    _own_spread(found, patients.ids, seed, set(known.governed))
    _low_expanders(found, patients.ids, seed, float(ill.low_expanders.quantile(0.5)), known)
    _direct(found, patients, known)
    _factors(found, _effect_factors(known, chosen, ill, drug, patients.ids, seed), known.on)
    _factors(found, _covariate_factors(patients, ill, known), known.covariate_on)
    _size(found, patients["weight_kg"] / known.value("reference_weight"))
    return _cut(found, set(known.governed))


def _typical(ill: Disease, drug: Product, count: int) -> Found:
    from livingdrug.body.diseases import KINDS
    from livingdrug.body.twin import TwinBody

    bcma = drug.receptor.target == "BCMA"
    values = {name: p.value for name, p in TwinBody.parameters.items()}
    values |= {name: value for name, (value, _) in KINDS[drug.receptor.costimulation].items()}
    values |= ill.typical()
    values |= {
        "antigen_on_b_cells": 0.0 if bcma else 1.0,
        "antigen_on_plasma_cells": 1.0 if bcma else 0.0,
        "copies_per_cell": float(drug.process.copies_per_cell.quantile(0.5)),
    }
    return {name: np.full(count, value) for name, value in values.items()}


def _own_spread(found: Found, ids: ArrayLike, seed: int, governed: set[str]) -> None:
    """Vary the parameters that neither a covariate nor an effect governs, each by its own declared spread."""
    from livingdrug.body.twin import TwinBody

    for name, p in TwinBody.parameters.items():
        if p.spread is not None and name not in governed:
            z = normal(seed, ids, f"body:{name}")[:, 0]
            found[name] = p.spread.apply(found[name], z, p.limits)


def _low_expanders(found: Found, ids: ArrayLike, seed: int, share: float, known: Effects) -> None:
    low = uniform(seed, ids, "body:low expander")[:, 0] < share
    found["fitness"] = np.where(low, known.value("low_growth"), 1.0) * found["fitness"]


def _direct(found: Found, patients: Patients, known: Effects) -> None:
    for column, parameter in known.direct.items():
        found[parameter] = patients[column].copy()
    t_cells = patients["lymphocytes"] * known.value("t_cells_of_lymphocytes")
    found["host_at_start"] = np.clip(t_cells / T_CELLS_AT_REST, *HOST)


def _effect_factors(
    known: Effects, chosen: Mapping[str, ArrayLike], ill: Disease, drug: Product, ids: ArrayLike, seed: int
) -> Found:
    z = correlated_normals(tuple(known.effects), known.correlations, ids, seed=seed, purpose="effect")
    return {
        name: factor(chosen, name, ill, drug) * np.exp(spread(chosen, name, ill, drug) * z[name])
        for name in known.effects
    }


def _covariate_factors(patients: Patients, ill: Disease, known: Effects) -> Found:
    middle = {"burden_cells": ill.typical_burden()}
    return {
        name: patients[name] / (middle[name] if name in middle else float(ill.columns[name].quantile(0.5)))
        for name in known.covariates
    }


def _factors(found: Found, factors: Mapping[str, Array], on: Mapping[str, Mapping[str, float]]) -> None:
    for name, value in factors.items():
        for parameter, power in on[name].items():
            if parameter == "negative_share":  # a share: its odds are multiplied
                odds = found[parameter] / (1 - found[parameter]) * value
                found[parameter] = odds / (1 + odds)
            else:
                found[parameter] = found[parameter] * value**power


def _size(found: Found, size: Array) -> None:
    """Scale what is counted for the whole body, so that a child's blood has an adult's concentrations."""
    from livingdrug.body.twin import TwinBody

    measured = {"tumour_at_start"}  # already the patient's own
    for name, p in TwinBody.parameters.items():
        if name in measured or name in SAME_IN_ALL:
            continue
        if p.unit in GROW_WITH_SIZE:
            found[name] = found[name] * size
        elif p.unit in FALL_WITH_SIZE:
            found[name] = found[name] / size


def _cut(found: Found, governed: set[str]) -> Found:
    from livingdrug.body.twin import TwinBody

    for name, values in found.items():
        if not np.isfinite(values).all():
            raise InputError(f"body parameter {name!r} is not finite for some patients; a setting may be too extreme")
        found[name] = np.clip(values, *TwinBody.parameters[name].limits)
    own = {name: p.value for name, p in TwinBody.parameters.items()}
    return {name: values for name, values in found.items() if name in governed or np.any(values != own[name])}
