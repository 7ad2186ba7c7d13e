"""Default patients: one for each disease and kind of product, as numbers with their sources.

They are plausible and not calibrated to trials; what one trial or another reports is the work of calibration.

Example:
    >>> patient = PATIENTS["b_all"]
    >>> patient.disease, patient.dose_cells, patient.values()["contact"]
    ('B-cell acute lymphoblastic leukaemia', 150000000.0, 1.0)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["CD28", "DISEASES", "FOUR_1BB", "KINDS", "PARAMETER_SETS", "PATIENTS", "DefaultPatient"]

Stated = Mapping[str, tuple[float, str]]

CD28: Stated = {}
"""The body's own values: they follow kimmel2021, fitted to a product with a CD28 domain."""

FOUR_1BB: Stated = {
    "growth_signal": (0.37, "assumed: slower growth and later peak than with CD28 (labels: median day 9 to 12)"),
    "expansion": (0.3, "assumed: as above"),
    "exhaustion": (0.05, "assumed: less exhaustion"),
    "return_to_memory": (0.002, "assumed: more memory"),
    "largest_renewal": (0.592, "stein2019: with memory_death, the terminal decline of 0.0032 per day"),
    "expanded_death": (0.04, "assumed: longer life"),
    "contact_trigger": (0.5, "assumed: less cytokine release than with CD28"),
    "binding_trigger": (0.2, "assumed: as above"),
    "damage_trigger": (0.2, "assumed: as above"),
}
KINDS: Mapping[str, Stated] = MappingProxyType({"CD28": CD28, "4-1BB": FOUR_1BB})
"""What the costimulation domain of a product changes."""

_LYMPHOMA: Stated = {"resistance": (2.5, "assumed: so that about four in five respond, and half of these relapse")}
_LEUKAEMIA: Stated = {
    "contact": (1.0, "assumed: blood and marrow are reached"),
    "entry": (0.02, "assumed: little tissue to enter"),
}
_B_ALL: Stated = {
    **_LEUKAEMIA,
    "tumour_at_start": (5e11, "assumed: half of 1e12 marrow cells"),
    "tumour_growth": (0.08, "assumed: doubling in 9 days; leontriana2020 has 0.033"),
    "tumour_capacity": (2e12, "assumed: the marrow and more"),
    "resistance": (2.5, "assumed: as in lymphoma"),
    "b_cells_at_start": (0.1, "assumed: crowded out"),
    "marrow_at_start": (0.6, "assumed: crowded out"),
}
_CLL: Stated = {
    **_LEUKAEMIA,
    "tumour_at_start": (1e12, "assumed: blood, marrow and nodes"),
    "tumour_growth": (0.008, "assumed: slow; hardiansyah2019 has 0.0017 net"),
    "exhausted_death": (0.15, "assumed: T cells of these patients are worn"),
    "growth_half": (2e10, "assumed: growth ends sooner when this antigen goes"),
    "expansion_half": (2e10, "assumed: as above"),
    "return_half": (1e10, "assumed: as above"),
    "resistance": (6.0, "assumed: fewer respond than in lymphoma (kirouac2023)"),
    "b_cells_at_start": (0.2, "assumed: crowded out"),
}
_MYELOMA: Stated = {
    "tumour_at_start": (3e11, "assumed: a third of the marrow"),
    "tumour_growth": (0.02, "assumed: doubling in a month; singh2021 has 0.008"),
    "contact": (0.6, "assumed: marrow, some plasmacytomas"),
    "kill_rate": (0.5, "assumed: lower than in lymphoma; singh2021 has 0.343"),
    "half_kill_effector": (5e9, "assumed: as above"),
    "resistance": (2.0, "assumed: about four in five respond"),
    "negative_share": (1e-9, "assumed: cells with little BCMA are common"),
    "fitness": (0.76, "assumed: later peak (label of ciltacabtagene: median day 12.7)"),
    "antigen_on_b_cells": (0.0, "recalled: BCMA is not on most B cells"),
    "antigen_on_plasma_cells": (1.0, "recalled: BCMA is on plasma cells"),
    "brain_sensitivity": (0.25, "assumed: neurotoxicity is rarer than in lymphoma"),
    "haemoglobin_normal": (10.0, "assumed: anaemia of myeloma"),
}
_SOLID: Stated = {
    "tumour_at_start": (5e10, "assumed: 50 mL"),
    "tumour_growth": (0.01, "assumed: doubling in 69 days; leontriana2021 has 0.02"),
    "contact": (0.0, "assumed: only cells that entered it reach it"),
    "entry": (0.01, "assumed: 1 per cent a day; the literature gives 0.1 to 2 per cent of the dose"),
    "negative_share": (0.1, "assumed: the target is not on every cell"),
    "bystander": (0.1, "assumed"),
    "suppression": (4.0, "assumed: a large tumour leaves a fifth; swanson2022 has the form"),
    "antigen_on_b_cells": (0.0, "assumed: a target of solid tumours"),
    "b_cells_at_start": (0.8, "assumed: little earlier treatment of B cells"),
}
_FOREIGN: Stated = {"foreign": (1.0, "assumed: cells of a healthy donor")}
DISEASES: Mapping[str, Stated] = MappingProxyType(
    {"lbcl": _LYMPHOMA, "b_all": _B_ALL, "cll": _CLL, "myeloma": _MYELOMA, "solid": _SOLID}
)
"""What a disease changes; any kind of product may be given for it: ``{**KINDS[kind], **DISEASES[disease]}``."""


@dataclass(frozen=True)
class DefaultPatient:
    """A default patient and how he or she is treated.

    Attributes:
        disease: in words.
        product: target and kind of product.
        stated: parameter of the body -> (value, source); the others are the body's own.
        dose_cells: CAR T cells infused on day 0.
        dose_source: where that number is from.
        lymphodepletion: regimen, a name in :mod:`livingdrug.body.treatment`.
        spreads: how such patients differ where it is not as declared; see ``variability.draw_patients``.
    """

    disease: str
    product: str
    stated: Stated
    dose_cells: float
    dose_source: str
    lymphodepletion: str = "flu-cy 500"
    spreads: Mapping[str, float] = field(default_factory=dict)

    def values(self) -> dict[str, float]:
        """Return the parameters that differ from the body's own, in declared units."""
        return {name: value for name, (value, _) in self.stated.items()}


# The declared spread of the burden is that of volumes of lymphoma; marrow bounds the others. T cells of patients with
# chronic leukaemia differ widely (kirouac2023: few expand). Sizes assumed.
_SPREADS: Mapping[str, Mapping[str, float]] = {
    "b_all": {"tumour_at_start": 1.0},
    "cll": {"tumour_at_start": 0.7, "fitness": 0.5, "resistance": 2.7},
    "myeloma": {"tumour_at_start": 0.8},
}  # fmt: skip
_KG70 = "at 70 kg"
_PATIENTS = {
    "lbcl_cd28": DefaultPatient(
        "large B-cell lymphoma", "CD19, CD28 domain", {**CD28, **_LYMPHOMA}, 1.4e8, f"yescarta2024: 2e6 per kg {_KG70}"
    ),
    "lbcl_4_1bb": DefaultPatient(
        "large B-cell lymphoma", "CD19, 4-1BB domain", {**FOUR_1BB, **_LYMPHOMA}, 3e8, "kymriah2025: 0.6e8 to 6e8",
        "flu-cy 250",
    ),
    "b_all": DefaultPatient(
        "B-cell acute lymphoblastic leukaemia", "CD19, 4-1BB domain", {**FOUR_1BB, **_B_ALL}, 1.5e8,
        "kymriah2025: 0.1e8 to 2.5e8 above 50 kg", "flu-cy 500 x 2", _SPREADS["b_all"],
    ),
    "cll": DefaultPatient(
        "chronic lymphocytic leukaemia", "CD19, 4-1BB domain", {**FOUR_1BB, **_CLL}, 1e8,
        "mstadt2024: start of the stored runs", "flu-cy 250", _SPREADS["cll"],
    ),
    "myeloma": DefaultPatient(
        "multiple myeloma", "BCMA, 4-1BB domain", {**FOUR_1BB, **_MYELOMA}, 4.5e8,
        "recalled: 300 to 460 million", "flu-cy 300", _SPREADS["myeloma"],
    ),
    "allogeneic": DefaultPatient(
        "large B-cell lymphoma", "CD19, 4-1BB domain, another donor", {**FOUR_1BB, **_LYMPHOMA, **_FOREIGN}, 1.2e8,
        "assumed: 1.2e8 cells", "flu-cy 500 and anti-CD52",
    ),
    "solid": DefaultPatient(
        "solid tumour", "an antigen of the tumour, CD28 domain", {**CD28, **_SOLID}, 5e8, "assumed: 5e8 cells",
    ),
}  # fmt: skip
PATIENTS: Mapping[str, DefaultPatient] = MappingProxyType(_PATIENTS)
"""Default patients by name."""

PARAMETER_SETS: Mapping[str, Mapping[str, float]] = {name: patient.values() for name, patient in _PATIENTS.items()}
"""Their parameters, as the model's parameter sets."""
