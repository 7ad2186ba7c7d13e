"""Checks of a trial of the twin: every name exists, every day is possible, every endpoint fits the disease."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    from livingdrug.population.products import DoseRule
    from livingdrug.trials.protocol import Arm, Protocol

__all__ = ["check", "with_line"]

CLOCKS = ("pfs", "efs", "os", "dor", "rfs")
ASSAYS = {"car_t_transgene_blood": "copy/ug", "car_t_blood": "cell/uL"}
HIGHEST_LIMIT = 1e6  # of an assay, in its unit; real ones are 1e4 times lower
MOST_CELLS = 1e12  # in a dose: a thousand times more than was ever given
HEAVY = 100.0  # kg
SHARE_ERROR = 0.01  # between the shares of the arms and their sizes
BLASTS, LEUKAEMIA = "marrow_blasts", ("b_all", "b_all_adult")
LOSS_ERROR = 0.25  # of the enrolled, between those infused and what the losses leave


def check(trial: Protocol) -> None:
    """Raise InputError where a trial names what does not exist, or asks for what cannot be."""
    _disease(trial)
    _arms(trial)
    _sizes(trial)
    _grading(trial)
    _days(trial)
    _endpoints(trial)


def _named(place: str, what: str, asked: str, allowed: object) -> None:
    if asked not in allowed:  # type: ignore[operator]
        raise InputError(f"{place}: {unknown_name(what, asked, allowed)}")  # type: ignore[arg-type]


def _disease(trial: Protocol) -> None:
    from livingdrug.population.diseases import DISEASES, disease
    from livingdrug.trials.hazards import hazards_of

    _named("disease", "disease", trial.disease, DISEASES)
    hazards_of(trial.disease)
    if trial.columns:
        disease(trial.disease).with_columns(trial.columns)


def _arms(trial: Protocol) -> None:
    from livingdrug.trials.comparators import COMPARATORS, comparator

    names: set[str] = set()
    for number, arm in enumerate(trial.arms):
        if arm.name.casefold() in names:
            raise InputError(f"arms.{number}.name: each arm needs a name of its own, got {arm.name!r} twice")
        names.add(arm.name.casefold())
        if arm.product:
            _treated(trial, arm, f"arms.{number}")
            continue
        _named(f"arms.{number}.comparator", "comparator", arm.comparator, COMPARATORS)
        if comparator(arm.comparator).disease != trial.disease:
            fits = [name for name in COMPARATORS if comparator(name).disease == trial.disease]
            raise InputError(
                f"arms.{number}.comparator: {arm.comparator!r} is a treatment of "
                f"{comparator(arm.comparator).disease}, but the trial enrols {trial.disease}; "
                f"allowed: {', '.join(fits) or 'none, since no comparator of this disease is known'}"
            )
    if not any(arm.product for arm in trial.arms):
        raise InputError("arms: at least one arm needs a product")


def _treated(trial: Protocol, arm: Arm, place: str) -> None:
    """Check the product, its indication and its dose."""
    from livingdrug.population.products import PRODUCTS, product

    _named(f"{place}.product", "product", arm.product, PRODUCTS)
    known = product(arm.product).indications
    _named(f"{place}.indication", f"indication of {arm.product}", arm.indication, known)
    if known[arm.indication].disease != trial.disease:
        raise InputError(
            f"{place}.indication: {arm.indication!r} is an indication in {known[arm.indication].disease}, "
            f"but the trial enrols {trial.disease}"
        )
    if arm.dose and max(_cells(arm.dose)) > MOST_CELLS:
        raise InputError(f"{place}.dose: {max(_cells(arm.dose)):.3g} cells are more than {MOST_CELLS:.0e}")


def _cells(rule: DoseRule) -> list[float]:
    """Return the cells that a dose rule can give, of a heavy patient where they are per kilogram."""
    parts = (*rule.split.above, *rule.split.others) if rule.split else ()
    flat = [band.flat.support[1] for band in rule.bands if band.flat]
    per_kg = [HEAVY * band.per_kg.support[1] for band in rule.bands if band.per_kg and band.most_cells is None]
    most = [band.most_cells for band in rule.bands if band.most_cells is not None]
    return [*(each.cells for each in (*rule.levels, *parts)), *flat, *per_kg, *most]


def _sizes(trial: Protocol) -> None:
    """Check that shares, sizes of arms and losses tell the same story."""
    size, arms = trial.size, trial.arms
    if abs(sum(arm.share for arm in arms) - 1) > 1e-6:
        raise InputError(f"arms: the shares must add up to 1, got {sum(arm.share for arm in arms):g}")
    for number, arm in enumerate(arms):
        if arm.share * size.enrolled < 0.5:
            raise InputError(
                f"arms.{number}.share: {arm.share:g} of {size.enrolled} enrolled is an arm without patients"
            )
        if arm.enrolled and abs(arm.enrolled / size.enrolled - arm.share) > max(SHARE_ERROR, 0.5 / size.enrolled):
            raise InputError(
                f"arms.{number}.enrolled: {arm.enrolled} of {size.enrolled} enrolled are not the share of {arm.share:g}"
            )
    if all(arm.enrolled for arm in arms) and sum(arm.enrolled or 0 for arm in arms) != size.enrolled:
        raise InputError(f"size.enrolled: {size.enrolled}, but the arms have {sum(arm.enrolled or 0 for arm in arms)}")
    treated = sum(trial.enrolled_in(arm) for arm in arms if arm.product)
    lost = trial.enrolment.manufacturing_failure.value + sum(share.value for share in trial.enrolment.lost.values())
    if size.infused > treated:
        raise InputError(f"size.infused: {size.infused}, but only {treated} are enrolled in arms with a product")
    if abs(size.infused - treated * (1 - lost)) > LOSS_ERROR * treated + 1:
        raise InputError(
            f"size.infused: {size.infused}, but of {treated} enrolled the losses of [enrolment] leave "
            f"{treated * (1 - lost):.0f}"
        )


def _grading(trial: Protocol) -> None:
    from livingdrug.clinic.management_rules import management_rule, management_rules
    from livingdrug.trials.protocol import SCALES

    plan = trial.grading
    _named("grading.rule", "rule of management", plan.rule, management_rules())
    if BLASTS in management_rule(plan.rule).needs and trial.disease not in LEUKAEMIA:
        raise InputError(
            f"grading.rule: {plan.rule!r} asks for blasts in the marrow, which {trial.disease} has not; it is a rule "
            f"for {' and '.join(LEUKAEMIA)}"
        )
    _named("grading.crs", "scale of cytokine release", plan.crs, SCALES["crs"])
    _named("grading.neuro", "scale of neurotoxicity", plan.neuro, SCALES["neuro"])
    for name in plan.also:
        _named("grading.also", "grading scale", name, (*SCALES["crs"], *SCALES["neuro"]))
    if len(set(plan.also)) < len(plan.also):
        raise InputError(f"grading.also: each scale once, got {', '.join(plan.also)}")
    _assay(trial)


def _assay(trial: Protocol) -> None:
    plan = trial.sampling
    _named("sampling.output", "output that an assay measures", plan.output, ASSAYS)
    if plan.unit != ASSAYS[plan.output]:
        raise InputError(f"sampling.unit: {plan.output} is in {ASSAYS[plan.output]}, got {plan.unit!r:.40}")
    if plan.lloq.unit != plan.unit or not 0 <= plan.lloq.value <= HIGHEST_LIMIT:
        raise InputError(
            f"sampling.lloq: must be from 0 to {HIGHEST_LIMIT:g} {plan.unit}, got {plan.lloq.value:g} {plan.lloq.unit}"
        )


def _days(trial: Protocol) -> None:
    from livingdrug.clinic.survival_rules import endpoint_rules

    horizon = trial.follow_up.horizon_days
    for place, days in (("sampling.days", trial.sampling.days), ("visits.days", trial.visits.days)):
        if days[-1] > horizon:
            raise InputError(f"{place}: day {days[-1]:g} lies after the horizon of {horizon:g} days")
    if trial.visits.days[0] <= 0:
        raise InputError("visits.days: the first visit must come after the infusion on day 0")
    if trial.visits.response_by < trial.visits.days[0]:
        raise InputError(
            f"visits.response_by: day {trial.visits.response_by:g} comes before the first visit on day "
            f"{trial.visits.days[0]:g}, so nobody could respond"
        )
    for name, rule in trial.follow_up.clocks.items():
        _named("follow_up.clocks", "clock", name, CLOCKS)
        begin = "dor" if name == "rfs" else name
        fits = [each for each in endpoint_rules() if each.split("_")[0] == begin]
        _named(f"follow_up.clocks.{name}", "endpoint rule", rule, fits)
    if "os" not in trial.follow_up.clocks:
        raise InputError("follow_up.clocks: survival needs the clock 'os'")


def _endpoints(trial: Protocol) -> None:
    from livingdrug.trials.endpoint_names import endpoints_of

    known = [*endpoints_of(trial)]
    if len(trial.arms) == 2:
        known += [f"{name} hazard ratio" for name in trial.follow_up.clocks if name not in ("dor", "rfs")]
    if len(set(trial.endpoints)) < len(trial.endpoints):
        raise InputError("endpoints: each is named once")
    for number, name in enumerate(trial.endpoints):
        _named(f"endpoints.{number}", f"endpoint of a trial in {trial.disease}", name, known)
    if trial.registered:
        _named("registered.endpoint", f"endpoint of a trial in {trial.disease}", trial.registered.endpoint, known)


def with_line(message: str, path: str | Path) -> str:
    """Return an error message with the line of the file in which its key stands, where that can be told.

    Keys are found by their last name in the text, below the table that the message names.
    """
    said = re.match(rf"{re.escape(str(path))}: (?:([A-Za-z_][\w. -]*)(?:\.\[key\])?: )?(.*)", message, re.DOTALL)
    if said is None or not Path(path).is_file():
        return message
    place, what = said.group(1) or "", said.group(2)
    unknown = re.match(r"unknown key '([\w -]+)'", what)
    parts = [*place.split("."), *(unknown.groups() if unknown else ())]
    keys = [part for part in parts if part and not part.isdigit()]
    at = int(next((part for part in parts if part.isdigit()), "0"))
    line = _line_of(Path(path).read_text(encoding="utf-8-sig").splitlines(), keys, at) if keys else None
    return message if line is None else f"{path}, line {line}: {f'{place}: ' if place else ''}{what}"


def _line_of(lines: list[str], keys: list[str], at: int) -> int | None:
    """Return the number of the line that sets a key, or else of its table (the ``at``-th of several)."""
    table, seen, best, depth = "", -1, None, 0
    for number, line in enumerate(lines, 1):
        head = re.match(r"\s*(\[\[?)\s*([\w.-]+)\s*\]\]?", line)
        if head:
            table = head.group(2)
            seen += head.group(1) == "[[" and table == keys[0]
            inside = []
        else:
            key = re.match(r"""\s*["']?([\w -]*[\w-])["']?\s*=""", line)
            if not key:
                continue
            inside = [key.group(1)]
        name = [*(table.split(".") if table else []), *inside]
        if name == keys[: len(name)] and len(name) > depth and (seen < 0 or seen == at):
            best, depth = number, len(name)
    return best
