"""Export of a batch record to FHIR R5: a Bundle of products, specimen, procedures and provenance.

The patient appears only as the chain-of-identity identifier. Products are BiologicallyDerivedProduct (what was
collected, and what was made of it), the sample of the release tests is a Specimen, collection and infusion are
Procedures, and every line of the record is a Provenance that carries the line's hash.

Left out: Task, Observation and Device resources, and codes of licensed terminologies (texts are used instead).

Source:
    Names and shapes of the fields: ``fhirr5``.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from livingdrug.errors import InputError
from livingdrug.therapy.identity import OPAQUE, IdentifierScheme
from livingdrug.therapy.record_entries import (
    HandOver,
    Infusion,
    Opened,
    ReleaseDecision,
    Step,
    TestResult,
    Value,
)
from livingdrug.therapy.record_reading import Line

__all__ = ["to_fhir"]

CATEGORY = "http://hl7.org/fhir/product-category"
STATUS = "http://hl7.org/fhir/biologicallyderived-product-status"
CODES = "urn:livingdrug:code"
HASHES = "urn:livingdrug:record-line-sha256"
SPACE = uuid.UUID("5f0e4a3c-6f0d-5a57-9c51-6d2f0b8f9d11")  # of the names of resources
UCUM = "http://unitsofmeasure.org"
UCUM_UNITS = {
    "fraction": "1", "percent": "%", "cell": "{cells}", "cell/kg": "{cells}/kg", "mL": "mL", "L": "L", "day": "d",
    "degC": "Cel", "copy/cell": "{copies}/{cell}", "kg": "kg", "1/uL": "/uL", "mmol/L": "mmol/L", "EU/mL": "{EU}/mL",
    "1": "1", "USD": "{USD}",
}  # fmt: skip
DISCLAIMER = "Not for clinical use."
Resource = dict[str, Any]


def to_fhir(lines: Sequence[Line], *, scheme: IdentifierScheme = OPAQUE) -> Resource:
    """Return the record as a FHIR R5 Bundle of the type collection, ready for ``json.dumps``.

    Args:
        lines: of a record that is whole, from ``read_record``.
        scheme: whose address stands beside the chain-of-identity identifier.

    Raises:
        InputError: the record has no lines.
    """
    if not lines or not isinstance(lines[0].entry, Opened):
        raise InputError("an empty record cannot be exported; pass the lines of read_record")
    ids = {name: _id(lines, name) for name in ("collected", "product", "sample")}
    resources = [
        _collected(lines, ids, scheme),
        _product(lines, ids, scheme),
        *_sample(lines, ids, scheme),
        *_procedures(lines, ids, scheme),
        *(_provenance(line, lines, ids) for line in lines),
    ]
    return {
        "resourceType": "Bundle",
        "id": _id(lines, "bundle"),
        "meta": {"tag": [{"system": CODES, "code": "not-for-clinical-use", "display": DISCLAIMER}]},
        "type": "collection",
        "timestamp": lines[-1].written_at,
        "entry": [{"fullUrl": f"urn:uuid:{r['id']}", "resource": r} for r in resources],
    }


def _id(lines: Sequence[Line], name: str) -> str:
    return str(uuid.uuid5(SPACE, f"{lines[0].hash} {name}"))


def _refer(kind: str, identifier: str) -> Resource:
    return {"reference": f"urn:uuid:{identifier}", "type": kind}


def _patient(lines: Sequence[Line], scheme: IdentifierScheme) -> Resource:
    return {"type": "Patient", "identifier": _chain(lines, scheme)}


def _chain(lines: Sequence[Line], scheme: IdentifierScheme) -> Resource:
    return {"system": scheme.system, "value": lines[0].chain_of_identity}


def _who(code: str, kind: str = "Organization") -> Resource:
    return {"type": kind, "identifier": {"system": CODES, "value": code}}


def _text(words: str) -> Resource:
    return {"text": words}


def _category() -> Resource:
    return {"system": CATEGORY, "code": "cells", "display": "Cells"}


def _first(lines: Sequence[Line], step: str) -> Step | None:
    return next((line.entry for line in lines if isinstance(line.entry, Step) and line.entry.step == step), None)


def _collected(lines: Sequence[Line], ids: dict[str, str], scheme: IdentifierScheme) -> Resource:
    opened, step = lines[0].entry, _first(lines, "collection")
    found: Resource = {
        "resourceType": "BiologicallyDerivedProduct",
        "id": ids["collected"],
        "productCategory": _category(),
        "productCode": _text("Cells collected by apheresis"),
        "biologicalSourceEvent": _chain(lines, scheme),
        "productStatus": {"system": STATUS, "code": "processed"},
        "collection": {"source": _patient(lines, scheme)},
    }
    if isinstance(opened, Opened) and opened.donations:
        found["identifier"] = [{"system": CODES, "value": donation} for donation in opened.donations]
    if step is not None:
        found["collection"]["collector"] = _who(step.by)
        found["collection"]["collectedPeriod"] = {"start": step.at, "end": step.ended}
        found["property"] = _properties(step.values)
    return _without_empty(found)


def _product(lines: Sequence[Line], ids: dict[str, str], scheme: IdentifierScheme) -> Resource:
    opened = lines[0].entry
    values = [value for line in lines if isinstance(line.entry, Step) for value in line.entry.values]
    results = [line.entry.result for line in lines if isinstance(line.entry, TestResult)]
    return _without_empty(
        {
            "resourceType": "BiologicallyDerivedProduct",
            "id": ids["product"],
            "productCategory": _category(),
            "productCode": _text(opened.product if isinstance(opened, Opened) else ""),
            "parent": [_refer("BiologicallyDerivedProduct", ids["collected"])],
            "identifier": [_chain(lines, scheme)],
            "biologicalSourceEvent": _chain(lines, scheme),
            "productStatus": {"system": STATUS, "code": _status(lines)},
            "collection": {"source": _patient(lines, scheme)},
            "property": _properties([*values, *results]),
        }
    )


def _status(lines: Sequence[Line]) -> str:
    if any(isinstance(line.entry, Infusion) for line in lines):
        return "applied"
    decisions = [line.entry.decision for line in lines if isinstance(line.entry, ReleaseDecision)]
    return "available" if decisions and decisions[-1] != "rejected" else "unavailable"


def _properties(values: Sequence[Value]) -> list[Resource]:
    return [{"type": _text(v.name), "valueQuantity": _quantity(v)} for v in values if v.actual is not None]


def _quantity(value: Value) -> Resource:
    return {"value": value.actual, "unit": value.unit, "system": UCUM, "code": UCUM_UNITS[value.unit]}


def _sample(lines: Sequence[Line], ids: dict[str, str], scheme: IdentifierScheme) -> list[Resource]:
    """Return the sample of the release tests, if there were any."""
    tests = [line.entry for line in lines if isinstance(line.entry, TestResult)]
    if not tests:
        return []
    notes = [f"{t.test}: {'passes' if t.passes else 'fails'} ({t.acceptance or 'no limit'})" for t in tests]
    return [
        {
            "resourceType": "Specimen",
            "id": ids["sample"],
            "identifier": [_chain(lines, scheme)],
            "status": "available",
            "type": _text("Sample of the product for tests"),
            "subject": {"reference": f"urn:uuid:{ids['product']}", "type": "BiologicallyDerivedProduct"},
            "receivedTime": tests[0].at,
            "note": [{"text": note} for note in notes],
        }
    ]


def _procedures(lines: Sequence[Line], ids: dict[str, str], scheme: IdentifierScheme) -> list[Resource]:
    found = []
    for line in lines:
        entry = line.entry
        if isinstance(entry, Step):
            what, when = f"Step: {entry.step}", {"occurrencePeriod": {"start": entry.at, "end": entry.ended}}
        elif isinstance(entry, Infusion):
            what, when = "Infusion of CAR T cells", {"occurrenceDateTime": entry.at}
        else:
            continue
        found.append(
            {
                "resourceType": "Procedure",
                "id": _id(lines, f"procedure {line.number}"),
                "status": "completed",
                "code": _text(what),
                "subject": _patient(lines, scheme),
                **when,
                "performer": [{"actor": _who(entry.by)}],
                "used": [{"reference": _refer("BiologicallyDerivedProduct", ids[_about(line)])}],
            }
        )
    return found


def _about(line: Line) -> str:
    """Return which of the products a line is about."""
    entry = line.entry
    return "collected" if isinstance(entry, Step) and entry.step in ("collection", "engineering") else "product"


def _provenance(line: Line, lines: Sequence[Line], ids: dict[str, str]) -> Resource:
    entry = line.entry
    agents = [{"type": _text("recorded by"), "who": _who(entry.by)}]
    if isinstance(entry, HandOver):
        agents += [
            {"type": _text("gives"), "who": _who(entry.giver)},
            {"type": _text("takes"), "who": _who(entry.taker)},
        ]
    if isinstance(entry, ReleaseDecision):
        agents += [
            {"type": _text(f"signs: {signed.meaning}"), "who": _who(signed.by, "Practitioner")}
            for signed in entry.signatures
        ]
    found: Resource = {
        "resourceType": "Provenance",
        "id": _id(lines, f"provenance {line.number}"),
        "target": [_refer("BiologicallyDerivedProduct", ids[_about(line)])],
        "occurredDateTime": entry.at,
        "recorded": line.written_at,
        "activity": _text(_activity(line)),
        "agent": agents,
        "entity": [{"role": "source", "what": {"identifier": {"system": HASHES, "value": line.hash}}}],
    }
    if isinstance(entry, HandOver):
        found["location"] = {"identifier": {"system": CODES, "value": entry.place}}
    return found


def _activity(line: Line) -> str:
    entry = line.entry
    words = entry.kind.replace("_", " ")
    if isinstance(entry, HandOver) and entry.temperature.actual is not None:
        return f"{words}: {entry.item} at {entry.temperature.actual:g} degC"
    if isinstance(entry, ReleaseDecision):
        return f"{words}: {entry.decision}"
    return f"{words}: {entry.step}" if isinstance(entry, Step) else words


def _without_empty(resource: Resource) -> Resource:
    """Return the resource without empty lists, which FHIR does not allow."""
    return {name: value for name, value in resource.items() if value not in ([], {})}
