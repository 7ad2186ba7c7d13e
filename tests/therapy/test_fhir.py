"""Export to FHIR R5, checked against the published shapes with the package fhir.resources."""

import copy
import json
import re
from datetime import UTC, datetime

import pytest
from fhir.resources import __fhir_version__
from fhir.resources.bundle import Bundle
from pydantic import ValidationError

from livingdrug.errors import InputError
from livingdrug.therapy.fhir import UCUM_UNITS, to_fhir
from livingdrug.therapy.identity import IdentifierScheme, simulated_identifier
from livingdrug.therapy.record import BatchRecord
from livingdrug.therapy.record_entries import (
    ENTRIES,
    UNITS_WITH_ENDS,
    Correction,
    Deviation,
    HandOver,
    Infusion,
    LabelCheck,
    Material,
    Opened,
    Reconciliation,
    Step,
    TestResult,
    Value,
)
from livingdrug.therapy.record_lines import new_key, read_private_key

COI = simulated_identifier(1, 7)
AT = "2026-01-05T08:00:00Z"
OPEN = Opened(at=AT, by="QA-1", product='CAR T <b>"é" 細胞', scheme="opaque", donations=("D-1", "D-2"))


def every_entry(key) -> list:
    """One entry of every kind, with hostile but allowed texts."""
    room = Value(name="temperature", unit="degC", least=2.0, most=8.0, actual=5.5)
    values = tuple(Value(name=f"in {unit}", unit=unit, actual=0.5) for unit in UNITS_WITH_ENDS)
    return [
        Step(at=AT, by="OP-1", step="collection", ended="2026-01-05T12:00:00Z", values=values),
        HandOver(at=AT, by="C-1", item="bag", giver="H-1", taker="C-1", place="H-1", temperature=room,
                 label_matches=True),
        Material(at=AT, by="OP-1", name="beads & more", lot="L-7", expires="2027-01-01"),
        Step(at="2026-01-06T08:00:00Z", by="OP-1", step="multiplication", ended="2026-01-14T08:00:00Z"),
        TestResult(at="2026-01-15T08:00:00Z", by="QC-1", test="viability", result=values[0], passes=True),
        Reconciliation(at=AT, by="OP-1", step="wash", cells_in=3, cells_out=2, losses={"lost": 1}),
        Deviation(at=AT, by="QA-1", concerns=3, what="late", judged="minor"),
        Correction(at=AT, by="QA-1", corrects=3, reason="typing", now="place H-2"),
        {"at": AT, "by": "QP-1", "decision": "released", "signers": [("QP-1", "released", key)]},
        LabelCheck(at=AT, by="N-1", place="H-1", second_person="N-2", matches=True),
        Infusion(at="2026-02-01T08:00:00Z", by="N-1", place="H-1", cells=2 * 10**8,
                 volume=Value(name="volume", unit="mL", actual=68.0)),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A record with every kind of entry, and its prefixes."""
    folder = tmp_path_factory.mktemp("fhir")
    new_key(folder / "key.pem")
    key = read_private_key(folder / "key.pem")
    clock = lambda: datetime(2026, 2, 2, tzinfo=UTC)  # noqa: E731
    with BatchRecord.create(folder / "b.jsonl", COI, key, OPEN, clock=clock) as record:
        for entry in every_entry(key):
            if isinstance(entry, dict):
                record.decide(entry.pop("signers"), **entry)
            else:
                record.append(entry)
        assert {line.entry.kind for line in record.lines} == set(ENTRIES) - {"interruption"}
        return record.lines


def resources(bundle, kind) -> list:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def test_the_bundle_has_the_shape_of_fhir_r5(written):
    assert __fhir_version__ == "5.0.0"
    bundle = to_fhir(written)
    checked = Bundle.model_validate(json.loads(json.dumps(bundle, allow_nan=False)))
    kinds = {entry.resource.get_resource_type() for entry in checked.entry}
    assert kinds == {"BiologicallyDerivedProduct", "Specimen", "Procedure", "Provenance"}
    assert len(resources(bundle, "Provenance")) == len(written)
    again = json.loads(checked.model_dump_json())
    assert len(again["entry"]) == len(bundle["entry"])


def test_every_beginning_of_a_record_can_be_exported(written):
    for end in range(1, len(written) + 1):
        Bundle.model_validate(to_fhir(written[:end]))
    with pytest.raises(InputError, match="empty record"):
        to_fhir(())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: resources(b, "Provenance")[0].pop("agent"),
        lambda b: resources(b, "Procedure")[0].pop("status"),
        lambda b: resources(b, "BiologicallyDerivedProduct")[0].update(quantity=1),  # a field of R4
        lambda b: resources(b, "BiologicallyDerivedProduct")[0].update(productCategory="cells"),  # a code in R4
        lambda b: resources(b, "Specimen")[0].update(receivedTime="yesterday"),
        lambda b: b.update(type=5),
    ],
)
def test_the_check_would_find_a_wrong_shape(written, spoil):
    bundle = copy.deepcopy(to_fhir(written))
    spoil(bundle)
    with pytest.raises(ValidationError):
        Bundle.model_validate(bundle)


def test_all_references_lead_somewhere_and_identifiers_are_unique(written):
    bundle = to_fhir(written)
    addresses = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(addresses)) == len(addresses)
    used = set(re.findall(r'"reference": "(urn:uuid:[^"]+)"', json.dumps(bundle)))
    assert used
    assert used <= set(addresses)
    assert all(re.fullmatch(r"[A-Za-z0-9.-]{1,64}", entry["resource"]["id"]) for entry in bundle["entry"])


def test_what_the_resources_say_is_what_the_record_says(written):
    bundle = to_fhir(written)
    collected, product = resources(bundle, "BiologicallyDerivedProduct")
    assert collected["identifier"] == [{"system": "urn:livingdrug:code", "value": d} for d in ("D-1", "D-2")]
    assert collected["collection"]["collectedPeriod"] == {"start": AT, "end": "2026-01-05T12:00:00Z"}
    assert product["productCode"]["text"] == OPEN.product
    assert product["parent"][0]["reference"].endswith(collected["id"])
    assert product["productStatus"]["code"] == "applied"
    assert to_fhir(written[:-1])["entry"][1]["resource"]["productStatus"]["code"] == "available"
    assert to_fhir(written[:3])["entry"][1]["resource"]["productStatus"]["code"] == "unavailable"
    assert product["biologicalSourceEvent"]["value"] == COI
    assert [p["code"]["text"] for p in resources(bundle, "Procedure")] == [
        "Step: collection", "Step: multiplication", "Infusion of CAR T cells"
    ]  # fmt: skip
    hashes = [p["entity"][0]["what"]["identifier"]["value"] for p in resources(bundle, "Provenance")]
    assert hashes == [line.hash for line in written]
    over = resources(bundle, "Provenance")[2]
    assert [agent["who"]["identifier"]["value"] for agent in over["agent"]] == ["C-1", "H-1", "C-1"]
    assert over["location"]["identifier"]["value"] == "H-1"
    assert over["activity"]["text"] == "hand over: bag at 5.5 degC"
    assert bundle["meta"]["tag"][0]["display"] == "Not for clinical use."


def test_the_patient_is_only_the_chain_of_identity(written):
    bundle = to_fhir(written)
    assert not resources(bundle, "Patient")
    patients = [json.loads(found) for found in re.findall(r'\{"type": "Patient", [^}]+\}\}', json.dumps(bundle))]
    assert patients
    assert all(p["identifier"] == {"system": "urn:livingdrug:chain-of-identity", "value": COI} for p in patients)
    house = IdentifierScheme("our house", "urn:example:coi", ".+")
    assert "urn:example:coi" in json.dumps(to_fhir(written, scheme=house))


def test_every_unit_of_a_record_has_its_code():
    assert set(UCUM_UNITS) == set(UNITS_WITH_ENDS)


def test_the_same_record_gives_the_same_bundle(written):
    assert json.dumps(to_fhir(written)) == json.dumps(to_fhir(written))
