"""Hanson et al. 2016: CAR T cells, inflammation and its suppression by a drug (B-ALL)."""

from __future__ import annotations

from livingdrug.model import Model, ddt, maximum, output, parameter, state, time, where

_FILE = "biomodelshanson2016: "
_START = _FILE + "initial value"


class Hanson2016(Model):
    """Memory cells become effectors by tumour and inflammation; effectors kill, and raise the inflammation further.

    CAR T cells are cytotoxic or helper cells, each as memory and as effector. A memory cell that meets the tumour in
    an inflamed body divides six times into effectors. All lymphocytes and the tumour share the room of the blood. A
    drug against inflammation may be given for some days. Day 0 is the infusion.

    The time unit of the source is not written down. It is taken as the hour: the published run lasts 720 of them,
    which is 30 days. The unit of the cells is taken as the cell per microlitre of blood.
    """

    source = "hanson2016"
    diseases, antigens, system = "B-cell acute lymphoblastic leukaemia", "CD19", "human"
    follow_up = 30.0

    tumour_growth = parameter(0.003, "1/hour", "growth rate of the leukaemia", symbol="r_1", source=_FILE + "r_1")
    tumour_capacity = parameter(
        4800.0, "cell/uL", "leukaemia that the blood carries", symbol="k", source=_FILE + "k", limits=(1e-6, 1e30)
    )
    kill_rate = parameter(2e-4, "uL/cell/hour", "killing per cytotoxic effector", symbol="d_1", source=_FILE + "d_1")
    inflammation_production = parameter(200.0, "1/hour", "inflammation without CAR T cells", symbol="p_0",
                                        source=_FILE + "p_0")  # fmt: skip
    inflammation_by_contact = parameter(
        0.002, "uL**2/cell**2/hour", "inflammation by effectors that meet the tumour", symbol="p_1",
        source=_FILE + "p_1",
    )  # fmt: skip
    inflammation_decay = parameter(1.5, "1/hour", "decay of inflammation", symbol="d_2", source=_FILE + "d_2")
    half_inflammation = parameter(
        800.0, "1", "inflammation at which activation is half", symbol="b", source=_FILE + "b", limits=(1e-6, 1e30)
    )
    cytotoxic_activation = parameter(
        4e-7, "uL/cell/hour", "activation of cytotoxic memory cells by the tumour", symbol="a_1", source=_FILE + "a_1"
    )
    help_by_effectors = parameter(
        2.0, "uL/cell", "how helper effectors raise that activation", symbol="a_2", source=_FILE + "a_2"
    )
    helper_activation = parameter(
        8e-5, "uL/cell/hour", "activation of helper memory cells by the tumour", symbol="a_3", source=_FILE + "a_3"
    )
    divisions = parameter(
        6.0,
        "1",
        "divisions of a memory cell that becomes effectors",
        symbol="n",
        source=_FILE + "n",
        limits=(0.0, 60.0),
    )
    cytotoxic_decay = parameter(0.004, "1/hour", "loss of cytotoxic effectors", symbol="d_3", source=_FILE + "d_3")
    helper_decay = parameter(0.004, "1/hour", "loss of helper effectors", symbol="d_4", source=_FILE + "d_4")
    cytotoxic_renewal = parameter(
        0.1, "1/hour", "growth rate of cytotoxic memory cells where there is room", symbol="r_2", source=_FILE + "r_2"
    )
    helper_renewal = parameter(
        0.1, "1/hour", "growth rate of helper memory cells where there is room", symbol="r_3", source=_FILE + "r_3"
    )
    lymphocyte_growth = parameter(
        0.1, "1/hour", "growth rate of other lymphocytes where there is room", symbol="r_4", source=_FILE + "r_4"
    )
    lymphocyte_capacity = parameter(
        1600.0, "cell/uL", "lymphocytes and leukaemia up to which there is room", symbol="l", source=_FILE + "l",
        limits=(1e-6, 1e30),
    )  # fmt: skip
    lymphocyte_inflow = parameter(
        0.4, "cell/uL/hour", "new lymphocytes from outside", symbol="p_2", source=_FILE + "p_2"
    )
    lymphocyte_loss = parameter(2e-4, "1/hour", "loss of other lymphocytes", symbol="d_5", source=_FILE + "d_5")
    drug_effect = parameter(
        0.0, "1/hour", "inflammation that the drug takes away; no more than is produced", symbol="D",
        source=_FILE + "D, 0 in the published run", limits=(0.0, 200.0),
    )  # fmt: skip
    drug_day = parameter(0.0, "day", "start of the drug", source="assumed: a constant in the source")
    drug_duration = parameter(30.0, "day", "how long the drug is given", source="assumed: a constant in the source")
    cytotoxic_memory_at_start = parameter(10.0, "cell/uL", "cytotoxic memory cells on day 0", source=_START)
    cytotoxic_effector_at_start = parameter(10.0, "cell/uL", "cytotoxic effectors on day 0", source=_START)
    helper_memory_at_start = parameter(10.0, "cell/uL", "helper memory cells on day 0", source=_START)
    helper_effector_at_start = parameter(10.0, "cell/uL", "helper effectors on day 0", source=_START)
    lymphocytes_at_start = parameter(1600.0, "cell/uL", "other lymphocytes on day 0", source=_START)
    inflammation_at_start = parameter(140.0, "1", "inflammation on day 0", source=_START)
    tumour_at_start = parameter(300.0, "cell/uL", "leukaemia on day 0", source=_START)

    cytotoxic_memory = state("cell/uL", "cytotoxic memory CAR T cells", initial=cytotoxic_memory_at_start, symbol="C_m")
    cytotoxic_effector = state(
        "cell/uL", "cytotoxic effector CAR T cells", initial=cytotoxic_effector_at_start, symbol="C_e"
    )
    helper_memory = state("cell/uL", "helper memory CAR T cells", initial=helper_memory_at_start, symbol="H_m")
    helper_effector = state("cell/uL", "helper effector CAR T cells", initial=helper_effector_at_start, symbol="H_e")
    lymphocytes = state("cell/uL", "other lymphocytes", initial=lymphocytes_at_start, symbol="L")
    inflammation = state("1", "inflammation", initial=inflammation_at_start, symbol="I")
    tumour = state("cell/uL", "leukaemic cells", initial=tumour_at_start, symbol="B")

    _car_t = cytotoxic_memory + cytotoxic_effector + helper_memory + helper_effector
    room = maximum(0, 1 - (_car_t + lymphocytes + tumour) / lymphocyte_capacity)
    inflamed = inflammation**2 / (inflammation**2 + half_inflammation**2)
    cytotoxic_activated = (
        cytotoxic_activation * tumour * inflamed * (1 + help_by_effectors * helper_effector) * cytotoxic_memory
    )
    helper_activated = helper_activation * tumour * inflamed * helper_memory
    drug = where(time < drug_day, 0, where(time < drug_day + drug_duration, drug_effect, 0))

    equations = {
        ddt(cytotoxic_memory): cytotoxic_renewal * room * cytotoxic_memory - cytotoxic_activated,
        ddt(cytotoxic_effector): 2**divisions * cytotoxic_activated - cytotoxic_decay * cytotoxic_effector,
        ddt(helper_memory): helper_renewal * room * helper_memory - helper_activated,
        ddt(helper_effector): 2**divisions * helper_activated - helper_decay * helper_effector,
        ddt(lymphocytes): lymphocyte_inflow + lymphocyte_growth * room * lymphocytes - lymphocyte_loss * lymphocytes,
        ddt(inflammation): inflammation_production
        + inflammation_by_contact * tumour * (cytotoxic_effector + helper_effector)
        - inflammation_decay * inflammation - drug,
        ddt(tumour): tumour_growth * tumour * (1 - tumour / tumour_capacity) - kill_rate * tumour * cytotoxic_effector,
    }  # fmt: skip
    outputs = {
        "car_t_blood": _car_t,
        "tumour_blood": tumour,
        "absolute_lymphocyte_count": _car_t + lymphocytes,
        "inflammation_level": output(inflammation, "1", "inflammation in the paper's own unit"),
    }
    claims = [
        "Inflammation and activation of CAR T cells feed each other as long as there is tumour.",
        "Severe toxicity is more likely with a large tumour burden.",
    ]
    errata = [
        "BIOMD0000000837 carries no unit of time: the hour is inferred from the length of its run, 720 for one month. "
        "The drug is a constant there; here it has a start and a length.",
    ]
    limitations = [
        "The paper itself was not read: equations and values are those of BioModels, units of time and cells inferred.",
        "A drug stronger than the production would make inflammation negative: its term is a plain subtraction.",
        "In the published run no lymphocyte finds room, so that memory cells only fall; effectors last ten days.",
        "Normal B cells are part of the other lymphocytes and are not attacked; the tumour is never extinguished.",
        "Inflammation has no unit and is not tied to a cytokine or a grade of toxicity.",
    ]
