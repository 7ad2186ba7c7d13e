"""What sets of free parameters predict of the calibration trials, on the scale on which these are compared.

Every piece of work is one trial with a few sets. Finished pieces are kept, so that a run that was killed goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import SolveError
from livingdrug.trials.evidence import chance_variance, compared
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.pieces import Pieces, digest
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.replicates import draws
from livingdrug.trials.simulate import simulate_arm
from livingdrug.trials.targets import Target
from livingdrug.workers import in_processes

if TYPE_CHECKING:
    from livingdrug.trials.calibration import Plan

__all__ = ["MEMBERS_AT_ONCE", "MemberRuns", "member_settings", "pools"]

Array = NDArray[np.float64]
MEMBERS_AT_ONCE = 10
MOST_UNSOLVED = 0.01  # share of the infused
MODEL_ERROR = 0.1  # SD by which the model itself may miss any target, on the scale of comparison: assumed
SAME_FIRST = 400_000_001  # patients of the optimiser are nobody else's


@dataclass(frozen=True)
class _Task:
    """Some sets in one trial: patients of their own from ``first`` on, or all the ``same`` ones."""

    plan: Plan
    trial: str
    name: str
    sets: Array
    first: int
    same: bool
    store: Pieces


@dataclass
class MemberRuns:
    """Runs of all trials of a plan.

    Attributes:
        plan: of the calibration.
        store: finished pieces.
        workers: processes.
        progress: is called with the pieces that are done and all that are known to come.
        done: pieces.
        ahead: pieces that the members will need.
    """

    plan: Plan
    store: Pieces
    workers: int = 1
    progress: Callable[[int, int], Any] | None = None
    done: int = field(default=0, init=False)
    ahead: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.ahead = self.plan.steps * len(self.plan.trials) * len(_groups(self.plan.members))

    def own_patients(self, step: int, sets: Array) -> tuple[Array, Array]:
        """Return what all members predict with patients of their own, (member, target), and the targets' covariance."""
        plan = self.plan
        tasks = [
            _Task(
                plan, trial, f"step{step:02d}-{trial}-{group[0]:04d}", sets[group],
                1 + (step * plan.members + int(group[0])) * plan.patients, False, self.store,
            )
            for trial in plan.trials for group in _groups(plan.members)
        ]  # fmt: skip
        self.ahead -= len(tasks)
        return self._joined(tasks, {trial: np.arange(plan.members) for trial in plan.trials})

    def same_patients(self, sets: Array) -> tuple[Array, Array]:
        """Return the same for any sets; all have the same patients (common random numbers).

        Sets that differ in nothing that acts on a trial are run once there.
        """
        tasks, where = [], {}
        for trial, acts in self.plan.acts_on_trial.items():
            own, back = np.unique(np.where(acts, sets, 0.0), axis=0, return_inverse=True)
            where[trial] = back.reshape(-1)
            tasks += [
                _Task(
                    self.plan,
                    trial,
                    f"mode-{trial}-{digest(own[group])[:16]}",
                    own[group],
                    SAME_FIRST,
                    True,
                    self.store,
                )
                for group in _groups(len(own))
            ]
        return self._joined(tasks, where)

    def _joined(self, tasks: Sequence[_Task], where: Mapping[str, NDArray[np.intp]]) -> tuple[Array, Array]:
        """Return predictions of all sets, (set, target), from the rows that a trial has, and their covariance."""
        found: dict[int, tuple[Array, Array]] = {}
        until = self.done + len(tasks) + self.ahead
        for number, piece in in_processes(_piece, tasks, self.workers):
            found[number], self.done = piece, self.done + 1
            if self.progress:
                self.progress(self.done, until)
        predicted, error = [], []
        for trial, rows in where.items():
            parts = [found[k] for k, task in enumerate(tasks) if task.trial == trial]
            predicted.append(np.concatenate([values for values, _ in parts])[rows])
            correlation = np.mean([together for _, together in parts], axis=0)
            sd = np.sqrt([chance_variance(each) for name, each in self.plan.targets if name == trial])
            error.append(correlation * np.outer(sd, sd) + MODEL_ERROR**2 * np.eye(sd.size))
        return np.concatenate(predicted, axis=1), _in_blocks(error)


def _groups(size: int) -> list[NDArray[np.intp]]:
    return np.array_split(np.arange(size), max(1, -(-size // MEMBERS_AT_ONCE)))


def _in_blocks(error: Sequence[Array]) -> Array:
    size = sum(len(block) for block in error)
    whole, at = np.zeros((size, size)), 0
    for block in error:
        whole[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return whole


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


def _piece(task: _Task) -> tuple[Array, Array]:
    """Return what some sets predict of one trial, (set, target), and how chance moves its targets together."""
    kept = task.store.read(task.name, task.sets)
    if kept is not None:
        return kept
    plan, protocol = task.plan, Protocol.builtin(task.trial)
    settings = member_settings(plan, task.trial, task.sets)
    if task.same:
        each = [{name: values[k : k + 1] for name, values in settings.items()} for k in range(len(task.sets))]
        found = [pools(protocol, one, plan.same_patients, task.first, seed=plan.seed)[0] for one in each]
    else:
        found = pools(protocol, settings, plan.patients, task.first, seed=plan.seed)
    every = [target for owner, target in plan.targets if owner == task.trial]
    values = np.array([[_compared(pool, target, protocol) for target in every] for pool in found])
    everybody = found[0] if task.same else Outcomes.joined(found)
    result = values, _together(everybody, every, protocol, plan.seed)
    task.store.write(task.name, task.sets, result)
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
