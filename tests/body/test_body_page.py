"""The committed page of the body is what the declarations give."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("body_page", ROOT / "scripts" / "body_page.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_page_is_current(script):
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run python scripts/body_page.py"


def test_diagram_is_current_and_names_its_boxes(script):
    drawn = (script.IMAGES / "body.svg").read_text(encoding="utf-8")
    assert drawn == script.diagram()
    assert {name for arrow in script.ARROWS for name in arrow[:2]} == set(script.BOXES)
