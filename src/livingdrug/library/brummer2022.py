"""Brummer et al. 2022: CAR T cells against glioblastoma cells in a dish, with dexamethasone (CARRGO-dex)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from livingdrug.model import Model, ddt, output, parameter, state

_FIT = "carrgodex: fit_parameters.csv, line PBT1, wells B1 and B2"
_ANY_SIGN = (float("-inf"), float("inf"))
_LN2 = math.log(2)


def read_wells() -> dict[str, dict[str, Any]]:
    """Return the 72 pairs of wells of the assay: what was in them, which rows were fitted, and the published fit.

    Returns:
        By name (line and the two wells): ``line``, ``column`` (of the assay series), ``first_row`` and ``end_row``
        (rows of the series that were fitted, from 0, the last one not included), ``dexamethasone_ug_per_mL``,
        ``car_t_at_end`` (CAR T cells counted when the assay ended, cell index), ``published_cost``, ``weighted``
        (whether that cost divides by the standard deviation of the two wells) and ``fit`` (values of parameters of
        :class:`Brummer2022` in their declared units).
    """
    table = json.loads(Path(__file__).with_name("brummer2022.json").read_text(encoding="utf-8"))
    wells = {}
    for name, row in table["wells"].items():
        facts = dict(zip(table["facts"], row[: len(table["facts"])], strict=True))
        fit = dict(zip(table["parameters"], map(float, row[len(facts) :]), strict=True))
        wells[name] = {**facts, "fit": fit}
    return wells


class Brummer2022(Model):
    """Tumour cells and CAR T cells as prey and predator in a dish, while dexamethasone is lost and acts on both.

    The tumour grows to a ceiling; CAR T cells kill it, multiply on meeting it and die; dexamethasone adds to the death
    of both in proportion to what is left of it. A negative effect means that it helps: of the tumour cells it lets
    more grow, of the CAR T cells it lets more live. All amounts are in units of the cell index (the impedance of
    the well); time 0 is the first row that was fitted, about a day after the cells were plated. The default values are
    those of line PBT1 without drug, one CAR T cell to five tumour cells; the parameter sets are the 72 published fits.
    """

    source = "brummer2022"
    diseases, antigens, system = "glioblastoma", "IL13Ra2", "in vitro"
    follow_up = 6.0

    tumour_growth = parameter(0.302972074, "1/hour", "growth rate of the tumour cells", symbol="rho", source=_FIT)
    crowding = parameter(
        0.32303399, "1", "how much growth slows per unit of cell index: 1 by the ceiling of the tumour cells",
        symbol="kappa_inv", source=_FIT,
    )  # fmt: skip
    kill_rate = parameter(
        0.556784512, "1/hour", "rate of killing per unit of CAR T cells", symbol="kappa_1", source=_FIT
    )
    car_t_growth = parameter(
        0.02420882, "1/hour", "growth rate of CAR T cells per unit of tumour cells (negative: exhaustion)",
        symbol="kappa_2", source=_FIT, limits=_ANY_SIGN,
    )  # fmt: skip
    car_t_death = parameter(8.6e-14, "1/hour", "death rate of CAR T cells", symbol="theta", source=_FIT)
    dexamethasone_tumour_death = parameter(
        0.0, "1/hour", "death rate of tumour cells that the first dexamethasone adds (negative: less death)",
        symbol="c_0", source=_FIT, limits=_ANY_SIGN,
    )  # fmt: skip
    dexamethasone_car_t_death = parameter(
        0.0, "1/hour", "death rate of CAR T cells that the first dexamethasone adds (negative: less death)",
        symbol="c_3", source=_FIT, limits=_ANY_SIGN,
    )  # fmt: skip
    dexamethasone_half_life = parameter(
        3.33, "hour", "time in which half of the dexamethasone is lost", source="carrgodex: f_growth",
        limits=(1e-6, 1e6),
    )  # fmt: skip
    tumour_at_start = parameter(
        0.4669, "1", "tumour cells at the first row", symbol="x_0", source="carrgodex: assay series, first point",
    )  # fmt: skip
    car_t_at_start = parameter(0.25, "1", "CAR T cells at the first row", symbol="y_0", source=_FIT)
    dexamethasone_at_start = parameter(
        0.0, "1", "dexamethasone as a share of what the effects were fitted for: 1, or 0 for none",
        source="carrgodex: f_growth",
    )  # fmt: skip
    tumour = state("1", "tumour cells, in units of the cell index", initial=tumour_at_start, symbol="x", floor=1e-4)
    car_t = state("1", "CAR T cells, in units of the cell index", initial=car_t_at_start, symbol="y", floor=1e-4)
    dexamethasone = state(
        "1", "dexamethasone left, as a share of the first", initial=dexamethasone_at_start, symbol="g", floor=1e-4
    )

    equations = {
        ddt(tumour): tumour_growth * tumour * (1 - crowding * tumour)
        - dexamethasone_tumour_death * dexamethasone * tumour
        - kill_rate * tumour * car_t,
        ddt(car_t): car_t_growth * tumour * car_t - (car_t_death + dexamethasone_car_t_death * dexamethasone) * car_t,
        ddt(dexamethasone): -_LN2 / dexamethasone_half_life * dexamethasone,
    }
    outputs = {
        "cell_index": tumour,
        "car_t_cell_index": output(car_t, "1", "CAR T cells, in units of the cell index"),
        "dexamethasone_share": output(dexamethasone, "1", "dexamethasone left, as a share of the first"),
    }

    parameter_sets = {name: well["fit"] for name, well in read_wells().items()}
    claims = [
        "Much dexamethasone protects the tumour: it exhausts the CAR T cells and lets the tumour grow.",
        "The ratio of death to growth of the CAR T cells has a threshold that separates success from failure.",
        "As dexamethasone is lost, a stable coexistence of both kinds of cells comes back (a Hopf bifurcation).",
    ]
    errata = [
        "The columns t_start and t_end of the published table are labelled hours but are rows of the assay series.",
        "The cost in the published table does not follow from the rows given there in all wells: some were fitted to "
        "more rows than the table names, and for some the residuals were not divided by the standard deviation.",
    ]
    limitations = [
        "A dish, no patient: no antigen loss, no other cells, and about five and a half days.",
        "The CAR T cells were not measured while the assay ran: only the tumour's cell index was fitted.",
        "The effects of dexamethasone were fitted anew for each of its five levels: the model does not say how they "
        "depend on the level.",
        "Many fits held the growth of the tumour (and some the death of the CAR T cells) at the values of other wells.",
        "A few published fits are poor: PBT4 wells G7 and G8 (R2 0.04), F11 and F12 (0.51), PBT2 wells F9 and F10 "
        "(0.59).",
    ]
