"""What a simulated plant leaves behind: patients with their dates, events, resources, costs and a summary."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError
from livingdrug.plant.plan import FleetPlan, Resource
from livingdrug.storage import write_atomically

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.plant.fleet import Records
    from livingdrug.plant.luck import Luck

__all__ = ["FleetResult", "batch_means"]

Array = NDArray[np.float64]
Table = Any  # a pandas DataFrame; its stubs cannot follow rows that are picked by a mask
TABLES = ("patients", "visits", "holds", "outages")
BATCHES = 20
DUST = 1e-9  # days; what rounding leaves of sums of days
YEAR = 365.25


@dataclass(frozen=True, eq=False, repr=False)
class FleetResult:
    """A simulated plant.

    Attributes:
        patients: one row per patient: group, referral, begin and end of each step (its last visit), batches, infusion,
            vein-to-vein time, loss with place and reason, death.
        visits: one row per patient, step and visit: asked, begin (missing if left the queue), end, cost.
        holds: one row per use of a unit: resource, patient, asked, from (missing if left the queue), to.
        outages: resource, from, to of each unit out of work.
    """

    plan: FleetPlan
    seed: int
    patients: Table
    visits: Table
    holds: Table
    outages: Table

    def __repr__(self) -> str:
        infused = int(self.patients["infusion_day"].notna().sum())
        return f"<FleetResult {self.plan.name}: {len(self.patients)} patients, {infused} infused, seed {self.seed}>"

    @classmethod
    def from_records(cls, plan: FleetPlan, seed: int, luck: Luck, records: Records) -> FleetResult:
        """Return the result of a run from what was written down in it."""
        import pandas as pd

        names = np.array([step.name for step in plan.steps])
        kinds = np.array([kind.name for kind in plan.resources], dtype=str)
        columns = ["row", "place", "visit", "asked_day", "begin_day", "end_day"]
        visits: Table = pd.DataFrame(records.visits, columns=columns).sort_values(["row", "end_day", "place"])
        place, row, visit = (visits[name].to_numpy(np.intp) for name in ("place", "row", "visit"))
        visits["cost_usd"] = np.where(
            visits["begin_day"].notna(),
            [luck.cost[p][r, v] for p, r, v in zip(place, row, visit, strict=True)],
            0.0,
        )
        visits.insert(0, "patient", luck.ids[row])
        visits.insert(1, "step", names[place])
        holds: Table = pd.DataFrame(records.holds, columns=["number", "row", "asked_day", "from_day", "to_day"])
        holds.insert(0, "resource", kinds[holds.pop("number").to_numpy(np.intp)] if len(holds) else "")
        holds.insert(1, "patient", luck.ids[holds.pop("row").to_numpy(np.intp)])
        outages: Table = pd.DataFrame(records.outages, columns=["number", "from_day", "to_day"])
        outages.insert(0, "resource", kinds[outages.pop("number").to_numpy(np.intp)] if len(outages) else "")
        patients = _patients(plan, luck, records, visits)
        return cls(plan, seed, patients, visits.drop(columns=["row", "place"]).reset_index(drop=True), holds, outages)

    @property
    def window(self) -> tuple[float, float]:
        """First and last referral: the time in which the plant is looked at, before it runs empty."""
        days = self.patients["referral_day"].to_numpy()
        return float(days[0]), float(days[-1])

    @property
    def events(self) -> pd.DataFrame:
        """Dated events of every patient in their order: referral, begin and end of steps, infusion or loss."""
        import pandas as pd

        there = self.visits[self.visits["begin_day"].notna()]
        order = 2 * np.arange(len(there))
        parts = [_events(self.patients, "referral_day", "referral", -1)]
        parts += [_events(there, "begin_day", there["step"] + " begin", order)]
        parts += [_events(there, "end_day", there["step"] + " end", order + 1)]
        for column, event in (
            ("infusion_day", "infusion"), ("lost_day", "lost: " + self.patients["lost_reason"]), ("death_day", "death")
        ):  # fmt: skip
            parts.append(_events(self.patients, column, event, order.size * 2 + 1))
        found: Table = pd.concat(parts).sort_values(["patient", "day", "order"], kind="stable")
        return found[["patient", "day", "event"]].reset_index(drop=True)

    @property
    def resources(self) -> pd.DataFrame:
        """How busy each resource was and how long its queue, between the first and the last referral."""
        import pandas as pd

        first, last = self.window
        return pd.DataFrame([self._resource(kind, first, last) for kind in self.plan.resources])

    def _resource(self, kind: Resource, first: float, last: float) -> dict[str, Any]:
        used = self.holds[self.holds["resource"] == kind.name]
        off = self.outages[self.outages["resource"] == kind.name]
        begun = used["from_day"].notna().to_numpy()
        asked, start = used["asked_day"].to_numpy(), used["from_day"].to_numpy()
        stop = used["to_day"].to_numpy()
        left = np.where(begun, start, stop)
        there = kind.units * open_days(kind, first, last) - overlap(off["from_day"], off["to_day"], first, last)
        turned = (self.patients["lost_reason"] == "turned away: queue full") & (
            self.patients["lost_at"].isin([step.name for step in self.plan.steps if step.needs == kind.name])
        )
        time = max(last - first, 1e-12)
        return {
            "resource": kind.name,
            "units": kind.units,
            "utilisation": overlap(start[begun], stop[begun], first, last) / there if there > 0 else np.nan,
            "mean_queue": overlap(asked, left, first, last) / time,
            "longest_queue": most_at_once(asked, left),
            "mean_wait_days": float(np.mean(np.where(left - asked > DUST, left - asked, 0.0))) if len(used) else np.nan,
            "served": int(begun.sum()),
            "left_queue": int((~begun).sum()),
            "turned_away": int(turned.sum()),
        }

    @property
    def segments(self) -> pd.DataFrame:
        """For each infused patient and step the days in the queue and in the step, all visits together."""
        infused = self.patients.loc[self.patients["infusion_day"].notna(), "patient"]
        seen = self.visits[self.visits["patient"].isin(infused)]
        found = seen.assign(
            waiting_days=seen["begin_day"] - seen["asked_day"], working_days=seen["end_day"] - seen["begin_day"]
        )
        return found.groupby(["patient", "step"], sort=False)[["waiting_days", "working_days"]].sum().reset_index()

    @property
    def costs(self) -> pd.DataFrame:
        """Cost in USD by item: in all, per batch and per treated patient; units cost from first to last referral."""
        import pandas as pd

        first, last = self.window
        items = [
            (f"step: {step.name}", float(self.visits.loc[self.visits["step"] == step.name, "cost_usd"].sum()))
            for step in self.plan.steps
        ]
        items += [
            (f"units: {kind.name}", kind.units * kind.cost_per_day.value * (last - first))
            for kind in self.plan.resources
        ]
        rows = [(name, cost) for name, cost in items if cost]
        frame: Table = pd.DataFrame([*rows, ("all", sum(cost for _, cost in rows))], columns=["item", "usd"])
        batches, treated = self.patients["batches"].sum(), self.patients["infusion_day"].notna().sum()
        frame["usd_per_batch"] = frame["usd"] / batches if batches else np.nan
        frame["usd_per_treated"] = frame["usd"] / treated if treated else np.nan
        return frame

    @property
    def losses(self) -> pd.DataFrame:
        """How many patients were lost, by step and reason."""
        lost = self.patients[self.patients["lost_day"].notna()]
        found = lost.groupby(["lost_at", "lost_reason"]).size().rename("patients").reset_index()
        return found.sort_values("patients", ascending=False, kind="stable").reset_index(drop=True)

    @property
    def table(self) -> pd.DataFrame:
        """Summary with 95 % Monte-Carlo intervals by batch means (patients who queue together are not independent)."""
        import pandas as pd

        patients = self.patients
        referral, infusion = patients["referral_day"].to_numpy(), patients["infusion_day"].to_numpy()
        rows = [
            ("infused", "share", np.isfinite(infusion).astype(float)),
            ("referral to infusion", "day", infusion - referral),
            ("batches per patient", "1", patients["batches"].to_numpy(np.float64)),
        ]
        if self.plan.vein_step:
            rows.insert(2, ("vein to vein", "day", patients["vein_to_vein_days"].to_numpy()))
        if self.plan.risk is not None:
            dead = (patients["death_day"].to_numpy() - referral <= YEAR).astype(float)
            rows.append(("dead one year after referral", "share", dead))
        found = []
        for name, unit, values in rows:
            mean, low, high = batch_means(values)
            median = float(np.nanmedian(values)) if unit == "day" and np.any(np.isfinite(values)) else np.nan
            found.append({"quantity": name, "unit": unit, "mean": mean, "low": low, "high": high, "median": median})
        if self.costs["usd"].iloc[-1] > 0 and np.any(np.isfinite(infusion)):
            mean, low, high = self._cost_per_treated()
            cost = {"quantity": "cost per treated patient", "unit": "USD", "mean": mean, "low": low, "high": high}
            found.append({**cost, "median": np.nan})
        return pd.DataFrame(found)

    def _cost_per_treated(self) -> tuple[float, float, float]:
        """Return the cost per treated patient and its interval: the ratio in batches; units are shared by all."""
        spent = self.visits.groupby("patient")["cost_usd"].sum().reindex(self.patients["patient"], fill_value=0.0)
        total = float(self.costs["usd"].iloc[-1])
        each = spent.to_numpy() + (total - spent.sum()) / len(self.patients)
        treated = self.patients["infusion_day"].notna().to_numpy()
        ratios = [cost.sum() / max(count.sum(), 1) for cost, count in zip(_split(each), _split(treated), strict=True)]
        mean = total / float(treated.sum())
        return _around(mean, ratios) if treated.sum() >= 2 * BATCHES else (mean, np.nan, np.nan)

    def save(self, folder: str | Path) -> Path:
        """Write the plan and the tables into a folder, each file whole or not at all; returns the folder.

        Raises:
            LivingDrugError: a file cannot be written.
        """
        where = Path(folder)
        for name in TABLES:
            content = io.BytesIO()
            getattr(self, name).to_parquet(content, index=False)
            write_atomically(where / f"{name}.parquet", content.getvalue())
        about = {"seed": self.seed, "plan": self.plan.model_dump(mode="json"), "notice": "Not for clinical use."}
        write_atomically(where / "plan.json", json.dumps(about, indent=2))
        return where

    @classmethod
    def load(cls, folder: str | Path) -> FleetResult:
        """Return a saved result; a missing or damaged file is an InputError that names it."""
        import pandas as pd

        from livingdrug.declared import declare

        where, name = Path(folder), "plan.json"
        try:
            about = json.loads((where / name).read_bytes())
            plan = declare(FleetPlan, about["plan"], str(where / name))
            tables = {}
            for name in TABLES:
                tables[name] = pd.read_parquet(where / f"{name}.parquet")
            return cls(plan, int(about["seed"]), **tables)
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{where}: {name} is missing or damaged ({error!s:.100}); run the plan again") from error


def batch_means(values: ArrayLike, batches: int = BATCHES) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval from the means of consecutive batches; NaN stands for no value.

    Example:
        >>> mean, low, high = batch_means([1.0, 2.0] * 100)
        >>> mean, low, high
        (1.5, 1.5, 1.5)
    """
    found = np.asarray(values, np.float64)
    kept = found[np.isfinite(found)]
    if kept.size == 0:
        return np.nan, np.nan, np.nan
    mean = float(kept.mean())
    if kept.size < 2 * batches:
        return mean, np.nan, np.nan
    return _around(mean, [part.mean() for part in np.array_split(kept, batches)])


def _around(mean: float, parts: ArrayLike) -> tuple[float, float, float]:
    """Return the mean with the 95 % interval that the spread of its equal parts gives."""
    from scipy.special import stdtrit

    found = np.asarray(parts, np.float64)
    half = float(stdtrit(found.size - 1, 0.975) * found.std(ddof=1) / np.sqrt(found.size))
    return mean, mean - half, mean + half


def _split(values: Array) -> list[Array]:
    return np.array_split(values, BATCHES)


def overlap(start: ArrayLike, stop: ArrayLike, first: float, last: float) -> float:
    """Return the time that intervals share with the window from ``first`` to ``last``, summed."""
    begin, end = np.maximum(np.asarray(start, np.float64), first), np.minimum(np.asarray(stop, np.float64), last)
    return float(np.sum(np.where(end - begin > DUST, end - begin, 0.0)))


def most_at_once(start: ArrayLike, stop: ArrayLike) -> int:
    """Return the most intervals that hold at once; empty ones do not count.

    Example:
        >>> most_at_once([0.0, 1.0, 2.0], [2.0, 3.0, 2.0])
        2
    """
    begin, end = np.asarray(start, np.float64), np.asarray(stop, np.float64)
    some = end > begin + DUST
    times = np.concatenate([end[some], begin[some]])
    steps = np.concatenate([-np.ones(some.sum(), int), np.ones(some.sum(), int)])
    order = np.lexsort((steps, times))
    return int(np.max(np.cumsum(steps[order]), initial=0))


def open_days(kind: Resource, first: float, last: float) -> float:
    """Return the working time of one unit between two days, in days."""
    days = np.arange(np.floor(first), np.ceil(last))
    if kind.week == "weekdays":
        days = days[days % 7 < 5]
    begin = np.maximum(days + kind.opens / 24, first)
    end = np.minimum(days + kind.closes / 24, last)
    return float(np.sum(np.maximum(end - begin, 0.0)))


def _events(table: Table, column: str, event: Any, order: Any) -> Table:
    """Return the events of one kind: patient, day, what happened, and their order on the same day."""
    found = table[["patient"]].assign(day=table[column], event=event, order=order)
    return found[found["day"].notna()]


def _patients(plan: FleetPlan, luck: Luck, records: Records, visits: Table) -> Table:
    """Return the table of patients from the records of a run."""
    import pandas as pd

    rows = np.arange(luck.ids.size)
    ends = [records.ends[row] for row in rows.tolist()]
    day = np.array([end[0] for end in ends])
    infused = np.array([not end[2] for end in ends])
    names = np.array([step.name for step in plan.steps])
    frame: Table = pd.DataFrame({"patient": luck.ids, "group": np.array([g.name for g in plan.groups])[luck.group]})
    frame["referral_day"] = luck.referral
    last = visits[visits["begin_day"].notna()].groupby(["step", "row"]).last()
    for name in names:
        seen = last.loc[name] if name in last.index.get_level_values(0) else last.iloc[:0].droplevel(0)
        frame[f"{name} begin_day"] = seen["begin_day"].reindex(rows).to_numpy()
        frame[f"{name} end_day"] = seen["end_day"].reindex(rows).to_numpy()
    made = next((step.name for step in plan.steps if step.process), None)
    begun = visits[visits["begin_day"].notna() & (visits["step"] == made)]
    frame["batches"] = begun.groupby("row").size().reindex(rows, fill_value=0).to_numpy()
    frame["infusion_day"] = np.where(infused, day, np.nan)
    if plan.vein_step:
        frame["vein_to_vein_days"] = frame["infusion_day"] - frame[f"{plan.vein_step} begin_day"]
    frame["lost_day"] = np.where(infused, np.nan, day)
    frame["lost_at"] = np.where(infused, "", names[[end[1] for end in ends]])
    frame["lost_reason"] = [end[2] for end in ends]
    if plan.risk is not None:
        wait = np.where(infused, day - luck.referral, np.inf)
        frame["death_day"] = luck.referral + plan.risk.death_day(luck.budget, wait, luck.risk)
    else:
        frame["death_day"] = np.nan
    return frame
