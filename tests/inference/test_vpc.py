"""Visual predictive checks against quantiles counted by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from livingdrug.errors import InputError
from livingdrug.inference.closed_form import ClosedForm, covariate, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.estimation import fit
from livingdrug.inference.predictions import simulate
from livingdrug.inference.problem import Problem
from livingdrug.inference.residual import additive, log_additive
from livingdrug.inference.statistical import Endpoint, Estimate, Mixture, StatisticalModel
from livingdrug.inference.vpc import quantiles_with_limits, vpc, vpc_of
from livingdrug.model import exp, lognormal, time

TIMES = np.array([1.0, 3.0, 6.0, 10.0])
COUNT = 40


def model(residual: Any = None, **options: Any) -> StatisticalModel:
    top, k = symbols("top", "k")
    form = ClosedForm("decline", covariate("DOSE") * top * exp(-k * time))
    parameters = {"top": Estimate(10.0, lognormal(0.4)), "k": Estimate(0.3, lognormal(0.2))}
    return StatisticalModel(form, parameters, Endpoint("value", residual or log_additive(0.3), **options))


def data(limit: float = 0.0, doses: tuple[float, ...] = (10.0,), seed: int = 1) -> EventData:
    random = np.random.default_rng(seed)
    dose = np.resize(doses, COUNT)[:, None]
    top, k = (v * np.exp(sd * random.standard_normal((COUNT, 1))) for v, sd in ((10.0, 0.4), (0.3, 0.2)))
    value = dose * top * np.exp(-k * TIMES) * np.exp(0.3 * random.standard_normal((COUNT, len(TIMES))))
    below = value < limit
    return EventData.from_arrays(
        ids=range(COUNT), subject=np.repeat(range(COUNT), len(TIMES)), time=np.tile(TIMES, COUNT),
        value=np.where(below, limit, value).ravel(), censoring=below.ravel(), lloq=limit or np.nan,
        covariates={"DOSE": dose.ravel()},
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted() -> Any:
    return fit(model(), data(), "focei", standard_errors=None)


def at(fitted: Any, data: EventData, other: StatisticalModel | None = None) -> Any:
    problem = Problem(other or model(), data)
    return replace(fitted, problem=problem, theta_=problem.theta, eta_=np.zeros((problem.subjects, problem.d)))


def test_quantiles_and_bands_are_those_of_numpy(fitted):
    there = at(fitted, data())
    found = vpc(there, replicates=60, seed=3)
    drawn, rows = simulate(there, 60, 3), there.problem.rows
    for row in found.quantiles.to_dict("records"):
        mine = rows.time == row["TIME"]
        q = row["QUANTILE"]
        assert row["OBSERVED"] == pytest.approx(np.exp(np.quantile(rows.value[mine], q)))
        each = np.array([np.quantile(replicate[mine], q) for replicate in drawn])
        assert [row["LOW"], row["MIDDLE"], row["HIGH"]] == pytest.approx(np.exp(np.quantile(each, [0.025, 0.5, 0.975])))
    assert not found.has_limit
    assert (found.below["OBSERVED"] == 0).all()


def test_values_below_the_limit_count_as_the_lowest_and_their_share_is_counted(fitted):
    limit = 15.0
    there = at(fitted, data(limit))
    found = vpc(there, replicates=80, seed=4)
    drawn, rows = np.exp(simulate(there, 80, 4)), there.problem.rows
    low = ~rows.points
    assert 0.2 < low.mean() < 0.6
    for row in found.below.to_dict("records"):
        mine = rows.time == row["TIME"]
        assert row["OBSERVED"] == low[mine].mean()
        shares = [(replicate[mine] < limit).mean() for replicate in drawn]
        assert [row["LOW"], row["MIDDLE"], row["HIGH"]] == pytest.approx(np.quantile(shares, [0.025, 0.5, 0.975]))
    late = found.quantiles[(found.quantiles["TIME"] == 10) & (found.quantiles["QUANTILE"] == 0.05)].iloc[0]
    assert late["OBSERVED"] == late["HIGH"] == -np.inf
    upper = found.quantiles[(found.quantiles["TIME"] == 6) & (found.quantiles["QUANTILE"] == 0.95)].iloc[0]
    assert upper["OBSERVED"] > limit
    assert found.has_limit


def test_a_fit_that_leaves_low_values_out_is_shown_with_them(fitted):
    """M1 drops rows from the fit, not from the check: there the model expects fewer low values than there are."""
    lost = at(fitted, data(15.0), model(blq="M1"))
    assert len(lost.problem.rows.time) < len(vpc(lost, replicates=20).points) == len(data().observations)
    assert vpc(lost, replicates=20).below["OBSERVED"].max() > 0.5


def test_the_true_model_is_inside_its_bands_and_a_wrong_one_is_not(fitted):
    true = vpc(at(fitted, data(15.0)), replicates=200, seed=5)
    assert len(true.outside()) <= 2  # of 12, each outside with 5 %
    top, k = symbols("top", "k")
    form = ClosedForm("fast", covariate("DOSE") * top * exp(-k * time))
    fast = {"top": Estimate(10.0, lognormal(0.4)), "k": Estimate(0.45, lognormal(0.2))}
    wrong = StatisticalModel(form, fast, Endpoint("value", log_additive(0.3)))
    assert len(vpc(at(fitted, data(15.0), wrong), replicates=200, seed=5).outside()) >= 5


def test_tables_are_joined_by_their_key_in_any_order():
    random = np.random.default_rng(6)
    observed = pd.DataFrame({"ROW": np.arange(100, 140), "TIME": np.repeat([1.0, 2.0], 20), "DV": random.random(40)})
    simulated = pd.DataFrame(
        {
            "REP": np.repeat(range(30), 40),
            "ROW": np.tile(observed["ROW"], 30),
            "DV": random.random(1200) + np.tile(observed["TIME"], 30),
        }
    )
    plain = vpc_of(observed, simulated)
    mixed = vpc_of(observed.sample(frac=1, random_state=1), simulated.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(plain.quantiles, mixed.quantiles)
    assert plain.quantiles.groupby("TIME")["MIDDLE"].median().tolist() == pytest.approx([1.5, 2.5], abs=0.1)
    with pytest.raises(InputError, match="row 105 has no simulated value"):
        vpc_of(observed, simulated[~((simulated["ROW"] == 105) & (simulated["REP"] == 3))])
    with pytest.raises(InputError, match="stands twice"):
        vpc_of(observed, pd.concat([simulated, simulated.iloc[:1]]))
    with pytest.raises(InputError, match="lacks the columns DV"):
        vpc_of(observed.drop(columns="DV"), simulated)


def test_prediction_correction_by_hand():
    """Bergstrand et al. 2011: a value is multiplied by median(PRED of its group) / its PRED; logarithms are shifted."""
    observed = pd.DataFrame({"ROW": [1, 2, 3], "TIME": 1.0, "DV": [2.0, 6.0, 30.0], "PRED": [1.0, 3.0, 10.0]})
    simulated = pd.DataFrame(
        {"REP": np.repeat(range(25), 3), "ROW": np.tile([1, 2, 3], 25), "DV": np.tile([1.0, 3.0, 10.0], 25)}
    )
    found = vpc_of(observed, simulated, corrected=True, quantiles=[0.5])
    assert found.points["DV"].tolist() == pytest.approx([6.0, 6.0, 9.0])
    assert found.quantiles[["OBSERVED", "MIDDLE"]].iloc[0].tolist() == pytest.approx([6.0, 3.0])
    logs = observed.assign(DV=np.log(observed["DV"]), PRED=np.log(observed["PRED"]))
    found = vpc_of(logs, simulated.assign(DV=np.log(simulated["DV"])), corrected=True, quantiles=[0.5], base=np.e)
    assert found.points["DV"].tolist() == pytest.approx([6.0, 6.0, 9.0])
    with pytest.raises(InputError, match="needs predictions of zero or more"):
        vpc_of(observed.assign(PRED=-1.0), simulated, corrected=True)


def test_the_correction_narrows_bands_of_mixed_doses(fitted):
    """Doses from 1 to 100 at one time: without correction the band spans them; with it a wrong spread is seen."""
    mixed = data(doses=(1.0, 10.0, 100.0))
    plain, corrected = (vpc(at(fitted, mixed), replicates=100, corrected=c, seed=7) for c in (False, True))

    def width(found: Any) -> float:
        outer = found.quantiles.pivot(index="TIME", columns="QUANTILE", values="MIDDLE")
        return float((outer[0.95] / outer[0.05]).median())

    assert width(corrected) < width(plain) / 5


def test_the_correction_does_not_use_classes_that_simulations_draw_anew(fitted):
    """All have the same dose, so that nothing is to be corrected; in a mixture too, whose classes nobody knows."""
    classes = np.tile([0, 1], COUNT // 2)
    mixed = replace(model(), mixture=Mixture("top", {"low": -2.0}))
    problem = Problem(mixed, data())
    one = replace(
        fitted, problem=problem.with_classes(classes), theta_=problem.theta, eta_=np.zeros((COUNT, problem.d)),
        class_chances_=np.array([1.0 - classes, classes]),
    )  # fmt: skip
    plain, corrected = (vpc(one, replicates=100, corrected=c, seed=7) for c in (False, True))
    for name in ("OBSERVED", "LOW", "HIGH"):
        assert corrected.quantiles[name].to_numpy() == pytest.approx(plain.quantiles[name].to_numpy(), rel=1e-9)


def test_strata_and_groups_of_times(fitted):
    mixed = data(doses=(10.0, 100.0))
    found = vpc(at(fitted, mixed), replicates=40, by="DOSE", edges=[4.5])
    assert set(found.quantiles["STRATUM"]) == {"DOSE 10", "DOSE 100"}
    assert sorted(found.quantiles["BIN"].unique()) == [0, 1]
    assert found.quantiles["SAMPLES"].tolist() == [COUNT] * 12


def test_simulated_values_that_are_gone_lie_below_any_limit(fitted):
    """A straight decline crosses zero before day 10 in those whose k is above 0.1: half of the simulated patients."""
    top, k = symbols("top", "k")
    form = ClosedForm("straight", covariate("DOSE") * top * (1 - k * time))
    parameters = {"top": Estimate(10.0, lognormal(0.4)), "k": Estimate(0.1, lognormal(0.2))}
    there = at(fitted, data(limit=0.5), StatisticalModel(form, parameters, Endpoint("value", log_additive(0.3))))
    drawn, last = simulate(there, 200, 3), there.problem.rows.time == 10.0
    assert not np.isnan(drawn).any()
    assert not np.isinf(drawn[:, there.problem.rows.time < 4.0]).any()
    error = 0.5 / np.sqrt(200 * last.sum())
    assert np.isneginf(drawn[:, last]).mean() == pytest.approx(0.5, abs=4 * error)
    table = vpc(there, replicates=200, seed=3).below
    assert float(table["MIDDLE"].iloc[-1]) > 0.5  # those, and some that lie between nothing and the limit


def test_quantiles_next_to_a_limit():
    low, values = -np.inf, np.array([-np.inf, -np.inf, 1.0, 3.0, 7.0])
    assert quantiles_with_limits(values, [0.0, 0.25, 0.3, 0.5, 0.75, 1.0]).tolist() == [low, low, low, 1.0, 3.0, 7.0]
    plain = np.random.default_rng(8).random((5, 17))
    for q in (0.05, 0.5, 0.83):
        assert quantiles_with_limits(plain, q) == pytest.approx(np.quantile(plain, q, axis=1))


def test_wrong_questions_are_refused(fitted):
    with pytest.raises(InputError, match="unknown endpoint 'qpcr'"):
        vpc(fitted, "qpcr")
    with pytest.raises(InputError, match="at least 20 replicates"):
        vpc(fitted, replicates=3)
    with pytest.raises(InputError, match="between 0 and 1"):
        vpc(fitted, quantiles=[5.0])
    with pytest.raises(InputError, match="unknown covariate"):
        vpc(fitted, by="AGE")
    two = StatisticalModel(model().structure, model().parameters, [Endpoint("value", additive(1.0))])
    assert vpc(at(fitted, data(), two), replicates=20).endpoint == "value"


def test_limits_that_only_censored_rows_tell_hold_for_the_measured_ones(fitted):
    """CENS with the limit in DV is the usual spelling; the simulated share below the limit is then that of LLOQ."""
    full = data(limit=8.0)
    bare = replace(full, observations=replace(full.observations, lloq=np.full(len(full.observations), np.nan)))
    shares = [vpc(at(fitted, one), replicates=50).below for one in (full, bare)]
    assert shares[0]["OBSERVED"].max() > 0.2
    assert shares[1].equals(shares[0])


def test_of_several_limits_a_measured_value_has_the_most_frequent_not_above_it(fitted):
    full = data(limit=8.0)
    seen = full.observations
    low = np.flatnonzero(seen.censoring == 1)
    value = seen.value.copy()
    value[low[0]] = 1.0  # one sample went through a better assay
    mixed = replace(full, observations=replace(seen, value=value, lloq=np.full(len(seen), np.nan)))
    points = vpc(at(fitted, mixed), replicates=20).points
    expected = np.where(np.arange(len(points)) == low[0], 1.0, 8.0)
    assert points["LIMIT"].to_numpy() == pytest.approx(expected)


def test_an_interval_above_a_limit_is_not_below_one(fitted):
    full = data()
    seen = full.observations
    high = seen.value > np.quantile(seen.value, 0.9)
    value, limit = np.where(high, np.quantile(seen.value, 0.9), seen.value), np.where(high, 1e6, np.nan)
    capped = replace(full, observations=replace(seen, value=value, limit=limit, censoring=-1 * high))
    found = vpc(at(fitted, capped), replicates=20)
    assert set(found.points["CENS"]) == {0, -1}
    assert (found.below["OBSERVED"] == 0).all()
