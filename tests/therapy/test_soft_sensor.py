"""The soft sensor on runs of growth models that it does not know.

Five growth models stand below, none of them the sensor's. Three (``theta_logistic``, ``gompertz``, ``cell_cycle``) were
used while the sensor was made: its drift and its error at harvest are set so that about nine in ten of their harvests
lie in the interval. The other two (``generations``, ``resting``) test it; none of its numbers was fitted to them. What
was seen on the way is told in docs/decisions/0017-soft-sensor.md.
"""

from functools import lru_cache

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.therapy.soft_sensor import Readings, SoftSensor

STEP, HARVEST, NOW, MILLILITRES = 0.02, 8.0, 5.5, 1000.0
COUNTED = [0.0, 2.0, 4.0, NOW]
KNOWN = {"perfusion_rate": 1.0}  # of all simulated runs from day 2 on, as in the vessel


def follow(rate, state, days=HARVEST):
    """Classical Runge-Kutta; states never below 0. Returns all states, shape (time, state, run)."""
    course = [state]
    for k in range(round(days / STEP)):
        t = k * STEP
        a = rate(t, state)
        b = rate(t + STEP / 2, state + STEP / 2 * a)
        c = rate(t + STEP / 2, state + STEP / 2 * b)
        state = np.maximum(state + STEP / 6 * (a + 2 * b + 2 * c + rate(t + STEP, state + STEP * c)), 0)
        course.append(state)
    return np.array(course)


def exchange(t):
    return 1.0 if t >= 2 else 0.0


def millimolar(pmol):
    """pmol per day in the vessel -> mmol/L per day."""
    return pmol * 1e-6 / MILLILITRES


def spread(rng, runs):
    return lambda middle, log_sd: middle * np.exp(log_sd * rng.standard_normal(runs))


def theta_logistic(runs, rng):
    """Room with an exponent, a lag as in microbes, a rate that fades with age; uptake does not depend on growth."""
    draw = spread(rng, runs)
    mu, ready, room, theta = draw(1.5, 0.2), draw(0.2, 0.4), draw(9e9, 0.25), draw(0.8, 0.2)
    eats, acid, hurt, fade, start = draw(1.2, 0.25), draw(1.65, 0.1), draw(30, 0.2), draw(9, 0.2), draw(5e8, 0.2)

    def rate(t, s):
        x, r, g, l = s
        m = mu * r / (1 + r) * (1 - (x / room) ** theta) * g / (0.5 + g) / (1 + (l / hurt) ** 2)
        use, f = millimolar(eats * x * g / (0.3 + g)), exchange(t)
        return np.array(
            [(m * np.maximum(1 - t / fade / 1.6, 0.05) - 0.05) * x, 1.6 * r, f * (25 - g) - use, acid * use - f * l]
        )

    found = follow(rate, np.array([start, ready * 0.3, np.full(runs, 25.0), np.zeros(runs)]))
    return found[:, 0], found[:, 2], found[:, 3]


def gompertz(runs, rng):
    """Gompertz growth with a sharp lag; uptake for growth and upkeep."""
    draw = spread(rng, runs)
    mu, room, wake, yield_, upkeep = draw(0.52, 0.2), draw(8e9, 0.25), draw(1.2, 0.25), draw(1.0, 0.25), draw(0.8, 0.25)
    acid, death, start = draw(1.75, 0.1), draw(0.06, 0.3), draw(5e8, 0.2)

    def rate(t, s):
        x, g, l = s
        m = mu * np.log(np.maximum(room / np.maximum(x, 1), 1)) * (1 - np.exp(-((t / wake) ** 3)))
        m = m * g / (1.5 + g) * np.exp(-l / 40)
        use, f = millimolar((yield_ * m + upkeep * g / (0.5 + g)) * x), exchange(t)
        return np.array([(m - death) * x, f * (25 - g) - use, acid * use - f * l])

    found = follow(rate, np.array([start, np.full(runs, 25.0), np.zeros(runs)]))
    return found[:, 0], found[:, 1], found[:, 2]


def cell_cycle(runs, rng):
    """Resting cells wake into a cycle of three phases and go back to rest; Contois uptake, lactate kills."""
    draw = spread(rng, runs)
    cycle, wake, stop, idle, busy = draw(0.8, 0.15), draw(1.3, 0.2), draw(5.5, 0.15), draw(0.5, 0.25), draw(1.3, 0.25)
    acid, death, most, contois = draw(1.9, 0.08), draw(0.08, 0.3), draw(45, 0.15), draw(2e-7, 0.3)
    start, room = draw(5e8, 0.2), draw(9e9, 0.2)

    def rate(t, s):
        q, a, b, c, g, l = s
        x = q + a + b + c
        waking = q * 2.0 * (t**4 / (t**4 + wake**4)) / (1 + (t / stop) ** 8)
        pace = 3 / cycle / (1 + (x / room) ** 3) * g / (g + contois * x / MILLILITRES + 1e-9)
        pace, again = pace * np.maximum(1 - l / most, 0) ** 0.7, 1 / (1 + (t / stop) ** 5)
        die = death * (1 + (l / 30) ** 2)
        use, f = millimolar((idle * x + busy * (a + b + c)) * g / (0.3 + g)), exchange(t)
        return np.array([
            -waking + 2 * (1 - again) * pace * c - die * q, waking + 2 * again * pace * c - pace * a - die * a,
            pace * (a - b) - die * b, pace * (b - c) - die * c,
            f * (25 - g) - use, np.maximum(acid - 0.08 * t, 1) * use - f * l,
        ])  # fmt: skip

    zero = np.zeros(runs)
    found = follow(rate, np.array([start, zero, zero, zero, zero + 25, zero]))
    return found[:, :4].sum(axis=1), found[:, 4], found[:, 5]


def generations(runs, rng):
    """Cells by generation: three steps to the first division, then ever slower ones; oxygen is a hard ceiling."""
    draw, last = spread(rng, runs), 10
    wake, pace, tired, oxygen = draw(1.3, 0.2), draw(1.35, 0.15), draw(5.0, 0.15), draw(2.5e9, 0.2)
    death, eats, acid, most, start = draw(0.06, 0.3), draw(1.2, 0.25), draw(1.6, 0.1), draw(45, 0.2), draw(5e8, 0.2)
    slower = 1 / (1 + (np.arange(last)[:, None] / tired) ** 6)

    def rate(t, s):
        r, n, g, l = s[:3], s[3 : 3 + last], s[3 + last], s[4 + last]
        x = r.sum(axis=0) + n.sum(axis=0)
        lam = (
            pace
            * slower
            * np.minimum(1, oxygen / np.maximum(x, 1))
            * np.tanh(g / 2)
            * np.maximum(1 - (l / most) ** 2, 0)
        )
        dn = -(lam + death) * n
        dn[1:] += 2 * (lam * n)[:-1]
        dn[-1] += 2 * (lam * n)[-1]
        dn[0] += 3 / wake * r[2]
        dr = 3 / wake * np.array([-r[0], r[0] - r[1], r[1] - r[2]]) - death * r
        use = millimolar(eats * (0.35 * x + 0.9 * (lam * n).sum(axis=0) / pace) * g / (0.4 + g))
        f = exchange(t)
        return np.concatenate([dr, dn, [f * (25 - g) - use, acid * (0.7 + 0.3 * g / 25) * use - f * l]])

    state = np.zeros((5 + last, runs))
    state[0], state[3 + last] = start, 25
    found = follow(rate, state)
    return found[:, : 3 + last].sum(axis=1), found[:, 3 + last], found[:, 4 + last]


def resting(runs, rng):
    """Dividing cells fall asleep as the cytokine is eaten and as they age; crowding without a ceiling."""
    draw = spread(rng, runs)
    mu, late, sharp, half, eats_c = draw(1.5, 0.15), draw(1.2, 0.2), draw(0.3, 0.2), draw(0.15, 0.3), draw(6e-8, 0.3)
    sleep, crowd, death = draw(0.5, 0.25), draw(1.1e10, 0.2), draw(0.07, 0.3)
    busy, idle, acid, start = draw(1.6, 0.25), draw(0.5, 0.25), draw(1.8, 0.08), draw(5e8, 0.2)

    def rate(t, s):
        d, r, c, g, l = s
        x, fed, on = d + r, c / (half + c), 1 / (1 + np.exp(-(t - late) / sharp))
        m = mu * on * fed * (1 - np.exp(-g / 2)) / (1 + x / crowd) / (1 + l / 50)
        down, up, f = sleep * (1 - fed) + 0.03 * t, 0.1 * fed, exchange(t)
        use = millimolar((busy * d + idle * r) * g / (0.3 + g))
        return np.array([
            (m - down - death) * d + up * r, down * d - (up + death) * r,
            f * (1 - c) - (0.1 + eats_c * x / MILLILITRES) * c, f * (25 - g) - use, acid * use - f * l,
        ])  # fmt: skip

    zero = np.zeros(runs)
    found = follow(rate, np.array([start, zero, zero + 1, zero + 25, zero]))
    return found[:, 0] + found[:, 1], found[:, 3], found[:, 4]


DEVELOPED_ON, TESTED_ON = (theta_logistic, gompertz, cell_cycle), (generations, resting)


def measured(course, until, counted, rng):
    """Probes every three hours (SD 0.3 mmol/L, gain 3 % between runs), counts with 10 %."""
    living, glucose, lactate = course
    days = np.arange(0.125, until + 1e-9, 0.125)
    at, counts_at = np.rint(days / STEP).astype(int), np.rint(np.array(counted) / STEP).astype(int)
    runs = living.shape[1]
    gain = 1 + 0.03 * rng.standard_normal((2, runs))
    noise = 0.3 * rng.standard_normal((2, days.size, runs))
    probes = [np.maximum(gain[k] * c[at] + noise[k], 0).T for k, c in enumerate((glucose, lactate))]
    counts = living[counts_at] * np.exp(0.1 * rng.standard_normal((counts_at.size, runs)))
    return Readings(days, *probes, counted, counts.T)


@lru_cache
def judged(model, seed, runs=100, earlier=20, counted=tuple(COUNTED)):
    """Relative errors at harvest, whether the 90 % interval holds the truth, and the error of the plain forecast."""
    sensor, taught, ratio = SoftSensor(), None, 1.0
    if earlier:
        rng = np.random.default_rng(seed + 5000)
        finished = measured(model(earlier, rng), HARVEST, [*counted, HARVEST], rng)
        taught = sensor.learn(finished, known=KNOWN, seed=7)
        ratio = np.median(finished.counts[:, -1] / finished.counts[:, -2])
    rng = np.random.default_rng(seed)
    course = model(runs, rng)
    readings = measured(course, NOW, list(counted), rng)
    forecast = sensor.predict(readings, HARVEST, known=KNOWN, experience=taught, seed=1)
    truth, (low, high) = course[0][-1], forecast.interval(0.9)
    plain = readings.counts[:, -1] * ratio
    return np.abs(forecast.harvest / truth - 1), (low <= truth) & (truth <= high), np.abs(plain / truth - 1)


def pooled(models, seeds, earlier):
    found = [judged(model, seed, earlier=earlier) for model in models for seed in seeds]
    return [np.concatenate(part) for part in zip(*found, strict=True)]


@pytest.mark.parametrize("model", [*DEVELOPED_ON, *TESTED_ON])
def test_the_simulated_cultures_grow_like_published_ones(model):
    """Largest growth over a day: the median run lies in 0.02 to 0.053 per hour (about tcellgrowth2019, table 1)."""
    living, glucose, lactate = model(200, np.random.default_rng(5))
    peak = np.log(living[50:] / living[:-50]).max(axis=0) / 24
    assert 0.020 < np.median(peak) < 0.053
    assert np.all((living > 0) & (glucose >= 0) & (lactate >= 0))


@pytest.mark.parametrize("model", TESTED_ON)
def test_error_two_and_a_half_days_ahead(model):
    """facer2025: mean relative error 13 % up to 2.5 days ahead. Here exactly 2.5 days, 300 runs, 20 earlier runs."""
    errors, inside, _ = pooled([model], (401, 402, 403), 20)
    assert errors.mean() <= 0.13
    assert inside.mean() >= 0.80  # each model by itself; together below


def test_interval_holds_nine_in_ten():
    _, inside, _ = pooled(TESTED_ON, (401, 402, 403), 20)
    assert inside.size == 600
    assert 0.85 <= inside.mean() <= 0.95  # issue: 90 +- 5 %


def test_without_earlier_runs():
    """The stated numbers alone: at the benchmark on average, with wider intervals."""
    errors, inside, _ = pooled(TESTED_ON, (401, 402, 403), 0)
    assert errors.mean() <= 0.13
    assert 0.85 <= inside.mean() <= 0.95


def test_calibration_models_hold_nine_in_ten():
    """The two error sizes were set on these models; the test shows that they still are."""
    errors, inside, _ = pooled(DEVELOPED_ON, (42,), 20)
    assert errors.mean() <= 0.13
    assert 0.85 <= inside.mean() <= 0.95


def test_better_than_the_last_count_times_the_usual_growth():
    """The plain forecast that needs no model; what the sensor adds is what the probes say."""
    errors, _, plain = pooled(TESTED_ON, (401, 402, 403), 20)
    assert errors.mean() < plain.mean()


def test_a_run_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(3)
    readings = measured(gompertz(6, rng), NOW, COUNTED, rng)
    both = SoftSensor(copies=50).predict(readings, HARVEST, known=KNOWN, seed=2)
    one = Readings(readings.days, readings.glucose[3:4], readings.lactate[3:4], COUNTED, readings.counts[3:4], [3])
    alone = SoftSensor(copies=50).predict(one, HARVEST, known=KNOWN, seed=2)
    assert alone.living[0] == pytest.approx(both.living[3], rel=1e-9)
    low, high = both.band(0.9)
    assert both.days[[0, -1]].tolist() == [NOW, HARVEST]
    assert np.all((low > 0) & (low <= np.median(both.living, axis=1)) & (np.median(both.living, axis=1) <= high))
    assert np.all(both.living.std(axis=1)[:, -1] > both.living.std(axis=1)[:, 0])  # less is known of later days


def test_missing_readings_say_nothing():
    rng = np.random.default_rng(4)
    full = measured(gompertz(3, rng), NOW, COUNTED, rng)
    silent = Readings(
        full.days, np.full_like(full.glucose, np.nan), np.full_like(full.lactate, np.nan), COUNTED, full.counts
    )
    only_counts = Readings([0.5], np.full((3, 1), np.nan), np.full((3, 1), np.nan), COUNTED, full.counts)
    sensor = SoftSensor(copies=100)
    widths = [
        np.subtract(*np.log(sensor.predict(r, HARVEST, known=KNOWN).interval())[::-1])
        for r in (full, silent, only_counts)
    ]
    assert np.all(widths[0] < widths[1])
    assert np.all(np.isfinite(widths[2]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Readings([1.0, 0.5], [1, 1], [1, 1], [0], [5e8]), "days must be finite, at least 0 and ascend"),
        (lambda: Readings([1.0], [[-1.0]], [[1.0]], [0], [5e8]), "glucose must be 0 or more, got -1 mmol/L in run 0"),
        (lambda: Readings([1.0], [1.0], [1.0], [1.0], [5e8]), "a count above 0 at seeding"),
        (lambda: Readings([1.0], [1.0, 2.0], [1.0], [0], [5e8]), "glucose needs 1 values per run"),
        (lambda: Readings([1.0], [1.0], [1.0], [0], [[5e8], [5e8]]), "give the same number"),
        (
            lambda: SoftSensor().predict(Readings([6.0], [9.0], [9.0], [0], [5e8]), 5.0),
            "must lie after the last reading",
        ),
        (
            lambda: SoftSensor().predict(Readings([1.0], [9.0], [9.0], [0], [5e8]), 5.0, known={"perfusion": 1}),
            "did you mean 'perfusion_rate'",
        ),
        (lambda: SoftSensor().learn(Readings([1.0], [9.0], [9.0], [0, 8.0], [5e8, 4e9])), "five finished runs"),
        (lambda: SoftSensor(device="wafe"), "did you mean 'wave'"),
        (lambda: SoftSensor(copies=3), "copies"),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(InputError, match=words):
        make()
