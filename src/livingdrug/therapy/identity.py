"""Chain-of-identity identifiers: one opaque identifier per therapy event, from a scheme that a site can replace.

A scheme is a name, an address (URI) and a pattern; no licensed table is shipped. The scheme that comes with livingdrug
makes random identifiers that say nothing about the patient.

Example:
    >>> OPAQUE.check(OPAQUE.new()) == OPAQUE.check(OPAQUE.new())
    False
    >>> house = IdentifierScheme("our house", "urn:example:coi", "[0-9]{8}")
    >>> house.check("20260001")
    '20260001'
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from livingdrug.errors import InputError
from livingdrug.streams import patient_words, seed_words

__all__ = ["OPAQUE", "IdentifierScheme", "simulated_identifier"]

PREFIX = "LD"
LONGEST = 100


@dataclass(frozen=True)
class IdentifierScheme:
    """How identifiers of a chain of identity look.

    Args:
        name: in words.
        system: the address that stands beside the identifier in an export.
        pattern: regular expression that the whole identifier must match.
        valid: a further check, e.g. of check characters.
        make: how a new identifier is made, where the scheme allows it.
    """

    name: str
    system: str
    pattern: str
    valid: Callable[[str], bool] = lambda _: True
    make: Callable[[], str] | None = None

    def check(self, identifier: object) -> str:
        """Return the identifier if it fits; otherwise an InputError, which does not repeat the identifier."""
        if not isinstance(identifier, str) or not identifier:
            raise InputError("the chain of identity is missing: every batch needs the identifier of its therapy event")
        if len(identifier) > LONGEST or not re.fullmatch(self.pattern, identifier) or not self.valid(identifier):
            raise InputError(
                f"the chain-of-identity identifier ({len(identifier)} characters) does not fit the scheme "
                f"{self.name!r}, pattern {self.pattern}, or its check characters are wrong"
            )
        return identifier

    def new(self) -> str:
        """Return a new identifier; a scheme whose identifiers are given by others is an InputError."""
        if self.make is None:
            raise InputError(
                f"identifiers of the scheme {self.name!r} are given elsewhere; pass the one of this therapy"
            )
        return self.check(self.make())


def _with_check(noise: bytes) -> str:
    body = base64.b32encode(noise).decode()
    return f"{PREFIX}-{body}-{_check_characters(body)}"


def _check_characters(body: str) -> str:
    return base64.b32encode(hashlib.sha256(body.encode()).digest()).decode()[:2]


def _opaque_valid(identifier: str) -> bool:
    _, body, check = identifier.split("-")
    return check == _check_characters(body)


OPAQUE = IdentifierScheme(
    name="livingdrug opaque",
    system="urn:livingdrug:chain-of-identity",
    pattern=f"{PREFIX}-[A-Z2-7]{{24}}-[A-Z2-7]{{2}}",
    valid=_opaque_valid,
    make=lambda: _with_check(secrets.token_bytes(15)),
)
"""120 random bits and two check characters."""


def simulated_identifier(seed: int, patient: int) -> str:
    """Return the identifier of a simulated patient: the same for the same seed and patient, and opaque in form.

    It can be traced back by trying all patients; it is not for real ones.
    """
    low, high = seed_words(seed)
    words = [low, high, *(int(part[0]) for part in patient_words([patient]))]
    return _with_check(hashlib.blake2b(repr(words).encode(), digest_size=15, person=b"livingdrug coi").digest())
