import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from livingdrug.errors import InputError
from livingdrug.therapy.stated import (
    KINDS,
    SITE_DATA,
    Fixed,
    LogitNormal,
    LogNormal,
    Normal,
    Quantiles,
    Values,
    stated_values,
    within,
)

P = np.array([0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999])


def test_a_source_is_a_known_key_or_the_sites_own_data():
    assert Fixed(value=1.0, source="maude2018", mark="read").source == "maude2018"
    assert Fixed(value=1.0, source=SITE_DATA, mark="computed", note="batches of 2026").source == "site data"
    with pytest.raises(InputError, match=r"source: unknown source 'maude2081'; did you mean 'maude2018'.*'site data'"):
        Fixed(value=1.0, source="maude2081", mark="read")


@pytest.mark.parametrize(
    ("stated", "reference"),
    [
        (Normal(mean=63, sd=11, unit="year"), stats.norm(63, 11)),
        (Normal(mean=1, sd=2, low=0, unit="1"), stats.truncnorm(-0.5, math.inf, 1, 2)),
        (Normal(mean=1, sd=2, low=0, high=1.5, unit="1"), stats.truncnorm(-0.5, 0.25, 1, 2)),
        (LogNormal(median=80, log_sd=0.2, unit="kg"), stats.lognorm(0.2, scale=80)),
    ],
)
def test_quantiles_against_scipy(stated, reference):
    assert stated.quantile(P) == pytest.approx(reference.ppf(P), rel=1e-9)


def test_logit_normal_as_stated_for_collection():
    efficiency = LogitNormal(median=0.6, logit_sd=2 * math.log(1.5) / 1.2815515655446004)
    assert efficiency.quantile([0.5, 0.1]) == pytest.approx([0.6, 0.4])
    assert efficiency.support == (0, 1)


def test_table_of_quantiles_is_monotone_and_hits_its_points():
    table = Quantiles(probabilities=(0, 0.25, 0.5, 1), values=(2, 2, 95, 1275), scale="log", unit="mL")
    assert table.quantile([0, 0.25, 0.5, 1]) == pytest.approx([2, 2, 95, 1275])
    fine = table.quantile(np.linspace(0, 1, 1001))
    assert np.all(np.diff(fine) >= 0)


def test_values_come_each_equally_often():
    values = Values(values=(3.0, 1.0, 2.0), unit="mL")
    drawn = values.draw(1, np.arange(9000), "x")
    assert stats.chisquare(np.unique(drawn, return_counts=True)[1]).pvalue > 1e-3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Fixed(value=float("nan"), unit="kg"), "finite"),
        (lambda: Fixed(value="5", unit="kg"), "valid number"),
        (lambda: Fixed(value=True, unit="kg"), "valid number"),
        (lambda: Fixed(value=1, mark="read"), "needs the key of its source"),
        (lambda: Fixed(valeu=1), "did you mean 'value'"),
        (lambda: Normal(mean=0, sd=-1), "sd: must be positive"),
        (lambda: Normal(mean=0, sd=1, low=3, high=2), "no patient lies between"),
        (lambda: Normal(mean=0, sd=1, low=1e6), "no patient lies between"),
        (lambda: LogNormal(median=-3, log_sd=1), "median: must be positive"),
        (lambda: LogNormal(median=1e300, log_sd=10), "not finite"),
        (lambda: LogitNormal(median=1, logit_sd=1), "between 0 and 1"),
        (lambda: Quantiles(probabilities=(0, 1), values=(1,)), "pairs"),
        (lambda: Quantiles(probabilities=(0, 0.5), values=(1, 2)), "from 0 to 1"),
        (lambda: Quantiles(probabilities=(0, 0.5, 0.5, 1), values=(1, 2, 3, 4)), "from 0 to 1"),
        (lambda: Quantiles(probabilities=(0, 1), values=(2, 1)), "must not fall"),
        (lambda: Quantiles(probabilities=(0, 1), values=(0, 1), scale="log"), "positive"),
        (lambda: Values(values=()), "1 to 1000000 values"),
        (lambda: within("kg").func(Fixed(value=1, unit="g")), "must be 'kg', got 'g'"),
        (lambda: within("kg", above=True).func(Fixed(value=0, unit="kg")), "above 0 kg"),
        (lambda: within("kg").func(Normal(mean=50, sd=5, unit="kg")), "can reach from -inf"),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(InputError, match=words):
        make()


NUMBER = st.one_of(st.floats(), st.integers(-5, 5), st.floats(0.01, 100))


@settings(deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.dictionaries(
        st.sampled_from(
            ["value", "mean", "sd", "median", "log_sd", "logit_sd", "low", "high", "values", "probabilities"]
        ),
        st.one_of(NUMBER, st.lists(NUMBER, max_size=4)),
        max_size=6,
    ),
)
def test_any_declaration_gives_finite_numbers_or_a_clear_error(kind, fields):
    try:
        stated = KINDS[kind](**fields)
    except InputError:
        return
    drawn = stated.draw(1, [1, 2, 3], "x")
    assert np.all(np.isfinite(drawn))
    low, high = stated.support
    assert np.all((drawn >= low) & (drawn <= high))
    assert stated.describe()
    assert list(stated_values(stated)) == []
