"""Small plans of which theory knows the answer."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.plant import FleetPlan
from livingdrug.streams import uniform


@pytest.fixture(scope="session")
def queue_plan():
    """Maker of plans with one step on ``units`` units (None: on none), served by the caller's process."""

    def make(units, rate, *, most_waiting=None, pattern="poisson", days=1.0, **more):
        step = {"name": "making", "days": {"value": days, "unit": "day"}, "process": True}
        resources = []
        if units is not None:
            step["needs"] = "suites"
            resources = [{"name": "suites", "units": units}]
            if most_waiting is not None:
                resources[0]["most_waiting"] = most_waiting
        arrivals = {"per_day": {"value": rate, "unit": "1/day"}, "pattern": pattern}
        plan = {"name": "queue", "title": "A queue", "arrivals": arrivals, "steps": [step], "resources": resources}
        return FleetPlan(**plan | more)

    return make


@pytest.fixture(scope="session")
def exponential():
    """Maker of processes with exponential durations that never fail."""

    def make(mean):
        def process(ids, seed):
            return -mean * np.log(uniform(seed, ids, "service")[:, 0]), np.zeros(ids.size, bool)

        return process

    return make


@pytest.fixture(scope="session")
def standard():
    """One run of the built-in plan that tests share."""
    return FleetPlan.builtin("standard").run(1500, seed=3)


SMALL = """# An instance of our own, small enough to try every answer.
set c := c1 c2 ;
set h := h1 h2 ;
set j := j1 j2 ;
set m := m1 m2 m3 ;
set p := p1 p2 p3 p4 ;
param CIM := m1 10
m2 12
m3 19 ;
param CVM := m1 5
m2 6
m3 9 ;
param FCAP := m1 1
m2 1
m3 2 ;
param TT1 := j1 1
j2 3 ;
param TT3 := j1 1
j2 2 ;
param U1 := c1 m1 j1 90
c1 m2 j1 60
c1 m3 j1 75
c2 m1 j1 40
c2 m2 j1 95
c2 m3 j1 80
c1 m1 j2 30
c1 m2 j2 25
c1 m3 j2 20
c2 m1 j2 15
c2 m2 j2 35
c2 m3 j2 28 ;
param U3 := m1 h1 j1 70
m1 h2 j1 45
m2 h1 j1 50
m2 h2 j1 85
m3 h1 j1 66
m3 h2 j1 61
m1 h1 j2 22
m1 h2 j2 19
m2 h1 j2 21
m2 h2 j2 33
m3 h1 j2 27
m3 h2 j2 26 ;
param INC := p1 c1 1 1
p2 c1 4 1
p3 c2 5 1
p4 c2 9 1 ;
param TLS := 1 ;
"""


@pytest.fixture(scope="session")
def small_instance(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "small.dat"
    path.write_text(SMALL)
    return path
