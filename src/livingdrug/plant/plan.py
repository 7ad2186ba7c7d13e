"""A plan of a plant: who comes, which steps each patient's cells pass, and what is there to do them.

Example:
    >>> plan = FleetPlan.builtin("standard")
    >>> [step.name for step in plan.steps][:3]
    ['consultation', 'collection', 'shipping']
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources as packaged
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from livingdrug.declared import Declared, Number, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.plant.risk import WaitingRisk, named_risk
from livingdrug.therapy.stated import Fixed, Stated, StatedValue, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from livingdrug.plant.result import FleetResult

__all__ = ["Arrivals", "Failure", "FleetPlan", "Group", "Outage", "Resource", "Step", "plan_names"]

Name = Annotated[Text, Field(pattern=r"^[a-z][a-z0-9 _-]{0,40}$")]
Hour = Annotated[Number, Field(ge=0, le=24)]
Rule = Literal["first come", "urgency", "survival"]
FREE = Fixed(value=0.0, unit="USD", note="no cost is stated")
NO_TIME = Fixed(value=0.0, unit="day", note="no work by hand is stated")


class Arrivals(Declared):
    """How often patients are referred; ``swing`` is the seasonal change as a share of the mean rate."""

    per_day: Annotated[Fixed, within("1/day", above=True)]
    pattern: Literal["poisson", "even"] = "poisson"
    swing: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    peak_day: Annotated[Number, Field(ge=0, le=365.25)] = 0.0


class Group(Declared):
    """A kind of patients: its share, its urgency (0 comes first) and the factor on its hazards."""

    name: Name
    share: Annotated[Number, Field(gt=0, le=1)] = 1.0
    urgency: Annotated[int, Field(strict=True, ge=0, le=100)] = 0
    risk: Annotated[StatedValue, within("1", above=True)] = Fixed(value=1.0, note="as the plan's hazards")


class Resource(Declared):
    """A number of equal units that patients' steps hold: slots, couriers, suites, operators, places in a laboratory.

    Attributes:
        week: on which days a step may begin.
        opens, closes: the hours between which it may begin; day 0 is a Monday.
        most_waiting: who comes when so many wait is turned away; without it all wait.
        cost_per_day: of one unit, used or not.
    """

    name: Name
    units: Annotated[int, Field(strict=True, ge=1, le=100_000)]
    week: Literal["every day", "weekdays"] = "every day"
    opens: Hour = 0.0
    closes: Hour = 24.0
    most_waiting: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] | None = None
    cost_per_day: Annotated[Fixed, within("USD")] = FREE

    @model_validator(mode="after")
    def _opens(self) -> Self:
        if self.closes <= self.opens:
            raise InputError(f"closes must be after opens = {self.opens:g} h and at most 24 h, got {self.closes:g}")
        return self

    @property
    def open_days(self) -> float:
        """Length of a working day, in days."""
        return (self.closes - self.opens) / 24


class Failure(Declared):
    """What can go wrong in a step: its chance, and to which step the patient then goes back how many times."""

    reason: Text
    chance: Annotated[StatedValue, within("fraction", 0.0, 1.0)]
    back_to: Text = ""
    most: Annotated[int, Field(strict=True, ge=0, le=20)] = 1


class Step(Declared):
    """One step of the journey; it holds a unit of ``needs`` from its begin to its end.

    Attributes:
        by: resource whose unit works by hand at the begin (``hands_first``) and at the end (``hands_last``).
        process: duration and failure may be given by the caller instead (``FleetPlan.run(process=...)``).
        cost: each time that the step is done.
    """

    name: Name
    days: Annotated[StatedValue, within("day")]
    needs: Text = ""
    by: Text = ""
    hands_first: Annotated[Fixed, within("day")] = NO_TIME
    hands_last: Annotated[Fixed, within("day")] = NO_TIME
    failures: Annotated[tuple[Failure, ...], Field(max_length=10)] = ()
    process: bool = False
    cost: Annotated[StatedValue, within("USD")] = FREE


class Outage(Declared):
    """Units that are out of work: from a given day, or so often a year by chance; work under way is finished first."""

    needs: Text
    units: Annotated[int, Field(strict=True, ge=1)] = 1
    days: Annotated[StatedValue, within("day")]
    start_day: Annotated[Number, Field(ge=0, le=100_000)] | None = None
    per_year: Annotated[Number, Field(gt=0, le=366)] | None = None

    @model_validator(mode="after")
    def _when(self) -> Self:
        if (self.start_day is None) == (self.per_year is None):
            raise InputError("exactly one of start_day and per_year is needed")
        return self


class FleetPlan(Declared):
    """A plant and its patients.

    Attributes:
        rule: who is served next: ``first come``; ``urgency``, by group; or ``survival``, who loses most by one more
            day, as known when joining the queue (needs ``risk``).
        too_ill_per_day: hazard of becoming too ill for the therapy before the infusion.
        risk: hazard of death while waiting and after the infusion; ``tully2019`` names the published one.
        vein_step: the collection; vein-to-vein time runs from its begin to the infusion.
    """

    name: Annotated[Text, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,60}$")]
    title: Text
    description: Text = ""
    arrivals: Arrivals
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=50)]
    resources: Annotated[tuple[Resource, ...], Field(max_length=50)] = ()
    groups: Annotated[tuple[Group, ...], Field(min_length=1, max_length=50)] = (Group(name="all"),)
    outages: Annotated[tuple[Outage, ...], Field(max_length=100)] = ()
    rule: Rule = "first come"
    too_ill_per_day: Annotated[Fixed, within("1/day")] = Fixed(value=0.0, unit="1/day", note="nobody becomes too ill")
    risk: Annotated[WaitingRisk | None, BeforeValidator(named_risk)] = None
    vein_step: Text = ""
    assumptions: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for what in ("steps", "resources", "groups"):
            _once(what, [part.name for part in getattr(self, what)])
        shares = sum(group.share for group in self.groups)
        if abs(shares - 1) > 1e-9:
            raise InputError(f"groups: the shares must add up to 1, got {shares:g}")
        if self.rule == "survival" and self.risk is None:
            raise InputError("rule 'survival' needs the table [risk], which says what a day of waiting costs")
        if self.vein_step and self.vein_step not in self._names():
            raise InputError(f"vein_step: {unknown_name('step', self.vein_step, self._names())}")
        if sum(step.process for step in self.steps) > 1:
            raise InputError("steps: at most one step can be the process that the caller gives")
        for place, step in enumerate(self.steps):
            self._check_step(place, step)
        by_hand = {step.by for step in self.steps}
        for place, step in enumerate(self.steps):
            if step.by and step.needs in by_hand:
                raise InputError(
                    f"steps.{place} ({step.name}): {step.needs!r} works by hand in another step, so it cannot be held "
                    f"while waiting for {step.by!r}: the two steps could block each other; use two resources"
                )
        for place, outage in enumerate(self.outages):
            self._check_outage(f"outages.{place}", outage)
        return self

    def _names(self) -> list[str]:
        return [step.name for step in self.steps]

    def _check_step(self, place: int, step: Step) -> None:
        at = f"steps.{place} ({step.name})"
        for field in ("needs", "by"):
            if getattr(step, field):
                self.resource(getattr(step, field), f"{at}.{field}")
        if step.by and step.by == step.needs:
            raise InputError(f"{at}.by: the step already holds a unit of {step.needs!r}; a second one could never come")
        for field in ("hands_first", "hands_last"):
            hands = getattr(step, field).value
            if hands and not step.by:
                raise InputError(f"{at}.{field}: {hands:g} day of work by hand needs a resource in 'by'")
            shift = self.resource(step.by, at).open_days if step.by else 1.0
            if hands > shift:
                raise InputError(f"{at}.{field}: must fit into a shift of {shift:g} day of {step.by!r}, got {hands:g}")
        for failure in step.failures:
            if failure.back_to and failure.back_to not in self._names()[: place + 1]:
                known = unknown_name("step so far", failure.back_to, self._names()[: place + 1])
                raise InputError(f"{at}: back_to: {known}")

    def _check_outage(self, at: str, outage: Outage) -> None:
        units = self.resource(outage.needs, f"{at}.needs").units
        if outage.units > units:
            raise InputError(f"{at}.units: must be 1 to {units}, the units of {outage.needs!r}; got {outage.units}")

    def resource(self, name: str, place: str = "") -> Resource:
        """Return a resource by its name; an unknown one is an InputError with the nearest ones."""
        found = {resource.name: resource for resource in self.resources}
        if name not in found:
            raise InputError(unknown_name("resource", name, found, place=place))
        return found[name]

    @classmethod
    def builtin(cls, name: str) -> FleetPlan:
        """Return a plan that comes with the package; an unknown name is an InputError with the nearest ones."""
        if name not in plan_names():
            raise InputError(unknown_name("built-in plan", name, plan_names()))
        with packaged.as_file(packaged.files("livingdrug.plant") / "builtin" / f"{name}.toml") as path:
            return declare(cls, read_toml(path), f"{name}.toml")

    @classmethod
    def read(cls, path: str | Path) -> FleetPlan:
        """Read a plan from a TOML file; InputError names the file, the key and the nearest allowed ones."""
        return declare(cls, read_toml(path), str(path))

    def with_(self, **changes: Any) -> FleetPlan:
        """Return the plan with some fields changed, and checked again.

        Example:
            >>> FleetPlan.builtin("standard").with_(rule="urgency").rule
            'urgency'
        """
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | changes)

    def stated(self) -> Iterable[tuple[str, Stated]]:
        """Yield every stated number of the plan with its place."""
        from livingdrug.therapy.stated import stated_values

        return stated_values(self)

    def run(
        self,
        patients: int = 10_000,
        seed: int = 1,
        *,
        process: Callable[[Any, int], tuple[Any, Any]] | None = None,
        arrivals: Any = None,
        progress: Callable[[int, int], Any] | None = None,
    ) -> FleetResult:
        """Simulate the plan until every patient is infused or lost.

        Args:
            patients: how many are referred, 1 to 1,000,000; ids 1 to ``patients`` in the order of their referral.
            seed: of all random streams; two plans with the same seed share the luck of their patients.
            process: called as ``process(ids, seed)`` for each attempt (with its own seed); returns the days of the
                step marked ``process`` and whether it failed, shape (n,) each. A failed batch goes the way of the
                step's first failure.
            arrivals: days of the referrals, rising, shape (n,), instead of those of the plan.
            progress: called with (patients done, patients in all).

        Raises:
            InputError: a number cannot be used.
            MissingExtra: SimPy is not installed.
        """
        from livingdrug.plant.fleet import run

        return run(self, patients, seed, process=process, arrivals=arrivals, progress=progress)


def plan_names() -> list[str]:
    """Return the names of the plans that come with the package.

    Example:
        >>> plan_names()
        ['point-of-care', 'standard']
    """
    folder = packaged.files("livingdrug.plant") / "builtin"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _once(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{what}: the name {name!r} stands there twice; every name must be different")
