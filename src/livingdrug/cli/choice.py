"""What several commands take alike: a model by name or file, a parameter set, NAME=VALUE."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from livingdrug.errors import InputError, LivingDrugError, unknown_name

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["assigned", "declared_models", "find_model", "preset_values"]

SBML_ENDINGS = (".xml", ".sbml")


def find_model(name: str) -> type[Model]:
    """Return a model of the library, the one that a Python file declares, or the one in an SBML file.

    A Python file is run as it stands: give only files that you would run.

    Raises:
        InputError: if there is neither, or the file does not hold one model that can be read.

    Example:
        >>> find_model("stein2019").name
        'stein2019'
    """
    from livingdrug.library import load_model, model_names

    path = Path(name)
    if name in model_names():
        return load_model(name)
    if path.suffix.lower() == ".py":
        found = declared_models(path)
        if len(found) > 1:
            raise InputError(f"{name} declares {len(found)} models; give a file with one")
        return found[0]
    if path.suffix.lower() in SBML_ENDINGS or path.is_file():
        from livingdrug.exports import import_sbml

        if not path.is_file():
            raise InputError(f"there is no file {name!r}; give the name of a model or of an SBML file")
        return import_sbml(path)
    raise InputError(unknown_name("model", name, model_names()) + "; a file ends in .py or .xml")


def preset_values(model: type[Model], preset: str | None) -> dict[str, float]:
    """Return the values of a parameter set of the model, or none."""
    if preset is not None and preset not in model.parameter_sets:
        raise InputError(unknown_name(f"parameter set of {model.name}", preset, model.parameter_sets))
    return dict(model.parameter_sets[preset]) if preset is not None else {}


def assigned(model: type[Model], assignments: list[str] | None) -> dict[str, float]:
    """Return the numbers of NAME=VALUE, in declared units.

    Raises:
        InputError: if one has no ``=``, names no parameter of the model, or is not a number.
    """
    found: dict[str, float] = {}
    for assignment in assignments or []:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            raise InputError(
                f"--set {assignment!r}: write NAME=VALUE, for example --set {next(iter(model.parameters), 'rate')}=1.5"
            )
        if name not in model.parameters:
            raise InputError(unknown_name(f"parameter of {model.name}", name, model.parameters))
        try:
            found[name] = float(text)
        except ValueError:
            unit = model.parameters[name].unit
            raise InputError(
                f"--set {assignment!r}: {text!r} is not a number; give {name} in {unit}, without the unit"
            ) from None
    return found


def declared_models(file: Path) -> list[type[Model]]:
    """Return the models that a Python file declares; declaring them checks them.

    Raises:
        InputError: if there is no such file, it cannot be run, or it declares no model.
    """
    from livingdrug.model import Model

    if not file.is_file():
        raise InputError(f"there is no file {str(file)!r}")
    declared = _run(file)
    models = [
        thing
        for thing in declared.values()
        if isinstance(thing, type) and issubclass(thing, Model) and thing.__module__ == file.stem
    ]
    if not models:
        raise InputError(f"{str(file)!r}: the file declares no model; write `class Name(Model): ...`")
    return models


def _run(file: Path) -> dict[str, object]:
    """Run a Python file; what goes wrong in it is told with its line, as the file's mistake and not as ours."""
    import runpy
    import traceback

    try:
        return runpy.run_path(str(file), run_name=file.stem)
    except LivingDrugError:
        raise
    except SyntaxError as error:
        raise InputError(f"{str(file)!r}, line {error.lineno}: not Python: {error.msg}") from None
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        place = f", line {lines[-1]}" if lines else ""
        raise InputError(f"{str(file)!r}{place}: the file cannot be run: {type(error).__name__}: {error}") from error
