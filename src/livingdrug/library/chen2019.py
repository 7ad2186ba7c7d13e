"""Chen et al. 2019: cytokine release after a T-cell engager, with tolerance and priming by the doses before."""

from __future__ import annotations

from livingdrug.model import Model, bolus, ddt, output, parameter, reset, state

_FILE = "pkpdcoder2021: Chen (2018) CD3-bispecific repeat dosing model.txt"
_PAPER = _FILE + ", marked there as given in the paper"
_CHOSEN = _FILE + ", not marked as given in the paper"


class Chen2019(Model):
    """A T-cell engager links T cells to tumour cells; the cytokine they release weakens its own further release.

    The drug leaves the blood at a constant rate. Synapses are the product of drug and tumour cells; they set the
    release of the cytokine, which is damped by the exposure to the cytokine so far (tolerance). Each further dose
    makes the damping act at a lower exposure (priming), so that a small first dose protects from a large second one.
    Day 0 is the first dose. The feedback, not the drug, is what carries over to CAR T cells.
    """

    source = "chen2019"
    diseases, system = "haematological cancer", "human"
    follow_up = 14

    largest_release = parameter(
        3590, "pg/mL/hour", "release of the cytokine with many synapses", symbol="E_max", source=_PAPER
    )
    half_release_synapses = parameter(
        10.0, "ug*cell/mL/uL", "drug times tumour cells at which the release is half", symbol="EC_50", source=_PAPER,
        limits=(1e-9, float("inf")),
    )  # fmt: skip
    largest_inhibition = parameter(
        1.0, "1", "share of the release that tolerance can stop", symbol="I_max", source=_PAPER, limits=(0.0, 1.0)
    )
    half_inhibition_exposure = parameter(
        182.0, "pg*hour/mL", "exposure at which tolerance is half, at the first dose", symbol="IC_50", source=_PAPER,
        limits=(1e-9, float("inf")),
    )  # fmt: skip
    priming = parameter(
        2.83, "1", "factor by which each further dose lowers that exposure", symbol="K", source=_PAPER,
        limits=(1e-3, float("inf")),
    )  # fmt: skip
    cytokine_clearance = parameter(
        0.18, "1/hour", "rate at which the cytokine is cleared", symbol="deg", source=_PAPER
    )  # fmt: skip
    cytokine_baseline = parameter(0.0, "pg/mL", "cytokine without drug", symbol="BL", source=_PAPER)
    drug_clearance = parameter(12.5, "mL/hour", "clearance of the drug", symbol="CL", source=_CHOSEN)
    drug_volume = parameter(
        3100.0, "mL", "volume of distribution of the drug", symbol="V", source=_CHOSEN, limits=(1e-6, float("inf"))
    )
    tumour_cells = parameter(
        10.0, "cell/uL", "tumour cells in blood, constant", symbol="T", source=_CHOSEN
    )  # fmt: skip
    dose_number = parameter(
        1.0, "1", "number of the latest dose; the second dose sets it to 2", symbol="n", source=_FILE,
        limits=(1.0, 100.0),
    )  # fmt: skip
    first_dose = parameter(60.0, "ug", "first dose", symbol="dose_1", source=_CHOSEN)
    second_dose = parameter(300.0, "ug", "second dose", symbol="dose_2", source=_CHOSEN)
    first_day = parameter(0.0, "day", "day of the first dose", symbol="t_1", source=_CHOSEN)
    second_day = parameter(7.0, "day", "day of the second dose", symbol="t_2", source=_CHOSEN)

    drug = state("ug", "T-cell engager in the body", symbol="A_drug", floor=1e-4)
    cytokine = state("pg/mL", "cytokine in plasma", initial=cytokine_baseline, symbol="C", floor=1e-3)
    exposure = state("pg*hour/mL", "exposure to the cytokine so far", symbol="A", floor=1e-3)

    concentration = drug / drug_volume
    synapses = concentration * tumour_cells
    half_exposure_now = half_inhibition_exposure / priming ** (dose_number - 1)
    release_left = 1 - largest_inhibition * exposure / (half_exposure_now + exposure)
    release = largest_release * synapses / (half_release_synapses + synapses) * release_left

    equations = {
        ddt(drug): -drug_clearance * concentration,
        ddt(cytokine): release - cytokine_clearance * (cytokine - cytokine_baseline),
        ddt(exposure): cytokine,
    }
    events = [
        bolus(drug, first_dose, at=first_day),
        bolus(drug, second_dose, at=second_day),
        reset(dose_number, 2, at=second_day),
    ]
    outputs = {
        "il6": cytokine,
        "t_cell_engager": output(concentration, "ug/mL", "T-cell engager in plasma"),
        "cytokine_exposure": output(exposure, "pg*hour/mL", "area under the curve of the cytokine so far"),
        "release_left": output(release_left, "1", "share of the cytokine release that tolerance leaves"),
    }
    parameter_sets = {
        "primed": {"first_dose": 60.0, "second_dose": 300.0},
        "unprimed": {"first_dose": 300.0, "second_dose": 0.0},
        "same_dose_twice": {"first_dose": 300.0, "second_dose": 300.0},
    }
    claims = [
        "A lower first dose followed by a higher one (priming) releases less cytokine than the higher dose at once.",
        "The release weakens with each dose, because the exposure to the cytokine so far inhibits it at ever lower "
        "values.",
    ]
    errata = [
        "The transcription writes each dose as a train of pulses less the same train one day later. In the language of "
        "that file a pulse acts in one step, so that this leaves a single bolus per dose; it is no infusion of 24 "
        "hours, as which it may be read. For an infusion set both doses to 0 and give doses with a duration.",
        "In the transcription the cytokine is commented as ug/mL; its rates are in pg/mL, used here.",
    ]
    limitations = [
        "The equations and the values were read in a third party's transcription; of the paper only the abstract was "
        "read, and none of its figures is reproduced.",
        "The drug's clearance, volume, doses and the number of tumour cells are not marked there as the paper's: they "
        "make an example, not a drug.",
        "The transcription speaks of IL-6; that the paper's cytokine is IL-6 could not be confirmed.",
        "Tolerance never fades: exposure only grows, however long ago it was.",
        "Tumour cells are constant and T cells are not in the model.",
        "The number of the dose is set by the model's second dose only; a third dose needs a change of dose_number to "
        "3 on its day.",
    ]
