"""What an SDK program of these tests needs to play its part: it is imported inside the program's process.

A program tells the test facts (`say`), leaves traces of side effects that outlive it (`effect`), and waits for
the test at named gates (`gate`). Standard library only: it runs in every virtual environment under test.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

MODEL = os.environ.get("STAGE_MODEL", "openai/gpt-4o-mini")
EXECUTION = os.environ.get("STAGE_EXECUTION", "")
VENV = os.environ["STAGE_VENV"]
NAME = os.environ["STAGE_NAME"]  # no other test has it
ROOM = Path(os.environ["STAGE_ROOM"])


def say(**facts: object) -> None:
    """Prints one JSON line that the test reads."""
    print(json.dumps(facts, default=str), flush=True)


def effect(what: str) -> None:
    """Leaves one line that survives this process, in the order in which effects happened."""
    with open(ROOM / "effects", "a", encoding="utf-8") as file:
        file.write(what + "\n")


def gate(name: str, within: float = 60) -> None:
    """Waits until the test (or another tool) opens the gate; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while not (ROOM / f"gate.{name}").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opened the gate {name}")
        time.sleep(0.02)


def open_gate(name: str) -> None:
    (ROOM / f"gate.{name}").touch()


def persistently(action):
    """Repeats an action that gives up at the first lost connection, until it succeeds."""
    while True:
        try:
            return action()
        except OSError:
            time.sleep(0.5)
