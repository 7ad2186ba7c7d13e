"""Make the drug: one process for a cohort, or several processes side by side."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, print_table, progress_bar, say, waiting
from livingdrug.errors import InputError, unknown_name

__all__ = ["make"]

PATIENTS = 1_000
MOST_ROWS_AS_TEXT = 20_000
MOST_RECORDS = 1_000
RECORDS = "patient-*.jsonl*"
TABLES = ("batches.parquet", "batches.csv", "events.csv", "process.json", "processes.csv")
NOTICE = "Not for clinical use."


def make(
    processes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROCESS|PLAN.toml]...",
            help="standard, two_day, next_day, point_of_care, donor_bank, or a TOML file. [default: standard]",
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Set several processes side by side. [default: all five]")
    ] = False,
    patients: Annotated[
        str,
        typer.Option("--patients", "-n", metavar="N|FILE", help="How many patients, or a cohort as CSV file."),
    ] = str(PATIENTS),
    seed: Annotated[int, typer.Option("--seed", min=0, help="The number from which all chance follows.")] = 1,
    batch: Annotated[
        int | None, typer.Option("--batch", min=0, metavar="PATIENT", help="Whose batch is shown in detail.")
    ] = None,
    collected: Annotated[
        str | None, typer.Option("--collected", metavar="DATE", help="Date of day 0, for the list of events.")
    ] = None,
    records: Annotated[
        bool, typer.Option("--records", help="Also write the batch record of each infused patient.")
    ] = False,
    key: Annotated[
        Path | None, typer.Option("--key", help="Private key that signs the records. [default: a new one]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where the report and the tables go.")
    ] = None,
    on_bad_row: Annotated[
        str, typer.Option("--on-bad-row", metavar="raise|mark", help="Refuse impossible values, or set rows aside.")
    ] = "raise",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use. [default: all]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Make the drug, from collection to infusion.

    For a cohort and one process, or several processes side by side (--compare). The folder gets report.html and the
    batches as a table. The same seed gives the same batches for any number of threads.
    """
    chosen = _processes(processes or [], compare)
    if on_bad_row not in ("raise", "mark"):
        raise InputError(unknown_name("way with bad rows (--on-bad-row)", on_bad_row, ("raise", "mark")))
    if compare and (records or batch is not None or key is not None or collected is not None):
        raise InputError("--records, --key, --batch and --collected belong to one process; leave them out of --compare")
    if key is not None and not records:
        raise InputError("--key signs batch records; add --records")
    if records and chosen[0].donors:
        raise InputError(f"{chosen[0].name}: records of lots from donors are not simulated; leave --records out")
    folder = out or _folder(chosen, patients, seed)
    if (folder / "report.html").exists() and not force:
        raise InputError(
            f"{folder} already holds report.html; --force writes over it, or choose another folder with -o"
        )
    if collected is not None:
        _check_date(collected)
    _check_records(folder, records, force)
    made = [_run(one, patients, seed, on_bad_row, threads, as_json) for one in chosen]
    if force:
        _clear(folder)
    if compare:
        _compare(made, folder, as_json)
        return
    _one(made[0], folder, batch, collected, (records, key), as_json)


def _check_date(text: str) -> None:
    """Refuse a date that is none before anything is computed or written."""
    from livingdrug.therapy.timeline import check_date

    check_date(text)


def _check_records(folder: Path, records: bool, force: bool) -> None:
    """Refuse records of an earlier run, also of one that was ended before its report was written."""
    there = next((folder / "records").glob(RECORDS), None)
    if records and there is not None and not force:
        raise InputError(f"{there} exists; --force writes the records anew, or choose another folder with -o")


def _clear(folder: Path) -> None:
    """Remove what an earlier run left in the folder, so that no table of it stands beside the new ones."""
    old = [folder / "report.html", *(folder / name for name in TABLES)]
    old += [*folder.glob("batches-*.parquet"), *(folder / "records").glob(RECORDS)]
    for path in old:
        path.unlink(missing_ok=True)


def _processes(names: list[str], compare: bool) -> list[Any]:
    from livingdrug.therapy.processes import process, process_names, read_process

    wanted = names or (list(process_names()) if compare else ["standard"])
    if not compare and len(wanted) > 1:
        raise InputError(f"several processes ({', '.join(wanted)}) are set side by side with --compare")
    found = [read_process(name) if name.endswith(".toml") or "/" in name else process(name) for name in wanted]
    for one in found:
        if sum(other.name == one.name for other in found) > 1:
            raise InputError(f"the process {one.name!r} stands there twice; give each a name of its own")
    return found


def _folder(chosen: list[Any], patients: str, seed: int) -> Path:
    """Return where a run lies unless it is said otherwise; the same command gives the same folder."""
    names = "-".join(one.name for one in chosen) if len(chosen) < 5 else "compare"
    cohort = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(patients).stem)[:40]
    return Path("runs") / f"make-{names}-{cohort}-seed{seed}"


def _run(process: Any, patients: str, seed: int, on_bad_row: Any, threads: int | None, quiet: bool) -> Any:
    from livingdrug.population.cohort_file import read_cohort

    cohort, left = None, None
    if re.fullmatch(r"[0-9]{1,18}", patients):
        total = int(patients)
    elif Path(patients).suffix or Path(patients).exists():
        cohort, left = read_cohort(patients, on_bad_row)
        total = len(cohort)
    else:
        raise InputError(f"--patients {patients!r} is neither a whole number nor a file that exists")
    with progress_bar(process.name, total, of="batches", quiet=quiet) as progress:
        asked = total if cohort is None else cohort
        return process.run(asked, seed=seed, left=left, on_bad_row=on_bad_row, threads=threads, progress=progress)


def _one(
    made: Any, folder: Path, batch: int | None, collected: str | None, records: tuple[bool, Path | None], quiet: bool
) -> None:
    from livingdrug.reports.making import making_cards, making_page
    from livingdrug.therapy.watched import watch

    shown = _shown(made, batch)
    seen = watch(made, shown) if shown is not None else None
    with waiting("Writing the report ...", quiet=quiet):
        if records[0]:
            _records(made, folder / "records", records[1], collected)
        _save(made, folder, collected)
        making_page(made, seen, batch).save(folder / "report.html")
    if quiet:
        print_json(_summary(made, folder))
        return
    for card in making_cards(made):
        say(f"  {card.value:>10}  {card.label} ({card.detail})")
    say("")
    rows = [(stage, why, some, f"{some / len(made):.2%}") for stage, why, some in made.funnel()]
    if rows:
        print_table("", ("Left at", "Reason", "Patients", "Of all"), rows, (2, 3))
    _end(folder)


def _shown(made: Any, batch: int | None) -> int | None:
    """Return the patient whose growth is shown: the one asked for, else the first who has a culture."""
    import numpy as np

    if batch is not None:
        return batch
    if "viability" not in made.patients:
        return None
    grew = ~np.isnan(made.patients["viability"])
    if "engineered_t_cells" in made.patients:
        grew &= made.patients["engineered_t_cells"] > 0
    grown = made.patients.ids[grew]
    return int(grown[0]) if grown.size else None


def _save(made: Any, folder: Path, collected: str | None) -> None:
    """Write the batches, the events and the plan, each file whole or not at all."""
    from livingdrug.storage import write_atomically

    frame = made.to_frame()
    frame.attrs = {"units": dict(made.patients.units), "notice": NOTICE}
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    write_atomically(folder / "batches.parquet", content.getvalue())
    if len(made) <= MOST_ROWS_AS_TEXT:
        write_atomically(folder / "batches.csv", frame.to_csv(index=False))
        write_atomically(folder / "events.csv", made.events(collected).to_csv(index=False))
    plan = {"process": made.process.model_dump(mode="json"), "seed": made.seed, "patients": len(made), "notice": NOTICE}
    write_atomically(folder / "process.json", json.dumps(plan, indent=2, ensure_ascii=False) + "\n")


def _records(made: Any, folder: Path, key: Path | None, collected: str | None) -> None:
    """Write one signed record per infused patient."""
    from livingdrug.therapy.record_lines import new_key
    from livingdrug.therapy.release import Dose
    from livingdrug.therapy.simulated_record import ORIGIN, record_simulated

    people = made.infused
    if len(people) > MOST_RECORDS:
        raise InputError(f"--records writes at most {MOST_RECORDS} records, but {len(people)} patients are infused")
    folder.mkdir(parents=True, exist_ok=True)
    if key is None:
        key = folder / "simulated.pem"
        if not key.exists():
            new_key(key)
    dose, plan = Dose(people, made.attrition), made.process.release
    start = f"{collected}T08:00:00Z" if collected else ORIGIN
    for patient in people.ids.tolist():
        path = folder / f"patient-{patient}.jsonl"
        record_simulated(path, dose, patient, key, plan=plan, seed=made.seed, collected=start)


def _compare(made: list[Any], folder: Path, quiet: bool) -> None:
    from livingdrug.reports.making import comparison_page, shortening
    from livingdrug.storage import write_atomically
    from livingdrug.therapy.processes import compare

    found = compare(made)
    with waiting("Writing the report ...", quiet=quiet):
        for batches in made:
            content = io.BytesIO()
            batches.to_frame().to_parquet(content, index=False)
            write_atomically(folder / f"batches-{batches.process.name}.parquet", content.getvalue())
        write_atomically(folder / "processes.csv", found.to_csv(index=False))
        comparison_page(made).save(folder / "report.html")
    if quiet:
        parts = {one.process.name: one.segments().to_dict("records") for one in made}
        about = {"folder": folder, "seed": made[0].seed, "processes": found.to_dict("records"), "segments": parts}
        print_json({**about, "words": shortening(made), "notice": NOTICE})
        return
    rows = [
        (r["process"], f"{r['vein_to_vein_median']:.1f}", f"{r['culture_days']:.1f}", f"{r['not_culture_days']:.1f}",
         f"{r['infused_share']:.1%}", f"{r['no_product_share']:.1%}", f"{r['lost_waiting_share']:.1%}")
        for r in found.to_dict("records")
    ]  # fmt: skip
    heads = ("Process", "Vein to vein, days", "Culture", "All else", "Infused", "No product", "Lost waiting")
    print_table("", heads, rows, range(1, 7))
    for line in shortening(made):
        say(f"\n{line}")
    _end(folder)


def _summary(made: Any, folder: Path) -> dict[str, Any]:
    from livingdrug.reports.making import making_cards

    return {
        "folder": folder,
        "report": folder / "report.html",
        "process": made.process.name,
        "patients": len(made),
        "seed": made.seed,
        "infused": len(made) - len(made.attrition),
        "left": [{"stage": stage, "reason": why, "patients": some} for stage, why, some in made.funnel()],
        "segments": made.segments().to_dict("records"),
        "results": [{"value": card.value, "label": card.label, "detail": card.detail} for card in making_cards(made)],
        "notice": NOTICE,
    }


def _end(folder: Path) -> None:
    say(f"\nReport: {folder / 'report.html'}")
    say(NOTICE, style="dim")
