"""Small declared models with closed solutions; a kernel costs about a second to compile, so the tests share them."""

from types import SimpleNamespace

import pytest
from scipy.integrate import solve_ivp

from livingdrug.model import (
    Model,
    birth_death,
    bolus,
    ddt,
    exp,
    infusion,
    output,
    parameter,
    state,
    time,
    where,
)
from livingdrug.model.expressions import evaluate
from livingdrug.model.expressions import time as clock


class OneCompartment(Model):
    """A drug in one compartment: every course has a closed form."""

    clearance = parameter(2.0, "L/day", "clearance")
    volume = parameter(10.0, "L", "volume of distribution")
    before = parameter(0.0, "mg", "drug there at the start")
    drug = state("mg", "drug in the body", initial=before)
    equations = {ddt(drug): -clearance / volume * drug}
    outputs = {"concentration": output(drug / volume, "mg/L", "concentration in plasma")}


class Logistic(Model):
    """Growth to a capacity: K / (1 + (K/x0 - 1) exp(-r t))."""

    growth = parameter(0.5, "1/day", "growth rate")
    capacity = parameter(1e6, "cell", "capacity")
    start = parameter(10.0, "cell", "cells at the start")
    cells = state("cell", "cells", initial=start)
    equations = {ddt(cells): growth * cells * (1 - cells / capacity)}
    outputs = {"car_t_total": cells}


class Robertson(Model):
    """The stiff chemical problem of Robertson 1966 (Hairer and Wanner II, IV.10), time in days instead of seconds."""

    slow = parameter(0.04, "1/day", "first rate")
    fast = parameter(3e7, "1/day", "second rate")
    middle = parameter(1e4, "1/day", "third rate")
    a = state("1", "first species", initial=1.0, floor=1e-10)
    b = state("1", "second species", floor=1e-10)
    c = state("1", "third species", floor=1e-10)
    _back = middle * b * c
    _forward = slow * a
    _on = fast * b * b
    equations = {ddt(a): _back - _forward, ddt(b): _forward - _back - _on, ddt(c): _on}
    outputs = {"first": output(a, "1", "first species")}


class Lotka(Model):
    """Predator and prey."""

    birth = parameter(1.1, "1/day", "births of prey")
    eaten = parameter(0.4, "1/day", "rate at which prey are eaten")
    gain = parameter(0.1, "1/day", "births of predators per prey")
    death = parameter(0.4, "1/day", "deaths of predators")
    prey = state("1", "prey", initial=10.0)
    predator = state("1", "predators", initial=10.0)
    equations = {
        ddt(prey): birth * prey - eaten * prey * predator,
        ddt(predator): gain * prey * predator - death * predator,
    }
    outputs = {"both": output(prey + predator, "1", "all animals")}


class Chain(Model):
    """A linear chain with rates from 1000 to 0.01 per day, driven by time; solved exactly by a matrix exponential."""

    quick = parameter(1000.0, "1/day", "first rate")
    medium = parameter(3.0, "1/day", "second rate")
    slow = parameter(0.01, "1/day", "third rate")
    first = state("1", "first", initial=1.0, floor=1e-8)
    second = state("1", "second", floor=1e-8)
    third = state("1", "third", initial=2.0, floor=1e-8)
    equations = {
        ddt(first): -quick * first + medium * second,
        ddt(second): quick * first - 2 * medium * second + slow * third,
        ddt(third): medium * second - slow * third,
    }
    outputs = {"last": output(third, "1", "third")}


class Switched(Model):
    """Growth until a day that is a parameter, then decline; values jump in slope there."""

    turn = parameter(3.0, "day", "day of the turn")
    growth = parameter(0.9, "1/day", "growth before")
    decline = parameter(0.3, "1/day", "decline after")
    x = state("1", "quantity", initial=1.0)
    equations = {ddt(x): where(time < turn, growth, -decline) * x}
    outputs = {"slope": output(where(time < turn, growth, -decline), "1/day", "relative rate of change")}


class Swing(Model):
    """An oscillator: x = sin(w t), y = cos(w t)."""

    w = parameter(1.0, "1/day", "angular frequency")
    x = state("1", "place", initial=0.0, floor=1.0)
    y = state("1", "speed", initial=1.0, floor=1.0)
    equations = {ddt(x): w * y, ddt(y): -w * x}
    outputs = {"square": output(x * x, "1", "square of the place")}


class Explosion(Model):
    """y' = k y^2 reaches infinity on day 1 / (k y0)."""

    k = parameter(0.1, "1/day", "rate")
    calm = state("1", "something that stays", initial=1.0)
    y = state("1", "something that explodes", initial=1.0)
    equations = {ddt(calm): 0 * k, ddt(y): k * y * y}
    outputs = {"size": output(y, "1", "size")}


class Treated(Model):
    """One compartment with a bolus and an infusion of its own, at days and with amounts that are parameters."""

    clearance = parameter(2.0, "L/day", "clearance")
    volume = parameter(10.0, "L", "volume of distribution")
    before = parameter(20.0, "mg", "drug there at the start")
    dose = parameter(100.0, "mg", "bolus")
    dose_day = parameter(1.0, "day", "day of the bolus")
    infused = parameter(60.0, "mg", "amount infused")
    infusion_day = parameter(2.0, "day", "start of the infusion")
    infusion_length = parameter(1.5, "day", "length of the infusion")
    drug = state("mg", "drug in the body", initial=before)
    equations = {ddt(drug): -clearance / volume * drug}
    events = [bolus(drug, dose, at=dose_day), infusion(drug, infused, at=infusion_day, duration=infusion_length)]
    outputs = {"concentration": output(drug / volume, "mg/L", "concentration in plasma")}


class Clone(Model):
    """Cells that divide and die at constant rates: Kendall 1948."""

    birth = parameter(0.3, "1/day", "divisions per cell")
    death = parameter(0.5, "1/day", "deaths per cell")
    start = parameter(20.0, "cell", "cells at the start")
    cells = state("cell", "cells", initial=start)
    equations = {ddt(cells): birth * cells - death * cells}
    jumps = [birth_death(cells, birth=birth * cells, death=death * cells, below=100)]
    outputs = {"tumour_cells": cells}


class Waning(Model):
    """Cells under a drug that wears off: the death rate falls as death * exp(-wane t)."""

    birth = parameter(0.2, "1/day", "divisions per cell")
    death = parameter(2.0, "1/day", "deaths per cell at the start")
    wane = parameter(0.3, "1/day", "rate at which the drug wears off")
    start = parameter(30.0, "cell", "cells at the start")
    cells = state("cell", "cells", initial=start)
    _dying = death * exp(-wane * time)
    equations = {ddt(cells): birth * cells - _dying * cells}
    jumps = [birth_death(cells, birth=birth * cells, death=_dying * cells, below=100)]
    outputs = {"tumour_cells": cells}


class Crowded(Model):
    """Cells that die by crowding: the deaths are not proportional to the number."""

    birth = parameter(0.3, "1/day", "divisions per cell")
    crowd = parameter(1e-3, "1/cell/day", "deaths per pair of cells")
    start = parameter(20.0, "cell", "cells at the start")
    cells = state("cell", "cells", initial=start)
    equations = {ddt(cells): birth * cells - crowd * cells * cells}
    jumps = [birth_death(cells, birth=birth * cells, death=crowd * cells * cells, below=100)]
    outputs = {"tumour_cells": cells}


class CrowdedUnnoticed(Model):
    """The same, but a step of the solve does not end at each birth and death."""

    birth = parameter(0.3, "1/day", "divisions per cell")
    crowd = parameter(1e-3, "1/cell/day", "deaths per pair of cells")
    start = parameter(20.0, "cell", "cells at the start")
    cells = state("cell", "cells", initial=start)
    equations = {ddt(cells): birth * cells - crowd * cells * cells}
    jumps = [birth_death(cells, birth=birth * cells, death=crowd * cells * cells, below=100, noticed=False)]
    outputs = {"tumour_cells": cells}


def _hunted(noticed: bool) -> type[Model]:
    class Hunted(Model):
        """Cells that hunters kill; hunters wear off and feed on cells, far too many to feel the last hundred."""

        birth = parameter(0.1, "1/day", "divisions per cell")
        kill = parameter(1e-9, "1/cell/day", "kills per hunter")
        wane = parameter(0.05, "1/day", "rate at which hunters wear off")
        food = parameter(1e-6, "1/day", "hunters per cell and day")
        start = parameter(1e4, "cell", "cells at the start")
        cells = state("cell", "cells", initial=start)
        hunters = state("cell", "hunters", initial=1e9)
        equations = {
            ddt(cells): birth * cells - kill * hunters * cells,
            ddt(hunters): food * cells - wane * hunters,
        }
        jumps = [birth_death(cells, birth=birth * cells, death=kill * hunters * cells, below=100, noticed=noticed)]
        outputs = {"tumour_cells": cells, "car_t_total": hunters}

    return Hunted


Hunted, HuntedUnnoticed = _hunted(True), _hunted(False)


MODELS = SimpleNamespace(
    **{k: v for k, v in vars().items() if isinstance(v, type) and issubclass(v, Model) and v is not Model}
)


@pytest.fixture(scope="session")
def models():
    """The declared models by class name."""
    return MODELS


def _reference(model, overrides, times, method="Radau", rtol=1e-12, atol=1e-14):
    """States of one patient (time, state) by SciPy on the plain formulas: nothing is shared with the engine."""
    fixed = {model.parameters[n]: float(v) for n, v in model.canonical(overrides).items()}
    states = list(model.states.values())

    def slope(t, y):
        values = {**fixed, **dict(zip(states, y, strict=True)), clock: t}
        return [float(evaluate(model.rates[s], values)) for s in states]

    start = [float(evaluate(s.initial, fixed)) for s in states]
    run = solve_ivp(slope, (0, max(times)), start, t_eval=times, method=method, rtol=rtol, atol=atol)
    assert run.success, run.message
    return run.y.T


@pytest.fixture(scope="session")
def reference():
    """``reference(model, overrides, times, method=, rtol=, atol=)``: canonical states, shape (time, state)."""
    return _reference
