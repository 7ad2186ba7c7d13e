"""The bench's problems in SBML, for the peers that read it."""

from functools import lru_cache

import antimony
import sympy

from benchmarks.problems import Problem


class _Antimony(sympy.printing.StrPrinter):
    """SymPy to Antimony."""

    def _print_Pow(self, expr, rational=False):
        return f"({self._print(expr.base)})^({self._print(expr.exp)})"

    def _print_Max(self, expr):
        return f"max({', '.join(map(self._print, expr.args))})"

    def _print_Min(self, expr):
        return f"min({', '.join(map(self._print, expr.args))})"


@lru_cache
def to_sbml(problem: Problem) -> str:
    """The problem with its doses as events; states y0, y1, ... are scaled, parameters are p0, p1, ..."""
    write = _Antimony().doprint
    time = sympy.Symbol("time", real=True)
    lines = ["model problem"]
    for i, parameter in enumerate(problem.model.parameters.values()):
        lines.append(f"  p{i} = {parameter.value!r};")
    for i, (start, rate) in enumerate(zip(problem.start_formulas, problem.rates, strict=True)):
        lines.append(f"  y{i} = {write(start)};")
        lines.append(f"  y{i}' = {write(rate.subs(sympy.Symbol('t', real=True), time))};")
    states = list(problem.model.states.values())
    for i, event in enumerate(event for event in problem.model.events if event not in problem.at_zero):
        y, day = f"y{states.index(event.target)}", write(problem.formula(event.at))
        amount = write(problem.formula(event.amount) / event.target.floor)
        lines.append(f"  dose{i}: at (time >= {day}): {y} = {y} + {amount};")
    lines.append("end")
    if antimony.loadAntimonyString("\n".join(lines)) < 0:
        raise RuntimeError(antimony.getLastError())
    return antimony.getSBMLString("problem")
