"""A model with areas under its outputs: each is one more state, so the solver controls the area's error, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from livingdrug.model.expressions import as_expression
from livingdrug.model.fingerprint import sha256
from livingdrug.model.symbols import Output, State

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["area_name", "with_areas"]


@dataclass(frozen=True, eq=False)
class _WithAreas:
    """What the engine reads from a model; everything but the new states is the model's own."""

    name: str
    states: Mapping[str, State]
    rates: Mapping[State, Any]
    outputs: Mapping[str, Output]
    parameters: Any
    events: Sequence[Any]
    jumps: Sequence[Any]
    fingerprint: str
    canonical: Any


def area_name(output: str) -> str:
    """Return the name of the state that holds the area under an output since day 0."""
    return f"area under {output}"  # with spaces, so that no declared name is the same


def with_areas(model: type[Model], outputs: Sequence[str]) -> type[Model]:
    """Return the model with a state for the area under each of the outputs, in the output's unit times day.

    The result serves the engine only: it has the states, outputs and parameters of a model and none of its texts.

    Example:
        >>> from livingdrug.library import load_model
        >>> list(with_areas(load_model("stein2019"), ["car_t_transgene_blood"]).states)
        ['effector', 'memory', 'area under car_t_transgene_blood']
    """
    if not outputs:
        return model
    states, rates = dict(model.states), dict(model.rates)
    for output in outputs:
        area = State("1", f"area under {output}", as_expression(0.0), None, 1e-6)
        area.name, area.factor = area_name(output), 1.0
        of_state = None if output in model.outputs else model.states[output]
        declared = model.outputs[output] if of_state is None else Output(of_state, factor=of_state.factor)
        states[area.name] = area
        rates[area] = as_expression(declared.expression) / declared.factor
    changed = _WithAreas(
        name=model.name,
        states=states,
        rates=rates,
        outputs=model.outputs,
        parameters=model.parameters,
        events=model.events,
        jumps=model.jumps,
        fingerprint=sha256([model.fingerprint, "areas", *outputs]),
        canonical=model.canonical,
    )
    return cast("type[Model]", changed)
