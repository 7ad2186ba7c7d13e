"""What our own SBML files say in annotations: declared units, letters, limits, spreads, sources, roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from livingdrug.errors import InputError
from livingdrug.exports.sbml_words import TEXTS, annotation, texts_of
from livingdrug.model.symbols import Parameter, Spread, State
from livingdrug.sources import source_keys, split_source

__all__ = ["FROM_FILE", "OwnWords"]

FROM_FILE = "assumed: as in the SBML file"
"""Source of a number of which the file does not say whence it is."""


class OwnWords:
    """Reads the annotations of one SBML model; it is false for a model that livingdrug did not write."""

    def __init__(self, sbml: Any, refuse: Callable[[Any, str], InputError]) -> None:
        self._refuse = refuse
        self._model = annotation(sbml)
        self._texts = texts_of(sbml)
        self._own = self._model.get("role") == "model"

    def __bool__(self) -> bool:
        return self._own

    def forget(self) -> None:
        """Take the file as any other."""
        self._own = False

    def words(self, element: Any) -> dict[str, str]:
        """Attributes of the annotation of an element."""
        return annotation(element) if self._own else {}

    def role(self, element: Any) -> str:
        """What the element is in a model of ours; empty if it is not said."""
        return self.words(element).get("role", "")

    def parameter(self, element: Any, canonical: float) -> Parameter | None:
        """The declared parameter, with the value that the file gives now."""
        words = self.words(element)
        if words.get("role") != "parameter":
            return None
        unit = words.get("unit", "1")
        kind, sd = words.get("spread"), self._number(element, words, "sd", 0.0)
        limits = (self._number(element, words, "lowest", 0.0), self._number(element, words, "highest", float("inf")))
        value = canonical / self._factor(element, unit)
        spread = Spread(kind, sd) if kind else None
        source = self._source(words.get("source", FROM_FILE))
        return Parameter(value, unit, words.get("meaning", ""), words.get("symbol"), source, spread, limits)

    def state(self, element: Any) -> State | None:
        """The declared state; its initial value is filled in later."""
        words = self.words(element)
        if words.get("role") != "state":
            return None
        self._factor(element, words.get("unit", "1"))
        floor = self._number(element, words, "floor", 1e-6)
        return State(words.get("unit", "1"), words.get("meaning", ""), 0.0, words.get("symbol"), floor)

    def body(self) -> dict[str, Any]:
        """Class attributes of the model that are neither symbols nor formulas."""
        found: dict[str, Any] = {word: self._texts.get(word, []) for word in TEXTS}
        found["__doc__"] = "".join(self._texts.get("text", []))
        found["source"] = self.paper
        found["system"] = self._model.get("system", "")
        try:
            found["follow_up"] = float(self._model.get("follow_up", "365"))
        except ValueError:
            found["follow_up"] = 365.0
        return found

    @property
    def paper(self) -> str:
        """Key of the model's paper, if it is one that we know."""
        key = self._model.get("source", "")
        return key if key in source_keys() else ""

    @property
    def names(self) -> tuple[str, str]:
        """Name of the model and of its class."""
        return self._model.get("name", ""), self._model.get("class", "")

    def _source(self, text: str) -> str:
        key, _ = split_source(text, self.paper)
        return text if key in ("assumed", "recalled", *source_keys()) and text.strip() else FROM_FILE

    def _number(self, element: Any, words: dict[str, str], word: str, otherwise: float) -> float:
        text = words.get(word, "")
        try:
            return float(text) if text else otherwise
        except ValueError:
            raise self._refuse(element, f"its annotation says {word}={text!r}, which is not a number") from None

    def _factor(self, element: Any, unit: str) -> float:
        from livingdrug.units import to_canonical

        try:
            return to_canonical(unit)
        except InputError as error:
            raise self._refuse(element, f"its annotation is wrong: {error}") from None
