"""The fleet against queue theory: exact formulas, met within four standard errors between independent runs.

Sources: Erlang's formulas B and C, the Poisson law of M/G/infinity and Little's law stand in any textbook of queues;
the numbers are computed here from the formulas and from nothing of the simulation.
"""

import numpy as np
import pytest

from livingdrug.streams import normal

RUNS = 16
ERRORS = 4.0  # standard errors; missed by chance once in some ten thousand


def erlang_b(units, load):
    blocked = 1.0
    for number in range(1, units + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked


def erlang_c_wait(units, rate, mean):
    """Mean wait of M/M/c: chance to wait (Erlang C) over the spare capacity."""
    load = rate * mean
    blocked = erlang_b(units, load)
    waits = blocked / (1 - load / units * (1 - blocked))
    return waits / (units / mean - rate)


def standard_error(values):
    values = np.asarray(values, float)
    return values.std(ddof=1) / np.sqrt(values.size)


def close(values, expected, most_relative_error):
    error = standard_error(values)
    assert error < most_relative_error * expected, "too few runs to tell"
    assert abs(np.mean(values) - expected) < ERRORS * error


def test_erlang_formulas_by_hand():
    """B for one unit is a/(1+a); M/M/1 waits rho/(mu - lambda)."""
    assert erlang_b(1, 0.5) == pytest.approx(1 / 3)
    assert erlang_c_wait(1, 0.5, 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("units", "rate", "mean"), [(1, 0.6, 1.0), (3, 0.35, 6.0)])
def test_mean_wait_is_that_of_erlang_c(units, rate, mean, queue_plan, exponential):
    waits = []
    for seed in range(RUNS):
        visits = queue_plan(units, rate).run(2500, seed, process=exponential(mean)).visits.sort_values("patient")
        waits.append((visits["begin_day"] - visits["asked_day"]).to_numpy()[300:].mean())
    close(waits, erlang_c_wait(units, rate, mean), 0.1)


def test_share_turned_away_is_erlang_b(queue_plan, exponential):
    turned = []
    for seed in range(RUNS):
        result = queue_plan(4, 3.0, most_waiting=0).run(2000, seed, process=exponential(1.0))
        turned.append((result.patients["lost_reason"] == "turned away: queue full").to_numpy()[100:].mean())
        assert result.resources["turned_away"].iloc[0] == (result.patients["lost_day"].notna()).sum()
    close(turned, erlang_b(4, 3.0), 0.05)


def test_number_in_process_without_limits_is_poisson(queue_plan):
    """M/G/infinity with log-normal times: mean and variance are rate x mean time; looked at ten mean times apart."""
    rate, mean, log_sd = 5.0, 2.0, 0.8

    def lognormal(ids, seed):
        return mean * np.exp(log_sd * normal(seed, ids, "service")[:, 0] - log_sd**2 / 2), np.zeros(ids.size, bool)

    visits = queue_plan(None, rate).run(16_000, 5, process=lognormal).visits
    days = np.arange(40.0, visits["begin_day"].max() - 10, 20.0)
    begin, end = visits["begin_day"].to_numpy()[:, None], visits["end_day"].to_numpy()[:, None]
    inside = ((begin <= days) & (end > days)).sum(axis=0)
    expected = rate * mean
    assert days.size > 100
    assert abs(inside.mean() - expected) < ERRORS * np.sqrt(expected / days.size)
    assert abs(inside.var(ddof=1) / expected - 1) < ERRORS * np.sqrt(2 / (days.size - 1))


def test_littles_law(queue_plan, exponential):
    """Patients present, counted from the dated events, are the stated rate times the mean time of the patients."""
    rate, misses, present = 2.1, [], []
    for seed in range(RUNS):
        result = queue_plan(3, rate).run(2500, seed, process=exponential(1.0))
        events = result.events
        first, last = result.window
        days = np.arange(first + 50, last, 1.0)
        came = np.sort(events.loc[events["event"] == "referral", "day"])
        went = np.sort(events.loc[events["event"] == "infusion", "day"])
        there = np.mean(np.searchsorted(came, days, "right") - np.searchsorted(went, days, "right"))
        time = (result.patients["infusion_day"] - result.patients["referral_day"]).to_numpy()[100:].mean()
        present.append(there)
        misses.append(there - rate * time)
    error = standard_error(misses)
    assert error < 0.05 * np.mean(present), "too few runs to tell"
    assert abs(np.mean(misses)) < ERRORS * error


def test_even_arrivals_and_equal_times_are_exact(queue_plan):
    """D/D/c by hand: with 3 units of 2.5 days nobody waits; with 2 units patients 2k and 2k+1 wait k/2 days."""
    enough = queue_plan(3, 1.0, pattern="even", days=2.5).run(40)
    assert np.array_equal(enough.visits["begin_day"], enough.visits["asked_day"])
    short = queue_plan(2, 1.0, pattern="even", days=2.5).run(40).visits.sort_values("patient")
    waits = (short["begin_day"] - short["asked_day"]).to_numpy()
    assert waits == pytest.approx(0.5 * (np.arange(40) // 2), abs=1e-9)


def test_utilisation_and_queue_of_even_arrivals(queue_plan):
    """One unit, every 2 days a patient of 1 day, 21 patients: busy for 20 of the 40 days to the last referral."""
    row = queue_plan(1, 0.5, pattern="even", days=1.0).run(21).resources.iloc[0]
    assert row["utilisation"] == pytest.approx(0.5)
    assert row["mean_queue"] == pytest.approx(0, abs=1e-9)
    assert (row["served"], row["longest_queue"]) == (21, 0)
