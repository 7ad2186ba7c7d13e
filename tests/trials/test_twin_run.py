"""Running a whole trial: blocks in a folder, on several workers, interrupted and continued."""

import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from livingdrug.errors import InputError
from livingdrug.trials.catalogue import all_trials, find_trial
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.twin import arm_ids, run_twin

ELIANA = Protocol.builtin("eliana")
ZUMA_7 = Protocol.builtin("zuma-7")
SHORT = {"days": 100, "replicates": 50, "threads": 1}


@pytest.fixture(scope="module")
def whole():
    return run_twin(ZUMA_7, 40, seed=5, **SHORT)


def test_a_run_is_the_same_with_a_folder_and_in_other_blocks(whole, tmp_path):
    seen = []
    found = run_twin(ZUMA_7, 40, seed=5, folder=tmp_path, block=9, progress=lambda a, b: seen.append((a, b)), **SHORT)
    pd.testing.assert_frame_equal(found.outcomes.to_frame(), whole.outcomes.to_frame())
    pd.testing.assert_frame_equal(found.endpoints, whole.endpoints)
    assert seen[-1] == (40, 40)
    table = pd.read_parquet(tmp_path / "patients.parquet")
    assert table["patient"].tolist() == whole.outcomes.ids.tolist()
    assert "size" in whole.endpoints


def test_an_interrupted_run_continues(whole, tmp_path, monkeypatch):
    run_twin(ZUMA_7, 40, seed=5, folder=tmp_path, block=9, **SHORT)
    blocks = sorted((tmp_path / "blocks").glob("patients-*"))
    blocks[1].unlink()
    asked = []
    from livingdrug.trials import twin

    real = twin.simulate_arm
    monkeypatch.setattr(twin, "simulate_arm", lambda *a, **k: asked.append(len(a[2])) or real(*a, **k))
    again = run_twin(ZUMA_7, 40, seed=5, folder=tmp_path, block=9, **SHORT)
    assert asked == [9]
    pd.testing.assert_frame_equal(again.outcomes.to_frame(), whole.outcomes.to_frame())


def test_workers_do_not_matter(whole, tmp_path):
    found = run_twin(ZUMA_7, 40, seed=5, folder=tmp_path, block=20, workers=2, **SHORT)
    pd.testing.assert_frame_equal(found.outcomes.to_frame(), whole.outcomes.to_frame())


@pytest.mark.parametrize("change", [{"seed": 6}, {"settings": {"expansion": 2.0}}, {"block": 8}])
def test_a_folder_belongs_to_one_run(tmp_path, change):
    first = {"seed": 5, "block": 9, "folder": tmp_path, **SHORT}
    run_twin(ELIANA, 9, **first)
    with pytest.raises(InputError, match="another run"):
        run_twin(ELIANA, 9, **{**first, **change})


def test_with_a_folder_columns_are_read_when_asked_for_and_few_are_kept(whole, tmp_path, monkeypatch):
    from livingdrug.trials import columns

    found = run_twin(ZUMA_7, 40, seed=5, folder=tmp_path, block=9, **SHORT).outcomes
    assert isinstance(found.columns, columns.StoredColumns)
    assert found.units == whole.outcomes.units
    monkeypatch.setattr(columns, "KEPT", 4 * 40 * 8)
    for name in found:
        mine, theirs = found[name], whole.outcomes[name]
        same = mine.tolist() == theirs.tolist() if mine.dtype.kind == "U" else mine.tobytes() == theirs.tobytes()
        assert same, name
        kept = found.columns._kept
        assert len(kept) == 1 or sum(each.nbytes for each in kept.values()) <= columns.KEPT
    some = found.take(found["arm"] == "axi-cel").take([3, 1])
    assert some.ids.tolist() == found.ids[[3, 1]].tolist()
    assert some["burden"].tolist() == whole.outcomes["burden"][[3, 1]].tolist()
    with pytest.raises(InputError, match="did you mean 'burden'"):
        found["burdn"]
    with pytest.raises(IndexError):
        found.take([True, False])


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.9])
def test_a_damaged_table_of_patients_is_told_and_the_same_command_mends_it(tmp_path, part):
    first = run_twin(ELIANA, 9, folder=tmp_path, **SHORT)
    path = tmp_path / "patients.parquet"
    good = path.read_bytes()
    at = int(part * len(good))
    path.write_bytes(good[:at] + bytes(255 - byte for byte in good[at : at + 40]) + good[at + 40 :])
    with pytest.raises(InputError, match=r"patients\.parquet: the file is damaged"):
        Outcomes.read(path).to_frame()
    again = run_twin(ELIANA, 9, folder=tmp_path, **SHORT)
    assert path.read_bytes() == good
    pd.testing.assert_frame_equal(again.outcomes.to_frame(), first.outcomes.to_frame())
    fresh = Outcomes.read(path)
    path.unlink()
    with pytest.raises(InputError, match="the file has gone"):
        fresh["cmax"]


def test_a_killed_run_leaves_the_same_files_when_it_is_given_again(whole, tmp_path):
    code = (
        "from livingdrug.trials.twin import run_twin; from livingdrug.trials.protocol import Protocol;"
        f"run_twin(Protocol.builtin('zuma-7'), 40, seed=5, folder={str(tmp_path / 'killed')!r}, block=9, days=100,"
        "replicates=50, threads=1)"
    )
    blocks = tmp_path / "killed" / "blocks"
    with subprocess.Popen([sys.executable, "-c", code]) as other:
        while not list(blocks.glob("patients-*")) and other.poll() is None:
            time.sleep(0.01)
        other.kill()
    assert other.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "patients.parquet").exists()
    for name in ("killed", "whole"):
        run_twin(ZUMA_7, 40, seed=5, folder=tmp_path / name, block=9, **SHORT)
    for path in (tmp_path / "whole").rglob("*.parquet"):
        assert (tmp_path / "killed" / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes()


def test_a_damaged_block_is_named(tmp_path):
    run_twin(ELIANA, 9, folder=tmp_path, **SHORT)
    next((tmp_path / "blocks").glob("patients-*")).write_bytes(b"not a table")
    with pytest.raises(InputError, match="the file is damaged"):
        run_twin(ELIANA, 9, folder=tmp_path, **SHORT)


@pytest.mark.parametrize(("name", "number"), [("patients", 0), ("patients", 2.5), ("block", -1)])
def test_numbers_that_cannot_be(name, number):
    with pytest.raises(InputError, match=f"{name} must be a whole number"):
        run_twin(ELIANA, **{"patients": 5, name: number})


def test_a_calibration_trial_shows_its_targets():
    found = run_twin(ELIANA, 40, **SHORT)
    assert len(found.targets) == 40  # 34 numbers, and the variation of 6
    assert {"reported", "simulated", "inside"} <= set(found.targets)
    known = found.targets.dropna(subset=["low", "high"])
    inside = (known["low"] <= known["reported"]) & (known["reported"] <= known["high"])
    assert np.array_equal(known["inside"], inside)
    assert found.failed == 0


def test_arms_have_patients_of_their_own():
    ids = arm_ids(ZUMA_7, 359)
    assert [each.size for each in ids.values()] == [180, 179]
    assert np.intersect1d(*ids.values()).size == 0


def test_trials_by_name(tmp_path):
    assert {"eliana", "kimmel-zuma-1", "zuma-1"} <= set(all_trials())
    assert isinstance(find_trial("zuma-1"), Protocol)
    assert not isinstance(find_trial("kimmel-zuma-1"), Protocol)
    with pytest.raises(InputError, match="did you mean 'kimmel-zuma-1'"):
        find_trial("kimmel-zuma1")
    (tmp_path / "x.toml").write_text("[population]\n")
    with pytest.raises(InputError, match="name: this key is missing"):
        find_trial(str(tmp_path / "x.toml"))
