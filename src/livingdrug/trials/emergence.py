"""Emergence checks: what the twin says about things that nobody fitted, by letting the same patients live twice.

Each check asks one question, simulates its patients with the settings of the shipped ensemble (default values where
none is shipped), and answers with a table of numbers and intervals. Where plans are compared, every patient keeps all
luck from plan to plan. Nothing here was or may be used in a fit. Not for clinical use.

Example:
    >>> list(CHECKS)[:2], CHECKS["dose-doubling"].question[:33]
    (['exposure-response', 'cmax-tocilizumab'], 'What does a doubling of the dose ')
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.population.products import DoseRule
from livingdrug.therapy.stated import Fixed
from livingdrug.trials.endpoint_names import endpoints_of
from livingdrug.trials.measures import Measure, samples_of
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.replicates import interval
from livingdrug.trials.scenarios import Pool, Scenario, parameter_sets, simulate_scenarios

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CHECKS", "Check", "Emergence", "run_check"]

Array = NDArray[np.float64]
Rows = list[dict[str, Any]]
GROUPS = 4
QUARTERS = ("lowest quarter", "second", "third", "highest quarter")
YEAR = 365.25
SEVERE = 3
DOSES = (1.5e8, 3e8, 6e8)
WAITS = (25.0, 50.0)
FLAT_CELLS = 410e6  # as many as the split dose has in all


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: as the command knows it.
        title: of its page.
        question: in plain words.
        kind: how it is drawn: over ``groups`` of patients, as ``bars`` by scale, or ``plans`` side by side.
        caption: what a reader sees, and what it does not mean.
        plans: makes the plans.
        measure: makes the table's rows from the simulated patients.
    """

    name: str
    title: str
    question: str
    kind: Literal["groups", "bars", "plans"]
    caption: str
    plans: Callable[[], list[Scenario]]
    measure: Callable[[Pool], Rows]


@dataclass(frozen=True, eq=False)
class Emergence:
    """The answer of a check.

    Attributes:
        check: the question.
        table: columns part, group, quantity, x (NaN where the group is no number), value, low, high, unit, patients.
            A row whose group is "difference" compares the last plan with the first in the same patients.
        settings: where the settings are from.
        intervals: what low and high mean.
        patients: enrolled per plan and parameter set; ``sets`` parameter sets; ``seed``.
    """

    check: Check
    table: pd.DataFrame
    settings: str
    intervals: str
    patients: int
    sets: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "check": self.check.name, "title": self.check.title, "question": self.check.question,
            "caption": self.check.caption, "intervals": self.intervals, "settings": self.settings,
            "patients": self.patients, "parameter_sets": self.sets, "seed": self.seed,
            "rows": self.table.astype(object).to_dict("records"), "notice": "Not for clinical use.",
        }  # fmt: skip


def run_check(
    name: str,
    patients: int = 1_000,
    seed: int = 1,
    *,
    sets: int = 1,
    folder: str | Path | None = None,
    days: float | None = None,
    workers: int = 1,
    threads: int | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> Emergence:
    """Run one check.

    Args:
        name: in ``CHECKS``.
        patients: enrolled per plan and parameter set.
        seed: of all random streams.
        sets: parameter sets of the shipped ensemble; 1 for its medians.
        folder: where finished blocks are kept; checks that share a plan share its patients.
        days: last day that is simulated; that of each trial unless given.
        workers: processes; ``threads`` of the solver in each.
        threads: see ``workers``.
        progress: called with (patients done, patients in all).

    Raises:
        InputError: an unknown check, or a number that cannot be used.
    """
    import pandas as pd

    if name not in CHECKS:
        raise InputError(unknown_name("emergence check", name, CHECKS))
    check, (settings, where) = CHECKS[name], parameter_sets(sets)
    pool = simulate_scenarios(
        check.plans(), patients, seed, settings=settings, folder=folder, days=days, workers=workers, threads=threads,
        progress=progress,
    )  # fmt: skip
    columns = ("part", "group", "quantity", "x", "value", "low", "high", "unit", "patients")
    table = pd.DataFrame(check.measure(pool), columns=columns)
    return Emergence(check, table, where, pool.interval_words(), patients, pool.sets, seed)


def _row(part: str, group: str, quantity: str, unit: str, values: tuple[float, Array], **more: Any) -> dict[str, Any]:
    """Return a row of the table from a value and its replicates."""
    _, low, high = interval(values[1])
    return {"part": part, "group": group, "quantity": quantity, "x": np.nan, "unit": unit, "value": values[0],
            "low": low, "high": high, "patients": np.nan, **more}  # fmt: skip


def _measured(pool: Pool, name: str, measure: Measure, since: str = "") -> tuple[float, Array]:
    """Return a measure of a plan: of all patients, and of its replicates."""
    trial, outcomes = pool.scenarios[name].trial, pool.found[name]
    clocks, start = trial.follow_up.clocks, since or trial.follow_up.clock_from
    every = np.arange(len(outcomes))[None, :]
    whole = float(samples_of(outcomes, measure, every, clocks, start)[0])
    return whole, samples_of(outcomes, measure, pool.rows(), clocks, start)


def _share(flags: Any, inside: Any, pool: Pool) -> tuple[float, Array]:
    """Return a share in percent of those inside: of all, and of the replicates."""
    numbers, rows = np.where(inside, 100.0 * np.asarray(flags), 0.0), pool.rows()
    held = np.asarray(inside, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(numbers.sum() / held.sum()), numbers[rows].sum(axis=1) / held[rows].sum(axis=1)


def _quarters(outcomes: Outcomes, column: str) -> NDArray[np.intp]:
    """Return the quarter of each patient by a column, 0 to 3; -1 without a value."""
    values = outcomes[column]
    ends = np.nanquantile(values, np.arange(1, GROUPS) / GROUPS)
    return np.where(np.isfinite(values), np.searchsorted(ends, values), -1)


# ---- the same trial of different diseases, cut by exposure

EXPOSED = ("eliana", "juliet", "elara", "transcend-cll-004", "karmma")


def _builtin(names: tuple[str, ...]) -> list[Scenario]:
    return [Scenario(name, Protocol.builtin(name)) for name in names]


def _by_exposure(pool: Pool) -> Rows:
    rows = []
    for name, outcomes in pool.found.items():
        label, unit = pool.scenarios[name].trial.label, pool.scenarios[name].trial.sampling.unit
        quarter, complete = _quarters(outcomes, "auc28"), np.isfinite(outcomes["cr_day"])
        for number, words in enumerate(QUARTERS):
            inside = quarter == number
            rows.append(_row(
                label, words, "complete response", "%", _share(complete, inside, pool),
                x=float(np.median(outcomes["auc28"][inside])), patients=int(inside.sum()),
            ))  # fmt: skip
        everyone = quarter >= 0
        exposure = Measure(statistic="geometric mean", of="auc28")
        rows.append(_row(label, "all", "complete response", "%", _share(complete, everyone, pool),
                         x=_measured(pool, name, exposure)[0], patients=int(everyone.sum())))  # fmt: skip
        rows.append(_row(label, "all", "area under the curve to day 28", f"{unit}*day",
                         _measured(pool, name, exposure), patients=int(everyone.sum())))  # fmt: skip
    return rows


def _by_peak(pool: Pool) -> Rows:
    rows = []
    for name, outcomes in pool.found.items():
        label, given = pool.scenarios[name].trial.label, outcomes["tocilizumab"]
        quarter = _quarters(outcomes, "cmax")
        for number, words in enumerate(QUARTERS):
            inside = quarter == number
            peak = float(np.median(outcomes["cmax"][inside]))
            rows.append(_row(label, words, "tocilizumab given", "%", _share(given, inside, pool), x=peak,
                             patients=int(inside.sum())))  # fmt: skip
        ratio = _peak_ratio(outcomes["cmax"], given, pool)
        rows.append(_row(label, "with over without tocilizumab", "ratio of peaks", "1", ratio))
    return rows


def _peak_ratio(peak: Array, given: NDArray[np.bool_], pool: Pool) -> tuple[float, Array]:
    log, known = np.log(np.where(peak > 0, peak, 1.0)), peak > 0

    def mean(flags: Any, rows: Any) -> Array:
        held = np.asarray(flags & known, float)[rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            return (log[rows] * held).sum(axis=-1) / held.sum(axis=-1)

    every, rows = np.arange(peak.size), pool.rows()
    return tuple(np.exp(mean(given, at) - mean(~given, at)) for at in (every, rows))  # type: ignore[return-value]


# ---- one cohort, three scales

SCALES = {"penn": "Penn", "lee": "Lee", "astct-crs": "ASTCT"}


def _by_scale(pool: Pool) -> Rows:
    rows = []
    for name in pool.found:
        label = pool.scenarios[name].trial.label
        for scale, words in SCALES.items():
            for least, quantity in ((1, "any grade"), (SEVERE, "grade 3 or more")):
                measure = Measure(statistic="proportion", of="crs", scale=scale, at_least=least)
                rows.append(_row(label, words, quantity, "%", _measured(pool, name, measure)))
    return rows


# ---- plans side by side


def _with(trial: Protocol, **changes: Any) -> Protocol:
    """Return the trial with some of its parts changed, checked anew."""
    return Protocol(**{**{name: getattr(trial, name) for name in type(trial).model_fields}, **changes})


def _under_rule(trial: Protocol, rule: str) -> Protocol:
    return _with(trial, grading=trial.grading.model_copy(update={"rule": rule}))


def _dosed(trial: Protocol, rule: DoseRule | None) -> Protocol:
    return _with(trial, arms=(trial.arms[0].model_copy(update={"dose": rule}),))


def _waiting(trial: Protocol, days: float) -> Protocol:
    """Return the trial with one time from enrolment to infusion; daily losses and growth stay those of the trial."""
    usual = trial.enrolment.to_infusion
    fixed = Fixed(value=days, unit="day", note="the question of this check")
    return _with(trial, enrolment=trial.enrolment.model_copy(update={"to_infusion": fixed, "usual_wait": usual}))


def _tocilizumab_plans() -> list[Scenario]:
    zuma = Protocol.builtin("zuma-1")
    return [
        Scenario("tocilizumab when it is needed", _under_rule(zuma, "axi-cel-label")),
        Scenario("tocilizumab for all on day 2", _under_rule(zuma, "prophylactic-tocilizumab-day-2")),
    ]


def _split_plans() -> list[Scenario]:
    felix = Protocol.builtin("felix")
    flat = DoseRule.model_validate({"levels": [{"cells": FLAT_CELLS}]})
    return [Scenario("all cells on one day", _dosed(felix, flat)), Scenario("split by blasts in the marrow", felix)]


def _wait_plans() -> list[Scenario]:
    juliet = Protocol.builtin("juliet")
    return [Scenario(f"infusion on day {days:g}", _waiting(juliet, days)) for days in WAITS]


def _dose_plans() -> list[Scenario]:
    juliet = Protocol.builtin("juliet")
    return [
        Scenario(
            f"{cells / 1e6:g} million cells", _dosed(juliet, DoseRule.model_validate({"levels": [{"cells": cells}]}))
        )
        for cells in DOSES
    ]


def _side_by_side(names: tuple[str, ...], more: Mapping[str, Measure] | None = None) -> Callable[[Pool], Rows]:
    """Return what measures endpoints of each plan, and the difference of the last plan from the first."""

    def measure(pool: Pool) -> Rows:
        rows = []
        for name in (*names, *(more or {})):
            found = {}
            for plan, one in pool.scenarios.items():
                chosen = (more or {}).get(name) or endpoints_of(one.trial)[name]
                since = "enrolment" if chosen.among == ("enrolled",) else ""
                found[plan] = _measured(pool, plan, chosen, since)
                words, unit = _words(name), chosen.unit or "1"
                on = f" ({chosen.scale})" if chosen.scale else ""
                rows.append(_row(words, plan, words + on, unit, found[plan]))
            rows.append(_change(rows[-1], list(found.values())))
        return rows

    return measure


def _change(last: Mapping[str, Any], found: list[tuple[float, Array]]) -> dict[str, Any]:
    """Return the row of the last plan against the first, patient by patient: points for shares, else the ratio."""
    (first, first_rows), (value, rows) = found[0], found[-1]
    if last["unit"] == "%":
        return _row(last["part"], "difference", last["quantity"], "points", (value - first, rows - first_rows))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (float(np.divide(value, first)), rows / first_rows)
    return _row(last["part"], "difference", last["quantity"], "ratio", ratio)


def _words(name: str) -> str:
    """Return an endpoint in words.

    Example:
        >>> _words("crs >= 3")
        'CRS, grade 3 or more'
    """
    known = {
        "crs any": "CRS", "crs >= 3": "CRS, grade 3 or more", "neuro any": "neurotoxicity",
        "neuro >= 3": "neurotoxicity, grade 3 or more", "cmax": "peak of CAR T cells (geometric mean)",
        "cr": "complete response", "cr/cri": "complete response within 3 months", "orr": "response",
        "orr enrolled": "response, of the enrolled", "infused": "infused, of the enrolled",
    }  # fmt: skip
    return known.get(name, name)


ALIVE = Measure(statistic="survival", of="os", among=("enrolled",), day=YEAR, unit="%")
SAFETY = ("crs any", "crs >= 3", "neuro any", "neuro >= 3")

CHECKS: Mapping[str, Check] = {
    check.name: check
    for check in (
        Check(
            "exposure-response", "More CAR T cells, more responses?",
            "Within a trial, and between diseases: do patients whose CAR T cells expand more respond more often?",
            "groups",
            "Within each trial the infused patients are sorted by the amount of CAR T cells in blood over four weeks "
            "(area under the curve) into four groups of equal size; the dot is the share with a complete response. "
            "Compare the lines to see whether diseases with more cells respond more often. That more cells go with "
            "more responses does not say which causes which: much tumour makes cells grow, and growing cells kill "
            "tumour.",
            lambda: _builtin(EXPOSED), _by_exposure,
        ),
        Check(
            "cmax-tocilizumab", "Peak of CAR T cells and tocilizumab",
            "Do patients with a higher peak of CAR T cells get tocilizumab more often?",
            "groups",
            "Infused patients sorted by the peak of their CAR T cells into four groups of equal size; the dot is the "
            "share who were given tocilizumab, a drug against cytokine release, by the practice of the trial. A "
            "higher peak does not mean that the drug raised it: those whose cells expand more are ill more often, and "
            "are treated.",
            lambda: _builtin(("eliana", "juliet")), _by_peak,
        ),
        Check(
            "three-scales", "One cohort, three scales",
            "How many of the same patients have cytokine release of grade 3 or more on the scales Penn, Lee and ASTCT?",
            "bars",
            "The same simulated patients on the same days, graded on three scales. Only the words of the scales "
            "differ, so the difference between the bars says how far results of trials on different scales can be "
            "compared.",
            lambda: _builtin(("eliana", "juliet")), _by_scale,
        ),
        Check(
            "preemptive-tocilizumab", "Tocilizumab before it is needed",
            "What changes if everybody gets one dose of tocilizumab on day 2, and not only who becomes ill?",
            "plans",
            "The same patients with lymphoma under two rules: tocilizumab when cytokine release asks for it, as the "
            "label says, or one dose for everybody on day 2 and then the label. "
            "Tocilizumab blocks the receptor of interleukin 6 and is not thought to reach the brain.",
            _tocilizumab_plans, _side_by_side((*SAFETY, "cmax", "cr")),
        ),
        Check(
            "split-dose", "A dose split by burden against one flat dose",
            "What does it change to split the dose by blasts in the marrow, instead of giving all cells on one day?",
            "plans",
            "The same adults with leukaemia: 410 million cells on one day, or the same number in two parts, the first "
            "one small where more than 20 % of the marrow are blasts.",
            _split_plans, _side_by_side((*SAFETY, "cmax", "cr/cri")),
        ),
        Check(
            "vein-to-vein", "Waiting 25 or 50 days",
            "What does it cost to wait 50 days for the cells instead of 25?",
            "plans",
            "The same patients with lymphoma, infused 25 or 50 days after enrolment. While they wait, tumours grow "
            "and patients are lost at the daily rate of the trial. Everything is counted from enrolment, so those who "
            "are lost count.",
            _wait_plans, _side_by_side(("infused", "orr enrolled"), {"alive one year after enrolment": ALIVE}),
        ),
        Check(
            "dose-doubling", "Twice the dose",
            "What does a doubling of the dose change, in effect and in harm?",
            "plans",
            "The same patients with lymphoma and three doses, each twice the one before. The difference is that of the "
            "last against the first, so of two doublings.",
            _dose_plans, _side_by_side((*SAFETY, "cmax", "orr", "cr")),
        ),
    )
}  # fmt: skip
"""The checks by name."""
