"""A small writer of LLVM IR: typed values with operators, structured control flow, nothing about biology or solvers.

Values are names of the IR with a kind: ``v`` vector of doubles (one lane per patient), ``w`` vector of integers, ``m``
mask of lanes, ``d`` double, ``i`` 64-bit integer, ``b`` bit, ``p`` pointer. No fast-math flag is ever written and
multiply-add is explicit (:meth:`Function.fma`), so the same formula gives the same bits at any vector width.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def bits(value: float) -> str:
    """The double as LLVM writes it exactly."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}"


class Value:
    """One value of the IR: its name, its kind and the function that computes it."""

    __slots__ = ("function", "kind", "name")

    def __init__(self, function: Function, kind: str, name: str) -> None:
        self.function, self.kind, self.name = function, kind, name

    def _with(self, other: Value | float | int) -> tuple[Value, Value]:
        return self, self.function.like(self, other)

    def __add__(self, other: Value | float | int) -> Value:
        return self.function.binary("fadd", "add", *self._with(other))

    def __sub__(self, other: Value | float | int) -> Value:
        return self.function.binary("fsub", "sub", *self._with(other))

    def __mul__(self, other: Value | float | int) -> Value:
        return self.function.binary("fmul", "mul", *self._with(other))

    def __truediv__(self, other: Value | float | int) -> Value:
        return self.function.binary("fdiv", "sdiv", *self._with(other))

    def __neg__(self) -> Value:
        return self.function.emit(self.kind, f"fneg {self.function.type(self.kind)} {self.name}")

    def __and__(self, other: Value | float | int) -> Value:
        return self.function.binary("and", "and", *self._with(other))

    def __or__(self, other: Value | float | int) -> Value:
        return self.function.binary("or", "or", *self._with(other))

    def __xor__(self, other: Value | float | int) -> Value:
        return self.function.binary("xor", "xor", *self._with(other))

    def __invert__(self) -> Value:
        return self ^ self.function.like(self, -1)

    def shifted_left(self, n: int) -> Value:
        """Bits moved up."""
        return self.function.binary("shl", "shl", *self._with(n))

    def shifted_right(self, n: int, *, signed: bool = False) -> Value:
        """Bits moved down, filling with zeros (or with the sign)."""
        return self.function.binary("", "ashr" if signed else "lshr", *self._with(n))

    def _compare(self, real: str, whole: str, other: Value | float | int) -> Value:
        return self.function.compare(real, whole, *self._with(other))

    def __lt__(self, other: Value | float | int) -> Value:
        return self._compare("olt", "slt", other)

    def __le__(self, other: Value | float | int) -> Value:
        return self._compare("ole", "sle", other)

    def __gt__(self, other: Value | float | int) -> Value:
        return self._compare("ogt", "sgt", other)

    def __ge__(self, other: Value | float | int) -> Value:
        return self._compare("oge", "sge", other)

    def equals(self, other: Value | float | int) -> Value:
        """Whether both are the same value (false for NaN)."""
        return self._compare("oeq", "eq", other)

    def differs(self, other: Value | float | int) -> Value:
        """Whether the values differ (true for NaN)."""
        return self._compare("une", "ne", other)


class Variable:
    """A named cell on the stack; LLVM turns it into a register where it can."""

    __slots__ = ("function", "kind", "pointer")

    def __init__(self, function: Function, kind: str, pointer: str) -> None:
        self.function, self.kind, self.pointer = function, kind, pointer

    def get(self) -> Value:
        """Current value."""
        f = self.function
        return f.emit(self.kind, f"load {f.type(self.kind)}, ptr {self.pointer}")

    def set(self, value: Value | float | int) -> None:
        """Store a new value."""
        f = self.function
        v = value if isinstance(value, Value) else f.constant(self.kind, value)
        f.line(f"store {f.type(self.kind)} {v.name}, ptr {self.pointer}")

    @property
    def address(self) -> Value:
        """Pointer to the cell."""
        return Value(self.function, "p", self.pointer)


class Function:
    """One IR function being written, for vectors of ``lanes`` patients."""

    def __init__(
        self, name: str, arguments: Sequence[tuple[str, str]], lanes: int, *, returns: str = "", attributes: str = ""
    ) -> None:
        self.name, self.lanes, self.returns, self.attributes = name, lanes, returns, attributes
        self.arguments = {label: Value(self, kind, f"%{label}") for label, kind in arguments}
        self._signature = [(kind, label) for label, kind in arguments]
        self._entry: list[str] = []
        self._body: list[str] = []
        self._count = 0
        self._types = {"v": f"<{lanes} x double>", "m": f"<{lanes} x i1>", "w": f"<{lanes} x i64>"}
        self._types |= {"d": "double", "i": "i64", "b": "i1", "p": "ptr", "u": "i32", "": "void"}

    def __getitem__(self, argument: str) -> Value:
        return self.arguments[argument]

    def type(self, kind: str) -> str:
        """LLVM's word for the kind."""
        return self._types[kind]

    def line(self, text: str) -> None:
        """Append one instruction without result."""
        self._body.append(f"  {text}")

    def emit(self, kind: str, text: str) -> Value:
        """Append one instruction and return its result."""
        self._count += 1
        name = f"%v{self._count}"
        self._body.append(f"  {name} = {text}")
        return Value(self, kind, name)

    def constant(self, kind: str, value: float | int) -> Value:
        """A constant; vectors hold it in every lane."""
        if kind == "v":
            return Value(self, kind, f"splat (double {bits(value)})")
        if kind == "w":
            return Value(self, kind, f"splat (i64 {int(value)})")
        if kind == "m":
            return Value(self, kind, f"splat (i1 {'true' if value else 'false'})")
        if kind == "d":
            return Value(self, kind, bits(value))
        if kind == "b":
            return Value(self, kind, "true" if value else "false")
        return Value(self, kind, str(int(value)))

    def like(self, model: Value, value: Value | float | int) -> Value:
        """``value`` as something that can be combined with ``model``."""
        return value if isinstance(value, Value) else self.constant(model.kind, value)

    def binary(self, real: str, whole: str, a: Value, b: Value) -> Value:
        """An operation of two values of one kind."""
        word = real if a.kind in "vd" else whole
        return self.emit(a.kind, f"{word} {self.type(a.kind)} {a.name}, {b.name}")

    def compare(self, real: str, whole: str, a: Value, b: Value) -> Value:
        """A comparison: a mask for vectors, a bit for scalars."""
        kind = "m" if a.kind in "vw" else "b"
        text = f"fcmp {real}" if a.kind in "vd" else f"icmp {whole}"
        return self.emit(kind, f"{text} {self.type(a.kind)} {a.name}, {b.name}")

    def select(self, condition: Value, a: Value | float | int, b: Value | float | int) -> Value:
        """a where the condition holds, else b."""
        if not isinstance(a, Value):
            a = self.like(b, a) if isinstance(b, Value) else self.constant("v", a)
        b = self.like(a, b)
        types = self.type
        text = f"select {types(condition.kind)} {condition.name}, {types(a.kind)} {a.name}, {types(b.kind)} {b.name}"
        return self.emit(a.kind, text)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c with one rounding."""
        return self.intrinsic("fma", a, b, c)

    def intrinsic(self, word: str, *arguments: Value) -> Value:
        """An LLVM intrinsic on doubles or vectors: fma, fabs, floor, sqrt."""
        kind = arguments[0].kind
        t = self.type(kind)
        suffix = "f64" if kind == "d" else f"v{self.lanes}f64"
        return self.emit(kind, f"call {t} @llvm.{word}.{suffix}({', '.join(f'{t} {a.name}' for a in arguments)})")

    def call(self, name: str, kind: str, *arguments: Value) -> Value:
        """Call another function of the module."""
        given = ", ".join(f"{self.type(a.kind)} {a.name}" for a in arguments)
        if not kind:
            self.line(f"call void @{name}({given})")
            return Value(self, "", "")
        return self.emit(kind, f"call {self.type(kind)} @{name}({given})")

    def bitcast(self, value: Value, kind: str) -> Value:
        """The same bits read as another kind."""
        return self.emit(kind, f"bitcast {self.type(value.kind)} {value.name} to {self.type(kind)}")

    def any_bits(self, mask: Value) -> Value:
        """The mask as an integer with one bit per lane."""
        small = self.emit("i", f"bitcast <{self.lanes} x i1> {mask.name} to i{self.lanes}")
        return self.emit("i", f"zext i{self.lanes} {small.name} to i64")

    def splat(self, value: Value) -> Value:
        """A scalar double in every lane."""
        one = self.emit("v", f"insertelement {self.type('v')} poison, double {value.name}, i32 0")
        zero = f"<{self.lanes} x i32> zeroinitializer"
        return self.emit("v", f"shufflevector {self.type('v')} {one.name}, {self.type('v')} poison, {zero}")

    # -- memory -----------------------------------------------------------------------------------------------------
    def at(self, pointer: Value, index: Value | int, kind: str = "d") -> Value:
        """Address of element ``index`` of an array of ``kind``."""
        i = index if isinstance(index, Value) else self.constant("i", index)
        return self.emit("p", f"getelementptr {self.type(kind)}, ptr {pointer.name}, i64 {i.name}")

    def load(self, pointer: Value, index: Value | int = 0, kind: str = "d") -> Value:
        """Element of an array."""
        align = f", align {8 * self.lanes}" if kind == "v" else ""
        return self.emit(kind, f"load {self.type(kind)}, ptr {self.at(pointer, index, kind).name}{align}")

    def store(self, value: Value, pointer: Value, index: Value | int = 0) -> None:
        """Write an element of an array."""
        align = f", align {8 * self.lanes}" if value.kind == "v" else ""
        address = self.at(pointer, index, value.kind)
        self.line(f"store {self.type(value.kind)} {value.name}, ptr {address.name}{align}")

    def opaque(self, pointer: Value) -> Value:
        """The same pointer, unrecognisable to the compiler, so that it does not hold what it loaded through another."""
        return self.emit("p", f'call ptr asm "", "=r,0"(ptr {pointer.name})')

    def array(self, kind: str, size: int) -> Value:
        """Room for ``size`` values on the stack, aligned for vectors."""
        self._count += 1
        name = f"%a{self._count}"
        self._entry.append(f"  {name} = alloca [{max(size, 1)} x {self.type(kind)}], align 64")
        return Value(self, "p", name)

    def variable(self, kind: str, value: Value | float | int) -> Variable:
        """A stack cell with a first value."""
        self._count += 1
        name = f"%x{self._count}"
        self._entry.append(f"  {name} = alloca {self.type(kind)}")
        cell = Variable(self, kind, name)
        cell.set(value)
        return cell

    # -- control flow -----------------------------------------------------------------------------------------------
    def label(self) -> str:
        """A fresh block name."""
        self._count += 1
        return f"b{self._count}"

    def block(self, label: str) -> None:
        """Begin a block."""
        self._body.append(f"{label}:")

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Run the body if the bit is set."""
        inside, after = self.label(), self.label()
        self.line(f"br i1 {condition.name}, label %{inside}, label %{after}")
        self.block(inside)
        yield
        self.line(f"br label %{after}")
        self.block(after)

    @contextmanager
    def loop(self) -> Iterator[Loop]:
        """Repeat the body until :meth:`Loop.leave_unless` fails."""
        loop = Loop(self, self.label(), self.label())
        self.line(f"br label %{loop.head}")
        self.block(loop.head)
        yield loop
        self.line(f"br label %{loop.head}")
        self.block(loop.after)

    @contextmanager
    def count(self, start: Value | int, stop: Value | int) -> Iterator[Value]:
        """Repeat the body for start, start + 1, ... below stop."""
        index = self.variable("i", start)
        with self.loop() as loop:
            i = index.get()
            loop.leave_unless(i < stop)
            yield i
            index.set(index.get() + 1)

    @contextmanager
    def each_bit(self, mask: Value) -> Iterator[Value]:
        """Repeat the body for every set bit of an integer, lowest first."""
        left = self.variable("i", mask)
        with self.loop() as loop:
            m = left.get()
            loop.leave_unless(m.differs(0))
            yield self.emit("i", f"call i64 @llvm.cttz.i64(i64 {m.name}, i1 true)")
            m = left.get()
            left.set(m & (m - 1))

    def give(self, value: Value | None = None) -> None:
        """Return from the function."""
        self.line("ret void" if value is None else f"ret {self.type(value.kind)} {value.name}")

    def text(self) -> str:
        """The whole function as IR."""
        signature = ", ".join(f"{self.type(kind)} %{label}" for kind, label in self._signature)
        head = f"define {self.type(self.returns)} @{self.name}({signature}) {self.attributes} {{"
        return "\n".join([head, "entry:", *self._entry, *self._body, "}"]) + "\n"


class Loop:
    """A loop being written: where it begins and where it ends."""

    __slots__ = ("after", "function", "head")

    def __init__(self, function: Function, head: str, after: str) -> None:
        self.function, self.head, self.after = function, head, after

    def leave_unless(self, condition: Value) -> None:
        """Go on inside the loop only if the bit is set."""
        inside = self.function.label()
        self.function.line(f"br i1 {condition.name}, label %{inside}, label %{self.after}")
        self.function.block(inside)


def declarations(lanes: int) -> str:
    """The intrinsics that emitted code may call; nothing else is ever linked."""
    v = f"<{lanes} x double>"
    lines = []
    for word, n in (("fma", 3), ("fabs", 1), ("floor", 1), ("sqrt", 1)):
        lines.append(f"declare {v} @llvm.{word}.v{lanes}f64({', '.join([v] * n)})")
        lines.append(f"declare double @llvm.{word}.f64({', '.join(['double'] * n)})")
    lines.append("declare i64 @llvm.cttz.i64(i64, i1)")
    return "\n".join(lines) + "\n"
