"""The twin's body: one model made of blocks, each on its own page."""

from __future__ import annotations

from livingdrug.body.b_cells import BCells
from livingdrug.body.blood import Blood
from livingdrug.body.car_t import CarT
from livingdrug.body.cytokines import Cytokines
from livingdrug.body.diseases import PARAMETER_SETS
from livingdrug.body.drugs import Drugs
from livingdrug.body.host import Host
from livingdrug.body.organs import Organs
from livingdrug.body.states import Body
from livingdrug.body.tumour import Tumour
from livingdrug.model import Model, maximum, output, parameter

__all__ = ["TwinBody"]


class TwinBody(Model):
    """A patient after CAR T cells: expansion, killing, antigen escape, cytokines, vessels, brain and blood counts.

    The blocks are read one by one in this order: Body (the states), Drugs, Host, CarT, Tumour, BCells, Cytokines,
    Organs, Blood. Day 0 is the infusion. The default patient has a large B-cell lymphoma and a product against CD19
    with a CD28 domain; the parameter sets are default patients of other diseases. They are not calibrated to trials.
    """

    blocks = [Body, Drugs, Host, CarT, Tumour, BCells, Cytokines, Organs, Blood]
    diseases = [
        "large B-cell lymphoma", "B-cell acute lymphoblastic leukaemia", "chronic lymphocytic leukaemia",
        "multiple myeloma", "solid tumours",
    ]  # fmt: skip
    antigens, system, follow_up = ["CD19", "BCMA"], "human", 365

    blood_equivalent = parameter(
        5e8, "uL", "cells in the body per cell/uL of blood: 5e6 uL of blood hold 1 % of the T cells",
        source="cartecology: HybridModel_08_30_20.jl, V and freqInPeriph", limits=(1.0, 1e12),
    )  # fmt: skip
    b_cell_equivalent = parameter(
        1.25e8, "uL", "B cells in the body per cell/uL of blood", source="assumed: 200 per uL at rest",
        limits=(1.0, 1e12),
    )  # fmt: skip
    tumour_density = parameter(
        1e9, "cell/mL", "tumour cells per volume", source="cartecology: HybridModel_08_30_20.jl, VT"
    )
    copies_per_dna = parameter(
        1.5e5, "cell/ug", "genomes in a microgram of DNA", source="recalled: 6.6 pg of DNA per cell", limits=(1.0, 1e9)
    )
    copies_per_cell = parameter(
        1.5, "copy/cell", "transgene copies per CAR T cell", source="assumed: products hold 1 to 3"
    )
    other_nucleated = parameter(
        500.0, "cell/uL", "nucleated cells of the sample besides T cells and neutrophils, at rest",
        source="assumed: monocytes and others", limits=(1.0, 1e6),
    )  # fmt: skip

    _car_t = Host.circulating_car_t + Body.site_effector + Body.site_exhausted
    _car_t_blood = (Body.memory + Body.early + Body.expanded + Body.exhausted) / blood_equivalent
    _others = other_nucleated * maximum(Body.neutrophil_line, 0)  # they fall and return with the marrow
    _sample = Host.all_t / blood_equivalent + Body.neutrophils + _others
    _tumour = Body.tumour_positive + Body.tumour_negative
    outputs = {
        "car_t_blood": _car_t_blood,
        "car_t_transgene_blood": copies_per_dna * copies_per_cell * _car_t_blood / _sample,
        "car_t_total": _car_t,
        "car_t_memory_total": Body.memory,
        "car_t_effector_total": Body.early + Body.expanded + Body.site_effector,
        "car_t_exhausted_total": Body.exhausted + Body.site_exhausted,
        "car_t_tumour": output(Body.site_effector + Body.site_exhausted, "cell", "CAR T cells within the tumour"),
        "tumour_cells": _tumour,
        "tumour_volume": _tumour / tumour_density,
        "antigen_total": Body.antigen,
        "b_cells_total": Body.b_cells,
        "b_cells_blood": Body.b_cells / b_cell_equivalent,
        "normal_t_blood": Body.host_t / blood_equivalent,
        "absolute_lymphocyte_count": Host.all_t / blood_equivalent + Body.b_cells / b_cell_equivalent,
        "il6": Body.interleukin_6,
        "il7": Body.interleukin_7,
        "il10": Body.interleukin_10,
        "ifn_gamma": Body.interferon_gamma,
        "gm_csf": Body.colony_factor,
        "crp": Body.c_reactive_protein,
        "ferritin": Body.serum_ferritin,
        "il6_effect": output(Cytokines.il6_acting, "pg/mL", "interleukin 6 that finds its receptor free"),
        "tocilizumab": Drugs.toci_level,
        "neutrophil_count": Body.neutrophils,
        "platelet_count": Body.platelets,
        "immunoglobulin_g": output(Body.immunoglobulin, "g/L", "immunoglobulin G in serum"),
        "tumour_killed": output(Tumour.killed, "cell/day", "tumour cells killed by CAR T cells per day"),
    }  # fmt: skip
    parameter_sets = PARAMETER_SETS
    limitations = [
        "Not calibrated to any trial: default patients and spreads are plausible, no more.",
        "Constants of macrophages, vessels and brain have no open patient-level data; they are assumed.",
        "Normal and tumour cells with the antigen are alike to CAR T cells; antigen per cell is not in the model.",
        "Parameters differ between patients independently of each other, but for burden and the effectors it needs.",
        "One tumour: no metastases, no place, no vessels of its own; suppression by TGF-beta follows its size at once.",
        "After the clone without antigen has died out, mutation does not make it anew.",
        "Steroids are counted in dexamethasone; their kinetics are those of dexamethasone.",
        "Infection and movement disorder are hazards that accumulate; what they would do to the body is left out.",
    ]
