"""The host's T cells: room in the body, interleukin 7, and rejection of cells from another donor."""

from __future__ import annotations

from livingdrug.body.drugs import Drugs
from livingdrug.body.states import Body
from livingdrug.model import Block, ddt, log, maximum, minimum, parameter


class Host(Block):
    """T cells grow back after lymphodepletion by Gompertz's law (kimmel2021) and share their room with CAR T cells.

    Interleukin 7 is made steadily and used up by T cells: few T cells, much interleukin 7. Cells from another donor
    are killed by host T cells that they stimulate, the structure of derippe2023.
    """

    host_growth = parameter(
        0.170, "1/day", "growth rate of the host's T cells", symbol="r_N", source="kimmel2021: table 1"
    )
    il7_turnover = parameter(
        1.0, "1/day", "turnover of interleukin 7 at rest", symbol="d_7",
        source="assumed: follows the T cells within days",
    )  # fmt: skip
    il7_rise = parameter(
        5.0, "1", "rise of interleukin 7 without T cells, in multiples of rest", symbol="z",
        source="assumed: several fold after lymphodepletion", limits=(0.0, 100.0),
    )  # fmt: skip
    foreign = parameter(
        0.0, "1", "1 if the CAR T cells come from another donor, else 0", symbol="a", source="assumed: autologous",
        limits=(0.0, 1.0),
    )  # fmt: skip
    rejecting_growth = parameter(
        0.5, "1/day", "largest growth rate of rejecting T cells", symbol="p_R", source="assumed: doubling in 1.4 days"
    )
    rejecting_half = parameter(
        1e9, "cell", "foreign cells at which it is half as fast", symbol="K_R",
        source="assumed: the number at which killing is half", limits=(1.0, 1e15),
    )  # fmt: skip
    rejecting_turnover = parameter(
        0.05, "1/day", "turnover of rejecting T cells", symbol="d_R", source="assumed: half-life 14 days"
    )
    rejection = parameter(
        2e-9, "1/cell/day", "killing of foreign cells per rejecting T cell", symbol="k_R",
        source="assumed: 1e9 rejecting cells clear the graft within days",
    )  # fmt: skip
    rejecting_spared = parameter(
        0.4, "1", "share of lymphodepletion that rejecting T cells feel",
        source="assumed: memory cells resist chemotherapy", limits=(0.0, 1.0),
    )  # fmt: skip

    circulating_car_t = Body.infused + Body.arrived + Body.memory + Body.early + Body.expanded + Body.exhausted
    all_t = Body.host_t + Body.memory + Body.early + Body.expanded + Body.exhausted
    depletion = Drugs.lymphocyte_kill + Drugs.anti_cd52_killing
    rejected = foreign * rejection * Body.rejecting
    _pressure = log(maximum(all_t, Body.one_cell) / Body.host_capacity)
    _growing = maximum(Body.host_t, Body.one_cell)  # as for CAR T cells, and a last cell always remains
    _stimulus = foreign * circulating_car_t / (rejecting_half + circulating_car_t)

    equations = {
        ddt(Body.host_t): -host_growth * (_growing * minimum(_pressure, 0) + Body.host_t * maximum(_pressure, 0))
        - depletion * Body.host_t,
        ddt(Body.interleukin_7): il7_turnover
        * (Body.il7_baseline - Body.interleukin_7 * (1 + il7_rise * all_t / Body.host_capacity) / (1 + il7_rise)),
        ddt(Body.rejecting): rejecting_growth * _stimulus * Body.rejecting
        + rejecting_turnover * (Body.rejecting_at_start - Body.rejecting)
        - (rejecting_spared * Drugs.lymphocyte_kill + Drugs.anti_cd52_killing) * Body.rejecting,
    }
