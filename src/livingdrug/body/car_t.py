"""CAR T cells: they settle, are switched by antigen, grow into free room, and enter the tumour."""

from __future__ import annotations

from livingdrug.body.drugs import Drugs
from livingdrug.body.host import Host
from livingdrug.body.states import Body
from livingdrug.model import Block, ddt, log, lognormal, maximum, minimum, parameter

_SET = "assumed: within the bounds of the search in kirouac2023, scaled to cells of the whole body"


class CarT(Block):
    """The antigen switch of kirouac2023 and the growth into free room of kimmel2021, joined.

    The switch gives the burst of divisions, exhaustion and return to memory; the room gives growth after
    lymphodepletion and, where it is negative, the contraction. Each signal of antigen keeps its own half-way value.
    ``antigen_switch`` 0 leaves kimmel2021; ``homeostasis`` 0 leaves kirouac2023.
    """

    antigen_switch = parameter(
        1.0, "1", "1: memory, burst, exhaustion and death of CAR T cells by antigen; 0: none of it",
        source="assumed: a switch", limits=(0.0, 1.0),
    )  # fmt: skip
    homeostasis = parameter(
        1.0, "1", "1: room and interleukin 7 govern growth; 0: they do not", source="assumed: a switch",
        limits=(0.0, 1.0),
    )  # fmt: skip
    # ---- one number each for what makes products and patients differ
    fitness = parameter(
        1.0, "1", "how fast CAR T cells divide, and exhaust by it, relative to the typical", symbol="phi",
        source="assumed: fitness of the T cells that were collected", limits=(0.0, 100.0), spread=lognormal(0.25),
    )  # fmt: skip
    expansion_capacity = parameter(
        1.0, "1", "CAR T cells at which growth ends, relative to the typical", symbol="kappa",
        source="assumed: it moves the peak, hardly its day", limits=(1e-3, 1e3), spread=lognormal(0.4),
    )  # fmt: skip
    activation_lag = parameter(
        1.0, "1", "time from infusion to activity, relative to half a day and two", symbol="lambda",
        source="assumed: it moves the onset of expansion; a property of the product", limits=(0.01, 100.0),
    )  # fmt: skip
    # ---- the infused cells
    engraftment = parameter(
        1.0, "1/day", "rate at which infused cells settle", source="mstadt2024: mod_eqns.m, written as 1"
    )
    dose_loss = parameter(
        1.0, "1/day", "rate at which infused cells are lost", symbol="f_loss",
        source="assumed: a fifth settles; the fits of kirouac2023 hold far more loss and far more growth",
        spread=lognormal(0.5),
    )  # fmt: skip
    memory_uptake = parameter(
        0.07, "1/day", "settled cells that become memory cells", symbol="f_M",
        source="assumed: a product with 20 per cent of memory cells, active in two thirds of a day",
        spread=lognormal(0.5),
    )  # fmt: skip
    early_uptake = parameter(
        0.2, "1/day", "settled cells that become early effectors", symbol="f_1",
        source="assumed: as above, 33 per cent", spread=lognormal(0.4),
    )  # fmt: skip
    expanded_uptake = parameter(
        0.17, "1/day", "settled cells that become expanded effectors", symbol="f_E",
        source="assumed: as above, 33 per cent",
    )  # fmt: skip
    exhausted_uptake = parameter(
        0.06, "1/day", "settled cells that are exhausted", symbol="f_X", source="assumed: as above, 13 per cent"
    )
    # ---- the switch
    memory_division = parameter(0.2, "1/day", "rate at which memory cells divide", symbol="mu_m", source=_SET)
    largest_renewal = parameter(
        0.57, "1", "share of memory divisions that renew, without antigen", symbol="f_max",
        source="stein2019: with memory_death, the terminal decline of 0.0032 per day", limits=(0.0, 1.0),
    )  # fmt: skip
    renewal_half = parameter(
        2e10, "cell", "antigen at which renewal is half", symbol="A_m", source=_SET, limits=(1.0, 1e15)
    )
    renewal_steepness = parameter(1.0, "1", "Hill exponent of renewal", symbol="k_m", source=_SET)
    memory_death = parameter(
        0.04, "1/day", "death rate of memory cells", symbol="d_m", source="stein2019: see largest_renewal",
        spread=lognormal(0.15),
    )  # fmt: skip
    expansion = parameter(0.4, "1/day", "rate at which early effectors burst into division", symbol="mu_e", source=_SET)
    expansion_half = parameter(
        2e9, "cell", "antigen at which the burst is half as fast", symbol="A_e", source=_SET, limits=(1.0, 1e15),
        spread=lognormal(0.7),
    )  # fmt: skip
    expansion_steepness = parameter(1.0, "1", "Hill exponent of the burst", symbol="k_e", source=_SET)
    divisions = parameter(
        4.0, "1", "divisions of an effector in its burst", symbol="N_d", source=_SET, limits=(0.0, 60.0)
    )
    early_death = parameter(0.2, "1/day", "death rate of early effectors", symbol="d_1", source=_SET)
    expanded_death = parameter(0.06, "1/day", "death rate of expanded effectors", symbol="d_E", source=_SET)
    exhaustion = parameter(
        0.08, "1/day", "largest rate of exhaustion", symbol="k_ex", source=_SET, spread=lognormal(0.4)
    )
    exhaustion_half = parameter(
        3e10, "cell", "antigen at which exhaustion is half", symbol="A_x", source=_SET, limits=(1.0, 1e15)
    )
    exhaustion_steepness = parameter(1.5, "1", "Hill exponent of exhaustion", symbol="k_x", source=_SET)
    exhausted_death = parameter(0.1, "1/day", "death rate of exhausted cells", symbol="d_X", source=_SET)
    return_to_memory = parameter(0.0015, "1/day", "largest rate of return to memory", symbol="r_m", source=_SET)
    return_half = parameter(
        1e9, "cell", "antigen at which the return to memory is half", symbol="A_r", source=_SET, limits=(1.0, 1e15)
    )
    return_steepness = parameter(1.5, "1", "Hill exponent of the return to memory", symbol="k_r", source=_SET)
    crowding = parameter(
        1e11, "cell", "CAR T cells at which the burst is half, for want of antigen and cytokines", symbol="K_b",
        source="assumed: several times a usual peak", limits=(1.0, 1e15),
    )  # fmt: skip
    il7_half = parameter(
        10.0, "pg/mL", "interleukin 7 with half its effect on division", symbol="K_7", source="assumed: twice rest",
        limits=(1e-3, 1e6),
    )  # fmt: skip
    # ---- the room
    car_t_capacity = parameter(
        6.96e10, "cell", "CAR T cells that the body carries", symbol="K_C", source="kimmel2021: table 1"
    )
    own_room = parameter(
        0.95, "1", "share of the host's T cells that cells with antigen need not share room with", symbol="psi",
        source="assumed: antigen-driven cells feed each other, so peaks hardly depend on dose; 0 is kimmel2021",
        limits=(0.0, 1.0),
    )  # fmt: skip
    car_t_growth = parameter(
        0.037, "1/day", "growth rate in free room when lymphocytes are normal", symbol="r_C0",
        source="cartecology: HybridModel_08_30_20.jl",
    )  # fmt: skip
    growth_signal = parameter(
        0.525, "1/day", "growth rate added when lymphocytes are depleted", symbol="b", source="kimmel2021: table 1"
    )
    growth_signal_width = parameter(
        0.423, "1", "how fast that falls as lymphocytes return", symbol="w", source="kimmel2021: table 1"
    )
    growth_by_antigen = parameter(
        0.9, "1", "share of growth in free room that needs antigen", symbol="q",
        source="assumed: without antigen CAR T cells hardly expand; 0 is kimmel2021", limits=(0.0, 1.0),
    )  # fmt: skip
    growth_half = parameter(
        2e9, "cell", "antigen at which that growth is half", symbol="A_g", source="assumed: as for the burst",
        limits=(1.0, 1e15), spread=lognormal(0.7),
    )  # fmt: skip
    # ---- corticosteroids
    steroid_death = parameter(
        0.065, "1/day", "death rate of effectors that full steroid adds", symbol="c_S",
        source="assumed: a course of three days hardly acts (stein2019: factor 1.0), a long one does",
    )  # fmt: skip
    steroid_on_growth = parameter(
        0.12, "1", "share of growth that full steroid stops", source="assumed: as above", limits=(0.0, 1.0)
    )
    # ---- within the tumour
    entry = parameter(
        0.05, "1/day", "rate at which effectors enter the tumour", symbol="J",
        source="assumed: a few per cent a day; singh2020 has 10.35 per hour from the vessels of a mouse tumour",
    )  # fmt: skip
    departure = parameter(
        0.2, "1/day", "rate at which they leave it", symbol="L", source="singh2021: k21 of 0.176 per day"
    )
    site_growth = parameter(
        0.5, "1/day", "largest growth rate within the tumour", symbol="p_E",
        source="leontriana2021: 0.9 per day without room or suppression; half of it",
    )  # fmt: skip
    site_half = parameter(
        1e10, "cell", "tumour cells with antigen at which that growth is half", symbol="A_t",
        source="leontriana2021: g_T", limits=(1.0, 1e15),
    )  # fmt: skip
    site_capacity = parameter(
        1e10, "cell", "effectors that the tumour holds", symbol="K_t", source="assumed: a tenth of a median tumour",
        limits=(1.0, 1e15),
    )  # fmt: skip
    site_exhaustion = parameter(
        0.1, "1/day", "exhaustion within the tumour beyond that outside", symbol="k_cp",
        source="assumed: inhibitory ligands",
    )  # fmt: skip
    suppression = parameter(
        0.0, "1", "suppression by TGF-beta of a large tumour: growth and killing fall to 1/(1 + this)", symbol="c_T",
        source="assumed: none outside solid tumours; swanson2022 has the form", limits=(0.0, 1e6),
    )  # fmt: skip
    suppression_half = parameter(
        1e10, "cell", "tumour cells at which suppression is half", symbol="K_T", source="assumed: 10 mL of tumour",
        limits=(1.0, 1e15),
    )  # fmt: skip

    # ---- what antigen tells the cells
    _antigen = maximum(Body.antigen, 0)
    expansion_signal = 1 - 1 / (1 + (_antigen / expansion_half) ** expansion_steepness)
    exhaustion_signal = 1 - 1 / (1 + (_antigen / exhaustion_half) ** exhaustion_steepness)
    growth_antigen = _antigen / (_antigen + growth_half)
    site_antigen = Body.tumour_positive / (Body.tumour_positive + site_half)
    # ---- what room and interleukin 7 tell them; both are 1 or 0 without homeostasis
    il7_signal = 1 - homeostasis * (
        1 - (il7_half + Body.il7_baseline) / Body.il7_baseline * Body.interleukin_7 / (Body.interleukin_7 + il7_half)
    )
    burst_room = 1 - homeostasis * Host.circulating_car_t / (Host.circulating_car_t + expansion_capacity * crowding)
    _missing = Host.all_t - Body.host_capacity
    growth_rate = car_t_growth + growth_signal * _missing**2 / (growth_signal_width * Host.all_t**2 + _missing**2)
    _sharing = Host.all_t - homeostasis * own_room * growth_antigen * Body.host_t
    room = log(expansion_capacity * car_t_capacity / maximum(_sharing, Body.one_cell))
    _stopped = 1 - steroid_on_growth * Drugs.steroid_effect
    _driven = 1 - growth_by_antigen * (1 - growth_antigen)
    growth = homeostasis * growth_rate * (fitness * maximum(room, 0) * _driven * _stopped + minimum(room, 0))
    # ---- flows, in cells per day
    renewal = largest_renewal / (1 + (_antigen / renewal_half) ** renewal_steepness)
    # What multiplies is kept at zero or more: an overshoot of the solver below zero must not grow.
    moving, waking = Body.infused / activation_lag, Body.arrived / activation_lag
    dividing = antigen_switch * memory_division * il7_signal * maximum(Body.memory, 0)
    bursting = antigen_switch * fitness * expansion * expansion_signal * burst_room * maximum(Body.early, 0)
    born = 2**divisions * _stopped
    exhausting = antigen_switch * fitness * exhaustion * exhaustion_signal * Body.expanded
    returning = antigen_switch * return_to_memory / (1 + (_antigen / return_half) ** return_steepness) * Body.expanded
    entering, leaving = entry * Body.expanded, departure * Body.site_effector
    _tumour = Body.tumour_positive + Body.tumour_negative
    xi = 1 / (1 + suppression * _tumour / (_tumour + suppression_half))
    site_exhausting = fitness * (exhaustion + site_exhaustion) * site_antigen * Body.site_effector
    steroid_killing = steroid_death * Drugs.steroid_effect
    effector_loss = steroid_killing + Host.rejected

    equations = {
        ddt(Body.infused): -dose_loss * moving - engraftment * moving - Host.rejected * Body.infused,
        ddt(Body.arrived): engraftment * moving
        - (memory_uptake + early_uptake + expanded_uptake + exhausted_uptake) * waking
        - Host.rejected * Body.arrived,
        ddt(Body.memory): (2 * renewal - 1) * dividing - antigen_switch * memory_death * Body.memory
        + memory_uptake * waking + returning - Host.rejected * Body.memory,
        ddt(Body.early): 2 * (1 - renewal) * dividing - bursting - antigen_switch * early_death * Body.early
        + early_uptake * waking - effector_loss * Body.early,
        ddt(Body.expanded): born * bursting + growth * maximum(Body.expanded, 0) - exhausting
        - antigen_switch * expanded_death * Body.expanded + expanded_uptake * waking - returning
        - entering + leaving - effector_loss * Body.expanded,
        ddt(Body.exhausted): exhausting - antigen_switch * exhausted_death * Body.exhausted
        + exhausted_uptake * waking - Host.rejected * Body.exhausted,
        ddt(Body.site_effector): entering - leaving
        + fitness * site_growth * site_antigen * xi * _stopped * maximum(Body.site_effector, 0)
        * (1 - Body.site_effector / (expansion_capacity * site_capacity))
        - site_exhausting - expanded_death * Body.site_effector - effector_loss * Body.site_effector,
        ddt(Body.site_exhausted): site_exhausting - exhausted_death * Body.site_exhausted
        - Host.rejected * Body.site_exhausted,
    }  # fmt: skip
