"""A quantity of interest: what reduces the course of an output to one number, written in a few words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["FORMS", "Quantity", "output_unit", "quantities_of", "quantity"]

FORMS = (
    "OUTPUT at DAY",
    "max OUTPUT",
    "min OUTPUT",
    "day of max OUTPUT",
    "day of min OUTPUT",
    "auc OUTPUT FROM_DAY TO_DAY",
    "day OUTPUT above LEVEL [else DAY]",
    "day OUTPUT below LEVEL [else DAY]",
)
_NUMBER = r"(-?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)"
_PATTERNS = {
    "value": rf"(?P<output>\w+) at {_NUMBER}",
    "max": r"max (?P<output>\w+)",
    "min": r"min (?P<output>\w+)",
    "day of max": r"day of max (?P<output>\w+)",
    "day of min": r"day of min (?P<output>\w+)",
    "auc": rf"auc (?P<output>\w+) {_NUMBER} {_NUMBER}",
    "above": rf"day (?P<output>\w+) above {_NUMBER}(?: else {_NUMBER})?",
    "below": rf"day (?P<output>\w+) below {_NUMBER}(?: else {_NUMBER})?",
}


@dataclass(frozen=True)
class Quantity:
    """One number taken from the course of an output; made by :func:`quantity`.

    Attributes:
        output: name of an output or state.
        kind: ``value``, ``max``, ``min``, ``day of max``, ``day of min``, ``auc``, ``above`` or ``below``.
        numbers: the day of a value; first and last day of an area; level of a crossing and, if it was given, the day
            that stands for "never".
    """

    output: str
    kind: str
    numbers: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The words that make this quantity again."""
        numbers = [_written(number) for number in self.numbers]
        if self.kind == "value":
            return f"{self.output} at {numbers[0]}"
        if self.kind in ("above", "below"):
            return f"day {self.output} {self.kind} " + " else ".join(numbers)
        return " ".join([self.kind, self.output, *numbers])

    @property
    def last_day(self) -> float:
        """The day up to which the course must be known at least."""
        return max(self.numbers) if self.kind in ("value", "auc") else 0.0

    def unit(self, model: type[Model]) -> str:
        """Return the unit of the number; InputError for an output that the model lacks."""
        unit = output_unit(model, self.output)
        if self.kind in ("value", "max", "min"):
            return unit
        return "day" if self.kind != "auc" else ("day" if unit == "1" else f"{unit}*day")


def quantity(words: str | Quantity) -> Quantity:
    """Return the quantity that the words describe.

    Args:
        words: one of ``OUTPUT at DAY``, ``max OUTPUT``, ``min OUTPUT``, ``day of max OUTPUT``, ``day of min OUTPUT``,
            ``auc OUTPUT FROM_DAY TO_DAY``, ``day OUTPUT above LEVEL`` and ``day OUTPUT below LEVEL``. Levels are in
            the output's unit. A level that is never reached gives no number, unless ``else DAY`` says which to take.

    Raises:
        InputError: the words have none of these forms, or a day is negative or out of order.

    Example:
        >>> quantity("auc car_t_blood 0 28")
        Quantity(output='car_t_blood', kind='auc', numbers=(0.0, 28.0))
    """
    if isinstance(words, Quantity):
        return words
    text = " ".join(str(words).split())
    for kind, pattern in _PATTERNS.items():
        found = re.fullmatch(pattern, text, re.IGNORECASE)
        if found:
            numbers = tuple(float(part) for part in found.groups()[1:] if part is not None)
            return _checked(Quantity(found["output"], kind, numbers), text)
    raise InputError(f"quantity {text!r}: write one of {'; '.join(FORMS)}")


def quantities_of(words: str | Quantity | Iterable[str | Quantity], model: type[Model]) -> tuple[Quantity, ...]:
    """Return the quantities that were asked for, each once; InputError for an output that the model lacks."""
    listed = [words] if isinstance(words, (str, Quantity)) else list(words)
    found = tuple(dict.fromkeys(quantity(item) for item in listed))
    if not found:
        raise InputError(f"{model.name}: ask for at least one quantity, such as 'max {next(iter(model.outputs))}'")
    for item in found:
        item.unit(model)
    return found


def output_unit(model: type[Model], name: str) -> str:
    """Return the unit of an output or state; InputError with the nearest names for another."""
    if name in model.outputs:
        return model.outputs[name].unit or "1"
    if name in model.states:
        return model.states[name].unit
    raise InputError(unknown_name("output", name, [*model.outputs, *model.states], place=model.name))


def _written(number: float) -> str:
    """A number in few characters, but all of its digits."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _checked(found: Quantity, text: str) -> Quantity:
    days = found.numbers if found.kind in ("value", "auc") else found.numbers[1:]
    if any(day < 0 for day in days) or not all(map(math.isfinite, found.numbers)):
        raise InputError(f"quantity {text!r}: days must be finite and not lie before day 0")
    if found.kind == "auc" and found.numbers[0] >= found.numbers[1]:
        raise InputError(f"quantity {text!r}: the first day of an area must lie before the last")
    return found
