"""What trials and registries report of failures, of patients lost while waiting, and of the time from vein to vein.

Nothing here steers a stage, except the waiting hazards of diseases, which are computed from these rows.

Example:
    >>> waiting_hazard("large B-cell lymphoma").describe()
    '0.00450783 1/day'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from livingdrug.errors import InputError, unknown_name
from livingdrug.therapy.stage import Attrition
from livingdrug.therapy.stated import Fixed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PIVOTAL", "UK_REASONS", "VEIN_TO_VEIN", "Pivotal", "VeinToVein", "compare_pivotal", "compare_reasons",
           "diseases",
           "failure_shares", "waiting_hazard"]  # fmt: skip


class Pivotal(NamedTuple):
    """A pivotal trial: enrolled patients, failed manufactures, patients with a product who were not infused."""

    product: str
    disease: str
    enrolled: int
    failed: int
    made_not_infused: int
    wait_days: float
    wait_note: str


LYMPHOMA, LEUKAEMIA = "large B-cell lymphoma", "B-cell acute lymphoblastic leukaemia"
PIVOTAL = (
    Pivotal("axi-cel", LYMPHOMA, 111, 1, 9, 25.5, "median of trials"),
    Pivotal("tisa-cel", LYMPHOMA, 165, 12, 38, 52.0, "median of trials"),
    Pivotal("liso-cel", LYMPHOMA, 344, 2, 48, 35.9, "median of trials"),
    Pivotal("tisa-cel", LEUKAEMIA, 92, 7, 10, 52.0, "median of trials with tisa-cel in lymphoma, assumed"),
    Pivotal("brexu-cel", "mantle cell lymphoma", 74, 3, 3, 25.5, "that of axi-cel, assumed: same maker"),
    Pivotal("ide-cel", "multiple myeloma", 140, 1, 11, 42.0, "of one centre in practice, assumed for the trial"),
)
"""``manufacturing2021``, table 2; waits: ``veintovein2023``. For brexu-cel the table prints 3 in all, 3 + 3 is 6."""

UK_PATIENTS, UK_FAILED = 1138, 58
UK_REASONS = {"poor growth": 12, "low viability": 12, "low purity": 6, "other": 28}
"""``ukpanel2025``: failures among 1,138 patients by reason; other or not stated 28."""
GROUPS = {
    "dose too small": "poor growth",
    "viability too low": "low viability",
    "T cell purity too low": "low purity",
}


class VeinToVein(NamedTuple):
    """A published median of a span of the way, in days."""

    product: str
    setting: str
    days: float
    source: str


_META, _UK = "veintovein2023", "uktisagenlecleucel2024"
VEIN_TO_VEIN = (
    *(
        VeinToVein(product, setting, days, _META)
        for product, setting, days in (
            ("axi-cel", "all", 30.4), ("tisa-cel", "all", 48.4), ("liso-cel", "trials", 35.9),
            ("axi-cel", "trials", 25.5), ("axi-cel", "real world", 30.9), ("tisa-cel", "trials", 52.0),
            ("tisa-cel", "real world", 48.0), ("axi-cel", "US", 27.0), ("axi-cel", "Europe", 38.0),
            ("tisa-cel", "US", 42.7), ("tisa-cel", "Europe", 50.5),
        )
    ),
    VeinToVein("CD19 products", "US community: referral to consultation", 11, "communityaccess2025"),
    VeinToVein("CD19 products", "US community: consultation to apheresis", 107, "communityaccess2025"),
    VeinToVein("CD19 products", "US community: collection to infusion", 32, "communityaccess2025"),
    VeinToVein("ide-cel", "single centre: consult to collection", 38, "idecelwait2023"),
    VeinToVein("ide-cel", "single centre: collection to infusion", 42, "idecelwait2023"),
    VeinToVein("tisa-cel", "UK paediatric: screening to infusion", 60, _UK),
)  # fmt: skip


def diseases() -> tuple[str, ...]:
    """Return the diseases with a waiting hazard."""
    return tuple(dict.fromkeys(row.disease for row in PIVOTAL))


def waiting_hazard(disease: str) -> Fixed:
    """Return the hazard (1/day) of being lost between a product and its infusion, from the pivotal trials.

    Patients who had a product and were not infused, over the days waited: those infused waited the median of their
    product, those lost half of it on average. Reasons other than the disease are among them.

    Raises:
        InputError: unknown disease.
    """
    rows = [row for row in PIVOTAL if row.disease == disease]
    if not rows:
        raise InputError(unknown_name("disease", disease, diseases()))
    lost = sum(row.made_not_infused for row in rows)
    waited = sum((row.enrolled - row.failed - row.made_not_infused / 2) * row.wait_days for row in rows)
    assumed = any("assumed" in row.wait_note for row in rows)
    note = f"{lost} lost in {waited:.0f} days of waiting: " + "; ".join(f"{r.product} {r.wait_note}" for r in rows)
    value = float(f"{lost / waited:.6g}")
    return Fixed(
        value=value, unit="1/day", source="manufacturing2021", mark="assumed" if assumed else "computed", note=note
    )


def failure_shares(attrition: Attrition, enrolled: int) -> dict[str, float]:
    """Return the shares of enrolled patients who left without a product, by the reasons of the British panel.

    A patient with several failing tests counts with the first of growth, viability, purity that is among them. The
    panel's "poor growth" is set beside our "dose too small": the same event seen from the laboratory and the clinic.

    Args:
        attrition: who left, at the stages ``engineering``, ``multiplication`` and ``release``.
        enrolled: collected patients.
    """
    found = dict.fromkeys(UK_REASONS, 0)
    for stage, reason in zip(attrition.stages, attrition.reasons, strict=True):
        if stage in ("engineering", "multiplication", "release") and not reason.startswith("bad input"):
            parts = reason.split("; ")
            group = next((g for name, g in GROUPS.items() if name in parts), None)
            found[group or ("poor growth" if stage == "multiplication" else "other")] += 1
    return {name: count / max(enrolled, 1) for name, count in found.items()}


def compare_reasons(shares: Mapping[str, float]) -> pd.DataFrame:
    """Return simulated shares beside the British panel: share, 95 % interval of the published count, inside or not.

    Args:
        shares: from ``failure_shares``.
    """
    import pandas as pd

    found = {**shares, "all": sum(shares.values())}
    counts = (*UK_REASONS.items(), ("all", UK_FAILED))
    rows = [(name, *_beside(count, UK_PATIENTS, found[name])) for name, count in counts]
    return pd.DataFrame(rows, columns=["reason", *COMPARED])


def compare_pivotal(share: float) -> pd.DataFrame:
    """Return the simulated share of failed manufactures beside each pivotal trial, with its 95 % interval.

    Args:
        share: enrolled patients without a product, 0 to 1.

    Example:
        >>> table = compare_pivotal(0.01)
        >>> table.loc[table["inside"], "product"].tolist()
        ['axi-cel', 'liso-cel', 'ide-cel']
    """
    import pandas as pd

    rows = [(row.product, row.disease, *_beside(row.failed, row.enrolled, share)) for row in PIVOTAL]
    return pd.DataFrame(rows, columns=["product", "disease", *COMPARED])


COMPARED = ("failed", "of", "published", "low", "high", "simulated", "inside")


def _beside(count: int, of: int, simulated: float) -> tuple[int, int, float, float, float, float, bool]:
    from scipy.stats import binomtest

    low, high = binomtest(count, of).proportion_ci(method="wilson")
    return count, of, count / of, low, high, simulated, bool(low <= simulated <= high)
