"""An SBML file read with care: what is too large, too deep, not SBML or beyond its core is refused with its line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.parsers import expat

from livingdrug.errors import InputError
from livingdrug.exports.sbml_formulas import names_in

__all__ = ["read_document"]

LARGEST_BYTES = 20_000_000
DEEPEST = 1000
"""Levels of nested elements: libSBML walks a file recursively and, far beyond this, runs out of stack."""
MOST_ELEMENTS = 500_000
MOST_NEEDS = 20_000
"""Pairs of a value and another that it needs, directly or not: libSBML's search for circles takes a second or so for
this many, and hours for a hundred times as many."""

_SBML = "http://www.sbml.org/sbml/"


def read_document(libsbml: Any, text_or_path: str | os.PathLike[str]) -> tuple[str, Any]:
    """Return the place (for messages) and the document of an SBML text or file.

    Raises:
        InputError: if it cannot be read, is not valid SBML of level 2 or 3, or needs more than its core.
    """
    place, text = _text(text_or_path)
    line = _check_shape(place, text)
    document = libsbml.readSBMLFromString(text)
    if document.getLevel() not in (2, 3):
        raise InputError(
            f"{place}: line {line}: SBML level {document.getLevel()} is not read, only levels 2 and 3; convert it "
            "first, for example with COPASI"
        )
    _raise_first_error(libsbml, place, document)
    if document.getModel() is None:
        raise InputError(f"{place}: line {document.getLine()}: there is no <model> in the file")
    for category in ("UNITS_CONSISTENCY", "MODELING_PRACTICE", "SBO_CONSISTENCY"):
        document.setConsistencyChecks(getattr(libsbml, f"LIBSBML_CAT_{category}"), False)
    _check_needs(place, document.getModel())
    document.checkConsistency()
    _raise_first_error(libsbml, place, document)
    return place, document


def _check_needs(place: str, sbml: Any) -> None:
    """Refuse values and functions that need each other over too many steps."""
    needs = {f.getId(): names_in(f.getMath()) for f in sbml.getListOfFunctionDefinitions() if f.isSetMath()}
    needs |= {r.getVariable(): names_in(r.getMath()) for r in sbml.getListOfRules() if r.isSetMath() and not r.isRate()}
    needs |= {a.getSymbol(): names_in(a.getMath()) for a in sbml.getListOfInitialAssignments() if a.isSetMath()}
    laws = {r.getId(): r.getKineticLaw() for r in sbml.getListOfReactions() if r.isSetKineticLaw()}
    needs |= {name: names_in(law.getMath()) for name, law in laws.items() if law.isSetMath()}
    count = 0
    for name in needs:
        seen, ahead = {name}, [name]
        while ahead:
            found = [n for n in needs[ahead.pop()] if n in needs and n not in seen]
            seen.update(found)
            ahead.extend(found)
            count += len(found)
            if count > MOST_NEEDS:
                raise InputError(
                    f"{place}: the values of the file need each other over too many steps (more than {MOST_NEEDS} "
                    f"pairs, among them those of {name!r}); write some of the formulas out"
                )


def _text(text_or_path: str | os.PathLike[str]) -> tuple[str, str]:
    if isinstance(text_or_path, str) and text_or_path.lstrip("\ufeff \t\r\n").startswith("<"):
        return "the SBML text", text_or_path.lstrip("\ufeff \t\r\n")
    if not isinstance(text_or_path, (str, os.PathLike)):
        raise InputError(f"from_sbml needs the text or the path of an SBML file, got {type(text_or_path).__name__}")
    shown = str(text_or_path)
    if len(shown) > 4096 or "\0" in shown or "\n" in shown:
        raise InputError(f"from_sbml: neither a path nor SBML (which begins with <): {shown[:60]!r}")
    try:
        with Path(text_or_path).open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        return Path(text_or_path).name, content.decode("utf-8-sig").lstrip()
    except OSError as error:
        raise InputError(f"cannot read the SBML file {shown}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{Path(shown).name}: SBML is written in UTF-8, but byte {error.start} is not") from None


def _check_shape(place: str, text: str) -> int:
    """Pass over the file once, without building anything, before libSBML sees it; returns the line of <sbml>."""
    if len(text) > LARGEST_BYTES:
        raise InputError(f"{place}: larger than {LARGEST_BYTES // 1_000_000} million characters; no such file is read")
    shape = _Shape(place)
    try:
        shape.parser.Parse(text.encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as error:
        raise InputError(
            f"{place}: line {error.lineno}: not well-formed XML: {expat.ErrorString(error.code)}"
        ) from None
    return shape.line


class _Shape:
    """Depth, number of elements, packages; entities are refused where they are declared."""

    def __init__(self, place: str) -> None:
        self.place, self.depth, self.count, self.line = place, 0, 0, 1
        self.parser = expat.ParserCreate("UTF-8", namespace_separator=" ")
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.StartDoctypeDeclHandler = self.doctype

    def refuse(self, why: str) -> None:
        raise InputError(f"{self.place}: line {self.parser.CurrentLineNumber}: {why}")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.count == 0:
            self.root(name, attributes)
        self.depth, self.count = self.depth + 1, self.count + 1
        if self.depth > DEEPEST:
            self.refuse(f"elements are nested more than {DEEPEST} deep; write long sums as one <plus/>")
        if self.count > MOST_ELEMENTS:
            self.refuse(f"more than {MOST_ELEMENTS} elements; no such file is read")

    def end(self, _name: str) -> None:
        self.depth -= 1

    def doctype(self, *_declared: Any) -> None:
        self.refuse("SBML has no <!DOCTYPE and no entities; remove it")

    def root(self, name: str, attributes: dict[str, str]) -> None:
        self.line = self.parser.CurrentLineNumber
        namespace, _, word = name.rpartition(" ")
        if word != "sbml" or not namespace.startswith(_SBML):
            self.refuse(f"not SBML: the outermost element is <{word[:60]}>, not <sbml xmlns={_SBML!r}...>")
        for key, value in attributes.items():
            package, _, attribute = key.rpartition(" ")
            if attribute == "required" and package and value.strip() in ("true", "1"):
                short = package.removeprefix(_SBML).split("/")
                shown = short[2] if len(short) > 2 and package.startswith(_SBML) else package
                self.refuse(
                    f"the model needs the SBML package {shown!r}, of which nothing is read; export it as core SBML"
                )


def _raise_first_error(libsbml: Any, place: str, document: Any) -> None:
    for k in range(document.getNumErrors()):
        error = document.getError(k)
        if error.getSeverity() >= libsbml.LIBSBML_SEV_ERROR:
            message = " ".join(error.getMessage().split())
            shown = message if len(message) <= 400 else message[:400] + " ..."
            raise InputError(f"{place}: line {error.getLine()}: not valid SBML: {error.getShortMessage()}: {shown}")
