"""What a trial reports, against numbers worked out by hand, NumPy, and the rules of the clinic."""

import numpy as np
import pytest

from livingdrug.clinic.response import code
from livingdrug.clinic.survival_rules import FollowUp, time_to_event
from livingdrug.errors import InputError
from livingdrug.trials.measures import SETS, YES_NO, Measure, clock, samples_of, value
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.replicates import draws, hazard_ratios, interval
from livingdrug.trials.survival import kaplan_meier

NAN = np.nan
SCALES = {"crs": ("lee",), "neuro": ("ctcae-v4-neuro",)}
FIVE = Outcomes.of(
    [1, 2, 3, 4, 5],
    {
        "infused": [True, True, True, True, False],
        "left_reason": ["", "", "", "", "death"],
        "crs_lee": [0, 1, 3, 4, NAN], "crs_onset_lee": [NAN, 2, 4, 6, NAN],
        "response_day": [30, 30, 90, NAN, NAN], "cr_day": [30, 90, NAN, NAN, NAN],
        "progression_day": [80, NAN, NAN, 28, NAN], "best_response": ["CR", "sCR", "PR", "PD", ""],
        "cmax": [10, 100, 1000, NAN, NAN], "relapse_antigen": ["negative", "", "", "positive", ""],
        "dose_level": ["150e6", "450e6", "450e6", "150e6", ""], "last_followed_day": [400, 400, 400, 100, 10],
        "accrual": [0, 0.2, 0.4, 0.6, 0.8],
    },
    SCALES,
)  # fmt: skip


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ({"of": "infused", "among": ["enrolled"]}, 80),
        ({"of": "death before infusion", "among": ["enrolled"]}, 20),
        ({"of": "response"}, 75),
        ({"of": "response", "day": 45}, 50),
        ({"of": "response", "among": ["enrolled"]}, 60),
        ({"of": "complete response"}, 50),
        ({"of": "in complete response", "day": 91}, 25),  # the first has progressed by then
        ({"of": "stringent complete response"}, 25),
        ({"of": "crs", "scale": "lee"}, 75),
        ({"of": "crs", "scale": "lee", "at_least": 3}, 50),
        ({"of": "crs", "scale": "lee", "exactly": 3}, 25),
        ({"of": "antigen-negative", "among": ["antigen known at relapse"]}, 100),  # the fourth never responded
        ({"of": "antigen-negative", "among": ["antigen known at relapse"], "followed": (79, 79)}, NAN),  # before day 80
        ({"of": "response", "among": ["dose 450e6"]}, 100),
        ({"of": "response", "among": ["dose 300e6"]}, NAN),
    ],
)
def test_proportions(measure, expected):
    assert value(FIVE, Measure(statistic="proportion", **measure)) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        ("median", 100.0),
        ("geometric mean", 100.0),
        ("arithmetic mean", 370.0),
        ("standard deviation", np.std([10, 100, 1000], ddof=1)),
        ("geometric CV", 100 * np.sqrt(np.exp(np.var(np.log([10, 100, 1000]), ddof=1)) - 1)),
    ],
)
def test_statistics(statistic, expected):
    assert value(FIVE, Measure(statistic=statistic, of="cmax")) == pytest.approx(expected)


def test_medians_of_many_replicates_are_numpys():
    rng = np.random.default_rng(1)
    numbers = np.where(rng.random(200) < 0.2, NAN, rng.normal(size=200))
    pool = Outcomes.of(np.arange(200), {"infused": np.ones(200, bool), "tmax": numbers})
    rows = rng.integers(0, 200, (50, 31))
    found = samples_of(pool, Measure(statistic="median", of="tmax"), rows)
    assert found == pytest.approx(np.nanmedian(numbers[rows], axis=1))


def test_onset_is_of_those_who_have_it():
    onset = Measure(statistic="median", of="crs onset", among=["infused", "with crs"], scale="lee")
    assert value(FIVE, onset) == 4
    severe = Measure(statistic="median", of="crs onset", among=["infused", "with severe crs"], scale="lee")
    assert value(FIVE, severe) == 5


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        ({"statistic": "proportion", "of": "respons"}, "did you mean 'response'"),
        ({"statistic": "median", "of": "c_max"}, "did you mean 'cmax'"),
        ({"statistic": "survival", "of": "pfs"}, "needs its day"),
        ({"statistic": "survival", "of": "ttp", "day": 5}, "quantity for a survival"),
        ({"statistic": "median", "of": "cmax", "among": ["infussed"]}, "did you mean 'infused'"),
        ({"statistic": "mode", "of": "cmax"}, "statistic"),
    ],
)
def test_a_measure_that_cannot_be_is_refused(measure, words):
    with pytest.raises(InputError, match=words):
        Measure(**measure)


def test_sets_and_quantities_work_on_nobody():
    nobody = FIVE.take(np.zeros(5, bool))
    for name in SETS:
        scale = "ctcae-v4-neuro" if "neuro" in name else "lee"
        assert not SETS[name](nobody, Measure(statistic="median", of="crs onset", scale=scale)).any()
    for name in YES_NO:
        measure = Measure(statistic="proportion", of=name, scale="ctcae-v4-neuro" if name == "neuro" else "lee")
        assert np.isnan(value(nobody, measure))


def chart(count=400):
    """Patients with random responses, progression, deaths and further treatment, as outcomes and as a ward's chart."""
    rng = np.random.default_rng(7)
    visits = np.array([28.0, 90.0, 180.0, 365.0, 730.0])
    codes = rng.choice([code("SD"), code("CRi"), code("CR")], (count, visits.size))
    first_pd = rng.integers(0, 9, count)
    codes[np.arange(visits.size)[None, :] >= first_pd[:, None]] = code("PD")
    death = np.where(rng.random(count) < 0.5, np.ceil(rng.uniform(1, 900, count)) + 0.5, NAN)
    therapy = np.where(rng.random(count) < 0.4, np.ceil(rng.uniform(1, 900, count)) + 0.25, NAN)
    contact = np.ceil(rng.uniform(100, 900, count)) + 0.75
    end = np.fmin(death, contact)
    codes[visits[None, :] > end[:, None]] = code("NE")
    death, therapy = (np.where(days <= end, days, NAN) for days in (death, therapy))
    own = rng.random(count) < 0.6

    def first(where):
        return np.where(where.any(axis=1), visits[where.argmax(axis=1)], NAN)

    fine = np.cumsum(codes == code("PD"), axis=1) == 0
    responds = (codes >= code("CRi")) & fine & (visits[None, :] <= np.nan_to_num(therapy, nan=np.inf)[:, None])
    outcomes = Outcomes.of(
        np.arange(count),
        {
            "infused": np.ones(count, bool), "response_day": first(responds),
            "progression_day": first(codes == code("PD")),
            "death_day": death, "death_cause": np.where(np.isnan(death), "", np.where(own, "disease", "other")),
            "new_therapy_day": therapy, "last_followed_day": end,
        },
    )  # fmt: skip
    return outcomes, FollowUp(visits, codes, contact, death, therapy, death_of_disease=own)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("os", "os"),
        ("pfs", "pfs_lymphoma"),
        ("pfs", "pfs_all_events"),
        ("efs", "efs_b_all"),
        ("rfs", "dor_tisa_cel_b_all"),
    ],
)
def test_clocks_have_the_events_of_the_clinics_rules(name, rule):
    """The same rule on the days of outcomes and on a ward's chart: the same events on the same days."""
    outcomes, course = chart()
    day, event = clock(outcomes, name, {name: rule}, Measure(statistic="median time", of=name))
    theirs = time_to_event(rule, course)
    assert 40 < event.sum() < 360
    assert np.array_equal(event, theirs.event)
    assert day[event] == pytest.approx(theirs.day[event])
    assert np.array_equal(np.isnan(day), np.isnan(theirs.day))
    assert np.all(day[~np.isnan(day)] >= theirs.day[~np.isnan(day)] - 1e-9)  # there the last visit, here the last day


def test_survival_is_kaplan_meiers():
    outcomes, _ = chart()
    rules = {"pfs": "pfs_lymphoma"}
    day, event = clock(outcomes, "pfs", rules, Measure(statistic="median time", of="pfs"))
    curve = kaplan_meier(day, event)
    assert value(outcomes, Measure(statistic="survival", of="pfs", day=200), rules) == pytest.approx(
        100 * curve.at(200)
    )
    median = Measure(statistic="median time", of="pfs", unit="months")
    assert value(outcomes, median, rules) == pytest.approx(curve.first_day_below(0.5) / (365.25 / 12))


def test_an_earlier_data_cut_sees_less():
    outcomes, _ = chart()
    half = Outcomes(outcomes.ids, {**outcomes.columns, "accrual": np.linspace(0, 1, len(outcomes))}, outcomes.units)
    measure = Measure(statistic="median time", of="os", followed=(100, 300))
    day, event = clock(half, "os", {"os": "os"}, measure)
    assert day[0] <= 300
    assert day[-1] <= 100
    assert event.sum() < clock(outcomes, "os", {"os": "os"}, Measure(statistic="median time", of="os"))[1].sum()


def test_clocks_from_enrolment_count_the_wait():
    one = Outcomes.of(
        [1, 2],
        {
            "infused": [True, False],
            "day0_from_enrolment": [40, 10],
            "death_day": [100, 0],
            "last_followed_day": [100, 0],
        },
    )
    day, event = clock(one, "os", {"os": "os"}, Measure(statistic="median time", of="os"), "enrolment")
    assert day.tolist() == [140, 10]
    assert event.all()


def test_replicates_scatter_as_a_binomial():
    """Replicates of 60 from a pool with a share of 30 %: the exact binomial quantiles, within one patient."""
    from scipy.stats import binom

    pool = Outcomes.of(np.arange(1000), {"infused": np.ones(1000, bool), "tocilizumab": np.arange(1000) < 300})
    measure = Measure(statistic="proportion", of="tocilizumab")
    rows = draws(pool, measure, 60, count=4000, seed=2)
    middle, low, high = interval(samples_of(pool, measure, rows))
    expected = 100 * binom.ppf([0.5, 0.025, 0.975], 60, 0.3) / 60
    assert [middle, low, high] == pytest.approx(expected.tolist(), abs=100 / 60 + 1e-9)
    assert np.array_equal(rows, draws(pool, measure, 60, count=4000, seed=2))
    assert not np.array_equal(rows, draws(pool, measure, 60, count=4000, seed=3))


def test_replicates_of_their_own_use_each_patient_once():
    pool = Outcomes.of(np.arange(1000), {"infused": np.arange(1000) % 2 == 0})
    measure = Measure(statistic="proportion", of="response")
    rows = draws(pool, measure, 50, count=10, apart=True)
    assert np.unique(rows).size == 500
    assert pool["infused"][rows].all()
    with pytest.raises(InputError, match="the pool has 500"):
        draws(pool, measure, 51, count=10, apart=True)


def test_pools_of_their_own_and_nobody_twice_scatter_as_trials_of_that_size():
    """400 pools of 120, a chance of 30 %, trials of 80: the binomial variance of 80; with replacement more."""
    measure = Measure(statistic="proportion", of="tocilizumab")
    luck = np.random.default_rng(5).random((400, 120)) < 0.3
    pools = [Outcomes.of(np.arange(120), {"infused": np.ones(120, bool), "tocilizumab": one}) for one in luck]
    spread = {}
    for again in (False, True):
        found = [
            samples_of(pool, measure, draws(pool, measure, 80, count=20, seed=k, again=again))
            for k, pool in enumerate(pools)
        ]
        spread[again] = np.var(found)
    assert spread[False] == pytest.approx(0.3 * 0.7 / 80 * 1e4, rel=0.15)
    assert spread[True] == pytest.approx(0.3 * 0.7 * (1 / 80 + 1 / 120) * 1e4, rel=0.15)


def test_nobody_twice_in_a_replicate_as_long_as_the_set_reaches():
    pool = Outcomes.of(np.arange(30), {"infused": np.arange(30) < 20, "cmax": np.where(np.arange(30) < 15, 1.0, NAN)})
    measure = Measure(statistic="median", of="cmax")
    rows = draws(pool, measure, 15, count=50, seed=1, again=False, among=np.isfinite(pool["cmax"]))
    assert all(np.array_equal(np.sort(row), np.arange(15)) for row in rows)
    more = draws(pool, measure, 30, count=50, seed=1, again=False)
    counts = np.array([np.bincount(row, minlength=20) for row in more])
    assert counts.min() == 1
    assert counts.max() == 2


def test_a_landmark_that_nobody_reaches_is_no_number():
    """Followed for 300 days at most: 12 months are beyond, unless all have had their event by then."""
    end = np.full(4, 300.0)
    some = Outcomes.of(
        range(4),
        {"infused": np.ones(4, bool), "last_followed_day": end, "death_day": [100, NAN, NAN, NAN]},
    )
    rules = {"os": "os"}
    year, half = (Measure(statistic="survival", of="os", day=day) for day in (365.25, 182.6))
    assert np.isnan(value(some, year, rules))
    assert value(some, half, rules) == pytest.approx(75.0)
    all_dead = Outcomes.of(
        range(2), {"infused": np.ones(2, bool), "last_followed_day": [50.0, 90.0], "death_day": [50.0, 90.0]}
    )
    assert value(all_dead, year, rules) == 0.0


def test_who_died_or_was_treated_anew_is_no_longer_in_complete_response():
    four = Outcomes.of(
        range(4),
        {
            "infused": np.ones(4, bool), "cr_day": np.full(4, 30.0), "death_day": [NAN, 60, 200, NAN],
            "new_therapy_day": [NAN, NAN, NAN, 90],
        },
    )  # fmt: skip
    assert value(four, Measure(statistic="proportion", of="in complete response", day=100)) == 50.0


def test_an_empty_set_has_no_replicates():
    pool = Outcomes.of([1, 2], {"infused": [False, False]})
    assert draws(pool, Measure(statistic="median", of="cmax"), 5, count=3).size == 0


def test_infinite_medians_stay_infinite():
    assert interval([1.0, np.inf, np.inf, np.nan])[2] == np.inf
    assert all(np.isnan(each) for each in interval([np.nan]))


def test_hazard_ratio_of_two_known_arms():
    """Exponential deaths at 0.5 and 1 per 100 days: a ratio of about 0.5 (Cox, 4 % of error with 2000 events)."""
    from livingdrug.trials.protocol import Protocol

    trial = Protocol.builtin("zuma-7")
    luck = np.random.default_rng(3).exponential(100, 4000)
    death = np.where(np.arange(4000) < 2000, 2 * luck, luck)
    both = Outcomes.of(
        np.arange(4000),
        {
            "arm": np.where(np.arange(4000) < 2000, "axi-cel", "standard"), "infused": np.ones(4000, bool),
            "death_day": death, "last_followed_day": death, "day0_from_enrolment": np.zeros(4000),
        },
    )  # fmt: skip
    found = hazard_ratios(both, trial, "os", count=0)
    assert found == pytest.approx([0.5], rel=0.08)
    many = hazard_ratios(both, trial, "os", count=200, seed=1)
    assert np.std(np.log(many)) == pytest.approx(np.sqrt(1 / 180 + 1 / 179), rel=0.2)
