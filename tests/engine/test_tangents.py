"""Derivatives of outputs by parameters and starts, against closed forms and finite differences of closed forms."""

import numpy as np
import pytest

from livingdrug.engine.solve import Change, Crossing, Dose, solve
from livingdrug.errors import DeclarationError, InputError
from livingdrug.library import load_model
from livingdrug.library.stein2019 import Stein2019, transgene
from livingdrug.model import Model, ddt, output, parameter, reset, state

TIGHT = 1e-10


def difference(function, point, relative=1e-6):
    """Central difference with one step of Richardson's extrapolation: errs by about 1e-10 of the slope's size."""
    h = relative * (abs(point) or 1.0)

    def central(h):
        return (function(point + h) - function(point - h)) / (2 * h)

    return (4 * central(h / 2) - central(h)) / 3


# -- stein2019: the switch time is itself a parameter -----------------------------------------------------------------
DAYS = np.array([0.0, 2.0, 5.0, 8.0, 9.0, 9.5, 12.0, 28.0, 90.0, 365.0])
NAMES = [
    "fold_expansion",
    "peak_day",
    "peak",
    "contraction",
    "persistent_fraction",
    "decline",
    "tocilizumab_effect",
    "tocilizumab_day",
]


@pytest.fixture(scope="module")
def stein():
    """Tangents for three patients; tocilizumab on day 6 before the peak in two of them."""
    patients = {"peak_day": np.array([9.3, 11.0, 9.3]), "tocilizumab_day": np.array([6.0, 6.0, 1e6])}
    return patients, solve(Stein2019, patients, DAYS, tangents=NAMES, rtol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_stein2019_against_its_closed_form(stein, name):
    """Differences of the closed form of the same file, to 1e-6 of the tangent's largest value (issue 2)."""
    patients, found = stein
    for row in range(3):
        point = {k: v[row] for k, v in patients.items()}
        centre = point.get(name, Stein2019.parameters[name].value)
        expected = difference(lambda p, point=point: transgene(DAYS, **(point | {name: p})), centre, 1e-4)
        assert found.tangents[name][row, :, 0] == pytest.approx(expected, rel=1e-6, abs=1e-6 * np.abs(expected).max())
    assert found["car_t_transgene_blood"][2] == pytest.approx(transgene(DAYS), rel=1e-8)


def test_stein2019_by_hand():
    """d/d peak_day in closed form: before the peak -C log(f) t / T^2, after it alpha and beta parts by hand."""
    p = {n: q.value for n, q in Stein2019.parameters.items()}
    found = solve(Stein2019, {}, DAYS, tangents=["peak_day"], rtol=1e-11).tangents["peak_day"][0, :, 0]
    before = -transgene(DAYS) * np.log(p["fold_expansion"]) * DAYS / p["peak_day"] ** 2
    after, slow = DAYS - p["peak_day"], p["persistent_fraction"]
    fall = p["peak"] * (
        (1 - slow) * p["contraction"] * np.exp(-p["contraction"] * after)
        + slow * p["decline"] * np.exp(-p["decline"] * after)
    )
    assert found == pytest.approx(np.where(p["peak_day"] > DAYS, before, fall), rel=1e-6)


# -- doses and infusions of the model ---------------------------------------------------------------------------------
TIMES = np.array([0.0, 0.5, 1.0, 2.2, 2.9, 3.5, 4.0, 8.0])
VALUES = {
    "clearance": 2.0, "volume": 10.0, "before": 20.0, "dose": 100.0, "dose_day": 1.3,
    "infused": 60.0, "infusion_day": 2.1, "infusion_length": 1.2,
}  # fmt: skip


def concentration(clearance, volume, before, dose, dose_day, infused, infusion_day, infusion_length):
    """Treated in closed form, mg/L."""
    k = clearance / volume
    during = np.clip(TIMES - infusion_day, 0, infusion_length)
    rest = np.maximum(TIMES - infusion_day - infusion_length, 0)
    total = before * np.exp(-k * TIMES) + np.where(dose_day <= TIMES, dose * np.exp(-k * (TIMES - dose_day)), 0)
    return (total + infused / infusion_length / k * (1 - np.exp(-k * during)) * np.exp(-k * rest)) / volume


@pytest.mark.parametrize("name", VALUES)
def test_doses_infusions_their_days_and_lengths(models, name):
    found = solve(models.Treated, VALUES, TIMES, tangents=list(VALUES), rtol=TIGHT)
    assert found["concentration"][0] == pytest.approx(concentration(**VALUES), rel=1e-8)
    expected = difference(lambda p: concentration(**(VALUES | {name: p})), VALUES[name])
    assert found.tangents[name][0, :, 0] == pytest.approx(expected, rel=1e-6, abs=1e-6 * np.abs(expected).max())


def test_asking_for_one_or_for_all_gives_the_same(models):
    alone = solve(models.Treated, VALUES, TIMES, tangents=["dose_day"], rtol=TIGHT).tangents["dose_day"]
    together = solve(models.Treated, VALUES, TIMES, tangents=list(VALUES), rtol=TIGHT).tangents["dose_day"]
    assert alone == pytest.approx(together, rel=1e-7, abs=1e-9)


def test_a_dose_on_day_0_by_its_day(models):
    """At day 0 the slope from the right: dose k exp(-k t) / V, the same for patients beside one another."""
    clearance = np.linspace(1, 9, 24)
    day = np.where(np.arange(24) % 2 == 0, 0.0, 1.3)
    parameters = VALUES | {"clearance": clearance, "dose_day": day}
    found = solve(models.Treated, parameters, TIMES, tangents=list(VALUES), rtol=TIGHT).tangents["dose_day"][:, :, 0]
    k = clearance[:, None] / 10
    after = TIMES - day[:, None]
    assert found == pytest.approx(
        np.where(after >= 0, 100 * k * np.exp(-k * np.abs(after)) / 10, 0), rel=1e-6, abs=1e-9
    )


def test_a_switch_by_its_day_and_by_both_slopes(models):
    """x = exp(growth T - decline (t - T)) after T: d/dT = x (growth + decline)."""
    names = ["turn", "growth", "decline", "initial:x"]
    found = solve(models.Switched, {"turn": [3.0, 5.0]}, TIMES, outputs=["x"], tangents=names, rtol=TIGHT)
    for row, turn in enumerate((3.0, 5.0)):
        up, down = np.minimum(TIMES, turn), np.maximum(TIMES - turn, 0)
        x = np.exp(0.9 * up - 0.3 * down)
        for name, expected in (
            ("turn", np.where(turn <= TIMES, 1.2 * x, 0)),
            ("growth", up * x),
            ("decline", -down * x),
            ("initial:x", x),
        ):
            assert found.tangents[name][row, :, 0] == pytest.approx(expected, rel=1e-6, abs=1e-8)


# -- initial values ---------------------------------------------------------------------------------------------------
def logistic(growth=0.5, capacity=1e6, start=10.0, t=(0.0, 5, 10, 20, 25, 30, 60)):
    return capacity / (1 + (capacity / start - 1) * np.exp(-growth * np.asarray(t)))


def test_initial_value_of_logistic_growth(models):
    """By the state itself, by the parameter that is its start, and by the others; the formula holds the constant 1."""
    names = ["initial:cells", "start", "growth", "capacity"]
    found = solve(models.Logistic, {}, [0.0, 5, 10, 20, 25, 30, 60], tangents=names, rtol=TIGHT).tangents
    for name, argument in zip(names, ("start", "start", "growth", "capacity"), strict=True):
        expected = difference(
            lambda p, a=argument: logistic(**{a: p}), {"start": 10.0, "growth": 0.5, "capacity": 1e6}[argument], 1e-4
        )
        assert found[name][0, :, 0] == pytest.approx(expected, rel=1e-6, abs=1e-6 * np.abs(expected).max())


def test_several_initial_values_at_once(models):
    """x = x0 cos + y0 sin, y = y0 cos - x0 sin."""
    found = solve(
        models.Swing, {}, TIMES, outputs=["x", "y"], tangents=["initial:x", "initial:y", "w"], rtol=TIGHT
    ).tangents
    cos, sin = np.cos(TIMES), np.sin(TIMES)
    assert found["initial:x"][0] == pytest.approx(np.stack([cos, -sin], axis=1), abs=1e-7)
    assert found["initial:y"][0] == pytest.approx(np.stack([sin, cos], axis=1), abs=1e-7)
    assert found["w"][0] == pytest.approx(np.stack([TIMES * cos, -TIMES * sin], axis=1), abs=1e-6)


def test_initial_value_that_is_given(models):
    """A start given by ``initial=`` no longer depends on the parameter that was its formula."""
    found = solve(
        models.Logistic,
        {},
        [0.0, 10.0],
        initial={"cells": 50.0},
        tangents=["start", "initial:cells", "growth"],
        rtol=TIGHT,
    ).tangents
    t = np.array([0.0, 10.0])
    assert np.array_equal(found["start"][0, :, 0], [0, 0])
    assert found["initial:cells"][0, :, 0] == pytest.approx(
        difference(lambda s: logistic(start=s, t=t), 50.0, 1e-4), rel=1e-6
    )
    assert found["growth"][0, :, 0] == pytest.approx(
        difference(lambda g: logistic(growth=g, start=50.0, t=t), 0.5, 1e-4), rel=1e-6, abs=1e-6
    )


# -- the caller's doses and changes -----------------------------------------------------------------------------------
def test_doses_of_the_caller(models):
    """Two doses in superposition; the slope by volume holds 1/V and k = CL/V."""
    doses = [Dose("drug", 100.0, at=1.0), Dose("drug", 60.0, at=2.0, duration=1.5)]

    def course(clearance=2.0, volume=10.0):
        k = clearance / volume
        during, rest = np.clip(TIMES - 2, 0, 1.5), np.maximum(TIMES - 3.5, 0)
        bolus = np.where(TIMES >= 1, 100 * np.exp(-k * (TIMES - 1)), 0)
        return (bolus + 40 / k * (1 - np.exp(-k * during)) * np.exp(-k * rest)) / volume

    found = solve(models.OneCompartment, {}, TIMES, doses=doses, tangents=["clearance", "volume"], rtol=TIGHT).tangents
    for name, value in (("clearance", 2.0), ("volume", 10.0)):
        assert found[name][0, :, 0] == pytest.approx(
            difference(lambda p, n=name: course(**{n: p}), value), rel=1e-6, abs=1e-8
        )


def test_a_parameter_that_is_set_no_longer_counts(models):
    """After clearance is set to 5 on day 2 the course depends on its first value only through what is left on day 2."""
    try:
        found = solve(
            models.OneCompartment,
            {"before": 50.0},
            TIMES,
            doses=[Change("clearance", 5.0, at=2.0)],
            tangents=["clearance"],
            rtol=TIGHT,
        )
    except (InputError, DeclarationError):
        return  # refused is right too
    before, after = np.minimum(TIMES, 2), np.maximum(TIMES - 2, 0)
    expected = -before / 10 * 5 * np.exp(-0.2 * before - 0.5 * after)
    assert found.tangents["clearance"][0, :, 0] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_state_that_is_set_forgets(models):
    found = solve(
        models.OneCompartment,
        {"before": 50.0},
        TIMES,
        doses=[Change("drug", 30.0, at=2.0)],
        tangents=["before", "clearance"],
        rtol=TIGHT,
    ).tangents
    after = np.maximum(TIMES - 2, 0)
    assert found["before"][0, :, 0] == pytest.approx(
        np.where(TIMES < 2, np.exp(-0.2 * TIMES) / 10, 0), rel=1e-6, abs=1e-12
    )
    expected = np.where(TIMES < 2, -TIMES / 10 * 5 * np.exp(-0.2 * TIMES), -after / 10 * 3 * np.exp(-0.2 * after))
    assert found["clearance"][0, :, 0] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_rounds_with_tangents_are_right_or_refused(models):
    """Halving the state at a round halves what it depends on."""

    def visit(ward):
        ward["drug"] = 0.5 * ward["drug"]

    try:
        found = solve(
            models.OneCompartment,
            {"before": 50.0},
            [1.0, 3.0],
            tangents=["before"],
            rounds=[2.0],
            visit=visit,
            rtol=TIGHT,
        )
    except (InputError, DeclarationError):
        return
    assert found.tangents["before"][0, :, 0] == pytest.approx([np.exp(-0.2) / 10, 0.5 * np.exp(-0.6) / 10], rel=1e-6)


# -- powers near zero -------------------------------------------------------------------------------------------------
def test_powers_of_small_numbers():
    """x' = -k x^p: x = (x0^(1-p) + (p-1) k t)^(1/(1-p)), from 1e-7, below the floor of the Jacobian's slope."""

    class Power(Model):
        """Falls by a power of itself."""

        k = parameter(500.0, "1/day", "rate")
        p = parameter(1.7, "1", "exponent")
        start = parameter(1e-7, "1", "start")
        x = state("1", "quantity", initial=start, floor=1e-12)
        equations = {ddt(x): -k * x**p}
        outputs = {"quantity": output(x, "1", "quantity")}

    def course(k=500.0, p=1.7, start=1e-7):
        return (start ** (1 - p) + (p - 1) * k * TIMES) ** (1 / (1 - p))

    found = solve(Power, {}, TIMES, tangents=["start", "k", "p"], rtol=TIGHT)
    assert found["quantity"][0] == pytest.approx(course(), rel=1e-8)
    for name, value in (("start", 1e-7), ("k", 500.0), ("p", 1.7)):
        expected = difference(lambda q, n=name: course(**{n: q}), value, 1e-4)
        assert found.tangents[name][0, :, 0] == pytest.approx(expected, rel=1e-5, abs=1e-6 * np.abs(expected).max())


# -- a model of the library against differences of its own solves -----------------------------------------------------
def test_kimmel2021_without_chance():
    model = load_model("kimmel2021")
    names = ["car_t_growth", "kill_rate", "car_t_at_infusion", "tumour_growth"]
    days = [3.0, 7, 14, 28]
    found = solve(
        model, {}, days, tangents=names, stochastic=False, rtol=1e-9, outputs=["car_t_blood", "tumour_volume"]
    )
    for name in names:
        value = model.parameters[name].value
        ends = solve(
            model,
            {name: value * (1 + np.array([-1e-4, 1e-4]))},
            days,
            stochastic=False,
            rtol=1e-11,
            outputs=["car_t_blood", "tumour_volume"],
        ).values
        expected = (ends[1] - ends[0]) / (2e-4 * value)
        assert found.tangents[name][0] == pytest.approx(expected, rel=2e-5, abs=1e-6 * np.abs(expected).max())


def test_a_jump_model_has_no_tangents(models):
    """Refused with a reason and a way out; without chance it works."""
    with pytest.raises((DeclarationError, InputError), match="stochastic=False"):
        solve(models.Clone, {}, [1.0], tangents=["birth"])
    found = solve(models.Clone, {}, [1.0, 4.0], tangents=["birth"], stochastic=False, rtol=TIGHT)
    t = np.array([1.0, 4.0])
    assert found.tangents["birth"][0, :, 0] == pytest.approx(20 * t * np.exp(-0.2 * t), rel=1e-6)


def test_tangents_end_with_the_patient(models):
    """After a stop the tangents are NaN like the values."""
    watch = {"up": Crossing("cells", above=100.0, stop=True)}
    found = solve(models.Logistic, {}, [1.0, 30.0], tangents=["growth"], crossings=watch)
    assert np.isfinite(found.tangents["growth"][0, 0, 0])
    assert np.isnan(found.tangents["growth"][0, 1, 0])


@pytest.mark.parametrize("name", ["rate", "later"])
def test_sensitivities_through_a_parameter_that_the_model_sets_are_refused(name):
    """They would be wrong (the set value carries no derivative), so the caller is told and can take differences."""

    class Reset(Model):
        rate = parameter(0.5, "1/day", "rate of loss")
        later = parameter(0.1, "1/day", "rate of loss from day 2")
        x = state("1", "amount", initial=1.0)
        equations = {ddt(x): -rate * x}
        events = [reset(rate, later, at=2.0)]
        outputs = {"amount": output(x, "1", "amount")}

    with pytest.raises(InputError, match="sets rate at an event"):
        solve(Reset, {}, [5.0], tangents=[name])
