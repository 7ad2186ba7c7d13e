"""A right declaration is checked once per machine; a damaged or missing memory costs time and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

import livingdrug.model.checks
from livingdrug.errors import DeclarationError
from livingdrug.model import Model, ddt, parameter, state


def declare(value: float = 0.1, unit: str = "1/day") -> type[Model]:
    cells = state("cell", "cells", initial=1.0)
    death = parameter(value, unit, "rate of death")
    body = {
        "cells": cells,
        "death": death,
        "equations": {ddt(cells): -death * cells},
        "outputs": {"car_t_total": cells},
    }
    return type("Decay", (Model,), body)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIVINGDRUG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "declarations"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models that were checked in full."""
    names: list[str] = []
    original = livingdrug.model.checks.check

    def check(model: type[Model]) -> dict[str, float]:
        names.append(model.name)
        return original(model)

    monkeypatch.setattr(livingdrug.model.checks, "check", check)
    return names


def test_a_right_declaration_is_checked_once(folder, checked):
    first, second = declare(), declare()
    assert checked == ["decay"]
    assert first.fingerprint == second.fingerprint
    assert second.canonical({})["death"] == 0.1
    assert len(list(folder.iterdir())) == 1
    assert folder.stat().st_mode & 0o777 == 0o700  # nobody else can reach the file


def test_a_changed_declaration_is_checked_again(folder, checked):
    declare()
    declare(value=0.2)
    declare(unit="1/hour")
    assert checked == ["decay"] * 3


def test_a_wrong_declaration_is_never_remembered(folder, checked):
    for _ in range(2):
        with pytest.raises(DeclarationError):
            declare(unit="cell")
    assert len(checked) == 2
    assert not list(folder.iterdir())


@pytest.mark.parametrize("damage", ["", "garbage", "0x1.8p+0 furlong", "\x00\xff"])
def test_a_damaged_memory_is_checked_again(folder, checked, damage):
    declare()
    (file,) = folder.iterdir()
    file.write_text(damage, encoding="latin-1")
    assert declare().canonical({})["death"] == 0.1
    assert len(checked) == 2


def test_without_a_folder_everything_works(tmp_path, monkeypatch, checked):
    blocked = tmp_path / "a file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("LIVINGDRUG_CACHE", str(blocked))
    declare()
    declare()
    assert len(checked) == 2
