"""Random numbers and birth-death draws as compiled code; the same streams as :mod:`livingdrug.streams`.

Sources: Philox4x32-10, Salmon et al. 2011 (key ``salmon2011``); the law of a birth-death process with rates that change
in time, Kendall 1948 (key ``kendall1948``): with lean = integral of (death - birth) and deaths = integral of death *
exp(lean), a single cell's family is extinct with probability deaths / (1 + deaths), else its size is geometric with
ratio 1 - exp(lean) / (1 + deaths).
"""

from __future__ import annotations

from livingdrug.engine.ir import Function, Value

PURPOSE_JUMP = 0x4A000000
"""Purpose number of the first jump process; the second has the next number."""

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF


def write_draws(lanes: int) -> str:
    """IR of ``uniform`` and ``survivors``."""
    return _uniform(lanes) + _survivors(lanes)


def _uniform(lanes: int) -> str:
    """uniform(key, patient, purpose, index): two per counter block, 53 bits, strictly between 0 and 1."""
    arguments = [("key", "i"), ("patient", "i"), ("purpose", "i"), ("index", "i")]
    f = Function("uniform", arguments, lanes, returns="d", attributes="noinline nounwind")
    words = [f["index"].shifted_right(1) & _MASK, f["purpose"], f["patient"] & _MASK, f["patient"].shifted_right(32)]
    key = [f["key"] & _MASK, f["key"].shifted_right(32)]
    for _ in range(10):
        products = [words[0] * _MULTIPLIERS[0], words[2] * _MULTIPLIERS[1]]
        high = [p.shifted_right(32) for p in products]
        low = [p & _MASK for p in products]
        words = [high[1] ^ words[1] ^ key[0], low[1], high[0] ^ words[3] ^ key[1], low[0]]
        key = [(k + w) & _MASK for k, w in zip(key, _WEYL, strict=True)]
    second = (f["index"] & 1).differs(0)
    a, b = f.select(second, words[2], words[0]), f.select(second, words[3], words[1])
    whole = a.shifted_right(5).shifted_left(26) + b.shifted_right(6)
    real = f.emit("d", f"uitofp i64 {whole.name} to double")
    number = (real + 0.5) * 2.0**-53
    below_one = 1.0 - 2.0**-53  # the largest whole number would round to 1
    f.give(f.select(number < below_one, number, f.like(number, below_one)))
    return f.text().replace("define ", "define internal ")


def _survivors(lanes: int) -> str:
    """survivors(cells, lean, deaths, key, patient, purpose, counter): cells left if not all families died out."""
    arguments = [
        ("cells", "d"),
        ("lean", "d"),
        ("deaths", "d"),
        ("key", "i"),
        ("patient", "i"),
        ("purpose", "i"),
        ("counter", "p"),
    ]
    f = Function("survivors", arguments, lanes, returns="d", attributes="noinline nounwind")
    one = f.constant("d", 1.0)
    lost = f["deaths"] / (one + f["deaths"])
    ratio = one - f.call("exp.d", "d", f["lean"]) / (one + f["deaths"])
    log_ratio = f.call("log.d", "d", ratio)

    def draw() -> Value:
        k = f.load(f["counter"], 0, "i")
        f.store(k + 1, f["counter"], 0)
        return f.call("uniform", "d", f["key"], f["patient"], f["purpose"], k)

    left = f.variable("d", f["cells"])
    total = f.variable("d", 0.0)
    # the first family that survives: a geometric number, cut off at the number of families
    with f.when(lost > 0.0):
        none = f.call("pow.d", "d", lost, f["cells"])
        before = f.call("log.d", "d", one - draw() * (one - none)) / f.call("log.d", "d", lost)
        skipped = f.intrinsic("floor", before)
        most = f["cells"] - 1.0
        skipped = f.select(skipped < most, skipped, most)
        left.set(f["cells"] - skipped)
    first = f.variable("b", 1)
    with f.loop() as loop:
        loop.leave_unless(left.get() > 0.5)
        left.set(left.get() - 1.0)
        lives = f.variable("b", first.get())
        with f.when(~first.get()):
            lives.set(draw() >= lost)
        first.set(0)
        with f.when(lives.get()):
            size = f.variable("d", one)
            with f.when(ratio > 0.0):
                size.set(one + f.intrinsic("floor", f.call("log.d", "d", draw()) / log_ratio))
            total.set(total.get() + size.get())
    f.give(total.get())
    return f.text().replace("define ", "define internal ")
