"""Sources: every key has what a citation needs, and says what was only recalled."""

from __future__ import annotations

import pytest

from livingdrug.errors import InputError
from livingdrug.sources import cite, source_keys, split_source, to_bibtex

NEEDED = {
    *("kimmel2021", "kirouac2023", "stein2019", "fraietta2018", "neelapu2017", "neelapu2023", "locke2018", "locke2019"),
    *("steinebach2023", "salmon2011", "kendall1948", "mstadt2024", "cartecology", "nlmixr2lib", "oreilly2023"),
}


def test_the_sources_of_the_foundation_are_there():
    assert NEEDED.issubset(source_keys())


@pytest.mark.parametrize("key", source_keys())
def test_an_entry_is_complete(key):
    source = cite(key)
    assert source.title
    assert source.authors
    assert 1900 < source.year < 2100
    assert source.note, "says what was read and what was recalled"
    assert source.title in str(source)


def test_unknown_key():
    with pytest.raises(InputError, match="unknown source 'kimmel2012'; did you mean 'kimmel2021'"):
        cite("kimmel2012")


def test_bibtex_keeps_all_fields():
    text = to_bibtex(["kendall1948", "kimmel2021"])
    assert text.count("@article{") == 2
    assert "doi = {10.1098/rspb.2021.0229}" in text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("table 1", ("kimmel2021", "table 1")),
        ("stein2019: table 1", ("stein2019", "table 1")),
        ("stein2019", ("stein2019", "")),
        ("assumed", ("assumed", "")),
        ("recalled: a review", ("recalled", "a review")),
        ("table 1; 6 cell/uL", ("kimmel2021", "table 1; 6 cell/uL")),
    ],
)
def test_source_of_a_number(text, found):
    assert split_source(text, own="kimmel2021") == found
