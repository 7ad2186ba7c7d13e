"""The simulation study, small: it goes on where it stopped, and its page says what was found."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks import design_study, studies

from livingdrug.engine.solve import solve
from livingdrug.errors import InputError
from livingdrug.inference.problem import Problem
from livingdrug.library.mueller_schoell2021 import MuellerSchoell2021

SMALL = studies.Study(subjects=20, exploring=40, smoothing=30, chains=2)


def test_simulated_trials_are_as_designed() -> None:
    data = studies.simulate(3, 60)
    seen = data.observations
    assert len(data) == 60
    assert len(seen) == 60 * len(studies.DAYS)
    assert (seen.value >= studies.LIMIT).all()
    assert 0.15 < (seen.censoring == 1).mean() < 0.35
    assert (studies.simulate(3, 60).observations.value == seen.value).all()
    assert (studies.simulate(4, 60).observations.value != seen.value).any()


def test_bias_and_cover_of_made_up_fits() -> None:
    """Estimates 10 % too high on average with a standard error of 20 %: by hand."""
    truth = studies.truth()
    records = [
        {"replicate": r, "method": "M3", "converged": r > 0, "estimates": {n: v * factor for n, v in truth.items()},
         "errors": {n: 0.2 * v * factor for n, v in truth.items()}}
        for r, factor in enumerate([0.6, 1.0, 1.2, 1.6])
    ]  # fmt: skip
    found = studies.judged(records, "M3")["peak"]
    assert found.bias == pytest.approx(0.1)
    assert found.noise == pytest.approx(np.std([0.6, 1.0, 1.2, 1.6], ddof=1) / 2)
    assert found.cover == 0.5  # ln 0.6 and ln 1.6 are further than 1.96 times 0.2 from 0
    assert found.geometric == pytest.approx((0.6 * 1.0 * 1.2 * 1.6) ** 0.25 - 1)
    page = studies.page(records, SMALL)
    assert "| `peak` | 24000 | +10.0 ± 20.8 % | +3.6 % | +10.0 % | 50 % |" in page
    assert "converged: 3; without intervals: 0" in page


@pytest.mark.slow
def test_a_small_study_keeps_what_it_has_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    store = tmp_path / "store.jsonl"
    with pytest.raises(InputError, match="M99"):  # there is no such method; the other fit is kept
        list(studies.run_study(store, 1, ["M99", "M3"], SMALL, 1))
    first = studies.stored(store)
    assert [one["method"] for one in first] == ["M3"]
    with store.open("a") as file:
        file.write('{"replicate": 1, "meth')  # a line that was cut off
    assert [one["replicate"] for one in studies.stored(store)] == [0]
    assert list(studies.run_study(store, 2, ["M3", "M1"], SMALL, 1)) == [2, 1, 0]
    found = studies.stored(store)
    assert found[0] == first[0]
    assert sorted((one["replicate"], one["method"]) for one in found) == [(0, "M1"), (0, "M3"), (1, "M1"), (1, "M3")]
    for one in found:  # two small trials: each typical value within a factor of its known spread over 20 subjects
        for name in ("peak_day", "peak", "contraction"):
            away = abs(math.log(one["estimates"][name] / studies.TYPICAL[name]))
            assert away < 4.5 * studies.SPREADS[name] / math.sqrt(20), (name, json.dumps(one["estimates"]))
    assert 0.4 < found[0]["estimates"]["a"] < 0.75
    assert "M1: bias" in studies.page(found, SMALL)


# -- the study of a published design ----------------------------------------------------------------------------------
def test_trials_are_sampled_as_the_design_says() -> None:
    """Three days in the windows of klima2026 with four phenotypes each, and three volumes, of 60 patients."""
    data = design_study.simulate(1, "windows")
    seen = data.observations
    assert (len(data), len(seen)) == (60, 60 * (3 * 4 + 3))
    cells = seen.endpoint < 4
    days = np.sort(seen.time[cells].reshape(60, 3, 4), axis=1)
    assert (np.ptp(days, axis=2) == 0).all()  # one sample tells all four
    for k, (first, last) in enumerate(design_study.DESIGNS["windows"]):
        assert first <= days[:, k].min() < days[:, k].max() <= last
    assert set(seen.time[~cells]) == {0.0, 30.0, 90.0}
    assert (seen.value[~cells] >= design_study.LEAST_VOLUME).all()
    assert not seen.censoring[cells].any()
    gone = design_study.simulate(71, "windows").observations  # one of its patients kills so fast that no tumour is left
    assert np.isfinite(gone.value).all()


def test_the_model_of_the_study_is_the_published_one() -> None:
    """Typical courses of the patients are those that the library solves with their class, transplant and ratio."""
    data = design_study.simulate(0, "fixed days")
    problem = Problem(design_study.model(), data)
    found = np.exp(problem.predict(problem.theta[None], np.zeros((1, 60, problem.d))).f[0])
    rows = problem.rows
    low = int(np.flatnonzero(data.covariates["LOW"].values)[0])
    for who in (0, 1, 2, low):
        given = {name: float(data.covariates[column].values[who]) for name, column in design_study.KNOWN.items()}
        mine = rows.subject == who
        for k, end in enumerate(problem.model.ends):
            at = mine & (rows.endpoint == k)
            order = np.argsort(rows.time[at])
            solved = solve(MuellerSchoell2021, given, rows.time[at][order], outputs=[end.output], rtol=1e-9)
            assert found[at][order] == pytest.approx(np.ravel(solved.values), rel=1e-4)


def test_the_page_of_the_design_says_what_made_up_fits_hold() -> None:
    """Estimates 10 % too high on average: by hand; the negative exponent's interval on its own scale."""
    truth = design_study.truth()
    records = [
        {"replicate": r, "method": "windows", "estimates": {n: v * factor for n, v in truth.items()}, "converged": True,
         "errors": {n: abs(0.2 * v * factor) for n, v in truth.items()}, "seconds": 1.0}
        for r, factor in enumerate([0.6, 1.0, 1.2, 1.6])
    ]  # fmt: skip
    page = design_study.page(records, design_study.STUDY)
    assert "| `effector_death` | 0.518 | +10.0 ± 20.8 % | +3.6 % | +10.0 % | 50 % |" in page
    exponent = "| `ratio_exponent` | -0.385 | +10.0 ± 20.8 % |  | +10.0 % | 75 % |"
    assert exponent in page  # 0.4 / 0.12 is too far
    killing = "| windows | `central_killing` | +10.0 % | within 20 % | -10 to +30 %, width 40 | width at most 70 |"
    assert killing in page
    assert "cover 50 to 75 %" in page
    assert "4 trials, 4 fits converged" in page


@pytest.mark.slow
def test_a_fit_of_the_design_ends_near_the_truth() -> None:
    """20 patients with four phenotypes and a tumour: converged, and within four standard errors of every true value."""
    small = replace(design_study.STUDY, subjects=20, exploring=60, smoothing=40)
    found = design_study.fit_once(1, "windows", small)
    assert found["converged"], found["verdict"]
    assert found["errors"] is not None
    truth, errors = design_study.truth(), found["errors"]
    positive = {name for name, value in truth.items() if value > 0}
    away = {
        name: math.log(value / truth[name]) / (errors[name] / value)
        if name in positive else (value - truth[name]) / errors[name]
        for name, value in found["estimates"].items()
    }  # fmt: skip
    assert away.keys() == truth.keys()
    assert max(map(abs, away.values())) < 4, away
