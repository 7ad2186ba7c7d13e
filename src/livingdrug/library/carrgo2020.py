"""Sahoo et al. 2020: CAR T cells against glioma cells in a dish as predator and prey (CARRGO)."""

from __future__ import annotations

from livingdrug.model import Model, ddt, output, parameter, state

_ANY_SIGN = (float("-inf"), float("inf"))
_FAST = 2.1  # growth rate per day of one fast line, as printed; the scale on which the figure's cases are given


def _case(loss: float, gain: float) -> dict[str, float]:
    """A case of the figure: A = theta / rho and B = kappa_2 K / rho, with K = 1."""
    return {"car_t_death": loss * _FAST, "car_t_growth": gain * _FAST}


class Carrgo2020(Model):
    """Tumour cells that grow to a ceiling and CAR T cells that kill them, multiply or tire on meeting them, and die.

    The first model of the killing assay (CARRGO). The tumour is in multiples of its ceiling and the CAR T cells in
    multiples of the number that just holds a small tumour; time 0 is when the CAR T cells are added. The parameter sets
    are the three cases that the paper draws: success, failure, and both kinds of cells living side by side.
    """

    source = "sahoo2020"
    diseases, antigens, system = "glioma", "IL13Ra2", "in vitro"
    follow_up = 30.0

    tumour_growth = parameter(
        2.1, "1/day", "growth rate of the tumour cells", symbol="rho", source="text, one fast line"
    )
    tumour_capacity = parameter(
        1.0, "1", "ceiling of the tumour cells", symbol="K", source="the paper's scaled form",
        limits=(1e-9, float("inf")),
    )  # fmt: skip
    kill_rate = parameter(
        2.1, "1/day", "rate of killing per unit of CAR T cells", symbol="kappa_1",
        source="the paper's scaled form: equal to the growth rate of the tumour",
    )  # fmt: skip
    car_t_growth = parameter(
        1.6 * _FAST, "1/day", "growth rate of CAR T cells per unit of tumour cells (negative: exhaustion)",
        symbol="kappa_2", source="figure of the cases, B = 1.6", limits=_ANY_SIGN,
    )  # fmt: skip
    car_t_death = parameter(
        0.14 * _FAST, "1/day", "death rate of CAR T cells", symbol="theta", source="figure of the cases, A = 0.14"
    )
    tumour_at_start = parameter(
        0.5, "1", "tumour cells when the CAR T cells are added", symbol="X_0", source="assumed: half the ceiling"
    )
    car_t_at_start = parameter(
        0.25, "1", "CAR T cells added", symbol="Y_0", source="assumed: a quarter of what holds a small tumour"
    )

    tumour = state("1", "tumour cells, in multiples of the ceiling", initial=tumour_at_start, symbol="X", floor=1e-6)
    car_t = state("1", "CAR T cells, in multiples of what holds a small tumour", initial=car_t_at_start, symbol="Y",
                  floor=1e-6)  # fmt: skip

    equations = {
        ddt(tumour): tumour_growth * tumour * (1 - tumour / tumour_capacity) - kill_rate * tumour * car_t,
        ddt(car_t): car_t_growth * tumour * car_t - car_t_death * car_t,
    }
    outputs = {
        "cell_index": tumour,
        "car_t_cell_index": output(car_t, "1", "CAR T cells, in units of the cell index"),
        "car_t_needed": output(
            (tumour_growth - tumour_growth * tumour / tumour_capacity) / kill_rate,
            "1", "CAR T cells above which the tumour falls",
        ),
    }  # fmt: skip

    parameter_sets = {"coexistence": _case(0.14, 1.6), "success": _case(0.0, 0.2), "failure": _case(0.0, -0.2)}
    claims = [
        "CAR T cells hardly die by themselves in the assay (less than 0.001 per day).",
        "With a higher dose each CAR T cell kills less (lower kappa_1) and tires less (higher kappa_2).",
        "The fits of the assay have an R2 of 0.93, give or take 0.1.",
        "kappa_2 and the growth rate of the tumour go together (r = 0.9).",
        "kappa_2 is negative in one line (HT1080-H) only.",
        "Treatment fails, succeeds or ends in coexistence by the sign and size of theta / rho and kappa_2 K / rho.",
    ]
    limitations = [
        "The fitted values of the lines were not readable: the numbers are those of the scaled cases in the figure.",
        "The start is assumed. Which case ensues does not depend on it, as long as there are cells of both kinds.",
        "The series of this paper's assay are not public here, so its fits are not rerun; those of brummer2022 are.",
        "A dish, no patient: no antigen loss, no other cells, no binding of several CAR T cells to one target.",
    ]
