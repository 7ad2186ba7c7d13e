"""Normal B cells and plasma cells, which may carry the target too, and the antibodies that they leave behind."""

from __future__ import annotations

from livingdrug.body.drugs import Drugs
from livingdrug.body.states import Body
from livingdrug.model import Block, ddt, parameter


class BCells(Block):
    """B cells are made by progenitors and live two months; CAR T cells against CD19 hold both back (leontriana2020).

    Plasma cells live longer and are made from B cells; immunoglobulin G follows them with a half-life of three weeks.
    """

    b_cell_life = parameter(
        60.0, "day", "life of a B cell", symbol="tau_B", source="leontriana2020: t_B", limits=(1.0, 1e4)
    )
    b_cell_killing = parameter(
        1e-9, "1/cell/day", "killing of B cells per CAR T cell", symbol="alpha_B",
        source="assumed: aplasia holds while CAR T cells are above about 0.5 per uL; leontriana2020 has 4.5e-11",
    )  # fmt: skip
    plasma_cell_killing = parameter(
        3e-11, "1/cell/day", "killing of plasma cells per CAR T cell, where they carry the target", symbol="alpha_P",
        source="assumed: antibodies fall to a tenth; leontriana2020 has 4.5e-11 for B cells",
    )  # fmt: skip
    progenitor_half = parameter(
        5e7, "cell", "CAR T cells at which half of the progenitors are lost", symbol="C_50",
        source="assumed: 0.1 CAR T cells per uL; leontriana2020 has 1e9", limits=(1.0, 1e15),
    )  # fmt: skip
    b_cell_depletion = parameter(
        0.3, "1", "killing of B cells by lymphodepletion, relative to T cells", source="assumed: a part of them stays",
        limits=(0.0, 10.0),
    )  # fmt: skip
    plasma_cell_life = parameter(
        400.0, "day", "life of a plasma cell", symbol="tau_P", source="assumed: more than a year", limits=(1.0, 1e5)
    )
    plasma_from_b_cells = parameter(
        0.4, "1", "share of new plasma cells that comes from circulating B cells", symbol="s_P",
        source="assumed: the rest comes from B cells without the target", limits=(0.0, 1.0),
    )  # fmt: skip
    immunoglobulin_half_life = parameter(
        21.0, "day", "half-life of immunoglobulin G", source="recalled: three weeks", limits=(1.0, 1000.0)
    )
    ln2 = parameter(0.6931471805599453, "1", "natural logarithm of 2", source="assumed: mathematics")

    hunters = Body.memory + Body.early + Body.expanded
    _held = Body.antigen_on_b_cells * hunters
    _new = Body.b_cell_capacity / b_cell_life
    b_cells_killed = b_cell_killing * _held * Body.b_cells
    plasma_cells_killed = plasma_cell_killing * Body.antigen_on_plasma_cells * hunters * Body.plasma_cells
    b_cells_new = _new / (1 + _held / progenitor_half)
    plasma_cells_new = (
        Body.plasma_capacity / plasma_cell_life
        * (1 - plasma_from_b_cells + plasma_from_b_cells * Body.b_cells / Body.b_cell_capacity)
    )  # fmt: skip

    equations = {
        ddt(Body.b_cells): b_cells_new - Body.b_cells / b_cell_life - b_cells_killed
        - b_cell_depletion * Drugs.lymphocyte_kill * Body.b_cells,
        ddt(Body.plasma_cells): plasma_cells_new - Body.plasma_cells / plasma_cell_life - plasma_cells_killed,
        ddt(Body.immunoglobulin): ln2 / immunoglobulin_half_life
        * (Body.immunoglobulin_normal * Body.plasma_cells / Body.plasma_capacity - Body.immunoglobulin),
    }  # fmt: skip
