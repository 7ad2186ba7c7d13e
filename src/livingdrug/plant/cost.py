"""What a batch costs against the use of the plant: a line costs the same whether it is used or stands still.

The cost of one batch is ``line_day x making_days / utilisation + materials + tests + transport``; of one treated
patient it is that divided by the share of batches that are infused.

Left out: collection, hospital care, staff beyond the plant's daily cost, research and profit.

Example:
    >>> cost = BatchCost()
    >>> round(cost.central(50 / (8 * 130 / 7))["all"], 2)
    141775.26
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from livingdrug.declared import Declared, Number, Text, declare, read_toml
from livingdrug.errors import InputError
from livingdrug.therapy.stated import Fraction, LogitNormal, LogNormal, Normal, StatedValue, within

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BatchCost", "Price", "prices"]

Money = Annotated[StatedValue, within("USD")]
Array = NDArray[np.float64]
SPREAD = "spread assumed"
ITEMS = ("plant", "materials", "tests", "transport")


def _usd(median: float, log_sd: float, note: str, mark: Literal["read", "computed"] = "read") -> LogNormal:
    return LogNormal(
        median=median, log_sd=log_sd, unit="USD", source="shipmentinstance", mark=mark, note=f"{note}; {SPREAD}"
    )


class BatchCost(Declared):
    """The parts of the cost of one batch; the defaults are those of the i-SHIPMENT instance."""

    line_day: Annotated[StatedValue, within("USD/day", above=True)] = LogNormal(
        median=5784.0325, log_sd=0.15, unit="USD/day", source="shipmentinstance", mark="computed",
        note="a facility of four lines costs 23,136.13 a day; spread assumed",
    )  # fmt: skip
    making_days: Annotated[StatedValue, within("day", above=True)] = Normal(
        mean=7.0, sd=0.5, low=5.0, high=9.0, unit="day", source="shipmentinstance", mark="read", note=SPREAD
    )
    materials: Money = _usd(10_476.0, 0.15, "per therapy")
    tests: Money = _usd(9_312.0, 0.15, "per therapy")
    transport: Money = _usd(1_679.38, 0.25, "83,969 for 50 patients in the optimum", "computed")
    infused_share: Fraction = LogitNormal(
        median=101 / 111, logit_sd=0.3315, source="manufacturing2021", mark="computed",
        note="axi-cel: 101 of 111 infused; the spread is that of the counts, sqrt(1/101 + 1/10)",
    )  # fmt: skip

    def central(self, utilisation: float) -> dict[str, float]:
        """Return the cost of one batch by item in USD, with every part at its median."""
        used = float(_used(utilisation)[0])
        middle = {name: float(getattr(self, name).quantile(0.5)) for name in type(self).model_fields}
        found = {"plant": middle["line_day"] * middle["making_days"] / used}
        found |= {name: middle[name] for name in ITEMS[1:]}
        return found | {"all": sum(found.values())}

    def curve(self, utilisation: ArrayLike, seed: int = 1, draws: int = 2_000) -> pd.DataFrame:
        """Return the cost per batch and per treated patient against utilisation, with 95 % intervals.

        Args:
            utilisation: shares of the lines' time that are used, above 0 and at most 1, shape (n,).
            seed: of the draws of the uncertain parts; the same draws serve all utilisations.
            draws: how many.

        Returns:
            One row per utilisation: ``batch``, ``batch_low``, ``batch_high``, the same for ``treated``, in USD, and
            ``plant_share``.
        """
        import pandas as pd

        used = _used(utilisation)
        ids = np.arange(1, draws + 1, dtype=np.uint64)
        parts = {name: getattr(self, name).draw(seed, ids, f"cost {name}") for name in type(self).model_fields}
        plant = (parts["line_day"] * parts["making_days"])[:, None] / used
        batch = plant + np.sum([parts[name] for name in ITEMS[1:]], axis=0)[:, None]
        treated = batch / parts["infused_share"][:, None]
        frame = pd.DataFrame({"utilisation": used})
        for name, values in (("batch", batch), ("treated", treated)):
            frame[name], frame[f"{name}_low"], frame[f"{name}_high"] = np.quantile(values, [0.5, 0.025, 0.975], axis=0)
        return frame.assign(plant_share=np.median(plant / batch, axis=0))


class Price(Declared):
    """A published price or cost: one number, or a range."""

    item: Text
    low: Annotated[Number, Field(gt=0)]
    high: Number | None = None
    currency: Literal["USD", "EUR"]
    year: Annotated[int, Field(strict=True, ge=1990, le=2100)]
    source: Text
    mark: Literal["read", "computed"] = "read"


class _Prices(Declared):
    prices: tuple[Price, ...]


def prices() -> tuple[Price, ...]:
    """Return published prices, to be shown beside computed costs.

    Example:
        >>> [price.low for price in prices() if price.item.startswith("axi-cel")]
        [399000.0]
    """
    with resources.as_file(resources.files("livingdrug.plant") / "prices.toml") as path:
        return declare(_Prices, read_toml(path), path.name).prices


def _used(utilisation: ArrayLike) -> Array:
    used = np.atleast_1d(np.asarray(utilisation, np.float64))
    if used.ndim != 1 or not np.all((used > 0) & (used <= 1)):
        raise InputError(f"utilisation must be above 0 and at most 1, got {np.array2string(used, threshold=5):.80}")
    return used
