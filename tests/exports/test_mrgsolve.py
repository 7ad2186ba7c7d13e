"""The mrgsolve text, read by C++'s rules and integrated by SciPy; and checked by a C++ compiler where there is one."""

import re
import shutil
import subprocess

import pytest

from livingdrug.exports.mrgsolve import to_mrgsolve
from livingdrug.library import load_model, model_names

TOLERANCE = 1e-6  # of each output's largest value: what two solvers at 1e-10 agree on after sharp switches


def blocks_of(text):
    parts = re.split(r"^\$(\w+)", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def bare(block):
    return [line.split("//")[0].strip() for line in block.splitlines() if line.split("//")[0].strip()]


def number(token):
    return (repr(float(token)), "real") if set(token) & set(".e") else (token, "whole")


def grammar_of(language):
    """Operators of C++: * and / before + and -, these before comparisons, && before ||, ?: last; ^ is no power."""
    binary = {"*": (13, False, "*"), "/": (13, False, "divide"), "+": (12, False, "+"), "-": (12, False, "-")}
    binary |= {sign: (9, False, sign) for sign in ("<", "<=", ">", ">=")}
    binary |= {"&&": (5, False, "and"), "||": (4, False, "or")}
    return language.Grammar(
        tokens=r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[A-Za-z_][\w:]*|<=|>=|&&|\|\||[-+*/()<>?:,]",
        binary=binary,
        functions={"exp": "exp", "log": "log", "sqrt": "sqrt", "pow": "power"}
        | {f"std::f{name}": name for name in ("abs", "min", "max")},
        number=number,
        sign=14,
        whole=True,
        choice=True,
    )


def code(language, block):
    lines = []
    for line in bare(block):
        name, expression = re.fullmatch(r"(?:double |capture )?(\w+) = (.*);", line).groups()
        lines.append((0, name, expression))
    return language.statements(grammar_of(language), lines), [name for _, name, _ in lines]


def event(language, line, states):
    found = dict(re.findall(r"(\w+) = \"?([^,\")]+)", line))
    state, at, amount = states.index(found["cmt"]), float(found["time"]), float(found["amt"])
    if "rate" in found:
        return language.Given("rate", state, at, float(found["rate"]), at + amount / float(found["rate"]))
    return language.Given("set" if found.get("evid") == "8" else "add", state, at, amount)


def read(language, text, deviates=None):
    blocks = blocks_of(text)
    start = {name: float(value) for name, value in (line.split(" = ") for line in bare(blocks["PARAM"]))}
    states = bare(blocks["CMT"])
    labels = re.findall(r"ETA_\w+", blocks.get("OMEGA", ""))
    start |= dict.fromkeys(labels, 0.0) | {f"ETA_{name}": z for name, z in (deviates or {}).items()}
    prepare, _ = code(language, blocks["MAIN"])
    rates, _ = code(language, blocks["ODE"])
    report, _ = code(language, blocks["TABLE"])
    outputs = re.findall(r"^capture (\w+)", blocks["TABLE"], re.MULTILINE)
    doses = [event(language, line, states) for line in re.findall(r"// +(ev\(.*\))$", blocks["PROB"], re.MULTILINE)]
    return language.Reading(
        states=states, clock={"prepare": "TIME", "rates": "SOLVERTIME", "report": "TIME"}, start=start,
        prepare=prepare, rates=rates, report=report, initial=[f"{s}_0" for s in states],
        slopes=[f"dxdt_{s}" for s in states], outputs=outputs, doses=doses,
    )  # fmt: skip


def test_events_conditions_and_reserved_words(language, awkward):
    text = to_mrgsolve(awkward)
    assert "The parameter rate is called rate_2 here." in text
    assert language.disagreement(awkward, read(language, text), {}, days=20) < TOLERANCE


@pytest.mark.parametrize("name", model_names())
def test_the_text_gives_the_course_of_the_engine(language, name):
    model = load_model(name)
    assert language.disagreement(model, read(language, to_mrgsolve(model)), {}) < TOLERANCE


def test_a_parameter_set_and_values_are_written(language):
    model = load_model("kimmel2021")
    text = to_mrgsolve(model, "code", {"kill_rate": 1.3})
    values = {**model.parameter_sets["code"], "kill_rate": 1.3}
    assert language.disagreement(model, read(language, text), values) < TOLERANCE


@pytest.mark.parametrize(
    "change",
    [
        ("conversion*effector - decline_i*memory", "conversion*(effector - decline_i)*memory"),
        ("conversion = persistent_fraction_i", "conversion = 1/2*persistent_fraction_i"),
        ("SOLVERTIME < peak_day_i", "SOLVERTIME > peak_day_i"),
        ("*1e-06;", ";"),
    ],
)
def test_the_reader_finds_a_mistake(language, change):
    """Each change is one that a printer could make: a bracket, a whole-number division, a switch, a missing unit."""
    model = load_model("stein2019")
    old, new = change
    text = to_mrgsolve(model)
    assert old in text
    assert language.disagreement(model, read(language, text.replace(old, new)), {}) > 1e-3


def test_whole_numbers_divide_as_in_c(language):
    grammar = grammar_of(language)
    space = dict(language.MEANINGS)
    assert eval(language.Parser(grammar, "1/2 + 1.0/2").parsed(), space) == 0.5
    with pytest.raises(AssertionError):
        language.Parser(grammar, "2.0^3.0").parsed()  # a bit operation, not a power


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
@pytest.mark.parametrize("name", model_names())
def test_a_compiler_takes_the_code(name, tmp_path):
    """Names are global in mrgsolve, beside all of the C++ library, so that a clash of names shows here."""
    blocks = blocks_of(to_mrgsolve(load_model(name)))
    parameters = [line.split(" = ")[0] for line in bare(blocks["PARAM"])]
    states = bare(blocks["CMT"])
    labels = re.findall(r"ETA_\w+", blocks.get("OMEGA", ""))
    source = ["#include <cmath>", "#include <cstdlib>", "#include <string>", "#include <vector>", "#include <ctime>"]
    source += ["typedef double capture;"] + [
        f"double {n};" for n in [*parameters, *states, *labels, "TIME", "SOLVERTIME"]
    ]
    source += [f"double {s}_0, dxdt_{s};" for s in states]
    declared = [
        re.match(r"(?:double|capture) (\w+)", line)[1]
        for block in ("MAIN", "ODE", "TABLE")
        for line in bare(blocks[block])
        if line.startswith(("double ", "capture "))
    ]
    assert len(set(declared)) == len(declared)
    source += [f"double {n};" for n in declared]
    for block in ("MAIN", "ODE", "TABLE"):
        body = [re.sub(r"^(double|capture) ", "", line) for line in bare(blocks[block])]
        source += [f"void run_{block}() {{", *body, "}"]
    path = tmp_path / "model.cpp"
    path.write_text("\n".join(source))
    done = subprocess.run(["g++", "-fsyntax-only", "-Wall", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
