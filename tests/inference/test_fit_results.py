"""What a fit returns and refuses: verdicts, summaries, checkpoints, draws, and messages for bad input."""

from __future__ import annotations

import json
import math
import runpy
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from livingdrug.errors import FitError, InputError
from livingdrug.inference.closed_form import ClosedForm, one_compartment_oral, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.engine_model import EngineModel
from livingdrug.inference.estimation import fit
from livingdrug.inference.limits import treat
from livingdrug.inference.nodes import Nodes
from livingdrug.inference.problem import Problem
from livingdrug.inference.residual import additive, combined, log_additive, proportional, student_t
from livingdrug.inference.result import FitResult
from livingdrug.inference.saem import SaemSettings
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel, power_effect
from livingdrug.library import load_model
from livingdrug.model import exp, lognormal, normal, time

SHORT = SaemSettings(40, 40, chains=4)


def decline(residual: object = None, **more: object) -> StatisticalModel:
    start, rate = symbols("start", "rate")
    parameters = {"start": Estimate(7.0, lognormal(0.2)), "rate": Estimate(0.3, lognormal(0.4)), **more}
    return StatisticalModel(
        ClosedForm("decline", start * exp(-rate * time)), parameters, Endpoint("value", residual or proportional(0.2))
    )


def declines(subjects: int = 30, **columns: object) -> EventData:
    random = np.random.default_rng(7)
    subject, t = np.repeat(np.arange(subjects), 5), np.tile([0.5, 1.0, 2.0, 4.0, 7.0], subjects)
    start = 8 * np.exp(0.3 * random.standard_normal(subjects))[subject]
    rate = 0.4 * np.exp(0.3 * random.standard_normal(subjects))[subject]
    value = start * np.exp(-rate * t) * (1 + 0.15 * random.standard_normal(5 * subjects))
    return EventData.from_arrays(ids=range(subjects), subject=subject, time=t, value=value, **columns)


@pytest.fixture(scope="module")
def fitted() -> FitResult:
    return fit(decline(), declines(), "focei")


def test_the_summary_says_what_a_reader_needs(fitted: FitResult) -> None:
    text = fitted.summary()
    for word in (
        "FOCEI, CONVERGED",
        "M3",
        "ln(2 pi)",
        "sd(rate)",
        "RSE",
        "shrinkage",
        "condition number",
        "AIC",
        "BIC",
    ):
        assert word in text, word
    assert fitted.objective_ == pytest.approx(fitted.minus2ll_ - 150 * math.log(2 * math.pi))
    assert fitted.aic_ == pytest.approx(fitted.minus2ll_ + 10)
    assert fitted.bic_("subjects") == pytest.approx(fitted.minus2ll_ + 5 * math.log(30))
    assert fitted.bic_("observations") == pytest.approx(fitted.minus2ll_ + 5 * math.log(150))
    # mixed: start, rate and the two spreads count subjects, the residual counts observations
    assert fitted.bic_("mixed") == pytest.approx(fitted.minus2ll_ + 4 * math.log(30) + math.log(150))
    assert fitted.to_frame().loc["rate", "rse_percent"] == pytest.approx(
        100 * fitted.standard_errors_["rate"] / fitted.estimates_["rate"]  # type: ignore[index]
    )


def test_standard_errors_of_three_kinds_are_alike_where_the_model_is_right() -> None:
    data = declines(120)
    found = [fit(decline(), data, "focei", standard_errors=kind) for kind in ("information", "scores", "sandwich")]
    for name in ("start", "rate", "b"):
        errors = [one.standard_errors_[name] for one in found]  # type: ignore[index]
        assert max(errors) < 1.5 * min(errors), name
        assert len(set(errors)) == 3


def test_a_fit_that_was_stopped_never_prints_as_converged() -> None:
    for method in ("saem", "focei", "quadrature"):
        found = fit(decline(), declines(10), method, time_limit=1e-9, importance=100)
        assert not found.converged_, method
        text = str(found)
        assert "NOT CONVERGED" in text
        assert "time limit" in text
        assert "last value" in text
        assert "  estimate" not in text


def test_a_stopped_search_is_not_followed_by_long_sums() -> None:
    found = fit(decline(), declines(10), "saem", time_limit=1e-9)  # thousands of points per subject if it had ended
    assert isinstance(found.nodes_, Nodes)
    assert len(found.nodes_.centred) < 100


def test_few_iterations_from_far_away_are_not_called_converged() -> None:
    far = decline(start=Estimate(50.0, lognormal(0.2)), rate=Estimate(0.02, lognormal(0.2)))
    found = fit(far, declines(), "saem", saem=SaemSettings(2, 1, chains=1), importance=200)
    assert not found.converged_
    assert "Newton step" in found.verdict_ or "information" in found.verdict_


def test_parameters_that_the_data_do_not_tell_apart_are_not_called_converged() -> None:
    a, b = symbols("a", "b")
    model = StatisticalModel(
        ClosedForm("product", a * b * exp(-0.4 * time)), {"a": Estimate(2.0, lognormal(0.3)), "b": Estimate(4.0)},
        Endpoint("value", proportional(0.3)),
    )  # fmt: skip
    found = fit(model, declines(), "focei")
    assert not found.converged_
    assert "not determine" in found.verdict_ or "standard errors" in found.verdict_


def test_a_stopped_saem_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole = fit(decline(), declines(10), saem=SHORT, seed=5, importance=100)
    file = tmp_path / "fit.npz"
    stopped = fit(decline(), declines(10), saem=SHORT, seed=5, importance=100, checkpoint=file, time_limit=0.05)
    assert file.exists() or stopped.iterations_ == 80
    again = fit(decline(), declines(10), saem=SHORT, seed=5, importance=100, checkpoint=file)
    assert stopped.iterations_ < 80
    assert (again.theta_ == whole.theta_).all()
    with pytest.raises(InputError, match="another model, data set, setting or version"):
        fit(decline(), declines(12), saem=SHORT, seed=5, importance=100, checkpoint=file)
    file.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="checkpoint"):
        fit(decline(), declines(10), saem=SHORT, seed=5, importance=100, checkpoint=file)


KILLED = """
import os, signal, sys
import numpy as np
from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference import estimation
from livingdrug.inference.residual import log_additive
from livingdrug.inference.saem import Saem, SaemSettings
from livingdrug.inference.statistical import Endpoint, Estimate, Mixture, StatisticalModel
from livingdrug.library import load_model
from livingdrug.model import exp, lognormal, time

SETTINGS = SaemSettings(30, 30, chains=3)


def made(kind):
    random, times = np.random.default_rng(7), np.array([2.0, 8, 11, 21, 60])
    if kind == "solved":
        structure = load_model("stein2019")
        parameters = {"peak": Estimate(20000.0, lognormal(0.4)), "contraction": 0.15}
    else:
        start, rate = symbols("start", "rate")
        structure = ClosedForm("decline", {"car_t_transgene_blood": start * exp(-rate * time)})
        parameters = {"start": Estimate(20000.0, lognormal(0.4)), "rate": Estimate(0.1)}
    value = 20000 * np.exp(0.3 * random.standard_normal((8, 1)) - 0.05 * times + 0.3 * random.standard_normal((8, 5)))
    data = EventData.from_arrays(
        ids=range(8), subject=np.repeat(range(8), 5), time=np.tile(times, 8), value=value.ravel(),
        endpoints=("car_t_transgene_blood",),
    )
    end, mixture = Endpoint("car_t_transgene_blood", log_additive(0.5)), None
    if kind == "classes":
        parameters["rate"], mixture = Estimate(0.1, lognormal(0.3)), Mixture("start", {"low": -1.0})
    return StatisticalModel(structure, parameters, end, mixture=mixture), data


if __name__ == "__main__":
    kind, file, when = sys.argv[1:]
    iterate = Saem.iterate

    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def until_killed(self):
        iterate(self)
        if self.iteration == 47:  # in the middle of smoothing, seven iterations after the last checkpoint
            killed()

    if when == "while it iterates":
        Saem.iterate = until_killed
    else:
        estimation.importance_nodes = killed
    estimation.fit(*made(kind), saem=SETTINGS, seed=5, importance=1000, checkpoint=file)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
@pytest.mark.parametrize(
    ("kind", "when", "stored"),
    [
        ("closed form", "while it iterates", 40),
        ("classes", "before its likelihood", 60),
        pytest.param("solved", "while it iterates", 40, marks=pytest.mark.slow),
    ],
)
def test_a_killed_saem_goes_on_to_the_same_end(tmp_path: Path, kind: str, when: str, stored: int) -> None:
    """Killed without a word (SIGKILL), between two checkpoints; the numbers are those of a run that nothing stopped."""
    script, file = tmp_path / "killed.py", tmp_path / "fit.npz"
    script.write_text(KILLED)
    words = [sys.executable, str(script), kind, str(file), when]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert int(json.loads(str(np.load(file)["note"]))["iteration"]) == stored
    space = runpy.run_path(str(script))
    model, data = space["made"](kind)
    again, whole = (
        fit(model, data, saem=space["SETTINGS"], seed=5, importance=1000, checkpoint=path) for path in (file, None)
    )
    assert (again.theta_ == whole.theta_).all()
    assert (again.trace_ == whole.trace_).all()
    assert again.minus2ll_ == whole.minus2ll_
    assert again.verdict_ == whole.verdict_
    assert again.standard_errors_ == whole.standard_errors_


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    found = [fit(decline(), declines(10), saem=SHORT, seed=seed, importance=100).theta_ for seed in (1, 1, 2)]
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()


def test_several_starts_return_the_best_and_keep_a_file_each(tmp_path: Path) -> None:
    found = fit(decline(), declines(10), "focei", starts=3, checkpoint=tmp_path / "fit.npz")
    assert len(found.starts_) == 3
    assert found.minus2ll_ == pytest.approx(min(found.starts_))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit-2.npz", "fit-3.npz", "fit.npz"]


def test_individual_values_and_predictions(fitted: FitResult) -> None:
    table = fitted.predictions()
    assert len(table) == 150
    assert np.std(table["IWRES"]) == pytest.approx(1 - fitted.residual_shrinkage_, rel=1e-6)
    assert np.corrcoef(table["DV"], table["IPRED"])[0, 1] > np.corrcoef(table["DV"], table["PRED"])[0, 1]
    each = fitted.individual_parameters()
    assert each["rate"].median() == pytest.approx(fitted.estimates_["rate"], rel=0.2)


def test_draws_of_effects_scatter_about_the_modes_as_the_quadrature_says(fitted: FitResult) -> None:
    from livingdrug.inference.nodes import quadrature_nodes

    drawn = fitted.eta_samples(400, seed=2)
    mean, covariance = quadrature_nodes(fitted.problem, fitted.theta_, 9).means(fitted.theta_)
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    assert np.abs((drawn.mean(axis=0) - mean) / sd).max() < 0.25
    assert (drawn.std(axis=0) / sd).mean() == pytest.approx(1.0, abs=0.05)


def test_simulated_subjects_scatter_as_the_model_says(fitted: FitResult) -> None:
    simulated = fitted.simulate(2000, seed=1)[:, :5]  # the first subject's five times
    sd_start, sd_rate = fitted.estimates_["sd(start)"], fitted.estimates_["sd(rate)"]
    random = np.random.default_rng(0)
    z = random.standard_normal((2, 200_000))
    level = fitted.estimates_["start"] * np.exp(sd_start * z[0])
    fall = fitted.estimates_["rate"] * np.exp(sd_rate * z[1])
    for k, t in enumerate([0.5, 1.0, 2.0, 4.0, 7.0]):
        assert simulated[:, k].mean() == pytest.approx((level * np.exp(-fall * t)).mean(), rel=0.05)


# -- bad input --------------------------------------------------------------------------------------------------------
def test_unknown_names_are_named_with_their_neighbours() -> None:
    with pytest.raises(InputError, match="did you mean 'focei'"):
        fit(decline(), declines(5), "foceii")
    with pytest.raises(InputError, match="unknown parameter 'rat'"):
        decline(rat=Estimate(1.0))
    with pytest.raises(InputError, match="unknown output 'valu'"):
        StatisticalModel(decline().structure, {"start": 7.0, "rate": 0.3}, Endpoint("valu"))
    with pytest.raises(InputError, match="the parameter 'V' is missing"):
        StatisticalModel(one_compartment_oral(), {"ka": 1.0, "CL": 2.0}, Endpoint("concentration"))
    with pytest.raises(InputError, match="unknown method for values below the limit 'M8'"):
        StatisticalModel(decline().structure, {"start": 7.0, "rate": 0.3}, Endpoint("value", blq="M8"))
    with pytest.raises(InputError, match="unknown random effect 'stat'"):
        StatisticalModel(
            decline().structure,
            {"start": Estimate(7.0, lognormal(0.2)), "rate": 0.3},
            Endpoint("value"),
            omega=[["stat"]],
        )
    with pytest.raises(InputError, match="unknown covariate of the data 'WT'"):
        Problem(decline(start=Estimate(7.0, lognormal(0.2), covariates=[power_effect("WT", 70)])), declines(5))


def test_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="a lognormal value must lie between"):
        decline(start=Estimate(-1.0, lognormal(0.2)))
    with pytest.raises(InputError, match="sd above 0"):
        decline(start=Estimate(1.0, normal(0.0)))
    with pytest.raises(InputError, match="positive number"):
        combined(0.0, 0.2)
    with pytest.raises(InputError, match="degrees of freedom"):
        student_t(additive(1.0), 0.1)
    with pytest.raises(InputError, match="seed"):
        fit(decline(), declines(5), seed=-1)
    with pytest.raises(InputError, match="held all or none"):
        replace(decline(start=Estimate(7.0, lognormal(0.2), fixed_spread=True)), omega="full")
    with pytest.raises(InputError, match="M2 needs the limit"):
        treat("M2", np.zeros(1, int), np.ones(1), np.zeros(1, int), np.full(1, np.nan), np.full(1, np.nan))
    with pytest.raises(InputError, match="points per subject"):
        fit(decline(), declines(5), "quadrature", nodes=1000)


def test_a_value_without_logarithm_is_named_with_subject_and_row() -> None:
    data = EventData.from_arrays(ids=["A", "B"], subject=[0, 0, 1, 1], time=[1.0, 2, 1, 2], value=[3.0, 2, 4, 0])
    with pytest.raises(InputError, match=r"subject 'B', row \d: the value 0 has no logarithm"):
        Problem(decline(log_additive(0.3)), data)


def test_an_endpoint_that_the_model_lacks_and_a_parameter_that_nothing_informs() -> None:
    data = declines(5, endpoint=np.tile([0, 0, 0, 0, 1], 5), endpoints=("value", "other"))
    with pytest.raises(InputError, match="'other'"):
        Problem(decline(), data)
    start, rate, idle = symbols("start", "rate", "idle")
    form = ClosedForm("idle", start * exp(-rate * time) + 0 * idle)
    parameters = {"start": Estimate(7.0, lognormal(0.2)), "rate": Estimate(0.3), "idle": Estimate(1.0)}
    model = StatisticalModel(form, parameters, Endpoint("value"))
    with pytest.raises(InputError, match="no observation depends on the parameter 'idle'"):
        Problem(model, declines(5))


def test_a_subject_without_data_and_a_start_without_likelihood() -> None:
    data = EventData.from_arrays(ids=["A", "B"], subject=[0, 0], time=[1.0, 2], value=[3.0, 2])
    with pytest.raises(InputError, match="subject 'B' has no observation"):
        Problem(decline(), data)
    (k,) = symbols("k")
    zero = ClosedForm("zero", k * time)
    model = StatisticalModel(zero, {"k": Estimate(1.0, lognormal(0.2))}, Endpoint("value", proportional(0.1)))
    at_zero = EventData.from_arrays(ids=["A"], subject=[0, 0], time=[0.0, 1.0], value=[1.0, 1.0])
    with pytest.raises(FitError, match="residual deviation is zero"):
        fit(model, at_zero)


def test_doses_need_a_place_in_a_model_that_is_solved() -> None:
    data = EventData.from_arrays(
        ids=["A"], subject=[0, 0], time=[1.0, 2.0], value=[1.0, 1.0],
        doses={"subject": [0], "time": [0.0], "amount": [1e8]}, endpoints=("car_t_total",),
    )  # fmt: skip
    parameters = {"car_t_growth": Estimate(0.03, lognormal(0.3))}
    model = StatisticalModel(load_model("kimmel2021"), parameters, Endpoint("car_t_total", log_additive(0.3)))
    with pytest.raises(InputError, match="the model was not told where they go"):
        Problem(model, data)
    with pytest.raises(InputError, match="unknown state"):
        EngineModel(load_model("kimmel2021"), compartments={"1": "car"})
