"""The committed pages of population and products are what the declarations give."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "population_pages.py"


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("population_pages", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["population.md", "products.md"])
def test_page_is_current(script, name):
    path = script.DOCS / name
    assert path.read_text(encoding="utf-8") == script.page(path), "run python scripts/population_pages.py"
