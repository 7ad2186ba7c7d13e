"""One solve: its accuracy, its events, what it watches for, and what happens to a patient that cannot be solved."""

import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import expm
from scipy.special import lambertw

from livingdrug.engine.solve import TIGHT, Change, Crossing, Dose, Extreme, solve
from livingdrug.errors import DeclarationError, InputError, LivingDrugError
from livingdrug.model import Model, bolus, ddt, output, parameter, sqrt, state, time, where

CLEARANCE, VOLUME = 2.0, 10.0  # of OneCompartment, L/day and L
K = CLEARANCE / VOLUME


# -- accuracy ---------------------------------------------------------------------------------------------------------
def test_logistic_growth_is_its_closed_form(models):
    times = np.linspace(0, 60, 25)
    growth = np.array([0.2, 0.5, 0.9])
    found = solve(models.Logistic, {"growth": growth}, times, rtol=1e-10)["car_t_total"]
    expected = 1e6 / (1 + (1e6 / 10 - 1) * np.exp(-growth[:, None] * times))
    assert found == pytest.approx(expected, rel=1e-8)


def test_stiff_linear_chain_is_its_matrix_exponential(models):
    """expm of the rate matrix by SciPy; rates from 1000 to 0.01 per day."""
    matrix = np.array([[-1000, 3, 0], [1000, -6, 0.01], [0, 3, -0.01]])
    times = np.array([0, 1e-4, 1e-2, 1, 30, 900.0])
    found = solve(models.Chain, {}, times, outputs=["first", "second", "third"], rtol=1e-9)
    expected = np.array([expm(matrix * t) @ [1, 0, 2] for t in times])
    assert found.values[0] == pytest.approx(expected, rel=1e-7, abs=1e-12)
    assert found.steps[0] < 1000  # an explicit method would need 900 days * 1000 / 3


def test_robertson_is_that_of_radau(models, reference):
    times = np.array([0.4, 40, 4e3, 4e5])
    found = solve(models.Robertson, {}, times, outputs=["a", "b", "c"], rtol=1e-8)
    assert found.values[0] == pytest.approx(reference(models.Robertson, {}, times, rtol=1e-9, atol=1e-16), rel=2e-6)
    # the values of the test set for IVP solvers (Mazzia and Magherini 2008) at 4e5... are rounded there: a = 0.4939e-2
    assert found["a"][0, -1] == pytest.approx(4.94e-3, abs=5e-6)


def test_lotka_is_that_of_lsoda(models, reference):
    times = np.linspace(0, 50, 11)
    expected = reference(models.Lotka, {}, times, method="LSODA")
    found = solve(models.Lotka, {}, times, outputs=["prey", "predator", "both"], rtol=1e-10).values[0]
    assert found[:, :2] == pytest.approx(expected, rel=1e-7)
    assert found[:, 2] == pytest.approx(found[:, 0] + found[:, 1], rel=1e-14)


@pytest.mark.parametrize("rtol", [1e-3, 1e-5, TIGHT, 1e-9, 1e-11])
def test_a_tighter_tolerance_is_more_accurate(models, rtol):
    """Over 60 days of logistic growth the error stays within a hundred tolerances; each step may add one."""
    times = np.linspace(0, 60, 25)
    found = solve(models.Logistic, {}, times, rtol=rtol)["car_t_total"][0]
    assert found == pytest.approx(1e6 / (1 + (1e6 / 10 - 1) * np.exp(-0.5 * times)), rel=max(100 * rtol, 1e-9))


@pytest.mark.parametrize("rtol", [0.0, 1e-15, 0.2, -1e-6, np.nan, np.inf])
def test_a_tolerance_outside_its_bounds_is_refused(models, rtol):
    with pytest.raises(InputError, match="rtol"):
        solve(models.Logistic, {}, [1.0], rtol=rtol)


# -- doses and changes ------------------------------------------------------------------------------------------------
def amount(t, doses, k=K):
    """One compartment in closed form; doses are (amount, day, duration)."""
    total = np.zeros_like(t, dtype=float)
    for given, at, length in doses:
        if length == 0:
            total += np.where(t >= at, given * np.exp(-k * np.maximum(t - at, 0)), 0)
        else:
            during, after = np.clip(t - at, 0, length), np.maximum(t - at - length, 0)
            total += given / length / k * (1 - np.exp(-k * during)) * np.exp(-k * after)
    return total


TIMES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 7, 8, 12.0])


@pytest.mark.parametrize(
    ("doses", "course"),
    [
        ([Dose("drug", 100.0)], [(100, 0, 0)]),
        ([Dose("drug", 100.0, at=1.0)], [(100, 1, 0)]),
        ([Dose("drug", 100.0, at=1.0, lag=0.5)], [(100, 1.5, 0)]),
        ([Dose("drug", 60.0, at=1.0, duration=2.0)], [(60, 1, 2)]),
        ([Dose("drug", 60.0, at=1.0, duration=2.0, lag=1.0)], [(60, 2, 2)]),
        ([Dose("drug", 10.0, at=0.5, every=1.5, count=4)], [(10, 0.5 + 1.5 * k, 0) for k in range(4)]),
        ([Dose("drug", 10.0, duration=1.0, every=0.5, count=5)], [(10, 0.5 * k, 1) for k in range(5)]),  # they overlap
        ([Dose("drug", 5.0, at=2.0), Dose("drug", 7.0, at=2.0, duration=1.0)], [(5, 2, 0), (7, 2, 1)]),
        ([Dose("drug", 5.0, at=np.nan), Dose("drug", 7.0, at=2.0)], [(7, 2, 0)]),  # NaN: this patient gets none
        ([Dose("drug", 5.0, at=100.0)], []),
    ],
)
def test_doses_are_their_closed_form(models, doses, course):
    """Superposition of exponentials; on the day of a bolus the value is that just after it."""
    solution = solve(models.OneCompartment, {}, TIMES, doses=doses, rtol=1e-10)
    assert solution["concentration"][0] == pytest.approx(amount(TIMES, course) / VOLUME, rel=1e-8, abs=1e-9)
    assert solution.units == ("mg/L",)


def test_each_patient_has_doses_of_its_own(models):
    at, length = np.array([0.0, 1.0, np.nan, 2.5]), np.array([0.0, 2.0, 0.0, 0.7])
    dose = Dose("drug", [10.0, 20.0, 30.0, 40.0], at=at, duration=length)
    found = solve(models.OneCompartment, {}, TIMES, doses=[dose], rtol=1e-10)["concentration"]
    for k in range(4):
        course = [] if np.isnan(at[k]) else [(10.0 * (k + 1), at[k], length[k])]
        assert found[k] == pytest.approx(amount(TIMES, course) / VOLUME, rel=1e-8, abs=1e-9)


def test_two_half_doses_at_one_instant_are_one_dose(models):
    whole = solve(models.OneCompartment, {}, TIMES, doses=[Dose("drug", 100.0, at=1.0)])
    halves = solve(models.OneCompartment, {}, TIMES, doses=[Dose("drug", 50.0, at=1.0)] * 2)
    assert np.array_equal(whole.values, halves.values)


def test_a_dose_at_the_last_output_time_is_in_the_value_there(models):
    """A value at the time of an event is the one just after it, also at the end of the solve."""
    found = solve(models.OneCompartment, {}, [0.0, 2.0], doses=[Dose("drug", 100.0, at=2.0)])
    assert found["concentration"][0] == pytest.approx([0.0, 10.0])
    found = solve(models.OneCompartment, {}, [0.0, 2.0], doses=[Dose("drug", 100.0), Change("drug", 30.0, at=2.0)])
    assert found["concentration"][0] == pytest.approx([10.0, 3.0])


def test_a_reset_sets_a_state(models):
    doses = [Dose("drug", 100.0), Change("drug", 30.0, at=4.0)]
    found = solve(models.OneCompartment, {}, TIMES, doses=doses, rtol=1e-10)["concentration"][0]
    expected = np.where(TIMES < 4, amount(TIMES, [(100, 0, 0)]), amount(TIMES, [(30, 4, 0)])) / VOLUME
    assert found == pytest.approx(expected, rel=1e-8)


def test_a_covariate_that_changes_in_time(models):
    """Clearance 2, from day 1 on 5, from day 3 on 0.5 L/day: the exponents add up piece by piece."""
    changes = [Change("clearance", 5.0, at=1.0), Change("clearance", [0.5, 8.0], at=[3.0, np.nan])]
    found = solve(models.OneCompartment, {}, TIMES, doses=[Dose("drug", 100.0), *changes], rtol=1e-10)["concentration"]
    first, second, third = np.minimum(TIMES, 1), np.clip(TIMES - 1, 0, 2), np.maximum(TIMES - 3, 0)
    for k, last in enumerate((0.5, 5.0)):
        exponent = (2 * first + 5 * second + last * third) / VOLUME
        assert found[k] == pytest.approx(10 * np.exp(-exponent), rel=1e-8)


def test_events_at_one_time_keep_their_order(models):
    """A reset to 0 followed by a dose leaves the dose; the other way round nothing is left."""
    dose, wipe = Dose("drug", 100.0, at=1.0), Change("drug", 0.0, at=1.0)
    assert solve(models.OneCompartment, {}, [1.0, 2], doses=[wipe, dose])["concentration"][0, 0] == pytest.approx(10)
    assert solve(models.OneCompartment, {}, [1.0, 2], doses=[dose, wipe])["concentration"][0, 0] == 0


def test_events_of_the_model_are_their_closed_form(models):
    """Bolus and infusion at days that are parameters, different in each patient."""
    day, length = np.array([0.0, 1.0, 2.0, 6.0]), np.array([1.5, 0.25, 4.0, 1.5])
    found = solve(models.Treated, {"dose_day": day, "infusion_length": length}, TIMES, rtol=1e-10)["concentration"]
    for k in range(4):
        expected = amount(TIMES, [(20, 0, 0), (100, day[k], 0), (60, 2, length[k])]) / VOLUME
        assert found[k] == pytest.approx(expected, rel=1e-8)


def test_a_switch_at_a_day_that_differs_per_patient(models):
    """where(time < turn, ...): exact in each patient, right-continuous, before the start and after the end too."""
    turn = np.array([3.0, 0.0, 1.0, 4.75, 100.0])
    found = solve(models.Switched, {"turn": turn}, TIMES, outputs=["x", "slope"], rtol=1e-11)
    up, down = np.minimum(TIMES, turn[:, None]), np.maximum(TIMES - turn[:, None], 0)
    assert found["x"] == pytest.approx(np.exp(0.9 * up - 0.3 * down), rel=1e-9)
    assert np.array_equal(found["slope"], np.where(turn[:, None] > TIMES, 0.9, -0.3))
    assert found.rejected.max() <= 2  # the switch is a stop, not a place where steps fail


@pytest.mark.parametrize(
    ("dose", "words"),
    [
        (Dose("drugg", 1.0), "did you mean 'drug'"),
        (Dose("drugg", 1.0, duration=1.0), "did you mean 'drug'"),
        (Dose("drug", -1.0), "must not be negative"),
        (Dose("drug", np.nan), "row 0"),
        (Dose("drug", [1.0, np.inf]), "row 1"),
        (Dose("drug", 1.0, at=-1.0), "before the start"),
        (Dose("drug", 1.0, at=3.0, lag=-5.0), "before the start|lag must not be negative"),
        (Dose("drug", 1.0, duration=-1.0), "must not be negative"),
        (Dose("drug", 1.0, count=3), "interval above 0"),
        (Dose("drug", 1.0, count=0), "at least 1"),
        (Change("clearanse", 1.0, at=1.0), "did you mean 'clearance'"),
        (Change("clearance", np.nan, at=1.0), "row 0"),
        (Change("clearance", 1.0, at=-1.0), "before the start"),
    ],
)
def test_doses_that_cannot_be_given(models, dose, words):
    with pytest.raises(InputError, match=words):
        solve(models.OneCompartment, {"clearance": [2.0, 2.0]}, [0, 5.0], doses=[dose])


def test_an_amount_that_depends_on_a_state_works_or_is_refused(models):
    """The declaration lets a bolus depend on a state; a solve must not end in an error from inside."""
    try:

        class Doubled(Model):
            """On day 2 the drug doubles."""

            k = parameter(0.1, "1/day", "rate")
            drug = state("mg", "drug", initial=5.0)
            equations = {ddt(drug): -k * drug}
            events = [bolus(drug, drug * 1.0, at=2.0)]
            outputs = {"left": output(drug, "mg", "drug left")}

        found = solve(Doubled, {}, [1.0, 4.0], rtol=1e-10)["left"][0]
    except (DeclarationError, InputError):
        return
    assert found == pytest.approx([5 * np.exp(-0.1), 10 * np.exp(-0.4)])


# -- crossings --------------------------------------------------------------------------------------------------------
def test_crossings_of_logistic_growth(models):
    """t = log((K/x0 - 1) / (K/level - 1)) / r."""
    level = np.array([20.0, 1e4, 9e5, 2e6])
    watch = {"up": Crossing("car_t_total", above=level)}
    found = solve(models.Logistic, {"growth": [0.5] * 4}, [60.0], crossings=watch, rtol=1e-10).crossing_time["up"]
    assert found[:3] == pytest.approx(np.log((1e5 - 1) / (1e6 / level[:3] - 1)) / 0.5, rel=1e-8)
    assert np.isnan(found[3])  # above the capacity: never


def test_crossing_downward_and_stop(models):
    """First below half of the dose: log(2) / k; the solve ends there and later outputs are NaN."""
    clearance = np.array([1.0, 2.0, 4.0])
    half = np.log(2) / (clearance / VOLUME)
    watch = {"half": Crossing("concentration", below=5.0, stop=True)}
    found = solve(
        models.OneCompartment,
        {"clearance": clearance},
        [0, 1, 2, 3, 5.0],
        doses=[Dose("drug", 100.0)],
        crossings=watch,
        rtol=1e-10,
    )
    assert found.crossing_time["half"] == pytest.approx(np.where(half <= 5, half, np.nan), rel=1e-8, nan_ok=True)
    assert found.time_reached == pytest.approx(np.minimum(half, 5), rel=1e-8)
    expected = 10 * np.exp(-clearance[:, None] / VOLUME * found.times)
    expected[found.times > half[:, None]] = np.nan
    assert found["concentration"] == pytest.approx(expected, rel=1e-8, nan_ok=True)
    assert not found.failed.any()  # stopping where asked is no failure
    assert found.final[2, 0] / models.OneCompartment.states["drug"].factor == pytest.approx(50.0)


@pytest.mark.parametrize(("word", "level"), [("above", 5.0), ("below", 20.0)])
@pytest.mark.parametrize("stop", [False, True])
def test_a_level_already_passed_at_the_start_is_crossed_there(models, word, level, stop):
    watch = {"now": Crossing("car_t_total", **{word: level}, stop=stop)}
    found = solve(models.Logistic, {}, [0.0, 9.0], crossings=watch)
    assert found.crossing_time["now"][0] == 0
    assert found["car_t_total"][0, 0] == 10
    assert np.isnan(found["car_t_total"][0, 1]) == stop


def test_a_level_leapt_over_by_a_dose_is_crossed_at_the_dose(models):
    watch = {"above": Crossing("concentration", above=5.0)}
    found = solve(models.OneCompartment, {}, [0, 9.0], doses=[Dose("drug", 100.0, at=3.3)], crossings=watch)
    assert found.crossing_time["above"][0] == pytest.approx(3.3, abs=1e-12)


def test_only_the_first_crossing_counts(models):
    """sin(w t) first reaches 0.5 at pi / (6 w), and again one turn later."""
    w = np.linspace(0.3, 4, 40)
    found = solve(models.Swing, {"w": w}, [30.0], crossings={"up": Crossing("x", above=0.5)}, rtol=1e-9)
    assert found.crossing_time["up"] == pytest.approx(np.pi / 6 / w, rel=1e-7)


@pytest.mark.parametrize("level", [0.99, 0.9999, 0.999999])
def test_a_crossing_that_comes_and_goes_inside_one_step(models, level):
    """sin(w t) is above the level for 2 acos(level) / w only, far less than a step; this must not be missed."""
    w = np.linspace(0.3, 4, 200)
    found = solve(models.Swing, {"w": w}, [30.0], crossings={"up": Crossing("x", above=level)})
    assert found.crossing_time["up"] == pytest.approx(np.arcsin(level) / w, rel=1e-2)


def test_no_crossing_is_reported_after_a_stop(models):
    """Both levels lie in one long step (loose tolerance); the solve ends at the lower one."""
    watch = {"higher": Crossing("car_t_total", above=1.2e4), "lower": Crossing("car_t_total", above=1.1e4, stop=True)}
    found = solve(models.Logistic, {}, [60.0], crossings=watch, rtol=1e-2)
    assert found.crossing_time["lower"][0] == pytest.approx(found.time_reached[0])
    assert np.isnan(found.crossing_time["higher"][0])


def test_crossings_that_make_no_sense(models):
    for crossing in (Crossing("car_t_total"), Crossing("car_t_total", above=1.0, below=2.0)):
        with pytest.raises(InputError, match="exactly one of above and below"):
            solve(models.Logistic, {}, [1.0], crossings={"x": crossing})
    with pytest.raises(InputError, match="did you mean 'car_t_total'"):
        solve(models.Logistic, {}, [1.0], crossings={"x": Crossing("car_t_totl", above=1.0)})
    with pytest.raises(InputError, match="level"):
        solve(models.Logistic, {}, [1.0], crossings={"x": Crossing("car_t_total", above=np.nan)})


# -- extremes ---------------------------------------------------------------------------------------------------------
def test_peak_and_nadir_of_an_oscillator(models):
    """sin is 1 first at pi/2 and -1 first at 3 pi/2; its square is 0 at the start and 1 at pi/2."""
    w = np.linspace(0.5, 2, 20)
    watch = {"peak": Extreme("x"), "nadir": Extreme("x", "min"), "square": Extreme("square", "max")}
    times = np.stack([np.zeros(20), 5.5 / w], axis=1)  # less than one turn: both extremes occur once
    found = solve(models.Swing, {"w": w}, times, extremes=watch, rtol=1e-9).extreme
    assert found["peak"][0] == pytest.approx(np.pi / 2 / w, rel=1e-6)
    assert found["peak"][1] == pytest.approx(np.ones(20), rel=1e-7)
    assert found["nadir"][0] == pytest.approx(3 * np.pi / 2 / w, rel=1e-6)
    assert found["nadir"][1] == pytest.approx(-np.ones(20), rel=1e-7)
    assert found["square"][1] == pytest.approx(np.ones(20), rel=1e-7)


def test_extremes_at_the_ends_and_at_doses(models):
    """An infusion peaks as it ends; its lowest value is at the start, that after a bolus at the end."""
    watch = {"peak": Extreme("concentration"), "trough": Extreme("concentration", "min")}
    doses = [Dose("drug", 60.0, at=[1.0, np.nan], duration=2.0), Dose("drug", 100.0, at=[np.nan, 0.0])]
    found = solve(models.OneCompartment, {}, [9.0], doses=doses, extremes=watch, rtol=1e-10).extreme
    assert found["peak"][0] == pytest.approx([3.0, 0.0])
    assert found["peak"][1] == pytest.approx([30 / K * (1 - np.exp(-2 * K)) / VOLUME, 10.0], rel=1e-8)
    assert found["trough"][1] == pytest.approx([0.0, 10 * np.exp(-9 * K)], rel=1e-8, abs=1e-12)
    assert found["trough"][0][1] == pytest.approx(9.0)


def test_a_peak_ends_with_a_stop(models):
    """The highest value of logistic growth that is stopped at 1000 cells is 1000 cells."""
    found = solve(
        models.Logistic,
        {},
        [60.0],
        crossings={"up": Crossing("cells", above=1000.0, stop=True)},
        extremes={"peak": Extreme("cells")},
    )
    assert found.extreme["peak"][1][0] == pytest.approx(1000.0, rel=1e-9)
    assert found.extreme["peak"][0][0] == pytest.approx(found.crossing_time["up"][0])


def test_a_kind_of_extreme_that_does_not_exist(models):
    with pytest.raises(InputError, match="did you mean 'min'"):
        solve(models.Logistic, {}, [1.0], extremes={"x": Extreme("cells", "mim")})


# -- times ------------------------------------------------------------------------------------------------------------
def logistic(t):
    return 1e6 / (1 + (1e6 / 10 - 1) * np.exp(-0.5 * np.asarray(t)))


@pytest.mark.parametrize("times", [[0.0], [0.0, 0.0], [7.0], 7.0, [0, 5, 5, 5, 9], [1e-12, 3.0], np.arange(6)])
def test_times_at_zero_repeated_single_or_whole(models, times):
    found = solve(models.Logistic, {}, times, rtol=1e-9)
    assert found.times.shape == np.atleast_1d(times).shape
    assert found["car_t_total"][0] == pytest.approx(np.atleast_1d(logistic(times)), rel=1e-7)


def test_times_of_each_patient(models):
    times = np.array([[0, 3, 7.0], [1, 1, 40], [5, 6, 6]])
    found = solve(models.Logistic, {"growth": [0.5] * 3}, times, rtol=1e-9)
    assert found["car_t_total"] == pytest.approx(logistic(times), rel=1e-7)
    assert found.time_reached == pytest.approx([7, 40, 6])


def test_times_before_zero_start_the_solve_there(models):
    found = solve(models.Logistic, {}, [-4.0, 0.0, 2.0], rtol=1e-9)["car_t_total"][0]
    assert found == pytest.approx(logistic([0, 4, 6]), rel=1e-7)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([2.0, 1.0], "must ascend, but 1 day follows 2 day"), ([], "at least one time"), ([np.nan], "finite"),
        ([0, np.inf], "finite"), (["day"], "numbers in days"), (None, "finite|numbers"), (np.zeros((2, 3, 4)), "shape"),
        (np.zeros((2, 3)), "shape"),
    ],
)  # fmt: skip
def test_times_that_cannot_be_used(models, times, words):
    with pytest.raises(InputError, match=words):
        solve(models.Logistic, {}, times)


# -- bad input --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0])
def test_a_wrong_parameter_names_its_row(models, wrong):
    with pytest.raises(InputError, match=r"growth.*row 2"):
        solve(models.Logistic, {"growth": [0.1, 0.2, wrong, 0.3]}, [1.0])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -5.0])
def test_a_wrong_initial_state_names_its_row(models, wrong):
    """Negative cells too."""
    with pytest.raises(InputError, match=r"cells.*row 1"):
        solve(models.Logistic, {}, [1.0], initial={"cells": [10.0, wrong]})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"parameters": {"groth": 1.0}}, "did you mean 'growth'"),
        ({"parameters": {"growth": "fast"}}, "growth"),
        ({"parameters": {"growth": [0.1, 0.2], "start": [1.0, 2, 3]}}, "different lengths|one value per patient"),
        ({"initial": {"cels": 1.0}}, "did you mean 'cells'"),
        ({"outputs": ["car_t_totl"]}, "did you mean 'car_t_total'"),
        ({"patient_ids": [1.5]}, "patient_ids"),
        ({"patient_ids": [-1]}, "patient_ids"),
        ({"patient_ids": [[1]]}, "patient_ids|lengths"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"tangents": ["groth"]}, "did you mean 'growth'"),
        ({"tangents": ["initial:cels"]}, "initial:cells"),
        ({"rtol": "tight"}, "rtol"),
        ({"threads": "two"}, "threads"),
        ({"lanes": 3}, "lanes"),
    ],
)
def test_bad_arguments_are_input_errors(models, arguments, words):
    parameters = arguments.pop("parameters", {})
    with pytest.raises(InputError, match=words):
        solve(models.Logistic, parameters, [1.0], **arguments)


# -- patients that cannot be solved -----------------------------------------------------------------------------------
def test_a_patient_that_explodes_is_marked_and_leaves_the_others_alone(models):
    """y' = k y^2 is infinite on day 1/k; the others are y = 1 / (1 - k t)."""
    rate = np.array([0.1, 1.0, 0.2, 0.5, 0.05] * 5)
    times = np.array([0, 0.5, 0.9, 1.5, 3.0])
    found = solve(models.Explosion, {"k": rate}, times, rtol=1e-9)
    explodes = 1 / rate <= 3
    assert np.array_equal(found.failed, explodes)
    for failure in found.failures():
        assert failure.time_reached == pytest.approx(1 / rate[failure.row], rel=1e-5)
        assert failure.worst_state == "y"
        assert failure.reason in {"the step became too small", "the linear system stayed singular"}
        assert failure.patient == failure.row
    expected = 1 / (1 - rate[:, None] * times)
    expected[times >= 1 / rate[:, None]] = np.nan
    assert found["size"] == pytest.approx(expected, rel=1e-6, nan_ok=True)
    calm = solve(models.Explosion, {"k": rate[~explodes]}, times, rtol=1e-9, patient_ids=np.flatnonzero(~explodes))
    assert np.array_equal(calm.values, found.values[~explodes])


def test_a_start_that_is_not_finite_is_marked(models):
    class Shared(Model):
        """Starts at 5 divided by a parameter that may be zero."""

        share = parameter(1.0, "1", "divisor")
        x = state("1", "quantity", initial=5 / share)
        equations = {ddt(x): 0 * x}
        outputs = {"quantity": output(x, "1", "quantity")}

    found = solve(Shared, {"share": [1.0, 0.0, 2.0]}, [0.0, 1.0])
    assert found["quantity"] == pytest.approx(np.array([[5, 5], [np.nan] * 2, [2.5, 2.5]]), nan_ok=True)
    (failure,) = found.failures()
    assert (failure.row, failure.worst_state, failure.reason)[:2] == (1, "x")
    assert failure.reason.startswith("the start is not finite")

    def visit(ward):  # the patient that failed must not stand in the way of the others
        ward["x"] = ward["x"] * 2

    found = solve(Shared, {"share": [1.0, 0.0, 2.0]}, [0.0, 2.0], rounds=[1.0], visit=visit)
    assert found["quantity"][[0, 2], 1] == pytest.approx([10, 5])


def test_a_rate_that_becomes_undefined_is_marked(models):
    """x' = -1/x from 1 reaches 0 on day 1/2 as sqrt(1 - 2 t) and has no solution beyond."""

    class Vanishing(Model):
        """Falls ever faster."""

        speed = parameter(1.0, "1/day", "speed")
        x = state("1", "quantity", initial=1.0)
        equations = {ddt(x): -speed / x}
        outputs = {"quantity": output(x, "1", "quantity")}

    found = solve(Vanishing, {"speed": [1.0, 0.1]}, [0.0, 0.25, 2.0], rtol=1e-8)
    assert found["quantity"] == pytest.approx(
        np.array([[1, np.sqrt(0.5), np.nan], [1, np.sqrt(0.95), np.sqrt(0.6)]]), rel=1e-6, nan_ok=True
    )
    (failure,) = found.failures()
    assert failure.row == 0
    assert failure.time_reached == pytest.approx(0.5, abs=1e-4)


def test_a_singular_pivot_rejects_the_step_and_goes_on():
    """x' = 1 + g x at the step where 1/(h gamma) = g has a pivot of exactly 0: the step is halved, the result is exact.

    The first step of the engine is 0.01 day, so g = 1 / (0.01 gamma).
    """
    from livingdrug.engine.run import FIRST_STEP
    from livingdrug.engine.tableau import GAMMA

    class Unstable(Model):
        """Grows away from -1/g."""

        g = parameter(1.0, "1/day", "growth")
        push = parameter(1.0, "1/day", "push")
        x = state("1", "quantity", initial=0.0)
        equations = {ddt(x): push + g * x}
        outputs = {"quantity": output(x, "1", "quantity")}

    g = 1 / (FIRST_STEP * GAMMA)
    found = solve(Unstable, {"g": [g, g * (1 + 1e-12), 0.5]}, [0.02], rtol=1e-8)
    assert found["quantity"][:2, 0] == pytest.approx(np.expm1(0.02 * g) / g, rel=1e-5)
    assert found["quantity"][2, 0] == pytest.approx(np.expm1(0.01) / 0.5, rel=1e-8)
    assert not found.failed.any()
    assert found.rejected[0] >= 1


def test_a_power_below_one_at_zero(models):
    """x' = x^(1/2) from 0 may stay at 0; x' = 1 - x^(1/2)/2 leaves it: u + 2 log(1 - u/2) = -t/4 with u = sqrt(x)."""

    class Root(Model):
        """A rate with infinite slope at the start."""

        half = parameter(0.5, "1", "exponent")
        per = parameter(1.0, "1/day", "rate")
        x = state("1", "quantity", floor=1e-9)
        equations = {ddt(x): per * (1 - x**half / 2)}
        outputs = {"quantity": output(x, "1", "quantity")}

    times = np.array([0.01, 0.3, 1, 5, 20.0])
    found = solve(Root, {}, times, rtol=1e-9)
    # dx = 2u du, so t = int 2u/(1 - u/2) du = -4u - 8 log(1 - u/2); with v = 1 - u/2 this is v exp(-v) = exp(-1 - t/8)
    v = -lambertw(-np.exp(-1 - times / 8)).real
    assert found["quantity"][0] == pytest.approx((2 * (1 - v)) ** 2, rel=1e-6)
    assert not found.failed.any()


@pytest.mark.parametrize(
    ("root", "exponent"), [(sqrt, 0.5), (lambda x: x**0.5, 0.5), (lambda x: x**0.3, 0.3)], ids=["sqrt", "0.5", "0.3"]
)
def test_a_root_in_the_rate_lets_a_state_leave_zero(root, exponent):
    """x' = 1 + x^p from 0 takes the time int dx / (1 + x^p), here by quadrature; it must not stay at 0."""

    class Leaving(Model):
        """A rate whose slope is infinite at the start."""

        per = parameter(1.0, "1/day", "rate")
        x = state("1", "quantity", floor=1e-9)
        equations = {ddt(x): per * (1 + root(x))}
        outputs = {"quantity": output(x, "1", "quantity")}

    times = np.array([1e-6, 1e-3, 1.0, 10.0])
    found = solve(Leaving, {}, times, rtol=1e-7)
    assert not found.failed.any()
    took = [quad(lambda x: 1 / (1 + x**exponent), 0, end, epsabs=0, epsrel=1e-10)[0] for end in found["quantity"][0]]
    assert took == pytest.approx(times, rel=1e-5)


def test_small_numbers_cost_no_more_steps_than_large_ones():
    """u' = -u^1.7 in another unit: x = small * u has the rate small^(-0.7) and must take as many steps."""

    class Scaled(Model):
        """A power law, to be scaled."""

        rate = parameter(1.0, "1/day", "rate")
        p = parameter(1.7, "1", "exponent")
        start = parameter(1.0, "1", "start")
        x = state("1", "quantity", initial=start, floor=1e-30)
        equations = {ddt(x): -rate * x**p}
        outputs = {"quantity": output(x, "1", "quantity")}

    start = 10.0 ** np.array([0, -3, -5, -7, -9, -12, -20])
    found = solve(Scaled, {"start": start, "rate": start**-0.7}, [1.0, 100.0], rtol=1e-8)
    expected = (1 + 0.7 * np.array([1.0, 100])) ** (-1 / 0.7)
    assert found["quantity"] / start[:, None] == pytest.approx(np.tile(expected, (7, 1)), rel=1e-6)
    assert found.steps.max() <= 1.1 * found.steps[0]


def test_sums_that_the_equations_keep_are_kept(models):
    """Mass balance: a Rosenbrock step keeps every linear invariant to rounding, whatever the tolerance."""
    for model, total in ((models.Chain, 3.0), (models.Robertson, 1.0)):
        found = solve(model, {}, [0.1, 10.0, 1000.0], outputs=[*model.states], rtol=1e-3)
        assert found.values.sum(axis=2) == pytest.approx(np.full((1, 3), total), rel=1e-10)


# -- what a solution says ---------------------------------------------------------------------------------------------
def test_a_solution_says_what_it_holds(models):
    found = solve(models.Lotka, {"birth": [1.0, 1.1]}, [0, 1.0], patient_ids=[7, 12])
    assert found.values.shape == (2, 2, 1)
    assert found.outputs == ("both",)
    assert found.states == ("prey", "predator")
    assert found.final.shape == (2, 2)
    assert found.patient_ids.tolist() == [7, 12]
    assert found.failures() == []
    with pytest.raises(InputError, match="did you mean 'both'"):
        found["botth"]
    labelled = found.to_xarray()
    assert labelled["both"].sel(patient=12, time=1.0) == found["both"][1, 1]
    assert labelled["both"].attrs["unit"] == "1"


def test_no_patients_is_no_error(models):
    found = solve(models.Logistic, {"growth": np.zeros(0)}, [0, 1.0])
    assert found.values.shape == (0, 2, 1)


def test_errors_of_the_engine_are_of_the_package():
    assert issubclass(InputError, LivingDrugError)


def test_a_condition_on_a_state_is_followed_by_the_error_control():
    """Growth by 1/day below 100 cells, then none: x = min(10 exp(t), 100), by hand."""

    class Ceiling(Model):
        """Growth that ends at a ceiling."""

        cells = state("cell", "cells", initial=10.0)
        growth = parameter(1.0, "1/day", "growth")
        ceiling = parameter(100.0, "cell", "ceiling")
        equations = {ddt(cells): where(cells < ceiling, growth * cells, 0)}
        outputs = {"tumour_cells": cells}

    times = np.array([0.0, 1.0, 2.0, 3.0, 5.0])
    found = solve(Ceiling, {}, times, rtol=1e-8)
    assert found.status[0] == 0
    np.testing.assert_allclose(found["tumour_cells"][0], np.minimum(10 * np.exp(times), 100), rtol=1e-4)


def test_an_infusion_of_the_model_that_lasts_no_time_is_a_bolus(models):
    """Patients of one cohort: 60 mg over 1.5 days, and at once; the second is the closed form of two boluses."""
    times = np.array([0.0, 1.0, 1.5, 2.0, 3.0, 5.0])
    found = solve(models.Treated, {"infusion_length": [1.5, 0.0]}, times, rtol=1e-10)
    assert not found.failed.any()
    rate = 0.2  # 2 L/day / 10 L
    boluses = [(20.0, 0.0), (100.0, 1.0), (60.0, 2.0)]
    expected = [sum(mg * np.exp(-rate * (t - at)) for mg, at in boluses if t >= at) / 10 for t in times]
    assert found["concentration"][1] == pytest.approx(expected, rel=1e-9)
    alone = solve(models.Treated, {"infusion_length": 1.5}, times, rtol=1e-10)
    assert np.array_equal(alone["concentration"][0], found["concentration"][0])


def test_a_switch_that_stands_in_an_output_only():
    """The output follows the day; so do a crossing and an extreme of it."""

    class Seen(Model):
        level = state("1", "something that stays", initial=2.0)
        k = parameter(1.0, "1/day", "rate")
        equations = {ddt(level): 0 * k * level}
        outputs = {
            "seen": output(where(time > 8, 3, 1) * level, "1", "seen"),
            "rare": output(where(time > 4, 5, 1) * level, "1", "watched but not asked for"),
        }

    found = solve(
        Seen, {}, [0.0, 7.9, 8.0, 9.0], outputs=["seen"],
        extremes={"most": Extreme("rare", "max")}, crossings={"up": Crossing("rare", above=9.0)},
    )  # fmt: skip
    assert found["seen"][0].tolist() == [2.0, 2.0, 6.0, 6.0]
    assert found.extreme["most"][1][0] == 10.0
    assert found.crossing_time["up"][0] == pytest.approx(4.0)


# -- threads ----------------------------------------------------------------------------------------------------------
GROWTH = np.linspace(0.2, 0.9, 64)


def grown(models, threads=2):
    return solve(models.Logistic, {"growth": GROWTH}, [30.0], threads=threads)["car_t_total"]


def test_several_threads_of_the_caller_solve_at_once(models):
    alone = grown(models)
    with ThreadPoolExecutor(4) as callers:
        for found in callers.map(lambda k: grown(models, 1 + k % 3), range(40)):
            assert np.array_equal(found, alone)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are not forked")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_solves_too(models):
    """The threads that a solve keeps do not survive a fork: the child must not wait for them."""
    alone = grown(models)
    child = get_context("fork").Process(target=lambda: sys.exit(0 if np.array_equal(grown(models), alone) else 3))
    child.start()
    child.join(30)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0
