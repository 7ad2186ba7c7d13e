"""What must hold for every published model, whatever its equations.

A model belongs here once it stands in ``PATIENTS``; the last test fails for a model of the library that does not.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livingdrug.engine.solve import Dose, solve
from livingdrug.library import load_model, model_names
from livingdrug.library.barros2021 import virtual_mice
from livingdrug.model import Model, birth_death, bolus, ddt, infusion, output, parameter, reset, state
from livingdrug.model.expressions import Number, substitute, time
from livingdrug.streams import normal
from livingdrug.units import convert

TIMES = np.array([0.0, 0.5, 3, 7, 14, 28, 60, 120, 365])


def from_spread(model, count, seed):
    """Patients from the declared spreads, kept inside the limits."""
    found = {}
    for name, p in model.parameters.items():
        if p.spread:
            z = normal(seed, np.arange(count), name, 1)[:, 0]
            found[name] = np.clip(p.spread.apply(p.value, z, p.limits), *p.limits)
    return found


def around_the_default(model, count, seed):
    """Every parameter varied log-normally by 10 per cent, kept inside its limits."""
    found = {}
    for name, p in model.parameters.items():
        z = np.clip(normal(seed, np.arange(count), name, 1)[:, 0], -3, 3)
        found[name] = np.clip(p.value * np.exp(0.1 * z), *p.limits)
    return found


def from_sets(model, count, seed, sets=None):
    """The published patients in turn, each number varied by 5 per cent but inside the limits."""
    sets = sets or list(model.parameter_sets.values())
    sets = [sets[i % len(sets)] for i in range(count)]
    found = {}
    for name in sets[0]:
        z = normal(seed, np.arange(count), name, 1)[:, 0]
        found[name] = np.clip([s[name] for s in sets] * (1 + 0.05 * np.clip(z, -3, 3)), *model.parameters[name].limits)
    return found


def of_kirouac(model, count, seed):
    found = from_sets(model, count, seed)
    found["largest_renewal"] = np.minimum(found["largest_renewal"], 0.99)  # at 1 memory cells grow without bound
    return found


def of_hardiansyah(model, count, seed):
    found = from_sets(model, count, seed)
    shares = [name for name in found if "share" in name]
    whole = sum(found[name] for name in shares) if shares else 1.0
    return found | {name: found[name] / whole for name in shares}


def of_the_named_patients(model, count, seed):
    """Only the sets that are whole patients: others change one thing and are laid over these."""
    most = max(len(values) for values in model.parameter_sets.values())
    return from_sets(model, count, seed, [v for v in model.parameter_sets.values() if len(v) == most])


def of_hanson(model, count, seed):
    found = around_the_default(model, count, seed)
    found["drug_effect"] = np.minimum(found["drug_effect"], found["inflammation_production"])  # else it is negative
    return found


def of_barros(_model, count, seed):
    return virtual_mice(count, seed)


PATIENTS = {
    "adhikarla2021": around_the_default, "barros2021": of_barros, "brummer2022": from_sets,
    "carrgo2020": around_the_default, "chen2019": from_sets, "frey2010": from_spread, "hanson2016": of_hanson,
    "hardiansyah2019": of_hardiansyah, "kimmel2021": from_spread, "kirouac2023": of_kirouac,
    "leon_triana2020": around_the_default, "leon_triana2021": around_the_default,
    "minucci2024": of_the_named_patients, "mueller_schoell2021": from_spread, "ogasawara2021": around_the_default,
    "owens2021": of_the_named_patients, "singh2020": around_the_default, "singh2021": around_the_default,
    "stein2019": from_spread, "swanson2022": around_the_default,
}  # fmt: skip
"""How patients of each model of the library are drawn: (model, count, seed) to parameters."""

DOSED = {
    "adhikarla2021": "car_t", "barros2021": "effector", "brummer2022": "car_t", "carrgo2020": "car_t",
    "chen2019": "drug", "frey2010": "central", "hanson2016": "cytotoxic_memory", "hardiansyah2019": "effector_blood",
    "kimmel2021": "car_t", "kirouac2023": "infused", "leon_triana2020": "car_t", "leon_triana2021": "blood_car_t",
    "minucci2024": "infused_cd8", "mueller_schoell2021": "naive", "ogasawara2021": "effector", "owens2021": "car_t",
    "singh2020": "blood", "singh2021": "blood_effector", "stein2019": "effector", "swanson2022": "tumour_car_t",
}  # fmt: skip
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
    name = next(name for name, values in parameters.items() if np.all(values > 0))
    changed = parameters | {name: np.where(np.arange(24) == 7, 0.97 * parameters[name], parameters[name])}
    same = (run(model, parameters).values == run(model, changed).values).all(axis=(1, 2))
    assert np.flatnonzero(~same).tolist() == [7]


def test_two_half_doses_at_one_instant_are_one_dose(model):
    target = DOSED[model.name]
    amount = 0.25 if model.states[target].unit == "1" else 2.0**20  # an index of cells on a plate is about 1
    dose = Dose(target, amount, at=5.0)
    halves = [Dose(target, amount / 2, at=5.0)] * 2
    parameters = draw(model, 20)
    found, expected = (run(model, parameters, doses=d, stochastic=False).values for d in (halves, [dose]))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)  # the sum is rounded once or twice


OTHER_UNIT = {"day": "hour", "hour": "day"}


def in_hours(model):
    """The same model declared with hours where its parameters say days, and the other way round."""
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
    unit, factor = OTHER_UNIT.get(p.unit.rpartition("/")[2], p.unit), 1.0
    if p.unit in OTHER_UNIT:
        factor = convert(1.0, p.unit, unit)
    elif p.unit.rpartition("/")[2] in OTHER_UNIT:
        unit = p.unit.rpartition("/")[0] + "/" + unit
        factor = convert(1.0, p.unit, unit)
    else:
        unit = p.unit
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
    converted = {n: convert(v, model.parameters[n].unit, other.parameters[n].unit) for n, v in parameters.items()}
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
