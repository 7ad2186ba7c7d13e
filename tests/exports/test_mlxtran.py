"""The MLXTRAN text, read by that language's rules and integrated by SciPy."""

import math
import re

import numpy as np
import pytest

from livingdrug.exports.mlxtran import to_mlxtran
from livingdrug.library import load_model, model_names

TOLERANCE = 1e-6  # of each output's largest value: far more than two solvers differ by, far less than any mistake
HEADINGS = r"<MODEL>|<PARAMETER>|<DESIGN>|<OUTPUT>|\[\w+\]|PK:|EQUATION:|OUTPUT:|DEFINITION:"


def grammar_of(language):
    """^ before the sign, this before * and /, then + and -, comparisons, && and ||."""
    binary = {"^": (14, True, "power"), "*": (12, False, "*"), "/": (12, False, "divide")}
    binary |= {"+": (11, False, "+"), "-": (11, False, "-")}
    binary |= {sign: (9, False, sign) for sign in ("<", "<=", ">", ">=")}
    binary |= {"&&": (7, False, "and"), "||": (6, False, "or")}
    return language.Grammar(
        tokens=r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[A-Za-z]\w*|<=|>=|&&|\|\||[-+*/^()<>,]",
        binary=binary,
        functions={name: name for name in ("exp", "log", "sqrt", "abs", "min", "max")},
        number=lambda token: (repr(float(token)), "real"),
        sign=13,
    )


def sections(text):
    """Heading to lines, comments taken off; a heading that comes twice is told apart by the one that stands before."""
    found, heading, outer = {}, "", ""
    for line in (line.split(";")[0].rstrip() for line in text.splitlines()):
        if re.fullmatch(HEADINGS, line):
            outer = line if line[0] in "<[" else outer
            heading = line if line == outer else f"{outer} {line}"
            assert heading not in found
            found[heading] = []
        elif line:
            found.setdefault(heading, []).append(line)
    return found


def names_in(line):
    return re.findall(r"\w+", line.partition("=")[2])


def individuals(lines, start, z):
    """Draw each parameter from its distribution, ``z`` standard deviations off."""
    for line in lines:
        name, kind, typical, sd, rest = re.fullmatch(
            r"(\w+) = \{distribution=(\w+), typical=(\w+), sd=(\w+)(.*)\}", line
        ).groups()
        value, off = start[typical], z * start[sd]
        if kind == "lognormal":
            start[name] = value * math.exp(off)
        elif kind == "normal":
            start[name] = value + off
        else:
            low, high = (float(n) for n in re.findall(r"=([-\d.e+]+)", rest))
            logit = math.log((value - low) / (high - value)) + off
            start[name] = low + (high - low) / (1 + math.exp(-logit))


def doses(language, found, states):
    targets = {}
    for line in found.get("[LONGITUDINAL] PK:", []):
        macro, number, target, replaces = re.fullmatch(
            r"(depot|empty)\(adm=(\d+), target=(\w+)(, p=1-\w+/amtDose)?\)", line
        ).groups()
        targets[number] = (states.index(target), "empty" if macro == "empty" else "set" if replaces else "add")
    given = []
    for line in found.get("[ADMINISTRATION]", []):
        told = dict(re.findall(r"(\w+)=([\d.e+-]+)", line))
        state, kind = targets[told["type"]]
        at, amount = float(told["time"]), float(told["amount"])
        if "rate" in told:
            given.append(language.Given("rate", state, at, float(told["rate"]), at + amount / float(told["rate"])))
        else:
            amount = 0.0 if kind == "empty" else amount
            given.append(language.Given("set" if kind == "empty" else kind, state, at, amount))
    return given


def read(language, text, z=0.0):
    found = sections(text)
    start = {name: float(value) for name, value in (line.split(" = ") for line in found["<PARAMETER>"])}
    individuals(found.get("[INDIVIDUAL] DEFINITION:", []), start, z)
    inputs = names_in(found["[LONGITUDINAL]"][0])
    start = {name: start[name] for name in inputs}
    lines, depth = [], 0
    for line in map(str.strip, found["[LONGITUDINAL] EQUATION:"]):
        if line.startswith("if "):
            lines.append((depth, "if", line[3:]))
            depth += 1
        elif line in ("else", "end"):
            lines.append((depth - 1, line, ""))
            depth -= line == "end"
        elif line != "odeType = stiff":
            name, expression = line.split(" = ")
            lines.append((depth, name, expression))
    states = [name.removeprefix("ddt_") for _, name, _ in lines if name.startswith("ddt_")]
    run = language.statements(grammar_of(language), lines)
    outputs = names_in(found["[LONGITUDINAL] OUTPUT:"][0])
    assert names_in(found["<OUTPUT>"][0]) == outputs
    return language.Reading(
        states=states, clock=dict.fromkeys(("prepare", "rates", "report"), "t"),
        start=start | dict.fromkeys(states, 0.0), prepare=run, rates=run, report=run,
        initial=[f"{s}_0" for s in states], slopes=[f"ddt_{s}" for s in states], outputs=outputs,
        doses=doses(language, found, states),
    )  # fmt: skip


def test_events_conditions_and_reserved_words(language, awkward):
    text = to_mlxtran(awkward)
    assert language.disagreement(awkward, read(language, text), {}, days=20) < TOLERANCE


@pytest.mark.parametrize("name", model_names())
def test_the_text_gives_the_course_of_the_engine(language, name):
    model = load_model(name)
    assert language.disagreement(model, read(language, to_mlxtran(model)), {}) < TOLERANCE


@pytest.mark.parametrize("name", [n for n in model_names() if load_model(n).has_variability()])
def test_distributions_are_the_declared_spreads(language, name):
    """A patient half a standard deviation off in every parameter: Spread.apply of the model is the expected value."""
    model = load_model(name)
    spread = {n: p for n, p in model.parameters.items() if p.spread}
    values = {n: float(np.clip(p.spread.apply(p.value, 0.5, p.limits), *p.limits)) for n, p in spread.items()}
    assert language.disagreement(model, read(language, to_mlxtran(model), z=0.5), values, days=30) < TOLERANCE


@pytest.mark.parametrize(
    "change", [("if t < peak_day", "if t > peak_day"), ("typical=decline_pop", "typical=contraction_pop")]
)
def test_the_reader_finds_a_mistake(language, change):
    model = load_model("stein2019")
    text = to_mlxtran(model)
    assert change[0] in text
    assert language.disagreement(model, read(language, text.replace(*change)), {}) > 1e-3
