"""A model as an mrgsolve model file (R and C++)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from livingdrug.exports.infix import Block, Dialect, Text, decimal
from livingdrug.exports.names import Names
from livingdrug.exports.sheet import (
    Dose,
    Sheet,
    output_comment,
    parameter_comment,
    patient_value,
    sheet,
    state_comment,
    variance,
    words,
)
from livingdrug.model.expressions import Expression

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["to_mrgsolve"]

# Words of C++, of its mathematical library (whose functions are visible everywhere) and of mrgsolve.
_WORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const constexpr continue
    decltype default delete do double else enum explicit export extern false final float for friend goto if inline
    int long mutable namespace new noexcept not not_eq nullptr operator or or_eq override private protected public
    register requires return short signed sizeof static struct switch template this throw true try typedef typeid
    typename union unsigned using virtual void volatile wchar_t while xor xor_eq concept char8_t char16_t char32_t
    main NULL EOF abs acos acosh asin asinh atan atan2 atanh cbrt ceil cos cosh div drem erf erfc exp exp2 expm1
    fabs fdim finite floor fma fmax fmin fmod frexp gamma hypot ilogb index j0 j1 jn ldexp lgamma log log10 log1p
    log2 logb lrint lround max min modf nan nearbyint nextafter pow pow10 remainder remquo rint round scalb scalbn
    signal significand sin sincos sinh sqrt tan tanh tgamma time trunc y0 y1 yn clock free exit system rand random
    read write link select std R Rcpp mrgsolve mrg self databox evt report capture table init pred ETA EPS THETA
    OMEGA SIGMA ID AMT CMT RATE EVID TIME II SS ADDL DV amt cmt rate evid ii ss addl id SOLVERTIME T NEWIND DONE
    FLAG CFONSTOP SYSTEMOFF SYSTEMNOTOFF DOSETIME MTIME RESET mtime tad parent start end delta add event ev F D ALAG
    A dxdt pi Pi PI M_PI E I i _N
"""
RESERVED = frozenset(_WORDS.split())
PREFIXES = ("dxdt_", "F_", "D_", "R_", "ALAG_", "ETA_", "M_", "THETA_", "_")


def _power(_block: Block, _node: Expression, base: Text, exponent: Text) -> Text:
    return f"pow({base[0]}, {exponent[0]})", 9


CPP = Dialect(
    "mrgsolve",
    functions={"abs": "std::fabs", "min": "std::fmin", "max": "std::fmax"},
    where="({condition} ? {value} : {otherwise})",
    power=_power,
)


def to_mrgsolve(model: type[Model], parameter_set: str | None = None, values: Mapping[str, float] | None = None) -> str:
    """Return an mrgsolve model file.

    Parameters stand in their declared units, outputs too; compartments are in canonical units. Spreads become
    ``$OMEGA`` with variances. Doses of the model are given as ``ev()`` lines in comments.

    Raises:
        InputError: for an unknown set or parameter, or a value outside its limits.

    Example:
        >>> from livingdrug.library import load_model
        >>> print(to_mrgsolve(load_model("stein2019")).split("$ODE")[1].split("$TABLE")[0].strip().splitlines()[-1])
        dxdt_memory = (SOLVERTIME < peak_day_i ? 0.0 : conversion*effector - decline_i*memory);
    """
    return _Text(sheet(model, parameter_set, values)).text()


class _Text:
    def __init__(self, made: Sheet) -> None:
        self.sheet, self.model = made, made.model
        self.names = Names(RESERVED | {f"{s}_0" for s in made.model.states}, prefixes=PREFIXES)
        self.words = words(made, self.names, deviate="ETA_")

    def text(self) -> str:
        main, ode, table = self.main(), self.ode(), self.table()
        compartments = [f"{new}  // {state_comment(self.model, n)}" for n, new in self.words.states.items()]
        parts = ["$PROB", *self.head(), "", "$PARAM", *self.parameters(), "", "$CMT", *compartments, ""]
        if self.words.deviates:
            variances = [decimal(variance(self.model.parameters[n])) for n in self.words.deviates]
            parts += ["$OMEGA @labels " + " ".join(self.words.deviates.values()), " ".join(variances), ""]
        parts += ["$MAIN", *main, "", "$ODE", *ode, "", "$TABLE", *table, ""]
        return "\n".join(parts)

    def head(self) -> list[str]:
        notes = [*self.sheet.notes, *self.sheet.name_lines(self.names)]
        if self.sheet.doses:
            notes.append("Doses of the model, for mrgsim(events = ...); amounts in the units of the compartments:")
            notes += [f"  {_event(dose, self.words.states[dose.target])}" for dose in self.sheet.doses]
        return [f"// {note}" for note in notes]

    def parameters(self) -> list[str]:
        return [
            f"{self.words.shown[n]} = {decimal(self.sheet.values[n])}  // {parameter_comment(p)}"
            for n, p in self.model.parameters.items()
        ]

    def main(self) -> list[str]:
        """Values of the patient in canonical units, and initial values."""
        shown, used = self.words.shown, self.words.used
        lines = [
            f"double {used[n]} = {patient_value(CPP, p, shown[n], self.words.deviates.get(n, ''))};"
            for n, p in self.model.parameters.items()
            if used[n] != shown[n]
        ]
        block = self.block([s.initial for s in self.model.states.values()], "_start", "TIME")
        starts = [f"{self.words.states[n]}_0 = {block.text(s.initial)};" for n, s in self.model.states.items()]
        return [*lines, *block.statements, *starts]

    def ode(self) -> list[str]:
        block = self.block(self.sheet.rates.values(), "", "SOLVERTIME")
        found = [f"dxdt_{self.words.states[n]} = {block.text(rate)};" for n, rate in self.sheet.rates.items()]
        return [*block.statements, *found]

    def table(self) -> list[str]:
        block = self.block(self.sheet.outputs.values(), "_out", "TIME")
        found = [
            f"capture {self.words.outputs[n]} = {block.text(formula)};  // {output_comment(self.model.outputs[n])}"
            for n, formula in self.sheet.outputs.items()
        ]
        return [*block.statements, *found]

    def block(self, roots: Iterable[Expression], suffix: str, clock: str) -> Block:
        """Names are global in mrgsolve, so that each block has its own for the same parts."""
        parts = {f: self.names.take(n + suffix) if suffix else n for f, n in self.words.parts.items()}
        symbols = self.words.symbols(self.model, clock)
        return Block(CPP, symbols, parts, roots, _assign, lambda stem: self.names.fresh(stem + suffix))


def _assign(name: str, _operation: str, texts: list[str]) -> list[str]:
    return [f"double {name} = {texts[0]};"]


def _event(dose: Dose, target: str) -> str:
    extra = ", evid = 8" if dose.kind == "set" else ""
    if dose.kind == "infusion" and dose.duration > 0:
        extra = f", rate = {decimal(dose.amount / dose.duration)}"
    return f'ev(time = {decimal(dose.at)}, amt = {decimal(dose.amount)}, cmt = "{target}"{extra})'
