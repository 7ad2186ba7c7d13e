"""What scans, marrow and blood show of a simulated tumour at visits, with the error of each measurement.

Each function takes cells, patient × visit with the baseline in column 0, and returns what the criteria of response
read. The numbers stand in ``HOW`` with their sources; where a source is "assumed", it says so. Not for clinical use.

Example:
    >>> m_protein([0.0, 21.0, 42.0], [[3e11, 0.0, 0.0]], level=[3.0], half_life=21.0).round(2).tolist()
    [[3.0, 2.16, 1.08]]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError
from livingdrug.streams import normal, uniform

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HOW", "Reader", "how_table", "m_protein", "marrow_blasts"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class How:
    """A number that says how disease is measured, with its unit, meaning and source."""

    value: float
    unit: str
    meaning: str
    source: str


HOW: Mapping[str, How] = MappingProxyType({
    # ---- scans
    "cells_per_ml": How(1e9, "cell/mL", "tumour cells per volume", "cartecology: HybridModel_08_30_20.jl, VT"),
    "lesions": How(3, "1", "lesions that are measured", "assumed: criteria allow up to 5 or 6"),
    "lesion_spread": How(0.8, "1", "how unequal they are (SD of the logarithm of their shares)", "assumed"),
    "scan_error": How(
        0.06, "1", "error of one diameter (SD of its logarithm)",
        "yoon2016: limits of agreement of one reader, -18 to 16 per cent, are 1.96 x sqrt(2) of it",
    ),
    "smallest_seen": How(0.5, "cm", "diameter below which a lesion is not seen", "recalled: 5 mm"),
    # ---- marrow and blood
    "normal_marrow": How(1e12, "cell", "nucleated cells of the marrow that are not tumour", "assumed"),
    "counted": How(500, "cell", "cells counted in a marrow smear", "recalled: 200 to 500"),
    "blasts_in_blood": How(2e-3, "1", "share of the blasts that circulate", "assumed"),
    "blood_volume": How(5e6, "uL", "volume of blood", "recalled: 5 L"),
    "other_white_cells": How(500, "cell/uL", "white cells that are neither blasts nor neutrophils", "assumed"),
    "residual_error": How(0.3, "1", "error of residual disease (SD of its logarithm)", "assumed"),
    # ---- M-protein
    "m_protein_per_cell": How(
        1e-11, "g/dL/cell", "M-protein in serum per plasma cell, at rest", "assumed: 3 g/dL with 3e11 cells"
    ),
    "secretion_spread": How(0.5, "1", "how patients differ in it (SD of the logarithm)", "assumed"),
    "half_life_igg": How(21.0, "day", "half-life of IgG", "recalled: three weeks (3 to 4 weeks in wikilite, read)"),
    "half_life_iga": How(6.0, "day", "half-life of IgA", "recalled: 5 to 6 days"),
    "share_iga": How(0.25, "1", "share of patients with IgA", "recalled: a quarter"),
    "light_chains_per_cell": How(
        2e-10, "mg/dL/cell", "free light chains per plasma cell", "assumed: 60 mg/dL with 3e11 cells"
    ),
    "electrophoresis_error": How(0.07, "1", "error of the M-protein (SD of its logarithm)", "assumed"),
    "immunofixation": How(0.01, "g/dL", "M-protein that immunofixation finds", "pennstatemyeloma: about 10 mg/dL"),
    "clonal_share": How(1e-4, "1", "share of clonal plasma cells that stringent remission excludes", "assumed"),
    # ---- chronic lymphocytic leukaemia
    "cll_nodes": How(0.3, "1", "share of the leukaemia in nodes", "assumed"),
    "cll_spleen": How(0.2, "1", "share in the spleen", "assumed"),
    "cll_marrow": How(0.4, "1", "share in the marrow; the rest is in blood", "assumed"),
    "spleen_volume": How(200.0, "mL", "volume of a normal spleen", "recalled"),
    "spleen_length": How(11.0, "cm", "its length", "recalled"),
    "spleen_error": How(0.03, "1", "error of its length (SD of the logarithm)", "assumed"),
    "count_error": How(0.08, "1", "error of a blood count (SD of the logarithm)", "assumed"),
})  # fmt: skip
"""How disease is measured: name -> value, unit, meaning and source."""


def how_table() -> pd.DataFrame:
    """Return ``HOW`` as a table, one line per number."""
    import pandas as pd

    return pd.DataFrame([{"name": name, **vars(how)} for name, how in HOW.items()])


def _value(name: str) -> float:
    return HOW[name].value


def m_protein(days: ArrayLike, cells: ArrayLike, *, level: ArrayLike, half_life: ArrayLike) -> Array:
    """Return the M-protein that plasma cells make and the body clears, shape (patient, day).

    At the first day making and clearing are in balance. Between days the cells follow a straight line, and the answer
    is exact for it; the grid of days may be coarse.

    Args:
        days: ascending, shape (day,).
        cells: malignant plasma cells, shape (patient, day).
        level: M-protein at the first day, shape (patient,).
        half_life: of the M-protein in days, one number or one per patient.

    Raises:
        InputError: a half-life that is not above 0, or shapes that do not fit.
    """
    when, amount = np.asarray(days, np.float64), np.asarray(cells, np.float64)
    first = np.asarray(level, np.float64)
    life = np.broadcast_to(np.asarray(half_life, np.float64), first.shape)
    if amount.shape != (first.size, when.size):
        raise InputError(f"cells need the shape {(first.size, when.size)}, got {amount.shape}")
    if not (life > 0).all():
        raise InputError("a half-life must be above 0 days")
    rate = np.log(2.0) / life
    with np.errstate(invalid="ignore", divide="ignore"):
        made = np.where(amount[:, :1] > 0, amount / amount[:, :1], 0.0) * first[:, None]
    found = np.empty_like(amount)
    found[:, 0] = first
    for k, step in enumerate(np.diff(when)):
        x = rate * step
        kept = np.exp(-x)
        late = np.where(x > 1e-6, 1 - (1 - kept) / np.maximum(x, 1e-12), 0.0)  # weight of the later end of the line
        found[:, k + 1] = kept * found[:, k] + (1 - kept - late) * made[:, k] + late * made[:, k + 1]
    return np.maximum(found, 0.0)


def marrow_blasts(cells: ArrayLike, patient_ids: ArrayLike, *, seed: int = 0, noise: bool = True) -> Array:
    """Return the percentage of blasts in a marrow smear before the infusion, shape (patient,).

    Args:
        cells: leukaemia cells, shape (patient,).
        patient_ids: shape (patient,).
        seed: of the random streams.
        noise: False measures exactly.

    Example:
        >>> marrow_blasts([1e12], [0], noise=False).tolist()
        [50.0]
    """
    found = np.atleast_1d(np.asarray(cells, np.float64))
    return Reader(np.atleast_1d(np.asarray(patient_ids)), seed, noise=noise).marrow_percent(found[:, None])[:, 0]


class Reader:
    """Measures some patients at some visits; the error belongs to patient, seed, measurement and visit.

    Args:
        patient_ids: shape (patient,).
        seed: of the random streams.
        noise: False measures exactly; what differs between patients (lesions, secretion) stays.
    """

    def __init__(self, patient_ids: NDArray[np.generic], seed: int, *, noise: bool = True) -> None:
        self.ids, self.seed, self.noise = patient_ids, seed, noise

    def error(self, item: str, sd: float, visits: int, each: int = 1) -> Array:
        """Return factors, shape (patient, visit) or (patient, visit, each)."""
        shape = (self.ids.size, visits) if each == 1 else (self.ids.size, visits, each)
        if not self.noise:
            return np.ones(shape)
        return np.exp(sd * normal(self.seed, self.ids, f"assess:{item}", visits * each)).reshape(shape)

    def diameters(self, cells: Array) -> Array:
        """Return the diameter in cm of each lesion, shape (patient, visit, lesion), 0 where it is not seen."""
        count = int(_value("lesions"))
        weight = np.exp(_value("lesion_spread") * normal(self.seed, self.ids, "assess:lesions", count))
        weight /= weight.sum(axis=1, keepdims=True)
        volume = cells / _value("cells_per_ml")
        size = np.cbrt(volume * 6 / np.pi)[:, :, None] * np.cbrt(weight)[:, None, :]
        size = size * self.error("scan", _value("scan_error"), cells.shape[1], count)
        return np.where(size < _value("smallest_seen"), 0.0, size)

    def marrow_percent(self, cells: Array) -> Array:
        """Return the percentage of tumour cells in a marrow smear, with the luck of counting, shape as ``cells``."""
        share = cells / (cells + _value("normal_marrow"))
        if not self.noise:
            return 100 * share
        luck = normal(self.seed, self.ids, "assess:smear", cells.shape[1])
        counted = share + luck * np.sqrt(share * (1 - share) / _value("counted"))
        return 100 * np.clip(counted, 0.0, 1.0)

    def residual_percent(self, cells: Array) -> Array:
        """Return the percentage of tumour cells in the marrow by a sensitive test, shape as ``cells``."""
        share = cells / (cells + _value("normal_marrow"))
        return 100 * np.minimum(share * self.error("residual", _value("residual_error"), cells.shape[1]), 1.0)

    def blood_percent(self, cells: Array, neutrophils: Array) -> Array:
        """Return the percentage of blasts among white cells; 3000 neutrophils per uL where they are unknown."""
        blasts = _value("blasts_in_blood") * cells / _value("blood_volume")
        others = _value("other_white_cells") + np.where(np.isfinite(neutrophils), neutrophils, 3000.0)
        return 100 * blasts / (blasts + others)

    def serum_protein(self, days: Array, cells: Array, columns: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return the M-protein in serum, g/dL, true and as measured, at some columns of the days."""
        spread = normal(self.seed, self.ids, "assess:secretion")[:, 0]
        level = _value("m_protein_per_cell") * cells[:, 0] * np.exp(_value("secretion_spread") * spread)
        iga = uniform(self.seed, self.ids, "assess:isotype")[:, 0] < _value("share_iga")
        life = np.where(iga, _value("half_life_iga"), _value("half_life_igg"))
        true = m_protein(days, cells, level=level, half_life=life)[:, columns]
        return true, true * self.error("electrophoresis", _value("electrophoresis_error"), columns.size)

    def light_chains(self, cells: Array) -> Array:
        """Return the excess of free light chains, mg/dL; they are cleared within hours, so they follow the cells."""
        spread = normal(self.seed, self.ids, "assess:light chains")
        level = _value("light_chains_per_cell") * np.exp(_value("secretion_spread") * spread) * cells
        return level * self.error("light chains", _value("electrophoresis_error"), cells.shape[1])

    def spleen(self, cells: Array) -> Array:
        """Return the length of the spleen in cm that holds so many leukaemia cells besides its own."""
        volume = cells / _value("cells_per_ml")
        length = _value("spleen_length") * np.cbrt(1 + volume / _value("spleen_volume"))
        return length * self.error("spleen", _value("spleen_error"), cells.shape[1])
