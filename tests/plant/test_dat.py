"""The reader of .dat files: what it reads, and that every hostile or broken file is refused with its line."""

import dataclasses
import re

import pytest

from livingdrug.errors import InputError
from livingdrug.plant.dat import read_dat
from livingdrug.plant.network import read_network


def write(tmp_path, text):
    path = tmp_path / "file.dat"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_sets_lists_tables_and_single_values(tmp_path):
    text = """# a comment
set m := m1
m2 ;  set j := j1 j2 j3; param LIMIT := 3.5 ; param COST := m1 1e3 # here too
m2 -2
;
param TIME : j1 j2 j3 :=
m1 1 . 3
m2 4 5 6 ;
"""
    data = read_dat(write(tmp_path, text))
    assert data.sets == {"m": ("m1", "m2"), "j": ("j1", "j2", "j3")}
    assert data.parameters["LIMIT"] == {(): 3.5}
    assert data.parameters["COST"] == {("m1",): 1000.0, ("m2",): -2.0}
    assert data.parameters["TIME"][("m2", "j3")] == 6
    assert ("m1", "j2") not in data.parameters["TIME"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("set m := m1 m2", r":1: .*no ';'"),
        ("\n\nlet m := 1 ;", r":3: .*begins with 'set' or 'param', got 'let'"),
        ("set m := a a ;", r":1: .*'a' stands there twice"),
        ("param X := 1 ;\nparam X := 2 ;", r":2: 'X' stands there twice"),
        ("param X := a 1\na 2 ;", r":2: .*'a' stands there twice"),
        ("param X := a one ;", r":1: .*a number is expected, got 'one'"),
        ("param X := a nan ;", r"finite number"),
        ("param X := a 1e999 ;", r"finite number"),
        ("param X := a 1_000 ;", r"finite number"),
        ("param X := a 1\nb c 2 ;", r":1: .*3 words per line"),
        ("param X : j1 j2 :=\nm1 1 ;", r":2: .*2 values"),
        ("param X\nset m := a ;", r"is expected|one ':='"),
        ("param X := a 1\nparam Y := b 2 ;", r"':=' is expected, got 2; is a ';' missing"),
        ("set ../../x := a ;", r"'set NAME"),
        ("set m := <script> ;", r"letters, digits"),
        ("param X default 0 := a 1 ;", r"got 'default'"),
        (b"set m := \xff\xfe ;", r"UTF-8"),
    ],
)
def test_broken_files_are_refused_with_the_line(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read_dat(write(tmp_path, text))


def test_a_file_that_is_absent_or_too_big(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot be read"):
        read_dat(tmp_path / "none.dat")
    monkeypatch.setattr("livingdrug.plant.dat.LARGEST_FILE", 10)
    with pytest.raises(InputError, match="too many"):
        read_dat(write(tmp_path, "set m := a b c d e ;"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("set h := h1 h2 ;", "set h := h1 ;", "sizes differ"),
        ("m1 1\nm2 1\nm3 2", "m1 1\nm2 1\nm4 2", r"dat:\d+: param FCAP: unknown member of m 'm4'"),
        ("m1 1\nm2 1\nm3 2", "m1 1\nm2 1", r"param FCAP: the entry 'm3' is missing"),
        ("m1 1\nm2 1\nm3 2", "m1 1\nm2 0.5\nm3 2", r"param FCAP: a whole number.*0\.5"),
        ("j1 1\nj2 3", "j1 -1\nj2 3", r"param TT1: must be 0 or more, got -1"),
        ("p1 c1 1 1", "p1 c9 1 1", r"unknown member of c 'c9'"),
        ("p1 c1 1 1", "p1 c1 1.5 1", r"whole day.*'1\.5'"),
        ("p1 c1 1 1", "p1 c1 1 2", r"must be 0 or 1, got 2"),
        ("p1 c1 1 1", "p2 c1 3 1", r"patient 'p2' comes twice"),
        ("p1 c1 1 1\n", "", r"patient 'p1' of the set 'p' never comes"),
        ("param TLS := 1 ;", "param TLS := 1 ; param FMAX := 2 ;", r"FMAX: only 1 is read"),
        ("param TLS := 1 ;", "param TLS := 0.5 ;", r"TLS: a whole number of days"),
        ("param TLS := 1 ;", "param TLZ := 1 ;", r"unknown parameter 'TLZ'; did you mean 'TLS'"),
        ("param CIM :=", "param CIN :=", r"unknown parameter 'CIN'.*'CIM'"),
    ],
)
def test_instances_that_make_no_sense_are_refused(tmp_path, small_instance, old, new, words):
    text = small_instance.read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(InputError, match=words):
        read_network(write(tmp_path, text.replace(old, new)))


def test_comments_frame_mark_and_several_entries_per_line(tmp_path):
    text = "\ufeff/* costs;\n# two lines */ data;\nset m := m1 m2;\nparam CIM := m1 1 m2 2\n m3 3;\n"
    text += "param X := a b 4;\nend;\n"
    data = read_dat(write(tmp_path, text), {"CIM": 1})
    assert data.parameters["CIM"] == {("m1",): 1, ("m2",): 2, ("m3",): 3}
    assert data.lines["CIM", ("m3",)] == 5
    assert data.parameters["X"] == {("a", "b"): 4}


def test_an_instance_written_in_single_lines_is_the_same_instance(shared_data, tmp_path):
    instance = shared_data / "manufacturing" / "ishipment_50patients_130days.dat"
    body = re.sub(
        r"(?<=:=)[^;]*", lambda found: " " + " ".join(found[0].split()) + " ", instance.read_text(encoding="utf-8")
    )
    again, first = read_network(write(tmp_path, body)), read_network(instance)
    assert dataclasses.replace(again, name=first.name) == first
