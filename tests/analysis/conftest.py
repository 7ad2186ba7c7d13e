"""Declared models whose sensitivities, intervals and outcomes are known in closed form."""

from types import SimpleNamespace

import pytest

from livingdrug.model import Model, ddt, lognormal, output, parameter, state, time, where

ANY = (-10.0, 10.0)


class Ishigami(Model):
    """sin x1 + 7 sin^2 x2 + 0.1 x3^4 sin x1 on day 1: the sines are solutions of s' = x c, c' = -x s."""

    x1 = parameter(1.0, "1/day", "first", limits=ANY)
    x2 = parameter(1.0, "1/day", "second", limits=ANY)
    x3 = parameter(1.0, "1", "third", limits=ANY)
    sine1 = state("1", "sine of x1 t", floor=1.0)
    cosine1 = state("1", "cosine of x1 t", initial=1.0, floor=1.0)
    sine2 = state("1", "sine of x2 t", floor=1.0)
    cosine2 = state("1", "cosine of x2 t", initial=1.0, floor=1.0)
    equations = {
        ddt(sine1): x1 * cosine1,
        ddt(cosine1): -x1 * sine1,
        ddt(sine2): x2 * cosine2,
        ddt(cosine2): -x2 * sine2,
    }
    outputs = {"ishigami": output(sine1 + 7 * sine2 * sine2 + 0.1 * x3 * x3 * x3 * x3 * sine1, "1", "Ishigami")}
    follow_up = 1.0


class Product(Model):
    """A product of three log-normal numbers, which never changes."""

    a = parameter(2.0, "1", "first", spread=lognormal(0.5))
    b = parameter(3.0, "1", "second", spread=lognormal(0.3))
    c = parameter(4.0, "1", "third", spread=lognormal(0.2))
    still = state("1", "nothing", initial=1.0)
    equations = {ddt(still): 0 * a}
    outputs = {"product": output(a * b * c * still, "1", "product")}
    follow_up = 1.0


class Line(Model):
    """offset + slope t: the simplest linear model."""

    offset = parameter(10.0, "1", "value on day 0")
    slope = parameter(2.0, "1/day", "rise per day")
    x = state("1", "height", initial=offset)
    equations = {ddt(x): slope}
    outputs = {"height": output(x, "1", "height")}


class Decay(Model):
    """Falls at a rate that is the product of two parameters: no data can tell them apart."""

    a = parameter(0.5, "1/day", "first factor")
    b = parameter(1.0, "1", "second factor")
    start = parameter(8.0, "1", "start")
    x = state("1", "amount", initial=start)
    equations = {ddt(x): -a * b * x}
    outputs = {"amount": output(x, "1", "amount")}


class Treated(Model):
    """A tumour that is killed until a day and grows again: start exp(growth t - kill min(t, stop))."""

    growth = parameter(0.1, "1/day", "growth")
    kill = parameter(0.5, "1/day", "killing")
    stop = parameter(20.0, "day", "last day of killing")
    tumour = state("cell", "tumour", initial=1e6)
    equations = {ddt(tumour): where(time < stop, growth - kill, growth) * tumour}
    outputs = {"tumour_cells": tumour}
    follow_up = 100.0


class Explosion(Model):
    """y' = k y^2 reaches infinity on day 1 / k."""

    k = parameter(0.1, "1/day", "rate")
    other = parameter(1.0, "1", "factor of the output")
    y = state("1", "size", initial=1.0)
    equations = {ddt(y): k * y * y}
    outputs = {"size": output(other * y, "1", "size")}
    follow_up = 10.0


MODELS = SimpleNamespace(
    **{k: v for k, v in vars().items() if isinstance(v, type) and issubclass(v, Model) and v is not Model}
)


@pytest.fixture(scope="session")
def models():
    """The declared models by class name."""
    return MODELS
