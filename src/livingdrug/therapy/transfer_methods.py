"""Methods of gene transfer as parameter sets of ``EngineeringPlan``, each number with its mark.

Only the five rows of the MUC1 receptor compare methods in one laboratory; across sources the vector, the receptor and
the activation differ too, so the sets describe processes and do not rank methods.
"""

from __future__ import annotations

import math
from typing import Any

from livingdrug.therapy.stated import Fixed, LogNormal
from livingdrug.therapy.transduction import infer_dispersion

__all__ = ["ARI_0001", "METHODS"]

ARI_0001 = {"car_positive": (0.260, 0.419, 0.397), "copies": (1.45, 2.32, 2.51)}
"""Three released batches (``ari00012019``, table 2): CAR-positive fraction, and "transgene copies/cell" as printed."""


def _copies(positive: float) -> float:
    """Return the Poisson mean of a CAR-positive fraction."""
    return -math.log1p(-positive)


def _measured(percent: float, sd: float, note: str, dead_percent: float | None = None) -> dict[str, Any]:
    """Return the set of one row of the comparison of enhancers: Poisson mean and its spread, toxicity if printed."""
    positive = percent / 100
    mean = _copies(positive)
    source: dict[str, Any] = {"source": "muc1transduction2021", "mark": "computed"}
    found: dict[str, Any] = {
        "copies_per_cell": LogNormal(
            median=mean, log_sd=sd / 100 / (1 - positive) / mean, unit="copy/cell", note=note, **source
        ),
    }
    if dead_percent is not None:
        note = f"cytotoxicity {dead_percent:g} %"
        found["survival"] = Fixed(value=1 - dead_percent / 100, unit="fraction", note=note, **source)
    return found


def _recalled(low: float, high: float, note: str, copies: str) -> dict[str, Any]:
    """Return the set of a method without a viral vector whose range of positive cells is recalled, not read."""
    few, many = _copies(low), _copies(high)
    return {
        "copies_per_cell": LogNormal(
            median=math.sqrt(few * many),
            log_sd=math.log(many / few) / (2 * 1.96),
            unit="copy/cell",
            mark="recalled",
            note=f"{100 * low:g} to {100 * high:g} % positive cells, taken for 95 % of batches; {note}",
        ),
        "copies": copies,
        "moi": Fixed(value=0.0, note="no viral vector"),
        "reference_moi": Fixed(value=0.0, note="no viral vector"),
        "uptake": {name: Fixed(value=1.0) for name in ("naive", "central_memory", "effector_memory", "effector")},
    }


def _ari_0001() -> dict[str, Any]:
    """Return the set of the middle batch, with its shape inferred from copies per cell as printed."""
    positive, copies = ARI_0001["car_positive"][2], ARI_0001["copies"][2]
    shape = float(infer_dispersion(positive, copies, "per_cell").shape)
    source: dict[str, Any] = {"source": "ari00012019", "mark": "computed"}
    note = "third of three released batches; the spread is assumed"
    return {
        "copies_per_cell": LogNormal(median=copies, log_sd=0.25, unit="copy/cell", note=note, **source),
        "over_dispersion": Fixed(value=shape, note="joins 39.7 % positive cells and 2.51 copies per cell", **source),
        "uptake": {name: Fixed(value=1.0) for name in ("naive", "central_memory", "effector_memory", "effector")},
    }


def _tisa_cel() -> dict[str, Any]:
    """Return the set whose median and quartiles of positive cells are those of 134 children."""
    middle, low, high = _copies(0.174), _copies(0.12), _copies(0.231)
    return {
        "copies_per_cell": LogNormal(
            median=middle,
            log_sd=math.log(high / low) / (2 * 0.6744897501960817),
            unit="copy/cell",
            source="uktisagenlecleucel2024",
            mark="computed",
            note="17.4 % positive cells, quartiles 12 and 23.1 %",
        )
    }


METHODS: dict[str, dict[str, Any]] = {
    "spinoculation_retronectin": _measured(63.19, 4.45, "centrifugation with RetroNectin"),
    "spinoculation_polybrene": _measured(34.6, 4.44, "centrifugation with polybrene", 48.83),
    "spinoculation": _measured(21.11, 1.55, "centrifugation alone"),
    "retronectin": _measured(10.37, 1.85, "RetroNectin alone"),
    "polybrene": _measured(10.23, 0.79, "polybrene alone", 40.02),
    "prodigy": {
        "copies_per_cell": LogNormal(
            median=_copies(0.37),
            log_sd=0.25,
            unit="copy/cell",
            source="prodigy2018",
            mark="computed",
            note="37 % positive cells; the spread is assumed",
        ),
        "moi": Fixed(value=7.5, source="prodigy2018", mark="computed", note="middle of MOI 5 to 10"),
        "reference_moi": Fixed(value=7.5, source="prodigy2018", mark="computed", note="middle of MOI 5 to 10"),
    },
    "tisa_cel": _tisa_cel(),
    "ari_0001": _ari_0001(),
    "lnp_mrna": _recalled(0.50, 0.90, "lipid nanoparticles with messenger RNA; nothing enters the genome", "none"),
    "sleeping_beauty": _recalled(0.05, 0.15, "before the selection by growth", "counted"),
    "piggybac": _recalled(0.05, 0.15, "before the selection by growth", "counted"),
    "trac_knock_in": _recalled(0.20, 0.50, "AAV or DNA template; one copy by design", "one"),
}
