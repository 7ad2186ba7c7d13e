"""Batch record: what was done to the cells, append-only, so that any later change is found.

One file per therapy event: a line per entry, chained and signed (``record_lines``), and beside it ``FILE.head``, a
signed statement of how many lines there are and how the last one ends. Without the private key nobody can change,
remove, move or add a line, or cut the file, unseen. A copy of an older head kept elsewhere also shows when record and
head together are set back to an earlier state.

Example:
    >>> import tempfile
    >>> from livingdrug.therapy.record_entries import Material, Opened
    >>> from livingdrug.therapy.record_lines import new_key
    >>> from livingdrug.therapy.record_reading import verify
    >>> folder = Path(tempfile.mkdtemp())
    >>> public = new_key(folder / "plant.pem")
    >>> with BatchRecord.create(
    ...     folder / "batch.jsonl",
    ...     OPAQUE.new(),
    ...     folder / "plant.pem",
    ...     Opened(at="2026-01-05T08:00:00Z", by="QA-1", product="example", scheme="opaque"),
    ... ) as record:
    ...     number = record.append(
    ...         Material(at="2026-01-05T09:00:00Z", by="OP-1", name="beads", lot="L1", expires="2027-01-01")
    ...     )
    >>> number, verify(folder / "batch.jsonl", public).whole
    (2, True)
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from livingdrug.errors import InputError, LivingDrugError
from livingdrug.storage import write_atomically
from livingdrug.therapy.identity import OPAQUE, IdentifierScheme
from livingdrug.therapy.record_entries import (
    MOMENT,
    STEPS,
    Correction,
    Deviation,
    Entry,
    Infusion,
    Interruption,
    Opened,
    ReleaseDecision,
    Signed,
    Step,
)  # fmt: skip
from livingdrug.therapy.record_lines import (
    START,
    canonical,
    hash_of,
    parse,
    public_key_of,
    read_private_key,
    sign,
)  # fmt: skip
from livingdrug.therapy.record_reading import (
    FORMAT,
    Line,
    against_head,
    decided,
    head_content,
    head_path,
    record_bytes,
    signed_head,
    split_lines,
    walk,
)  # fmt: skip

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["BatchRecord", "sign_decision"]

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


def sign_decision(
    identity: str, signers: Iterable[tuple[str, str, Ed25519PrivateKey]], **decision: Any
) -> ReleaseDecision:
    """Return a release decision with the signatures of people.

    Args:
        identity: chain of identity of the batch.
        signers: code of the person, what the signature means, and the person's private key.
        decision: the fields of ``ReleaseDecision`` but the signatures.
    """
    people = [(by, meaning, key) for by, meaning, key in signers]
    if not people:
        raise InputError("a release decision needs at least one signature")
    at = decision.get("at", "")
    blank = [
        Signed(by=by, meaning=meaning, at=at, public_key=public_key_of(key), signature="0" * 128)
        for by, meaning, key in people
    ]
    draft = ReleaseDecision(**decision, signatures=tuple(blank))
    done = [
        signed.model_copy(update={"signature": sign(key, "decision", decided(draft, identity, signed))})
        for signed, (_, _, key) in zip(blank, people, strict=True)
    ]
    return draft.model_copy(update={"signatures": tuple(done)})


class BatchRecord:
    """A record that is open for appending, and locked against a second writer; use it in a ``with`` block.

    An entry is in the record once ``append`` has returned: line and head are on the disk. A kill before that leaves
    either nothing of it, or a line that the next ``open`` completes or cuts off, and says so in an entry of its own.
    """

    def __init__(self, path: Path, key: Ed25519PrivateKey, lines: tuple[Line, ...], file: int, clock: Clock) -> None:
        self.path = path
        self._key, self._clock, self._file = key, clock, file
        self._lines = list(lines)
        self._bytes = 0

    @classmethod
    def create(
        cls,
        path: str | Path,
        identity: str,
        key: Ed25519PrivateKey | str | Path,
        opened: Opened,
        *,
        scheme: IdentifierScheme = OPAQUE,
        clock: Clock = _now,
    ) -> Self:
        """Begin a record.

        Args:
            path: a file that does not exist yet.
            identity: chain of identity of this therapy event; must fit the scheme.
            key: the plant's private key, or its file.
            opened: the first entry.
            scheme: of the identifier.
            clock: says when a line is written.

        Raises:
            InputError: the file exists, or the identifier is missing or does not fit.
        """
        path, scheme_checked = Path(path), scheme.check(identity)
        key = key if not isinstance(key, str | Path) else read_private_key(key)
        if path.exists():
            raise InputError(f"{path} exists; a record is never written over, open it to append")
        line, raw = _made(opened, 1, START, scheme_checked, clock, key)
        # the head first: a record without its head is refused, a head without its record begins anew
        write_atomically(head_path(path), _new_head(1, len(raw), line.hash, clock, key))
        write_atomically(path, raw)
        return cls.open(path, key, clock=clock)

    @classmethod
    def open(cls, path: str | Path, key: Ed25519PrivateKey | str | Path, *, clock: Clock = _now) -> Self:
        """Open a record for appending; it is verified first, and an interrupted append is put right.

        Raises:
            LivingDrugError: the record is not as it was written, or is open elsewhere.
        """
        path = Path(path)
        key = key if not isinstance(key, str | Path) else read_private_key(key)
        file = _locked(path)
        try:
            record = cls(path, key, (), file, clock)
            record._resume()
        except BaseException:
            os.close(file)
            raise
        return record

    def __repr__(self) -> str:
        return f"<BatchRecord: {len(self._lines)} lines>"

    def __len__(self) -> int:
        return len(self._lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines so far."""
        return tuple(self._lines)

    @property
    def identity(self) -> str:
        """The chain of identity."""
        return self._lines[0].chain_of_identity

    def close(self) -> None:
        """Close the file and give the lock back."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def append(self, entry: Entry) -> int:
        """Append an entry and return its line number; it is on the disk when this returns.

        Raises:
            InputError: the entry cannot follow the earlier ones, e.g. a harvest before the collection.
            LivingDrugError: it could not be written; the record is as before.
        """
        if self._file < 0:
            raise InputError("this record is closed; open it again to append")
        _check_follows(self._lines, entry)
        last = self._lines[-1]
        line, raw = _made(
            entry, len(self._lines) + 1, last.hash, self.identity, self._clock, self._key, last.written_at
        )
        try:
            self._write(raw)
            self._write_head(line, self._bytes + len(raw))
        except (OSError, LivingDrugError) as error:
            with contextlib.suppress(OSError):  # where even this fails, the next open puts it right
                os.ftruncate(self._file, self._bytes)
            raise LivingDrugError(f"{self.path}: the entry could not be written and is not in it: {error}") from error
        self._bytes += len(raw)
        self._lines.append(line)
        return line.number

    def decide(self, signers: Iterable[tuple[str, str, Ed25519PrivateKey]], **decision: Any) -> int:
        """Append a signed release decision; arguments as for ``sign_decision``."""
        return self.append(sign_decision(self.identity, signers, **decision))

    def _write(self, raw: bytes) -> None:
        os.lseek(self._file, 0, os.SEEK_END)
        left = memoryview(raw)
        while left:
            left = left[os.write(self._file, left) :]
        os.fsync(self._file)

    def _write_head(self, line: Line, size: int) -> None:
        write_atomically(head_path(self.path), _new_head(line.number, size, line.hash, self._clock, self._key))

    def _resume(self) -> None:
        """Read the record, and complete or cut off what a kill has left after the signed head."""
        public = public_key_of(self._key)
        try:
            head = signed_head(head_path(self.path), public)
        except InputError as error:
            raise LivingDrugError(str(error)) from error
        data = record_bytes(self.path)
        covered, rest = data[: head["bytes"]], data[head["bytes"] :]
        lines, torn = split_lines(covered)
        found, hashes, read = walk(lines, public, None)
        found += against_head(head_path(self.path), public, hashes, last=True)
        if found or torn:
            what = found[0] if found else "it was cut in the middle of a line"
            raise LivingDrugError(f"{self.path} is not as it was written: {what}")
        self._lines, self._bytes = read, head["bytes"]
        if not rest:
            return
        if rest.count(b"\n") == 1 and rest.endswith(b"\n"):
            found, _, read = walk([*lines, rest[:-1]], public, None)
            if not found:
                self._lines, self._bytes = read, len(data)
                self._write_head(read[-1], len(data))
                self._interrupted(b"", "the last line was written before a kill, its head was not")
                return
        if b"\n" in rest:
            raise LivingDrugError(f"{self.path}: lines after the signed head that this key did not sign")
        os.ftruncate(self._file, self._bytes)
        os.fsync(self._file)
        self._interrupted(rest, "an unfinished line was cut off")

    def _interrupted(self, cut: bytes, what: str) -> None:
        now = self._clock().strftime(MOMENT)
        digest = hashlib.sha256(cut).hexdigest()
        self.append(Interruption(at=now, by="livingdrug", cut_bytes=len(cut), cut_sha256=digest, what=what))


def _locked(path: Path) -> int:
    try:
        file = os.open(path, os.O_RDWR)
    except OSError as error:
        raise InputError(f"{path}: the record cannot be opened: {error.strerror or error}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise LivingDrugError(f"{path} is open for appending elsewhere; close it there first") from error
    return file


def _made(
    entry: Entry, number: int, previous: str, identity: str, clock: Clock, key: Ed25519PrivateKey, after: str = ""
) -> tuple[Line, bytes]:
    """Return the line of an entry and its bytes; a clock that was set back does not turn the order round."""
    written = max(clock().strftime(MOMENT), after)
    held = {
        "chain_of_identity": identity,
        "data": entry.model_dump(mode="json"),
        "format": FORMAT,
        "kind": entry.kind,
        "number": number,
        "previous": previous,
        "written_at": written,
    }
    digest = hash_of(held)
    raw = canonical({**held, "hash": digest, "signature": sign(key, "line", digest.encode())}) + b"\n"
    parse(raw[:-1])  # nothing is written that could not be read again
    return Line(number, identity, written, digest, entry), raw


def _new_head(entries: int, size: int, digest: str, clock: Clock, key: Ed25519PrivateKey) -> bytes:
    head = {"format": FORMAT, "entries": entries, "bytes": size, "hash": digest, "signed_at": clock().strftime(MOMENT)}
    return canonical({**head, "signature": sign(key, "head", head_content(head))}) + b"\n"


def _check_follows(lines: list[Line], entry: Entry) -> None:
    """Refuse what cannot follow the earlier entries; deviations from the plan are no such thing."""
    if isinstance(entry, Opened):
        raise InputError("a record is opened once; one record belongs to one therapy event")
    about = (
        entry.concerns if isinstance(entry, Deviation) else entry.corrects if isinstance(entry, Correction) else None
    )
    if about is not None and about > len(lines):
        raise InputError(f"{entry.kind}: entry {about} does not exist, allowed 1 to {len(lines)}")
    place = _place(entry)
    for line in lines:
        earlier = _place(line.entry)
        if place is not None and earlier is not None and earlier < place and entry.at < line.entry.at:
            name, before = _step_name(entry), _step_name(line.entry)
            raise InputError(
                f"{name} is at {entry.at}, allowed {line.entry.at} ({before}, line {line.number}) or later"
            )


def _place(entry: Entry) -> int | None:
    """Return where an entry stands in the order of the process; None if it has no place."""
    if isinstance(entry, Step):
        return STEPS.index(entry.step)
    return len(STEPS) if isinstance(entry, Infusion) else None


def _step_name(entry: Entry) -> str:
    return entry.step if isinstance(entry, Step) else entry.kind
