"""Observed order of Rodas5P with steps of fixed length: 5 at the ends of steps, 4 inside them.

The engine chooses its steps itself, so a harness writes the engine's own :class:`Step` into a loop with a fixed step.
The last problem is that of Prothero and Robinson 1974; the solutions of the others are given with them.
"""

import ctypes

import llvmlite.binding as llvm
import numpy as np
import pytest

from livingdrug.engine.functions import write_functions
from livingdrug.engine.ir import Function, declarations
from livingdrug.engine.layout import Request
from livingdrug.engine.lowering import lower
from livingdrug.engine.step import Formulas, Step
from livingdrug.model import Model, ddt, exp, output, parameter, state, time
from livingdrug.model.expressions import OPERATIONS

LANES = 2


class Followed(Model):
    """A fast quantity follows the square of a slow one: y = 1/sqrt(1 + 2 t), z = 1/(1 + 2 t) for every ``small``."""

    small = parameter(1.0, "day", "time constant of the fast quantity")
    one = parameter(1.0, "1/day", "unit rate")
    y = state("1", "slow", initial=1.0)
    z = state("1", "fast", initial=1.0)
    equations = {ddt(y): -one * y * z, ddt(z): (y * y - z) / small - 2 * one * y * y * z}
    outputs = {"sum": output(y + z, "1", "sum")}

    @staticmethod
    def exact(t):
        return [1 / np.sqrt(1 + 2 * t), 1 / (1 + 2 * t)]


class Driven(Model):
    """y' = -2 t y^2 with y = 1/(1 + t^2), and z' = y z - z exp(-t) beside it: smooth, nonlinear, driven by time."""

    one = parameter(1.0, "1/day", "unit rate")
    y = state("1", "first", initial=1.0)
    z = state("1", "second", initial=1.0)
    _t = one * time
    equations = {ddt(y): -2 * _t * y * y * one, ddt(z): one * z * (y - exp(-_t))}
    outputs = {"sum": output(y + z, "1", "sum")}

    @staticmethod
    def exact(t):
        return [1 / (1 + t * t), np.exp(np.arctan(t) - 1 + np.exp(-t))]


class Prothero(Model):
    """y' = -stiff (y - g) + g' with y = g = exp(-t) + t: stiff and driven by time, where many methods lose order."""

    stiff = parameter(1e5, "1/day", "stiffness")
    one = parameter(1.0, "1/day", "unit rate")
    y = state("1", "quantity", initial=1.0)
    _t = one * time
    equations = {ddt(y): -stiff * (y - exp(-_t) - _t) + one * (1 - exp(-_t))}
    outputs = {"quantity": output(y, "1", "quantity")}

    @staticmethod
    def exact(t):
        return [np.exp(-t) + t]


def fixed_steps(model):
    """``run(parameters, start, h, count, share)``: states after ``count`` steps, and at ``share`` of the last step."""
    system = lower(model, Request(tuple(model.outputs)))
    layout, n = system.layout, len(model.states)
    f = Function("run", [("slots", "p"), ("inside", "p"), ("numbers", "p"), ("count", "i")], LANES)
    number = [f.splat(f.load(f["numbers"], k)) for k in range(3)]
    start, h, share = number
    t = f.variable("v", start)
    roots = [*system.rates, *system.slopes.values(), *system.rates_by_time]
    with f.count(0, f["count"]):
        x = [f.load(f["slots"], i, "v") for i in range(n)]
        step = Step(f, system, Formulas(f, system, f["slots"], roots), t.get(), h, x)
        for i, value in step.dense(share, range(n)).items():
            f.store(value, f["inside"], i)
        for i in range(n):
            f.store(step.new[i], f["slots"], i)
        t.set(t.get() + h)
    f.give()
    call, engine = _compiled(declarations(LANES) + write_functions(LANES) + f.text())

    def run(parameters, start, h, count, share=0.5, wrong=0.0):
        values = {"time": 0.0} | {
            f"parameter {name}": parameters.get(name, p.canonical_value) for name, p in model.parameters.items()
        }
        values |= {f"state {name}": x for name, x in zip(model.states, np.add(model.exact(start), wrong), strict=True)}
        slots, inside = _aligned(LANES * len(system.slots)), _aligned(LANES * n)
        slots[:] = np.repeat([_value(system.graph, node, values) for node in system.slots], LANES)
        numbers = np.array([start, h, share])
        call(slots.ctypes.data, inside.ctypes.data, numbers.ctypes.data, count)
        assert layout.prepared == len(system.slots) - layout.kept
        return slots.reshape(-1, LANES)[:n, 0].copy(), inside.reshape(n, LANES)[:, 0].copy()

    run.engine = engine  # keeps the code alive
    return run


def _compiled(text):
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
    )
    module = llvm.parse_assembly(text)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    pointers = [ctypes.c_void_p] * 3
    return ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)(engine.get_function_address("run")), engine


def _aligned(count):
    room = np.zeros(count + 8)
    first = (-room.ctypes.data // 8) % 8
    return room[first : first + count]


def _value(graph, root, values):
    found = {}
    for node in graph.reachable([root]):
        operation, operands = graph.operation[node], [found[o] for o in graph.operands[node]]
        if operation in {"number", "symbol"}:
            found[node] = graph.value[node] if operation == "number" else values[graph.symbol[node]]
        else:
            found[node] = 1.0 / operands[0] if operation == "inv" else OPERATIONS[operation](*operands)
    return float(found[root])


def slope(lengths, errors):
    """Order: slope of the line through log(error) over log(step)."""
    return np.polyfit(np.log(lengths), np.log(errors), 1)[0]


def global_error(run, model, parameters, count, end=1.0):
    return np.abs(run(parameters, 0.0, end / count, count)[0] - model.exact(end)).max()


COUNTS = np.array([32, 48, 64, 96, 128])  # coarser steps show the next term of the error as well


@pytest.mark.parametrize(
    ("model", "parameters"),
    [(Driven, {}), (Followed, {"small": 1.0}), (Followed, {"small": 1e-10})],
    ids=["driven by time", "not stiff", "stiff"],
)
def test_the_step_has_order_5(model, parameters):
    """Steinebach 2023: order 5 for ordinary equations and for index-1 problems, which the stiff case is near to."""
    run = fixed_steps(model)
    errors = [global_error(run, model, parameters, count) for count in COUNTS]
    assert slope(1 / COUNTS, errors) == pytest.approx(5, abs=0.2)


@pytest.mark.parametrize("stiff", [1e4, 1e6])
def test_the_error_on_prothero_and_robinson_falls_with_the_stiffness(stiff):
    """Steinebach 2023, conditions of Ostermann and Roche: the error is h^4 / (h stiff), smaller if stiffer."""
    run = fixed_steps(Prothero)
    counts = np.array([4, 6, 8, 12, 16])
    errors = np.array([global_error(run, Prothero, {"stiff": stiff}, count) for count in counts])
    assert slope(1 / counts, errors) == pytest.approx(3, abs=0.2)
    assert errors[0] < 1e-4 / stiff


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("model", [Driven, Followed])
def test_dense_output_has_order_4(model, share):
    """A formula of order 4 errs by h^5 inside one step that starts on the exact solution; start and step are varied."""
    run = fixed_steps(model)
    lengths = np.array([1 / 32, 1 / 48, 1 / 64, 1 / 96])
    starts = np.linspace(0.1, 0.9, 9)
    errors = [
        np.mean([np.abs(run({}, t, h, 1, share)[1] - model.exact(t + share * h)).max() for t in starts])
        for h in lengths
    ]
    assert slope(lengths, errors) == pytest.approx(5, abs=0.2)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_dense_output_keeps_order_4_where_the_problem_is_stiff(share):
    """There one power less is left inside a step: h^4, the order that Steinebach 2023 states."""
    run = fixed_steps(Followed)
    lengths = np.array([1 / 8, 1 / 16, 1 / 32, 1 / 64])
    errors = [
        np.abs(run({"small": 1e-10}, 0.3, h, 1, share)[1] - Followed.exact(0.3 + share * h)).max() for h in lengths
    ]
    assert slope(lengths, errors) == pytest.approx(4, abs=0.2)


@pytest.mark.parametrize("model", [Driven, Followed])
def test_dense_output_meets_the_ends_of_the_step(model):
    run = fixed_steps(model)
    new, at_end = run({}, 0.3, 0.1, 1, 1.0)
    assert np.array_equal(at_end, new)
    assert run({}, 0.3, 0.1, 1, 0.0)[1] == pytest.approx(model.exact(0.3), rel=1e-15)


def test_a_wrong_start_of_a_stiff_part_is_forgotten():
    """The method is L-stable: with a time constant far below the step the fast part is soon on its curve."""
    run = fixed_steps(Followed)
    slow, fast = run({"small": 1e-12}, 0.0, 0.05, 20, wrong=[0.0, 1.0])[0]
    assert fast == pytest.approx(slow**2, rel=1e-9)
    assert slow == pytest.approx(Followed.exact(1.0)[0], rel=1e-3)
