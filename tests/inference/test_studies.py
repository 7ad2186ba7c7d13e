"""The simulation study, small: it goes on where it stopped, and its page says what was found."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from benchmarks import studies

SMALL = studies.Study(subjects=20, exploring=40, smoothing=30, chains=3)


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
        {"replicate": r, "method": "M3", "estimates": {n: v * factor for n, v in truth.items()},
         "errors": {n: 0.2 * v * factor for n, v in truth.items()}}
        for r, factor in enumerate([0.6, 1.0, 1.2, 1.6])
    ]  # fmt: skip
    found = studies.judged(records, "M3")["peak"]
    assert found.bias == pytest.approx(0.1)
    assert found.noise == pytest.approx(np.std([0.6, 1.0, 1.2, 1.6], ddof=1) / 2)
    assert found.cover == 0.5  # ln 0.6 and ln 1.6 are further than 1.96 times 0.2 from 0
    assert "| `peak` | 24000 | +10.0 ± 20.8 % | +10.0 % | 50 % |" in studies.page(records, SMALL)


@pytest.mark.slow
def test_a_small_study_goes_on_where_it_stopped(tmp_path: Path) -> None:
    store = tmp_path / "store.jsonl"
    assert list(studies.run_study(store, 1, ["M3"], SMALL, 1)) == [0]
    first = studies.stored(store)
    with store.open("a") as file:
        file.write('{"replicate": 1, "meth')  # a line that was cut off
    assert [one["replicate"] for one in studies.stored(store)] == [0]
    with store.open("a") as file:
        file.write("\n")
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
