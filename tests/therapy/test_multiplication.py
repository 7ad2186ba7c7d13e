"""The stage: what it hands on, its balances, its failures, its mistakes."""

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.therapy import EngineeredCells, Fixed, LogNormal, MultiplicationPlan, Product, multiply
from livingdrug.therapy.devices import device_names
from livingdrug.therapy.multiplication import PHENOTYPES
from livingdrug.therapy.stage import Attrition


def engineered(n=200, cells=6e8, first=1, **more):
    columns = {
        "engineered_t_cells": np.full(n, cells),
        "preparation_loss": np.zeros(n),
        "car_positive": np.full(n, 0.4),
        "copies_per_haploid_genome": np.full(n, 0.3),
        "copies_per_cell": np.full(n, 0.6),
        "copies_per_car_cell": np.full(n, 1.5),
        "refractory_fraction": np.zeros(n),
        "vector_moi": np.full(n, 3.0),
        "over_dispersion": np.zeros(n),
        "engineering_viability": np.full(n, 0.9),
    }
    units = dict(EngineeredCells.COLUMNS)
    own = {name: np.broadcast_to(np.asarray(values, float), n) for name, (values, _) in more.items()}
    units |= {name: unit for name, (_, unit) in more.items()}
    columns = {**columns, **own}
    units = {name: units.get(name, "1") for name in columns}
    return EngineeredCells(Patients(np.arange(first, first + n), columns, units), Attrition.none())


def fixed(value, unit):
    return Fixed(value=value, unit=unit)


def test_what_is_handed_on():
    product = multiply(engineered(), seed=1)
    patients = product.patients
    assert {"harvested_naive_fraction", "harvested_cd4_fraction", "harvested_lactate_mM", "divisions"} <= set(
        Product.COLUMNS
    )
    assert sum(patients[f"harvested_{name}_fraction"] for name in PHENOTYPES) == pytest.approx(1.0)
    assert patients["seeded_t_cells"] + patients["kept_t_cells"] == pytest.approx(6e8)
    whole = product.t_cells + patients["harvested_dead_cells"]
    assert product.t_cells == pytest.approx(whole * product.viability)
    assert product.car_t_cells == pytest.approx(0.4 * product.t_cells)  # no growth advantage is stated
    assert np.all((patients["divisions"] > 0) & (patients["harvested_glucose_mM"] < 25.0))


@pytest.mark.parametrize("name", device_names())
def test_every_vessel_multiplies(name):
    product = multiply(engineered(), MultiplicationPlan(device=name), seed=1)
    assert len(product) == 200
    assert np.median(product.t_cells / product.patients["seeded_t_cells"]) > 3
    assert np.median(product.viability) > 0.8


def test_same_luck_whatever_the_order_block_and_threads(monkeypatch):
    whole = multiply(engineered(60), seed=3)
    monkeypatch.setattr("livingdrug.therapy.multiplication.BLOCK", 7)
    part = multiply(engineered(20, first=21), seed=3, threads=1)
    rows = np.isin(whole.patients.ids, part.patients.ids)
    assert whole.patients.take(rows) == part.patients


def test_poor_growth_and_low_viability_come_from_the_cells():
    """No failure is stated: slow cells give few, cells that die fast give a product with low viability."""
    slow = multiply(engineered(), MultiplicationPlan(growth_rate=fixed(0.2, "1/day")), seed=1)
    dying = multiply(engineered(), MultiplicationPlan(death_rate=fixed(0.6, "1/day")), seed=1)
    usual = multiply(engineered(), seed=1)
    assert np.median(slow.t_cells) < 0.25 * np.median(usual.t_cells)
    assert np.median(dying.viability) < 0.7 < np.median(usual.viability)
    assert len(usual.attrition) == 0
    wide = MultiplicationPlan(growth_rate=LogNormal(median=1.78, log_sd=0.6, unit="1/day"))
    spread = multiply(engineered(2000), wide, seed=1).t_cells
    assert np.mean(spread < 6e8) > 10 * np.mean(usual.t_cells < 6e8) >= 0  # more cultures that hardly grow
    assert np.any(spread < 6e8)
    assert len(multiply(engineered(400), MultiplicationPlan(failure=fixed(0.25, "fraction")), seed=1)) < 350


def test_frozen_cells_start_worse_and_end_alike():
    """panch2019: larger loss of frozen cells in the first two days, final product unaffected (here under 30 % less)."""
    early = MultiplicationPlan(duration=fixed(2.0, "day"))
    fresh, frozen = engineered(frozen_on_arrival=(0.0, "1")), engineered(frozen_on_arrival=(1.0, "1"))
    kept = np.median(multiply(frozen, early, seed=1).t_cells / multiply(fresh, early, seed=1).t_cells)
    late = np.median(multiply(frozen, seed=1).t_cells / multiply(fresh, seed=1).t_cells)
    assert kept < 0.85
    assert kept < late < 1
    assert late > 0.7


def test_short_culture_keeps_naive_cells():
    mixed = {
        f"{name}_fraction": (share, "fraction") for name, share in zip(PHENOTYPES, (0.4, 0.2, 0.25, 0.15), strict=True)
    }
    short, long = (
        multiply(engineered(**mixed), MultiplicationPlan(duration=fixed(days, "day")), seed=1) for days in (2.0, 9.0)
    )
    naive = "harvested_naive_fraction"
    assert np.median(short.patients[naive]) > np.median(long.patients[naive]) + 0.1
    expected = 0.4 * np.exp(-0.2 * long.patients["divisions"])  # the chain's first step, exactly
    assert long.patients[naive] == pytest.approx(expected, rel=1e-3)


def test_an_advantage_selects_car_and_cd4_cells():
    plan = MultiplicationPlan(car_advantage=fixed(0.2, "1"), cd4_advantage=fixed(-0.1, "1"))
    product = multiply(engineered(cd4_fraction=(0.5, "fraction")), plan, seed=1)
    doublings = product.patients["divisions"]
    share = product.car_t_cells / product.t_cells
    assert np.log(share / (1 - share)) == pytest.approx(np.log(0.4 / 0.6) + 0.2 * doublings)
    cd4 = product.patients["harvested_cd4_fraction"]
    assert np.log(cd4 / (1 - cd4)) == pytest.approx(-0.1 * doublings)


def test_a_second_stimulus_makes_more():
    once = multiply(engineered(), seed=1).t_cells
    assert np.median(multiply(engineered(), MultiplicationPlan(stimulations=(4.0,)), seed=1).t_cells / once) > 1.1
    assert np.array_equal(multiply(engineered(), MultiplicationPlan(stimulations=(30.0,)), seed=1).t_cells, once)


def test_no_cells_stay_no_cells():
    product = multiply(engineered(3, cells=0.0), seed=1)
    assert product.t_cells.tolist() == [0, 0, 0]
    assert product.viability.tolist() == [0, 0, 0]


def test_bad_rows_are_refused_or_marked():
    bad = {"engineering_viability": (np.where(np.arange(5) == 2, 1.2, 0.9), "fraction")}
    with pytest.raises(InputError, match=r"'engineering_viability' to be 0 to 1, got 1.2 fraction for patient 3"):
        multiply(engineered(5, **bad), seed=1)
    product = multiply(engineered(5, **bad), seed=1, on_bad_row="mark")
    assert product.patients.ids.tolist() == [1, 2, 4, 5]
    assert "engineering_viability is 1.2 fraction, allowed 0 to 1" in product.attrition.reasons[0]
    mixed = {f"{name}_fraction": (0.3, "fraction") for name in PHENOTYPES}
    with pytest.raises(InputError, match="sum of phenotypes"):
        multiply(engineered(2, **mixed), seed=1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MultiplicationPlan(device="stired tank"), "unknown device 'stired tank'; did you mean 'stirred tank'"),
        (lambda: MultiplicationPlan(duration=fixed(-1, "day")), "duration: must be above 0 day"),
        (lambda: MultiplicationPlan(growth_rate=fixed(-1.2, "1/day")), "growth_rate: must be at least 0"),
        (lambda: MultiplicationPlan(capacity=fixed(0, "cell")), "capacity: must be above 0"),
        (lambda: MultiplicationPlan(stimulations=(-1.0,)), "stimulations"),
        (lambda: MultiplicationPlan(viability=fixed(0.9, "fraction")), "unknown key 'viability'"),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(InputError, match=words):
        make()
