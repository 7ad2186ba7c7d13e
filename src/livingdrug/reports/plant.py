"""The page of a plant: of a simulated fleet, or of a network's design."""

from __future__ import annotations

from typing import Any

from livingdrug.plant.cost import BatchCost, prices
from livingdrug.reports import plant_figures
from livingdrug.reports.keyresults import Card
from livingdrug.reports.numbers import count, interval, number, percent
from livingdrug.reports.page import Report, render
from livingdrug.reports.tables import Table, table
from livingdrug.sources import cite, source_keys

__all__ = ["fleet_cards", "fleet_page", "network_cards", "network_page"]

NOT_COSTED = "Collection, hospital care, research and profit are not in these costs."


def fleet_page(result: Any) -> Report:
    """Return the page of a simulated fleet.

    Args:
        result: what ``FleetPlan.run`` returned.
    """
    plan = result.plan
    used = _utilisation(result)
    sections = [
        section("Time", "", [plant_figures.vein_to_vein(result), plant_figures.segments(result)]),
        section(
            "The plant", "Use is counted between the first and the last referral.",
            [*plant_figures.busy_units(result), plant_figures.suites(result)], [_resources(result)],
        ),
        section("Who is lost, and why", "", [], [_losses(result)]),
    ]  # fmt: skip
    if plan.risk is not None:
        sections.append(section("What waiting costs", "", [plant_figures.waiting(plan.risk)]))
    sections.append(
        section("Cost", NOT_COSTED, [plant_figures.cost_curve(BatchCost(), result.seed, used)], _costs(result))
    )
    sections.append(section("Numbers and where they come from", "", [], [stated_table(plan.stated()), _stated_cost()]))
    about = f"{count(len(result.patients))} simulated patients · {plan.rule} · seed {result.seed}"
    keys = {stated.source for _, stated in (*plan.stated(), *_cost_values())} | _price_sources()
    return plant_page(
        "simulated plant", plan.title, plan.description, about, fleet_cards(result), sections, plan.assumptions, keys
    )


def fleet_cards(result: Any) -> list[Card]:
    """Return the key results of a fleet, each with its 95 % Monte-Carlo interval."""
    rows = {row["quantity"]: row for row in result.table.to_dict("records")}
    cards = []
    for name, label in (
        ("infused", "of the referred were infused"),
        ("vein to vein", "days from collection to infusion"),
        ("referral to infusion", "days from referral to infusion"),
        ("dead one year after referral", "dead one year after referral"),
        ("cost per treated patient", "USD per treated patient"),
    ):
        if name not in rows:
            continue
        row = rows[name]
        share = row["unit"] == "share"
        value = percent(row["mean"]) if share else number(row["mean"])
        ends = f"{percent(row['low'], 1)}–{percent(row['high'], 1)}" if share else interval(row["low"], row["high"])
        cards.append(Card(value, label, f"mean; 95 % Monte-Carlo interval {ends}"))
    return cards


def network_page(design: Any) -> Report:
    """Return the page of a network's design.

    Args:
        design: what ``livingdrug.plant.design`` returned.
    """
    sections = [
        section("Who is made where", "", [
            plant_figures.network_map(design), _lines(design)
        ]),
        section("Cost", NOT_COSTED, [plant_figures.cost_curve(BatchCost(), 1, min(design.utilisation, 1.0))],
                 [_network_costs(design), _prices()]),
        section("Numbers and where they come from", "", [], [_options(design), _stated_cost()]),
    ]  # fmt: skip
    network = design.network
    about = (
        f"{count(len(network.patients))} patients · {count(len(network.plants))} possible plants · "
        f"proved by HiGHS to a gap of {design.gap:g}"
    )
    keys = {stated.source for _, stated in _cost_values()} | _price_sources() | {"triantafyllou2022"}
    assumed = ("Demand is known beforehand and no batch fails.", "Cells wait at most the days that are allowed.")
    return plant_page("network of plants", network.name, "", about, network_cards(design), sections, assumed, keys)


def _lines(design: Any) -> Any:
    words = "Each bar is one batch on one line of an open plant; gaps are lines that stand still."
    return plant_figures.gantt(design.gantt, "gantt", "Batches, line by line", words)


def network_cards(design: Any) -> list[Card]:
    """Return the key results of a design."""
    days, total = design.assignments["turnaround_days"], design.costs["all"]
    return [
        Card(_millions(total), "USD in all", f"{total:,.2f}, a proved optimum; {', '.join(design.open)} open"),
        Card(
            f"{design.per_therapy:,.0f}",
            "USD per therapy",
            f"{percent(design.costs['plants'] / design.costs['all'])} for plants",
        ),
        Card(
            percent(design.utilisation),
            "of the lines' time is used",
            f"{count(len(days))} of {number(design.slots)} slots",
        ),
        Card(number(days.mean()), "days from collection to return", f"{count(days.min())} to {count(days.max())}"),
    ]


def _millions(value: float) -> str:
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value:,.0f}"


def plant_page(
    kicker: str, title: str, about: str, run: str, cards: list[Card], sections: Any, assumptions: Any, keys: set[str]
) -> Report:
    known = sorted(key for key in keys if key in source_keys())
    sources = [(str(cite(key)).removesuffix(cite(key).link).strip(), cite(key).link) for key in known]
    return Report(
        render(
            "plant.html", kicker=kicker, title=title, about=about, run=run, cards=cards, sections=sections,
            assumptions=assumptions, sources=sources,
        )
    )  # fmt: skip


def section(title: str, words: str, figures: list[Any], tables: list[Table] | None = None) -> dict[str, Any]:
    return {
        "id": title.lower().replace(" ", "-").replace(",", ""),
        "title": title,
        "words": words,
        "figures": [figure for figure in figures if figure is not None],
        "tables": tables or [],
    }


def _utilisation(result: Any) -> float | None:
    """Return the use of the units in which batches are made."""
    step = next((step for step in result.plan.steps if step.process and step.needs), None)
    if step is None:
        return None
    used = float(result.resources.set_index("resource").loc[step.needs, "utilisation"])
    return used if 0 < used <= 1 else None


def _resources(result: Any) -> Table:
    rows = [
        (row["resource"], count(row["units"]), percent(row["utilisation"]), number(row["mean_queue"]),
         count(row["longest_queue"]), number(row["mean_wait_days"]), count(row["left_queue"]),
         count(row["turned_away"]))
        for row in result.resources.to_dict("records")
    ]  # fmt: skip
    headings = (
        "Resource",
        "Units",
        "In use",
        "Mean queue",
        "Longest",
        "Mean wait, days",
        "Left the queue",
        "Turned away",
    )
    return table(headings, rows, range(1, 8), "Resources")


def _losses(result: Any) -> Table:
    total = len(result.patients)
    rows = [
        (row["lost_at"], row["lost_reason"], count(row["patients"]), percent(row["patients"] / total, 1))
        for row in result.losses.to_dict("records")
    ]
    return table(("Step", "Reason", "Patients", "Of all"), rows, (2, 3), "Losses by step and reason")


def _costs(result: Any) -> list[Table]:
    rows = [
        (row["item"], f"{row['usd']:,.0f}", f"{row['usd_per_batch']:,.0f}", f"{row['usd_per_treated']:,.0f}")
        for row in result.costs.to_dict("records")
    ]
    headings = ("Item", "USD in all", "Per batch", "Per treated patient")
    return [table(headings, rows, (1, 2, 3), "Cost of this plant"), _prices()]


def _network_costs(design: Any) -> Table:
    rows = [
        (row["item"], f"{row['usd']:,.2f}", f"{row['usd_per_therapy']:,.2f}", percent(row["share"]))
        for row in design.table.to_dict("records")
    ]
    return table(("Item", "USD in all", "Per therapy", "Share"), rows, (1, 2, 3), "Cost of the network")


def _prices() -> Table:
    rows = [
        (price.item, interval_of(price.low, price.high), price.currency, price.year, price.source) for price in prices()
    ]
    return table(("Published price or cost", "Amount", "Currency", "Year", "Source"), rows, (1,), "Published prices")


def interval_of(low: float, high: float | None) -> str:
    """Return an amount of money, or a range.

    Example:
        >>> interval_of(30000, 50000)
        '30,000–50,000'
    """
    return f"{low:,.0f}" + (f"–{high:,.0f}" if high else "")


def stated_table(values: Any, title: str = "Numbers of the plan") -> Table:
    rows = [
        (place.replace("_", " "), value.describe(), f"{value.mark} {value.source}", value.note)
        for place, value in values
    ]
    return table(("Number", "Value", "Where it comes from", "Note"), rows, (), title)


def _price_sources() -> set[str]:
    return {price.source for price in prices()}


def _cost_values() -> Any:
    from livingdrug.therapy.stated import stated_values

    return list(stated_values(BatchCost()))


def _stated_cost() -> Table:
    return stated_table(_cost_values(), "Numbers of the cost curve")


def _options(design: Any) -> Table:
    rows = [(name.replace("_", " "), "none" if value is None else value) for name, value in design.options]
    return table(("Option", "Value"), rows, (), "Options of the design")
