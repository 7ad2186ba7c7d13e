"""SBML that other programs wrote: made by Antimony, run by our engine and by libRoadRunner, the same course.

LibRoadRunner (CVODE at 1e-12) is the expected number; its steps are kept short where a file switches without an event,
because it does not stop at a switch.
"""

import libsbml
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livingdrug.engine.solve import solve
from livingdrug.exports.antimony import antimony_to_sbml
from livingdrug.exports.sbml_import import from_sbml

TIMES = np.linspace(0, 10, 41) * 0.997

CASES = {
    "concentrations": "compartment c=2; species S in c=10, E in c=0.5, P in c=0; S -> P; c*V*E*S/(K+S); V=2; K=3;",
    "amounts": "compartment c=2; substanceOnly species S in c=10, P in c=0; S -> 2 P; k*S; k=0.4;",
    "boundary": "compartment c=2; species $S in c=10, P in c=0; S -> P; c*k*S; k=0.4; P -> ; c*0.1*P;",
    "rules": "S=1; k=0.5; S' = -k*S + y; y := 0.1*exp(-time/3) + 2^1.5;",
    "initial values": (
        "compartment c=1; species A in c, B in c; A=2*q; q=3*r; r=1.5; A->B; k1*A-k2*B; k1=q/10; k2=.2; B=A/2;"
    ),
    "events": (
        "compartment c=1; species A in c=5; A->; k*A; k=0.7; at time>=3: A=A+4; E2: at time>5.6: k=0.1, A=2; "
        "E3: at 1 after (time>=7), fromTrigger=false: A=A+q; q=1.5;"
    ),
    "events at the start": "A=5; A'=-A; at time>=0, t0=false: A=A+7; at time>=0: A=A+100;",
    "a pulse": "A=1; A' = piecewise(1, time>2 && time<=4.5, -0.3*A); z := piecewise(A, A>2, 2);",
    "functions": "function f(x,y) x*y/(1+y) end; function g(a) f(a,2)+a end; A=1; A'=-g(A)+h; h=0.3;",
    "a growing room": (
        "compartment c=2; species A in c=10, B in c=1, $D in c=4; c'=0.1*c; A -> ; k*A*c; k=0.2; A->B; 0.3*A*c; "
        "D->B; 0.01*D*c;"
    ),
    "a given room": "compartment c; c:=2+time/10; species A in c=10; A -> ; k*A*c; k=0.2; at time>=5: A=A+3;",
    "a room that changes at once": "compartment c=2; species A in c=10; A -> ; k*A*c; k=0.2; at time>=5: c=4;",
    "many functions": (
        "A=1; A' = max(0.1, min(A, 0.5), 0.2) - abs(A-1)*log10(A+2) + ln(2+A) - sqrt(A) + root(3, A+1) - tanh(A) "
        "+ sinh(A)/10 - cosh(A)/20 + pi/100 + exponentiale/100;"
    ),
    "conditions": "A=1; A' = piecewise(1, (A<200 && !(time>6)) || time>8, -A, xor(time<9, time>3), -0.5);",
    "local names": "compartment c=1; species A in c=1; r1: A->; k*A; r1_k=5; k=3; B=1; B'=-r1*B*r1_k;",
    "hours": "unit hour=3600 second; unit time_unit=hour; A=1; A'=-0.1*A*time; at time>=5: A=A+1;",
}


def expected_course(text, names):
    """Values of identifiers by libRoadRunner: a species as what its name means in a formula."""
    import roadrunner

    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_ERROR)
    runner = roadrunner.RoadRunner(text)
    sbml = libsbml.readSBMLFromString(text).getModel()
    species = {s.getId(): s.getHasOnlySubstanceUnits() for s in sbml.getListOfSpecies()}
    runner.timeCourseSelections = ["time", *(f"[{n}]" if species.get(n) is False else n for n in names)]
    runner.integrator.relative_tolerance, runner.integrator.absolute_tolerance = 1e-12, 1e-15
    runner.integrator.maximum_num_steps = 1_000_000
    if "piecewise" in text:
        runner.integrator.maximum_time_step = 0.02
    return np.asarray(runner.simulate(times=list(TIMES)))[:, 1:]


def assert_same_course(antimony_text, days=1.0):
    text = antimony_to_sbml(antimony_text)
    model = from_sbml(text)
    sbml = libsbml.readSBMLFromString(text).getModel()
    names = [n for n in [*model.states, *model.outputs] if sbml.getElementBySId(n) is not None]
    assert names
    found = solve(model, {}, TIMES * days, outputs=names, rtol=1e-11)
    assert not found.failed.any(), found.failures()
    expected = expected_course(text, names)
    largest = np.maximum(np.abs(expected).max(axis=0), 1e-9)  # the other program's absolute tolerance is 1e-15
    assert np.max(np.abs(found.values[0] - expected) / largest) <= 1e-6


@pytest.mark.parametrize("name", CASES)
def test_each_construct(name):
    assert_same_course(CASES[name], 1 / 24 if name == "hours" else 1.0)


@st.composite
def networks(draw):
    """Random reaction networks: mass action, saturation, activation, fading and switched rates, events, rules."""
    pick = lambda *items: draw(st.sampled_from(items))  # noqa: E731
    names = [f"S{k}" for k in range(draw(st.integers(1, 5)))]
    rows = [
        f"compartment c = {pick(1, 2, 0.5, 1e-3)};",
        f"species $X in c = {pick(1, 2)};",
        "q = 2;",
        "S0 -> ; c*0.05*S0;",
    ]
    rows += [f"{pick('', 'substanceOnly ')}species {s} in c = {pick(0, 1, 10, 0.3, 1e3, 5e-4)};" for s in names]
    for k in range(draw(st.integers(1, 6))):
        left = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
        right = draw(st.lists(st.sampled_from([*names, "$X"]), max_size=2, unique=True))
        sides = [" + ".join(f"{pick('', '2 ', '3 ')}{s}" for s in side) for side in (left, right)]
        first, other = (left or ["X"])[0], pick(*names)
        law = pick(
            f"k{k}*{'*'.join(left) or '1'}",
            f"v{k}*{first}/(h{k} + {first})",
            f"k{k}*{first}*{other}^2/(h{k}^2 + {other}^2)",
            f"k{k}*{first}*exp(-time/{pick(3, 5)})",
            f"piecewise(k{k}, time < {pick(2.6, 4.1)}, v{k})*{first}",
        )
        rows.append(f"{sides[0]} -> {sides[1]}; c*{law};")
        rows.append(f"k{k} = {pick(0.01, 0.1, 0.5)}; v{k} = {pick(0.2, 1)}; h{k} = {pick(0.5, 5)};")
    if draw(st.booleans()):
        s = pick(*names)
        rows.append(f"at time >= {pick(1.3, 3.7)}: {s} = {pick(f'{s} + 2', '5', 'q')};")
    if draw(st.booleans()):
        rows.append(f"total := {' + '.join(names)}; w = 3; at time >= 5.1: w = 4; z' = -w*z + total*0.01; z = 2;")
    return "\n".join(rows)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(networks())
def test_any_network(text):
    assert_same_course(text)
