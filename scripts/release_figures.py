"""Draw docs/images/release.svg and docs/images/waiting.svg; the same seed gives the same pictures.

Run ``python scripts/release_figures.py``; it also prints the tables of docs/journey/release.md.
"""

from __future__ import annotations

from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import vl_convert

from livingdrug.patients import Patients
from livingdrug.therapy import Attrition, WaitingPlan, collect, engineer, multiply, release
from livingdrug.therapy.published_losses import VEIN_TO_VEIN, compare_pivotal, compare_reasons, failure_shares
from livingdrug.therapy.stage import Stage
from livingdrug.therapy.timeline import SEGMENTS, Schedule, segments, with_events

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
MANY = 100_000
SHARE = "Share of patients without a product within specification"
SIMULATED, PUBLISHED = "#0072B2", "#D55E00"


def shares() -> dict[str, float]:
    """Return the simulated shares of failures by reason."""
    ids = np.arange(1, MANY + 1)
    counts = 733 * np.exp(0.56 * np.random.default_rng(1).standard_normal(MANY))  # allen2017, as in kimmel-zuma-1
    columns = {"cd3_per_uL": counts, "weight_kg": np.full(MANY, 80.0)}
    bag = collect(Patients(ids, columns, {"cd3_per_uL": "1/uL", "weight_kg": "kg"}), seed=1)
    return failure_shares(release(multiply(engineer(bag, seed=1), seed=1), seed=1).attrition, MANY)


def failures(found: dict[str, float]) -> alt.LayerChart:
    """Return the simulated shares beside those of the British panel with their 95 % intervals."""
    table = compare_reasons(found)
    y = alt.Y("reason:N", title=None, sort=table["reason"].tolist())
    x = alt.X(
        "published:Q", title="Share of patients without a product within specification", axis=alt.Axis(format="%")
    )
    base = alt.Chart(table)
    return (
        base.mark_rule(color=PUBLISHED, strokeWidth=2).encode(alt.X("low:Q", title=SHARE), y, alt.X2("high:Q"))
        + base.mark_point(color=PUBLISHED, filled=True, size=80, opacity=1).encode(x, y)
        + base.mark_point(color=SIMULATED, shape="diamond", filled=True, size=110, opacity=1).encode(
            alt.X("simulated:Q", title=SHARE), y
        )
    )


def vein_to_vein() -> alt.LayerChart:
    """Return the segments of the usual schedule beside published medians."""
    columns = {"culture_days": [8.0], "testing_days": [7.0]}
    stage = Stage(Patients([1], columns, dict.fromkeys(columns, "day")), Attrition.none())
    found = segments(with_events(stage, Schedule()).patients)
    order = list(SEGMENTS.values())[2:]
    parts = found[found["segment"].isin(order)].assign(setting="simulated: usual schedule")
    parts["place"] = parts["segment"].map(order.index)
    medians = pd.DataFrame(
        [(f"{v.product}, {v.setting}", v.days) for v in VEIN_TO_VEIN if v.source == "veintovein2023"],
        columns=["setting", "days"],
    )
    names = ["simulated: usual schedule", *medians.sort_values("days")["setting"]]
    y = alt.Y("setting:N", title=None, sort=names)
    bars = alt.Chart(parts).mark_bar().encode(
        alt.X("median:Q", title="days from collection to infusion"), y, alt.Order("place:Q"),
        alt.Color("segment:N", title="segment", sort=order, scale=alt.Scale(scheme="tableau10")),
    )  # fmt: skip
    dots = alt.Chart(medians).mark_point(color=PUBLISHED, filled=True, size=80, opacity=1)
    return bars + dots.encode(alt.X("days:Q"), y)


def main() -> None:
    """Write both pictures and print the tables."""
    found = shares()
    print(
        compare_reasons(found).round(4).to_string(), compare_pivotal(sum(found.values())).round(4).to_string(), sep="\n"
    )
    print(WaitingPlan(disease="large B-cell lymphoma").hazard.describe())
    for name, chart in {"release": failures(found), "waiting": vein_to_vein()}.items():
        spec = chart.properties(width=460, height=240, background="white").to_dict()
        (IMAGES / f"{name}.svg").write_text(vl_convert.vegalite_to_svg(spec) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
