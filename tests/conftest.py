"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the check data that is not shipped; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(
            "the check data lie beside the repository in ../shared/data and are not shipped; the folder is absent"
        )
    return SHARED_DATA
