"""Files written whole or not at all, and the user's cache folder."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from livingdrug.errors import LivingDrugError


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader, or a kill at any moment, finds the old or the new content and nothing between.

    Raises:
        LivingDrugError: if the folder cannot be written or the disk is full; says which file and why.
    """
    content = data.encode() if isinstance(data, str) else data
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise LivingDrugError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that you may write to, with free space"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # also after Ctrl-C: no draft is left behind
            draft.unlink()


def cache_folder(purpose: str) -> Path | None:
    """The user's private cache folder for one purpose, or None where there is no safe one.

    ``$LIVINGDRUG_CACHE``, else ``$XDG_CACHE_HOME/livingdrug``, else ``~/.cache/livingdrug``; only the user may enter
    it, since compiled code is loaded from there. A folder that others may write to is not used.
    """
    given = os.environ.get("LIVINGDRUG_CACHE")
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "livingdrug"
    folder = base / purpose
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
    except OSError:
        return None
    others_write = facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if facts.st_uid != os.getuid() or others_write or not os.access(folder, os.W_OK):
        return None
    return folder
