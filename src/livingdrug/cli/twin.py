"""One default patient of the twin, for the command ``run``: treated by a rule, and beside it a what-if."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livingdrug.cli.terminal import print_json, print_table, say
from livingdrug.errors import InputError

if TYPE_CHECKING:
    from livingdrug.clinic.management_rules import Rule
    from livingdrug.therapy.monitoring import Monitored

__all__ = ["is_patient", "run_patient", "twin_body"]

DAYS = 90.0
MOST_CELLS = 1e12  # more than three times the T cells of a body's blood and nodes
SHOWN_DAYS = (0, 3, 7, 10, 14, 21, 28, 60, 90, 180, 365)


def is_patient(name: str) -> bool:
    """Whether this is the name of a default patient of the twin."""
    from livingdrug.body.diseases import PATIENTS

    return name in PATIENTS


def twin_body() -> Any:
    """Return the model of the twin's body."""
    from livingdrug.body.twin import TwinBody

    return TwinBody


def run_patient(
    name: str,
    changes: dict[str, float],
    *,
    rule: str,
    what_if: str | None,
    dose: float | None,
    days: float | None,
    support: bool,
    seed: int | None,
    save: Path | None,
    as_json: bool,
) -> None:
    """Follow a default patient under a rule, and the same patient under another if ``what_if`` names one."""
    from livingdrug.body.diseases import PATIENTS
    from livingdrug.reports.patient import ending_of, write_patient

    if dose is not None and not 0 <= dose <= MOST_CELLS:
        raise InputError(f"run: --dose must be a number of cells from 0 to {MOST_CELLS:g}, got {dose:g}")
    if save is not None:
        ending_of(save)
    length = DAYS if days is None else days
    if not 1 <= length <= 36_500:
        raise InputError(f"run: --days must be from 1 to 36500 for a patient of the twin, got {length:g}")
    patient = PATIENTS[name]
    rules = [_rule(words) for words in (rule, what_if) if words is not None]
    found, *others = (_followed(patient, changes, each, rules, dose, length, support, seed) for each in rules)
    other = others[0] if others else None
    title = f"{patient.disease}: {patient.product}"
    if save is not None:
        write_patient(found, title, save, other)
    if as_json:
        print_json({"patient": name, "seed": seed, "notice": "Not for clinical use."} | _as_data(found, other))
    else:
        _show(title, found, other, save)


def _rule(words: str) -> Rule:
    """Return a rule by name, or such as ``asco-2021 without tocilizumab and steroid``."""
    from livingdrug.clinic.management_rules import management_rule

    name, _, without = words.partition(" without ")
    rule = management_rule(name.strip())
    return rule.without(*(each.strip() for each in without.split(" and "))) if without else rule


def _followed(
    patient: Any,
    changes: dict[str, float],
    rule: Rule,
    rules: list[Rule],
    dose: float | None,
    days: float,
    support: bool,
    seed: int | None,
) -> Monitored:
    """Follow the patient under one of several rules, with the rounds that all of them need.

    Without a seed it is the default patient, with luck 0; with one, a patient drawn among those like it.
    """
    import numpy as np

    from livingdrug.body.treatment import cells, lymphodepletion
    from livingdrug.body.variability import draw_patients
    from livingdrug.therapy.monitoring import monitor, rounds_for
    from livingdrug.therapy.monitoring_support import ACTIONS

    given = [*lymphodepletion(patient.lymphodepletion), *cells(patient.dose_cells if dose is None else dose)]
    typical = {name: np.array([value]) for name, value in patient.values().items()}
    drawn = (
        typical
        if seed is None
        else draw_patients([1], {**patient.values(), **changes}, seed=seed, spreads=patient.spreads)
    )
    drawn |= {name: np.array([value]) for name, value in changes.items()}  # what was asked for is not varied
    times = np.unique(np.append(np.arange(0.0, min(days, 30.0), 0.25), np.linspace(min(days, 30.0), days, 121)))
    return monitor(
        drawn, given, times, rule=rule, rounds=rounds_for(*rules), support=tuple(ACTIONS) if support else (),
        findings=_findings(patient, drawn, seed or 0), patient_ids=[1], seed=seed or 0,
    )  # fmt: skip


def _findings(patient: Any, drawn: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return what a rule may ask for beside the rounds: blasts in the marrow, in leukaemia."""
    from livingdrug.therapy.assessment import CRITERIA
    from livingdrug.therapy.disease_measures import marrow_blasts

    if CRITERIA.get(patient.disease) != "b_all":
        return {}
    return {"marrow_blasts": marrow_blasts(drawn["tumour_at_start"], [1], seed=seed)}


def _as_data(found: Monitored, other: Monitored | None) -> dict[str, Any]:
    return {"course": _course(found)} | ({"what_if": _course(other)} if other is not None else {})


def _course(found: Monitored) -> dict[str, Any]:
    outputs = dict(zip(found.solution.outputs, found.solution.units, strict=True))
    return {
        "rule": found.rule,
        "units": outputs,
        "day": found.solution.times[1:],
        "outputs": {name: found.solution[name][0, 1:] for name in outputs},
        "rounds": found.rounds,
        "grades": {scale: grades[0] for scale, grades in found.grades.items()},
        "signs": {item: values[0] for item, values in found.signs.items()},
        "doses": found.doses().drop(columns="patient").to_dict("records"),
        "support": {name: amount[0] for name, amount in found.supported.items()},
    }


def _show(title: str, found: Monitored, other: Monitored | None, save: Path | None) -> None:
    from livingdrug.reports.patient import SUPPORT

    say(title)
    for each in (found, other):
        if each is None:
            continue
        crs, icans = each.episodes().iloc[0], each.episodes("astct-icans").iloc[0]
        say(f"\nRule: {each.rule}")
        say(f"  cytokine release syndrome: {_episode(crs)}; neurotoxicity: {_episode(icans)}")
        doses = each.doses()["class"].value_counts().to_dict()
        doses |= {SUPPORT[name]: n for name, amount in each.supported.items() if (n := int((amount > 0).sum()))}
        say("  given: " + (", ".join(f"{n} x {name}" for name, n in doses.items()) or "nothing"))
        times = each.solution.times
        rows = []
        for day in (d for d in SHOWN_DAYS if d <= times[-1]):
            k = int(abs(times - day).argmin())
            names = ("car_t_blood", "tumour_cells", "b_cells_blood", "il6")
            rows.append((day, *(f"{each.solution[name][0, k]:.3g}" for name in names)))
        print_table("", ("day", "CAR T /uL", "tumour cells", "B cells /uL", "IL-6 pg/mL"), rows, range(5))
    if save is not None:
        say(f"\nWritten to {save}")
    say("\nNot for clinical use.", style="dim")


def _episode(row: Any) -> str:
    if not row["highest"]:
        return "none"
    end = (
        "not over at the last round"
        if math.isnan(row["resolution_day"])
        else f"over on day {row['resolution_day']:.1f}"
    )
    return f"at most grade {int(row['highest'])}, from day {row['onset_day']:.1f}, {end}"
