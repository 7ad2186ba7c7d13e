"""A trial as one value: who is enrolled, what each arm does, how it is followed, what was published.

Example:
    >>> trial = Trial.builtin("kimmel-zuma-1")
    >>> trial.registration, trial.size
    ('NCT02348216', 101)
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from livingdrug.declared import Declared, Number, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.population import Population
from livingdrug.therapy.journey import Journey
from livingdrug.therapy.stated import Fixed, SourceKey, Stated, stated_values, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from livingdrug.trials.outcome import Outcome

__all__ = ["Arm", "FollowUp", "Published", "PublishedCure", "PublishedCurve", "Response", "Trial", "trial_names"]

Mark = Literal["read", "computed", "recalled", "assumed"]
Count = Annotated[int, Field(strict=True, ge=1, le=10_000_000)]
Day = Annotated[Number, Field(ge=0, le=100_000)]
Share = Annotated[Number, Field(ge=0, le=1)]


def _rising(days: tuple[float, ...]) -> tuple[float, ...]:
    if any(b <= a for a, b in pairwise(days)):
        raise InputError("the days must rise")
    return days


Days = Annotated[tuple[Day, ...], AfterValidator(_rising)]


class Arm(Declared):
    """One group of a trial and the journey that its patients make."""

    name: Text
    journey: Journey


class FollowUp(Declared):
    """What is looked at after the infusion, and when a patient counts as progressed or cured."""

    horizon_days: Annotated[Day, Field(gt=0)]
    outputs: Annotated[tuple[Text, ...], Field(min_length=1, max_length=100)]
    car_t: Text
    tumour: Text
    tumour_state: Text
    baseline: Text
    progression: Annotated[Fixed, within("1")]
    days: Annotated[Days, Field(max_length=1_000)] = ()

    @model_validator(mode="after")
    def _outputs_are_kept(self) -> Self:
        for name in (self.car_t, self.tumour):
            if name not in self.outputs:
                raise InputError(unknown_name("output of the follow-up", name, self.outputs))
        if self.days and self.days[-1] > self.horizon_days:
            raise InputError(f"day {self.days[-1]:g} lies after the horizon of {self.horizon_days:g} days")
        return self


class Response(Declared):
    """How a response is read from the tumour volume: the best of the assessments before progression."""

    days: Annotated[Days, Field(min_length=1, max_length=1_000)]
    complete_below: Annotated[Fixed, within("mL")]
    partial_fraction: Annotated[Fixed, within("fraction", 0.0, 1.0)]


class Published(Declared):
    """A published number that is shown beside the simulated one; ``endpoint`` names how the latter is computed."""

    endpoint: Text
    label: Text
    unit: Text = "fraction"
    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    patients: Count | None = None
    output: Text = ""
    day: Day | None = None
    response: tuple[Literal["CR", "PR", "SD", "PD"], ...] = ()
    source: SourceKey
    mark: Mark = "read"
    note: Text = ""


class PublishedCurve(Declared):
    """A published survival curve as points (day, share)."""

    day: Days
    share: tuple[Share, ...]
    patients: Count
    source: SourceKey
    note: Text = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.day) != len(self.share) or len(self.day) < 2:
            raise InputError(
                f"a curve needs at least two points, got {len(self.day)} days and {len(self.share)} shares"
            )
        if any(b > a for a, b in pairwise(self.share)):
            raise InputError("the shares of a survival curve must not rise")
        return self


class PublishedCure(Declared):
    """A published probability of cure for one setting of the columns, run again with exactly that setting."""

    label: Text
    setting: dict[str, Number]
    value: Share
    runs: Count
    source: SourceKey
    note: Text = ""


class Trial(Declared):
    """A clinical trial: population, arms, follow-up, response, and what was published of it.

    Attributes:
        size: infused patients of the published trial; intervals are those of a trial of this size.
        model: name of the model that gives the course.
    """

    name: Annotated[Text, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,60}$")]
    title: Text
    registration: Text = ""
    description: Text = ""
    enrolled: Count
    infused: Count
    population: Population
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, max_length=1)]  # arms beside each other: a later trial
    follow_up: FollowUp
    response: Response | None = None
    published: Annotated[tuple[Published, ...], Field(max_length=1_000)] = ()
    published_survival: PublishedCurve | None = None
    published_cures: tuple[PublishedCure, ...] = ()
    assumptions: tuple[Text, ...] = ()
    sources: tuple[SourceKey, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        from livingdrug.trials.endpoints import ENDPOINTS

        if self.infused > self.enrolled:
            raise InputError(f"{self.infused} infused patients are more than {self.enrolled} enrolled")
        if self.follow_up.baseline not in self.population.columns:
            raise InputError(unknown_name("column of the population", self.follow_up.baseline, self.population.columns))
        for number, row in enumerate(self.published):
            if row.endpoint not in ENDPOINTS:
                raise InputError(f"published.{number}: {unknown_name('endpoint', row.endpoint, ENDPOINTS)}")
            self._check_day(f"published.{number}", row)
        needed = {link.column for arm in self.arms for link in arm.journey.infusion.links} | {self.follow_up.baseline}
        for number, cure in enumerate(self.published_cures):
            missing = sorted(needed - cure.setting.keys())
            if missing:
                raise InputError(f"published_cures.{number}.setting: the column {missing[0]!r} is missing")
        if self.response and self.response.days[-1] > self.follow_up.horizon_days:
            raise InputError(f"response: day {self.response.days[-1]:g} lies after the horizon")
        return self

    def _check_day(self, place: str, row: Published) -> None:
        if row.day is not None and row.day > self.follow_up.horizon_days:
            raise InputError(f"{place}: day {row.day:g} lies after the horizon of {self.follow_up.horizon_days:g} days")
        if row.endpoint == "output_on_day" and row.day is None:
            raise InputError(f"{place}: the endpoint output_on_day needs a day")
        if row.endpoint == "output_on_day" and row.output not in self.follow_up.outputs:
            raise InputError(f"{place}: {unknown_name('output of the follow-up', row.output, self.follow_up.outputs)}")
        if row.endpoint == "progression_free_on_day" and row.day is None:
            raise InputError(f"{place}: the endpoint progression_free_on_day needs a day")
        if row.endpoint == "response" and (not row.response or self.response is None):
            raise InputError(f"{place}: the endpoint response needs its grades and the table [response]")

    @property
    def size(self) -> int:
        """Infused patients of the published trial."""
        return self.infused

    @property
    def horizon_days(self) -> float:
        """Last day of the follow-up."""
        return self.follow_up.horizon_days

    @property
    def model(self) -> str:
        """Name of the model that gives the course."""
        return self.arms[0].journey.infusion.model

    @classmethod
    def builtin(cls, name: str) -> Trial:
        """Return a trial that comes with the package; an unknown name is an InputError with the nearest ones."""
        if name not in trial_names():
            raise InputError(unknown_name("built-in trial", name, trial_names()))
        with resources.as_file(resources.files("livingdrug.trials") / "builtin" / f"{name}.toml") as path:
            return declare(cls, read_toml(path), f"{name}.toml")

    @classmethod
    def read(cls, path: str | Path) -> Trial:
        """Read a trial from a TOML file; InputError names the file, the line, the key and the nearest allowed ones."""
        from livingdrug.trials.protocol_checks import with_line

        values = read_toml(path)
        try:
            return declare(cls, values, str(path))
        except InputError as error:
            raise InputError(with_line(str(error), path)) from None

    def stated(self) -> Iterator[tuple[str, Stated]]:
        """Yield every stated number of the trial with its place."""
        return stated_values(self)

    def run(
        self,
        patients: int = 10_000,
        seed: int = 1,
        folder: str | Path | None = None,
        progress: Callable[[int, int], Any] | None = None,
        baseline: str | Path | None = None,
        *,
        threads: int | None = None,
        block: int = 2_000,
    ) -> Outcome:
        """Simulate the trial.

        Args:
            patients: enrolled patients, 1 or more.
            seed: of all random streams; same seed, same outcome to the last bit, for any block or threads.
            folder: where finished blocks are kept; a run that was interrupted continues there.
            progress: called with (patients done, patients in all) after each block.
            baseline: CSV file of measured values that replace the distribution of the baseline tumour volume.
            threads: of the solver.
            block: patients that are solved together.

        Raises:
            InputError: a number or a file cannot be used, or the folder belongs to another run.
            LivingDrugError: a block could not be written, e.g. because the disk is full.
        """
        from livingdrug.trials.run import run

        return run(self, patients, seed, folder, progress, baseline, threads=threads, block=block)


def trial_names() -> list[str]:
    """Return the names of the trials that come with the package.

    Example:
        >>> trial_names()
        ['kimmel-zuma-1']
    """
    folder = resources.files("livingdrug.trials") / "builtin"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
