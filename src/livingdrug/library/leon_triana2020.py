"""León-Triana et al. 2020: CAR T cells, leukaemia and the patient's normal B cells (B-ALL)."""

from __future__ import annotations

from livingdrug.model import Model, ddt, output, parameter, state

_FILES = "biomodelsleontriana2020: BIOMD0000001011 and BIOMD0000001012, "


class LeonTriana2020(Model):
    """CD19 CAR T cells feed on leukaemia and normal B cells, and B-cell progenitors keep them in the body.

    CAR T cells divide when they meet a leukaemic or a normal B cell and kill it. Progenitors in the marrow, which
    carry no CD19 for the most part, mature into B cells; they are held at the level that the CAR T cells allow
    (quasi-steady). With no progenitors the model is exactly the paper's system of three populations: the set
    "mature_cells_only". Day 0 is the infusion; cells are those of the whole body.
    """

    source = "leontriana2020"
    diseases, antigens, system = "B-cell acute lymphoblastic leukaemia", "CD19", "human"
    follow_up = 400.0

    kill_rate = parameter(
        4.5e-11,
        "1/cell/day",
        "killing of B cells and leukaemia per CAR T cell",
        symbol="alpha",
        source=_FILES + "alpha",
    )
    growth_per_kill = parameter(
        0.25, "1", "CAR T cells gained per target cell killed", symbol="k", source=_FILES + "rho_C = 0.25 alpha"
    )
    car_t_lifetime = parameter(
        14.0, "day", "mean life of a CAR T cell", symbol="tau_C", source=_FILES + "tao_C", limits=(1e-3, 1e12)
    )
    tumour_growth = parameter(
        1 / 30, "1/day", "growth rate of the leukaemia", symbol="rho_L", source=_FILES + "rho_L, printed 0.0333333"
    )
    b_cell_lifetime = parameter(
        60.0, "day", "mean life of a B cell", symbol="tau_B", source=_FILES + "tao_B", limits=(1e-3, 1e12)
    )
    progenitors_without_car_t = parameter(
        1e7, "cell", "B-cell progenitors when there are no CAR T cells", symbol="I_0",
        source="biomodelsleontriana2020: BIOMD0000001012, I_0",
    )  # fmt: skip
    progenitor_lifetime = parameter(
        6.0, "day", "time that a progenitor takes to mature", symbol="tau_I",
        source="biomodelsleontriana2020: BIOMD0000001012, tao_I", limits=(1e-3, 1e12),
    )  # fmt: skip
    half_progenitor_car_t = parameter(
        1e9, "cell", "CAR T cells that halve the progenitors", symbol="C_50",
        source="biomodelsleontriana2020: BIOMD0000001012, C_50", limits=(1e-6, 1e30),
    )  # fmt: skip
    progenitor_stimulation = parameter(
        0.1, "1", "stimulation by a progenitor as a share of that by a B cell", symbol="beta",
        source="biomodelsleontriana2020: BIOMD0000001012, beta",
    )  # fmt: skip
    car_t_at_infusion = parameter(1e7, "cell", "CAR T cells infused", symbol="C_0", source=_FILES + "initial value")
    tumour_at_infusion = parameter(5e10, "cell", "leukaemic cells at infusion", symbol="L_0", source=_FILES + "start")
    b_cells_at_infusion = parameter(2.5e10, "cell", "B cells at infusion", symbol="B_0", source=_FILES + "start")

    car_t = state("cell", "CAR T cells", initial=car_t_at_infusion, symbol="C", floor=1e-3)
    tumour = state("cell", "leukaemic cells", initial=tumour_at_infusion, symbol="L", floor=1e-3)
    b_cells = state("cell", "normal B cells", initial=b_cells_at_infusion, symbol="B", floor=1e-3)

    progenitors = progenitors_without_car_t / (1 + car_t / half_progenitor_car_t)
    targets = tumour + b_cells + progenitor_stimulation * progenitors

    equations = {
        ddt(car_t): growth_per_kill * kill_rate * targets * car_t - car_t / car_t_lifetime,
        ddt(tumour): tumour_growth * tumour - kill_rate * tumour * car_t,
        ddt(b_cells): progenitors / progenitor_lifetime - kill_rate * b_cells * car_t - b_cells / b_cell_lifetime,
    }
    outputs = {
        "car_t_total": car_t,
        "tumour_cells": tumour,
        "b_cells_total": b_cells,
        "b_cell_progenitors": output(progenitors, "cell", "B-cell progenitors in the marrow"),
    }
    parameter_sets = {
        "mature_cells_only": {"progenitors_without_car_t": 0.0},
        "progenitors_1e7": {"progenitors_without_car_t": 1e7},
        "progenitors_3e8": {"progenitors_without_car_t": 3e8},
        "progenitors_5e8": {"progenitors_without_car_t": 5e8},
    }
    claims = [
        "The number of CAR T cells infused hardly changes the largest expansion.",
        "Progenitors of B cells keep CAR T cells in the body.",
        "Leukaemia that still carries CD19 may return like prey after its predator has starved.",
    ]
    errata = [
        "BIOMD0000001012 lets the progenitors stimulate without CAR T cells (its term lacks the factor C) and adds a "
        "constant inflow I_0 to a population of progenitors that nothing else reads. Both are taken as errors of "
        "encoding; here the stimulation is proportional to the CAR T cells.",
    ]
    limitations = [
        "The paper itself was not read beyond its abstract: equations and values are those of BioModels.",
        "The model is deterministic: the leukaemia is never extinguished, falls to some 4e5 cells and always returns.",
        "CD19 is never lost, CAR T cells do not tire, and lymphodepletion and other T cells are not in the model.",
        "Three sizes of the progenitor pool are shown; none was measured.",
    ]
