"""Charts as FHIR: Observation and MedicationAdministration of a Bundle (R4 or R5) become rows of a long table.

Observations are found by LOINC code, by this project's own code system (``urn:livingdrug:item``) or by a text that is
an item's name; drugs by the word in their name. Whatever is not understood is reported with the number of its entry.

Source:
    Names and shapes of the fields: ``fhirr5``; R4 says ``effective[x]`` where R5 says ``occurence[x]`` (so spelt), and
    ``medicationCodeableConcept`` where R5 says ``medication.concept``. LOINC codes are recalled; those of oxygen were
    read in the value set of vital signs of US Core, and all have the right check digit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from livingdrug.clinic.observations import COLUMNS, INFUSION, ITEMS, SET_ASIDE, Infusion, Observations, observe
from livingdrug.errors import InputError

__all__ = ["OWN_CODES", "read_bundle"]

OWN_CODES = "urn:livingdrug:item"
LOINC = "http://loinc.org"
LOINC_ITEMS = {
    "8310-5": "temperature", "8480-6": "systolic_pressure", "8867-4": "heart_rate", "59408-5": "spo2",
    "2708-6": "spo2", "3151-8": "oxygen_flow", "3150-0": "fio2", "1988-5": "crp", "2276-4": "ferritin",
    "2532-0": "ldh", "14804-9": "ldh", "2160-0": "creatinine", "1920-8": "ast", "1742-6": "alt",
    "1975-2": "bilirubin", "3255-7": "fibrinogen", "2571-8": "triglycerides", "751-8": "anc", "26499-4": "anc",
    "777-3": "platelets", "26515-7": "platelets", "718-7": "haemoglobin", "26881-3": "il6", "29463-7": "weight",
    "30525-0": "age",
}  # fmt: skip
DRUGS = {
    "tocilizumab": "tocilizumab", "anakinra": "anakinra", "dexamethasone": "steroid", "prednisone": "steroid",
    "prednisolone": "steroid", "hydrocortisone": "steroid", "acetaminophen": "antipyretic",
    "paracetamol": "antipyretic", "ibuprofen": "antipyretic", "metamizole": "antipyretic", "filgrastim": "g_csf",
    "lenograstim": "g_csf", "leucel": INFUSION,
}  # fmt: skip
VASOPRESSORS = ("norepinephrine", "noradrenaline", "phenylephrine", "epinephrine", "adrenaline", "dopamine")
FINAL = ("final", "amended", "corrected", "preliminary")
GIVEN = ("completed", "in-progress", "stopped", "on-hold")

Rows = list[tuple[Any, ...]]


class _Unusable(Exception):
    """Why one entry cannot be used."""


def read_bundle(content: bytes | str, *, infusion: Infusion = None, strict: bool = False) -> Observations:
    """Read a FHIR Bundle (JSON) and check it like any chart; the row of a finding is the entry's number.

    Args:
        content: the JSON, UTF-8.
        infusion: time of infusion of all patients, or patient -> time; else the bundle needs a MedicationAdministration
            of the product (a name that ends in "leucel") or an Observation of the item "infusion".
        strict: refuse a bundle in which something cannot be used.

    Raises:
        InputError: no JSON, no Bundle, or ``strict`` and something is wrong.
    """
    import pandas as pd

    rows: Rows = []
    unused: Rows = []
    pressors: Rows = []
    entries = _entries(content)
    drugs = _drugs(entries)
    for number, entry in enumerate(entries, start=1):
        try:
            _read_entry(entry, number, rows, pressors, drugs)
        except _Unusable as why:
            unused.append((number, *_as_far_as_read(entry), str(why), SET_ASIDE))
    rows += _running(pressors)
    chart = observe(pd.DataFrame(rows, columns=[*COLUMNS, "row"]), infusion=infusion, strict=strict)
    if strict and unused:
        raise InputError(f"{len(unused)} entries cannot be used; entry {unused[0][0]}: {unused[0][5]}")
    if not unused:
        return chart
    more = pd.DataFrame(unused, columns=chart.findings.columns)
    both = pd.concat([chart.findings, more], ignore_index=True) if len(chart.findings) else more
    return Observations(chart.table, both.sort_values("row", kind="stable", ignore_index=True))


def _entries(content: bytes | str) -> list[Any]:
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        found = json.loads(text, parse_constant=_no_constant, parse_int=_whole)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"not JSON: {error!s:.100}") from error
    except RecursionError as error:
        raise InputError("not a FHIR Bundle: nested too deeply") from error
    if not isinstance(found, dict) or found.get("resourceType") != "Bundle":
        raise InputError("not a FHIR Bundle (an object with resourceType 'Bundle')")
    entries = found.get("entry", [])
    if not isinstance(entries, list):
        raise InputError("not a FHIR Bundle: 'entry' must be a list")
    return entries


def _no_constant(word: str) -> float:
    raise InputError(f"{word} is not a number of JSON")


def _whole(text: str) -> int | float:
    return int(text) if len(text) < 20 else float(text)


def _drugs(entries: list[Any]) -> dict[str, Any]:
    """Return the code of each Medication of the bundle, by the ways in which an administration may refer to it."""
    found: dict[str, Any] = {}
    for entry in entries:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "Medication":
            names = (entry.get("fullUrl"), f"Medication/{resource.get('id')}")
            found |= {name: resource.get("code") for name in names if isinstance(name, str)}
    return found


def _as_far_as_read(entry: Any) -> tuple[str, str, str, str]:
    """Return patient, item, value and unit of an entry that cannot be used, as far as they stand in it."""
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(resource, dict):
        return "", "", "", ""
    try:
        patient = _patient(resource)
    except _Unusable:
        patient = ""
    code = resource.get("code", resource.get("medicationCodeableConcept"))
    quantity = resource.get("valueQuantity")
    quantity = quantity if isinstance(quantity, dict) else {}
    value = quantity.get("value", resource.get("valueString", ""))
    sign, unit = (quantity.get(key) for key in ("comparator", "unit"))
    words = f"{sign if isinstance(sign, str) else ''}{_scalar(value)}"
    return patient, (_item_of(code) or _name_of(code))[:60], words[:40], unit[:20] if isinstance(unit, str) else ""


def _name_of(code: Any) -> str:
    """Return the words of a code, or its symbol where it has none."""
    if words := _words_of(code):
        return words
    codings = [c for c in _list(code.get("coding")) if isinstance(c, dict)] if isinstance(code, dict) else []
    return next((symbol for c in codings if isinstance(symbol := c.get("code"), str)), "")


def _read_entry(entry: Any, number: int, rows: Rows, pressors: Rows, drugs: dict[str, Any]) -> None:
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(resource, dict):
        raise _Unusable("an entry without a resource")
    kind = resource.get("resourceType")
    if kind == "Observation":
        rows += _observation(resource, number)
    elif kind == "MedicationAdministration":
        _medication(resource, number, rows, pressors, drugs)
    elif kind not in ("Patient", "Medication"):
        raise _Unusable(f"a resource that is not read: {kind!s:.40}")


def _observation(resource: dict[str, Any], number: int) -> Rows:
    status = resource.get("status")
    if status not in FINAL:
        raise _Unusable(f"an Observation with the status {status!r:.40}")
    patient, when = _patient(resource), _when(resource, ("effective",))[0]
    found: Rows = []
    parts = [resource, *(part for part in _list(resource.get("component")) if isinstance(part, dict))]
    for part in parts:
        name = _item_of(part.get("code"))
        if name is None or (part is resource and len(parts) > 1 and not _has_value(part)):
            continue
        value, unit = _value_of(part)
        found.append((patient, when, name, value, unit, number))
    if not found:
        raise _Unusable(f"an Observation of something unknown: {_name_of(resource.get('code'))[:60]!r}")
    return found


def _item_of(code: Any) -> str | None:
    codings = [c for c in _list(code.get("coding")) if isinstance(c, dict)] if isinstance(code, dict) else []
    for coding in codings:
        system, symbol = coding.get("system"), coding.get("code")
        if system == LOINC and isinstance(symbol, str) and symbol in LOINC_ITEMS:
            return LOINC_ITEMS[symbol]
        if system == OWN_CODES and (symbol in ITEMS or symbol == INFUSION):
            return symbol
    text = code.get("text") if isinstance(code, dict) else None
    plain = text.strip().lower().replace(" ", "_") if isinstance(text, str) else ""
    return plain if plain in ITEMS or plain == INFUSION else None


def _has_value(part: dict[str, Any]) -> bool:
    return any(key.startswith("value") for key in part)


def _value_of(part: dict[str, Any]) -> tuple[Any, str]:
    """Return value and unit; a value that is no number or word stays as it is, for the report."""
    quantity = part.get("valueQuantity")
    if isinstance(quantity, dict):
        if quantity.get("comparator") is not None:
            raise _Unusable(
                f"a value with a comparator: {quantity.get('comparator')!r:.10} {quantity.get('value')!r:.20}"
            )
        unit = quantity.get("code") if isinstance(quantity.get("code"), str) else quantity.get("unit")
        return _scalar(quantity.get("value")), unit if isinstance(unit, str) else ""
    for key in ("valueInteger", "valueBoolean", "valueString"):
        if key in part:
            return _scalar(part[key]), ""
    if isinstance(part.get("valueCodeableConcept"), dict):
        return _word_of(part["valueCodeableConcept"]), ""
    raise _Unusable("an Observation without a value")


def _word_of(concept: dict[str, Any]) -> str:
    for coding in _list(concept.get("coding")):
        if isinstance(coding, dict) and coding.get("system") == OWN_CODES and isinstance(coding.get("code"), str):
            return coding["code"]
    return _words_of(concept)


def _words_of(concept: Any) -> str:
    if not isinstance(concept, dict):
        return ""
    texts = [concept.get("text"), *(c.get("display") for c in _list(concept.get("coding")) if isinstance(c, dict))]
    return next((text for text in texts if isinstance(text, str) and text), "")


def _scalar(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, int | float | str) else f"{value!r:.40}"


def _concept(resource: dict[str, Any], drugs: dict[str, Any]) -> Any:
    """Return the drug of an administration: its code (R4, R5), or that of the Medication to which it refers."""
    new = resource.get("medication")
    new = new if isinstance(new, dict) else {}
    concept = resource.get("medicationCodeableConcept") or new.get("concept")
    reference = resource.get("medicationReference") or new.get("reference")
    if concept is not None or not isinstance(reference, dict):
        return concept
    place = reference.get("reference")
    for inner in _list(resource.get("contained")):
        if isinstance(inner, dict) and place == f"#{inner.get('id')}":
            return inner.get("code")
    known = drugs.get(place) if isinstance(place, str) else None
    return known if known is not None else {"text": reference.get("display")}


def _medication(resource: dict[str, Any], number: int, rows: Rows, pressors: Rows, drugs: dict[str, Any]) -> None:
    status = resource.get("status")
    if status not in GIVEN:
        raise _Unusable(f"a MedicationAdministration with the status {status!r:.40}")
    name = _words_of(_concept(resource, drugs)).lower()
    patient = _patient(resource)
    start, end = _when(resource, ("effective", "occurence", "occurrence"))
    drug = next((item for word, item in DRUGS.items() if word in name), None)
    pressor = next((word for word in VASOPRESSORS if word in name), None)
    if drug is not None:
        rows.append((patient, start, drug, 1, "", number))
    elif pressor is not None or "vasopressin" in name:
        pressors.append((patient, start, end, pressor or "vasopressin", number))
    elif not name:
        raise _Unusable("a drug without a name (a reference to a Medication that is not in the bundle?)")
    else:
        raise _Unusable(f"a drug that no rule asks for: {name[:60]!r}")


def _running(pressors: Rows) -> Rows:
    """Return, at each begin and end of a vasopressor, how many then run."""
    import pandas as pd

    def moment(text: str) -> Any:
        return pd.to_datetime(text, utc=True, format="ISO8601", errors="coerce")

    moments = [(p, (moment(b), moment(e)), (b, e), drug, number) for p, b, e, drug, number in pressors]
    of_patient: dict[str, list[Any]] = {}
    for patient, times, _, drug, _ in moments:
        of_patient.setdefault(patient, []).append((*times, drug))
    found: Rows = []
    for patient, times, texts, _, number in moments:
        for text, at in zip(texts, times, strict=True):
            if not text:
                continue
            run = {d for b, e, d in of_patient[patient] if b <= at and (b == at or not e <= at)}
            found.append((patient, text, "vasopressors", len(run - {"vasopressin"}), "", number))
            found.append((patient, text, "vasopressin", int("vasopressin" in run), "", number))
    return list({row[:5]: row for row in found}.values())


def _patient(resource: dict[str, Any]) -> str:
    subject = resource.get("subject")
    found = subject.get("reference") if isinstance(subject, dict) else None
    if not isinstance(found, str) and isinstance(subject, dict) and isinstance(subject.get("identifier"), dict):
        found = subject["identifier"].get("value")
    if not isinstance(found, str) or not found:
        raise _Unusable(f"a {resource.get('resourceType')} without a patient")
    return found.rsplit("/", 1)[-1][:100]


def _when(resource: dict[str, Any], stems: tuple[str, ...]) -> tuple[str, str]:
    """Return start and end (may be empty) as written."""
    for stem in stems:
        for kind in ("DateTime", "Instant"):
            if isinstance(resource.get(stem + kind), str):
                return resource[stem + kind], resource[stem + kind]
        period = resource.get(stem + "Period")
        if isinstance(period, dict) and isinstance(period.get("start"), str):
            return period["start"], period["end"] if isinstance(period.get("end"), str) else ""
    raise _Unusable(f"a {resource.get('resourceType')} without a time")


def _list(value: Any) -> Iterator[Any]:
    return iter(value if isinstance(value, list) else ())
