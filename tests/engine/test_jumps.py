"""Populations counted cell by cell, against Kendall 1948 and against the published chances of cure of Kimmel 2021.

All seeds are fixed: a test that passes once passes always; a limit of 4 standard errors says how far chance may lead.
"""

import ctypes

import numpy as np
import pytest
from scipy import linalg, stats
from scipy.integrate import quad

from livingdrug.engine import random_ir
from livingdrug.engine.compile import _load, _machine_code
from livingdrug.engine.functions import write_functions
from livingdrug.engine.ir import Function, declarations
from livingdrug.engine.layout import Layout, Request
from livingdrug.engine.solve import Change, Crossing, Dose, solve
from livingdrug.errors import InputError
from livingdrug.library import load_model
from livingdrug.streams import uniform

MANY = 20_000
BIRTH, DEATH = 0.3, 0.5  # of Clone
SIGMA = 4.0


# -- random numbers ---------------------------------------------------------------------------------------------------
def test_uniform_numbers_are_those_of_the_streams():
    """Bit for bit, for identifiers and seeds that need both words."""
    lanes = 2
    f = Function("advance", [("block", "p")], lanes)
    numbers = [f.load(f["block"], k, "i") for k in range(5)]
    with f.count(0, numbers[4]) as i:
        out = f.emit("p", f"inttoptr i64 {numbers[3].name} to ptr")
        f.store(f.call("uniform", "d", numbers[0], numbers[1], numbers[2], i), out, i)
    f.give()
    stub = "define void @prepare(i64 %a, ptr %b, ptr %c) {\n  ret void\n}\n"
    text = declarations(lanes) + write_functions(lanes) + random_ir.write_draws(lanes) + f.text() + stub
    kernel = _load(Layout(), Request(()), lanes, _machine_code(text), was_cached=False)
    for seed, patient, purpose in (
        (0, 0, random_ir.PURPOSE_JUMP),
        (2**63 + 12345, 2**40 + 7, random_ir.PURPOSE_JUMP + 1),
    ):
        found = np.empty(257)
        block = np.array([seed, patient, purpose, found.ctypes.data, len(found)], np.uint64)
        kernel.advance(ctypes.c_void_p(block.ctypes.data))
        assert np.array_equal(found, uniform(seed, np.array([patient], np.uint64), purpose, len(found))[0])


def test_same_seed_same_draws_other_seed_or_patient_other_draws(models):
    def end(seed, ids):
        return solve(models.Clone, {}, [40.0], patient_ids=ids, seed=seed).extinct_time["cells"]

    ids = np.arange(200)
    assert np.array_equal(end(1, ids), end(1, ids), equal_nan=True)
    for other in (end(2, ids), end(1, ids + 200)):
        gone = np.isfinite(other) & np.isfinite(end(1, ids))
        assert gone.sum() > 100
        assert not np.any(other[gone] == end(1, ids)[gone])


def test_without_chance_the_population_is_its_mean(models):
    found = solve(models.Clone, {}, [0, 5, 50.0], stochastic=False, rtol=1e-9)
    assert found["tumour_cells"][0] == pytest.approx(20 * np.exp(-0.2 * np.array([0, 5, 50.0])), rel=1e-7)
    assert found.extinct_time == {}


# -- constant rates ---------------------------------------------------------------------------------------------------
def extinct_by(t, start, birth=BIRTH, death=DEATH):
    """Kendall 1948: chance that all families have died out by t."""
    e = np.exp(-(birth - death) * np.asarray(t, float))
    return (death * (1 - e) / (birth - death * e)) ** start


@pytest.fixture(scope="module")
def clones(models):
    """20 000 clones of 20 cells, with output times that do not fit any step."""
    times = np.array([0, 0.001, 0.37, 1.5, 2.71, 5.3, 9.99, 20.0])
    return times, solve(models.Clone, {"death": np.full(MANY, DEATH)}, times, seed=5)


def test_counts_are_whole_numbers(clones):
    values = clones[1]["tumour_cells"]
    small = values < 100
    assert np.array_equal(values[small], np.round(values[small]))
    assert values.min() == 0


def test_mean_and_variance_of_the_survivors(clones):
    """Mean n0 e^(rt), variance n0 (b + d)/r e^(rt) (e^(rt) - 1), r = b - d."""
    times, found = clones
    values = found["tumour_cells"]
    grown = np.exp((BIRTH - DEATH) * times)
    variance = 20 * (BIRTH + DEATH) / (BIRTH - DEATH) * grown * (grown - 1)
    assert values.mean(axis=0) == pytest.approx(20 * grown, abs=SIGMA * np.sqrt(variance.max() / MANY))
    z = (values.mean(axis=0) - 20 * grown)[1:] / np.sqrt(variance[1:] / MANY)
    assert np.abs(z).max() < SIGMA
    spread = np.sqrt(np.var((values - values.mean(axis=0)) ** 2, axis=0) / MANY)  # standard error of a variance
    assert np.all(np.abs(values.var(axis=0) - variance)[1:] < SIGMA * spread[1:])


def test_chance_of_extinction_at_each_time(clones):
    times, found = clones
    for t, k in zip(times, range(len(times)), strict=True):
        expected = extinct_by(t, 20)
        for share in ((found["tumour_cells"][:, k] == 0).mean(), (found.extinct_time["cells"] <= t).mean()):
            assert share == pytest.approx(expected, abs=SIGMA * np.sqrt(expected * (1 - expected) / MANY) + 1e-9)


def test_values_and_extinction_times_agree(clones):
    """Zero from the extinction on, and never before."""
    times, found = clones
    assert np.array_equal(found["tumour_cells"] == 0, found.extinct_time["cells"][:, None] <= times)


def test_times_of_extinction_follow_kendall(models):
    """Kolmogorov-Smirnov on 5000 clones of 20, and of 1 cell, followed until all are gone."""
    for start in (1.0, 20.0):
        found = solve(models.Clone, {"start": np.full(5000, start)}, [400.0], seed=7).extinct_time["cells"]
        assert np.isfinite(found).all()
        assert stats.kstest(found, lambda t, start=start: extinct_by(t, start)).pvalue > 1e-3


def test_law_of_a_small_clone(models):
    """Three cells after two days: the share of each count against the exact law, the sum of three families."""
    counts = solve(models.Clone, {"start": np.full(MANY, 3.0)}, [2.0], seed=9)["tumour_cells"][:, 0].astype(int)
    e = np.exp(-(BIRTH - DEATH) * 2.0)
    lost, ratio = DEATH * (1 - e) / (BIRTH - DEATH * e), BIRTH * (1 - e) / (BIRTH - DEATH * e)
    one = np.concatenate([[lost], (1 - lost) * (1 - ratio) * ratio ** np.arange(60)])
    law = np.convolve(np.convolve(one, one), one)[:61]
    expected = MANY * np.append(law[:16], 1 - law[:16].sum())
    observed = np.bincount(np.minimum(counts, 16), minlength=17)
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_a_growing_clone_dies_out_with_chance_death_over_birth(models):
    """Supercritical: (d/b)^n0 in the end; the others leave the threshold and grow without chance."""
    found = solve(models.Clone, {"start": np.full(MANY, 2.0), "birth": 1.0, "death": 0.6}, [12.0, 60.0], seed=3)
    expected = 0.6**2
    assert np.isfinite(found.extinct_time["cells"]).mean() == pytest.approx(
        expected, abs=SIGMA * np.sqrt(expected * (1 - expected) / MANY)
    )
    mean, spread = found["tumour_cells"][:, 0].mean(), found["tumour_cells"][:, 0].std() / np.sqrt(MANY)
    assert abs(mean - 2 * np.exp(0.4 * 12)) < SIGMA * spread
    large = found["tumour_cells"][:, 0] >= 200  # where the process ends and the equation goes on
    assert large.sum() > 1000
    assert found["tumour_cells"][large, 1] == pytest.approx(
        found["tumour_cells"][large, 0] * np.exp(0.4 * 48), rel=1e-4
    )


def test_hand_over_at_the_threshold(models):
    """1000 cells fall to 100 without chance in log(10)/r days; from there on Kendall with 100 cells."""
    birth, death = 0.1, 1.0
    fall = np.log(10) / (death - birth)
    times = fall + np.array([-0.5, -1e-6, 2.0, 4.0, 6.0])
    found = solve(
        models.Clone, {"start": np.full(MANY, 1000.0), "birth": birth, "death": death}, times, seed=4, rtol=1e-8
    )
    values = found["tumour_cells"]
    assert values[:, :2] == pytest.approx(np.tile(100 * np.exp(0.9 * np.array([0.5, 1e-6])), (MANY, 1)), rel=1e-6)
    for k in (2, 3, 4):
        expected = extinct_by(times[k] - fall, 100, birth, death)
        assert (values[:, k] == 0).mean() == pytest.approx(
            expected, abs=SIGMA * np.sqrt(expected * (1 - expected) / MANY) + 1e-9
        )


def test_a_start_between_whole_numbers_is_rounded_by_chance(models):
    """2.3 cells are 2 or 3, in the mean 2.3; 0.25 cells are 0 (extinct at once) or 1."""
    values = solve(models.Clone, {"start": np.full(MANY, 2.3)}, [0.0], seed=6)["tumour_cells"][:, 0]
    assert set(values) == {2.0, 3.0}
    assert values.mean() == pytest.approx(2.3, abs=SIGMA * np.sqrt(0.21 / MANY))
    found = solve(models.Clone, {"start": np.full(MANY, 0.25)}, [0.0], seed=6)
    assert (found.extinct_time["cells"] == 0).mean() == pytest.approx(0.75, abs=SIGMA * np.sqrt(0.1875 / MANY))


def test_pure_death_and_pure_birth(models):
    """Without births a cell lives on with e^(-dt): binomial. Without deaths (Yule) nobody dies out, mean e^(bt)."""
    found = solve(models.Clone, {"birth": 0.0, "death": np.full(MANY, 0.5)}, [1.3], seed=8)
    live = np.exp(-0.5 * 1.3)
    observed = np.bincount(found["tumour_cells"][:, 0].astype(int), minlength=21)
    expected = MANY * stats.binom.pmf(np.arange(21), 20, live)
    keep = expected > 5
    assert stats.chisquare(observed[keep], expected[keep] * observed[keep].sum() / expected[keep].sum()).pvalue > 1e-3
    found = solve(models.Clone, {"birth": 0.5, "death": 0.0, "start": np.full(MANY, 2.0)}, [1.3], seed=8)
    assert np.isnan(found.extinct_time["cells"]).all()
    grown = np.exp(0.5 * 1.3)
    assert found["tumour_cells"].mean() == pytest.approx(2 * grown, abs=SIGMA * np.sqrt(2 * grown * (grown - 1) / MANY))


def test_extinction_lasts_and_costs_nothing(models):
    """3000 days after extinction, with a death rate whose integral would overflow, nothing fails."""
    found = solve(models.Clone, {"death": np.full(64, 1.0)}, [100.0, 3000.0], seed=5)
    assert not found.failed.any()
    assert np.array_equal(found["tumour_cells"], np.zeros((64, 2)))
    assert found.steps.max() < 500


# -- rates that change in time ----------------------------------------------------------------------------------------
def test_death_that_wanes(models):
    """P(extinct by t) = (J/(1+J))^n0, J = integral of death exp(lean); mean n0 exp(-lean); by quadrature."""
    birth, death, wane, start = 0.2, 2.0, 0.3, 30.0

    def lean(t):
        return death / wane * (1 - np.exp(-wane * t)) - birth * t

    times = np.array([1.0, 2.2, 3.7, 8.0])
    found = solve(models.Waning, {"start": np.full(MANY, start)}, times, seed=12)
    for k, t in enumerate(times):
        j = quad(lambda s: death * np.exp(-wane * s + lean(s)), 0, t, epsabs=1e-12, epsrel=1e-10)[0]
        expected = (j / (1 + j)) ** start
        assert (found["tumour_cells"][:, k] == 0).mean() == pytest.approx(
            expected, abs=SIGMA * np.sqrt(expected * (1 - expected) / MANY)
        )
        second = quad(
            lambda s: (birth + death * np.exp(-wane * s)) * np.exp(lean(s)), 0, t, epsabs=1e-12, epsrel=1e-10
        )[0]
        spread = np.sqrt(start * np.exp(-2 * lean(t)) * second / MANY)
        assert abs(found["tumour_cells"][:, k].mean() - start * np.exp(-lean(t))) < SIGMA * spread


# -- what happens to a clone from outside -----------------------------------------------------------------------------
def test_cells_given_to_an_extinct_clone_live(models):
    """20 cells on day 10 behave as 20 cells on day 0; the time of extinction is that of the last family."""
    parameters = {"birth": 0.3, "death": np.full(MANY, 3.0)}
    found = solve(models.Clone, parameters, [9.0, 10.0, 11.0, 30.0], doses=[Dose("cells", 20.0, at=10.0)], seed=3)
    assert (found["tumour_cells"][:, 0] == 0).mean() > 0.999
    expected = extinct_by(1.0, 20, 0.3, 3.0)
    assert (found["tumour_cells"][:, 2] == 0).mean() == pytest.approx(
        expected, abs=SIGMA * np.sqrt(expected * (1 - expected) / MANY)
    )
    assert found.extinct_time["cells"].min() >= 10


def test_fractions_of_cells_given_to_a_clone_are_rounded_by_chance(models):
    found = solve(
        models.Clone,
        {"birth": 0.0, "death": 0.0, "start": np.full(MANY, 3.0)},
        [2.0],
        doses=[Dose("cells", 2.25, at=1.0)],
        seed=3,
    )["tumour_cells"][:, 0]
    assert set(found) == {5.0, 6.0}
    assert found.mean() == pytest.approx(5.25, abs=SIGMA * np.sqrt(0.1875 / MANY))


def test_an_infusion_into_a_clone_is_not_lost(models):
    """Refused, or given: 1e6 cells within a day, of which some are there at the end of it."""
    try:
        found = solve(
            models.Clone,
            {"death": np.full(50, 3.0)},
            [9.0, 11.0],
            doses=[Dose("cells", 1e6, at=10.0, duration=1.0)],
            seed=1,
        )
    except InputError:
        return
    expected = 1e6 / 2.7 * (1 - np.exp(-2.7))
    assert found["tumour_cells"][:, 1] == pytest.approx(np.full(50, expected), rel=1e-3)


def test_an_infusion_that_begins_while_cells_are_counted(models):
    """A slow infusion, 30 cells over 10 days into a clone without births and deaths: they must all be there."""
    try:
        found = solve(
            models.Clone, {"birth": 0.0, "death": np.zeros(MANY), "start": 5.0}, [5.0, 12.0],
            doses=[Dose("cells", 30.0, at=0.0, duration=10.0)], seed=1,
        )  # fmt: skip
    except InputError:
        return
    assert found["tumour_cells"].mean(axis=0) == pytest.approx([20, 35], abs=0.2)


def test_a_reset_to_many_cells_leaves_the_process(models):
    found = solve(
        models.Clone, {"death": np.full(20, 3.0)}, [10.0, 11.0], doses=[Change("cells", 1e6, at=10.0)], seed=1
    )
    assert found["tumour_cells"] == pytest.approx(np.tile([1e6, 1e6 * np.exp(-2.7)], (20, 1)), rel=1e-5)
    assert np.isnan(found.extinct_time["cells"]).all()


def test_crossing_of_a_counted_population(models):
    """First day with at least 60 cells: none before, and the count is there at the stop."""
    found = solve(
        models.Clone, {"birth": 1.0, "death": 0.5, "start": np.full(500, 20.0)}, [0.0, 30.0], seed=2,
        crossings={"sixty": Crossing("tumour_cells", above=60.0, stop=True)},
    )  # fmt: skip
    hit = np.isfinite(found.crossing_time["sixty"])
    assert hit.mean() == pytest.approx(1 - 0.5**20, abs=0.01)  # those that do not die out
    assert np.all(found.final[hit, 0] >= 60)
    assert np.median(found.crossing_time["sixty"][hit]) == pytest.approx(np.log(3) / 0.5, rel=0.25)


# -- rates that are not proportional to the number: one event after the other ----------------------------------------
def crowded_law(birth, crowd, start, step, count, most=60):
    """Chances of 0..most cells after 0..count steps of time: powers of the exponential of the process's generator."""
    n = np.arange(most + 1.0)
    up, down = birth * n[:-1], crowd * n[1:] ** 2
    generator = np.diag(up, 1) + np.diag(down, -1)
    generator -= np.diag(generator.sum(axis=1))
    once, law = linalg.expm(generator * step), [np.eye(most + 1)[start]]
    for _ in range(count):
        law.append(law[-1] @ once)
    return np.array(law)


def test_a_crowded_clone_follows_its_generator(models):
    """Deaths by crowding: shares of each count, mean and times of extinction against the exact law."""
    times = np.array([0.5, 3.0, 10.0])
    count = 4000
    parameters = {"birth": 0.6, "crowd": np.full(count, 0.1), "start": 8.0}
    found = solve(models.Crowded, parameters, times, seed=21)
    counts = found["tumour_cells"].astype(int)
    grid = np.arange(41) * 0.25
    law_by_time = crowded_law(0.6, 0.1, 8, 0.25, 40)
    law = law_by_time[np.searchsorted(grid, times)]
    for k in range(len(times)):
        last = int(np.searchsorted(np.cumsum(law[k]), 1 - 1e-3))
        expected = count * np.append(law[k, :last], law[k, last:].sum())
        assert stats.chisquare(np.bincount(np.minimum(counts[:, k], last), minlength=last + 1), expected).pvalue > 1e-3
    assert np.array_equal(counts == 0, found.extinct_time["cells"][:, None] <= times)
    observed = (found.extinct_time["cells"][:, None] <= grid).mean(axis=0)
    assert np.abs(observed - law_by_time[:, 0]).max() < 1.95 / np.sqrt(count)  # Kolmogorov-Smirnov at 1e-3


# -- cells that nobody notices: many events to a step -----------------------------------------------------------------
def test_an_unnoticed_clone_is_the_same_clone(models):
    """Rates that are constant between events: the same draws give the same counts and times of extinction."""
    times = np.array([0.5, 3.0, 10.0])
    parameters = {"birth": 0.6, "crowd": np.full(500, 0.1), "start": 8.0}
    one, other = (solve(m, parameters, times, seed=21) for m in (models.Crowded, models.CrowdedUnnoticed))
    assert np.array_equal(one.values, other.values)
    assert other.extinct_time["cells"] == pytest.approx(one.extinct_time["cells"], rel=1e-6, nan_ok=True)
    assert other.steps.mean() < one.steps.mean() / 3


def test_an_unnoticed_clone_under_rates_that_change(models):
    """Hunters wear off; single cells feel like nothing to them. Same fate of each clone, times within the tolerance."""
    parameters = {"start": np.full(500, 1e4)}
    one, other = (solve(m, parameters, [5.0, 10.0, 20.0], seed=3) for m in (models.Hunted, models.HuntedUnnoticed))
    gone, also = np.isfinite(one.extinct_time["cells"]), np.isfinite(other.extinct_time["cells"])
    assert 0.2 < gone.mean() < 0.98
    assert np.array_equal(gone, also)
    apart = np.abs(one.extinct_time["cells"] - other.extinct_time["cells"])[gone]
    assert np.median(apart) < 1e-4  # days; a later event follows an earlier one, so a few add up
    assert np.quantile(apart, 0.9) < 0.05
    assert other["car_t_total"] == pytest.approx(one["car_t_total"], rel=1e-5)
    assert other.steps.mean() < one.steps.mean() / 3


def test_an_unnoticed_clone_grows_back_into_its_equation(models):
    """From 200 cells on it follows the equation again, at the pace of birth less crowding."""
    parameters = {"birth": 1.0, "crowd": np.full(200, 1e-12), "start": 20.0}
    found = solve(models.CrowdedUnnoticed, parameters, [8.0, 10.0], seed=4)["tumour_cells"]
    large = found[:, 0] >= 200
    assert large.mean() > 0.9
    assert found[large, 1] == pytest.approx(found[large, 0] * np.exp(2.0), rel=1e-4)


def test_an_unnoticed_clone_has_the_same_bits_at_any_width(models):
    parameters = {"start": np.full(37, 1e4)}
    one, *others = (
        solve(models.HuntedUnnoticed, parameters, [5.0, 20.0], seed=3, lanes=lanes, threads=threads)
        for lanes, threads in ((2, 1), (4, 2), (8, 1))
    )
    for other in others:
        assert np.array_equal(one.values, other.values)
        assert np.array_equal(one.extinct_time["cells"], other.extinct_time["cells"], equal_nan=True)


# -- the published chance of cure -------------------------------------------------------------------------------------
NINE = [
    "normal_t_capacity", "car_t_capacity", "normal_t_growth", "car_t_growth", "growth_signal_width", "growth_signal",
    "tumour_growth", "kill_rate", "half_kill_car_t",
]  # fmt: skip
DEEP = 5e8  # cells in the body per cell/uL, as the published code counts
VOLUMES = {"min": 2.3, "median": 94.8, "max": 1275.0}  # mL; SOURCE.md of the target file


def perturbed(count, seed, **typical):
    """Parameters of the hybrid runs: nine of them times 1 + 0.05 N(0, 1)."""
    random = np.random.default_rng(seed)
    values = dict(load_model("kimmel2021").parameter_sets["code"]) | typical
    return values | {name: values[name] * (1 + 0.05 * random.standard_normal(count)) for name in NINE}


def run_kimmel(parameters, volume, seed, ids=None):
    """Cured patients: extinct within 2000 days and before progression to 1.2 times the start."""
    watch = {"progression": Crossing("tumour", above=1.2 * volume * 1e9, stop=True)}
    found = solve(
        load_model("kimmel2021"), parameters | {"baseline_tumour_volume": volume}, [2000.0], outputs=["tumour_volume"],
        crossings=watch, seed=seed, patient_ids=ids,
    )  # fmt: skip
    assert not found.failed.any()
    return np.isfinite(found.extinct_time["tumour"])


def oracle(p, volumes, end=600.0):
    """P(cure) of each patient and volume: T cells by Runge and Kutta, hand-over at 100 cells, Kendall's formula.

    R = integral of (death - birth), G = integral of death exp(R); the tumour is at 100 cells where exp(R) = B0/100, and
    from there J = (G(end) - G) exp(-R). Values between grid points by the cubic through both ends and slopes.
    """

    def slope(y):
        n, c, r, _ = y
        total = n + c
        missing = total - p["normal_t_capacity"]
        growth = p["car_t_growth"] + p["growth_signal"] * missing**2 / (
            p["growth_signal_width"] * total**2 + missing**2
        )
        death = p["kill_rate"] * c / (p["half_kill_car_t"] + c)
        return np.array([
            -p["normal_t_growth"] * n * np.log(total / p["normal_t_capacity"]),
            -growth * c * np.log(total / p["car_t_capacity"]),
            death - p["tumour_growth"], death * np.exp(r),
        ])  # fmt: skip

    count = len(p["tumour_growth"])
    y = np.zeros((4, count))
    y[0], y[1] = p["normal_t_at_infusion"], p["car_t_at_infusion"]
    levels = [np.log(np.asarray(v) * 1e9 / 100) for v in volumes]
    at_hand_over = [np.full(count, np.nan) for _ in volumes]
    lowest = np.zeros(count)
    progressed = np.zeros((len(volumes), count), bool)
    grid = np.concatenate([np.arange(0, 80, 0.1), np.arange(80, end + 0.1, 0.5)])
    for h in np.diff(grid):
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        new = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(y + h * k3))
        lowest = np.minimum(lowest, new[2])
        k_new = slope(new)
        for v, level in enumerate(levels):
            now = np.isnan(at_hand_over[v]) & (new[2] >= level)
            progressed[v] |= np.isnan(at_hand_over[v]) & ~now & (-lowest > np.log(1.2))
            if now.any():
                at_hand_over[v][now] = _hand_over(
                    h, *(a[:, now] for a in (y, k1, new, k_new)), np.broadcast_to(level, count)[now]
                )
        y = new
    found = []
    for level, g, gone in zip(levels, at_hand_over, progressed, strict=True):
        j = (y[3] - g) * np.exp(-level)
        found.append(np.where(np.isnan(g) | gone, 0.0, (j / (1 + j)) ** 100))
    return found


def _hand_over(h, y, k, new, k_new, level):
    """G where R reaches the level inside a step."""

    def cubic(u, i):
        a, b = y[i], new[i]
        return (1 - u) * a + u * b + u * (u - 1) * ((1 - 2 * u) * (b - a) + (u - 1) * h * k[i] + u * h * k_new[i])

    low, high = np.zeros_like(level), np.ones_like(level)
    for _ in range(50):
        middle = (low + high) / 2
        there = cubic(middle, 2) >= level
        low, high = np.where(there, low, middle), np.where(there, middle, high)
    return cubic(high, 3)


def test_cure_in_kimmel2021_is_that_of_kendalls_formula():
    """20 000 patients per volume, eight draws for each of 2500 sets, within 4 standard errors of the oracle."""
    sets, draws = 2500, 8
    parameters = perturbed(sets, seed=20210229)
    expected = oracle(parameters, list(VOLUMES.values()))
    repeated = {k: np.tile(v, draws) if np.ndim(v) else v for k, v in parameters.items()}
    lines = []
    for (label, volume), chance in zip(VOLUMES.items(), expected, strict=True):
        cured = run_kimmel(repeated, volume, seed=3)
        error = np.sqrt((chance * (1 - chance)).sum() / draws) / sets
        z = (cured.mean() - chance.mean()) / error
        lines.append((label, cured.mean(), chance.mean(), z))
        print(f"{label:>7} {volume:7.1f} mL: engine {cured.mean():.4f} oracle {chance.mean():.4f} z {z:+.2f}")
    assert max(abs(z) for *_, z in lines) < SIGMA


DISCUSSED = {
    "growth 0.04, largest": (VOLUMES["max"], {"tumour_growth": 0.04}),
    "growth 0.09, smallest": (VOLUMES["min"], {"tumour_growth": 0.09}),
    "capacity 150, smallest": (VOLUMES["min"], {"car_t_capacity": 150 * DEEP}),
    "169.56 mL": (169.56, {}),
}
"""Published rows that lie 3 or more standard errors from the exact answer, and why.

The first: 0.577 where its neighbours are 0.274 (growth 0.065) and 0.164 (0.09). The oracle gives 0.35, and for a growth
of 0.01 per day still only 0.51, so no reading of the model gives this row.

The others: the published values are 0.02 to 0.03 above the exact ones on the whole (mean z about -1). Births and deaths
drawn with rates held constant from one event to the next, while CAR T cells and with them the deaths become fewer, give
just that (own simulation of five rows: 0.58, 0.81, 0.39, 0.67, 0.80 held; 0.56, 0.78, 0.36, 0.65, 0.78 exact; 0.62,
0.81, 0.41, 0.71, 0.82 published). That the published code does so is inferred, not read.
"""


@pytest.mark.parametrize("row", DISCUSSED)
def test_the_published_chances_of_cure_that_are_not_ours_are_not_the_oracles_either(row):
    """4000 patients each. All 53 published rows are judged by ``livingdrug qualify kimmel2021``."""
    volume, typical = DISCUSSED[row]
    parameters = perturbed(4000, 1000, **typical)
    chance = oracle(parameters, [volume], end=300.0)[0]
    error = np.sqrt((chance * (1 - chance)).sum()) / len(chance)
    assert abs(run_kimmel(parameters, volume, seed=1).mean() - chance.mean()) < SIGMA * error
