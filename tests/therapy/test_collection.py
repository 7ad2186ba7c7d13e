"""Collection: its formulas, its published series, its covariates and its refusals."""

import numpy as np
import pytest
from scipy.stats import beta

from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.sources import cite
from livingdrug.therapy import Fixed, LogNormal
from livingdrug.therapy.collection import (
    PHENOTYPES,
    CollectionPlan,
    YieldRegression,
    collect,
    failure_chance,
    regression_volume_for_target,
    volume_for_target,
)
from livingdrug.therapy.published_collections import published_collections
from livingdrug.therapy.stated import stated_values

MANY = 20_000
UNITS = {"cd3_per_uL": "1/uL", "lymphocytes_per_uL": "1/uL", "weight_kg": "kg", "haematocrit": "fraction"}


def people(n=200, **columns):
    columns = columns or {"cd3_per_uL": 800.0}
    units = {name: UNITS.get(name, "fraction") for name in columns}
    return Patients(np.arange(1, n + 1), {k: np.broadcast_to(v, (n,)) for k, v in columns.items()}, units)


def exact_interval(hits, of):
    """95 % interval of a binomial share (Clopper-Pearson)."""
    return beta.ppf(0.025, hits, of - hits + 1), beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0


@pytest.fixture(scope="module")
def series():
    return {name: published.collect(MANY, seed=11) for name, published in published_collections().items()}


# --- published series; one practice for all (published_collections.toml) ----------------------------------------------


def test_one_practice_serves_all_series():
    plans = [published.plan for published in published_collections().values()]
    assert len({(p.blood_volumes.value, p.volume.value, p.efficiency) for p in plans}) == 1
    for published in published_collections().values():
        assert cite(published.source)
        for _, stated in stated_values(published.plan):
            assert not stated.source or cite(stated.source)


def test_nci_shares_that_reach_the_minimum_and_the_target(series):
    # allen2017: of 71 collections 69 reached 0.6e9 and 55 reached 2e9 CD3 cells
    cells = series["nci"].t_cells
    for least, reached in ((0.6e9, 69), (2e9, 55)):
        low, high = exact_interval(reached, 71)
        assert low < np.mean(cells >= least) < high


def test_nci_counts_of_those_below_and_at_the_target(series):
    # allen2017: 349 against 914 per uL. The distribution was made from these two numbers with a cut in the count alone;
    # the chance of the efficiency brings the groups closer. So 349 is missed (430, and 357 to 518 for 16 patients in
    # 95 of 100 series: docs/journey/collection.md); 914 is not, and low counts remain what separates the groups
    bag, few = series["nci"], series["nci"].t_cells < 2e9
    count = bag.patients["cd3_per_uL"]
    above = np.random.default_rng(2).choice(count[~few], (4000, 55)).mean(axis=1)
    assert np.quantile(above, 0.025) < 914 < np.quantile(above, 0.975)
    assert np.mean(count[few]) < 0.5 * np.mean(count[~few])


def test_children_of_the_united_kingdom(series):
    # uktisagenlecleucel2024, table 3: median 2.6e9 (quartiles 1.2 and 4.1), 1 day in the median, none unsatisfactory
    bag = series["uk_children"]
    cells = bag.t_cells[: 134 * (MANY // 134)].reshape(-1, 134)
    for share, published in ((0.5, 2.6e9), (0.75, 4.1e9)):
        low, high = np.quantile(np.quantile(cells, share, axis=1), [0.025, 0.975])
        assert low < published < high
    assert np.median(bag.patients["collections"]) == np.quantile(bag.patients["collections"], 0.75) == 1
    low, high = exact_interval(0, 134)
    assert np.mean(bag.t_cells < 1e9) < high
    # what the series of children from Seattle says of the counts, and the United Kingdom of weights above 50 kg
    assert np.mean(bag.patients["lymphocytes_per_uL"] < 500) == pytest.approx(0.216, abs=0.01)
    assert np.mean(bag.patients["weight_kg"] > 50) == pytest.approx(13 / 125, abs=0.01)


def test_heidelberg_second_collections(series):
    # korell2020: 4 of 41 needed a second one
    low, high = exact_interval(4, 41)
    assert low < np.mean(series["heidelberg"].patients["collections"] == 2) < high


def test_kyushu_correlation_of_count_and_yield(series):
    # kyushuapheresis2021: r = 0.84 in 28 collections; Fisher's interval
    bag = series["kyushu"]
    ours = np.corrcoef(bag.patients["cd3_per_uL"], bag.t_cells)[0, 1]
    low, high = np.tanh(np.arctanh(0.84) + np.array([-1.96, 1.96]) / np.sqrt(28 - 3))
    assert low < ours < high


def test_lowest_lymphocyte_count_that_worked():
    # korell2020: 0.18 per nL. Two collections of at most 7 L then give a mean near the NCI's minimum of 0.6e9
    plan = published_collections()["heidelberg"].plan
    bag = collect(people(2000, lymphocytes_per_uL=180.0, weight_kg=78.0), plan, seed=1)
    assert np.all(bag.patients["collections"] == 2)
    assert np.mean(bag.t_cells >= 0.6e9) > 0.9


# --- formulas --------------------------------------------------------------------------------------------------------


def test_volume_is_blood_volumes_up_to_the_limit():
    plan = CollectionPlan(
        blood_volumes=Fixed(value=2.0), blood_per_kg=Fixed(value=70.0, unit="mL/kg"), volume=Fixed(value=7.0, unit="L")
    )
    bag = collect(people(2, cd3_per_uL=500.0, weight_kg=[20.0, 90.0]), plan, seed=1)
    assert bag.patients["processed_volume_L"].tolist() == pytest.approx([2.8, 7.0])


def test_planned_volume_collects_the_target_in_nine_of_ten():
    # cytotherapy2023collection: 90 % of collections do at least as well as the 40 % rule
    litres = float(volume_for_target(2e9, 800.0))
    assert litres == pytest.approx(2e9 / (0.40 * 800e6))
    bag = collect(people(MANY), CollectionPlan(volume=Fixed(value=litres, unit="L")), seed=2)
    assert np.mean(bag.t_cells >= 2e9) == pytest.approx(0.90, abs=0.01)
    assert volume_for_target([0.0, 1.0], 0.0).tolist() == [0.0, np.inf]


def test_regression_has_the_published_slopes_and_its_anchor():
    # oreilly2023: 0.86 per ln(CD3), 1.30 per haematocrit, 0.09 per L
    law = YieldRegression().mean_log_yield
    assert law(1000.0, 0.35, 5.0) == pytest.approx(np.log(0.60 * 5.0))
    assert law(2000.0, 0.35, 5.0) - law(1000.0, 0.35, 5.0) == pytest.approx(0.86 * np.log(2))
    assert law(1000.0, 0.45, 5.0) - law(1000.0, 0.35, 5.0) == pytest.approx(0.130)
    assert law(1000.0, 0.35, 9.0) - law(1000.0, 0.35, 5.0) == pytest.approx(0.36)


def test_planning_by_regression_is_its_inverse_and_never_negative():
    # the critics' point: a negative volume at high counts; there the 40 % rule stands in
    litres = regression_volume_for_target(4e9, 1000.0, 0.40)
    assert YieldRegression().mean_log_yield(1000.0, 0.40, litres) == pytest.approx(np.log(4.0))
    counts = np.linspace(50, 5000, 200)
    planned = regression_volume_for_target(1e9, counts)
    assert np.all(planned > 0)
    by_hand = -YieldRegression().mean_log_yield(counts, 0.35, 0.0) / 0.09  # ln(1e9 / 1e9) = 0
    assert np.any(by_hand < 0)
    assert planned[by_hand < 0] == pytest.approx(volume_for_target(1e9, counts[by_hand < 0]))
    assert planned[by_hand > 0] == pytest.approx(by_hand[by_hand > 0])


def test_the_two_methods_agree_at_the_anchor_and_in_spread():
    # note, section 1: the log-SD of the efficiency (0.32 as a log-normal) is near the regression's error of 0.26
    at_anchor = people(MANY, cd3_per_uL=1000.0, haematocrit=0.35)
    by_efficiency = np.log(collect(at_anchor, seed=3).t_cells)
    by_regression = np.log(collect(at_anchor, CollectionPlan(method="regression"), seed=3).t_cells)
    assert np.median(by_regression) == pytest.approx(np.median(by_efficiency), abs=0.02)
    assert np.diff(np.quantile(by_regression, [0.1, 0.5])) / 1.2816 == pytest.approx(0.26, abs=0.01)
    assert np.diff(np.quantile(by_efficiency, [0.1, 0.5])) / 1.2816 == pytest.approx(0.32, abs=0.01)


def test_regression_never_collects_more_than_was_processed():
    bag = collect(people(MANY, cd3_per_uL=20.0), CollectionPlan(method="regression"), seed=1)
    assert bag.patients["collection_efficiency"].max() == 1.0
    assert np.all(bag.t_cells <= 20e6 * 5.0 * (1 + 1e-12))
    assert collect(people(3, cd3_per_uL=0.0), CollectionPlan(method="regression"), seed=1).t_cells.tolist() == [0] * 3


def test_lymphocytes_stand_in_for_t_cells():
    # allen2017: 914 of 1340
    bag = collect(people(5, lymphocytes_per_uL=1000.0), seed=1)
    assert bag.patients["cd3_per_uL"] == pytest.approx(682.0)


def test_next_collections_add_up_and_stop_when_enough():
    plan = CollectionPlan(most_collections=3, enough_t_cells=Fixed(value=2e9, unit="cell"))
    counts = np.linspace(50, 2000, 400)
    bag, once = collect(people(400, cd3_per_uL=counts), plan, seed=5), collect(people(400, cd3_per_uL=counts), seed=5)
    runs = bag.patients["collections"]
    assert set(runs) == {1.0, 2.0, 3.0}
    assert np.array_equal(runs == 1, once.t_cells >= 2e9)
    assert np.array_equal(bag.t_cells[runs == 1], once.t_cells[runs == 1])
    assert np.all(bag.t_cells[runs > 1] > once.t_cells[runs > 1])
    assert np.all(bag.t_cells[runs == 2] >= 2e9)
    assert bag.patients["collection_day"] == pytest.approx(runs - 1)
    assert bag.patients["processed_volume_L"] == pytest.approx(5 * runs)
    # the second collection finds 85 % of the count: what it got over what it processed is an efficiency
    presented = counts * 1e6 * 5 * np.where(runs == 1, 1, np.where(runs == 2, 1.85, 1.85 + 0.85**2))
    assert bag.patients["collection_efficiency"] * presented == pytest.approx(bag.t_cells)


def test_a_patient_s_repeats_do_not_depend_on_the_others():
    plan = CollectionPlan(most_collections=4, enough_t_cells=Fixed(value=4e9, unit="cell"))
    cohort = people(60, cd3_per_uL=np.linspace(100, 1500, 60))
    whole = collect(cohort, plan, seed=9)
    some = collect(cohort.take([40, 3, 17]), plan, seed=9)
    assert some.patients == whole.patients.take([40, 3, 17])


# --- what is in the bag ----------------------------------------------------------------------------------------------


def test_contents_add_up_and_have_the_stated_medians():
    bag = collect(people(MANY), seed=4)
    shares = np.column_stack([bag.patients[f"{name}_fraction"] for name in PHENOTYPES])
    assert shares.sum(axis=1) == pytest.approx(1.0)
    assert np.median(bag.patients["cd4_fraction"]) == pytest.approx(0.56 / 1.56, abs=0.01)  # jo2023: CD4/CD8 of 0.56
    assert bag.patients["collected_tnc"] * 0.551 == pytest.approx(bag.t_cells)  # infantcollection2021
    assert not np.any(bag.patients["frozen_on_arrival"])
    half = CollectionPlan(frozen=Fixed(value=0.5, unit="fraction"))
    assert np.mean(collect(people(MANY), half, seed=4).patients["frozen_on_arrival"]) == pytest.approx(0.5, abs=0.02)


def test_phenotypes_measured_in_blood_are_those_of_the_bag():
    mix = dict(zip((f"blood_{name}_fraction" for name in PHENOTYPES), (0.1, 0.2, 0.3, 0.4), strict=True))
    bag = collect(people(3, cd3_per_uL=800.0, blood_cd4_fraction=0.7, **mix), seed=4)
    assert [bag.patients[f"{name}_fraction"][0] for name in PHENOTYPES] == [0.1, 0.2, 0.3, 0.4]
    assert bag.patients["cd4_fraction"][0] == 0.7


def test_bendamustine_counts_of_the_survey():
    # jo2023: bendamustine in 43.3 % of 30 failures and 14.8 % of 378 successes
    assert round(0.433 * 30) == 13
    assert round(0.148 * 378) == 56
    assert failure_chance([0, 1]).tolist() == pytest.approx([17 / 339, 13 / 69])
    with pytest.raises(InputError, match="0 or 1"):
        failure_chance([0.5])


# --- thresholds and mistakes -----------------------------------------------------------------------------------------


def test_thresholds_refuse_who_reaches_none_of_them():
    # recalled practice: at least 500 lymphocytes or at least 150 CD3 cells per uL
    plan = CollectionPlan(
        least_cd3=Fixed(value=150, unit="1/uL", mark="recalled"),
        least_lymphocytes=Fixed(value=500, unit="1/uL", mark="recalled"),
    )
    cohort = people(4, cd3_per_uL=[100.0, 100.0, 200.0, 200.0], lymphocytes_per_uL=[400.0, 600.0, 400.0, 600.0])
    bag = collect(cohort, plan, seed=1)
    assert bag.attrition.ids.tolist() == [1]
    assert bag.attrition.reasons == ("blood count too low to collect",)
    assert collect(people(2, cd3_per_uL=[100.0, 200.0]), plan, seed=1).attrition.ids.tolist() == [1]


def test_too_few_cells_leave_on_the_day_of_the_last_collection():
    plan = CollectionPlan(most_collections=2, least_t_cells=Fixed(value=1e9, unit="cell"))
    bag = collect(people(2, cd3_per_uL=[20.0, 3000.0]), plan, seed=1)
    assert (bag.attrition.ids.tolist(), bag.attrition.days) == ([1], (1.0,))


def test_bad_rows_are_marked_and_the_others_go_on():
    cohort = people(4, cd3_per_uL=[800.0, -5.0, 700.0, 2e6], haematocrit=[0.4, 1.2, 0.3, 0.3])
    bag = collect(cohort, seed=1, on_bad_row="mark")
    assert bag.patients.ids.tolist() == [1, 3]
    assert bag.attrition.reasons == (
        "bad input: cd3_per_uL is -5 1/uL, allowed 0 to 100000; haematocrit is 1.2 fraction, allowed 0.05 to 0.75",
        "bad input: cd3_per_uL is 2e+06 1/uL, allowed 0 to 100000",
    )
    good = collect(cohort.take([0, 2]), seed=1)
    assert good.patients == bag.patients


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: collect(people(2, haematocrit=[0.3, 1.2], cd3_per_uL=1.0)), r"'haematocrit' .* got 1.2 .* patient 2"),
        (lambda: collect(people(1), on_bad_row="skip"), "did you mean|unknown way with bad rows"),
        (lambda: collect(people(1), CollectionPlan(blood_volumes=Fixed(value=2.0))), "'weight_kg'"),
        (
            lambda: collect(people(1, cd3_per_uL=1.0, weight_kg=0.0), CollectionPlan(blood_volumes=Fixed(value=2.0))),
            "1 to 500, got 0 kg for patient 1",
        ),
        (
            lambda: collect(people(1, cd3_per_uL=1.0, blood_naive_fraction=0.5)),
            "'blood_central_memory_fraction' is missing",
        ),
        (
            lambda: collect(people(1, cd3_per_uL=1.0, **{f"blood_{p}_fraction": 0.5 for p in PHENOTYPES})),
            "patient 1 must add up to 1, got 2",
        ),
        (lambda: CollectionPlan(method="magic"), "method"),
        (lambda: CollectionPlan(most_collections=0), "most_collections"),
        (lambda: CollectionPlan(volume=Fixed(value=-1, unit="L")), "volume: must be above 0 L"),
        (lambda: CollectionPlan(frozen=LogNormal(median=0.5, log_sd=1, unit="fraction")), "at most 1"),
        (lambda: volume_for_target(-1e9, 500.0), "target must be 0 or more, got -1e"),
        (lambda: volume_for_target(1e9, 500.0, 1.2), "efficiency must be .* to 1, got 1.2"),
        (lambda: regression_volume_for_target(1e9, 500.0, 30.0), "haematocrit must be 0.05 to 0.75, got 30"),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(InputError, match=words):
        make()
