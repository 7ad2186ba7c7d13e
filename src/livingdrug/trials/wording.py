"""The words by which reports name sets of patients, endpoints, times and scales, brought to one form.

Two texts mean the same if their plain forms are equal. Only wordings that surely mean the same are brought together,
with one exception: "grade 3-4" is read as ">= 3", though it leaves out the deaths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["KEYS", "plain", "plain_keys", "plain_unit"]

KEYS = ("trial", "arm", "population", "endpoint", "timepoint", "grading_scale")
"""What tells the lines of a forecast apart, and by which an observed table is joined."""
COMMON = ((r"\([^)]*\)", " "), ("≥", ">="), ("–", "-"))
WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    "endpoint": (
        (r">=\s+(?=\d)", ">="),
        (r"\bgrades? ?(>=3|3-4|3/4|3 or 4|3 or higher|3\+)", ">=3"),
        (r"\bany grade\b", "any"),
        (r"\bcytokine release syndrome\b", "crs"),
        (r"\b(neurologic(al)? (toxicit(y|ies)|events?)|neurotoxicity|neuro|nt|ne)\b", "neurotoxicity"),
        (r"^tocilizumab (for crs|use)$", "tocilizumab"),
        (r"\boverall survival\b", "os"),
        (r"\bprogression-free survival\b", "pfs"),
        (r"\bevent-free survival\b", "efs"),
        (r"\brelapse-free survival\b", "rfs"),
        (r"\bduration of (response|remission)\b", "dor"),
        (r"\b(overall|objective) response( rate)?\b", "orr"),
        (r"\bcomplete (response|remission)( rate)?\b", "cr"),
        (r"\bmedian( time to)?\b", ""),  # the unit and the time tell it from a share
    ),
    "population": (
        (r"^(all infused|infused patients|all treated|treated)$", "infused"),
        (r"^all enrolled$", "enrolled"),
    ),
    "timepoint": (
        (r"^(\d+)[ -]?months?$", r"month \1"),
        (r"^(\d+)[ -]?days?$", r"day \1"),
    ),
    "grading_scale": ((r"^ctcae\b.*$", "ctcae"),),
}
YEARS = re.compile(r"^(?:years? )?(\d+)[ -]?(?:years?)?$")
TIME_AT_END = re.compile(r"^(.+?),? (?:at )?((?:within )?(?:\d+[ -](?:day|week|month|year)s?|(?:day|month|year) \d+))$")
UNITS = ((r";.*$", ""), (r" genomic dna\b", ""), (r"\bcopies\b", "copy"), (r"\bcells\b", "cell"))


def plain(key: str, text: object) -> str:
    """Return the plain form of a text.

    Args:
        key: what the text names, one of ``KEYS``.
        text: the text, e.g. ``"Infused (n=79)"``.

    Example:
        >>> plain("population", "All infused (n=79)"), plain("endpoint", "neurologic events grade 3-4")
        ('infused', 'neurotoxicity >=3')
        >>> plain("timepoint", "2 years"), plain("endpoint", "CRS onset median")
        ('month 24', 'crs onset')
    """
    found = str(text).casefold()
    for pattern, by in COMMON:
        found = re.sub(pattern, by, found)
    found = " ".join(found.split())
    years = YEARS.match(found) if key == "timepoint" and "year" in found else None
    if years:
        return f"month {12 * int(years[1])}"
    for pattern, by in WORDS.get(key, ()):
        found = re.sub(pattern, by, found)
    return " ".join(found.split())


def plain_unit(text: object) -> str:
    """Return the plain form of a unit; what stands behind a semicolon is no part of it.

    Example:
        >>> plain_unit("copies/ug genomic DNA; CV 173.8%")
        'copy/ug'
    """
    found = str(text).casefold()
    for pattern, by in UNITS:
        found = re.sub(pattern, by, found)
    return found.strip()


def plain_keys(row: Mapping[str, object]) -> dict[str, str]:
    """Return the plain form of all keys of a line; a time at the end of the endpoint goes where times stand.

    Example:
        >>> found = plain_keys({"trial": "A", "endpoint": "overall survival 12 months"})
        >>> found["endpoint"], found["timepoint"], found["arm"]
        ('os', 'month 12', '')
    """
    texts = {key: str(row.get(key, "")) for key in KEYS}
    ends = TIME_AT_END.match(texts["endpoint"].strip()) if not texts["timepoint"].strip() else None
    if ends:
        texts["endpoint"], texts["timepoint"] = ends[1], ends[2]
    return {key: plain(key, text) for key, text in texts.items()}
