"""Emergence checks: every one runs, is answered by the same patients, and measures what it says."""

import json

import numpy as np
import pytest

from livingdrug.clinic.management_rules import management_rules
from livingdrug.errors import InputError
from livingdrug.trials import emergence
from livingdrug.trials.emergence import CHECKS, run_check
from livingdrug.trials.enrolment import daily_hazard, growth_while_waiting, wait
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.scenarios import Pool, Scenario

SMALL = {"days": 120, "threads": 1}


def test_the_checks_of_the_design_are_there():
    assert list(CHECKS) == [
        "exposure-response", "cmax-tocilizumab", "three-scales", "preemptive-tocilizumab", "split-dose", "vein-to-vein",
        "dose-doubling",
    ]  # fmt: skip
    for check in CHECKS.values():
        plans = check.plans()
        assert len({plan.slug for plan in plans}) == len(plans)
        for plan in plans:
            assert plan.trial.grading.rule in management_rules()


@pytest.mark.parametrize("name", ["three-scales", "dose-doubling"])
def test_a_check_has_an_answer(name):
    found = run_check(name, 40, 2, **SMALL)
    table = found.table
    assert (table["low"] <= table["high"]).all()
    shares = table[table["unit"] == "%"]
    assert shares["value"].between(0, 100).all()
    assert json.loads(json.dumps(found.to_json()))["check"] == name
    assert "calibrated" in found.settings or "ensemble" in found.settings


def test_an_unknown_check_is_named():
    with pytest.raises(InputError, match="did you mean 'dose-doubling'"):
        run_check("dose-doublin")


def test_waiting_longer_loses_at_the_daily_rate_of_the_trial_and_lets_tumours_grow():
    ids = np.arange(1, 2001, dtype=np.uint64)
    own, (short, long) = (
        Protocol.builtin("juliet").enrolment,
        (plan.trial.enrolment for plan in emergence._wait_plans()),
    )
    assert daily_hazard(short) == daily_hazard(long) == daily_hazard(own) > 0
    kept = wait(short, ids, 1).infused, wait(long, ids, 1).infused
    assert not (kept[1] & ~kept[0]).any()  # nobody is saved by waiting
    expected = (1 - own.manufacturing_failure.value) * np.exp(-daily_hazard(own) * np.array([25, 50]))
    np.testing.assert_allclose([each.mean() for each in kept], expected, atol=0.025)
    rate = np.full(ids.size, 0.02)
    grown = [growth_while_waiting(plan, ids, 1, wait(plan, ids, 1).wait, rate) for plan in (short, long)]
    assert set(np.round(np.log(grown[1] / grown[0]) / (0.02 * 25), 6)) == {1.0, round(1 - own.held.value, 6)}


def _pool(**found):
    eliana = Protocol.builtin("eliana")
    plans = {name: Scenario(name, eliana) for name in found}
    return Pool(found, plans, len(next(iter(found.values()))), 1, 1)


def test_differences_are_those_of_the_same_patients():
    """Four of ten against six of ten: 20 points, whatever the order of the patients."""
    infused = np.ones(10, bool)
    made = [
        Outcomes.of(
            np.arange(10), {"infused": infused, "crs_penn": np.where(np.arange(10) < n, 3.0, 0.0)}, {"crs": ["penn"]}
        )
        for n in (4, 6)
    ]
    pool = _pool(first=made[0], last=made[1])
    rows = emergence._side_by_side(("crs >= 3",))(pool)
    assert [(row["group"], round(row["value"], 6)) for row in rows] == [
        ("first", 40.0), ("last", 60.0), ("difference", 20.0),
    ]  # fmt: skip
    same = emergence._side_by_side(("crs >= 3",))(_pool(first=made[0], last=made[0]))[-1]
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)


def test_quarters_hold_as_many_patients_each():
    values = np.append(np.random.default_rng(1).permutation(np.arange(1.0, 41.0)), np.nan)
    found = emergence._quarters(Outcomes.of(np.arange(41), {"auc28": values}), "auc28")
    assert [int((found == k).sum()) for k in range(4)] == [10, 10, 10, 10]
    assert values[found == 0].max() == 10
    assert found[-1] == -1


def test_peaks_with_and_without_tocilizumab():
    peak = np.array([10.0, 1000.0, 1.0, 100.0, np.nan])
    given = np.array([True, True, False, False, True])
    outcomes = Outcomes.of(np.arange(5), {"cmax": peak, "tocilizumab": given})
    ratio, _ = emergence._peak_ratio(outcomes["cmax"], outcomes["tocilizumab"], _pool(x=outcomes))
    assert ratio == pytest.approx(10.0)  # geometric means 100 and 10
