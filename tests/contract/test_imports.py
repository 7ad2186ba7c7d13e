"""What an import may cost, what the package shows, and who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import livingdrug

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "src" / "livingdrug").rglob("*.py"))
HEAVY = ["numba", "pandas", "pint", "pyarrow", "scipy", "sympy", "xarray"]


def test_import_is_light():
    code = f"import sys, livingdrug; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_sorted_and_exist():
    assert livingdrug.__all__ == sorted(set(livingdrug.__all__))
    assert set(livingdrug.__all__) == set(livingdrug._HOMES)
    for name in livingdrug.__all__:
        assert hasattr(livingdrug, name)
    assert set(livingdrug.__all__) <= set(dir(livingdrug))


def test_every_public_name_has_a_docstring():
    assert [name for name in livingdrug.__all__ if not (getattr(livingdrug, name).__doc__ or "").strip()] == []


def test_an_unknown_public_name_says_what_to_do():
    with pytest.raises(AttributeError, match=r"no public name 'Trail'.*dir\(livingdrug\)"):
        livingdrug.Trail  # noqa: B018


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_no_module_imports_the_package_root(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert "livingdrug" not in [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "livingdrug":
                rooms = [ROOT / "src" / "livingdrug" / alias.name for alias in node.names]
                assert all(r.is_dir() or r.with_suffix(".py").exists() for r in rooms), "import from the name's module"


def test_imports_run_downward_only():
    done = subprocess.run([Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()
