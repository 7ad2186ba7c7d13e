"""The command `record`: verify, export, new-key."""

import json

import pytest
from fhir.resources.bundle import Bundle

from livingdrug.cli import app
from livingdrug.cli.record import record
from livingdrug.therapy.identity import simulated_identifier
from livingdrug.therapy.record import BatchRecord
from livingdrug.therapy.record_entries import HandOver, Opened, Value
from livingdrug.therapy.record_reading import head_path

AT = "2026-01-05T08:00:00Z"
COI = simulated_identifier(3, 3)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    if record not in app.COMMANDS:
        monkeypatch.setattr(app, "COMMANDS", (*app.COMMANDS, record))


@pytest.fixture
def batch(tmp_path, command):
    """A record of three lines, and its keys."""
    private = tmp_path / "plant.pem"
    assert command("record", "new-key", private).code == 0
    path = tmp_path / "batch.jsonl"
    warm = Value(name="temperature", unit="degC", least=2.0, most=8.0, actual=12.0)
    with BatchRecord.create(path, COI, private, Opened(at=AT, by="Q", product="p", scheme="opaque")) as written:
        for place in ("H-1", "P-1"):
            written.append(HandOver(at=AT, by="C", item="bag", giver="H", taker="C", place=place, temperature=warm,
                                    label_matches=True))  # fmt: skip
    return path, tmp_path / "plant.pem.pub"


def test_help(command):
    answer = command("record", "--help")
    assert answer.code == 0
    assert "Verify a batch record, or export it" in answer.out
    assert "--kept-head" in answer.out


def test_verify_says_whole_and_lists_what_is_open(command, batch):
    path, public = batch
    answer = command("record", "verify", path, "--key", public)
    assert answer.code == 0
    assert answer.err == ""
    assert "3 lines, as they were written" in answer.out
    assert "open: line 2: temperature is outside its range" in answer.out
    told = command("record", "verify", path, "--key", public, "--json").json
    assert (told["whole"], told["lines"], told["findings"]) == (True, 3, [])
    assert [point["line"] for point in told["open"]] == [0, 2, 3]
    assert COI not in answer.out


def test_verify_names_the_line_and_fails(command, batch):
    path, public = batch
    path.write_bytes(path.read_bytes().replace(b'"place":"H-1"', b'"place":"H-2"'))
    answer = command("record", "verify", path, "--key", public)
    assert answer.code == 1
    assert "line 2: its content was changed" in answer.out
    told = command("record", "verify", path, "--key", public, "--json")
    assert told.code == 1
    assert told.json["findings"][0]["line"] == 2
    assert command("record", "export", path, "--key", public).code == 1
    assert COI not in answer.out + answer.err


def test_a_kept_head_shows_a_record_set_back(command, batch, tmp_path):
    path, public = batch
    with BatchRecord.open(path, tmp_path / "plant.pem") as written:
        before = path.read_bytes(), head_path(path).read_bytes()
        written.append(written.lines[1].entry)
    kept = tmp_path / "kept.head"
    kept.write_bytes(head_path(path).read_bytes())
    path.write_bytes(before[0])
    head_path(path).write_bytes(before[1])
    assert command("record", "verify", path, "--key", public).code == 0
    assert command("record", "verify", path, "--key", public, "--kept-head", kept).code == 1


def test_export_to_fhir(command, batch, tmp_path):
    path, public = batch
    shown = command("record", "export", path, "--to", "fhir", "--key", public)
    assert shown.code == 0
    assert Bundle.model_validate(shown.json).type == "collection"
    out = tmp_path / "bundle.json"
    told = command("record", "export", path, "--key", public, "--out", out)
    assert "FHIR R5" in told.out
    assert "Not for clinical use" in told.out
    assert json.loads(out.read_text(encoding="utf-8")) == shown.json
    assert command("record", "export", path, "--key", public, "-o", out, "--force", "--json").json["resources"] == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("verfy", "x"), "did you mean 'verify'"),
        (("verify", "x"), "needs the plant's public key"),
        (("export", "{batch}", "--key", "{key}", "--to", "hl7"), "unknown format of the export 'hl7'"),
        (("verify", "{batch}", "--key", "{batch}"), "not a public key"),
        (("verify", "/nonexistent", "--key", "{key}"), "cannot be read"),
        (("new-key", "{private}"), "never written over"),
    ],
)
def test_mistakes(command, batch, words, told):
    names = {"batch": batch[0], "key": batch[1], "private": str(batch[1]).removesuffix(".pub")}
    answer = command("record", *(word.format(**names) for word in words))
    assert answer.code == 2
    assert told in answer.err


def test_an_export_never_writes_over_a_file_unasked(command, batch, tmp_path):
    path, public = batch
    out, before = tmp_path / "bundle.json", path.read_bytes()
    out.write_text("mine")
    words = ("record", "export", path, "--key", public, "-o")
    assert "--force writes over it" in command(*words, out).err
    assert out.read_text(encoding="utf-8") == "mine"
    assert "is the record itself" in command(*words, path, "--force").err
    assert path.read_bytes() == before
