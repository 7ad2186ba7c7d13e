"""The command that computes every published number again."""

import xml.etree.ElementTree as ET

import pytest

from livingdrug.errors import InputError
from livingdrug.qualification import qualify, run
from livingdrug.qualification.papers import stein2019
from livingdrug.qualification.target import Target, printed


@pytest.fixture
def one_failure(monkeypatch):
    wrong = Target("doubling time", "day", "stein2019: abstract", printed("0.99"))
    targets = tuple(wrong if t.quantity == wrong.quantity else t for t in stein2019.TARGETS)
    monkeypatch.setattr(stein2019, "TARGETS", targets)


def test_it_prints_a_table_and_writes_three_files(command, tmp_path):
    answer = command("qualify", "stein2019", "--workers", 1, "--out", tmp_path)
    assert answer.code == 0
    assert "stein2019" in answer.out
    assert "Not for clinical use" in answer.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["validation.html", "validation.json", "validation.xml"]
    page = (tmp_path / "validation.html").read_text(encoding="utf-8")
    for word in ("Context of use", "Model influence", "Decision consequence", "Applicability", "doubling time", "0.78"):
        assert word in page
    suite = ET.parse(tmp_path / "validation.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("name"), suite.get("failures")) == ("stein2019", "0")
    assert int(suite.get("tests")) == len(suite.findall("testcase")) == 1 + len(stein2019.TARGETS)


def test_nothing_is_written_over_without_force(command, tmp_path):
    (tmp_path / "validation.json").write_text("mine")
    answer = command("qualify", "stein2019", "--out", tmp_path)
    assert answer.code == 2
    assert "--force" in answer.err
    assert (tmp_path / "validation.json").read_text(encoding="utf-8") == "mine"
    assert command("qualify", "stein2019", "--workers", 1, "--out", tmp_path, "--force").code == 0
    assert (tmp_path / "validation.json").read_text(encoding="utf-8") != "mine"


def test_a_file_is_no_folder(command, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("mine")
    answer = command("qualify", "stein2019", "--out", path, "--force")
    assert answer.code == 2
    assert "is a file" in answer.err
    assert path.read_text(encoding="utf-8") == "mine"


def test_a_failure_is_told_and_the_exit_code_is_one(command, tmp_path, one_failure):
    answer = command("qualify", "stein2019", "--workers", 1, "--out", tmp_path)
    assert answer.code == 1
    assert "doubling time: ours 0.7796, expected 0.99 within 0.005 day" in " ".join(answer.out.split())
    suite = ET.parse(tmp_path / "validation.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.get("failures") == "1"
    assert len(suite.findall("testcase/failure")) == 1


def test_json_for_programs(command):
    data = command("qualify", "stein2019", "--workers", 1, "--json").json
    assert data["counts"]["FAIL"] == 0
    rows = data["models"]["stein2019"]["results"]
    assert {"quantity", "unit", "paper", "recomputed", "ours", "deviation", "status", "source", "note"} == set(rows[0])
    assert rows[1]["paper"]["value"] == 0.78


def test_any_number_of_workers_gives_the_same(shared_data):
    one = qualify(["stein2019", "kimmel2021"], workers=1)
    two = qualify(["stein2019", "kimmel2021"], workers=2)
    assert one.table.to_csv() == two.table.to_csv()


def test_wrong_input(command, tmp_path):
    assert "did you mean 'stein2019'" in command("qualify", "stein2018").err
    answer = command("qualify", "stein2019", "--data", tmp_path / "nowhere")
    assert answer.code == 2
    assert "nowhere" in answer.err
    with pytest.raises(InputError, match="at least 1"):
        qualify(["stein2019"], workers=0)


def test_targets_whose_data_are_not_there_are_marked(tmp_path):
    found = {r.target.quantity: r.status for r in run.qualify_model("kirouac2023", tmp_path)}
    unseen = [name for name, status in found.items() if status == "NEEDS DATA"]
    assert len(unseen) == 2
    assert all("stored runs" in name for name in unseen)
    assert "FAIL" not in found.values()
