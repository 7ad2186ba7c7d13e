"""The designer: what it refuses, and that its answers are those of the parts it is made of."""

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.trials.designer import TrialDesign, limiting, run_design, skeleton
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.power import single_arm_power
from livingdrug.trials.protocol import Protocol

TWO = """
name = "two"
trial = "zuma-7"
patients = 40

[power]
sizes = [20, 60]
replicates = 100
endpoints = [{ name = "efs" }, { name = "cr" }]
"""
ONE = """
name = "one"
trial = "juliet"
patients = 40

[power]
sizes = [20, 60]
endpoints = [{ name = "crs >= 3", null = 0.9 }, { name = "cr", null = 0.2 }]

[dose_finding]
cells = [1e8, 4e8]
target = 0.5
replicates = 50
largest = 12
"""


def read(tmp_path, text):
    path = tmp_path / "design.toml"
    path.write_text(text, encoding="utf-8")
    return TrialDesign.read(path)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    design, trial = read(tmp_path_factory.mktemp("one"), ONE)
    return run_design(design, trial, 3, days=120, threads=1)


def test_two_arms(tmp_path):
    design, trial = read(tmp_path, TWO)
    found = run_design(design, trial, 3, folder=tmp_path / "run", days=200, threads=1)
    assert found.power["endpoint"].tolist() == ["efs", "efs", "cr", "cr"]
    assert found.power["power"].between(0, 1).all()
    assert found.power["other_size"].tolist() == [20, 60, 20, 60]
    again = run_design(design, trial, 3, folder=tmp_path / "run", days=200, threads=1)
    assert again.power.equals(found.power)


def test_one_arm_is_the_exact_binomial_power(one):
    here = one.pool.found["arm tisa-cel"]
    share = np.isfinite(here["cr_day"][here["infused"]]).mean()
    rows = one.power[one.power["endpoint"] == "cr"]
    expected = [float(single_arm_power(size, 0.2, share)) for size in (20, 60)]
    np.testing.assert_allclose(rows["power"], expected)


def test_fewer_side_effects_are_a_success(one):
    here = one.pool.found["arm tisa-cel"]
    spared = (here["crs_penn"][here["infused"]] < 3).mean()
    rows = one.power[one.power["endpoint"] == "crs >= 3"]
    np.testing.assert_allclose(rows["power"], [float(single_arm_power(size, 0.1, spared)) for size in (20, 60)])


def test_doses(one):
    for cells, row in zip((1e8, 4e8), one.doses.to_dict("records"), strict=True):
        here = one.pool.found[f"dose {cells:g}"]
        toxic = limiting(here, one.trial, 28)[here["infused"]]
        assert row["toxicity"] == pytest.approx(toxic.mean())
        worst = np.fmax(here["crs_penn"], here["neuro_ctcae-v4-neuro"])[here["infused"]]
        assert np.all(worst[toxic] >= 3)
        assert set(here["dose_cells"][here["infused"]]) == {cells}
    chosen = one.finding.groupby("design")["chosen"].sum()
    assert chosen.tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_a_late_toxicity_does_not_limit_the_dose():
    """One patient severe on day 3, one on day 30 (onset and days to grade 3 are counted in whole days), one never."""
    trial = Protocol.builtin("juliet")
    columns = {
        "infused": [True] * 3, "crs_onset_penn": [2, np.nan, 4], "crs_days_to_3_penn": [2, np.nan, np.nan],
        "neuro_onset_ctcae-v4-neuro": [np.nan, 28, np.nan], "neuro_days_to_3_ctcae-v4-neuro": [np.nan, 3, np.nan],
    }  # fmt: skip
    here = Outcomes.of([1, 2, 3], columns, trial.scales)
    assert limiting(here, trial, 28).tolist() == [True, False, False]
    assert limiting(here, trial, 30).tolist() == [True, True, False]
    assert limiting(here, trial, 2).tolist() == [False, False, False]


def test_a_skeleton_keeps_its_distance():
    """The property that defines it: where a dose has target + width, the one below has target - width."""
    found = np.log(skeleton(0.3, 6, 0.07))
    power = np.log(0.37) / found[1:]
    np.testing.assert_allclose(np.exp(found[:-1] * power), 0.23)
    assert np.exp(found[2]) == pytest.approx(0.3)


def test_a_trial_file_beside_the_design(tmp_path):
    from importlib import resources

    text = (resources.files("livingdrug.trials") / "definitions" / "juliet.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.replace('name = "juliet"', 'name = "mine"'), encoding="utf-8")
    assert read(tmp_path, ONE.replace('"juliet"', '"mine.toml"'))[1].name == "mine"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"juliet"', '"julie"', r"design.toml, line 3: trial: .*did you mean 'juliet'"),
        ('name = "cr"', 'name = "orrr"', "line 8: power.endpoints.1.name: .*did you mean 'orr'"),
        (", null = 0.2 }", " }", "power.endpoints.1.null: a trial of one arm needs"),
        ("cells = [1e8, 4e8]", "cells = [4e8, 1e8]", "the dose levels must rise"),
        ("target = 0.5", "targt = 0.5", "did you mean 'target'"),
        ("target = 0.5", "target = 1.5", "dose_finding.target"),
        ("target = 0.5", "target = 0.5\nlimit_days = 90", "line 13: dose_finding.limit_days: .* equal to 56"),
        ('"juliet"', '"missing.toml"', r"line 3: trial: .*missing.toml' is no file"),
        ("target = 0.5", 'target = 0.5\narm = "x"', "line 13: dose_finding.arm: .*tisa-cel"),
        ("target = 0.5", "target = 0.5\nskeleton = [0.1]", "1 guesses for 2 doses"),
        ('name = "one"', 'name = "../one"', "a name is letters"),
        ("patients = 40", "patients = 4", "line 4: patients"),
        ("sizes = [20, 60]", "sizes = []", "line 7: power.sizes"),
    ],
)
def test_bad_files_are_refused_with_the_place(tmp_path, old, new, words):
    assert old in ONE
    with pytest.raises(InputError, match=words):
        read(tmp_path, ONE.replace(old, new))


def test_a_design_asks_something(tmp_path):
    with pytest.raises(InputError, match=r"it needs the table \[power\] or \[dose_finding\]"):
        read(tmp_path, 'name = "x"\ntrial = "juliet"\n')


def test_a_side_effect_of_a_comparator_is_no_endpoint(tmp_path):
    with pytest.raises(InputError, match="endpoint of a design for zuma-7"):
        read(tmp_path, TWO.replace('name = "cr"', 'name = "crs any"'))
