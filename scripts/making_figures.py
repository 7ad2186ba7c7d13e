"""Draw docs/images/collection.svg and docs/images/engineering.svg; the same seed gives the same pictures.

Run ``python scripts/making_figures.py``.
"""

from __future__ import annotations

from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import vl_convert

from livingdrug.therapy.published_collections import published_collections
from livingdrug.therapy.transduction import car_positive_fraction, copies_per_positive_cell
from livingdrug.therapy.transfer_methods import ARI_0001

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
MANY = 20_000
SERIES = {"nci": "NCI, 71 collections", "uk_children": "United Kingdom, 134 children"}
PUBLISHED = [  # allen2017: 69 and 55 of 71; uktisagenlecleucel2024: quartiles
    ("nci", 0.6, 69 / 71),
    ("nci", 2.0, 55 / 71),
    ("uk_children", 1.2, 0.75),
    ("uk_children", 2.6, 0.50),
    ("uk_children", 4.1, 0.25),
]
LAWS = {"Poisson": 0.0, "shape 1": 1.0, "shape 0.3": 0.3, "shape 0.1": 0.1}
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#7A7A7A"]


def collection() -> alt.LayerChart:
    """Return the share of collections with at least so many T cells, with the published points."""
    cells = np.geomspace(0.2, 12, 80)
    rows = []
    for name, label in SERIES.items():
        made = published_collections()[name].collect(MANY, seed=1).t_cells / 1e9
        rows += [{"cells": x, "share": float(np.mean(made >= x)), "series": label} for x in cells]
    points = pd.DataFrame([{"cells": x, "share": y, "series": SERIES[name]} for name, x, y in PUBLISHED])
    x = alt.X("cells:Q", title="T cells collected, at least (1e9)", scale=alt.Scale(type="log", domain=[0.2, 12]))
    y = alt.Y("share:Q", title="Share of patients", axis=alt.Axis(format="%"))
    colour = alt.Color("series:N", title="line: simulated, dot: published", scale=alt.Scale(range=COLOURS))
    lines = alt.Chart(pd.DataFrame(rows)).mark_line().encode(x, y, colour)
    return lines + alt.Chart(points).mark_point(filled=True, size=80, opacity=1).encode(x, y, colour)


def engineering() -> alt.LayerChart:
    """Return copies per CAR-positive cell against the CAR-positive fraction: four laws and three batches."""
    mean = np.geomspace(0.02, 200, 400)
    rows = []
    for label, shape in LAWS.items():
        positive, copies = car_positive_fraction(mean, shape), copies_per_positive_cell(mean, shape)
        kept = (positive <= 0.9) & (copies <= 15)
        rows += [{"positive": p, "copies": c, "law": label} for p, c in zip(positive[kept], copies[kept], strict=True)]
    batches = []
    for positive, copies in zip(ARI_0001["car_positive"], ARI_0001["copies"], strict=True):
        batches.append({"positive": positive, "copies": copies / positive, "read": "per cell (as printed)"})
        batches.append({"positive": positive, "copies": copies, "read": "per CAR-positive cell"})
    x = alt.X("positive:Q", title="CAR-positive cells", axis=alt.Axis(format="%"))
    y = alt.Y("copies:Q", title="Gene copies per CAR-positive cell", scale=alt.Scale(type="log", domain=[1, 15]))
    colour = alt.Color("law:N", title="law", sort=list(LAWS), scale=alt.Scale(range=COLOURS))
    lines = alt.Chart(pd.DataFrame(rows)).mark_line().encode(x, y, colour, alt.Order("positive:Q"))
    mark = alt.Shape("read:N", title="ARI-0001, if printed copies are")
    points = alt.Chart(pd.DataFrame(batches)).mark_point(size=90, filled=True, color="black", opacity=1)
    return lines + points.encode(x, y, mark)


def main() -> None:
    """Write both pictures."""
    for name, chart in {"collection": collection(), "engineering": engineering()}.items():
        spec = chart.properties(width=460, height=280, background="white").to_dict()
        (IMAGES / f"{name}.svg").write_text(vl_convert.vegalite_to_svg(spec) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
