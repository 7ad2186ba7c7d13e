"""Adhikarla et al. 2021: CAR T cells and a targeted radionuclide in mice with multiple myeloma."""

from __future__ import annotations

from livingdrug.model import Model, bolus, ddt, maximum, output, parameter, state

_TABLE = "table of parameter values"
_BECQUEREL = 3.7e4  # per microcurie

# Name of the regimen: CAR T cells and their day, microcuries of the radionuclide and their day.
_REGIMENS = {
    "car_t_then_radionuclide": (1e6, 7.0, 0.1, 32.0),
    "car_t_only": (1e6, 7.0, 0.0, 7.0),
    "radionuclide_only": (0.0, 7.0, 0.1, 7.0),
    "radionuclide_then_car_t": (1e6, 29.0, 0.1, 7.0),
    "untreated": (0.0, 7.0, 0.0, 7.0),
}


class Adhikarla2021(Model):
    """CAR T cells and an antibody with actinium-225 act on one tumour, and the radiation acts on the CAR T cells too.

    Day 0 is the injection of 5e6 myeloma cells (MM1S) into the mouse; treatment starts on day 7. Radiation damages
    tumour cells, which are then cleared, and kills CAR T cells; CAR T cells kill damaged and undamaged tumour cells and
    expand by it. The dose rate falls as the nuclide decays and leaves the body. Burden is the sum of damaged and
    undamaged tumour cells. The parameter sets are the regimens of the paper; the default is CAR T cells on day 7 and
    the radionuclide 25 days later. Units: a gray is 1 m^2/s^2, a becquerel 1/s, and a microcurie 3.7e4 becquerel.
    """

    source = "adhikarla2021"
    diseases, antigens, system = "multiple myeloma", ("CS1", "CD38"), "mouse"
    follow_up = 100.0

    tumour_growth = parameter(0.27, "1/day", "growth rate of the tumour", symbol="rho", source=_TABLE)
    kill_rate = parameter(
        4.49e-7, "1/cell/day", "tumour cells killed per CAR T cell and day", symbol="k_1", source=_TABLE
    )
    car_t_expansion = parameter(
        3.6e-13, "1/cell/day", "expansion of CAR T cells per tumour cell", symbol="k_2", source=_TABLE
    )
    car_t_death = parameter(0.042, "1/day", "death rate of CAR T cells", symbol="theta", source=_TABLE)
    damaged_clearance = parameter(
        0.5, "1/day", "rate at which damaged tumour cells are cleared", symbol="k_cl", source=_TABLE
    )
    tumour_radiosensitivity = parameter(
        1.5, "s**2/m**2", "damage to tumour cells per gray", symbol="alpha_T", source=_TABLE
    )
    car_t_radiosensitivity = parameter(
        1.5, "s**2/m**2", "death of CAR T cells per gray", symbol="alpha_C", source=_TABLE
    )
    dose_rate_per_activity = parameter(
        3.48 / _BECQUEREL, "m**2/s/day", "dose rate at injection, in gray per day and becquerel", symbol="r_A",
        source="text, 3.48 Gy per day and uCi",
    )  # fmt: skip
    radiation_decay = parameter(0.07, "1/day", "rate at which the dose rate falls", symbol="lambda", source=_TABLE)
    tumour_at_start = parameter(
        5e6, "cell", "tumour cells injected into the mouse", symbol="N_0", source="text; the measured controls had 1e6"
    )
    car_t_dose = parameter(1e6, "cell", "CAR T cells given", symbol="D_C", source="text")
    car_t_day = parameter(7.0, "day", "day of the CAR T cells", symbol="t_C", source="text")
    injected_activity = parameter(
        0.1 * _BECQUEREL, "1/s", "activity of the radionuclide given, in becquerel (0.1 uCi)", symbol="A_0",
        source="text",
    )  # fmt: skip
    radionuclide_day = parameter(
        32.0, "day", "day of the radionuclide; 7 where it is alone or first", symbol="t_0",
        source="text, 25 days after the CAR T cells",
    )  # fmt: skip

    tumour = state("cell", "undamaged tumour cells", initial=tumour_at_start, symbol="N_T", floor=1e-3)
    damaged = state("cell", "tumour cells damaged by radiation", symbol="N_R")
    car_t = state("cell", "CAR T cells", symbol="N_C")
    dose_rate = state("m**2/s**2/day", "dose rate of the radiation, in gray per day", symbol="R")

    # Cells that a solver made slightly negative do not act: else a tumour near zero could grow downwards.
    _tumour = maximum(tumour, 0)
    burden = _tumour + damaged
    damaging = tumour_radiosensitivity * dose_rate * _tumour

    equations = {
        ddt(tumour): tumour_growth * _tumour - damaging - kill_rate * _tumour * car_t,
        ddt(damaged): damaging - kill_rate * damaged * car_t - damaged_clearance * damaged,
        ddt(car_t): car_t_expansion * burden * car_t - car_t_radiosensitivity * dose_rate * car_t - car_t_death * car_t,
        ddt(dose_rate): -radiation_decay * dose_rate,
    }
    events = [
        bolus(car_t, car_t_dose, at=car_t_day),
        bolus(dose_rate, dose_rate_per_activity * injected_activity, at=radionuclide_day),
    ]
    outputs = {
        "tumour_cells": burden,
        "car_t_total": car_t,
        "radiation_dose_rate": output(dose_rate, "m**2/s**2/day", "dose rate of the radiation, in gray per day"),
    }

    parameter_sets = {
        name: {
            "car_t_dose": cells,
            "car_t_day": day,
            "injected_activity": activity * _BECQUEREL,
            "radionuclide_day": later,
        }
        for name, (cells, day, activity, later) in _REGIMENS.items()
    }
    claims = (
        "After CAR T cells alone the burden is lowest on day 19, back at that of day 7 on day 33 and at the lethal "
        "1e11 cells on day 73; after the radionuclide alone on days 19, 27 and 64.",
        "Together they do more: after CAR T cells and the radionuclide 25 days later the burden is back at that of day "
        "7 on day 55, in the other order and 22 days apart on day 43.",
        "The growth rate of the tumour matters most for the best interval between the two.",
    )
    errata = (
        "The survival of 43 days printed for untreated mice does not follow from the stated 5e6 cells at the start "
        "(36.7 days) but from 1e6 cells (42.6 days), the number that the measured control mice were given.",
    )
    limitations = (
        "Progression is the day on which the burden is back at that of day 7, death the day of 1e11 cells; both are "
        "rules of the paper, not observations. With the radionuclide first and CAR T cells 22 days later the burden is "
        "back twice: on day 27, and after the CAR T cells on day 43, the day that the paper counts.",
        "Lower bounds on the burden are not in the model: any tumour grows back, however small it became.",
        "One mean mouse: no spread between mice was published with these values.",
        "The dose rate is the same for tumour and CAR T cells, and damage is linear in dose: there is no repair.",
        "The antigens (CS1 by the CAR, CD38 by the antibody) were read in the abstract of a later report of the group.",
    )
