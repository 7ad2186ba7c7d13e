"""Design of a network of plants: which to open, where each patient's cells are made, and how they travel.

The form is that of i-SHIPMENT (``triantafyllou2022``), restated: a patient picks one plant, one mode of transport there
and one back; making begins when the cells arrive (or up to ``most_wait_days`` later); a plant begins at most as many
batches in any stretch of ``making_days`` as it has lines; an open plant costs money every day of the horizon. The MILP
is solved by HiGHS to a gap of zero. Equal patients (same centre, same day) are counted, not told apart.

Left out against the published model: storage, several batches per patient, demand that is not known beforehand.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from livingdrug.declared import Declared, Number
from livingdrug.errors import InputError, unknown_name
from livingdrug.plant.dat import Data, Index, read_dat
from livingdrug.storage import write_atomically

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Design", "Network", "NetworkOptions", "design", "read_network"]

Days = Annotated[int, Field(strict=True, ge=0, le=3650)]
Money = Annotated[Number, Field(ge=0, le=1e12)]
PARAMETERS = {
    "CIM": ("m",), "CVM": ("m",), "FCAP": ("m",), "TT1": ("j",), "TT3": ("j",), "U1": ("c", "m", "j"),
    "U3": ("m", "h", "j"), "INC": ("p", "c", None),
}  # fmt: skip
SCALARS = {"FMAX": 1.0, "FMIN": 0.0, "TAD": 0.0, "TLS": 1.0}
CENT = 2


@dataclass(frozen=True)
class Network:
    """An instance: plants, modes of transport, costs in USD, times in days, and each patient's centre and day.

    Attributes:
        daily: cost per day of an open plant (capital ``CIM`` and running ``CVM``).
        lines: batches that a plant can make at once (``FCAP``).
        days_out, days_back: time of a mode to the plant and back (``TT1``, ``TT3``).
        cost_out: (centre, plant, mode) -> USD (``U1``); ``cost_back``: (plant, centre, mode) -> USD (``U3``, whose
            hospital stands at the place of the centre in its set).
        patients: identifier -> (centre, day of collection) (``INC``).
        collection_days, administration_days: ``TLS`` and ``TAD``.
    """

    name: str
    centres: tuple[str, ...]
    plants: tuple[str, ...]
    modes: tuple[str, ...]
    daily: dict[str, float]
    lines: dict[str, int]
    days_out: dict[str, int]
    days_back: dict[str, int]
    cost_out: dict[tuple[str, str, str], float]
    cost_back: dict[tuple[str, str, str], float]
    patients: dict[str, tuple[str, int]]
    collection_days: int = 1
    administration_days: int = 0


class NetworkOptions(Declared):
    """What the file does not say.

    Attributes:
        horizon_days: days for which open plants are paid.
        most_open: plants that may be open.
        within_days: longest time from the begin of collection to the return; without it any.
        making_days, testing_days: time in the plant and in its tests.
        materials, tests: USD per therapy.
        most_wait_days: how long cells may wait, frozen, for a line.
        day_of_waiting: USD that a day from collection to return is worth, for one patient: the chance to survive that
            it costs times what a life is worth to the planner. 0 leaves the published objective.
        time_limit: seconds for the solver.
    """

    horizon_days: Annotated[int, Field(strict=True, ge=1, le=36500)] = 130
    most_open: Annotated[int, Field(strict=True, ge=1, le=1000)] = 2
    within_days: Days | None = None
    making_days: Annotated[int, Field(strict=True, ge=1, le=365)] = 7
    testing_days: Days = 7
    materials: Money = 10_476.0
    tests: Money = 9_312.0
    most_wait_days: Annotated[int, Field(strict=True, ge=0, le=60)] = 0
    day_of_waiting: Money = 0.0
    time_limit: Annotated[Number, Field(gt=0, le=86_400)] = 600.0


@dataclass(frozen=True, eq=False, repr=False)
class Design:
    """A network that was chosen.

    Attributes:
        open: the plants that are open.
        assignments: one row per patient: centre, plant, modes, days of collection, begin, harvest, release and return,
            turnaround and cost of transport.
        costs: USD by item; ``all`` is their sum, without the value of waiting.
        objective: what was minimised (``all``, and the value of waiting where one is given).
        gap: relative distance to the proved bound; 0 is a proved optimum.
    """

    network: Network
    options: NetworkOptions
    open: tuple[str, ...]
    assignments: Any  # pandas.DataFrame
    costs: dict[str, float]
    objective: float
    gap: float

    def __repr__(self) -> str:
        return f"<Design {self.network.name}: {', '.join(self.open)} open, {self.objective:,.2f} USD, gap {self.gap:g}>"

    @property
    def per_therapy(self) -> float:
        """Cost of one therapy in USD."""
        return self.costs["all"] / len(self.assignments)

    @property
    def slots(self) -> float:
        """Batches that the open plants could make within the horizon."""
        lines = sum(self.network.lines[plant] for plant in self.open)
        return lines * self.options.horizon_days / self.options.making_days

    @property
    def utilisation(self) -> float:
        """Share of the slots that are used."""
        return len(self.assignments) / self.slots

    @property
    def table(self) -> pd.DataFrame:
        """Cost by item: USD in all, per therapy and as a share."""
        import pandas as pd

        frame = pd.DataFrame(list(self.costs.items()), columns=["item", "usd"])
        frame["usd_per_therapy"] = frame["usd"] / len(self.assignments)
        return frame.assign(share=frame["usd"] / self.costs["all"])

    @property
    def gantt(self) -> pd.DataFrame:
        """Batches on the lines of each plant: plant, line, patient, begin and end of making."""
        from livingdrug.plant.gantt import lanes

        made = self.assignments.rename(columns={"plant": "resource", "begin_day": "from_day"})
        return lanes(made.assign(to_day=made["from_day"] + self.options.making_days))

    def save(self, folder: str | Path) -> Path:
        """Write ``assignments.parquet`` and ``design.json`` into a folder, each whole or not at all."""
        where, content = Path(folder), io.BytesIO()
        self.assignments.to_parquet(content, index=False)
        write_atomically(where / "assignments.parquet", content.getvalue())
        about = {
            "instance": self.network.name, "options": self.options.model_dump(mode="json"), "open": self.open,
            "costs_usd": self.costs, "objective_usd": self.objective, "gap": self.gap,
            "notice": "Not for clinical use.",
        }  # fmt: skip
        write_atomically(where / "design.json", json.dumps(about, indent=2))
        return where


def read_network(path: str | Path) -> Network:
    """Read an instance in the ``.dat`` form of i-SHIPMENT.

    Raises:
        InputError: a set or an entry is missing, unknown, negative or not whole; names the line.
    """
    data = read_dat(path, {name: len(parts) for name, parts in PARAMETERS.items()})
    for name in ("c", "h", "j", "m", "p"):
        if not data.sets.get(name):
            raise InputError(f"{data.where}: the set {name!r} is missing or empty")
    for name in sorted(data.parameters):
        if name not in PARAMETERS and name not in SCALARS:
            raise InputError(unknown_name("parameter", name, [*PARAMETERS, *SCALARS], place=data.where))
    if len(data.sets["c"]) != len(data.sets["h"]):
        raise InputError(f"{data.where}: every centre in 'c' needs its hospital in 'h' at the same place; sizes differ")
    found = {name: _complete(name, data) for name in PARAMETERS if name != "INC"}
    scalars = {name: _scalar(name, data) for name in SCALARS}
    centre_of = dict(zip(data.sets["h"], data.sets["c"], strict=True))
    return Network(
        name=Path(path).stem,
        centres=data.sets["c"],
        plants=data.sets["m"],
        modes=data.sets["j"],
        daily={m: found["CIM"][m,] + found["CVM"][m,] for m in data.sets["m"]},
        lines={m: _whole("FCAP", (m,), data) for m in data.sets["m"]},
        days_out={j: _whole("TT1", (j,), data) for j in data.sets["j"]},
        days_back={j: _whole("TT3", (j,), data) for j in data.sets["j"]},
        cost_out={(c, m, j): value for (c, m, j), value in found["U1"].items()},
        cost_back={(m, centre_of[h], j): value for (m, h, j), value in found["U3"].items()},
        patients=_patients(data),
        collection_days=int(scalars["TLS"]),
        administration_days=int(scalars["TAD"]),
    )


def design(network: Network, options: NetworkOptions | None = None, **changes: Any) -> Design:
    """Return the cheapest network, proved by HiGHS.

    Args:
        network: the instance.
        options: what the file does not say.
        changes: single options instead, e.g. ``within_days=18``.

    Raises:
        InputError: no network fits; the message names the groups of constraints that stand in the way.
        SolveError: the time limit was reached before the proof.
    """
    from livingdrug.plant.milp import Programme

    chosen = options or NetworkOptions()
    if changes:
        chosen = NetworkOptions(**(chosen.model_dump() | changes))
    programme = Programme(network, chosen)
    open_plants, counts, gap = programme.solve()
    table: Any = programme.assignments(counts)
    lines = {
        "plants": sum(network.daily[plant] for plant in open_plants) * chosen.horizon_days,
        "transport": float(table["transport_usd"].sum()),
        "materials": chosen.materials * len(table),
        "tests": chosen.tests * len(table),
    }
    costs = {name: round(value, CENT) for name, value in lines.items()}
    costs["all"] = round(sum(lines.values()), CENT)
    waited = chosen.day_of_waiting * float(table["turnaround_days"].sum())
    return Design(network, chosen, open_plants, table, costs, round(costs["all"] + waited, CENT), gap)


def _complete(name: str, data: Data) -> dict[Index, float]:
    """Return a parameter after checking that every entry of its sets is there, known and not negative."""
    from itertools import product

    found = data.parameters.get(name)
    if found is None:
        raise InputError(f"{data.where}: the parameter {name!r} is missing")
    sets = [data.sets[part] for part in PARAMETERS[name] if part]
    for index, value in found.items():
        _known(name, index, data)
        if value < 0:
            raise InputError(f"{data.at(name, index)}: param {name}: must be 0 or more, got {value:g}")
    for index in product(*sets):
        if index not in found:
            raise InputError(f"{data.where}: param {name}: the entry {' '.join(index)!r} is missing")
    return found


def _known(name: str, index: Index, data: Data) -> None:
    parts = PARAMETERS[name]
    if len(index) != len(parts):
        raise InputError(f"{data.at(name, index)}: param {name}: {len(parts)} names are expected, got {len(index)}")
    for part, member in zip(parts, index, strict=True):
        if part and member not in data.sets[part]:
            raise InputError(
                unknown_name(
                    f"member of {part}", member, data.sets[part], place=f"{data.at(name, index)}: param {name}"
                )
            )


def _whole(name: str, index: Index, data: Data) -> int:
    value = data.parameters[name][index]
    if value != int(value) or value > 1_000_000:
        raise InputError(
            f"{data.at(name, index)}: param {name}: a whole number up to 1000000 is expected, got {value:g}"
        )
    return int(value)


def _scalar(name: str, data: Data) -> float:
    found = data.parameters.get(name, {(): SCALARS[name]})
    if set(found) != {()}:
        raise InputError(f"{data.where}: param {name}: one value is expected, got {len(found)} entries")
    value = found[()]
    if name in ("FMAX", "FMIN") and value != SCALARS[name]:
        raise InputError(
            f"{data.at(name)}: param {name}: only {SCALARS[name]:g} is read (one batch each), got {value:g}"
        )
    if value != int(value) or not 0 <= value <= 365:
        raise InputError(f"{data.at(name)}: param {name}: a whole number of days from 0 to 365, got {value:g}")
    return value


def _patients(data: Data) -> dict[str, tuple[str, int]]:
    """Return each patient's centre and day of collection; every patient comes exactly once."""
    found: dict[str, tuple[str, int]] = {}
    for index, value in data.parameters.get("INC", {}).items():
        _known("INC", index, data)
        patient, centre, day = index
        place = data.at("INC", index)
        if not day.isdigit() or int(day) > 100_000:
            raise InputError(f"{place}: param INC: a whole day from 0 to 100000 is expected, got {day!r}")
        if value not in (0.0, 1.0):
            raise InputError(f"{place}: param INC: must be 0 or 1, got {value:g}")
        if value and patient in found:
            raise InputError(f"{place}: param INC: patient {patient!r} comes twice")
        if value:
            found[patient] = (centre, int(day))
    for patient in data.sets["p"]:
        if patient not in found:
            raise InputError(f"{data.where}: param INC: patient {patient!r} of the set 'p' never comes")
    return found
