import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livingdrug.errors import InputError
from livingdrug.streams import Purpose, normal, philox4x32, purpose_number, uniform

# The vectors of Random123, file kat_vectors, lines "philox4x32 10".
KNOWN = [
    ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter, key, expected):
    assert " ".join(f"{word:08x}" for word in philox4x32(counter, key)) == expected


def test_words_become_numbers_as_stated():
    seed, patient = (5 << 32) | 9, (3 << 32) | 4
    words = philox4x32([1, Purpose.VIABILITY, 4, 3], [9, 5]).astype(np.uint64)
    expected = [((int(a) >> 5) * 2**26 + (int(b) >> 6) + 0.5) * 2.0**-53 for a, b in (words[:2], words[2:])]
    assert uniform(seed, [patient], "viability", 4)[0, 2:].tolist() == expected


@settings(deadline=None)
@given(
    st.integers(0, 2**64 - 1),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6, unique=True),
    st.integers(0, 7),
    st.randoms(use_true_random=False),
)
def test_a_stream_belongs_to_its_patient(seed, ids, count, random):
    all_ids = np.array(ids, np.uint64)
    numbers = uniform(seed, all_ids, "weight", count)
    assert numbers.shape == (len(ids), count)
    assert np.all((numbers > 0) & (numbers < 1))
    order = random.sample(range(len(ids)), len(ids))
    assert np.array_equal(uniform(seed, all_ids[order], "weight", count), numbers[order])
    assert np.array_equal(uniform(seed, all_ids[:1], "weight", count + 1)[:, :count], numbers[:1])


def test_purposes_do_not_share_a_number():
    names = ["weight", "age", "parameter:tumour_growth", *[member.name.lower() for member in Purpose]]
    assert len({purpose_number(name) for name in names}) == len(names)
    assert not np.array_equal(uniform(1, [1], "weight", 4), uniform(1, [1], "age", 4))


def test_moments_and_independence():
    numbers = normal(3, np.arange(40_000), "weight", 2)
    assert abs(numbers.mean()) < 4 / np.sqrt(80_000)
    assert abs(numbers.std() - 1) < 4 / np.sqrt(160_000)
    assert abs(np.corrcoef(numbers.T)[0, 1]) < 4 / np.sqrt(40_000)
    assert abs(np.corrcoef(numbers[1:, 0], numbers[:-1, 0])[0, 1]) < 4 / np.sqrt(40_000)


@pytest.mark.parametrize(
    ("seed", "ids", "purpose", "count"),
    [
        (-1, [1], "a", 1),
        (2**64, [1], "a", 1),
        (1.5, [1], "a", 1),
        (True, [1], "a", 1),
        (1, [-1], "a", 1),
        (1, [0.5], "a", 1),
        (1, [[1]], "a", 1),
        (1, [1], "", 1),
        (1, [1], 2**32, 1),
        (1, [1], None, 1),
        (1, [1], "a", -1),
        (1, [1], "a", 1.0),
    ],
)
def test_bad_addresses_are_refused(seed, ids, purpose, count):
    with pytest.raises(InputError):
        uniform(seed, ids, purpose, count)
