"""Frey et al. 2010: population pharmacokinetics of tocilizumab, given here as it is for cytokine release."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.model import Model, ddt, infusion, lognormal, minimum, parameter, state, where
from livingdrug.streams import normal

_TABLE = "nlmixr2lib: Frey_2010_tocilizumab, table 2"
_COVARIATE = "nlmixr2lib: Frey_2010_tocilizumab, tables 2 and 3"
_REFERENCE = "nlmixr2lib: Frey_2010_tocilizumab, table 3, reference patient"
_LABEL = "kymriah2025: table 1"

# Coefficients of variation between patients as printed in Table II.
PRINTED_CV = {"clearance": 0.39, "central_volume": 0.37, "peripheral_volume": 0.66, "saturable_maximum": 0.54}
_SPREAD = {name: lognormal(sqrt(log(1 + cv**2))) for name, cv in PRINTED_CV.items()}

# Correlations of the four, in the order of PRINTED_CV, as printed in Table II.
CORRELATIONS = (
    (1.0, 0.6, -0.1, -0.5),
    (0.6, 1.0, 0.5, 0.2),
    (-0.1, 0.5, 1.0, 0.2),
    (-0.5, 0.2, 0.2, 1.0),
)


def draw_patients(patient_ids: ArrayLike, *, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Draw the four parameters that differ between patients, with their correlations (Table II of the paper).

    Args:
        patient_ids: whole numbers, shape (patient,).
        seed: of the random streams; a patient's values depend on the seed and the identifier only.

    Returns:
        For each parameter its values in the declared unit, shape (patient,).

    Raises:
        InputError: if an identifier or the seed is not a whole number in its range.

    Example:
        >>> sorted(draw_patients([1, 2, 3]))
        ['central_volume', 'clearance', 'peripheral_volume', 'saturable_maximum']
    """
    z = normal(seed, patient_ids, "frey2010", len(PRINTED_CV)) @ np.linalg.cholesky(CORRELATIONS).T
    return {
        name: np.asarray(_SPREAD[name].apply(Frey2010.parameters[name].value, z[:, k]))
        for k, name in enumerate(PRINTED_CV)
    }


class Frey2010(Model):
    """Tocilizumab in serum: two compartments, cleared in proportion and by a path that saturates.

    A population model of 1793 adults with rheumatoid arthritis (four phase III studies, 7415 concentrations). The
    default values are those of the paper's reference patient, a man who does not smoke; the covariates change
    clearance, central volume and the saturable path. One infusion is given on `day_of_dose`, by default as for
    cytokine release syndrome after CAR T cells: 8 mg/kg, or 12 mg/kg below 30 kg, at most 800 mg, over an hour. More
    doses go into the state `central`.
    """

    source = "frey2010"
    diseases, system = "rheumatoid arthritis", "human"
    follow_up = 168

    clearance = parameter(
        0.3, "L/day", "linear clearance", symbol="CL", source=_TABLE, spread=_SPREAD["clearance"]
    )  # fmt: skip
    central_volume = parameter(
        3.5, "L", "central volume", symbol="V_1", source=_TABLE, spread=_SPREAD["central_volume"],
        limits=(1e-6, float("inf")),
    )  # fmt: skip
    exchange = parameter(0.2, "L/day", "clearance between the compartments", symbol="Q", source=_TABLE)
    peripheral_volume = parameter(
        2.9, "L", "peripheral volume", symbol="V_2", source=_TABLE, spread=_SPREAD["peripheral_volume"],
        limits=(1e-6, float("inf")),
    )  # fmt: skip
    saturable_maximum = parameter(
        7.5, "mg/day", "largest elimination by the saturable path", symbol="V_M", source=_TABLE,
        spread=_SPREAD["saturable_maximum"],
    )  # fmt: skip
    half_saturation = parameter(
        2.7, "ug/mL", "concentration at which the saturable path works at half its largest rate", symbol="K_M",
        source=_TABLE, limits=(1e-9, float("inf")),
    )  # fmt: skip

    body_surface = parameter(
        1.8, "m**2", "body surface area", symbol="BSA", source=_REFERENCE, limits=(0.1, 5.0)
    )  # fmt: skip
    female = parameter(0.0, "1", "1 for a woman, 0 for a man", symbol="SEX", source=_REFERENCE, limits=(0.0, 1.0))
    hdl_cholesterol = parameter(
        54.0, "mg/dL", "HDL cholesterol in serum", symbol="HDL", source=_REFERENCE, limits=(1.0, 1000.0)
    )
    log_rheumatoid_factor = parameter(
        4.7, "1", "natural logarithm of the rheumatoid factor in U/mL (4.7 is 110 U/mL)", symbol="LRF",
        source=_REFERENCE, limits=(0.1, 20.0),
    )  # fmt: skip
    serum_protein = parameter(
        74.0, "g/L", "protein in serum", symbol="PROT", source=_REFERENCE, limits=(5.0, 500.0)
    )  # fmt: skip
    albumin = parameter(38.0, "g/L", "albumin in serum", symbol="ALB", source=_REFERENCE, limits=(1.0, 500.0))
    creatinine_clearance = parameter(
        106.0, "mL/min", "creatinine clearance, not scaled to body surface", symbol="CRCL", source=_REFERENCE,
        limits=(0.1, 5000.0),
    )  # fmt: skip
    smoker = parameter(0.0, "1", "1 for a smoker, 0 for none", symbol="SMK", source=_REFERENCE, limits=(0.0, 1.0))

    reference_surface = parameter(
        1.8, "m**2", "body surface of the reference patient", source=_REFERENCE, limits=(0.1, 5.0)
    )
    reference_hdl = parameter(
        54.0, "mg/dL", "HDL cholesterol of the reference patient", source=_REFERENCE, limits=(1.0, 1000.0)
    )
    reference_factor = parameter(
        4.7, "1", "logarithm of the rheumatoid factor of the reference patient", source=_REFERENCE, limits=(0.1, 20.0)
    )
    reference_protein = parameter(
        74.0, "g/L", "serum protein of the reference patient", source=_REFERENCE, limits=(5.0, 500.0)
    )
    reference_albumin = parameter(
        38.0, "g/L", "albumin of the reference patient", source=_REFERENCE, limits=(1.0, 500.0)
    )
    reference_creatinine = parameter(
        106.0, "mL/min", "creatinine clearance of the reference patient", source=_REFERENCE, limits=(0.1, 5000.0)
    )

    _any = (-10.0, 10.0)
    surface_on_clearance = parameter(
        0.7, "1", "exponent of body surface on clearance", symbol="theta_BSA", source=_COVARIATE, limits=_any
    )
    female_on_clearance = parameter(
        -0.16, "1", "change of clearance in women", symbol="theta_SEX", source=_COVARIATE, limits=(-1.0, 10.0)
    )
    hdl_on_clearance = parameter(
        -0.2, "1", "exponent of HDL cholesterol on clearance", symbol="theta_HDL", source=_COVARIATE, limits=_any
    )
    factor_on_clearance = parameter(
        0.1, "1", "exponent of the logarithm of the rheumatoid factor on clearance", symbol="theta_LRF",
        source=_COVARIATE, limits=_any,
    )  # fmt: skip
    protein_on_volume = parameter(
        -1.1, "1", "exponent of serum protein on the central volume", symbol="theta_PROT", source=_COVARIATE,
        limits=_any,
    )  # fmt: skip
    albumin_on_volume = parameter(
        0.7, "1", "exponent of albumin on the central volume", symbol="theta_ALB", source=_COVARIATE, limits=_any
    )
    albumin_on_maximum = parameter(
        -0.4, "1", "exponent of albumin on the saturable path", symbol="phi_ALB", source=_COVARIATE, limits=_any
    )
    creatinine_on_maximum = parameter(
        0.2, "1", "exponent of creatinine clearance on the saturable path", symbol="phi_CRCL", source=_COVARIATE,
        limits=_any,
    )  # fmt: skip
    smoking_on_maximum = parameter(
        0.11, "1", "change of the saturable path in smokers", symbol="phi_SMK", source=_COVARIATE, limits=(-1.0, 10.0)
    )

    body_weight = parameter(
        70.0, "kg", "body weight", symbol="WT", source="nlmixr2lib: Frey_2010_tocilizumab, median of the patients",
        limits=(0.5, 500.0),
    )  # fmt: skip
    dose_per_weight = parameter(
        8.0, "mg/kg", "dose per body weight (the paper's studies gave 4 or 8)", source=_LABEL, limits=(0.0, 1000.0)
    )
    dose_per_light_weight = parameter(
        12.0, "mg/kg", "dose per body weight in light patients", source=_LABEL, limits=(0.0, 1000.0)
    )
    light_weight = parameter(30.0, "kg", "weight below which a patient is light", source=_LABEL)
    largest_dose = parameter(800.0, "mg", "largest single dose", source=_LABEL)
    day_of_dose = parameter(0.0, "day", "day on which the infusion starts", source="assumed: day 0 is the infusion")
    infusion_duration = parameter(
        1.0, "hour", "length of the infusion", source=_LABEL + "; the same in the paper's studies",
        limits=(1e-3, 1e4),
    )  # fmt: skip

    central = state("mg", "tocilizumab in the central compartment", symbol="A_1", floor=1e-3)
    peripheral = state("mg", "tocilizumab in the peripheral compartment", symbol="A_2", floor=1e-3)

    clearance_now = (
        clearance
        * (body_surface / reference_surface) ** surface_on_clearance
        * (1 + female_on_clearance * female)
        * (hdl_cholesterol / reference_hdl) ** hdl_on_clearance
        * (log_rheumatoid_factor / reference_factor) ** factor_on_clearance
    )
    volume_now = (
        central_volume
        * (serum_protein / reference_protein) ** protein_on_volume
        * (albumin / reference_albumin) ** albumin_on_volume
    )
    maximum_now = (
        saturable_maximum
        * (albumin / reference_albumin) ** albumin_on_maximum
        * (creatinine_clearance / reference_creatinine) ** creatinine_on_maximum
        * (1 + smoking_on_maximum * smoker)
    )
    concentration = central / volume_now
    saturable_rate = maximum_now * concentration / (half_saturation + concentration)
    flow = exchange * (concentration - peripheral / peripheral_volume)
    dose = minimum(
        body_weight * where(body_weight < light_weight, dose_per_light_weight, dose_per_weight), largest_dose
    )

    equations = {
        ddt(central): -clearance_now * concentration - saturable_rate - flow,
        ddt(peripheral): flow,
    }
    events = [infusion(central, dose, at=day_of_dose, duration=infusion_duration)]
    outputs = {"tocilizumab": concentration}
    parameter_sets = {
        "cytokine_release": {"dose_per_weight": 8.0, "dose_per_light_weight": 12.0},
        "arthritis_4_mg_per_kg": {"dose_per_weight": 4.0, "dose_per_light_weight": 4.0},
        "arthritis_8_mg_per_kg": {"dose_per_weight": 8.0, "dose_per_light_weight": 8.0},
    }
    claims = [
        "At high concentrations the half-life is about 21 days; at low ones the saturable path clears the drug faster.",
        "Clearance rises with body surface and is 16 per cent lower in women; smoking raises the saturable path by 11 "
        "per cent.",
        "In steady state on 4 mg/kg every four weeks the mean area under the curve is 13e3 h ug/mL, the peak 88 and "
        "the trough 1.5 ug/mL; on 8 mg/kg 35e3 h ug/mL, 183 and 9.7 ug/mL.",
    ]
    errata = [
        "Table II swaps the symbols of the two residual errors; the labels and units of the rows (additive 2.4 ug/mL, "
        "proportional 22 %) are unambiguous.",
        "Figure 1 labels the largest saturable rate with mg/h; the table and the text say 7.5 mg/day, used here.",
    ]
    limitations = [
        "Fitted to adults with rheumatoid arthritis. That the same kinetics hold in cytokine release syndrome, in "
        "children and in people without arthritis is an extrapolation: there is more IL-6 receptor to bind then.",
        "The printed coefficients of variation are read as those of log-normal values (variance of the logarithm "
        "ln(1 + CV**2)), as in the transcription; if they are standard deviations of the logarithm, the spread is 3 to "
        "10 per cent larger.",
        "The four random effects are correlated. Spreads that are drawn one by one miss this; draw_patients() keeps "
        "it.",
        "The residual error (22 per cent and 2.4 ug/mL) is not part of the model: concentrations are those before "
        "measurement.",
        "The rheumatoid factor enters as the ratio of logarithms, which is defined above 1 U/mL only.",
        "The concentration is that in serum; binding to the receptor is hidden in the saturable path, so neither IL-6 "
        "nor its receptor is followed.",
        "One infusion is part of the model; repeats (every 8 hours, or every 4 weeks) are given as doses into central.",
    ]
