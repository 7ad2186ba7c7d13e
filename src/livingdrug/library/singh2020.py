"""Singh et al. 2020: CAR T cells in the organs of a mouse and in its solid tumour (PBPK with receptor binding)."""

from __future__ import annotations

from livingdrug.model import Model, ddt, maximum, output, parameter, state
from livingdrug.model.symbols import Parameter, State

_FILE = "pkpdcoder2021: Singh (2020) CART PBPK-PD model.txt, "
_CHANGED = _FILE + "marked there as changed for simulation, "


def _flow(value: float, organ: str, letter: str) -> Parameter:
    return parameter(value, "mL/hour", f"blood flow of the {organ}", symbol=f"Q_{letter}", source=_FILE + "Q")


def _vessels(value: float, organ: str, letter: str) -> Parameter:
    meaning = f"volume of the vessels of the {organ}"
    return parameter(value, "mL", meaning, symbol=f"V_v_{letter}", source=_FILE + "V_v", limits=(1e-12, 1e12))


def _tissue(value: float, organ: str, letter: str) -> Parameter:
    meaning = f"volume of the {organ} outside its vessels"
    return parameter(value, "mL", meaning, symbol=f"V_e_{letter}", source=_FILE + "V_e", limits=(1e-12, 1e12))


def _entry(value: float, organ: str, letter: str) -> Parameter:
    return parameter(
        value, "1/hour", f"CAR T cells from the vessels into the {organ}", symbol=f"J_{letter}", source=_FILE + "J"
    )


def _inside(organ: str, letter: str) -> State:
    return state("cell/mL", f"CAR T cells in the vessels of the {organ}", symbol=f"C_v_{letter}", floor=1e-4)


def _outside(organ: str, letter: str) -> State:
    return state("cell/mL", f"CAR T cells in the {organ}", symbol=f"C_e_{letter}", floor=1e-4)


class Singh2020(Model):
    """CAR T cells flow through the organs of a mouse, enter tissues, return by the lymph and fight a solid tumour.

    Each organ has vessels and tissue; cells enter the tissue at an organ's own rate and leave it with the lymph, and
    the liver destroys them. In the tumour, receptors and antigens bind; the complexes per tumour cell set expansion,
    killing (after four stages of delay) and release of cytokine. Day 0 is the infusion. The default is the product
    against BCMA with the middle access to the tumour; the sets change the access, or the killing to that of other
    antigens.
    """

    source = "singh2020"
    diseases, antigens, system = "solid tumours in mice", ("BCMA", "CD19", "HER2", "EGFR"), "mouse"
    follow_up = 28.0

    lung_flow = _flow(373.0, "lung", "lung")
    spleen_flow = _flow(8.18, "spleen", "spleen")
    gut_flow = _flow(75.4, "gut", "gut")
    liver_flow = _flow(10.3, "liver artery", "liver")
    kidney_flow = _flow(68.5, "kidneys", "kidney")
    brain_flow = _flow(11.8, "brain", "brain")
    tumour_flow = _flow(6.0, "tumour", "tumour")
    flow_per_lymph_flow = parameter(
        5000.0, "1", "blood flow of an organ per flow of its lymph", symbol="Q/L",
        source=_FILE + "comment; the file rounds each lymph flow", limits=(1.0, 1e12),
    )  # fmt: skip
    blood_volume = parameter(
        0.944, "mL", "volume of blood", symbol="V_b", source=_FILE + "V_Blood", limits=(1e-12, 1e12)
    )
    lymph_volume = parameter(
        0.113, "mL", "volume of the lymph nodes", symbol="V_LN", source=_FILE + "V_LN", limits=(1e-12, 1e12)
    )
    lung_vessels = _vessels(0.0295, "lung", "lung")
    lung_tissue = _tissue(0.0384, "lung", "lung")
    spleen_vessels = _vessels(0.0154, "spleen", "spleen")
    spleen_tissue = _tissue(0.0254, "spleen", "spleen")
    gut_vessels = _vessels(0.0166, "gut", "gut")
    gut_tissue = _tissue(0.1815, "gut", "gut")
    liver_vessels = _vessels(0.164, "liver", "liver")
    liver_tissue = _tissue(0.385, "liver", "liver")
    kidney_vessels = _vessels(0.0289, "kidneys", "kidney")
    kidney_tissue = _tissue(0.0788, "kidneys", "kidney")
    brain_vessels = _vessels(0.0107, "brain", "brain")
    brain_tissue = _tissue(0.0873, "brain", "brain")
    rest_vessels = _vessels(0.55209, "rest of the body", "rest")
    rest_tissue = _tissue(4.11183, "rest of the body", "rest")
    lung_entry = _entry(4705.13, "lung", "lung")
    spleen_entry = _entry(1799.76, "spleen", "spleen")
    gut_entry = _entry(9.05, "gut", "gut")
    liver_entry = _entry(716.49, "liver", "liver")
    kidney_entry = _entry(296.75, "kidneys", "kidney")
    brain_entry = _entry(1.4, "brain", "brain")
    rest_entry = _entry(86.8, "rest of the body", "rest")
    tumour_entry = parameter(
        10.35, "1/hour", "CAR T cells from the vessels into the tumour", symbol="J_tumour",
        source=_CHANGED + "J_Tumor (2 is low, 10 middle, 50 high access)",
    )  # fmt: skip
    liver_loss = parameter(
        0.0288, "1/hour", "CAR T cells destroyed by the liver", symbol="K_dep", source=_FILE + "Kdep_Liver"
    )
    tumour_vessel_share = parameter(
        0.113,
        "1",
        "share of the tumour that is vessels",
        symbol="phi_v",
        source=_FILE + "V_Tumor_v",
        limits=(1e-6, 0.999),
    )
    tumour_density = parameter(
        1e8, "cell/mL", "tumour cells per volume", symbol="n_T", source=_FILE + "TargetCell", limits=(1e-6, 1e15)
    )
    receptors = parameter(
        5000.0, "1/cell", "receptors on a CAR T cell", symbol="n_CAR", source=_FILE + "Density_CAR", limits=(1e-9, 1e12)
    )
    antigens_per_cell = parameter(
        1e5, "1/cell", "antigens on a tumour cell (a first line of the file says 340000)", symbol="n_TAA",
        source=_CHANGED + "Density_TAA",
    )  # fmt: skip
    dissociation_constant = parameter(
        21.2, "nmol/L", "free antigen at which half the receptors are bound", symbol="K_D", source=_CHANGED + "KD",
        limits=(1e-12, 1e12),
    )  # fmt: skip
    unbinding = parameter(3.6, "1/hour", "release of the bond", symbol="k_off", source=_FILE + "koff")
    avogadro = parameter(
        6.02214076e23, "1/mol", "particles per mole", symbol="N_A", source="assumed: constant of nature",
        limits=(1e20, 1e27),
    )  # fmt: skip
    expansion = parameter(
        0.0906, "1/hour", "largest growth rate in the tumour", symbol="K_exp", source=_FILE + "Kexp_CART_max"
    )
    half_expansion_complexes = parameter(
        5.18, "1/cell", "complexes per tumour cell at which growth is half", symbol="EC_50", source=_FILE + "EC50",
        limits=(1e-12, 1e30),
    )  # fmt: skip
    kill_rate = parameter(0.0486, "1/hour", "largest rate of killing", symbol="K_kill", source=_FILE + "Kkill_max")
    half_kill_complexes = parameter(
        9.94, "1/cell", "complexes per tumour cell at which killing is half", symbol="KC_50", source=_FILE + "IC50",
        limits=(1e-12, 1e30),
    )  # fmt: skip
    kill_delay = parameter(
        21.6, "hour", "mean time in each of the four stages before killing", symbol="tau", source=_FILE + "tau_kill",
        limits=(1e-6, 1e12),
    )  # fmt: skip
    tumour_growth = parameter(
        0.00305, "1/hour", "growth rate of the tumour", symbol="K_g", source=_FILE + "Kg_Exp_Tumor"
    )
    cytokine_release = parameter(
        52.0, "pg/mL/hour", "largest release of cytokine", symbol="K_cyt", source=_FILE + "Kcyt_max, no unit there"
    )
    half_cytokine_complexes = parameter(
        0.08, "1/cell", "complexes per tumour cell at which that release is half", symbol="Cyt_50",
        source=_FILE + "Cyt50", limits=(1e-12, 1e30),
    )  # fmt: skip
    cytokine_capacity = parameter(
        5000.0, "pg/mL", "cytokine at which the release ends", symbol="Cyt_max",
        source=_CHANGED + "Cytmax, not in the paper", limits=(1e-6, 1e30),
    )  # fmt: skip
    car_t_dose = parameter(
        9440.0, "cell", "CAR T cells in blood on day 0: 10,000 per mL", symbol="D", source=_CHANGED + "INIT C_Blood"
    )
    tumour_at_infusion = parameter(
        0.02, "mL", "tumour on day 0: 2e6 cells at 1e8 per mL", symbol="V_0",
        source=_FILE + "comment beside INIT V_Tumor, which is a place-holder of 1e-10 mL", limits=(0.0, 1e6),
    )  # fmt: skip
    smallest_tumour = parameter(
        1e-8, "mL", "tumour of one cell: exchange with a smaller one is as with this", symbol="V_min",
        source="assumed: one cell at 1e8 per mL; keeps the exchange finite as the tumour vanishes", limits=(1e-12, 1e6),
    )  # fmt: skip

    blood = state("cell/mL", "CAR T cells in blood", initial=car_t_dose / blood_volume, symbol="C_b", floor=1e-4)
    lung_inside, lung_outside = _inside("lung", "lung"), _outside("lung", "lung")
    spleen_inside, spleen_outside = _inside("spleen", "spleen"), _outside("spleen", "spleen")
    gut_inside, gut_outside = _inside("gut", "gut"), _outside("gut", "gut")
    liver_inside, liver_outside = _inside("liver", "liver"), _outside("liver", "liver")
    kidney_inside, kidney_outside = _inside("kidneys", "kidney"), _outside("kidneys", "kidney")
    brain_inside, brain_outside = _inside("brain", "brain"), _outside("brain", "brain")
    rest_inside, rest_outside = _inside("rest of the body", "rest"), _outside("rest of the body", "rest")
    lymph = state("cell/mL", "CAR T cells in the lymph nodes", symbol="C_LN", floor=1e-4)
    tumour_inside = _inside("tumour", "tumour")
    tumour_car_t = state("cell", "CAR T cells in the tumour, outside its vessels", symbol="A_e", floor=1e-6)
    complexes = state("1/mL", "bonds of receptor and antigen in the tumour", symbol="X", floor=1.0)
    signal_1 = state("1/hour", "killing on its way, stage 1", symbol="K_1", floor=1e-9)
    signal_2 = state("1/hour", "killing on its way, stage 2", symbol="K_2", floor=1e-9)
    signal_3 = state("1/hour", "killing on its way, stage 3", symbol="K_3", floor=1e-9)
    signal_4 = state("1/hour", "killing that acts", symbol="K_4", floor=1e-9)
    tumour_volume = state("mL", "tumour", initial=tumour_at_infusion, symbol="V", floor=1e-12)
    released_cytokine = state("pg/mL", "cytokine", symbol="Cyt", floor=1e-6)

    rest_flow = lung_flow - spleen_flow - gut_flow - liver_flow - kidney_flow - brain_flow - tumour_flow
    portal_flow = spleen_flow + gut_flow + liver_flow
    _returned = 1 - 1 / flow_per_lymph_flow  # what leaves an organ with the blood; the rest leaves with the lymph
    _tumour = maximum(tumour_volume, smallest_tumour)
    _tumour_vessels, _tumour_tissue = tumour_vessel_share * _tumour, (1 - tumour_vessel_share) * _tumour
    _in_tumour = tumour_car_t / _tumour_tissue
    tumour_lymph = tumour_flow / flow_per_lymph_flow * (_in_tumour - complexes / receptors)
    lymph_return = (
        lung_flow * lung_outside + spleen_flow * spleen_outside + gut_flow * gut_outside + liver_flow * liver_outside
        + kidney_flow * kidney_outside + brain_flow * brain_outside + rest_flow * rest_outside
    ) / flow_per_lymph_flow + tumour_lymph  # fmt: skip
    lymph_flow = 2 * lung_flow / flow_per_lymph_flow  # of the lung and, as much again, of all other organs
    bonds = maximum(complexes, 0) / tumour_density
    expanding = expansion * bonds / (half_expansion_complexes + bonds)
    killing = kill_rate * bonds / (half_kill_complexes + bonds)
    releasing = cytokine_release * bonds / (half_cytokine_complexes + bonds)
    binding = unbinding / (dissociation_constant * avogadro)

    # One line for the vessels and one for the tissue of each organ: what the blood brings less what enters the tissue
    # and what the blood takes away; what entered less what the lymph takes away.
    equations = {
        ddt(blood): (
            _returned * (portal_flow * liver_inside + kidney_flow * kidney_inside + brain_flow * brain_inside
                         + rest_flow * rest_inside + tumour_flow * tumour_inside)
            + lymph_flow * lymph - (1 + 1 / flow_per_lymph_flow) * lung_flow * blood
        ) / blood_volume,
        ddt(lung_inside): lung_flow * ((1 + 1 / flow_per_lymph_flow) * blood - lung_inside) / lung_vessels
        - lung_entry * lung_inside,
        ddt(lung_outside): (
            lung_entry * lung_vessels * lung_inside - lung_flow / flow_per_lymph_flow * lung_outside
        ) / lung_tissue,
        ddt(spleen_inside): spleen_flow * (lung_inside - _returned * spleen_inside) / spleen_vessels
        - spleen_entry * spleen_inside,
        ddt(spleen_outside): (
            spleen_entry * spleen_vessels * spleen_inside - spleen_flow / flow_per_lymph_flow * spleen_outside
        ) / spleen_tissue,
        ddt(gut_inside): gut_flow * (lung_inside - _returned * gut_inside) / gut_vessels - gut_entry * gut_inside,
        ddt(gut_outside): (
            gut_entry * gut_vessels * gut_inside - gut_flow / flow_per_lymph_flow * gut_outside
        ) / gut_tissue,
        ddt(liver_inside): (
            liver_flow * lung_inside
            + _returned * (gut_flow * gut_inside + spleen_flow * spleen_inside - portal_flow * liver_inside)
        ) / liver_vessels - liver_entry * liver_inside,
        ddt(liver_outside): (
            liver_entry * liver_vessels * liver_inside - liver_flow / flow_per_lymph_flow * liver_outside
        ) / liver_tissue - liver_loss * liver_outside,
        ddt(kidney_inside): kidney_flow * (lung_inside - _returned * kidney_inside) / kidney_vessels
        - kidney_entry * kidney_inside,
        ddt(kidney_outside): (
            kidney_entry * kidney_vessels * kidney_inside - kidney_flow / flow_per_lymph_flow * kidney_outside
        ) / kidney_tissue,
        ddt(brain_inside): brain_flow * (lung_inside - _returned * brain_inside) / brain_vessels
        - brain_entry * brain_inside,
        ddt(brain_outside): (
            brain_entry * brain_vessels * brain_inside - brain_flow / flow_per_lymph_flow * brain_outside
        ) / brain_tissue,
        ddt(rest_inside): rest_flow * (lung_inside - _returned * rest_inside) / rest_vessels - rest_entry * rest_inside,
        ddt(rest_outside): (
            rest_entry * rest_vessels * rest_inside - rest_flow / flow_per_lymph_flow * rest_outside
        ) / rest_tissue,
        ddt(lymph): (lymph_return - lymph_flow * lymph) / lymph_volume,
        ddt(tumour_inside): tumour_flow * (lung_inside - _returned * tumour_inside) / _tumour_vessels
        - tumour_entry * tumour_inside,
        ddt(tumour_car_t): tumour_entry * _tumour_vessels * tumour_inside - tumour_lymph + expanding * tumour_car_t,
        ddt(complexes): binding * (receptors * _in_tumour - complexes)
        * (antigens_per_cell * tumour_density - complexes) - unbinding * complexes,
        ddt(signal_1): (killing - signal_1) / kill_delay,
        ddt(signal_2): (signal_1 - signal_2) / kill_delay,
        ddt(signal_3): (signal_2 - signal_3) / kill_delay,
        ddt(signal_4): (signal_3 - signal_4) / kill_delay,
        ddt(tumour_volume): (tumour_growth - signal_4) * tumour_volume,
        ddt(released_cytokine): releasing * (1 - released_cytokine / cytokine_capacity),
    }  # fmt: skip
    _in_vessels = (
        lung_inside * lung_vessels + spleen_inside * spleen_vessels + gut_inside * gut_vessels
        + liver_inside * liver_vessels + kidney_inside * kidney_vessels + brain_inside * brain_vessels
        + rest_inside * rest_vessels + tumour_inside * _tumour_vessels
    )  # fmt: skip
    _in_tissue = (
        lung_outside * lung_tissue + spleen_outside * spleen_tissue + gut_outside * gut_tissue
        + liver_outside * liver_tissue + kidney_outside * kidney_tissue + brain_outside * brain_tissue
        + rest_outside * rest_tissue + lymph * lymph_volume + tumour_car_t
    )  # fmt: skip
    outputs = {
        "car_t_blood": blood,
        "car_t_total": blood * blood_volume + _in_vessels + _in_tissue,
        "car_t_tumour": output(tumour_car_t, "cell", "CAR T cells in the tumour, outside its vessels"),
        "car_t_liver": output(liver_outside * liver_tissue, "cell", "CAR T cells in the liver, outside its vessels"),
        "car_t_lung": output(lung_outside * lung_tissue, "cell", "CAR T cells in the lung, outside its vessels"),
        "tumour_cells": tumour_volume * tumour_density,
        "complexes_per_tumour_cell": output(bonds, "1/cell", "bonds of receptor and antigen per tumour cell"),
        "cytokine": released_cytokine,
    }
    parameter_sets = {
        "low_access": {"tumour_entry": 2.0},
        "middle_access": {"tumour_entry": 10.35},
        "high_access": {"tumour_entry": 50.0},
        "BCMA": {"kill_rate": 0.0486, "kill_delay": 21.6},
        "CD19": {"kill_rate": 0.093, "kill_delay": 56.6},
        "HER2": {"kill_rate": 0.009},
        "EGFR": {"kill_rate": 0.0323},
    }
    claims = [
        "Access of CAR T cells to the tumour, more than their number in blood, decides over a solid tumour.",
        "Killing and expansion follow the number of bonds per cell, so that affinity and the numbers of receptors and "
        "antigens can be read off from cultures.",
    ]
    errata = [
        "The transcription leaves the dissociation constant of 21.2 nM unconverted and uses it as 21.2 per mL (it says "
        "so in a comment); here it is converted, 1.28e13 per mL.",
        "The transcription sets the antigens per tumour cell twice, 340,000 and 100,000; the later line holds.",
        "Each lymph flow is a rounded 1/5000 of the blood flow in the file; here it is exact, so that no cell is lost "
        "between the organs.",
    ]
    limitations = [
        "The paper was not read. Marked in the transcription as changed from it: the dose, the access to the tumour, "
        "the antigens, the dissociation constant, the limit of the cytokine; the original values are not known.",
        "The sets CD19, HER2 and EGFR change only the largest killing (and the delay for CD19), which a secondary "
        "source quotes; affinity, receptors and antigens stay those of BCMA.",
        "The tumour's vessels and complexes are not diluted as it grows: CAR T cells in its vessels are not strictly "
        "conserved while its volume changes.",
        "CAR T cells die in the liver only. The tumour is never extinguished; below one cell its volume no longer "
        "matters for the exchange.",
        "The unit of the cytokine was not read; pg/mL is assumed.",
    ]
