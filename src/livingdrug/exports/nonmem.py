"""A model as a NONMEM control stream (NM-TRAN, ADVAN13), a skeleton to be joined with a data file."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from livingdrug.exports.infix import Block, Dialect, Text, wrapped
from livingdrug.exports.names import Names
from livingdrug.exports.sheet import (
    Dose,
    Sheet,
    individual,
    output_comment,
    parameter_comment,
    plain,
    sheet,
    state_comment,
    variance,
    words,
)
from livingdrug.model.expressions import Expression, Number, Symbol, time, walk
from livingdrug.model.symbols import Parameter

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["to_nonmem"]

# Words of Fortran and NM-TRAN: data items, functions, and variables of the subroutines that it writes.
_WORDS = """
    A A_0 A_0FLG DADT T F Y P S R D ALAG F0 FO SC S0 SO XSC TSCALE TS ETA EPS ERR THETA OMEGA SIGMA MU MTIME MPAST MNEXT
    MTDIFF ID TIME EVID AMT RATE CMT DV MDV II SS ADDL PCMT CALL CONT L1 L2 RAW_ RPT_ DATE DAT1 DAT2 DAT3 CALLFL
    OBSERVATION IPRED IRES IWRES W PRED RES WRES CWRES NPDE CPRED NEWIND NEWL2 ICALL IREP INDREC NREP NPROB NINDR IREV
    COM COMACT COMSAV COMRES DOSTIM DOSREC TSTATE SKIP ISSNEW NPEVT IF THEN ELSE ELSEIF ENDIF END DO ENDDO WHILE GOTO
    EXIT CONTINUE RETURN STOP CALLS INTEGER REAL DOUBLE LOGICAL CHARACTER DATA COMMON DIMENSION FUNCTION SUBROUTINE USE
    ONLY INCLUDE WRITE PRINT OPEN CLOSE READ REWIND SAVE IMPLICIT PARAMETER EXTERNAL INTRINSIC ABS ACOS ASIN ATAN ATAN2
    COS COSH EXP GAMLN INT LOG LOG10 MAX MIN MOD PHI SIN SINH SQRT TAN TANH PEXP PLOG PLOG10 PSQRT PINT PNP PHE PNG PZR
    DEXP DLOG DSQRT DABS FUNCA FUNCB FUNCC FUNCD FUNCE FUNCF FUNCG FUNCH FUNCI LAST TOL OUTPUT CENTRAL DEFDOSE DEFOBS
    DEFOBSERVATION INITIALOFF NOOFF NODOSE EQUILIBRIUM EXCLUDE MIXNUM MIXEST MIXP NSPOP TEMPLT IDS IDA LIREC LTIME
    FIRSTEM G H HH GG DA DP IR B C E PE LS
"""
RESERVED = frozenset(_WORDS.split())
LONGEST_NAME, LONGEST_LINE, MOST_TIMES, LARGEST_THETA = 20, 150, 30, 1e5
RESIDUAL = "0.04"


def fortran(value: float) -> str:
    """Return a number in double precision.

    Example:
        >>> fortran(2), fortran(1e-6), fortran(0.25)
        ('2.0D0', '1.0D-6', '0.25D0')
    """
    mantissa, _, exponent = repr(float(value)).partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}D{int(exponent or 0)}"


def _power(block: Block, node: Expression, base: Text, exponent: Text) -> Text:
    """Whole exponents stay whole; under any other a base that could become negative is cut off at zero."""
    by = node.operands[1]
    if isinstance(by, Number) and by.value.is_integer() and abs(by.value) < 100:
        whole = str(int(by.value))
        return f"{wrapped(base)}**{whole if by.value >= 0 else f'({whole})'}", 7
    if not never_negative(node.operands[0]):
        base = block.step("floor", [base[0]])
    return f"{wrapped(base)}**{wrapped(exponent)}", 7


def never_negative(expression: Expression) -> bool:
    """Whether a formula shows by its form that it cannot be negative, for parameters within their limits."""
    known: dict[Expression, bool] = {}
    for node in walk(expression):
        parts = [known[o] for o in node.operands]
        if isinstance(node, Number):
            known[node] = node.value >= 0
        elif isinstance(node, Parameter):
            known[node] = node.limits[0] >= 0
        elif node.operation == "where":
            known[node] = parts[1] and parts[2]
        elif node.operation == "max":
            known[node] = any(parts)
        elif node.operation in ("add", "mul", "div", "min"):
            known[node] = all(parts)
        elif node.operation == "pow":
            known[node] = parts[0]
        else:
            known[node] = node.operation in ("exp", "sqrt", "abs")
    return known[expression]


NMTRAN = Dialect(
    "NONMEM",
    signs={"lt": ".LT.", "le": ".LE.", "gt": ".GT.", "ge": ".GE.", "and": ".AND.", "or": ".OR."},
    functions={"exp": "EXP", "log": "LOG", "sqrt": "SQRT", "abs": "ABS"},
    number=fortran,
    power=_power,
    steps=frozenset({"min", "max"}),
)


def to_nonmem(model: type[Model], parameter_set: str | None = None, values: Mapping[str, float] | None = None) -> str:
    """Return a NONMEM control stream: all of the model, to be joined with a data file and an error model.

    Parameters stand in their declared units with their limits (large ones as a number times a power of ten), outputs
    too; compartments are in canonical units. Spreads become ``$OMEGA`` with variances. Switches in time become
    ``MTIME``, at which NONMEM stops exactly. Doses of the model are shown as lines of a data file, in comments.

    Raises:
        InputError: for an unknown set or parameter, or a value outside its limits.

    Example:
        >>> from livingdrug.library import load_model
        >>> text = to_nonmem(load_model("stein2019"))
        >>> [line for line in text.splitlines() if "THETA(2)" in line]
        ['PEAK_DAY = THETA(2)*EXP(ETA(2))']
    """
    return _Text(sheet(model, parameter_set, values)).text()


class _Text:
    def __init__(self, made: Sheet) -> None:
        self.sheet, self.model = made, made.model
        self.names = Names(RESERVED, longest=LONGEST_NAME, upper=True)
        self.words = words(made, self.names, patient="")
        self.deviates = {name: k for k, name in enumerate(self.words.deviates, 1)}
        self.times: list[str] = []
        self.conditions: dict[Expression, tuple[str, str]] = {}

    def text(self) -> str:
        pk, des, error = self.pk(), self.des(), self.error()
        outputs = list(self.words.outputs.values())
        title = plain(f"{self.model.name}: {self.model.summary()}")[:120]
        parts = [*self.head(), f"$PROBLEM {title}", "$INPUT ID TIME EVID AMT RATE CMT DV"]
        parts += ["$DATA data.csv IGNORE=@", "$SUBROUTINES ADVAN13 TOL=9", "$MODEL"]
        parts += [f"COMP=({new}) ; {state_comment(self.model, n)}" for n, new in self.words.states.items()]
        parts += ["$PK", *pk, "$DES", *des, "$ERROR", *error, "$THETA", *self.thetas(), "$OMEGA", *self.omegas()]
        parts += [f"$SIGMA {RESIDUAL} ; EPS(1), proportional error: a starting value, not from the paper"]
        parts += ["$ESTIMATION METHOD=COND INTERACTION MAXEVAL=9999 NSIG=3 SIGL=9"]
        parts += [f"$TABLE ID TIME {' '.join(outputs)} NOPRINT ONEHEADER FILE=table.txt", ""]
        return "\n".join(line for part in parts for line in _folded(part))

    def head(self) -> list[str]:
        notes = [*self.sheet.notes, *self.sheet.name_lines(self.names)]
        if self.sheet.doses:
            notes.append("Doses of the model, as lines of data.csv; AMT in the units of the compartments:")
            notes.append("  ID,TIME,EVID,AMT,RATE,CMT,DV")
            numbers = {n: k for k, n in enumerate(self.words.states, 1)}
            notes += [f"  {line}" for dose in self.sheet.doses for line in _records(dose, numbers[dose.target])]
        return [f"; {note}" for note in notes]

    def pk(self) -> list[str]:
        """Values of the patient in canonical units, times at which NONMEM stops, and initial values."""
        lines = [f"{self.words.used[n]} = {self.individual(k, n)}" for k, n in enumerate(self.model.parameters, 1)]
        starts = [s.initial for s in self.model.states.values()]
        switches = _switches(self.sheet.rates.values())
        block = self.block([*starts, *(bound for _, bound, _ in switches)], "_0", "TIME")
        for condition, bound, before in switches:
            text = block.text(bound)
            if text not in self.times:
                self.times.append(text)
            number = self.times.index(text) + 1
            if number <= MOST_TIMES:
                states = (f"MPAST({number}).EQ.0", f"MPAST({number}).EQ.1")
                self.conditions[condition] = states if before else (states[1], states[0])
        times = [f"MTIME({k}) = {bound}" for k, bound in enumerate(self.times[:MOST_TIMES], 1)]
        found = [f"A_0({k}) = {block.text(start)}" for k, start in enumerate(starts, 1)]
        return [*lines, *block.statements, *times, *found]

    def individual(self, number: int, name: str) -> str:
        p = self.model.parameters[name]
        scale = _scale(self.sheet.values[name])
        typical, deviate = Symbol("typical", "parameter"), Symbol("deviate", "parameter")
        shown = typical if scale == 1 else typical * scale
        formula = individual(p, shown, deviate) if p.spread else shown
        formula = formula if p.factor == 1 else formula * p.factor
        symbols: dict[Expression, str] = {typical: f"THETA({number})", deviate: f"ETA({self.deviates.get(name)})"}
        return Block(NMTRAN, symbols, {}, [formula]).text(formula)

    def des(self) -> list[str]:
        block = self.block(self.sheet.rates.values(), "", "T", self.conditions)
        found = [f"DADT({k}) = {block.text(rate)}" for k, rate in enumerate(self.sheet.rates.values(), 1)]
        return [*block.statements, *found]

    def error(self) -> list[str]:
        block = self.block(self.sheet.outputs.values(), "_O", "TIME")
        found = [
            f"{self.words.outputs[n]} = {block.text(formula)} ; {output_comment(self.model.outputs[n])}"
            for n, formula in self.sheet.outputs.items()
        ]
        first = next(iter(self.words.outputs.values()), "A(1)")
        extra = "" if self.deviates else " + ETA(1)"
        return [*block.statements, *found, f"IPRED = {first}", f"Y = IPRED*(1.0D0 + EPS(1)){extra}"]

    def block(
        self,
        roots: Iterable[Expression],
        suffix: str,
        clock: str,
        conditions: Mapping[Expression, tuple[str, str]] | None = None,
    ) -> Block:
        """What one block of NM-TRAN defines cannot be defined again in another, so that each has its own names."""
        symbols = self.words.symbols(self.model, clock)
        symbols |= {s: f"A({k})" for k, s in enumerate(self.model.states.values(), 1)}
        parts = {f: self.names.fresh(n + suffix) if suffix else n for f, n in self.words.parts.items()}
        new_name = lambda stem: self.names.fresh(stem + suffix)  # noqa: E731
        return Block(NMTRAN, symbols, parts, roots, _assign, new_name, conditions or {})

    def thetas(self) -> list[str]:
        lines = []
        for number, (name, p) in enumerate(self.model.parameters.items(), 1):
            value, scale = self.sheet.values[name], _scale(self.sheet.values[name])
            low, high = (limit / scale for limit in p.limits)
            shown = value / scale
            if shown == 0 or not low < shown < high:
                given = f"{shown!r} FIX"
            else:
                ends = [repr(low) if math.isfinite(low) else "-INF", repr(shown)]
                given = f"({', '.join([*ends, repr(high)] if math.isfinite(high) else ends)})"
            times = "" if scale == 1 else f", times {scale:.0e}"
            lines += [f"{given} ; {number} {self.words.shown[name]}{times}", f"; {parameter_comment(p)}"]
        return lines

    def omegas(self) -> list[str]:
        if not self.deviates:
            return ["0 FIX ; the model says nothing of differences between patients"]
        found = [(name, k, self.model.parameters[name]) for name, k in self.deviates.items()]
        kinds = {n: p.spread.kind.replace("_", " ") for n, _, p in found if p.spread}
        return [f"{variance(p)!r} ; ETA({k}) of {self.words.shown[n]}, {kinds[n]}: variance" for n, k, p in found]


def _scale(value: float) -> float:
    """Power of ten that a large number is divided by: to NONMEM a million means no limit."""
    return 1.0 if abs(value) < LARGEST_THETA else float(f"1e{math.floor(math.log10(abs(value)))}")


def _switches(rates: Iterable[Expression]) -> list[tuple[Expression, Expression, bool]]:
    """Conditions that compare time itself with something fixed: (condition, what with, whether it holds before)."""
    found: dict[Expression, tuple[Expression, Expression, bool]] = {}
    for rate in rates:
        for node in walk(rate):
            if node.operation in ("lt", "le") and time in node.operands:
                before = node.operands[0] is time
                bound = node.operands[1] if before else node.operands[0]
                kinds = {n.kind for n in walk(bound) if isinstance(n, Symbol)}
                if kinds <= {"parameter"}:
                    found[node] = (node, bound, before)
    return list(found.values())


def _assign(name: str, operation: str, texts: list[str]) -> list[str]:
    if operation == "where":
        condition, value, otherwise = texts
        return [f"IF ({condition}) THEN", f"  {name} = {value}", "ELSE", f"  {name} = {otherwise}", "ENDIF"]
    if operation == "floor":
        return [f"{name} = {texts[0]}", f"IF ({name}.LT.0.0D0) {name} = 0.0D0"]
    if operation in ("min", "max"):
        first, second = texts
        test = ".LT." if operation == "max" else ".GT."
        return [f"{name} = {first}", f"IF ({name}{test}{second}) {name} = {second}"]
    return [f"{name} = {texts[0]}"]


def _records(dose: Dose, number: int) -> list[str]:
    """Lines of a data file; a reset turns the compartment off, which empties it, and on again."""
    at = repr(dose.at)
    rate = repr(dose.amount / dose.duration) if dose.kind == "infusion" and dose.duration > 0 else "0"
    given = [f"1,{at},1,{dose.amount!r},{rate},{number},."] if dose.amount > 0 else []
    if dose.kind != "set":
        return given
    return [f"1,{at},2,0,0,{-number},.", f"1,{at},2,0,0,{number},.", *given]


def _folded(line: str) -> list[str]:
    """One line as several that NM-TRAN takes: statements go on after an ampersand, comments on a line of their own."""
    statement, mark, comment = line.partition(" ;") if not line.startswith(";") else ("", ";", line[1:])
    remarks = [f"; {part}" for part in textwrap.wrap(comment.strip(), LONGEST_LINE - 4)] if mark else []
    if not statement:
        return [*remarks] if mark else [line]
    if len(line) <= LONGEST_LINE:
        return [line]
    pieces = re.findall(rf".{{1,{LONGEST_LINE - 30}}}(?:(?<=[ (,*/])|$)|\S+", statement)
    indent = [f"  {piece.strip()}" if k else piece.rstrip() for k, piece in enumerate(pieces)]
    return [*(f"{piece} &" for piece in indent[:-1]), indent[-1], *remarks]
