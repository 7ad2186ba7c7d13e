"""The page of making: one process from collection to infusion, or several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from livingdrug.reports import making_figures
from livingdrug.reports.keyresults import Card
from livingdrug.reports.numbers import count, interval, number, percent
from livingdrug.reports.page import Report
from livingdrug.reports.plant import plant_page, section, stated_table
from livingdrug.reports.tables import Table, table
from livingdrug.therapy.processes import compare
from livingdrug.therapy.published_losses import VEIN_TO_VEIN, compare_pivotal, failure_shares
from livingdrug.therapy.stated import stated_values
from livingdrug.trials.survival import wilson

__all__ = ["comparison_page", "making_cards", "making_page", "shortening"]

RECALLED = ("recalled", "assumed")
FEW = 30
FASTER = ("two_day", "next_day")


def making_page(made: Any, seen: Any = None, chosen: int | None = None) -> Report:
    """Return the page of a process.

    Args:
        made: what ``Process.run`` returned.
        seen: one batch, from ``livingdrug.therapy.watched.watch``.
        chosen: patient whose dates are shown alone.
    """
    process = made.process
    infused = len(made) > len(made.attrition)
    zero = "order" if process.donors else "collection"
    time = [making_figures.dates(made, chosen)]
    time += [making_figures.vein_to_vein(made), making_figures.segments(made)] if infused else []
    sections = [
        section("Days", f"Day 0 is the {zero}; what is planned is the middle of each part.", time),
        section("Growth", "", [making_figures.growth(seen)] if seen is not None else []),
        section("Release", "", [making_figures.funnel(made)], [_cells(made)] if infused else []),
    ]
    if len(made) >= FEW and not process.donors:
        share = sum(failure_shares(made.attrition, len(made)).values())
        sections.append(section("Failures", "", [making_figures.failures(made)], [_pivotal(share)]))
    sections.append(_numbers(process))
    run = f"{count(len(made))} simulated patients · process {process.name} · seed {made.seed}"
    return plant_page(
        "making the drug", process.title, process.description, run, making_cards(made), sections,
        [*process.assumptions, _counted(process)], {stated.source for _, stated in stated_values(process)},
    )  # fmt: skip


def making_cards(made: Any) -> list[Card]:
    """Return the key results of a process."""
    total, left = len(made), len(made.attrition)
    without = sum(stage != "waiting" for stage in made.attrition.stages)
    cards = [_share_card(total - left, total, "were infused"), _share_card(without, total, "got no product")]
    people = made.infused
    if not len(people):
        return cards
    days = people["infusion_day"] - people["collection_day"]
    what = "days from the order to the infusion" if made.process.donors else "days from vein to vein"
    culture = float(people["culture_days"].mean())
    cards.append(Card(f"{np.median(days):.1f}", what, f"median; {culture:.1f} of them in culture"))
    low, middle, high = np.quantile(people["dose_cells"] / 1e6, [0.1, 0.5, 0.9])
    said = f"median dose; eight in ten {number(low)} to {number(high)} million"
    cards.append(Card(number(middle), "million living CAR T cells are given", said))
    if "late_failure" in people and people["late_failure"].any():
        late = int(people["late_failure"].sum())
        cards.append(
            Card(count(late), "were infused before a late result failed", "results that release did not wait for")
        )
    return cards  # fmt: skip


def _share_card(some: int, total: int, label: str) -> Card:
    low, high = wilson(some, total)
    detail = f"{count(some)} of {count(total)}; 95\u00a0% interval {percent(low, 1)} to {percent(high, 1)}"
    return Card(percent(some / total, 1), label, detail)


def _cells(made: Any) -> Table:
    """Return the cells at each step: median and middle eight tenths of the infused."""
    people = made.infused
    rows = []
    for name, words in (
        ("collected_t_cells", "T cells collected"), ("engineered_t_cells", "T cells after gene transfer"),
        ("car_positive", "share with the receptor"), ("copies_per_cell", "gene copies per cell"),
        ("harvested_t_cells", "T cells at harvest"), ("divisions", "doublings in culture"),
        ("viability", "living share at harvest"), ("harvested_naive_fraction", "naive share at harvest"),
        ("harvested_central_memory_fraction", "central memory share at harvest"), ("dose_cells", "CAR T cells given"),
        ("thawed_viability", "living share when given"), ("testing_cost_USD", "cost of the tests, USD"),
        ("doses_per_lot", "doses of one lot"),
    ):  # fmt: skip
        if name in people:
            unit = 1e6 if people.units[name] == "cell" else 1.0
            low, middle, high = np.quantile(people[name], [0.1, 0.5, 0.9]) / unit
            rows.append((words + (", millions" if unit > 1 else ""), number(middle), interval(low, high)))
    return table(("Quantity", "Median", "Eight in ten"), rows, (1, 2), "Cells of the infused, step by step")


def _pivotal(share: float) -> Table:
    rows = [
        (row["product"], row["disease"], f"{row['failed']} of {row['of']}", percent(row["published"], 1),
         f"{percent(row['low'], 1)} to {percent(row['high'], 1)}", percent(share, 2),
         "within" if row["inside"] else "outside")
        for row in compare_pivotal(share).to_dict("records")
    ]  # fmt: skip
    headings = ("Product", "Disease", "Failed", "Share", "95 % interval", "Simulated", "")
    return table(headings, rows, range(2, 6), "Failed manufactures beside the pivotal trials")


def _numbers(process: Any) -> dict[str, Any]:
    """Return the section of all numbers: those without a source that was read come first."""
    values = list(stated_values(process))
    return section(
        "Numbers and where they come from",
        "Numbers recalled from memory or assumed are the assumptions of this page; replace them with your own.",
        [],
        [
            stated_table([v for v in values if v[1].mark in RECALLED], "Recalled or assumed"),
            stated_table([v for v in values if v[1].mark not in RECALLED], "Read in a source, or computed from one"),
        ],
    )


def _counted(process: Any) -> str:
    marks = [stated.mark for _, stated in stated_values(process)]
    parts = ", ".join(f"{marks.count(mark)} {mark}" for mark in ("read", "computed", "recalled", "assumed"))
    return f"Of the {len(marks)} numbers of this process: {parts}. The recalled and assumed ones are listed above."


def comparison_page(made: Sequence[Any]) -> Report:
    """Return the page of several processes with the same patients.

    Args:
        made: what ``Process.run`` returned for each.
    """
    figure = making_figures.processes(made)
    words = shortening(made)
    sections = [
        section("From vein to vein", words[-1] if words else "", [figure], _faster(made)),
        section("Side by side", "", [], [comparison_table(made)]),
        section("Who left, and why", "", [], [_left(batches) for batches in made]),
        section(
            "Numbers that differ", f"Beside {made[0].process.name}.", [], [_differences(b, made[0]) for b in made[1:]]
        ),
    ]
    keys = {stated.source for batches in made for _, stated in stated_values(batches.process)} | {"evaluate2022"}
    assumed = dict.fromkeys(line for batches in made for line in batches.process.assumptions)
    run = f"{count(len(made[0]))} simulated patients each · seed {made[0].seed}"
    names = ". ".join(batches.process.title for batches in made) + "."
    return plant_page("making the drug", "Processes compared", names, run, _compared_cards(made), sections,
                 list(assumed), keys)  # fmt: skip


def _compared_cards(made: Sequence[Any]) -> list[Card]:
    return [
        Card(
            f"{row['vein_to_vein_median']:.1f}",
            f"days from vein to vein: {row['process']}",
            f"median; {row['culture_days']:.1f} in culture; {percent(row['infused_share'])} infused",
        )
        for row in compare(made).to_dict("records")
    ]


def _left(batches: Any) -> Table:
    rows = [(stage, why, count(some), percent(some / len(batches), 2)) for stage, why, some in batches.funnel()]
    return table(("Stage", "Reason", "Patients", "Of all"), rows, (2, 3), f"Who left: {batches.process.name}")


def _differences(batches: Any, first: Any) -> Table:
    """Return the numbers in which a process differs from the first."""
    known = dict(stated_values(first.process))
    other = [(place, stated) for place, stated in stated_values(batches.process) if known.get(place) != stated]
    return stated_table(other, f"Numbers of {batches.process.name} that differ from {first.process.name}")


SIDES = (
    ("Vein to vein, days: median", "vein_to_vein_median", "days"),
    ("nine in ten within, days", "vein_to_vein_p90", "days"),
    ("Vein to vein, days: mean", "vein_to_vein_mean", "days"),
    ("of these in culture", "culture_days", "days"),
    ("of these everything else", "not_culture_days", "days"),
    ("Infused", "infused_share", "share"),
    ("No product", "no_product_share", "share"),
    ("Lost while waiting", "lost_waiting_share", "share"),
    ("CAR T cells given, millions", "dose_cells_median", "millions"),
    ("Living at harvest", "viability_median", "share"),
    ("Naive or central memory", "early_share", "share"),
    ("Doublings in culture", "doublings", "days"),
)


def comparison_table(made: Sequence[Any]) -> Table:
    """Return the processes side by side: a row per quantity, a column per process."""
    write = {
        "days": lambda value: f"{value:.1f}", "share": lambda value: percent(value, 1),
        "millions": lambda value: number(value / 1e6),
    }  # fmt: skip
    found = compare(made).to_dict("records")
    rows = [(words, *(write[kind](row[name]) for row in found)) for words, name, kind in SIDES]
    headings = ("", *(row["process"] for row in found))
    return table(headings, rows, range(1, len(headings)), "Processes side by side, of the infused")


def _faster(made: Sequence[Any]) -> list[Table]:
    """Return what a faster culture saves, also as a share of published times."""
    found = {row["process"]: row for row in compare(made).to_dict("records")}
    faster = [found[name] for name in FASTER if name in found]
    if "standard" not in found or not faster:
        return []
    usual, published = found["standard"], VEIN_TO_VEIN[:2]
    rows = []
    for row in faster:
        saved = usual["vein_to_vein_mean"] - row["vein_to_vein_mean"]
        rows.append(
            (row["process"], f"{row['culture_days']:.1f}", f"{row['vein_to_vein_mean']:.1f}", f"{saved:.1f}",
             percent(saved / usual["vein_to_vein_mean"]), *(percent(saved / one.days) for one in published),
             percent(row["not_culture_days"] / row["vein_to_vein_mean"]))
        )  # fmt: skip
    headings = (
        "Process", "Culture", "Vein to vein", "Saved", "Of standard",
        *(f"Of {one.product}, {one.days:g}" for one in published), "Not culture",
    )  # fmt: skip
    return [table(headings, rows, range(1, 8), "What a faster culture saves (mean days)")]


def shortening(made: Sequence[Any]) -> list[str]:
    """Return what a shorter culture does to the time from vein to vein, in words; empty without a second process.

    The published experience is that two-day products are infused hardly earlier (``evaluate2022``).
    """
    rows = {row["process"]: row for row in compare(made).to_dict("records")}
    if "standard" not in rows:
        return []
    usual = rows["standard"]
    said = [_saved(usual, rows[name]) for name in FASTER if name in rows]
    if said:
        said.append(
            "Published experience (Evaluate, ASH 2022) is that two-day products were infused hardly earlier, because "
            f"release and logistics dominate. Ours agrees that they dominate: {number(usual['not_culture_days'])} of "
            f"{number(usual['vein_to_vein_mean'])} days of the standard process are not culture, and a faster culture "
            "leaves all of them. It does not agree that the gain is lost: here every saved day of culture reaches the "
            "patient, because nothing else waits for it. A gain of days is lost where the way before and after is "
            "longer than assumed here, or where a slot, a review or a bed is booked for a day that does not move."
        )
    return said


def _saved(usual: Any, row: Any) -> str:
    saved = usual["vein_to_vein_mean"] - row["vein_to_vein_mean"]
    beside = "; ".join(
        f"{percent(saved / v.days)} of the {number(v.days)} days of {v.product}" for v in VEIN_TO_VEIN[:2]
    )
    return (
        f"{row['process']}: culture falls from {number(usual['culture_days'])} to {number(row['culture_days'])} days "
        f"({percent(1 - row['culture_days'] / usual['culture_days'])} less), the time from vein to vein from "
        f"{number(usual['vein_to_vein_mean'])} to {number(row['vein_to_vein_mean'])} days "
        f"({percent(saved / usual['vein_to_vein_mean'])} less); of what is left, "
        f"{percent(row['not_culture_days'] / row['vein_to_vein_mean'])} is not culture. Set against published times "
        f"the same days are {beside}."
    )
