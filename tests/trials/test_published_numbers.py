"""The numbers carried over into kimmel-zuma-1.toml against the files they were read from, where these are present."""

import csv
from pathlib import Path

import numpy as np
import pytest

from livingdrug.trials import Trial

DATA = Path(__file__).parents[3] / "shared" / "data" / "kinetics"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data is absent")


def column(file, name):
    with (DATA / file).open() as text:
        return np.array([float(row[name]) for row in csv.DictReader(text)])


def test_tumour_volumes():
    volumes = column("zuma1_baseline_tumour_volume.csv", "metabolic_tumour_volume_mL")
    table = Trial.builtin("kimmel-zuma-1").population.columns["baseline_tumour_mL"]
    assert table.quantile(table.probabilities) == pytest.approx(np.quantile(volumes, table.probabilities), rel=2e-3)
    # between the quantiles too: the largest distance of the distribution functions stays below 0.03
    fine = (np.arange(2000) + 0.5) / 2000
    distance = np.abs(
        np.searchsorted(np.sort(table.quantile(fine)), np.sort(volumes)) / 2000 - (np.arange(96) + 0.5) / 96
    )
    assert distance.max() < 0.03


def test_survival_curve():
    curve = Trial.builtin("kimmel-zuma-1").published_survival
    assert curve.day == tuple(column("zuma1_pfs_digitised.csv", "day"))
    assert curve.share == tuple(column("zuma1_pfs_digitised.csv", "pfs"))
    steps = dict(zip(curve.day, curve.share, strict=True))
    for row in Trial.builtin("kimmel-zuma-1").published:
        if row.endpoint == "progression_free_on_day":
            last = max(day for day in steps if day <= row.day)
            assert row.value == pytest.approx(steps[last], abs=6e-4)


def test_quartiles():
    file = "zuma1_cart_alc_quartiles.csv"
    days = column(file, "day").tolist()
    names = {"value": "car_median_cells_per_uL", "low": "car_q1_cells_per_uL", "high": "car_q3_cells_per_uL"}
    for row in Trial.builtin("kimmel-zuma-1").published:
        if row.output == "car_t_blood":
            for ours, theirs in names.items():
                assert getattr(row, ours) == pytest.approx(column(file, theirs)[days.index(row.day)], rel=1e-3)
        if row.output == "absolute_lymphocyte_count":
            assert row.value == column(file, "alc_median_cells_per_uL")[days.index(row.day)]


def test_chances_of_cure_by_volume():
    with (DATA / "kimmel2021_cure_probability_targets.csv").open() as text:
        rows = {
            float(row["x"]): float(row["p_cure"]) for row in csv.DictReader(text) if row["sweep"] == "tumour_volume"
        }
    ours = [row for row in Trial.builtin("kimmel-zuma-1").published_cures if row.source == "cartecology"]
    assert {row.setting["baseline_tumour_mL"]: row.value for row in ours} == rows


def test_the_96_values_as_a_file_of_the_user():
    path = DATA / "zuma1_baseline_tumour_volume.csv"
    trial = Trial.builtin("kimmel-zuma-1").model_copy(update={"published_cures": ()})
    outcome = trial.run(patients=500, seed=1, baseline=path)
    assert set(outcome.patients["baseline_tumour_mL"]) <= set(column(path.name, "metabolic_tumour_volume_mL"))
