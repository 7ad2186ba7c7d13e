"""Vital signs and laboratory values: what a ward would measure in the body at a round, with noise.

The physiology (deterministic) and the measurement (noise) are apart: :func:`bedside` gives what one would measure
without noise and without help, and :class:`Ward` adds how patients differ, the luck of the hour, and the support that
low pressure or lack of oxygen would need. All numbers on this page are assumed unless a line says otherwise: they put
fever before low pressure and the brain after both, and are not calibrated to trials.

Example:
    >>> rest = dict(AT_REST)
    >>> ill = {**rest, "il6": 900.0, "il6_acting": 900.0, "endothelium": 2.6, "macrophages": 0.4}
    >>> float(bedside(rest)["temperature"]), round(float(bedside(ill)["temperature"]), 1)
    (36.8, 39.7)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.streams import normal, patient_words, philox_words, purpose_number, seed_words

__all__ = ["AT_REST", "LABORATORY", "MEASURED", "UNITS", "VITAL", "WORDS", "Spread", "Ward", "bedside", "read_body"]

Array = NDArray[np.float64]

UNITS: Mapping[str, str] = MappingProxyType({
    "temperature": "degC", "systolic_pressure": "mmHg", "heart_rate": "1/min", "spo2": "percent",
    "oxygen_device": "1", "oxygen_flow": "L/min", "vasopressors": "1", "vasopressor_dose": "ug/min",
    "fluids_for_pressure": "1", "ice_score": "1", "ice_orientation": "1", "ice_naming": "1", "ice_command": "1",
    "ice_writing": "1", "ice_attention": "1", "consciousness": "1", "seizure": "1", "motor_weakness": "1",
    "oedema": "1", "crp": "mg/L", "ferritin": "ug/L", "ldh": "U/L", "creatinine": "mg/dL", "ast": "U/L", "alt": "U/L",
    "fibrinogen": "mg/dL", "anc": "cell/uL", "platelets": "1e9/L", "haemoglobin": "g/dL", "il6": "pg/mL",
})  # fmt: skip
"""Every item that a ward measures, and its unit; words have "1" and are numbered as in ``WORDS``."""

WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "oxygen_device": (
        "room_air", "blow_by", "nasal_cannula", "mask", "venturi", "non_rebreather", "high_flow", "cpap", "bipap",
        "ventilator",
    ),
    "consciousness": ("alert", "voice", "tactile", "unarousable"),
    "seizure": ("none", "brief_resolving", "prolonged"),
    "motor_weakness": ("no", "yes"),
    "oedema": ("none", "focal", "diffuse"),
    "fluids_for_pressure": ("no", "yes"),
})  # fmt: skip
"""Words of the items that are words, from well to worst; the value is the word's number."""

VITAL = ("temperature", "systolic_pressure", "heart_rate", "spo2")
LABORATORY = (
    "crp", "ferritin", "ldh", "creatinine", "ast", "alt", "fibrinogen", "anc", "platelets", "haemoglobin", "il6",
)  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """How an item differs: between patients, and within one from measurement to measurement.

    Both are standard deviations: of the value if ``added``, else of its natural logarithm.
    """

    between: float
    within: float
    added: bool = False


# Between patients the counts, cytokines and inflammatory markers already differ by the body's own parameters.
MEASURED: Mapping[str, Spread] = MappingProxyType({
    "temperature": Spread(0.25, 0.2, added=True),
    "systolic_pressure": Spread(11.0, 5.0, added=True),
    "heart_rate": Spread(9.0, 5.0, added=True),
    "spo2": Spread(0.8, 0.7, added=True),
    "crp": Spread(0.0, 0.10), "ferritin": Spread(0.0, 0.10), "ldh": Spread(0.2, 0.08), "creatinine": Spread(0.22, 0.06),
    "ast": Spread(0.3, 0.12), "alt": Spread(0.35, 0.12), "fibrinogen": Spread(0.15, 0.08), "anc": Spread(0.0, 0.15),
    "platelets": Spread(0.0, 0.08), "haemoglobin": Spread(0.0, 0.03), "il6": Spread(0.0, 0.20),
})  # fmt: skip
"""Noise of each item. Assumed; within-patient values are of the size of biological variation in healthy people."""

# What a measurement can show at all; the noise is cut there.
POSSIBLE = {
    "temperature": (33.0, 43.0), "systolic_pressure": (20.0, 260.0), "heart_rate": (25.0, 230.0), "spo2": (40.0, 100.0),
    "haemoglobin": (1.0, 25.0), "creatinine": (0.1, 25.0), "fibrinogen": (10.0, 1500.0), "crp": (0.1, 900.0),
}  # fmt: skip

# How strongly vessels, lungs and brain answer differs between patients: SD of the logarithm (assumed).
SENSITIVITY = {"vessels": 0.35, "lungs": 0.5, "brain": 0.4}

# States of the body at rest that the signs read.
AT_REST: Mapping[str, float] = MappingProxyType({
    "il6": 1.7, "il6_acting": 1.7, "macrophages": 0.0, "endothelium": 1.0, "brain_injury": 0.0, "steroid_acting": 0.0,
    "crp": 5.0, "ferritin": 400.0, "neutrophils": 4000.0, "platelets": 220000.0, "haemoglobin": 12.0,
    "tumour_positive": 0.0, "tumour_negative": 0.0, "expanded": 0.0, "site_effector": 0.0,
})  # fmt: skip
"""What :func:`bedside` reads, with the values of a body at rest."""


def read_body(source: Any) -> dict[str, Array]:
    """Return what the signs read from a round (or any mapping of states), name -> shape (patient,).

    ``source["il6_effect"]`` is the interleukin 6 that finds its receptor free.
    """
    names = {"il6_acting": "il6_effect"}
    return {name: np.asarray(source[names.get(name, name)], np.float64) for name in AT_REST}


def bedside(
    body: Mapping[str, ArrayLike],
    sensitivity: Mapping[str, ArrayLike] | None = None,
    *,
    antipyretic: ArrayLike = 0.0,
    laboratory: Collection[str] = LABORATORY,
) -> dict[str, Array]:
    """Return what would be measured without noise and without support, item -> shape (patient,).

    Args:
        body: the states named in ``AT_REST``, in the body's units.
        sensitivity: of vessels, lungs and brain, 1 is typical.
        antipyretic: 1 where a drug against fever acts.
        laboratory: which values of the laboratory to work out.

    Returns:
        Temperature, pressure, heart rate and saturation, ``thinking`` (ICE points lost), and the laboratory.
    """
    b = {name: np.asarray(body[name], np.float64) for name in AT_REST}
    felt = {name: np.asarray((sensitivity or {}).get(name, 1.0)) for name in SENSITIVITY}
    calm = b["steroid_acting"] / (b["steroid_acting"] + 2.0)  # as in the body: half at 2 mg
    return {**_vital(b, felt, calm, np.asarray(antipyretic)), **_laboratory(b, felt, laboratory)}


def _vital(b: dict[str, Array], felt: Mapping[str, Array], calm: Array, antipyretic: Array) -> dict[str, Array]:
    pyrogen = np.maximum(b["il6_acting"] - AT_REST["il6_acting"], 0.0) + 100.0 * b["macrophages"]
    fever = 3.4 * pyrogen / (pyrogen + 150.0) * (1 - 0.7 * calm) * (1 - 0.4 * antipyretic)
    leak = np.maximum(b["endothelium"] - 1.0, 0.0)
    drop = 110.0 * felt["vessels"] * leak**3 / (leak**3 + 12.0)
    hurt = np.maximum(felt["brain"] * b["brain_injury"] - 0.3, 0.0)
    thinking = 30.0 * hurt / (hurt + 6.0)
    return {
        "temperature": 36.8 + fever,
        "systolic_pressure": np.maximum(122.0 - drop, 25.0),
        "heart_rate": 76.0 + 11.0 * fever + 0.35 * np.minimum(drop, 80.0),
        "spo2": np.maximum(97.0 - 40.0 * felt["lungs"] * leak**3 / (leak**3 + 14.0), 40.0),
        "thinking": thinking,
    }


def _laboratory(b: dict[str, Array], felt: Mapping[str, Array], wanted: Collection[str]) -> dict[str, Array]:
    plain = {"crp": "crp", "ferritin": "ferritin", "il6": "il6", "anc": "neutrophils", "haemoglobin": "haemoglobin"}
    found = {name: b[state] for name, state in plain.items() if name in wanted}
    return found if found.keys() >= set(wanted) else found | _worked_out(b, felt)


def _worked_out(b: dict[str, Array], felt: Mapping[str, Array]) -> dict[str, Array]:
    leak = np.maximum(b["endothelium"] - 1.0, 0.0)
    tumour = np.maximum(b["tumour_positive"] + b["tumour_negative"], 0.0)
    dying = tumour / (tumour + 1e11) * (b["expanded"] + b["site_effector"]) / (
        b["expanded"] + b["site_effector"] + 2e9
    )  # fmt: skip
    used = 330.0 * leak**2 / (leak**2 + 4.0) + 400.0 * b["macrophages"] ** 2
    acute = b["crp"] / (b["crp"] + 100.0)
    return {
        "platelets": b["platelets"] / 1000.0,
        "ldh": 180.0 + 150.0 * np.sqrt(tumour / 1e11) + 600.0 * dying + 120.0 * leak + 500.0 * b["macrophages"],
        "creatinine": 0.9 * (1 + 0.18 * felt["vessels"] * np.maximum(leak - 0.5, 0.0) ** 1.5),
        "ast": 25.0 * (1 + 0.8 * leak + 5.0 * b["macrophages"] ** 1.5),
        "alt": 25.0 * (1 + 0.6 * leak + 4.0 * b["macrophages"] ** 1.5),
        "fibrinogen": np.maximum(300.0 + 250.0 * acute - used, 20.0),
    }  # fmt: skip


class Ward:
    """A ward that measures its patients at rounds; the same patient, seed and round give the same values.

    Args:
        patient_ids: whole numbers, shape (patient,).
        seed: of the random streams.
        noise: False measures exactly.

    Example:
        >>> ward = Ward([1, 2], seed=3)
        >>> body = {name: np.full(2, value) for name, value in AT_REST.items()}
        >>> signs = ward.measure(body, number=0)
        >>> sorted(signs) == sorted(UNITS), signs["ice_score"].tolist()
        (True, [10.0, 10.0])
    """

    def __init__(self, patient_ids: ArrayLike, *, seed: int = 0, noise: bool = True) -> None:
        self.low, self.high = patient_words(patient_ids)
        self.key = np.array(seed_words(seed), np.uint64)
        self.count, self.noise = self.low.size, noise
        on = 1.0 if noise else 0.0
        draws = normal(seed, patient_ids, "signs:between", len(MEASURED) + len(SENSITIVITY)) * on
        self.offset = {name: s.between * draws[:, k] for k, (name, s) in enumerate(MEASURED.items())}
        self.sensitivity = {
            name: np.exp(sd * draws[:, len(MEASURED) + k]) for k, (name, sd) in enumerate(SENSITIVITY.items())
        }

    def measure(
        self,
        body: Mapping[str, ArrayLike],
        number: int,
        *,
        antipyretic: ArrayLike = 0.0,
        laboratory: Collection[str] = LABORATORY,
    ) -> dict[str, Array]:
        """Return vital signs, support, brain and laboratory at one round, item -> shape (patient,).

        Args:
            body: states, as :func:`read_body` returns them.
            number: of the round; it addresses the noise.
            antipyretic: 1 where a drug against fever acts, one number or one per patient.
            laboratory: the items of ``LABORATORY`` that are drawn; leaving some out changes no other value.
        """
        true = bedside(body, self.sensitivity, antipyretic=antipyretic, laboratory=laboratory)
        vital, brain = self._uniform("signs:vital", number, 2)
        found = self._noisy(true, VITAL, vital)
        found |= _support(found)
        found |= _brain(true["thinking"], brain, self.noise)
        blocks = sorted({LABORATORY.index(name) // 4 for name in laboratory})
        for block, luck in zip(blocks, self._uniform("signs:laboratory", number, 3, blocks), strict=True):
            drawn = [(k, name) for k, name in enumerate(LABORATORY[4 * block : 4 * block + 4]) if name in laboratory]
            found |= self._noisy(true, [name for _, name in drawn], [luck[k] for k, _ in drawn])
        return found

    def _noisy(self, true: Mapping[str, Array], items: Sequence[str], luck: Iterable[Array]) -> dict[str, Array]:
        from scipy.special import ndtri

        found = {}
        for name, own in zip(items, luck, strict=True):
            spread = MEASURED[name]
            shift = self.offset[name] + (spread.within * ndtri(own) if self.noise else 0.0)
            value = true[name] + shift if spread.added else true[name] * np.exp(shift)
            found[name] = np.clip(value, *POSSIBLE.get(name, (0.0, np.inf)))
        return found

    def _uniform(self, purpose: str, number: int, blocks: int, only: Sequence[int] | None = None) -> list[Array]:
        """Uniform numbers of 32 bits, for each block of a round shape (4, patient); ``only`` some of the blocks."""
        found = []
        for block in range(blocks) if only is None else only:
            words = philox_words(number * blocks + block, purpose_number(purpose), self.low, self.high, key=self.key)
            found.append((np.stack(words).astype(np.float64) + 0.5) * 2.0**-32)
        return found


def _support(found: Mapping[str, Array]) -> dict[str, Array]:
    """Return the oxygen and vasopressors that the patient would be given, and what is measured with them."""
    pressure, spo2 = found["systolic_pressure"], found["spo2"]
    fluids = pressure < 92.0
    pressors = np.where(pressure < 55.0, 2.0, np.where(pressure < 82.0, 1.0, 0.0))
    dose = np.where(pressors > 0, np.clip(1.1 * (90.0 - pressure), 2.0, 60.0), 0.0)
    lack = np.maximum(92.0 - spo2, 0.0)
    flow = np.where(lack > 0, np.minimum(np.ceil(lack), 60.0), 0.0)
    device = np.select([lack > 16, lack > 11, lack > 6, lack > 0], [9.0, 7.0, 6.0, 2.0], 0.0)
    flow = np.select([device >= 7, device == 6, device == 2], [0.0, 40.0, np.minimum(flow, 6.0)], 0.0)
    return {
        "systolic_pressure": np.where(pressors > 0, np.maximum(pressure, 92.0), pressure + np.where(fluids, 4.0, 0.0)),
        "spo2": np.where(lack > 0, np.maximum(spo2, 93.0), spo2),
        "fluids_for_pressure": fluids.astype(float),
        "vasopressors": pressors,
        "vasopressor_dose": dose,
        "oxygen_device": device,
        "oxygen_flow": flow,
    }


def _brain(thinking: Array, luck: Array, noise: bool) -> dict[str, Array]:
    """Return the ICE score, consciousness, seizure, motor weakness and oedema from the points lost."""
    shaken = thinking * (0.75 + 0.5 * luck[0]) if noise else thinking
    unlucky = luck[1] if noise else np.ones_like(thinking)
    rare = luck[2] if noise else np.ones_like(thinking)
    # Below the loss of ten points only the ICE score falls; beyond, consciousness does.
    consciousness = np.select([thinking > 24, thinking > 17, thinking > 12], [3.0, 2.0, 1.0], 0.0)
    chance = np.where(thinking > 5, 0.004 * np.minimum(thinking, 25.0), 0.0)
    seizure = np.where(unlucky < 0.15 * chance, 2.0, np.where(unlucky < chance, 1.0, 0.0))
    score = np.where(consciousness > 2, 0.0, np.clip(10.0 - np.floor(shaken), 0.0, 10.0))
    return {
        "ice_score": score,
        **_ice_parts(score),
        "consciousness": consciousness,
        "seizure": seizure,
        "motor_weakness": ((thinking > 20) & (rare < 0.02)).astype(float),
        "oedema": np.select([(thinking > 30) & (rare > 0.98), (thinking > 24) & (rare > 0.98)], [2.0, 1.0], 0.0),
    }


# Points of each part of the ICE score, in the order in which they are lost (assumed; handwriting is known to go first).
ICE_POINTS = {"ice_writing": 1, "ice_attention": 1, "ice_naming": 3, "ice_orientation": 4, "ice_command": 1}


def _ice_parts(score: Array) -> dict[str, Array]:
    """Return the points of each part of an ICE score."""
    found, lost = {}, 10.0 - score
    for name, points in ICE_POINTS.items():
        found[name] = points - np.clip(lost, 0.0, points)
        lost = lost - (points - found[name])
    return found
