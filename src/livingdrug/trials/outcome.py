"""Outcome: what a simulated trial showed, beside what was published."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.trials.endpoints import Evidence, endpoint_row
from livingdrug.trials.survival import Curve, kaplan_meier, share_of_trials

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from livingdrug.trials.design import Trial
    from livingdrug.trials.run import Block

__all__ = ["Outcome"]

Array = NDArray[np.float64]
LEVELS = {"q05": 0.05, "q25": 0.25, "q50": 0.50, "q75": 0.75, "q95": 0.95}
STEPS = (
    ("collected", ("collection",)),
    ("manufactured", ("engineering", "multiplication")),
    ("released", ("release",)),
    ("infused", ("waiting", "conditioning")),
)


@dataclass(frozen=True, eq=False, repr=False)
class Outcome:
    """The results of a simulated trial.

    Attributes:
        trial: the design.
        seed: of all random streams.
        patients: the enrolled patients: columns of the chain, parameters and results (NaN: does not apply).
        stages: stage at which each patient left before the infusion, "" for the infused, shape (n,).
        attrition: the reason, "" for the infused, shape (n,).
        response: best response (CR, PR, SD, PD), "" without one, shape (n,).
        endpoints: table published beside simulated, one line per endpoint.
        survival: simulated progression-free survival by day; ``low`` and ``high`` hold 95 % of trials of the
            published size, ``greenwood_low`` and ``greenwood_high`` the interval of the simulated curve itself.
        published_survival: day and pfs of the published curve.
        summary: quantiles over patients of each output by day, of the patients whose courses are kept.
        flow: (step, patients, reasons of those lost before it), from enrolment to the end.
        assumptions: every number and rule that is not read in a source, in words.
        stated: table of all stated numbers with place, mark, source and note.
        sources: keys of all sources used.
        configuration: all that is needed to run the trial again.
        failures: patients whose solve failed, with the time reached and the reason.
        days: days of the courses, shape (t,).
        values: courses of the first enrolled patients, shape (patient, day, output), NaN if not infused.
        outputs: names of the outputs with their units.
    """

    trial: Trial
    seed: int
    patients: Patients
    stages: NDArray[np.str_]
    attrition: NDArray[np.str_]
    response: NDArray[np.str_]
    endpoints: pd.DataFrame
    survival: pd.DataFrame
    published_survival: pd.DataFrame
    summary: pd.DataFrame
    flow: list[tuple[str, int, str]]
    assumptions: list[str]
    stated: pd.DataFrame
    sources: list[str]
    configuration: dict[str, Any]
    failures: list[dict[str, Any]]
    days: Array
    values: Array
    outputs: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        given = int((self.patients["infused"] > 0).sum())
        return f"<Outcome of {self.trial.name}: {len(self.patients)} enrolled, {given} infused, seed {self.seed}>"

    @cached_property
    def courses(self) -> xr.Dataset:
        """The courses of the first enrolled patients, labelled by patient and time (days), each with its unit."""
        import xarray as xr

        ids = self.patients.ids[: self.values.shape[0]]
        kept = self.patients["infused"][: ids.size] > 0
        arrays = {
            name: (("patient", "time"), self.values[:, :, place], {"unit": unit})
            for place, (name, unit) in enumerate(self.outputs.items())
        }
        coordinates = {"patient": ids.astype(np.int64), "time": self.days, "infused": ("patient", kept)}
        labelled = xr.Dataset(arrays, coordinates, {"note": "not for clinical use"})
        labelled["time"].attrs["unit"] = "day"
        return labelled

    def to_frame(self) -> pd.DataFrame:
        """Return one line per enrolled patient with all columns, the stage and reason of leaving, and the response."""
        frame = self.patients.to_frame()
        return frame.assign(left_at=self.stages, attrition=self.attrition, response=self.response)


def assemble(
    trial: Trial,
    seed: int,
    blocks: list[Block],
    days: Array,
    cures: list[dict[str, Any]],
    configuration: dict[str, Any],
) -> Outcome:
    """Return the outcome of the blocks of a run, which lie in the order of the patients."""
    import pandas as pd

    patients = _join([block.patients for block in blocks])
    stages, reasons, responses = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("stages", "reasons", "responses")
    )
    values = np.concatenate([block.values for block in blocks])
    curve = survival_curve(patients)
    evidence = Evidence(trial, patients, stages, responses, curve)
    rows = [endpoint_row(evidence, row) for row in trial.published] + cures
    published = trial.published_survival
    outputs = next((block.outputs for block in blocks if block.outputs), {})
    stated = pd.DataFrame(
        [
            {
                "number": place,
                "value": number.describe(),
                "mark": number.mark,
                "source": number.source,
                "note": number.note,
            }
            for place, number in trial.stated()
        ]
    )
    return Outcome(
        trial=trial,
        seed=seed,
        patients=patients,
        stages=stages,
        attrition=reasons,
        response=responses,
        endpoints=pd.DataFrame(rows),
        survival=_survival_table(trial, curve),
        published_survival=pd.DataFrame(
            {"day": published.day, "pfs": published.share} if published else {"day": [], "pfs": []}
        ),
        summary=_summary(values, days, list(outputs)),
        flow=_flow(patients, stages, reasons),
        assumptions=_assumptions(trial),
        stated=stated,
        sources=_sources(trial),
        configuration=configuration,
        failures=[failure for block in blocks for failure in block.failures],
        days=days,
        values=values,
        outputs=outputs,
    )


def survival_curve(patients: Patients) -> Curve | None:
    """Return the progression-free survival of the followed patients; None if there are none."""
    followed = patients["solved"] > 0
    if not followed.any():
        return None
    return kaplan_meier(patients["pfs_day"][followed], patients["pfs_event"][followed] > 0)


def _join(parts: list[Patients]) -> Patients:
    """Return the cohorts one after the other; a column that a block lacks is NaN there."""
    if not parts:
        raise InputError("a trial needs at least one block of patients")
    names = dict.fromkeys(name for part in parts for name in part)
    columns = {
        name: np.concatenate([part[name] if name in part else np.full(len(part), np.nan) for part in parts])
        for name in names
    }
    units = {name: unit for part in parts for name, unit in part.units.items()}
    return Patients(np.concatenate([part.ids for part in parts]), columns, units, frozenset(names))


def _survival_table(trial: Trial, curve: Curve | None) -> pd.DataFrame:
    import pandas as pd

    columns = ["day", "pfs", "low", "high", "at_risk", "greenwood_low", "greenwood_high"]
    if curve is None:
        return pd.DataFrame({name: [] for name in columns})
    days = np.unique(np.append(np.arange(0.0, trial.horizon_days), trial.horizon_days))
    share = curve.at(days)
    low, high = share_of_trials(share, trial.size)
    place = np.searchsorted(curve.day, days, side="right") - 1
    parts = (days, share, low, high, curve.at_risk_on(days), curve.low[place], curve.high[place])
    return pd.DataFrame(dict(zip(columns, parts, strict=True)))


def _summary(values: Array, days: Array, outputs: list[str]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for place, output in enumerate(outputs):
        for column, day in enumerate(days):
            known = values[:, column, place]
            known = known[np.isfinite(known)]
            levels = np.quantile(known, list(LEVELS.values())) if known.size else np.full(len(LEVELS), np.nan)
            rows.append(
                {"output": output, "day": float(day), **dict(zip(LEVELS, levels, strict=True)), "n": known.size}
            )
    return pd.DataFrame(rows, columns=["output", "day", *LEVELS, "n"])


def _flow(patients: Patients, stages: NDArray[np.str_], reasons: NDArray[np.str_]) -> list[tuple[str, int, str]]:
    left = len(patients)
    flow = [("enrolled", left, "")]
    for step, names in STEPS:
        lost = Counter(reasons[np.isin(stages, names)].tolist())
        left -= lost.total()
        flow.append((step, left, _lost(lost)))
    followed = patients["solved"] > 0
    if int(followed.sum()) != left:
        flow.append(("followed", int(followed.sum()), "the solve failed"))
    cured = np.isfinite(patients["cure_day"]) & followed
    progressed = (patients["pfs_event"] > 0) & followed
    ends = {"cured": cured, "progressed": progressed, "neither": followed & ~cured & ~progressed}
    return flow + [(end, int(members.sum()), "") for end, members in ends.items()]


def _lost(lost: Counter[str]) -> str:
    if len(lost) == 1:
        return next(iter(lost))
    return "; ".join(f"{reason} ({count})" for reason, count in lost.most_common())


def _assumptions(trial: Trial) -> list[str]:
    lines = list(trial.assumptions)
    for place, number in trial.stated():
        if number.mark != "read":
            basis = f" from {number.source}" if number.source else ""
            note = f": {number.note}" if number.note else ""
            lines.append(f"{place} = {number.describe()} ({number.mark}{basis}){note}")
    return lines


def _sources(trial: Trial) -> list[str]:
    keys = [*trial.sources, *(number.source for _, number in trial.stated()), *(row.source for row in trial.published)]
    keys += [row.source for row in trial.published_cures]
    keys += [trial.published_survival.source] if trial.published_survival else []
    return sorted({key for key in keys if key})
