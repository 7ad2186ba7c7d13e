"""Tables and boxes of a trial of the twin: way of the patients, side effects, endpoints, published beside simulated."""

from __future__ import annotations

from typing import Any

import numpy as np

from livingdrug.reports.flow import Flow, Step
from livingdrug.reports.keyresults import Card
from livingdrug.reports.numbers import MISSING, count, interval, number, percent
from livingdrug.reports.tables import Table, table
from livingdrug.trials.measures import Measure, samples_of
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.parameter_ranges import inside
from livingdrug.trials.protocol import Arm, Protocol
from livingdrug.trials.replicates import draws
from livingdrug.trials.replicates import interval as range_of

__all__ = ["cards", "drugs", "endpoint_tables", "flow_of", "grades", "published", "responses"]

REPLICATES = 300
BOTH = "By chance and parameters"
AND_PARAMETERS = "with parameters not known exactly"
GRADES = (1, 2, 3, 4, 5)
DRUGS = {
    "tocilizumab": "tocilizumab, against the signal of interleukin 6",
    "steroid": "steroid",
    "anakinra": "anakinra, against the signal of interleukin 1",
    "vasopressor": "vasopressor, to keep up the blood pressure",
    "high_dose_vasopressor": "high dose, or several vasopressors",
    "ventilated": "mechanical ventilation",
    "icu": "needs of intensive care",
    "neutropenia_day28": "few neutrophils on day 28 (grade 3 or more)",
    "thrombocytopenia_day28": "few platelets on day 28 (grade 3 or more)",
    "g_csf": "G-CSF, against few neutrophils",
    "platelet_transfusion": "platelets transfused",
    "red_cell_transfusion": "red cells transfused",
}
SYNDROMES = {"crs": "Cytokine release syndrome", "neuro": "Neurotoxicity"}
BEST = ("sCR", "CR", "CRi", "VGPR", "PR", "MR", "SD", "NE", "PD")
SHOWN_FIRST = (
    "infused", "cr/cri", "orr", "cr", "residual disease negative", "efs 12 months", "pfs 12 months", "os 12 months",
    "crs >= 3", "neuro >= 3",
)  # fmt: skip
CARD_WORDS = {
    "infused": "of the enrolled were infused",
    "cr/cri": "in complete remission within 3 months",
    "orr": "responded",
    "cr": "with a complete response",
    "efs 12 months": "without event after a year",
    "pfs 12 months": "without progression after a year",
    "os 12 months": "alive after a year",
    "crs >= 3": "with severe cytokine release (grade 3 or more)",
    "neuro >= 3": "with severe neurotoxicity (grade 3 or more)",
}


def flow_of(outcomes: Outcomes, arm: Arm) -> Flow:
    """Return the way of an arm's patients: enrolled, lost with the reason, infused, and what became of them."""
    here = outcomes.take(outcomes["arm"] == arm.name)
    infused = here.take(here["infused"])
    reasons, lost = np.unique(here["left_reason"][~here["infused"]], return_counts=True)
    losses = tuple((str(why) or "not treated", count(some)) for why, some in zip(reasons, lost, strict=True))
    share = f"{percent(len(infused) / len(here))} of enrolled" if len(here) else ""
    second = "infused" if arm.product else "treated"
    steps = (Step("enrolled", count(len(here)), "", losses), Step(second, count(len(infused)), share))
    return Flow(steps, tuple(_ends(infused, second)) if len(infused) else ())


def _ends(infused: Outcomes, word: str) -> list[Step]:
    died = np.isfinite(infused["death_day"])
    came_back = np.isfinite(infused["progression_day"])
    no_response = ~np.isfinite(infused["response_day"])
    parts = (
        ("alive, in response", ~died & ~came_back & ~no_response, "when the watch ended"),
        ("alive, progressed", ~died & came_back, "progression or relapse was seen"),
        ("alive, no response", ~died & ~came_back & no_response, ""),
        ("died of the disease", died & (infused["death_cause"] == "disease"), ""),
        ("died of another cause", died & (infused["death_cause"] != "disease"), _causes(infused, died)),
    )
    return [Step(name, count(held.sum()), f"{percent(held.mean())} of {word}", note=note) for name, held, note in parts]


def _causes(infused: Outcomes, died: Any) -> str:
    names, counts = np.unique(infused["death_cause"][died & (infused["death_cause"] != "disease")], return_counts=True)
    return ", ".join(f"{name} {count(some)}" for name, some in zip(names, counts, strict=True))


def _with_range(
    trial: Protocol, here: Outcomes, arm: Arm, measure: Measure, seed: int = 0
) -> tuple[float, float, float]:
    """Return a measure of all patients of an arm, and its range in trials of the real size."""
    follow, every = trial.follow_up, np.arange(len(here))[None, :]
    found = float(samples_of(here, measure, every, follow.clocks, follow.clock_from)[0])
    size = max(1, round(trial.enrolled_in(arm) * float(here["infused"].mean())))
    rows = draws(here, measure, size, count=REPLICATES, seed=seed)
    if not rows.size:
        return found, np.nan, np.nan
    _, low, high = range_of(samples_of(here, measure, rows, follow.clocks, follow.clock_from))
    return found, low, high


def grades(trial: Protocol, outcomes: Outcomes, arm: Arm) -> list[Table]:
    """Return for each syndrome the grades by scale, with onset and duration."""
    here = outcomes.take(outcomes["arm"] == arm.name)
    tail = f", {arm.name}" if len(trial.arms) > 1 else ""
    found = []
    for syndrome, names in trial.scales.items():
        rows = [_grade_row(trial, here, arm, syndrome, scale) for scale in names]
        headings = ("Scale", "Any", *(f"{grade}" for grade in GRADES), "3 or more", "Onset", "Duration")
        title = f"{SYNDROMES[syndrome]}: highest grade, % of the infused; days of onset and duration{tail}"
        found.append(table(headings, rows, range(1, len(headings)), title))
    return found


def _grade_row(trial: Protocol, here: Outcomes, arm: Arm, syndrome: str, scale: str) -> tuple[str, ...]:
    def share(least: int) -> str:
        measure = Measure(statistic="proportion", of=syndrome, scale=scale, at_least=least)
        middle, low, high = _with_range(trial, here, arm, measure)
        return f"{middle:.0f}\n{low:.0f}–{high:.0f}"

    def days(what: str) -> str:
        sick = ("infused", f"with {syndrome}")
        measure = Measure(statistic="median", of=f"{syndrome} {what}", among=sick, scale=scale)
        middle, low, high = _with_range(trial, here, arm, measure)
        return f"{number(middle, 2)}\n{interval(low, high, 2)}"

    infused = here["infused"]
    worst = here[f"{syndrome}_{scale}"][infused]
    each = [f"{100 * float((worst == grade).mean()):.0f}" if worst.size else MISSING for grade in GRADES]
    return (scale, share(1), *each, share(3), days("onset"), days("duration"))


def drugs(trial: Protocol, outcomes: Outcomes, arm: Arm) -> Table:
    """Return drugs, support and low counts, in percent of the infused."""
    here = outcomes.take(outcomes["arm"] == arm.name)
    rows = []
    for name, words in DRUGS.items():
        middle, low, high = _with_range(trial, here, arm, Measure(statistic="proportion", of=name))
        if np.isfinite(middle):
            rows.append((words, f"{middle:.0f}", f"{low:.0f} to {high:.0f}"))
    tail = f", {arm.name}" if len(trial.arms) > 1 else ""
    title = f"Drugs, support and blood counts, % of the infused{tail}"
    return table(("Given or found", "Simulated", "95 % of trials"), rows, (1, 2), title)


def responses(outcome: Any) -> list[dict[str, Any]]:
    """Return best responses of the patients who are analysed: arm, response, share in percent; best first."""
    rows = []
    several = len(outcome.trial.arms) > 1
    for arm in outcome.trial.arms:
        here = outcome.outcomes.take(outcome.outcomes["arm"] == arm.name)
        best = here["best_response"][np.ones(len(here), bool) if several else here["infused"]]
        found = [name for name in BEST if name in best]
        rows += [{"arm": arm.name, "response": name, "share": 100 * float((best == name).mean())} for name in found]
    return rows


def endpoint_tables(outcome: Any) -> list[Table]:
    """Return every endpoint of each arm with its range over trials of the real size."""
    ranged = "sets_low" in outcome.endpoints
    headings = ("Endpoint", "Simulated", "By chance", *((BOTH,) if ranged else ()), "Unit", "Patients")
    numeric = (1, 2, 3, 5) if ranged else (1, 2, 4)
    found = []
    for arm, rows in outcome.endpoints.groupby("arm", sort=False):
        cells = [
            (row.endpoint, _value(row.value), _range(row.low, row.high),
             *((_range(row.sets_low, row.sets_high),) if ranged else ()), _unit(row.unit), count(row.size))
            for row in rows.itertuples()
        ]  # fmt: skip
        found.append(table(headings, cells, numeric, f"All endpoints: {arm}; ranges hold 95 % of trials"))
    return found


def _range(low: float, high: float) -> str:
    return f"{_value(low)} to {_value(high)}"


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit.replace("uL", "µL").replace("/ug", "/µg")


def _value(value: float) -> str:
    return "not reached" if value == np.inf else number(value)


def published(outcome: Any) -> Table | None:
    """Return published beside simulated, target by target; None for a trial without targets."""
    rows = outcome.targets.to_dict("records")
    if not rows:
        return None
    cells, marks = [], []
    for row in rows:
        name = ", ".join(part for part in (row["endpoint"], row["timepoint"], row["grading_scale"]) if part)
        what = f"{row['population']}; {row['statistic']}, {_unit(row['unit'])}, n = {count(row['size'])}"
        reported = _value(row["reported"])
        if np.isfinite([row["reported_low"] or np.nan, row["reported_high"] or np.nan]).all():
            reported += f"\n{interval(row['reported_low'], row['reported_high'])}"
        low, high = (row.get(f"sets_{end}", row[end]) for end in ("low", "high"))
        verdict = "inside" if row.get("sets_inside", row["inside"]) else "outside"
        simulated = f"{_value(row['simulated'])}\n{_range(row['low'], row['high'])}"
        both = (_range(low, high),) if "sets_low" in row else ()
        cells.append((f"{name}\n{what}", reported, simulated, *both, verdict))
        marks.append(verdict)
    headings = ("Reported number", "Published", "Simulated, by chance", *((BOTH,) if len(cells[0]) > 4 else ()), "")
    return table(headings, cells, range(1, len(headings)), "Published beside simulated", marks)


def cards(outcome: Any) -> list[Card]:
    """Return the key results of the first arm, each with its range in trials of the real size."""
    trial = outcome.trial
    arm = trial.arms[0].name
    rows = {row["endpoint"]: row for row in outcome.endpoints.to_dict("records") if row["arm"] == arm}
    tail = f" ({arm})" if len(trial.arms) > 1 else ""
    made = []
    for name in SHOWN_FIRST:
        if name in rows and name in CARD_WORDS and np.isfinite(rows[name]["value"]):
            row = rows[name]
            detail = f"95 % of trials with {count(row['size'])} patients: {row['low']:.0f} to {row['high']:.0f} %"
            if "sets_low" in row:
                detail += f"; {AND_PARAMETERS}: {row['sets_low']:.0f} to {row['sets_high']:.0f} %"
            made.append(Card(percent(row["value"] / 100), CARD_WORDS[name] + tail, detail))
    for row in outcome.endpoints.to_dict("records"):
        if row["endpoint"].endswith("hazard ratio"):
            ends = f"{number(row['low'], 2)} to {number(row['high'], 2)}"
            detail = f"95 % of trials with {count(row['size'])} patients: {ends}"
            if "sets_low" in row:
                detail += f"; {AND_PARAMETERS}: {number(row['sets_low'], 2)} to {number(row['sets_high'], 2)}"
            made.append(Card(number(row["value"], 2), f"hazard ratio, {row['endpoint'].split(' ')[0].upper()}", detail))
    if len(outcome.targets):
        chance, both = inside(outcome.targets)
        detail = "reported numbers inside the range of simulated trials of their size"
        made.append(
            Card(
                f"{chance if both is None else both} of {len(outcome.targets)}", "published numbers reproduced", detail
            )
        )
    return made
