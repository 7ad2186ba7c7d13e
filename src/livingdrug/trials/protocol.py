"""A trial of the twin as one value: who is enrolled, what each arm does, how it is watched, and what is reported.

Definitions stand in ``definitions/*.toml``; every number has a source or is marked as assumed. Not for clinical use.

Example:
    >>> eliana = Protocol.builtin("eliana")
    >>> eliana.registration, eliana.size.infused, [arm.product for arm in eliana.arms]
    ('NCT02435849', 79, ['tisa_cel'])
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from livingdrug.declared import Declared, Number, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.population.products import DoseRule
from livingdrug.therapy.stated import Fixed, SourceKey, Stated, StatedValue, stated_values, within

__all__ = [
    "Arm", "Enrolment", "FollowUp", "Grading", "Protocol", "Registered", "Sampling", "Size", "Transplant", "Visits",
    "protocol_names", "registered_names",
]  # fmt: skip

Count = Annotated[int, Field(strict=True, ge=1, le=10_000_000)]
Day = Annotated[Number, Field(ge=0, le=20_000)]
Share = Annotated[Fixed, within("fraction", 0.0, 1.0)]
Days = Annotated[StatedValue, within("day", 0.0, 20_000.0)]
REGISTERED = "registered"
MOST_ARMS = 10
LEFT = ("death", "progression", "adverse event", "other")
"""Why a patient may leave while waiting."""
SCALES: Mapping[str, tuple[str, ...]] = {
    "crs": ("astct-crs", "lee", "penn", "mskcc", "cartox", "ctcae-v4-crs", "ctcae-v5-crs"),
    "neuro": ("astct-icans", "cartox-cres", "ctcae-v4-neuro", "ctcae-v5-neuro"),
}
"""Syndrome -> scales of ``clinic`` that grade it at rounds."""


def _rising(days: tuple[float, ...]) -> tuple[float, ...]:
    for before, after in pairwise(days):
        if after <= before:
            raise InputError(f"the days must rise, but {after:g} follows {before:g}")
    return days


def _plain(text: str) -> str:
    """Return a name that can be printed in a table and told from another: no line breaks, no invisible characters."""
    odd = next((sign for sign in text if unicodedata.category(sign)[0] == "C"), "")
    if odd:
        raise InputError(f"the character U+{ord(odd):04X} cannot be printed; take it out")
    if not text or text != " ".join(text.split()):
        raise InputError(f"a name is expected, without spaces at its ends or several in a row, got {text!r:.60}")
    return text


Name = Annotated[Text, Field(max_length=300), AfterValidator(_plain)]


def _known_reason(name: str) -> str:
    if name not in LEFT:
        raise InputError(unknown_name("reason to leave while waiting", name, LEFT))
    return name


def _real_date(text: str) -> str:
    try:
        return dt.date.fromisoformat(text).isoformat()
    except ValueError:
        raise InputError(f"{text!r:.40} is no date; write it as 2026-08-22") from None


Date = Annotated[Text, AfterValidator(_real_date)]
RisingDays = Annotated[tuple[Day, ...], Field(min_length=1, max_length=1_000), AfterValidator(_rising)]


class Size(Declared):
    """Patients of the real trial."""

    enrolled: Count
    infused: Count
    source: SourceKey = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.infused > self.enrolled:
            raise InputError(f"{self.infused} infused patients are more than {self.enrolled} enrolled")
        return self


class Arm(Declared):
    """One group of a trial: a product and how it is dosed, or a comparator.

    Attributes:
        share: of the patients who are enrolled or randomised.
        indication: of the product; it gives lymphodepletion, and the dose unless ``dose`` does.
        dose: the trial's own dose rule.
        comparator: name in ``comparators.toml``; such an arm has no product.
        crossover: share of the comparator's patients who get the other arm's treatment after an event.
    """

    name: Annotated[Name, Field(max_length=60)]
    product: Text = ""
    indication: Text = ""
    share: Annotated[Number, Field(gt=0, le=1)] = 1.0
    enrolled: Count | None = None
    dose: DoseRule | None = None
    comparator: Text = ""
    crossover: Share = Fixed(value=0.0, unit="fraction", note="no crossover")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.product) == bool(self.comparator):
            raise InputError(f"arm {self.name!r} needs either a product or a comparator")
        if self.comparator and (self.indication or self.dose):
            raise InputError(f"arm {self.name!r} is a comparator: it has no indication and no dose")
        if self.product and self.crossover.value:
            raise InputError(f"arm {self.name!r} has a product: crossover belongs to the comparator's arm")
        return self


class Enrolment(Declared):
    """From enrolment to infusion: how long it takes, and who is lost on the way.

    ``lost`` are shares of the enrolled over the trial's own waiting times; a longer wait loses more. Those times, for
    which the disease's burden holds too, are ``to_infusion``, or ``usual_wait`` where a plan asks for other times.
    """

    to_infusion: Annotated[StatedValue, within("day", 0.0, 2_000.0)]
    usual_wait: Annotated[StatedValue, within("day", 0.0, 2_000.0)] | None = None
    manufacturing_failure: Share
    lost: dict[Annotated[str, AfterValidator(_known_reason)], Share]
    bridging: Share = Fixed(value=0.0, unit="fraction", note="no bridging")
    conditioned: Share = Fixed(value=1.0, unit="fraction", note="lymphodepletion is given to all")
    held: Share = Fixed(value=0.8, unit="fraction", note="part of the tumour's growth that bridging stops: a guess")

    @model_validator(mode="after")
    def _some_are_left(self) -> Self:
        lost = self.manufacturing_failure.value + sum(share.value for share in self.lost.values())
        if lost >= 1:
            raise InputError(f"{lost:.0%} of the enrolled would be lost before the infusion; nobody is left")
        return self


class Grading(Declared):
    """Rule of management of the period, and the scales on which the trial graded."""

    rule: Text
    crs: Text
    neuro: Text
    also: tuple[Text, ...] = ()
    note: Text = ""


class Sampling(Declared):
    """How the trial measures CAR T cells in blood: days, limit, error, and the rule for half-lives.

    ``days`` are planned days after the infusion; a sample is taken up to ``window`` earlier or later, and up to a tenth
    of its day where that is more.
    """

    output: Text
    unit: Text
    days: RisingDays
    lloq: Fixed
    error: Annotated[Fixed, within("1", 0.0, 3.0)]
    window: Annotated[Fixed, within("day", 0.0, 30.0)] = Fixed(value=0.5, unit="day", note="a guess")
    half_life_points: Annotated[int, Field(strict=True, ge=3, le=50)] = 3
    half_life_fit: Annotated[Number, Field(ge=0, le=1)] = 0.8
    source: SourceKey = ""
    note: Text = ""


class Visits(Declared):
    """Days of the assessments and the window in which a response must come.

    A visit is up to ``window`` earlier or later than planned, up to a tenth of its day where that is more.
    ``between`` is the share of progressions that are noticed before the visit, somewhere after the one before.
    """

    days: RisingDays
    window: Annotated[Fixed, within("day", 0.0, 60.0)] = Fixed(value=4.0, unit="day", note="a guess")
    between: Share = Fixed(value=0.3, unit="fraction", note="a guess")
    response_by: Day = 20_000.0
    source: SourceKey = ""
    note: Text = ""


class FollowUp(Declared):
    """How long patients are watched, and how clocks of survival count.

    Attributes:
        days: follow-up after day 0 that each patient could have at the data cut.
        clocks: endpoint -> rule of censoring in ``clinic``.
        clock_from: where clocks begin that count from day 0.
    """

    horizon_days: Annotated[Day, Field(gt=0, le=10_000)]
    days: Days
    clocks: dict[str, Text]
    clock_from: Literal["infusion", "enrolment"] = "infusion"
    drop_out: Annotated[Fixed, within("1/year", 0.0, 10.0)] = Fixed(value=0.02, unit="1/year", note="a guess")


class Transplant(Declared):
    """Stem cell transplant of responders: how many, when, and what it does to the risk of relapse."""

    of_responders: Share
    day: Days = Fixed(value=90.0, unit="day", note="three months after the infusion: a guess")
    prevents: Share = Fixed(value=0.5, unit="fraction", note="half of the relapses to come: a guess")


def _few(arms: object) -> object:
    if isinstance(arms, list | tuple) and len(arms) > MOST_ARMS:
        raise InputError(f"at most {MOST_ARMS} arms, got {len(arms)}")
    return arms


class Registered(Declared):
    """What the registry's record said of a trial without results, and when.

    Attributes:
        status: of recruiting, in the registry's words.
        start, updated, snapshot: dates of the start, of the record's last change and of the copy that was read.
        primary: the primary endpoint in the registry's words.
        endpoint: the twin's endpoint that is nearest to it.
    """

    status: Text
    start: Date
    updated: Date
    snapshot: Date
    primary: Text
    endpoint: Text

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.updated > self.snapshot:
            raise InputError(f"updated: {self.updated} lies after the day of the copy, {self.snapshot}")
        return self


class Protocol(Declared):
    """A trial of the twin; see ``docs/how-to/trial-definition.md`` for every key.

    Attributes:
        disease: of ``population``; ``columns`` are the trial's own distributions instead of the disease's.
        label: the trial's name as it is printed.
        calibration: whether its results were used to calibrate the twin.
        registered: record of a trial that has no results yet.
        endpoints: names of what is reported; empty for all that the disease has.
    """

    name: Annotated[Text, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,60}$")]
    title: Name
    label: Annotated[Name, Field(max_length=60)]
    registration: Text = ""
    disease: Text
    eligibility: Text = ""
    phase: Text = ""
    calibration: bool = False
    registered: Registered | None = None
    columns: dict[str, StatedValue] = {}
    size: Size
    arms: Annotated[tuple[Arm, ...], Field(min_length=1), BeforeValidator(_few)]
    enrolment: Enrolment
    grading: Grading
    sampling: Sampling
    visits: Visits
    follow_up: FollowUp
    transplant: Transplant | None = None
    endpoints: Annotated[tuple[Text, ...], Field(max_length=300)] = ()
    assumptions: tuple[Text, ...] = ()
    sources: tuple[SourceKey, ...] = ()

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        from livingdrug.trials.protocol_checks import check

        check(self)
        return self

    @classmethod
    def builtin(cls, name: str) -> Protocol:
        """Return a trial that comes with the package; an unknown name is an InputError with the nearest ones."""
        known = [*protocol_names(), *registered_names()]
        if name not in known:
            raise InputError(unknown_name("trial of the twin", name, known))
        return _builtin(name)

    @classmethod
    def read(cls, path: str | Path) -> Protocol:
        """Read a trial from a TOML file; InputError names the file, the line, the key and the nearest allowed ones."""
        from livingdrug.trials.protocol_checks import with_line

        values = read_toml(path)
        try:
            return declare(cls, values, str(path))
        except InputError as error:
            raise InputError(with_line(str(error), path)) from None

    def arm(self, name: str = "") -> Arm:
        """Return an arm by name, the first one without a name; an unknown name is an InputError."""
        named = {arm.name: arm for arm in self.arms}
        if name and name not in named:
            raise InputError(unknown_name(f"arm of {self.name}", name, named))
        return named[name] if name else self.arms[0]

    def enrolled_in(self, arm: Arm) -> int:
        """Return how many patients the real trial put into an arm."""
        return arm.enrolled or max(1, round(self.size.enrolled * arm.share))

    @property
    def scales(self) -> Mapping[str, tuple[str, ...]]:
        """Syndrome -> scales that are graded, that of the trial first."""
        other = [name for name in self.grading.also if name not in (self.grading.crs, self.grading.neuro)]
        brain = [name for name in other if name in SCALES["neuro"]]
        return {
            "crs": (self.grading.crs, *(name for name in other if name not in brain)),
            "neuro": (self.grading.neuro, *brain),
        }

    def stated(self) -> Iterator[tuple[str, Stated]]:
        """Yield every stated number of the trial with its place."""
        return stated_values(self)


@lru_cache(maxsize=64)
def _builtin(name: str) -> Protocol:
    folder = f"{REGISTERED}/" if name in registered_names() else ""
    with resources.as_file(resources.files("livingdrug.trials") / "definitions" / f"{folder}{name}.toml") as path:
        return Protocol.read(path)


def protocol_names() -> list[str]:
    """Return the names of the published trials of the twin that come with the package.

    Example:
        >>> "juliet" in protocol_names()
        True
    """
    return _names_in("definitions")


def registered_names() -> list[str]:
    """Return the names of the registered trials without results that come with the package, to be predicted.

    Example:
        >>> len(registered_names()), Protocol.builtin("nct06464991").arms[0].product
        (10, 'eque_cel')
    """
    return _names_in(f"definitions/{REGISTERED}")


def _names_in(folder: str) -> list[str]:
    entries = resources.files("livingdrug.trials").joinpath(folder).iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))
