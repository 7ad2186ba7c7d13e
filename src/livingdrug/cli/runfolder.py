"""The folder of a run: report, tables, configuration and log, each written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livingdrug.errors import InputError, LivingDrugError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RunLog", "default_folder", "read", "save", "save_twin"]

NOTICE = "Not for clinical use."


def default_folder(trial: str, patients: int, seed: int, volumes: Path | None) -> Path:
    """Return where a run lies unless it is said otherwise; the same command gives the same folder.

    Example:
        >>> default_folder("eliana", 500, 1, None).as_posix()
        'runs/eliana-500-seed1'
    """
    name = f"{trial}-{patients}-seed{seed}"
    if volumes is not None:
        name += "-" + re.sub(r"[^A-Za-z0-9_-]+", "_", volumes.stem)[:40]
    return Path("runs") / name


def save(outcome: Any, folder: Path) -> dict[str, str]:
    """Write what an outcome leaves behind; return the SHA-256 of each file by its name.

    Raises:
        LivingDrugError: a file cannot be written.
    """
    from livingdrug.reports import report
    from livingdrug.sources import source_keys, to_bibtex
    from livingdrug.storage import write_atomically

    contents = {
        "patients.parquet": _parquet(outcome.to_frame(), dict(outcome.patients.units)),
        "endpoints.parquet": _parquet(outcome.endpoints, {}),
        "configuration.json": json.dumps(outcome.configuration, indent=2, ensure_ascii=False).encode(),
        "citation.bib": to_bibtex([key for key in outcome.sources if key in source_keys()]).encode(),
        "report.html": report(outcome).html.encode(),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def save_twin(outcome: Any, folder: Path) -> dict[str, str]:
    """Write report and tables of a trial of the twin beside its patients; return the SHA-256 of each file by its name.

    Raises:
        LivingDrugError: a file cannot be written.
    """
    from livingdrug.reports import report
    from livingdrug.sources import source_keys, to_bibtex
    from livingdrug.storage import write_atomically

    keys = {number.source for _, number in outcome.trial.stated()} | set(outcome.trial.sources)
    contents = {
        "endpoints.parquet": _parquet(outcome.endpoints, {}),
        "configuration.json": json.dumps(outcome.configuration, indent=2, ensure_ascii=False).encode(),
        "citation.bib": to_bibtex(sorted(keys & set(source_keys()))).encode(),
        "report.html": report(outcome).html.encode(),
    }
    if len(outcome.targets):
        contents["targets.parquet"] = _parquet(outcome.targets, {})
    for name, content in contents.items():
        write_atomically(folder / name, content)
    with (folder / "patients.parquet").open("rb") as patients:  # however large
        found = {"patients.parquet": hashlib.file_digest(patients, "sha256").hexdigest()}
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()} | found


def read(folder: Path) -> Any:
    """Return the outcome of a finished run, from the blocks of patients that lie in its folder.

    Raises:
        InputError: the folder holds no run, an unfinished one, or one of another version.
    """
    from livingdrug.declared import declare
    from livingdrug.trials import Trial

    path = folder / "configuration.json"
    if not path.is_file():
        found = "an unfinished run; give its command again to finish it" if (folder / "blocks").is_dir() else "no run"
        raise InputError(f"{str(folder)!r} holds {found}; expected a folder that `livingdrug trial` wrote")
    try:
        configuration = json.loads(path.read_text(encoding="utf-8"))
        trial, patients, seed = (configuration[key] for key in ("trial", "patients", "seed"))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(path)!r} is not the configuration of a run: {error}") from error
    if configuration.get("model") == "twin":
        return _read_twin(folder, configuration)
    return declare(Trial, trial, str(path)).run(patients, seed, folder)


def _read_twin(folder: Path, configuration: Mapping[str, Any]) -> Any:
    """Return the outcome of a trial of the twin from its tables; nothing is computed again."""
    import pandas as pd
    import pyarrow as pa

    from livingdrug.declared import declare
    from livingdrug.trials.outcomes import Outcomes
    from livingdrug.trials.protocol import Protocol
    from livingdrug.trials.twin import TwinOutcome

    trial = declare(Protocol, configuration["trial"], str(folder / "configuration.json"))
    outcomes = Outcomes.read(folder / "patients.parquet")
    try:
        endpoints, path = pd.read_parquet(folder / "endpoints.parquet"), folder / "targets.parquet"
        targets = pd.read_parquet(path) if path.exists() else pd.DataFrame()
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{str(folder)!r}: a table is damaged ({error!s:.100}); run the trial again") from error
    return TwinOutcome(trial, int(configuration["seed"]), outcomes, endpoints, targets, configuration)


def _parquet(frame: pd.DataFrame, units: Mapping[str, str]) -> bytes:
    """Return a table as Parquet, with the units of its columns in the metadata."""
    buffer = io.BytesIO()
    frame = frame.copy()
    frame.attrs = {"units": dict(units), "notice": NOTICE}
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


class RunLog:
    """The log of a run: what was asked, with which versions, and what came out; it names no patient."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(folder, error) from error

    def begin(self, trial: Any, patients: int, seed: int, volumes: Path | None) -> None:
        """Write what was asked and what computes it."""
        from livingdrug.reports.methods import versions

        self.write(
            f"trial {trial.name}, {patients} patients, seed {seed}, model {getattr(trial, 'model', 'twin')}. {NOTICE}"
        )
        if volumes is not None:
            self.write(f"baseline volumes from a file named {volumes.name}")
        self.write("versions: " + ", ".join(f"{name} {found}" for name, found in versions().items()))

    def end(self, hashes: Mapping[str, str], seconds: float) -> None:
        """Write the hashes of the files and the time it took."""
        for name, found in hashes.items():
            self.write(f"sha256 {found} {name}")
        self.write(f"finished after {seconds:.1f} s")

    def write(self, text: str) -> None:
        """Add a line with the time; control characters of a hostile name cannot forge another line."""
        plain = "".join(letter if letter.isprintable() else "?" for letter in text)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {plain}\n")
        except OSError as error:
            raise _unusable(self.path.parent, error) from error


def _unusable(folder: Path, error: OSError) -> LivingDrugError:
    return InputError(f"cannot write into {str(folder)!r}: {error.strerror or error}; choose another folder with --out")
