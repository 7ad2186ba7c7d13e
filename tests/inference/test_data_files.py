"""Files that people have: other encodings and separators, and such that are no data set at all."""

from __future__ import annotations

import random

import pandas as pd
import pytest

from livingdrug.errors import InputError
from livingdrug.inference import data_files
from livingdrug.inference.data import read_data

GOOD = "ID,TIME,DV\n1,0,2\n1,1,3\n"


@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode(),
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.encode("utf-16"),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("\n", "\r").encode(),
        b"\n\n" + GOOD.encode(),
        b"#" + GOOD.encode(),
        b"# made on Monday\n" + GOOD.encode(),
        b"# made on Monday\n#" + GOOD.replace("1,1", "# left out, see log\n1,1").encode(),
        GOOD.replace("\n", "\n\n").encode(),
        GOOD.replace("\n", ",\n").encode(),
        GOOD.rstrip().encode(),
        GOOD.replace(",", "  ").replace("\n", "\n  ").encode(),
    ],
    ids=["plain", "mark", "utf-16", "windows", "old-mac", "blank-first", "hash", "comment-first", "comments",
         "blank-between", "comma-last",
         "no-newline", "blanks"],
)  # fmt: skip
def test_spellings_of_one_table(tmp_path, content):
    file = tmp_path / "data.csv"
    file.write_bytes(content)
    assert read_data(file).observations.value.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "heading"),
        (b" \n\n", "heading"),
        (b"ID,TIME,DV\n", "no rows"),
        (b"ID,TIME,DV\n1,0,\x00\n", "zero bytes"),
        ("ID,TIME,DV\n1,0,é\n".encode("latin-1"), "byte 16 is no text in UTF-8"),
        (b"ID,TIME,DV\n1,0,2,9\n", "row 1 has more cells"),
        (b"ID,TIME,DV\n1,0,2\n1,0\n", "row 2 has fewer cells"),
        (b"ID,TIME,DV\n1,0,2\n1,0,3,4,5,6\n", "row 2 has more cells"),
        (b'ID,TIME,DV\n"1,0,2\n', "not a table"),
        (b"ID,,DV\n1,0,2\n", "column 2 has no heading"),
        (b"\x89PNG\r\n\x1a\n", "UTF-8"),
        (b"PK\x03\x04" + bytes(40), "zero bytes"),
        (b"ID," * 100_000, "heading"),
    ],
)
def test_what_is_no_table_is_refused_with_a_reason(tmp_path, content, words):
    file = tmp_path / "data.csv"
    file.write_bytes(content)
    with pytest.raises(InputError, match=words) as told:
        read_data(file)
    assert str(file) in str(told.value)


def test_missing_large_and_unknown_files(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no such file"):
        read_data(tmp_path / "none.csv")
    with pytest.raises(InputError, match="no such file"):
        read_data(tmp_path / "none.xpt")
    with pytest.raises(InputError, match="ends in"):
        read_data(tmp_path / "data.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="no such file"):
        read_data(tmp_path / "folder.csv")
    (tmp_path / "a.csv").write_text(GOOD)
    monkeypatch.setattr(data_files, "LARGEST_FILE", 10)
    with pytest.raises(InputError, match="more than 10 bytes"):
        read_data(tmp_path / "a.csv")


def test_parquet_and_its_imitations(tmp_path):
    frame = pd.DataFrame({"ID": ["A", "A"], "TIME": [0, 1], "DV": [2.0, None], "MDV": [0, 1], "OK": [True, False]})
    frame.to_parquet(tmp_path / "a.parquet")
    data = read_data(tmp_path / "a.parquet")
    assert data.observations.value.tolist() == [2]
    (tmp_path / "b.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(InputError, match="Parquet"):
        read_data(tmp_path / "b.parquet")
    pd.DataFrame({"ID": [[1], [2]], "TIME": [0, 1], "DV": [{"a": 1}, {"a": 2}]}).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(InputError):
        read_data(tmp_path / "c.parquet")


def test_damaged_files_raise_nothing_but_input_errors(tmp_path):
    rng = random.Random(7)
    text = "ID,TIME,AMT,DV,EVID,CENS,SEX\nA,0,5,.,1,0,F\nA,1,.,3,0,1,F\nB,0,5,.,1,0,M\nB,2,.,7,0,0,M\n"
    letters = "AB019.,;\"\n\t=-e<>'é\x00 "
    for number in range(250):
        letters_of = list(text)
        for _ in range(rng.choice((1, 2, 5, 20))):
            letters_of[rng.randrange(len(letters_of))] = rng.choice(letters)
        file = tmp_path / f"{number}.csv"
        file.write_text("".join(letters_of), encoding="utf-8")
        try:
            data = read_data(file)
        except InputError:
            continue
        assert len(data.observations) > 0 or len(data.doses) > 0


def test_rows_marked_c_are_left_out_as_nonmem_does(tmp_path):
    """NM-TRAN's IGNORE=C: a first column C whose cell is C; the other rows keep their numbers."""
    file = tmp_path / "data.csv"
    file.write_text("C,ID,TIME,DV\n.,1,0,2\nC,1,0,99\n.,1,1,3\n")
    data = read_data(file)
    assert data.observations.value.tolist() == [2, 3]
    assert data.observations.row.tolist() == [1, 3]
    assert any("1 rows are marked C" in note for note in data.notes)
    assert "C" not in data.covariates


def test_a_column_c_that_marks_nothing_stays(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("C,ID,TIME,DV\n1,1,0,2\n0,1,1,3\n")
    assert "C" in read_data(file).covariates


def test_a_table_of_comments_is_no_table(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("# nothing\n# here\n")
    with pytest.raises(InputError, match=r"no rows|heading|no column"):
        read_data(file)
