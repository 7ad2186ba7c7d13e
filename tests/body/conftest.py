"""How the tests of the body solve it: one set of outputs, so that one kernel serves them all."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.body.diseases import PATIENTS
from livingdrug.body.treatment import cells, lymphodepletion
from livingdrug.body.twin import TwinBody
from livingdrug.body.variability import draw_patients
from livingdrug.engine.solve import LOOSE, solve

OUTPUTS = [*TwinBody.states, *TwinBody.outputs]
DAYS = np.concatenate([np.arange(-6.0, 60.0, 0.5), np.arange(60.0, 366.0, 5.0)])


class Clinic:
    """Follows default patients, one or many, under given treatment."""

    days = DAYS

    def follow(self, name, changes=None, *, dose=None, more=(), regimen=None, days=DAYS, stochastic=False, **options):
        patient = PATIENTS[name]
        given = [*lymphodepletion(patient.lymphodepletion if regimen is None else regimen)]
        given += [*cells(patient.dose_cells if dose is None else dose), *more]
        return self.solve({**patient.values(), **(changes or {})}, given, days, stochastic=stochastic, **options)

    def cohort(self, name, count, changes=None, *, seed=5, rtol=LOOSE, **options):
        ids = np.arange(count)
        patient = PATIENTS[name]
        drawn = draw_patients(ids, {**patient.values(), **(changes or {})}, seed=seed, spreads=patient.spreads)
        return self.follow(name, drawn, patient_ids=ids, seed=seed, rtol=rtol, **options)

    @staticmethod
    def solve(parameters, doses, days, **options):
        solution = solve(TwinBody, parameters, days, outputs=OUTPUTS, doses=doses, **options)
        assert not solution.failures()
        return solution


@pytest.fixture(scope="session")
def clinic():
    return Clinic()
