"""Random numbers that belong to one patient and one purpose.

Every number is computed from its address (seed, patient identifier, purpose, index) by the counter-based generator
Philox4x32-10 (Salmon et al. 2011, Random123), so nothing depends on the order of the patients, the size of a block
or the number of threads, and two arms of a trial share the luck of their patients.

Example:
    >>> import numpy as np
    >>> both = uniform(seed=1, patient_ids=[7, 8], purpose="weight", count=3)
    >>> bool(np.all(both[1] == uniform(1, [8], "weight", 3)[0]))
    True
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError

__all__ = [
    "Purpose", "normal", "patient_words", "philox4x32", "philox_words", "purpose_number", "seed_words", "uniform",
]  # fmt: skip

Words = NDArray[np.uint64]

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_ROUNDS = 10


class Purpose(IntEnum):
    """The decisions that have a stream number of their own; any other name gets a number from its hash."""

    JUMPS = 0x4A000000  # of the engine: the first jump process; the second has the next number
    COLLECTION_EFFICIENCY = 10
    PROCESSED_VOLUME = 11
    T_CELL_RECOVERY = 20
    GENE_COPIES = 21
    GROWTH_RATE = 30
    GROWTH_LAG = 31
    CULTURE_CAPACITY = 32
    CULTURE_DURATION = 33
    SEEDING_LIMIT = 34
    VIABILITY = 35
    MANUFACTURING_FAILURE = 36
    WAITING_DURATION = 40
    WAITING_EVENT = 41
    LYMPHODEPLETION = 50


def philox4x32(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]:
    """Encrypt counters with ten Philox rounds.

    Args:
        counter: 32-bit words, shape (..., 4).
        key: 32-bit words, shape (..., 2), broadcast against the counters.

    Returns:
        Random 32-bit words, shape (..., 4).

    Source:
        Salmon et al. 2011 (``salmon2011``), section 4; constants of Random123.
    """
    words = np.asarray(counter, np.uint64)
    found = philox_words(*(words[..., i] for i in range(4)), key=key)
    return np.stack(np.broadcast_arrays(*found), axis=-1).astype(np.uint32)


def philox_words(c0: ArrayLike, c1: ArrayLike, c2: ArrayLike, c3: ArrayLike, *, key: ArrayLike) -> tuple[Words, ...]:
    """Return the four words of ``philox4x32`` apart; what is the same for all patients may be one number.

    Example:
        >>> apart = philox_words(3, 1, np.array([7, 8], np.uint64), 0, key=[5, 0])
        >>> bool(np.all(np.stack(apart, -1) == philox4x32([[3, 1, 7, 0], [3, 1, 8, 0]], [5, 0])))
        True
    """
    keys = np.asarray(key, np.uint64)
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in (c0, c1, c2, c3))
    k0, k1 = keys[..., 0], keys[..., 1]
    for _ in range(_ROUNDS):
        p0, p1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _KEY_STEPS[0]) & _LOW, (k1 + _KEY_STEPS[1]) & _LOW
    return c0, c1, c2, c3


def seed_words(seed: int) -> tuple[int, int]:
    """Return the low and the high 32 bits of a seed from 0 to 2**64 - 1; anything else is an InputError."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= int(seed) < 2**64:
        raise InputError(f"seed must be a whole number from 0 to 2**64 - 1, got {seed!r}")
    return int(seed) & 0xFFFFFFFF, int(seed) >> 32


def patient_words(patient_ids: ArrayLike) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the low and the high 32 bits of patient identifiers (whole numbers from 0 to 2**64 - 1), shape (n,)."""
    found = np.atleast_1d(np.asarray(patient_ids))
    if found.size == 0:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    if found.dtype.kind not in "iu" or found.ndim != 1 or np.any(found < 0):
        raise InputError(
            f"patient identifiers must be a row of whole numbers from 0 to 2**64 - 1, got {found.dtype} {found.shape}"
        )
    ids = found.astype(np.uint64)
    return ids & _LOW, ids >> _32


def purpose_number(purpose: str | int) -> int:
    """Return the stream number of a purpose: its entry in ``Purpose``, else 2**31 or more from a hash of the name.

    Example:
        >>> purpose_number("viability"), purpose_number("weight") >= 2**31
        (35, True)
    """
    if isinstance(purpose, int) and not isinstance(purpose, bool):
        if not 0 <= purpose < 2**32:
            raise InputError(f"the number of a purpose must lie between 0 and 2**32 - 1, got {purpose}")
        return int(purpose)
    if not isinstance(purpose, str) or not purpose:
        raise InputError(f"a purpose is a name or a number, got {purpose!r}")
    if purpose.upper() in Purpose.__members__:
        return int(Purpose[purpose.upper()])
    digest = hashlib.blake2b(purpose.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") | 0x80000000


def uniform(seed: int, patient_ids: ArrayLike, purpose: str | int, count: int = 1) -> NDArray[np.float64]:
    """Return uniform numbers strictly between 0 and 1, shape (patient, count), with 53 random bits each.

    Block ``i`` of a stream gives the numbers ``2 i`` and ``2 i + 1``; its counter is (i, purpose, patient low,
    patient high) and the key is (seed low, seed high).

    Raises:
        InputError: the seed, an identifier, the purpose or the count is not a whole number in its range.
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 0 <= count <= 2**33:
        raise InputError(f"count must be a whole number from 0 to 2**33, got {count!r}")
    key = np.array(seed_words(seed), np.uint64)
    low, high = patient_words(patient_ids)
    blocks = (int(count) + 1) // 2
    counter = np.empty((low.size, blocks, 4), np.uint64)
    counter[..., 0] = np.arange(blocks, dtype=np.uint64)
    counter[..., 1] = purpose_number(purpose)
    counter[..., 2] = low[:, None]
    counter[..., 3] = high[:, None]
    words = philox4x32(counter, key).astype(np.uint64).reshape(low.size, 2 * blocks, 2)
    high_bits, low_bits = words[..., 0] >> np.uint64(5), words[..., 1] >> np.uint64(6)
    # the sum needs 54 bits; its even rounding could only reach 1.0 at the very last value, which is kept below it
    numbers = (high_bits.astype(np.float64) * 2.0**26 + low_bits.astype(np.float64) + 0.5) * 2.0**-53
    return np.minimum(numbers, np.nextafter(1.0, 0.0))[:, :count]


def normal(seed: int, patient_ids: ArrayLike, purpose: str | int, count: int = 1) -> NDArray[np.float64]:
    """Return standard normal numbers, shape (patient, count): the normal quantile of ``uniform``, errors alike."""
    from scipy.special import ndtri

    return np.asarray(ndtri(uniform(seed, patient_ids, purpose, count)), np.float64)
