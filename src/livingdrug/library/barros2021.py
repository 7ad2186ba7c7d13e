"""Barros et al. 2021 (CARTmath): effector and memory CAR T cells against a tumour in mice."""

from __future__ import annotations

import numpy as np

from livingdrug.errors import InputError
from livingdrug.model import Model, bolus, ddt, parameter, state, where
from livingdrug.streams import uniform

_CODE = "cartmath2020: server.R, HDLM-2; the same in the paper's table"

_HDLM2 = {
    "expansion": 0.265, "reduction": 0.350, "memory_conversion": 0.150, "memory_recall": 6.0e-6,
    "inhibition": 4.5e-8, "memory_death": 5.0e-3, "tumour_growth": 5.650026e-2,
    "inverse_capacity": 1.404029e-12, "kill_rate": 3.715843e-6, "tumour_at_start": 2e6,
    "first_dose": 2e6, "first_dose_day": 42.0,
}  # fmt: skip
_RAJI = {
    "expansion": 0.830, "reduction": 0.8300536, "memory_conversion": 1.59795, "memory_recall": 2.3e-4,
    "inhibition": 1.248506e-8, "memory_death": 6.89e-7, "tumour_growth": 0.5071721,
    "inverse_capacity": 0.0, "kill_rate": 3.365388e-8, "tumour_at_start": 3e6,
    "first_dose": 1e7, "first_dose_day": 7.0,
}  # fmt: skip

VARIED = (
    "expansion", "reduction", "memory_conversion", "memory_recall", "inhibition", "memory_death", "tumour_growth",
    "inverse_capacity", "kill_rate",
)  # fmt: skip
"""The parameters in which the virtual mice differ."""
LETHAL = 1e10  # tumour cells
LAST_UNTREATED_DAY = 200.0


class Barros2021(Model):
    """Effector CAR T cells kill a tumour and become memory cells, which the tumour turns back into effector cells.

    Immunodeficient mice with a Hodgkin lymphoma (HDLM-2, CAR against CD123) or a Burkitt lymphoma (RAJI, CAR against
    CD19; also with the enzyme IDO, which inhibits the effector cells, and with its blocker 1-MT): the parameter sets.
    The default is HDLM-2. Day 0 is the injection of the tumour; up to four doses of CAR T cells and a second injection
    of tumour cells (a challenge) follow. A tumour of fewer than 1e-6 cells does not grow again.
    """

    source = "barros2021"
    diseases, antigens, system = ("Hodgkin lymphoma", "Burkitt lymphoma"), ("CD123", "CD19"), "mouse"
    follow_up = 300.0

    expansion = parameter(0.265, "1/day", "growth rate of effector CAR T cells", symbol="phi", source=_CODE)
    reduction = parameter(
        0.350, "1/day", "rate at which effector cells die or become memory cells", symbol="rho", source=_CODE
    )
    memory_conversion = parameter(
        0.150, "1/day", "memory cells made per effector cell and day", symbol="epsilon", source=_CODE
    )
    memory_recall = parameter(
        6.0e-6, "1/cell/day", "memory cells that a tumour cell turns into effector cells", symbol="theta", source=_CODE
    )
    inhibition = parameter(
        4.5e-8, "1/cell/day", "effector cells lost by contact with the tumour", symbol="alpha", source=_CODE
    )
    memory_death = parameter(5.0e-3, "1/day", "death rate of memory cells", symbol="mu", source=_CODE)
    tumour_growth = parameter(5.650026e-2, "1/day", "growth rate of the tumour", symbol="r", source=_CODE)
    inverse_capacity = parameter(
        1.404029e-12, "1/cell", "one over the tumour cells that the mouse carries; 0 is no limit", symbol="b",
        source=_CODE,
    )  # fmt: skip
    kill_rate = parameter(
        3.715843e-6, "1/cell/day", "tumour cells killed per effector cell and day", symbol="gamma", source=_CODE
    )
    extinct_below = parameter(
        1e-6, "cell", "tumour cells below which a tumour does not grow again", symbol="T_min",
        source="cartmath2020: rk4.R, where populations below it are set to zero",
    )  # fmt: skip
    tumour_at_start = parameter(
        2e6, "cell", "tumour cells injected on day 0", symbol="T_0", source="cartmath2020: server.R, HDLM-2"
    )
    first_dose = parameter(
        2e6,
        "cell",
        "CAR T cells of the first dose",
        symbol="D_1",
        source="cartmath2020: server.R, HDLM-2 with challenge",
    )
    first_dose_day = parameter(
        42.0, "day", "day of the first dose", symbol="t_1", source="cartmath2020: server.R, HDLM-2"
    )
    second_dose = parameter(
        0.0, "cell", "CAR T cells of the second dose", symbol="D_2", source="assumed: one dose unless stated"
    )
    second_dose_day = parameter(
        49.0, "day", "day of the second dose", symbol="t_2", source="cartmath2020: server.R, doses every 7 days"
    )
    third_dose = parameter(
        0.0, "cell", "CAR T cells of the third dose", symbol="D_3", source="assumed: one dose unless stated"
    )
    third_dose_day = parameter(
        56.0, "day", "day of the third dose", symbol="t_3", source="cartmath2020: server.R, doses every 7 days"
    )
    fourth_dose = parameter(
        0.0, "cell", "CAR T cells of the fourth dose", symbol="D_4", source="assumed: one dose unless stated"
    )
    fourth_dose_day = parameter(
        63.0, "day", "day of the fourth dose", symbol="t_4", source="cartmath2020: server.R, doses every 7 days"
    )
    challenge = parameter(
        0.0, "cell", "tumour cells injected a second time (1e6 in figure 3a)", symbol="T_c",
        source="assumed: no challenge unless stated",
    )  # fmt: skip
    challenge_day = parameter(
        250.0, "day", "day of the challenge", symbol="t_c", source="cartmath2020: server.R, HDLM-2 with challenge"
    )

    # A population matters here down to its extinction at 1e-6 cells, and so does the error of the solver.
    effector = state("cell", "effector CAR T cells", symbol="C_T", floor=1e-3)
    memory = state("cell", "memory CAR T cells", symbol="C_M", floor=1e-3)
    tumour = state("cell", "tumour cells", initial=tumour_at_start, symbol="T", floor=1e-6)

    recalled = memory_recall * tumour * memory
    growing = where(tumour < extinct_below, 0, tumour_growth * tumour * (1 - inverse_capacity * tumour))

    equations = {
        ddt(effector): expansion * effector - reduction * effector + recalled - inhibition * tumour * effector,
        ddt(memory): memory_conversion * effector - recalled - memory_death * memory,
        ddt(tumour): growing - kill_rate * effector * tumour,
    }
    events = [
        bolus(effector, first_dose, at=first_dose_day),
        bolus(effector, second_dose, at=second_dose_day),
        bolus(effector, third_dose, at=third_dose_day),
        bolus(effector, fourth_dose, at=fourth_dose_day),
        bolus(tumour, challenge, at=challenge_day),
    ]
    outputs = {
        "car_t_total": effector + memory,
        "car_t_effector_total": effector,
        "car_t_memory_total": memory,
        "tumour_cells": tumour,
    }

    parameter_sets = {
        "hdlm2_car123": _HDLM2,
        "raji_car19": _RAJI,
        "raji_ido_car19": {**_RAJI, "inhibition": 1.461699e-8},
        "raji_ido_car19_1mt": {**_RAJI, "inhibition": 1.261662e-8},
    }
    claims = (
        "Mice with HDLM-2 that start with 2e6 cells need about 2.6e5 CAR T cells on day 42 for a complete response.",
        "After 5e5 CAR T cells a small tumour remains in balance; after 2e5 it escapes and fills the mouse by day 350.",
        "Four doses of 5e5 cells leave more memory on day 200 than one of 2e6: 7 % more when given every 7 days, 15 % "
        "more when given every 14 days.",
        "Of 4999 virtual mice 95, 87, 62 and 7 % survive doses of 1.5e6, 1e6, 5e5 and 1e5 cells.",
        "RAJI grows too fast: from 3e6 cells, with 1e7 CAR T cells on day 7, to about 6e8 cells on day 14.",
    )
    errata = (
        "The memory of about 7e5 cells on day 200 after a dose of 1.5e6 does not follow: the equations and values give "
        "1.12e6 on day 200, and 6.8e5 on day 300.",
    )
    limitations = (
        "The published program sets a population to zero below 1e-6 cells. Here only the tumour is treated so, since "
        "only the tumour could come back, and it is not set to zero: it no longer grows, but is still killed, and "
        "grows on after a challenge.",
        "Complete response is at most 8e5 tumour cells on day 300, no response and death at least 1e10.",
        "How the virtual mice were chosen is partly inferred, see virtual_mice.",
        "One tumour site and two kinds of CAR T cells; no antigen loss, cytokines or immune cells of the mouse.",
        "The values of RAJI let the tumour grow without limit: days beyond about 30 mean nothing.",
    )


def virtual_mice(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw virtual mice with HDLM-2: nine parameters, each uniform within 60 per cent of its value.

    Kept are those whose effector cells neither grow without antigen nor are lost faster than they grow and turn into
    memory (expansion < reduction < expansion + memory_conversion), and that would die untreated by day 200. The paper's
    own criteria were not read. The first is that of a third party's script (``spelman2023``), the second is inferred:
    it gives the median survival of untreated mice of 128 days at which that script aims (without it: 150 days).

    Args:
        count: number of mice.
        seed: of the random streams.

    Returns:
        For each varied parameter an array of shape (count,), in the declared units.

    Raises:
        InputError: if the count is not a whole number from 1 on.

    Example:
        >>> virtual_mice(2)["tumour_growth"].shape
        (2,)
    """
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
        raise InputError(f"virtual_mice: count must be a whole number from 1 on, got {count!r}")
    typical = np.array([Barros2021.parameters[name].value for name in VARIED])
    kept, first = np.empty((0, len(VARIED))), 0
    while len(kept) < count:
        candidates = np.arange(first, first + 4 * count + 64)
        drawn = typical * (0.4 + 1.2 * uniform(seed, candidates, "virtual mouse", len(VARIED)))
        kept = np.concatenate([kept, drawn[_is_kept(dict(zip(VARIED, drawn.T, strict=True)))]])
        first = int(candidates[-1]) + 1
    return dict(zip(VARIED, kept[:count].T.copy(), strict=True))


def _is_kept(mice: dict[str, np.ndarray]) -> np.ndarray:
    balanced = (mice["expansion"] < mice["reduction"]) & (
        mice["reduction"] < mice["expansion"] + mice["memory_conversion"]
    )
    return balanced & (untreated_survival(mice["tumour_growth"], mice["inverse_capacity"]) < LAST_UNTREATED_DAY)


def untreated_survival(tumour_growth: np.ndarray | float, inverse_capacity: np.ndarray | float) -> np.ndarray:
    """Day on which an untreated tumour of 2e6 cells reaches 1e10 by logistic growth; infinite if it never does.

    Example:
        >>> round(float(untreated_survival(5.650026e-2, 1.404029e-12)), 1)
        151.0
    """
    start, room = Barros2021.parameters["tumour_at_start"].value, 1 - np.asarray(inverse_capacity) * LETHAL
    with np.errstate(all="ignore"):
        ratio = LETHAL * (1 - np.asarray(inverse_capacity) * start) / (start * room)
        return np.where(room > 0, np.log(ratio) / np.asarray(tumour_growth), np.inf)
