"""A small trial, a command line that runs inside the test, and one finished run that the tests share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from livingdrug.cli import main

SMALL_TRIAL = """
name = "small"
title = "A small trial"
enrolled = 20
infused = 18
sources = ["kimmel2021"]
assumptions = ["This trial is made for a test."]

[population.columns]
weight_kg = { value = 80.0, unit = "kg", note = "for a test" }
cd3_per_uL = { value = 900.0, unit = "1/uL", note = "for a test" }
baseline_tumour_mL = { kind = "lognormal", median = 95.0, log_sd = 1.0, unit = "mL", note = "for a test" }

[[arms]]
name = "only"
[arms.journey.infusion]
model = "kimmel2021"
parameter_set = "code"
links = [
  { parameter = "car_t_at_infusion", column = "dose_cells" },
  { parameter = "normal_t_at_infusion", column = "host_t_cells" },
  { parameter = "baseline_tumour_volume", column = "baseline_tumour_mL" },
]

[follow_up]
horizon_days = 400
outputs = ["car_t_blood", "absolute_lymphocyte_count", "tumour_volume"]
car_t = "car_t_blood"
tumour = "tumour_volume"
tumour_state = "tumour"
baseline = "baseline_tumour_mL"
progression = { value = 1.2, unit = "1", note = "for a test" }

[[published]]
endpoint = "output_on_day"
label = "CAR T cells in blood, day 7"
output = "car_t_blood"
day = 7
unit = "cell/uL"
value = 30.0
source = "kimmel2021"
"""


class Answer(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def command(capsys) -> Callable[..., Answer]:
    def call(*words: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return Answer(int(end.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def small_trial(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("trials") / "small.toml"
    path.write_text(SMALL_TRIAL, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, small_trial) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    with pytest.raises(SystemExit) as end:
        main(["trial", str(small_trial), "--patients", "60", "--out", str(folder), "--json"])
    assert end.value.code == 0
    return folder
