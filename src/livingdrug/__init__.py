"""livingdrug: an open digital twin of CAR-T therapy. Not for clinical use.

The names below are found when they are first used, so that ``import livingdrug`` is light.

Example:
    >>> import livingdrug as ld
    >>> "kimmel2021" in ld.model_names()
    True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from livingdrug.engine.schedule import Doses
    from livingdrug.engine.solve import Crossing, Extreme, solve
    from livingdrug.errors import (
        DeclarationError,
        FitError,
        InputError,
        LivingDrugError,
        MissingExtra,
        SolveError,
    )
    from livingdrug.library import load_model, model_names
    from livingdrug.model import Model
    from livingdrug.patients import Patients
    from livingdrug.reports import Report, report
    from livingdrug.sources import Source, cite
    from livingdrug.therapy import Journey
    from livingdrug.trials import Outcome, Trial

__version__ = "0.1.0"

__all__ = [
    "Crossing",
    "DeclarationError",
    "Doses",
    "Extreme",
    "FitError",
    "InputError",
    "Journey",
    "LivingDrugError",
    "MissingExtra",
    "Model",
    "Outcome",
    "Patients",
    "Report",
    "SolveError",
    "Source",
    "Trial",
    "cite",
    "load_model",
    "model_names",
    "report",
    "solve",
]

_HOMES = {
    "Crossing": "engine.solve",
    "DeclarationError": "errors",
    "Doses": "engine.schedule",
    "Extreme": "engine.solve",
    "FitError": "errors",
    "InputError": "errors",
    "Journey": "therapy",
    "LivingDrugError": "errors",
    "MissingExtra": "errors",
    "Model": "model",
    "Outcome": "trials",
    "Patients": "patients",
    "Report": "reports",
    "SolveError": "errors",
    "Source": "sources",
    "Trial": "trials",
    "cite": "sources",
    "load_model": "library",
    "model_names": "library",
    "report": "reports",
    "solve": "engine.solve",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"livingdrug has no public name {name!r}; dir(livingdrug) lists them")
    value = getattr(import_module(f"livingdrug.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
