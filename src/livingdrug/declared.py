"""Plans written by people: checked when they are made, in Python or TOML, with errors that name the place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from livingdrug.errors import InputError, unknown_name

__all__ = ["Declared", "Number", "Text", "declare", "read_toml"]

LARGEST_FILE = 2_000_000  # bytes; a plan is a page or two
DEEPEST_KEY = 30  # names in a key such as a.b.c; the time to read a key grows with the square of them
LONG_KEY = re.compile(rf"""(?<![\w."'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{DEEPEST_KEY}}}""")
SHOWN_PROBLEMS = 5

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True, max_length=2_000)]


class Misdeclared(InputError):
    """What is wrong in a declaration, with the place of each problem inside it."""

    def __init__(self, problems: list[tuple[tuple[str, ...], str]]) -> None:
        self.problems = problems
        lines = [": ".join(filter(None, (".".join(place), text))) for place, text in problems[:SHOWN_PROBLEMS]]
        if len(problems) > SHOWN_PROBLEMS:
            lines.append(f"... and {len(problems) - SHOWN_PROBLEMS} more")
        super().__init__("; ".join(lines))


class Declared(BaseModel):
    """A frozen set of named values; an unknown key, a wrong type or a bad value is an InputError that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise Misdeclared(_problems(error)) from None

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key in values:
                if key not in cls.model_fields:
                    raise Misdeclared([((), unknown_name("key", key, cls.model_fields))])
        return values

    def parts(self) -> Iterator[tuple[str, Any]]:
        """Yield each field with its name; the items of a list or a table get their own dotted names."""
        for name in type(self).model_fields:
            yield from _parts(name, getattr(self, name))


def _parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _parts(f"{name}.{key}", item)
    elif isinstance(value, tuple) and any(isinstance(item, Declared) for item in value):
        for number, item in enumerate(value):
            yield from _parts(f"{name}.{number}", item)
    else:
        yield name, value


def _problems(error: ValidationError) -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    places = [problem["loc"] for problem in error.errors(include_url=False)]
    for problem in error.errors(include_url=False):
        if problem["type"] == "too_short" and any(problem["loc"] == at[: len(problem["loc"])] != at for at in places):
            continue  # only because its items are wrong
        place = tuple(str(part) for part in problem["loc"])
        inner = problem.get("ctx", {}).get("error")
        if isinstance(inner, Misdeclared):
            found += [(place + deeper, text) for deeper, text in inner.problems]
        elif isinstance(inner, Exception):
            found.append((place, str(inner)))
        elif problem["type"] == "missing":
            found.append((place, "this key is missing"))
        else:
            found.append((place, f"{problem['msg']}, got {_short(problem['input'])}"))
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


D = TypeVar("D", bound=Declared)


def declare(kind: type[D], values: Any, where: str) -> D:
    """Return ``kind`` made from a table of values; every problem is an InputError that begins with ``where``."""
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: a table of keys is expected, got {_short(values)}")
    try:
        return kind(**{str(key): value for key, value in values.items()})
    except Misdeclared as error:
        raise InputError(f"{where}: {error}") from None
    except RecursionError:
        raise InputError(f"{where}: the tables are nested too deeply") from None


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file; a missing, unreadable, oversized or malformed file is an InputError with the reason."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)  # also of a device without end
        if len(data) > LARGEST_FILE:
            raise InputError(f"{path}: more than {LARGEST_FILE} bytes are too many for a plan")
        text = data.decode("utf-8-sig")
        found = LONG_KEY.search(text)
        if found:
            line = text.count("\n", 0, found.start()) + 1
            raise InputError(f"{path}, line {line}: a key of more than {DEEPEST_KEY} names, {_short(found.group())}")
        return tomllib.loads(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text in UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise InputError(f"{path}: the tables are nested too deeply") from error
    except ValueError as error:  # TOMLDecodeError, and numbers that Python refuses
        if isinstance(error, InputError):
            raise
        if not isinstance(error, tomllib.TOMLDecodeError):
            raise InputError(f"{path}: a number has too many digits") from None
        raise InputError(f"{path}: not a TOML file: {error}") from error
