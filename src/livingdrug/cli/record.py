"""Verify a batch record, or export it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from livingdrug.cli.terminal import print_json, say
from livingdrug.errors import InputError, unknown_name

__all__ = ["record"]

ACTIONS = ("verify", "export", "new-key")
FORMATS = ("fhir",)


def record(
    action: Annotated[str, typer.Argument(help="verify, export or new-key.")],
    file: Annotated[Path, typer.Argument(help="The record; for new-key the file of the new private key.")],
    key: Annotated[
        Path | None, typer.Option("--key", help="The plant's public key (ends in .pub), from a place you trust.")
    ] = None,
    kept_head: Annotated[
        Path | None, typer.Option("--kept-head", help="verify: an earlier FILE.head that was kept elsewhere.")
    ] = None,
    to: Annotated[str, typer.Option("--to", help="export: the format, fhir.")] = "fhir",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="export: the file to write; otherwise printed.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="export: write over a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Verify a batch record, or export it.

    verify finds any change, removal, reordering or cut and says at which line; then it lists what is open in the
    record. export writes FHIR R5. new-key makes a key pair. Exit code 1 if the record is not as it was written.
    """
    if action not in ACTIONS:
        raise InputError(unknown_name("action of record", action, ACTIONS))
    if action == "new-key":
        _new_key(file, as_json)
    elif key is None:
        raise InputError(f"record {action} needs the plant's public key: --key FILE.pub, from a place you trust")
    elif action == "verify":
        _verify(file, key, kept_head, as_json)
    else:
        if out is not None and out.exists() and (not force or (file.exists() and out.samefile(file))):
            raise InputError(_is_there(out, file))
        _export(file, key, to, out, as_json)


def _new_key(file: Path, as_json: bool) -> None:
    from livingdrug.therapy.record_lines import new_key

    public = new_key(file)
    if as_json:
        print_json({"private": str(file), "public": f"{file}.pub", "key": public})
    else:
        say(f"private key: {file} (keep it secret)\npublic key:  {file}.pub (give it to whoever verifies)")


def _verify(file: Path, key: Path, kept_head: Path | None, as_json: bool) -> None:
    from livingdrug.therapy.record_lines import read_public_key
    from livingdrug.therapy.record_reading import read_record, verify
    from livingdrug.therapy.record_review import review

    public = read_public_key(key)
    found = verify(file, public, kept_head=kept_head)
    points = review(read_record(file, public)) if found.whole else ()
    if as_json:
        wrong = [{"line": f.line, "what": f.what} for f in found.findings]
        print_json({"file": file, "whole": found.whole, "lines": found.lines, "findings": wrong,
                    "open": [point._asdict() for point in points]})  # fmt: skip
    else:
        _tell(file, found, points)
    if not found.whole:
        raise typer.Exit(1)


def _tell(file: Path, found: Any, points: Any) -> None:
    if found.whole:
        say(f"{file}: {found.lines} lines, as they were written")
    for finding in found.findings:
        say(f"{file}: {finding}")
    for point in points:
        say(f"open: {f'line {point.line}: ' if point.line else ''}{point.what}")


def _is_there(out: Path, file: Path) -> str:
    if file.exists() and out.samefile(file):
        return f"--out {out} is the record itself; choose another file"
    return f"{out} exists; --force writes over it, or choose another file with -o"


def _export(file: Path, key: Path, to: str, out: Path | None, as_json: bool) -> None:
    from livingdrug.storage import write_atomically
    from livingdrug.therapy.fhir import to_fhir
    from livingdrug.therapy.record_lines import read_public_key
    from livingdrug.therapy.record_reading import read_record

    if to not in FORMATS:
        raise InputError(unknown_name("format of the export", to, FORMATS))
    bundle = to_fhir(read_record(file, read_public_key(key)))
    text = json.dumps(bundle, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    write_atomically(out, text)
    if as_json:
        print_json({"file": out, "resources": len(bundle["entry"])})
    else:
        say(f"{out}: {len(bundle['entry'])} FHIR R5 resources. Not for clinical use.")
