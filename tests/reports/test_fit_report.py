"""The page of a fit: what it must say, and that odd data do not break it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.inference.comparison import compare
from livingdrug.inference.data import EventData
from livingdrug.inference.estimation import fit
from livingdrug.inference.residual import additive, log_additive
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel, category
from livingdrug.inference.vpc import vpc
from livingdrug.model import exp, lognormal, time
from livingdrug.reports.fit import all_diagnostics, fit_report
from livingdrug.reports.fit_checks import predictive_check

TIMES = np.array([1.0, 3.0, 6.0, 10.0])
SPITE = "<script>alert(1)</script>"


def model() -> StatisticalModel:
    top, k = symbols("top", "k")
    course = top * exp(-k * time)
    parameters = {
        "top": Estimate(100.0, lognormal(0.4), covariates=[category("ARM")]),
        "k": Estimate(0.3, lognormal(0.2)),
    }
    ends = [Endpoint("qpcr", log_additive(0.3)), Endpoint("flow", additive(2.0))]
    return StatisticalModel(ClosedForm("two", {"qpcr": course, "flow": course / 2}), parameters, ends, omega="full")


def data(count: int = 14, limit: float = 25.0) -> EventData:
    random = np.random.default_rng(2)
    top, k = (v * np.exp(sd * random.standard_normal((count, 1))) for v, sd in ((100.0, 0.4), (0.3, 0.2)))
    course = top * np.exp(-k * TIMES)
    qpcr = course * np.exp(0.3 * random.standard_normal(course.shape))
    flow = course / 2 + 2 * random.standard_normal(course.shape)
    value = np.concatenate([np.maximum(qpcr, limit), flow], axis=1)
    below = np.concatenate([qpcr < limit, np.zeros(flow.shape, bool)], axis=1)
    return EventData.from_arrays(
        ids=[SPITE, *(f"P{n}" for n in range(1, count))], subject=np.repeat(range(count), 8),
        time=np.tile(TIMES, 2 * count),
        value=value.ravel(), censoring=below.ravel(), endpoint=np.tile(np.repeat([0, 1], 4), count),
        lloq=np.where(np.tile(np.repeat([0, 1], 4), count) == 0, limit, np.nan), endpoints=["qpcr", "flow"],
        covariates={"ARM": [SPITE if n % 2 else "A" for n in range(count)]},
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted() -> Any:
    return fit(model(), data(), "focei")


@pytest.fixture(scope="module")
def page(fitted: Any) -> str:
    other = fit(model(), data(), "laplace", standard_errors=None)
    stopped = replace(fitted, converged_=False, verdict_="Not converged: the time limit ended the search.")
    return fit_report(stopped, replicates=100, comparison=compare({"first": stopped, "second": other}, points=500)).html


def test_a_run_that_has_not_converged_says_so_at_the_top(page):
    head = page[: page.index("<main>")]
    assert "NOT CONVERGED." in head
    assert "do not report them" in head
    assert '<th role="columnheader" scope="col" class="number">Last value</th>' in page
    assert ">Estimate<" not in page
    assert "Last values of the search" in page


def test_each_endpoint_has_its_figures_and_only_that_with_a_limit_the_share_below(page):
    for endpoint in ("qpcr", "flow"):
        for name in ("goodness", "individuals", "residuals", "vpc", "npde"):
            assert f'id="figure-{name}-{endpoint}"' in page
    qpcr = page[page.index('id="figure-vpc-qpcr"') : page.index('id="figure-vpc-flow"')]
    assert "the lower panel shows the share of samples below the limit" in qpcr
    flow = page[page.index('id="figure-vpc-flow"') :]
    assert "the lower panel shows" not in flow[: flow.index("</figure>")]
    for section in ("How patients differ", "Which differences go together", "What covariates do", "Beside other runs"):
        assert section in page


def test_names_from_the_data_cannot_become_code(page):
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_residuals_are_joined_by_their_key(fitted):
    table = all_diagnostics(fitted, replicates=200)
    rows = data().observations
    assert len(table) == len(rows)
    joined = table.set_index("ROW").loc[rows.row]
    assert joined["TIME"].tolist() == rows.time.tolist()
    assert joined["NPDE"].notna().all()
    assert joined["CWRES"].isna().tolist() == (rows.censoring == 1).tolist()


def test_the_check_counts_what_lies_outside(fitted):
    found = vpc(fitted, "qpcr", replicates=60)
    figure = predictive_check(found, "day")
    assert f"Here {len(found.outside())} of {len(found.quantiles)} levels" in figure.caption
    assert figure.table is not None
    assert len(figure.table.rows) == len(found.quantiles)
    late = next(row for row in figure.table.rows if row[0] == "10" and row[1].startswith("5\u00a0"))
    assert late[2] == "below the limit"


def test_data_that_are_all_below_the_limit_get_a_page():
    low = EventData.from_arrays(
        ids="AB", subject=[0, 0, 1, 1], time=[1.0, 2, 1, 2], value=5.0, censoring=1, lloq=5.0, endpoints=["value"]
    )
    (level,) = symbols("level")
    alone = StatisticalModel(
        ClosedForm("level", level), {"level": Estimate(3.0, lognormal(0.3))}, Endpoint("value", log_additive(0.3))
    )
    result = fit(alone, low, "laplace", standard_errors=None)
    assert not result.converged_
    assert math.isnan(result.residual_shrinkage_)
    assert "NOT CONVERGED" in fit_report(result, replicates=100).html
