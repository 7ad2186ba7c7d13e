"""Check a trial file or a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, say
from livingdrug.errors import InputError

__all__ = ["check"]


def check(
    file: Annotated[Path, typer.Argument(help="A trial in TOML, or a Python file that declares a model.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Check a trial file or a model file and say what is wrong; a model file is executed."""
    found = _found(file)
    if as_json:
        print_json({"file": file, "right": True, **found})
    else:
        say(f"{file}: all right ({found['kind']} {found['name']})")


def _found(file: Path) -> dict[str, Any]:
    if file.suffix == ".toml":
        from livingdrug.library import load_model
        from livingdrug.trials import Trial

        trial = Trial.read(file)
        load_model(trial.model)
        return {"kind": "trial", "name": trial.name, "model": trial.model, "stated_numbers": len(list(trial.stated()))}
    if file.suffix == ".py":
        models = _models(file)
        return {"kind": "model", "name": ", ".join(model.name for model in models)}
    raise InputError(f"check {str(file)!r}: expected a trial ending in .toml or a model ending in .py")


def _models(file: Path) -> list[Any]:
    """Return the models that a Python file declares; declaring them checks them."""
    import runpy

    from livingdrug.model import Model

    if not file.is_file():
        raise InputError(f"check: there is no file {str(file)!r}")
    declared = runpy.run_path(str(file), run_name=file.stem)
    models = [
        thing
        for thing in declared.values()
        if isinstance(thing, type) and issubclass(thing, Model) and thing.__module__ == file.stem
    ]
    if not models:
        raise InputError(f"check {str(file)!r}: the file declares no model; write `class Name(Model): ...`")
    return models
