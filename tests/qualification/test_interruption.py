"""Qualification in worker processes ends with the command that started it, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROCESSES = Path("/proc")
COMMAND = [sys.executable, "-m", "livingdrug.cli", "qualify", "--workers", "2"]


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Spawned Python processes of the command's session, by Linux's table of processes."""
    found = []
    for folder in PROCESSES.glob("[0-9]*"):
        try:
            session = int((folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[3])
            if session == process.pid and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (OSError, IndexError):
            continue  # it has just ended
    return found


@pytest.mark.skipif(not (PROCESSES / "self").is_dir(), reason="reads Linux's table of processes")
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_no_worker_outlives_the_command(how):
    process = subprocess.Popen(
        COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    until = time.monotonic() + 60
    while len(workers_of(process)) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert len(workers_of(process)) == 2
    process.send_signal(getattr(signal, how))
    said = process.communicate(timeout=20)[1]
    until = time.monotonic() + 10
    while workers_of(process) and time.monotonic() < until:
        time.sleep(0.1)
    assert workers_of(process) == []
    if how == "SIGINT":
        assert process.returncode == 130
        assert said.decode().strip() == "Interrupted."
