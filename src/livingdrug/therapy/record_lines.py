"""Lines of a batch record: strict JSON in canonical form, chained by SHA-256, signed with Ed25519.

A line is one JSON object in the canonical form of RFC 8785. Its hash covers everything in it but hash and signature,
so also the hash of the line before.

Source:
    ``rfc8785`` (canonical form), ``rfc8032`` (Ed25519).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livingdrug.errors import InputError, LivingDrugError, MissingExtra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["LARGEST_LINE", "START", "canonical", "check_public_key", "hash_of", "is_signed", "new_key", "parse",
           "public_key_of", "read_private_key", "read_public_key", "sign"]  # fmt: skip

START = "0" * 64
LARGEST_LINE = 256_000  # bytes
LARGEST_WHOLE = 2**53 - 1
DIGITS = 25
DEEPEST = 20
LARGEST_KEY = 10_000  # bytes
FEATURE = "a batch record"


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of a value (RFC 8785); what JSON cannot say exactly is an InputError.

    Example:
        >>> canonical({"b": 1.0, "a": "é"}).decode()
        '{"a":"é","b":1}'
    """
    try:
        import rfc8785
    except ImportError as error:
        raise MissingExtra(FEATURE, "rfc8785", "record") from error
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise InputError(f"a record cannot hold this value: {error}") from error
    except RecursionError as error:
        raise InputError("a record cannot hold this value: it is nested too deeply") from error


def parse(line: bytes) -> dict[str, Any]:
    """Return the object on a line; InputError says why it is none, or why it is not in canonical form.

    Example:
        >>> parse(b'{"a":1,"a":2}')
        Traceback (most recent call last):
        livingdrug.errors.InputError: the key 'a' stands there twice
    """
    if len(line) > LARGEST_LINE:
        raise InputError(f"{len(line)} bytes are too many (at most {LARGEST_LINE})")
    try:
        found = json.loads(
            line.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_real,
        )
    except UnicodeDecodeError as error:
        raise InputError(f"not a text in UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise InputError("nested too deeply") from error
    if not isinstance(found, dict):
        raise InputError("not a JSON object")
    if _depth(found) > DEEPEST:
        raise InputError("nested too deeply")
    if canonical(found) != line:
        raise InputError("not in canonical form: spaces, order of keys, or how a number or character is written")
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise InputError(f"the key {next(key for key in keys if keys.count(key) > 1)!r:.40} stands there twice")
    return found


def _no_constant(word: str) -> float:
    raise InputError(f"{word} is not a number of JSON")


def _whole(text: str) -> float:
    if len(text) > DIGITS:
        raise InputError(f"a whole number of {len(text)} digits is too large")
    # beyond 2**53 only those that a float is exactly are written; the canonical form shows the others
    return int(text) if abs(int(text)) <= LARGEST_WHOLE else float(text)


def _real(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise InputError(f"the number {text[:DIGITS]} is too large")
    return found


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(item) for item in inner), default=0)


def hash_of(entry: dict[str, Any]) -> str:
    """Return the SHA-256 of an entry without its hash and signature, in hexadecimal digits."""
    return hashlib.sha256(canonical({k: v for k, v in entry.items() if k not in ("hash", "signature")})).hexdigest()


def sign(key: Ed25519PrivateKey, purpose: str, content: bytes) -> str:
    """Return the signature of some content for one purpose, in hexadecimal digits."""
    return key.sign(_purposed(purpose, content)).hex()


def is_signed(public_key: str, purpose: str, content: bytes, signature: object) -> bool:
    """Return whether the signature is that of the key (64 hexadecimal digits) for this content and purpose."""
    if not isinstance(signature, str) or not re.fullmatch("[0-9a-f]{128}", signature):
        return False  # one way to write it: no capitals, no spaces
    _ed25519()
    from cryptography.exceptions import InvalidSignature

    try:
        _public(public_key).verify(bytes.fromhex(signature), _purposed(purpose, content))
    except (InvalidSignature, ValueError):
        return False
    return True


def check_public_key(public_key: object) -> None:
    """Refuse what is not the 64 hexadecimal digits of a public key; the message says where they come from."""
    if not isinstance(public_key, str) or not re.fullmatch("[0-9a-f]{64}", public_key):
        raise InputError("the public key must be its 64 hexadecimal digits; read_public_key(FILE.pub) returns them")


def _purposed(purpose: str, content: bytes) -> bytes:
    return f"livingdrug batch record 1, {purpose}\n".encode() + content


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingExtra(FEATURE, "cryptography", "record") from error
    return ed25519


def _public(public_key: str) -> Any:
    return _ed25519().Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))


def public_key_of(key: Ed25519PrivateKey) -> str:
    """Return the public key of a private one as 64 hexadecimal digits."""
    return key.public_key().public_bytes_raw().hex()


def new_key(path: str | Path) -> str:
    """Make a key pair: the private key in a file that only the user may read, the public one beside it (``.pub``).

    Returns:
        The public key as 64 hexadecimal digits.

    Raises:
        InputError: one of the files exists; a key is never written over.
    """
    private = Path(path)
    public = private.with_name(private.name + ".pub")
    key = _ed25519().Ed25519PrivateKey.generate()
    from cryptography.hazmat.primitives import serialization as form

    secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    shown = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    if public.exists():
        raise InputError(f"{public} exists; a key is never written over, choose another name")
    try:
        for file, content, mode in ((private, secret, 0o600), (public, shown, 0o644)):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
                out.write(content)
    except FileExistsError as error:
        raise InputError(f"{error.filename} exists; a key is never written over, choose another name") from error
    except OSError as error:
        raise LivingDrugError(f"cannot write the key {private}: {error.strerror or error}") from error
    return public_key_of(key)


def read_private_key(path: str | Path, password: bytes | None = None) -> Ed25519PrivateKey:
    """Read a private key (PEM); a file that is none, or of another kind of key, is an InputError."""
    _ed25519()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _key_file(path)
    try:
        key = load_pem_private_key(content, password)
    except (ValueError, TypeError, _unsupported()) as error:
        raise InputError(f"{path}: not a private key in PEM, or its password is wrong or missing") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path}: the private key must be of the kind Ed25519")
    return key


def read_public_key(path: str | Path) -> str:
    """Read a public key (PEM) and return its 64 hexadecimal digits; a file that is none is an InputError."""
    _ed25519()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _key_file(path)
    try:
        key = load_pem_public_key(content)
    except (ValueError, _unsupported()) as error:
        raise InputError(f"{path}: not a public key in PEM; expected the file that ends in .pub") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path}: the public key must be of the kind Ed25519")
    return key.public_bytes_raw().hex()


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm


def _key_file(path: str | Path) -> bytes:
    try:
        if Path(path).stat().st_size > LARGEST_KEY:
            raise InputError(f"{path}: too large for a key")
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the key cannot be read: {error.strerror or error}") from error
