"""Response of a tumour at visits: Lugano 2014 (CT and PET) and RECIST 1.1, confirmation, and the best response.

All functions work on whole cohorts: patients × visits, with the baseline in column 0; their result has one column per
visit after the baseline and holds codes, the larger the better (``RESPONSES``). A visit at which something needed was
not measured is "NE" (not evaluable) unless what was measured already shows progression. The limits stand with their
sources in ``rules/response.toml``. Not for clinical use.

Example:
    One patient, one node: 4 cm, then 2 cm, then 1.2 cm, then 3 cm.

    >>> node = np.array([[[4.0], [2.0], [1.2], [3.0]]])
    >>> response_names(lugano_ct(node, node)).tolist()
    [['PR', 'CR', 'PD']]
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NOTE",
    "RESPONSES",
    "at_visits",
    "best_response",
    "code",
    "confirm_progression",
    "confirm_response",
    "limits_of",
    "limits_table",
    "lugano_ct",
    "lugano_pet",
    "recist",
    "response_names",
    "sphere_diameter",
]

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]
Codes = NDArray[np.int8]
FILE = Path(__file__).with_name("rules") / "response.toml"
NOTE = "not for clinical use"
RESPONSES = ("NE", "PD", "SD", "MR", "PR", "VGPR", "CRi", "CR", "sCR")
"""Responses from worst to best; a code is a place in this list. In leukaemia SD means no response."""
CONFIRMED = {"recist": ("confirm_days", False), "imwg": ("", False), "b_all": ("maintained_days", True)}
"""Criteria that ask for confirmation -> the limit that says how much later, and whether all between must agree."""
A_LITTLE = 1e-9


@lru_cache(maxsize=1)
def _file() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


@lru_cache(maxsize=16)
def limits_of(criteria: str) -> dict[str, float]:
    """Return the limits of one set of criteria, name -> value; an unknown name is an InputError.

    Example:
        >>> limits_of("recist")["partial_decrease"]
        0.3
    """
    if criteria not in _file():
        raise InputError(unknown_name("set of response criteria", criteria, _file()))
    return {name: float(cell["value"]) for name, cell in _file()[criteria]["limits"].items()}


def limits_table() -> pd.DataFrame:
    """Return every limit of every set of criteria with its unit, source and mark (read, recalled or assumed)."""
    import pandas as pd

    rows = [
        {"criteria": key, "title": table["title"], "limit": name, **cell, "note": NOTE}
        for key, table in _file().items()
        for name, cell in table["limits"].items()
    ]
    return pd.DataFrame(rows)


def code(name: str) -> int:
    """Return the code of a response; an unknown name is an InputError.

    Example:
        >>> code("PR") < code("CR")
        True
    """
    if name not in RESPONSES:
        raise InputError(unknown_name("response", name, RESPONSES))
    return RESPONSES.index(name)


def response_names(codes: ArrayLike) -> NDArray[np.str_]:
    """Return the names of codes, in the shape of the codes."""
    return np.array(RESPONSES)[np.asarray(codes, np.int64)]


def measured(name: str, values: ArrayLike, dimensions: int) -> Reals:
    """Return values as an array with patient, visit (baseline first) and perhaps lesion axes; negative ones raise."""
    found = np.asarray(values, np.float64)
    if found.ndim != dimensions or found.shape[1] < 2:
        axes = "patients × visits (baseline first, at least one visit after it)" + (
            " × lesions" if dimensions == 3 else ""
        )
        raise InputError(f"{name} must have the axes {axes}, got the shape {found.shape}")
    bad = (found < 0) | np.isinf(found)
    if bad.any():
        patient, visit = np.argwhere(bad)[0][:2]
        raise InputError(f"{name} must be 0 or more, got {found[bad][0]:g} for patient row {patient} at visit {visit}")
    return found


def flags(name: str, values: ArrayLike | None, shape: tuple[int, ...]) -> Flags:
    """Return yes/no values of all visits (baseline first); None means never. A wrong shape is an InputError."""
    if values is None:
        return np.zeros(shape, bool)
    found = np.asarray(values)
    if found.shape != shape or found.dtype != np.bool_:
        raise InputError(f"{name} must be True or False in the shape {shape}, got {found.dtype} in {found.shape}")
    return found


def nadir_before(values: Reals) -> Reals:
    """Return the smallest value before each visit after the baseline (the baseline included), along axis 1."""
    return np.fmin.accumulate(values, axis=1)[:, :-1]


def graded(shape: tuple[int, ...], steps: list[tuple[str, Flags]], evaluable: Flags) -> Codes:
    """Return codes: SD, replaced by each response whose condition holds, in the order of the list; then NE.

    Progression stands last in the list: it counts even where the visit is not evaluable otherwise.
    """
    codes = np.full(shape, code("SD"), np.int8)
    for name, holds in steps[:-1]:
        codes[holds] = code(name)
    codes[~evaluable] = code("NE")
    codes[steps[-1][1]] = code(steps[-1][0])
    return codes


def lugano_ct(
    longest: ArrayLike,
    shortest: ArrayLike,
    *,
    new_lesion: ArrayLike | None = None,
    other_disease: ArrayLike | None = None,
    spleen: ArrayLike | None = None,
    marrow: ArrayLike | None = None,
) -> Codes:
    """Return the response by CT of Lugano 2014, shape (patient, visit after the baseline).

    Args:
        longest: longest diameter of each target lesion in cm, shape (patient, visit, lesion), baseline first; 0 if it
            is gone, NaN if it was not measured. A lesion without a value at baseline is no target.
        shortest: longest diameter at right angles to it, same shape.
        new_lesion: a new lesion (node > 1.5 cm, other > 1.0 cm) or clear growth of lesions that are not measured,
            shape (patient, visit).
        other_disease: disease outside the nodes or in lesions that are not measured; it forbids a CR.
        spleen: length in cm, shape (patient, visit).
        marrow: marrow involved, shape (patient, visit); new involvement is progression.

    Raises:
        InputError: a wrong shape, or a negative length.

    Source:
        ``lugano2017`` table 2; that the size at the nadir decides between 0.5 and 1.0 cm is assumed.
    """
    limit = limits_of("lugano_ct")
    long, short = measured("longest", longest, 3), measured("shortest", shortest, 3)
    if long.shape != short.shape:
        raise InputError(f"longest and shortest need one shape, got {long.shape} and {short.shape}")
    shape = long.shape[:2]
    new, other, marked = (
        flags(name, given, shape)
        for name, given in (("new_lesion", new_lesion), ("other_disease", other_disease), ("marrow", marrow))
    )
    target = np.isfinite(long[:, :1] + short[:, :1])
    long, short = np.where(target, long, 0.0), np.where(target, short, 0.0)
    product = long * short
    total = product.sum(axis=2)
    complete = np.isfinite(total[:, 1:])
    if spleen is not None:
        complete &= np.isfinite(np.asarray(spleen, np.float64)[:, 1:])
    shrunk, well, worse = _spleen(spleen, shape)
    grew = _lesion_grew(long, short, product)
    marrow_came = marked[:, 1:] & (~marked[:, :-1]).cumsum(axis=1).astype(bool)
    progressed = grew | new[:, 1:] | worse | marrow_came
    partial = (total[:, 1:] <= (1 - limit["partial_decrease"]) * total[:, :1] + A_LITTLE) & shrunk
    normal = np.logical_and.reduce(long[:, 1:] <= limit["normal_node"], axis=2)
    normal &= ~other[:, 1:] & ~marked[:, 1:] & well
    return graded(progressed.shape, [("PR", partial), ("CR", normal), ("PD", progressed)], complete)


def _lesion_grew(long: Reals, short: Reals, product: Reals) -> Flags:
    """Return where one lesion is abnormal, has grown by half from its nadir, and by enough centimetres."""
    limit = limits_of("lugano_ct")
    least_long, least_short, least = nadir_before(long), nadir_before(short), nadir_before(product)
    rise = np.where(least_long <= limit["small_lesion"], limit["rise_of_small"], limit["rise_of_large"])
    enough = (long[:, 1:] - least_long >= rise - A_LITTLE) | (short[:, 1:] - least_short >= rise - A_LITTLE)
    by_half = product[:, 1:] >= (1 + limit["increase"]) * least - A_LITTLE
    return np.logical_or.reduce((long[:, 1:] > limit["normal_node"]) & by_half & enough, axis=2)


def _spleen(spleen: ArrayLike | None, shape: tuple[int, ...]) -> tuple[Flags, Flags, Flags]:
    """Return where the spleen allows a partial and a complete remission, and where it shows progression."""
    after = (shape[0], shape[1] - 1)
    if spleen is None:
        return np.ones(after, bool), np.ones(after, bool), np.zeros(after, bool)
    limit, length = limits_of("lugano_ct"), measured("spleen", spleen, 2)
    now, first = length[:, 1:], length[:, :1]
    excess, had = now - limit["normal_spleen"], first - limit["normal_spleen"]
    enlarged = had > 0
    shrunk = np.where(enlarged, excess < (1 - limit["spleen_decrease"]) * had, excess <= 0)
    regrown = (nadir_before(length) <= limit["normal_spleen"]) & (excess > 0)
    new = regrown & (now - nadir_before(length) >= limit["spleen_rise"] - A_LITTLE)
    return shrunk, excess <= 0, new | (enlarged & (now - first > limit["spleen_increase"] * had + A_LITTLE))


def lugano_pet(
    score: ArrayLike, change: ArrayLike, *, new_foci: ArrayLike | None = None, marrow: ArrayLike | None = None
) -> Codes:
    """Return the metabolic response by PET of Lugano 2014; CR, PR, SD and PD stand for CMR, PMR, NMR and PMD.

    Args:
        score: five-point (Deauville) score, 1 to 5, shape (patient, visit), baseline first; NaN if not done.
        change: uptake against the baseline: -1 reduced, 0 no clear change, 1 increased; same shape.
        new_foci: new foci that are lymphoma, same shape.
        marrow: disease in the marrow that takes up the tracer, same shape; it forbids a CR.

    Raises:
        InputError: a wrong shape, or a score or change that does not exist.
    """
    scores, changes = measured("score", score, 2), np.asarray(change, np.float64)
    if changes.shape != scores.shape or not np.isin(changes[~np.isnan(changes)], (-1, 0, 1)).all():
        raise InputError(f"change must be -1, 0 or 1 in the shape {scores.shape}")
    if not np.isin(scores[~np.isnan(scores)], range(1, 6)).all():
        raise InputError("score must be a whole number from 1 to 5 (NaN: not done)")
    new, marked = flags("new_foci", new_foci, scores.shape), flags("marrow", marrow, scores.shape)
    low = scores[:, 1:] <= limits_of("lugano_pet")["complete_score"]
    complete, partial = low & ~marked[:, 1:], (low & marked[:, 1:]) | (changes[:, 1:] < 0)
    progressed = new[:, 1:] | (~low & (changes[:, 1:] > 0) & ~np.isnan(scores[:, 1:]))
    done = ~np.isnan(scores[:, 1:]) & (low | ~np.isnan(changes[:, 1:]))
    return graded(low.shape, [("PR", partial), ("CR", complete), ("PD", progressed)], done)


def recist(
    diameter: ArrayLike,
    *,
    node: ArrayLike | None = None,
    new_lesion: ArrayLike | None = None,
    other: ArrayLike | None = None,
) -> Codes:
    """Return the response of RECIST 1.1, shape (patient, visit after the baseline).

    Args:
        diameter: longest diameter of each target lesion (of a node: short axis) in mm, shape (patient, visit, lesion),
            baseline first; 0 if it is gone, NaN if it was not measured.
        node: which lesions are lymph nodes, shape (lesion,).
        new_lesion: a new lesion, shape (patient, visit).
        other: lesions that are not targets: 0 none left, 1 present, 2 unequivocal progression, shape (patient, visit).

    Raises:
        InputError: a wrong shape, or a negative length.

    Source:
        ``cheson2016`` table 2, which restates RECIST 1.1.
    """
    limit = limits_of("recist")
    size = measured("diameter", diameter, 3)
    shape = size.shape[:2]
    new = flags("new_lesion", new_lesion, shape)
    status = np.zeros(shape) if other is None else np.asarray(other, np.float64)
    nodes = np.zeros(size.shape[2], bool) if node is None else np.asarray(node, bool)
    if status.shape != shape or nodes.shape != size.shape[2:]:
        raise InputError(f"other must have the shape {shape} and node {size.shape[2:]}")
    size = np.where(np.isfinite(size[:, :1]), size, 0.0)
    known = np.nansum(size, axis=2)
    complete = ~np.isnan(size[:, 1:]).any(axis=2)
    least = nadir_before(np.where(np.isnan(size).any(axis=2), np.nan, known))
    rise = known[:, 1:] - least
    progressed = (rise >= limit["increase"] * least - A_LITTLE) & (rise >= limit["rise"] - A_LITTLE)
    progressed |= new[:, 1:] | (status[:, 1:] == 2)
    partial = known[:, 1:] <= (1 - limit["partial_decrease"]) * known[:, :1] + A_LITTLE
    gone = np.where(nodes, size[:, 1:] < limit["normal_node"], size[:, 1:] == 0).all(axis=2)
    steps = [("PR", partial), ("CR", gone & (status[:, 1:] == 0)), ("PD", progressed)]
    return graded(progressed.shape, steps, complete & ~np.isnan(status[:, 1:]))


def check_visits(codes: ArrayLike, days: ArrayLike) -> tuple[Codes, Reals]:
    """Return codes (patient, visit) and the ascending days of the visits (visit,); otherwise an InputError."""
    found, when = np.asarray(codes), np.asarray(days, np.float64)
    if found.ndim != 2 or when.shape != found.shape[1:]:
        raise InputError(
            f"codes need the axes patients × visits and one day per visit, got {found.shape}, {when.shape}"
        )
    if not np.isfinite(when).all() or (np.diff(when) <= 0).any():
        raise InputError("days of visits must be finite and ascend")
    if found.dtype.kind not in "iu" or (found.size and (found.min() < 0 or found.max() >= len(RESPONSES))):
        raise InputError(f"codes must be whole numbers from 0 to {len(RESPONSES) - 1}; see RESPONSES")
    return found.astype(np.int8), when


def confirm_response(codes: ArrayLike, days: ArrayLike, criteria: str) -> Codes:
    """Return codes in which a response counts only as far as a later visit confirms it; otherwise it is SD.

    RECIST: at least 4 weeks later, whatever stable visits lie between. IMWG: the next assessment or a later one. B-ALL:
    at least 28 days later, and every evaluable visit in between must show the remission too. Progression in between
    always breaks it.

    Args:
        codes: codes at visits, shape (patient, visit).
        days: days of the visits, shape (visit,).
        criteria: ``"recist"``, ``"imwg"`` or ``"b_all"``.

    Raises:
        InputError: criteria that ask for no confirmation, or codes and days that do not fit.

    Example:
        PR on day 28 is confirmed by CR on day 56; that CR is confirmed by nothing.

        >>> one = [[code("PR"), code("CR"), code("SD")]]
        >>> response_names(confirm_response(one, [28, 56, 84], "recist")).tolist()
        [['PR', 'SD', 'SD']]
    """
    if criteria not in CONFIRMED:
        raise InputError(unknown_name("set of criteria with confirmation", criteria, CONFIRMED))
    limit, unbroken = CONFIRMED[criteria]
    least_days = limits_of(criteria)[limit] if limit else A_LITTLE
    found, when = check_visits(codes, days)
    confirmed = np.where(found > code("SD"), code("SD"), found).astype(np.int8)
    for visit in range(when.size):
        floor = found[:, visit].copy()
        alive = found[:, visit] > code("SD")
        for later in range(visit + 1, when.size):
            seen, done = found[:, later], found[:, later] != code("NE")
            alive &= seen != code("PD")
            if unbroken:
                floor = np.where(done, np.minimum(floor, seen), floor)
            if when[later] - when[visit] < least_days - A_LITTLE:
                continue
            level = np.minimum(floor, seen) if not unbroken else floor
            better = alive & done & (level > confirmed[:, visit])
            confirmed[better, visit] = level[better]
    return confirmed


def confirm_progression(
    codes: ArrayLike,
    days: ArrayLike,
    *,
    size: ArrayLike | None = None,
    least_days: float | None = None,
    unconfirmed: str = "PD",
) -> Codes:
    """Return codes in which a progression that does not go on is taken back (pseudo-progression), as in iRECIST.

    A first PD stays PD if the next evaluable visit at least ``least_days`` later shows PD again and, where sizes are
    given, a further rise of at least 5 mm; it is dated to the first PD. If that visit shows anything else, the first
    PD is SD and the following visits count as they are. Without such a visit it is ``unconfirmed``.

    Args:
        codes: codes at visits, shape (patient, visit).
        days: days of the visits, shape (visit,).
        size: sum of diameters in mm at the visits, same shape as the codes.
        least_days: 28 unless given.
        unconfirmed: what a PD without a later visit becomes: "PD" (careful) or "SD".

    Source:
        ``irecisttable2018`` table 2 (4 to 8 weeks; here later visits confirm too), ``irecist2017`` table 2 (5 mm).
    """
    found, when = check_visits(codes, days)
    limit = limits_of("irecist")
    gap = limit["confirm_from"] if least_days is None else least_days
    sums = None if size is None else np.asarray(size, np.float64)
    result, open_case = found.copy(), found == code("PD")
    for visit in range(when.size):
        waiting = result[:, visit] == code("PD")
        for later in range(visit + 1, when.size):
            if when[later] - when[visit] < gap - A_LITTLE:
                continue
            here = waiting & (found[:, later] != code("NE"))
            again = found[:, later] == code("PD")
            if sums is not None:
                again &= sums[:, later] - sums[:, visit] >= limit["further_rise"] - A_LITTLE
            result[here & ~again, visit] = code("SD")
            open_case[here, visit] = False
            waiting &= ~here
        result[open_case[:, visit], visit] = code(unconfirmed)
    return result


def best_response(codes: ArrayLike, days: ArrayLike, *, until: ArrayLike | None = None) -> Codes:
    """Return the best response of each patient before progression, shape (patient,).

    Args:
        codes: codes at visits, shape (patient, visit).
        days: days of the visits, shape (visit,).
        until: day from which visits no longer count (new therapy), shape (patient,); NaN for never.

    Example:
        >>> visits = [[code("PR"), code("PD"), code("CR")], [code("NE"), code("NE"), code("NE")]]
        >>> response_names(best_response(visits, [28, 90, 180])).tolist()
        ['PR', 'NE']
    """
    found, when = check_visits(codes, days)
    counted = np.cumsum(found == code("PD"), axis=1) - (found == code("PD")) == 0
    if until is not None:
        end = np.nan_to_num(np.asarray(until, np.float64), nan=np.inf)
        counted &= when[None, :] <= np.broadcast_to(end, (found.shape[0],))[:, None]
    return np.where(counted, found, code("NE")).max(axis=1, initial=code("NE")).astype(np.int8)


def at_visits(days: ArrayLike, values: ArrayLike, visits: ArrayLike) -> Reals:
    """Return simulated values at the days of visits, by straight lines between the days of the course.

    Args:
        days: days of the course, ascending, shape (day,).
        values: values of the course, shape (patient, day).
        visits: days of the visits, within the course, shape (visit,).

    Raises:
        InputError: a visit outside the course.

    Example:
        >>> at_visits([0, 10, 20], [[0.0, 100.0, 50.0]], [5, 15]).tolist()
        [[50.0, 75.0]]
    """
    when, course, at = (np.asarray(each, np.float64) for each in (days, values, visits))
    outside = (at < when[0]) | (at > when[-1])
    if outside.any():
        raise InputError(f"visits must lie within the course, day {when[0]:g} to {when[-1]:g}, got {at[outside][0]:g}")
    return np.stack([np.interp(at, when, one) for one in course])


def sphere_diameter(volume: ArrayLike, lesions: int = 1) -> Reals:
    """Return the diameters (cm) of equal spheres that share a volume (cm^3), with a last axis for the lesions.

    This turns a simulated burden into what a scan measures; that a tumour is spheres is assumed.

    Example:
        >>> sphere_diameter([[4.18879]]).round(3).tolist()
        [[[2.0]]]
    """
    amount = np.asarray(volume, np.float64)
    if lesions < 1 or (amount < 0).any():
        raise InputError("a volume must be 0 or more, and there must be at least one lesion")
    one = np.cbrt(6.0 * amount / (np.pi * lesions))
    return np.broadcast_to(one[..., None], (*amount.shape, lesions))
