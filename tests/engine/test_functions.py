"""exp, log and pow of the engine against mpmath (120 bits) and against IEEE 754 / C99 annex F at the edges."""

import ctypes
import itertools
import math

import llvmlite.binding as llvm
import mpmath
import numpy as np
import pytest

from livingdrug.engine.functions import write_functions
from livingdrug.engine.ir import Function, declarations

ARGUMENTS = {"exp": 1, "log": 1, "pow": 2}
MOST_ULP = {"exp": 1.0, "log": 1.0, "pow": 2.5}  # as the module's docstring claims; the issue asks for 2.5
LANES = 4
EDGES = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 2.5, -2.5, math.inf, -math.inf, math.nan]
EDGES += [5e-324, -5e-324, 2.2250738585072014e-308, 1e308, -1e308, 1.7976931348623157e308]
EDGES += [
    1e17,
    -1e17,
    2.0**53 - 1,
    -(2.0**53 - 1),
    1 - 2**-53,
    1 + 2**-52,
    709.782712893384,
    709.79,
    -745.14,
    -745.13,
    1e-300,
]


@pytest.fixture(scope="module")
def functions():
    """Compiled exp, log, pow: ``functions(name, *arguments, scalar=False)``."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    text = declarations(LANES) + write_functions(LANES)
    for (name, count), scalar in itertools.product(ARGUMENTS.items(), (False, True)):
        text += _wrapper(name, count, "d" if scalar else "v")
    module = llvm.parse_assembly(text)
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
    )
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()

    def call(name, *arguments, scalar=False):
        width = 1 if scalar else LANES
        count = len(arguments[0])
        padded = [_aligned(-(-count // width) * width) for _ in range(3)]
        for room, given in zip(padded, arguments, strict=False):
            room[:count] = given
        address = engine.get_function_address(f"each_{name}_{'d' if scalar else 'v'}")
        function = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * 3)(address)
        function(len(padded[0]) // width, *(p.ctypes.data for p in padded))
        return padded[2][:count].copy()

    return call


def _wrapper(name, count, kind):
    f = Function(f"each_{name}_{kind}", [("n", "i"), ("a", "p"), ("b", "p"), ("o", "p")], LANES)
    with f.count(0, f["n"]) as i:
        values = [f.load(f[k], i, kind) for k in "ab"[:count]]
        f.store(f.call(f"{name}.{kind}", kind, *values), f["o"], i)
    f.give()
    return f.text()


def _aligned(count):
    room = np.ones(count + 8)
    first = (-room.ctypes.data // 8) % 8
    return room[first : first + count]


def _ordinary(name, random, count):
    """Arguments whose result is a normal number: a wide range, one near 1, one very near it."""
    if name == "exp":
        return [
            np.concatenate(
                [random.uniform(-708, 709.7, count), random.normal(0, 1, count), random.normal(0, 1e-8, count)]
            )
        ]
    if name == "log":
        wide = np.exp(random.uniform(-708, 709, count))
        return [np.concatenate([wide, np.exp(random.normal(0, 0.5, count)), 1 + random.normal(0, 1e-6, count)])]
    base = np.concatenate(
        [
            np.exp(random.uniform(-300, 300, count)),
            np.exp(random.normal(0, 0.3, count)),
            1 + random.normal(0, 1e-9, count),
        ]
    )
    exponent = np.concatenate(
        [random.uniform(-2.3, 2.3, count), random.normal(0, 200, count), random.normal(0, 1e10, count)]
    )
    return [base, exponent]


def _exact(name, *arguments):
    function = {"exp": mpmath.exp, "log": mpmath.log, "pow": mpmath.power}[name]
    with mpmath.workprec(120):
        return [function(*map(mpmath.mpf, map(float, row))) for row in zip(*arguments, strict=True)]


def _ulps(found, exact):
    with mpmath.workprec(120):
        return np.array(
            [float(abs(mpmath.mpf(float(f)) - e) / math.ulp(float(e))) for f, e in zip(found, exact, strict=True)]
        )


def _same_bits(a, b):
    """Equal to the last bit, sign of zero included; any NaN equals any NaN."""
    return np.all((a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b)))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_within_the_claimed_ulp_of_mpmath(functions, name):
    arguments = _ordinary(name, np.random.default_rng(20240501), 2500)
    errors = _ulps(functions(name, *arguments), _exact(name, *arguments))
    worst = int(errors.argmax())
    assert errors.max() <= MOST_ULP[name], f"{errors[worst]:.2f} ulp at {[a[worst] for a in arguments]}"


def test_results_that_are_subnormal(functions):
    """Below 2.2e-308 a double keeps fewer bits: errors count in steps of 5e-324, and rounding adds half of one."""
    x = np.random.default_rng(1).uniform(-745.1, -708.4, 1000)
    assert _ulps(functions("exp", x), _exact("exp", x)).max() <= 1.5
    base = np.exp(np.random.default_rng(2).uniform(-3, -0.5, 1000))
    exponent = np.random.default_rng(3).uniform(709, 744, 1000) / -np.log(base)
    assert _ulps(functions("pow", base, exponent), _exact("pow", base, exponent)).max() <= 2.5


def test_arguments_that_are_subnormal(functions):
    x = np.random.default_rng(4).integers(1, 2**52, 1000).view(np.float64)
    assert _ulps(functions("log", x), _exact("log", x)).max() <= 1.0
    y = np.random.default_rng(5).uniform(-0.9, 2e-2, 1000)
    assert _ulps(functions("pow", x, y), _exact("pow", x, y)).max() <= 2.5


@pytest.mark.parametrize("name", ["exp", "log"])
def test_edges_as_numpy_has_them(functions, name):
    """IEEE 754-2019, 9.2.1: exp(-inf) = 0, exp(inf) = inf, log(0) = -inf, log(x < 0) = NaN, NaN stays NaN."""
    x = np.array(EDGES)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x)
    found = functions(name, x)
    special = ~np.isfinite(expected) | (expected == 0) | (x == 0) | (x == 1)
    assert _same_bits(found[special], expected[special])
    assert np.allclose(found[~special], expected[~special], rtol=1e-15, atol=5e-324)


def test_edges_of_pow_as_c99_has_them(functions):
    """All pairs of edges against C99 annex F.9.4.4 as NumPy has it: 1**NaN, x**0, odd and even powers of -0 ..."""
    x, y = (np.array(a) for a in zip(*itertools.product(EDGES, EDGES), strict=True))
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    found = functions("pow", x, y)
    special = ~np.isfinite(expected) | (expected == 0) | (np.abs(expected) == 1)
    assert _same_bits(found[special], expected[special])
    assert np.allclose(found[~special], expected[~special], rtol=6e-16, atol=5e-324)


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (1.0, math.nan, 1.0), (math.nan, 0.0, 1.0), (-1.0, math.inf, 1.0), (-1.0, -math.inf, 1.0),
        (-0.0, -3.0, -math.inf), (-0.0, -2.0, math.inf), (-0.0, 3.0, -0.0), (0.0, 0.3, 0.0), (0.0, -0.5, math.inf),
        (-math.inf, 3.0, -math.inf), (-math.inf, 2.0, math.inf), (-math.inf, -3.0, -0.0), (-8.0, 1 / 3, math.nan),
        (-2.0, 3.0, -8.0), (-2.0, 2.0, 4.0), (0.5, -math.inf, math.inf), (-0.5, math.inf, 0.0),
        (10.0, 400.0, math.inf), (10.0, -400.0, 0.0), (-10.0, -401.0, -0.0),
    ],
)  # fmt: skip
def test_single_edges_of_pow(functions, x, y, expected):
    """Values from the table of C99 annex F.9.4.4."""
    assert _same_bits(functions("pow", np.array([x]), np.array([y])), np.array([expected]))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_lane_gives_the_same_bits_whatever_stands_beside_it(functions, name):
    """A special value in one lane sends all lanes another way; that way must give the same bits."""
    ordinary = _ordinary(name, np.random.default_rng(7), 600)
    count = len(ordinary[0])
    special = np.array(EDGES)[np.random.default_rng(8).integers(0, len(EDGES), (len(ordinary), count))]
    alone = functions(name, *ordinary)
    for lane in range(LANES):
        mixed = [a.copy() for a in ordinary]
        for k, a in enumerate(mixed):
            a[lane::LANES] = special[k][lane::LANES]
        others = np.arange(count) % LANES != lane
        assert _same_bits(functions(name, *mixed)[others], alone[others])


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_scalar_form_gives_the_bits_of_the_vector_form(functions, name):
    ordinary = _ordinary(name, np.random.default_rng(9), 1000)
    edges = [np.array(a) for a in zip(*itertools.product(EDGES, repeat=len(ordinary)), strict=True)]
    for arguments in (ordinary, edges):
        assert _same_bits(functions(name, *arguments), functions(name, *arguments, scalar=True))


def test_exp_and_log_are_monotonic_near_their_fixed_points(functions):
    """exp(0) = 1 and log(1) = 0 exactly, and no step backwards in 10 000 neighbouring numbers."""
    x = np.arange(-5000, 5000) * 2.0**-53
    assert np.all(np.diff(functions("exp", x)) >= 0)
    assert np.all(np.diff(functions("log", 1 + 2 * x)) >= 0)
    assert functions("exp", np.zeros(1)) == 1
    assert functions("log", np.ones(1)) == 0
