"""Signs: what a table asks for, worked out from a chart; pure functions of arrays, one value per patient and time.

Every sign gets no smaller when the patient gets worse in any item. So the lowest and the highest grade that agree with
a chart are those of the mildest and of the worst chart that agree with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from livingdrug.clinic.grading_rules import laboratory
from livingdrug.clinic.observations_items import ITEMS

__all__ = ["FEVER", "Memory", "follow", "pressure_limit", "signs"]

Array = NDArray[np.float64]
Values = Mapping[str, Array]

FEVER = 38.0  # degC; PMC9327779 table 2
ADULT_LIMIT = 90.0  # mmHg; PMC8021214 table 1
LOW_FLOW = 6.0  # L/min; PMC8021214 table 1
HIGH_DOSE, HIGH_DOSE_BESIDE_VASOPRESSIN = 20.0, 10.0  # ug/min as norepinephrine; recalled from Lee 2014
OXYGEN_IN_AIR = 21.0  # percent
CLEAR_DAYS = 1.0  # assumed: 24 hours without any sign end an episode
OF_ORGANS = ("creatinine_grade", "organ_grade", "transaminase_grade", "hyperinflammation")
DEVICES = {word: code for code, word in enumerate(ITEMS["oxygen_device"].words)}
# Grade of the need for oxygen that a device stands for (0: none, 2: low flow, 3: high flow, 4: positive pressure).
DEVICE_LEVELS = np.array([0.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 4.0, 4.1, 4.2])
DEATHS = {word: float(code) for code, word in enumerate(ITEMS["death_cause"].words)}


def pressure_limit(age: Array) -> Array:
    """Return the systolic pressure (mmHg) below which a patient has hypotension.

    Args:
        age: years.

    Source:
        Adults: PMC8021214 table 1. Children from 1 to 10 years 70 + 2 x age: ``mahadeo2019`` table 2. Infants 70:
        recalled (PALS).

    Example:
        >>> pressure_limit(np.array([0.5, 3.0, 10.0, 11.0, 60.0])).tolist()
        [70.0, 76.0, 90.0, 90.0, 90.0]
    """
    return np.where(age < 1, 70.0, np.where(age <= 10, 70.0 + 2.0 * age, ADULT_LIMIT))


def signs(values: Values, baseline: Values, *, organs: bool = True) -> dict[str, Array]:
    """Return all signs of charts without a gap that do not depend on earlier times.

    Args:
        values: item -> values (n,), in the items' units, none missing; "by_capd" is 1 where CAPD stands for ICE.
        baseline: item -> the last value at or before infusion (n,); missing (NaN) where there is none.
        organs: False leaves out the signs of the laboratory (``OF_ORGANS``).

    Returns:
        Sign -> values (n,), and the items that a table asks for by their own name.
    """
    found = dict(values)
    found |= _febrile_signs(values)
    found |= _pressure_signs(values)
    found |= _oxygen_signs(values, baseline)
    found |= _brain_signs(values)
    known_seizures = baseline["seizure_type"] >= 1  # False where nothing was charted before the infusion
    found["new_seizure"] = _as_number((values["seizure_type"] >= 1) & ~known_seizures)
    if organs:
        found |= _organ_signs(values, baseline)
    for name, cause in (("crs", "crs"), ("icans", "icans"), ("iec_hs", "iec_hs")):
        found[f"died_of_{name}"] = _as_number(values["death_cause"] == DEATHS[cause])
    found["died_neurologically"] = _as_number(
        (values["death_cause"] == DEATHS["neurological"]) | (values["death_cause"] == DEATHS["icans"])
    )
    return found


def _as_number(flags: NDArray[np.bool_]) -> Array:
    return flags.astype(float)


def _febrile_signs(values: Values) -> dict[str, Array]:
    counted = values["fever_other_cause"] == 0
    treated = reduce(np.maximum, (values[drug] for drug in ("antipyretic", "tocilizumab", "steroid", "anakinra")))
    return {"fever": _as_number((values["temperature"] >= FEVER) & counted), "treated": _as_number(treated > 0)}


def _pressure_signs(values: Values) -> dict[str, Array]:
    counted = values["hypotension_other_cause"] == 0
    low = values["systolic_pressure"] < pressure_limit(values["age"])
    # Vasopressin beside others is not counted; alone it is one vasopressor.
    pressors = np.where(counted, np.maximum(values["vasopressors"], values["vasopressin"]), 0.0)
    limit = np.where(values["vasopressin"] > 0, HIGH_DOSE_BESIDE_VASOPRESSIN, HIGH_DOSE)
    high = (pressors >= 1) & (values["vasopressor_dose"] >= limit)
    hypotension = counted & (low | (values["fluids_for_pressure"] > 0) | (pressors >= 1))
    return {
        "hypotension": _as_number(hypotension),
        "pressors": pressors,
        "all_pressors": np.where(counted, values["vasopressors"] + values["vasopressin"], 0.0),
        "high_dose_pressor": _as_number(high),
        "refractory_pressure": _as_number(high & low),
    }


def _oxygen_signs(values: Values, baseline: Values) -> dict[str, Array]:
    device, flow = values["oxygen_device"], values["oxygen_flow"]
    now = _support(device, flow)
    before = np.nan_to_num(baseline["oxygen_device"])  # nothing charted before infusion: nothing needed then
    usual = _support(before, np.nan_to_num(baseline["oxygen_flow"]))
    more = (now > usual) | ((now == usual) & (now < 4) & (flow > np.nan_to_num(baseline["oxygen_flow"], nan=np.inf)))
    ventilated = device == DEVICES["ventilator"]
    # Asked of every device, not only of a ventilator: else a ventilator would grade lower than BiPAP.
    counted = (values["hypoxia_other_cause"] == 0) & (values["ventilation_other_cause"] == 0)
    level = np.where(more & counted, now, 0.0)
    percent = np.where(level > 0, values["fio2"], OXYGEN_IN_AIR)
    return {
        "oxygen_level": np.floor(level),
        "oxygen_percent": percent,
        "ventilator": _as_number((level > 0) & ventilated),
    }


def _support(device: Array, flow: Array) -> Array:
    """Return how much support a device and flow are; in it CPAP < BiPAP < ventilator."""
    level = DEVICE_LEVELS[device.astype(np.intp)]
    by_flow = np.where(flow > LOW_FLOW, 3.0, np.where(flow > 0, 2.0, 0.0))
    return np.maximum(level, np.where(device <= DEVICES["nasal_cannula"], by_flow, 0.0))


def _brain_signs(values: Values) -> dict[str, Array]:
    counted = values["neurological_other_cause"] == 0
    child = values["by_capd"] > 0
    swollen = counted & (values["intracranial_haemorrhage"] == 0)
    awake = counted & (values["consciousness_other_cause"] == 0)
    return {
        "ice_score": np.where(counted & ~child, values["ice_score"], ITEMS["ice_score"].mildest),
        "capd_score": np.where(counted & child, values["capd_score"], ITEMS["capd_score"].mildest),
        "consciousness": np.where(awake, values["consciousness"], 0.0),
        "seizure": np.where(counted, values["seizure"], 0.0),
        "motor_weakness": np.where(counted, values["motor_weakness"], 0.0),
        "oedema": np.where(swollen, values["oedema"], 0.0),
        "raised_pressure_signs": np.where(swollen, values["raised_pressure_signs"], 0.0),
        "cartox_score": np.where(counted, values["cartox_score"], ITEMS["cartox_score"].mildest),
        "generalised_seizure": np.where(counted, values["generalised_seizure"], 0.0),
        "papilloedema": np.where(swollen, values["papilloedema"], 0.0),
        "csf_pressure": np.where(swollen, values["csf_pressure"], ITEMS["csf_pressure"].mildest),
    }


def _organ_signs(values: Values, baseline: Values) -> dict[str, Array]:
    limits = laboratory()
    creatinine = _creatinine(values, baseline)
    bilirubin = _grade(values["bilirubin"], _usual("bilirubin", values, baseline), limits["bilirubin"])
    found = {"creatinine_grade": creatinine}
    found["organ_grade"] = reduce(np.maximum, (creatinine, bilirubin, values["organ_toxicity"]))
    found["transaminase_grade"] = np.maximum(_enzyme("ast", values, baseline), _enzyme("alt", values, baseline))
    found["hyperinflammation"] = _hyperinflammation(values, baseline)
    return found


def _creatinine(values: Values, baseline: Values) -> Array:
    """Return the higher of the grades by the upper limit of normal and by the value before the infusion."""
    limits, value = laboratory(), values["creatinine"]
    found = _grade(value, values["creatinine_upper"], limits["creatinine"])
    for grade, step in limits["creatinine_of_baseline"].items():
        found = np.maximum(found, float(grade) * (value > step * baseline["creatinine"]))
    return found


def _grade(value: Array, upper: Array, steps: list[float]) -> Array:
    return np.asarray(sum(_as_number(value > step * upper) for step in steps))


def _usual(name: str, values: Values, baseline: Values) -> Array:
    """Return the patient's reference: the upper limit of normal, or the baseline where that is above it."""
    return np.fmax(values[f"{name}_upper"], baseline[name])


def _enzyme(name: str, values: Values, baseline: Values) -> Array:
    limits = laboratory()
    reference = _usual(name, values, baseline)
    raised = baseline[name] > values[f"{name}_upper"]
    normal = _grade(values[name], reference, limits["transaminase"])
    return np.where(raised, _grade(values[name], reference, limits["transaminase_of_baseline"]), normal)


def _hyperinflammation(values: Values, baseline: Values) -> Array:
    limits = laboratory()
    ferritin = values["ferritin"] > 2.0 * np.fmin(values["ferritin_upper"], baseline["ferritin"])
    liver = [values[name] > 5.0 * _usual(name, values, baseline) for name in ("ast", "alt")]
    neutrophils, platelets = limits["neutrophils_grade_4"], limits["platelets_grade_4"]
    new_neutropenia = (values["anc"] < neutrophils) & ~(baseline["anc"] < neutrophils)
    new_thrombocytopenia = (values["platelets"] < platelets) & ~(baseline["platelets"] < platelets)
    features = [*liver, values["fibrinogen"] < 150.0, values["haemophagocytosis"] > 0]
    features += [new_neutropenia, new_thrombocytopenia]
    return _as_number(ferritin & reduce(np.logical_or, features))


@dataclass(frozen=True)
class Memory:
    """What the grading of a time must remember of earlier ones, one value per patient.

    Attributes:
        begun: a CRS episode has begun and has not ended.
        masked: since then a drug that hides fever was given.
        clear_since: since when (days) there has been no sign; infinite while there is one.
        pressor_since: since when (days) a vasopressor runs; infinite while none does.
        high_since: since when (days) its dose is high; infinite while it is not.
        seen: the time before (days).
        earliest: a high dose may have begun right after the time before, not only when it was first charted.
    """

    begun: NDArray[np.bool_]
    masked: NDArray[np.bool_]
    clear_since: Array
    pressor_since: Array
    high_since: Array
    seen: Array
    earliest: bool = False

    @classmethod
    def fresh(cls, count: int, *, earliest: bool = False) -> Memory:
        """Return the memory of so many patients before their first time."""
        none, never = np.zeros(count, bool), np.full(count, np.inf)
        return cls(none, none, never, never, never, -never, earliest)

    def first(self, count: int) -> Memory:
        """Return the memory of the first ``count`` patients."""
        return Memory(
            self.begun[:count], self.masked[:count], self.clear_since[:count], self.pressor_since[:count],
            self.high_since[:count], self.seen[:count], self.earliest,
        )  # fmt: skip


def follow(memory: Memory, found: Values, time: Array) -> tuple[Memory, dict[str, Array]]:
    """Return the memory after one more time, and the signs that hang on the course.

    CRS begins with a fever. From then on, fever or a drug that may hide it (given at or after the beginning) is enough
    for low pressure and lack of oxygen to count. An episode ends after 24 hours without a sign (assumed); the next one
    begins with a fever again.

    Args:
        memory: of the times before.
        found: what ``signs`` returned for this time.
        time: days since infusion (n,).

    Source:
        PMC8021214 table 1, note; PMC9327779 table 2. The 24 hours are assumed.
    """
    fever, ill = found["fever"] > 0, (found["hypotension"] > 0) | (found["oxygen_level"] > 0)
    ended = time - memory.clear_since >= CLEAR_DAYS
    begun = (memory.begun & ~ended) | fever
    masked = begun & ((memory.masked & ~ended) | (found["treated"] > 0))
    febrile = begun & (fever | masked)
    sign = fever | (ill & febrile)
    clear_since = np.where(sign, np.inf, np.minimum(np.where(ended, np.inf, memory.clear_since), time))
    running = found["pressors"] >= 1
    pressor_since = np.where(running, np.minimum(memory.pressor_since, time), np.inf)
    high = found["high_dose_pressor"] > 0
    high_since = np.where(high, np.minimum(memory.high_since, memory.seen if memory.earliest else time), np.inf)
    after = Memory(begun, masked, clear_since, pressor_since, high_since, time, memory.earliest)
    days = np.where(running, time - pressor_since, 0.0)
    hours = np.where(high, 24.0 * (time - high_since), 0.0)
    return after, {"febrile": _as_number(febrile), "pressor_days": days, "high_dose_hours": hours}
