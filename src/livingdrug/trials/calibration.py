"""Calibration of one shared biology on six trials at once, and the ensemble of parameter sets that comes of it.

The free parameters (``population.free``) and one effect per trial and kind have priors. First an optimiser looks for
the likeliest set, with the same patients throughout. By the slopes that it found every member of the ensemble, a draw
from the priors, is moved to where its prior and the reports balance. Then, step by step, every member simulates its own
patients in every trial, and the smoother moves all members on. Trial effects are nuisance: they take part in the steps,
and are drawn anew in every prediction. Finished pieces are kept in a folder, so a killed calibration goes on where it
stopped. Not for clinical use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.population.diseases import disease
from livingdrug.population.free import TRIAL_EFFECTS, applies, free_parameters, trial_log_sd
from livingdrug.population.products import product
from livingdrug.streams import normal
from livingdrug.trials.evidence import chance_variance, observed
from livingdrug.trials.member_runs import MemberRuns
from livingdrug.trials.mode import Mode, find_mode
from livingdrug.trials.pieces import Pieces
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.smoother import FARTHEST, Line, begin, fit_line, move, perturbed, soften
from livingdrug.trials.targets import Target, expanded, target_trials, targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Calibration", "Plan", "calibrate", "fresh_trial_effects", "own_trial_effects"]

Array = NDArray[np.float64]
BACK_AT_PRIOR = 0.85  # of the prior's SD, from which on a parameter counts as not informed


@dataclass(frozen=True)
class Plan:
    """How a calibration is done.

    Attributes:
        members: of the ensemble.
        tried: sets that the optimiser tries at most.
        same_patients: enrolled in each trial by every set of the optimiser, always the same ones.
        steps: of the smoother.
        patients: enrolled by each member in each trial at each step.
        seed: of everything.
        trials: that take part; the others are left out.
    """

    members: int = 100
    tried: int = 12
    same_patients: int = 300
    steps: int = 6
    patients: int = 140
    seed: int = 1
    trials: tuple[str, ...] = target_trials()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all columns: free parameters, then trial effects as ``trial/effect``."""
        effects = tuple(f"{trial}/{effect}" for trial in self.trials for effect in TRIAL_EFFECTS)
        return (*(free.name for free in free_parameters()), *effects)

    @property
    def prior(self) -> tuple[Array, Array]:
        """Return mean and SD of the logarithm of each column."""
        free, extra = free_parameters(), len(self.trials) * len(TRIAL_EFFECTS)
        mean = [*(np.log(each.prior_median) for each in free), *[0.0] * extra]
        sd = [*(each.prior_log_sd for each in free), *[trial_log_sd()] * extra]
        return np.array(mean), np.array(sd)

    @property
    def targets(self) -> tuple[tuple[str, Target], ...]:
        """Return each target that counts, with its trial; the reported spreads are targets too."""
        return tuple((trial, each) for trial in self.trials for each in expanded(targets(trial)) if each.counted)

    @property
    def acts(self) -> NDArray[np.bool_]:
        """Return whether a column acts on a target, shape (target, column)."""
        rows = []
        for trial, _ in self.targets:
            protocol = Protocol.builtin(trial)
            ill, drug = disease(protocol.disease), product(protocol.arms[0].product)
            rows.append([
                name.startswith(f"{trial}/") if "/" in name else applies(name, ill, drug) for name in self.names
            ])  # fmt: skip
        return np.array(rows)

    @property
    def acts_on_trial(self) -> dict[str, NDArray[np.bool_]]:
        """Return whether a column acts on any target of a trial, trial -> shape (column,)."""
        owners, acts = np.array([trial for trial, _ in self.targets]), self.acts
        return {trial: np.logical_or.reduce(acts[owners == trial]) for trial in self.trials}


@dataclass(frozen=True, eq=False)
class Calibration:
    """The course of a calibration.

    Attributes:
        plan: how it was done.
        mode: the likeliest set, by the optimiser, and the runs about it.
        parameters: logarithms of the draws from the prior, of the members by the line about the mode, and after each
            step, shape (step + 2, member, column).
        predicted: what each member predicted at each step, on the scale of comparison, (step, member, target).
        error: covariance of the errors of observation at the last step, shape (target, target).
    """

    plan: Plan
    mode: Mode
    parameters: Array
    predicted: Array
    error: Array

    @cached_property
    def ensemble(self) -> Mapping[str, Array]:
        """Return the free parameters of each member on their natural scale, name -> shape (member,)."""
        return _natural(self.parameters[-1])

    @cached_property
    def trial_effects(self) -> Mapping[str, Array]:
        """Return each trial's own effects, as logarithms: ``trial/effect`` -> shape (member,)."""
        last, names = self.parameters[-1], self.plan.names
        return {name: last[:, k] for k, name in enumerate(names) if "/" in name}

    def without(self, trial: str) -> Mapping[str, Array]:
        """Return the ensemble as if a trial had reported nothing, by the straight line through the runs of all steps.

        Nothing is simulated for it; what the other trials do not inform goes back to its prior.

        Raises:
            InputError: the trial took no part.
        """
        return _natural(self._moved_without(trial))

    @cached_property
    def line(self) -> Line:
        """Return the straight line through the runs of all steps."""
        sets, said = [self.mode.sets, *self.parameters[1:-1]], [self.mode.predicted, *self.predicted]
        return fit_line(sets, said, self.plan.acts)

    def _moved_without(self, trial: str) -> Array:
        if trial not in self.plan.trials:
            raise InputError(unknown_name("trial of this calibration", trial, self.plan.trials))
        plan, (_, sd), (intercept, slope) = self.plan, self.plan.prior, self.line
        kept = np.array([name != trial for name, _ in plan.targets])
        noisy = perturbed([observed(each) for _, each in plan.targets], self.error, plan.members, seed=plan.seed)
        line, error = (intercept[kept], slope[kept]), self.error[np.ix_(kept, kept)]
        return move(self.parameters[-1], self.parameters[0], sd, line, noisy[:, kept], error, farthest=np.inf)

    def variance_without(self, trial: str) -> pd.DataFrame:
        """Return where the variance of each target comes from if its trial is left out, by the straight line.

        Columns: target; ``alone``: of parameters that only this trial informs, so that they are back at their prior;
        ``shared``: of all others; ``trial_effects``; ``chance`` of a trial of its size. On the scale of comparison,
        squared; correlations between ``alone`` and ``shared`` are left out.
        """
        import pandas as pd

        theta, (_, sd), (_, slope) = self._moved_without(trial), self.plan.prior, self.line
        free = np.array(["/" not in name for name in self.plan.names])
        alone = free & (theta.std(axis=0, ddof=1) > BACK_AT_PRIOR * sd)
        own = np.array([name.startswith(f"{trial}/") for name in self.plan.names])
        spread = np.cov(theta.T)
        rows = []
        for (owner, each), slopes in zip(self.plan.targets, slope, strict=True):
            if owner != trial:
                continue
            parts = {name: float(s @ spread @ s) for name, s in (("alone", slopes * alone),
                                                                 ("shared", slopes * (free & ~alone)))}  # fmt: skip
            effects = float(((slopes * own) ** 2).sum() * trial_log_sd() ** 2)
            rows.append({"target": each.label(), **parts, "trial_effects": effects, "chance": chance_variance(each)})
        return pd.DataFrame(rows)

    def informed(self) -> pd.DataFrame:
        """Return what the data say of each free parameter: medians, and its width beside that of the prior."""
        import pandas as pd

        mean, sd = self.plan.prior
        last = self.parameters[-1]
        return pd.DataFrame([
            {
                "parameter": free.name, "level": free.level, "prior_median": free.prior_median,
                "prior_log_sd": free.prior_log_sd, "median": float(np.exp(np.median(last[:, k]))),
                "log_sd": float(last[:, k].std(ddof=1)), "width_left": float(last[:, k].std(ddof=1) / sd[k]),
                "moved_by_prior_sd": float((last[:, k].mean() - mean[k]) / sd[k]), "informed_by": free.informed_by,
            }
            for k, free in enumerate(free_parameters())
        ])  # fmt: skip


def calibrate(
    plan: Plan,
    folder: str | Path,
    *,
    workers: int = 2,
    progress: Callable[[int, int], Any] | None = None,
) -> Calibration:
    """Run a calibration, or go on with one; the same plan gives the same ensemble on any number of workers.

    Args:
        plan: how it is done.
        folder: where finished pieces are kept; it belongs to one plan.
        workers: processes.
        progress: is called with the pieces that are done and all pieces that are known to come.

    Raises:
        InputError: the folder belongs to another plan, or to other declared numbers, or cannot be used.
    """
    from livingdrug.body.twin import TwinBody

    about = {"plan": asdict(plan), "columns": plan.names, "model": TwinBody.fingerprint}
    runs = MemberRuns(plan, Pieces.open(folder, about), workers, progress)
    seen = np.array([observed(each) for _, each in plan.targets])
    mean, sd = plan.prior
    error = runs.same_patients(mean[None])[1]
    mode = find_mode(lambda sets: runs.same_patients(sets)[0], mean, sd, seen, error, plan.acts, tried=plan.tried)
    start = begin(plan.members, mean, sd, seed=plan.seed)

    def moved(theta: Array, line: Line, error: Array, farthest: float) -> tuple[Array, Array]:
        softened = soften(line, theta, seen, error)
        noisy = perturbed(seen, softened, plan.members, seed=plan.seed)
        return move(theta, start, sd, line, noisy, softened, farthest=farthest), softened

    theta, error = moved(start, mode.line, error, np.inf)
    course, said = [theta], []
    for step in range(plan.steps):
        predicted, error = runs.own_patients(step, theta)
        said.append(predicted)
        line = fit_line([mode.sets, *course], [mode.predicted, *said], plan.acts)
        theta, error = moved(theta, line, error, FARTHEST)
        course.append(theta)
    return Calibration(plan, mode, np.array([start, *course]), np.array(said), error)


def _natural(theta: Array) -> dict[str, Array]:
    """Return the free parameters of each member on their natural scale."""
    return {free.name: np.exp(theta[:, k]) for k, free in enumerate(free_parameters())}


def own_trial_effects(effects: Mapping[str, Array], trial: str) -> dict[str, Array]:
    """Return the effects that a calibration found for a trial, as settings; none if it took no part."""
    every = {f"trial_effect:{name}": effects.get(f"{trial}/{name}") for name in TRIAL_EFFECTS}
    return {name: values for name, values in every.items() if values is not None}


def fresh_trial_effects(members: int, seed: int, trial: str) -> dict[str, Array]:
    """Return new trial effects for a prediction, name -> shape (member,)."""
    z = normal(seed, np.arange(members), f"trial effects:{trial}", len(TRIAL_EFFECTS))
    return {f"trial_effect:{name}": trial_log_sd() * z[:, k] for k, name in enumerate(TRIAL_EFFECTS)}
