"""Kirouac et al. 2023: antigen switches CAR T cells between memory, expansion and exhaustion (CLL)."""

from __future__ import annotations

import json
from pathlib import Path

from livingdrug.model import Model, ddt, maximum, parameter, state

_SET = "mstadt2024: pars_Kirouac2023.mat, set CR1; bounds of the search "


def read_patients() -> dict[str, dict[str, float]]:
    """Return the 36 virtual patients (CR1-12, PR1-12, NR1-12) as parameter values in the declared units."""
    table = json.loads(Path(__file__).with_name("kirouac2023.json").read_text(encoding="utf-8"))
    return {
        name: dict(zip(table["parameters"], map(float, values), strict=True))
        for name, values in table["patients"].items()
    }


class Kirouac2023(Model):
    """Memory, effector and exhausted CAR T cells that antigen switches to and fro, and the B cells that carry it.

    Memory cells renew themselves without antigen and differentiate with it; early effectors expand by N divisions;
    expanded effectors kill, become exhausted by antigen or return to memory without it. Fitted to the CLL patients
    treated with tisagenlecleucel (complete responders CR, partial responders PR, non-responders NR), 12 virtual
    patients each: the parameter sets. The default values are those of CR1. Day 0 is the infusion; cells are those of
    the whole body.
    """

    source = "kirouac2023"
    diseases, antigens, system = "chronic lymphocytic leukaemia", "CD19", "human"

    antigen_half = parameter(
        3.23608032e+09, "cell", "antigen at which its switches are half open", symbol="B_50",
        source=_SET + "1e6-1e10",
    )  # fmt: skip
    tumour_growth = parameter(0.050040188, "1/day", "growth rate of B cells", symbol="mu_B", source=_SET + "0.001-0.1")
    kill_rate = parameter(0.958461702, "1/day", "largest rate of killing", symbol="k_kill", source=_SET + "0.001-1")
    dose_loss = parameter(
        314.556333, "1/day", "rate at which infused cells are lost", symbol="f_loss", source=_SET + "1-1000"
    )
    half_kill_effector = parameter(
        1e09, "cell", "expanded effectors at which killing is half", symbol="T_K50", source=_SET + "1e5-1e9"
    )
    kill_steepness = parameter(0.254191859, "1", "Hill exponent of killing", symbol="k_t", source=_SET + "0.2-3")
    antigen_production = parameter(
        0.996687975, "1/day", "antigen per B cell and day", symbol="k_b1", source=_SET + "0.001-1"
    )
    antigen_clearance = parameter(
        0.257136936, "1/day", "rate at which antigen is cleared", symbol="k_b2", source=_SET + "0.001-1"
    )
    memory_division = parameter(
        0.253162895, "1/day", "rate at which memory cells divide", symbol="mu_m", source=_SET + "0.001-1"
    )
    renewal_steepness = parameter(
        0.720743327, "1", "Hill exponent of self-renewal", symbol="k_m", source=_SET + "0.2-3"
    )
    largest_renewal = parameter(
        0.579686926, "1", "share of memory divisions that renew, without antigen", symbol="f_max",
        source=_SET + "0.5-0.99", limits=(0.0, 1.0),
    )  # fmt: skip
    expansion_steepness = parameter(2.70808926, "1", "Hill exponent of expansion", symbol="k_e", source=_SET + "0.2-3")
    expansion = parameter(
        0.937843482, "1/day", "rate at which early effectors start to expand", symbol="mu_e",
        source=_SET + "0.001-1",
    )  # fmt: skip
    divisions = parameter(
        5.13279808, "1", "divisions of an effector while it expands", symbol="N",
        source=_SET + "4-12 in a later resampling, though the sets hold 2.4 to 6.0", limits=(0.0, 60.0),
    )  # fmt: skip
    exhaustion = parameter(0.15978662, "1/day", "largest rate of exhaustion", symbol="k_ex", source=_SET + "0.001-1")
    memory_death = parameter(0.07484827, "1/day", "death rate of memory cells", symbol="d_m", source=_SET + "0.001-1")
    early_death = parameter(
        0.290634336, "1/day", "death rate of early effectors", symbol="d_e1", source=_SET + "0.001-1"
    )
    expanded_death = parameter(
        0.007565547, "1/day", "death rate of expanded effectors", symbol="d_e2", source=_SET + "0.001-1"
    )
    exhausted_death = parameter(
        0.001000004, "1/day", "death rate of exhausted cells", symbol="d_x", source=_SET + "0.001-1"
    )
    tumour_capacity = parameter(
        227144056, "cell", "B cells that the body carries", symbol="B_max", source=_SET + "1e8-1e12"
    )
    exhaustion_steepness = parameter(
        2.99887989, "1", "Hill exponent of exhaustion", symbol="k_x", source=_SET + "0.2-3"
    )
    return_to_memory = parameter(
        0.394596635, "1/day", "largest rate of return to memory", symbol="r_m", source=_SET + "0.001-1"
    )
    return_steepness = parameter(
        2.79542283, "1", "Hill exponent of return to memory", symbol="k_r", source=_SET + "0.2-3"
    )
    memory_uptake = parameter(
        1.0, "1/day", "product cells that become memory (a percentage in the paper)", symbol="f_Tm",
        source=_SET + "1-10",
    )  # fmt: skip
    early_uptake = parameter(
        1.12639292, "1/day", "product cells that become early effectors (a percentage in the paper)",
        symbol="f_Te1", source=_SET + "1-10",
    )  # fmt: skip
    expanded_uptake = parameter(
        45.0111437, "1/day", "product cells that become expanded effectors (a percentage in the paper)",
        symbol="f_Te2", source=_SET + "30-70",
    )  # fmt: skip
    exhausted_uptake = parameter(
        14.9195029, "1/day", "product cells that become exhausted (a percentage in the paper)",
        symbol="f_Tx", source=_SET + "5-30",
    )  # fmt: skip
    engraftment = parameter(
        1.0, "1/day", "rate at which the dose reaches the tissue", source="mstadt2024: mod_eqns.m, written as 1"
    )
    dose = parameter(1e8, "cell", "CAR T cells infused", source="mstadt2024: start of the stored runs")
    tumour_at_infusion = parameter(1e10, "cell", "B cells at infusion", source="mstadt2024: start of the stored runs")
    antigen_at_infusion = parameter(1e10, "cell", "antigen at infusion", source="mstadt2024: start of the stored runs")
    blood = parameter(
        2e6, "uL", "cells in the body per cell/uL of blood", source="mstadt2024: as plotted there", limits=(1.0, 1e12)
    )

    memory = state("cell", "memory CAR T cells", symbol="T_m")
    early = state("cell", "early effector CAR T cells", symbol="T_e1")
    expanded = state("cell", "expanded effector CAR T cells", symbol="T_e2")
    exhausted = state("cell", "exhausted CAR T cells", symbol="T_x")
    tumour = state("cell", "tumour and normal B cells", initial=tumour_at_infusion, symbol="B")
    antigen = state("cell", "antigen, counted in B cells that carry it", initial=antigen_at_infusion, symbol="B_a")
    infused = state("cell", "infused cells on their way", initial=dose, symbol="D")
    arrived = state("cell", "infused cells that arrived", symbol="D_X")

    # As in the source, cells that a solver made slightly negative do not act.
    _antigen = maximum(antigen, 0) / antigen_half
    _memory, _early, _expanded = maximum(memory, 0), maximum(early, 0), maximum(expanded, 0)
    _killers = _expanded / half_kill_effector

    renewal = largest_renewal / (1 + _antigen**renewal_steepness)
    expanding = expansion * _antigen**expansion_steepness / (1 + _antigen**expansion_steepness) * _early
    exhausting = exhaustion * _antigen**exhaustion_steepness / (1 + _antigen**exhaustion_steepness) * _expanded
    returning = return_to_memory / (1 + _antigen**return_steepness) * expanded
    differentiating = memory_division * (1 - renewal) * _memory
    killing = kill_rate * tumour * _killers**kill_steepness / (1 + _killers**kill_steepness)

    equations = {
        ddt(memory): memory_division * renewal * _memory - differentiating - memory_death * _memory
        + memory_uptake * arrived + returning,
        ddt(early): 2 * differentiating - expanding - early_death * _early + early_uptake * arrived,
        ddt(expanded): 2**divisions * expanding - exhausting - expanded_death * _expanded
        + expanded_uptake * arrived - returning,
        ddt(exhausted): exhausting - exhausted_death * maximum(exhausted, 0) + exhausted_uptake * arrived,
        ddt(tumour): tumour_growth * maximum(tumour, 0) * (1 - tumour / tumour_capacity) - killing,
        ddt(antigen): antigen_production * tumour - antigen_clearance * antigen,
        ddt(infused): -dose_loss * infused - engraftment * infused,
        ddt(arrived): engraftment * infused
        - (memory_uptake + early_uptake + expanded_uptake + exhausted_uptake) * arrived,
    }  # fmt: skip
    _all = memory + early + expanded + exhausted
    outputs = {
        "car_t_blood": _all / blood,
        "tumour_blood": tumour / blood,
        "car_t_total": _all,
        "car_t_memory_total": memory,
        "car_t_effector_total": early + expanded,
        "car_t_exhausted_total": exhausted,
        "tumour_cells": tumour,
        "antigen_total": antigen,
    }
    parameter_sets = read_patients()
    claims = [
        "A switch between memory and effector cells, thrown by antigen, explains expansion, persistence, exhaustion.",
        "Response groups differ in the cells' own properties: the logarithms of the parameters separate along two "
        "components that hold 35.3 and 21.7 per cent of their variance.",
        "The heaviest weights are those of the half-killing number, the killing rate, division and death of memory.",
    ]
    errata = [
        "The fractions of the product are percentages as published and act as rates per day in the transcription.",
        "Of the four parameters named as the heaviest in the first component, k_kill is the sixth heaviest by the "
        "published sets; the heaviest is d_e2, which is not named. The shares of variance (35.3 and 21.7 per cent) "
        "follow as printed.",
    ]
    limitations = [
        "Equations and values come from a third party's transcription in MATLAB; the authors' own code was not found.",
        "B cells are never extinguished (the model is deterministic): those of complete responders grow again "
        "within the year.",
        "Tumour and normal B cells are one population; lymphodepletion, normal T cells and cytokines are not in the "
        "model.",
        "The 36 sets are 12 fits to each response group: they are not 36 patients, and their spread is that of the "
        "search.",
        "A cell per microlitre of blood is 2e6 cells here (blood alone); in kimmel2021 it is 5e8 (whole body).",
    ]
