"""Response criteria and times to an event, on cases written by hand from the published tables."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.clinic.response import (
    RESPONSES,
    at_visits,
    best_response,
    code,
    confirm_progression,
    confirm_response,
    limits_of,
    limits_table,
    lugano_ct,
    lugano_pet,
    recist,
    response_names,
    sphere_diameter,
)
from livingdrug.clinic.response_blood import b_all, imwg, iwcll, mrd_negative
from livingdrug.clinic.survival_rules import FollowUp, endpoint_rule, endpoint_rules, time_to_event
from livingdrug.errors import InputError
from livingdrug.sources import cite

NAN = np.nan


def codes(*patients):
    return np.array([[code(name) for name in visits] for visits in patients], np.int8)


def names(found):
    return response_names(found).tolist()


def one(*visits):
    """One patient: per visit one number or a tuple of lesions, shape (1, visit, lesion)."""
    return np.array([[np.atleast_1d(visit) for visit in visits]], float)


# ------------------------------------------------------------------------------------------------ Lugano 2014
# Table 2 of the paper on the criteria (and its rows restated elsewhere); longest and shortest diameters in cm.
LUGANO = [
    ("all nodes 1.5 cm or less is CR", [(4, 3), (1.5, 1.5)], [(4, 3), (1.5, 1.5)], "CR"),
    ("one node above 1.5 cm is no CR", [(4, 3), (1.6, 1.0)], [(4, 3), (1.5, 1.0)], "PR"),
    ("sum of products halved is PR", [(4,), (4,)], [(4,), (2,)], "PR"),
    ("a little less than half is SD", [(4,), (4,)], [(4,), (2.1,)], "SD"),
    ("small node: + 50 % and + 0.5 cm is PD", [(2.0,), (2.5,)], [(1.0,), (1.2,)], "PD"),
    ("small node: + 0.4 cm is not enough", [(1.6,), (2.0,)], [(1.0,), (1.3,)], "SD"),
    ("large node: + 0.9 cm is not enough", [(3.0,), (3.9,)], [(2.0,), (2.4,)], "SD"),
    ("large node: + 1.0 cm and + 50 % is PD", [(3.0,), (4.0,)], [(2.0,), (2.3,)], "PD"),
    ("+ 1.0 cm without + 50 % is SD", [(5.0,), (6.0,)], [(4.0,), (4.0,)], "SD"),
    ("one lesion may progress while the sum falls", [(8, 2.0), (2, 3.0)], [(8, 2.0), (2, 2.0)], "PD"),
    ("a grown node that stays at 1.5 cm is not abnormal", [(0.8,), (1.5,)], [(0.8,), (1.5,)], "CR"),
]


@pytest.mark.parametrize(("case", "longest", "shortest", "expected"), LUGANO)
def test_lugano_ct_cells(case, longest, shortest, expected):
    assert names(lugano_ct(one(*longest), one(*shortest))) == [[expected]], case


def test_lugano_progression_is_counted_from_the_nadir():
    node = one(4, 1, 1.4, 2.0)  # from 1 cm: + 1 cm and fourfold product
    assert names(lugano_ct(node, node)) == [["CR", "CR", "PD"]]


def test_lugano_new_lesion_marrow_and_other_disease():
    node = one(4, 1, 1, 1)
    yes = np.array([[False, False, True, False]])
    assert names(lugano_ct(node, node, new_lesion=yes)) == [["CR", "PD", "CR"]]
    assert names(lugano_ct(node, node, other_disease=yes)) == [["CR", "PR", "CR"]]
    came = np.array([[False, False, True, True]])
    assert names(lugano_ct(node, node, marrow=came))[0][1] == "PD"
    stayed = np.array([[True, True, True, False]])
    assert names(lugano_ct(node, node, marrow=stayed)) == [["PR", "PR", "CR"]]


@pytest.mark.parametrize(
    ("spleen", "expected"),
    [
        ((12, 13), "CR"),  # up to 13 cm is normal
        ((17, 13), "CR"),
        ((17, 14.9), "PR"),  # regressed by more than half of the 4 cm beyond normal
        ((17, 15), "SD"),  # by exactly half: not more than half
        ((15, 16.1), "PD"),  # "a 15 cm spleen must increase to > 16 cm"
        ((15, 16), "SD"),
        ((12, 14), "PD"),  # none before: at least 2 cm
        ((12, 13.9), "SD"),
        ((12, NAN), "NE"),
    ],
)
def test_lugano_spleen(spleen, expected):
    node = one(4, 1)
    assert names(lugano_ct(node, node, spleen=[spleen])) == [[expected]]


def test_lugano_missing_visits_and_lesions():
    node = one((4, 3), (NAN, NAN), (1, NAN), (5, NAN), (1, 1))
    found = names(lugano_ct(node, node))
    assert found == [["NE", "NE", "PD", "CR"]], "what is measured may show progression, never a remission"


def test_a_lesion_that_was_none_at_baseline_is_no_target():
    node = one((4, NAN), (2, 3))
    assert names(lugano_ct(node, node)) == [["PR"]]


# Five-point score, change of uptake, new foci: the four metabolic responses.
@pytest.mark.parametrize(
    ("score", "change", "foci", "expected"),
    [(1, 0, False, "CR"), (3, -1, False, "CR"), (4, -1, False, "PR"), (5, -1, False, "PR"), (4, 0, False, "SD"),
     (5, 0, False, "SD"), (4, 1, False, "PD"), (5, 1, False, "PD"), (2, -1, True, "PD"), (5, -1, True, "PD"),
     (NAN, NAN, False, "NE"), (4, NAN, False, "NE")],
)  # fmt: skip
def test_lugano_pet_cells(score, change, foci, expected):
    assert names(lugano_pet([[5, score]], [[0, change]], new_foci=np.array([[False, foci]]))) == [[expected]]


def test_lugano_pet_marrow_forbids_a_complete_response():
    assert names(lugano_pet([[5, 2]], [[0, -1]], marrow=np.array([[True, True]]))) == [["PR"]]


# -------------------------------------------------------------------------------------------------- RECIST 1.1
@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(60, 40), (0, 0)], "CR"),
        ([(60, 40), (0, 9.9)], "CR"),  # the second lesion is a node: below 10 mm
        ([(60, 40), (0, 10)], "PR"),
        ([(60, 40), (1, 9)], "PR"),  # the first is none: it must be gone
        ([(60, 40), (40, 30)], "PR"),  # 30 % less
        ([(60, 40), (41, 30)], "SD"),
        ([(60, 40), (70, 49)], "SD"),  # 19 % more
        ([(60, 40), (70, 50)], "PD"),  # 20 % more and 20 mm
        ([(60, 40), (NAN, 30)], "NE"),
        ([(60, 40), (NAN, 130)], "PD"),
    ],
)
def test_recist_cells(sizes, expected):
    assert names(recist(one(*sizes), node=[False, True])) == [[expected]]


def test_recist_counts_from_the_smallest_sum_and_needs_5_mm():
    assert names(recist(one(100, 20, 24, 25))) == [["PR", "PR", "PD"]]  # 24: + 20 % but only 4 mm; 25: + 25 %, 5 mm


def test_recist_other_lesions():
    size = one(100, 0, 0, 0)
    assert names(recist(size, other=[[1, 1, 0, 2]])) == [["PR", "CR", "PD"]]
    assert names(recist(size, new_lesion=np.array([[False, False, True, False]]))) == [["CR", "PD", "CR"]]


# ------------------------------------------------------------------------------------------------------- B-ALL
# Label of tisa-cel, section 14.1.
@pytest.mark.parametrize(
    ("marrow", "blood", "platelets", "anc", "expected"),
    [
        (4.9, 0.9, 101, 1001, "CR"),
        (4.9, 0.9, 100, 1001, "CRi"),
        (4.9, 0.9, 101, 1000, "CRi"),
        (5.0, 0.0, 200, 3000, "SD"),
        (2.0, 1.0, 200, 3000, "SD"),
        (NAN, 0.0, 200, 3000, "NE"),
        (NAN, 3.0, 200, 3000, "SD"),
    ],
)
def test_b_all_cells(marrow, blood, platelets, anc, expected):
    found = b_all([[60, marrow]], [[20, blood]], platelets=[[30, platelets]], anc=[[100, anc]])
    assert names(found) == [[expected]]


def test_b_all_transfusion_extramedullary_relapse_and_mrd():
    blasts = [[60, 1, 1, 1, 8]]
    rest = {"platelets": [[20, 150, 150, 150, 150]], "anc": [[100, 2000, 2000, 2000, 2000]]}
    helped = np.array([[False, True, False, False, False]])
    assert names(b_all(blasts, np.zeros((1, 5)), **rest, transfused=helped)) == [["CRi", "CR", "CR", "PD"]]
    outside = np.array([[False, False, False, True, False]])
    found = b_all(blasts, np.zeros((1, 5)), **rest, extramedullary=outside)
    assert names(found) == [["CR", "CR", "PD", "PD"]]
    assert mrd_negative(found, [[0.0099, 0.01, 0.0, 0.0]]).tolist() == [[True, False, False, False]]


def test_remission_must_be_kept_for_28_days():
    # Label, table 11, note 1: maintained for at least 28 days without relapse.
    days = [28, 42, 60]
    kept, lost, short = ("CR", "CRi", "CR"), ("CR", "SD", "CR"), ("CR", "CR", "NE")
    found = confirm_response(codes(kept, lost, short), days, "b_all")
    assert names(found)[0][0] == "CRi", "the lowest remission in between is what was kept"
    assert names(found)[1][0] == "SD"
    assert names(found)[2][0] == "SD"


# -------------------------------------------------------------------------------------------------------- IMWG
BASE = {"serum": 4.0, "urine": 1000.0}


@pytest.mark.parametrize(
    ("serum", "urine", "expected"),
    [
        (0.4, 99, "VGPR"),  # 90 % less, urine below 100 mg
        (0.4, 100, "PR"),
        (0.41, 50, "PR"),
        (2.0, 100, "PR"),  # 50 % less and urine 90 % less
        (2.0, 199, "PR"),  # or urine below 200 mg
        (2.0, 300, "MR"),  # serum fits, urine only 70 % less
        (3.0, 500, "MR"),  # 25 % and 50 % less
        (3.1, 500, "SD"),
        (5.0, 1000, "PD"),  # 25 % and 1 g/dL more
        (4.9, 1000, "SD"),
        (4.0, 1249, "SD"),
        (4.0, 1250, "PD"),  # 25 % and 250 mg more
        (NAN, 50, "NE"),
        (NAN, 2000, "PD"),
    ],
)
def test_imwg_cells(serum, urine, expected):
    assert names(imwg([[BASE["serum"], serum]], [[BASE["urine"], urine]])) == [[expected]]


def test_imwg_progression_from_the_nadir_needs_half_a_gram():
    # Serum alone: 4 -> 0.3 -> 0.7 (more than 25 %, but only 0.4 g/dL) -> 0.8 (0.5 g/dL).
    assert names(imwg([[4, 0.3, 0.7, 0.8]], [[0, 0, 0, 0]])) == [["VGPR", "PR", "PD"]]
    # From a nadir of 5 g/dL or more, 1 g/dL suffices even below 25 %.
    assert names(imwg([[9, 6, 7]], [[0, 0, 0]])) == [["MR", "PD"]]


def test_imwg_complete_responses_need_immunofixation_marrow_and_more():
    serum, urine, yes = [[4, 0.0]], [[0, 0.0]], np.array([[False, True]])
    no = np.array([[True, False]])
    assert names(imwg(serum, urine)) == [["VGPR"]]
    assert names(imwg(serum, urine, immunofixation_negative=yes)) == [["VGPR"]]
    complete = {"immunofixation_negative": yes, "marrow": [[60, 4.9]]}
    assert names(imwg(serum, urine, **complete)) == [["CR"]]
    assert names(imwg(serum, urine, **{**complete, "marrow": [[60, 5.0]]})) == [["VGPR"]]
    strict = {**complete, "light_chain_ratio_normal": yes, "clonal_cells": no}
    assert names(imwg(serum, urine, **strict)) == [["sCR"]]
    assert names(imwg(serum, urine, **strict, plasmacytoma=[[4, 1]])) == [["VGPR"]]
    assert names(imwg(serum, urine, **strict, plasmacytoma=[[4, 3]])) == [["SD"]], "it must halve for any response"
    assert names(imwg(serum, urine, **strict, new_lesion=yes)) == [["PD"]]


def test_imwg_without_measurable_protein():
    low = [[0.5, 0.5, 0.5]]
    nothing = [[0, 0, 0]]
    assert names(imwg(low, nothing, light_chains=[[40, 20, 31]])) == [["PR", "PD"]]  # 11 mg/dL and 55 % more
    assert names(imwg(low, nothing, light_chains=[[40, 20, 30]])) == [
        ["PR", "MR"]
    ]  # exactly 10 mg/dL: not more than 10
    assert names(imwg(low, nothing, marrow=[[40, 20, 9]])) == [["PR", "PR"]]
    assert names(imwg(low, nothing, marrow=[[29, 2, 2]])) == [["NE", "NE"]], "nothing that could be measured"


def test_imwg_large_urine_protein_and_a_marrow_that_fills_again():
    assert names(imwg([[0, 0, 0]], [[4000, 400, 410]])) == [["PR", "MR"]]  # 90 % less suffices above 200 mg
    assert names(imwg([[0.5] * 4], [[0] * 4], marrow=[[40, 4, 9, 10]])) == [["PR", "PR", "PD"]]  # 10 % at least


def test_imwg_what_is_measurable():
    # Recalled: serum from 1 g/dL, urine from 200 mg/day, light chains from 10 mg/dL.
    assert names(imwg([[1.0, 0.5], [0.9, 0.4]], [[0, 0], [0, 0]])) == [["PR"], ["NE"]]
    assert names(imwg([[0, 0], [0, 0]], [[200, 10], [199, 10]])) == [["VGPR"], ["NE"]]
    assert names(imwg([[0, 0], [0, 0]], [[0, 0], [0, 0]], light_chains=[[10, 5], [9.9, 4]])) == [["PR"], ["NE"]]


def test_minimal_residual_disease_of_myeloma_and_cll():
    seen = codes(("CR", "sCR", "PR"))
    assert mrd_negative(seen, [[0.0009, 0.001, 0.0]], "imwg").tolist() == [[True, False, False]]
    assert mrd_negative(seen, [[0.0099, 0.01, 0.0]], "iwcll").tolist() == [[True, False, False]]
    with pytest.raises(InputError, match="set of criteria with residual disease"):
        mrd_negative(seen, [[0, 0, 0]], "recist")


def test_imwg_responses_are_confirmed_by_the_next_assessment():
    found = confirm_response(codes(("VGPR", "PR", "CR", "CR")), [28, 56, 84, 112], "imwg")
    assert names(found) == [["VGPR", "PR", "CR", "SD"]]


# ------------------------------------------------------------------------------------------------------- iwCLL
def cll(
    node=(5, 1), product=(40, 1), lymphocytes=(80, 2), platelets=(80, 150), haemoglobin=(9, 12), anc=(800, 2000), **more
):
    two = {"platelets": [platelets], "haemoglobin": [haemoglobin], "anc": [anc]}
    return names(iwcll([node], [product], [lymphocytes], **two, **more))[0][0]


def test_iwcll_complete_remission():
    assert cll(marrow=[[90, 29]]) == "CR"
    assert cll() == "PR", "without a marrow there is no CR"
    assert cll(marrow=[[90, 30]]) == "PR"
    assert cll(marrow=[[90, 10]], platelets=(80, 100)) == "CRi"
    assert cll(marrow=[[90, 10]], haemoglobin=(9, 11)) == "CRi"
    assert cll(marrow=[[90, 10]], anc=(800, 1500)) == "CRi"
    assert cll(marrow=[[90, 10]], node=(5, 1.6)) == "PR"
    assert cll(marrow=[[90, 10]], lymphocytes=(80, 4)) == "PR"
    assert cll(marrow=[[90, 10]], symptoms=np.array([[True, True]])) == "PR"
    assert cll(marrow=[[90, 10]], nodules=np.array([[True, True]])) == "PR"
    assert cll(marrow=[[90, 10]], spleen=[[20, 14]]) == "PR"


def test_iwcll_partial_remission_of_the_two_editions():
    # Nodes halved, lymphocytes not: one of two abnormal items of group A.
    assert cll(product=(40, 20), node=(5, 3), lymphocytes=(80, 60)) == "SD"
    assert cll(product=(40, 20), node=(5, 3), lymphocytes=(80, 60), edition=2008) == "PR"
    assert cll(product=(40, 20), node=(5, 3), lymphocytes=(80, 40)) == "PR"
    # Two of three abnormal items suffice.
    assert cll(product=(40, 20), node=(5, 3), lymphocytes=(80, 40), spleen=[[18, 18]]) == "PR"
    # If only one item is abnormal, that one.
    assert cll(product=(40, 20), node=(5, 3), lymphocytes=(3, 3)) == "PR"
    # Group B: one count normal or risen by half.
    low = {"platelets": (50, 60), "haemoglobin": (8, 9), "anc": (800, 900)}
    assert cll(**low) == "SD"
    assert cll(**{**low, "platelets": (50, 75)}) == "PR"


def test_iwcll_progression():
    assert cll(product=(40, 60), node=(5, 6)) == "PD"
    assert cll(product=(40, 59), node=(5, 6)) != "PD"
    assert cll(lymphocytes=(80, 120), product=(40, 40), node=(5, 5)) == "PD"
    assert cll(lymphocytes=(2, 4.9), product=(40, 40), node=(5, 5)) == "SD", "lymphocytes above 5e9/L only"
    assert cll(lymphocytes=(2, 5.1), product=(40, 40), node=(5, 5)) == "PD"
    assert cll(spleen=[[15, 17]]) == "PD"
    due = np.array([[False, True]])
    assert cll(platelets=(200, 100), cytopenia_from_cll=due) == "PD"
    assert cll(platelets=(200, 100)) != "PD", "low counts after the treatment are no progression"
    assert cll(haemoglobin=(13, 10.9), cytopenia_from_cll=due) == "PD"
    assert cll(haemoglobin=(13, 11), cytopenia_from_cll=due) != "PD"
    assert cll(new_lesion=due) == "PD"
    assert cll(lymphocytes=(80, NAN)) == "NE"


# ------------------------------------------------------------------------- confirmation and pseudo-progression
def test_confirmation_of_a_response():
    # RECIST table: at least 4 weeks later; a stable visit in between does not break it, progression does.
    days = [28, 49, 84]
    cases = codes(("PR", "PR", "PR"), ("PR", "SD", "PR"), ("PR", "PD", "PR"), ("PR", "PR", "PD"), ("CR", "NE", "PR"))
    found = names(confirm_response(cases, days, "recist"))
    assert [visits[0] for visits in found] == ["PR", "PR", "SD", "SD", "PR"]
    assert found[0][1] == "PR", "day 84 is 35 days after day 49"
    assert found[2][1] == "PD", "progression needs no confirmation here"
    assert names(confirm_response(codes(("PR", "PR")), [28, 55], "recist")) == [["SD", "SD"]], "27 days: too early"


def test_pseudo_progression():
    days = [28, 56, 84]
    real, pseudo, open_case, near = ("PD", "PD", "PD"), ("PD", "PR", "CR"), ("SD", "PR", "PD"), ("PD", "NE", "SD")
    found = names(confirm_progression(codes(real, pseudo, open_case, near), days))
    assert found[0][0] == "PD"
    assert found[1] == ["SD", "PR", "CR"]
    assert found[2] == ["SD", "PR", "PD"], "without a later visit it stays progression"
    assert found[3][0] == "SD"
    assert names(confirm_progression(codes(open_case), days, unconfirmed="SD")) == [["SD", "PR", "SD"]]


def test_pseudo_progression_needs_a_further_rise_of_5_mm():
    days, both = [28, 56], codes(("PD", "PD"), ("PD", "PD"))
    found = names(confirm_progression(both, days, size=[[60, 64], [60, 65]]))
    assert [visits[0] for visits in found] == ["SD", "PD"]


def test_a_visit_that_comes_too_early_confirms_nothing():
    found = confirm_progression(codes(("PD", "PD", "PR")), [28, 40, 84])
    assert names(found) == [["SD", "SD", "PR"]]


def test_best_response():
    days = [28, 56, 84]
    table = codes(("SD", "PR", "CR"), ("PR", "PD", "CR"), ("NE", "NE", "NE"), ("PD", "CR", "CR"), ("SD", "PR", "CR"))
    assert names(best_response(table, days)) == ["CR", "PR", "NE", "PD", "CR"]
    assert names(best_response(table, days, until=[NAN, NAN, NAN, NAN, 60])) == ["CR", "PR", "NE", "PD", "PR"]


def test_responses_stand_from_worst_to_best():
    assert RESPONSES.index("NE") < RESPONSES.index("PD") < RESPONSES.index("SD") < RESPONSES.index("PR")
    assert RESPONSES.index("PR") < RESPONSES.index("CRi") < RESPONSES.index("CR") < RESPONSES.index("sCR")


# ------------------------------------------------------------------------------------------- times to an event
DAYS = [28, 90, 180, 270, 360]


def run(rule, *patients, last=400.0, **events):
    """Time to the event of patients given by the names of their responses."""
    size = len(patients)
    every = {name: np.broadcast_to(np.asarray(value, float), (size,)) for name, value in events.items()}
    found = time_to_event(rule, FollowUp(days=DAYS, codes=codes(*patients), last_contact=[last] * size, **every))
    return list(zip(found.day.tolist(), found.event.tolist(), found.reason.tolist(), strict=True))


GOOD = ("PR", "CR", "CR", "CR", "CR")


def test_progression_is_dated_to_the_visit_that_first_shows_it():
    assert run("pfs_fda", ("PR", "PR", "PD", "PD", "PD")) == [(180, True, "progression")]


def test_no_event_is_censored_at_the_last_evaluated_visit():
    assert run("pfs_fda", GOOD) == [(360, False, "no event so far")]
    assert run("pfs_fda", ("PR", "CR", "NE", "NE", "NE")) == [(90, False, "no event so far")]
    assert run("pfs_fda", ("NE",) * 5) == [(0, False, "no event so far")]


def test_death_without_progression_is_an_event():
    assert run("pfs_fda", ("PR", "CR", "CR", "NE", "NE"), death=200, last=200) == [(200, True, "death")]
    assert run("os", ("PR", "CR", "CR", "NE", "NE"), death=200, last=200) == [(200, True, "death")]


def test_one_missed_visit_is_forgiven_and_two_are_not():
    # US guidance, appendix 3, table A: deaths after two or more missed visits are censored at the last visit.
    one_missed, two_missed = ("PR", "CR", "NE", "PD", "PD"), ("PR", "CR", "NE", "NE", "PD")
    assert run("pfs_fda", one_missed) == [(270, True, "progression")]
    assert run("pfs_fda", two_missed) == [(90, False, "missed visits")]
    assert run("pfs_fda", ("PR", "CR", "NE", "NE", "NE"), death=300, last=300) == [(90, False, "missed visits")]
    assert run("pfs_fda", ("PR", "CR", "NE", "NE", "NE"), death=200, last=200) == [(200, True, "death")]
    assert run("pfs_all_events", two_missed) == [(360, True, "progression")]


def test_new_therapy_censors_at_the_visit_before():
    late = ("PR", "CR", "CR", "PD", "PD")
    assert run("pfs_fda", late, new_therapy=200) == [(180, False, "new therapy")]
    assert run("pfs_fda", late, transplant=100) == [(90, False, "transplant")]
    assert run("pfs_fda", late, new_therapy=270) == [(270, True, "progression")], "on the same day the event counts"
    assert run("pfs_all_events", late, new_therapy=200) == [(270, True, "progression")]
    assert run("efs_second_line", late, new_therapy=200) == [(200, True, "new therapy")]
    assert run("os", late, new_therapy=200, last=390) == [(390, False, "no event so far")]


def test_duration_of_response():
    found = run("dor_tisa_cel_lymphoma", ("SD", "PR", "CR", "PD", "PD"), ("SD", "SD", "PD", "PD", "PD"))
    assert found[0] == (180, True, "progression")  # day 90 to day 270
    assert np.isnan(found[1][0])
    assert found[1][1:] == (False, "no response")


def test_death_of_another_cause_ends_the_watching_where_only_death_of_disease_counts():
    # Label of tisa-cel, table 11, note 7: death due to underlying cancer.
    table = codes(*[("CRi", "CR", "NE", "NE", "NE")] * 2)
    of_disease, day = np.array([True, False]), [150, 150]
    visits = FollowUp(days=DAYS, codes=table, last_contact=day, death=day, death_of_disease=of_disease)
    found = time_to_event("dor_tisa_cel_b_all", visits)
    assert found.day.tolist() == [122, 62]
    assert found.event.tolist() == [True, False]
    assert found.reason.tolist() == ["disease death", "death of another cause"]


def test_event_free_survival_counts_no_response():
    none, dead, early = ("SD", "SD", "SD", "SD", "SD"), ("SD", "NE", "NE", "NE", "NE"), ("CR", "CR", "PD", "PD", "PD")
    assert run("efs_b_all", none) == [(91, True, "no response")]
    assert run("efs_second_line", none) == [(150, True, "no response")]
    assert run("efs_b_all", dead, death=60, last=60) == [(60, True, "death")]
    assert run("efs_b_all", early) == [(180, True, "progression")]
    assert run("efs_b_all", dead, last=60) == [(28, False, "no event so far")], "not watched long enough to know"


def test_eliana_by_its_protocol():
    """odac2017, section 5.1.4.5: transplant and two missed visits censor; failure, relapse and death are events."""
    lost = ("CRi", "CR", "NE", "NE", "PD")
    assert run("dor_eliana", lost) == [(62, False, "missed visits")]
    assert run("dor_eliana", ("CRi", "CR", "NE", "PD", "PD")) == [(242, True, "progression")]
    assert run("dor_eliana", ("CRi", "CR", "CR", "PD", "PD"), transplant=200) == [(152, False, "transplant")]
    assert run("efs_eliana", ("SD",) * 5) == [(91, True, "no response")]
    assert run("efs_eliana", ("CR", "CR", "PD", "PD", "PD")) == [(180, True, "progression")]
    assert run("efs_eliana", ("CR", "CR", "NE", "NE", "NE"), death=200, last=200) == [(200, True, "death")]


def test_pseudo_progression_moves_the_day_of_progression():
    raw = codes(("PD", "PR", "CR", "PD", "PD"))
    for table, day in ((raw, 28), (confirm_progression(raw, DAYS), 270)):
        found = time_to_event("pfs_fda", FollowUp(days=DAYS, codes=table, last_contact=[400]))
        assert found.day.tolist() == [day]


def test_an_unconfirmed_response_starts_no_clock():
    raw = codes(("PR", "SD", "SD", "PD", "PD"))
    visits = FollowUp(days=DAYS, codes=confirm_response(raw, DAYS, "recist"), last_contact=[400])
    assert time_to_event("dor_tisa_cel_lymphoma", visits).reason.tolist() == ["no response"]


def test_patients_do_not_touch_each_other():
    rng = np.random.default_rng(5)
    table = rng.integers(0, 8, (200, 5)).astype(np.int8)
    new = np.where(rng.random(200) < 0.3, rng.uniform(0, 360, 200), NAN)
    whole = time_to_event(
        "pfs_fda", FollowUp(days=DAYS, codes=table, last_contact=np.full(200, 400.0), new_therapy=new)
    )
    for row in range(0, 200, 17):
        alone = FollowUp(days=DAYS, codes=table[row : row + 1], last_contact=[400], new_therapy=new[row : row + 1])
        found = time_to_event("pfs_fda", alone)
        assert found.day[0] == whole.day[row]
        assert found.event[0] == whole.event[row]


def test_events_and_censoring_of_any_course_make_sense():
    # Whatever the visits: PFS never ends after OS, an event of PFS is progression or death, and days are within reach.
    rng = np.random.default_rng(6)
    size = 500
    death = np.where(rng.random(size) < 0.4, rng.uniform(1, 400, size), NAN)
    table = rng.integers(0, 8, (size, 5)).astype(np.int8)
    end = np.where(np.isnan(death), 400.0, death)
    table[np.array(DAYS)[None, :] > end[:, None]] = code("NE")
    visits = FollowUp(days=DAYS, codes=table, last_contact=end, death=death)
    pfs, alive = time_to_event("pfs_lymphoma", visits), time_to_event("os", visits)
    assert (pfs.day <= alive.day).all()
    assert set(pfs.reason[pfs.event]) <= {"progression", "death"}
    assert (alive.event == np.isfinite(death)).all()
    assert ((pfs.day >= 0) & (pfs.day <= 400)).all()


@pytest.mark.parametrize("name", endpoint_rules())
def test_every_endpoint_rule_has_source_mark_and_known_words(name):
    rule = endpoint_rule(name)
    assert cite(rule.source).title
    assert rule.mark in ("read", "recalled", "assumed")
    assert set(rule.events) <= {"progression", "death", "disease_death", "no_response", "new_therapy"}
    assert rule.new_therapy in ("censor", "event", "ignore")
    assert rule.transplant in ("censor", "ignore")
    assert ("new_therapy" in rule.events) == (rule.new_therapy == "event")
    assert rule.start in ("infusion", "response")
    assert rule.censor_at in ("last_assessment", "last_contact")
    found = time_to_event(rule, FollowUp(days=DAYS, codes=codes(GOOD), last_contact=[400]))
    assert found.to_frame()["note"].tolist() == ["not for clinical use"]


def test_every_limit_has_a_source_and_a_mark():
    table = limits_table()
    assert len(table) > 50
    assert set(table["mark"]) <= {"read", "recalled", "assumed"}
    for key in set(table["source"]):
        assert cite(key).title
    assert limits_of("lugano_ct")["normal_spleen"] == 13


# ------------------------------------------------------------------------------------------ simulated burden
def test_a_simulated_burden_is_measured_at_visits():
    days = np.linspace(0, 100, 11)
    volume = np.stack([np.linspace(100, 0, 11), np.full(11, 50.0)])
    seen = at_visits(days, volume, [0, 50, 100])
    assert seen[0].tolist() == [100, 50, 0]
    across = sphere_diameter(seen)
    assert across[0, 0, 0] == pytest.approx((600 / np.pi) ** (1 / 3))
    # A sphere that lost half of its volume keeps 63 % of its product: stable; at zero it is gone.
    assert names(lugano_ct(across, across)) == [["SD", "CR"], ["SD", "SD"]]
    assert names(recist(10 * across)) == [["SD", "CR"], ["SD", "SD"]]
    assert sphere_diameter([[8.0]], lesions=8)[0, 0] == pytest.approx([(6 / np.pi) ** (1 / 3)] * 8)


def test_bad_input_is_said():
    node = one(4, 1)
    with pytest.raises(InputError, match="0 or more, got -1 for patient row 0 at visit 1"):
        lugano_ct(one(4, -1), node)
    with pytest.raises(InputError, match="axes patients × visits"):
        lugano_ct(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(InputError, match="one shape"):
        lugano_ct(one(4, 1), one((4, 3), (1, 1)))
    with pytest.raises(InputError, match="new_lesion must be True or False"):
        lugano_ct(node, node, new_lesion=[[0, 1]])
    with pytest.raises(InputError, match="from 1 to 5"):
        lugano_pet([[5, 6]], [[0, 0]])
    with pytest.raises(InputError, match="-1, 0 or 1"):
        lugano_pet([[5, 4]], [[0, 2]])
    with pytest.raises(InputError, match="edition must be 2008 or 2018"):
        cll(edition=1996)
    with pytest.raises(InputError, match="unknown response 'PRR'"):
        code("PRR")
    with pytest.raises(InputError, match="must be finite and ascend"):
        best_response(codes(("PR", "CR")), [56, 28])
    with pytest.raises(InputError, match="codes must be whole numbers from 0 to 8"):
        best_response([[9, 1]], [28, 56])
    with pytest.raises(InputError, match="evaluated on day 90, after death or last contact on 60"):
        FollowUp(days=DAYS, codes=codes(GOOD), last_contact=[400], death=[60])
    with pytest.raises(InputError, match="one day of 0 or more for each of 1 patients"):
        FollowUp(days=DAYS, codes=codes(GOOD), last_contact=[400], new_therapy=[-3])
    with pytest.raises(InputError, match="did you mean 'pfs_fda'"):
        endpoint_rule("pfs_fdaa")
    with pytest.raises(InputError, match="visits must lie within the course"):
        at_visits([0, 10], [[1, 2]], [11])
    with pytest.raises(InputError, match="set of criteria with confirmation"):
        confirm_response(codes(("PR", "PR")), [28, 56], "lugano_ct")
    with pytest.raises(InputError, match="set of response criteria"):
        limits_of("lugano")
