"""What a solve returns: values with axes patient, time, output, and what happened to each patient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name

Reals = NDArray[np.float64]

REASONS = (
    "solved",
    "the step became too small",
    "too many steps",
    "the linear system stayed singular",
    "the start is not finite, or has fewer than no cells",
    "an output is not a number",
)


@dataclass(frozen=True)
class Failure:
    """A patient whose solve ended early."""

    row: int
    patient: int
    time_reached: float
    worst_state: str
    reason: str


@dataclass(frozen=True)
class Solution:
    """Courses of a cohort.

    Attributes:
        values: shape (patient, time, output), in the outputs' declared units; NaN after a patient's end or failure.
        times: shape (time,) or (patient, time), days.
        outputs: names along the last axis.
        units: unit of each output.
        patient_ids: shape (patient,).
        status: shape (patient,); 0 is solved, else an index into ``REASONS``.
        time_reached: shape (patient,), days.
        crossing_time: for each crossing, shape (patient,), days; NaN is never.
        extreme: for each extreme, (times, values), each of shape (patient,).
        extinct_time: for each state with a jump process, shape (patient,), days; NaN is not extinct.
        final: states at the end, shape (patient, state), canonical units.
        tangents: for each differentiated quantity, d values / d quantity, shape (patient, time, output).
        steps, rejected: work of the solver per patient, shape (patient,).
    """

    values: Reals
    times: Reals
    outputs: tuple[str, ...]
    units: tuple[str, ...]
    patient_ids: NDArray[np.uint64]
    status: NDArray[np.int8]
    time_reached: Reals
    final: Reals
    states: tuple[str, ...]
    steps: NDArray[np.int64]
    rejected: NDArray[np.int64]
    worst: NDArray[np.int64]
    crossing_time: dict[str, Reals] = field(default_factory=dict)
    extreme: dict[str, tuple[Reals, Reals]] = field(default_factory=dict)
    extinct_time: dict[str, Reals] = field(default_factory=dict)
    tangents: dict[str, Reals] = field(default_factory=dict)

    def __getitem__(self, output: str) -> Reals:
        """Values of one output, shape (patient, time)."""
        if output not in self.outputs:
            raise InputError(unknown_name("output", output, list(self.outputs), place="this solution"))
        return self.values[:, :, self.outputs.index(output)]

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Which patients could not be solved, shape (patient,)."""
        return self.status != 0

    def failures(self) -> list[Failure]:
        """Every patient that failed: how far it came, which state was worst, and why."""
        return [
            Failure(
                int(k),
                int(self.patient_ids[k]),
                float(self.time_reached[k]),
                self.states[int(self.worst[k])],
                REASONS[int(self.status[k])],
            )
            for k in np.flatnonzero(self.failed)
        ]

    def to_xarray(self) -> Any:
        """Courses as an ``xarray.Dataset`` with dimensions patient and time; units are attributes."""
        import xarray as xr

        if self.times.ndim > 1:
            raise InputError("to_xarray: patients have times of their own; use values and times directly")
        coordinates = {"patient": self.patient_ids.astype(np.int64), "time": ("time", self.times, {"unit": "day"})}
        arrays = {
            name: (("patient", "time"), self.values[:, :, k], {"unit": self.units[k]})
            for k, name in enumerate(self.outputs)
        }
        return xr.Dataset(arrays, coords=coordinates)
