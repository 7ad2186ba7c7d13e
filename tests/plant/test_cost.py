"""Cost of a batch against the use of the plant; targets from the i-SHIPMENT instance and its proved optimum."""

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.plant import BatchCost, prices
from livingdrug.sources import cite

THIRD = 50 / (8 * 130 / 7)  # 50 batches on 8 lines of 7 days in 130 days


def test_a_third_of_full_use_gives_the_instances_cost_to_the_cent():
    """7,088,762.80 USD for 50 therapies: ishipment_reference_solutions.json, 141,775.26 each, 85 % for the plant."""
    cost = BatchCost().central(THIRD)
    assert round(cost["all"], 2) == 141_775.26
    assert round(cost["plant"] / cost["all"], 2) == 0.85


def test_full_use_gives_about_62000():
    assert BatchCost().central(1.0)["all"] == pytest.approx(62_000, rel=0.01)


def test_the_curve_falls_and_its_intervals_hold_the_middle():
    curve = BatchCost().curve(np.linspace(0.1, 1, 10))
    assert (np.diff(curve["batch"]) < 0).all()
    assert (curve["batch_low"] < curve["batch"]).all()
    assert (curve["batch"] < curve["batch_high"]).all()
    assert (curve["treated"] > curve["batch"]).all()
    middle = [BatchCost().central(use)["all"] for use in curve["utilisation"]]
    assert curve["batch"].to_numpy() == pytest.approx(middle, rel=0.02)


def test_without_spread_the_interval_closes():
    def fixed(value, unit="USD"):
        return {"value": value, "unit": unit}

    sure = BatchCost(
        line_day=fixed(100.0, "USD/day"), making_days=fixed(7.0, "day"), materials=fixed(20.0), tests=fixed(30.0),
        transport=fixed(50.0), infused_share=fixed(0.5, "fraction"),
    )  # fmt: skip
    row = sure.curve([0.7]).iloc[0]
    assert row[["batch", "batch_low", "batch_high"]].tolist() == pytest.approx([1100.0] * 3)
    assert row["treated"] == pytest.approx(2200.0)
    assert row["plant_share"] == pytest.approx(1000 / 1100)


def test_same_seed_same_curve_other_seed_other():
    one, again, other = (BatchCost().curve([0.5], seed) for seed in (1, 1, 2))
    assert one.equals(again)
    assert not one.equals(other)


@pytest.mark.parametrize("use", [0.0, -0.1, 1.1, np.nan, [[0.5]]])
def test_impossible_use_is_refused(use):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        BatchCost().curve(use)


def test_prices_have_their_sources():
    """costs.csv of the check data: acquisition 399,000, 410,300 and 373,000 USD (PMC9309131, table 2)."""
    listed = prices()
    assert [price.low for price in listed if price.source == "cartprices2022"] == [399_000, 410_300, 373_000]
    for price in listed:
        assert cite(price.source)
        assert price.high is None or price.high > price.low


def test_the_prices_are_those_of_the_check_data(shared_data):
    import csv

    with (shared_data / "manufacturing" / "costs.csv").open() as file:
        rows = {row["item"]: row["value"] for row in csv.DictReader(file)}
    ours = {price.item: price for price in prices()}
    assert ours["axi-cel, acquisition"].low == float(rows["axi-cel acquisition"])
    assert ours["NexCAR19, India"].low == float(rows["NexCAR19 India"].split("-")[0])
    assert ours["NexCAR19, India"].high == float(rows["NexCAR19 India"].split("-")[1])
    assert ours["Italian centre: set-up, once; 77 % of it quality assurance"].low == float(
        rows["Italian centre: set-up"]
    )
    daily = float(rows["network model: 4-line facility capital+fixed per day"])
    assert BatchCost().line_day.quantile(0.5) == pytest.approx(daily / 4)
