"""Mueller-Schoell et al. 2021: four phenotypes of axi-cel in blood and the volume of the lymphoma."""

from __future__ import annotations

import json
from math import log, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.model import Model, ddt, lognormal, output, parameter, state
from livingdrug.streams import uniform

REFERENCE_SHARE = 0.803
"""Share of patients in the reference class of the mixture (Table 1, relative error 11 %); the rest expand little."""

_TABLE = "nlmixr2lib: MuellerSchoell_2021_axicabtageneCiloleucel_qsp, table 1"
_FIXED = _TABLE + ", fixed"
_TIED = _TABLE + ", derived there from V_52 by ratios of the laboratory"
_PATIENTS = "nlmixr2lib: MuellerSchoell_2021_axicabtageneCiloleucel_qsp, supplementary table S1"


def read_patients() -> dict[str, dict[str, float]]:
    """Return the covariates of the paper's 19 patients as parameter values in the declared units."""
    table = json.loads(Path(__file__).with_name("mueller_schoell2021.json").read_text(encoding="utf-8"))
    return {
        name: dict(zip(table["parameters"], map(float, values), strict=True))
        for name, values in table["patients"].items()
    }


def low_expanders(patient_ids: ArrayLike, *, seed: int = 0) -> NDArray[np.float64]:
    """Draw the class of each patient in the paper's mixture, for the parameter ``low_expansion``.

    Args:
        patient_ids: whole numbers, shape (patient,).
        seed: of the random streams; a patient's class depends on the seed and the identifier only.

    Returns:
        1 for the class of low expansion (19.7 % of patients, Table 1), 0 for the reference class, shape (patient,).

    Raises:
        InputError: if an identifier or the seed is not a whole number in its range.

    Example:
        >>> low_expanders([3, 4, 5]).shape
        (3,)
    """
    luck = uniform(seed, patient_ids, "mueller_schoell2021: class")[:, 0]
    return (luck >= REFERENCE_SHARE).astype(np.float64)


class MuellerSchoell2021(Model):
    """Naive, central-memory, effector-memory and effector CAR T cells in blood expand on a lymphoma and kill it.

    Each phenotype turns into the next. The first three expand in proportion to the tumour volume, by at most a
    constant number of cells per day once they are many; all four kill. Fitted to 19 patients with large B-cell
    lymphoma treated with axicabtagene ciloleucel. Patients fall into two classes, one of which expands twelve times
    less; an earlier autologous transplant raises the expansion in both, a low ratio of CD4 to CD8 CAR T cells on day
    7 in the reference class only. Day 0 is the infusion; the first days of distribution are left out, so that all
    phenotypes start at the same low number. The default values are those of a typical patient of the reference class
    with the median tumour.
    """

    source = "muellerschoell2021"
    diseases, antigens, system = "large B-cell lymphoma", "CD19", "human"
    follow_up = 90

    reference_expansion = parameter(
        0.00846, "cell/uL/day/mL", "largest expansion per tumour volume, reference class (relative error 36 %)",
        symbol="V_ref", source=_TABLE, spread=lognormal(sqrt(log(1 + 1.50**2))),
    )  # fmt: skip
    least_expansion = parameter(
        0.000700, "cell/uL/day/mL", "largest expansion per tumour volume, class of low expansion (relative error 17 %)",
        symbol="V_low", source=_TABLE,
    )  # fmt: skip
    low_expansion = parameter(
        0.0, "1", "1 for the class of low expansion, 0 for the reference class", symbol="MIX", source=_TABLE,
        limits=(0.0, 1.0),
    )  # fmt: skip
    prior_transplant = parameter(
        0.0, "1", "1 after an autologous stem cell transplant, else 0", symbol="ASCT", source=_PATIENTS,
        limits=(0.0, 1.0),
    )  # fmt: skip
    transplant_effect = parameter(
        2.53, "1", "increase of the expansion after a transplant (relative error 31 %)", symbol="ASCT_V", source=_TABLE
    )
    cd4_cd8_ratio = parameter(
        1.0, "1", "CD4 per CD8 CAR T cell in blood on day 7 (0.0512 to 8.94 in the patients)", symbol="R",
        source=_TABLE + ", value of reference", limits=(1e-4, 1e4),
    )  # fmt: skip
    ratio_exponent = parameter(
        -0.385, "1", "exponent of that ratio on the expansion, reference class (relative error 45 %)",
        symbol="gamma", source=_TABLE, limits=(-10.0, 10.0),
    )  # fmt: skip
    half_expansion_car_t = parameter(
        1.13, "cell/uL", "CAR T cells of a phenotype at which its expansion is half the largest (relative error 22 %)",
        symbol="K_M1", source=_TABLE, limits=(1e-9, float("inf")),
    )  # fmt: skip
    naive_differentiation = parameter(
        0.140, "1/day", "rate at which naive cells become central memory (relative error 9 %)", symbol="k_12",
        source=_TABLE,
    )  # fmt: skip
    central_differentiation = parameter(
        0.191, "1/day", "rate at which central memory becomes effector memory (relative error 11 %)", symbol="k_23",
        source=_TABLE,
    )  # fmt: skip
    memory_differentiation = parameter(
        0.355, "1/day", "rate at which effector memory becomes effector (relative error 13 %)", symbol="k_34",
        source=_TABLE,
    )  # fmt: skip
    effector_death = parameter(
        0.518, "1/day", "death rate of effector cells (relative error 13 %)", symbol="k_e4", source=_TABLE
    )
    memory_death_ratio = parameter(
        0.02, "1", "death rate of naive and memory cells per that of effectors (together 0.0104 per day)",
        symbol="rho_e", source=_FIXED + " (ratio of stein2019)",
    )  # fmt: skip
    naive_division = parameter(
        0.0005, "1/day", "rate at which naive cells divide without tumour", symbol="k_p1", source=_FIXED
    )
    memory_division = parameter(
        0.007, "1/day", "rate at which memory cells divide without tumour", symbol="k_p2", source=_FIXED
    )
    central_killing = parameter(
        4.04, "mL*uL/cell/day", "largest killing per central memory cell (relative error 39 %)", symbol="V_52",
        source=_TABLE, spread=lognormal(sqrt(log(1 + 3.07**2))),
    )  # fmt: skip
    naive_killing_ratio = parameter(
        2.57 / 4.04, "1", "killing per naive cell, as a multiple of that per central memory cell", symbol="rho_N",
        source=_TIED,
    )  # fmt: skip
    memory_killing_ratio = parameter(
        3.78 / 4.04, "1", "killing per effector memory cell, as a multiple of that per central memory cell",
        symbol="rho_EM", source=_TIED,
    )  # fmt: skip
    effector_killing_ratio = parameter(
        4.24 / 4.04, "1", "killing per effector cell, as a multiple of that per central memory cell", symbol="rho_Eff",
        source=_TIED,
    )  # fmt: skip
    half_kill_volume = parameter(
        276.0, "mL", "tumour volume at which killing is half its largest rate (relative error 33 %)", symbol="K_M5",
        source=_TABLE, limits=(1e-6, float("inf")),
    )  # fmt: skip
    tumour_growth = parameter(0.0023, "1/day", "growth rate of the tumour", symbol="k_5", source=_FIXED)
    tumour_capacity = parameter(
        5000.0, "mL", "largest tumour volume", symbol="K_0", source=_FIXED, limits=(1e-6, float("inf"))
    )
    baseline_tumour_volume = parameter(
        85.7, "mL", "metabolic tumour volume at infusion (median of 19 patients, 2.54 to 3555)", symbol="V_0",
        source=_PATIENTS,
    )  # fmt: skip
    car_t_at_start = parameter(
        0.1, "cell/uL", "CAR T cells of each phenotype on day 0", symbol="T_0",
        source="nlmixr2lib: MuellerSchoell_2021_axicabtageneCiloleucel_qsp, section 3.1.4, imputed",
    )  # fmt: skip

    naive = state("cell/uL", "naive CAR T cells in blood", initial=car_t_at_start, symbol="T_N", floor=1e-4)
    central_memory = state(
        "cell/uL", "central memory CAR T cells in blood", initial=car_t_at_start, symbol="T_CM", floor=1e-4
    )
    effector_memory = state(
        "cell/uL", "effector memory CAR T cells in blood", initial=car_t_at_start, symbol="T_EM", floor=1e-4
    )
    effector = state("cell/uL", "effector CAR T cells in blood", initial=car_t_at_start, symbol="T_Eff", floor=1e-4)
    tumour = state("mL", "metabolic tumour volume", initial=baseline_tumour_volume, symbol="V", floor=1e-4)

    expansion = (1 + transplant_effect * prior_transplant) * (
        low_expansion * least_expansion
        + (1 - low_expansion) * reference_expansion * cd4_cd8_ratio**ratio_exponent
    ) * tumour  # fmt: skip
    memory_death = memory_death_ratio * effector_death
    killing = central_killing * (
        naive_killing_ratio * naive
        + central_memory
        + memory_killing_ratio * effector_memory
        + effector_killing_ratio * effector
    )

    equations = {
        ddt(naive): expansion * naive / (half_expansion_car_t + naive)
        + (naive_division - naive_differentiation - memory_death) * naive,
        ddt(central_memory): expansion * central_memory / (half_expansion_car_t + central_memory)
        + (memory_division - central_differentiation - memory_death) * central_memory
        + naive_differentiation * naive,
        ddt(effector_memory): expansion * effector_memory / (half_expansion_car_t + effector_memory)
        + (memory_division - memory_differentiation - memory_death) * effector_memory
        + central_differentiation * central_memory,
        ddt(effector): memory_differentiation * effector_memory - effector_death * effector,
        ddt(tumour): tumour_growth * tumour * (1 - tumour / tumour_capacity)
        - killing * tumour / (half_kill_volume + tumour),
    }  # fmt: skip
    outputs = {
        "car_t_blood": naive + central_memory + effector_memory + effector,
        "car_t_naive_blood": output(naive, "cell/uL", "naive CAR T cells in blood"),
        "car_t_central_memory_blood": output(central_memory, "cell/uL", "central memory CAR T cells in blood"),
        "car_t_effector_memory_blood": output(effector_memory, "cell/uL", "effector memory CAR T cells in blood"),
        "car_t_effector_blood": output(effector, "cell/uL", "effector CAR T cells in blood"),
        "tumour_volume": tumour,
    }
    parameter_sets = {"reference": {"low_expansion": 0.0}, "low": {"low_expansion": 1.0}} | read_patients()
    claims = [
        "The maximum of all CAR T cells is 13.8 cell/uL on day 12 in the reference class and 5.2 cell/uL on day 23.5 "
        "in the class of low expansion (medians of the model's predictions for 15 and 4 patients).",
        "An earlier transplant and a low ratio of CD4 to CD8 CAR T cells on day 7 go with more expansion; the two and "
        "the mixture explain two thirds of the variability in it.",
        "A tenfold change of the number of cells at the start matters little but for the day of the maximum.",
    ]
    limitations = [
        "Equations and values were read in a transcription of the paper.",
        "The class of a patient is not known beforehand; low_expanders() draws it with the published share.",
        "The published medians hold each patient's own random effects, which are not published: the typical courses of "
        "the same patients give similar, not equal medians.",
        "The published areas under the curve follow from the sampling days (7, 14 and one of 25 to 28), not from the "
        "course itself, which gives 29 per cent more.",
        "No dose enters: all phenotypes start at an imputed number, and distribution in the first days is left out.",
        "Growth and capacity of the tumour were fixed, not estimated; the death of naive and memory cells was tied to "
        "that of effectors, the killing of three phenotypes to that of the fourth by values of the laboratory.",
        "The random effect on killing (307 per cent) acts on all four phenotypes, which are tied; the transcription "
        "lets it act on central memory cells only (decision 0029). That on the expansion acts in the reference class "
        "only.",
        "The residual error of the logarithms (standard deviations 0.547, 0.743, 0.944 and 0.636 for the four "
        "phenotypes, 0.918 for the volume) is not part of the model.",
        "Antigen loss, exhaustion, normal T cells and cytokines are not in the model.",
    ]
