"""Who is on which line when: uses of a resource spread over its units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["lanes"]


def lanes(uses: pd.DataFrame) -> pd.DataFrame:
    """Return the uses with the column ``line``: from 1, the lowest line that is free at the begin of each use.

    Args:
        uses: columns ``resource``, ``patient``, ``from_day`` and ``to_day``.

    Example:
        >>> import pandas as pd
        >>> uses = pd.DataFrame({"resource": "suite", "patient": [1, 2, 3], "from_day": [0, 1, 2], "to_day": [2, 3, 4]})
        >>> lanes(uses)["line"].tolist()
        [1, 2, 1]
    """
    import heapq

    ordered: Any = uses.sort_values(["resource", "from_day", "to_day"], kind="stable")
    line = np.zeros(len(ordered), np.int64)
    for _, rows in ordered.reset_index(drop=True).groupby("resource", sort=False):
        busy: list[tuple[float, int]] = []
        free: list[int] = []
        most = 0
        for row, start, stop in zip(rows.index, rows["from_day"], rows["to_day"], strict=True):
            while busy and busy[0][0] <= start + 1e-9:
                heapq.heappush(free, heapq.heappop(busy)[1])
            if not free:
                most += 1
                free.append(most)
            line[row] = heapq.heappop(free)
            heapq.heappush(busy, (stop, int(line[row])))
    columns = ["resource", "line", "patient", "from_day", "to_day"]
    return ordered.assign(line=line)[columns].reset_index(drop=True)
