"""Our own exp, log and power, written once for scalars and vectors, with IEEE results at the edges.

LLVM would turn a vector exponential into one library call per lane, and libraries differ from host to host. These are
straight-line code of additions, multiplications and one division, so a lane gives the same bits at any vector width.
Measured against mpmath (tests/engine/test_functions.py): exp and log below 1 ulp, power below 2.5 ulp.

Coefficients: the logarithm's polynomial and its splitting of ln 2 are those of FreeBSD's msun (e_log.c, public notice
by Sun Microsystems, 1993); the power's logarithm is a double-double series of the inverse hyperbolic tangent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from livingdrug.engine.ir import Function, Value

_LN2_HIGH = 6.93147180369123816490e-01  # 33 leading bits: k * _LN2_HIGH is exact for every exponent k
_LN2_LOW = 1.90821492927058770002e-10
_ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to a whole number
_LOG_COEFFICIENTS = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
_EXP_COEFFICIENTS = (
    0.5000000000000001,
    0.16666666666666669,
    0.04166666666662413,
    0.008333333333330062,
    0.0013888888917213717,
    0.00019841269863053618,
    2.4801521295954376e-05,
    2.7557268459997064e-06,
    2.7620088445409746e-07,
    2.510038549551032e-08,
)
"""Of (exp(r) - 1 - r) / r**2 for |r| <= ln(2)/2: Chebyshev fit, error 1.1e-16."""
_ATANH_COEFFICIENTS = (
    0.2,
    0.14285714285714685,
    0.11111111110826383,
    0.09090909168049924,
    0.0769229744350359,
    0.0666740439940617,
    0.05853063232281699,
    0.058621635304233734,
)
"""Of (atanh(s)/s - 1 - z/3) / z**2 with z = s**2 <= 0.0295: Chebyshev fit, error 9.5e-19."""
_SMALLEST_NORMAL = 2.2250738585072014e-308
_ROUGH_LOG2 = (-2.50561466, 4.04961689, -2.09940228, 0.63551112, -0.08001088)  # Chebyshev fit on [1, 2]
_ROUGH_EXP2 = (0.99992448, 0.69312103, 0.24264008, 0.05592204)  # Chebyshev fit on [-1/2, 1/2]
_THIRD_LOW = float(Fraction(1, 3) - Fraction(1.0 / 3.0))


def write_functions(lanes: int) -> str:
    """IR of ``exp``, ``log`` and ``pow`` for vectors (``.v``) and scalars (``.d``)."""
    return "".join(_edge_proof(name, kind, lanes) for kind in "vd" for name in _EVERYWHERE) + "".join(
        _quick(name, lanes) for name in _EVERYWHERE
    )


def _edge_proof(name: str, kind: str, lanes: int) -> str:
    """The function right for every argument; the vector form is called only where some lane needs it."""
    label = f"{name}.everywhere.v" if kind == "v" else f"{name}.d"
    f = Function(label, [(a, kind) for a in _ARGUMENTS[name]], lanes, returns=kind, attributes="noinline nounwind")
    f.give(_EVERYWHERE[name](f, [f[a] for a in _ARGUMENTS[name]], kind))
    return f.text().replace("define ", "define internal ")


def _quick(name: str, lanes: int) -> str:
    f = Function(
        f"{name}.v", [(a, "v") for a in _ARGUMENTS[name]], lanes, returns="v", attributes="alwaysinline nounwind"
    )
    (result,) = together(f, name, [[f[a]] for a in _ARGUMENTS[name]])
    f.give(result)
    return f.text().replace("define ", "define internal ")


def together(f: Function, name: str, arguments: Sequence[list[Value]]) -> list[Value]:
    """The function at several points in step with each other, so that no point waits for another's result.

    Ordinary arguments (finite, normal, result in range) take the short way; if any lane of any point is not ordinary,
    all are computed by the function that is right everywhere. Both ways give the same bits for ordinary arguments.
    """
    side_by_side = _Together(f)
    packs = [Pack(side_by_side, values) for values in arguments]
    results, ordinary = _ORDINARY[name](side_by_side, packs)
    cells = [f.variable("v", r) for r in results.parts]
    all_ordinary = ordinary.parts[0]
    for part in ordinary.parts[1:]:
        all_ordinary = all_ordinary & part
    with f.when(f.any_bits(all_ordinary).differs((1 << f.lanes) - 1)):
        for k, cell in enumerate(cells):
            cell.set(f.call(f"{name}.everywhere.v", "v", *(values[k] for values in arguments)))
    return [cell.get() for cell in cells]


class Pack:
    """Several values on which every operation is written for one after the other."""

    __slots__ = ("owner", "parts")

    def __init__(self, owner: _Together, parts: Sequence[Value]) -> None:
        self.owner, self.parts = owner, list(parts)

    kind = "v"

    def _each(self, word: str, *others: Any) -> Pack:
        rows = zip(*(o.parts if isinstance(o, Pack) else [o] * len(self.parts) for o in others), strict=True)
        rows = list(rows) if others else [()] * len(self.parts)
        return Pack(self.owner, [getattr(p, word)(*row) for p, row in zip(self.parts, rows, strict=True)])

    def __add__(self, other: Any) -> Pack:
        return self._each("__add__", other)

    def __sub__(self, other: Any) -> Pack:
        return self._each("__sub__", other)

    def __mul__(self, other: Any) -> Pack:
        return self._each("__mul__", other)

    def __truediv__(self, other: Any) -> Pack:
        return self._each("__truediv__", other)

    def __neg__(self) -> Pack:
        return self._each("__neg__")

    def __and__(self, other: Any) -> Pack:
        return self._each("__and__", other)

    def __lt__(self, other: Any) -> Pack:
        return self._each("__lt__", other)

    def __gt__(self, other: Any) -> Pack:
        return self._each("__gt__", other)

    def equals(self, other: Any) -> Pack:
        """Mask of equality, point by point."""
        return self._each("equals", other)

    def shifted_left(self, n: int) -> Pack:
        """Bits moved up."""
        return self._each("shifted_left", n)

    def shifted_right(self, n: int, *, signed: bool = False) -> Pack:
        """Bits moved down."""
        return Pack(self.owner, [p.shifted_right(n, signed=signed) for p in self.parts])


class _Together:
    """The part of :class:`Function` that formulas use, for packs."""

    def __init__(self, f: Function) -> None:
        self.f = f

    def like(self, model: Pack, value: float) -> Pack:
        return Pack(self, [self.f.constant("v", value)] * len(model.parts))

    def fma(self, a: Pack, b: Pack, c: Pack) -> Pack:
        return Pack(self, [self.f.fma(x, y, z) for x, y, z in zip(a.parts, b.parts, c.parts, strict=True)])

    def select(self, condition: Pack, a: Pack, b: Pack) -> Pack:
        rows = zip(condition.parts, a.parts, b.parts, strict=True)
        return Pack(self, [self.f.select(c, x, y) for c, x, y in rows])

    def intrinsic(self, word: str, a: Pack) -> Pack:
        return Pack(self, [self.f.intrinsic(word, x) for x in a.parts])

    def bitcast(self, a: Pack, kind: str) -> Pack:
        return Pack(self, [self.f.bitcast(x, kind) for x in a.parts])


def rough_log2(f: Function, x: Value) -> Value:
    """Binary logarithm of positive normal x to 1e-4: enough to choose a step, and short."""
    pattern = f.bitcast(x, "w")
    exponent = f.bitcast(pattern.shifted_right(52) + (0x4338000000000000 - 1023), "v") - _ROUND
    mantissa = f.bitcast((pattern & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000, "v")
    return exponent + _polynomial(f, mantissa, _ROUGH_LOG2)


def rough_exp2(f: Function, y: Value) -> Value:
    """2**y to 1e-4 for |y| below 100."""
    rounded = y + _ROUND
    part = y - (rounded - _ROUND)
    scale = (f.bitcast(rounded, "w") + 1023).shifted_left(52)
    return _polynomial(f, part, _ROUGH_EXP2) * f.bitcast(scale, "v")


def _whole(kind: str) -> str:
    return "w" if kind == "v" else "i"


def _polynomial(f: Any, x: Any, coefficients: tuple[float, ...]) -> Any:
    result = f.like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        result = f.fma(result, x, f.like(x, c))
    return result


def _two_to(f: Any, k: Any, kind: str) -> Any:
    """2**k for whole k within the normal range."""
    return f.bitcast((k + 1023).shifted_left(52), kind)


def _exp_parts(f: Any, x: Any, low: Any, kind: str) -> tuple[Any, Any]:
    """(p, k) with exp(x + low) = p * 2**k, for |x| below 750 and |low| far below |x|."""
    rounded = f.fma(x, f.like(x, 1.4426950408889634), f.like(x, _ROUND))
    k = rounded - _ROUND
    r = f.fma(-k, f.like(x, _LN2_HIGH), x)
    tail = f.fma(-k, f.like(x, _LN2_LOW), f.like(x, 0.0) if low is None else low)
    high = r + tail
    rest = (r - high) + tail
    q = _polynomial(f, high, _EXP_COEFFICIENTS)
    p = f.fma(high * high, q, rest) + high + 1.0
    whole = f.bitcast(rounded, _whole(kind)).shifted_left(13).shifted_right(13, signed=True)
    return p, whole


def _exp_everywhere(f: Function, x: Value, low: Value | None, kind: str) -> Value:
    x = f.select(x < -746.0, f.like(x, -746.0), x)
    x = f.select(x > 710.0, f.like(x, 710.0), x)  # both leave NaN as it is
    p, whole = _exp_parts(f, x, low, kind)
    half = whole.shifted_right(1, signed=True)
    return p * _two_to(f, half, kind) * _two_to(f, whole - half, kind)


def _exp_ordinary(f: _Together, arguments: list[Pack]) -> tuple[Pack, Pack]:
    (x,) = arguments
    p, whole = _exp_parts(f, x, None, "v")
    return p * _two_to(f, whole, "v"), f.intrinsic("fabs", x) < 708.0


def _split(f: Any, x: Any, kind: str) -> tuple[Any, Any]:
    """x = (1 + part) * 2**k with 1 + part between sqrt(1/2) and sqrt(2), for positive normal x."""
    pattern = f.bitcast(x, _whole(kind))
    shifted = pattern - 0x3FE6A09E00000000
    k = shifted.shifted_right(52, signed=True)
    part = f.bitcast(pattern - k.shifted_left(52), kind) - 1.0
    return part, f.bitcast(k + 0x4338000000000000, kind) - _ROUND


def _split_everywhere(f: Function, x: Value, kind: str) -> tuple[Value, Value]:
    """The same for subnormal x too."""
    tiny = x < _SMALLEST_NORMAL
    part, k = _split(f, f.select(tiny, x * 18014398509481984.0, x), kind)
    return part, f.select(tiny, k - 54.0, k)


def _log_edges(f: Function, x: Value, result: Value) -> Value:
    result = f.select(x.equals(math.inf), f.like(x, math.inf), result)
    result = f.select(x.equals(0.0), f.like(x, -math.inf), result)
    return f.select(x >= 0.0, result, f.like(x, math.nan))


def _log_of_parts(f: Any, part: Any, k: Any) -> Any:
    s = part / (part + 2.0)
    z = s * s
    r = z * _polynomial(f, z, _LOG_COEFFICIENTS)
    half_square = part * part * 0.5
    correction = f.fma(s, half_square + r, k * _LN2_LOW)
    return f.fma(k, f.like(part, _LN2_HIGH), part - (half_square - correction))


def _log_everywhere(f: Function, arguments: list[Value], kind: str) -> Value:
    (x,) = arguments
    return _log_edges(f, x, _log_of_parts(f, *_split_everywhere(f, x, kind)))


def _log_ordinary(f: _Together, arguments: list[Pack]) -> tuple[Pack, Pack]:
    (x,) = arguments
    return _log_of_parts(f, *_split(f, x, "v")), _positive_normal(x)


def _positive_normal(x: Pack) -> Pack:
    return (x > _SMALLEST_NORMAL) & (x < math.inf)


def _log_in_two_parts(f: Any, part: Any, k: Any) -> tuple[Any, Any]:
    """Logarithm of (1 + part) * 2**k as high + low, with about 63 bits."""
    x = part
    g = part + 2.0
    g_low = part - (g - 2.0)
    inverse = f.like(x, 1.0) / g
    s = part * inverse
    s_low = f.fma(-s, g_low, f.fma(-s, g, part)) * inverse
    double, double_low = s + s, s_low + s_low
    z = s * s
    z_low = f.fma(double, s_low, f.fma(s, s, -z))
    third = z * (1.0 / 3.0)
    third_low = f.fma(z, f.like(x, 1.0 / 3.0), -third)
    third_low = f.fma(z, f.like(x, _THIRD_LOW), f.fma(z_low, f.like(x, 1.0 / 3.0), third_low))
    rest = z * z * _polynomial(f, z, _ATANH_COEFFICIENTS)
    t = third + rest
    t_low = ((third - t) + rest) + third_low
    product = double * t
    product_low = f.fma(double, t, -product) + f.fma(double, t_low, f.fma(double_low, t, double_low))
    high = double + product
    low = ((double - high) + product) + product_low
    base = k * _LN2_HIGH
    total = base + high
    carry = (base - total) + high  # exact: base is 0 or larger than high
    return total, carry + f.fma(k, f.like(x, _LN2_LOW), low)


def _pow_ordinary(f: _Together, arguments: list[Pack]) -> tuple[Pack, Pack]:
    x, y = arguments
    high, low = _log_in_two_parts(f, *_split(f, x, "v"))
    product = y * high
    product_low = f.fma(y, low, f.fma(y, high, -product))
    p, whole = _exp_parts(f, product, product_low, "v")
    return p * _two_to(f, whole, "v"), _positive_normal(x) & (f.intrinsic("fabs", product) < 708.0)


def _pow_everywhere(f: Function, arguments: list[Value], kind: str) -> Value:
    x, y = arguments
    size = f.intrinsic("fabs", x)
    y_size = f.intrinsic("fabs", y)
    high, low = _log_in_two_parts(f, *_split_everywhere(f, size, kind))
    product = y * high
    product_low = f.fma(y, low, f.fma(y, high, -product))
    within = f.intrinsic("fabs", product) < 800.0
    result = _exp_everywhere(f, product, f.select(within, product_low, f.like(x, 0.0)), kind)
    infinite, zero = f.like(x, math.inf), f.like(x, 0.0)
    # the edges: base 0 or infinite, exponent infinite
    grows = f.select(y > 0.0, infinite, zero)
    shrinks = f.select(y > 0.0, zero, infinite)
    result = f.select(size.equals(0.0), shrinks, result)
    result = f.select(size.equals(math.inf), grows, result)
    y_infinite = y_size.equals(math.inf)
    result = f.select(y_infinite, f.select(size > 1.0, grows, shrinks), result)
    # a negative base: sign for odd whole exponents, NaN for others
    half = y * 0.5
    even = f.intrinsic("floor", half).equals(half)
    whole = f.intrinsic("floor", y).equals(y)
    negative = f.bitcast(x, _whole(kind)) < 0
    result = f.select(negative & whole & ~even, -result, result)
    improper = negative & ~whole & size.differs(0.0) & size.differs(math.inf)
    result = f.select(improper, f.like(x, math.nan), result)
    result = f.select(x.differs(x) | y.differs(y), x + y, result)
    result = f.select(size.equals(1.0) & y_infinite, f.like(x, 1.0), result)
    return f.select(x.equals(1.0) | y.equals(0.0), f.like(x, 1.0), result)


_ARGUMENTS = {"exp": "x", "log": "x", "pow": "xy"}
_EVERYWHERE: dict[str, Callable[..., Value]] = {
    "exp": lambda f, arguments, kind: _exp_everywhere(f, arguments[0], None, kind),
    "log": _log_everywhere,
    "pow": _pow_everywhere,
}
_ORDINARY: dict[str, Callable[..., tuple[Pack, Pack]]] = {
    "exp": _exp_ordinary,
    "log": _log_ordinary,
    "pow": _pow_ordinary,
}
