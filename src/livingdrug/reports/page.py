"""The report of a trial: one HTML file that opens anywhere, offline, on a phone, in light or dark, or on paper."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livingdrug.storage import write_atomically

__all__ = ["Report", "render", "report"]


@dataclass(frozen=True)
class Report:
    """A finished report.

    Attributes:
        html: the whole page; it needs no other file, no network and no script.
    """

    html: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, whole or not at all, and return its path.

        Raises:
            LivingDrugError: the file cannot be written there.

        Example:
            >>> import tempfile
            >>> Report("<!doctype html>").save(f"{tempfile.mkdtemp()}/report.html").name
            'report.html'
        """
        target = Path(path).expanduser()
        write_atomically(target, self.html)
        return target

    def _repr_html_(self) -> str:
        """Show the report inside a notebook, walled off from the notebook's own style."""
        from markupsafe import escape

        return f'<iframe srcdoc="{escape(self.html)}" style="width:100%;height:80vh;border:0" title="report"></iframe>'


def report(outcome: Any) -> Report:
    """Return the report of a trial's outcome.

    Args:
        outcome: what ``Trial.run`` returned, or ``run_twin`` for a trial of the twin.

    Example:
        >>> import livingdrug as ld
        >>> outcome = ld.Trial.builtin("zuma-1").run(patients=200, seed=1)  # doctest: +SKIP
        >>> ld.report(outcome).save("zuma-1.html")  # doctest: +SKIP
    """
    from livingdrug.reports import comparison, keyresults, methods
    from livingdrug.reports.figures import figures
    from livingdrug.reports.flow import flow
    from livingdrug.reports.glossary import GLOSSARY
    from livingdrug.reports.trial_page import trial_page
    from livingdrug.trials.twin import TwinOutcome

    if isinstance(outcome, TwinOutcome):
        return trial_page(outcome)
    return Report(
        render(
            "report.html",
            kicker="simulated trial",
            **keyresults.headline(outcome),
            cards=keyresults.cards(outcome),
            flow=flow(outcome),
            figures=figures(outcome),
            comparison=comparison.introduction(outcome),
            endpoints=comparison.endpoints(outcome),
            notes=comparison.notes(outcome),
            cures=comparison.cures(outcome),
            parameters=methods.parameters(outcome),
            assumptions=methods.assumptions(outcome),
            assumed=methods.assumed_numbers(outcome),
            limitations=methods.limitations(outcome),
            failures=methods.failures(outcome),
            facts=methods.facts(outcome),
            sources=methods.publications(outcome),
            glossary=GLOSSARY,
        )
    )


def render(template: str, **values: Any) -> str:
    """Return a page from a template of this folder; what is put in is escaped."""
    import jinja2

    from livingdrug.reports import charts

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    colours = {"light": charts.variables(0), "dark": charts.variables(1), "colour_rules": charts.colour_rules()}
    return environment.get_template(template).render(**values, **colours)
