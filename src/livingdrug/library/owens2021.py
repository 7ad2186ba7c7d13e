"""Owens and Bozic 2021: chemotherapy before CAR T cells, in four patients with three diseases."""

from __future__ import annotations

from typing import Any

from livingdrug.errors import InputError, unknown_name
from livingdrug.model import Model, bolus, ddt, exp, infusion, log, maximum, output, parameter, state, where

_TABLE = "table of values, patient 1"
_TINY = 1e-30  # share of the capacity below which nothing acts: 1e-21 cells

PATIENTS: dict[str, dict[str, float]] = {
    "patient_1_lymphoma": {
        "tumour_growth": 0.255, "tumour_capacity": 2e12, "effector_kill_rate": 2.03, "car_t_kill_rate": 2.25,
        "effector_source": 1.4e3, "effector_expansion": 0.011, "car_t_expansion": 0.242,
        "t_cell_capacity": 1.65e9, "half_expansion_killing": 2.019e5, "kill_steepness": 1.395,
        "half_kill_ratio": 0.305, "effector_death": 0.007, "car_t_death": 0.0293,
        "effector_inactivation": 3.42e-11, "car_t_inactivation": 3e-11, "tumour_at_start": 5e9,
    },
    "patient_2_leukaemia": {
        "tumour_growth": 0.176, "tumour_capacity": 2e12, "effector_kill_rate": 2.03, "car_t_kill_rate": 2.25,
        "effector_source": 4.7e4, "effector_expansion": 0.00746, "car_t_expansion": 0.165,
        "t_cell_capacity": 1.65e9, "half_expansion_killing": 7e7, "kill_steepness": 1.419,
        "half_kill_ratio": 0.305, "effector_death": 0.034, "car_t_death": 0.0293,
        "effector_inactivation": 6.716e-11, "car_t_inactivation": 3e-11, "tumour_at_start": 5e9,
    },
    "patient_3_melanoma": {
        "tumour_growth": 0.514, "tumour_capacity": 9.804e8, "effector_kill_rate": 5.8, "car_t_kill_rate": 2.25,
        "effector_source": 1.3e4, "effector_expansion": 0.027, "car_t_expansion": 0.60,
        "t_cell_capacity": 1.65e8, "half_expansion_killing": 2e7, "kill_steepness": 1.36,
        "half_kill_ratio": 0.25, "effector_death": 0.02, "car_t_death": 0.0293,
        "effector_inactivation": 3.42e-10, "car_t_inactivation": 1.53e-9, "tumour_at_start": 5e8,
    },
    "patient_4_melanoma": {
        "tumour_growth": 0.514, "tumour_capacity": 9.804e8, "effector_kill_rate": 4.23, "car_t_kill_rate": 2.25,
        "effector_source": 1.3e4, "effector_expansion": 0.027, "car_t_expansion": 0.60,
        "t_cell_capacity": 1.65e8, "half_expansion_killing": 2e7, "kill_steepness": 1.43,
        "half_kill_ratio": 0.36, "effector_death": 0.02, "car_t_death": 0.0293,
        "effector_inactivation": 3.42e-10, "car_t_inactivation": 1.53e-9, "tumour_at_start": 5e8,
    },
}  # fmt: skip
"""The paper's four patients, with their medium tumour burden."""

BURDENS = {
    "patient_1_lymphoma": {"low": 1e9, "medium": 5e9, "high": 1e10},
    "patient_2_leukaemia": {"low": 1e9, "medium": 5e9, "high": 1e10},
    "patient_3_melanoma": {"low": 1e8, "medium": 5e8, "high": 9.8e8},
    "patient_4_melanoma": {"low": 1e8, "medium": 5e8, "high": 9.8e8},
}
"""Tumour cells at the start in the paper's three classes."""

DOSES = (1e7, 1e8, 2.5e8)
"""CAR T cells given in the paper's three dose levels; 1 % of them counts."""

REGIMENS = {
    "C3": {"chemotherapy_pulses": 3.0, "chemotherapy_rate": 125.0},
    "C5": {"chemotherapy_pulses": 5.0, "chemotherapy_rate": 77.0},
    "none": {"chemotherapy_pulses": 0.0, "chemotherapy_rate": 0.0},
}
PULSES = {"as printed": 1.0, "peak of 3.34 uM": 1.26}


def regimen(name: str, pulse: str = "peak of 3.34 uM") -> dict[str, float]:
    """Return the parameters of a course of chemotherapy under one reading of the daily pulse.

    Args:
        name: ``"C3"``, ``"C5"`` or ``"none"``.
        pulse: ``"as printed"`` for half an hour at the printed rate, or ``"peak of 3.34 uM"`` for 1.26 times that
            amount, by which C5 reaches the peak that the paper aims at.

    Raises:
        InputError: for another name or reading.

    Example:
        >>> regimen("C5")["chemotherapy_pulses"]
        5.0
    """
    if name not in REGIMENS:
        raise InputError(unknown_name("regimen of owens2021", name, REGIMENS))
    if pulse not in PULSES:
        raise InputError(unknown_name("reading of the chemotherapy pulse of owens2021", pulse, PULSES))
    return {**REGIMENS[name], "pulse_scale": PULSES[pulse]}


def _pulses(into: Any, amount: Any, number: Any, interval: Any, length: Any) -> list[Any]:
    """Five pulses, of which those beyond ``number`` hold nothing."""
    return [infusion(into, where(number > k, amount, 0), at=k * interval, duration=length) for k in range(5)]


class Owens2021(Model):
    """Chemotherapy thins out tumour and immune cells, and CAR T cells given after some days of rest finish the tumour.

    Tumour cells are killed by the patient's own effector cells and by CAR T cells, at rates that depend on the ratio
    of killers to tumour cells; both killers expand by killing. Chemotherapy (fludarabine) is given as a short pulse on
    each of its first days and kills all three. Day 0 is the first pulse; the cells come after the days of chemotherapy
    and the days of rest. Cells are those of the whole body. The parameter sets are the four patients of the paper with
    their medium tumour burden, and the two regimens C3 and C5; the default is patient 1 with C3. A tumour counts as
    cleared when less than one cell is left.
    """

    source = "owens2021"
    diseases = ("large B-cell lymphoma", "chronic lymphocytic leukaemia", "melanoma")
    antigens, system = (), "human"
    follow_up = 100.0

    tumour_growth = parameter(0.255, "1/day", "growth rate of the tumour", symbol="a", source=_TABLE)
    tumour_capacity = parameter(
        2e12, "cell", "tumour cells that the body carries", symbol="B_max", source=_TABLE + ", printed as 1/b",
        limits=(1.0, float("inf")),
    )  # fmt: skip
    effector_kill_rate = parameter(
        2.03, "1/day", "largest rate at which effector cells kill the tumour", symbol="d_E", source=_TABLE
    )
    car_t_kill_rate = parameter(
        2.25, "1/day", "largest rate at which CAR T cells kill the tumour", symbol="d_C", source=_TABLE
    )
    kill_steepness = parameter(
        1.395, "1", "exponent of the ratio of killers to tumour cells", symbol="l", source=_TABLE, limits=(0.0, 50.0)
    )
    half_kill_ratio = parameter(
        0.305, "1", "value of that power at which killing is half its largest rate", symbol="s", source=_TABLE,
        limits=(1e-9, float("inf")),
    )  # fmt: skip
    effector_source = parameter(1.4e3, "cell/day", "effector cells made per day", symbol="g", source=_TABLE)
    effector_death = parameter(0.007, "1/day", "death rate of effector cells", symbol="m_E", source=_TABLE)
    car_t_death = parameter(0.0293, "1/day", "death rate of CAR T cells", symbol="m_C", source=_TABLE)
    effector_expansion = parameter(0.011, "1/day", "expansion of effector cells that kill", symbol="j_E", source=_TABLE)
    car_t_expansion = parameter(0.242, "1/day", "expansion of CAR T cells that kill", symbol="j_C", source=_TABLE)
    t_cell_capacity = parameter(
        1.65e9, "cell", "effector and CAR T cells that the body carries", symbol="K", source=_TABLE,
        limits=(1.0, float("inf")),
    )  # fmt: skip
    half_expansion_killing = parameter(
        2.019e5, "cell**2/day**2", "square of the killing per day at which expansion is half", symbol="k",
        source=_TABLE, limits=(1e-9, float("inf")),
    )  # fmt: skip
    effector_inactivation = parameter(
        3.42e-11, "1/cell/day", "loss of effector cells by contact with the tumour", symbol="q_E", source=_TABLE
    )
    car_t_inactivation = parameter(
        3e-11, "1/cell/day", "loss of CAR T cells by contact with the tumour", symbol="q_C", source=_TABLE
    )
    tumour_drug_kill = parameter(
        0.7, "1/day", "largest rate at which the drug kills tumour cells", symbol="K_T", source="table of values"
    )
    effector_drug_kill = parameter(
        0.6, "1/day", "largest rate at which the drug kills effector cells", symbol="K_E", source="table of values"
    )
    car_t_drug_kill = parameter(
        0.6, "1/day", "largest rate at which the drug kills CAR T cells", symbol="K_C", source="table of values"
    )
    drug_elimination = parameter(
        0.9, "1/day", "rate at which the drug is eliminated", symbol="gamma", source="equation for the drug"
    )
    drug_scale = parameter(
        1.0, "umol/L", "drug concentration that reaches 63 % of the largest effect", symbol="M_1",
        source="equations, where the exponent is the concentration in uM", limits=(1e-9, float("inf")),
    )  # fmt: skip

    chemotherapy_pulses = parameter(
        3.0, "1", "pulses of chemotherapy, one a day, 0 to 5", symbol="n", source="regimen C3; C5 has 5",
        limits=(0.0, 5.0),
    )  # fmt: skip
    chemotherapy_rate = parameter(
        125.0, "umol/L/day", "rate of infusion during the pulse, as concentration", symbol="S",
        source="regimen C3; C5 has 77",
    )  # fmt: skip
    pulse_length = parameter(
        0.5, "hour", "length of the daily pulse", symbol="tau", source="text, half an hour a day", limits=(1e-3, 24.0)
    )
    pulse_scale = parameter(
        1.26, "1", "factor on the amount of each pulse; 1 is the pulse as printed", symbol="f",
        source="assumed: by it C5 reaches the peak of 3.34 uM that the paper aims at, and the outcomes of the text",
    )  # fmt: skip
    rest_days = parameter(
        2.0, "day", "days from the end of chemotherapy to the CAR T cells", symbol="t_rest",
        source="spelman2023: comments on figures 3 and 5",
    )  # fmt: skip
    dose = parameter(1e7, "cell", "CAR T cells given", symbol="C_d", source="dose levels 1e7, 1e8 and 2.5e8")
    counted_share = parameter(
        0.01, "1", "share of the given cells that take part", symbol="phi", source="text, 1 %", limits=(0.0, 1.0)
    )
    tumour_at_start = parameter(
        5e9, "cell", "tumour cells at the start", symbol="T_0", source="medium burden of patients 1 and 2"
    )
    effector_at_start = parameter(4e5, "cell", "effector cells at the start", symbol="E_0", source="text")
    pulse_interval = parameter(
        1.0, "day", "time from pulse to pulse", symbol="delta", source="text, daily", limits=(0.0, float("inf"))
    )

    tumour = state("cell", "tumour cells", initial=tumour_at_start, symbol="T")
    effector = state("cell", "the patient's own effector cells", initial=effector_at_start, symbol="E")
    car_t = state("cell", "CAR T cells", symbol="C")
    drug = state("umol/L", "chemotherapy drug", symbol="M")

    # The ratio of killers to tumour cells is not written as such, so that an empty tumour divides nothing by zero.
    _tumour = (maximum(tumour, 0) / t_cell_capacity) ** kill_steepness * half_kill_ratio + _TINY
    _effector = (maximum(effector, 0) / t_cell_capacity) ** kill_steepness
    _car_t = (maximum(car_t, 0) / t_cell_capacity) ** kill_steepness
    killed_by_effector = effector_kill_rate * _effector / (_tumour + _effector) * tumour
    killed_by_car_t = car_t_kill_rate * _car_t / (_tumour + _car_t) * tumour
    crowding = -log((maximum(effector, 0) + maximum(car_t, 0)) / t_cell_capacity + _TINY)
    drug_effect = 1 - exp(-drug / drug_scale)

    equations = {
        ddt(tumour): tumour_growth * tumour * (1 - tumour / tumour_capacity) - killed_by_effector - killed_by_car_t
        - tumour_drug_kill * drug_effect * tumour,
        ddt(effector): effector_source - effector_death * effector
        + effector_expansion * crowding * killed_by_effector**2 / (half_expansion_killing + killed_by_effector**2)
        * effector
        - effector_inactivation * effector * tumour - effector_drug_kill * drug_effect * effector,
        ddt(car_t): -car_t_death * car_t
        + car_t_expansion * crowding * killed_by_car_t**2 / (half_expansion_killing + killed_by_car_t**2) * car_t
        - car_t_inactivation * car_t * tumour - car_t_drug_kill * drug_effect * car_t,
        ddt(drug): -drug_elimination * drug,
    }  # fmt: skip
    events = [
        *_pulses(
            drug, chemotherapy_rate * pulse_length * pulse_scale, chemotherapy_pulses, pulse_interval, pulse_length
        ),
        bolus(car_t, counted_share * dose, at=chemotherapy_pulses * pulse_interval + rest_days),
    ]
    outputs = {
        "car_t_total": car_t,
        "tumour_cells": tumour,
        "immune_effector_total": output(effector, "cell", "the patient's own effector cells in the body"),
        "chemotherapy": output(drug, "umol/L", "chemotherapy drug in the body, as concentration"),
    }

    parameter_sets = {**PATIENTS, "C3": REGIMENS["C3"], "C5": REGIMENS["C5"]}
    claims = (
        "Without a tumour the effector cells settle at their source over their death rate, and that state is stable if "
        "and only if the two kill rates together exceed the growth rate of the tumour.",
        "At medium and high burden CAR T cells fail without chemotherapy, and chemotherapy alone always fails.",
        "A medium burden with C3, 4 days of rest and 2.5e8 CAR T cells is cleared in patient 2 and not in patient 1; "
        "where C3 fails, C5 can succeed.",
        "Over 70 % of the combinations that succeed would fail after a rest of 5 days or more, and all after more than "
        "17 days.",
        "One per cent more in the exponent of killing shifts the threshold of success by 5 to 7 %, in the expansion of "
        "CAR T cells by 3 to 5 %.",
    )
    errata = (
        "Half an hour at the printed 77 uM per day gives a peak of 2.65 uM and not the 3.34 uM that the paper aims at. "
        "Its runs used Runge-Kutta steps of half an hour, which widen so short a pulse. Scaled by 1.26 (pulse_scale, "
        "the default) the peak is 3.34 uM and the outcomes of the text follow; pulse_scale=1 is the pulse as printed.",
        "That patient 4 with medium burden is cleared by C5 and 1e7 cells does not follow after 2 days of rest under "
        "either pulse; it follows after none.",
        "The paper's table of the longest rest that still succeeds does not follow under either pulse.",
    )
    limitations = (
        "The days of rest behind the outcomes at dose 1e7, and those of patient 2 at high burden, are those of a third "
        "party's scripts of the figures (2 days); they are also the only ones at which all of them hold.",
        "What the paper calls cleared was not read; here it is less than one tumour cell within 1000 days.",
        "The setting behind the statements on sensitivity was not read: the shift of the threshold differs by patient, "
        "regimen and rest from 2 to over 20 %.",
        "The scripts of the third party write the inverse capacity of patients 1 and 2 as 2e-12 per cell, the capacity "
        "here is 2e12 cells; with 5e11 cells patient 2 at high burden would be cleared by C3, against the text.",
        "Four parameter sets that were fitted to typical courses, not to patients: they carry no spread.",
        "The tumour is one well-mixed population; antigen loss, memory, cytokines and toxicity are not in the model.",
    )
