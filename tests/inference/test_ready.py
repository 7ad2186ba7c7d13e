"""Models ready to fit: their courses against formulas and limits worked out here, and models written as TOML."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from livingdrug.errors import InputError
from livingdrug.inference.data import EventData
from livingdrug.inference.estimation import fit
from livingdrug.inference.problem import Problem
from livingdrug.inference.ready import READY, SUBSETS, ready
from livingdrug.inference.ready_spec import fit_models, read_specification, statistical_model
from livingdrug.inference.saem import SaemSettings
from livingdrug.inference.statistical import Mixture
from livingdrug.library.stein2019 import transgene
from livingdrug.model import lognormal

DAYS = np.array([1.0, 3, 7, 9, 10, 12, 14, 21, 28, 60, 180])
COURSE = "car_t_transgene_blood"
OF_TRANSGENE = [name for name in READY if name not in {"mueller_schoell2021", "kirouac2023"}]


def typical(model: Any, days: np.ndarray = DAYS, **values: float) -> np.ndarray:
    """The course of a patient without effects, at first guesses or at other typical values."""
    data = EventData.from_arrays(ids=["P"], subject=np.zeros(len(days), int), time=days, value=np.ones(len(days)))
    problem = Problem(model, data)
    theta = problem.theta.copy()
    for name, value in values.items():
        theta[problem.names.index(name)] = math.log(value)
    return np.exp(problem.predict(theta[None], np.zeros((1, 1, problem.d))).f[0])


def test_the_published_course_is_that_of_the_library():
    assert typical(ready("stein2019")) == pytest.approx(transgene(DAYS), rel=1e-10)


def test_variants_become_the_published_course_in_their_limits():
    expected = transgene(DAYS)
    assert typical(ready("stein2019_smooth"), width=1e-5) == pytest.approx(expected, rel=1e-4)
    sharp = typical(ready("stein2019_lag"), lag=1e-9, growth_days=9.3)
    assert sharp == pytest.approx(expected, rel=1e-6)
    # Far below its capacity logistic growth is exponential: the same start and rate give the same course.
    rate = math.log(3900) / 9.3
    free = typical(ready("saturable_expansion"), capacity=1e12, start=24000 / 3900, growth=rate, contraction_day=9.3)
    assert free == pytest.approx(expected, rel=1e-4)


def test_the_rounded_peak_is_lower_by_the_factor_that_is_said():
    growth, contraction, width = math.log(3900) / 9.3, 0.16, 0.5
    found = typical(ready("stein2019_smooth"), np.array([9.3]), width=width)[0]
    expected = (
        24000
        * math.exp(-growth * width / 2)
        * ((1 - 0.0079) * math.exp(-contraction * width / 2) + 0.0079 * math.exp(-0.0032 * width / 2))
    )
    assert found == pytest.approx(expected, rel=1e-9)


def test_growth_that_saturates_is_logistic():
    days = np.array([2.0, 5, 8, 40])
    found = typical(ready("saturable_expansion"), days, capacity=5000.0, start=10.0, growth=1.1)[:3]
    days = days[:3]
    assert found == pytest.approx(5000 / (1 + 499 * np.exp(-1.1 * days)), rel=1e-9)


def test_exhaustion_by_its_first_integral():
    """dE/dQ = growth / (1 + Q / half) - contraction - conversion: E(Q) is known, and t(Q) is an integral of 1 / E."""
    start, growth, half, loss = 6.0, 1.3, 14000.0, 0.3 + 0.0006

    def cells(exposure: float) -> float:
        return start + growth * half * math.log1p(exposure / half) - loss * exposure

    def day(exposure: float) -> float:
        return quad(lambda x: math.exp(x) / cells(math.expm1(x)), 0, math.log1p(exposure), limit=400)[0]

    last = float(brentq(cells, half, 100 * half))  # type: ignore[arg-type]
    for at in (7.0, 11.0, 20.0):
        exposure = float(brentq(lambda q, at=at: day(q) - at, 1.0, 0.999 * last))  # type: ignore[arg-type]
        found = typical(ready("exhaustion_limited"), np.array([at, at + 100]))[0]
        assert found == pytest.approx(cells(exposure), rel=0.02)  # memory adds about one per cent


def test_lymphodepletion_by_the_integral_of_growth():
    growth, loss, half, width = 1.06, 0.16 + 0.0006, 9.6, 0.7
    for at in (5.0, 9.0, 15.0):
        space = quad(lambda t: 1 / (1 + math.exp((t - half) / width)), 0, at)[0]
        found = typical(ready("lymphodepletion_limited"), np.array([at]), decline=1e6 * 1e-6)
        assert found[0] == pytest.approx(6.0 * math.exp(growth * space - loss * at), rel=3e-3)


def test_the_two_causes_differ_as_they_say():
    """Cells that grow faster peak sooner if they exhaust themselves, and on about the same day if the host returns."""
    days = np.linspace(1, 40, 391)
    for name, low, high in (("exhaustion_limited", 1.0, 20.0), ("lymphodepletion_limited", -1.0, 1.0)):
        guess = ready(name).estimates["growth"].value
        slow, fast = (days[np.argmax(typical(ready(name), days, growth=guess * k))] for k in (1.0, 1.4))
        assert low < slow - fast < high


@pytest.mark.parametrize("name", OF_TRANSGENE)
def test_first_guesses_are_near_the_published_course(name):
    """Within a factor of four of it in the weeks that matter, so that a search begins in the right place."""
    days = np.array([8.0, 10, 14, 21, 28])
    assert np.abs(np.log(typical(ready(name), days) / transgene(days))).max() < math.log(4)
    assert READY[name].about.endswith(".")


def test_a_model_ready_to_fit_recovers_what_made_the_data():
    random = np.random.default_rng(3)
    count, days = 40, np.array([2.0, 5, 8, 10, 12, 15, 21, 28, 60, 120])
    peak, rate = (v * np.exp(0.5 * random.standard_normal((count, 1))) for v in (24000, 0.16))
    value = transgene(days, peak=peak, contraction=rate) * np.exp(0.25 * random.standard_normal((count, len(days))))
    below = value < 100
    data = EventData.from_arrays(
        ids=range(count), subject=np.repeat(range(count), len(days)), time=np.tile(days, count),
        value=np.where(below, 100, value).ravel(), censoring=below.ravel(),
    )  # fmt: skip
    start = ready("stein2019")
    alike = {"fold_expansion", "peak_day", "persistent_fraction", "decline"}
    few = {name: replace(one, spread=None) if name in alike else one for name, one in start.estimates.items()}
    found = fit(replace(start, parameters=few), data, "saem", saem=SaemSettings(100, 80, chains=4))
    assert found.converged_, found.verdict_
    assert found.standard_errors_ is not None
    expected = {"peak": 24000, "contraction": 0.16, "peak_day": 9.3, "sd(peak)": 0.5, "sd(contraction)": 0.5, "a": 0.25}
    for name, truth in expected.items():
        assert abs(found.estimates_[name] - truth) < 3 * found.standard_errors_[name], name


def test_published_models_keep_their_values():
    from livingdrug.library.kirouac2023 import Kirouac2023
    from livingdrug.library.mueller_schoell2021 import MuellerSchoell2021

    four = ready("mueller_schoell2021", phenotypes=True)
    assert [end.residual.start[0] for end in four.ends] == [0.547, 0.743, 0.944, 0.636]
    for name, one in four.estimates.items():
        assert one.value == MuellerSchoell2021.parameters[name].value
    responder = ready("kirouac2023", subset="tumour", patient="PR3")
    chosen = {*SUBSETS["tumour"], "exhaustion"}  # faster than the death of expanded cells in this patient
    assert set(responder.random) == chosen
    for name, value in Kirouac2023.parameter_sets["PR3"].items():
        assert responder.estimates[name].value == pytest.approx(value)
        assert responder.estimates[name].fixed == (name not in chosen)
    two = ready("mueller_schoell2021", classes=True).mixture
    assert two is not None
    assert two.shares == {"low": pytest.approx(0.197)}
    assert math.exp(two.shifts["low"]) == pytest.approx(0.000700 / 0.00846)
    own = ready("mueller_schoell2021", columns={"baseline_tumour_volume": "MTV"})
    assert own.structure.covariates == {"baseline_tumour_volume": "MTV"}


def test_unknown_names_are_told():
    with pytest.raises(InputError, match="did you mean 'stein2019'"):
        ready("stein2018")
    with pytest.raises(InputError, match="unknown option of stein2019 'subset'"):
        ready("stein2019", subset="x")
    with pytest.raises(InputError, match="unknown subset of kirouac2023"):
        ready("kirouac2023", subset="x")
    with pytest.raises(InputError, match="unknown virtual patient"):
        ready("kirouac2023", patient="CR99")
    with pytest.raises(InputError, match="parameter -> column of the data, got 'MTV'"):
        ready("mueller_schoell2021", columns="MTV")


# -- TOML -------------------------------------------------------------------------------------------------------------
def spec_of(folder: Path, text: str) -> Any:
    path = folder / "spec.toml"
    path.write_text(text)
    return read_specification(path)


def test_a_file_changes_a_model_that_is_ready(tmp_path):
    spec = spec_of(tmp_path, """
        omega = [["peak", "contraction"]]
        [parameters]
        decline = 0.0032
        [parameters.peak]
        value = 20000
        sd = 0.6
        covariates = [{ column = "WT", form = "power", centre = 40.0 }, { column = "SEX", form = "category" }]
        [parameters.fold_expansion]
        spread = "none"
        [parameters.contraction]
        fixed = true
        [endpoints.car_t_transgene_blood]
        start = [0.4]
        degrees = 4
        limit = 50
        blq = "M4"
        [mixture]
        parameter = "peak"
        shifts = { low = -1.5 }
        shares = { low = 0.2 }
        [saem]
        exploring = 100
    """)  # fmt: skip
    model = statistical_model("stein2019", spec)
    peak = model.estimates["peak"]
    assert (peak.value, peak.spread) == (20000, lognormal(0.6))
    assert [effect.covariate for effect in peak.covariates] == ["WT", "SEX"]
    assert model.estimates["decline"].fixed
    assert model.estimates["contraction"].fixed
    assert model.estimates["fold_expansion"].spread is None
    assert model.ends[0].blq == "M4"
    assert model.ends[0].residual.start == (0.4,)
    assert model.ends[0].residual.degrees == 4
    pair = next(block for block in model.blocks() if len(block) == 2)
    assert {model.random[k] for k in pair} == {"peak", "contraction"}
    assert model.mixture == Mixture("peak", {"low": -1.5}, {"low": 0.2})
    assert spec.saem_settings().exploring == 100


def test_a_file_makes_a_model_of_a_structure(tmp_path):
    text = """
        [compartments]
        1 = "central"
        [parameters.ka]
        value = 1.5
        spread = "lognormal"
        sd = 0.5
        [parameters.CL]
        value = 3
        [parameters.V]
        value = 30
        occasions = 0.1
        [endpoints.concentration]
        residual = "combined"
        start = [0.3, 0.1]
    """
    with pytest.raises(InputError, match="closed form has no compartments"):
        statistical_model("one_compartment_oral", spec_of(tmp_path, text))
    text = text.replace('[compartments]\n        1 = "central"', "")
    model = statistical_model("one_compartment_oral", spec_of(tmp_path, text))
    assert model.random == ("ka",)
    assert model.by_occasion == ("V",)
    assert model.ends[0].residual.kind == "combined_variances"
    solved = statistical_model("stein2019", spec_of(tmp_path, ""))
    assert solved.structure.name == "expansion_contraction"
    engine = "[parameters.car_t_killing]\nvalue = 1"
    with pytest.raises(InputError, match="is a structure only"):
        statistical_model("kimmel2021", spec_of(tmp_path, engine))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[parameters.peek]\nvalue = 1", "unknown parameter 'peek'; did you mean 'peak'"),
        ("[parameters.peak]\nvalu = 1", "unknown key 'valu'"),
        ("[parameters.peak]\nvalue = 'x'", "parameters.peak"),
        ("[parameters.peak]\nvalue = -1", "must lie between 0 and inf"),
        ("[parameters.peak]\nsd = -0.5", "sd above 0"),
        ("[endpoints.qpcr]\nlimit = 5", "unknown output 'qpcr'"),
        ("[endpoints.car_t_transgene_blood]\nblq = 'M9'", "unknown method"),
        ("[endpoints.car_t_transgene_blood]\nresidual = 'power'\nstart = [1, 2, 3]", "cannot take 3 values"),
        ("[endpoints.car_t_transgene_blood]\nstart = [1, 2]", "got 2 values in start"),
        ("omega = [['peak', 'beak']]", "unknown random effect 'beak'"),
        ("model = 'kirouac2023'", "is for the model 'kirouac2023'"),
        ("[parameters.peak]\ncovariates = [{ column = 'WT' }]", "needs a centre above 0"),
        ("[mixture]\nparameter = 'beak'\nshifts = { low = -1 }", "unknown parameter 'beak'"),
        ("[mixture]\nparameter = 'peak'\nshifts = { }", "names no class"),
        ("[mixture]\nparameter = 'peak'\nshifts = { \"\\u0007\" = 1 }", "printable characters"),
        ("[mixture]\nparameter = 'peak'\nshifts = { reference = 1 }", "the class that has no shift"),
        ("[mixture]\nparameter = 'peak'\nshifts = { low = nan }", "mixture.shifts.low"),
        (
            "[mixture]\nparameter = 'peak'\nshifts = { low = -1 }\nshares = { low = 1.0 }",
            "leave some for the reference",
        ),
        ("[mixture]\nparameter = 'peak'\nshifts = { low = -1 }\nshares = { lo = 0.1 }", "unknown class 'lo'"),
        ("= 3", "not a TOML file"),
        ("[saem]\nexploring = 0", "at least one"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_place(tmp_path, text, message):
    def read() -> None:
        spec = spec_of(tmp_path, text)
        statistical_model("stein2019", spec)
        spec.saem_settings()

    with pytest.raises(InputError, match=message):
        read()


def test_all_names_have_words():
    models = fit_models()
    assert set(READY) < set(models)
    assert all(models.values())
    with pytest.raises(InputError, match="unknown model to fit 'stien2019'; did you mean 'stein2019'"):
        statistical_model("stien2019")
