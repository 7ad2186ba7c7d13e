"""Devices: the vessels in which the cells grow, each a set of stated numbers in ``devices.toml``.

Example:
    >>> device_names()
    ('static bag', 'g-rex', 'wave', 'stirred tank', 'hollow fibre', 'prodigy')
    >>> device("g-rex").volume.describe()
    '1 L'
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.declared import Declared, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.therapy.stated import Fixed, StatedValue, within

__all__ = ["MEDIUM", "Device", "device", "device_names", "medium", "usual_medium"]

MEDIUM = ("volume", "exchange", "exchange_start", "feed", "feed_start", "most_volume")
ML_PER_L = 1000.0
FILE = Path(__file__).with_name("devices.toml")


class Device(Declared):
    """A vessel: how cells grow and die in it, what it holds, and how medium is added or exchanged."""

    title: Text = ""
    growth_rate: Annotated[StatedValue, within("1/day")]
    activation_half_life: Annotated[StatedValue, within("day", above=True)]
    death_rate: Annotated[StatedValue, within("1/day")]
    volume: Annotated[StatedValue, within("L", above=True)]
    capacity: Annotated[StatedValue, within("cell", above=True)]
    seeding_limit: Annotated[StatedValue, within("cell", above=True)]
    exchange: Annotated[StatedValue, within("1/day")] = Fixed(value=0.0, unit="1/day", note="none")
    exchange_start: Annotated[StatedValue, within("day")] = Fixed(value=0.0, unit="day")
    feed: Annotated[StatedValue, within("L/day")] = Fixed(value=0.0, unit="L/day", note="none")
    feed_start: Annotated[StatedValue, within("day")] = Fixed(value=0.0, unit="day")
    most_volume: Annotated[StatedValue, within("L")] = Fixed(
        value=0.0, unit="L", note="feeding ends when this volume is reached"
    )


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    return read_toml(FILE)


def device_names() -> tuple[str, ...]:
    """Return the names of all devices."""
    return tuple(_tables())


def device(name: str) -> Device:
    """Return the device of that name; an unknown name is an InputError with the nearest names."""
    if not isinstance(name, str) or name not in _tables():
        raise InputError(unknown_name("device", name, device_names()))
    return declare(Device, _tables()[name], f"device {name!r}")


def medium(stated: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return volume, feeding and exchange as parameters of the culture model; feeding ends when the vessel is full.

    Args:
        stated: one array for each name of ``MEDIUM``, in the units of ``Device``, all of one shape.
    """
    room = np.maximum(stated["most_volume"] - stated["volume"], 0.0)
    days = np.divide(room, stated["feed"], out=np.zeros_like(room), where=stated["feed"] > 0)
    return {
        "start_volume": stated["volume"] * ML_PER_L,
        "perfusion_rate": stated["exchange"],
        "perfusion_start": stated["exchange_start"],
        "feed_rate": stated["feed"] * ML_PER_L,
        "feed_start": stated["feed_start"],
        "feed_end": stated["feed_start"] + days,
    }


def usual_medium(vessel: Device) -> dict[str, float]:
    """Return the parameters of ``medium`` at the middle of what the vessel states.

    Example:
        >>> usual_medium(device("wave"))["feed_end"]
        4.0
    """
    middle = {name: np.asarray(getattr(vessel, name).quantile(0.5), np.float64) for name in MEDIUM}
    return {name: float(value) for name, value in medium(middle).items()}
