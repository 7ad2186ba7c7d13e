"""Frozen forecasts: written once, read back, refused after any change; hostile files."""

import math

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.trials.forecast import (
    COLUMNS,
    QUANTILES,
    Forecast,
    forecast_row,
    forecast_table,
    read_forecast,
)

WHERE = {"trial": "A", "population": "infused", "endpoint": "CR"}


def share(**more):
    return forecast_row(np.linspace(20, 60, 401), size=40, statistic="proportion", unit="%", **{**WHERE, **more})


@pytest.fixture
def forecast():
    months = forecast_row(
        [1.5, 2.5, math.inf, math.inf],
        size=40,
        statistic="median time",
        unit="months",
        trial="A",
        endpoint="median PFS",
    )
    nothing = forecast_row([math.nan], size=0, statistic="hazard ratio", unit="", trial="A", endpoint="OS")
    facts = {"date": "2026-11-22", "code": "1.2.3", "ensemble": "abc: of\nsix trials"}
    return Forecast(forecast_table([share(), months, nothing]), facts)


def test_what_is_written_is_read(forecast, tmp_path):
    path = forecast.write(tmp_path / "new" / "predictions.csv")
    again = read_forecast(path)
    assert list(again.table.columns) == list(COLUMNS)
    for name in COLUMNS:
        column, wanted = again.table[name].tolist(), forecast.table[name].tolist()
        assert column == (wanted if isinstance(wanted[0], str) else pytest.approx(wanted, rel=1e-5, nan_ok=True))
    assert again.provenance == {"date": "2026-11-22", "code": "1.2.3", "ensemble": "abc: of six trials"}
    assert again.table["q75"].tolist()[1] == math.inf
    assert math.isnan(again.table["mean"].tolist()[1])


def test_a_frozen_file_is_never_written_over(forecast, tmp_path):
    path = forecast.write(tmp_path / "predictions.csv")
    before = path.read_bytes()
    with pytest.raises(InputError, match="never written over"):
        forecast.write(path)
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o222 == 0
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="never written over"):
        forecast.write(tmp_path / "link.csv")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("2026-11-22", "2025-11-22"),  # the date, too
        lambda text: text.replace(",40,", ",41,", 1),
        lambda text: text + text.splitlines()[-1].replace("CR", "PR") + "\n",
        lambda text: text.replace("# code: 1.2.3\n", ""),
        lambda text: text[:-20],
    ],
)
def test_a_changed_file_is_refused(forecast, tmp_path, change):
    text = forecast.write(tmp_path / "predictions.csv").read_text(encoding="utf-8")
    (tmp_path / "changed.csv").write_text(change(text))
    with pytest.raises(InputError, match="changed since"):
        read_forecast(tmp_path / "changed.csv")


def test_line_ends_of_another_system_do_not_matter(forecast, tmp_path):
    text = forecast.write(tmp_path / "predictions.csv").read_text(encoding="utf-8")
    (tmp_path / "windows.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert len(read_forecast(tmp_path / "windows.csv").table) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its hash is missing"),
        (b"trial,endpoint\nA,B\n", "its hash is missing"),
        (b"# sha256 of all but this line: 00\n", "changed since"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"# a: b\n\0\n", "zero bytes"),
    ],
)
def test_files_that_are_no_forecast(tmp_path, content, message):
    (tmp_path / "odd.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_forecast(tmp_path / "odd.csv")


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_forecast(path)
    monkeypatch.setattr("livingdrug.trials.forecast.LARGEST_FILE", 10)
    (tmp_path / "large.csv").write_text("x" * 11)
    with pytest.raises(InputError, match="larger than 10 bytes"):
        read_forecast(tmp_path / "large.csv")


def test_a_right_hash_does_not_make_a_right_table(tmp_path):
    """Whoever makes a file can make its hash; what stands in it is checked all the same."""
    import hashlib

    good = forecast_table([share()]).to_csv(index=False, lineterminator="\n")
    for old, new, message in (
        ("proportion", "guess", "unknown statistic"),
        ("forecaster,", "who,", "columns are missing"),
        (",40,401,", ",-3,401,", "whole number of patients"),
        (",40,401,", ",many,401,", "cannot be read"),
        ("twin,A", "twin," + 400 * "A", "short texts"),
    ):
        body = good.replace(old, new)
        assert body != good
        digest = hashlib.sha256(f"# a: b\n{body}".encode()).hexdigest()
        (tmp_path / "odd.csv").write_text(f"# a: b\n# sha256 of all but this line: {digest}\n{body}")
        with pytest.raises(InputError, match=message):
            read_forecast(tmp_path / "odd.csv")


def test_quantiles_are_draws():
    row = forecast_row([0, 0, 50, 100], size=2, statistic="proportion", unit="%", **WHERE)
    assert [row[q] for q in ("q01", "q50", "q51", "q75", "q76", "q99")] == [0, 0, 50, 50, 100, 100]
    assert (row["mean"], row["draws"]) == (37.5, 4)
    rng = np.random.Generator(np.random.Philox(5))
    row = forecast_row(rng.normal(10, 2, 100_000), size=2, statistic="median", unit="days", **WHERE)
    assert [row["q05"], row["q50"], row["q95"]] == pytest.approx([6.71, 10, 13.29], abs=0.04)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: share(tril="B"), "unknown key of a forecast 'tril'; did you mean 'trial'"),
        (lambda: forecast_row([1], size=1, statistic="proprtion", unit="%"), "did you mean 'proportion'"),
        (lambda: forecast_table([share(), share()]), "two lines cannot be told apart: A"),
        (lambda: forecast_table([share() | {"unit": "x"}]), "unit of a proportion"),
        (lambda: forecast_table([share() | {"q99": 101.0}]), "0 to 100"),
        (lambda: forecast_table([share() | {"q10": 50.0}]), "must rise"),
        (lambda: forecast_table([share() | {"q10": math.nan}]), "must rise and be complete"),
        (lambda: forecast_table([share() | {"N": 1.5}]), "whole number"),
        (lambda: forecast_table([share() | {"trial": "A\nB"}]), "short texts"),
        (lambda: Forecast(forecast_table([share()]), {"a: b": "c"}).write("/nowhere/x"), "provenance"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_an_empty_forecast_can_be_kept(tmp_path):
    path = Forecast(forecast_table([]), {"date": "today"}).write(tmp_path / "empty.csv")
    assert len(read_forecast(path).table) == 0
    assert len(QUANTILES) == 99
