"""The page of a trial's design: power at several sizes, doses, how dose-finding rules do, the virtual patients."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.glossary import GLOSSARY
from livingdrug.reports.keyresults import Card
from livingdrug.reports.methods import versions
from livingdrug.reports.numbers import count, number, percent
from livingdrug.reports.page import Report, render
from livingdrug.reports.tables import Table, table
from livingdrug.reports.trial_page import TERMS, section, sources
from livingdrug.reports.trial_survival import forest, survival_figures
from livingdrug.reports.trial_tables import flow_of
from livingdrug.trials.designer import DesignOutcome
from livingdrug.trials.outcomes import Outcomes

__all__ = ["design_page"]

Rows = list[dict[str, Any]]
ROLES = ("simulated", "published", "regrown", "quiet", "ink")
WANTED = 0.8
ASSUMED = (
    "The power is that of the model: if the virtual patients are wrong, so is the power.",
    "There is no interim analysis, and nobody is lost but as the trial's plan says.",
)
WORDS = (
    ("Power", "The chance that a trial succeeds when the treatment does what the model says."),
    ("Dose-limiting toxicity", "Here: cytokine release or neurotoxicity of grade 3 or more on the trial's scales."),
    ("3+3, BOIN, CRM", "Three rules by which a trial climbs from dose to dose."),
)


def design_page(found: DesignOutcome) -> Report:
    """Return the page of a design."""
    trial, pool = found.trial, found.pool
    sections = []
    if len(found.power):
        sections.append(
            section("Power", _power_words(found), figures=[_power_figure(found)], tables=[_power_table(found)])
        )
    if len(found.doses):
        figures = [_dose_figure(found), _finding_figure(found)]
        sections.append(
            section("Dose", _dose_words(found), figures=figures, tables=[_dose_table(found), _finding_table(found)])
        )
    if len(found.power):
        sections.append(_virtual(found))
    facts = [
        ("Design", found.design.name), ("Trial", trial.name), ("Seed", str(found.seed)), ("Settings", found.settings),
        ("Virtual patients", f"{count(pool.patients)} per arm or dose, {count(pool.sets)} parameter set(s)"),
        ("Versions", ", ".join(f"{package} {version}" for package, version in versions().items())),
    ]  # fmt: skip
    return Report(
        render(
            "trial.html",
            kicker="design of a trial",
            title=found.design.title or found.design.name,
            about=f"What the twin says about a design in {trial.label}: {trial.title}.",
            run=f"{count(pool.patients * pool.sets)} virtual patients per arm or dose · seed {found.seed}",
            cards=_cards(found),
            sections=sections,
            parameters=[],
            assumptions=[*trial.assumptions, *ASSUMED],
            facts=facts,
            sources=sources(trial),
            glossary=sorted((*GLOSSARY, *TERMS, *WORDS)),
        )
    )


def _cards(found: DesignOutcome) -> list[Card]:
    made = []
    if len(found.power):
        for name, rows in found.power.groupby("endpoint", sort=False):
            enough = rows.loc[rows["power"] >= WANTED, "size"].tolist()
            shown = str(min(enough)) if enough else f"> {max(rows['size'].tolist())}"
            made.append(
                Card(
                    shown, f"patients {_in(found)} for a power of 80 %: {name}", "smallest of the sizes that were asked"
                )
            )
    for name, rows in found.finding.groupby("design", sort=False) if len(found.finding) else ():
        best = rows.sort_values("chosen").iloc[-1]
        made.append(
            Card(_cells(best["cells"]), f"most often recommended by {name}", f"in {percent(best['chosen'])} of trials")
        )
    return made


def _in(found: DesignOutcome) -> str:
    return "in the first arm" if len(found.trial.arms) > 1 else "in all"


def _cells(cells: float) -> str:
    """Return a dose in words.

    Example:
        >>> _cells(450e6), _cells(0)
        ('450 M', 'none')
    """
    return f"{number(cells / 1e6)} M" if cells else "none"


def _power_words(found: DesignOutcome) -> str:
    ask = found.design.power
    assert ask is not None  # asked only then
    how = (
        "a log-rank test or a test of two shares"
        if len(found.trial.arms) > 1
        else "an exact binomial test against the null share"
    )
    sets = (
        "averaged over the parameter sets: the probability of success"
        if found.pool.sets > 1
        else "under one parameter set"
    )
    return f"The chance of success by {how}, one-sided level {ask.alpha:g}, {sets}."


def _power_figure(found: DesignOutcome) -> Figure:
    rows: Rows = [
        {
            **row,
            "low": max(row["power"] - 1.96 * row["error"], 0.0),
            "high": min(row["power"] + 1.96 * row["error"], 1.0),
        }
        for row in found.power.to_dict("records")
    ]
    names = list(dict.fromkeys(row["endpoint"] for row in rows))
    told = "; ".join(f"{row['endpoint']}, {row['size']} patients: {percent(row['power'])}" for row in rows)
    return Figure(
        name="power", title="Power by size",
        caption=(
            f"How likely the trial succeeds when so many patients are {_in(found)}. The whisker is the error of the "
            "simulation; the dashed line is a power of 80 %. Sizes are compared in the same simulated patients."
        ),
        alt=f"Power. {told}.",
        legend=tuple((ROLES[k % len(ROLES)], "line", name) for k, name in enumerate(names)),
        table=None,
        **charts.draw("power", lambda canvas: _power_chart(rows, names, canvas)),
    )  # fmt: skip


def _power_chart(rows: Rows, names: list[str], canvas: Canvas) -> Any:
    import altair as alt

    sizes = sorted({row["size"] for row in rows})
    ends = [0, sizes[-1] * 1.05]
    x = alt.X(
        "size:Q", title="patients", scale=alt.Scale(domain=ends, nice=False), axis=alt.Axis(grid=False, tickCount=6)
    )

    def y(field: str) -> Any:
        axis = alt.Axis(format=".0%", values=[0, 0.2, 0.4, 0.6, 0.8, 1])
        return alt.Y(f"{field}:Q", title="power", scale=alt.Scale(domain=[0, 1]), axis=axis)

    goal = [{"size": ends[0], "power": WANTED}, {"size": ends[1], "power": WANTED}]
    layers = [charts.line(goal, x, y("power"), "quiet", strokeDash=[4, 4])]
    for place, name in enumerate(names):
        held, role = [row for row in rows if row["endpoint"] == name], ROLES[place % len(ROLES)]
        layers += [charts.whiskers(held, x, y("low"), "high", role), charts.line(held, x, y("power"), role),
                   charts.points(held, x, y("power"), role)]  # fmt: skip
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)


def _power_table(found: DesignOutcome) -> Table:
    rows = []
    for row in found.power.to_dict("records"):
        low, high = row["lowest_set"], row["highest_set"]  # not a number with few replicates for each set
        spread = f"{percent(low)} to {percent(high)}" if found.pool.sets > 1 and low <= high else "–"
        other = count(row["other_size"]) if row["other_size"] else "–"
        power, error = percent(row["power"]), percent(row["error"], 1)
        rows.append((row["endpoint"], count(row["size"]), other, power, error, spread))
    headings = ("Endpoint", "First arm", "Second arm", "Power", "Error of the simulation", "Over parameter sets")
    return table(headings, rows, range(1, 6), "Power by size")


def _dose_words(found: DesignOutcome) -> str:
    ask = found.design.dose_finding
    assert ask is not None  # asked only then
    return (
        f"A dose-limiting toxicity is cytokine release ({found.trial.grading.crs}) or neurotoxicity "
        f"({found.trial.grading.neuro}) of grade 3 or more up to day {ask.limit_days:g}; the wanted chance is "
        f"{percent(ask.target)}. Every virtual patient got every dose."
    )


def _dose_figure(found: DesignOutcome) -> Figure:
    rows: Rows = [{**row, "toxicity": 100 * row["toxicity"], "low": 100 * row["low"], "high": 100 * row["high"],
                   "response": 100 * row["response"], "millions": row["cells"] / 1e6}
                  for row in found.doses.to_dict("records")]  # fmt: skip
    told = "; ".join(
        f"{_cells(row['cells'])}: {row['toxicity']:.0f} % toxicity, {row['response']:.0f} % response" for row in rows
    )
    target = 100 * found.design.dose_finding.target  # type: ignore[union-attr] - there are doses
    return Figure(
        name="doses",
        title="Toxicity and response by dose",
        caption="What the twin says of each dose, in percent of the infused. Dashed: the wanted chance of toxicity.",
        alt=f"By dose in cells. {told}.",
        legend=(
            ("published", "line", "dose-limiting toxicity"),
            ("simulated", "line", "response"),
            ("quiet", "dashed", "wanted chance of toxicity"),
        ),
        table=None,
        **charts.draw("doses", lambda canvas: _dose_chart(rows, target, canvas)),
    )


def _dose_chart(rows: Rows, target: float, canvas: Canvas) -> Any:
    import altair as alt

    low, high = rows[0]["millions"] / 1.3, rows[-1]["millions"] * 1.3
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    axis = alt.Axis(values=[row["millions"] for row in rows], format="~g", grid=False)
    x = alt.X("millions:Q", title="CAR T cells, millions", scale=scale, axis=axis)

    def y(field: str) -> Any:
        return alt.Y(
            f"{field}:Q", title="% of the infused", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(tickCount=5)
        )

    goal = [{"millions": low, "target": target}, {"millions": high, "target": target}]
    layers = [
        charts.line(goal, x, y("target"), "quiet", strokeDash=[4, 4]),
        charts.line(rows, x, y("response"), "simulated"),
        charts.whiskers(rows, x, y("low"), "high", "published"),
        charts.line(rows, x, y("toxicity"), "published"),
        charts.points(rows, x, y("toxicity"), "published"),
    ]
    return alt.layer(*layers).properties(width=canvas.width, height=canvas.height)


def _finding_figure(found: DesignOutcome) -> Figure:
    rows: Rows = [
        {**row, "label": _cells(row["cells"]), "value": 100 * row["chosen"]} for row in found.finding.to_dict("records")
    ]
    names = list(dict.fromkeys(row["design"] for row in rows))
    told = "; ".join(f"{row['design']}, {row['label']}: {row['value']:.0f} %" for row in rows)
    return Figure(
        name="finding", title="Which dose a trial would recommend",
        caption="How often simulated trials end with each dose, by rule. All rules meet the same patients.",
        alt=f"Recommended doses. {told}.",
        legend=tuple((ROLES[k % len(ROLES)], "dot", name) for k, name in enumerate(names)),
        table=None,
        **charts.draw("finding", lambda canvas: _finding_chart(rows, names, canvas)),
    )  # fmt: skip


def _finding_chart(rows: Rows, names: list[str], canvas: Canvas) -> Any:
    import altair as alt

    labels = list(dict.fromkeys(row["label"] for row in rows))
    x = alt.X("label:N", sort=labels, title="CAR T cells", axis=alt.Axis(labelAngle=0))
    colours = [charts.colour(ROLES[k % len(ROLES)]) for k in range(len(names))]
    shown = [{key: row[key] for key in ("label", "design", "value")} for row in rows]
    bars = (
        alt.Chart(charts._data(shown))
        .mark_bar(opacity=0.8)
        .encode(
            x=x,
            y=alt.Y("value:Q", title="% of trials", axis=alt.Axis(tickCount=5)),
            xOffset=alt.XOffset("design:N", sort=names),
            color=alt.Color("design:N", scale=alt.Scale(domain=names, range=colours), legend=None),
        )
    )
    return bars.properties(width=canvas.width, height=canvas.height - 60)


def _dose_table(found: DesignOutcome) -> Table:
    unit = found.trial.sampling.unit.replace("uL", "µL").replace("/ug", "/µg")
    rows = [
        (
            _cells(row["cells"]),
            percent(row["toxicity"]),
            f"{percent(row['low'])} to {percent(row['high'])}",
            percent(row["response"]),
            number(row["peak"]),
        )
        for row in found.doses.to_dict("records")
    ]
    return table(("Dose", "Toxicity", "95 % interval", "Response", f"Peak, {unit}"), rows, range(1, 5), "Doses")


def _finding_table(found: DesignOutcome) -> Table:
    rows = [
        (row["design"], _cells(row["cells"]), percent(row["chosen"]), percent(row["error"], 1), number(row["patients"]),
         number(row["toxicities"]))
        for row in found.finding.to_dict("records")
    ]  # fmt: skip
    headings = ("Rule", "Dose", "Recommended", "Error of the simulation", "Patients per trial", "Toxicities per trial")
    return table(headings, rows, range(2, 6), "Dose-finding rules")


def _virtual(found: DesignOutcome) -> dict[str, Any]:
    """Return the section that shows the virtual patients of the arms as a trial of the real size would."""
    parts = [found.pool.found[f"arm {arm.name}"] for arm in found.trial.arms]
    outcome = SimpleNamespace(trial=found.trial, outcomes=Outcomes.joined(parts), targets=(), seed=found.seed)
    flows = [(arm.name if len(parts) > 1 else "", flow_of(outcome.outcomes, arm)) for arm in found.trial.arms]
    compared = forest(outcome, found.seed)
    figures = [*survival_figures(outcome, found.seed), *([compared] if compared else [])]
    words = "The patients from whom the trials are drawn; every one lives once under each arm, with the same luck."
    return section("The virtual patients", words, flows=flows, figures=figures)
