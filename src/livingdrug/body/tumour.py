"""The tumour: two clones, with the target antigen and without, that grow, are killed, and can die out."""

from __future__ import annotations

from livingdrug.body.car_t import CarT
from livingdrug.body.drugs import Drugs
from livingdrug.body.states import Body
from livingdrug.model import Block, birth_death, ddt, lognormal, maximum, parameter


class Tumour(Block):
    """Logistic growth, killing that saturates with the effectors, loss of antigen by mutation, killing of bystanders.

    ``contact`` is the share of the tumour that circulating cells reach: 1 in leukaemia, 0 in a solid tumour, where only
    the cells that entered it kill. Killing has the form of kirouac2023; with exponent 1 it is that of kimmel2021.
    """

    tumour_growth = parameter(
        0.065, "1/day", "growth rate of the tumour", symbol="r", source="cartecology: HybridModel_08_30_20.jl",
        spread=lognormal(0.4),
    )  # fmt: skip
    tumour_capacity = parameter(
        5e12, "cell", "tumour cells that the body carries", symbol="K", source="assumed: 5 kg; owens2021 has 2e12",
        limits=(1.0, 1e300),
    )  # fmt: skip
    negative_fitness = parameter(
        1.0, "1", "growth rate of the clone without antigen, relative to the other", source="assumed: no cost",
        limits=(0.0, 2.0),
    )  # fmt: skip
    mutation = parameter(
        1e-13, "1/day", "rate at which a tumour cell loses the antigen", symbol="m",
        source="assumed: both copies of the gene are lost; with the 1.5e-7 of a third-party file all escape",
    )  # fmt: skip
    kill_rate = parameter(
        0.8, "1/day", "largest rate of killing", symbol="k_kill",
        source="assumed: within the quartiles of kimmel2021, 0.64 to 1.35", spread=lognormal(0.5),
    )  # fmt: skip
    half_kill_effector = parameter(
        2.5e9, "cell", "effectors at which killing is half", symbol="E_50",
        source="assumed: within the quartiles of kimmel2021, 1.40e9 to 3.125e9", limits=(1.0, 1e15),
    )  # fmt: skip
    resistance = parameter(
        1.0, "1", "how many times more effectors the tumour withstands", symbol="R_T",
        source="assumed: primary resistance, such as lost death receptors", limits=(1e-6, 1e6), spread=lognormal(2.0),
    )  # fmt: skip
    kill_steepness = parameter(1.0, "1", "Hill exponent of killing", symbol="k_t", source="kimmel2021: 1")
    site_strength = parameter(
        2.0, "1", "killing per cell within the tumour, relative to a circulating one",
        source="assumed: they are where their targets are", limits=(0.0, 1e4),
    )  # fmt: skip
    bystander = parameter(
        0.05, "1", "killing of cells without antigen beside killed ones, relative to these", symbol="beta",
        source="assumed: small", limits=(0.0, 1.0),
    )  # fmt: skip
    bystander_half = parameter(
        1e8, "cell", "tumour cells with antigen at which the killing of bystanders is half",
        source="assumed: there must be cells to stand by", limits=(1.0, 1e15),
    )  # fmt: skip
    steroid_on_killing = parameter(
        0.2, "1", "share of killing that full steroid stops",
        source="carrgodex: steroid lowers killing in most assays; size assumed", limits=(0.0, 1.0),
    )  # fmt: skip
    drug_on_tumour = parameter(
        0.1, "1", "killing of tumour by lymphodepletion, relative to T cells",
        source="assumed: these tumours resist chemotherapy", limits=(0.0, 10.0),
    )  # fmt: skip

    killers = maximum(Body.contact * Body.expanded + site_strength * Body.site_effector, 0) / (
        resistance * half_kill_effector
    )
    _form = 1 - 1 / (1 + killers**kill_steepness)
    kill_per_cell = kill_rate * CarT.xi * (1 - steroid_on_killing * Drugs.steroid_effect) * _form
    killed = kill_per_cell * Body.tumour_positive
    _room = (Body.tumour_positive + Body.tumour_negative) / tumour_capacity
    _by_drug = drug_on_tumour * Drugs.lymphocyte_kill
    positive_born = tumour_growth * maximum(Body.tumour_positive, 0)
    positive_died = (tumour_growth * _room + mutation + _by_drug + kill_per_cell) * Body.tumour_positive
    _negative_growth = negative_fitness * tumour_growth
    # New mutants join a clone that exists: one that died out stays so, as an exact process needs it.
    _mutants = mutation * Body.tumour_positive * Body.tumour_negative / (Body.tumour_negative + Body.one_cell)
    negative_born = _negative_growth * maximum(Body.tumour_negative, 0) + _mutants
    _beside = Body.tumour_positive / (Body.tumour_positive + bystander_half)
    negative_died = (_negative_growth * _room + _by_drug + bystander * kill_per_cell * _beside) * Body.tumour_negative

    carriers = (
        Body.contact * Body.antigen_density * Body.tumour_positive
        + Body.antigen_on_b_cells * Body.b_cells
        + Body.antigen_on_plasma_cells * Body.plasma_cells
    )
    jumps = [
        birth_death(Body.tumour_positive, birth=positive_born, death=positive_died, below=100, noticed=False),
        birth_death(Body.tumour_negative, birth=negative_born, death=negative_died, below=100, noticed=False),
    ]
    equations = {
        ddt(Body.tumour_positive): positive_born - positive_died,
        ddt(Body.tumour_negative): negative_born - negative_died,
        ddt(Body.antigen): Body.antigen_production * carriers - Body.antigen_clearance * Body.antigen,
    }
