"""The words by which reports name sets of patients, endpoints, times and scales, brought to one form.

Two texts mean the same if their plain forms are equal. Only wordings that surely mean the same are brought together,
with two exceptions: "grade 3-4" is read as ">= 3", though it leaves out the deaths, and those who could be evaluated
are read as the infused, as the twin can evaluate all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["KEYS", "plain", "plain_keys", "plain_unit"]

KEYS = ("trial", "arm", "population", "endpoint", "timepoint", "grading_scale")
"""What tells the lines of a forecast apart, and by which an observed table is joined."""
COMMON = ((r"\([^)]*\)", " "), ("≥", ">="), ("–", "-"))
WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    "trial": ((r"[ _-]", ""),),
    "endpoint": (
        (r">=\s+(?=\d)", ">="),
        (r"\bgrades? ?(>=3|3-4|3/4|3 or 4|3 or higher|3\+)", ">=3"),
        (r"\bany grade\b", "any"),
        (r"\bcytokine release syndrome\b", "crs"),
        (r"\bimmune effector cell-associated neurotoxicity syndrome\b", "icans"),
        (r"\b(neurologic(al)? (toxicit(y|ies)|events?)|neurotoxicity|neuro|nt|ne)\b", "neurotoxicity"),
        (r"^tocilizumab (for crs|use)$", "tocilizumab"),
        (r"\boverall survival\b", "os"),
        (r"\bprogression-free survival\b", "pfs"),
        (r"\bevent-free survival\b", "efs"),
        (r"\brelapse-free survival\b", "rfs"),
        (r"\bduration of (response|remission)\b", "dor"),
        (r"\b(overall|objective) response( rate)?\b", "orr"),
        (r"\bcomplete (response|remission)( rate)?\b", "cr"),
        (r"^crs time to resolution\b", "crs duration"),
        (r"^(cr/scr|scr/cr|cr or better|>= ?cr)$", "cr"),
        (r"^>= ?vgpr$", "vgpr or better"),
        (r"\b(dor|pfs|efs|rfs|os) (relapse-free|event-free|rate)\b", r"\1"),
        (r"\bhr\b", "hazard ratio"),
        (r"^hazard ratio,? (?:for |of )?(pfs|efs|os)$", r"\1 hazard ratio"),
        (r"\bauc ?0-(day )?28( ?d(ays)?)?\b", "auc28"),
        (r"^(t1/2|(terminal )?half-life)", "half_life"),
        (r"^(mechanical ventilation|intubation)$", "ventilated"),
        (r"^vasopressors$", "vasopressor"),
        (r"^(corticosteroids?|steroids)( use)?$", "steroid"),
        (
            r"^(cr/cri with )?(mrd|minimal residual disease)[- ]negativ(e|ity)( marrow| rate)?$",
            "residual disease negative",
        ),
        (r"^(cd19|cd22|bcma|target)-negative relapse$", "antigen-negative relapse"),
        (r"\bmedian( time to)?\b", ""),  # the unit and the time tell it from a share
        (r"^(cmax|auc28|half_life) (arithmetic |geometric )?mean$", r"\1"),  # the statistic is told apart elsewhere
    ),
    "population": (
        (r"^(all infused|infused patients|all treated|treated)$", "infused"),
        (r"^(safety|(efficacy-)?evaluable|modified itt|mitt)( set| population)?$", "infused"),
        (r"^(all )?(enrolled|(enrolled/)?apheresed|leukapheresed|randomi[sz]ed)$", "enrolled"),
        (r"^(itt|intention[- ]to[- ]treat)( set| population)?$", "enrolled"),
    ),
    "arm": (
        (
            r"^(soc|standard[- ]of[- ]care|standard (therapy|treatment|regimens?)|control|comparator)( arm)?$",
            "standard",
        ),
        (r" arm$", ""),
    ),
    "timepoint": (
        (r"^(\d+)[ -]?months?$", r"month \1"),
        (r"^(\d+)[ -]?days?$", r"day \1"),
    ),
    "grading_scale": tuple((rf"^{name}\b.*$", name) for name in ("ctcae", "lee", "penn", "astct")),
}
YEARS = re.compile(r"^(?:years? )?(\d+)[ -]?(?:years?)?$")
TIME_AT_END = re.compile(r"^(.+?),? (?:at )?((?:within )?(?:\d+[ -](?:day|week|month|year)s?|(?:day|month|year) \d+))$")
ARM = re.compile(r"^(?:(.+) arm|itt (.+))$")
SICK = re.compile(r"^patients with (crs|nt|ne|icans|neurotoxicity|neurologic(al)? events?)$")
VERSUS = re.compile(r"^.+ (vs\.?|versus) .+$")
UNITS = ((r";.*$", ""), (r"^ratio$", "1"), (r" genomic dna\b", ""), (r"\bcopies\b", "copy"), (r"\bcells\b", "cell"))


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
    found = {key: plain(key, text) for key, text in texts.items()}
    arm = ARM.match(found["population"]) if not found["arm"] else None
    if arm:  # "axi-cel arm" as a set of patients is all who were randomised to it
        found["arm"], found["population"] = plain("arm", arm[1] or arm[2]), "enrolled"
    if VERSUS.match(found["population"]) and found["endpoint"].endswith("hazard ratio"):
        found["population"] = "enrolled"
    if SICK.match(found["population"]) and re.search(r" (onset|duration)$", found["endpoint"]):
        found["population"] = "infused"  # an onset is of those who had it anyway
    return found
