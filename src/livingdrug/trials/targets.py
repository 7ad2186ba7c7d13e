"""What the calibration trials reported, and the same number from simulated outcomes.

The numbers stand in ``targets/*.toml`` with their sources; each says by its measure how it is computed. A reported
coefficient of variation or standard deviation is a target of its own. Not for clinical use.

Example:
    >>> found = targets("eliana")[0]
    >>> found.endpoint, found.population, found.value, found.size
    ('Cmax', 'responders (CR/CRi)', 32900.0, 114)
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from livingdrug.declared import Declared, Number, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.trials.endpoint_names import KINETIC_SUMMARIES
from livingdrug.trials.measures import Measure, samples_of, value
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.replicates import draws

__all__ = ["LEAST_COUNTED", "Target", "expanded", "target_replicates", "target_trials", "target_value", "targets"]

LEAST_COUNTED = 12
"""Targets of fewer patients are reported, not counted."""
Kind = Literal["kinetics", "response", "survival", "crs", "neurotoxicity", "counts", "attrition"]


class Target(Declared):
    """A number that a trial reported.

    Attributes:
        trial: as printed, with ``population``, ``endpoint``, ``timepoint``, ``grading_scale`` and ``statistic``.
        value: in ``unit``; percentages from 0 to 100.
        cv: reported coefficient of variation in percent; ``sd`` reported standard deviation.
        low: lower end of the reported 95 % interval, ``high`` the upper; ``range_low`` to ``range_high`` the range.
        count: patients with the event, where given; ``size`` patients that a replicate draws.
        kind: class of endpoint.
        measure: how it is computed.
    """

    trial: Text
    population: Text
    endpoint: Text
    timepoint: Text = ""
    grading_scale: Text = ""
    statistic: Text
    value: Number
    unit: Text
    cv: Number | None = None
    sd: Number | None = None
    low: Number | None = None
    high: Number | None = None
    range_low: Number | None = None
    range_high: Number | None = None
    count: int | None = None
    size: Annotated[int, Field(ge=1, le=100_000)]
    kind: Kind
    source: Text
    note: Text = ""
    measure: Measure

    @property
    def of_known(self) -> bool:
        """Whether its size counts patients who have the number: tables of kinetics leave out who has none."""
        return self.measure.of in KINETIC_SUMMARIES

    @property
    def counted(self) -> bool:
        """Whether enough patients stand behind it."""
        return self.size >= LEAST_COUNTED

    def label(self) -> str:
        """Return the target in words."""
        parts = (self.trial, self.population, self.endpoint, self.timepoint, self.grading_scale, self.statistic)
        return ", ".join(part for part in parts if part)


class _File(Declared):
    target: tuple[Target, ...]


def target_trials() -> tuple[str, ...]:
    """Return the names of the trials with targets.

    Example:
        >>> target_trials()
        ('cartitude-1', 'eliana', 'juliet', 'karmma', 'transcend-nhl-001', 'zuma-1')
    """
    folder = resources.files("livingdrug.trials") / "targets"
    return tuple(sorted(each.name.removesuffix(".toml") for each in folder.iterdir() if each.name.endswith(".toml")))


@lru_cache(maxsize=16)
def targets(trial: str) -> tuple[Target, ...]:
    """Return the targets of a trial; an unknown one is an InputError with the nearest names."""
    if trial not in target_trials():
        raise InputError(unknown_name("trial with targets", trial, target_trials()))
    with resources.as_file(resources.files("livingdrug.trials") / "targets" / f"{trial}.toml") as path:
        return declare(_File, read_toml(path), path.name).target


def expanded(found: tuple[Target, ...]) -> tuple[Target, ...]:
    """Return the targets, and after each the spread that was reported with it.

    Example:
        >>> [(each.endpoint, each.statistic) for each in expanded(targets("eliana")[:1])]
        [('Cmax', 'geometric mean'), ('Cmax', 'geometric CV')]
    """
    every: list[Target] = []
    for each in found:
        every.append(each)
        for name, number in (("geometric CV", each.cv), ("standard deviation", each.sd)):
            if number is not None:
                measure = each.measure.model_copy(update={"statistic": name})
                unit = "%" if name == "geometric CV" else each.unit
                more = {"statistic": name, "value": number, "unit": unit, "cv": None, "sd": None, "measure": measure}
                every.append(each.model_copy(update=more))
    return tuple(every)


def target_value(outcomes: Outcomes, target: Target, protocol: Protocol) -> float:
    """Return a target's number from all patients of simulated outcomes.

    NaN where nobody is in its set; infinite where a median is not reached.
    """
    return value(outcomes, target.measure, protocol.follow_up.clocks, protocol.follow_up.clock_from)


def target_replicates(
    outcomes: Outcomes, target: Target, protocol: Protocol, *, count: int = 1000, seed: int = 0, again: bool = True
) -> NDArray[np.float64]:
    """Return a target's number in many trials of its own size, shape (count,); see ``replicates.draws``."""
    known = np.isfinite(outcomes[target.measure.of]) if target.of_known else None
    rows = draws(outcomes, target.measure, target.size, count=count, seed=seed, again=again, among=known)
    if not rows.size:
        return np.full(count, np.nan)
    return samples_of(outcomes, target.measure, rows, protocol.follow_up.clocks, protocol.follow_up.clock_from)
