"""What the files of the project may and may not say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ["src", "tests", "docs", "benchmarks", "changes", "scripts", "examples", ".ci"]
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".sh", ".bib", ".html", ".css", ".j2", ".svg", ""}
HOST = re.compile(
    r"(index-url|find-links|\bregistry\s*=|\"resolved\":)[^#\n]*https?:|(pypi|pythonhosted|npmjs)\.(org|com)"
)


def project_files() -> list[Path]:
    top = [path for path in ROOT.iterdir() if path.is_file()]
    below = [path for folder in OURS for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for path in top + below if path.suffix in TEXT and not {"__pycache__", ".cache"} & set(path.parts)]


def test_no_file_names_a_package_host():
    ours = Path(__file__)
    named = [
        str(path.relative_to(ROOT))
        for path in project_files()
        if path != ours and HOST.search(path.read_text(encoding="utf-8"))
    ]
    assert named == []


def test_every_pinned_package_has_a_hash():
    pins = re.sub(r"\\\n\s*", "", (ROOT / "constraints.txt").read_text(encoding="utf-8")).splitlines()
    assert len(pins) > 30
    assert [line for line in pins if not re.match(r"[a-z0-9.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


def test_everything_the_package_needs_is_pinned():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(entry for extra in project["optional-dependencies"].values() for entry in extra),
    ]
    names = {re.split(r"[\[<>=;]", entry)[0].strip().lower().replace(".", "-") for entry in wanted} - {project["name"]}
    assert names <= set(
        re.findall(r"^([a-z0-9.-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    )


def test_version_is_written_once_in_two_places():
    import tomllib

    import livingdrug

    assert (
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        == livingdrug.__version__
    )


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "index.md").read_text(encoding="utf-8")
    assert [path.name for path in folder.glob("[0-9]*.md") if path.name not in index] == []


LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []
