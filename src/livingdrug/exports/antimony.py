"""A model as Antimony, the short text form of SBML that is easy to read and to change by hand.

It is made from :func:`livingdrug.exports.sbml.to_sbml` by the package antimony. Antimony keeps units, names and events,
but not our annotations: what is read back from it has bare numbers in canonical units. Not for clinical use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from livingdrug.errors import InputError, MissingExtra
from livingdrug.exports.sbml import to_sbml

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["antimony_to_sbml", "to_antimony"]


def to_antimony(
    model: type[Model], parameter_set: str | None = None, values: Mapping[str, float] | None = None
) -> str:  # fmt: skip
    """Return a model as the text of an Antimony file; arguments as for :func:`livingdrug.exports.sbml.to_sbml`.

    Raises:
        MissingExtra: if antimony or python-libsbml is not installed.
        InputError: as :func:`livingdrug.exports.sbml.to_sbml` does.

    Example:
        >>> from livingdrug.library import load_model
        >>> "effector' = " in to_antimony(load_model("stein2019"))
        True
    """
    antimony = _antimony("export to Antimony")
    antimony.clearPreviousLoads()
    if antimony.loadSBMLString(to_sbml(model, parameter_set, values)) < 0:
        raise InputError(f"export of {model.name} to Antimony: {antimony.getLastError()}")
    return f"// Not for clinical use.\n{antimony.getAntimonyString(antimony.getMainModuleName())}"


def antimony_to_sbml(text: str) -> str:
    """Return the SBML of an Antimony text.

    Raises:
        MissingExtra: if antimony is not installed.
        InputError: if the text is not right Antimony.

    Example:
        >>> "<reaction" in antimony_to_sbml("S -> ; k*S; S = 1; k = 2")
        True
    """
    antimony = _antimony("import from Antimony")
    antimony.clearPreviousLoads()
    if antimony.loadAntimonyString(text) < 0:
        raise InputError(f"this is not right Antimony: {antimony.getLastError().strip()}")
    return antimony.getSBMLString(antimony.getMainModuleName())


def _antimony(feature: str) -> Any:
    try:
        import antimony
    except ImportError:
        raise MissingExtra(feature, "antimony", "exchange") from None
    return antimony
