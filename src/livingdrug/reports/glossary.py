"""The words of the report, said plainly for readers who are no doctors."""

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("ALC", "Absolute lymphocyte count: how many lymphocytes there are in a microlitre of blood."),
    (
        "Axi-cel",
        "Axicabtagene ciloleucel, a CAR-T therapy made from the patient's own T cells for certain lymphomas.",
    ),
    (
        "Band",
        "The coloured area around a curve. It holds a stated share of the patients, or of trials of a stated size.",
    ),
    (
        "CAR-T cell",
        "A T cell that was given a chimeric antigen receptor: a sensor by which it finds and kills cancer cells.",
    ),
    ("Conditioning", "Chemotherapy in the days before the infusion that makes room for the CAR-T cells."),
    ("Cure", "In this model: not one tumour cell is left. In the clinic: the cancer is gone and does not return."),
    ("Enrolled, infused", "Patients who entered the trial, and those of them who received the cells."),
    ("Lymphocyte", "A kind of white blood cell; T cells are lymphocytes."),
    ("Median", "The middle value: half of the patients lie above it, half below."),
    ("Patients at risk", "Those who are still followed on that day and whose cancer has not progressed."),
    (
        "Progression",
        "The tumour has grown again beyond a stated size, here as the trial's definition gives it.",
    ),
    ("Progression-free survival (PFS)", "The share of patients who are alive and whose cancer has not progressed."),
    ("Quartiles", "The two values between which the middle half of the patients lies."),
    ("Seed", "The number from which all chance in the simulation follows. The same seed gives the same result."),
    ("µL", "Microlitre, a millionth of a litre: a small drop of blood holds about fifty."),
)
