"""A qualification as JSON for programs, as JUnit XML for test servers, and as Markdown for the documentation."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from livingdrug.library import load_model
from livingdrug.qualification.target import FAIL, NEEDS_DATA, NOT_REPRODUCIBLE, PASS, Expected, Result

if TYPE_CHECKING:
    from livingdrug.qualification.run import Qualification

__all__ = ["assessment_rows", "number", "result_rows", "to_json", "to_junit", "to_markdown"]

STATUSES = (PASS, FAIL, NOT_REPRODUCIBLE, NEEDS_DATA)
NOT_CLINICAL = "Not for clinical use."
HEAD = ("quantity", "paper", "recomputed", "ours", "deviation", "tolerance", "verdict", "source")


def number(value: float | Expected | None) -> str:
    """A number with five digits, or nothing where there is none."""
    found = value.value if isinstance(value, Expected) else value
    return "" if found is None or not math.isfinite(found) else f"{found:.5g}"


def result_rows(results: list[Result]) -> list[tuple[str, ...]]:
    """One row of text per result, in the order of ``HEAD``."""
    rows = []
    for r in results:
        t = r.target
        quantity = t.quantity if t.unit == "1" else f"{t.quantity} [{t.unit}]"
        tolerance = f"{r.judged_by.tolerance:.2g}: {r.judged_by.reason}"
        verdict = r.status + (f" ({r.note})" if r.note else "")
        found = (number(t.paper), number(t.recomputed), number(r.ours), number(r.deviation))
        rows.append((quantity, *found, tolerance, verdict, t.source))
    return rows


def assessment_rows(qualification: Qualification, name: str) -> list[tuple[str, str]]:
    """The assessment of one model by ICH M15 and ASME V&V 40, with what verification and validation found."""
    a, results = qualification.assessments[name], qualification.results[name]
    first, others = results[0], results[1:]
    counts = {status: sum(r.status == status for r in others) for status in STATUSES}
    met = f"{counts[PASS]} of {len(others)} targets met"
    rest = [f"{n} {status.lower()}" for status, n in counts.items() if n and status != PASS]
    return [
        ("Question of interest", a.question),
        ("Context of use", a.context),
        ("Model influence", a.influence),
        ("Decision consequence", a.consequence),
        (
            "Verification",
            f"units checked at declaration; {first.target.quantity}: {number(first.ours)} ({first.status}, at most "
            "1e-6)",
        ),
        ("Validation", "; ".join([met, *rest])),
        ("Applicability", a.applicability),
    ]


def to_json(qualification: Qualification) -> str:
    """Return every result and assessment as JSON; numbers that are not known are null."""
    models = {
        name: {
            "assessment": dict(assessment_rows(qualification, name)),
            "results": [_as_data(r) for r in results],
        }
        for name, results in qualification.results.items()
    }
    counts = {status: qualification.count(status) for status in STATUSES}
    return json.dumps({"notice": NOT_CLINICAL, "counts": counts, "models": models}, indent=1, ensure_ascii=False) + "\n"


def to_junit(qualification: Qualification) -> str:
    """Return the results as JUnit XML: a suite per model, a case per target."""
    root = ET.Element("testsuites", name="livingdrug qualify")
    for name, results in qualification.results.items():
        count = {s: sum(r.status == s for r in results) for s in STATUSES}
        suite = ET.SubElement(
            root, "testsuite", name=name, tests=str(len(results)), failures=str(count[FAIL]), errors="0",
            skipped=str(count[NEEDS_DATA]),
        )  # fmt: skip
        for r in results:
            case = ET.SubElement(suite, "testcase", classname=name, name=r.target.quantity)
            text = (
                f"ours {number(r.ours)}, expected {r.judged_by} within {r.judged_by.tolerance:.3g} ({r.target.source})"
            )
            if r.status == FAIL:
                ET.SubElement(case, "failure", message=text)
            elif r.status == NEEDS_DATA:
                ET.SubElement(case, "skipped", message=r.note)
            else:
                ET.SubElement(case, "system-out").text = f"{r.status}: {text}"
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def to_markdown(qualification: Qualification) -> str:
    """Return the page of the documentation."""
    lines = ["# Validation", "", NOT_CLINICAL, "", *_introduction(qualification)]
    for name, results in qualification.results.items():
        lines += [f"## {name}", "", load_model(name).summary(), ""]
        lines += [*_table(("", ""), assessment_rows(qualification, name)), ""]
        lines += [*_table(HEAD, result_rows(results)), ""]
    return "\n".join(lines)


def _introduction(qualification: Qualification) -> list[str]:
    counts = ", ".join(f"{qualification.count(s)} {s}" for s in STATUSES)
    return [
        "Every number below is computed again by `livingdrug qualify`; this page is generated from its answer.",
        "",
        "- *paper*: what the paper says; *recomputed*: what an implementation independent of this one gives.",
        "- *deviation*: ours less the number that decides (the paper's, or else the recomputed one).",
        f"- *{NOT_REPRODUCIBLE}*: the paper's number does not follow from its own equations and values; ours equals "
        "what does follow.",
        f"- *{NEEDS_DATA}*: the check data are not shipped; give their folder with `--data`.",
        "",
        f"All models: {counts}.",
        "",
    ]


def _table(head: tuple[str, ...], rows: list[Any]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return ["| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines]


def _as_data(r: Result) -> dict[str, Any]:
    t = r.target
    return {
        "quantity": t.quantity,
        "unit": t.unit,
        "paper": _expected(t.paper),
        "recomputed": _expected(t.recomputed),
        "ours": r.ours if math.isfinite(r.ours) else None,
        "deviation": r.deviation if math.isfinite(r.deviation) else None,
        "status": r.status,
        "source": t.source,
        "note": r.note,
    }


def _expected(expected: Expected | None) -> dict[str, Any] | None:
    if expected is None:
        return None
    return {"value": expected.value, "tolerance": expected.tolerance, "reason": expected.reason}
