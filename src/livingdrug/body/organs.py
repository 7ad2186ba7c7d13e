"""Vessels and brain: cytokines open the vessels, then the blood-brain barrier, and the brain suffers with a delay."""

from __future__ import annotations

from livingdrug.body.cytokines import Cytokines
from livingdrug.body.drugs import Drugs
from livingdrug.body.states import Body
from livingdrug.model import Block, ddt, lognormal, maximum, parameter


class Organs(Block):
    """Endothelial activation, the blood-brain barrier, cytokines in the brain, delayed injury; late movement disorder.

    Tocilizumab lowers the effect of interleukin 6 on vessels; it hardly enters the brain, where what is measured in
    serum counts. Steroids and anakinra act there.
    """

    vessel_turnover = parameter(
        1.0, "1/day", "turnover of endothelial activation", symbol="k_V",
        source="assumed: hypotension follows fever by a day",
    )  # fmt: skip
    endothelial_sensitivity = parameter(
        1.0, "1", "how strongly vessels answer cytokines, relative to the typical",
        source="assumed: one number for calibration", limits=(0.0, 1e3), spread=lognormal(0.2),
    )  # fmt: skip
    vessel_by_il6 = parameter(
        2.0, "1", "activation that interleukin 6 adds, at most", symbol="s_Y", source="assumed: a few fold (hay2017)",
        spread=lognormal(0.5),
    )  # fmt: skip
    vessel_il6_half = parameter(
        600.0, "pg/mL", "acting interleukin 6 at which that is half", symbol="K_VY",
        source="assumed: severe disease has more", limits=(1e-3, 1e9),
    )  # fmt: skip
    vessel_by_ifn_gamma = parameter(
        1.5, "1", "activation that interferon gamma adds, at most", symbol="s_G", source="assumed: as above",
        spread=lognormal(0.5),
    )  # fmt: skip
    vessel_ifn_gamma_half = parameter(
        1500.0, "pg/mL", "interferon gamma at which that is half", symbol="K_VG",
        source="assumed: severe disease has more", limits=(1e-3, 1e9),
    )  # fmt: skip
    barrier_opening = parameter(
        0.25, "1/day", "opening of the blood-brain barrier per endothelial activation", symbol="k_P",
        source="assumed: with injury, a delay of days", spread=lognormal(0.6),
    )  # fmt: skip
    barrier_by_ifn_gamma = parameter(
        2.5, "1", "opening that interferon gamma adds, in units of endothelial activation, at most", symbol="s_P",
        source="assumed: as much as vessels, so that tocilizumab does not spare the brain",
    )  # fmt: skip
    barrier_ifn_gamma_half = parameter(
        300.0, "pg/mL", "interferon gamma at which that is half", symbol="K_P", source="assumed: a usual peak",
        limits=(1e-3, 1e9),
    )  # fmt: skip
    barrier_closing = parameter(0.7, "1/day", "rate at which the barrier closes", symbol="d_P", source="assumed: days")
    brain_switch = parameter(
        1.0, "1", "1: cytokines and CAR T cells act on the brain; 0: they do not", source="assumed: a switch",
        limits=(0.0, 1.0),
    )  # fmt: skip
    brain_sensitivity = parameter(
        1.0, "1", "how much of the cytokines reaches the brain, relative to the typical",
        source="assumed: one number for calibration", limits=(0.0, 1e3), spread=lognormal(0.3),
    )  # fmt: skip
    cns_by_blood = parameter(
        2.4, "1/day", "cytokines that pass the open barrier, at most", symbol="k_Z", source="assumed",
        spread=lognormal(0.6),
    )  # fmt: skip
    cns_il6_half = parameter(
        1500.0, "pg/mL", "interleukin 6 in serum at which that is half", symbol="K_Z",
        source="assumed: severe disease", limits=(1e-3, 1e9),
    )  # fmt: skip
    cns_by_cells = parameter(
        4e-11, "1/cell/day", "cytokines from CAR T cells that entered the brain, per engaged cell outside",
        symbol="J_B", source="assumed: neurotoxicity without cytokine release occurs, seldom", spread=lognormal(2.5),
    )  # fmt: skip
    cns_clearance = parameter(
        1.0, "1/day", "clearance of cytokines in the brain", symbol="d_Z", source="assumed: back in two weeks"
    )
    injury_lag = parameter(
        0.5, "1/day", "rate at which injury follows", symbol="k_U", source="assumed: delay of two days",
        spread=lognormal(0.2),
    )  # fmt: skip
    injury_repair = parameter(
        0.7, "1/day", "repair of the brain", symbol="d_U", source="assumed: a median duration of a week"
    )
    steroid_on_brain = parameter(
        2.0, "1", "rise of repair and of closing under full steroid", symbol="e_U", source="assumed: threefold",
        limits=(0.0, 100.0),
    )  # fmt: skip
    il1_on_brain = parameter(
        0.4, "1", "share of cytokines in the brain that needs interleukin 1", source="assumed", limits=(0.0, 1.0)
    )
    movement_rate = parameter(
        7e-14, "1/cell/day", "hazard of a late movement disorder per CAR T cell against BCMA", symbol="h_U",
        source="parkinsonism2022: 6 per cent with ciltacabtagene; seen with BCMA products only",
    )  # fmt: skip

    excess = maximum(Body.endothelium - 1, 0)
    _ifn_gamma = Body.interferon_gamma - Body.ifn_gamma_baseline
    _vessels = vessel_by_il6 * Cytokines.il6_excess / (
        Cytokines.il6_excess + vessel_il6_half
    ) + vessel_by_ifn_gamma * _ifn_gamma / (_ifn_gamma + vessel_ifn_gamma_half)
    _opening = excess + barrier_by_ifn_gamma * _ifn_gamma / (_ifn_gamma + barrier_ifn_gamma_half)
    _helped = 1 + steroid_on_brain * Drugs.steroid_effect
    _through = cns_by_blood * Body.barrier * Body.interleukin_6 / (Body.interleukin_6 + cns_il6_half)

    equations = {
        ddt(Body.endothelium): vessel_turnover * (1 + endothelial_sensitivity * _vessels - Body.endothelium),
        ddt(Body.barrier): brain_switch * barrier_opening * _opening - barrier_closing * _helped * Body.barrier,
        ddt(Body.cns_cytokines): brain_sensitivity * (1 - il1_on_brain * Drugs.il1_block)
        * (_through + brain_switch * cns_by_cells * Cytokines.engaged) - cns_clearance * Body.cns_cytokines,
        ddt(Body.brain_injury): injury_lag * Body.cns_cytokines - injury_repair * _helped * Body.brain_injury,
        ddt(Body.movement_hazard): brain_switch * movement_rate * Body.antigen_on_plasma_cells * Body.expanded,
    }  # fmt: skip
