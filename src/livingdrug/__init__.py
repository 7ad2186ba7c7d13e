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
    from livingdrug.engine.schedule import Change, Dose
    from livingdrug.engine.solution import Solution
    from livingdrug.engine.solve import Crossing, Extreme, solve
    from livingdrug.errors import DeclarationError, FitError, InputError, LivingDrugError, MissingExtra, SolveError
    from livingdrug.exports import export_model, import_sbml
    from livingdrug.library import load_model, model_names
    from livingdrug.model.declaration import Block, Model
    from livingdrug.model.expressions import absolute, exp, log, maximum, minimum, sqrt, time, where
    from livingdrug.model.symbols import (
        birth_death,
        bolus,
        ddt,
        infusion,
        logitnormal,
        lognormal,
        normal,
        output,
        parameter,
        reset,
        state,
    )
    from livingdrug.patients import Patients
    from livingdrug.qualification import qualify
    from livingdrug.reports import Report, report
    from livingdrug.sources import Source, cite
    from livingdrug.therapy import Journey
    from livingdrug.trials import Outcome, Trial, trial_names

__version__ = "0.1.0"

__all__ = [
    "Block",
    "Change",
    "Crossing",
    "DeclarationError",
    "Dose",
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
    "Solution",
    "SolveError",
    "Source",
    "Trial",
    "absolute",
    "birth_death",
    "bolus",
    "cite",
    "ddt",
    "exp",
    "export_model",
    "import_sbml",
    "infusion",
    "load_model",
    "log",
    "logitnormal",
    "lognormal",
    "maximum",
    "minimum",
    "model_names",
    "normal",
    "output",
    "parameter",
    "qualify",
    "report",
    "reset",
    "solve",
    "sqrt",
    "state",
    "time",
    "trial_names",
    "where",
]

_HOMES = {
    "Block": "model.declaration",
    "Change": "engine.schedule",
    "Crossing": "engine.solve",
    "DeclarationError": "errors",
    "Dose": "engine.schedule",
    "Extreme": "engine.solve",
    "FitError": "errors",
    "InputError": "errors",
    "Journey": "therapy",
    "LivingDrugError": "errors",
    "MissingExtra": "errors",
    "Model": "model.declaration",
    "Outcome": "trials",
    "Patients": "patients",
    "Report": "reports",
    "Solution": "engine.solution",
    "SolveError": "errors",
    "Source": "sources",
    "Trial": "trials",
    "absolute": "model.expressions",
    "birth_death": "model.symbols",
    "bolus": "model.symbols",
    "cite": "sources",
    "ddt": "model.symbols",
    "exp": "model.expressions",
    "export_model": "exports",
    "import_sbml": "exports",
    "infusion": "model.symbols",
    "load_model": "library",
    "log": "model.expressions",
    "logitnormal": "model.symbols",
    "lognormal": "model.symbols",
    "maximum": "model.expressions",
    "minimum": "model.expressions",
    "model_names": "library",
    "normal": "model.symbols",
    "output": "model.symbols",
    "parameter": "model.symbols",
    "qualify": "qualification",
    "report": "reports",
    "reset": "model.symbols",
    "solve": "engine.solve",
    "sqrt": "model.expressions",
    "state": "model.symbols",
    "time": "model.expressions",
    "trial_names": "trials",
    "where": "model.expressions",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"livingdrug has no public name {name!r}; dir(livingdrug) lists them")
    value = getattr(import_module(f"livingdrug.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
