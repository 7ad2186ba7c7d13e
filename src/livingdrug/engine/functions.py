"""Our own exp, log and power, written once for scalars and vectors, with IEEE results at the edges.

LLVM would turn a vector exponential into one library call per lane, and libraries differ from host to host. These are
straight-line code of additions, multiplications and one division, so a lane gives the same bits at any vector width.
Measured against mpmath (tests/engine/test_functions.py): exp and log below 1 ulp, power below 2.5 ulp.

Coefficients: the logarithm's polynomial and its splitting of ln 2 follow the description in Tang 1990 and in the comments of
FreeBSD's msun (e_log.c, public notice by Sun Microsystems, 1993); the power's logarithm is a double-double series of
the inverse hyperbolic tangent.
"""

from __future__ import annotations

import math
from fractions import Fraction

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
_THIRD_LOW = float(Fraction(1, 3) - Fraction(1.0 / 3.0))


def write_functions(lanes: int) -> str:
    """IR of ``exp``, ``log`` and ``pow`` for vectors (``.v``) and scalars (``.d``)."""
    writers = {"exp": _exp, "log": _log, "pow": _pow}
    texts = []
    for kind in "vd":
        for name, writer in writers.items():
            arguments = [("x", kind), ("y", kind)] if name == "pow" else [("x", kind)]
            f = Function(f"{name}.{kind}", arguments, lanes, returns=kind, attributes="alwaysinline nounwind")
            f.name, f.attributes = f"{name}.{kind}", "internal"
            writer(f, kind)
            texts.append(f.text().replace("define ", "define internal ").replace(") internal {", ") alwaysinline nounwind {"))
    return "".join(texts)


def _whole(kind: str) -> str:
    return "w" if kind == "v" else "i"


def _polynomial(f: Function, x: Value, coefficients: tuple[float, ...]) -> Value:
    result = f.like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        result = f.fma(result, x, f.like(x, c))
    return result


def _two_to(f: Function, k: Value, kind: str) -> Value:
    """2**k for whole k within the normal range."""
    return f.bitcast((k + 1023).shifted_left(52), kind)


def _exp_of_sum(f: Function, x: Value, low: Value | None, kind: str) -> Value:
    """exp(x + low) with |low| far below |x|; low must be finite."""
    x = f.select(x < -746.0, f.like(x, -746.0), x)
    x = f.select(x > 710.0, f.like(x, 710.0), x)  # both leave NaN as it is
    rounded = f.fma(x, f.like(x, 1.4426950408889634), f.like(x, _ROUND))
    k = rounded - _ROUND
    r = f.fma(-k, f.like(x, _LN2_HIGH), x)
    tail = f.fma(-k, f.like(x, _LN2_LOW), f.like(x, 0.0) if low is None else low)
    high = r + tail
    rest = (r - high) + tail
    q = _polynomial(f, high, tuple(1.0 / math.factorial(n) for n in range(2, 14)))
    p = f.fma(high * high, q, rest) + high + 1.0
    whole = f.bitcast(rounded, _whole(kind)).shifted_left(13).shifted_right(13, signed=True)
    half = whole.shifted_right(1, signed=True)
    return p * _two_to(f, half, kind) * _two_to(f, whole - half, kind)


def _exp(f: Function, kind: str) -> None:
    f.give(_exp_of_sum(f, f["x"], None, kind))


def _split(f: Function, x: Value, kind: str) -> tuple[Value, Value]:
    """x = (1 + part) * 2**k with 1 + part between sqrt(1/2) and sqrt(2), for positive finite x."""
    tiny = x < 2.2250738585072014e-308
    scaled = f.select(tiny, x * 18014398509481984.0, x)
    pattern = f.bitcast(scaled, _whole(kind))
    shifted = pattern - 0x3FE6A09E00000000
    k = shifted.shifted_right(52, signed=True)
    part = f.bitcast(pattern - k.shifted_left(52), kind) - 1.0
    as_real = f.bitcast(k + 0x4338000000000000, kind) - _ROUND
    return part, f.select(tiny, as_real - 54.0, as_real)


def _log_edges(f: Function, x: Value, result: Value) -> Value:
    result = f.select(x.equals(math.inf), f.like(x, math.inf), result)
    result = f.select(x.equals(0.0), f.like(x, -math.inf), result)
    return f.select(x >= 0.0, result, f.like(x, math.nan))


def _log(f: Function, kind: str) -> None:
    x = f["x"]
    part, k = _split(f, x, kind)
    s = part / (part + 2.0)
    z = s * s
    r = z * _polynomial(f, z, _LOG_COEFFICIENTS)
    half_square = part * part * 0.5
    correction = f.fma(s, half_square + r, k * _LN2_LOW)
    result = f.fma(k, f.like(x, _LN2_HIGH), part - (half_square - correction))
    f.give(_log_edges(f, x, result))


def _log_in_two_parts(f: Function, x: Value, kind: str) -> tuple[Value, Value]:
    """ln x as high + low with about 65 bits, for positive finite x."""
    part, k = _split(f, x, kind)
    one = f.like(x, 1.0)
    g = part + 2.0
    g_low = part - (g - 2.0)
    inverse = one / g
    s = part * inverse
    s_low = f.fma(-s, g_low, f.fma(-s, g, part)) * inverse
    z = s * s
    z_low = f.fma(s, s, -z) + s * s_low * 2.0
    third = z * (1.0 / 3.0)
    third_low = f.fma(z, f.like(x, 1.0 / 3.0), -third) + f.fma(z, f.like(x, _THIRD_LOW), z_low * (1.0 / 3.0))
    rest = z * z * _polynomial(f, z, tuple(1.0 / n for n in range(5, 25, 2)))
    t = third + rest
    t_low = ((third - t) + rest) + third_low
    double = s + s
    product = double * t
    product_low = f.fma(double, t, -product) + f.fma(double, t_low, s_low * 2.0 * (t + 1.0))
    high = double + product
    low = ((double - high) + product) + product_low
    base = k * _LN2_HIGH
    total = base + high
    carry = f.select(k.equals(0.0), f.like(x, 0.0), (base - total) + high)
    return total, carry + f.fma(k, f.like(x, _LN2_LOW), low)


def _pow(f: Function, kind: str) -> None:
    x, y = f["x"], f["y"]
    size = f.intrinsic("fabs", x)
    y_size = f.intrinsic("fabs", y)
    high, low = _log_in_two_parts(f, size, kind)
    product = y * high
    product_low = f.fma(y, high, -product) + y * low
    within = f.intrinsic("fabs", product) < 800.0
    result = _exp_of_sum(f, product, f.select(within, product_low, f.like(x, 0.0)), kind)
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
    f.give(f.select(x.equals(1.0) | y.equals(0.0), f.like(x, 1.0), result))
