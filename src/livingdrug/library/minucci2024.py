"""Minucci et al. 2024: expansion of CD4 and CD8 CAR T cells by antigen binding and division (IM19 in lymphoma)."""

from __future__ import annotations

import json
from pathlib import Path

from livingdrug.model import Model, bolus, ddt, output, parameter, state

_TABLE = "nlmixr2lib: Table S1 of the paper"
_PATIENT = _TABLE + ", patient F0104"
_STAGES = 5  # stages of the division delay; the number is not published
_LN2 = 0.6931471805599453


def read_patients() -> dict[str, dict[str, float]]:
    """Return the fits of 13 patients as parameter values in the declared units."""
    table = json.loads(Path(__file__).with_name("minucci2024.json").read_text(encoding="utf-8"))
    return {name: dict(zip(table["parameters"], values, strict=True)) for name, values in table["patients"].items()}


class Minucci2024(Model):
    """CD4 and CD8 CAR T cells that antigen activates, that divide some twenty times, kill, and leave memory cells.

    Infused cells are activated in proportion to the receptors that CD19 occupies; activated cells divide and become
    effectors, which live three days and leave a small share of memory cells; CD8 effectors kill the B cells, healthy
    and malignant, that carry CD19. Receptor binding is fast and taken at equilibrium. Each division takes 5.4 hours;
    the time of all divisions together passes in a chain of five stages, in each of which the cells multiply by the
    fifth root of 2 to the number of divisions. The set "reduced" lets the divisions happen at once: it is the form in
    which the model was read, exactly. Day 0 is the infusion; cells are those of the whole body. The default values
    are those of patient F0104; the sets F0104 to F0126 are the 13 patients at 1e6 cells per kilogram.
    """

    source = "minucci2024"
    diseases, antigens, system = "B-cell non-Hodgkin lymphoma", "CD19", "human"
    follow_up = 100.0

    body_weight = parameter(73, "kg", "body weight (48 to 88 in the 13 patients)", symbol="BW", source=_PATIENT)
    cd8_share = parameter(
        0.333, "1", "share of CD8 cells in the product", symbol="f_CD8", source=_PATIENT, limits=(0.0, 1.0)
    )
    tumour_at_infusion = parameter(
        1e7, "cell", "B cells at infusion, fitted (bounds of the fit 1e5 and 1e7)", symbol="N_0", source=_PATIENT
    )
    divisions = parameter(
        21.41559, "1", "divisions of an activated cell, fitted", symbol="n_div", source=_PATIENT, limits=(0.01, 60.0)
    )
    memory_share = parameter(
        0.002514715, "1", "share of dying effectors that become memory cells, fitted (bound of the fit 0.1)",
        symbol="f_mem", source=_PATIENT, limits=(0.0, 1.0),
    )  # fmt: skip
    dose = parameter(
        1e6, "cell/kg", "CAR T cells infused per body weight (3e5, 1e6 or 3e6 in the trial)", symbol="D", source=_TABLE
    )
    infusion_day = parameter(0.0, "day", "day of the infusion", source="assumed: time is counted from it")
    blood_volume = parameter(5, "L", "volume of blood", symbol="V", source=_TABLE, limits=(1e-3, 1e3))
    antigen_density = parameter(5000, "1/cell", "molecules of CD19 on a B cell", symbol="n_Ag", source=_TABLE)
    molecules = parameter(
        6.022e14, "1/nmol", "molecules in a nanomole", symbol="N_A", source="nlmixr2lib: NAv_per_nmol",
        limits=(6.022e14, 6.0222e14),
    )  # fmt: skip
    affinity = parameter(
        1, "nmol/L", "CD19 at which half of the receptors are occupied", symbol="K_d", source=_TABLE,
        limits=(1e-12, float("inf")),
    )  # fmt: skip
    cd8_activation_time = parameter(
        18, "hour", "mean time to activation of an occupied CD8 cell", symbol="t_8", source=_TABLE,
        limits=(1e-3, float("inf")),
    )  # fmt: skip
    cd4_activation_time = parameter(
        36, "hour", "mean time to activation of an occupied CD4 cell", symbol="t_4", source=_TABLE,
        limits=(1e-3, float("inf")),
    )  # fmt: skip
    division_time = parameter(
        5.397703, "hour", "time of one division", symbol="t_div", source=_TABLE, limits=(1e-3, float("inf"))
    )
    delayed_share = parameter(
        1.0, "1", "share of the activated cells whose divisions take their time; 0 is the reduced form", symbol="phi",
        source="assumed: 1, as in the full model", limits=(0.0, 1.0),
    )  # fmt: skip
    infused_lifespan = parameter(
        9.606881, "day", "lifespan of infused cells, fitted", symbol="L_I", source=_TABLE, limits=(1e-3, float("inf"))
    )
    effector_lifespan = parameter(
        3.101849, "day", "lifespan of effector cells, fitted", symbol="L_E", source=_TABLE, limits=(1e-3, float("inf"))
    )
    cd8_memory_lifespan = parameter(
        180, "day", "lifespan of CD8 memory cells", symbol="L_M8", source=_TABLE, limits=(1e-3, float("inf"))
    )
    cd4_memory_lifespan = parameter(
        240, "day", "lifespan of CD4 memory cells", symbol="L_M4", source=_TABLE, limits=(1e-3, float("inf"))
    )
    kill_rate = parameter(
        1e-9, "1/s/cell", "rate of killing per CD8 effector whose receptors are all occupied", symbol="k_k",
        source=_TABLE,
    )  # fmt: skip
    tumour_doubling_time = parameter(
        16, "day", "doubling time of B cells", symbol="t_d", source=_TABLE, limits=(1e-3, float("inf"))
    )
    normal_lymphocytes = parameter(
        5e8, "cell/L", "other lymphocytes of a healthy person in blood", symbol="L_ss", source=_TABLE
    )
    lymphocyte_lifespan = parameter(
        30, "day", "lifespan of other lymphocytes", symbol="L_L", source=_TABLE, limits=(1e-3, float("inf"))
    )
    depleted_share = parameter(
        0.9, "1", "share of the lymphocytes that chemotherapy removed", symbol="f_LD", source=_TABLE, limits=(0.0, 1.0)
    )

    infused_cd8 = state("cell", "infused CD8 CAR T cells", symbol="I_8")
    dividing_cd8_1 = state("cell", "activated CD8 cells, first stage of their divisions", symbol="A_81")
    dividing_cd8_2 = state("cell", "activated CD8 cells, second stage", symbol="A_82")
    dividing_cd8_3 = state("cell", "activated CD8 cells, third stage", symbol="A_83")
    dividing_cd8_4 = state("cell", "activated CD8 cells, fourth stage", symbol="A_84")
    dividing_cd8_5 = state("cell", "activated CD8 cells, last stage", symbol="A_85")
    effector_cd8 = state("cell", "effector CD8 CAR T cells", symbol="E_8")
    memory_cd8 = state("cell", "memory CD8 CAR T cells", symbol="M_8")
    infused_cd4 = state("cell", "infused CD4 CAR T cells", symbol="I_4")
    dividing_cd4_1 = state("cell", "activated CD4 cells, first stage of their divisions", symbol="A_41")
    dividing_cd4_2 = state("cell", "activated CD4 cells, second stage", symbol="A_42")
    dividing_cd4_3 = state("cell", "activated CD4 cells, third stage", symbol="A_43")
    dividing_cd4_4 = state("cell", "activated CD4 cells, fourth stage", symbol="A_44")
    dividing_cd4_5 = state("cell", "activated CD4 cells, last stage", symbol="A_45")
    effector_cd4 = state("cell", "effector CD4 CAR T cells", symbol="E_4")
    memory_cd4 = state("cell", "memory CD4 CAR T cells", symbol="M_4")
    tumour = state("cell", "B cells, malignant and healthy", initial=tumour_at_infusion, symbol="T")
    lymphocytes = state(
        "cell", "other lymphocytes in blood", symbol="L",
        initial=(1 - depleted_share) * normal_lymphocytes * blood_volume,
    )  # fmt: skip

    antigen = antigen_density * tumour / (blood_volume * molecules)
    occupied = antigen / (affinity + antigen)
    activated_cd8 = occupied / cd8_activation_time * infused_cd8
    activated_cd4 = occupied / cd4_activation_time * infused_cd4
    passing = _STAGES / (divisions * division_time)  # rate of leaving a stage: the stages take n divisions in all
    gain = 2 ** (divisions / _STAGES)
    at_once = (1 - delayed_share) * 2**divisions

    equations = {
        ddt(infused_cd8): -activated_cd8 - infused_cd8 / infused_lifespan,
        ddt(dividing_cd8_1): delayed_share * activated_cd8 - passing * dividing_cd8_1,
        ddt(dividing_cd8_2): passing * (gain * dividing_cd8_1 - dividing_cd8_2),
        ddt(dividing_cd8_3): passing * (gain * dividing_cd8_2 - dividing_cd8_3),
        ddt(dividing_cd8_4): passing * (gain * dividing_cd8_3 - dividing_cd8_4),
        ddt(dividing_cd8_5): passing * (gain * dividing_cd8_4 - dividing_cd8_5),
        ddt(effector_cd8): at_once * activated_cd8 + passing * gain * dividing_cd8_5
        - effector_cd8 / effector_lifespan,
        ddt(memory_cd8): memory_share * effector_cd8 / effector_lifespan - memory_cd8 / cd8_memory_lifespan,
        ddt(infused_cd4): -activated_cd4 - infused_cd4 / infused_lifespan,
        ddt(dividing_cd4_1): delayed_share * activated_cd4 - passing * dividing_cd4_1,
        ddt(dividing_cd4_2): passing * (gain * dividing_cd4_1 - dividing_cd4_2),
        ddt(dividing_cd4_3): passing * (gain * dividing_cd4_2 - dividing_cd4_3),
        ddt(dividing_cd4_4): passing * (gain * dividing_cd4_3 - dividing_cd4_4),
        ddt(dividing_cd4_5): passing * (gain * dividing_cd4_4 - dividing_cd4_5),
        ddt(effector_cd4): at_once * activated_cd4 + passing * gain * dividing_cd4_5
        - effector_cd4 / effector_lifespan,
        ddt(memory_cd4): memory_share * effector_cd4 / effector_lifespan - memory_cd4 / cd4_memory_lifespan,
        ddt(tumour): _LN2 / tumour_doubling_time * tumour - kill_rate * occupied * effector_cd8 * tumour,
        ddt(lymphocytes): (normal_lymphocytes * blood_volume - lymphocytes) / lymphocyte_lifespan,
    }  # fmt: skip
    events = [
        bolus(infused_cd8, cd8_share * dose * body_weight, at=infusion_day),
        bolus(infused_cd4, (1 - cd8_share) * dose * body_weight, at=infusion_day),
    ]

    _dividing_cd8 = dividing_cd8_1 + dividing_cd8_2 + dividing_cd8_3 + dividing_cd8_4 + dividing_cd8_5
    _dividing_cd4 = dividing_cd4_1 + dividing_cd4_2 + dividing_cd4_3 + dividing_cd4_4 + dividing_cd4_5
    _memory = memory_cd8 + memory_cd4
    _all = infused_cd8 + infused_cd4 + _dividing_cd8 + _dividing_cd4 + effector_cd8 + effector_cd4 + _memory
    outputs = {
        "car_t_blood": _all / blood_volume,
        "car_t_total": _all,
        "car_t_effector_total": effector_cd8 + effector_cd4,
        "car_t_memory_total": _memory,
        "tumour_cells": tumour,
        "absolute_lymphocyte_count": (lymphocytes + _all) / blood_volume,
        "b_cell_share": output(
            tumour / (tumour + lymphocytes), "percent", "B cells among B cells and other lymphocytes"
        ),
    }

    parameter_sets = {**read_patients(), "reduced": {"delayed_share": 0.0}}
    claims = [
        "Expansion and response depend on each other: antigen drives the CAR T cells, which remove the antigen.",
        "The model follows the CAR T cells of 13 patients (3e5 to 3e6 cells per kilogram) and the loss of B cells.",
    ]
    errata = [
        "Lymphocytes of a healthy person are 1e9 per litre in the text and 5e8 in Table S1; the table is taken.",
        "Table S1 lists the density of CD19 twice, 5000 and 15877; the text has 5000, which is taken.",
        "The largest number of tumour cells (7e12) is listed, but the equation of the tumour has no ceiling.",
    ]
    limitations = [
        "The equations were read in a third party's reduction (binding at equilibrium, divisions at once) and not in "
        "the paper; its full form of 25 states, with receptor internalisation, is not coded.",
        "The chain of five stages is ours: the paper's stage of activated cells was not readable. Only the mean time "
        "of all divisions follows from the paper.",
        "The 13 fits were made with the full form. In the reduced form the peaks of days 2 to 5 come earlier than in "
        "patients; with the chain they come later and differ in height, and nothing was fitted anew.",
        "Many of the fits sit at their bounds (B cells 1e5 and 1e7, memory share 0.1); the doses of single patients "
        "were not read, and the sets use 1e6 per kilogram for all.",
        "Malignant and healthy B cells are one population without a ceiling; blood holds all cells of the model.",
    ]
