"""Refit: a site's own batches in place of published numbers, as far as the batches carry.

Each quantity is normal on its scale (logarithm, log-odds). The published number is the middle of a population of sites
whose spread is stated; ``posterior`` joins it with the site's batches. Growth and death in culture are not what a site
writes down: they are found so that the culture model gives the harvest and the viability that were seen.

Left out: errors of the site's own tests (they widen its spreads), drift in time (see ``quality``), dependence between
quantities, kinds of patients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.declared import Declared, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.plant.plan_toml import one_line, toml_lines
from livingdrug.plant.posterior import ChancePosterior, SitePosterior, SitePrior, update, update_chance
from livingdrug.plant.refit_culture import fit_culture
from livingdrug.plant.site_file import SiteBatches
from livingdrug.plant.site_priors import Quantity, failure_prior, quantities
from livingdrug.therapy.journey import Journey
from livingdrug.therapy.multiplication import MultiplicationPlan
from livingdrug.therapy.stated import SITE_DATA, Fixed, LogitNormal, LogNormal, Stated

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Chance", "Fitted", "Refit", "preview", "refit", "with_site"]

Array = NDArray[np.float64]
LEVELS = (0.05, 0.5, 0.95)
NORMAL_95TH = 1.6448536269514722
EDGE = 1e-3  # fractions nearer to 0 or 1 than a tenth of a percent are taken there: no test sees the difference
FAR = 5.0  # robust standard deviations beyond which a batch is named
LONGEST_NAME = 200


@dataclass(frozen=True, eq=False)
class Fitted:
    """One quantity of the site: batches used, posterior, and the number for the plan.

    Attributes:
        quantity: what it is, with its published prior.
        rows: rows of the batches that told of it, shape (n,), and ``values`` theirs in the quantity's unit.
        median: of the site with its 90 % interval (low, middle, high), in the quantity's unit.
        spread: standard deviation between batches on the scale, with its 90 % interval.
        batch: 5th, 50th and 95th percentile of a batch to come.
        own: share of the estimate that comes from the site's own batches.
        stated: the number for the plan: the prior itself where there are no batches.
    """

    quantity: Quantity
    rows: NDArray[np.intp]
    values: Array
    median: tuple[float, float, float]
    spread: tuple[float, float, float]
    batch: tuple[float, float, float]
    own: float
    stated: Stated


@dataclass(frozen=True, eq=False)
class Chance:
    """A chance of failure: counts, the middle of other sites, and the site's own with its 90 % interval."""

    title: str
    place: str
    events: int
    batches: int
    prior: Fixed
    between: Fixed
    chance: tuple[float, float, float]
    next_batch: float


@dataclass(frozen=True, eq=False)
class Refit:
    """What a site's batches say of its process.

    Attributes:
        site: its name.
        device: the vessel in which the cells were grown.
        batches: rows used.
        fitted: one entry per quantity, also those of which no batch told.
        chances: failures, all and those that the chain does not explain.
        extra: further numbers for the plan, place -> stated number.
        messages: what a reader must know: rows left out, single batches, outliers, constants.
    """

    site: str
    device: str
    batches: SiteBatches
    fitted: tuple[Fitted, ...]
    chances: tuple[Chance, ...]
    extra: Mapping[str, Stated]
    messages: tuple[str, ...]

    def __getitem__(self, name: str) -> Fitted:
        """Return the quantity of that name; an unknown one is an InputError with the nearest names."""
        named = {entry.quantity.name: entry for entry in self.fitted}
        if name not in named:
            raise InputError(unknown_name("quantity of a site", name, named))
        return named[name]

    def numbers(self) -> dict[str, Stated]:
        """Return the new numbers, place in the journey -> stated number; only those of which batches told."""
        found = {entry.quantity.place: entry.stated for entry in self.fitted if entry.rows.size}
        for chance in self.chances:
            if chance.place:
                note = f"{self.site}: {chance.events} of {chance.batches} batches; before: {chance.prior.value:.3g}"
                value = float(f"{chance.next_batch:.6g}")
                found[chance.place] = Fixed(value=value, unit="fraction", source=SITE_DATA, mark="computed", note=note)
        return found | dict(self.extra)

    def plan(self) -> dict[str, Any]:
        """Return the stages with the new numbers as nested tables, ready for ``Journey(**plan, infusion=...)``."""
        tables: dict[str, Any] = {}
        for place, stated in self.numbers().items():
            *path, field = place.split(".")
            table = tables
            for part in path:
                table = table.setdefault(part, {})
            table[field] = stated
        if "multiplication" in tables:
            tables["multiplication"] = {"device": self.device} | tables["multiplication"]
        return tables

    def apply(self, journey: Journey) -> Journey:
        """Return the journey with the site's numbers in place of its own."""
        return _changed(journey, self.plan())

    def to_toml(self) -> str:
        """Return the plan as TOML, with what stood there before and the intervals as comments."""
        head = [
            f"# Numbers of the site {one_line(self.site)}, from {len(self.batches)} of its batches, by livingdrug.",
            "# Each number is that of a batch to come; what was assumed before stands above it.",
            "# Not for clinical use.",
        ]
        return "\n".join([*head, *toml_lines(self.plan(), self._comments())]) + "\n"

    def _comments(self) -> dict[str, list[str]]:
        found = {}
        for entry in self.fitted:
            what, q = entry.quantity, entry.median
            found[what.place] = [
                f"before: {what.prior.describe()} [{_basis(what.prior)}]; sites differ by {what.between.value:g} "
                f"on the {what.scale} scale [{what.between.mark}]",
                f"median of the site {q[1]:.4g}, 90 % interval {q[0]:.4g} to {q[2]:.4g}",
            ]
        for chance in self.chances:
            q = chance.chance
            found[chance.place] = [
                f"before: {chance.prior.describe()} [{_basis(chance.prior)}]; site {q[1]:.3g}, {q[0]:.3g} to {q[2]:.3g}"
            ]
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table, one row per quantity: prior beside posterior, 90 % intervals."""
        import pandas as pd

        rows = []
        for entry in self.fitted:
            what = entry.quantity
            site = what.back(_no_quantiles(what.site_prior)[0])
            rows.append({
                "quantity": what.name, "unit": what.unit, "scale": what.scale, "batches": int(entry.rows.size),
                "prior_median": site[1], "prior_low": site[0], "prior_high": site[2], "prior_spread": what.spread,
                "prior_source": what.prior.source, "prior_mark": what.prior.mark, "median": entry.median[1],
                "low": entry.median[0], "high": entry.median[2], "spread": entry.spread[1],
                "spread_low": entry.spread[0], "spread_high": entry.spread[2], "batch_low": entry.batch[0],
                "batch_high": entry.batch[2], "own_share": entry.own, "place": what.place,
            })  # fmt: skip
        return pd.DataFrame(rows)

    def failures(self) -> pd.DataFrame:
        """Return a pandas table of the failures: counts, prior, chance with its 90 % interval."""
        import pandas as pd

        rows = [
            {"what": c.title, "failed": c.events, "batches": c.batches, "prior": c.prior.value,
             "prior_mark": c.prior.mark, "chance": c.chance[1], "low": c.chance[0], "high": c.chance[2],
             "next_batch": c.next_batch, "place": c.place}
            for c in self.chances
        ]  # fmt: skip
        return pd.DataFrame(rows)


def refit(batches: SiteBatches, site: str, *, device: str = "stirred tank", threads: int | None = None) -> Refit:
    """Return a site's numbers: the published ones as far as its batches do not tell otherwise.

    Args:
        batches: rows of the site, see ``site_file.read_batches``.
        site: name, stands in the notes of the numbers.
        device: vessel in which the cells were grown; its numbers are the priors of growth and death.
        threads: of the solver; the results do not depend on it.

    Raises:
        InputError: the device is unknown.

    Source:
        hierarchical normal model, see ``posterior``; the priors and their sources are in ``site_priors``.

    Example:
        >>> import numpy as np
        >>> from livingdrug.plant.site_file import SiteBatches
        >>> shares = {"car_positive_fraction": np.array([0.31, 0.36, 0.29, 0.34])}
        >>> found = refit(SiteBatches(("a", "b", "c", "d"), np.arange(2, 6), shares), "Example")
        >>> round(found["copies_per_cell"].median[1], 2), found["copies_per_cell"].own > 0.9
        (0.4, True)
    """
    if not 0 < len(site) <= LONGEST_NAME:
        raise InputError(f"refit: the name of a site has 1 to {LONGEST_NAME} letters, got {len(site)}")
    site = one_line(site)
    plan = MultiplicationPlan(device=device)  # type: ignore[arg-type]
    messages = [f"left out: {text}" for text in batches.left_out]
    values = _observed(batches, messages)
    growth, death = fit_culture(batches, plan, messages, threads=threads)
    values |= {"growth_rate": growth, "death_rate": death}
    fitted = tuple(_fit(one, values.get(one.name), batches, site, messages) for one in quantities(plan))
    extra: dict[str, Stated] = dict(_dispersion(batches, site, messages))
    if np.isfinite(growth).any():
        middle = float(plan.device.activation_half_life.quantile(0.5))
        note = f"{site}: held at the middle of the {device}, so that all differences in growth are in growth_rate"
        extra["multiplication.activation_half_life"] = Fixed(value=middle, unit="day", note=note)
    return Refit(site, device, batches, fitted, tuple(_chances(batches, messages)), extra, tuple(messages))


def with_site(journey: Journey, path: str | Path) -> Journey:
    """Return the journey with the numbers of a file that ``refit`` wrote; InputError names the key and the file."""
    try:
        return _changed(journey, read_toml(path))
    except InputError as error:
        raise InputError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def preview(found: Refit, patients: int = 2_000, seed: int = 1) -> pd.DataFrame:
    """Return what the chain makes with the numbers of before and with the site's, for the same simulated patients.

    Args:
        found: of the site; the numbers of before are the defaults of all stages with the site's device.
        patients: how many are simulated, 1 or more.
        seed: of the patients' random streams.

    Returns:
        Rows ``before`` and ``site``: medians of the CAR-positive share, viability and harvested CAR T cells, and the
        share of the products that is released.
    """
    import pandas as pd

    from livingdrug.population import Population
    from livingdrug.therapy.collection import collect
    from livingdrug.therapy.engineering import engineer
    from livingdrug.therapy.multiplication import multiply
    from livingdrug.therapy.release import release

    people = Population(columns=COHORT).sample(patients, seed=seed)
    before = Journey(infusion={"model": "kimmel2021"}, multiplication={"device": found.device})  # type: ignore[arg-type]
    rows = []
    for name, journey in (("before", before), ("site", found.apply(before))):
        cells = engineer(collect(people, journey.collection, seed=seed), journey.engineering, seed=seed)
        product = multiply(cells, journey.multiplication, seed=seed)
        released = len(release(product, journey.release, seed=seed)) / max(patients, 1)
        columns = ("car_positive", "viability", "harvested_car_t_cells")
        medians = {column: float(np.median(product.patients[column])) if len(product) else np.nan for column in columns}
        rows.append({"numbers": name, **medians, "released": released})
    return pd.DataFrame(rows)


COHORT: dict[str, Any] = {
    "cd3_per_uL": LogNormal(
        median=733.0, log_sd=0.56, unit="1/uL", source="allen2017", mark="computed",
        note="from the mean counts of collections above and below 2e9 cells",
    ),
    "weight_kg": LogNormal(median=80.0, log_sd=0.2, unit="kg", low=40.0, high=160.0, note="adults"),
}  # fmt: skip
"""The patients of ``preview``."""


def _observed(batches: SiteBatches, messages: list[str]) -> dict[str, Array]:
    """Return what the batches say of each quantity but growth and death, NaN where they are silent."""
    columns = batches.columns
    nothing = np.full(len(batches), np.nan)
    found = {name: columns[column] for name, column in DIRECT.items() if column in columns}
    if {"collected_cells", "cd3_per_uL", "processed_volume_L"} <= columns.keys():
        processed = columns["cd3_per_uL"] * 1e6 * columns["processed_volume_L"]
        share = np.divide(columns["collected_cells"], processed, out=nothing.copy(), where=processed > 0)
        stated = found.get("efficiency", nothing)
        found["efficiency"] = np.where(np.isfinite(stated), stated, share)
        over = found["efficiency"] > 1
        _name(messages, batches, over, "more T cells were collected than passed the machine; left out there")
        found["efficiency"] = np.where(over, np.nan, found["efficiency"])
    positive = columns.get("car_positive_fraction", nothing)
    copies = columns.get("copies_per_cell", nothing)
    copies = np.where(np.isfinite(copies), copies, columns.get("copies_per_car_cell", nothing) * positive)
    poisson = -np.log1p(-np.clip(positive, EDGE, 1 - EDGE))
    copies = np.where(np.isfinite(copies), copies, poisson)
    if np.isfinite(copies).any():
        found["copies_per_cell"] = copies
    lonely = np.isfinite(columns.get("copies_per_car_cell", nothing)) & ~np.isfinite(copies)
    _name(messages, batches, lonely, "copies_per_car_cell says nothing without car_positive_fraction")
    return found


DIRECT = {
    "efficiency": "collection_efficiency_fraction",
    "recovery": "selection_recovery_fraction",
    "culture_days": "culture_days",
    "t_cell_purity": "t_cell_purity_fraction",
    "thaw_recovery": "thaw_recovery_fraction",
}
"""Quantity -> the column that holds it as it is."""


def _fit(one: Quantity, values: Array | None, batches: SiteBatches, site: str, messages: list[str]) -> Fitted:
    seen = np.full(len(batches), np.nan) if values is None else values
    rows = np.flatnonzero(np.isfinite(seen))
    natural = seen[rows]
    if one.scale == "logit":
        at_edge = np.zeros(len(batches), bool)
        at_edge[rows] = (natural < EDGE) | (natural > 1 - EDGE)
        _name(messages, batches, at_edge, f"{one.name} of 0 or 100 % is taken as 0.1 or 99.9 %")
        natural = np.clip(natural, EDGE, 1 - EDGE)
    elif np.any(natural <= 0):
        zero = np.zeros(len(batches), bool)
        zero[rows] = natural <= 0
        _name(messages, batches, zero, f"{one.name} of 0 has no logarithm; left out there")
        rows, natural = rows[natural > 0], natural[natural > 0]
    y = one.to(natural)
    messages += _remarks(one, y, natural, [batches.names[row] for row in rows])
    after = update(one.site_prior, y) if y.size else _no_batches(one.site_prior)
    center, batch = _quantiles(after) if y.size else _no_quantiles(one.site_prior)
    stated = _stated(one, after, batch, site) if y.size else one.prior
    spread = _three(after.spread(LEVELS))
    return Fitted(one, rows, natural, _three(one.back(center)), spread, _three(one.back(batch)), after.own, stated)


def _quantiles(after: SitePosterior) -> tuple[Array, Array]:
    """Return the quantiles of the site's centre and of a batch to come, on the scale."""
    return after.center(LEVELS), after.new_batch(LEVELS)


@lru_cache(maxsize=64)
def _no_batches(prior: SitePrior) -> SitePosterior:
    return update(prior, [])


@lru_cache(maxsize=64)
def _no_quantiles(prior: SitePrior) -> tuple[Array, Array]:
    return _quantiles(_no_batches(prior))


def _three(values: ArrayLike) -> tuple[float, float, float]:
    low, middle, high = np.asarray(values, np.float64).tolist()
    return low, middle, high


def _stated(one: Quantity, after: SitePosterior, batch: Array, site: str) -> Stated:
    """Return a batch to come as a number for the plan: its median, and the spread of its central 90 %."""
    low, middle, high = batch
    sd = float(f"{(high - low) / (2 * NORMAL_95TH):.5g}")
    median = float(f"{float(one.back(middle)):.6g}")
    note = f"{site}: {after.batches} batches, {after.own:.0%} of the estimate their own; before: {one.prior.describe()}"
    common = {"unit": one.unit, "source": SITE_DATA, "mark": "computed", "note": note}
    if one.scale == "log":
        return LogNormal(median=median, log_sd=sd, **common)  # type: ignore[arg-type]
    return LogitNormal(median=median, logit_sd=sd, **common)  # type: ignore[arg-type]


def _remarks(one: Quantity, y: Array, natural: Array, names: list[str]) -> Iterator[str]:
    """Yield what a reader must know of the batches of one quantity."""
    if y.size == 1:
        yield f"{one.name}: one batch only; the spread between batches is that of other sites"
    if y.size >= 2 and np.ptp(y) < 1e-9:
        yield f"{one.name}: all {y.size} values are {natural[0]:g}; leave them out if they were not measured"
    if not y.size:
        return
    prior = one.site_prior
    away = (y.mean() - prior.center) / math.hypot(prior.between, prior.spread / math.sqrt(y.size))
    if abs(away) > 3:
        yield (
            f"{one.name}: the site's {one.back(y.mean()):.3g} {one.unit} lies {abs(away):.1f} standard deviations from "
            f"other sites ({one.back(prior.center):.3g}); check the unit of the column"
        )
    yield from _outliers(one, y, natural, names)


def _outliers(one: Quantity, y: Array, natural: Array, names: list[str]) -> Iterator[str]:
    if y.size < 5:
        return
    off = np.abs(y - np.median(y))
    scale = max(1.4826 * float(np.median(off)), 1e-9)
    far = off > FAR * max(scale, 0.25 * one.spread)
    if far.any():
        named = ", ".join(f"{names[row][:40]!r} ({natural[row]:.3g} {one.unit})" for row in np.flatnonzero(far)[:3])
        without = float(one.back(update(one.site_prior, y[~far]).center(0.5)))
        yield (
            f"{one.name}: {int(far.sum())} of {y.size} batches stand far from the others: {named}; they are kept; "
            f"without them the median would be {without:.3g}"
        )


def _name(messages: list[str], batches: SiteBatches, which: NDArray[np.bool_], text: str) -> None:
    """Add a message that names the first batches of a mask, if there are any."""
    rows = np.flatnonzero(which)
    if rows.size:
        named = ", ".join(repr(batches.names[row][:40]) for row in rows[:3])
        messages.append(f"{text} ({rows.size} batches: {named}{', ...' if rows.size > 3 else ''})")


def _dispersion(batches: SiteBatches, site: str, messages: list[str]) -> Iterator[tuple[str, Fixed]]:
    """Yield the shape of the law of gene copies where copies and CAR-positive cells are both known."""
    from livingdrug.therapy.transduction import LEAST_SHAPE, infer_dispersion

    columns, nothing = batches.columns, np.full(len(batches), np.nan)
    positive = columns.get("car_positive_fraction", nothing)
    copies = columns.get("copies_per_cell", nothing)
    copies = np.where(np.isfinite(copies), copies, columns.get("copies_per_car_cell", nothing) * positive)
    both = np.isfinite(copies) & np.isfinite(positive)
    if not both.any():
        return
    share = float(np.median(np.clip(positive[both], EDGE, 1 - EDGE)))
    mean = float(np.exp(np.median(np.log(copies[both]))))
    found = infer_dispersion(share, mean, "per_cell")
    text = f"{share:.3g} CAR-positive with {mean:.3g} copies per cell (medians of {int(both.sum())} batches)"
    if not bool(found.over_dispersed):
        messages.append(f"copies_per_cell: {text} are fewer copies than the Poisson law gives; Poisson is kept")
        return
    shape = float(f"{max(float(found.shape), LEAST_SHAPE):.5g}")
    note = f"{site}: {text}; no interval"
    yield "engineering.over_dispersion", Fixed(value=shape, source=SITE_DATA, mark="computed", note=note)


def _chances(batches: SiteBatches, messages: list[str]) -> Iterator[Chance]:
    failed = batches.columns.get("failed")
    if failed is None or not np.isfinite(failed).any():
        return
    known = np.isfinite(failed)
    total, events = int(known.sum()), int(failed[known].sum())
    yield _chance("failures, all reasons", "", events, total, explained=False)
    if not batches.reasons:
        messages.append(
            "failed: without failure_reason nobody knows which failures the chain explains; not in the plan"
        )
        return
    reasons = np.array(batches.reasons)
    if np.any(known & (failed == 1) & (reasons == "")):
        messages.append("failed: a failure without failure_reason counts as 'other'")
    other = int(np.sum(known & (failed == 1) & np.isin(reasons, ["other", ""])))
    yield _chance("failures that the chain does not explain", "multiplication.failure", other, total, explained=True)


def _chance(title: str, place: str, events: int, total: int, *, explained: bool) -> Chance:
    prior, between = failure_prior(unexplained=explained)
    center = math.log(prior.value / (1 - prior.value))
    after: ChancePosterior = update_chance(center, between.value, events, total)
    return Chance(title, place, events, total, prior, between, _three(after.chance(LEVELS)), after.next_batch)


def _changed(plan: Any, tables: Mapping[str, Any]) -> Any:
    """Return a plan with the fields of nested tables replaced; unknown keys are told by the plan itself."""
    own = {name: getattr(plan, name) for name in type(plan).model_fields}
    for name, value in tables.items():
        old = own.get(name)
        nested = isinstance(old, Declared) and not isinstance(old, Stated) and isinstance(value, Mapping)
        own[name] = _changed(old, value) if nested else value
    return type(plan)(**own)


def _basis(stated: Stated) -> str:
    return f"{stated.mark}, {stated.source}" if stated.source else stated.mark
