"""The independent solver against closed forms, with every kind of event."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import solve
from livingdrug.model import Model, bolus, ddt, infusion, output, parameter, reset, state, time, where
from livingdrug.qualification.independent import largest_difference, solve_independently


class Drug(Model):
    """Two half-lives, doses of every kind, and a clearance that doubles on day 6."""

    amount = state("pg", "drug in the body", initial=3.0)
    clearance = parameter(0.5, "1/day", "clearance")
    dose = parameter(8.0, "pg", "dose")
    switch = parameter(6.0, "day", "day on which the clearance doubles")
    equations = {ddt(amount): -clearance * where(time < switch, 1, 2) * amount}
    events = [
        bolus(amount, dose, at=1.0),
        infusion(amount, dose, at=2.0, duration=2.0),
        reset(clearance, 0.25, at=4.0),
        reset(amount, 1.0, at=8.0),
    ]
    outputs = {"drug": output(amount, "pg", "drug")}


def closed_form(t):
    """By hand, stretch by stretch."""
    if t < 1:
        return 3 * np.exp(-0.5 * t)
    one = 3 * np.exp(-0.5) + 8
    if t < 2:
        return one * np.exp(-0.5 * (t - 1))
    two = one * np.exp(-0.5)
    if t < 4:
        return two * np.exp(-0.5 * (t - 2)) + 4 / 0.5 * (1 - np.exp(-0.5 * (t - 2)))
    four = two * np.exp(-1.0) + 8 * (1 - np.exp(-1.0))
    if t < 6:
        return four * np.exp(-0.25 * (t - 4))
    if t < 8:
        return four * np.exp(-0.5) * np.exp(-0.5 * (t - 6))
    return np.exp(-0.5 * (t - 8))


TIMES = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])


def test_events_and_switches_against_the_closed_form():
    found = solve_independently(Drug, {}, TIMES)
    assert found["drug"] == pytest.approx([closed_form(t) for t in TIMES], rel=1e-8)
    assert found["amount"] == pytest.approx(found["drug"])


def test_the_difference_is_a_share_of_the_largest_value_and_names_the_worst_output():
    expected = solve_independently(Drug, {}, TIMES)
    ours = solve(Drug, {}, TIMES, rtol=1e-9)["drug"][0]
    assert largest_difference(Drug, {"drug": ours}, expected)[0] < 1e-8
    wrong = ours.copy()
    wrong[3] += 0.01 * ours.max()
    share, name = largest_difference(Drug, {"drug": wrong}, expected)
    assert (share, name) == (pytest.approx(0.01, rel=1e-3), "drug")


def test_a_wrong_equation_is_found():
    """The check can fail: one per cent of a rate shows."""
    expected = solve_independently(Drug, {"clearance": 0.505}, TIMES)
    ours = solve(Drug, {}, TIMES, rtol=1e-9)["drug"][0]
    assert largest_difference(Drug, {"drug": ours}, expected)[0] > 1e-4
