# ruff: noqa: C408, E501, PIE800  the table of mistakes has one mistake per line
"""A declaration is read as written, and every mistake in one is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from livingdrug.errors import DeclarationError, InputError
from livingdrug.model import (
    Model,
    birth_death,
    bolus,
    ddt,
    exp,
    infusion,
    log,
    logitnormal,
    lognormal,
    maximum,
    normal,
    output,
    parameter,
    reset,
    state,
    time,
    where,
)
from livingdrug.model.expressions import Number, evaluate


def declare(**changes: Any) -> type[Model]:
    """A small right model, with parts of its body replaced; a part that is None is left out."""
    cells = state("cell", "CAR T cells", initial=1e6, symbol="C")
    growth = parameter(0.5, "1/day", "growth", symbol="rho", source="assumed: a round number")
    peak = parameter(9.0, "day", "day of the peak")
    blood = parameter(5.0, "L", "volume of blood")
    body: dict[str, Any] = {
        "cells": cells,
        "growth": growth,
        "peak": peak,
        "blood": blood,
        "equations": {ddt(cells): where(time < peak, growth, -growth) * cells},
        "outputs": {"car_t_blood": cells / blood},
        "__doc__": "Growth, then decline.",
    }
    for name, value in changes.items():
        body[name] = value(body) if callable(value) else value
    return type("SmallModel", (Model,), {k: v for k, v in body.items() if v is not None})


def test_a_model_has_what_was_declared():
    model = declare()
    assert model.name == "small_model"
    cells, growth = model.states["cells"], model.parameters["growth"]
    assert (cells.name, cells.kind, cells.unit, cells.symbol) == ("cells", "state", "cell", "C")
    assert (growth.value, growth.canonical_value, growth.limits) == (0.5, 0.5, (0.0, np.inf))
    assert (growth.source_key, growth.source_place) == ("assumed", "a round number")
    assert model.summary() == "Growth, then decline."
    assert list(model.rates) == [cells]


def test_everything_is_in_canonical_units():
    """Days, cells and cm^3: 5 L are 5000 cm^3 and 1e6 cells in them are 200 per cm^3, reported as 0.2 per uL."""
    model = declare()
    assert model.parameters["blood"].canonical_value == 5000.0
    output_of_model = model.outputs["car_t_blood"]
    values = {model.states["cells"]: 1e6, model.parameters["blood"]: 5000.0}
    assert evaluate(output_of_model.expression, values) / output_of_model.factor == pytest.approx(0.2)


def test_a_change_of_units_changes_nothing():
    def decay(value: float, unit: str, initial: float, cell_unit: str) -> type[Model]:
        cells = state(cell_unit, "CAR T cells", initial=initial)
        death = parameter(value, unit, "rate of death")
        body = {
            "cells": cells,
            "death": death,
            "equations": {ddt(cells): -death * cells},
            "outputs": {"car_t_blood": cells},
        }
        return type("Decay", (Model,), body)

    daily, hourly = decay(0.6, "1/day", 2.0, "cell/uL"), decay(0.025, "1/hour", 2000.0, "cell/mL")
    assert daily.canonical({})["death"] == pytest.approx(float(hourly.canonical({})["death"]), rel=1e-15)
    assert daily.states["cells"].initial.value == hourly.states["cells"].initial.value


def test_initial_values_and_floors():
    model = declare()
    cells = model.states["cells"]
    assert isinstance(cells.initial, Number)
    assert (cells.initial.value, cells.floor) == (1e6, 1.0)
    other = state("cell/uL", "CAR T cells", initial=2.0)
    model = declare(
        cells=other,
        blood=None,
        equations=lambda b: {ddt(other): where(time < b["peak"], b["growth"], 0) * other},
        outputs={"car_t_blood": other},
    )
    assert (other.initial.value, other.floor) == (2000.0, pytest.approx(1e-3))


def test_events_are_canonical():
    def events(b):
        return [
            bolus(b["cells"], 1e8, at=0),
            infusion(b["cells"], 2e8, at=b["peak"], duration=0.5),
            reset(b["growth"], 0.1, at=3),
            reset(b["cells"], b["cells"] / 2, at=4),
        ]

    model = declare(events=lambda b: events(b))
    assert [e.kind for e in model.events] == ["bolus", "infusion", "set", "set"]
    assert model.events[0].amount.value == 1e8
    assert model.events[1].at is model.parameters["peak"]
    assert model.events[1].duration.value == 0.5


def test_a_model_is_never_instantiated():
    with pytest.raises(DeclarationError, match="write SmallModel, not SmallModel"):
        declare()()


def test_models_do_not_collide():
    first, second = declare(), declare()
    assert first.states["cells"] is not second.states["cells"]
    assert first.fingerprint == second.fingerprint


def shared_symbol(b):
    return {ddt(b["cells"]): b["growth"] * declare().states["cells"]}


WRONG = {
    "no equation": (dict(equations={}), "no equation for cells; add ddt"),
    "equation twice": (
        dict(equations=lambda b: {ddt(b["cells"]): 0, **{ddt(b["cells"]): b["growth"] * b["cells"]}}),
        r"ddt\(cells\) has two equations",
    ),
    "left side": (dict(equations=lambda b: {b["cells"]: 0}), r"the left side of an equation is ddt\(state\)"),
    "no state": (dict(cells=None), "needs at least one state"),
    "unused parameter": (dict(extra=parameter(1, "1", "nothing")), "parameter extra .* is used nowhere"),
    "unused formula": (dict(extra=lambda b: b["growth"] * b["peak"]), "the formula extra is used nowhere"),
    "other model's state": (dict(equations=shared_symbol), "unknown name in the formula 'cells'"),
    "unnamed state": (
        dict(equations=lambda b: {ddt(b["cells"]): b["growth"] * state("cell", "lost cells")}),
        "an unnamed state .lost cells.",
    ),
    "wrong unit of a rate": (
        dict(equations=lambda b: {ddt(b["cells"]): b["growth"] * b["cells"] * where(time < b["peak"], 1, 2) * b["blood"]}),
        r"ddt\(cells\) must be in cell/day, but .* is in cell cm\*\*3/day",
    ),
    "sum of unlike units": (
        dict(outputs=lambda b: {"car_t_blood": (b["cells"] + b["growth"]) / b["blood"]}),
        r"cannot add cells \[cell\] and growth \[1/day\]",
    ),
    "number with a unit": (
        dict(equations=lambda b: {ddt(b["cells"]): maximum(b["growth"] * where(time < b["peak"], 1, 2), 0.1) * b["cells"]}),
        "0.1 has no unit: declare it as a parameter",
    ),
    "exp of days": (dict(outputs=lambda b: {"car_t_blood": b["cells"] / b["blood"] * exp(time)}), "exp needs a number without"),
    "log of cells": (dict(outputs=lambda b: {"car_t_blood": log(b["cells"]) / b["blood"]}), "log needs a number without"),
    "power of a unit": (
        dict(outputs=lambda b: {"car_t_blood": b["cells"] ** (b["growth"] * b["peak"]) / b["blood"]}),
        r"can be raised to a number only",
    ),
    "exponent with a unit": (dict(outputs=lambda b: {"car_t_blood": 2 ** b["cells"] / b["blood"]}), "an exponent has no unit"),
    "time not alone": (
        dict(equations=lambda b: {ddt(b["cells"]): where(2 * time < b["peak"], 1, 2) * b["growth"] * b["cells"]}),
        "time must stand alone",
    ),
    "condition as a number": (
        dict(equations=lambda b: {ddt(b["cells"]): (time < b["peak"]) * b["growth"] * b["cells"]}),
        "is used as a number",
    ),
    "unknown output": (dict(outputs=lambda b: {"car_t_blod": b["cells"]}), "did you mean 'car_t_blood'"),
    "output in another dimension": (dict(outputs=lambda b: {"car_t_blood": b["cells"]}), "reported in cell/uL"),
    "word with another unit": (
        dict(outputs=lambda b: {"car_t_blood": output(b["cells"], "cell")}),
        "measures something else",
    ),
    "output named as a state": (dict(outputs=lambda b: {"cells": output(b["cells"], "cell", "x")}), "cannot name an output"),
    "no outputs": (dict(outputs={}), "a model reports something"),
    "unknown unit": (dict(growth=parameter(1, "1/dya", "growth")), "growth: unknown unit in '1/dya'"),
    "value out of limits": (dict(peak=parameter(-1, "day", "peak")), "lies outside its limits"),
    "value not finite": (dict(peak=parameter(float("nan"), "day", "peak")), "must be a finite number of day, got nan"),
    "value no number": (dict(peak=parameter("9", "day", "peak")), "must be a finite number of day, got '9'"),
    "limits": (dict(peak=parameter(1, "day", "peak", limits=(2, 1))), r"limits must be a pair"),
    "spread": (dict(peak=parameter(1, "day", "peak", spread=0.4)), r"spread must be lognormal\(sd\)"),
    "spread below zero": (dict(peak=parameter(1, "day", "peak", spread=lognormal(-1))), "the sd of a spread"),
    "logitnormal": (dict(peak=parameter(1, "day", "peak", spread=logitnormal(1))), "needs finite limits"),
    "no meaning": (dict(peak=parameter(1, "day", "")), "needs a meaning in plain words"),
    "source of the model": (dict(source="kimel2021"), "did you mean 'kimmel2021'"),
    "source of a number": (dict(peak=parameter(1, "day", "peak", source="stein2018: table 1")), "did you mean 'stein2019'"),
    "misspelt part": (dict(equatoins={}), "unknown part of a model 'equatoins'; did you mean 'equations'"),
    "bare number": (dict(rate=0.5), "rate = 0.5 has no unit and no source"),
    "reserved name": (dict(rates=parameter(1, "1", "x")), "'rates' cannot name a parameter"),
    "time as a name": (dict(time=parameter(1, "1", "x")), "'time' cannot name a parameter"),
    "initial value with a unit": (
        dict(cells=lambda b: state("cell", "x", initial=b["peak"])), "initial value of cells must be in cell",
    ),
    "initial value with time": (dict(cells=state("cell", "x", initial=time)), "may use parameters, not time"),
    "initial value not finite": (dict(cells=state("cell", "x", initial=float("inf"))), "is inf with the declared"),
    "floor": (dict(cells=state("cell", "x", floor=0)), "floor must be a positive number"),
    "dose in days": (dict(events=lambda b: [bolus(b["cells"], b["peak"], at=0)]), "bolus of cells must be in cell"),
    "dose at a state": (dict(events=lambda b: [bolus(b["cells"], 1, at=b["cells"])]), "may use parameters, not the state"),
    "dose into a parameter": (dict(events=lambda b: [bolus(b["peak"], 1, at=0)]), "a bolus needs a state of this model"),
    "no event": (dict(events=lambda b: [b["cells"]]), "events must hold event values"),
    "unknown set parameter": (dict(parameter_sets={"a": {"peek": 1.0}}), "did you mean 'peak'"),
    "set out of limits": (dict(parameter_sets={"a": {"peak": -1.0}}), "peak must be between 0 and inf, got -1.0"),
    "not a number": (dict(outputs=lambda b: {"car_t_blood": b["cells"] / b["blood"] * float("nan")}), "contains NaN"),
    "text in a formula": (dict(equations=lambda b: {ddt(b["cells"]): "growth"}), "a formula takes numbers"),
}  # fmt: skip

FORMULA_PARTS = ("cells", "growth", "peak", "blood")


def rebuild(changes: dict[str, Any]) -> dict[str, Any]:
    """Where a state or parameter is replaced, let the default formulas use the new one."""
    if not any(name in FORMULA_PARTS for name in changes):
        return changes
    formulas = {
        "equations": lambda b: {ddt(b["cells"]): where(time < b["peak"], b["growth"], -b["growth"]) * b["cells"]},
        "outputs": lambda b: {"car_t_blood": b["cells"] / b["blood"]},
    }
    return {**changes, **formulas} if changes.get("cells", 1) is not None else changes


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_named(case):
    changes, message = WRONG[case]
    with pytest.raises(DeclarationError, match=message) as caught:
        declare(**rebuild(changes))
    assert "/work" not in str(caught.value)


def test_condition_without_where():
    with pytest.raises(DeclarationError, match="no truth value"):
        bool(time < parameter(1, "day", "x"))
    with pytest.raises(DeclarationError, match="needs a comparison"):
        where(True, 1, 2)


def test_a_model_stands_alone():
    parent = declare()
    with pytest.raises(DeclarationError, match="inherits from SmallModel"):
        type("Child", (parent,), {})


class TestJumps:
    def jumping(self, birth, death, rate=None, below=100, unit="cell"):
        tumour = state(unit, "tumour", initial=1e9)
        growth = parameter(0.1, "1/day", "growth")
        kill = parameter(0.2, "1/day", "kill")
        born, died = birth(tumour, growth, kill), death(tumour, growth, kill)
        body = {
            "tumour": tumour,
            "growth": growth,
            "kill": kill,
            "equations": {ddt(tumour): growth * tumour - kill * tumour if rate is None else rate(tumour, growth, kill)},
            "jumps": [birth_death(tumour, birth=born, death=died, below=below)],
            "outputs": {"tumour_cells": tumour},
        }
        return type("Jumping", (Model,), body)

    def test_right(self):
        (jump,) = self.jumping(lambda t, g, k: g * t, lambda t, g, k: t * k).jumps
        assert (jump.below, jump.above) == (100, 200)

    @pytest.mark.parametrize(
        ("birth", "death", "message"),
        [
            (lambda t, g, k: 2 * g * t, lambda t, g, k: k * t, "must be birth - death"),
            (lambda t, g, k: g * t - k * t, lambda t, g, k: 0, "become negative"),
            (lambda t, g, k: g, lambda t, g, k: k * t, "must be in cell/day"),
            (lambda t, g, k: g * t + k * 0 + g * maximum(t, 0), lambda t, g, k: k * t + g * t, None),
        ],
    )
    def test_wrong(self, birth, death, message):
        if message is None:
            assert self.jumping(birth, death).jumps
        else:
            with pytest.raises(DeclarationError, match=message):
                self.jumping(birth, death)

    def test_birth_out_of_nothing(self):
        source = parameter(3, "cell/day", "inflow")
        tumour = state("cell", "tumour")
        body = {
            "source_of_cells": source,
            "tumour": tumour,
            "equations": {ddt(tumour): source},
            "jumps": [birth_death(tumour, birth=source, death=0)],
            "outputs": {"tumour_cells": tumour},
        }
        with pytest.raises(DeclarationError, match="must be 0 when tumour is 0"):
            type("Inflow", (Model,), body)

    @pytest.mark.parametrize("below", [0, float("nan"), -5])
    def test_threshold(self, below):
        with pytest.raises(DeclarationError, match="1 <= below <= above"):
            self.jumping(lambda t, g, k: g * t, lambda t, g, k: k * t, below=below)

    def test_only_cells(self):
        with pytest.raises(DeclarationError, match="only a state in 'cell'"):
            type("Small", (Model,), self.volume_body())

    def volume_body(self):
        tumour = state("mL", "tumour", initial=1.0)
        growth = parameter(0.1, "1/day", "growth")
        return {
            "tumour": tumour,
            "growth": growth,
            "equations": {ddt(tumour): growth * tumour},
            "jumps": [birth_death(tumour, birth=growth * tumour, death=0)],
            "outputs": {"tumour_volume": tumour},
        }


class TestCanonical:
    def test_defaults_and_overrides(self):
        model = declare()
        values = model.canonical({"blood": [4.0, 5.0], "growth": 1})
        assert {n: v.shape for n, v in values.items()} == {"growth": (), "peak": (), "blood": (2,)}
        assert values["blood"] == pytest.approx([4000, 5000])
        assert values["growth"] == 1.0

    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            ({"peek": 1}, "unknown parameter of small_model 'peek'; did you mean 'peak'"),
            ({"peak": [1.0, np.nan, 2.0]}, "got nan in row 1"),
            ({"peak": -1.2}, "must be a finite number between 0 and inf day, got -1.2"),
            ({"peak": np.inf}, "got inf"),
            ({"peak": "nine"}, "must be a number or an array of numbers"),
            ({"peak": None}, "must be a number or an array of numbers"),
            ({"peak": True}, "must be a number or an array of numbers"),
            ({"peak": [[1.0]]}, "one value per patient"),
            ({"peak": [1.0, 2.0], "blood": [1.0, 2.0, 3.0]}, "2 values of peak, 3 values of blood"),
        ],
    )
    def test_wrong_values(self, overrides, message):
        with pytest.raises(InputError, match=message):
            declare().canonical(overrides)


def test_spreads():
    assert lognormal(0.5).apply(2.0, [0.0, 1.0]) == pytest.approx([2.0, 2.0 * np.exp(0.5)])
    assert normal(0.5).apply(2.0, 1.0) == 2.5
    assert normal(0.05, relative=True).apply(200.0, -1.0) == pytest.approx(190.0)
    assert logitnormal(1.0).apply(0.2, 0.0) == pytest.approx(0.2)
    assert logitnormal(3.0).apply(5.0, [-9.0, 9.0], limits=(4.0, 8.0)) == pytest.approx([4.0, 8.0], abs=1e-6)


def test_a_word_of_ones_own():
    model = declare(outputs=lambda b: {"marrow": output(b["cells"] / b["blood"], "cell/mL", "CAR T cells in marrow")})
    assert (model.outputs["marrow"].unit, model.outputs["marrow"].factor) == ("cell/mL", 1.0)
