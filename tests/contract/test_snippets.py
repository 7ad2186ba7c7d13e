"""Every Python example of the documentation runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def python_of(page: Path) -> str:
    """The page's examples as one script; all other lines left empty, so that an error names the page's line."""
    text, code, at = page.read_text(encoding="utf-8"), "", 0
    for block in BLOCK.finditer(text):
        code += "\n" * text.count("\n", at, block.start(1)) + block[1]
        at = block.end(1)
    return code


SNIPPETS = [(page, python_of(page)) for page in PAGES]


@pytest.mark.parametrize(("page", "code"), [pytest.param(p, c, id=p.name) for p, c in SNIPPETS if c])
def test_examples_run(page, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(page), "exec"), {"__name__": "__example__"})
