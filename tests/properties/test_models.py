"""What must hold for every published model, whatever its equations.

A model belongs here once it stands in ``PATIENTS``; the last test fails for a model of the library that does not.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livingdrug.engine.solve import Dose, solve
from livingdrug.library import load_model, model_names
from livingdrug.model import Model, birth_death, bolus, ddt, infusion, output, parameter, reset, state
from livingdrug.model.expressions import Number, substitute, time
from livingdrug.streams import normal

TIMES = np.array([0.0, 0.5, 3, 7, 14, 28, 60, 120, 365])


def from_spread(model, count, seed):
    """Patients from the declared spreads, kept inside the limits."""
    found = {}
    for name, p in model.parameters.items():
        if p.spread:
            z = normal(seed, np.arange(count), name, 1)[:, 0]
            found[name] = np.clip(p.spread.apply(p.value, z, p.limits), *p.limits)
    return found


def from_sets(model, count, seed):
    """The published patients in turn, each number varied by 5 per cent but inside the bounds of the paper's search."""
    sets = [list(model.parameter_sets.values())[i % len(model.parameter_sets)] for i in range(count)]
    found = {}
    for name in sets[0]:
        z = normal(seed, np.arange(count), name, 1)[:, 0]
        found[name] = np.clip([s[name] for s in sets] * (1 + 0.05 * np.clip(z, -3, 3)), *model.parameters[name].limits)
    found["largest_renewal"] = np.minimum(found["largest_renewal"], 0.99)  # at 1 memory cells grow without bound
    return found


PATIENTS = {"kimmel2021": from_spread, "kirouac2023": from_sets, "stein2019": from_spread}
"""How patients of each model of the library are drawn: (model, count, seed) to parameters."""

DOSED = {"kimmel2021": "car_t", "kirouac2023": "infused", "stein2019": "effector"}
"""The state into which a dose goes."""


@pytest.fixture(params=PATIENTS)
def model(request):
    return load_model(request.param)


def draw(model, count, seed=1):
    return PATIENTS[model.name](model, count, seed)


def run(model, parameters, ids=None, seed=1, **options):
    return solve(model, parameters, TIMES, outputs=[*model.states], patient_ids=ids, seed=seed, **options)


@pytest.mark.parametrize("stochastic", [True, False])
def test_nothing_is_ever_negative(model, stochastic):
    """No state below minus its floor (one cell), and no patient fails."""
    found = run(model, draw(model, 200), stochastic=stochastic)
    assert not found.failed.any()
    floors = np.array([s.floor / s.factor for s in model.states.values()])
    assert np.all(found.values >= -floors)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), width=st.floats(0.1, 4.0))
@pytest.mark.parametrize("name", PATIENTS)
def test_wild_parameters_give_an_answer_or_a_marked_failure(name, seed, width):
    """Every parameter times 10**(width z): finite values to the end, or a patient that is marked, with reasons."""
    model = load_model(name)
    z = normal(seed, np.arange(16), "wild", len(model.parameters))
    parameters = {
        n: np.clip(p.value * 10 ** (width * np.clip(z[:, k], -3, 3)), *p.limits)
        for k, (n, p) in enumerate(model.parameters.items())
    }
    found = run(model, parameters, rtol=1e-4, stochastic=False)
    unknown = np.isnan(found.values).any(axis=(1, 2))
    assert np.array_equal(unknown, found.failed)
    for failure in found.failures():
        assert failure.reason
        assert failure.worst_state in found.states
        assert 0 <= failure.time_reached <= TIMES[-1]


def test_same_seed_same_course(model):
    parameters = draw(model, 20)
    assert np.array_equal(run(model, parameters, seed=5).values, run(model, parameters, seed=5).values)


def test_order_of_patients_does_not_matter(model):
    parameters, order = draw(model, 40), np.random.default_rng(3).permutation(40)
    whole = run(model, parameters, np.arange(40)).values
    mixed = run(model, {k: v[order] for k, v in parameters.items()}, order).values
    assert np.array_equal(mixed, whole[order])


def test_one_changed_patient_leaves_the_others(model):
    parameters = draw(model, 24)
    name = next(iter(parameters))
    changed = parameters | {name: np.where(np.arange(24) == 7, 0.97 * parameters[name], parameters[name])}
    same = (run(model, parameters).values == run(model, changed).values).all(axis=(1, 2))
    assert np.flatnonzero(~same).tolist() == [7]


def test_two_half_doses_at_one_instant_are_one_dose(model):
    target = DOSED[model.name]
    dose = Dose(target, 2.0**20, at=5.0)
    halves = [Dose(target, 2.0**19, at=5.0)] * 2
    parameters = draw(model, 20)
    found, expected = (run(model, parameters, doses=d, stochastic=False).values for d in (halves, [dose]))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)  # the sum is rounded once or twice


def in_hours(model):
    """The same model declared with hours wherever its parameters say days, under the same names."""
    new = {p: parameter_in_hours(p) for p in model.parameters.values()}
    new |= {s: state(s.unit, s.meaning, symbol=s.symbol, floor=s.floor / s.factor) for s in model.states.values()}
    for s in model.states.values():
        plain = isinstance(s.initial, Number)
        new[s].initial = s.initial.value / s.factor if plain else substitute(s.initial, new)
    body = {"__doc__": model.__doc__, "name": model.name} | {old.name: symbol for old, symbol in new.items()}
    body["equations"] = {ddt(new[s]): substitute(rate, new) for s, rate in model.rates.items()}
    body["outputs"] = {w: output(substitute(o.expression, new), o.unit, o.meaning) for w, o in model.outputs.items()}
    body["events"] = [event_in_hours(e, new) for e in model.events]
    body["jumps"] = [
        birth_death(
            new[j.state], birth=substitute(j.birth, new), death=substitute(j.death, new), below=j.below, above=j.above
        )
        for j in model.jumps
    ]
    return type(model.__name__, (Model,), body)


def parameter_in_hours(p):
    unit, factor = p.unit, 1.0
    if p.unit == "day":
        unit, factor = "hour", 24.0
    elif p.unit.endswith("/day"):
        unit, factor = p.unit.removesuffix("day") + "hour", 1 / 24
    limits = (p.limits[0] * factor, p.limits[1] * factor)
    return parameter(
        p.value * factor, unit, p.meaning, symbol=p.symbol, source="assumed: as in the library", limits=limits
    )


def event_in_hours(event, new):
    timing = {"at": substitute(event.at, new)}
    if event.duration is not None:
        timing["duration"] = substitute(event.duration, new)
    kind = {"bolus": bolus, "infusion": infusion, "set": reset}[event.kind]
    return kind(new[event.target], substitute(event.amount, new), **timing)


def test_a_change_of_units_changes_nothing(model):
    """Parameters in hours: the course in days agrees to the rounding of 24 and the tolerance."""
    other = in_hours(model)
    assert any(p.unit != model.parameters[n].unit for n, p in other.parameters.items())
    parameters = draw(model, 40)
    converted = {n: v * (other.parameters[n].value / model.parameters[n].value) for n, v in parameters.items()}
    options = {"outputs": [*model.outputs], "rtol": 1e-9, "stochastic": False}
    found, expected = (
        solve(other, converted, TIMES, **options).values,
        solve(model, parameters, TIMES, **options).values,
    )
    largest = np.abs(expected).max(axis=1, keepdims=True)
    assert np.all(np.abs(found - expected) <= 1e-6 * largest)


def test_every_model_of_the_library_has_these_properties():
    """A new file in library/ needs an entry in PATIENTS and DOSED."""
    assert set(PATIENTS) == set(model_names())
    assert set(DOSED) == set(model_names())
    for name, target in DOSED.items():
        assert target in load_model(name).states


def test_time_is_the_one_symbol_that_models_share():
    """Two models with the same words do not touch each other: their symbols differ."""
    names = model_names()
    symbols = [{id(s) for m in (load_model(n),) for s in [*m.states.values(), *m.parameters.values()]} for n in names]
    for k, one in enumerate(symbols):
        assert id(time) not in one
        for other in symbols[k + 1 :]:
            assert not one & other
