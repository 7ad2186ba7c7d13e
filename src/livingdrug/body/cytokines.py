"""Cytokines: CAR T cells that meet antigen alarm macrophages; these make interleukin 6, and the liver answers."""

from __future__ import annotations

from livingdrug.body.b_cells import BCells
from livingdrug.body.car_t import CarT
from livingdrug.body.drugs import Drugs
from livingdrug.body.states import Body
from livingdrug.body.tumour import Tumour
from livingdrug.model import Block, ddt, lognormal, maximum, parameter

_RATES = "hardiansyah2019: supplementary table S1, read in nlmixr2lib"


class Cytokines(Block):
    """Interferon gamma, GM-CSF, interleukins 6 and 10, active macrophages, C-reactive protein and ferritin.

    Macrophages have three triggers, as in santurio2025 (known by its abstract): damage from killed cells, CAR T
    cells that bind antigen, and contact or GM-CSF. All release tires (the power of four is assumed): effectors that
    meet antigen for long release less, and macrophages answer less, so that inflammation ends even where the tumour
    stays. Tocilizumab blocks the receptor of interleukin 6: its effect falls, and what is measured rises, since most of
    it is cleared through that receptor.
    """

    cytokine_release = parameter(
        1.0, "1", "1: CAR T cells release cytokines; 0: they do not", source="assumed: a switch", limits=(0.0, 1.0)
    )
    cytokine_gain = parameter(
        1.0, "1", "how much of every cytokine is made, relative to the typical",
        source="assumed: one number for calibration", limits=(0.0, 1e3), spread=lognormal(0.3),
    )  # fmt: skip
    engagement_half = parameter(
        1e10, "cell", "antigen at which half of the effectors are engaged", symbol="A_c",
        source="assumed: release needs more antigen than growth", limits=(1.0, 1e15),
    )  # fmt: skip
    ifn_gamma_production = parameter(
        6e-8, "pg/mL/cell/day", "interferon gamma per engaged effector", symbol="p_G",
        source="assumed: peaks of hundreds to thousands of pg/mL", spread=lognormal(0.6),
    )  # fmt: skip
    ifn_gamma_clearance = parameter(1.51, "1/day", "clearance of interferon gamma", symbol="d_G", source=_RATES)
    uninhibited_share = parameter(
        0.59, "1", "share of its release that interleukin 10 cannot stop", symbol="a_G", source=_RATES,
        limits=(0.0, 1.0),
    )  # fmt: skip
    il10_half = parameter(
        650.0, "pg/mL", "interleukin 10 at which its inhibition is half", symbol="b_Q10", source=_RATES,
        limits=(1e-3, 1e9),
    )  # fmt: skip
    gm_csf_production = parameter(
        1.2e-8, "pg/mL/cell/day", "GM-CSF per engaged effector", symbol="p_F", source="assumed: tens of pg/mL"
    )
    gm_csf_clearance = parameter(4.0, "1/day", "clearance of GM-CSF", symbol="d_F", source="assumed: as interleukin 6")
    damage_trigger = parameter(
        0.3, "1/day", "macrophages that killed cells activate, at most", symbol="b_D",
        source="assumed: the smaller share; the ranking is that of santurio2025", spread=lognormal(0.3),
    )  # fmt: skip
    damage_half = parameter(
        2e10, "cell/day", "killed cells a day at which that is half", symbol="K_D",
        source="assumed: 20 mL of tumour a day", limits=(1.0, 1e15),
    )  # fmt: skip
    binding_trigger = parameter(
        0.3, "1/day", "macrophages that engaged effectors activate, at most", symbol="b_E", source="assumed: as above"
    )
    binding_half = parameter(
        1.5e10, "cell", "engaged effectors at which that is half", symbol="K_E", source="assumed: a usual peak",
        limits=(1.0, 1e15),
    )  # fmt: skip
    contact_trigger = parameter(
        0.9, "1/day", "macrophages that contact and GM-CSF activate, at most", symbol="b_F",
        source="assumed: the largest share (santurio2025: contact by CD40 dominates)", spread=lognormal(0.5),
    )  # fmt: skip
    contact_half = parameter(
        40.0, "pg/mL", "GM-CSF at which that is half", symbol="K_F", source="assumed: a usual peak", limits=(1e-6, 1e9)
    )
    macrophage_rest = parameter(
        0.7, "1/day", "rate at which active macrophages come to rest", symbol="d_M", source="assumed: a day"
    )
    il10_on_macrophages = parameter(
        1.5, "1", "rise of that rate that interleukin 10 brings, at most", symbol="e_Q",
        source="assumed: tolerance; chen2019 has it from the exposure to cytokines",
    )  # fmt: skip
    il10_half_rest = parameter(
        60.0, "pg/mL", "interleukin 10 above rest at which that is half", symbol="K_Q", source="assumed: a usual peak",
        limits=(1e-3, 1e9),
    )  # fmt: skip
    il6_by_macrophages = parameter(
        8000.0, "pg/mL/day", "interleukin 6 if all macrophages are active", symbol="p_M",
        source="assumed: up to 1e3 to 1e4 pg/mL in severe cases", spread=lognormal(0.9),
    )  # fmt: skip
    il6_by_killing = parameter(
        50.0, "pg/mL/day", "interleukin 6 from cells beside the killed ones, at most", symbol="p_C",
        source="assumed: small",
    )  # fmt: skip
    il6_clearance = parameter(3.96, "1/day", "clearance of interleukin 6", symbol="d_Y", source=_RATES)
    il6_by_receptor = parameter(
        0.75, "1", "share of that clearance through the receptor", symbol="rho",
        source="assumed: serum interleukin 6 rises several fold under tocilizumab", limits=(0.0, 0.99),
    )  # fmt: skip
    il10_production = parameter(
        900.0, "pg/mL/day", "interleukin 10 if all macrophages are active", symbol="p_Q",
        source="assumed: a few hundred pg/mL",
    )  # fmt: skip
    il10_clearance = parameter(4.68, "1/day", "clearance of interleukin 10", symbol="d_Q", source=_RATES)
    tolerance_exposure_half = parameter(
        1e9, "cell", "engaged effectors at which tolerance grows by half a day a day", symbol="K_W",
        source="assumed: a fifteenth of those at which macrophages answer by half", limits=(1.0, 1e15),
    )  # fmt: skip
    tolerance_recovery = parameter(
        0.02, "1/day", "rate at which tolerance goes without engagement", symbol="d_W",
        source="assumed: five weeks to half", limits=(1e-4, 10.0),
    )  # fmt: skip
    tolerance_half = parameter(
        7.0, "day", "engagement after which release is half", symbol="W_half",
        source="assumed: release lasts a week or two; chen2019 has it by exposure to cytokines",
        limits=(0.1, 1e6),
    )  # fmt: skip
    steroid_on_cytokines = parameter(
        0.8, "1", "share of cytokine release that full steroid stops", symbol="e_S", source="assumed: strong",
        limits=(0.0, 1.0),
    )  # fmt: skip
    il1_on_macrophages = parameter(
        0.5, "1", "share of the macrophages' cytokines that needs interleukin 1", source="assumed: half",
        limits=(0.0, 1.0),
    )  # fmt: skip
    crp_turnover = parameter(
        0.875, "1/day", "turnover of C-reactive protein (half-life 19 h)", source="recalled: half-life 19 h"
    )
    crp_largest = parameter(
        300.0, "mg/L", "C-reactive protein that interleukin 6 can add",
        source="recalled: up to 150 to 400 in severe cases", spread=lognormal(0.25),
    )  # fmt: skip
    crp_half = parameter(
        80.0, "pg/mL", "acting interleukin 6 at which it is half", source="assumed: rises with mild fever",
        limits=(1e-3, 1e6),
    )  # fmt: skip
    ferritin_turnover = parameter(0.25, "1/day", "turnover of ferritin", source="assumed: falls by half in three days")
    ferritin_by_macrophages = parameter(
        25000.0, "ug/L", "ferritin that active macrophages can add",
        source="recalled: 1e3 in mild, above 1e4 in severe cases", spread=lognormal(0.5),
    )  # fmt: skip

    met = (
        Body.expanded * Body.antigen / (Body.antigen + engagement_half)
        + Body.site_effector * CarT.site_antigen * CarT.xi
    )
    # Without it, inflammation would last as long as a tumour that resists, for months; no patient shows that.
    tolerant = 1 / (1 + (Body.tolerance / tolerance_half) ** 4)
    engaged = cytokine_release * tolerant * met
    all_killed = cytokine_release * (Tumour.killed + BCells.b_cells_killed + BCells.plasma_cells_killed)
    calmed = 1 - steroid_on_cytokines * Drugs.steroid_effect
    _damage = tolerant * all_killed / (all_killed + damage_half)
    _free_of_il10 = uninhibited_share + (1 - uninhibited_share) * il10_half / (Body.interleukin_10 + il10_half)
    _il10_raised = Body.interleukin_10 - Body.il10_baseline
    _tolerance = 1 + il10_on_macrophages * _il10_raised / (_il10_raised + il10_half_rest)
    _trigger = (
        damage_trigger * _damage
        + binding_trigger * engaged / (engaged + binding_half)
        + contact_trigger * Body.colony_factor / (Body.colony_factor + contact_half)
    )
    from_macrophages = cytokine_gain * (1 - il1_on_macrophages * Drugs.il1_block) * calmed * Body.macrophages
    il6_acting = Body.interleukin_6 * (1 - Drugs.receptor_block)
    il6_excess = maximum(il6_acting - Body.il6_baseline, 0)

    equations = {
        ddt(Body.tolerance): met / (met + tolerance_exposure_half) - tolerance_recovery * Body.tolerance,
        ddt(Body.interferon_gamma): cytokine_gain * ifn_gamma_production * engaged * _free_of_il10 * calmed
        - ifn_gamma_clearance * (Body.interferon_gamma - Body.ifn_gamma_baseline),
        ddt(Body.colony_factor): cytokine_gain * gm_csf_production * engaged * calmed
        - gm_csf_clearance * Body.colony_factor,
        ddt(Body.macrophages): calmed * _trigger * (1 - Body.macrophages)
        - macrophage_rest * _tolerance * Body.macrophages,
        ddt(Body.interleukin_6): il6_by_macrophages * from_macrophages
        + cytokine_gain * il6_by_killing * _damage * calmed
        + il6_clearance * (Body.il6_baseline - (1 - il6_by_receptor * Drugs.receptor_block) * Body.interleukin_6),
        ddt(Body.interleukin_10): il10_production * from_macrophages - il10_clearance * _il10_raised,
        ddt(Body.c_reactive_protein): crp_turnover
        * (Body.crp_baseline + crp_largest * il6_excess / (il6_excess + crp_half) - Body.c_reactive_protein),
        ddt(Body.serum_ferritin): ferritin_turnover
        * (Body.ferritin_baseline + ferritin_by_macrophages * Body.macrophages - Body.serum_ferritin),
    }  # fmt: skip
