"""The process of one run: Ansible's runner below it, one JSON line for each of its events on standard output.

A process of its own, so that the controller neither blocks nor shares Ansible's memory, and so that all of it can be
ended: when standard input closes, as it does when the controller is killed, everything with the mark of the run ends.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import ansible_runner
import psutil

MARK = "DCP_INITIALISE_RUN"
WORDS = 2000
TOLD = frozenset({"runner_on_start", "runner_on_ok", "runner_on_failed", "runner_on_unreachable", "runner_retry"})


def main() -> None:
    folder = Path(sys.argv[1])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    told = json.loads((folder / "run.json").read_text())
    ansible_runner.run(
        private_data_dir=str(folder),
        playbook=str(folder / "playbook.json"),
        inventory=str(folder / "hosts.json"),
        extravars=told["variables"],
        envvars=told["environment"],
        forks=told["forks"],
        skip_tags=",".join(told["skipped_tags"]),
        quiet=True,
        event_handler=_tell,
    )
    _end_marked()


def _tell(event: dict[str, Any]) -> bool:
    """Print what concerns one host; Ansible's own record of the event is not kept."""
    about = event.get("event_data", {})
    kind = event.get("event")
    if kind in TOLD and "host" in about:
        result = about.get("res", {})
        line = {
            "kind": kind,
            "host": about["host"],
            "role": about.get("role", ""),
            "task": about.get("task", ""),
            "changed": bool(result.get("changed")),
            "ignored": bool(about.get("ignore_errors")),
            "words": _words(result),
            "text": event.get("stdout", ""),
        }
        print(json.dumps(line), flush=True)
    elif kind in ("error", "verbose", "deprecated") and event.get("stdout"):
        print(json.dumps({"kind": "said", "text": event["stdout"]}), flush=True)
    return False


def _words(result: dict[str, Any]) -> str:
    """Return the end of what the task said; that its command failed says nothing."""
    for key in ("msg", "stderr", "stdout"):
        text = str(result.get(key) or "").strip()
        if text and text != "non-zero return code":
            return text[-WORDS:]
    return str(result.get("msg") or "")


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    _end_marked()
    os._exit(1)


def _end_marked() -> None:
    """End every process with our mark: Ansible's workers and SSH's masters have sessions of their own."""
    mark = os.environ.get(MARK)
    for _ in range(3):
        for process in psutil.process_iter():
            if process.pid == os.getpid():
                continue
            try:
                if mark and process.environ().get(MARK) == mark:
                    process.send_signal(signal.SIGKILL)
            except psutil.Error:
                continue


if __name__ == "__main__":
    main()
