"""Export to SBML: valid by libSBML, the same course in libRoadRunner and COPASI, the same model when read again.

Expected numbers are the engine's own course at a tight tolerance; libRoadRunner (CVODE) and COPASI (LSODA) share no
code with it.
"""

import sys
from functools import lru_cache

import libsbml
import numpy as np
import pytest

from livingdrug.engine.solve import solve
from livingdrug.errors import DeclarationError, InputError, MissingExtra
from livingdrug.exports.sbml import to_sbml
from livingdrug.exports.sbml_import import from_sbml
from livingdrug.library import load_model, model_names
from livingdrug.model import (
    Model,
    absolute,
    birth_death,
    bolus,
    ddt,
    exp,
    infusion,
    log,
    lognormal,
    maximum,
    minimum,
    output,
    parameter,
    reset,
    sqrt,
    state,
    time,
    where,
)
from livingdrug.model.expressions import symbols_in
from livingdrug.streams import normal


class Everything2020(Model):
    """All that a model can hold: <doses> & "resets".

    A second paragraph.
    """

    diseases, antigens, system, follow_up = ["CLL"], ("CD19",), "mouse", 30
    growth = parameter(0.02, "1/hour", "growth", symbol="rho", spread=lognormal(0.3), limits=(0.0, 5.0))
    capacity = parameter(3e3, "cell/uL", "capacity <of> the blood & more")
    given = parameter(2, "mg", "dose")
    first_day = parameter(2.5, "day", "day of the dose")
    hours = parameter(36, "hour", "length of the infusion")
    volume = parameter(3, "L", "volume of blood", limits=(0.1, 10))
    clearance = parameter(0.5, "L/day", "clearance")
    switch_day = parameter(6, "day", "day of the switch")
    normal_temperature = parameter(310, "K", "temperature")
    pressure_before = parameter(90, "mmHg", "blood pressure")
    daily_cost = parameter(5, "USD/day", "cost")
    half = parameter(100, "ug/L", "concentration of half the effect")
    shift = parameter(-0.5, "1", "shift", limits=(-5, 5), source="kimmel2021: table 1")
    cells = state("cell/uL", "cells", initial=10, floor=1e-3)
    drug = state("mg", "drug", symbol="D")
    heat = state("K", "temperature", initial=normal_temperature)
    money = state("USD", "money spent")
    pressure = state("mmHg", "blood pressure", initial=pressure_before)
    tumour = state("cell", "tumour", initial=1000.0)
    root = state("cm", "a length", initial=4.0)

    concentration = drug / volume
    effect = concentration / (half + concentration)
    area = minimum(root, 2 * root) ** 2
    net = where((time < switch_day) & ~(time < 1), growth, -growth * (1 + shift))
    birth = growth * tumour
    death = growth * tumour * 2 * effect
    early = where(time < 3, growth * cells, 0)
    equations = {
        ddt(cells): net * maximum(cells, 0) * (1 - cells / capacity) * (1 - effect) - where(cells < 0, 0, early),
        ddt(drug): -clearance * concentration,
        ddt(heat): -growth * (heat - normal_temperature * (1 + 0.01 * effect)),
        ddt(money): daily_cost * where(time >= 1, 1, 0),
        ddt(pressure): growth * absolute(pressure) * -0.1,
        ddt(tumour): birth - death,
        ddt(root): growth * sqrt(area) * exp(-effect) * log(2 + effect**1.5) / 10,
    }
    events = [
        infusion(drug, given, at=first_day, duration=hours), bolus(drug, 1.5, at=4),
        bolus(drug, given * 2, at=first_day + hours * 3), reset(cells, 100, at=8), bolus(cells, 50.0, at=8.0),
        reset(growth, 0.01, at=9.5), infusion(drug, 4, at=10, duration=2), bolus(pressure, 5.0, at=0),
    ]  # fmt: skip
    jumps = [birth_death(tumour, birth=birth, death=death)]
    outputs = {
        "car_t_blood": cells,
        "tumour_cells": tumour,
        "drug_level": output(concentration, "mg/L", "drug in blood"),
        "effect_now": output(effect, "percent", "effect"),
        "warmth": output(heat, "K", "temperature"),
        "paid": output(money, "USD", "money spent"),
        "pressure_now": output(pressure, "mmHg", "blood pressure"),
        "squared": output(area, "mm**2", "an area"),
        "other_area": output(root**0.5 * root**1.5, "cm**2", "the same area"),
        "always": output(2.0, "1", "two"),
    }
    limitations = ["A & B < C"]


NAMES = [*model_names(), "everything2020"]


def get(name):
    return Everything2020 if name == "everything2020" else load_model(name)


def days(model):
    """25 times over the follow-up that fall on no event."""
    return np.linspace(0, model.follow_up, 25) * 0.9973


def course(model, values, rtol=1e-11):
    found = solve(model, values, days(model), outputs=[*model.outputs], stochastic=False, rtol=rtol)
    assert not found.failed.any(), found.failures()
    return found.values[0]


@lru_cache
def exported(name):
    return to_sbml(get(name))


@lru_cache
def expected(name):
    return course(get(name), {})


def assert_same(found, wanted, tolerance):
    largest = np.maximum(np.abs(wanted).max(axis=0), 1e-300)
    assert np.max(np.abs(found - wanted) / largest) <= tolerance


def problems(text):
    document = libsbml.readSBMLFromString(text)
    document.checkConsistency()
    return [document.getError(k).getMessage() for k in range(document.getNumErrors())]


@pytest.mark.parametrize("name", NAMES)
def test_valid_with_all_units_right(name):
    """No error and no warning of libSBML's checks, those of units and good practice included."""
    assert problems(exported(name)) == []
    sbml = libsbml.readSBMLFromString(exported(name)).getModel()
    assert all(p.isSetUnits() and p.isSetName() for p in sbml.getListOfParameters())
    assert "Not for clinical use." in sbml.getNotesString()


def test_the_check_of_units_sees_a_wrong_one():
    """The check above can fail: a rate without its unit per day is noticed."""
    start = 'id="contraction" name="rate of the fast decline" value="0.16" units='
    text = exported("stein2019").replace(start + '"per_day"', start + '"day"')
    assert text != exported("stein2019")
    assert problems(text)


@pytest.mark.parametrize("name", NAMES)
def test_read_again_it_is_the_same_model(name):
    model, again = get(name), from_sbml(exported(name))
    assert (again.name, again.__name__, again.source) == (model.name, model.__name__, model.source)
    assert (again.system, again.follow_up, again.limitations) == (model.system, model.follow_up, model.limitations)
    assert [*again.states] == [*model.states]
    assert [*again.parameters] == [*model.parameters]
    assert {w: (o.unit, o.meaning) for w, o in again.outputs.items()} == {
        w: (o.unit, o.meaning) for w, o in model.outputs.items()
    }
    assert set(again.definitions) == {n for n, f in model.definitions.items() if not f.is_condition and f.operands}
    for s, t in zip(model.states.values(), again.states.values(), strict=True):
        assert (t.unit, t.symbol, t.meaning) == (s.unit, s.symbol, s.meaning)
        assert t.floor == pytest.approx(s.floor, rel=1e-14)
    for p, q in zip(model.parameters.values(), again.parameters.values(), strict=True):
        assert (q.unit, q.symbol, q.meaning, q.limits, q.source) == (p.unit, p.symbol, p.meaning, p.limits, p.source)
        assert q.spread == p.spread
        assert q.value == pytest.approx(p.value, rel=1e-14)  # libSBML writes 15 digits
    assert [(e.kind, e.target.name) for e in again.events] == [(e.kind, e.target.name) for e in model.events]
    assert_same(course(again, {}), expected(name), 1e-8)


@pytest.mark.parametrize("name", model_names())
def test_other_values_travel_too(name):
    """Every value moved by up to 15 per cent inside its limits: export, import, same course."""
    model = get(name)
    z = np.clip(normal(1, np.arange(len(model.parameters)), "sbml", 1)[:, 0], -3, 3)
    moved = [p.value * (1 + 0.05 * z[k]) for k, p in enumerate(model.parameters.values())]
    values = {n: float(np.clip(x, *p.limits)) for (n, p), x in zip(model.parameters.items(), moved, strict=True)}
    again = from_sbml(to_sbml(model, values=values))
    assert_same(course(again, {}), course(model, values), 1e-8)


@pytest.mark.parametrize("name", [n for n in model_names() if load_model(n).parameter_sets])
def test_every_parameter_set(name):
    """All sets of a model (36 in kirouac2023)."""
    model = get(name)
    for chosen, values in model.parameter_sets.items():
        again = from_sbml(to_sbml(model, chosen))
        assert_same(course(again, {}), course(model, dict(values)), 1e-8)


def roadrunner_course(text, outputs, times):
    import roadrunner

    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_ERROR)
    runner = roadrunner.RoadRunner(text)
    runner.timeCourseSelections = ["time", *outputs]
    runner.integrator.relative_tolerance, runner.integrator.absolute_tolerance = 1e-12, 1e-14
    runner.integrator.maximum_num_steps = 1_000_000
    return np.asarray(runner.simulate(times=list(times)))[:, 1:]


@pytest.mark.parametrize("name", NAMES)
def test_same_course_in_libroadrunner(name):
    model = get(name)
    assert_same(roadrunner_course(exported(name), [*model.outputs], days(model)), expected(name), 1e-6)


def copasi_course(text, outputs, times):
    import COPASI

    data = COPASI.CRootContainer.addDatamodel()
    try:
        assert data.importSBMLFromString(text), COPASI.CCopasiMessage.getAllMessageText()
        task = data.getTask("Time-Course")
        problem, method = task.getProblem(), task.getMethod()
        problem.setDuration(float(times[-1]))
        problem.setStepNumber(len(times) - 1)
        problem.setTimeSeriesRequested(True)
        for word, value in (
            ("Relative Tolerance", 1e-12),
            ("Absolute Tolerance", 1e-14),
            ("Max Internal Steps", 10**7),
        ):
            method.getParameter(word).setValue(value)
        assert task.processWithOutputFlags(True, COPASI.CCopasiTask.ONLY_TIME_SERIES)
        series = task.getTimeSeries()
        names = [series.getSBMLId(k, data) for k in range(series.getNumVariables())]
        rows = range(series.getRecordedSteps())
        at = np.array([series.getConcentrationData(r, 0) for r in rows])
        values = np.array([[series.getConcentrationData(r, names.index(o)) for o in outputs] for r in rows])
        # around an event COPASI records more rows than asked for; the last one at a time is the value after it
        return values[[np.flatnonzero(np.abs(at - t) < 1e-6)[-1] for t in times]]
    finally:
        COPASI.CRootContainer.removeDatamodel(data)


@pytest.mark.parametrize("name", NAMES)
def test_same_course_in_copasi(name):
    model = get(name)
    assert_same(copasi_course(exported(name), [*model.outputs], days(model)), expected(name), 1e-6)


def test_a_short_pulse_is_not_stepped_over():
    """The stops in the file do their work: without them libRoadRunner steps over a pulse of an hour on day 50."""

    class Pulse(Model):
        """A constant that rises for an hour: 24 in all."""

        begins = parameter(50.0, "day", "start of the pulse")
        ends = parameter(50.0 + 1 / 24, "day", "end of the pulse")
        rate = parameter(24.0, "cell/hour", "rate during the pulse")
        cells = state("cell", "cells", initial=1.0)
        equations = {ddt(cells): where((time >= begins) & (time < ends), rate, 0)}
        outputs = {"car_t_total": cells}

    text = to_sbml(Pulse)
    found = roadrunner_course(text, ["car_t_total"], [0.0, 40.0, 100.0])
    assert found[:, 0] == pytest.approx([1.0, 1.0, 25.0], rel=1e-9)  # 1 cell and 24 per hour for one hour
    start, end = text.index("<listOfEvents>"), text.index("</listOfEvents>") + len("</listOfEvents>")
    without = text[:start] + text[end:]
    assert roadrunner_course(without, ["car_t_total"], [0.0, 40.0, 100.0])[2, 0] == pytest.approx(1.0)


def test_values_of_a_set_are_replaced_by_single_values():
    model = load_model("kimmel2021")
    again = from_sbml(to_sbml(model, "code", {"kill_rate": 1.5}))
    assert again.parameters["kill_rate"].value == pytest.approx(1.5)
    assert again.parameters["car_t_growth"].value == pytest.approx(model.parameter_sets["code"]["car_t_growth"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parameter_set": "cod"}, "did you mean 'code'"),
        ({"values": {"kill_rat": 1.0}}, "did you mean 'kill_rate'"),
        ({"values": {"kill_rate": -1.0}}, "between 0 and inf"),
        ({"values": {"kill_rate": [1.0, 2.0]}}, "one patient"),
    ],
)
def test_wrong_values_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        to_sbml(load_model("kimmel2021"), **arguments)


def test_a_reset_parameter_that_times_an_event_is_refused():
    """The engine knows times before the solve, SBML would look again: the two would differ."""

    class Moved(Model):
        """A dose whose day is reset."""

        day = parameter(5.0, "day", "day of the dose")
        drug = state("pg", "drug", initial=1.0)
        fading = parameter(1.0, "1/day", "rate")
        equations = {ddt(drug): -fading * drug}
        events = [bolus(drug, 1.0, at=day), reset(day, 9.0, at=1)]
        outputs = {"drug_now": output(drug, "pg", "drug")}

    with pytest.raises(InputError, match="resets day"):
        to_sbml(Moved)


def test_jumps_are_told_in_the_notes():
    notes = libsbml.readSBMLFromString(exported("kimmel2021")).getModel().getNotesString()
    assert "below 100 cells tumour is counted cell by cell" in notes
    assert from_sbml(exported("kimmel2021")).jumps == ()


def test_a_large_shared_formula_is_written_once():
    """Sixty formulas, each the sum of the last one with itself: 2**60 terms if it were written out."""

    def body():
        rate = parameter(1e-19, "1/day", "rate")
        x = state("cell", "cells", initial=1.0)
        formula = x
        for _ in range(60):
            formula = formula + formula
        return {"rate": rate, "x": x, "equations": {ddt(x): -rate * formula}, "outputs": {"car_t_total": x}}

    model = type("Doubled", (Model,), body())
    text = to_sbml(model)
    assert len(text) < 200_000
    assert problems(text) == []
    again = from_sbml(text)
    # x falls by exp(-2**60 * 1e-19 * 1 day)
    found = solve(again, {}, [0.0, 1.0], outputs=["x"], rtol=1e-9).values[0, 1, 0]
    assert found == pytest.approx(np.exp(-(2.0**60) * 1e-19), rel=1e-7)


def test_a_sum_of_thousands_of_terms_stays_flat():
    rate = parameter(1e-3, "1/day", "rate")
    x = state("cell", "cells", initial=1.0)
    total = x
    for _ in range(2999):
        total = total + x
    body = {"rate": rate, "x": x, "equations": {ddt(x): -rate * total}, "outputs": {"car_t_total": x}}
    model = type("Long", (Model,), body)
    again = from_sbml(to_sbml(model))
    assert symbols_in(again.rates[again.states["x"]]) == [again.parameters["rate"], again.states["x"]]


def test_without_libsbml_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "libsbml", None)
    for call in (lambda: to_sbml(load_model("stein2019")), lambda: from_sbml("<sbml/>")):
        with pytest.raises(MissingExtra, match=r"pip install 'livingdrug\[exchange\]'"):
            call()


def test_a_changed_unit_in_the_annotation_is_noticed():
    text = exported("stein2019")
    assert 'unit="1/day"' in text
    for unit, message in (("1/dya", "annotation is wrong"), ("cell", "cannot be run")):
        with pytest.raises(InputError, match=message):
            from_sbml(text.replace('unit="1/day"', f'unit="{unit}"', 1))


def test_a_hand_changed_infusion_is_noticed():
    text = exported("everything2020")
    start = text.index('<eventAssignment variable="infusion_drug">')
    changed = text[:start] + text[start:].replace("<divide/>", "<times/>", 1)
    with pytest.raises(InputError, match="changed by hand"):
        from_sbml(changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [('lowest="0.0"', 'lowest="x"'), ('floor="0.001"', 'floor="-1"'), ('spread="lognormal"', 'spread="odd"')],
)
def test_what_is_wrong_in_an_annotation_is_an_error_of_input(old, new):
    text = exported("everything2020")
    assert old in text
    with pytest.raises(InputError) as caught:
        from_sbml(text.replace(old, new, 1))
    assert not isinstance(caught.value, DeclarationError)
