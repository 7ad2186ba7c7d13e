"""List the models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, print_table, say
from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["models"]


def models(
    disease: Annotated[str | None, typer.Option("--disease", help="Part of a disease, such as lymphoma.")] = None,
    antigen: Annotated[str | None, typer.Option("--antigen", help="An antigen, such as CD19.")] = None,
    system: Annotated[str | None, typer.Option("--system", help="human, mouse or 'in vitro'.")] = None,
    cytokines: Annotated[
        bool | None, typer.Option("--cytokines/--no-cytokines", help="Only models with (or without) cytokines.")
    ] = None,
    variability: Annotated[
        bool | None,
        typer.Option("--variability/--no-variability", help="Only models with (or without) patients that differ."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the published models, all or those of a disease, antigen or system."""
    from livingdrug.library import load_model, model_names

    library = [load_model(name) for name in model_names()]
    chosen = _of("disease", disease, library, [d for m in library for d in m.diseases], lambda m: m.diseases)
    chosen = _of("antigen", antigen, chosen, [a for m in library for a in m.antigens], lambda m: m.antigens)
    chosen = _of("system", system, chosen, [m.system for m in library], lambda m: (m.system,))
    chosen = [
        m for m in chosen
        if cytokines in (None, m.has_cytokines()) and variability in (None, m.has_variability())
    ]  # fmt: skip
    rows = [_about(model) for model in chosen]
    if as_json:
        print_json(rows)
        return
    if not rows:
        say("No model is all of that; `livingdrug models` lists every one.")
        return
    heads = ("Model", "System", "Antigen", "Size", "Has", "Disease")
    print_table("", heads, [_row(about) for about in rows], wrapped=(5,))
    say("\nSize: states / parameters / parameter sets. Has: C cytokines, V patients that vary.", style="dim")


def _of(
    what: str, asked: str | None, library: Sequence[type[Model]], known: Sequence[str], words: Any
) -> Sequence[Any]:
    """Keep the models of which a word contains what was asked for."""
    if asked is None:
        return library
    wanted = asked.strip().lower()
    if not wanted or not any(wanted in word.lower() for word in known):
        raise InputError(unknown_name(what, asked, sorted(set(known))))
    return [model for model in library if any(wanted in word.lower() for word in words(model))]


def _about(model: type[Model]) -> dict[str, Any]:
    from livingdrug.sources import cite

    source = cite(model.source)
    return {
        "name": model.name,
        "summary": model.summary(),
        "title": source.title,
        "year": source.year,
        "doi": source.doi,
        "diseases": list(model.diseases),
        "antigens": list(model.antigens),
        "system": model.system,
        "states": len(model.states),
        "parameters": len(model.parameters),
        "parameter_sets": len(model.parameter_sets),
        "cytokines": model.has_cytokines(),
        "variability": model.has_variability(),
    }


def _row(about: dict[str, Any]) -> tuple[str, ...]:
    size = f"{about['states']}/{about['parameters']}/{about['parameter_sets']}"
    has = " ".join(letter for letter, key in (("C", "cytokines"), ("V", "variability")) if about[key])
    return (about["name"], about["system"], ", ".join(about["antigens"]), size, has, ", ".join(about["diseases"]))
