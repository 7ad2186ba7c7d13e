"""The items of a chart: what each one means, its unit, which values are possible, and which way is worse.

Example:
    >>> ITEMS["temperature"].unit, ITEMS["temperature"].least, ITEMS["temperature"].most
    ('degC', 30, 45)
    >>> ITEMS["oxygen_device"].words[:3]
    ('room_air', 'blow_by', 'nasal_cannula')
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from livingdrug.errors import InputError, unknown_name

__all__ = ["ICE_PARTS", "INFUSION", "ITEMS", "Item", "item"]

INFUSION = "infusion"
"""A row with this item says when the cells were given; it is not an observation."""

HOURS = 1 / 24
ALWAYS = math.inf


@dataclass(frozen=True)
class Item:
    """One thing that a chart can hold.

    Args:
        name: how it is called in every table.
        meaning: one line for people.
        unit: the unit in which it is kept; words and yes/no have "1".
        least: smallest possible value; below it the entry is a mistake.
        most: largest possible value.
        worse: the side on which the patient is worse off; "" where neither is.
        words: for items that are words: the words, from well to worst; the value is the word's number.
        hold: for how many days a charted value stands for later times.
        absent: the value meant when the item is never charted; None where that would hide something.
        constant: belongs to the patient: holds at all times, also before it was charted.
        event: given at a moment (a drug): where a patient's chart has such rows at all, other times mean "not given".
        whole: only whole numbers are possible (points of a score, how many drugs).
    """

    name: str
    meaning: str
    unit: str
    least: float
    most: float
    worse: Literal["high", "low", ""] = "high"
    words: tuple[str, ...] = ()
    hold: float = 1.0
    absent: float | None = None
    constant: bool = False
    event: bool = False
    whole: bool = False

    @property
    def mildest(self) -> float:
        """The possible value with which the patient is best off."""
        return self.most if self.worse == "low" else self.least

    @property
    def worst(self) -> float:
        """The possible value with which the patient is worst off."""
        return self.least if self.worse == "low" else self.most

    def show(self, value: float) -> str:
        """Return a value as a chart would show it, such as ``39.1 degC`` or ``nasal_cannula``."""
        if self.words:
            return self.words[round(value)]
        return f"{value:.6g}" + (f" {self.unit}" if self.unit != "1" else "")


YES_NO = ("no", "yes")
HARM = ("none", "mild", "moderate", "severe", "life_threatening")


def _number(name: str, meaning: str, unit: str, least: float, most: float, worse: str, hold: float) -> Item:
    return Item(name, meaning, unit, least, most, worse, hold=hold)  # type: ignore[arg-type]


def _points(name: str, meaning: str, most: float, worse: str = "high", hold: float = 1.0) -> Item:
    return Item(name, meaning, "1", 0, most, worse, hold=hold, whole=True)  # type: ignore[arg-type]


def _words(name: str, meaning: str, words: tuple[str, ...], hold: float = 1.0, absent: float | None = None) -> Item:
    return Item(name, meaning, "1", 0.0, len(words) - 1.0, "high", words, hold, absent)


def _flag(name: str, meaning: str, hold: float = 1.0) -> Item:
    return _words(name, meaning, YES_NO, hold)


def _sign(name: str, meaning: str) -> Item:
    """A finding that stands in a chart only when it is there: never charted means no."""
    return _words(name, meaning, YES_NO, 1.0, absent=0.0)


def _cause(name: str, meaning: str) -> Item:
    """A sign has the cells as its cause unless the chart says otherwise, so "no" is the worse answer."""
    return Item(name, meaning, "1", 0.0, 1.0, "low", YES_NO, 1.0, absent=0.0)


def _drug(name: str, meaning: str) -> Item:
    return Item(name, meaning, "1", 0.0, 1.0, "high", YES_NO, ALWAYS, event=True)


def _limit(name: str, meaning: str, unit: str, usual: float) -> Item:
    return Item(name, meaning, unit, usual / 20, usual * 20, "low", hold=ALWAYS, absent=usual, constant=True)


VITAL, LABORATORY = 12 * HOURS, 2.0

_VITAL_SIGNS = (
    _number("temperature", "body temperature", "degC", 30, 45, "high", VITAL),
    _number("systolic_pressure", "systolic blood pressure", "mmHg", 20, 300, "low", VITAL),
    _number("heart_rate", "heart rate", "1/min", 10, 300, "high", VITAL),
    _number("spo2", "oxygen saturation by pulse oximetry", "percent", 30, 100, "low", VITAL),
    _words(
        "oxygen_device",
        "how oxygen is given",
        (
            "room_air", "blow_by", "nasal_cannula", "mask", "venturi", "non_rebreather", "high_flow", "cpap", "bipap",
            "ventilator",
        ),
    ),
    _number("oxygen_flow", "flow of oxygen", "L/min", 0, 100, "high", 1.0),
    _number("fio2", "fraction of oxygen in what is breathed in", "percent", 21, 100, "high", 1.0),
    _points("vasopressors", "how many vasopressors run, vasopressin not counted", 6),
    _sign("vasopressin", "vasopressin runs"),
    _number("vasopressor_dose", "dose of all vasopressors as norepinephrine", "ug/min", 0, 500, "high", 1.0),
    _sign("fluids_for_pressure", "fluids were given because the pressure was low"),
)  # fmt: skip

_BRAIN = (
    _points("ice_score", "ICE score of an adult's thinking (10 is normal)", 10, "low"),
    _points("ice_orientation", "ICE: knows the year, month, city, hospital", 4, "low"),
    _points("ice_naming", "ICE: names three things that are shown", 3, "low"),
    _points("ice_command", "ICE: follows a simple command", 1, "low"),
    _points("ice_writing", "ICE: writes a plain sentence", 1, "low"),
    _points("ice_attention", "ICE: counts back from 100 by ten", 1, "low"),
    _points("capd_score", "Cornell assessment of delirium in a child (0 is normal)", 32),
    _words("consciousness", "what wakes the patient", ("alert", "voice", "tactile", "unarousable")),
    _words("seizure", "seizure", ("none", "brief_resolving", "prolonged")),
    _flag("motor_weakness", "deep weakness of one side or of both legs"),
    _words("oedema", "swelling of the brain on images", ("none", "focal", "diffuse")),
    _sign("raised_pressure_signs", "posturing, sixth-nerve palsy, papilloedema or Cushing's triad"),
    _points("cartox_score", "CARTOX-10 score of an adult's thinking (10 is normal)", 10, "low"),
    _words(
        "papilloedema",
        "swelling of the optic disc, by stage",
        ("none", "stage_1", "stage_2", "stage_3", "stage_4", "stage_5"),
        absent=0.0,
    ),
    Item("csf_pressure", "opening pressure of the cerebrospinal fluid", "mmHg", 0, 100, "high", hold=1.0, absent=10.0),
    _sign("generalised_seizure", "a generalised (convulsive) seizure"),
    _words("encephalopathy", "CTCAE encephalopathy", HARM),
    _words("confusion", "CTCAE confusion", HARM),
    _words("dysphasia", "CTCAE dysphasia (aphasia)", HARM[:4]),
    _words(
        "seizure_type", "CTCAE seizure", ("none", "brief_partial", "brief_generalised", "multiple", "life_threatening")
    ),
    _words("somnolence", "CTCAE somnolence", HARM),
    _words("tremor", "CTCAE tremor", HARM[:4]),
    _words("headache", "CTCAE headache", HARM[:4]),
    _words("dizziness", "CTCAE dizziness", HARM[:4]),
    _words("ataxia", "CTCAE ataxia", HARM[:4]),
    _words("dysarthria", "CTCAE dysarthria", HARM[:4]),
    _words("memory_impairment", "CTCAE memory impairment", HARM[:4]),
    _words("delirium", "CTCAE delirium", HARM),
    _words("hallucinations", "CTCAE hallucinations", HARM),
    _words("agitation", "CTCAE agitation", HARM),
)

_LABORATORY = (
    _number("crp", "C-reactive protein", "mg/L", 0, 1000, "high", LABORATORY),
    _number("ferritin", "ferritin", "ug/L", 0, 1e6, "high", LABORATORY),
    _number("ldh", "lactate dehydrogenase", "U/L", 0, 5e4, "high", LABORATORY),
    _number("creatinine", "creatinine", "mg/dL", 0.05, 30, "high", LABORATORY),
    _number("ast", "aspartate aminotransferase", "U/L", 0, 5e4, "high", LABORATORY),
    _number("alt", "alanine aminotransferase", "U/L", 0, 5e4, "high", LABORATORY),
    _number("bilirubin", "total bilirubin", "mg/dL", 0, 80, "high", LABORATORY),
    _number("fibrinogen", "fibrinogen", "mg/dL", 0, 2000, "low", LABORATORY),
    _number("triglycerides", "triglycerides, fasting", "mg/dL", 5, 10000, "high", LABORATORY),
    _number("anc", "neutrophils", "cell/uL", 0, 2e5, "low", LABORATORY),
    _number("platelets", "platelets", "1e9/L", 0, 3000, "low", LABORATORY),
    _number("haemoglobin", "haemoglobin", "g/dL", 1, 25, "low", LABORATORY),
    _number("il6", "interleukin 6", "pg/mL", 0, 1e7, "high", LABORATORY),
    _flag("haemophagocytosis", "macrophages eat blood cells in marrow or tissue", ALWAYS),
)

_COURSE = (
    _flag("constitutional_symptoms", "nausea, fatigue, headache, muscle pain, malaise"),
    _points("organ_toxicity", "highest CTCAE grade of other organs, as judged by a doctor", 4, hold=2.0),
    _sign("intravenous_therapy", "needs intravenous therapy or parenteral nutrition because of the reaction"),
    _sign("febrile_neutropenia", "fever with few neutrophils"),
    _sign("hospitalised_for_crs", "in hospital because of the reaction or what it left behind"),
    _sign("coagulation_products", "plasma, cryoprecipitate or fibrinogen for coagulopathy"),
    _sign("therapy_interrupted", "infusion stopped, or symptomatic treatment or prophylaxis of at most 24 hours"),
    _sign("prolonged_reaction", "does not answer quickly, or comes back after improving"),
    _words(
        "hyperinflammation_care",
        "what the hyperinflammation needs",
        ("observation", "intervention", "hospital_care", "life_saving"),
    ),
    Item(
        "death_cause",
        "cause of death",
        "1",
        0,
        6,
        "",  # no cause is worse than another
        ("none", "other", "crs", "icans", "iec_hs", "neurological", "haematotoxicity"),
        ALWAYS,
        absent=0.0,
    ),
)

_TREATMENTS = (
    _drug("antipyretic", "a drug against fever was given"),
    _drug("tocilizumab", "tocilizumab was given"),
    _drug("steroid", "a corticosteroid was given"),
    _drug("anakinra", "anakinra was given"),
    _drug("g_csf", "granulocyte colony-stimulating factor was given"),
    _drug("platelet_transfusion", "platelets were transfused"),
)

_OTHER_CAUSES = (
    _cause("fever_other_cause", "the fever has another cause than the cells"),
    _cause("hypotension_other_cause", "the low pressure has another cause"),
    _cause("hypoxia_other_cause", "the need for oxygen has another cause"),
    _cause(
        "ventilation_other_cause",
        "ventilated for another reason, e.g. to protect the airway: its oxygen is not counted",
    ),
    _cause("consciousness_other_cause", "sedated, or asleep for another reason"),
    _cause("neurological_other_cause", "all neurological signs have another cause"),
    _cause("intracranial_haemorrhage", "bleeding inside the skull, which ASTCT does not count"),
)

_PATIENT = (
    Item("age", "age", "year", 0, 120, "", hold=ALWAYS, absent=18.0, constant=True),
    Item("weight", "body weight", "kg", 0.5, 400, "", hold=ALWAYS, constant=True),
    _limit("creatinine_upper", "upper limit of normal creatinine", "mg/dL", 1.2),
    _limit("ast_upper", "upper limit of normal AST", "U/L", 40.0),
    _limit("alt_upper", "upper limit of normal ALT", "U/L", 40.0),
    _limit("bilirubin_upper", "upper limit of normal bilirubin", "mg/dL", 1.2),
    _limit("ferritin_upper", "upper limit of normal ferritin", "ug/L", 336.0),
)

ITEMS: dict[str, Item] = {
    one.name: one
    for group in (_VITAL_SIGNS, _BRAIN, _LABORATORY, _COURSE, _TREATMENTS, _OTHER_CAUSES, _PATIENT)
    for one in group
}
"""Name -> item. Limits of normal and the age of an adult are assumed where a chart has none; every output says so."""

ICE_PARTS = ("ice_orientation", "ice_naming", "ice_command", "ice_writing", "ice_attention")
"""What an ICE score adds up (ASTCT 2019, table of the ICE tool)."""


def item(name: str) -> Item:
    """Return an item; an unknown name is an InputError with the nearest ones."""
    if name not in ITEMS:
        raise InputError(unknown_name("item of a chart", name, ITEMS))
    return ITEMS[name]
