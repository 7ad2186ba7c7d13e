"""Infusion: the dose meets the conditioned patient, and a published model gives the course.

Which number of the chain becomes which parameter of the model is written down in ``links``; nothing is joined by
chance of a name. Each parameter in ``varied`` is multiplied by its own random factor for each patient.

Left out: several infusions, fever and other harm, treatment after progression, death from other causes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.declared import Declared, Number, Text
from livingdrug.errors import InputError, unknown_name
from livingdrug.patients import Patients
from livingdrug.therapy.conditioning import ConditionedPatients
from livingdrug.therapy.release import Dose
from livingdrug.therapy.stage import Attrition, require
from livingdrug.therapy.stated import Fixed, StatedValue, within

__all__ = ["Course", "InfusionPlan", "Link", "follow", "infuse", "library_model", "model_parameters"]

Array = NDArray[np.float64]
USUAL_DAYS = (*range(31), *range(35, 101, 5), *range(110, 371, 10))


class Link(Declared):
    """A column of the patients that becomes a parameter of the model, times a factor between their units."""

    parameter: Text
    column: Text
    factor: Number = 1.0
    note: Text = ""


class InfusionPlan(Declared):
    """The model of the course after infusion, and how its parameters come from the chain and from chance."""

    model: Text
    parameter_set: Text = ""
    links: tuple[Link, ...] = ()
    varied: tuple[Text, ...] = ()
    variation: Annotated[StatedValue, within("1", 0.0)] = Fixed(value=1.0, note="no variation between patients")


@dataclass(frozen=True, eq=False, repr=False)
class Course:
    """What happened to the infused patients.

    Attributes:
        patients: the infused patients with all columns of the chain and the model's parameters (``model.<name>``).
        attrition: who left before the infusion.
        days: days after infusion, shape (t,).
        outputs: names of the outputs, and ``units`` theirs.
        values: shape (patient, day, output); NaN where the solve did not reach.
        solution: the engine's answer with crossings, extremes, extinctions and failures.
    """

    patients: Patients
    attrition: Attrition
    days: Array
    outputs: tuple[str, ...]
    units: Mapping[str, str]
    values: Array
    solution: Any

    def __repr__(self) -> str:
        reach = f"{self.days.size} days, {', '.join(self.outputs)}"
        return f"<Course: {len(self.patients)} patients, {len(self.attrition)} left before; {reach}>"

    def __getitem__(self, output: str) -> Array:
        """Return one output, shape (patient, day); an unknown name is an InputError."""
        if output not in self.outputs:
            raise InputError(unknown_name("output", output, self.outputs))
        return self.values[:, :, self.outputs.index(output)]


def model_parameters(patients: Patients, plan: InfusionPlan, model: Any, *, seed: int = 0) -> dict[str, Array]:
    """Return the parameters of each patient in the model's declared units, name -> shape (n,).

    First the model's own values, then those of the parameter set, then the random factors, then the links.

    Raises:
        InputError: a parameter, a parameter set or a column does not exist, or is set twice.
    """
    sets = getattr(model, "parameter_sets", {})
    if plan.parameter_set and plan.parameter_set not in sets:
        raise InputError(unknown_name(f"parameter set of {plan.model}", plan.parameter_set, sets))
    chosen = sets[plan.parameter_set] if plan.parameter_set else {}
    asked = [*plan.varied, *(link.parameter for link in plan.links)]
    for name in asked:
        if name not in model.parameters:
            raise InputError(unknown_name(f"parameter of {plan.model}", name, model.parameters))
    twice = sorted({name for name in asked if asked.count(name) > 1})
    if twice:
        raise InputError(f"infusion: parameter {twice[0]!r} is set twice by varied and links; keep one")
    found = {name: np.full(len(patients), float(value)) for name, value in chosen.items()}
    for name in plan.varied:
        middle = float(chosen.get(name, model.parameters[name].value))
        found[name] = middle * plan.variation.draw(seed, patients.ids, f"parameter:{name}")
    for link in plan.links:
        found[link.parameter] = patients[link.column] * link.factor
    return found


def infuse(
    dose: Dose,
    conditioned: ConditionedPatients,
    plan: InfusionPlan | None = None,
    *,
    times: ArrayLike = USUAL_DAYS,
    model: Any = None,
    outputs: Sequence[str] | None = None,
    crossings: Callable[[Patients], Mapping[str, Any]] | None = None,
    extremes: Mapping[str, Any] | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Course:
    """Give each conditioned patient the dose and follow the course.

    Args:
        dose: released cells.
        conditioned: the same patients after lymphodepletion; who is missing there is an error, not a silent loss.
        plan: model, links and variation between patients.
        times: days after infusion, ascending, shape (t,).
        model: a model declared by the user instead of the library's model that the plan names.
        outputs: names of outputs or states; by default all outputs of the model.
        crossings: gives for the infused patients the engine's crossings to be found on the way.
        extremes: the engine's extremes to be kept.
        seed: of the patients' random streams.
        threads: of the solver; the results do not depend on it.

    Raises:
        InputError: patients, names or times do not fit.
    """
    if not np.array_equal(dose.patients.ids, conditioned.patients.ids):
        raise InputError("infuse: the dose and the conditioned patients are not the same patients in the same order")
    if plan is None:
        raise InputError("infuse: a plan is needed that names the model and its links; see InfusionPlan")
    patients = dose.patients.with_columns(conditioned.patients.columns, conditioned.patients.units)
    return follow(
        patients,
        dose.attrition,
        plan,
        times=times,
        model=model,
        outputs=outputs,
        crossings=crossings,
        extremes=extremes,
        seed=seed,
        threads=threads,
    )


def follow(
    patients: Patients,
    attrition: Attrition,
    plan: InfusionPlan,
    *,
    times: ArrayLike = USUAL_DAYS,
    model: Any = None,
    outputs: Sequence[str] | None = None,
    crossings: Callable[[Patients], Mapping[str, Any]] | None = None,
    extremes: Mapping[str, Any] | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Course:
    """Follow infused patients, whose columns hold all that the links of the plan name; arguments as for ``infuse``."""
    declared = model if model is not None else library_model(plan.model)
    for link in plan.links:
        require(patients, {link.column: patients.units.get(link.column, "any unit")}, "infuse")
    parameters = model_parameters(patients, plan, declared, seed=seed)
    units = {f"model.{name}": str(declared.parameters[name].unit) for name in parameters}
    patients = patients.with_columns({f"model.{name}": values for name, values in parameters.items()}, units)
    days = np.asarray(times, np.float64)
    solution = _solve(
        declared,
        parameters,
        days,
        outputs=outputs,
        crossings=crossings(patients) if crossings else None,
        extremes=extremes,
        patient_ids=patients.ids,
        seed=seed,
        threads=threads,
    )
    names = tuple(str(name) for name in solution.outputs)
    units = dict(zip(names, map(str, solution.units), strict=True))
    return Course(patients, attrition, days, names, units, np.asarray(solution.values, np.float64), solution)


def library_model(name: str) -> Any:
    """Return the model of the library with this name; an unknown name is an InputError."""
    from livingdrug.library import load_model

    return load_model(name)


def _solve(*arguments: Any, **options: Any) -> Any:
    from livingdrug.engine.solve import solve

    return solve(*arguments, **options)
