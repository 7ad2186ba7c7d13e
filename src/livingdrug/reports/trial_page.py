"""The report of a trial of the twin: one page with flow, kinetics, response, survival, side effects and sources."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

from livingdrug.reports import charts
from livingdrug.reports.charts import Canvas, Figure
from livingdrug.reports.glossary import GLOSSARY
from livingdrug.reports.methods import Titled, versions
from livingdrug.reports.numbers import count, number, percent
from livingdrug.reports.page import Report, render
from livingdrug.reports.tables import table
from livingdrug.reports.trial_courses import kinetics, published_points, swimmer, waterfall
from livingdrug.reports.trial_survival import forest, survival_figures
from livingdrug.reports.trial_tables import cards, drugs, endpoint_tables, flow_of, grades, published, responses
from livingdrug.trials.courses import Courses, courses
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.parameter_ranges import inside
from livingdrug.trials.protocol import Arm

__all__ = ["TERMS", "provenance", "section", "sources", "trial_page"]

Drawn = tuple[Courses, Outcomes]
DRAWN_PATIENTS = 120
TERMS = (
    ("Arm", "A group of patients of a trial who are treated alike."),
    ("Calibration", "Choosing the numbers of the model so that it agrees with what some trials reported."),
    ("Cytokine release syndrome (CRS)", "Fever, low blood pressure and more, caused by signals of activated T cells."),
    (
        "Event-free survival (EFS)",
        "Alive, and the treatment has not failed: no missing response, relapse or progression.",
    ),
    ("Grade", "How severe a side effect is: 1 mild, 2 moderate, 3 severe, 4 life-threatening, 5 death."),
    ("Hazard ratio", "How many times as often an event happens in one arm as in the other, at any time."),
    ("Neurotoxicity, ICANS", "Confusion, loss of speech or worse, some days after CAR T cells."),
    ("Numbers at risk", "Patients who are still under watch and without event at that time."),
)
ASSUMED = (
    "Simulated patients are drawn from distributions of their disease; the page on populations says where they are "
    "from.",
    "Bands in figures, and the range by chance, are the scatter of trials drawn from the simulated patients; they "
    "leave out that the numbers of the model are not known exactly, which the range by chance and parameters holds.",
    "G-CSF and transfusions are given at the rounds of the ward, by counts, and raise the simulated counts; there are "
    "no rounds after eight weeks.",
)


def trial_page(outcome: Any, *, drawn: int = DRAWN_PATIENTS, threads: int | None = None) -> Report:
    """Return the report of a trial of the twin.

    Args:
        outcome: what ``run_twin`` returned.
        drawn: enrolled patients per arm whose courses are solved again to be drawn.
        threads: of the solver.
    """
    trial, configuration = outcome.trial, outcome.configuration
    shown = {
        name: held for name, held in ((arm.name, _shown(outcome, arm, drawn, threads)) for arm in trial.arms) if held
    }
    parts = [_patients(outcome), *_kinetics(outcome, shown), _response(outcome, shown), _survival(outcome)]
    parts += [_effects(outcome), *_published(outcome), _endpoints(outcome)]
    size = f"the real trial enrolled {count(trial.size.enrolled)} and infused {count(trial.size.infused)}"
    run = (f"{count(len(outcome.outcomes))} simulated patients", size, trial.registration, f"seed {outcome.seed}")
    return Report(
        render(
            "trial.html", kicker="simulated trial", title=f"{trial.label}: {trial.title}", about=_about(outcome),
            run=" · ".join(filter(None, run)), cards=cards(outcome), sections=[part for part in parts if part],
            parameters=[_stated(trial), *provenance(configuration.get("settings") or {})],
            assumptions=[*trial.assumptions, *ASSUMED], facts=_facts(outcome), sources=sources(trial),
            glossary=sorted((*GLOSSARY, *TERMS)),
        )
    )  # fmt: skip


def section(title: str, words: str = "", **parts: Any) -> dict[str, Any]:
    """Return a section of the page; ``parts`` are flows, figures, tables, folded tables and stacked."""
    name = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    empty: dict[str, Any] = {"flows": [], "figures": [], "tables": [], "folded": [], "stacked": False}
    return {"id": name, "title": title, "words": words, **empty, **parts}


def _about(outcome: Any) -> str:
    trial = outcome.trial
    if trial.calibration:
        return "Results of this trial were among those with which the model was calibrated. " + _where(outcome)
    return "No result of this trial was used to calibrate the model: this is a prediction. " + _where(outcome)


def _where(outcome: Any) -> str:
    if outcome.configuration.get("settings"):
        return ""
    return "Here the model ran with its default values, which are not calibrated."


def _shown(outcome: Any, arm: Arm, drawn: int, threads: int | None) -> Drawn | None:
    """Return courses of the first enrolled patients of an arm, and their outcomes; None without a product."""
    held = outcome.outcomes.take(outcome.outcomes["arm"] == arm.name)
    first = held.take(np.arange(min(drawn, len(held))))
    if arm.comparator or not first["infused"].any():
        return None
    found = courses(
        outcome.trial, arm, first.ids, outcome.seed, outcome.configuration.get("settings"),
        days=outcome.configuration.get("days"), threads=threads,
    )  # fmt: skip
    return found, first.take(first["infused"])


def _patients(outcome: Any) -> dict[str, Any]:
    arms = outcome.trial.arms
    flows = [(arm.name if len(arms) > 1 else "", flow_of(outcome.outcomes, arm)) for arm in arms]
    words = (
        "Every patient who was enrolled is counted. Those who left before the infusion stand beside, with the reason."
    )
    return section("Patients", words, flows=flows)


def _kinetics(outcome: Any, shown: Mapping[str, Drawn]) -> list[dict[str, Any]]:
    points = published_points(outcome.trial, outcome.targets)
    made = [
        kinetics(outcome.trial, found, who, name, points if number == 0 else [])
        for number, (name, (found, who)) in enumerate(shown.items())
    ]  # fmt: skip
    figures = [figure for figure in made if figure]
    return [section("CAR T cells", figures=figures)] if figures else []


def _response(outcome: Any, shown: Mapping[str, Drawn]) -> dict[str, Any]:
    trial, outcomes = outcome.trial, outcome.outcomes
    figures: list[Figure | None] = [_best_responses(outcome)]
    figures += [waterfall(trial, found, who, name) for name, (found, who) in shown.items()]
    for arm in trial.arms:
        held = outcomes["infused"] & (outcomes["arm"] == arm.name)
        figures.append(swimmer(trial, outcomes.take(np.flatnonzero(held)[: 2 * DRAWN_PATIENTS]), arm.name))
    return section("Response", figures=[figure for figure in figures if figure])


def _best_responses(outcome: Any) -> Figure | None:
    rows = responses(outcome)
    if not rows:
        return None
    whom = "of all who were enrolled" if len(outcome.trial.arms) > 1 else "of the infused"
    words = "; ".join(f"{row['arm']}, {row['response']}: {percent(row['share'] / 100)}" for row in rows)
    return Figure(
        name="responses",
        title="Best response",
        caption=(
            f"How the patients did at best before progression or other treatment, in percent {whom}, by the criteria "
            "of the trial. CR: complete response (sCR: stringent, CRi: blood counts not yet back); VGPR and PR: very "
            "good and other partial response; MR: minimal; SD: stable; PD: progression; NE: not assessed."
        ),
        alt=f"Best responses. {words}.",
        legend=(),
        table=None,
        **charts.draw("responses", lambda canvas: _response_chart(rows, canvas)),
    )


def _response_chart(rows: list[dict[str, Any]], canvas: Canvas) -> Any:
    import altair as alt

    arms = list(dict.fromkeys(row["arm"] for row in rows))
    names = [f"{row['response']}, {row['arm']}" if len(arms) > 1 else row["response"] for row in rows]
    shown = [
        {"name": name, "share": row["share"], "words": f"{row['share']:.0f} %"}
        for name, row in zip(names, rows, strict=True)
    ]
    width = 30 if len(arms) == 1 else 95 if canvas.narrow else 130
    fixed: dict[str, Any] = {"labelLimit": width, "minExtent": width, "maxExtent": width}
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(ticks=False, domain=False, **fixed))
    x = alt.X("share:Q", title="% of patients", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(tickCount=5))
    bars = alt.Chart(charts._data(shown)).mark_bar(height=14, color=charts.colour("simulated"), opacity=0.75)
    texts = charts.words(shown, "words", x, y, "ink", align="left", dx=4, fontSize=12)
    return alt.layer(bars.encode(x=x, y=y), texts).properties(width=canvas.width - width + 40, height=22 * len(rows))


def _survival(outcome: Any) -> dict[str, Any]:
    figures = survival_figures(outcome, outcome.seed)
    compared = forest(outcome, outcome.seed)
    return section("Survival", figures=[*figures, *([compared] if compared else [])])


def _effects(outcome: Any) -> dict[str, Any]:
    trial, outcomes = outcome.trial, outcome.outcomes
    treated = [arm for arm in trial.arms if arm.product]
    words = (
        f"Graded at every round on the ward; managed by the rule {trial.grading.rule!r}. Below each share or median "
        "stands the range in which 95 % of trials of the real size lie."
    )
    tables = [one for arm in treated for one in (*grades(trial, outcomes, arm), drugs(trial, outcomes, arm))]
    return section("Side effects", words, tables=tables)


def _published(outcome: Any) -> list[dict[str, Any]]:
    found = published(outcome)
    if found is None:
        return []
    words = f"{_inside(outcome.targets)} What lies outside stands here as plainly as what lies inside."
    return [section("Published beside simulated", words, tables=[found], stacked=True)]


def _inside(targets: Any) -> str:
    """Say how many reported numbers lie inside the ranges.

    Example:
        >>> import pandas as pd
        >>> _inside(pd.DataFrame({"inside": [True, False]}))
        '1 of 2 reported numbers lie inside the range of 95 % of simulated trials of their size.'
    """
    chance, both = inside(targets)
    found = (
        f"{chance} of {len(targets)} reported numbers lie inside the range of 95 % of simulated trials of their size"
    )
    if both is None:
        return f"{found}."
    return (
        f"{found}, if the numbers of the model were known; {both} lie inside the range that also holds what is not "
        "known of them, by which they are called inside or outside here."
    )


def _endpoints(outcome: Any) -> dict[str, Any]:
    words = (
        "The value of all simulated patients, and the range in which 95 % of trials of the real size lie by chance. A "
        "median that is not reached lies beyond the watch."
    )
    sets = outcome.configuration.get("parameter_sets")
    if sets:
        words += (
            f" The other range is that of {sets} trials of the real size, each with another set of the model's numbers "
            "that agrees with the calibration: chance, and what is not known of the numbers."
        )
    return section("All endpoints", words, folded=endpoint_tables(outcome))


def _stated(trial: Any) -> Titled:
    rows = [
        (place.replace("_", " "), value.describe(), f"{value.mark} {value.source}".strip(), value.note)
        for place, value in trial.stated()
    ]
    headings = ("Number", "Value", "Where it comes from", "Note")
    words = "Numbers of the trial's plan: waiting, losses, assay, visits and follow-up."
    return Titled("Numbers of the trial", words, table(headings, rows, (), "Numbers of the trial"))


def provenance(settings: Any) -> list[Titled]:
    """Return where the free parameters of the model are from: of a calibration, or default values."""
    from livingdrug.population.free import free_parameters

    rows = []
    for free in free_parameters():
        used = f"{number(float(np.median(settings[free.name])))}" if free.name in settings else "1 (default)"
        prior = f"{number(free.prior_median)} (times or over {number(float(np.exp(free.prior_log_sd)))})"
        rows.append((free.name.replace("_", " "), free.level, used, prior, free.informed_by))
    headings = ("Parameter", "Level", "Here", "Prior: median (one SD)", "Which results speak to it")
    words = f"{which_ensemble(settings)} All other numbers of the model are fixed, with their sources in its pages."
    return [Titled("Free parameters of the model", words, table(headings, rows, (2, 3), "Free parameters"))]


def which_ensemble(settings: Any) -> str:
    """Say which shipped ensemble the settings are from, with its hash.

    Example:
        >>> which_ensemble({})
        'The model ran with its default values, which are not calibrated.'
    """
    from livingdrug.trials.ensemble import ensemble_names, load_ensemble

    if not settings:
        return "The model ran with its default values, which are not calibrated."
    for name in reversed(ensemble_names()):
        found = load_ensemble(name)
        if dict(settings) == found.middle():
            return f"Medians of the ensemble {name} (SHA-256 {found.hash})."
    return "Settings that were given for this run."


def _facts(outcome: Any) -> list[tuple[str, str]]:
    configuration = outcome.configuration
    return [
        ("Trial", outcome.trial.name),
        ("Patients", count(len(outcome.outcomes))),
        ("Seed", str(outcome.seed)),
        ("Settings", which_ensemble(configuration.get("settings"))),
        ("Not solved to the end", count(outcome.failed)),
        ("Model (fingerprint)", str(configuration.get("model_fingerprint", ""))),
        ("Configuration (SHA-256)", str(configuration.get("hash", ""))),
        ("Versions", ", ".join(f"{package} {found}" for package, found in versions().items())),
        ("System", f"{platform.system()} {platform.machine()}"),
    ]


def sources(trial: Any) -> list[tuple[str, str]]:
    """Return the publications behind a trial, each as words and address."""
    from livingdrug.sources import cite, source_keys

    keys = {number.source for _, number in trial.stated()} | set(trial.sources)
    found = [cite(key) for key in sorted(keys & set(source_keys()))]
    return [(str(one).removesuffix(one.link).strip(), one.link) for one in found]
