"""Swanson et al. 2022: tumour cells, cancer stem cells, regulatory T cells and TGF-beta under CAR T cells."""

from __future__ import annotations

from livingdrug.model import Model, bolus, ddt, output, parameter, state

_TABLE = "table of parameters, Tang2020"
_SHARED = "table of parameters, the same in all three sets"
_START = "spelman2023: scripts on this paper, start of the runs"
_DOSE = "spelman2023: figure7stemaside.m"


class Swanson2022(Model):
    """CAR T cells against tumour cells and their stem cells, held back by regulatory T cells and TGF-beta.

    Stem cells renew themselves and make tumour cells. One CAR T product attacks tumour cells, another the stem cells;
    both grow by themselves and on their targets. A part of the first becomes regulatory T cells, which suppress both.
    TGF-beta from the tumour shields it. Fitted to three mouse experiments: the sets Tang2020, Han2021 and Zhang2019.
    By default the product against tumour cells is given on days 0 and 7. With no dose the tumour fills its capacity.
    """

    source = "swanson2022"
    diseases, antigens, system = "solid tumours with cancer stem cells", (), "mouse"
    follow_up = 80.0

    stem_renewal = parameter(
        0.1351, "1", "share of stem cell divisions that make stem cells", symbol="p", source=_TABLE, limits=(0.0, 1.0)
    )
    stem_division = parameter(0.3628, "1/day", "division rate of stem cells", symbol="v_0", source=_TABLE)
    tumour_growth = parameter(0.0454, "1/day", "growth rate of tumour cells", symbol="eta", source=_TABLE)
    capacity = parameter(
        1e9, "cell", "tumour and stem cells that the site carries", symbol="K", source=_SHARED, limits=(1e-3, 1e30)
    )
    car_t_growth = parameter(0.4843, "1/day", "growth rate of CAR T cells by themselves", symbol="b", source=_TABLE)
    stimulation = parameter(
        0.0011, "1/cell/day", "growth of CAR T cells per target cell, without TGF-beta", symbol="f", source=_TABLE
    )
    stimulation_block = parameter(
        0.1224, "1/cell", "how tumour cells with TGF-beta reduce that growth", symbol="c_3", source=_SHARED
    )
    tumour_kill_rate = parameter(
        2e-5, "1/cell/day", "killing of tumour cells per CAR T cell, without TGF-beta", symbol="mu_E", source=_TABLE
    )
    kill_block = parameter(100.0, "1", "how TGF-beta reduces that killing", symbol="c_1", source=_SHARED)
    stem_kill_rate = parameter(
        1e-6, "1/cell/day", "killing of stem cells per CAR T cell against them", symbol="mu_C", source=_TABLE
    )
    regulatory_conversion = parameter(
        0.0125, "1/day", "CAR T cells against tumour cells that become regulatory", symbol="r", source=_TABLE
    )
    tumour_car_t_suppression = parameter(
        1e-5, "1/cell/day", "loss of CAR T cells against tumour cells per regulatory T cell", symbol="mu_RE",
        source=_SHARED,
    )  # fmt: skip
    stem_car_t_suppression = parameter(
        1e-5, "1/cell/day", "loss of CAR T cells against stem cells per regulatory T cell", symbol="mu_RC",
        source=_SHARED,
    )  # fmt: skip
    tumour_car_t_death = parameter(
        1e-5, "1/day", "death rate of CAR T cells against tumour cells", symbol="delta_E", source=_SHARED
    )
    stem_car_t_death = parameter(
        1e-4, "1/day", "death rate of CAR T cells against stem cells", symbol="delta_C", source=_SHARED
    )
    tgf_beta_production = parameter(
        0.5917, "1/day", "largest production of TGF-beta by the tumour", symbol="a", source=_TABLE
    )
    half_production = parameter(
        1.875e9, "cell**2", "square of the tumour cells at which that production is half", symbol="c_2", source=_SHARED,
        limits=(1e-12, 1e30),
    )  # fmt: skip
    tgf_beta_from_regulatory = parameter(
        1e-8, "1/cell/day", "production of TGF-beta per regulatory T cell (and per TGF-beta present)",
        symbol="alpha_RB", source=_TABLE,
    )  # fmt: skip
    self_enhancement = parameter(
        1.0, "1", "1: that production is in proportion to the TGF-beta present; 0: it does not depend on it",
        symbol="phi", source="equations, where the term is alpha_RB R B; the scripts of spelman2023 write alpha_RB R",
        limits=(0.0, 1.0),
    )  # fmt: skip
    tgf_beta_clearance = parameter(7e-4, "1/day", "clearance of TGF-beta", symbol="delta_B", source=_SHARED)
    regulatory_death = parameter(1e-5, "1/day", "death rate of regulatory T cells", symbol="delta_R", source=_SHARED)
    tumour_at_start = parameter(3.4e7, "cell", "tumour cells on day 0", symbol="T_0", source=_START)
    stem_at_start = parameter(3.4e5, "cell", "stem cells on day 0: 1 % of the tumour", symbol="S_0", source=_START)
    tgf_beta_at_start = parameter(5.0, "1", "TGF-beta on day 0", symbol="B_0", source=_START)
    regulatory_at_start = parameter(
        2.5, "cell", "regulatory T cells on day 0 (2.53 in one script)", symbol="R_0", source=_START
    )
    first_dose = parameter(5e6, "cell", "first dose of CAR T cells against tumour cells", source=_DOSE)
    first_stem_dose = parameter(
        0.0, "cell", "first dose of CAR T cells against stem cells", source="assumed: none was read"
    )
    first_dose_day = parameter(0.0, "day", "day of the first dose", source=_DOSE)
    second_dose = parameter(5e6, "cell", "second dose of CAR T cells against tumour cells", source=_DOSE)
    second_stem_dose = parameter(
        0.0, "cell", "second dose of CAR T cells against stem cells", source="assumed: none was read"
    )
    second_dose_day = parameter(7.0, "day", "day of the second dose", source=_DOSE)

    stem = state("cell", "cancer stem cells", initial=stem_at_start, symbol="S", floor=1e-3)
    tumour = state("cell", "tumour cells that are no stem cells", initial=tumour_at_start, symbol="T", floor=1e-3)
    tumour_car_t = state("cell", "CAR T cells against tumour cells", symbol="E", floor=1e-3)
    stem_car_t = state("cell", "CAR T cells against stem cells", symbol="C", floor=1e-3)
    tgf_beta = state("1", "TGF-beta, in the paper's unit", initial=tgf_beta_at_start, symbol="B", floor=1e-6)
    regulatory = state("cell", "regulatory T cells", initial=regulatory_at_start, symbol="R", floor=1e-3)

    room = 1 - (tumour + stem) / capacity
    stimulated = stimulation / (1 + stimulation_block * tumour * tgf_beta)

    equations = {
        ddt(stem): stem_renewal * stem_division * room * stem - stem_kill_rate * stem_car_t * stem,
        ddt(tumour): tumour_growth * room * tumour + (1 - stem_renewal) * stem_division * room * stem
        - tumour_kill_rate / (1 + kill_block * tgf_beta) * tumour_car_t * tumour,
        ddt(tumour_car_t): (car_t_growth + stimulated * tumour) * tumour_car_t
        - (tumour_car_t_suppression * regulatory + tumour_car_t_death + regulatory_conversion) * tumour_car_t,
        ddt(stem_car_t): (car_t_growth + stimulated * stem) * stem_car_t
        - (stem_car_t_suppression * regulatory + stem_car_t_death) * stem_car_t,
        ddt(tgf_beta): tgf_beta_production * tumour**2 / (half_production + tumour**2)
        + tgf_beta_from_regulatory * regulatory * (1 - self_enhancement + self_enhancement * tgf_beta)
        - tgf_beta_clearance * tgf_beta,
        ddt(regulatory): regulatory_conversion * tumour_car_t - regulatory_death * regulatory,
    }  # fmt: skip
    events = [
        bolus(tumour_car_t, first_dose, at=first_dose_day),
        bolus(stem_car_t, first_stem_dose, at=first_dose_day),
        bolus(tumour_car_t, second_dose, at=second_dose_day),
        bolus(stem_car_t, second_stem_dose, at=second_dose_day),
    ]
    outputs = {
        "car_t_total": tumour_car_t + stem_car_t,
        "tumour_cells": tumour + stem,
        "stem_cells": output(stem, "cell", "cancer stem cells"),
        "regulatory_t_total": output(regulatory, "cell", "regulatory T cells"),
        "tgf_beta_level": output(tgf_beta, "1", "TGF-beta in the paper's own unit"),
    }
    parameter_sets = {
        "Tang2020": {
            "stem_renewal": 0.1351, "stem_division": 0.3628, "tumour_growth": 0.0454, "car_t_growth": 0.4843,
            "stimulation": 0.0011, "tumour_kill_rate": 2e-5, "stem_kill_rate": 1e-6, "regulatory_conversion": 0.0125,
            "tgf_beta_production": 0.5917, "tgf_beta_from_regulatory": 1e-8,
        },
        "Han2021": {
            "stem_renewal": 0.4063, "stem_division": 0.4218, "tumour_growth": 0.1661, "car_t_growth": 0.4254,
            "stimulation": 0.002, "tumour_kill_rate": 1e-5, "stem_kill_rate": 1e-6, "regulatory_conversion": 0.01,
            "tgf_beta_production": 0.6011, "tgf_beta_from_regulatory": 1e-7,
        },
        "Zhang2019": {
            "stem_renewal": 0.4063, "stem_division": 0.2895, "tumour_growth": 0.1133, "car_t_growth": 0.4254,
            "stimulation": 0.002, "tumour_kill_rate": 2e-5, "stem_kill_rate": 4e-6, "regulatory_conversion": 0.01,
            "tgf_beta_production": 0.6011, "tgf_beta_from_regulatory": 1e-7,
        },
        "production_without_tgf_beta": {"self_enhancement": 0.0},
    }  # fmt: skip
    claims = [
        "Without treatment tumour and stem cells fill the capacity together, and TGF-beta settles at its production "
        "over its clearance.",
        "A product against tumour cells alone delays the tumour; stem cells bring it back.",
        "Inhibition of TGF-beta helps the CAR T cells.",
    ]
    errata = [
        "The production of TGF-beta by regulatory T cells is alpha_RB R B in the paper's equations as read, in "
        "proportion to the TGF-beta already there; two scripts of a third party on this paper write alpha_RB R. Both "
        "can be had: self_enhancement is 1 and 0, the set production_without_tgf_beta is the latter. Tumour and cells "
        "differ by less than a thousandth until day 80; TGF-beta itself differs up to 2.4 times (Han2021, Zhang2019).",
    ]
    limitations = [
        "Once CAR T cells were given, the regulatory T cells make TGF-beta faster in proportion to itself than it is "
        "cleared, and it grows without bound: days long after 80 mean nothing (with self_enhancement=0 it settles).",
        "Regulatory T cells arise from CAR T cells and hardly ever die (a mean life of 270 years): they drive out the "
        "CAR T cells within weeks in all three sets, and no later dose can grow.",
        "The unit of TGF-beta and of its constants was not read: they are given as plain numbers.",
        "Start and doses were read in a class's scripts, not in the paper; no dose of the product against stem cells "
        "was read.",
        "With no TGF-beta and a large tumour the stimulated growth is more than a million per day: the paper's "
        "constants make sense only with TGF-beta present.",
        "Tumour and CAR T cells are never extinguished. No antigen is in the model.",
    ]
