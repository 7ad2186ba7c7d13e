"""Published models, one file per paper, named author_year."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from livingdrug.errors import InputError, unknown_name
from livingdrug.model.declaration import Model

__all__ = ["load_model", "model_names"]


def model_names() -> list[str]:
    """Return the names of all published models, sorted.

    Example:
        >>> "kimmel2021" in model_names()
        True
    """
    files = Path(__file__).parent.glob("*.py")
    return sorted(file.stem for file in files if re.fullmatch(r"[a-z]+(_[a-z]+)*[0-9]{4}[a-z]?", file.stem))


def load_model(name: str) -> type[Model]:
    """Return a published model by its name.

    Raises:
        InputError: if there is no model of that name; the message holds the nearest names.

    Example:
        >>> load_model("stein2019").outputs["car_t_transgene_blood"].unit
        'copy/ug'
    """
    if name not in model_names():
        raise InputError(unknown_name("model", name, model_names()))
    module = importlib.import_module(f"livingdrug.library.{name}")
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Model) and value.__module__ == module.__name__
    )
