"""Refit: the prior comes back where nothing was seen, intervals cover the truth, and bad files are told in words."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit, logit

from livingdrug.declared import read_toml
from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.plant.posterior import SitePrior, update, update_chance
from livingdrug.plant.refit import refit, with_site
from livingdrug.plant.site_file import COLUMNS, SiteBatches, read_batches
from livingdrug.plant.site_priors import BETWEEN_COPIES, CAR_POSITIVE, failure_prior, quantities
from livingdrug.therapy import Journey, MultiplicationPlan, collect, engineer, multiply
from livingdrug.therapy.stated import Fixed, LogNormal

PRIOR = SitePrior(center=0.3, between=0.6, spread=0.3, doubt=0.35)


def made(columns, reasons=()):
    size = len(next(iter(columns.values()))) if columns else 0
    arrays = {name: np.asarray(values, float) for name, values in columns.items()}
    return SiteBatches(tuple(f"B{n}" for n in range(size)), np.arange(2, size + 2), arrays, tuple(reasons))


def test_the_sum_over_spreads_agrees_with_double_integration():
    """The same posterior by SciPy's quadrature over centre and log spread, for three batches."""
    y = np.array([0.9, 1.2, 0.7])

    def density(center, log_spread):
        chance = stats.norm.pdf(center, PRIOR.center, PRIOR.between)
        chance *= stats.norm.pdf(log_spread, math.log(PRIOR.spread), PRIOR.doubt)
        return chance * np.prod(stats.norm.pdf(y, center, math.exp(log_spread)))

    def mass(low, high):
        middle, wide = math.log(PRIOR.spread), 5 * PRIOR.doubt  # what lies outside is below 1e-5
        return integrate.dblquad(density, middle - wide, middle + wide, low, high, epsabs=1e-9, epsrel=1e-6)[0]

    site = update(PRIOR, y)
    below = mass(-1.5, float(site.center(0.2))) / mass(-1.5, 3.0)
    assert below == pytest.approx(0.2, abs=1e-4)


def test_many_batches_leave_the_prior_behind():
    """With 2,000 batches the interval is the classical one: mean +- 1.645 s / sqrt(n)."""
    y = np.random.default_rng(5).normal(-1.0, 0.5, 2000)
    low, middle, high = update(PRIOR, y).center([0.05, 0.5, 0.95])
    half = 1.645 * y.std(ddof=1) / math.sqrt(y.size)
    assert (low, middle, high) == pytest.approx((y.mean() - half, y.mean(), y.mean() + half), abs=0.002)
    assert update(PRIOR, y).spread(0.5) == pytest.approx(y.std(ddof=1), rel=0.005)


def test_few_batches_are_pulled_towards_other_sites():
    """One batch at distance 1: with the spread known the centre moves by 0.36 / (0.36 + 0.09) = 0.8 of the way."""
    sure = SitePrior(center=0.0, between=0.6, spread=0.3, doubt=1e-3)
    site = update(sure, [1.0])
    assert site.own == pytest.approx(0.8, abs=1e-4)
    assert float(site.center(0.5)) == pytest.approx(0.8, abs=1e-4)
    assert [update(sure, [1.0] * n).own for n in (1, 2, 5, 20)] == sorted(
        update(sure, [1.0] * n).own for n in (1, 2, 5, 20)
    )


@pytest.mark.parametrize("batches", [1, 4, 15])
def test_intervals_cover_nine_sites_of_ten(batches):
    """700 sites drawn from the population that the prior states; 90 % intervals for centre, spread, next batch."""
    luck = np.random.default_rng(batches)
    covered = np.zeros(3)
    sites = 700
    for _ in range(sites):
        center = luck.normal(PRIOR.center, PRIOR.between)
        spread = math.exp(luck.normal(math.log(PRIOR.spread), PRIOR.doubt))
        site = update(PRIOR, luck.normal(center, spread, batches))
        for place, (truth, levels) in enumerate(
            ((center, site.center), (spread, site.spread), (luck.normal(center, spread), site.new_batch))
        ):
            low, high = levels([0.05, 0.95])
            covered[place] += low <= truth <= high
    assert covered / sites == pytest.approx(np.full(3, 0.9), abs=0.03)


def test_refitted_sites_cover_the_truth_in_their_own_units():
    """500 sites of 1 to 20 batches through the whole refit: copies, efficiency, recovery, failures."""
    luck = np.random.default_rng(8)
    priors = {one.name: one for one in quantities(MultiplicationPlan())}
    columns = {
        "efficiency": "collection_efficiency_fraction",
        "copies_per_cell": "copies_per_cell",
        "thaw_recovery": "thaw_recovery_fraction",
    }
    covered, failures, sites = dict.fromkeys(columns, 0), 0, 500
    prior, between = failure_prior(unexplained=False)
    for _ in range(sites):
        size, truth, seen = int(luck.integers(1, 21)), {}, {}
        for name, column in columns.items():
            p = priors[name].site_prior
            truth[name] = luck.normal(p.center, p.between)
            spread = math.exp(luck.normal(math.log(p.spread), p.doubt))
            seen[column] = priors[name].back(luck.normal(truth[name], spread, size))
        chance = expit(luck.normal(logit(prior.value), between.value))
        seen["failed"] = luck.random(size) < chance
        found = refit(made(seen), "simulated")
        for name in columns:
            low, _, high = found[name].median
            covered[name] += low <= priors[name].back(truth[name]) <= high
        failures += found.chances[0].chance[0] <= chance <= found.chances[0].chance[2]
    for share in (*covered.values(), failures):
        assert share / sites == pytest.approx(0.9, abs=0.03)


def test_counts_of_failures_agree_with_quadrature():
    center, between = -3.0, 1.0

    def density(odds):
        return stats.norm.pdf(odds, center, between) * stats.binom.pmf(2, 40, expit(odds))

    whole = integrate.quad(density, -12, 6)[0]
    mean = integrate.quad(lambda odds: expit(odds) * density(odds), -12, 6)[0] / whole
    site = update_chance(center, between, 2, 40)
    assert site.next_batch == pytest.approx(mean, rel=1e-5)
    low = logit(float(site.chance(0.05)))
    assert integrate.quad(density, -12, low)[0] / whole == pytest.approx(0.05, abs=1e-3)


def test_without_batches_the_published_numbers_come_back():
    found = refit(made({}), "empty")
    assert all(entry.stated is entry.quantity.prior for entry in found.fitted)
    assert found.numbers() == {}
    journey = Journey(infusion={"model": "kimmel2021"})
    assert found.apply(journey) == journey
    assert found["growth_rate"].median[1] == pytest.approx(1.78, rel=1e-6)  # devices.toml, stirred tank


def test_priors_are_what_they_say():
    spread = statistics.stdev(math.log(-math.log1p(-share)) for share in CAR_POSITIVE.values())
    assert pytest.approx(spread, abs=0.005) == BETWEEN_COPIES
    for one in quantities(MultiplicationPlan()):
        for stated in (one.prior, one.between, one.doubt):
            assert stated.mark in ("read", "computed") or stated.note


@pytest.fixture(scope="module")
def culture():
    """Forty batches grown by the chain at known rates of growth and death."""
    ids = np.arange(1, 41)
    people = Patients(ids, {"cd3_per_uL": np.full(40, 900.0)}, {"cd3_per_uL": "1/uL"})
    plan = MultiplicationPlan(
        activation_half_life=Fixed(value=2.6, unit="day"),
        growth_rate=LogNormal(median=1.5, log_sd=0.2, unit="1/day"),
        death_rate=LogNormal(median=0.12, log_sd=0.3, unit="1/day"),
    )
    grown = multiply(engineer(collect(people, seed=3), seed=3), plan, seed=3).patients
    rates = {name: getattr(plan, name).draw(3, ids, code) for name, code in (("growth_rate", 30), ("death_rate", 35))}
    columns = {
        "seeded_cells": grown["seeded_t_cells"],
        "harvested_cells": grown["harvested_t_cells"],
        "culture_days": grown["culture_days"],
        "viability_fraction": grown["viability"],
    }
    return columns, rates


def test_rates_are_found_that_give_the_harvest(culture):
    """The batches come from the culture model itself, so each batch's own rates must come back."""
    columns, rates = culture
    found = refit(made(columns), "known")
    for name, truth in rates.items():
        assert found[name].values == pytest.approx(truth, rel=0.02)
    assert found["growth_rate"].median[0] < 1.5 < found["growth_rate"].median[2]
    assert found["death_rate"].spread[0] < 0.3 < found["death_rate"].spread[2]
    assert found.extra["multiplication.activation_half_life"].value == 2.6


def test_growth_is_read_from_doublings_or_a_rate_alike(culture):
    columns, _ = culture
    fold = np.log(columns["harvested_cells"] / columns["seeded_cells"])
    base = {name: columns[name] for name in ("seeded_cells", "culture_days", "viability_fraction")}
    whole = refit(made(columns), "a")["growth_rate"].values
    assert refit(made(base | {"doublings": fold / np.log(2)}), "b")["growth_rate"].values == pytest.approx(whole)
    assert refit(made(base | {"growth_per_day": fold / 8}), "c")["growth_rate"].values == pytest.approx(whole)


def test_without_viability_the_death_rate_stays_the_vessels(culture):
    columns, _ = culture
    found = refit(made({name: column for name, column in columns.items() if name != "viability_fraction"}), "a")
    assert found["growth_rate"].rows.size == 40
    assert found["death_rate"].rows.size == 0
    assert "multiplication.death_rate" not in found.numbers()


def test_a_harvest_that_no_culture_gives_is_named(culture):
    columns = {name: np.array(column) for name, column in culture[0].items()}
    columns["harvested_cells"][7] = 1e13
    found = refit(made(columns), "a")
    assert found["growth_rate"].rows.size == 39
    assert any("1 of 40 batches cannot be explained" in text and "'B7'" in text for text in found.messages)


def test_the_file_makes_a_journey(culture, tmp_path):
    columns, _ = culture
    shares = {"car_positive_fraction": np.linspace(0.3, 0.5, 40), "thaw_recovery_fraction": np.full(40, 0.8)}
    failed = {"failed": np.eye(40)[3]}
    found = refit(made(columns | shares | failed, ["", "", "", "other", *[""] * 36]), 'Clinic "A"\n[x]')
    path = tmp_path / "priors.toml"
    path.write_text(found.to_toml(), encoding="utf-8")
    base = Journey(infusion={"model": "kimmel2021"}, release={"least_viability": {"value": 0.7, "unit": "fraction"}})
    journey = with_site(base, path)
    assert journey == found.apply(base)
    assert journey == Journey(**{**read_toml(path), "release": journey.release}, infusion={"model": "kimmel2021"})
    assert journey.release.least_viability.value == 0.7
    assert journey.release.losses.thaw_recovery.mark == "computed"
    assert journey.multiplication.growth_rate.source == "site data"
    assert "40 batches" in journey.multiplication.growth_rate.note
    text = path.read_text(encoding="utf-8")
    assert "Not for clinical use" in text
    assert "# before: log-normal, median 1.78 1/day" in text


def test_the_site_changes_what_the_chain_makes(culture):
    """A site with 25 % CAR-positive cells makes batches around 25 %, not the published 63 %."""
    shares = 1 / (1 + np.exp(-np.random.default_rng(1).normal(logit(0.25), 0.3, 30)))
    found = refit(made({"car_positive_fraction": shares}), "low")
    people = Patients(np.arange(1, 2001), {"cd3_per_uL": np.full(2000, 900.0)}, {"cd3_per_uL": "1/uL"})
    journey = found.apply(Journey(infusion={"model": "kimmel2021"}))
    cells = engineer(collect(people, journey.collection, seed=1), journey.engineering, seed=1)
    assert np.median(cells.car_positive) == pytest.approx(np.median(shares), abs=0.02)
    assert np.std(logit(cells.car_positive)) == pytest.approx(np.std(logit(shares)), rel=0.25)


def test_copies_and_shares_together_give_the_law_of_gene_copies():
    """Half CAR-positive with one copy per cell is a shape of 1: 1 - 1/(1 + 1) = 0.5."""
    found = refit(made({"car_positive_fraction": [0.5] * 3, "copies_per_cell": [1.0] * 3}), "a")
    assert found.extra["engineering.over_dispersion"].value == pytest.approx(1.0, rel=1e-4)
    few = refit(made({"car_positive_fraction": [0.5] * 3, "copies_per_cell": [0.5] * 3}), "a")
    assert "engineering.over_dispersion" not in few.extra
    assert any("fewer copies than the Poisson law" in text for text in few.messages)


def test_outliers_single_batches_and_constants_are_told():
    luck = np.random.default_rng(2)
    shares = expit(luck.normal(0.0, 0.2, 20))
    shares[4] = 0.99
    found = refit(made({"thaw_recovery_fraction": shares}), "a")
    told = next(text for text in found.messages if "stand far" in text)
    assert "1 of 20" in told
    assert "'B4' (0.99 fraction)" in told
    assert found["thaw_recovery"].rows.size == 20
    one = refit(made({"t_cell_purity_fraction": [0.97]}), "a")
    assert any("one batch only" in text for text in one.messages)
    same = refit(made({"culture_days": [9.0] * 6}), "a")
    assert any("all 6 values are 9" in text for text in same.messages)
    assert same["culture_days"].median[1] == pytest.approx(9.0, rel=1e-3)
    assert 0 < same["culture_days"].spread[1] < 0.1


def test_edges_and_wrong_units_are_told():
    edge = refit(made({"t_cell_purity_fraction": [1.0, 0.98, 0.97]}), "a")
    assert any("taken as 0.1 or 99.9 %" in text for text in edge.messages)
    unit = refit(made({"copies_per_cell": [110.0, 90.0, 100.0]}), "a")
    assert any("check the unit" in text for text in unit.messages)
    over = refit(
        made({"collected_cells": [1e11, 2e9], "cd3_per_uL": [900.0] * 2, "processed_volume_L": [5.0] * 2}), "a"
    )
    assert over["efficiency"].rows.size == 1
    assert any("more T cells were collected than passed" in text for text in over.messages)


def test_failures_need_their_reason_for_the_plan():
    told = refit(made({"failed": [0, 0, 1]}), "a")
    assert "multiplication.failure" not in told.numbers()
    assert any("without failure_reason" in text for text in told.messages)
    known = refit(made({"failed": [0, 1, 1]}, ["", "growth", "other"]), "a")
    assert [(chance.events, chance.batches) for chance in known.chances] == [(2, 3), (1, 3)]


GOOD = "batch,viability_percent,culture_days\nA,91,8\nB,,9\n"


def test_a_file_is_read_with_its_units(tmp_path):
    path = tmp_path / "site.csv"
    path.write_text("\ufeff" + GOOD, encoding="utf-8")
    found = read_batches(path)
    assert found.names == ("A", "B")
    assert found.columns["viability_fraction"][0] == pytest.approx(0.91)
    assert math.isnan(found.columns["viability_fraction"][1])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("batch,viability_fraction\nA,1.2\n", "line 2, batch 'A': viability_fraction must be a number from 0 to 1,"),
        ("batch,viability_percent\nA,120\n", "viability_percent must be a number from 0 to 100, got '120'"),
        ("culture_days\n-3\n", "line 2: culture_days must be a number from 0.25 to 60, got '-3'"),
        ("culture_days\nnan\n", "got 'nan'"),
        ("culture_days\n1_0\n", "got '1_0'"),
        ("failed\n2\n", "failed must be 0 or 1, got '2'"),
        ("failed,failure_reason\n1,greed\n", "unknown failure_reason 'greed'"),
        ("failed,failure_reason\n0,growth\n", "failed is 0, but failure_reason is 'growth'"),
        ("collection_date,harvest_date\n2025-03-09,2025-03-01\n", "must not be before collection_date 2025-03-09"),
        ("collection_date\n31.3.2025\n", "must be a date such as"),
        ("batch,culture_days\nA,8\nA,9\n", "line 3: batch 'A' stands in line 2 already"),
        ("culture_days\n8,9\n", "2 cells for 1 columns"),
        ("vaibility_fraction\n0.9\n", "did you mean 'viability_fraction'"),
        ("viability_percent,viability_fraction\n90,0.9\n", "stands there twice"),
        ("", "the file is empty"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_with_line_field_value_and_range(tmp_path, text, told):
    path = tmp_path / "site.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_batches(path)
    assert told in str(error.value)


def test_bad_rows_can_be_left_out_and_are_named(tmp_path):
    path = tmp_path / "site.csv"
    path.write_text("batch,culture_days\nA,8\nB,800\nC,9\nA,7\n")
    found = read_batches(path, "mark")
    assert found.names == ("A", "C")
    assert len(found.left_out) == 2
    assert any("left out: line 3, batch 'B'" in text for text in refit(found, "a").messages)


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b'a,"b\n', b"\x00\x01,\n1,2\n"])
def test_hostile_bytes_are_refused(tmp_path, raw):
    path = tmp_path / "site.csv"
    path.write_bytes(raw)
    with pytest.raises(InputError):
        read_batches(path)


def test_missing_file_and_unknown_names(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_batches(tmp_path / "none.csv")
    with pytest.raises(InputError, match="unknown device"):
        refit(made({}), "a", device="bucket")
    with pytest.raises(InputError, match="did you mean 'growth_rate'"):
        refit(made({}), "a")["growth_rte"]
    with pytest.raises(InputError, match="1 to 200 letters"):
        refit(made({}), "")
    assert all(low < high for low, high, _ in COLUMNS.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batch,culture_days,failed\nA,8\n", r"line 2, batch 'A': 2 cells for 3 columns"),
        (
            "batch,collection_date,harvest_date,culture_days\nA,2025-03-01,2025-03-05,9\n",
            r"line 2, batch 'A': culture_days must fit between collection and harvest, 4 days; got 9",
        ),
        (
            "batch,copies_per_cell,copies_per_car_cell\nA,3,1\n",
            r"copies_per_car_cell must be at least copies_per_cell, 3; got 1",
        ),
    ],
)
def test_values_of_a_row_that_cannot_both_be_true_are_refused(tmp_path, text, words):
    path = tmp_path / "site.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_batches(path)
