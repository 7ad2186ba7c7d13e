"""Findings counted from round to round, and the rules that need them run in rounds."""

import numpy as np
import pytest

from livingdrug.clinic.management import CohortGrades, TreatmentState, decide
from livingdrug.clinic.management_findings import FeverLog
from livingdrug.clinic.management_rules import findings_of_rules, management_rule, management_rules
from livingdrug.errors import InputError


def test_high_temperatures_are_counted_by_hand():
    # 38.5 degC or more; every 8 h for two days: high at 0, 8, 32 h; at 32 h only the rounds after 8 h are within 24 h.
    temperatures = {0: 38.5, 8: 39.0, 16: 38.4, 24: 38.4, 32: 40.0, 40: np.nan}
    log, seen = FeverLog.fresh(1), []
    for hour, value in temperatures.items():
        log = log.after(hour / 24, [value])
        found = log.findings()
        seen.append((found["high_fevers_in_24_h"][0], found["high_fevers"][0]))
    assert seen == [(1, 1), (2, 2), (2, 2), (1, 2), (1, 3), (1, 3)]


def test_a_fever_before_the_infusion_does_not_count():
    assert FeverLog.fresh(1).after(-0.2, [40.0]).findings()["high_fevers"].tolist() == [0]


def test_pre_emptive_rule_in_rounds():
    """kadauke2021: at least 40 % blasts and two high temperatures within 24 h: one dose, at the second of them."""
    rule = management_rule("preemptive-tocilizumab")
    log, state, given = FeverLog.fresh(3), TreatmentState.untreated(3), []
    for number in range(6):
        log = log.after(1 + number / 3, [39.0 if number >= 1 else 37, 39.0, 37.5])
        now = CohortGrades(crs=[1, 1, 0], icans=[0, 0, 0], crs_scale="lee")
        findings = log.findings() | {"marrow_blasts": np.array([60.0, 10.0, 60.0])}
        found = decide(now, state, log.time, 30, rule, findings=findings)
        state = state.after(found, now)
        given.append(found["tocilizumab"] > 0)
    assert np.array(given)[:, 0].tolist() == [False, False, True, False, False, False]
    assert not np.array(given)[:, 1:].any()


def test_every_finding_of_a_rule_is_known():
    counted = set(FeverLog.fresh(1).findings()) | {"marrow_blasts"}
    assert set(findings_of_rules()) == counted
    for name in management_rules():
        assert set(management_rule(name).needs) <= counted


def test_bad_rounds_are_refused():
    log = FeverLog.fresh(2).after(1.0, [37, 37])
    with pytest.raises(InputError, match="later than the one before"):
        log.after(1.0, [37, 37])
    with pytest.raises(InputError, match="each of 2 patients"):
        log.after(2.0, [37, 37, 37])
