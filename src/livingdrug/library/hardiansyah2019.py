"""Hardiansyah and Ng 2019: CAR T cells, leukaemic B cells and three cytokines in two patients with CLL."""

from __future__ import annotations

from livingdrug.model import Model, bolus, ddt, output, parameter, state

_S1 = "nlmixr2lib: Hardiansyah_2019_CART, supplementary table S1"
_S2 = "nlmixr2lib: Hardiansyah_2019_CART, supplementary table S2, UPN1"
_S2_CELLS = _S2 + " (printed per 1e9 cells)"
_S2_PAIRS = _S2 + " (printed in pg/uL per 1e15 cells squared)"
_DOSES = "nlmixr2lib: Hardiansyah_2019_CART, supplement, section on data"
_FIGURE_1B = "nlmixr2lib: Hardiansyah_2019_CART, UPN1 read off figure 1b, give or take 30 per cent"
_FIGURE_2 = "nlmixr2lib: Hardiansyah_2019_CART, caption of figure 2"

# Table S2, figures 1b and 2, in the declared units.
_UPN1 = {
    "tumour_at_infusion": 4.14e9,
    "dose": 1.1e9,
    "il6_production": 1.8e-3 / 1e15,
    "il10_production": 0.7e-3 / 1e15,
    "ifn_gamma_production": 0.3e-3 / 1e15,
    "effector_expansion": 16.16 / 1e9,
    "effector_death": 23.04,
    "effector_to_memory": 0.024,
    "kill_rate": 0.19 / 1e9,
    "il6_baseline": 1.7,
    "il10_baseline": 4.5,
    "ifn_gamma_baseline": 2.3,
}
_UPN3 = {
    "tumour_at_infusion": 0.93e9,
    "dose": 0.014e9,
    "il6_production": 6e-3 / 1e15,
    "il10_production": 17e-3 / 1e15,
    "ifn_gamma_production": 6e-3 / 1e15,
    "effector_expansion": 14.40 / 1e9,
    "effector_death": 1.44,
    "effector_to_memory": 0.12,
    "kill_rate": 2.21 / 1e9,
    "il6_baseline": 1.0,
    "il10_baseline": 0.5,
    "ifn_gamma_baseline": 1.7,
}


class Hardiansyah2019(Model):
    """CAR T cells expand on leukaemic B cells, move between blood and tissue, and release IL-6, IL-10 and IFN-gamma.

    Effector cells multiply in proportion to the B cells, kill them and become memory cells; both kinds leave the
    blood for the tissue forty times faster than they return. Each cytokine is released in proportion to the product
    of effector and B cells in blood; IL-10 slows the release of IFN-gamma. Fitted to two patients of Kalos et al.
    2011, UPN1 (large tumour and dose, the default values) and UPN3 (small tumour and dose): the parameter sets. Day 0
    is the first of three infusions on consecutive days. Cells are those in all the blood, or in all the tissue.
    """

    source = "hardiansyah2019"
    diseases, antigens, system = "chronic lymphocytic leukaemia", "CD19", "human"
    follow_up = 350

    tumour_growth = parameter(9.3e-3, "1/day", "growth rate of leukaemic B cells", symbol="r_B", source=_S1)
    tumour_death = parameter(7.6e-3, "1/day", "death rate of leukaemic B cells", symbol="d_B", source=_S1)
    kill_rate = parameter(
        _UPN1["kill_rate"], "1/cell/day", "killing of B cells per effector cell in blood (relative error 19 %)",
        symbol="K_BC", source=_S2_CELLS,
    )  # fmt: skip
    effector_expansion = parameter(
        _UPN1["effector_expansion"], "1/cell/day", "growth rate of effector cells per B cell (relative error 11 %)",
        symbol="r_E", source=_S2_CELLS,
    )  # fmt: skip
    effector_death = parameter(
        _UPN1["effector_death"], "1/day", "death rate of effector cells in blood (relative error 5 %)",
        symbol="d_E", source=_S2,
    )  # fmt: skip
    effector_to_memory = parameter(
        _UPN1["effector_to_memory"], "1/day",
        "rate at which effector cells become memory without B cells (relative error 32 %)",
        symbol="a_E", source=_S2 + "; the printed unit is wrong, see the errata",
    )  # fmt: skip
    memory_to_effector = parameter(
        1.0, "1/day", "rate at which memory cells become effectors when B cells abound", symbol="a_M", source=_S1
    )
    half_activation = parameter(
        1e14, "cell", "B cells at which the turn from effector to memory is half as fast",
        symbol="h", source=_S1 + ", 1e5 in units of 1e9 cells; the printed unit is wrong, see the errata",
        limits=(1.0, float("inf")),
    )  # fmt: skip
    memory_growth = parameter(5.09e-2, "1/day", "growth rate of memory cells in blood", symbol="r_M", source=_S1)
    memory_death = parameter(0.408, "1/day", "death rate of memory cells in blood", symbol="d_M", source=_S1)
    to_tissue = parameter(76.78, "1/day", "rate at which CAR T cells leave the blood", symbol="k_in", source=_S1)
    to_blood = parameter(1.84, "1/day", "rate at which CAR T cells return to it", symbol="k_out", source=_S1)

    il6_production = parameter(
        _UPN1["il6_production"], "pg/uL/cell**2/day", "IL-6 per effector and B cell in blood (relative error 42 %)",
        symbol="P_IL6", source=_S2_PAIRS,
    )  # fmt: skip
    il10_production = parameter(
        _UPN1["il10_production"], "pg/uL/cell**2/day", "IL-10 per effector and B cell in blood (relative error 39 %)",
        symbol="P_IL10", source=_S2_PAIRS,
    )  # fmt: skip
    ifn_gamma_production = parameter(
        _UPN1["ifn_gamma_production"], "pg/uL/cell**2/day",
        "IFN-gamma per effector and B cell in blood, without IL-10 (relative error 31 %)",
        symbol="P_IFN", source=_S2_PAIRS,
    )  # fmt: skip
    il6_clearance = parameter(3.96, "1/day", "rate at which IL-6 is cleared", symbol="d_IL6", source=_S1)
    il10_clearance = parameter(4.68, "1/day", "rate at which IL-10 is cleared", symbol="d_IL10", source=_S1)
    ifn_gamma_clearance = parameter(1.51, "1/day", "rate at which IFN-gamma is cleared", symbol="d_IFN", source=_S1)
    uninhibited_share = parameter(
        0.59, "1", "share of the release of IFN-gamma that IL-10 cannot stop", symbol="a_G", source=_S1,
        limits=(0.0, 1.0),
    )  # fmt: skip
    il10_half_inhibition = parameter(
        650, "pg/mL", "IL-10 at which its inhibition is half", symbol="b_G",
        source=_S1 + "; printed in ng, see the errata", limits=(1e-9, float("inf")),
    )  # fmt: skip
    il6_baseline = parameter(
        _UPN1["il6_baseline"], "pg/mL", "IL-6 without CAR T cells", symbol="IL6_0", source=_FIGURE_1B
    )
    il10_baseline = parameter(
        _UPN1["il10_baseline"], "pg/mL", "IL-10 without CAR T cells", symbol="IL10_0", source=_FIGURE_1B
    )
    ifn_gamma_baseline = parameter(
        _UPN1["ifn_gamma_baseline"], "pg/mL", "IFN-gamma without CAR T cells", symbol="IFN_0", source=_FIGURE_1B
    )

    tumour_at_infusion = parameter(
        _UPN1["tumour_at_infusion"], "cell", "leukaemic B cells in blood at infusion", symbol="B_0", source=_FIGURE_2
    )
    dose = parameter(_UPN1["dose"], "cell", "CAR T cells infused in all", symbol="D_inj", source=_DOSES)
    first_share = parameter(0.1, "1", "share of the dose in the first infusion", source=_DOSES, limits=(0.0, 1.0))
    second_share = parameter(0.3, "1", "share of the dose in the second infusion", source=_DOSES, limits=(0.0, 1.0))
    third_share = parameter(0.6, "1", "share of the dose in the third infusion", source=_DOSES, limits=(0.0, 1.0))
    first_day = parameter(0.0, "day", "day of the first infusion", source=_DOSES)
    second_day = parameter(1.0, "day", "day of the second infusion", source=_DOSES)
    third_day = parameter(2.0, "day", "day of the third infusion", source=_DOSES)
    blood_volume = parameter(
        5.0, "L", "volume of blood, only to report cells per volume",
        source="assumed: the source counts cells in all the blood and states no volume", limits=(1e-3, 100.0),
    )  # fmt: skip

    tumour = state("cell", "leukaemic B cells in blood", initial=tumour_at_infusion, symbol="B")
    effector_blood = state("cell", "effector CAR T cells in blood", symbol="E")
    effector_tissue = state("cell", "effector CAR T cells in tissue", symbol="E_t")
    memory_blood = state("cell", "memory CAR T cells in blood", symbol="M")
    memory_tissue = state("cell", "memory CAR T cells in tissue", symbol="M_t")
    interleukin_6 = state("pg/mL", "interleukin 6", initial=il6_baseline, symbol="IL6", floor=1e-3)
    interleukin_10 = state("pg/mL", "interleukin 10", initial=il10_baseline, symbol="IL10", floor=1e-3)
    interferon_gamma = state("pg/mL", "interferon gamma", initial=ifn_gamma_baseline, symbol="IFN", floor=1e-3)

    activation = tumour / (tumour + half_activation)
    to_memory = effector_to_memory * (1 - activation) * effector_blood
    to_effector = memory_to_effector * activation * memory_blood
    contacts = tumour * effector_blood
    inhibition = uninhibited_share + (1 - uninhibited_share) * il10_half_inhibition / (
        interleukin_10 + il10_half_inhibition
    )

    equations = {
        ddt(tumour): (tumour_growth - tumour_death) * tumour - kill_rate * contacts,
        ddt(effector_blood): effector_expansion * contacts - effector_death * effector_blood
        - to_tissue * effector_blood + to_blood * effector_tissue - to_memory + to_effector,
        ddt(effector_tissue): to_tissue * effector_blood - to_blood * effector_tissue,
        ddt(memory_blood): (memory_growth - memory_death) * memory_blood
        - to_tissue * memory_blood + to_blood * memory_tissue + to_memory - to_effector,
        ddt(memory_tissue): to_tissue * memory_blood - to_blood * memory_tissue,
        ddt(interleukin_6): il6_production * contacts + il6_clearance * (il6_baseline - interleukin_6),
        ddt(interleukin_10): il10_production * contacts + il10_clearance * (il10_baseline - interleukin_10),
        ddt(interferon_gamma): ifn_gamma_production * contacts * inhibition
        + ifn_gamma_clearance * (ifn_gamma_baseline - interferon_gamma),
    }  # fmt: skip
    events = [
        bolus(effector_blood, first_share * dose, at=first_day),
        bolus(effector_blood, second_share * dose, at=second_day),
        bolus(effector_blood, third_share * dose, at=third_day),
    ]
    outputs = {
        "car_t_in_blood": output(effector_blood + memory_blood, "cell", "CAR T cells in all the blood"),
        "tumour_in_blood": output(tumour, "cell", "tumour cells in all the blood"),
        "car_t_blood": (effector_blood + memory_blood) / blood_volume,
        "tumour_blood": tumour / blood_volume,
        "car_t_total": effector_blood + effector_tissue + memory_blood + memory_tissue,
        "car_t_effector_total": effector_blood + effector_tissue,
        "car_t_memory_total": memory_blood + memory_tissue,
        "il6": interleukin_6,
        "il10": interleukin_10,
        "ifn_gamma": interferon_gamma,
    }
    parameter_sets = {"UPN1": _UPN1, "UPN3": _UPN3}
    claims = [
        "The expansion of CAR T cells and the elimination of B cells follow the disease burden more closely than the "
        "dose of CAR T cells.",
        "The peaks of the cytokines follow the disease burden and hardly change with the dose.",
        "In UPN3 the inflammation peaks between days 15 and 23 after the infusion.",
    ]
    errata = [
        "Equation 7 of the supplement gives memory cells a gain of a_E M (1 - f(B)). With no memory cells at the start "
        "none would ever arise. The arrow in figure 1a and the text say a_E E (1 - f(B)), which is what the effector "
        "cells lose in equation 5, and which is used here.",
        "The half-saturation h = 1e5 is printed in cells per mL, though all cells are counted in 1e9. Taken as "
        "1e5 times 1e9 cells, it reproduces the memory cells of figure 1b; taken as 1e5 cells, it leaves fewer than a "
        "thousand of them. As a consequence f(B) is practically 0, and memory cells never turn back into effectors.",
        "a_E is printed per 1e9 cells and day; it stands where a_M does and is a rate per day. b_G is printed in ng; "
        "it is added to a concentration and is taken as 650 pg/mL. As ng/mL it would switch the inhibition off.",
        "The production rates are in pg/uL per 1e15 cells squared and day: this alone gives cytokines of the height "
        "of figure 1b.",
        "The file MODEL2009230001 of BioModels agrees on the numbers but does not run as it is: it gives the dose as a "
        "constant inflow, mixes units and starts the cytokines elsewhere.",
    ]
    limitations = [
        "Two patients were fitted one by one; the printed errors are those of the estimates. Nothing is known of how "
        "patients differ.",
        "Equations and values were read in a transcription of the supplement; the baselines of the cytokines were read "
        "off a figure there (give or take 30 per cent) and matter little to the peaks.",
        "Growth of CAR T cells is proportional to the B cells without limit: a somewhat larger tumour gives a far "
        "higher peak (doubling it can raise IL-6 tenfold).",
        "The dose acts on the day of the peak, not on its height; a second dose after the tumour is gone does nothing.",
        "Normal T cells, lymphodepletion, steroids and tocilizumab are not in the model; the third patient of the "
        "trial, who had steroids, was left out by the authors.",
        "The volume of blood is assumed, to report cells per microlitre; the source counts cells in all the blood.",
    ]
