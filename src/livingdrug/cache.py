"""The folder in which this machine remembers what it has already checked or compiled.

The folder is ``$LIVINGDRUG_CACHE`` or ``~/.cache/livingdrug``. It belongs to the user alone (mode 0700), files appear in it
whole or not at all, and everything works without it, only slower.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "read_cached", "write_cached"]


def cache_folder() -> Path | None:
    """Return the cache folder, made if needed; None where it cannot be private to the user or cannot be written."""
    given = os.environ.get("LIVINGDRUG_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(given) if given else Path(home) / "livingdrug"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return None
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        return None
    return folder


def read_cached(name: str) -> bytes | None:
    """Return the content of a remembered file, or None if there is none."""
    folder = cache_folder()
    try:
        return None if folder is None else (folder / name).read_bytes()
    except OSError:
        return None


def write_cached(name: str, content: bytes) -> bool:
    """Remember ``content`` under ``name``; a reader never sees half of it. Return whether that worked."""
    folder = cache_folder()
    if folder is None:
        return False
    partial = folder / f".{name}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        with open(partial, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(content)
        os.replace(partial, folder / name)
    except OSError:
        partial.unlink(missing_ok=True)
        return False
    return True
