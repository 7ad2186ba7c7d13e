"""From the product's quality to the patient: what must not change, what must, and the exact chance of cure."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import Crossing, solve
from livingdrug.errors import InputError
from livingdrug.library.kimmel2021 import Kimmel2021
from livingdrug.library.mueller_schoell2021 import MuellerSchoell2021
from livingdrug.plant.attributes import ATTRIBUTES, ENTERS, attribute_effects, chance_of_cure, entering
from livingdrug.reports.quality_figures import attributes_figure, chart_figure, refit_figure
from livingdrug.trials import Trial

CODE = Kimmel2021.parameter_sets["code"]
COURSE = ["dose_cells", "peak", "auc28", "response", "cure"]


@pytest.fixture(scope="module")
def trial():
    found = Trial.builtin("kimmel-zuma-1")
    return found.arms[0].journey, found.population.sample(120, seed=2)


@pytest.fixture(scope="module")
def effects(trial):
    return attribute_effects(*trial, points=3)


def of(effects, attribute, model):
    return effects[(effects["attribute"] == attribute) & (effects["model"] == model)]


def test_what_does_not_enter_changes_nothing(effects):
    """The table that says so and the courses must agree, to the last bit."""
    checked = 0
    for model, how in ENTERS.items():
        for name, words in how.items():
            if words == "does not enter":
                course = of(effects, name, model)[COURSE[1:]].to_numpy()
                assert np.array_equal(course, np.tile(course[0], (3, 1)), equal_nan=True), (model, name)
                checked += 1
    assert checked == 7


def test_what_enters_changes_the_course(effects):
    for model, name in (
        ("kimmel2021", "dose"), ("kirouac2023", "dose"), ("kirouac2023", "early_share"),
        ("mueller_schoell2021", "early_share"), ("kimmel2021", "car_positive"),
    ):  # fmt: skip
        areas = of(effects, name, model)["auc28"].to_numpy()
        assert areas[0] < areas[-1], (model, name)


def test_release_limits_are_what_viability_and_copies_decide(effects):
    """At a limit about half of the products fail by the error of the test alone; far inside nearly none."""
    viability = of(effects, "viability", "kimmel2021")["released"].to_numpy()
    assert 0.3 < viability[0] < 0.7 < 0.95 < viability[-1]
    copies = of(effects, "copies_per_car_cell", "kimmel2021")["released"].to_numpy()
    assert copies[1] > 0.95
    assert copies[-1] < 0.7


def test_the_dose_is_the_dose(effects, trial):
    """From 1e6 to 2e6 per kg, up to the cap of 2e8 (yescarta2024): the median doubles."""
    doses = of(effects, "dose", "kimmel2021")["dose_cells"].to_numpy()
    assert doses[-1] == pytest.approx(2 * doses[0], rel=1e-6)
    weight = np.median(trial[1]["weight_kg"])
    assert doses[0] == pytest.approx(1e6 * weight, rel=0.03)


def test_phenotypes_start_as_the_product_has_them():
    """Four equal shares are the published start: the same course as the model's own."""
    own = solve(MuellerSchoell2021, {}, [14.0], outputs=["car_t_blood"]).values[0, 0, 0]
    names = ("naive", "central_memory", "effector_memory", "effector")
    shares = dict.fromkeys(names, 0.4 * 0.25)
    assert solve(MuellerSchoell2021, {}, [14.0], outputs=["car_t_blood"], initial=shares).values[0, 0, 0] == own


@pytest.mark.parametrize("volume", [2.3, 94.84])
def test_the_chance_of_cure_is_that_of_the_jump_process(volume):
    """Kendall's formula against 3,000 runs of the engine, cell by cell."""
    one = CODE | {"baseline_tumour_volume": volume}
    chance = float(chance_of_cure({name: np.array([value]) for name, value in one.items()})[0])
    cohort = {name: np.full(3000, value) for name, value in one.items()}
    progression = Crossing("tumour_cells", above=1.2e9 * volume, stop=True)
    runs = solve(Kimmel2021, cohort, [0.0, 1000.0], crossings={"progression": progression}, seed=5)
    cured = np.isfinite(runs.extinct_time["tumour"]).mean()
    assert cured == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / 3000))


def test_the_tables_cover_all_attributes():
    assert list(entering()["attribute"]) == list(ATTRIBUTES)
    assert all(how.keys() == ATTRIBUTES.keys() for how in ENTERS.values())


def test_unknown_names_are_refused(trial):
    with pytest.raises(InputError, match="did you mean 'viability'"):
        attribute_effects(*trial, attributes=["viabilty"])
    with pytest.raises(InputError, match="unknown model of the course"):
        attribute_effects(*trial, models=["stein2019"])
    with pytest.raises(InputError, match="points must be from 2"):
        attribute_effects(*trial, points=1)


def test_the_figures_can_be_drawn(effects):
    from livingdrug.analysis.drawing import svg
    from livingdrug.plant.control_charts import individuals_chart
    from livingdrug.plant.refit import refit
    from livingdrug.plant.site_file import SiteBatches

    assert "chance of cure" in svg(attributes_figure(effects))
    chart = individuals_chart([0.1, 0.2, 0.0, 4.0], center=0.0, sigma=1.0)
    assert "Not for clinical use" in svg(chart_figure(chart, chart.signals(), "viability"))
    shares = {"thaw_recovery_fraction": np.array([0.7, 0.8])}
    drawn = svg(refit_figure(refit(SiteBatches(("a", "b"), np.array([2, 3]), shares), "A")))
    assert "its next batch" in drawn
    assert "no batch told" in svg(refit_figure(refit(SiteBatches((), np.empty(0, int), {}), "A")))
