"""The batch record: whatever is changed, removed, moved, added or cut is found; a kill loses nothing confirmed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livingdrug.errors import InputError, LivingDrugError, MissingExtra
from livingdrug.patients import Patients
from livingdrug.therapy import Attrition, WaitingPlan, release, wait
from livingdrug.therapy.harvest import LOSSES
from livingdrug.therapy.identity import OPAQUE, IdentifierScheme, simulated_identifier
from livingdrug.therapy.multiplication import Product
from livingdrug.therapy.record import BatchRecord, sign_decision
from livingdrug.therapy.record_entries import (
    ENTRIES,
    Correction,
    Deviation,
    HandOver,
    Infusion,
    Interruption,
    LabelCheck,
    Material,
    Opened,
    Reconciliation,
    Step,
    TestResult,
    Value,
    entry_of,
)
from livingdrug.therapy.record_lines import (
    canonical,
    hash_of,
    new_key,
    parse,
    read_private_key,
    read_public_key,
)
from livingdrug.therapy.record_reading import head_path, read_record, verify
from livingdrug.therapy.record_review import review
from livingdrug.therapy.simulated_record import record_simulated
from livingdrug.therapy.timeline import US_COMMUNITY

COI = simulated_identifier(1, 7)
AT = "2026-01-05T08:00:00Z"
OPEN = Opened(at=AT, by="QA-1", product="a product", scheme="opaque", donations=("D-1",))
ROOM = Value(name="temperature", unit="degC", least=2.0, most=8.0, actual=5.0)


def clock() -> datetime:
    return datetime(2026, 1, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Private key files and public keys of the plant and of a forger."""
    folder = tmp_path_factory.mktemp("keys")
    return {name: (folder / f"{name}.pem", new_key(folder / f"{name}.pem")) for name in ("plant", "forger", "person")}


@pytest.fixture(scope="module")
def original(keys, tmp_path_factory) -> tuple[bytes, bytes]:
    """Record and head of a batch of eight lines."""
    path = tmp_path_factory.mktemp("record") / "batch.jsonl"
    with BatchRecord.create(path, COI, keys["plant"][0], OPEN, clock=clock) as record:
        record.append(Step(at=AT, by="OP-1", step="collection", ended="2026-01-05T12:00:00Z"))
        record.append(hand_over())
        record.append(Material(at=AT, by="OP-1", name="beads", lot="L-7", expires="2027-01-01"))
        record.append(Step(at="2026-01-14T08:00:00Z", by="OP-1", step="harvest", ended="2026-01-14T09:00:00Z"))
        record.append(balance())
        record.decide(
            [("QP-1", "released", read_private_key(keys["person"][0]))], at=AT, by="QP-1", decision="released"
        )
        record.append(Deviation(at=AT, by="QA-1", concerns=3, what="late courier", judged="minor"))
    return path.read_bytes(), head_path(path).read_bytes()


def hand_over(**changed) -> HandOver:
    values = {"at": AT, "by": "OP-1", "item": "bag", "giver": "H-1", "taker": "C-1", "place": "H-1",
              "temperature": ROOM, "label_matches": True}  # fmt: skip
    return HandOver(**{**values, **changed})


def balance(cells_in=100, cells_out=90, lost=10) -> Reconciliation:
    return Reconciliation(at=AT, by="OP-1", step="wash", cells_in=cells_in, cells_out=cells_out, losses={"lost": lost})


@pytest.fixture
def check(tmp_path, keys, original):
    """Verify a record made of some bytes, with the true head unless another is given."""

    def verified(data: bytes, head: bytes | None = None, kept: bytes | None = None):
        path = tmp_path / "b.jsonl"
        path.write_bytes(data)
        head_path(path).write_bytes(original[1] if head is None else head)
        options = {}
        if kept is not None:
            (tmp_path / "kept.head").write_bytes(kept)
            options["kept_head"] = tmp_path / "kept.head"
        return verify(path, keys["plant"][1], **options)

    return verified


def lines_of(found) -> set[int]:
    return {finding.line for finding in found.findings}


# --- nothing escapes ------------------------------------------------------------------------------------------------


def test_the_untouched_record_is_whole(check, original):
    found = check(original[0])
    assert found.whole
    assert found.lines == 8
    assert found.findings == ()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_changed_byte_is_found_at_its_line(check, original, data):
    raw = bytearray(original[0])
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255).filter(lambda b: b != original[0][place]))
    found = check(bytes(raw))
    assert not found.whole
    assert min(lines_of(found)) == original[0].count(b"\n", 0, place) + 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_changed_byte_of_the_head_is_found(check, original, data):
    head = bytearray(original[1])
    place = data.draw(st.integers(0, len(head) - 2))
    head[place] = data.draw(st.integers(0, 255).filter(lambda b: b != original[1][place]))
    assert 0 in lines_of(check(original[0], bytes(head)))


def test_a_signature_has_one_way_to_be_written(check, original):
    """Capitals would mean the same number; the bytes are others all the same."""
    row = json.loads(original[0].splitlines()[2])
    forms = (row["signature"].upper(), row["signature"][:-2] + " " + row["signature"][-2:], None, 5, "")
    for form in forms:
        lines = original[0].splitlines(keepends=True)
        lines[2] = canonical({**row, "signature": form}) + b"\n"
        assert min(lines_of(check(b"".join(lines)))) == 3
    assert all(form != row["signature"] for form in forms)


@pytest.mark.parametrize("line", range(1, 9))
def test_a_removed_line_is_found_where_it_was(check, original, line):
    lines = original[0].splitlines(keepends=True)
    found = check(b"".join(lines[: line - 1] + lines[line:]))
    assert min(lines_of(found)) == line


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 3), (3, 7), (7, 8)])
def test_swapped_lines_are_found(check, original, first, second):
    lines = original[0].splitlines(keepends=True)
    lines[first - 1], lines[second - 1] = lines[second - 1], lines[first - 1]
    found = check(b"".join(lines))
    assert min(lines_of(found)) == first
    assert any("moved" in finding.what for finding in found.findings)


@pytest.mark.parametrize("line", range(1, 9))
def test_a_doubled_line_is_found(check, original, line):
    lines = original[0].splitlines(keepends=True)
    assert min(lines_of(check(b"".join(lines[:line] + lines[line - 1 :])))) == line + 1


def test_every_cut_is_found_and_says_where(check, original):
    data = original[0]
    for end in [*range(0, len(data), 97), len(data) - 1]:
        found = check(data[:end])
        assert not found.whole
        assert data.count(b"\n", 0, end) + 1 in lines_of(found)
    whole_lines = b"".join(data.splitlines(keepends=True)[:5])
    words = [str(finding) for finding in check(whole_lines).findings]
    assert words == ["line 6: the signed head covers 8 lines, the record has 5: lines 6 to 8 cut off"]


def changed_and_hashed_again(data: bytes, line: int, change) -> bytes:
    """The work of a forger without the key: change one line, then make all later hashes right again."""
    rows, previous = [], None
    for number, raw in enumerate(data.splitlines(), start=1):
        row = json.loads(raw)
        if number == line:
            change(row)
        if previous:
            row["previous"] = previous
        row["hash"] = previous = hash_of(row)
        rows.append(canonical(row) + b"\n")
    return b"".join(rows)


def warmer(row) -> None:
    row["data"]["temperature"]["actual"] = 7.9


def test_a_forger_without_the_key_is_found_at_the_changed_line(check, original):
    forged = changed_and_hashed_again(original[0], 3, warmer)
    found = check(forged)
    assert min(lines_of(found)) == 3
    assert "not signed with this key" in found.findings[0].what


def test_a_forger_with_another_key_is_found(check, original, keys, tmp_path):
    """The whole record and its head made anew with a key of the forger's own."""
    path = tmp_path / "forged.jsonl"
    with BatchRecord.create(path, COI, keys["forger"][0], OPEN, clock=clock) as record:
        record.append(hand_over())
    assert verify(path, keys["forger"][1]).whole
    found = check(path.read_bytes(), head_path(path).read_bytes())
    assert {0, 1, 2} <= lines_of(found)


def test_lines_of_two_batches_cannot_be_mixed(check, original, keys, tmp_path):
    path = tmp_path / "other.jsonl"
    with BatchRecord.create(path, simulated_identifier(1, 8), keys["plant"][0], OPEN, clock=clock) as record:
        for _ in range(7):
            record.append(hand_over())
    ours, theirs = original[0].splitlines(keepends=True), path.read_bytes().splitlines(keepends=True)
    found = check(b"".join([*ours[:4], theirs[4], *ours[5:]]))
    assert any("another chain of identity" in finding.what for finding in found.findings)
    assert min(lines_of(found)) == 5
    assert not check(original[0], head_path(path).read_bytes()).whole


def test_a_head_set_back_is_found_only_with_one_kept_elsewhere(check, keys, tmp_path):
    """The limit that the page states: record and head together can be set back by whoever has an old copy of both."""
    path = tmp_path / "r.jsonl"
    with BatchRecord.create(path, COI, keys["plant"][0], OPEN, clock=clock) as record:
        old = path.read_bytes(), head_path(path).read_bytes()
        record.append(hand_over())
    later = head_path(path).read_bytes()
    assert check(*old).whole
    found = check(*old, kept=later)
    assert [finding.line for finding in found.findings] == [2]
    assert "kept in" in found.findings[0].what
    assert check(path.read_bytes(), later, kept=old[1]).whole


def test_a_missing_head_is_found(tmp_path, keys, original):
    path = tmp_path / "b.jsonl"
    path.write_bytes(original[0])
    assert lines_of(verify(path, keys["plant"][1])) == {0}
    with pytest.raises(LivingDrugError, match=r"b\.jsonl\.head cannot be read"):
        BatchRecord.open(path, keys["plant"][0])


# --- hostile lines --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"a":1,"a":2}', "twice"),
        (b'{"a":NaN}', "NaN is not a number"),
        (b'{"a":-Infinity}', "not a number"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "too large"),
        (b'{"a":9007199254740993}', "not in canonical form"),  # no float is this number
        (b'{"a": 1}', "not in canonical form"),
        (b'{"b":1,"a":2}', "not in canonical form"),
        (b'{"a":1.0}', "not in canonical form"),
        (b'{"a":"\\u00e9"}', "not in canonical form"),
        (b'{"a":"\\ud800"}', "cannot hold"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"a":1', "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 50 + b"1" + b"}" * 50, "nested too deeply"),
        (b'{"a":"' + b"x" * 300_000 + b'"}', "too many"),
        (b"\x00", "not JSON"),
    ],
)
def test_hostile_lines_are_told_not_crashed_on(check, original, line, words):
    with pytest.raises(InputError, match=words):
        parse(line)
    lines = original[0].splitlines(keepends=True)
    found = check(b"".join([*lines[:2], line + b"\n", *lines[3:]]))
    assert min(lines_of(found)) == 3


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=200))
def test_noise_is_never_a_record_and_never_a_crash(check, data, head):
    assert not check(data, head).whole


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(
        st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_what_is_written_is_read_again_exactly(value):
    line = canonical({"v": value})
    assert b"\n" not in line
    assert canonical(parse(line)) == line
    assert parse(line)["v"] == value


def test_no_message_repeats_what_stands_in_the_record(check, original, capsys):
    secret = "Jane-Doe-1970"
    for change in (
        lambda row: row["data"].update(by=secret + " !"),
        lambda row: row["data"].update(name=secret),
        lambda row: row.update(chain_of_identity=secret),
        lambda row: row.update(kind=secret),
    ):
        found = check(changed_and_hashed_again(original[0], 3, change))
        assert not found.whole
        assert secret not in " ".join(map(str, found.findings))
    with pytest.raises(InputError) as error:
        OPAQUE.check(secret)
    assert secret not in str(error.value)
    assert COI not in repr(error.value) + capsys.readouterr().err


# --- writing --------------------------------------------------------------------------------------------------------


def test_a_record_is_read_back_as_it_was_written(keys, original, tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_bytes(original[0])
    head_path(path).write_bytes(original[1])
    lines = read_record(path, keys["plant"][1])
    assert [line.number for line in lines] == list(range(1, 9))
    assert {line.chain_of_identity for line in lines} == {COI}
    assert lines[0].entry == OPEN
    assert lines[2].entry == hand_over()
    assert lines[5].entry == balance()
    assert json.loads(original[0].splitlines()[1])["previous"] == lines[0].hash
    first = {k: v for k, v in json.loads(original[0].splitlines()[0]).items() if k not in ("hash", "signature")}
    plain = json.dumps(first, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert lines[0].hash == hashlib.sha256(plain).hexdigest()  # an independent way to the canonical form


@pytest.mark.parametrize("keep", ["nothing", "half", "all but the end", "all", "all and the head"])
def test_a_kill_while_appending(keys, original, tmp_path, keep):
    """Every state that a kill between two writes can leave behind opens again, and the record is whole after it."""
    path = tmp_path / "b.jsonl"
    path.write_bytes(original[0])
    head_path(path).write_bytes(original[1])
    with BatchRecord.open(path, keys["plant"][0], clock=clock) as record:
        record.append(hand_over())
    line, head = path.read_bytes()[len(original[0]) :], head_path(path).read_bytes()
    size = {"nothing": 0, "half": len(line) // 2, "all but the end": len(line) - 1}.get(keep, len(line))
    path.write_bytes(original[0] + line[:size])
    head_path(path).write_bytes(head if keep == "all and the head" else original[1])
    assert verify(path, keys["plant"][1]).whole == (keep in ("nothing", "all and the head"))
    with BatchRecord.open(path, keys["plant"][0], clock=clock) as record:
        record.append(balance())
    assert verify(path, keys["plant"][1]).whole
    kinds = [line.entry.kind for line in read_record(path, keys["plant"][1])][8:]
    cut, rolled = ["interruption", "reconciliation"], ["hand_over", "interruption", "reconciliation"]
    expected = {"nothing": ["reconciliation"], "half": cut, "all but the end": cut, "all": rolled}
    assert kinds == expected.get(keep, ["hand_over", "reconciliation"])
    if keep == "half":
        told = read_record(path, keys["plant"][1])[8].entry
        assert isinstance(told, Interruption)
        assert told.cut_sha256 == hashlib.sha256(line[:size]).hexdigest()


WRITER = """
import sys
from livingdrug.therapy.record import BatchRecord
from livingdrug.therapy.record_entries import Material
with BatchRecord.open(sys.argv[1], sys.argv[2]) as record:
    for number in range(100_000):
        record.append(Material(at="2026-01-05T08:00:00Z", by="OP-1", name=f"m{number}", lot="L", expires="2027-01-01"))
        print(number, flush=True)
"""


def test_a_real_kill_loses_nothing_that_was_confirmed(keys, tmp_path):
    path = tmp_path / "b.jsonl"
    BatchRecord.create(path, COI, keys["plant"][0], OPEN).close()
    confirmed = 0
    for round_ in range(3):
        command = [sys.executable, "-c", WRITER, str(path), str(keys["plant"][0])]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            time.sleep(0.05 + 0.07 * round_)
            os.kill(writer.pid, signal.SIGKILL)
            confirmed += 1 + len(writer.stdout.read().split())
        with BatchRecord.open(path, keys["plant"][0]):
            pass
    assert verify(path, keys["plant"][1]).whole
    written = [line for line in read_record(path, keys["plant"][1]) if isinstance(line.entry, Material)]
    assert confirmed <= len(written) <= confirmed + 3


def test_a_foreign_line_after_the_head_is_not_taken_in(keys, original, tmp_path):
    path = tmp_path / "b.jsonl"
    for tail in (b'{"a":1}\n', original[0].splitlines(keepends=True)[-1], b"x\ny"):
        path.write_bytes(original[0] + tail)
        head_path(path).write_bytes(original[1])
        with pytest.raises(LivingDrugError, match="did not sign"):
            BatchRecord.open(path, keys["plant"][0])
        assert path.read_bytes() == original[0] + tail


def test_a_changed_record_is_not_written_on(keys, original, tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_bytes(original[0].replace(b"beads", b"beast"))
    head_path(path).write_bytes(original[1])
    with pytest.raises(LivingDrugError, match=r"not as it was written: line 4: its content was changed"):
        BatchRecord.open(path, keys["plant"][0])
    with pytest.raises(LivingDrugError, match=r"line 4.*livingdrug record verify"):
        read_record(path, keys["plant"][1])


def test_one_writer_at_a_time_and_never_over_a_file(keys, tmp_path):
    path = tmp_path / "b.jsonl"
    record = BatchRecord.create(path, COI, keys["plant"][0], OPEN)
    with pytest.raises(LivingDrugError, match="open for appending elsewhere"):
        BatchRecord.open(path, keys["plant"][0])
    with pytest.raises(InputError, match="never written over"):
        BatchRecord.create(path, COI, keys["plant"][0], OPEN)
    record.close()
    with pytest.raises(InputError, match="closed"):
        record.append(hand_over())
    with pytest.raises(InputError, match="never written over"):
        new_key(keys["plant"][0])
    assert keys["plant"][0].stat().st_mode & 0o077 == 0


def test_a_full_disk_leaves_the_record_as_it_was(keys, original, tmp_path, monkeypatch):
    path = tmp_path / "b.jsonl"
    path.write_bytes(original[0])
    head_path(path).write_bytes(original[1])
    with BatchRecord.open(path, keys["plant"][0]) as record:
        monkeypatch.setattr("livingdrug.therapy.record.write_atomically", full_disk)
        with pytest.raises(LivingDrugError, match=r"could not be written and is not in it"):
            record.append(hand_over())
        assert len(record) == 8
        monkeypatch.undo()
        assert record.append(hand_over()) == 9
    assert verify(path, keys["plant"][1]).whole


def full_disk(*_):
    raise LivingDrugError("cannot write: No space left on device")


def test_a_clock_set_back_does_not_turn_the_order_round(keys, tmp_path):
    times = iter([datetime(2026, 1, 6, h, tzinfo=UTC) for h in (5, 5, 4, 4, 4, 4)])
    path = tmp_path / "b.jsonl"
    with BatchRecord.create(path, COI, keys["plant"][0], OPEN, clock=lambda: next(times)) as record:
        record.append(hand_over())
    assert verify(path, keys["plant"][1]).whole


# --- what a record takes in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Value(name="viability", unit="percent", actual=120.0), r"viability \(actual\) must be from 0 to 100"),
        (lambda: Value(name="volume", unit="mL", actual=-1.0), "volume .* must be from 0"),
        (lambda: Value(name="x", unit="furlong"), "unknown unit"),
        (lambda: Value(name="x", unit="mL", actual=float("nan")), "actual"),
        (lambda: balance(100, 90, 9), "cells out [+] losses, got 100 in and 99 accounted for"),
        (lambda: balance(cells_in=100.0), "cells_in"),
        (lambda: hand_over(by="Jane Doe"), "code"),
        (lambda: hand_over(item="bag\x1b[31m"), "printable"),
        (lambda: hand_over(at="5 January 2026"), "2026-01-05T08:30:00Z"),
        (lambda: hand_over(at="2026-02-30T08:00:00Z"), "2026-01-05T08:30:00Z"),
        (lambda: hand_over(patient_name="x"), "unknown key"),
        (lambda: Step(at=AT, by="O", step="collectoin", ended=AT), "did you mean 'collection'"),
        (lambda: Step(at=AT, by="O", step="wash", ended="2026-01-05T07:00:00Z"), "or later"),
        (lambda: Material(at=AT, by="O", name="m", lot="L", expires="soon"), "expires"),
        (lambda: entry_of("hand-over", {}, "line 3"), "line 3: unknown kind of entry"),
        (lambda: entry_of("hand_over", [], "line 3"), "line 3: a table"),
        (lambda: sign_decision(COI, [], at=AT, by="Q", decision="released"), "at least one signature"),
        (lambda: OPAQUE.check(""), "chain of identity is missing"),
        (lambda: OPAQUE.check(None), "chain of identity is missing"),
        (lambda: OPAQUE.check(COI[:-1] + ("A" if COI[-1] != "A" else "B")), "check characters"),
        (lambda: IdentifierScheme("house", "urn:x", "[0-9]{3}").check("12"), "does not fit the scheme 'house'"),
        (lambda: IdentifierScheme("house", "urn:x", "[0-9]{3}").new(), "given elsewhere"),
        (lambda: read_public_key(Path("/nonexistent")), "cannot be read"),
        (lambda: verify("x", "plant.pem.pub"), "read_public_key"),
        (lambda: verify("/nonexistent", "0" * 64), "cannot be read"),
    ],
)
def test_impossible_entries_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_entries_must_follow_the_earlier_ones(keys, original, tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_bytes(original[0])
    head_path(path).write_bytes(original[1])
    before = path.read_bytes()
    early = {"at": "2026-01-04T08:00:00Z", "by": "OP-1", "ended": "2026-01-14T09:00:00Z"}
    with BatchRecord.open(path, keys["plant"][0]) as record:
        for entry, words in (
            (Step(step="harvest", **early), r"harvest is at 2026-01-04.*allowed 2026-01-05.*collection, line 2"),
            (OPEN, "opened once"),
            (
                Deviation(at=AT, by="Q", concerns=99, what="x", judged="minor"),
                "entry 99 does not exist, allowed 1 to 8",
            ),
            (Correction(at=AT, by="Q", corrects=9, reason="x", now="y"), "entry 9 does not exist"),
        ):
            with pytest.raises(InputError, match=words):
                record.append(entry)
    assert path.read_bytes() == before


@pytest.mark.parametrize("package", ["cryptography", "rfc8785"])
def test_without_the_extra_the_message_says_what_to_install(keys, tmp_path, monkeypatch, package):
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"livingdrug\[record\]"):
        BatchRecord.create(tmp_path / "b.jsonl", COI, keys["plant"][0], OPEN)


def test_every_kind_of_entry_says_what_it_is():
    assert all(kind == entry.kind and entry.__doc__ for kind, entry in ENTRIES.items())


def test_a_decision_carries_the_signature_of_a_person(keys, original, check):
    """Whoever changes who signed, or moves a signature to another batch, is found even with the plant's key."""
    decision = json.loads(original[0].splitlines()[6])["data"]
    assert decision["signatures"][0]["public_key"] == keys["person"][1]
    held = entry_of("release_decision", decision | {"decision": "rejected"}, "x")
    other = BatchRecord.create
    path = Path(str(keys["plant"][0]) + ".jsonl")
    with other(path, COI, keys["plant"][0], OPEN, clock=clock) as record:
        record.append(held)
    found = verify(path, keys["plant"][1])
    assert [str(f) for f in found.findings] == ["line 2: the signature of QP-1 on the release decision is not valid"]


# --- review ---------------------------------------------------------------------------------------------------------


def reviewed(tmp_path, keys, *entries) -> list[str]:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
    person = read_private_key(keys["person"][0])
    with BatchRecord.create(path, COI, keys["plant"][0], OPEN, clock=clock) as record:
        for entry in entries:
            record.append(sign_decision(COI, [("QP", "m", person)], **entry) if isinstance(entry, dict) else entry)
        return [point.what for point in review(record.lines)]


def test_open_points(tmp_path, keys):
    decision = {"at": AT, "by": "QP", "decision": "released"}
    volume = Value(name="volume", unit="mL", actual=68.0)
    infusion = Infusion(at="2026-02-01T08:00:00Z", by="N", place="H", cells=5, volume=volume)
    label = LabelCheck(at=AT, by="N", place="H", second_person="M", matches=True)
    result = Value(name="viability", unit="fraction", least=0.8, actual=0.7)
    failed = TestResult(at=AT, by="Q", test="viability", result=result, passes=False)
    warm = hand_over(temperature=ROOM.model_copy(update={"actual": 12.0}))
    assert reviewed(tmp_path, keys, decision, label, infusion) == []
    assert reviewed(tmp_path, keys, decision, label) == ["no infusion is confirmed"]
    assert reviewed(tmp_path, keys, label, infusion) == ["infused without a release"]
    assert reviewed(tmp_path, keys, decision, infusion) == ["infused without a matching label check"]
    assert reviewed(tmp_path, keys, warm, decision, label, infusion) == [
        "temperature is outside its range, and no deviation says why"
    ]
    said = Deviation(at=AT, by="Q", concerns=2, what="warm courier", judged="major")
    assert reviewed(tmp_path, keys, warm, said, decision, label, infusion) == []
    assert "released although the test viability (line 2) failed" in reviewed(
        tmp_path, keys, failed, decision, label, infusion
    )
    exception = {**decision, "decision": "released under exception", "reasons": ("viability too low",)}
    assert not any("released although" in what for what in reviewed(tmp_path, keys, failed, exception, label, infusion))
    rejected = {**decision, "decision": "rejected"}
    assert reviewed(tmp_path, keys, rejected, label, infusion) == ["infused without a release"]
    old = Material(at=AT, by="O", name="beads", lot="L", expires="2026-01-04")
    assert reviewed(tmp_path, keys, old, decision, label, infusion) == ["material beads was used after its expiry date"]
    assert reviewed(tmp_path, keys, balance(100, 90, 10), balance(91, 90, 1), decision, label, infusion) == [
        "more cells go in than line 2 let out"
    ]
    unlabelled = hand_over(label_matches=False)
    assert reviewed(tmp_path, keys, unlabelled, decision, label, infusion) == ["the label did not match at a hand-over"]


# --- of a simulated patient -----------------------------------------------------------------------------------------


def infused(n=4):
    """Doses of patients with given products, dated."""
    columns = {
        "weight_kg": (80.0, "kg"), "collected_t_cells": (2e9, "cell"), "engineered_t_cells": (1e9, "cell"),
        "harvested_t_cells": (5e9, "cell"), "harvested_dead_cells": (5e8, "cell"),
        "harvested_car_t_cells": (2.5e9, "cell"), "viability": (0.92, "fraction"), "culture_days": (9.0, "day"),
        "car_positive": (0.5, "fraction"), "copies_per_cell": (0.7, "copy/cell"),
        "copies_per_car_cell": (1.4, "copy/cell"), "harvested_t_cell_purity": (0.97, "fraction"),
        "collection_day": (0.0, "day"),
    }  # fmt: skip
    units = {**Product.COLUMNS, **{name: unit for name, (_, unit) in columns.items()}}
    values = {name: np.full(n, columns.get(name, (0.1, ""))[0]) for name in units}
    product = Product(Patients(np.arange(1, n + 1), values, units), Attrition.none())
    return wait(release(product, seed=1), WaitingPlan(schedule=US_COMMUNITY), seed=1)


def test_the_record_of_a_simulated_patient(keys, tmp_path):
    dose = infused()
    path = tmp_path / "b.jsonl"
    lines = record_simulated(path, dose, 2, keys["plant"][0], seed=1)
    assert verify(path, keys["plant"][1], scheme=OPAQUE).whole
    assert read_record(path, keys["plant"][1]) == lines
    assert review(lines) == ()
    times = [line.entry.at for line in lines]
    assert times == sorted(times)
    kinds = {line.entry.kind for line in lines}
    assert kinds == set(ENTRIES) - {"deviation", "correction", "interruption"}
    yields = [line.entry for line in lines if isinstance(line.entry, Reconciliation)]
    row = dose.patients.take(dose.patients.ids == 2)
    assert yields[1].cells_out == int(row["dose_cells"][0]) == 160_000_000
    assert yields[1].cells_in == 2_500_000_000
    assert set(yields[1].losses) == {name.replace("_", " ") for name in LOSSES}
    assert [line.entry.cells for line in lines if isinstance(line.entry, Infusion)] == [160_000_000]
    assert lines[0].entry.simulated is True
    again = record_simulated(tmp_path / "c.jsonl", dose, 2, keys["plant"][0], seed=1)
    assert (tmp_path / "c.jsonl").read_bytes() == path.read_bytes()  # same seed, same record, to the byte
    assert again[0].chain_of_identity != simulated_identifier(1, 3)


def test_a_patient_without_a_dose_has_no_such_record(keys, tmp_path):
    dose = infused()
    with pytest.raises(InputError, match="patient 99 is not among those who are infused"):
        record_simulated(tmp_path / "x.jsonl", dose, 99, keys["plant"][0])
    bare = wait(dose, WaitingPlan(), seed=1)
    undated = type(bare)(
        Patients(bare.patients.ids, {n: bare.patients[n] for n in bare.patients if n != "infusion_day"},
                 {n: u for n, u in bare.patients.units.items() if n != "infusion_day"}), bare.attrition)  # fmt: skip
    with pytest.raises(InputError, match=r"'infusion_day' is missing.*schedule"):
        record_simulated(tmp_path / "y.jsonl", undated, 1, keys["plant"][0])
    assert not (tmp_path / "x.jsonl").exists()
