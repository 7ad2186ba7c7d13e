"""Drugs: what lymphodepletes, what calms inflammation; how much is there and how strongly it acts."""

from __future__ import annotations

from livingdrug.body.states import Body
from livingdrug.model import Block, ddt, lognormal, parameter

_FREY = "frey2010: table 2, read in nlmixr2lib"


class Drugs(Block):
    """Clearance of each drug and its effect as a share between 0 and 1, or as a rate at which cells are killed."""

    # ---- lymphodepletion
    fludarabine_clearance = parameter(
        1.39, "1/day", "rate at which fludarabine is cleared (half-life 12 h)", source="recalled: half-life 10 to 20 h"
    )
    cyclophosphamide_clearance = parameter(
        2.77, "1/day", "rate at which cyclophosphamide is cleared (half-life 6 h)",
        source="recalled: half-life 3 to 12 h",
    )  # fmt: skip
    bendamustine_clearance = parameter(
        8.3, "1/day", "rate at which bendamustine is cleared (half-life 2 h with its effect)",
        source="recalled: half-life 40 min; the longer one stands for its lasting effect",
    )  # fmt: skip
    anti_cd52_clearance = parameter(
        0.12, "1/day", "rate at which the antibody against CD52 is cleared (half-life 6 days)",
        source="recalled: alemtuzumab, half-life about 6 days after repeated doses",
    )  # fmt: skip
    fludarabine_kill = parameter(
        0.047, "m**2/mg/day", "killing of host T cells per fludarabine",
        source="assumed: with cyclophosphamide, 3 x 30 and 3 x 500 mg/m2 leave the 6 T cells per uL of kimmel2021",
        spread=lognormal(0.15),
    )  # fmt: skip
    cyclophosphamide_kill = parameter(
        0.0094, "m**2/mg/day", "killing of host T cells per cyclophosphamide", source="assumed: see fludarabine_kill"
    )
    bendamustine_kill = parameter(
        0.115, "m**2/mg/day", "killing of host T cells per bendamustine",
        source="assumed: two doses of 90 mg/m2 deplete about as much as half of the above",
    )  # fmt: skip
    anti_cd52_kill = parameter(
        0.05, "1/mg/day", "killing of host T cells per antibody against CD52",
        source="assumed: 40 mg clear the blood in days",
    )  # fmt: skip
    lymphocyte_kill = (
        fludarabine_kill * Body.fludarabine
        + cyclophosphamide_kill * Body.cyclophosphamide
        + bendamustine_kill * Body.bendamustine
    )
    anti_cd52_killing = anti_cd52_kill * Body.anti_cd52

    # ---- tocilizumab
    toci_clearance = parameter(
        0.3, "L/day", "linear clearance of tocilizumab", symbol="CL", source=_FREY, spread=lognormal(0.38)
    )
    toci_volume = parameter(3.5, "L", "central volume of tocilizumab", symbol="V_1", source=_FREY, limits=(0.1, 20.0))
    toci_exchange = parameter(0.2, "L/day", "exchange with the peripheral volume", symbol="Q_T", source=_FREY)
    toci_peripheral_volume = parameter(
        2.9, "L", "peripheral volume of tocilizumab", symbol="V_2", source=_FREY, limits=(0.1, 20.0)
    )
    toci_saturable = parameter(
        7.5, "mg/day", "largest saturable elimination of tocilizumab", symbol="V_M", source=_FREY
    )
    toci_half_saturation = parameter(
        2.7, "ug/mL", "tocilizumab at which the saturable path is half full", symbol="K_M", source=_FREY,
        limits=(1e-3, 1e3),
    )  # fmt: skip
    toci_half_block = parameter(
        1.0, "ug/mL", "tocilizumab that blocks half of the receptors of interleukin 6",
        source="assumed: nanomolar affinity; a dose of 8 mg/kg gives more than 100 ug/mL", limits=(1e-3, 1e3),
    )  # fmt: skip
    toci_level = Body.toci_central / toci_volume
    receptor_block = toci_level / (toci_level + toci_half_block)

    # ---- corticosteroids (10 mg dexamethasone act as about 53 mg methylprednisolone or 67 mg prednisone)
    steroid_clearance = parameter(
        5.0, "1/day", "rate at which dexamethasone is cleared (half-life 3.33 h)",
        source="carrgodex: half-life of dexamethasone as used there",
    )  # fmt: skip
    steroid_lag = parameter(
        1.0, "1/day", "rate at which its effect follows (half-life 17 h)",
        source="recalled: biological half-life of 36 to 54 h",
    )  # fmt: skip
    steroid_half = parameter(
        2.0, "mg", "acting dexamethasone with half the largest effect", source="assumed: 10 mg a day act almost fully",
        limits=(1e-3, 1e3),
    )  # fmt: skip
    steroid_effect = Body.steroid_acting / (Body.steroid_acting + steroid_half)

    # ---- anakinra
    anakinra_clearance = parameter(
        3.3, "1/day", "rate at which anakinra is cleared (half-life 5 h)", source="recalled: half-life 4 to 6 h"
    )
    anakinra_half = parameter(
        15.0, "mg", "anakinra that blocks half of the effect of interleukin 1",
        source="assumed: 100 mg act for most of a day", limits=(1e-3, 1e4),
    )  # fmt: skip
    il1_block = Body.anakinra / (Body.anakinra + anakinra_half)

    # ---- growth factor for neutrophils; blood products are doses of platelets and haemoglobin themselves
    growth_factor_clearance = parameter(
        1.4, "1/day", "rate at which G-CSF is cleared (half-life 12 h with its effect)",
        source="recalled: half-life 3.5 h; the longer one stands for its lasting effect",
    )  # fmt: skip
    growth_factor_half = parameter(
        2.0, "ug/kg", "G-CSF with half the largest effect", source="assumed: 5 ug/kg a day act well",
        limits=(1e-3, 1e3),
    )  # fmt: skip
    growth_factor_effect = Body.growth_factor / (Body.growth_factor + growth_factor_half)

    _saturable = toci_saturable * toci_level / (toci_half_saturation + toci_level)
    _exchange = toci_exchange * (toci_level - Body.toci_peripheral / toci_peripheral_volume)

    equations = {
        ddt(Body.fludarabine): -fludarabine_clearance * Body.fludarabine,
        ddt(Body.cyclophosphamide): -cyclophosphamide_clearance * Body.cyclophosphamide,
        ddt(Body.bendamustine): -bendamustine_clearance * Body.bendamustine,
        ddt(Body.anti_cd52): -anti_cd52_clearance * Body.anti_cd52,
        ddt(Body.toci_central): -toci_clearance * toci_level - _saturable - _exchange,
        ddt(Body.toci_peripheral): _exchange,
        ddt(Body.steroid): -steroid_clearance * Body.steroid,
        ddt(Body.steroid_acting): steroid_lag * (Body.steroid - Body.steroid_acting),
        ddt(Body.growth_factor): -growth_factor_clearance * Body.growth_factor,
        ddt(Body.anakinra): -anakinra_clearance * Body.anakinra,
    }
