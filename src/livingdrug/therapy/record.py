"""Batch record: what was done to the cells, append-only, so that any later change is found.

One file per therapy event: a line per entry, chained and signed (``record_lines``), and beside it ``FILE.head``, a
signed statement of how many lines there are and how the last one ends. Without the private key nobody can change,
remove, move or add a line, or cut the file, unseen. A copy of an older head kept elsewhere also shows when record and
head together are set back to an earlier state.

Example:
    >>> import tempfile
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
from dataclasses import dataclass
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
    Material,
    Opened,
    ReleaseDecision,
    Signed,
    Step,
    entry_of,
    moment,
)
from livingdrug.therapy.record_lines import (
    LARGEST_LINE,
    START,
    canonical,
    check_public_key,
    hash_of,
    is_signed,
    new_key,
    parse,
    public_key_of,
    read_private_key,
    sign,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["BatchRecord", "Finding", "Line", "Material", "Opened", "Verification", "head_path", "new_key",
           "read_record", "sign_decision", "verify"]  # fmt: skip

FORMAT = 1
LARGEST_FILE = 64_000_000  # bytes
MOST_FINDINGS = 20
KEYS = {"chain_of_identity", "data", "format", "hash", "kind", "number", "previous", "signature", "written_at"}
HEAD_KEYS = {"bytes", "entries", "format", "hash", "signature", "signed_at"}
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Line:
    """One line of a record: number, chain of identity, when it was written, its hash, and the entry."""

    number: int
    chain_of_identity: str
    written_at: str
    hash: str
    entry: Entry


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written; ``line`` 0 is the signed head."""

    line: int
    what: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}" if self.line else f"signed head: {self.what}"


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found: number of lines, and what is wrong (nothing if the record is whole)."""

    lines: int
    findings: tuple[Finding, ...]

    @property
    def whole(self) -> bool:
        """Whether the record is as it was written."""
        return not self.findings


def head_path(path: str | Path) -> Path:
    """Return where the signed head of a record lies."""
    return Path(path).with_name(Path(path).name + ".head")


# --- reading and verifying ------------------------------------------------------------------------------------------


def verify(
    path: str | Path, public_key: str, *, kept_head: str | Path | None = None, scheme: IdentifierScheme | None = None
) -> Verification:
    """Check a record against its signed head and the plant's public key; nothing is changed.

    Args:
        path: the record; its head lies beside it.
        public_key: 64 hexadecimal digits of the key that the reader trusts.
        kept_head: an earlier head of this record that was kept elsewhere; the record must still contain what it signs.
        scheme: checks the chain-of-identity identifier too.

    Raises:
        InputError: the record cannot be read or is too large, or the key is not one.
    """
    check_public_key(public_key)
    lines, tail = _split(_read(path))
    found, hashes, _ = _walk(lines, public_key, scheme)
    if tail:
        found.append(Finding(len(lines) + 1, f"the last {len(tail)} bytes end in the middle of a line"))
    found += _against_head(head_path(path), public_key, hashes, last=True)
    if kept_head is not None:
        found += _against_head(Path(kept_head), public_key, hashes, last=False)
    return Verification(len(lines), tuple(found[:MOST_FINDINGS]))


def read_record(path: str | Path, public_key: str) -> tuple[Line, ...]:
    """Return the lines of a record that is whole; LivingDrugError names the first thing that is wrong in another."""
    checked = verify(path, public_key)
    if not checked.whole:
        raise LivingDrugError(f"{path} is not as it was written: {checked.findings[0]}; see `livingdrug record verify`")
    _, _, read = _walk(_split(_read(path))[0], public_key, None)
    return tuple(read)


def _read(path: str | Path) -> bytes:
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise InputError(f"{path}: too large for a batch record (at most {LARGEST_FILE} bytes)")
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the record cannot be read: {error.strerror or error}") from error


def _split(data: bytes) -> tuple[list[bytes], bytes]:
    *lines, tail = data.split(b"\n")
    return lines, tail


def _walk(
    lines: Iterable[bytes], public_key: str, scheme: IdentifierScheme | None
) -> tuple[list[Finding], list[str], list[Line]]:
    """Return what is wrong, the hash that each line should have, and the lines that could be read."""
    found: list[Finding] = []
    hashes: list[str] = []
    read: list[Line] = []
    previous, identity, written = START, None, ""
    for number, raw in enumerate(lines, start=1):
        try:
            entry = parse(raw)
            line, wrong = _line(entry, number, public_key)
        except InputError as error:
            line, wrong, entry = None, [str(error)], {}
        if entry.get("previous") != previous and not (line is None and wrong):
            wrong.append(f"does not follow line {number - 1}: lines were removed, inserted or moved")
        previous = hash_of(entry) if entry else "unreadable"
        hashes.append(previous)
        if line is not None:
            identity = identity or line.chain_of_identity
            if line.chain_of_identity != identity:
                wrong.append("carries another chain of identity than line 1")
            if line.written_at < written:
                wrong.append("was written before the line above it")
            written = line.written_at
            if number == 1 and scheme is not None:
                wrong += _scheme_problem(scheme, identity)
            read.append(line)
        found += [Finding(number, text) for text in wrong]
    if not hashes:
        found.append(Finding(1, "the record is empty"))
    return found, hashes, read


def _scheme_problem(scheme: IdentifierScheme, identity: str) -> list[str]:
    try:
        scheme.check(identity)
    except InputError as error:
        return [str(error)]
    return []


def _line(entry: dict[str, Any], number: int, public_key: str) -> tuple[Line | None, list[str]]:
    """Return the line and what is wrong with it on its own."""
    if set(entry) != KEYS or entry["format"] != FORMAT:
        return None, [f"not a line of a batch record of format {FORMAT}: its keys are not the expected ones"]
    wrong = []
    true_hash = hash_of(entry)
    if entry["hash"] != true_hash:
        wrong.append("its content was changed: it does not fit its hash")
    elif not is_signed(public_key, "line", true_hash.encode(), entry["signature"]):
        wrong.append("is not signed with this key: it was changed, or the key is another one")
    if entry["number"] != number:
        wrong.append(f"carries the number {entry['number']!r:.20}: lines were removed, inserted or moved")
    try:
        moment(entry["written_at"])
        held = entry_of(entry["kind"], entry["data"], f"line {number}")
    except InputError as error:
        return None, [*wrong, f"holds no entry that can be read: {_without_values(error)}"]
    if not isinstance(entry["chain_of_identity"], str) or not entry["chain_of_identity"]:
        return None, [*wrong, "has no chain of identity"]
    wrong += _unsigned_people(held, entry["chain_of_identity"])
    return Line(number, entry["chain_of_identity"], entry["written_at"], true_hash, held), wrong


def _without_values(error: InputError) -> str:
    """Return the message up to where it would repeat what stands in the file."""
    return str(error).split(", got ")[0].split(" '")[0]


def _unsigned_people(held: Entry, identity: str) -> list[str]:
    if not isinstance(held, ReleaseDecision):
        return []
    return [
        f"the signature of {signed.by} on the release decision is not valid"
        for signed in held.signatures
        if not is_signed(signed.public_key, "decision", _decided(held, identity, signed), signed.signature)
    ]


def _against_head(path: Path, public_key: str, hashes: list[str], *, last: bool) -> list[Finding]:
    """Return how the record differs from a signed head; ``last``: the head must be that of the last line."""
    try:
        head = _head(path, public_key)
    except InputError as error:
        return [Finding(0, str(error))]
    count, name = head["entries"], "the signed head" if last else f"the head kept in {path}"
    if count > len(hashes):
        missing = f"line {count}" if count == len(hashes) + 1 else f"lines {len(hashes) + 1} to {count}"
        return [
            Finding(len(hashes) + 1, f"{name} covers {count} lines, the record has {len(hashes)}: {missing} cut off")
        ]
    if hashes[count - 1] != head["hash"]:
        return [Finding(count, f"is not the line that {name} was signed for")]
    if last and count < len(hashes):
        return [Finding(count + 1, f"stands after the {count} lines of {name}: added, or writing was interrupted")]
    return []


def _head(path: Path, public_key: str) -> dict[str, Any]:
    """Return a signed head; InputError says why there is none, or none of this key."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= LARGEST_LINE else b""
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; the record may have been cut") from error
    try:
        head = parse(raw.removesuffix(b"\n"))
    except InputError as error:
        raise InputError(f"{path} was changed: {error}") from error
    whole = {name: head.get(name) for name in ("entries", "bytes")}
    if set(head) != HEAD_KEYS or any(type(v) is not int or v < 1 for v in whole.values()):
        raise InputError(f"{path} is not the head of a batch record")
    if not is_signed(public_key, "head", _head_content(head), head["signature"]):
        raise InputError(f"{path} is not signed with this key: it was changed, or the key is another one")
    return head


def _head_content(head: dict[str, Any]) -> bytes:
    return canonical({name: value for name, value in head.items() if name != "signature"})


# --- writing --------------------------------------------------------------------------------------------------------


def _now() -> datetime:
    return datetime.now(UTC)


def _decided(decision: ReleaseDecision, identity: str, signed: Signed) -> bytes:
    """Return what a person signs: the decision without signatures, the batch, and who, when and what it means."""
    about = {"by": signed.by, "meaning": signed.meaning, "at": signed.at}
    held = decision.model_dump(mode="json", exclude={"signatures"})
    return canonical({"chain_of_identity": identity, "decision": held, "signed": about})


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
        signed.model_copy(update={"signature": sign(key, "decision", _decided(draft, identity, signed))})
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
        write_atomically(head_path(path), _signed_head(1, len(raw), line.hash, clock, key))
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
        write_atomically(head_path(self.path), _signed_head(line.number, size, line.hash, self._clock, self._key))

    def _resume(self) -> None:
        """Read the record, and complete or cut off what a kill has left after the signed head."""
        public = public_key_of(self._key)
        try:
            head = _head(head_path(self.path), public)
        except InputError as error:
            raise LivingDrugError(str(error)) from error
        data = _read(self.path)
        covered, rest = data[: head["bytes"]], data[head["bytes"] :]
        lines, torn = _split(covered)
        found, hashes, read = _walk(lines, public, None)
        found += _against_head(head_path(self.path), public, hashes, last=True)
        if found or torn:
            what = found[0] if found else "it was cut in the middle of a line"
            raise LivingDrugError(f"{self.path} is not as it was written: {what}")
        self._lines, self._bytes = read, head["bytes"]
        if not rest:
            return
        if rest.count(b"\n") == 1 and rest.endswith(b"\n"):
            found, _, read = _walk([*lines, rest[:-1]], public, None)
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


def _signed_head(entries: int, size: int, digest: str, clock: Clock, key: Ed25519PrivateKey) -> bytes:
    head = {"format": FORMAT, "entries": entries, "bytes": size, "hash": digest, "signed_at": clock().strftime(MOMENT)}
    return canonical({**head, "signature": sign(key, "head", _head_content(head))}) + b"\n"


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
