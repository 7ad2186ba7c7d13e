"""Import of hand-written SBML: each construct against a solution in closed form, each refusal with its line.

Closed forms are written out beside the tests.
"""

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livingdrug.engine.solve import solve
from livingdrug.errors import InputError
from livingdrug.exports.sbml_import import from_sbml
from livingdrug.model.expressions import symbols_in, walk

MATH = 'xmlns="http://www.w3.org/1998/Math/MathML"'
T = '<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/time">t</csymbol>'


def sbml(body, attributes='id="m"', level=3, version=2, root=""):
    space = f"level{level}/version{version}/core" if level == 3 else f"level{level}/version{version}"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<sbml xmlns="http://www.sbml.org/sbml/{space}" level="{level}" '
        f'version="{version}"{root}>\n<model {attributes}>\n{body}\n</model>\n</sbml>'
    )


def math_of(content):
    return f"<math {MATH}>{content}</math>"


def apply(operation, *operands):
    return f"<apply><{operation}/>{''.join(operands)}</apply>"


def ci(name):
    return f"<ci>{name}</ci>"


def cn(value):
    return f"<cn>{value}</cn>"


def choose(value, condition, *otherwise):
    """``value`` where the condition holds, else ``otherwise``."""
    rest = "".join(f"<otherwise>{o}</otherwise>" for o in otherwise)
    return f"<piecewise><piece>{value}{condition}</piece>{rest}</piecewise>"


def parameters(**values):
    rows = [
        f'<parameter id="{k}"' + ("" if v is None else f' value="{v}"') + ' constant="false"/>'
        for k, v in values.items()
    ]
    return "<listOfParameters>\n" + "\n".join(rows) + "\n</listOfParameters>"


def rate_rule(name, content):
    return f'<rateRule variable="{name}">{math_of(content)}</rateRule>'


def rules(*rows):
    return "<listOfRules>\n" + "\n".join(rows) + "\n</listOfRules>"


def events(*rows):
    return "<listOfEvents>\n" + "\n".join(rows) + "\n</listOfEvents>"


def event(trigger, *assignments, first="false", values="true", delay="", more=""):
    rows = [f'<eventAssignment variable="{n}">{math_of(c)}</eventAssignment>' for n, c in assignments]
    return (
        f'<event id="e" useValuesFromTriggerTime="{values}">\n<trigger initialValue="{first}" persistent="true">'
        f"{math_of(trigger)}</trigger>{more}{delay}\n<listOfEventAssignments>{''.join(rows)}</listOfEventAssignments></event>"
    )


def value(text, name, at, **options):
    """Value of a state or output at one time in days."""
    model = from_sbml(text, **options)
    found = solve(model, {}, [0.0, at], outputs=[name], rtol=1e-10)
    assert not found.failed.any(), found.failures()
    return float(found.values[0, 1, 0])


FALL = parameters(x=8, k=0.5) + rules(rate_rule("x", apply("minus", apply("times", ci("k"), ci("x")))))


# -- time -----------------------------------------------------------------------------------------------------------
def unit(identifier, kind="second", multiplier=1.0, scale=0):
    return (
        f'<listOfUnitDefinitions><unitDefinition id="{identifier}"><listOfUnits><unit kind="{kind}" exponent="1" '
        f'scale="{scale}" multiplier="{multiplier}"/></listOfUnits></unitDefinition></listOfUnitDefinitions>'
    )


@pytest.mark.parametrize(
    ("body", "attributes", "days_of_unit"),
    [
        (FALL, 'id="m" timeUnits="second"', 1 / 86400),
        (unit("hour", multiplier=3600) + FALL, 'id="m" timeUnits="hour"', 1 / 24),
        (unit("day", multiplier=8.64, scale=4) + FALL, 'id="m" timeUnits="day"', 1.0),
        (unit("odd", multiplier=10) + FALL, 'id="m" timeUnits="odd"', 10 / 86400),
        (FALL, 'id="m"', 1.0),
        (FALL, 'id="m" timeUnits="dimensionless"', 1.0),
    ],
)
def test_rates_become_rates_per_day(body, attributes, days_of_unit):
    """X falls by exp(-0.5) in one unit of time of the file."""
    assert value(sbml(body, attributes), "x", days_of_unit) == pytest.approx(8 * math.exp(-0.5), rel=1e-8)


def test_a_file_that_does_not_say_its_unit_of_time_can_be_told():
    assert value(sbml(FALL), "x", 1 / 24, time_unit="hour") == pytest.approx(8 * math.exp(-0.5), rel=1e-8)
    assert "taken as 1 hour" in " ".join(from_sbml(sbml(FALL), time_unit="hour").limitations)
    with pytest.raises(InputError, match="did you mean 'hour'"):
        from_sbml(sbml(FALL), time_unit="hours")


def test_level_2_counts_seconds_unless_it_redefines_time():
    fall = FALL.replace('constant="false"', 'constant="false"')
    assert value(sbml(fall, level=2, version=4), "x", 1 / 86400) == pytest.approx(8 * math.exp(-0.5), rel=1e-8)
    hours = unit("time", multiplier=3600) + fall
    assert value(sbml(hours, level=2, version=4), "x", 1 / 24) == pytest.approx(8 * math.exp(-0.5), rel=1e-8)


# -- formulas -------------------------------------------------------------------------------------------------------
FORMULAS = {
    "plus": (apply("plus", cn(1), cn(2), cn(4)), 7.0),
    "no terms": ("<apply><plus/></apply>", 0.0),
    "no factors": ("<apply><times/></apply>", 1.0),
    "power": (apply("power", cn(2), cn(0.5)), math.sqrt(2)),
    "root": (apply("root", cn(9)), 3.0),
    "third root": (f"<apply><root/><degree>{cn(3)}</degree>{cn(27)}</apply>", 3.0),
    "ln": (apply("ln", cn(5)), math.log(5)),
    "log": (apply("log", cn(100)), 2.0),
    "log base 2": (f"<apply><log/><logbase>{cn(2)}</logbase>{cn(8)}</apply>", 3.0),
    "exp": (apply("exp", cn(0.3)), math.exp(0.3)),
    "abs": (apply("abs", cn(-4)), 4.0),
    "tanh": (apply("tanh", cn(0.7)), math.tanh(0.7)),
    "sinh": (apply("sinh", cn(0.7)), math.sinh(0.7)),
    "cosh": (apply("cosh", cn(0.7)), math.cosh(0.7)),
    "max of three": (apply("max", cn(1), cn(5), cn(3)), 5.0),
    "min of three": (apply("min", cn(4), cn(2), cn(3)), 2.0),
    "constants": (apply("plus", "<pi/>", "<exponentiale/>"), math.pi + math.e),
    "avogadro": (
        apply("divide", '<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/avogadro">N</csymbol>',
              cn("6.02214179e23")), 1.0,
    ),
    "e-notation": ('<cn type="e-notation">1.5<sep/>2</cn>', 150.0),
    "rational": ('<cn type="rational">3<sep/>4</cn>', 0.75),
    "true as a number": (apply("plus", cn(1), "<true/>"), 2.0),
    "condition as a number": (apply("plus", cn(1), apply("lt", ci("one"), cn(2))), 2.0),
    "number as a condition": (choose(cn(3), ci("one"), cn(4)), 3.0),
    "chain of comparisons": (
        choose(cn(3), apply("lt", cn(0), ci("one"), cn(2), ci("one")), cn(4)), 4.0,
    ),
    "implies": (
        choose(cn(3), apply("implies", apply("eq", ci("one"), cn(1)), apply("neq", ci("one"), cn(1))), cn(4)), 4.0,
    ),
    "xor": (
        choose(cn(3), apply("xor", apply("gt", ci("one"), cn(0)), apply("geq", ci("one"), cn(1))), cn(4)), 4.0,
    ),
    "function": (apply("ci_f", cn(3), ci("one")).replace("<ci_f/>", "<ci>f</ci>"), 10.0),
}  # fmt: skip
FUNCTION = (
    '<listOfFunctionDefinitions><functionDefinition id="f">' + math_of(
        "<lambda><bvar><ci>one</ci></bvar><bvar><ci>b</ci></bvar>"
        + apply("plus", apply("power", ci("one"), cn(2)), ci("b")) + "</lambda>"
    ) + "</functionDefinition></listOfFunctionDefinitions>"
)  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_each_function_of_mathml(name):
    """The rate of x is a constant (f(a, b) = a**2 + b); after one unit of time x is that constant."""
    content, expected = FORMULAS[name]
    body = FUNCTION + parameters(x=0, one=1) + rules(rate_rule("x", content))
    assert value(sbml(body), "x", 1.0) == pytest.approx(expected, rel=1e-9, abs=1e-12)


SWITCHES = {
    "equal to one": apply("eq", ci("on"), cn(1)),
    "one on the left": apply("leq", cn(1), ci("on")),
    "itself": ci("on"),
    "not off": apply("neq", ci("on"), cn(0)),
    "not below a half": apply("not", apply("lt", ci("on"), cn(0.5))),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_by_time_that_a_rule_assigns(name):
    """on is 1 from time 3 on; x falls at rate 1 from then, so that at time 5 it is 8 - 2."""
    on = f'<assignmentRule variable="on">{math_of(choose(cn(1), apply("geq", T, cn(3)), cn(0)))}</assignmentRule>'
    text = sbml(parameters(x=8, on=None) + rules(on, rate_rule("x", choose(cn(-1), SWITCHES[name], cn(0)))))
    assert value(text, "x", 5.0) == pytest.approx(6.0, rel=1e-8)


def test_a_switch_of_three_values():
    """on is 2 before time 1, 7 until 3, then 4; the rate is 1 where on lies between 3 and 5."""
    late = choose(cn(7), apply("lt", T, cn(3)), cn(4))
    on = f'<assignmentRule variable="on">{math_of(choose(cn(2), apply("lt", T, cn(1)), late))}</assignmentRule>'
    rate = choose(cn(1), apply("lt", cn(3), ci("on"), cn(5)), cn(0))
    text = sbml(parameters(x=8, on=None) + rules(on, rate_rule("x", rate)))
    assert [value(text, "x", t) for t in (0.9, 2.9, 5.0)] == pytest.approx([8, 8, 10], rel=1e-8)


def test_switches_of_switches_do_not_multiply():
    """Two chains of 60 rules that use each other: 2^60 ways through them, but 120 conditions."""

    def rule(name, content):
        return f'<assignmentRule variable="{name}">{math_of(content)}</assignmentRule>'

    made = [rule("v0", choose(cn(1), after(3), cn(0))), rule("w0", choose(cn(0), after(4), cn(1)))]
    for k in range(60):
        condition = apply("gt", ci("x"), cn(k))
        made.append(rule(f"v{k + 1}", choose(ci(f"v{k}"), condition, ci(f"w{k}"))))
        made.append(rule(f"w{k + 1}", choose(ci(f"w{k}"), condition, ci(f"v{k}"))))
    names = dict.fromkeys(f"{letter}{k}" for letter in "vw" for k in range(61))
    text = sbml(parameters(x=8, **names) + rules(*made, rate_rule("x", choose(cn(-1), ci("w60"), cn(0)))))
    (rate,) = from_sbml(text).rates.values()
    assert sum(1 for _ in walk(rate)) < 3000


def test_time_in_a_formula_and_in_a_condition():
    """In hours: the rate is t until 2 and 5 afterwards; x(3 h) = 2 + 5."""
    pieces = choose(T, apply("lt", apply("times", cn(2), T), cn(4)), cn(5))
    body = unit("hour", multiplier=3600) + parameters(x=0) + rules(rate_rule("x", pieces))
    assert value(sbml(body, 'id="m" timeUnits="hour"'), "x", 3 / 24) == pytest.approx(7.0, rel=1e-9)


# -- quantities -----------------------------------------------------------------------------------------------------
def species(name, amount=None, concentration=None, only="false", boundary="false", constant="false", room="c"):
    given = f' initialAmount="{amount}"' if amount is not None else ""
    given += f' initialConcentration="{concentration}"' if concentration is not None else ""
    return (
        f'<species id="{name}" compartment="{room}"{given} hasOnlySubstanceUnits="{only}" '
        f'boundaryCondition="{boundary}" constant="{constant}"/>'
    )


def room(size='size="2"', more=""):
    return f'<listOfCompartments><compartment id="c" {size} constant="true"{more}/></listOfCompartments>'


def references(kind, *items):
    rows = [f'<speciesReference species="{s}" stoichiometry="{n}" constant="true"/>' for s, n in items]
    return f"<listOf{kind}>{''.join(rows)}</listOf{kind}>" if rows else ""


def reaction(law, reactants=(), products=(), local="", attributes=""):
    return (
        f'<reaction id="r" reversible="false"{attributes}>\n{references("Reactants", *reactants)}'
        f"{references('Products', *products)}<kineticLaw>{math_of(law)}{local}</kineticLaw></reaction>"
    )


def network(law, spec, reactants=(), products=(), **options):
    rows = "\n".join(spec)
    return (
        room() + f"<listOfSpecies>{rows}</listOfSpecies>" + parameters(k=0.5)
        + f"<listOfReactions>{reaction(law, reactants, products, **options)}</listOfReactions>"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "law", "expected"),
    [
        # law 2 k S with S a concentration: dS/dt = -2 k S / 2
        ([species("S", concentration=6)], apply("times", cn(2), ci("k"), ci("S")), 6 * math.exp(-0.5)),
        ([species("S", amount=6)], apply("times", cn(2), ci("k"), ci("S")), 3 * math.exp(-0.5)),
        # law k S with S an amount: dS/dt = -k S
        ([species("S", amount=6, only="true")], apply("times", ci("k"), ci("S")), 6 * math.exp(-0.5)),
        ([species("S", concentration=6, only="true")], apply("times", ci("k"), ci("S")), 12 * math.exp(-0.5)),
    ],
)
def test_species_as_amounts_and_concentrations(spec, law, expected):
    assert value(sbml(network(law, spec, [("S", 1)])), "S", 1.0) == pytest.approx(expected, rel=1e-8)


def test_both_measures_of_a_species_are_outputs():
    text = sbml(network(apply("times", cn(2), ci("k"), ci("S")), [species("S", concentration=6)], [("S", 1)]))
    assert value(text, "amount_of_S", 1.0) == pytest.approx(2 * 6 * math.exp(-0.5), rel=1e-8)
    text = sbml(network(apply("times", ci("k"), ci("S")), [species("S", amount=6, only="true")], [("S", 1)]))
    assert value(text, "concentration_of_S", 1.0) == pytest.approx(3 * math.exp(-0.5), rel=1e-8)


def test_stoichiometry_boundary_and_local_parameters():
    """X stays 4; P gains 3 k X / c per unit of time with a local k of 2: 3*2*4/2."""
    local = '<listOfLocalParameters><localParameter id="k" value="2"/></listOfLocalParameters>'
    spec = [species("X", concentration=4, boundary="true"), species("P", concentration=0)]
    law = apply("times", ci("k"), ci("X"))
    text = sbml(network(law, spec, [("X", 1)], [("P", 3)], local=local))
    model = from_sbml(text)
    assert {"X", "r_k"} < set(model.parameters)
    assert "k" not in model.parameters
    assert any("nothing depends on it: k" in note for note in model.limitations)
    assert value(text, "P", 1.0) == pytest.approx(12.0, rel=1e-8)


def test_conversion_factor():
    """The amount of S falls by 10 k per extent: S(1) = 6 - 10*0.5*1/2."""
    spec = [species("S", concentration=6)]
    body = network(ci("k"), spec, [("S", 1)]).replace(
        '<parameter id="k"', '<parameter id="f" value="10" constant="true"/>\n<parameter id="k"'
    )
    text = sbml(body, 'id="m" conversionFactor="f"')
    assert value(text, "S", 1.0) == pytest.approx(3.5, rel=1e-8)


def test_a_reaction_is_a_name_for_its_rate():
    """Flux := r; r = k S = 0.5*6 at the start."""
    spec = [species("S", amount=6, only="true")]
    body = network(apply("times", ci("k"), ci("S")), spec, [("S", 1)])
    body = body.replace("<parameter ", '<parameter id="flux" constant="false"/>\n<parameter ', 1)
    rule = f'<listOfRules><assignmentRule variable="flux">{math_of(ci("r"))}</assignmentRule></listOfRules>'
    body = body.replace("<listOfReactions>", rule + "<listOfReactions>")
    assert value(sbml(body), "flux", 1.0) == pytest.approx(3 * math.exp(-0.5), rel=1e-8)


def test_a_growing_compartment_dilutes():
    """Volume 2 exp(0.1 t); nothing reacts, so the amount of S stays 12 and S = 12 / volume."""
    spec = [species("S", concentration=6)]
    body = network(apply("times", cn(0), ci("k"), ci("S")), spec, [("S", 1)])
    body = body.replace(
        '<compartment id="c" size="2" constant="true"/>', '<compartment id="c" size="2" constant="false"/>'
    )
    body = body.replace(
        "<listOfReactions>", rules(rate_rule("c", apply("times", cn(0.1), ci("c")))) + "<listOfReactions>"
    )
    assert value(sbml(body), "S", 3.0) == pytest.approx(6 * math.exp(-0.3), rel=1e-8)
    assert value(sbml(body), "amount_of_S", 3.0) == pytest.approx(12.0, rel=1e-8)


def test_initial_assignments_follow_each_other():
    """K := 2 q, q := r + 1, x(0) := k q with r = 0.5: x(0) = 3 * 1.5; x' = -k x."""
    starts = "".join(
        f'<initialAssignment symbol="{name}">{math_of(content)}</initialAssignment>'
        for name, content in (
            ("k", apply("times", cn(2), ci("q"))),
            ("x", apply("times", ci("k"), ci("q"))),
            ("q", apply("plus", ci("r"), cn(1))),
        )
    )
    body = parameters(x=1, k=7, q=None, r=0.5) + f"<listOfInitialAssignments>{starts}</listOfInitialAssignments>"
    text = sbml(body + rules(rate_rule("x", apply("minus", apply("times", ci("k"), ci("x"))))))
    assert value(text, "x", 0.5) == pytest.approx(4.5 * math.exp(-1.5), rel=1e-8)
    model = from_sbml(text)
    assert list(model.parameters) == ["r", "time_unit"]
    r1 = solve(model, {"r": 1.0}, [0.0], outputs=["x"]).values[0, 0, 0]
    assert r1 == pytest.approx(8.0)  # r = 1: q = 2, k = 4, x(0) = 8


def test_names_that_python_or_a_model_keeps_for_itself():
    names = ("lambda", "_x", "states", "equations", "None", "tumour_volume")
    body = parameters(**dict.fromkeys(names, 1.0), total=None)
    summed = f'<assignmentRule variable="total">{math_of(apply("plus", *map(ci, names)))}</assignmentRule>'
    text = sbml(body + rules(*(rate_rule(n, apply("minus", ci(n))) for n in names), summed))
    assert value(text, "total", 1.0) == pytest.approx(6 * math.exp(-1), rel=1e-8)
    model = from_sbml(text)
    note = next(note for note in model.limitations if note.startswith("Renamed"))
    assert "lambda is lambda_2 here" in note
    assert all(name.isidentifier() for name in model.states)


def test_an_output_with_a_word_of_the_vocabulary_has_no_unit_and_so_another_name():
    body = FALL.replace("<parameter ", '<parameter id="tumour_cells" constant="false"/>\n<parameter ', 1)
    body = body.replace(
        "</listOfRules>", f'<assignmentRule variable="tumour_cells">{math_of(ci("x"))}</assignmentRule></listOfRules>'
    )
    assert "tumour_cells_value" in from_sbml(sbml(body)).outputs


# -- events ---------------------------------------------------------------------------------------------------------
def after(limit):
    return apply("geq", T, cn(limit))


STILL = parameters(x=1, y=3, p=2.5) + rules(rate_rule("x", cn(0)))
EVENTS = {
    "set": (event(after(2), ("x", cn(7))), 7.0),
    "add": (event(after(2), ("x", apply("plus", ci("x"), cn(4)))), 5.0),
    "take away": (event(after(2), ("x", apply("minus", ci("x"), ci("p")))), -1.5),
    "at a parameter": (event(apply("gt", T, ci("p")), ("x", cn(7))), 7.0),
    "written the other way round": (event(apply("leq", ci("p"), T), ("x", cn(7))), 7.0),
    "not before": (event(apply("not", apply("lt", T, ci("p"))), ("x", cn(7))), 7.0),
    "scaled time": (event(apply("geq", apply("times", cn(2), T), cn(9)), ("x", cn(7))), 7.0),
    "too late": (event(after(11), ("x", cn(7))), 1.0),
    "two at once": (event(after(2), ("x", cn(7)), ("y", cn(9))), 7.0),
    "at the start": (event(after(0), ("x", cn(7))), 7.0),
    "true before the start": (event(after(0), ("x", cn(7)), first="true"), 1.0),
    "from before the start": (event(after(-1), ("x", cn(7))), 7.0),
    "only in a window": (event(apply("and", after(2), apply("lt", T, cn(3))), ("x", cn(7))), 7.0),
    "in an empty window": (event(apply("and", after(3), apply("lt", T, cn(2))), ("x", cn(7))), 1.0),
    "always true": (event("<true/>", ("x", cn(7))), 7.0),
    "true until": (event(apply("lt", T, cn(2)), ("x", cn(7))), 7.0),
    "delayed": (event(after(2), ("x", cn(7)), delay=f"<delay>{math_of(cn(1.5))}</delay>"), 7.0),
    "delayed too long": (event(after(2), ("x", cn(7)), delay=f"<delay>{math_of(cn(9))}</delay>"), 1.0),
    "value of the time": (event(after(2), ("x", apply("times", T, ci("p")))), 5.0),
    "value of the time of execution": (
        event(after(2), ("x", T), values="false", delay=f"<delay>{math_of(cn(1.5))}</delay>"), 3.5,
    ),
    "without effect": (event(after(2)).replace("<listOfEventAssignments></listOfEventAssignments>", ""), 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", EVENTS)
def test_each_kind_of_event(name):
    """X rests at 1 until the event; its value on day 10."""
    row, expected = EVENTS[name]
    assert value(sbml(STILL + events(row)), "x", 10.0) == pytest.approx(expected, rel=1e-9)


def test_an_event_in_hours():
    """X grows by 1 per hour from 2 hours on: 3 at 5 hours."""
    body = (
        unit("hour", multiplier=3600)
        + parameters(x=0, k=0)
        + rules(rate_rule("x", ci("k")))
        + events(event(after(2), ("k", cn(1))))
    )
    assert value(sbml(body, 'id="m" timeUnits="hour"'), "x", 5 / 24) == pytest.approx(3.0, rel=1e-8)


def test_the_more_urgent_event_comes_first():
    """At one time x is set to 5 (priority 2) and then raised by 1 (priority 1), whichever stands first."""

    def ranked(rank, content, name):
        row = event(after(2), ("x", content), values="false", more=f"<priority>{math_of(cn(rank))}</priority>")
        return row.replace('id="e"', f'id="{name}"')

    set_five, add_one = ranked(2, cn(5), "a"), ranked(1, apply("plus", ci("x"), cn(1)), "b")
    for rows in ((set_five, add_one), (add_one, set_five)):
        assert value(sbml(STILL + events(*rows)), "x", 3.0) == pytest.approx(6.0)


def test_a_concentration_in_a_growing_room_is_raised():
    """Volume 2 + t; the amount is 12 until day 2, where S rises by 5 in a volume of 4: S(3) = (12 + 20) / 5."""
    spec = [species("S", concentration=6)]
    body = network(apply("times", cn(0), ci("k"), ci("S")), spec, [("S", 1)])
    body = body.replace('size="2" constant="true"/>', 'constant="false"/>')
    rule = (
        f'<listOfRules><assignmentRule variable="c">{math_of(apply("plus", cn(2), T))}</assignmentRule></listOfRules>'
    )
    body = body.replace("<listOfReactions>", rule + "<listOfReactions>")
    text = sbml(body + events(event(after(2), ("S", apply("plus", ci("S"), cn(5))))))
    assert value(text, "S", 3.0) == pytest.approx(32 / 5, rel=1e-8)


# -- refusals -------------------------------------------------------------------------------------------------------
def refused(text):
    with pytest.raises(InputError) as caught:
        from_sbml(text)
    return str(caught.value)


def line_of(text, fragment):
    """The line of the file on which a fragment stands, counted from 1."""
    return text[: text.index(fragment)].count("\n") + 1


CHANGES = '<parameter id="x" value="8" constant="false"/>'
LEAVING = network(ci("k"), [species("S", amount=1)], [("S", 1)])
TWICE = apply("times", cn(2), ci("x"))
TWO_STATES = parameters(x=1, y=2) + rules(rate_rule("x", cn(1)), rate_rule("y", cn(1)))
BACK = f"<delay>{math_of(cn(-1))}</delay>"
ONLY = "triggered by time only"
REFUSALS = {
    "algebraic rule": (
        parameters(x=1, y=1) + rules(rate_rule("x", cn(1)), f"<algebraicRule>{math_of(ci('y'))}</algebraicRule>"),
        "<algebraicRule", "algebraic rules are not solved",
    ),
    "constraint": (
        FALL + f"<listOfConstraints><constraint>{math_of('<true/>')}</constraint></listOfConstraints>",
        "<constraint", "constraints",
    ),
    "no kinetic law": (
        LEAVING.replace(f"<kineticLaw>{math_of(ci('k'))}</kineticLaw>", ""),
        "<reaction", "no kinetic law",
    ),
    "state in a trigger": (STILL + events(event(apply("gt", ci("x"), cn(2)), ("x", cn(7)))), "<trigger", ONLY),
    "two times": (
        STILL + events(event(apply("or", after(2), after(3)), ("x", cn(7)))), "<trigger", ONLY,
    ),
    "factor at an event": (
        STILL + events(event(after(2), ("x", TWICE))), "<eventAssignment", "cannot multiply at an event",
    ),
    "another state at an event": (
        TWO_STATES + events(event(after(2), ("x", ci("y")))),
        "<eventAssignment", "depends on 'y'",
    ),
    "time of an event set by an event": (
        STILL + events(event(apply("geq", T, ci("p")), ("x", cn(7)), ("p", cn(9)))), "<trigger", ONLY,
    ),
    "negative delay": (
        STILL + events(event(after(2), ("x", cn(7)), delay=BACK)), "<delay", "must not be negative",
    ),
    "sum from before": (
        STILL + events(*(event(after(2), ("x", apply("plus", ci("x"), cn(1)))).replace('"e"', f'"{n}"') for n in "ab")),
        "<eventAssignment", "useValuesFromTriggerTime=false",
    ),
    "sine": (parameters(x=1) + rules(rate_rule("x", apply("sin", T))), "<rateRule", "'sin' is not among the functions"),
    "floor": (parameters(x=1) + rules(rate_rule("x", apply("floor", ci("x")))), "<rateRule", "'floor' is not among"),
    "delay of a value": (
        parameters(x=1) + rules(rate_rule("x", apply("delay", ci("x"), cn(1)).replace(
            "<delay/>", '<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/delay">delay</csymbol>'))),
        "<rateRule", "'delay' is not among",
    ),
    "rate of a value": (
        parameters(x=1, y=1) + rules(rate_rule("x", cn(1)), rate_rule("y", apply("rate", ci("x")).replace(
            "<rate/>", '<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/rateOf">rateOf</csymbol>'))),
        '<rateRule variable="y"', "is not among the functions",
    ),
    "no otherwise": (
        parameters(x=1) + rules(rate_rule("x", choose(cn(1), after(2)))),
        "<rateRule", "without <otherwise>",
    ),
    "time squared in a condition": (
        parameters(x=1) + rules(rate_rule("x", choose(cn(1), apply("lt", apply("times", T, T), cn(4)), cn(2)))),
        "<rateRule", "compares time in a way",
    ),
    "no value": (parameters(x=1, k=None) + rules(rate_rule("x", ci("k"))), "<rateRule", "'k' has no value"),
    "no initial value": (parameters(x=None) + rules(rate_rule("x", cn(1))), "<parameter", "has no initial value"),
    "not a number": (parameters(x="NaN") + rules(rate_rule("x", cn(1))), "<parameter", "not a finite number"),
    "infinite": (parameters(x="INF") + rules(rate_rule("x", cn(1))), "<parameter", "not a finite number"),
    "no size": (
        network(apply("times", ci("k"), ci("S")), [species("S", amount=1)], [("S", 1)]).replace('size="2" ', ""),
        "<species", "the size of its compartment 'c' is not given",
    ),
    "no stoichiometry": (
        network(ci("k"), [species("S", amount=1)], [("S", 1)]).replace('stoichiometry="1" ', ""),
        "<speciesReference", "stoichiometry of 'S' is not given",
    ),
    "empty rule": (parameters(x=1) + rules('<rateRule variable="x"/>'), "<rateRule", "has no formula"),
    "unit of time that is none": (unit("u", kind="metre") + FALL, "<unitDefinition", "not a time"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_the_engine_cannot_run_is_refused_with_its_line(name):
    body, fragment, words = REFUSALS[name]
    text = sbml(body, 'id="m" timeUnits="u"' if "none" in name else 'id="m"')
    message = refused(text)
    assert words in message
    assert f"line {line_of(text, fragment)}:" in message
    assert fragment.split()[0].strip("<>") in message


def test_fast_reactions_are_refused():
    body = network(ci("k"), [species("S", amount=1)], [("S", 1)], attributes=' fast="true"')
    assert "fast reactions" in refused(sbml(body, version=1))


def test_nothing_that_changes():
    assert "nothing changes in time" in refused(sbml(parameters(x=1)))


def test_values_in_a_circle():
    """LibSBML sees this circle itself."""
    circle = [f'<assignmentRule variable="{a}">{math_of(ci(b))}</assignmentRule>' for a, b in (("y", "z"), ("z", "y"))]
    message = refused(sbml(parameters(x=1, y=1, z=1) + rules(rate_rule("x", ci("y")), *circle)))
    assert "line" in message


@pytest.mark.parametrize("package", ["comp", "fbc", "multi", "distrib", "arrays"])
def test_a_package_that_the_model_needs_is_named(package):
    space = f"http://www.sbml.org/sbml/level3/version1/{package}/version1"
    message = refused(sbml(FALL, root=f' xmlns:p="{space}" p:required="true"'))
    assert f"needs the SBML package '{package}'" in message
    assert "line 2" in message


def test_a_package_that_only_draws_is_let_pass():
    space = "http://www.sbml.org/sbml/level3/version1/layout/version1"
    assert from_sbml(sbml(FALL, root=f' xmlns:layout="{space}" layout:required="false"')).name == "m"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<sbml", "line 1: not well-formed XML"),
        ("<html/>", "line 1: not SBML: the outermost element is <html>"),
        (sbml(FALL).replace("</model>", ""), "not well-formed XML: mismatched tag"),
        (sbml(FALL, level=1, version=2).replace("level1/version2", "level1"), "line 2: SBML level 1 is not read"),
        (
            sbml(FALL, level=1, version=2).replace("level1/version2", "level1").replace("?>", "?>\n\n"),
            "line 4: SBML level 1 is not read",
        ),
        (sbml(FALL).replace('variable="x"', 'variable="nowhere"'), "not valid SBML"),
        (sbml(FALL).replace("<ci>k</ci>", "<ci>nowhere</ci>"), "not valid SBML"),
        (sbml(FALL).replace('value="8"', 'value="eight"'), "not valid SBML"),
        ('<sbml xmlns="http://www.sbml.org/sbml/level3/version2/core" level="3" version="2"/>', "no <model>"),
        ("no such file.xml", "cannot read the SBML file"),
        ("/", "cannot read the SBML file"),
        ("a\nb", "neither a path nor SBML"),
        (b"<sbml/>", "needs the text or the path"),
        (None, "needs the text or the path"),
    ],
)
def test_what_is_not_sbml(text, words):
    assert words in refused(text)


def test_a_file(tmp_path):
    path = tmp_path / "fall.xml"
    path.write_text(sbml(FALL), encoding="utf-8")
    assert from_sbml(path).name == from_sbml(str(path), "m").name == "m"
    path.write_bytes(b"\xef\xbb\xbf" + sbml(FALL).encode())
    assert from_sbml(path, "other").name == "other"
    path.write_bytes(sbml(FALL).encode("utf-16"))
    assert "fall.xml: SBML is written in UTF-8" in refused(path)
    with pytest.raises(InputError, match="cannot name a model"):
        from_sbml(path, "two words")


# -- hostile files --------------------------------------------------------------------------------------------------
def quickly(text, words):
    started = time.perf_counter()
    assert words in refused(text)
    assert time.perf_counter() - started < 20


def test_entities_that_multiply():
    lines = ['<!ENTITY a0 "ha">', *(f'<!ENTITY a{k} "' + f"&a{k - 1};" * 10 + '">' for k in range(1, 12))]
    text = (
        sbml(FALL)
        .replace("<sbml", f"<!DOCTYPE sbml [{''.join(lines)}]>\n<sbml", 1)
        .replace('id="m"', 'id="m" name="&a11;"')
    )
    quickly(text, "SBML has no <!DOCTYPE")


def test_an_entity_that_reads_a_file():
    text = sbml(FALL).replace("<sbml", '<!DOCTYPE sbml [<!ENTITY e SYSTEM "file:///etc/hostname">]>\n<sbml', 1)
    quickly(text, "SBML has no <!DOCTYPE")


def test_deep_nesting():
    """LibSBML would run out of stack at ten thousand levels and take the process with it."""
    deep = "<apply><minus/>" * 20_000 + ci("x") + "</apply>" * 20_000
    quickly(sbml(parameters(x=1) + rules(rate_rule("x", deep))), "nested more than 1000 deep")


def test_nesting_below_the_limit_is_read():
    deep = "<apply><minus/>" * 900 + ci("x") + "</apply>" * 900
    assert value(sbml(parameters(x=1) + rules(rate_rule("x", deep))), "x", 1.0) == pytest.approx(math.e, rel=1e-7)


def test_functions_that_multiply():
    """f_k(x) = f_(k-1)(x) + f_(k-1)(x + 1): two to the forty additions, written out."""
    rows = []
    for k in range(40):
        inner = [f"<apply><ci>f{k - 1}</ci>{a}</apply>" for a in (ci("x"), apply("plus", ci("x"), cn(1)))]
        body = apply("plus", *inner) if k else ci("x")
        whole = math_of(f"<lambda><bvar><ci>x</ci></bvar>{body}</lambda>")
        rows.append(f'<functionDefinition id="f{k}">{whole}</functionDefinition>')
    functions = f"<listOfFunctionDefinitions>{''.join(rows)}</listOfFunctionDefinitions>"
    body = functions + parameters(y=1) + rules(rate_rule("y", f"<apply><ci>f39</ci>{ci('y')}</apply>"))
    quickly(sbml(body), "more than 200000 nodes")


def test_many_elements_and_large_files():
    assert "more than 500000 elements" in refused(sbml(parameters(x=1) + "<a/>" * 500_001))
    assert "larger than 20 million" in refused(sbml(parameters(x=1) + " " * 20_000_001))


def test_a_sum_of_ten_thousand_terms():
    """Rate -(x + ... + x) * 1e-4 with 10000 terms is -x."""
    body = parameters(x=1) + rules(rate_rule("x", apply("times", cn(-1e-4), apply("plus", *[ci("x")] * 10_000))))
    model = from_sbml(sbml(body))
    (rate,) = model.rates.values()
    assert sum(1 for _ in walk(rate)) > 9_999
    assert {s.name for s in symbols_in(rate)} == {"x", "time_unit"}


def chain(length):
    """Each rule is the one before plus 1, the last rule first; y0 is x plus 1."""
    names = [f"y{k}" for k in range(length)]
    steps = [
        f'<assignmentRule variable="{b}">{math_of(apply("plus", ci(a), cn(1)))}</assignmentRule>'
        for a, b in zip(["x", *names], names, strict=False)
    ]
    return sbml(parameters(x=0, **dict.fromkeys(names)) + rules(*reversed(steps), rate_rule("x", cn(1))))


def test_a_chain_of_rules_in_any_order():
    assert value(chain(60), "y59", 1.0) == pytest.approx(61.0)


def test_a_chain_of_rules_that_would_keep_libsbml_busy_for_hours():
    quickly(chain(2000), "need each other over too many steps")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(data):
    """Any stretch of a file replaced by anything: a model, or one InputError."""
    text = sbml(
        network(apply("times", ci("k"), ci("S")), [species("S", amount=6)], [("S", 1)])
        + events(event(after(2), ("k", cn(1))))
    )
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    pieces = st.sampled_from(["", "-1", "1e999", "NaN", "<apply>", "&#0;", "x", '"', "<plus/>", "\ud800", "k"])
    damaged = text[:start] + data.draw(st.one_of(pieces, st.text(max_size=8))) + text[end:]
    try:
        outcome = from_sbml(damaged).name
    except InputError as error:
        outcome = str(error)
    assert 0 < len(outcome) < 1500
    assert "\n" not in outcome
