"""Published series of collections, with what is known or assumed of their patients, for comparison with ``collect``.

Example:
    >>> sorted(published_collections())
    ['heidelberg', 'kyushu', 'nci', 'uk_children']
    >>> bag = published_collections()["nci"].collect(100, seed=1)
    >>> len(bag)
    100
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from livingdrug.declared import Declared, Text, declare, read_toml
from livingdrug.patients import Patients
from livingdrug.therapy.collection import Apheresis, CollectionPlan, collect
from livingdrug.therapy.stated import StatedValue

__all__ = ["PublishedCollections", "published_collections"]

TABLE = Path(__file__).with_suffix(".toml")


class PublishedCollections(Declared):
    """One series: its patients' columns, how they were collected, and where it was published."""

    title: Text
    collections: Annotated[int, Field(strict=True, ge=1)]
    source: Text
    columns: dict[str, StatedValue]
    plan: CollectionPlan = CollectionPlan()

    def collect(self, count: int, *, seed: int = 0) -> Apheresis:
        """Return the collections of ``count`` patients like those of the series."""
        ids = np.arange(1, count + 1, dtype=np.uint64)
        columns = {name: stated.draw(seed, ids, f"column:{name}") for name, stated in self.columns.items()}
        patients = Patients(ids, columns, {name: stated.unit for name, stated in self.columns.items()})
        return collect(patients, self.plan, seed=seed)


@lru_cache(maxsize=1)
def published_collections() -> dict[str, PublishedCollections]:
    """Return the series by name; all share one practice of how much blood is processed."""
    tables = read_toml(TABLE)
    practice = tables.pop("practice")
    return {
        name: declare(PublishedCollections, {**table, "plan": {**practice, **table.get("plan", {})}}, TABLE.name)
        for name, table in tables.items()
    }
