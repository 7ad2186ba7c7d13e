"""Local sensitivities against closed forms and against differences of solutions."""

import numpy as np
import pytest

from livingdrug.analysis import local_sensitivities
from livingdrug.engine.solve import solve
from livingdrug.errors import InputError
from livingdrug.library import load_model
from livingdrug.library.stein2019 import transgene
from livingdrug.model import Model, ddt, output, parameter, reset, state

DAYS = np.array([1.0, 5.0, 15.0, 28.0, 90.0])


def test_stein2019_against_its_closed_form():
    """d ln y / d ln p by central differences of the closed form (step 1e-5: error below 1e-8)."""
    model = load_model("stein2019")
    names = ["fold_expansion", "peak_day", "peak", "contraction", "persistent_fraction", "decline"]
    found = local_sensitivities(model, names, times=DAYS, rtol=1e-9)
    assert found.exact
    for k, name in enumerate(names):
        value, step = model.parameters[name].value, 1e-5
        ends = [np.log(transgene(DAYS, **{name: value * (1 + sign * step)})) for sign in (1, -1)]
        assert found.relative[k, :, 0] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=1e-7)


def test_line_in_closed_form(models):
    """height = offset + slope t: relative derivatives offset / height and slope t / height."""
    found = local_sensitivities(models.Line, times=[0.0, 1.0, 10.0], values={"slope": 3.0})
    height = 10 + 3 * np.array([0.0, 1.0, 10.0])
    assert found.relative[:, :, 0] == pytest.approx(np.stack([10 / height, 1 - 10 / height]), abs=1e-9)
    assert found.slopes[:, :, 0] == pytest.approx(np.array([[1, 1, 1], [0, 1, 10.0]]), abs=1e-9)


def test_kimmel2021_against_differences():
    """Central differences with a step of 1e-4 of solves at 1e-11; 2e-5 is their error."""
    model = load_model("kimmel2021")
    names, days = ["car_t_growth", "kill_rate", "growth_signal"], np.array([3.0, 14.0, 28.0])
    found = local_sensitivities(model, names, ["car_t_blood", "tumour_volume"], days, rtol=1e-9)
    for k, name in enumerate(names):
        value = model.parameters[name].value
        ends = solve(
            model, {name: value * np.array([1 + 1e-4, 1 - 1e-4])}, days, outputs=["car_t_blood", "tumour_volume"],
            stochastic=False, rtol=1e-11,
        ).values  # fmt: skip
        expected = (ends[0] - ends[1]) / (2e-4 * value)
        assert found.slopes[k] == pytest.approx(expected, rel=2e-5, abs=1e-6 * np.abs(expected).max())


def test_a_model_without_exact_slopes_gets_difference_quotients():
    """kirouac2023 starts at a power of zero; a quotient with ten times the step agrees to its error of 1e-4."""
    model = load_model("kirouac2023")
    found = local_sensitivities(model, ["kill_rate", "largest_renewal"], ["car_t_blood"], [7.0, 28.0])
    assert not found.exact
    assert "difference quotients" in found.caption
    for k, name in enumerate(["kill_rate", "largest_renewal"]):
        value = model.parameters[name].value
        ends = solve(model, {name: value * np.array([1.001, 0.999])}, [7.0, 28.0], outputs=["car_t_blood"], rtol=1e-11)
        expected = (ends.values[0, :, 0] - ends.values[1, :, 0]) / (2e-3 * value)
        assert found.slopes[k, :, 0] == pytest.approx(expected, rel=1e-3, abs=1e-6 * np.abs(expected).max())


def test_quotients_agree_with_exact_slopes(models):
    from livingdrug.analysis.slopes import slopes

    options = {"initial": None, "doses": (), "rtol": 1e-9}
    values = {"growth": 0.1, "kill": 0.5, "stop": 20.0}
    call = (models.Treated, values, np.array([5.0, 40.0]), ["tumour_cells"], ["growth", "kill", "stop"])
    exact, quotients = (slopes(*call, exact=how, **options) for how in (True, False))
    assert exact.exact
    assert not quotients.exact
    assert quotients.slopes == pytest.approx(exact.slopes, rel=1e-4)


def test_table_and_summary(models):
    found = local_sensitivities(models.Line, times=[0.0, 10.0])
    assert list(found.table.columns) == ["output", "parameter", "time_day", "value", "slope", "relative"]
    row = found.table.query("parameter == 'slope' and time_day == 10").iloc[0]
    assert (row["value"], row["slope"]) == pytest.approx((30.0, 10.0))
    assert row["relative"] == pytest.approx(20 / 30)
    assert found.summary["parameter"].tolist() == ["offset", "slope"]


def test_parameters_that_the_model_sets_anew():
    """exp(-2 rate - 3 later) on day 5: both derivatives by quotients, which the result says."""

    class Reset(Model):
        """Decay whose rate is set on day 2."""

        rate = parameter(0.5, "1/day", "rate")
        later = parameter(0.1, "1/day", "rate from day 2")
        x = state("1", "amount", initial=1.0)
        equations = {ddt(x): -rate * x}
        events = [reset(rate, later, at=2.0)]
        outputs = {"amount": output(x, "1", "amount")}

    found = local_sensitivities(Reset, times=[5.0])
    assert not found.exact
    assert found.relative[:, 0, 0] == pytest.approx([-2 * 0.5, -3 * 0.1], rel=1e-5)


def test_an_output_of_zero_has_no_relative_slope(models):
    found = local_sensitivities(models.Line, times=[0.0, 1.0], values={"offset": 0.0})
    assert np.isnan(found.relative[:, 0]).all()
    assert found.slopes[0, 0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"parameters": ["slop"]}, "did you mean 'slope'"),
        ({"outputs": ["hight"]}, "did you mean 'height'"),
        ({"parameters": []}, "at least one"),
        ({"values": {"slope": -1.0}}, "between 0"),
        ({"values": {"slope": [1.0, 2.0]}}, "one number"),
    ],
)
def test_wrong_input(models, words, named):
    with pytest.raises(InputError, match=named):
        local_sensitivities(models.Line, **words)
