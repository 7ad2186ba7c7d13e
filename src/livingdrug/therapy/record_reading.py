"""Reading a batch record: is it as it was written, and what does it say.

Neither a private key nor a lock is needed: anyone who trusts a public key can check a record, its signed head and the
signatures of people in it. Writing is in ``record``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livingdrug.errors import InputError, LivingDrugError
from livingdrug.therapy.identity import IdentifierScheme
from livingdrug.therapy.record_entries import Entry, ReleaseDecision, Signed, entry_of, moment
from livingdrug.therapy.record_lines import LARGEST_LINE, START, canonical, check_public_key, hash_of, is_signed, parse

__all__ = [
    "FORMAT", "Finding", "Line", "Verification", "against_head", "decided", "head_content", "head_path", "read_record",
    "record_bytes", "signed_head", "split_lines", "verify", "walk",
]  # fmt: skip

FORMAT = 1
LARGEST_FILE = 64_000_000  # bytes
MOST_FINDINGS = 20
KEYS = {"chain_of_identity", "data", "format", "hash", "kind", "number", "previous", "signature", "written_at"}
HEAD_KEYS = {"bytes", "entries", "format", "hash", "signature", "signed_at"}


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
    lines, tail = split_lines(record_bytes(path))
    found, hashes, _ = walk(lines, public_key, scheme)
    if tail:
        found.append(Finding(len(lines) + 1, f"the last {len(tail)} bytes end in the middle of a line"))
    found += against_head(head_path(path), public_key, hashes, last=True)
    if kept_head is not None:
        found += against_head(Path(kept_head), public_key, hashes, last=False)
    return Verification(len(lines), tuple(found[:MOST_FINDINGS]))


def read_record(path: str | Path, public_key: str) -> tuple[Line, ...]:
    """Return the lines of a record that is whole; LivingDrugError names the first thing that is wrong in another."""
    checked = verify(path, public_key)
    if not checked.whole:
        raise LivingDrugError(f"{path} is not as it was written: {checked.findings[0]}; see `livingdrug record verify`")
    _, _, read = walk(split_lines(record_bytes(path))[0], public_key, None)
    return tuple(read)


def record_bytes(path: str | Path) -> bytes:
    """Return the bytes of a record; InputError if it cannot be read or is too large."""
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise InputError(f"{path}: too large for a batch record (at most {LARGEST_FILE} bytes)")
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the record cannot be read: {error.strerror or error}") from error


def split_lines(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole lines, and what stands after the last of them."""
    *lines, tail = data.split(b"\n")
    return lines, tail


def walk(
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
        if not is_signed(signed.public_key, "decision", decided(held, identity, signed), signed.signature)
    ]


def against_head(path: Path, public_key: str, hashes: list[str], *, last: bool) -> list[Finding]:
    """Return how the record differs from a signed head; ``last``: the head must be that of the last line."""
    try:
        head = signed_head(path, public_key)
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


def signed_head(path: Path, public_key: str) -> dict[str, Any]:
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
    if not is_signed(public_key, "head", head_content(head), head["signature"]):
        raise InputError(f"{path} is not signed with this key: it was changed, or the key is another one")
    return head


def head_content(head: dict[str, Any]) -> bytes:
    """Return what is signed of a head: all but the signature."""
    return canonical({name: value for name, value in head.items() if name != "signature"})


def decided(decision: ReleaseDecision, identity: str, signed: Signed) -> bytes:
    """Return what a person signs: the decision without signatures, the batch, and who, when and what it means."""
    about = {"by": signed.by, "meaning": signed.meaning, "at": signed.at}
    held = decision.model_dump(mode="json", exclude={"signatures"})
    return canonical({"chain_of_identity": identity, "decision": held, "signed": about})
