"""The NONMEM control stream, read by the rules of NM-TRAN and Fortran and integrated by SciPy."""

import math
import re

import numpy as np
import pytest

from livingdrug.exports.nonmem import RESERVED, to_nonmem
from livingdrug.library import load_model, model_names

TOLERANCE = 1e-6  # of each output's largest value: far more than two solvers differ by, far less than any mistake


def number(token):
    """Fortran: a number without D and with a point or E has single precision; one without either is whole."""
    if "D" in token:
        return repr(float(token.replace("D", "E"))), "real"
    return (repr(float(np.float32(token))), "real") if set(token) & set(".E") else (token, "whole")


def grammar_of(language):
    """Operators of Fortran: **, then * and /, then + and - (the sign too), then comparisons, .AND., .OR."""
    binary = {"**": (14, True, "power"), "*": (13, False, "*"), "/": (13, False, "divide")}
    binary |= {"+": (12, False, "+"), "-": (12, False, "-")}
    words = {".LT.": "<", ".LE.": "<=", ".GT.": ">", ".GE.": ">=", ".EQ.": "=="}
    binary |= {word: (9, False, sign) for word, sign in words.items()}
    binary |= {".AND.": (7, False, "and"), ".OR.": (6, False, "or")}
    return language.Grammar(
        tokens=r"\d+(?=\.[A-Z]{2})|(?:\d+\.?\d*|\.\d+)(?:[ED][+-]?\d+)?|[A-Za-z]\w*|\.[A-Z]{2,3}\.|\*\*|[-+*/(),]",
        binary=binary,
        functions={"EXP": "exp", "LOG": "log", "SQRT": "sqrt", "ABS": "abs"},
        number=number,
        sign=13,
        sign_after_operator=False,
        whole=True,
        arrays=frozenset({"A", "THETA", "ETA", "MPAST", "EPS", "MTIME", "A_0", "DADT"}),
        ignore_case=True,
    )


def records(text):
    """Record to statements; comments taken off, lines that end in an ampersand joined."""
    assert max(map(len, text.splitlines())) <= 160
    assert text.isascii()
    bare = "\n".join(line.split(";")[0].rstrip() for line in text.splitlines())
    bare = re.sub(r" &\n\s*", " ", bare)
    found = {}
    for part in re.split(r"^\$", bare, flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition(" ") if " " in part.split("\n")[0] else part.partition("\n")
        found[name] = [line.strip() for line in rest.splitlines() if line.strip()]
    return found


def code(language, block):
    lines, depth = [], 0
    for line in block:
        if found := re.fullmatch(r"IF \((.*)\) THEN", line):
            lines.append((depth, "if", found[1]))
            depth += 1
        elif found := re.fullmatch(r"IF \((.*?)\) (\w+) = (.*)", line):
            lines += [(depth, "if", found[1]), (depth + 1, found[2], found[3])]
        elif line in ("ELSE", "ENDIF"):
            lines.append((depth - 1, "else" if line == "ELSE" else "end", ""))
            depth -= line == "ENDIF"
        else:
            name, expression = line.split(" = ", 1)
            lines.append((depth, name, expression))
    assert depth == 0
    return language.statements(grammar_of(language), lines), [name for _, name, _ in lines if name[0].isupper()]


def theta(line):
    numbers = [float(n) for n in re.findall(r"-?[\d.]+(?:e[+-]?\d+)?", line)]
    if line.endswith("FIX"):
        return numbers[0]
    low, value = (-math.inf, numbers[0]) if "-INF" in line else numbers[:2]
    assert low < value < (numbers[-1] if len(numbers) > 2 else 1e6)
    return value


def doses(language, text):
    given = []
    for line in re.findall(r"^; +(1,[-\d.e+,]+,\.)$", text, re.MULTILINE):
        _, at, kind, amount, rate, state, _ = line.split(",")
        at, amount, rate, state = float(at), float(amount), float(rate), int(state)
        if kind == "2":  # a compartment turned off is emptied; turned on again it stays empty
            if state < 0:
                given.append(language.Given("set", -state - 1, at, 0.0))
        elif rate > 0:
            given.append(language.Given("rate", state - 1, at, rate, at + amount / rate))
        else:
            given.append(language.Given("add", state - 1, at, amount))
    return given


def read(language, text, z=0.0):
    found = records(text)
    start = {f"THETA({k})": theta(line) for k, line in enumerate(found["THETA"], 1)}
    omegas = [line for line in found["OMEGA"] if line]
    start |= {f"ETA({k})": z * math.sqrt(float(line.split()[0])) for k, line in enumerate(omegas, 1)}
    start["EPS(1)"] = 0.0
    count = len(found["MODEL"])
    states = [f"A({k})" for k in range(1, count + 1)]
    prepare, defined = code(language, found["PK"])
    rates, in_des = code(language, found["DES"])
    report, in_error = code(language, found["ERROR"])
    assert not set(defined) & set(in_des)
    assert not (set(defined) | set(in_des)) & set(in_error)
    times = [name for name in defined if name.startswith("MTIME")]
    outputs = found["TABLE"][0].split()[2:-3]
    return language.Reading(
        states=states, clock={"prepare": "TIME", "rates": "T", "report": "TIME"}, start=start, prepare=prepare,
        rates=rates, report=report, initial=[f"A_0({k})" for k in range(1, count + 1)],
        slopes=[f"DADT({k})" for k in range(1, count + 1)], outputs=outputs, doses=doses(language, text),
        stops=lambda v: [(name.replace("MTIME", "MPAST"), v[name]) for name in times],
    )  # fmt: skip


def test_events_conditions_and_reserved_words(language, awkward):
    text = to_nonmem(awkward)
    assert language.disagreement(awkward, read(language, text), {}, days=20) < TOLERANCE


@pytest.mark.parametrize("name", model_names())
def test_the_text_gives_the_course_of_the_engine(language, name):
    model = load_model(name)
    reading = read(language, to_nonmem(model))
    assert len(reading.outputs) == len(model.outputs)
    assert language.disagreement(model, reading, {}) < TOLERANCE


@pytest.mark.parametrize("name", [n for n in model_names() if load_model(n).has_variability()])
def test_random_effects_are_the_declared_spreads(language, name):
    """A patient half a standard deviation off in every parameter: Spread.apply of the model is the expected value."""
    model = load_model(name)
    spread = {n: p for n, p in model.parameters.items() if p.spread}
    values = {n: float(np.clip(p.spread.apply(p.value, 0.5, p.limits), *p.limits)) for n, p in spread.items()}
    assert language.disagreement(model, read(language, to_nonmem(model), z=0.5), values, days=30) < TOLERANCE


@pytest.mark.parametrize("name", model_names())
def test_names_are_allowed(name):
    found = records(to_nonmem(load_model(name)))
    statements = [line for block in ("PK", "DES", "ERROR") for line in found[block]]
    own = {line.split(" = ")[0] for line in statements if re.match(r"\w+ = ", line)} - {"Y", "IPRED"}
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]{0,19}", n) for n in own)
    assert not own & RESERVED


@pytest.mark.parametrize(
    "change",
    [
        ("MPAST(1).EQ.0", "MPAST(1).EQ.1"),
        ("CONVERSION = ", "CONVERSION = 1/2*"),
        ("(CONTRACTION - DECLINE)", "CONTRACTION - DECLINE"),
    ],
)
def test_the_reader_finds_a_mistake(language, change):
    model = load_model("stein2019")
    text = to_nonmem(model)
    assert change[0] in text
    assert language.disagreement(model, read(language, text.replace(*change)), {}) > 1e-3


def test_the_reader_counts_as_fortran_does(language):
    """Values by the Fortran standard: whole quotients, single precision without D, the sign after ** and * ."""
    space = dict(language.MEANINGS)
    given = {"7/2*2": 6, "-2.0D0**2": -4, "-1.0D0 - 2.0D0": -3, "0.1D0": 0.1, "0.1": float(np.float32(0.1))}
    for text, value in given.items():
        assert eval(language.Parser(grammar_of(language), text).parsed(), space) == value
    with pytest.raises(AssertionError, match="sign"):
        language.Parser(grammar_of(language), "A(1)*-2.0D0").parsed()
