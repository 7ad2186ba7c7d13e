"""Blood counts: marrow that chemotherapy and inflammation hold back, its cells in blood, and infections."""

from __future__ import annotations

from livingdrug.body.drugs import Drugs
from livingdrug.body.states import Body
from livingdrug.model import Block, ddt, log, lognormal, maximum, parameter


class Blood(Block):
    """One marrow feeds two lines with a delay. Inflammation (interferon gamma, active macrophages) holds it back too.

    So counts fall twice: after lymphodepletion, and again in the weeks after a strong expansion.
    """

    marrow_recovery = parameter(
        0.12, "1/day", "recovery of the marrow (Gompertz)",
        source="assumed: two to three weeks after chemotherapy, months in some", spread=lognormal(0.5),
    )  # fmt: skip
    marrow_sensitivity = parameter(
        1.0, "1", "how strongly chemotherapy and inflammation hold the marrow back, relative to the typical",
        source="assumed: one number for calibration", limits=(0.0, 1e3), spread=lognormal(0.2),
    )  # fmt: skip
    fludarabine_on_marrow = parameter(
        0.042, "m**2/mg/day", "loss of marrow per fludarabine",
        source="assumed: neutrophils below 500 about day 5 to 10", spread=lognormal(0.25),
    )  # fmt: skip
    cyclophosphamide_on_marrow = parameter(
        0.007, "m**2/mg/day", "loss of marrow per cyclophosphamide", source="assumed: as above"
    )
    bendamustine_on_marrow = parameter(
        0.035, "m**2/mg/day", "loss of marrow per bendamustine", source="assumed: milder than the above"
    )
    inflammation_on_marrow = parameter(
        0.4, "1/day", "loss of marrow in full inflammation", source="assumed: late second dip of neutrophils",
        spread=lognormal(0.4),
    )  # fmt: skip
    inflammation_ifn_gamma = parameter(
        300.0, "pg/mL", "interferon gamma of half its effect on the marrow", source="assumed", limits=(1e-3, 1e9)
    )
    neutrophil_making = parameter(
        0.25, "1/day", "rate through the making of neutrophils", source="recalled: 4 to 6 days"
    )
    neutrophil_turnover = parameter(0.8, "1/day", "turnover of neutrophils", source="recalled: within a day in blood")
    growth_factor_on_neutrophils = parameter(
        2.0, "1", "rise of release and of making of neutrophils under full G-CSF",
        source="assumed: neutrophils rise to a few times as many", limits=(0.0, 100.0),
    )  # fmt: skip
    platelet_making = parameter(0.2, "1/day", "rate through the making of platelets", source="recalled: about 5 days")
    platelet_turnover = parameter(0.11, "1/day", "turnover of platelets", source="recalled: life of 8 to 10 days")
    platelet_consumption = parameter(
        0.10, "1/day", "loss of platelets per endothelial activation above rest",
        source="assumed: they fall in severe release",
    )  # fmt: skip
    red_cell_turnover = parameter(
        0.012, "1/day", "turnover of red cells", source="recalled: life of 120 days, less when ill"
    )
    infection_rate = parameter(
        0.0003, "1/day", "hazard of a severe infection, lowest", source="assumed: 10 to 20 per cent a year at rest"
    )
    infection_by_neutropenia = parameter(
        40.0, "1", "rise of that hazard without neutrophils", source="assumed: about 1.2 per cent a day"
    )
    neutropenia_half = parameter(
        400.0, "cell/uL", "neutrophils at which that rise is half", source="assumed: 500 is the usual threshold",
        limits=(1.0, 1e5),
    )  # fmt: skip
    infection_by_antibodies = parameter(
        3.0, "1", "rise of that hazard without immunoglobulin", source="assumed: a few fold"
    )
    immunoglobulin_half = parameter(
        3.0, "g/L", "immunoglobulin G at which that rise is half", source="assumed: 4 g/L is the usual threshold",
        limits=(0.01, 100.0),
    )  # fmt: skip
    infection_by_steroid = parameter(4.0, "1", "rise of that hazard with full steroid", source="assumed: a few fold")

    by_drugs = (
        fludarabine_on_marrow * Body.fludarabine
        + cyclophosphamide_on_marrow * Body.cyclophosphamide
        + bendamustine_on_marrow * Body.bendamustine
    )
    _raised = Body.interferon_gamma - Body.ifn_gamma_baseline
    by_inflammation = inflammation_on_marrow * _raised / (_raised + inflammation_ifn_gamma)
    _neutrophils = Body.neutrophils / neutropenia_half
    _antibodies = Body.immunoglobulin / immunoglobulin_half
    _risk = (
        1
        + infection_by_neutropenia / (1 + _neutrophils * _neutrophils)
        + infection_by_antibodies / (1 + _antibodies * _antibodies)
        + infection_by_steroid * Drugs.steroid_effect
    )

    _growing = maximum(Body.marrow, 1e-9)  # a last cell always remains
    _pushed = 1 + growth_factor_on_neutrophils * Drugs.growth_factor_effect

    equations = {
        ddt(Body.marrow): -marrow_recovery * _growing * log(_growing)
        - marrow_sensitivity * (by_drugs + by_inflammation) * Body.marrow,
        ddt(Body.neutrophil_line): neutrophil_making * _pushed * (Body.marrow - Body.neutrophil_line),
        ddt(Body.neutrophils): neutrophil_turnover
        * (Body.neutrophils_normal * _pushed * Body.neutrophil_line - Body.neutrophils),
        ddt(Body.platelet_line): platelet_making * (Body.marrow - Body.platelet_line),
        ddt(Body.platelets): platelet_turnover * (Body.platelets_normal * Body.platelet_line - Body.platelets)
        - platelet_consumption * (Body.endothelium - 1) * Body.platelets,
        ddt(Body.haemoglobin): red_cell_turnover * (Body.haemoglobin_normal * Body.marrow - Body.haemoglobin),
        ddt(Body.infection_hazard): infection_rate * _risk,
    }  # fmt: skip
