"""Rounds: what a visit changes is what an event would have changed; what it may not do; how Ctrl-C is answered."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from livingdrug.engine.solve import Change, Crossing, Dose, Extreme, solve
from livingdrug.errors import InputError

TIMES = np.array([0.0, 1.0, 1.9, 2.0, 2.1, 3.0, 4.0, 7.0])
DAYS = [2.0, 4.0]
BY = np.array([0.5, 2.0, 0.0, 1.0])


def each(name, value):
    """A visit that sets one thing."""

    def visit(ward):
        ward[name] = value(ward)

    return visit


def compare(one, other, rel=1e-7):
    assert one.values == pytest.approx(other.values, rel=rel, abs=1e-9, nan_ok=True)
    assert one.final == pytest.approx(other.final, rel=rel, abs=1e-9)


def test_a_visit_that_changes_nothing_changes_nothing_that_matters(models):
    """The solve only stops there: the same course within a few tolerances."""
    compare(
        solve(models.Lotka, {"birth": [1.0, 1.1]}, TIMES, rounds=DAYS, visit=lambda ward: None, rtol=1e-10),
        solve(models.Lotka, {"birth": [1.0, 1.1]}, TIMES, rtol=1e-10),
    )


def test_states_set_at_a_round_are_as_by_an_event(models):
    parameters = {"before": np.array([50.0, 40, 30, 20])}
    at_round = solve(
        models.OneCompartment, parameters, TIMES, rounds=[2.0], visit=each("drug", lambda w: 7.0 * BY), rtol=1e-10
    )
    by_event = solve(models.OneCompartment, parameters, TIMES, doses=[Change("drug", 7.0 * BY, at=2.0)], rtol=1e-10)
    compare(at_round, by_event)
    assert at_round["concentration"][:, 3] == pytest.approx(0.7 * BY)  # on the day of the round: just after it


def test_states_multiplied_at_rounds_are_their_closed_form(models):
    parameters = {"before": np.array([50.0, 40, 30, 20])}
    found = solve(
        models.OneCompartment, parameters, TIMES, rounds=DAYS, visit=each("drug", lambda w: w["drug"] * BY), rtol=1e-10
    )
    rounds = (TIMES >= 2).astype(int) + (TIMES >= 4)
    expected = parameters["before"][:, None] / 10 * BY[:, None] ** rounds * np.exp(-0.2 * TIMES)
    assert found["concentration"] == pytest.approx(expected, rel=1e-8, abs=1e-9)


def test_parameters_set_at_a_round_are_as_by_a_change(models):
    clearance = np.array([1.0, 5.0, 0.0, 3.0])
    arguments = {"parameters": {"before": [50.0] * 4}, "times": TIMES, "rtol": 1e-10}
    compare(
        solve(models.OneCompartment, rounds=[2.0], visit=each("clearance", lambda w: clearance), **arguments),
        solve(models.OneCompartment, doses=[Change("clearance", clearance, at=2.0)], **arguments),
    )


def test_doses_given_at_a_round_are_as_if_known_before(models):
    at = np.array([2.0, 2.5, np.nan, 6.0])
    infusion = Dose("drug", 60.0, at=at + 0.3, duration=1.5)
    bolus = Dose("drug", 10.0, at=at, every=0.4, count=3)
    ready = Dose("drug", 0.0, at=0.0, duration=1.0)  # says that infusions will come
    arguments = {"parameters": {"before": [50.0] * 4}, "times": TIMES, "rtol": 1e-10}

    def visit(ward):
        if ward.number == 0:
            ward.give(infusion, bolus)

    compare(
        solve(models.OneCompartment, doses=[ready], rounds=DAYS, visit=visit, **arguments),
        solve(models.OneCompartment, doses=[ready, infusion, bolus], **arguments),
    )


def test_a_dose_of_before_goes_on_over_the_rounds(models):
    """An infusion from day 1 to day 5 is not given twice nor cut short, and repeats come once each."""
    doses = [Dose("drug", 60.0, at=1.0, duration=4.0), Dose("drug", 5.0, at=0.0, every=1.0, count=7)]
    compare(
        solve(models.OneCompartment, {}, TIMES, doses=doses, rounds=[2.0, 3.0, 4.0], visit=lambda w: None, rtol=1e-10),
        solve(models.OneCompartment, {}, TIMES, doses=doses, rtol=1e-10),
    )


def test_an_event_on_the_day_of_a_round_follows_the_visit(models):
    """The visit sees the patient before the dose of that day; both are in the value of that day."""
    seen = []

    def visit(ward):
        seen.append(ward["drug"].copy())
        ward["drug"] = 3.0

    found = solve(
        models.OneCompartment,
        {"before": 50.0},
        [2.0, 4.0],
        doses=[Dose("drug", 10.0, at=2.0)],
        rounds=[2.0],
        visit=visit,
        rtol=1e-9,
    )
    assert seen[0] == pytest.approx([50 * np.exp(-0.4)], rel=1e-7)
    assert found["concentration"][0] == pytest.approx([1.3, 1.3 * np.exp(-0.4)], rel=1e-7)


def test_what_a_visit_sees(models):
    seen = []

    def visit(ward):
        seen.append(
            (ward.number, ward.time, ward["x"].copy(), ward["turn"].copy(), ward["slope"].copy(), ward.running.copy())
        )

    solve(
        models.Switched,
        {"turn": [1.0, 3.0]},
        [7.0],
        outputs=["x"],
        rounds=[1.0, 2.5],
        visit=visit,
        rtol=1e-10,
        patient_ids=[4, 9],
    )
    (number, day, x, turn, slope, running), second = seen
    assert (number, day) == (0, 1.0)
    assert x == pytest.approx(np.exp([0.9, 0.9]), rel=1e-8)
    assert turn.tolist() == [1.0, 3.0]
    assert slope.tolist() == [-0.3, 0.9]  # on the day of the turn: just after it
    assert running.all()
    assert second[2] == pytest.approx(np.exp([0.9 - 0.45, 2.25]), rel=1e-8)


def test_permuted_patients_give_permuted_results(models):
    """The visit works on columns; patient k must get the same in any place."""

    def visit(ward):
        ward["prey"] = np.where(ward["predator"] > 5, 0.5, 1.5) * ward["prey"]
        ward["birth"] = ward["birth"] * (1 + 1e-3 * ward.patient_ids)
        ward.give(Dose("predator", 1.0, at=np.where(ward["prey"] > 3, ward.time + 0.5, np.nan)))

    birth, ids = np.linspace(0.5, 1.5, 60), np.arange(60) + 100
    order = np.random.default_rng(0).permutation(60)
    whole = solve(models.Lotka, {"birth": birth}, TIMES, rounds=DAYS, visit=visit, patient_ids=ids)
    mixed = solve(
        models.Lotka, {"birth": birth[order]}, TIMES, rounds=DAYS, visit=visit, patient_ids=ids[order], threads=3
    )
    assert np.array_equal(mixed.values, whole.values[order])


def test_rounds_at_the_start_the_end_and_beyond(models):
    """On day 0 before anything, on the last day still in the value there, beyond it with nobody running."""
    running = []

    def visit(ward):
        running.append(ward.running.tolist())
        ward["drug"] = ward["drug"] + 10.0

    found = solve(models.OneCompartment, {}, [0.0, 5.0], rounds=[0.0, 5.0, 9.0], visit=visit, rtol=1e-9)
    assert found["concentration"][0] == pytest.approx([1.0, np.exp(-1) + 1], rel=1e-7)
    assert running == [[True], [True], [False]]


def test_stop_ends_the_follow_up_then(models):
    """Outputs on the day of the stop are there, later ones are NaN, and the patient has not failed."""
    found = solve(
        models.OneCompartment,
        {"before": [50.0, 20.0]},
        TIMES,
        rounds=[2.0],
        visit=lambda w: w.stop(w["concentration"] > 2),
        rtol=1e-9,
    )
    assert not found.failed.any()
    assert found.time_reached == pytest.approx([2.0, 7.0])
    expected = np.array([[5.0], [2.0]]) * np.exp(-0.2 * TIMES)
    expected[0, TIMES > 2] = np.nan
    assert found["concentration"] == pytest.approx(expected, rel=1e-7, nan_ok=True)


def test_stopped_crossed_and_failed_patients_rest(models):
    """A visit after their end neither moves them nor is stopped by them."""
    watch = {"high": Crossing("size", above=50.0, stop=True)}
    rate = np.array([1.0, 0.4, 0.1])

    def visit(ward):
        ward["y"] = ward["y"] * 1.0
        ward["k"] = np.where(ward.running, 0.0, np.nan)  # values of those who rest are not looked at

    found = solve(models.Explosion, {"k": rate}, [0, 1.5, 9.0], rounds=[2.0], visit=visit, crossings=watch, rtol=1e-8)
    assert found.crossing_time["high"] == pytest.approx([0.98, np.nan, np.nan], rel=1e-6, nan_ok=True)
    assert found["size"][:, 2] == pytest.approx([np.nan, 5.0, 1.25], rel=1e-6, nan_ok=True)


def test_extremes_and_crossings_are_kept_over_rounds(models):
    """The second round makes the peak, the first crossing lies before both, the lowest value at the end."""
    found = solve(
        models.OneCompartment, {"before": 50.0}, [7.0], rtol=1e-9,
        rounds=DAYS, visit=each("drug", lambda w: w["drug"] + 20.0),
        extremes={"peak": Extreme("concentration"), "trough": Extreme("concentration", "min")},
        crossings={"below": Crossing("concentration", below=4.0)},
    )  # fmt: skip
    assert found.extreme["peak"][0][0] == pytest.approx(4.0)
    assert found.extreme["peak"][1][0] == pytest.approx((5 * np.exp(-0.4) + 2) * np.exp(-0.4) + 2, rel=1e-7)
    assert found.crossing_time["below"][0] == pytest.approx(np.log(5 / 4) / 0.2, rel=1e-7)
    assert found.extreme["trough"][0][0] == pytest.approx(7.0)


def test_streams_go_on_over_rounds(models):
    """A jump model with rounds keeps the law: chance of extinction on day 9 as Kendall has it for day 9 from day 0."""
    n = 8000
    found = solve(
        models.Clone, {"death": np.full(n, 0.5)}, [9.0], rounds=np.arange(1, 9, 0.5), visit=lambda w: None, seed=2
    )
    e = np.exp(0.2 * 9)
    expected = (0.5 * (1 - e) / (0.3 - 0.5 * e)) ** 20
    assert np.isfinite(found.extinct_time["cells"]).mean() == pytest.approx(
        expected, abs=4 * np.sqrt(expected * (1 - expected) / n)
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rounds": [2.0]}, "visit"),
        ({"visit": lambda w: None}, "rounds|days"),
        ({"rounds": [2.0, 2.0], "visit": lambda w: None}, "ascend"),
        ({"rounds": [np.nan], "visit": lambda w: None}, "finite"),
        ({"rounds": [2.0], "visit": each("drugg", lambda w: 1.0)}, "did you mean 'drug'"),
        ({"rounds": [2.0], "visit": lambda w: w["drugg"]}, "did you mean 'drug'"),
        ({"rounds": [2.0], "visit": each("drug", lambda w: np.nan)}, "row 0"),
        ({"rounds": [2.0], "visit": each("drug", lambda w: [1.0, np.inf])}, "row 1"),
        ({"rounds": [2.0], "visit": each("drug", lambda w: [1.0, 2.0, 3.0])}, "each of 2 patients"),
        ({"rounds": [2.0], "visit": each("concentration", lambda w: 1.0)}, "concentration"),
        ({"rounds": [2.0], "visit": lambda w: w.give(Dose("drug", 1.0, at=1.0))}, "before"),
        ({"rounds": [2.0], "visit": lambda w: w.give(Dose("drug", 1.0, at=3.0, duration=1.0))}, "amount=0"),
        ({"rounds": [2.0], "visit": lambda w: w.give(Dose("drg", 1.0, at=3.0))}, "did you mean 'drug'"),
    ],
)
def test_what_a_round_refuses(models, arguments, words):
    with pytest.raises(InputError, match=words):
        solve(models.OneCompartment, {"before": [1.0, 2.0]}, TIMES, **arguments)


def test_an_error_of_the_visit_comes_through(models):
    def visit(ward):
        raise ZeroDivisionError("the visit's own")

    with pytest.raises(ZeroDivisionError, match="the visit's own"):
        solve(models.OneCompartment, {}, TIMES, rounds=[2.0], visit=visit)


LONG = """
import sys, time
import numpy as np
from livingdrug.engine.solve import solve
from livingdrug.library import load_model

model = load_model("kirouac2023")
arguments = dict(outputs=["car_t_blood"], rtol=1e-12)
solve(model, {}, [1.0], **arguments)
print("ready", flush=True)
try:
    solve(model, {"dose": np.linspace(1e8, 2e8, 400_000)}, [1.0, 20_000.0], **arguments)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    solve(model, {}, [1.0], **arguments)  # the threads are kept and can be used again
"""


def hears_ctrl_c():
    """A process that was started in the background by a shell ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(threads, seconds):
    """How long a process that is that far into a solve of many minutes takes to answer SIGINT; it must end in order."""
    code = LONG.replace("rtol=1e-12", f"rtol=1e-12, threads={threads}")
    options = {"stdout": subprocess.PIPE, "text": True, "env": os.environ, "preexec_fn": hears_ctrl_c}
    with subprocess.Popen([sys.executable, "-c", code], **options) as child:
        assert child.stdout.readline().strip() == "ready"
        time.sleep(seconds)  # now it is inside the second solve
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        start = time.perf_counter()
        answer = child.stdout.readline().strip()
        waited = time.perf_counter() - start
        child.wait(timeout=10)
    assert answer == "interrupted"
    assert child.returncode == 0
    return waited


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_is_answered_within_half_a_second(threads):
    """Several times, since a crash would come by chance; the shortest wait counts, since the machine may be busy."""
    assert min(interrupted(threads, seconds) for seconds in (0.5, 0.7, 0.9)) < 0.5


def test_who_keeps_his_value_is_not_touched(models):
    """One patient of two gets a dose by assignment: the other's course is that of a solve in which nobody got one."""

    def visit(ward):
        ward["drug"] = ward["drug"] + np.where(ward.patient_ids == 1, 50.0, 0.0)

    options = {"rounds": [1.1, 2.3, 3.7], "patient_ids": [0, 1]}
    found = solve(models.OneCompartment, {}, TIMES, initial={"drug": [33.3, 33.3]}, visit=visit, **options)
    alone = solve(
        models.OneCompartment, {}, TIMES, initial={"drug": 33.3}, visit=lambda _: None, rounds=[1.1, 2.3, 3.7]
    )
    assert np.array_equal(found.values[0], alone.values[0])
    assert found.values[1, -1] > found.values[0, -1]
