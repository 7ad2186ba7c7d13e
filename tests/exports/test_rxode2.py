"""The rxode2 text, read by R's rules and integrated by SciPy."""

import re

import numpy as np
import pytest

from livingdrug.exports.rxode2 import to_rxode2
from livingdrug.library import load_model, model_names

TOLERANCE = 1e-6  # of each output's largest value: far more than two solvers differ by, far less than any mistake


def grammar_of(language):
    """Operators of R: ^ before the sign, then * and /, + and -, comparisons, && and ||; no whole numbers."""
    binary = {"^": (14, True, "power"), "*": (12, False, "*"), "/": (12, False, "divide")}
    binary |= {"+": (11, False, "+"), "-": (11, False, "-")}
    binary |= {sign: (9, False, sign) for sign in ("<", "<=", ">", ">=")}
    binary |= {"&&": (7, False, "and"), "||": (6, False, "or")}
    return language.Grammar(
        tokens=r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[A-Za-z][\w.]*|<=|>=|&&|\|\||[-+*/^()<>,]",
        binary=binary,
        functions={name: name for name in ("exp", "log", "sqrt", "abs", "min", "max")} | {"ifelse": "choice"},
        number=lambda token: (repr(float(token)), "real"),
        sign=13,
    )


def inside(text, name):
    return re.search(rf"^  {name}\(\{{\n(.*?)^  \}}\)", text, re.MULTILINE | re.DOTALL)[1].splitlines()


def initial_values(lines):
    """Names to typical values; random effects are 0 unless a test says otherwise; every limit holds the value."""
    start, variances = {}, {}
    for line in map(str.strip, lines):
        if line.startswith("label("):
            assert re.fullmatch(r'label\("[^"\\]*"\)', line)
        elif " ~ " in line:
            name, value = line.split(" ~ ")
            start[name], variances[name] = 0.0, float(value)
        else:
            name, given = line.split(" <- ")
            numbers = [float(n) for n in re.findall(r"-?[\d.]+(?:e[+-]?\d+)?|-?Inf", given)]
            start[name] = numbers[1] if given.startswith("c(") else numbers[0]
            assert not given.startswith("c(") or sorted(numbers) == numbers
    return start, variances


def event(language, line, states):
    found = dict(re.findall(r"(\w+) = \"?([^,\")]+)", line))
    state, at, amount = states.index(found["cmt"]), float(found["time"]), float(found["amt"])
    if "rate" in found:
        return language.Given("rate", state, at, float(found["rate"]), at + amount / float(found["rate"]))
    return language.Given("set" if found.get("evid") == "5" else "add", state, at, amount)


def read(language, text, deviates=None):
    start, _ = initial_values(inside(text, "ini"))
    assert not set(deviates or {}) - set(start)
    start |= deviates or {}
    lines, states, after = [], [], []
    for line in inside(text, "model"):
        target, expression = line.split("#")[0].strip().split(" <- ")
        if begins := re.fullmatch(r"(\w+)\(0\)", target):
            target = f"{begins[1]}(0)"
        elif slope := re.fullmatch(r"d/dt\((\w+)\)", target):
            states.append(slope[1])
            after = []
        else:
            after.append(target)
        lines.append((0, target, expression))
    run = language.statements(grammar_of(language), lines)
    events = re.findall(r"^# +(et\(.*\))$", text, re.MULTILINE)
    start |= dict.fromkeys(states, 0.0)
    return language.Reading(
        states=states, clock=dict.fromkeys(("prepare", "rates", "report"), "t"), start=start, prepare=run, rates=run,
        report=run, initial=[f"{s}(0)" for s in states], slopes=[f"d/dt({s})" for s in states],
        outputs=after, doses=[event(language, line, states) for line in events],
    )  # fmt: skip


def test_events_conditions_and_reserved_words(language, awkward):
    text = to_rxode2(awkward)
    assert language.disagreement(awkward, read(language, text), {}, days=20) < TOLERANCE


@pytest.mark.parametrize("name", model_names())
def test_the_text_gives_the_course_of_the_engine(language, name):
    model = load_model(name)
    reading = read(language, to_rxode2(model))
    assert len(reading.outputs) == len(model.outputs)
    assert language.disagreement(model, reading, {}) < TOLERANCE


@pytest.mark.parametrize("name", [n for n in model_names() if load_model(n).has_variability()])
def test_random_effects_are_the_declared_spreads(language, name):
    """A patient one standard deviation off in every parameter: Spread.apply of the model is the expected value."""
    model = load_model(name)
    text = to_rxode2(model)
    _, variances = initial_values(inside(text, "ini"))
    spread = {n: p for n, p in model.parameters.items() if p.spread}
    assert list(variances.values()) == pytest.approx([p.spread.sd**2 for p in spread.values()])
    values = {n: float(np.clip(p.spread.apply(p.value, 0.5, p.limits), *p.limits)) for n, p in spread.items()}
    reading = read(language, text, {n: 0.5 * v**0.5 for n, v in variances.items()})
    assert language.disagreement(model, reading, values, days=30) < TOLERANCE


@pytest.mark.parametrize(
    "change",
    [
        ("missing_t^2.0/(", "missing_t^2.0/growth_signal_width_i*("),
        ("log(all_t/car_t_capacity_i)", "log(car_t_capacity_i/all_t)"),
        ("*0.001", ""),
    ],
)
def test_the_reader_finds_a_mistake(language, change):
    model = load_model("kimmel2021")
    text = to_rxode2(model)
    assert change[0] in text
    assert language.disagreement(model, read(language, text.replace(*change)), {}) > 1e-3
