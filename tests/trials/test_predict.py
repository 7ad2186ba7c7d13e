"""Forecasts: what gets a line, from which patients, and whether the frozen lines hang together."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from livingdrug.trials.endpoint_names import KINETIC_SUMMARIES, endpoints_of, flow_endpoints
from livingdrug.trials.forecast import QUANTILES, TWIN, read_forecast
from livingdrug.trials.predict import _late, _reported, _watched_on, predicted_protocols
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.wording import plain

FROZEN = sorted((Path(__file__).parents[2] / "docs" / "forecasts").glob("*.csv"))


def lines(name):
    trial = Protocol.builtin(name)
    return _reported(trial, next(arm for arm in trial.arms if arm.product))


def test_what_a_definition_states_is_no_forecast():
    """Who was lost before the infusion is told by the definition of a published trial, assumed for a registered one."""
    published, registered = lines("elara"), lines("nct06464991")
    assert not set(flow_endpoints()) & set(published)
    assert set(flow_endpoints()) <= set(registered)
    assert {"orr", "orr enrolled"} <= set(published)


def test_kinetics_that_took_part_in_the_calibration_are_no_forecast():
    assert not any(measure.of in KINETIC_SUMMARIES for measure in lines("ensign").values())
    assert {"cmax", "cmax median", "auc28 mean responders"} <= set(lines("elara"))


def test_landmarks_beyond_the_middle_of_the_data_cut_are_of_a_later_report():
    belinda = Protocol.builtin("belinda")
    known = endpoints_of(belinda)
    late = _late(belinda, known)
    middle = float(belinda.follow_up.days.quantile(0.5))
    assert "os 24 months" in late
    assert all((known[name].day or 0.0) > middle for name in late)
    assert "os 6 months" not in late
    assert float(_watched_on(belinda).follow_up.days.quantile(0.0)) == belinda.follow_up.horizon_days


def test_no_predicted_trial_took_part_in_the_calibration():
    from livingdrug.trials.targets import target_trials

    assert not {each.name for each in predicted_protocols()} & set(target_trials())
    assert not any(each.calibration for each in predicted_protocols())


@pytest.fixture(scope="module")
def frozen():
    newest = max((read_forecast(path) for path in FROZEN), key=lambda one: one.provenance["frozen"])
    table = newest.table
    return table[table["forecaster"] == TWIN]


def test_every_predicted_trial_has_every_kind_of_line(frozen):
    """The kinds that issue 6 lists: responses, landmarks, side effects, drugs, kinetics by response, antigen status."""
    for trial in predicted_protocols():
        here = set(frozen.loc[frozen["trial"] == trial.label, "endpoint"])
        both = [{"crs any"}, {"crs >= 3"}, {"neuro any"}, {"neuro >= 3"}, {"crs onset"}, {"crs duration"}]
        both += [{"neuro onset"}, {"neuro duration"}, {"tocilizumab"}, {"antigen-negative relapse"}, {"orr", "cr/cri"}]
        both += [{"dor 12 months", "rfs 12 months"}, {"os 12 months"}, {"pfs 12 months", "efs 12 months"}]
        if trial.name != "ensign":
            both += [{"cmax"}, {"tmax"}, {"auc28"}]
            sets = frozen.loc[(frozen["trial"] == trial.label) & (frozen["endpoint"] == "auc28"), "population"]
            assert {"responders", "non-responders"} <= set(sets), trial.label
        if len(trial.arms) == 2:
            both += [{"os hazard ratio"}]
        missing = [set(names) for names in both if not names & here]
        assert not missing, f"{trial.label}: {missing}"


def test_the_frozen_lines_hang_together(frozen):
    """More is not less: complete among all responses, severe among all side effects, landmarks that fall with time."""
    groups = ["trial", "arm", "population"]
    for key, part in frozen.groupby(groups):
        at = part.drop_duplicates("endpoint").set_index("endpoint")
        for small, large in (("cr", "orr"), ("scr", "cr"), ("crs >= 3", "crs any"), ("neuro >= 3", "neuro any")):
            if small in at.index and large in at.index:
                assert (at.loc[small, list(QUANTILES)] <= at.loc[large, list(QUANTILES)] + 1e-9).all(), (key, small)
        for clock in ("os", "pfs", "efs", "dor", "rfs"):
            days = {int(m[1]): name for name in at.index if (m := re.fullmatch(rf"{clock} (\d+) months", name))}
            middles = [at.loc[days[month], "q50"] for month in sorted(days)]
            assert (np.diff(middles) <= 2.0).all(), (key, clock, middles)  # two points: other patients for late ones
    assert frozen["unit"].ne("").all()
    assert (frozen["draws"] > 0).mean() > 0.95


def test_the_words_of_frozen_lines_are_found_by_the_words_of_reports(frozen):
    for said, line in {
        "CRS any grade": "crs any", "CRS grade>=3": "crs >= 3", "neurologic events any grade": "neuro any",
        "tocilizumab for CRS": "tocilizumab", "AUC0-28d": "auc28", "mechanical ventilation": "ventilated",
        "overall survival 12 months": "os 12 months",
    }.items():  # fmt: skip
        if line in set(frozen["endpoint"]):
            assert plain("endpoint", said) == plain("endpoint", line)
