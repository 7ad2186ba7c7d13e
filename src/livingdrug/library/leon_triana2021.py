"""León-Triana et al. 2021: CAR T cells with one or two targets against a solid tumour that suppresses them."""

from __future__ import annotations

from livingdrug.model import Model, ddt, output, parameter, state


class LeonTriana2021(Model):
    """CAR T cells that feed on normal B cells in blood as well as on the solid tumour that inactivates them.

    At the tumour (the example is glioblastoma) CAR T cells divide when they meet tumour cells and are inactivated by
    them. A dual product carries a second receptor, for CD19: it expands on B cells and sends CAR T cells to the
    tumour. Without CAR T cells in the blood the model is exactly the paper's system of two populations, a product
    with one target that is placed at the tumour: the set "single_target". Day 0 is the infusion.
    """

    source = "leontriana2021"
    diseases, antigens, system = "glioblastoma", ("IL13Ra2", "CD19"), "human"
    follow_up = 180.0

    car_t_growth = parameter(
        0.9, "1/day", "largest growth rate of CAR T cells at the tumour (Table 1 gives 0.2 to 0.9)", symbol="rho_C",
        source="figures 1 to 6",
    )  # fmt: skip
    half_growth_tumour = parameter(
        1e10, "cell", "tumour cells at which that growth is half", symbol="g_T", source="table 1", limits=(1e-3, 1e30)
    )
    suppression = parameter(
        0.02, "1/day", "largest inactivation of CAR T cells per tumour cell (Table 1 gives 0.01 to 0.99)",
        symbol="alpha_1", source="biomodelsleontriana2021: BIOMD0000001014",
    )  # fmt: skip
    half_suppression_car_t = parameter(
        2e9, "cell", "CAR T cells at which the inactivation of each is half (Table 1 gives 5e8 to 5e9)", symbol="g_C",
        source="figures 1 to 6", limits=(1e-3, 1e30),
    )  # fmt: skip
    car_t_lifetime = parameter(
        7.0, "day", "mean life of an activated CAR T cell (Table 1 gives 7 to 30)", symbol="tau_C",
        source="figures 1 to 6", limits=(1e-3, 1e12),
    )  # fmt: skip
    tumour_growth = parameter(
        0.02, "1/day", "growth rate of the tumour (Table 1 gives 0.001 to 0.2)", symbol="rho_T", source="figures 1 to 6"
    )
    kill_rate = parameter(
        2.5e-10, "1/cell/day", "killing of tumour cells per CAR T cell", symbol="alpha_2", source="figures 1 to 6"
    )
    blood_car_t_growth = parameter(
        0.9, "1/day", "largest growth rate of CAR T cells on B cells (Table 1 gives 0.2 to 0.9)", symbol="rho_C_blood",
        source="figures 5 and 6",
    )  # fmt: skip
    half_growth_b_cells = parameter(
        1e10, "cell", "B cells at which that growth is half", symbol="g_B", source="table 1", limits=(1e-3, 1e30)
    )
    trafficking = parameter(
        0.2, "1/day", "share of the CAR T cells in blood that enters the tumour per day", symbol="k",
        source="figures 5 and 6",
    )  # fmt: skip
    b_cell_kill_rate = parameter(
        4.5e-11, "1/cell/day", "killing of B cells per CAR T cell", symbol="alpha_B", source="figures 5 and 6"
    )
    b_cell_lifetime = parameter(
        60.0, "day", "mean life of a B cell (Table 1 gives 30 to 60)", symbol="tau_B", source="figures 5 and 6",
        limits=(1e-3, 1e12),
    )  # fmt: skip
    tumour_car_t_at_infusion = parameter(
        0.0, "cell", "CAR T cells placed at the tumour", symbol="C_0", source="figure 5b"
    )
    blood_car_t_at_infusion = parameter(
        2e8, "cell", "CAR T cells infused into the blood", symbol="C_0_blood", source="figure 5b"
    )
    tumour_at_infusion = parameter(3.35e10, "cell", "tumour cells at infusion", symbol="T_0", source="figures 1 to 5")
    b_cells_at_infusion = parameter(
        2.5e10, "cell", "B cells at infusion, after lymphodepletion", symbol="B_0", source="section 2.3"
    )

    # The tumour may fall to a fraction of a cell and return: its error is kept small there too.
    tumour_car_t = state("cell", "CAR T cells at the tumour", initial=tumour_car_t_at_infusion, symbol="C", floor=1e-3)
    tumour = state("cell", "tumour cells", initial=tumour_at_infusion, symbol="T", floor=1e-6)
    blood_car_t = state(
        "cell", "CAR T cells away from the tumour", initial=blood_car_t_at_infusion, symbol="C_blood", floor=1e-3
    )
    b_cells = state("cell", "normal B cells", initial=b_cells_at_infusion, symbol="B", floor=1e-3)

    expansion = car_t_growth * tumour / (half_growth_tumour + tumour) * tumour_car_t
    inactivation = suppression * tumour / (half_suppression_car_t + tumour_car_t) * tumour_car_t
    arriving = trafficking * blood_car_t

    equations = {
        ddt(tumour_car_t): arriving + expansion - inactivation - tumour_car_t / car_t_lifetime,
        ddt(tumour): tumour_growth * tumour - kill_rate * tumour_car_t * tumour,
        ddt(blood_car_t): blood_car_t_growth * b_cells / (half_growth_b_cells + b_cells) * blood_car_t
        - blood_car_t / car_t_lifetime - arriving,
        ddt(b_cells): -b_cell_kill_rate * b_cells * blood_car_t - b_cells / b_cell_lifetime,
    }  # fmt: skip
    outputs = {
        "car_t_total": tumour_car_t + blood_car_t,
        "car_t_tumour": output(tumour_car_t, "cell", "CAR T cells at the tumour"),
        "tumour_cells": tumour,
        "b_cells_total": b_cells,
    }
    parameter_sets = {
        "single_target": {
            "blood_car_t_at_infusion": 0.0,
            "tumour_car_t_at_infusion": 4e8,
            "tumour_at_infusion": 6.7e9,
            "suppression": 0.04,
        },
        "single_target_large_tumour": {
            "blood_car_t_at_infusion": 0.0,
            "tumour_car_t_at_infusion": 4e8,
            "tumour_at_infusion": 3.35e10,
            "suppression": 0.04,
        },
        "dual_target": {
            "blood_car_t_at_infusion": 2e8,
            "tumour_car_t_at_infusion": 0.0,
            "tumour_at_infusion": 3.35e10,
            "suppression": 0.02,
        },
    }
    claims = [
        "A product with one target controls the tumour only above a dose, unlike in leukaemia; the dose rises with the "
        "suppression.",
        "A large tumour helps the CAR T cells to expand: the same small dose fails after four fifths of it were "
        "removed.",
        "A dual product that also feeds on B cells controls tumours that suppress more, at smaller doses.",
    ]
    errata = [
        "Figure 5a: the caption says alpha_1 = 0.01 per day, the text 0.04; only 0.04 gives the curve (BioModels, "
        "curation note of BIOMD0000001013).",
        "Figure 5b: the caption says alpha_1 = 0.2 per day for the dashed line; BioModels needed 0.183 to redraw it "
        "(BIOMD0000001014). At 0.2 the tumour is back to its start on day 180, at 0.183 it is controlled.",
        "Appendix, equation A11 prints C where g_C must stand in the derivative of the inactivation; the stability "
        "that the paper states is that of the right derivative.",
        "Figure 5 and 6 give k = 0.2 without a unit and call it a fraction; in the equations it is a rate per day. The "
        "life of B cells is printed in 1/day and is in days.",
        "The text says that figure 4a shows a reduction by more than four orders of magnitude at alpha_1 = 0.04; the "
        "equations give 2.7 orders. And control from 1.5e9 cells at alpha_1 = 0.1; they give 1.9e9.",
    ]
    limitations = [
        "The model is deterministic: after a dual product the tumour falls below one cell and is counted on.",
        "B cells are not renewed, the tumour carries its antigen evenly, space is left out.",
        "A product with one target is placed at the tumour, a dual one into the blood: their doses are not alike.",
        "Growth, suppression and killing are chosen inside wide published ranges; nothing was fitted to patients.",
    ]
