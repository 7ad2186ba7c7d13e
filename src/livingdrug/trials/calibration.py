"""Calibration of one shared biology on six trials at once, and the ensemble of parameter sets that comes of it.

The free parameters (``population.free``) and one effect per trial and kind start as draws from their priors. At each
step every member of the ensemble simulates its own patients in every trial, and the smoother moves all members towards
what was reported. Trial effects are nuisance: they take part in the steps, and are drawn anew in every prediction.
Finished pieces are kept in a folder, so a killed calibration goes on where it stopped. Not for clinical use.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, SolveError, unknown_name
from livingdrug.population.diseases import disease
from livingdrug.population.free import TRIAL_EFFECTS, applies, free_parameters, trial_log_sd
from livingdrug.population.products import product
from livingdrug.storage import write_atomically
from livingdrug.streams import normal
from livingdrug.trials.evidence import chance_variance, compared, observed
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.replicates import draws
from livingdrug.trials.simulate import simulate_arm
from livingdrug.trials.smoother import Line, begin, fit_line, move, perturbed, soften
from livingdrug.trials.targets import Target, expanded, target_trials, targets
from livingdrug.workers import in_processes

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MEMBERS_AT_ONCE",
    "Calibration",
    "Plan",
    "calibrate",
    "fresh_trial_effects",
    "member_settings",
    "own_trial_effects",
    "pools",
]

Array = NDArray[np.float64]
MEMBERS_AT_ONCE = 10
BACK_AT_PRIOR = 0.85  # of the prior's SD, from which on a parameter counts as not informed
MOST_UNSOLVED = 0.01  # share of the infused
MODEL_ERROR = 0.1  # SD by which the model itself may miss any target, on the scale of comparison: assumed


@dataclass(frozen=True)
class Plan:
    """How a calibration is done.

    Attributes:
        members: of the ensemble.
        steps: of the smoother.
        patients: enrolled by each member in each trial at each step.
        seed: of everything.
        trials: that take part; the others are left out.
    """

    members: int = 100
    steps: int = 4
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


@dataclass(frozen=True, eq=False)
class Calibration:
    """The course of a calibration.

    Attributes:
        plan: how it was done.
        parameters: logarithms at the start and after each step, shape (step + 1, member, column).
        predicted: what each member predicted at each step, on the scale of comparison, (step, member, target).
        error: covariance of the errors of observation at the last step, shape (target, target).
    """

    plan: Plan
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
        return fit_line(list(self.parameters[:-1]), list(self.predicted), self.plan.acts)

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
        progress: is called with the pieces that are done and all pieces.

    Raises:
        InputError: the folder belongs to another plan, or to other declared numbers, or cannot be used.
    """
    store = _Pieces.open(folder, plan)
    every = [each for _, each in plan.targets]
    seen = np.array([observed(each) for each in every])
    mean, sd = plan.prior
    theta = start = begin(plan.members, mean, sd, seed=plan.seed)
    course, said, error = [theta], [], np.zeros((len(every), len(every)))
    groups = np.array_split(np.arange(plan.members), max(1, -(-plan.members // MEMBERS_AT_ONCE)))
    total, done = plan.steps * len(plan.trials) * len(groups), 0
    for step in range(plan.steps):
        tasks = [(plan, trial, step, group, theta[group], store) for trial in plan.trials for group in groups]
        found: dict[int, tuple[Array, Array]] = {}
        for number, piece in in_processes(_piece, tasks, workers):
            found[number], done = piece, done + 1
            if progress:
                progress(done, total)
        predicted, error = _joined(plan, [found[k] for k in range(len(tasks))], len(groups))
        said.append(predicted)
        line = fit_line(course, said, plan.acts)
        error = soften(line, theta, seen, error)
        noisy = perturbed(seen, error, plan.members, seed=plan.seed)
        theta = move(theta, start, sd, line, noisy, error)
        course.append(theta)
    return Calibration(plan, np.array(course), np.array(said), error)


def _natural(theta: Array) -> dict[str, Array]:
    """Return the free parameters of each member on their natural scale."""
    return {free.name: np.exp(theta[:, k]) for k, free in enumerate(free_parameters())}


def _joined(plan: Plan, pieces: Sequence[tuple[Array, Array]], groups: int) -> tuple[Array, Array]:
    """Return the predictions of all members, (member, target), and the covariance of the error of observation."""
    predicted, error, first = [], [], 0
    for trial in plan.trials:
        parts = pieces[first : first + groups]
        first += groups
        predicted.append(np.concatenate([values for values, _ in parts]))
        correlation = np.mean([together for _, together in parts], axis=0)
        sd = np.sqrt([chance_variance(each) for name, each in plan.targets if name == trial])
        error.append(correlation * np.outer(sd, sd) + MODEL_ERROR**2 * np.eye(sd.size))
    size = sum(block.shape[0] for block in error)
    whole, at = np.zeros((size, size)), 0
    for block in error:
        whole[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return np.concatenate(predicted, axis=1), whole


def member_settings(plan: Plan, trial: str, theta: Array) -> dict[str, Array]:
    """Return the settings of a trial, name -> shape (member,): free parameters, and this trial's effects."""
    found = {}
    for k, name in enumerate(plan.names):
        owner, _, effect = name.partition("/")
        if not effect:
            found[name] = np.exp(theta[:, k])
        elif owner == trial:
            found[f"trial_effect:{effect}"] = theta[:, k]
    return found


def pools(
    protocol: Protocol, settings: Mapping[str, Array], patients: int, first_id: int, *, seed: int, threads: int = 1
) -> list[Outcomes]:
    """Return the outcomes of each member's own patients; all are simulated together.

    Args:
        protocol: of a trial with one arm.
        settings: name -> shape (member,).
        patients: enrolled by each member.
        first_id: identifiers begin here.
        seed: of the patients.
        threads: of the solver.

    Raises:
        SolveError: more than a few patients were not solved to the end.
    """
    members = len(next(iter(settings.values())))
    ids = first_id + np.arange(members * patients)
    each = {name: np.repeat(values, patients) for name, values in settings.items()}
    found = simulate_arm(protocol, protocol.arms[0], ids, seed, each, threads=threads)
    _all_solved(found, protocol)
    return [found.take(np.arange(m * patients, (m + 1) * patients)) for m in range(members)]


def _all_solved(found: Outcomes, protocol: Protocol) -> None:
    lost, size = int((found["infused"] & ~found["solved"]).sum()), int(found["infused"].sum())
    if lost > MOST_UNSOLVED * size:
        raise SolveError(
            f"{protocol.label}: {lost} of {size} infused patients were not solved to the end; at most "
            f"{MOST_UNSOLVED:.0%} may be left so, since their later days are unknown. Look at the body or the settings"
        )


def _piece(task: tuple[Plan, str, int, NDArray[np.intp], Array, _Pieces]) -> tuple[Array, Array]:
    """Return what some members predict of one trial, (member, target), and how chance moves its targets together."""
    plan, trial, step, group, theta, store = task
    name = f"step{step:02d}-{trial}-{int(group[0]):04d}"
    kept = store.read(name, theta)
    if kept is not None:
        return kept
    protocol = Protocol.builtin(trial)
    first = 1 + (step * plan.members + int(group[0])) * plan.patients
    found = pools(protocol, member_settings(plan, trial, theta), plan.patients, first, seed=plan.seed)
    every = [each for owner, each in plan.targets if owner == trial]
    values = np.array([[_compared(pool, each, protocol) for each in every] for pool in found])
    result = values, _together(Outcomes.joined(found), every, protocol, plan.seed)
    store.write(name, theta, result)
    return result


def _compared(pool: Outcomes, target: Target, protocol: Protocol) -> float:
    from livingdrug.trials.targets import target_value

    return float(compared(target, target_value(pool, target, protocol)))


def _together(pool: Outcomes, every: Sequence[Target], protocol: Protocol, seed: int, count: int = 200) -> Array:
    """Return the correlation of a trial's targets over replicates of it, (target, target), a tenth drawn to none."""
    from livingdrug.trials.measures import samples_of

    rows = draws(
        pool,
        every[0].measure.model_copy(update={"among": ("enrolled",)}),
        protocol.size.enrolled,
        count=count,
        seed=seed,
    )
    follow = protocol.follow_up
    found = [compared(each, samples_of(pool, each.measure, rows, follow.clocks, follow.clock_from)) for each in every]
    table = np.ma.corrcoef(np.ma.masked_invalid(found))
    correlation = np.clip(np.nan_to_num(np.asarray(table.filled(0.0))), -1, 1)
    np.fill_diagonal(correlation, 1.0)
    return 0.9 * correlation + 0.1 * np.eye(len(every))


@dataclass(frozen=True)
class _Pieces:
    """Finished pieces of a calibration on disk; each says by the hash of its parameters to what it belongs."""

    folder: Path

    @classmethod
    def open(cls, folder: str | Path, plan: Plan) -> _Pieces:
        from livingdrug.body.twin import TwinBody

        path = Path(folder)
        about = json.dumps(
            {
                "plan": asdict(plan), "columns": plan.names, "model": TwinBody.fingerprint,
                "declared": _declared_numbers(),
            },
            sort_keys=True,
        )  # fmt: skip
        label = path / "calibration.json"
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not label.exists():
                write_atomically(label, about)
            same = json.loads(label.read_bytes()) == json.loads(about)
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: the folder cannot be used for a calibration: {error}") from error
        if not same:
            raise InputError(f"{folder}: this folder holds another calibration; choose another folder, or remove it")
        return cls(path)

    def read(self, name: str, theta: Array) -> tuple[Array, Array] | None:
        """Return a finished piece; None if there is none with these parameters, or its file is damaged."""
        try:
            content = io.BytesIO((self.folder / f"{name}.npz").read_bytes())
            with np.load(content, allow_pickle=False) as file:
                if str(file["hash"]) == _hash(theta):
                    return file["predicted"], file["correlation"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return None

    def write(self, name: str, theta: Array, piece: tuple[Array, Array]) -> None:
        content = io.BytesIO()
        np.savez_compressed(content, hash=_hash(theta), predicted=piece[0], correlation=piece[1])
        write_atomically(self.folder / f"{name}.npz", content.getvalue())


def _declared_numbers() -> str:
    """Return a hash of every declared number of the package: targets, trials, patients, rules of the clinic."""
    folder = Path(__file__).parents[1]
    every = sorted(folder.rglob("*.toml"), key=lambda path: path.relative_to(folder).as_posix())
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in every)).hexdigest()


def _hash(theta: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(theta).tobytes()).hexdigest()


def own_trial_effects(effects: Mapping[str, Array], trial: str) -> dict[str, Array]:
    """Return the effects that a calibration found for a trial, as settings; none if it took no part."""
    every = {f"trial_effect:{name}": effects.get(f"{trial}/{name}") for name in TRIAL_EFFECTS}
    return {name: values for name, values in every.items() if values is not None}


def fresh_trial_effects(members: int, seed: int, trial: str) -> dict[str, Array]:
    """Return new trial effects for a prediction, name -> shape (member,)."""
    z = normal(seed, np.arange(members), f"trial effects:{trial}", len(TRIAL_EFFECTS))
    return {f"trial_effect:{name}": trial_log_sd() * z[:, k] for k, name in enumerate(TRIAL_EFFECTS)}
