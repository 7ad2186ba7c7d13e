"""Response of leukaemia and myeloma at visits: B-ALL (CR, CRi, MRD), IMWG 2016 and iwCLL.

The conventions are those of ``response``: patients × visits with the baseline in column 0, codes for the visits after
it, limits with their sources in ``rules/response.toml``. Not for clinical use.

Example:
    Blasts of 40 %, then 2 % with low and later with recovered counts, then a relapse.

    >>> leukaemia = b_all([[40, 2, 1, 30]], [[5, 0, 0, 2]], platelets=[[30, 60, 150, 90]], anc=[[200, 900, 2000, 800]])
    >>> response_names(leukaemia).tolist()
    [['CRi', 'CR', 'PD']]
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.clinic.response import code, flags, graded, limits_of, measured, nadir_before, response_names
from livingdrug.errors import InputError, unknown_name

__all__ = ["b_all", "imwg", "iwcll", "mrd_negative", "response_names"]

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]
Codes = NDArray[np.int8]
A_LITTLE = 1e-9


def _optional(name: str, values: ArrayLike | None, shape: tuple[int, ...], otherwise: float) -> Reals:
    """Return measured values, or one value everywhere if none were given; another shape is an InputError."""
    if values is None:
        return np.full(shape, otherwise)
    found = measured(name, values, 2)
    if found.shape != shape:
        raise InputError(f"{name} must have the shape {shape}, got {found.shape}")
    return found


def b_all(
    marrow_blasts: ArrayLike,
    blood_blasts: ArrayLike,
    *,
    platelets: ArrayLike,
    anc: ArrayLike,
    extramedullary: ArrayLike | None = None,
    transfused: ArrayLike | None = None,
) -> Codes:
    """Return CR, CRi, SD (no response) or PD (relapse after a remission) of B-ALL at each visit after the baseline.

    Args:
        marrow_blasts: percent, shape (patient, visit), baseline first; NaN if not examined.
        blood_blasts: percent, same shape.
        platelets: 1e9/L, same shape.
        anc: neutrophils, cell/uL, same shape.
        extramedullary: disease outside the marrow, same shape.
        transfused: blood products lately, so that counts do not show recovery, same shape.

    Raises:
        InputError: a wrong shape or a negative value.

    Source:
        ``kymriah2025`` section 14.1; the wording of relapse is recalled.
    """
    limit = limits_of("b_all")
    marrow = measured("marrow_blasts", marrow_blasts, 2)
    shape = marrow.shape
    blood = _optional("blood_blasts", blood_blasts, shape, 0.0)
    counts = _optional("platelets", platelets, shape, np.nan), _optional("anc", anc, shape, np.nan)
    outside = flags("extramedullary", extramedullary, shape)
    helped = flags("transfused", transfused, shape)
    remission = (marrow < limit["marrow_blasts"]) & (blood < limit["blood_blasts"]) & ~outside
    recovered = (counts[0] > limit["platelets"]) & (counts[1] > limit["anc"]) & ~helped
    disease = (marrow >= limit["relapse_blasts"]) | (blood >= limit["blood_blasts"]) | outside
    before = np.logical_or.accumulate(remission[:, 1:], axis=1)
    had = np.concatenate([np.zeros((shape[0], 1), bool), before[:, :-1]], axis=1)
    steps = [("CRi", remission[:, 1:]), ("CR", (remission & recovered)[:, 1:]), ("PD", had & disease[:, 1:])]
    evaluable = (np.isfinite(marrow) & np.isfinite(blood))[:, 1:] | disease[:, 1:]
    return graded(had.shape, steps, evaluable)


def mrd_negative(codes: ArrayLike, residual_percent: ArrayLike, criteria: str = "b_all") -> Flags:
    """Return where a complete remission has no minimal residual disease, shape as the codes.

    The limit is 0.01 % for B-ALL and CLL and 0.001 % for myeloma.

    Args:
        codes: result of ``b_all``, ``imwg`` or ``iwcll``.
        residual_percent: cancer cells in percent at the same visits; NaN if not measured.
        criteria: ``"b_all"``, ``"imwg"`` or ``"iwcll"``.

    Raises:
        InputError: other criteria, or shapes that differ.

    Example:
        >>> mrd_negative([[code("CR"), code("CRi"), code("SD")]], [[0.009, 0.01, 0.0]]).tolist()
        [[True, False, False]]
    """
    limit = limits_of(criteria)
    if "mrd" not in limit:
        raise InputError(unknown_name("set of criteria with residual disease", criteria, ("b_all", "imwg", "iwcll")))
    found, rest = np.asarray(codes), np.asarray(residual_percent, np.float64)
    if found.shape != rest.shape:
        raise InputError(f"codes and residual_percent need one shape, got {found.shape} and {rest.shape}")
    return (found >= code("CRi")) & (rest < limit["mrd"])


def imwg(
    serum: ArrayLike,
    urine: ArrayLike,
    *,
    light_chains: ArrayLike | None = None,
    marrow: ArrayLike | None = None,
    immunofixation_negative: ArrayLike | None = None,
    light_chain_ratio_normal: ArrayLike | None = None,
    clonal_cells: ArrayLike | None = None,
    plasmacytoma: ArrayLike | None = None,
    new_lesion: ArrayLike | None = None,
) -> Codes:
    """Return sCR, CR, VGPR, PR, MR, SD or PD of myeloma (IMWG 2016) at each visit after the baseline.

    Responses need the next assessment as confirmation: see ``confirm_response``. Without an
    immunofixation no CR can be claimed, and without a marrow neither.

    Args:
        serum: M-protein in serum, g/dL, shape (patient, visit), baseline first; NaN if not measured.
        urine: M-protein in urine, mg/day, same shape.
        light_chains: difference of involved and uninvolved free light chains, mg/dL, same shape.
        marrow: plasma cells in the marrow, percent, same shape.
        immunofixation_negative: in serum and urine, True or False, same shape.
        light_chain_ratio_normal: same shape; needed for sCR.
        clonal_cells: clonal plasma cells in the marrow, same shape; their absence is needed for sCR.
        plasmacytoma: size (sum of products, cm^2), same shape; 0 for none.
        new_lesion: new or clearly larger lesion, same shape.

    Raises:
        InputError: a wrong shape or a negative value.

    Source:
        ``imwgtable2023`` table 1; what counts as measurable is recalled.
    """
    limit = limits_of("imwg")
    blood = measured("serum", serum, 2)
    shape = blood.shape
    passed = _optional("urine", urine, shape, np.nan)
    chains = _optional("light_chains", light_chains, shape, np.nan)
    cells = _optional("marrow", marrow, shape, np.nan)
    mass = _optional("plasmacytoma", plasmacytoma, shape, 0.0)
    fixed = flags("immunofixation_negative", immunofixation_negative, shape)[:, 1:]
    levels = _myeloma_levels(blood, passed, chains, cells)
    shrunk = mass[:, 1:] <= (1 - limit["partial_decrease"]) * mass[:, :1] + A_LITTLE
    gone = mass[:, 1:] == 0
    complete = fixed & gone & (cells[:, 1:] < limit["complete_plasma_cells"])
    ratio = flags("light_chain_ratio_normal", light_chain_ratio_normal, shape)[:, 1:]
    clone = flags("clonal_cells", clonal_cells, shape)[:, 1:] | (clonal_cells is None)
    progressed = _myeloma_progressed(blood, passed, chains, cells) | flags("new_lesion", new_lesion, shape)[:, 1:]
    steps = [(name, levels[name] & shrunk) for name in ("MR", "PR", "VGPR")]
    steps += [("CR", complete), ("sCR", complete & ratio & ~clone), ("PD", progressed)]
    return graded(progressed.shape, steps, levels["known"])


def _fall(values: Reals, part: float) -> Flags:
    """Return where a value after the baseline has fallen by at least a part of the baseline."""
    return values[:, 1:] <= (1 - part) * values[:, :1] + A_LITTLE


def _myeloma_levels(serum: Reals, urine: Reals, chains: Reals, cells: Reals) -> dict[str, Flags]:
    """Return where the measurable quantities of each patient fulfil MR, PR and VGPR, and where they are known."""
    limit = limits_of("imwg")
    by_serum, by_urine = serum[:, :1] >= limit["measurable_serum"], urine[:, :1] >= limit["measurable_urine"]
    by_protein = by_serum | by_urine
    by_chains = ~by_protein & (chains[:, :1] >= limit["measurable_light_chains"])
    by_cells = ~by_protein & ~by_chains & (cells[:, :1] >= limit["marrow_baseline"])
    after = urine[:, 1:]
    parts = {
        "MR": (limit["minimal_decrease"], _fall(urine, limit["minimal_urine_decrease"])),
        "PR": (
            limit["partial_decrease"],
            _fall(urine, limit["partial_urine_decrease"]) | (after < limit["partial_urine"]),
        ),
        "VGPR": (limit["very_good_decrease"], after < limit["very_good_urine"]),
    }
    found = {}
    for name, (part, urine_fits) in parts.items():
        protein = (_fall(serum, part) | ~by_serum) & (urine_fits | ~by_urine)
        other = (by_chains & _fall(chains, part)) | (by_cells & _fall(cells, part) & (name == "PR"))
        found[name] = (by_protein & protein) | other
    serum_known = np.isfinite(serum[:, 1:]) | ~by_serum
    known = by_protein & serum_known & (np.isfinite(after) | ~by_urine)
    known |= (by_chains & np.isfinite(chains[:, 1:])) | (by_cells & np.isfinite(cells[:, 1:]))
    return {**found, "known": known}


def _myeloma_progressed(serum: Reals, urine: Reals, chains: Reals, cells: Reals) -> Flags:
    """Return where one quantity has risen by a quarter from its lowest value, and by enough."""
    limit = limits_of("imwg")
    factor = 1 + limit["increase"]

    def rose(values: Reals, least: float | Reals) -> Flags:
        low = nadir_before(values)
        return (values[:, 1:] >= factor * low - A_LITTLE) & (values[:, 1:] - low >= least - A_LITTLE)

    no_protein = ~(serum[:, :1] >= limit["measurable_serum"]) & ~(urine[:, :1] >= limit["measurable_urine"])
    no_chains = ~(chains[:, :1] >= limit["measurable_light_chains"])
    high = (nadir_before(serum) >= limit["high_serum"]) & (
        serum[:, 1:] - nadir_before(serum) >= limit["rise_serum_high"] - A_LITTLE
    )
    by_chains = no_protein & rose(chains, limit["rise_light_chains"] + 2 * A_LITTLE)
    by_cells = no_protein & no_chains & rose(cells, 0.0) & (cells[:, 1:] >= limit["rise_plasma_cells"])
    return high | rose(serum, limit["rise_serum"]) | rose(urine, limit["rise_urine"]) | by_chains | by_cells


def iwcll(
    largest_node: ArrayLike,
    node_product: ArrayLike,
    lymphocytes: ArrayLike,
    *,
    platelets: ArrayLike,
    haemoglobin: ArrayLike,
    anc: ArrayLike,
    spleen: ArrayLike | None = None,
    liver: ArrayLike | None = None,
    marrow: ArrayLike | None = None,
    nodules: ArrayLike | None = None,
    symptoms: ArrayLike | None = None,
    new_lesion: ArrayLike | None = None,
    cytopenia_from_cll: ArrayLike | None = None,
    edition: int = 2018,
) -> Codes:
    """Return CR, CRi, PR, SD or PD of chronic lymphocytic leukaemia (iwCLL) at each visit after the baseline.

    Args:
        largest_node: longest diameter of the largest node, cm, shape (patient, visit), baseline first.
        node_product: sum of products of the nodes, cm^2, same shape.
        lymphocytes: in blood, 1e9/L, same shape.
        platelets: 1e9/L, same shape.
        haemoglobin: g/dL, same shape.
        anc: neutrophils, cell/uL, same shape.
        spleen: length, cm, same shape; None for never enlarged.
        liver: centimetres below the ribs, same shape; None for never enlarged.
        marrow: lymphocytes in the marrow, percent, same shape; a CR needs it.
        nodules: lymphoid nodules in the marrow, same shape.
        symptoms: fever, night sweats, weight loss; same shape.
        new_lesion: a new lesion or transformation, same shape.
        cytopenia_from_cll: where a fall of platelets or haemoglobin is due to CLL and not to the treatment, same shape.
        edition: 2018 (two abnormal items of group A must improve: recalled) or 2008 (one: read).

    Raises:
        InputError: a wrong shape, a negative value or another edition.

    Source:
        ``iwclltable2008``; ``cllpractice2010`` table 4.
    """
    if edition not in (2008, 2018):
        raise InputError(f"edition must be 2008 or 2018, got {edition!r:.20}")
    limit = limits_of("iwcll")
    node = measured("largest_node", largest_node, 2)
    shape = node.shape
    given = {"node_product": node_product, "lymphocytes": lymphocytes, "platelets": platelets}
    given |= {"haemoglobin": haemoglobin, "anc": anc}
    values = {name: _optional(name, one, shape, np.nan) for name, one in given.items()}
    values |= {"node": node, "liver": _optional("liver", liver, shape, 0.0)}
    excess = _optional("spleen", spleen, shape, limit["normal_spleen"]) - limit["normal_spleen"]
    values |= {"spleen": np.where(np.isnan(excess), np.nan, np.maximum(excess, 0.0))}
    values |= {"marrow": _optional("marrow", marrow, shape, np.nan)}
    cleared = ~flags("nodules", nodules, shape) & ~flags("symptoms", symptoms, shape)
    normal, improved = _cll_group_a(values, limit[f"group_a_{edition}"])
    counts_normal, counts_fit = _cll_group_b(values)
    complete = normal & cleared[:, 1:]
    due = flags("cytopenia_from_cll", cytopenia_from_cll, shape)[:, 1:]
    progressed = _cll_progressed(values, due) | flags("new_lesion", new_lesion, shape)[:, 1:]
    evaluable = np.isfinite(node + values["node_product"] + values["lymphocytes"])[:, 1:]
    steps = [("PR", improved & counts_fit), ("CRi", complete), ("CR", complete & counts_normal), ("PD", progressed)]
    return graded(progressed.shape, steps, evaluable)


def _cll_group_a(values: dict[str, Reals], needed: float) -> tuple[Flags, Flags]:
    """Return where all of group A (tumour load) is normal, and where enough of what was abnormal has halved."""
    limit = limits_of("iwcll")
    normal = {
        "node": values["node"] <= limit["normal_node"],
        "spleen": values["spleen"] <= 0,
        "liver": values["liver"] <= 0,
        "lymphocytes": values["lymphocytes"] < limit["lymphocytes"],
        "marrow": values["marrow"] < limit["marrow"],
    }
    improved, abnormal = 0, 0
    for name, fits in normal.items():
        size = values["node_product" if name == "node" else name]
        was = ~fits[:, :1] & np.isfinite(size[:, :1])
        abnormal = abnormal + was
        improved = improved + (was & _fall(size, limit["decrease"]))
    all_normal = np.logical_and.reduce([fits[:, 1:] for fits in normal.values()])
    return all_normal, (improved >= np.minimum(needed, abnormal)) & (np.asarray(abnormal) > 0)


def _cll_group_b(values: dict[str, Reals]) -> tuple[Flags, Flags]:
    """Return where all of group B (blood counts) is normal, and where one of them is normal or has risen by half."""
    limit = limits_of("iwcll")
    names = ("platelets", "haemoglobin", "anc")
    normal = [values[name][:, 1:] > limit[name] for name in names]
    risen = [values[name][:, 1:] >= (1 + limit["improvement"]) * values[name][:, :1] for name in names]
    return np.logical_and.reduce(normal), np.logical_or.reduce([*normal, *risen])


def _cll_progressed(values: dict[str, Reals], due: Flags) -> Flags:
    """Return where nodes, spleen, liver or lymphocytes have grown by half, or counts fell because of CLL."""
    limit = limits_of("iwcll")
    factor = 1 + limit["increase"]

    def grew(name: str) -> Flags:
        return values[name][:, 1:] >= factor * nadir_before(values[name]) - A_LITTLE

    rise = values["spleen"][:, 1:] - nadir_before(values["spleen"])
    nodes = grew("node_product") & (values["node"][:, 1:] > limit["normal_node"])
    spleen = grew("spleen") & (rise >= limit["spleen_rise"] - A_LITTLE)
    liver = grew("liver") & (values["liver"][:, 1:] - nadir_before(values["liver"]) >= limit["spleen_rise"] - A_LITTLE)
    blood = grew("lymphocytes") & (values["lymphocytes"][:, 1:] > limit["lymphocytes_in_progression"])
    fewer = values["platelets"][:, 1:] <= (1 - limit["platelets_fall"]) * values["platelets"][:, :1] + A_LITTLE
    paler = values["haemoglobin"][:, :1] - values["haemoglobin"][:, 1:] > limit["haemoglobin_fall"] + A_LITTLE
    return nodes | spleen | liver | blood | (due & (fewer | paler))
