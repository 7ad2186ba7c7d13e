"""What a model is: declaration, symbols, parameters, checks, vocabulary of outputs."""

from livingdrug.model.declaration import Block, Model
from livingdrug.model.expressions import absolute, exp, log, maximum, minimum, sqrt, time, where
from livingdrug.model.symbols import (
    birth_death,
    bolus,
    ddt,
    infusion,
    logitnormal,
    lognormal,
    normal,
    output,
    parameter,
    reset,
    state,
)

__all__ = [
    "Block",
    "Model",
    "absolute",
    "birth_death",
    "bolus",
    "ddt",
    "exp",
    "infusion",
    "log",
    "logitnormal",
    "lognormal",
    "maximum",
    "minimum",
    "normal",
    "output",
    "parameter",
    "reset",
    "sqrt",
    "state",
    "time",
    "where",
]
