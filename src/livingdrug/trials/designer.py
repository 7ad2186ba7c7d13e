"""The designer of trials: how many patients, how likely success is, and which dose, asked of the twin.

A design is a TOML file that names a trial of the twin (a built-in one, or a file beside it) and asks questions of it:
power at several sizes, and dose finding. Every virtual patient lives under each arm or dose with the same luck, so the
arms differ by treatment alone; a simulated trial then draws different patients for its arms, as a real one does. With
an ensemble the power is the probability of success, averaged over what is not known. Not for clinical use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from livingdrug.declared import Declared, Number, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.population.products import DoseRule
from livingdrug.trials.dose_finding import BOIN, CRM, ThreePlusThree, operating_characteristics
from livingdrug.trials.endpoint_names import endpoints_of
from livingdrug.trials.measures import YES_NO, Measure, clock, member
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.power import (
    Endpoint,
    power_curve,
    proportion_endpoint,
    single_arm_power,
    survival_endpoint,
)
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.scenarios import Pool, Scenario, parameter_sets, simulate_scenarios

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DesignOutcome", "DoseQuestion", "PowerQuestion", "TrialDesign", "limiting", "run_design", "skeleton"]

Array = NDArray[np.float64]
Share = Annotated[Number, Field(gt=0, lt=1)]
Sizes = Annotated[tuple[Annotated[int, Field(strict=True, ge=2, le=5_000)], ...], Field(min_length=1, max_length=50)]
CLOCKS = ("os", "pfs", "efs")
BAD = ("crs", "neuro", "tocilizumab", "steroid", "vasopressor", "ventilated", "neutropenia", "thrombocytopenia",
       "manufacturing", "death", "progression", "adverse", "antigen")  # fmt: skip
LAST_ROUND = 56  # day
DESIGNS = ("3+3", "boin", "crm")


class PowerEndpoint(Declared):
    """An endpoint of which the power is asked.

    Attributes:
        name: os, pfs or efs (two arms), or an endpoint in percent such as "cr" or "crs >= 3".
        null: for one arm: the share that is not worth while (of a side effect: not tolerable), 0 to 1.
    """

    name: Text
    null: Share | None = None

    @property
    def good(self) -> bool:
        """Whether more of it is better."""
        return not self.name.startswith(BAD)


class PowerQuestion(Declared):
    """Power at several sizes.

    Attributes:
        endpoints: what is tested.
        sizes: patients of the first arm.
        ratio: patients of the second arm per patient of the first.
        alpha: one-sided level.
        replicates: simulated trials of each size.
    """

    endpoints: Annotated[tuple[PowerEndpoint, ...], Field(min_length=1, max_length=20)]
    sizes: Sizes
    ratio: Annotated[Number, Field(gt=0, le=20)] = 1.0
    alpha: Annotated[Number, Field(gt=0, lt=0.5)] = 0.025
    replicates: Annotated[int, Field(strict=True, ge=2, le=100_000)] = 1_000


class DoseQuestion(Declared):
    """Dose finding; a dose-limiting toxicity is cytokine release or neurotoxicity of grade 3 or more in its window.

    Attributes:
        cells: dose levels, CAR T cells, rising.
        target: wanted chance of a dose-limiting toxicity.
        limit_days: last day after the infusion on which a toxicity limits the dose; the ward looks until day 56.
        designs: rules that are compared.
        cohort: patients per cohort of BOIN and CRM; 3+3 has three.
        largest: most patients in a trial.
        replicates: simulated trials.
        skeleton: first guess of CRM; spaced evenly about the target unless given.
        arm: whose product; the first arm unless given.
    """

    cells: Annotated[tuple[Annotated[Number, Field(gt=0, le=1e12)], ...], Field(min_length=2, max_length=20)]
    target: Share = 0.25
    limit_days: Annotated[Number, Field(ge=1, le=LAST_ROUND)] = 28
    designs: Annotated[tuple[Literal["3+3", "boin", "crm"], ...], Field(min_length=1, max_length=3)] = DESIGNS
    cohort: Annotated[int, Field(strict=True, ge=1, le=20)] = 3
    largest: Annotated[int, Field(strict=True, ge=3, le=500)] = 30
    replicates: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 1_000
    skeleton: tuple[Share, ...] = ()
    arm: Text = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if any(b <= a for a, b in zip(self.cells, self.cells[1:], strict=False)):
            raise InputError("cells: the dose levels must rise")
        if self.skeleton and len(self.skeleton) != len(self.cells):
            raise InputError(f"skeleton: {len(self.skeleton)} guesses for {len(self.cells)} doses")
        return self


def _letters(name: str) -> str:
    if not name or not all(letter.isalnum() or letter in ".-" for letter in name) or len(name) > 60:
        raise InputError(f"a name is letters, digits, dots and hyphens, got {name!r:.80}")
    return name


class TrialDesign(Declared):
    """A design: a trial and the questions about it.

    Attributes:
        trial: a built-in trial of the twin, or a TOML file beside the design's.
        patients: virtual patients per arm or dose and parameter set.
        parameter_sets: of the shipped ensemble; 1 for its medians.
        power: question of power.
        dose_finding: question of the dose.
    """

    name: Annotated[Text, AfterValidator(_letters)]
    title: Text = ""
    trial: Text
    patients: Annotated[int, Field(strict=True, ge=20, le=100_000)] = 500
    parameter_sets: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 1
    power: PowerQuestion | None = None
    dose_finding: DoseQuestion | None = None

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.power is None and self.dose_finding is None:
            raise InputError("a design asks something: it needs the table [power] or [dose_finding]")
        return self

    @classmethod
    def read(cls, path: str | Path) -> tuple[TrialDesign, Protocol]:
        """Read a design and its trial from TOML; InputError names the file, the line, the key and the nearest name."""
        from livingdrug.trials.protocol_checks import with_line

        values = read_toml(path)
        try:
            found = declare(cls, values, str(path))
            return found, found.protocol(Path(path).parent)
        except InputError as error:
            raise InputError(with_line(_placed(str(error), path), path)) from None

    def protocol(self, folder: str | Path = ".") -> Protocol:
        """Return the trial, after a check that the questions fit it; a file is looked for in ``folder``."""
        from livingdrug.trials.protocol import protocol_names

        if self.trial.endswith(".toml"):
            path = Path(folder) / self.trial
            if not path.is_file():
                raise InputError(f"trial: {str(path)!r} is no file; a trial of one's own lies beside its design")
            trial = Protocol.read(path)
        elif self.trial not in protocol_names():
            raise InputError(f"trial: {unknown_name('trial of the twin', self.trial, protocol_names())}")
        else:
            trial = Protocol.builtin(self.trial)
        if self.power is not None:
            _check_power(self.power, trial)
        if self.dose_finding is not None:
            _check_arm(self.dose_finding, trial)
        return trial


def _placed(message: str, path: str | Path) -> str:
    return message if message.startswith(str(path)) else f"{path}: {message}"


def _check_power(power: PowerQuestion, trial: Protocol) -> None:
    two = len(trial.arms) == 2
    if len(trial.arms) > 2:
        raise InputError(f"power: the trial has {len(trial.arms)} arms; power is asked of one or two")
    shares = [name for name, measure in endpoints_of(trial).items() if measure.statistic == "proportion"]
    standard = two and any(arm.comparator for arm in trial.arms)
    shares = [name for name in shares if not standard or name.split()[0] in ("orr", "cr", "cr/cri")]
    known = [*(name for name in CLOCKS if two and name in trial.follow_up.clocks), *shares]
    for number, one in enumerate(power.endpoints):
        place = f"power.endpoints.{number}"
        if one.name not in known:
            raise InputError(f"{place}.name: {unknown_name(f'endpoint of a design for {trial.name}', one.name, known)}")
        if not two and one.null is None:
            raise InputError(f"{place}.null: a trial of one arm needs the share that is not worth while")


def _check_arm(doses: DoseQuestion, trial: Protocol) -> None:
    names = [arm.name for arm in trial.arms if arm.product]
    if doses.arm and doses.arm not in names:
        raise InputError(f"dose_finding.arm: {unknown_name(f'arm of {trial.name} with a product', doses.arm, names)}")


@dataclass(frozen=True, eq=False)
class DesignOutcome:
    """The answer to a design.

    Attributes:
        design: the questions; ``trial`` of which they were asked.
        power: columns endpoint, size, other_size, power, error, lowest_set, highest_set; empty if not asked.
        doses: columns cells, toxicity, low, high (of a dose-limiting toxicity), response, peak; empty if not asked.
        finding: columns design, cells (0: no dose), chosen, error, patients, toxicities; empty if not asked.
        pool: the virtual patients by arm and dose.
        settings: where the settings are from.
        seed: of all random streams.
    """

    design: TrialDesign
    trial: Protocol
    power: pd.DataFrame
    doses: pd.DataFrame
    finding: pd.DataFrame
    pool: Pool
    settings: str
    seed: int


def run_design(
    design: TrialDesign,
    trial: Protocol,
    seed: int = 1,
    *,
    folder: str | Path | None = None,
    days: float | None = None,
    workers: int = 1,
    threads: int | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> DesignOutcome:
    """Answer the questions of a design.

    Args:
        design: the questions.
        trial: of which they are asked, as ``design.protocol()`` gives it.
        seed: of all random streams.
        folder: where finished blocks of patients are kept; a run that was stopped goes on.
        days: last day that is simulated; that of the trial unless given.
        workers: processes; ``threads`` of the solver in each.
        threads: see ``workers``.
        progress: called with (patients done, patients in all).
    """
    import pandas as pd

    settings, where = _with_trial_effects(design, trial, seed)
    plans = [*_arm_plans(design, trial), *_dose_plans(design, trial)]
    pool = simulate_scenarios(
        plans, design.patients, seed, settings=settings, folder=folder, days=days, workers=workers, threads=threads,
        progress=progress,
    )  # fmt: skip
    doses, finding = _doses(design, trial, pool, seed) if design.dose_finding else (pd.DataFrame(), pd.DataFrame())
    power = _power(design, trial, pool, seed) if design.power else pd.DataFrame()
    return DesignOutcome(design, trial, power, doses, finding, pool, where, seed)


def _with_trial_effects(design: TrialDesign, trial: Protocol, seed: int) -> tuple[Mapping[str, Array], str]:
    """Return the settings of the asked parameter sets; several sets carry trial effects of their own."""
    from livingdrug.trials.calibration import fresh_trial_effects

    settings, where = parameter_sets(design.parameter_sets)
    sets = len(next(iter(settings.values()))) if settings else 1
    if sets > 1:
        settings = {**settings, **fresh_trial_effects(sets, seed, f"design {trial.name}")}
    return settings, where


def _arm_plans(design: TrialDesign, trial: Protocol) -> list[Scenario]:
    return [Scenario(f"arm {arm.name}", trial, arm.name) for arm in trial.arms] if design.power else []


def _dose_plans(design: TrialDesign, trial: Protocol) -> list[Scenario]:
    if design.dose_finding is None:
        return []
    arms, name = list(trial.arms), _dosed_arm(design.dose_finding, trial)
    at = next(k for k, arm in enumerate(arms) if arm.name == name)
    plans = []
    for cells in design.dose_finding.cells:
        rule = DoseRule.model_validate({"levels": [{"cells": cells}]})
        changed = [*arms[:at], arms[at].model_copy(update={"dose": rule}), *arms[at + 1 :]]
        plans.append(Scenario(f"dose {cells:g}", trial.model_copy(update={"arms": tuple(changed)}), name))
    return plans


def _dosed_arm(doses: DoseQuestion, trial: Protocol) -> str:
    return doses.arm or next(arm.name for arm in trial.arms if arm.product)


# ---- power


def _power(design: TrialDesign, trial: Protocol, pool: Pool, seed: int) -> pd.DataFrame:
    import pandas as pd

    assert design.power is not None  # asked only then
    make = _two_arms if len(trial.arms) == 2 else _one_arm
    tables = [make(design.power, one, trial, pool, seed).assign(endpoint=one.name) for one in design.power.endpoints]
    columns = ["endpoint", "size", "other_size", "power", "error", "lowest_set", "highest_set"]
    return pd.concat(tables, ignore_index=True).reindex(columns=columns)


def _one_arm(ask: PowerQuestion, one: PowerEndpoint, trial: Protocol, pool: Pool, _: int) -> pd.DataFrame:
    """Return the exact power of a binomial test against the null share, by parameter set."""
    import pandas as pd

    assert one.null is not None  # checked with the trial
    measure, here = endpoints_of(trial)[one.name], pool.found[f"arm {trial.arms[0].name}"]
    inside, reached = _by_set(pool, member(here, measure)), _by_set(pool, member(here, measure) & _flags(here, measure))
    truth = reached.sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
    null, share = (one.null, truth) if one.good else (1 - one.null, 1 - truth)  # success: fewer with the side effect
    rows = []
    for size in ask.sizes:
        power = single_arm_power(size, null, share, ask.alpha)
        error = power.std(ddof=1) / math.sqrt(power.size) if power.size > 1 else _chance(size, null, share, inside, ask)
        rows.append({"size": size, "other_size": 0, "power": float(power.mean()), "error": float(error),
                     "lowest_set": float(power.min()), "highest_set": float(power.max())})  # fmt: skip
    return pd.DataFrame(rows)


def _chance(size: int, null: float, share: Array, inside: Array, ask: PowerQuestion) -> float:
    """Return by how much the power moves when the share moves by its error, since patients are simulated."""
    half = np.sqrt(share * (1 - share) / np.maximum(inside.sum(axis=1), 1))
    ends = [single_arm_power(size, null, np.clip(share + side * half, 0, 1), ask.alpha) for side in (-1, 1)]
    return float(np.abs(ends[1] - ends[0]).mean() / 2)


def _flags(here: Outcomes, measure: Measure) -> NDArray[np.bool_]:
    return YES_NO[measure.of](here, measure) if measure.of in YES_NO else here[measure.of]


def _by_set(pool: Pool, values: Any) -> Array:
    return np.asarray(values, np.float64).reshape(pool.sets, pool.patients)


def _two_arms(ask: PowerQuestion, one: PowerEndpoint, trial: Protocol, pool: Pool, seed: int) -> pd.DataFrame:
    ours, theirs = (pool.found[f"arm {arm.name}"] for arm in trial.arms)
    endpoint = (
        _survival(one.name, trial, pool, ours, theirs) if one.name in CLOCKS else _share(one, trial, pool, ours, theirs)
    )
    curve = power_curve(
        endpoint, ask.sizes, seed=seed, replicates=max(ask.replicates, endpoint.sets), ratio=ask.ratio, alpha=ask.alpha
    )
    return curve.table()


def _survival(name: str, trial: Protocol, pool: Pool, ours: Outcomes, theirs: Outcomes) -> Endpoint:
    measure = Measure(statistic="median time", of=name, among=("enrolled",))
    tables = []
    for here in (ours, theirs):
        day, event = clock(here, name, trial.follow_up.clocks, measure, trial.follow_up.clock_from)
        tables += [_by_set(pool, day), _by_set(pool, event)]
    return survival_endpoint(*tables)


def _share(one: PowerEndpoint, trial: Protocol, pool: Pool, ours: Outcomes, theirs: Outcomes) -> Endpoint:
    """Return a share of all who are enrolled: who is not in the set of the endpoint has not reached it."""
    measure = endpoints_of(trial)[one.name]
    tables = [_by_set(pool, member(here, measure) & _flags(here, measure)) for here in (ours, theirs)]
    return proportion_endpoint(*tables, good=one.good)


# ---- dose finding


def _doses(design: TrialDesign, trial: Protocol, pool: Pool, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    ask = design.dose_finding
    assert ask is not None  # asked only then
    truth, rows = [], []
    for cells in ask.cells:
        here = pool.found[f"dose {cells:g}"]
        infused, toxic = here["infused"], limiting(here, trial, ask.limit_days)
        truth.append(_by_set(pool, toxic & infused).sum(axis=1) / np.maximum(_by_set(pool, infused).sum(axis=1), 1))
        low, high = _ends(truth[-1], int(infused.sum()))
        responded = np.isfinite(here["response_day"][infused])
        rows.append({
            "cells": cells, "toxicity": float(truth[-1].mean()), "low": low, "high": high,
            "response": float(responded.mean()), "peak": float(np.exp(np.nanmean(np.log(here["cmax"][infused])))),
        })  # fmt: skip
    found = [_found(name, ask, np.stack(truth, axis=1), seed) for name in ask.designs]
    return pd.DataFrame(rows), pd.concat(found, ignore_index=True)


def limiting(here: Outcomes, trial: Protocol, days: float) -> NDArray[np.bool_]:
    """Return who has a dose-limiting toxicity on the trial's scales up to a day."""
    plan, found = trial.grading, np.zeros(len(here), bool)
    for syndrome, scale in (("crs", plan.crs), ("neuro", plan.neuro)):
        severe_day = here[f"{syndrome}_onset_{scale}"] + here[f"{syndrome}_days_to_3_{scale}"] - 1
        found |= severe_day <= days  # NaN, for never severe, is not
    return found


def _ends(shares: Array, patients: int) -> tuple[float, float]:
    """Return the middle 95 % of parameter sets, or of one set Wilson's interval."""
    from livingdrug.trials.survival import wilson

    if shares.size > 1:
        low, high = np.quantile(shares, [0.025, 0.975])
        return float(low), float(high)
    return wilson(float(shares[0]) * patients, patients)


def _found(name: str, ask: DoseQuestion, truth: Array, seed: int) -> pd.DataFrame:
    """Return how often a rule recommends each dose, how many patients get it and how many are harmed."""
    import pandas as pd

    found = operating_characteristics(
        _rule(name, ask), truth, seed=seed, largest=max(ask.largest, 6 * len(ask.cells) if name == "3+3" else 0),
        replicates=ask.replicates,
    )  # fmt: skip
    return pd.DataFrame({
        "design": name, "cells": [*ask.cells, 0.0], "chosen": found.chosen, "error": found.error,
        "patients": [*found.patients, 0.0], "toxicities": [*found.toxic, 0.0],
    })  # fmt: skip


def _rule(name: str, ask: DoseQuestion) -> Any:
    if name == "3+3":
        return ThreePlusThree()
    if name == "boin":
        return BOIN(ask.target, ask.cohort)
    return CRM(ask.skeleton or skeleton(ask.target, len(ask.cells)), ask.target, ask.cohort)


def skeleton(target: float, doses: int, half_width: float = 0.05) -> tuple[float, ...]:
    """Return a first guess of the chance of toxicity per dose for CRM, with the target at the middle dose.

    The doses are spaced evenly for the model: where one has the target plus ``half_width``, the one below has the
    target minus it.

    Raises:
        InputError: values out of range.

    Source:
        Lee and Cheung 2009, indifference intervals of the power model.

    Example:
        >>> [round(share, 3) for share in skeleton(0.25, 5)]
        [0.084, 0.157, 0.25, 0.355, 0.46]
    """
    if not (target - half_width > 0 and target + half_width < 1 and half_width > 0 and doses >= 1):
        raise InputError(f"a skeleton needs a target between {half_width} and {1 - half_width}, got {target}")
    low, high = math.log(target - half_width), math.log(target + half_width)
    middle = (doses - 1) // 2
    logs = [math.log(target) * (low / high) ** (middle - place) for place in range(doses)]
    return tuple(math.exp(value) for value in logs)
