"""Exchange formats: a model as a text that other programs of the field read, and SBML as a model.

Example:
    >>> from livingdrug.library import load_model
    >>> export_model(load_model("stein2019"), "mrgsolve").splitlines()[0]
    '$PROB'
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["FORMATS", "Format", "export_model", "import_sbml"]


OTHER_NAMES = {"monolix": "mlxtran", "nlmixr2": "rxode2"}
"""Programs that read the format of another name."""


@dataclass(frozen=True)
class Format:
    """One exchange format: the module of this room that writes it, the ending of its files, and what it is for."""

    module: str
    suffix: str
    meaning: str


FORMATS: Mapping[str, Format] = {
    "sbml": Format("sbml", ".xml", "SBML Level 3 Version 2, for COPASI, libRoadRunner and other tools"),
    "antimony": Format("antimony", ".ant", "Antimony, SBML that people read and write"),
    "mrgsolve": Format("mrgsolve", ".cpp", "model file for mrgsolve (R)"),
    "rxode2": Format("rxode2", ".R", "function for rxode2 and nlmixr2 (R)"),
    "nonmem": Format("nonmem", ".ctl", "skeleton of a NONMEM control stream"),
    "mlxtran": Format("mlxtran", ".txt", "MLXTRAN, for Monolix, Simulx and Mlxplore"),
    "latex": Format("latex", ".tex", "document with equations and tables, in LaTeX"),
    "markdown": Format("markdown", ".md", "page with equations and tables, in Markdown"),
}


def export_model(
    model: type[Model],
    format: str,  # noqa: A002  the word that a user expects
    *,
    parameter_set: str | None = None,
    values: Mapping[str, float] | None = None,
) -> str:
    """Return a model as a text in one of the ``FORMATS``.

    Args:
        model: a declared model (see :func:`livingdrug.library.load_model`).
        format: name of the format.
        parameter_set: name of a parameter set of the model, instead of the declared values.
        values: parameters that differ from these, in declared units.

    Raises:
        InputError: for an unknown format, set or parameter, a value outside its limits, or what the format cannot say.
        MissingExtra: if the format needs a package that is not installed.
    """
    format = OTHER_NAMES.get(format, format)  # noqa: A001
    if format not in FORMATS:
        raise InputError(unknown_name("export format", format, FORMATS))
    module = importlib.import_module(f"livingdrug.exports.{FORMATS[format].module}")
    return getattr(module, f"to_{format}")(model, parameter_set, values)


def import_sbml(text_or_path: str | Path, name: str | None = None) -> type[Model]:
    """Return the model in an SBML text or file; see :func:`livingdrug.exports.sbml_import.from_sbml`.

    Raises:
        InputError: if it is no valid SBML, or holds something that is not supported; the message names the line.
        MissingExtra: if python-libsbml is not installed.
    """
    from livingdrug.exports.sbml_import import from_sbml

    return from_sbml(text_or_path, name)
