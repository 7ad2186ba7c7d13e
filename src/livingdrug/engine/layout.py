"""What is asked of a kernel, and the slots in which it keeps a patient; all that a kernel from the cache needs.

Every quantity of a patient has a *slot*: states first, then parameters, crossing levels, infusion rates, time flags and
jump modes, then values prepared from parameters alone. Events change slots, whatever they hold; the kernel keeps the
slots of its lanes side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ADD, SET = 0, 1
"""What an event does to its slot."""


@dataclass(frozen=True)
class Request:
    """What the caller wants computed; with the model's fingerprint it decides the code of the kernel.

    Attributes:
        outputs: names of outputs or states to be returned.
        infused: states that receive infusions from outside the model.
        crossings: (output, +1 above or -1 below, whether the patient's solve ends there).
        extremes: (output, +1 maximum or -1 minimum).
        tangents: (parameter or ``initial:STATE`` to differentiate by, its typical size, which scales the error).
        stochastic: whether the model's jump processes are used.
    """

    outputs: tuple[str, ...]
    infused: tuple[str, ...] = ()
    crossings: tuple[tuple[str, int, bool], ...] = ()
    extremes: tuple[tuple[str, int], ...] = ()
    tangents: tuple[tuple[str, float], ...] = ()
    stochastic: bool = True


@dataclass(frozen=True)
class JumpPlan:
    """Where a birth-death process lives: its state, its two integrals, its mode slot, its thresholds."""

    name: str
    state: int
    lean: int  # integral of death - birth per cell
    deaths: int  # integral of death * exp(lean)
    mode: int
    rate: int  # slot of its infusion, -1 where it has none
    below: float
    above: float
    kendall: bool  # whether Kendall's solution holds; else events are drawn one by one
    noticed: bool = True  # whether a step ends at each event; else many may fall into one step


@dataclass
class Layout:
    """Names and slots of a kernel: what Python needs in order to call it (kept as JSON beside the code)."""

    states: list[str] = field(default_factory=list)
    model_states: int = 0
    parameters: list[str] = field(default_factory=list)
    levels: int = 0
    rates: list[str] = field(default_factory=list)
    flags: int = 0
    modes: int = 0
    prepared: int = 0
    stops: list[tuple[int, int]] = field(default_factory=list)  # (slot, ADD or SET) of the model's own events
    jumps: list[JumpPlan] = field(default_factory=list)
    tangents: list[str] = field(default_factory=list)
    flops: dict[str, int] = field(default_factory=dict)

    @property
    def plain_states(self) -> int:
        """States without tangents."""
        return len(self.states) // (1 + len(self.tangents))

    @property
    def kept(self) -> int:
        """Slots that are stored for each patient (all but the prepared ones)."""
        return len(self.states) + len(self.parameters) + self.levels + len(self.rates) + self.flags + self.modes

    @property
    def first_parameter(self) -> int:
        """Slot of the first parameter."""
        return len(self.states)

    @property
    def first_level(self) -> int:
        """Slot of the first crossing level."""
        return self.first_parameter + len(self.parameters)

    @property
    def first_rate(self) -> int:
        """Slot of the first infusion rate."""
        return self.first_level + self.levels

    @property
    def first_flag(self) -> int:
        """Slot of the first time flag: 1 before its time, 0 from then on."""
        return self.first_rate + len(self.rates)

    @property
    def first_mode(self) -> int:
        """Slot of the first jump mode: 0 rate equation, 1 counted cell by cell, 2 extinct."""
        return self.first_flag + self.flags
