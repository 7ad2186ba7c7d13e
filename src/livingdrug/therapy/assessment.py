"""Assessment: response, residual disease and relapse as visits see them, from simulated courses of a tumour.

The tumour of a course becomes what a scan, a marrow or a blood sample would show, with the error of each measurement
(:mod:`livingdrug.therapy.disease_measures`); the criteria of :mod:`livingdrug.clinic.response` then judge it. A patient
under another dose or rule meets the same errors. Not for clinical use.

Left out: disease that is clinically obvious between visits, pseudo-progression, PET, missed visits (give ``until``).

Example:
    A tumour of 100 mL melts and comes back without its antigen.

    >>> days = np.array([0.0, 28.0, 90.0, 180.0, 360.0])
    >>> with_antigen = np.array([[1e11, 1e9, 0.0, 0.0, 0.0]])
    >>> without = np.array([[0.0, 1e3, 1e6, 1e9, 2e11]])
    >>> courses = {"tumour_positive": with_antigen, "tumour_negative": without}
    >>> found = assess(days, courses, "large B-cell lymphoma", [28, 90, 180, 360], noise=False)
    >>> response_names(found.codes).tolist(), float(found.progression_day[0]), float(found.relapse_negative_share[0])
    ([['CR', 'CR', 'CR', 'PD']], 360.0, 1.0)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.clinic.response import (
    best_response,
    code,
    confirm_response,
    limits_of,
    lugano_ct,
    recist,
    response_names,
)  # fmt: skip
from livingdrug.clinic.response_blood import b_all, imwg, iwcll, mrd_negative
from livingdrug.clinic.survival_rules import FollowUp
from livingdrug.errors import InputError, unknown_name
from livingdrug.therapy.disease_measures import HOW, Reader

__all__ = ["CRITERIA", "OPTIONAL", "Assessed", "assess", "response_names"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

CRITERIA: Mapping[str, str] = MappingProxyType({
    "large B-cell lymphoma": "lugano", "follicular lymphoma": "lugano", "mantle cell lymphoma": "lugano",
    "B-cell acute lymphoblastic leukaemia": "b_all", "chronic lymphocytic leukaemia": "iwcll",
    "multiple myeloma": "imwg", "solid tumour": "recist", "solid tumours": "recist",
})  # fmt: skip
"""Disease -> criteria of response."""
ASSESSED = ("lugano", "recist", "b_all", "imwg", "iwcll")
TO_CONFIRM = ("recist", "b_all", "imwg")
WITH_MRD = ("b_all", "imwg", "iwcll")
OPTIONAL = ("neutrophils", "platelets", "haemoglobin", "absolute_lymphocyte_count")
"""Courses of counts that leukaemia reads, in the body's units; without them counts are unknown (no CR, at best CRi)."""
BLOCK = 4096
"""Patients assessed at once, so that the arrays stay in the processor's cache."""


@dataclass(frozen=True, eq=False, repr=False)
class Assessed:
    """What visits saw of a cohort; days count from the infusion, NaN is never.

    Attributes:
        patient_ids: shape (patient,).
        criteria: ``lugano``, ``recist``, ``b_all``, ``imwg`` or ``iwcll``.
        visits: days of the visits, shape (visit,).
        codes: response at each visit, confirmed where the criteria ask for it, shape (patient, visit).
        seen: the same before confirmation.
        measurable: whether there was disease at the baseline that the criteria can follow, shape (patient,).
        best: code of the best response before progression, shape (patient,).
        response_day: first visit with a response (PR or better; in B-ALL CRi or better).
        complete_day: first visit with a complete response (CR or sCR; in leukaemia not CRi).
        mrd_negative: remission without residual disease at each visit; never in lymphoma and solid tumours.
        mrd_negative_day: first such visit.
        progression_day: first visit with progression; in B-ALL relapse.
        negative_share: share of the tumour without antigen at each visit, NaN where nothing is left.
        relapse_negative_share: the same at the visit of progression, shape (patient,).
    """

    patient_ids: NDArray[Any]
    criteria: str
    visits: Array
    codes: NDArray[np.int8]
    seen: NDArray[np.int8]
    measurable: Flags
    best: NDArray[np.int8]
    response_day: Array
    complete_day: Array
    mrd_negative: Flags
    mrd_negative_day: Array
    progression_day: Array
    negative_share: NDArray[np.float32]
    relapse_negative_share: Array

    def __repr__(self) -> str:
        return f"<Assessed: {self.best.size} patients, {self.visits.size} visits, {self.criteria}>"

    @property
    def responded(self) -> Flags:
        """Who responded at all, shape (patient,)."""
        return np.isfinite(self.response_day)

    def follow_up(self, last_contact: ArrayLike, **more: Any) -> FollowUp:
        """Return what the rules of survival read; ``more`` are further arguments of ``FollowUp``."""
        return FollowUp(days=self.visits, codes=self.codes, last_contact=last_contact, **more)


def assess(
    days: ArrayLike,
    courses: Mapping[str, ArrayLike] | Any,
    disease: str,
    visits: ArrayLike,
    *,
    baseline: float | None = None,
    patient_ids: ArrayLike | None = None,
    until: ArrayLike | None = None,
    confirm: bool = True,
    seed: int = 0,
    noise: bool = True,
) -> Assessed:
    """Return response, residual disease and relapse at visits.

    Args:
        days: days of the courses, ascending, shape (day,); they must include the visits and the baseline.
        courses: ``tumour_positive`` and ``tumour_negative`` in cells, shape (patient, day); for leukaemia also the
            counts in ``OPTIONAL`` where they are known. A solution of the engine will do.
        disease: a disease of ``CRITERIA``, or the name of the criteria.
        visits: days of the visits after the baseline, ascending, shape (visit,).
        baseline: day of the first measurement; the first day of the course unless given.
        patient_ids: identifiers, shape (patient,); by default 0, 1, 2, ... The errors belong to them and to the
            place of a visit in the list.
        until: day from which visits no longer count (death, another treatment), shape (patient,); NaN for never.
        confirm: whether responses need the confirmation that their criteria ask for (RECIST, B-ALL, IMWG): then a
            response at the last visit counts for nothing, so plan a visit after it.
        seed: of the random streams.
        noise: False measures exactly.

    Raises:
        InputError: an unknown disease, days out of order or missing, a wrong shape, a negative or infinite value.

    Source:
        The criteria name theirs; how a tumour is measured stands in ``disease_measures.HOW``, mostly assumed.
    """
    criteria = CRITERIA.get(disease, disease)
    if criteria not in ASSESSED:
        raise InputError(unknown_name("disease or set of criteria", disease, (*CRITERIA, *ASSESSED)))
    when, planned, columns = _columns(days, visits, baseline)
    taken = _courses(courses, when)
    count = taken["tumour_positive"].shape[0]
    ids = np.arange(count) if patient_ids is None else np.atleast_1d(np.asarray(patient_ids))
    if ids.size != count:
        raise InputError(f"patient_ids must be one for each of {count} patients, got {ids.size}")
    parts = []
    for start in range(0, max(count, 1), BLOCK):
        chosen = slice(start, start + BLOCK)
        block = {name: course[chosen] for name, course in taken.items()}
        parts.append(_judge(criteria, when, block, columns, Reader(ids[chosen], seed, noise=noise)))
    seen, residual, measurable, share = (np.concatenate(each) for each in zip(*parts, strict=True))
    return _outcome(ids, criteria, planned, (seen, residual, measurable, share), until, confirm)


def _columns(days: ArrayLike, visits: ArrayLike, baseline: float | None) -> tuple[Array, Array, NDArray[np.int64]]:
    """Return the days, the visits, and the columns of the baseline and the visits."""
    when, planned = np.asarray(days, np.float64), np.asarray(visits, np.float64)
    for name, each in (("days", when), ("visits", planned)):
        if each.ndim != 1 or not each.size or not np.isfinite(each).all() or (np.diff(each) <= 0).any():
            raise InputError(f"{name} must be finite and ascend, got {np.array2string(each, threshold=8)}")
    first = when[0] if baseline is None else float(baseline)
    wanted = np.concatenate([[first], planned])
    place = np.minimum(np.searchsorted(when, wanted - 1e-6), when.size - 1)
    missing = np.abs(when[place] - wanted) > 1e-6
    if missing.any():
        raise InputError(f"the course has no value on day {wanted[missing][0]:g}; let its days include the visits")
    if planned[0] <= first:
        raise InputError(f"the first visit (day {planned[0]:g}) must lie after the baseline (day {first:g})")
    return when, planned, place


def _courses(courses: Mapping[str, ArrayLike] | Any, when: Array) -> dict[str, Array]:
    """Return the courses that are there, checked, shape (patient, day)."""
    known = getattr(courses, "outputs", courses)
    found: dict[str, Array] = {}
    for name in ("tumour_positive", "tumour_negative", *OPTIONAL):
        if name not in known:
            if name in OPTIONAL:
                continue
            raise InputError(f"courses must hold {name!r} in cells; got {', '.join(map(str, known)) or 'nothing'}")
        values = np.atleast_2d(np.asarray(courses[name]))
        shape = (found["tumour_positive"].shape[0] if found else values.shape[0], when.size)
        if values.shape != shape:
            raise InputError(f"{name} must have the shape (patient, day) = {shape}, got {values.shape}")
        low, high = (
            (np.nan, np.nan) if not values.size else (np.fmin.reduce(values, None), np.fmax.reduce(values, None))
        )
        if low < -1 or np.isinf(low) or np.isinf(high):
            row = int(np.argwhere((values < -1) | np.isinf(values))[0][0])
            raise InputError(f"{name} must be finite and not negative, got {low:g} to {high:g}; see patient row {row}")
        found[name] = values
    return found


def _judge(criteria: str, when: Array, course: Mapping[str, Array], columns: NDArray[np.int64], reader: Reader) -> Any:
    """Return codes, residual disease in percent, who is measurable, and the share without antigen, for some patients.

    All have one column per visit after the baseline, but the third.
    """
    positive, negative = (np.maximum(course[f"tumour_{kind}"], 0.0) for kind in ("positive", "negative"))
    at = {name: np.asarray(values[:, columns], np.float64) for name, values in course.items()}
    nothing = np.full((positive.shape[0], columns.size), np.nan)
    for name in OPTIONAL:
        at.setdefault(name, nothing)
    tumour = (positive + negative)[:, columns]
    everything = positive + negative if criteria == "imwg" else tumour
    codes, measurable = JUDGES[criteria](reader, tumour, at, when, everything, columns)
    residual = reader.residual_percent(tumour)[:, 1:] if criteria in WITH_MRD else nothing[:, 1:]
    left = tumour[:, 1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(left > 0, negative[:, columns[1:]] / left, np.nan)
    known = np.isfinite(left)
    codes = np.where(known & (measurable[:, None] | (codes == code("PD"))), codes, code("NE")).astype(np.int8)
    return codes, residual, measurable, share.astype(np.float32)


def _by_lugano(reader: Reader, tumour: Array, *_: Any) -> tuple[NDArray[np.int8], Flags]:
    size = reader.diameters(tumour)
    return lugano_ct(size, size), _any_above(size, limits_of("lugano_ct")["normal_node"])


def _by_recist(reader: Reader, tumour: Array, *_: Any) -> tuple[NDArray[np.int8], Flags]:
    size = 10 * reader.diameters(tumour)
    return recist(size), _any_above(size, limits_of("recist")["normal_node"])


def _by_b_all(reader: Reader, tumour: Array, at: Mapping[str, Array], *_: Any) -> tuple[NDArray[np.int8], Flags]:
    marrow = reader.marrow_percent(tumour)
    blood = reader.blood_percent(tumour, at["neutrophils"])
    counts = _counts(reader, at, ("platelets", "neutrophils"))
    codes = b_all(marrow, blood, platelets=counts["platelets"] / 1000, anc=counts["neutrophils"])
    return codes, tumour[:, 0] > 0


def _by_imwg(
    reader: Reader, tumour: Array, _: Any, when: Array, everything: Array, columns: NDArray[np.int64]
) -> tuple[NDArray[np.int8], Flags]:
    first = columns[0]
    true, serum = reader.serum_protein(when[first:], everything[:, first:], columns - first)
    marrow, chains = reader.marrow_percent(tumour), reader.light_chains(tumour)
    gone = tumour < HOW["clonal_share"].value * HOW["normal_marrow"].value
    codes = imwg(
        serum, np.full_like(serum, np.nan), light_chains=chains, marrow=marrow,
        immunofixation_negative=true < HOW["immunofixation"].value, light_chain_ratio_normal=gone, clonal_cells=~gone,
    )  # fmt: skip
    limit = limits_of("imwg")
    enough = serum[:, 0] >= limit["measurable_serum"], chains[:, 0] >= limit["measurable_light_chains"]
    return codes, np.logical_or.reduce([*enough, marrow[:, 0] >= limit["marrow_baseline"]])


def _by_iwcll(reader: Reader, tumour: Array, at: Mapping[str, Array], *_: Any) -> tuple[NDArray[np.int8], Flags]:
    share = {place: HOW[f"cll_{place}"].value for place in ("nodes", "spleen", "marrow")}
    size = reader.diameters(share["nodes"] * tumour)
    in_blood = (1 - sum(share.values())) * tumour / HOW["blood_volume"].value
    own = np.where(np.isfinite(at["absolute_lymphocyte_count"]), at["absolute_lymphocyte_count"], 1500.0)
    counts = _counts(reader, at, ("platelets", "neutrophils", "haemoglobin"))
    lymphocytes = (in_blood + own) * reader.error("lymphocytes", HOW["count_error"].value, tumour.shape[1]) / 1000
    codes = iwcll(
        size.max(axis=2), (size**2).sum(axis=2), lymphocytes, platelets=counts["platelets"] / 1000,
        haemoglobin=counts["haemoglobin"], anc=counts["neutrophils"], spleen=reader.spleen(share["spleen"] * tumour),
        marrow=reader.marrow_percent(share["marrow"] * tumour),
    )  # fmt: skip
    limit = limits_of("iwcll")
    return codes, _any_above(size, limit["normal_node"]) | np.asarray(lymphocytes[:, 0] >= limit["lymphocytes"])


def _any_above(size: Array, least: float) -> Flags:
    """Return whether a lesion is larger than that at the baseline, shape (patient,)."""
    return np.asarray(size[:, 0].max(axis=1) > least)


JUDGES: Mapping[str, Callable[..., tuple[NDArray[np.int8], Flags]]] = MappingProxyType({
    "lugano": _by_lugano, "recist": _by_recist, "b_all": _by_b_all, "imwg": _by_imwg, "iwcll": _by_iwcll,
})  # fmt: skip


def _counts(reader: Reader, at: Mapping[str, Array], names: tuple[str, ...]) -> dict[str, Array]:
    error = HOW["count_error"].value
    return {name: np.maximum(at[name], 0.0) * reader.error(name, error, at[name].shape[1]) for name in names}


def _outcome(
    ids: NDArray[Any], criteria: str, visits: Array, found: tuple[Any, ...], until: ArrayLike | None, confirm: bool
) -> Assessed:
    seen, residual, measurable, share = found
    if until is not None:
        end = np.nan_to_num(np.broadcast_to(np.asarray(until, np.float64), (ids.size,)), nan=np.inf)
        seen = np.where(visits[None, :] > end[:, None], code("NE"), seen).astype(np.int8)
    codes = confirm_response(seen, visits, criteria) if confirm and criteria in TO_CONFIRM else seen
    progressed = np.logical_or.accumulate(codes == code("PD"), axis=1)
    if criteria in WITH_MRD:
        clean = mrd_negative(codes, residual, criteria) & ~progressed
    else:
        clean = np.zeros(codes.shape, bool)
    first = _first_day(codes == code("PD"), visits)
    relapse = np.full(ids.size, np.nan)
    came = np.isfinite(first)
    relapse[came] = share[came, (codes == code("PD")).argmax(axis=1)[came]]
    return Assessed(
        patient_ids=ids,
        criteria=criteria,
        visits=visits,
        codes=codes,
        seen=seen,
        measurable=measurable,
        best=best_response(codes, visits),
        response_day=_first_day((codes >= code("PR")) & ~progressed, visits),
        complete_day=_first_day((codes >= code("CR")) & ~progressed, visits),
        mrd_negative=clean,
        mrd_negative_day=_first_day(clean, visits),
        progression_day=first,
        negative_share=share,
        relapse_negative_share=relapse,
    )


def _first_day(where: Flags, visits: Array) -> Array:
    """Return the first visit at which something holds, shape (patient,); NaN for never."""
    return np.where(where.any(axis=1), visits[where.argmax(axis=1)], np.nan)
