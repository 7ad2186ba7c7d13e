"""The committed pages of the models are those that the declarations give."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_pages_are_current():
    specification = importlib.util.spec_from_file_location("model_pages", ROOT / "scripts" / "model_pages.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    for page, text in module.pages().items():
        assert page.is_file(), f"{page.name} is missing; run make docs"
        assert page.read_text(encoding="utf-8") == text, f"{page.name} is not current; run make docs"
        if page.parent.name == "models" and page.name != "index.md":
            assert page.with_suffix(".svg").is_file(), f"the figure of {page.name} is missing; run make docs"
