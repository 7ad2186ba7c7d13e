"""An arm of a trial of the twin: patients of their own, blocks that do not matter, events that fit together."""

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.trials.measures import Measure, value
from livingdrug.trials.outcomes import COLUMNS, Outcomes
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.replicates import endpoint_table
from livingdrug.trials.side_effects import episode, scale_outcomes, terms_grade
from livingdrug.trials.simulate import Treated, enrolled, simulate_arm

ELIANA, ZUMA_7 = Protocol.builtin("eliana"), Protocol.builtin("zuma-7")
IDS = np.arange(1, 81)


@pytest.fixture(scope="module")
def eliana():
    return simulate_arm(ELIANA, "tisa-cel", IDS, 1, days=400, threads=2)


def same(one, other):
    assert set(one) == set(other)
    for name in one:
        texts = one[name].dtype.kind == "U"
        assert (
            np.array_equal(one[name], other[name]) if texts else np.array_equal(one[name], other[name], equal_nan=True)
        ), name


def test_blocks_and_threads_do_not_matter(eliana):
    parts = [simulate_arm(ELIANA, "tisa-cel", ids, 1, days=400, threads=1) for ids in (IDS[:23], IDS[23:30], IDS[30:])]
    same(Outcomes.joined(parts), eliana)


def test_another_seed_gives_other_patients(eliana):
    other = simulate_arm(ELIANA, "tisa-cel", IDS[:10], 2, days=100)
    assert not np.array_equal(other["weight_kg"], eliana["weight_kg"][:10])


def test_every_enrolled_patient_has_a_row(eliana):
    assert eliana.ids.tolist() == IDS.tolist()
    assert set(COLUMNS) <= set(eliana)
    left = ~eliana["infused"]
    assert 0 < left.sum() < 40
    assert np.array_equal(left, eliana["left_reason"] != "")
    for name in ("cmax", "response_day", "crs_penn", "dose_cells", "infusion_day_from_enrolment", "transplant_day"):
        assert np.isnan(eliana[name][left]).all()
    assert np.isfinite(eliana["day0_from_enrolment"]).all()
    assert eliana["solved"][~left].all()


def test_days_fit_together(eliana):
    end = eliana["last_followed_day"]
    assert np.all((end >= 0) & (end <= 400))
    for name in ("progression_day", "death_day", "transplant_day", "new_therapy_day", "response_day", "cr_day"):
        assert np.all(~(eliana[name] > end)), name
    assert not np.any(eliana["cr_day"] < eliana["response_day"])
    assert not np.any(eliana["response_day"] > eliana["progression_day"])
    assert np.array_equal(np.isfinite(eliana["death_day"]), eliana["death_cause"] != "")
    dead = np.isfinite(eliana["death_day"])
    assert np.array_equal(end[dead], eliana["death_day"][dead])
    seen = eliana["infused"] & np.isfinite(eliana["tlast"])
    assert np.all(eliana["tmax"][seen] <= eliana["tlast"][seen])
    assert np.all(eliana["tlast"][seen] <= end[seen])


def test_grades_and_treatment_fit_together(eliana):
    given = eliana["infused"]
    for scale in ELIANA.scales["crs"]:
        grade, onset = eliana[f"crs_{scale}"][given], eliana[f"crs_onset_{scale}"][given]
        assert np.array_equal(grade > 0, np.isfinite(onset))
        assert set(grade) <= set(range(6))
        to_3 = eliana[f"crs_days_to_3_{scale}"][given]
        assert np.array_equal(grade >= 3, np.isfinite(to_3))
    assert np.array_equal(eliana["tocilizumab"], eliana["tocilizumab_doses"] > 0)
    assert np.all(eliana["icu"][eliana["vasopressor"]])
    # practice of the period: tocilizumab for severe CRS only
    assert np.all(eliana["crs_lee"][eliana["tocilizumab"]] >= 3)


def test_support_is_given_and_felt(eliana):
    """Columns of support say what was given; without it the same patients have fewer neutrophils on day 28."""
    given = eliana["infused"]
    assert 0.2 < eliana["g_csf"][given].mean() < 1
    assert eliana["platelet_transfusion"][given].any()
    assert not eliana["g_csf"][~given].any()
    arm = ELIANA.arms[0]
    ill, waited = enrolled(ELIANA, IDS.astype(np.uint64), 1)
    who = ill.take(np.flatnonzero(waited.infused))
    counts = []
    for support in ((), ("g_csf",)):
        treated = Treated(ELIANA, arm, who, 1, {}, 60.0, {"threads": 1, "rtol": None})
        treated.support = support
        treated.course()
        counts.append(treated.on(28.0, "neutrophils"))
    helped = (treated.watched.supported["g_csf"] > 0).any(axis=1)
    assert np.array_equal(eliana["g_csf"][given] & ~helped, np.zeros(helped.size, bool))
    assert np.median(counts[1][helped]) > np.median(counts[0][helped])
    assert np.array_equal(counts[1][~helped], counts[0][~helped])


def test_rounds_go_on_to_the_eighth_week_or_the_end():
    arm, ids = ELIANA.arms[0], np.arange(1, 5, dtype=np.uint64)
    ill, _ = enrolled(ELIANA, ids, 1)
    rounds = Treated(ELIANA, arm, ill, 1, {}, 400.0, {}).rounds()
    assert rounds[-5:] == (28.0, 35.0, 42.0, 49.0, 56.0)
    assert Treated(ELIANA, arm, ill, 1, {}, 40.0, {}).rounds()[-1] == 35.0
    early = ELIANA.model_copy(
        update={"grading": ELIANA.grading.model_copy(update={"rule": "prophylactic-tocilizumab"})}
    )
    assert Treated(early, arm, ill, 1, {}, 400.0, {}).rounds() == (-0.05, *rounds)


def test_a_practice_before_and_by_blasts_is_carried_out():
    """Everybody gets the prophylactic dose; the pre-emptive one only who has 40 % of blasts or more, or CRS."""
    plans = [
        ELIANA.model_copy(update={"grading": ELIANA.grading.model_copy(update={"rule": rule})})
        for rule in ("prophylactic-tocilizumab", "preemptive-tocilizumab")
    ]
    every, some = (simulate_arm(plan, "tisa-cel", IDS[:40], 1, days=60) for plan in plans)
    assert every["tocilizumab"][every["infused"]].all()
    few = (enrolled(ELIANA, IDS[:40].astype(np.uint64), 1)[0]["marrow_blasts"] < 0.4) & some["infused"]
    assert few.any()
    assert np.all(some["crs_lee"][few & some["tocilizumab"]] > 0)


def test_a_shorter_course_leaves_the_early_days_as_they_are(eliana):
    short = simulate_arm(ELIANA, "tisa-cel", IDS[:20], 1, days=120)
    for name in ("crs_penn", "infused", "dose_cells", "neutropenia_day28"):
        assert np.array_equal(short[name], eliana[name][:20], equal_nan=short[name].dtype.kind == "f")
    with pytest.raises(InputError, match="the first visit is on day 28"):
        simulate_arm(ELIANA, "tisa-cel", IDS[:2], 1, days=20)


def test_a_setting_acts_and_leaves_luck_alone(eliana):
    more = simulate_arm(ELIANA, "tisa-cel", IDS[:40], 1, {"expansion": 3.0}, days=120)
    both = eliana["infused"][:40] & more["infused"]
    assert np.array_equal(eliana["infused"][:40], more["infused"])
    assert np.median(more["true_peak"][both] / eliana["true_peak"][:40][both]) > 1.3
    with pytest.raises(InputError, match="did you mean 'expansion'"):
        simulate_arm(ELIANA, "tisa-cel", IDS[:2], 1, {"expansoin": 3.0})
    with pytest.raises(InputError, match="did you mean 'tisa-cel'"):
        simulate_arm(ELIANA, "tisa_cel", IDS[:2], 1)


def test_comparator_arms_have_no_product():
    found = simulate_arm(ZUMA_7, "standard", np.arange(1, 2001), 1)
    assert found["infused"].all()
    assert np.isnan(found["cmax"]).all()
    assert np.isnan(found["dose_cells"]).all()
    assert 0.36 < np.isfinite(found["response_day"]).mean() < 0.48
    assert np.all(~(found["progression_day"] > found["last_followed_day"]))
    # progression is dated as in arms with a product: on real days of visits, three in ten noticed before
    seen = found["progression_day"][np.isfinite(found["progression_day"])]
    assert np.unique(seen).size > 0.9 * seen.size
    first = ZUMA_7.visits.days[0]
    early = np.isfinite(found["progression_day"]) & (found["best_response"] == "PD")
    assert 0.2 < (found["progression_day"][early] < first - first / 10).mean() < 0.35
    assert not np.any(found["progression_day"] < found["response_day"])


def test_the_table_of_a_randomised_trial_compares_arms():
    arms = [simulate_arm(ZUMA_7, arm, np.arange(1, 61) + 100 * k, 1, days=500) for k, arm in enumerate(ZUMA_7.arms)]
    table = endpoint_table(Outcomes.joined(arms), ZUMA_7, count=100).set_index(["arm", "endpoint"])
    for clock in ("efs", "pfs", "os"):
        row = table.loc[("axi-cel / standard", f"{clock} hazard ratio")]
        assert row["low"] <= row["value"] <= row["high"]
        assert row["size"] == 359
    assert ("standard", "crs any") not in table.index
    assert table.loc[("standard", "orr"), "size"] == 179


def test_outcomes_survive_a_file(eliana, tmp_path):
    import pyarrow.parquet as pq

    pq.write_table(eliana.to_table(), tmp_path / "o.parquet")
    same(Outcomes.from_table(pq.read_table(tmp_path / "o.parquet")), eliana)
    assert len(eliana.to_frame()) == 80
    with pytest.raises(InputError, match="did you mean 'cmax'"):
        eliana["c_max"]
    with pytest.raises(InputError, match="one value for each of 2"):
        Outcomes.of([1, 2], {"cmax": [1.0]})


def test_episodes_are_bridged_over_a_day():
    days = np.array([1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
    ill = np.array([[0, 1, 0, 0, 1, 0], [0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]], bool)
    start, end = episode(days, ill)
    assert start.tolist()[:2] == [1.5, 1.5]
    assert end.tolist()[:2] == [1.5, 2.0]
    assert np.isnan(start[2])
    # a week between rounds: an episode that was there at both goes on, one that was away at a round is over
    start, end = episode(np.array([27.0, 28.0, 35.0, 42.0, 49.0]), np.array([[0, 1, 1, 0, 1]], bool))
    assert (start[0], end[0]) == (28.0, 35.0)


def test_grades_become_whole_days():
    days = np.array([0.33, 0.67, 1.33, 2.0, 3.0])
    found = scale_outcomes("crs", "lee", days, np.array([[0, 1, 1, 3, 0], [0, 0, 0, 0, 0]], np.int8))
    assert [found[f"crs{name}_lee"][0] for name in ("", "_onset", "_duration", "_days_to_3")] == [3, 1, 2, 2]
    assert found["crs_lee"][1] == 0
    assert np.isnan(found["crs_onset_lee"][1])


def test_terms_of_the_nervous_system():
    signs = {
        "ice_score": np.array([[10, 8, 5, 1, np.nan]]), "consciousness": np.array([[0, 0, 0, 3, 0]]),
        "seizure": np.array([[0, 0, 1, 0, 2]]),
    }  # fmt: skip
    assert terms_grade(signs).tolist() == [[0, 1, 2, 4, 4]]


def test_kinetics_are_those_of_the_true_course(eliana):
    """The highest sample lies below the true peak but for the assay's error (three standard deviations)."""
    known = np.isfinite(eliana["cmax"])
    assert np.all(eliana["cmax"][known] < eliana["true_peak"][known] * np.exp(3.5 * ELIANA.sampling.error.value))
    assert value(eliana, Measure(statistic="geometric mean", of="cmax")) > ELIANA.sampling.lloq.value


def test_the_tolerance_of_trials_is_tight_enough(eliana):
    """With steps a hundred times more exact nobody's grades, drugs or visits change, days and samples by under 1 %."""
    exact = simulate_arm(ELIANA, "tisa-cel", IDS, 1, days=400, threads=2, rtol=1e-6)
    for name in ("crs_penn", "neuro_ctcae-v4-neuro", "tocilizumab_doses", "response_day"):
        assert np.array_equal(exact[name], eliana[name], equal_nan=True), name
    for name in ("cmax", "auc28", "death_day", "progression_day"):
        assert eliana[name] == pytest.approx(exact[name], rel=0.01, nan_ok=True), name
