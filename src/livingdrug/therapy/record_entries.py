"""What a batch record can hold: the kinds of entries, each a frozen set of checked values.

People, places and devices appear as codes; there is no field for a patient's name, and texts are short and printable.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from livingdrug.declared import Declared, Number, declare
from livingdrug.errors import InputError, unknown_name

__all__ = ["ENTRIES", "Correction", "Deviation", "Entry", "HandOver", "Infusion", "Interruption", "LabelCheck",
           "Material", "Opened", "Reconciliation", "ReleaseDecision", "Signed", "Step", "TestResult", "Value",
           "entry_of", "moment"]  # fmt: skip

MOMENT = "%Y-%m-%dT%H:%M:%SZ"
LARGEST_WHOLE = 2**53
UNITS_WITH_ENDS = {
    "fraction": (0.0, 1.0), "percent": (0.0, 100.0), "cell": (0.0, 1e15), "cell/kg": (0.0, 1e15), "mL": (0.0, 1e6),
    "L": (0.0, 1e4), "day": (0.0, 3650.0), "degC": (-273.15, 200.0), "copy/cell": (0.0, 1e6), "kg": (0.0, 1000.0),
    "1/uL": (0.0, 1e8), "USD": (0.0, 1e12), "mmol/L": (0.0, 1e4), "EU/mL": (0.0, 1e9), "1": (-1e300, 1e300),
}  # fmt: skip
"""Units that a record knows, with the smallest and the largest value that can be."""


def moment(text: str) -> datetime:
    """Return the time that a text such as ``2026-01-05T08:30:00Z`` says; anything else is an InputError."""
    try:
        found = datetime.strptime(text, MOMENT).replace(tzinfo=UTC)
    except (TypeError, ValueError) as error:
        raise InputError(f"a time must look like 2026-01-05T08:30:00Z (UTC), got {text!r:.40}") from error
    if found.strftime(MOMENT) != text or found.year < 1990:
        raise InputError(f"a time must look like 2026-01-05T08:30:00Z (UTC, from 1990), got {text!r:.40}")
    return found


def _moment(text: str) -> str:
    moment(text)
    return text


def _code(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,63}", text):
        raise InputError("a code has 1 to 64 letters, digits or . _ : / + - and begins with a letter or digit")
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise InputError("a text must be one line of printable characters")
    return text


def _date(text: str) -> str:
    _moment(f"{text}T00:00:00Z")
    return text


def _unit(text: str) -> str:
    if text not in UNITS_WITH_ENDS:
        raise InputError(unknown_name("unit of a record", text, UNITS_WITH_ENDS))
    return text


Moment = Annotated[str, Field(strict=True), AfterValidator(_moment)]
Date = Annotated[str, Field(strict=True), AfterValidator(_date)]
Code = Annotated[str, Field(strict=True), AfterValidator(_code)]
Words = Annotated[str, Field(strict=True, max_length=500), AfterValidator(_printable)]
Said = Annotated[str, Field(strict=True, min_length=1, max_length=500), AfterValidator(_printable)]
Unit = Annotated[str, Field(strict=True), AfterValidator(_unit)]
WholeCells = Annotated[int, Field(strict=True, ge=0, lt=LARGEST_WHOLE)]


class Value(Declared):
    """A value as planned and as it was: unit, planned value, allowed range, actual value."""

    name: Said
    unit: Unit
    planned: Number | None = None
    least: Number | None = None
    most: Number | None = None
    actual: Number | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        least, most = UNITS_WITH_ENDS[self.unit]
        for kind in ("planned", "least", "most", "actual"):
            value = getattr(self, kind)
            if value is not None and not least <= value <= most:
                raise InputError(f"{self.name} ({kind}) must be from {least:g} to {most:g} {self.unit}, got {value:g}")
        return self

    @property
    def outside(self) -> bool:
        """Whether the actual value lies outside the allowed range."""
        if self.actual is None:
            return False
        return (self.least is not None and self.actual < self.least) or (
            self.most is not None and self.actual > self.most
        )


class Entry(Declared):
    """What all entries have: when it happened, and who says so (a code)."""

    kind: ClassVar[str] = ""
    at: Moment
    by: Code


class Opened(Entry):
    """The record begins: product, process, donations that belong to this therapy, and whether it is simulated."""

    kind: ClassVar[str] = "opened"
    product: Said
    process: Words = ""
    scheme: Said
    donations: Annotated[tuple[Code, ...], Field(max_length=20)] = ()
    simulated: bool = False


class HandOver(Entry):
    """The cells pass from one to another: who, where, when, at which temperature, label checked or not."""

    kind: ClassVar[str] = "hand_over"
    item: Said
    giver: Code
    taker: Code
    place: Code
    temperature: Value
    label_matches: bool


STEPS = ("collection", "engineering", "multiplication", "harvest", "wash", "freezing", "thawing")


class Step(Entry):
    """A step of the process, from start to end, with its equipment, and values as planned and as they were."""

    kind: ClassVar[str] = "step"
    step: Said
    ended: Moment
    equipment: Annotated[tuple[Code, ...], Field(max_length=50)] = ()
    values: Annotated[tuple[Value, ...], Field(max_length=100)] = ()

    @field_validator("step")
    @classmethod
    def _known(cls, step: str) -> str:
        if step not in STEPS:
            raise InputError(unknown_name("step", step, STEPS))
        return step

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if moment(self.ended) < moment(self.at):
            raise InputError(f"{self.step}: ended is {self.ended}, allowed {self.at} (its start) or later")
        return self


class Material(Entry):
    """A material that was used: lot and expiry date."""

    kind: ClassVar[str] = "material"
    name: Said
    lot: Code
    expires: Date


class TestResult(Entry):
    """A result of a test in process or at release; ``number`` of the allowed range, or found or not found."""

    kind: ClassVar[str] = "test"
    test: Said
    method: Words = ""
    acceptance: Words = ""
    result: Value
    passes: bool
    for_release: bool = True
    __test__: ClassVar[bool] = False  # not a test of pytest's


class Reconciliation(Entry):
    """Yield of a step in whole cells: cells in = cells out + losses, exactly."""

    kind: ClassVar[str] = "reconciliation"
    step: Said
    cells_in: WholeCells
    cells_out: WholeCells
    losses: Annotated[dict[Said, WholeCells], Field(max_length=50)] = {}

    @model_validator(mode="after")
    def _balances(self) -> Self:
        found = self.cells_out + sum(self.losses.values())
        if found != self.cells_in:
            raise InputError(
                f"{self.step}: cells in must be cells out + losses, got {self.cells_in} in and {found} accounted for"
            )
        return self


class Deviation(Entry):
    """Something that was not as planned: what, how it was judged, what was done; the entry that it concerns."""

    kind: ClassVar[str] = "deviation"
    concerns: Annotated[int, Field(strict=True, ge=1)] | None = None
    what: Said
    judged: Literal["minor", "major", "critical"]
    action: Words = ""


class Signed(Declared):
    """A person's signature: code of the person, what it means, when, their public key and the signature itself."""

    by: Code
    meaning: Said
    at: Moment
    public_key: Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]
    signature: Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{128}$")]


class ReleaseDecision(Entry):
    """The decision on the product, with at least one signature."""

    kind: ClassVar[str] = "release_decision"
    decision: Literal["released", "released under exception", "rejected"]
    reasons: Annotated[tuple[Said, ...], Field(max_length=50)] = ()
    open_tests: Annotated[tuple[Said, ...], Field(max_length=50)] = ()
    signatures: Annotated[tuple[Signed, ...], Field(min_length=1, max_length=10)]


class LabelCheck(Entry):
    """The labels of bag and patient are compared, at the bedside or at a change of hands."""

    kind: ClassVar[str] = "label_check"
    place: Code
    second_person: Code
    matches: bool


class Infusion(Entry):
    """The infusion is confirmed: living CAR T cells given, volume, place."""

    kind: ClassVar[str] = "infusion"
    place: Code
    cells: WholeCells
    volume: Value


class Correction(Entry):
    """An earlier entry is put right; it stays as it is, and this entry says what holds instead."""

    kind: ClassVar[str] = "correction"
    corrects: Annotated[int, Field(strict=True, ge=1)]
    reason: Said
    now: Said


class Interruption(Entry):
    """Writing was interrupted: bytes of an unfinished line that were cut off, with their SHA-256."""

    kind: ClassVar[str] = "interruption"
    cut_bytes: Annotated[int, Field(strict=True, ge=0)]
    cut_sha256: Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]
    what: Said


ENTRIES: dict[str, type[Entry]] = {
    kind.kind: kind
    for kind in (Opened, HandOver, Step, Material, TestResult, Reconciliation, Deviation, ReleaseDecision, LabelCheck,
                 Infusion, Correction, Interruption)
}  # fmt: skip
"""Kind as it stands in the file -> type."""


def entry_of(kind: object, data: Any, place: str) -> Entry:
    """Return the entry of a kind from its values; what does not fit is an InputError that begins with the place."""
    if not isinstance(kind, str) or kind not in ENTRIES:
        raise InputError(unknown_name("kind of entry", kind, ENTRIES, place=place))
    return declare(ENTRIES[kind], data, place)
