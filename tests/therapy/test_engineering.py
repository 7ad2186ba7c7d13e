"""Engineering: the ladder of laws, what published products say of it, vector and methods, and the balance of cells."""

import csv

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom, poisson

from livingdrug.declared import declare
from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.sources import cite
from livingdrug.therapy import CollectionPlan, EngineeringPlan, Fixed, LogNormal, collect, engineer
from livingdrug.therapy.collection import PHENOTYPES
from livingdrug.therapy.engineering import subset_positive
from livingdrug.therapy.stated import stated_values
from livingdrug.therapy.transduction import (
    DENOMINATORS,
    car_positive_fraction,
    copies_per_positive_cell,
    infer_dispersion,
    vector_factor,
    vector_survival,
)
from livingdrug.therapy.transfer_methods import ARI_0001, METHODS

EVEN = {name: Fixed(value=1.0) for name in PHENOTYPES}


def bag(n=300, frozen=0.0, seed=1):
    cohort = Patients(np.arange(1, n + 1), {"cd3_per_uL": np.full(n, 800.0)}, {"cd3_per_uL": "1/uL"})
    return collect(cohort, CollectionPlan(frozen=Fixed(value=frozen, unit="fraction")), seed=seed)


def fixed(value, unit="1"):
    return Fixed(value=value, unit=unit)


# --- the ladder ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("positive", "copies"), [(0.20, 1.116), (0.40, 1.277), (0.60, 1.527), (0.86, 2.29)]
)  # identities of the research note, section 3
def test_poisson_identities(positive, copies):
    mean = -np.log(1 - positive)
    assert car_positive_fraction(mean) == pytest.approx(positive)
    assert copies_per_positive_cell(mean) == pytest.approx(copies, abs=6e-3 if positive > 0.8 else 6e-4)


@settings(deadline=None, max_examples=60)
@given(st.floats(1e-3, 20), st.floats(0.02, 50), st.floats(0, 0.95))
def test_ladder_is_that_of_the_distributions(mean, shape, refractory):
    hit = 1 - nbinom.pmf(0, shape, shape / (shape + mean))
    assert car_positive_fraction(mean, shape, refractory) == pytest.approx((1 - refractory) * hit, rel=1e-9)
    assert copies_per_positive_cell(mean, shape) == pytest.approx(mean / hit, rel=1e-9)
    assert car_positive_fraction(mean) == pytest.approx(1 - poisson.pmf(0, mean), rel=1e-9)


def test_limits_of_the_ladder():
    mean = np.array([0.0, 1e-9, 0.3, 1.0, 8.0])
    assert car_positive_fraction(mean, 1e9) == pytest.approx(car_positive_fraction(mean), rel=1e-6)  # large shape
    assert car_positive_fraction(mean, 0.5, 0.0) == pytest.approx(1 - (1 + mean / 0.5) ** -0.5)
    assert car_positive_fraction(mean, 0.5, 1.0).tolist() == [0.0] * 5
    assert copies_per_positive_cell(mean[:2], 0.5) == pytest.approx([1.0, 1.0])
    shapes = np.array([0.05, 0.2, 1.0, 5.0, 100.0])
    assert np.all(np.diff(car_positive_fraction(1.0, shapes)) > 0)  # the more even the uptake, the more cells
    assert np.all(car_positive_fraction(1.0, shapes) < car_positive_fraction(1.0))


# --- what products say -----------------------------------------------------------------------------------------------


def test_ari_0001_is_over_dispersed_under_every_denominator():
    # ari00012019, table 2: 26.0, 41.9, 39.7 % with 1.45, 2.32, 2.51 copies/cell; Poisson: 0.30, 0.54, 0.51 per cell
    for denominator in DENOMINATORS:
        found = infer_dispersion(ARI_0001["car_positive"], ARI_0001["copies"], denominator)
        assert np.all(found.over_dispersed)
        assert np.all(found.shape < 3)
        assert np.all(found.refractory > 0.1)
    per_cell = infer_dispersion(ARI_0001["car_positive"], ARI_0001["copies"], "per_cell")
    assert per_cell.poisson_copies == pytest.approx([0.301, 0.543, 0.506], abs=1e-3)
    assert np.all(per_cell.copies_per_cell / per_cell.poisson_copies > 4)


def test_ari_0001_numbers_are_those_of_the_table(shared_data):
    with (shared_data / "manufacturing" / "release_batches.csv").open() as table:
        rows = [row for row in csv.DictReader(table) if row["product"] == "ARI-0001"]
    assert [float(row["car_pos_pct"]) / 100 for row in rows] == pytest.approx(ARI_0001["car_positive"])
    assert [float(row["vcn_per_cell"]) for row in rows] == list(ARI_0001["copies"])


@settings(deadline=None, max_examples=60)
@given(st.floats(0.05, 10), st.floats(0.05, 20), st.sampled_from(DENOMINATORS))
def test_inference_undoes_the_laws(mean, shape, denominator):
    positive = float(car_positive_fraction(mean, shape))
    copies = {"per_haploid_genome": mean / 2, "per_cell": mean, "per_car_cell": mean / positive}[denominator]
    assert infer_dispersion(positive, copies, denominator).shape == pytest.approx(shape, rel=1e-4)
    refractory = shape / 21  # below 1
    positive = float(car_positive_fraction(mean, 0.0, refractory))
    mean_of_all = (1 - refractory) * mean
    copies = {"per_haploid_genome": mean_of_all / 2, "per_cell": mean_of_all, "per_car_cell": mean_of_all / positive}
    found = infer_dispersion(positive, copies[denominator], denominator).refractory
    assert found == pytest.approx(refractory, abs=1e-5)


def test_poisson_and_fewer_copies_than_poisson():
    even = infer_dispersion(0.5, np.log(2), "per_cell")
    assert even.shape > 1e6  # infinite, but for rounding
    assert even.refractory == pytest.approx(0.0, abs=1e-6)
    few = infer_dispersion(0.5, 0.3, "per_cell")
    assert np.isnan(few.shape)
    assert np.isnan(few.refractory)
    assert not few.over_dispersed


# --- vector ----------------------------------------------------------------------------------------------------------


def test_copies_saturate_with_moi():
    moi = np.array([0.0, 1e-6, 5.0, 50.0, 1e6])
    factor = vector_factor(moi, 5.0, 10.0)
    assert factor[0] == 0
    assert factor[1] == pytest.approx(1e-6 * 1.5 / 5, rel=1e-5)  # in proportion at first
    assert factor[2] == 1.0
    assert factor[4] == pytest.approx(3.0, rel=1e-4)  # at most (1 + 10/5) times
    assert np.all(np.diff(factor) > 0)
    assert vector_factor(0.0, 0.0, 10.0) == 1.0


@pytest.mark.parametrize(
    "method", ["", "spinoculation_retronectin", "spinoculation", "polybrene", "prodigy", "ari_0001"]
)
def test_living_car_positive_cells_peak_at_moi_10(method):
    # enhancers2022: above MOI 10 the transduction of living cells falls
    cells, grid = bag(20), [2.0, 5.0, 8.0, 10.0, 12.0, 15.0, 30.0]
    found = []
    for moi in grid:
        made = engineer(cells, EngineeringPlan(method=method, moi=fixed(moi)), seed=1)
        found.append(np.mean(made.car_positive * made.patients["engineering_viability"]))
    assert grid[int(np.argmax(found))] == 10.0
    assert vector_survival(10.0, 10.0, 0.06) == 1.0


# --- methods ---------------------------------------------------------------------------------------------------------

ENHANCERS = {  # muc1transduction2021: per cent positive cells, and cytotoxicity where printed
    "spinoculation_retronectin": (63.19, None),
    "spinoculation_polybrene": (34.6, 48.83),
    "spinoculation": (21.11, None),
    "retronectin": (10.37, None),
    "polybrene": (10.23, 40.02),
}


@pytest.mark.parametrize("method", ENHANCERS)
def test_methods_give_their_published_positive_cells(method):
    percent, dead = ENHANCERS[method]
    made = engineer(bag(4000), EngineeringPlan(method=method, uptake=EVEN), seed=2)
    assert 100 * np.median(made.car_positive) == pytest.approx(percent, rel=0.02)
    if dead is not None:
        assert made.patients["engineering_viability"] == pytest.approx(1 - dead / 100)


def test_commercial_product_of_children():
    # uktisagenlecleucel2024: 17.4 %, quartiles 12 and 23.1. A log-normal keeps the median and the ratio of the
    # quartiles in copies; the published quartiles are not quite symmetric about the median
    made = engineer(bag(8000), EngineeringPlan(method="tisa_cel", uptake=EVEN), seed=2)
    low, middle, high = np.quantile(made.car_positive, [0.25, 0.5, 0.75])
    assert middle == pytest.approx(0.174, rel=0.02)
    assert np.log1p(-high) / np.log1p(-low) == pytest.approx(np.log1p(-0.231) / np.log1p(-0.12), rel=0.03)
    assert [low, high] == pytest.approx([0.12, 0.231], rel=0.06)


def test_ari_0001_as_a_method_gives_its_batch_back():
    # the third batch: 39.7 % positive cells with 2.51 copies per cell, which no Poisson law gives
    plan = EngineeringPlan(method="ari_0001", copies_per_cell=fixed(2.51, "copy/cell"))
    made = engineer(bag(5), plan, seed=2)
    assert made.car_positive == pytest.approx(0.397, abs=1e-9)
    assert made.patients["copies_per_car_cell"] == pytest.approx(2.51 / 0.397)


@pytest.mark.parametrize(("method", "per_car_cell"), [("trac_knock_in", 1.0), ("lnp_mrna", 0.0)])
def test_copies_by_design(method, per_car_cell):
    made = engineer(bag(), EngineeringPlan(method=method), seed=2).patients
    assert np.all(made["copies_per_car_cell"] == per_car_cell)
    assert made["copies_per_cell"] == pytest.approx(per_car_cell * made["car_positive"])
    assert np.all(made["vector_moi"] == 0)


def test_every_method_is_a_plan_with_known_sources():
    for name in METHODS:
        plan = EngineeringPlan(method=name)
        assert plan.copies_per_cell == METHODS[name]["copies_per_cell"]
        for place, stated in stated_values(plan):
            assert not stated.source or cite(stated.source), place
    mine = EngineeringPlan(method="spinoculation", copies_per_cell=fixed(2.0, "copy/cell"))
    assert mine.copies_per_cell.value == 2.0  # what is stated wins over the method
    assert declare(EngineeringPlan, {"method": "prodigy"}, "plan").moi.value == 7.5


# --- the stage -------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0, 10), st.sampled_from([0.0, 0.05, 1.0, 30.0]), st.floats(0, 1), st.floats(0, 100), st.integers(0, 99)
)
@example(4.7e-160, 0.0, 0.0, 4.7e-160, 2)  # positive cells: a number so small that it has few digits
def test_copies_and_cells_balance(copies, shape, refractory, moi, seed):
    plan = EngineeringPlan(
        copies_per_cell=fixed(copies, "copy/cell"),
        over_dispersion=fixed(shape),
        refractory=fixed(refractory, "fraction"),
        moi=fixed(moi),
    )
    cells = bag(5, frozen=0.5, seed=seed)
    made = engineer(cells, plan, seed=seed).patients
    assert np.all((made["car_positive"] >= 0) & (made["car_positive"] <= 1 - refractory + 1e-12))
    assert made["copies_per_haploid_genome"] * 2 == pytest.approx(made["copies_per_cell"])
    assert made["copies_per_car_cell"] * made["car_positive"] == pytest.approx(made["copies_per_cell"])
    assert np.all(made["copies_per_car_cell"] >= 1 - 1e-9)
    assert made["engineered_t_cells"] + made["preparation_loss"] == pytest.approx(cells.t_cells)
    assert np.all(made["engineered_t_cells"] >= 0)


def test_selection_recovery_is_the_published_one():
    # prodigy2018: 55 +- 6 %; no other loss
    none = {name: fixed(1.0, "fraction") for name in ("activation_survival", "survival")}
    cells = bag(8000)
    kept = engineer(cells, EngineeringPlan(**none), seed=3).t_cells / cells.t_cells
    assert np.mean(kept) == pytest.approx(0.55, abs=0.003)
    assert np.std(kept) == pytest.approx(0.06, abs=0.003)


def test_frozen_bags_lose_cells_at_thawing_and_more_in_activation():
    # panch2019: the early loss is larger for frozen cells
    fresh, frozen = engineer(bag(), seed=1).t_cells, engineer(bag(frozen=1.0), seed=1).t_cells
    assert frozen / fresh == pytest.approx(0.725 * 0.8 / 0.9)


def test_subsets_share_the_mean_and_naive_cells_get_less():
    cells, mean = bag(50), np.full(50, 1.0)
    nothing = np.zeros(50)
    found = subset_positive(cells, EngineeringPlan(), mean, nothing, nothing, seed=1)
    assert np.all(found[:, 0] < found[:, 1])
    copies = -np.log(1 - found)  # Poisson
    shares = np.column_stack([cells.patients[f"{name}_fraction"] for name in PHENOTYPES])
    assert np.sum(copies * shares, axis=1) == pytest.approx(1.0)
    assert copies[:, 0] / copies[:, 1] == pytest.approx(0.7)
    even = engineer(cells, EngineeringPlan(uptake=EVEN), seed=1).car_positive
    uneven = engineer(cells, EngineeringPlan(), seed=1).car_positive
    assert np.all(uneven < even)  # the same copies in fewer cells


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EngineeringPlan(method="spinocculation"), "did you mean 'spinoculation'"),
        (lambda: EngineeringPlan(method=3), "unknown method of gene transfer '3'"),
        (lambda: EngineeringPlan(survival=fixed(1.2, "fraction")), "survival: must be at least 0 and at most 1"),
        (lambda: EngineeringPlan(moi=fixed(-1.0)), "moi: must be at least 0"),
        (lambda: EngineeringPlan(over_dispersion=fixed(0.001)), "over_dispersion: must be 0 .Poisson. or 0.01 or more"),
        (lambda: EngineeringPlan(over_dispersion=LogNormal(median=1, log_sd=0.1)), "can reach 0"),
        (lambda: EngineeringPlan(copies="many"), "copies"),
        (lambda: EngineeringPlan(uptake={"naive": {"value": 0.0}}), "uptake.naive: must be above 0"),
        (lambda: infer_dispersion(0.5, 1.0, "per_gram"), "unknown denominator of copies 'per_gram'"),
        (lambda: infer_dispersion(1.2, 1.0, "per_cell"), "car_positive must be .* got 1.2"),
        (lambda: car_positive_fraction(-1.0), "copies_per_cell must be a finite number, 0 or more, got -1"),
        (lambda: car_positive_fraction(1.0, 1e-4), "shape must be 0"),
        (lambda: car_positive_fraction(1.0, 0.0, 1.5), "refractory must be .* got 1.5"),
        (lambda: vector_factor(np.nan, 5.0, 10.0), "moi must be a finite number"),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(InputError, match=words):
        make()
