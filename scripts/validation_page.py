"""Compute every target again and write docs/validation.md and docs/validation.json, which the models' pages show.

Run ``python scripts/validation_page.py``; without the check data beside the repository, the targets that need them are
marked so.
"""

from __future__ import annotations

import sys
from pathlib import Path

from livingdrug.qualification import qualify
from livingdrug.qualification.formats import to_json, to_markdown

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"


def main() -> int:
    """Write both files; 1 if a target failed."""
    found = qualify(
        data=DATA if DATA.is_dir() else None,
        progress=lambda name, done, of: print(f"{done}/{of} {name}", file=sys.stderr),
    )
    (ROOT / "docs" / "validation.json").write_text(to_json(found), encoding="utf-8")
    (ROOT / "docs" / "validation.md").write_text(to_markdown(found), encoding="utf-8")
    for name, result in found.failed:
        print(f"FAIL {name}: {result.target.quantity}: {result.ours:g}, expected {result.judged_by}")
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
