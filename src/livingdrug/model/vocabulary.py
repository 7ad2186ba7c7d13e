"""The words for outputs: one word has one meaning and one dimension in every model.

Grading, response and trials ask a model for ``"car_t_blood"`` and get cells per microlitre of blood, whichever paper
it is from. A quantity without a word here is declared with :func:`livingdrug.model.symbols.output`.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CYTOKINES", "VOCABULARY", "Word", "unit_of"]


class Word(NamedTuple):
    """A registered output: its usual unit (which fixes the dimension) and its meaning."""

    unit: str
    meaning: str


VOCABULARY: dict[str, Word] = {
    "absolute_lymphocyte_count": Word("cell/uL", "lymphocytes in blood, CAR T cells included"),
    "antigen_total": Word("cell", "antigen in the body, counted in cells that carry it"),
    "b_cells_blood": Word("cell/uL", "normal B cells in blood"),
    "b_cells_total": Word("cell", "normal B cells in the body"),
    "body_temperature": Word("K", "body temperature"),
    "car_t_blood": Word("cell/uL", "CAR T cells in blood"),
    "car_t_effector_total": Word("cell", "effector CAR T cells in the body"),
    "car_t_exhausted_total": Word("cell", "exhausted CAR T cells in the body"),
    "car_t_memory_total": Word("cell", "memory CAR T cells in the body"),
    "car_t_total": Word("cell", "CAR T cells in the body"),
    "car_t_transgene_blood": Word("copy/ug", "copies of the CAR transgene per microgram of DNA from blood"),
    "cell_index": Word("1", "impedance of the well, a measure of the tumour cells that adhere to it"),
    "crp": Word("mg/L", "C-reactive protein in serum"),
    "cytokine": Word("pg/mL", "a cytokine in serum that the paper does not single out"),
    "ferritin": Word("ug/L", "ferritin in serum"),
    "gm_csf": Word("pg/mL", "GM-CSF in serum"),
    "ifn_gamma": Word("pg/mL", "interferon gamma in serum"),
    "il10": Word("pg/mL", "interleukin 10 in serum"),
    "il15": Word("pg/mL", "interleukin 15 in serum"),
    "il2": Word("pg/mL", "interleukin 2 in serum"),
    "il6": Word("pg/mL", "interleukin 6 in serum"),
    "il7": Word("pg/mL", "interleukin 7 in serum"),
    "neutrophil_count": Word("cell/uL", "neutrophils in blood"),
    "normal_t_blood": Word("cell/uL", "T cells without CAR in blood"),
    "normal_t_total": Word("cell", "T cells without CAR in the body"),
    "platelet_count": Word("cell/uL", "platelets in blood"),
    "tgf_beta": Word("pg/mL", "transforming growth factor beta"),
    "tocilizumab": Word("ug/mL", "tocilizumab in serum"),
    "tumour_blood": Word("cell/uL", "tumour cells in blood"),
    "tumour_cells": Word("cell", "tumour cells in the body"),
    "tumour_volume": Word("mL", "volume of the tumour"),
}

CYTOKINES = frozenset({"cytokine", "gm_csf", "ifn_gamma", "il10", "il15", "il2", "il6", "il7", "tgf_beta"})


def unit_of(word: str, given: str | None) -> str:
    """Return the unit in which an output is reported: the one given, else that of the vocabulary, else none."""
    known = VOCABULARY.get(word)
    return given or (known.unit if known else "1")
