"""The page of a qualification: what each paper says, what we compute, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livingdrug.library import load_model
from livingdrug.qualification.formats import HEAD, STATUSES, assessment_rows, result_rows
from livingdrug.qualification.target import FAIL, PASS
from livingdrug.reports.keyresults import Card
from livingdrug.reports.numbers import count
from livingdrug.reports.page import Report, render
from livingdrug.reports.tables import table

if TYPE_CHECKING:
    from livingdrug.qualification import Qualification

__all__ = ["validation_page"]

NUMERIC = (1, 2, 3, 4)
ABOUT = (
    "Every number below was computed again for this page and is set beside what the paper says, or beside what an "
    "independent implementation gives."
)


def validation_page(qualification: Qualification) -> Report:
    """Return the page of a qualification; it opens anywhere, offline.

    Example:
        >>> from livingdrug.qualification import qualify
        >>> "stein2019" in validation_page(qualify(["stein2019"], workers=1)).html
        True
    """
    models = []
    for name, results in qualification.results.items():
        marks = ["outside" if r.status == FAIL else "inside" if r.status == PASS else "" for r in results]
        models.append(
            {
                "name": name,
                "summary": load_model(name).summary(),
                "assessment": table(
                    ("Question", "Answer"), assessment_rows(qualification, name), (), f"Assessment, {name}"
                ),
                "results": table(
                    [h.capitalize() for h in HEAD], result_rows(results), NUMERIC, f"Targets, {name}", marks
                ),
                "failed": sum(r.status == FAIL for r in results),
            }
        )
    return Report(
        render(
            "validation.html", title="Validation of the model library", kicker="qualification", about=ABOUT, run="",
            cards=[Card(count(qualification.count(status)), status, "") for status in STATUSES], models=models,
        )
    )  # fmt: skip
