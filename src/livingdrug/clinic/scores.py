"""Risk scores: EASIX, m-EASIX, s-EASIX, HScore and CAR-HEMATOTOX, for whole cohorts. Not for clinical use.

Only scores whose numbers were read are here; ``missing_scores`` names the others and why. Points and limits stand with
their sources in ``rules/scores.toml``. A value that is missing (NaN) never counts as normal: scores of points are given
as the lowest and the highest total that agree with what is known.

Example:
    >>> easix(ldh=[250.0], creatinine=[1.0], platelets=[100.0]).tolist()
    [2.5]
    >>> car_hematotox(platelets=[60], anc=[700], haemoglobin=[8.5], crp=[24], ferritin=[np.nan])
    Score(lowest=array([4.]), highest=array([6.]))
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NOTE",
    "Score",
    "car_hematotox",
    "cytopenias",
    "easix",
    "hscore",
    "hscore_probability",
    "m_easix",
    "missing_scores",
    "s_easix",
    "score",
    "score_inputs",
    "score_names",
    "score_table",
]

Reals = NDArray[np.float64]
FILE = Path(__file__).with_name("rules") / "scores.toml"
NOTE = "not for clinical use"


class Score(NamedTuple):
    """Lowest and highest total that agree with the known values, shape (patient,); equal if all is known."""

    lowest: Reals
    highest: Reals


@lru_cache(maxsize=1)
def _file() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def score_names() -> tuple[str, ...]:
    """Return the names of the scores.

    Example:
        >>> score_names()
        ('easix', 'm_easix', 's_easix', 'hscore', 'car_hematotox')
    """
    return tuple(name for name in _file() if name != "missing")


def missing_scores() -> dict[str, str]:
    """Return the scores that are not here: title -> why."""
    return {table["title"]: table["why"] for table in _file()["missing"].values()}


def score_inputs(name: str) -> dict[str, str]:
    """Return what a score needs: name -> unit; an unknown score is an InputError.

    Example:
        >>> score_inputs("easix")
        {'ldh': 'U/L', 'creatinine': 'mg/dL', 'platelets': '1e9/L'}
    """
    return dict(_score(name)["inputs"])


def _score(name: str) -> dict[str, Any]:
    if name not in score_names():
        near = " (its numbers were not read: see missing_scores)" if name in _file()["missing"] else ""
        raise InputError(unknown_name("score", name, score_names()) + near)
    return _file()[name]


def score(name: str, values: Mapping[str, ArrayLike]) -> Score:
    """Return a score by name from values in the units of ``score_inputs``.

    Args:
        name: name of the score.
        values: each input -> one value per patient; NaN where it is not known.

    Raises:
        InputError: an unknown score or input, an input that is missing altogether, or an impossible value.
    """
    table = _score(name)
    for given in values:
        if given not in table["inputs"]:
            raise InputError(unknown_name(f"input of {name}", given, table["inputs"]))
    for needed, unit in table["inputs"].items():
        if needed not in values:
            raise InputError(f"{name} needs {needed} [{unit}] for every patient; give NaN where it is not known")
    columns = np.broadcast_arrays(*[np.atleast_1d(np.asarray(values[key], np.float64)) for key in table["inputs"]])
    known = dict(zip(table["inputs"], columns, strict=True))
    for key, column in known.items():
        _possible(name, key, column, table)
    return _points(known, table) if table["kind"] == "points" else _ratio(known, table)


def _possible(name: str, key: str, column: Reals, table: Mapping[str, Any]) -> None:
    most = table.get("most", {}).get(key, np.inf)
    bad = (column < 0) | (column > most) | np.isinf(column)
    if np.isfinite(most):
        bad |= ~np.isnan(column) & (column != np.round(column))
    if table["kind"] == "ratio" and key == table["under"]:
        bad |= column == 0
    if bad.any():
        limits = f"a whole number from 0 to {most:g}" if np.isfinite(most) else "positive and finite"
        unit = table["inputs"][key]
        raise InputError(
            f"{name}: {key} [{unit}] must be {limits}, got {column[bad][0]:g} in row {int(np.argmax(bad))}"
        )


def _ratio(known: Mapping[str, Reals], table: Mapping[str, Any]) -> Score:
    value = np.prod([known[key] for key in table["over"]], axis=0) * table["factor"] / known[table["under"]]
    return Score(value, value.copy())


def _points(known: Mapping[str, Reals], table: Mapping[str, Any]) -> Score:
    shape = next(iter(known.values())).shape
    lowest, highest = np.zeros(shape), np.zeros(shape)
    for key, conditions in table["points"].items():
        points = np.zeros(shape)
        for condition in conditions:
            points = np.maximum(points, np.where(_holds(known[key], condition), condition["points"], 0))
        unknown = np.isnan(known[key])
        lowest += np.where(unknown, 0, points)
        highest += np.where(unknown, max(condition["points"] for condition in conditions), points)
    return Score(lowest, highest)


def _holds(values: Reals, condition: Mapping[str, float]) -> NDArray[np.bool_]:
    if "at_least" in condition:
        return values >= condition["at_least"]
    if "above" in condition:
        return values > condition["above"]
    if "at_most" in condition:
        return values <= condition["at_most"]
    return values < condition["below"]


def easix(ldh: ArrayLike, creatinine: ArrayLike, platelets: ArrayLike) -> Reals:
    """Return EASIX: LDH times creatinine over platelets; NaN where one is not known.

    Args:
        ldh: lactate dehydrogenase, U/L, one value per patient.
        creatinine: mg/dL.
        platelets: 1e9/L.

    Source:
        ``pennisi2021`` abstract.
    """
    return score("easix", {"ldh": ldh, "creatinine": creatinine, "platelets": platelets}).lowest


def m_easix(ldh: ArrayLike, crp: ArrayLike, platelets: ArrayLike) -> Reals:
    """Return the modified EASIX: LDH times C-reactive protein (in mg/dL) over platelets.

    Args:
        ldh: U/L, one value per patient.
        crp: C-reactive protein in mg/L, as charts keep it.
        platelets: 1e9/L.

    Source:
        ``pennisi2021`` abstract.

    Example:
        >>> m_easix(ldh=[250.0], crp=[50.0], platelets=[100.0]).tolist()
        [12.5]
    """
    return score("m_easix", {"ldh": ldh, "crp": crp, "platelets": platelets}).lowest


def s_easix(ldh: ArrayLike, platelets: ArrayLike) -> Reals:
    """Return the simplified EASIX: LDH (U/L) over platelets (1e9/L).

    Source:
        ``pennisi2021`` abstract.
    """
    return score("s_easix", {"ldh": ldh, "platelets": platelets}).lowest


def cytopenias(haemoglobin: ArrayLike, leucocytes: ArrayLike, platelets: ArrayLike) -> Reals:
    """Return how many of the three cell lines are low in the sense of the HScore; NaN where one is not known.

    Args:
        haemoglobin: g/dL, one value per patient.
        leucocytes: cell/uL.
        platelets: 1e9/L.

    Example:
        >>> cytopenias([9.2, 12], [5001, 4000], [111, 90]).tolist()
        [1.0, 2.0]
    """
    limits = _score("hscore")["cytopenia_limits"]
    columns = [np.atleast_1d(np.asarray(given, np.float64)) for given in (haemoglobin, leucocytes, platelets)]
    low = [np.where(np.isnan(one), np.nan, one <= limit) for one, limit in zip(columns, limits.values(), strict=True)]
    return np.sum(np.broadcast_arrays(*low), axis=0)


def hscore(
    *,
    immunosuppression: ArrayLike,
    temperature: ArrayLike,
    organomegaly: ArrayLike,
    cytopenias: ArrayLike,
    ferritin: ArrayLike,
    triglycerides: ArrayLike,
    fibrinogen: ArrayLike,
    ast: ArrayLike,
    haemophagocytosis: ArrayLike,
) -> Score:
    """Return the HScore, 0 to 337 points.

    Args:
        immunosuppression: known underlying immunosuppression, 0 or 1, one value per patient.
        temperature: degC.
        organomegaly: 0 none, 1 liver or spleen, 2 both.
        cytopenias: number of low cell lines, 0 to 3; see ``cytopenias``.
        ferritin: ug/L (the same number as ng/mL).
        triglycerides: mg/dL.
        fibrinogen: mg/dL.
        ast: U/L.
        haemophagocytosis: seen in the marrow, 0 or 1.

    Source:
        ``hscoretable2017`` table 3 (after Fardet 2014), ``hscoretable2020`` table 4.

    Example:
        >>> hscore(
        ...     immunosuppression=1,
        ...     temperature=39.7,
        ...     organomegaly=0,
        ...     cytopenias=3,
        ...     ferritin=680,
        ...     triglycerides=np.nan,
        ...     fibrinogen=126,
        ...     ast=np.nan,
        ...     haemophagocytosis=1,
        ... )
        Score(lowest=array([166.]), highest=array([249.]))
    """
    given = {
        "immunosuppression": immunosuppression, "temperature": temperature, "organomegaly": organomegaly,
        "cytopenias": cytopenias, "ferritin": ferritin, "triglycerides": triglycerides, "fibrinogen": fibrinogen,
        "ast": ast, "haemophagocytosis": haemophagocytosis,
    }  # fmt: skip
    return score("hscore", given)


def hscore_probability(points: ArrayLike) -> Reals:
    """Return the probability of haemophagocytic syndrome in percent, by straight lines in the published table.

    The table ends at "less than 1" below 90 and "more than 99" from 250 points; there 1 and 99 are returned.

    Example:
        >>> hscore_probability([169, 200]).tolist()
        [52.6, 88.0]
    """
    table = _score("hscore")["probability"]
    return np.interp(np.asarray(points, np.float64), table["score"], table["percent"])


def car_hematotox(
    platelets: ArrayLike, anc: ArrayLike, haemoglobin: ArrayLike, crp: ArrayLike, ferritin: ArrayLike
) -> Score:
    """Return the CAR-HEMATOTOX score, 0 to 7 points; high from 2. To be taken before lymphodepletion.

    The points were read at third hand only; ``score_table`` says so beside each number.

    Args:
        platelets: 1e9/L, one value per patient.
        anc: neutrophils, cell/uL.
        haemoglobin: g/dL.
        crp: C-reactive protein, mg/L.
        ferritin: ug/L.

    Source:
        ``hematotoxcases``, after Rejeski 2021.
    """
    given = {"platelets": platelets, "anc": anc, "haemoglobin": haemoglobin, "crp": crp, "ferritin": ferritin}
    return score("car_hematotox", given)


def score_table(name: str, values: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """Return one line per patient: lowest and highest total, whether it is high, and the source and its mark."""
    import pandas as pd

    found, table = score(name, values), _score(name)
    least = table.get("high_from", np.nan)
    judged = np.where(found.lowest >= least, "high", np.where(found.highest < least, "low", "not known"))
    if np.isnan(least):
        judged = np.full(found.lowest.shape, "no cut-off read")
    told = {key: table.get(key, "") for key in ("source", "place", "mark")}
    rows = {"lowest": found.lowest, "highest": found.highest, "risk": judged}
    return pd.DataFrame(rows).assign(score=name, **told, remark=table.get("note", ""), note=NOTE)
