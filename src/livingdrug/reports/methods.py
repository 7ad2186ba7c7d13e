"""How a result was computed: parameters with their sources, failures, versions, publications."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from livingdrug.errors import LivingDrugError
from livingdrug.reports.numbers import count, number
from livingdrug.reports.tables import Table, table

__all__ = [
    "Titled",
    "assumed_numbers",
    "assumptions",
    "facts",
    "failures",
    "limitations",
    "parameters",
    "publications",
    "versions",
]

PACKAGES = ("livingdrug", "numpy", "scipy", "llvmlite", "pandas", "altair")
FAILURES_SHOWN = 20


@dataclass(frozen=True)
class Titled:
    """A table with its title and a sentence about it."""

    title: str
    words: str
    table: Table


def parameters(outcome: Any) -> list[Titled]:
    """Return the numbers of the trial and of its model, each with its source."""
    return [*_stated(outcome), *_of_model(outcome)]


def assumptions(outcome: Any) -> list[str]:
    """Return the assumptions in words; those that are single numbers stand in the table of numbers."""
    return [str(line) for line in getattr(outcome.trial, "assumptions", ()) or outcome.assumptions]


def assumed_numbers(outcome: Any) -> str:
    """Return how many numbers are assumed, recalled or computed, and where they stand."""
    stated = outcome.stated
    if stated is None or stated.empty:
        return ""
    counts = stated["mark"].value_counts()
    return (
        f"Of the {count(len(stated))} numbers of the trial and of the therapy, {count(counts.get('read', 0))} were "
        f"read in a source, {count(counts.get('computed', 0))} computed from one, {count(counts.get('recalled', 0))} "
        f"recalled and {count(counts.get('assumed', 0))} assumed; the table above marks each. Besides:"
    )


def _stated(outcome: Any) -> list[Titled]:
    stated = outcome.stated
    if stated is None or stated.empty:
        return []
    rows = [
        (_readable(row["number"]), row["value"], _basis(row["mark"], row["source"]), row["note"])
        for row in stated.to_dict("records")
    ]
    words = "Numbers of the patients, of making the cells and of following the patients, in the order of the therapy."
    headings = ("Number", "Value", "Where it comes from", "Note")
    return [Titled("Numbers of the trial and of the therapy", words, table(headings, rows, (), "Numbers of the trial"))]


def _readable(place: str) -> str:
    """Return the place of a number without its technical parts.

    Example:
        >>> _readable("arms.0.journey.release.least_viability")
        'release: least viability'
    """
    parts = [part for part in place.split(".") if part not in ("arms", "journey", "columns") and not part.isdigit()]
    return ": ".join(part.replace("_", " ") for part in parts)


def _basis(mark: str, source: str) -> str:
    return source if mark == "read" else f"{mark} from {source}" if source else mark


def _of_model(outcome: Any) -> list[Titled]:
    from livingdrug.library import load_model

    model = load_model(outcome.trial.model)
    chosen = _parameter_set(outcome)
    values = dict(model.parameter_sets[chosen]) if chosen else {}
    rows = [
        (
            name.replace("_", " "),
            f"{number(values.get(name, one.value), 4)} {'' if one.unit == '1' else one.unit}".strip(),
            one.meaning,
            f"{model.name}, set {chosen}" if name in values else one.source,
        )
        for name, one in model.parameters.items()
    ]
    words = f"The model {model.name} as published ({model.source}); a place such as a table is in that paper."
    headings = ("Parameter", "Value", "Meaning", "Source")
    return [
        Titled(f"Parameters of the model {model.name}", words, table(headings, rows, (), "Parameters of the model"))
    ]


def _parameter_set(outcome: Any) -> str:
    """Return the name of the model's parameter set that the trial uses, "" for the default values."""
    arms = getattr(outcome.trial, "arms", ())
    return arms[0].journey.infusion.parameter_set if arms else ""


def limitations(outcome: Any) -> list[str]:
    """Return what the model leaves out, in the words of its declaration."""
    from livingdrug.library import load_model

    return list(load_model(outcome.trial.model).limitations)


def failures(outcome: Any) -> Table | None:
    """Return the patients whose solve failed, where it stopped and why; none if all were solved."""
    found = list(outcome.failures)
    if not found:
        return None
    headings = list(dict.fromkeys(key for failure in found for key in failure))
    rows = [[_cell(failure.get(key)) for key in headings] for failure in found[:FAILURES_SHOWN]]
    if len(found) > FAILURES_SHOWN:
        rows.append([f"and {count(len(found) - FAILURES_SHOWN)} more", *[""] * (len(headings) - 1)])
    return table([heading.replace("_", " ") for heading in headings], rows, (), "Patients whose solve failed")


def _cell(value: Any) -> str:
    return number(value, 4) if isinstance(value, float) else "" if value is None else str(value)


def versions() -> dict[str, str]:
    """Return the versions of what computed the result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def facts(outcome: Any) -> list[tuple[str, str]]:
    """Return what is needed to compute the same result again."""
    named = versions()
    return [
        ("Trial", outcome.trial.name),
        ("Patients", count(len(outcome.patients))),
        ("Seed", str(outcome.seed)),
        ("Model", outcome.trial.model),
        ("Configuration (SHA-256)", outcome.configuration["hash"]),
        ("Versions", ", ".join(f"{package} {found}" for package, found in named.items())),
        ("System", f"{platform.system()} {platform.machine()}"),
    ]


def publications(outcome: Any) -> list[tuple[str, str]]:
    """Return the publications that the result rests on, each as words and the address of its page."""
    from livingdrug.sources import cite

    found = []
    for key in outcome.sources:
        try:
            source = cite(key)
            found.append((str(source).removesuffix(source.link).strip(), source.link))
        except LivingDrugError:
            found.append((key, ""))
    return found
