"""The cells and the medium of one culture, as a model that the engine solves.

Day 0 of the model is the seeding. Stimulated cells begin to divide after a lag; their drive to divide then halves with
every ``activation_half_life`` until they are stimulated again. What they eat and give off changes the medium, and the
medium slows them down or kills them. With each doubling some cells move on in the chain of phenotypes.
"""

from __future__ import annotations

from livingdrug.model import Model, ddt, exp, output, parameter, state, time, where

__all__ = ["Culture"]

_LN2 = 0.6931471805599453
_POSITIVE = (1e-12, float("inf"))
_ANY = (float("-inf"), float("inf"))


def _row(volume: float, growth: float, half_life: float, death: float, age: float = 0.0) -> dict[str, float]:
    """A row of the published growth table; four numbers are shared by all rows.

    The table tells neither how many cells were seeded nor how much medium was fed. Seeding and lag are those fitted to
    the three rows that differ in the age of the seed; room does not bind; two volumes a day keep the medium fresh.
    """
    return {
        "start_volume": volume, "capacity": 1e8 * volume, "seeded": 4.143e5 * volume, "lag": 0.0492,
        "perfusion_rate": 2.0, "growth_rate": growth, "activation_half_life": half_life, "death_rate": death,
        "stimulated": -age,
    }  # fmt: skip


class Culture(Model):
    """T cells in a vessel: a pulse of activation, glucose, lactate, ammonia, cytokine and room.

    All living cells divide at one rate. The cytokine is counted in multiples of what fresh medium holds. Perfusion
    exchanges medium and keeps the cells; feeding adds medium and volume.
    """

    source = "tcellgrowth2019"
    system = "in vitro"
    follow_up = 14.0

    growth_rate = parameter(
        2.3145, "1/day", "division rate just after the lag in fresh medium with room", symbol="mu",
        source="fitted to the rows of table 1 that differ in the day of seeding",
    )  # fmt: skip
    activation_half_life = parameter(
        1.8228, "day", "time in which the drive to divide halves", symbol="h", limits=_POSITIVE,
        source="fitted to the rows of table 1 that differ in the day of seeding",
    )  # fmt: skip
    lag = parameter(
        1.5, "day", "time from the stimulus to the first divisions", symbol="lambda",
        source="panch2019: growth restarts 24 to 48 hours after activation",
    )  # fmt: skip
    stimulated = parameter(
        0.0, "day", "day of the stimulus; negative for cells stimulated before seeding", symbol="t_s", limits=_ANY,
        source="assumed: at seeding",
    )  # fmt: skip
    capacity = parameter(6.4e9, "cell", "living cells that the vessel holds", symbol="X_max", limits=_POSITIVE,
                         source="table 1: stirred tank, 6.4e6 per mL, one litre")  # fmt: skip
    glucose_half = parameter(0.75, "mmol/L", "glucose at which cells divide half as fast", symbol="K_G",
                             limits=_POSITIVE, source="recalled: 0.5 to 1")  # fmt: skip
    lactate_half = parameter(20.0, "mmol/L", "lactate at which cells divide half as fast", symbol="K_L",
                             limits=_POSITIVE, source="recalled: 15 to 25")  # fmt: skip
    ammonia_half = parameter(4.5, "mmol/L", "ammonia at which cells divide half as fast", symbol="K_A",
                             limits=_POSITIVE, source="recalled: 3 to 6")  # fmt: skip
    cytokine_half = parameter(0.1, "1", "cytokine at which cells divide half as fast", symbol="K_C", limits=_POSITIVE,
                              source="assumed: a tenth of fresh medium")  # fmt: skip
    death_rate = parameter(
        0.084, "1/day", "death rate in good medium", symbol="k_d", source="recalled: 0.002 to 0.005 per hour"
    )
    starvation_death = parameter(0.5, "1/day", "death rate added where there is no glucose or no cytokine",
                                 symbol="k_s", source="assumed: half are lost in a day and a half")  # fmt: skip
    handling_death = parameter(0.0, "1/day", "death rate added at seeding by freezing, thawing and handling",
                               symbol="k_h", source="assumed: none")  # fmt: skip
    handling_half_life = parameter(0.5, "day", "time in which that added rate halves", limits=_POSITIVE,
                                   source="assumed: so that it is over after the first two days")  # fmt: skip
    lysis_rate = parameter(
        1.0, "1/day", "rate at which dead cells fall apart", symbol="k_l", source="assumed: within a day"
    )
    glucose_per_cell = parameter(1.2, "pmol/cell", "glucose taken up for one new cell", symbol="y_G",
                                 source="assumed: so that 8e6 cells per mL grow from 25 mmol/L")  # fmt: skip
    glucose_upkeep = parameter(0.6, "pmol/cell/day", "glucose that a cell takes up without dividing", symbol="m_G",
                               source="assumed: half a new cell's glucose in a day")  # fmt: skip
    lactate_per_glucose = parameter(1.7, "1", "lactate given off per glucose taken up", symbol="y_L",
                                    source="recalled: 1.5 to 1.9")  # fmt: skip
    ammonia_per_cell = parameter(0.15, "pmol/cell", "ammonia given off for one new cell", symbol="y_A",
                                 source="assumed: about a tenth of the glucose")  # fmt: skip
    cytokine_decay = parameter(0.2, "1/day", "decay of the cytokine", symbol="k_C", source="assumed")
    cytokine_uptake = parameter(2e-8, "mL/cell/day", "medium that one cell clears of cytokine", symbol="u_C",
                                source="assumed: half in a day at 2e7 cells per mL")  # fmt: skip
    medium_glucose = parameter(
        25.0, "mmol/L", "glucose of fresh medium", symbol="G_0", source="assumed: 4.5 g per litre"
    )
    medium_ammonia = parameter(0.3, "mmol/L", "ammonia of fresh medium", symbol="A_0", source="assumed")
    start_volume = parameter(
        1000.0, "mL", "medium at seeding", symbol="V_0", limits=_POSITIVE, source="assumed: one litre"
    )
    feed_rate = parameter(0.0, "mL/day", "medium added", symbol="F", source="assumed: none")
    feed_start = parameter(0.0, "day", "first day of feeding", source="assumed")
    feed_end = parameter(1e6, "day", "day on which the vessel is full", source="assumed: never")
    perfusion_rate = parameter(0.0, "1/day", "vessel volumes of medium exchanged", symbol="D", source="assumed: none")
    perfusion_start = parameter(0.0, "day", "first day of perfusion", source="assumed")
    seeded = parameter(5e8, "cell", "living cells at seeding", symbol="X_0", source="assumed: 5e5 per mL")
    seeded_dead = parameter(0.0, "cell", "dead cells at seeding", source="assumed: none")

    naive_at_start = parameter(0.4, "1", "share of naive and stem-cell memory cells", limits=(0, 1), source="assumed")
    central_memory_at_start = parameter(0.2, "1", "share of central memory cells", limits=(0, 1), source="assumed")
    effector_memory_at_start = parameter(0.25, "1", "share of effector memory cells; the rest are effectors",
                                         limits=(0, 1), source="assumed")  # fmt: skip
    naive_loss = parameter(0.20, "1", "share of naive cells that move on per doubling", symbol="p_1", source="assumed")
    central_memory_loss = parameter(0.10, "1", "share of central memory cells that move on per doubling", symbol="p_2",
                                    source="assumed")  # fmt: skip
    effector_memory_loss = parameter(0.05, "1", "share of effector memory cells that move on per doubling",
                                     symbol="p_3", source="assumed")  # fmt: skip

    naive = state("cell", "living naive and stem-cell memory cells", initial=seeded * naive_at_start, symbol="N")
    central_memory = state("cell", "living central memory cells", initial=seeded * central_memory_at_start, symbol="M")
    effector_memory = state(
        "cell", "living effector memory cells", initial=seeded * effector_memory_at_start, symbol="E"
    )
    effector = state(
        "cell", "living effector cells", symbol="F",
        initial=seeded * (1 - naive_at_start - central_memory_at_start - effector_memory_at_start),
    )  # fmt: skip
    dead = state("cell", "dead cells that have not fallen apart", initial=seeded_dead, symbol="Y")
    doublings = state("1", "doublings since seeding, deaths not counted", symbol="n", floor=1e-3)
    volume = state("mL", "medium", initial=start_volume, symbol="V")
    glucose = state("mmol/L", "glucose", initial=medium_glucose, symbol="G", floor=1e-3)
    lactate = state("mmol/L", "lactate", symbol="L", floor=1e-3)
    ammonia = state("mmol/L", "ammonia", initial=medium_ammonia, symbol="A", floor=1e-3)
    cytokine = state("1", "cytokine, in multiples of fresh medium", initial=1.0, symbol="C", floor=1e-3)

    living = naive + central_memory + effector_memory + effector
    activation = where(time < stimulated + lag, 0.0, exp(-_LN2 * (time - stimulated - lag) / activation_half_life))
    glucose_term = glucose / (glucose_half + glucose)
    cytokine_term = cytokine / (cytokine_half + cytokine)
    waste_term = 1 / ((1 + lactate / lactate_half) * (1 + ammonia / ammonia_half))
    division_rate = growth_rate * activation * glucose_term * waste_term * cytokine_term * (1 - living / capacity)
    hungry = glucose_half**2 / (glucose_half**2 + glucose**2)
    starving = 1 - (1 - hungry) * cytokine**2 / (cytokine_half**2 + cytokine**2)
    dying_rate = death_rate + starvation_death * starving + handling_death * exp(-_LN2 * time / handling_half_life)
    feeding = where(time < feed_start, 0.0, where(time < feed_end, feed_rate, 0.0))
    fresh = where(time < perfusion_start, 0.0, perfusion_rate) + feeding / volume
    density = living / volume
    net_rate = division_rate - dying_rate
    doubling_rate = division_rate / _LN2
    to_central_memory = naive_loss * doubling_rate * naive
    to_effector_memory = central_memory_loss * doubling_rate * central_memory
    to_effector = effector_memory_loss * doubling_rate * effector_memory
    uptake = density * (glucose_per_cell * division_rate + glucose_upkeep * glucose_term)

    equations = {
        ddt(naive): net_rate * naive - to_central_memory,
        ddt(central_memory): net_rate * central_memory + to_central_memory - to_effector_memory,
        ddt(effector_memory): net_rate * effector_memory + to_effector_memory - to_effector,
        ddt(effector): net_rate * effector + to_effector,
        ddt(dead): dying_rate * living - lysis_rate * dead,
        ddt(doublings): doubling_rate,
        ddt(volume): feeding,
        ddt(glucose): fresh * (medium_glucose - glucose) - uptake,
        ddt(lactate): lactate_per_glucose * uptake - fresh * lactate,
        ddt(ammonia): ammonia_per_cell * division_rate * density + fresh * (medium_ammonia - ammonia),
        ddt(cytokine): fresh * (1 - cytokine) - (cytokine_decay + cytokine_uptake * density) * cytokine,
    }
    outputs = {
        "living_cells": output(living, "cell", "living cells in the vessel"),
        "dead_cells": output(dead, "cell", "dead cells in the vessel"),
        "living_density": output(density, "cell/mL", "living cells per volume"),
        "viability": output(living / (living + dead), "1", "living over all cells"),
        "glucose_medium": output(glucose, "mmol/L", "glucose in the vessel"),
        "lactate_medium": output(lactate, "mmol/L", "lactate in the vessel"),
        "ammonia_medium": output(ammonia, "mmol/L", "ammonia in the vessel"),
        "population_doublings": output(doublings, "1", "doublings since seeding, deaths not counted"),
    }
    parameter_sets = {
        "seeded_on_day_0": _row(80.0, 2.3145, 1.8228, 0.0608),
        "seeded_on_day_2": _row(80.0, 2.3145, 1.8228, 0.0608, age=2.0),
        "seeded_on_day_5": _row(80.0, 2.3145, 1.8228, 0.0608, age=5.0),
        "second_stimulation": _row(80.0, 1.7454, 1.8183, 0.0888),
        "aim_v": _row(30.0, 1.5786, 2.5740, 0.3432),
        "optmizer": _row(30.0, 1.2769, 3.6061, 0.1805),
        "immunocult": _row(30.0, 1.7561, 1.6945, 0.1037),
        "t75_flask": _row(10.0, 1.3385, 4.1562, 0.1387),
        "shake_flask": _row(30.0, 1.7407, 1.8096, 0.1095),
        "spinner": _row(80.0, 1.7454, 1.8183, 0.0888),
        "bioreactor": _row(800.0, 1.7783, 2.6059, 0.0812),
    }
    claims = [
        "One set of five numbers gives the three published rows that differ only in the age of the seed.",
        "Perfusion alone turns a hollow-fibre yield of 1.1e10 into more than 2.8e10.",
    ]
    limitations = [
        "All phenotypes divide and die at one rate; a cell's history is its mean number of doublings.",
        "Oxygen, pH, temperature, shear and clumping are not in the model.",
        "The constants of the metabolism are recalled or assumed; only growth, drive and death are fitted.",
        "What the published table was fed is not known; two volumes of fresh medium a day stand for it.",
    ]
