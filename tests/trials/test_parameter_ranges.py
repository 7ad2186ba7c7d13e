"""Ranges over parameter sets: wider than chance, the same for any workers, and only with enough sets."""

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.trials.ensemble import Ensemble, load_ensemble
from livingdrug.trials.parameter_ranges import inside, with_parameter_ranges
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.twin import run_twin

SMALL, DAYS = Protocol.builtin("nct07194980"), 200.0  # 20 patients


@pytest.fixture(scope="module")
def run():
    return run_twin(SMALL, 60, 1, settings=load_ensemble().middle(), days=DAYS, replicates=100, threads=1)


@pytest.fixture(scope="module")
def ranged(run):
    return with_parameter_ranges(run, load_ensemble(), 20)


def test_every_endpoint_gets_a_range(run, ranged):
    table = ranged.endpoints
    assert table.drop(columns=["sets_low", "sets_high"]).equals(run.endpoints)
    known = table.dropna(subset=["sets_low"])
    assert {"orr", "cr", "crs any", "cmax"} <= set(known["endpoint"])
    assert (known["sets_low"] <= known["sets_high"]).all()
    assert ranged.configuration["parameter_sets"] == 20
    assert ranged.configuration["hash"] == run.configuration["hash"]


def test_parameters_that_differ_widen_a_range(run):
    """Sets that are all alike leave chance alone; those that expand half or twice as fast spread the peaks besides."""
    size = 20
    alike = Ensemble("alike", {"expansion": np.ones(size)}, {}, "0", {})
    apart = Ensemble("apart", {"expansion": np.geomspace(0.5, 2.0, size)}, {}, "0", {})
    peaks = []
    for ensemble in (alike, apart):
        table = with_parameter_ranges(run, ensemble, size).endpoints.set_index("endpoint")
        peaks.append(np.log(table.loc["cmax", "sets_high"] / table.loc["cmax", "sets_low"]))
    assert peaks[1] > peaks[0]


def test_workers_do_not_matter(run, ranged):
    again = with_parameter_ranges(run, load_ensemble(), 20, workers=2)
    assert again.endpoints.equals(ranged.endpoints)


def test_too_few_sets(run):
    with pytest.raises(InputError, match="at least 20 sets, got 5"):
        with_parameter_ranges(run, load_ensemble(), 5)


def test_how_many_are_inside(run):
    import pandas as pd

    table = pd.DataFrame({"reported": [1.0, 5.0], "inside": [True, False]})
    assert inside(table) == (1, None)
    assert inside(table.assign(sets_inside=[False, True])) == (1, 1)
