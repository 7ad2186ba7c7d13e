"""Declarations that this machine has already found right, so that they are not checked at every start.

What is remembered is a small text file in the cache folder, named after the hash of the declaration and of the code
that checks it. It holds the factor of each unit to canonical units.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from livingdrug.errors import LivingDrugError
from livingdrug.model.fingerprint import sha256
from livingdrug.model.vocabulary import unit_of
from livingdrug.storage import cache_folder, write_atomically

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["checked_factors"]


def checked_factors(declaration: str, model: type[Model]) -> dict[str, float]:
    """Return the factor to canonical units of each unit in the model, after checking the model if it is new.

    Args:
        declaration: everything that is checked, as canonical text.
        model: the model, collected but not yet in canonical units.

    Raises:
        DeclarationError: if the declaration is wrong.
    """
    folder = cache_folder("declarations")
    file = None if folder is None else folder / f"{sha256([_rules(), declaration])}.txt"
    known = _read(file)
    units = {item.unit for item in (*model.states.values(), *model.parameters.values())}
    units |= {unit_of(word, declared.unit) for word, declared in model.outputs.items()}
    if known is not None and all(unit in known for unit in units):
        return known
    from livingdrug.model.checks import check

    factors = check(model)
    if file is not None:
        # A full disk is no reason to refuse a right model: it is checked again next time.
        with suppress(LivingDrugError):
            write_atomically(file, "\n".join(f"{factor.hex()} {unit}" for unit, factor in factors.items()))
    return factors


def _read(file: Path | None) -> dict[str, float] | None:
    """Factors by unit; None if there is no file or it is damaged."""
    try:
        lines = [] if file is None else file.read_text(encoding="utf-8").split("\n")
        pairs = [line.partition(" ") for line in lines]
        return {unit: float.fromhex(factor) for factor, _, unit in pairs} or None
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=1)
def _rules() -> str:
    """Hash of the code that checks declarations: when that changes, every declaration is checked again."""
    here = Path(__file__).parent
    files = [
        *sorted(here.glob("*.py")),
        here.parent / "units.py",
        here.parent / "sources.py",
        here.parent / "sources.bib",
    ]
    return sha256(file.read_text(encoding="utf-8") for file in files)
