"""The errors that livingdrug raises, and the wording they share.

Every message says what was asked, what was found, what is allowed and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "DeclarationError",
    "FitError",
    "InputError",
    "LivingDrugError",
    "MissingExtra",
    "SolveError",
    "nearest_names",
    "unknown_name",
]


class LivingDrugError(Exception):
    """Any error that livingdrug raises on purpose."""


class DeclarationError(LivingDrugError, TypeError):
    """A model is declared wrongly: a name, a unit, an equation or a source does not fit.

    It is a ``TypeError`` too, because Python's operators ask for that when a formula cannot be formed.
    """


class InputError(LivingDrugError, ValueError):
    """A value given by the user cannot be used: misspelt, out of range, not finite or in the wrong order."""


class SolveError(LivingDrugError):
    """A solve could not be carried out at all; single patients that fail are marked in the solution instead."""


class FitError(LivingDrugError):
    """An estimation could not be carried out."""


class MissingExtra(LivingDrugError, ImportError):
    """A feature needs an optional package that is not installed.

    Args:
        feature: what was asked for.
        package: the missing package.
        extra: the extra of livingdrug that brings it.

    Example:
        >>> print(MissingExtra("export to SBML", "libsbml", "exchange"))
        export to SBML needs the package 'libsbml', which is not installed; run: pip install 'livingdrug[exchange]'
    """

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the package {package!r}, which is not installed; run: pip install 'livingdrug[{extra}]'"
        )


def nearest_names(asked: object, allowed: Iterable[object], count: int = 3) -> list[str]:
    """Return up to ``count`` of the ``allowed`` names that look most like ``asked``, best first.

    Example:
        >>> nearest_names("tumor", ["tumour", "car_t", "time"])
        ['tumour']
    """
    import difflib  # only when there is something to complain about

    names = {str(name).lower(): str(name) for name in allowed}
    return [names[found] for found in difflib.get_close_matches(str(asked).lower(), list(names), n=count, cutoff=0.55)]


def unknown_name(what: str, asked: object, allowed: Iterable[object], *, place: str = "", shown: int = 12) -> str:
    """Return the message for a name that does not exist, with the nearest names and those allowed.

    Args:
        what: the kind of thing that was named, e.g. ``"model"`` or ``"parameter of kimmel2021"``.
        asked: the name that was given.
        allowed: the names that exist.
        place: where the name was given, e.g. ``"kimmel2021"``; stands before the message.
        shown: how many of the allowed names are listed at most.

    Example:
        >>> unknown_name("model", "kimmel2012", ["kimmel2021", "stein2019"])
        "unknown model 'kimmel2012'; did you mean 'kimmel2021'? Allowed: kimmel2021, stein2019"
    """
    names = [str(name) for name in allowed]
    message = (f"{place}: " if place else "") + f"unknown {what} {str(asked)!r}"
    near = nearest_names(asked, names)
    if near:
        message += "; did you mean " + " or ".join(repr(name) for name in near) + "?"
    if not names:
        return message + "; there are none"
    listed = ", ".join(names[:shown]) + (f", ... ({len(names)} in all)" if len(names) > shown else "")
    return message + ("" if near else ".") + f" Allowed: {listed}"
