"""The processes of an SDK test: the server under test, SDK programs, and a connection that can be cut."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import IO, Any

import pytest

HERE = Path(__file__).parent
START_WITHIN = 120  # seconds; the very first start of a machine may have to fetch Postgres
SAY_WITHIN = 30
RUN_WITHIN = 75


def poll(look: Callable[[], Any], within: float, otherwise: Callable[[], str]) -> Any:
    """Looks until it sees something true and gives that back; fails with a reason after `within` seconds."""
    deadline = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {otherwise()}")
        time.sleep(0.05)
    return seen


def skip(reason: str) -> None:
    """Skips the test, except where a run must prove everything: there a skip is a failure."""
    if os.environ.get("CI") or os.environ.get("TENURE_TEST_NO_SKIP"):
        pytest.fail(f"no skip allowed here: {reason}")
    pytest.skip(reason)


_claimed: list[IO] = []


def free_port() -> int:
    """A port that nobody listens on and no other test gets: claimed as `src/ports.rs` does."""
    locks = Path(tempfile.gettempdir()) / f"tenure-ports-{os.geteuid()}"
    locks.mkdir(exist_ok=True)
    for port in random.sample(range(10_000, 30_000), 20_000):
        lock = open(locks / str(port), "a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _claimed.append(lock)
        return port
    raise OSError("every port from 10,000 to 29,999 is in use")


def tail(file: Path, lines: int = 40) -> str:
    text = file.read_text(errors="replace") if file.exists() else ""
    return "\n".join(text.splitlines()[-lines:])


def signal_group(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class Server:
    """The server under test: `binary serve` on a data directory of its own, or one that already runs at `url`."""

    def __init__(self, binary: str, environment: Mapping[str, str], port: int = 0, url: str = "") -> None:
        self.port = port or free_port()
        self.root = url or f"http://127.0.0.1:{self.port}"
        self.api = f"{self.root}/api"
        self._binary = binary
        self._environment = {**os.environ, **environment}
        for inherited in ("DATABASE_URL", "TENURE_API_KEY", "AGENTSPAN_API_KEY"):
            self._environment.pop(inherited, None)
        self._ours = not url
        self._process: subprocess.Popen | None = None
        if self._ours:
            # Not below pytest's own directory, which only its owner may enter: Postgres refuses to run as root.
            self._home = Path(tempfile.mkdtemp(prefix="tenure-sdk-"))
            self._home.chmod(0o755)
            self.log = self._home / "server.log"

    def __enter__(self) -> Server:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        if not self._ours or self._process is not None:
            return
        command = [self._binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", self._home / "data"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )
        poll(self._is_ready, START_WITHIN, lambda: f"{self.root} ready. Its log:\n{tail(self.log)}")

    def kill(self) -> None:
        """SIGKILL, as the out-of-memory killer does it: nothing can be saved any more."""
        if not self._ours:
            skip(f"{self.root} is not ours to kill (TENURE_TEST_URL)")
        assert self._process is not None, "the server is already dead"
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def stop(self) -> None:
        """Ends the server in good order, also one that a failed test left dead beside a living Postgres."""
        if not self._ours:
            return
        with contextlib.suppress(AssertionError):
            self.start()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                signal_group(self._process, signal.SIGKILL)
                raise AssertionError(f"the server ignored SIGTERM for 20 s\n{tail(self.log)}") from None
        shutil.rmtree(self._home, ignore_errors=True)

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One plain request to the server: `(status, JSON or text)`."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.root + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                status, text = reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def get(self, path: str) -> Any:
        status, answer = self.request("GET", path)
        assert status == 200, f"GET {path}: {status} {answer}"
        return answer

    def status(self, execution: str) -> str:
        return self.get(f"/api/agent/{execution}/status")["status"]

    def until(self, execution: str, *statuses: str, within: float = 40) -> None:
        """Waits until the execution has one of the statuses."""
        poll(
            lambda: self.status(execution) in statuses,
            within,
            lambda: f"{execution} is {self.status(execution)}, not {' or '.join(statuses)}",
        )

    def until_waiting_for(self, task: str, execution: str, within: float = 40) -> None:
        """Waits until the execution has called a tool that nobody performs yet."""

        def look() -> bool:
            current = self.get(f"/api/agent/executions/{execution}").get("currentTask")
            return current is not None and current["taskType"] == task

        poll(look, within, lambda: f"{execution} waits for {task}")

    def cancel_leftovers(self) -> None:
        """Ends what a failed test left running, so that its tasks don't reach the next test's workers."""
        with contextlib.suppress(AssertionError, OSError):
            for run in self.get("/api/agent/executions?status=RUNNING&size=100")["results"]:
                self.request("DELETE", f"/api/workflow/{run['executionId']}?reason=left+over+by+a+test")

    def _is_ready(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            code, self._process = self._process.returncode, None
            raise AssertionError(f"the server ended with {code} at its start. Its log:\n{tail(self.log)}")
        try:
            return self.request("GET", "/health/ready")[0] == 200
        except OSError:
            return False


class Program:
    """A running client program. It says facts as JSON lines on stdout; everything else is kept for the report."""

    def __init__(self, command: list[str | Path], environment: Mapping[str, str], room: Path, name: str) -> None:
        self.facts: dict[str, Any] = {}
        self.said: list[dict] = []
        self.output: list[str] = []
        self.name = name
        self._log = room / f"{name}.stderr"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=room,
                env={**os.environ, **environment},
                start_new_session=True,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def says(self, key: str, within: float = SAY_WITHIN) -> Any:
        """Waits for a fact."""

        def look() -> bool:
            if key not in self.facts and self._process.poll() is not None:
                self._reader.join(5)
                if key not in self.facts:
                    raise AssertionError(f"{self} ended without saying {key!r}.{self.report()}")
            return key in self.facts

        poll(look, within, lambda: f"{self} says {key!r}.{self.report()}")
        return self.facts[key]

    def prints(self, text: str, within: float = SAY_WITHIN) -> str:
        """Waits for a line that contains the text, for programs that were not written for these tests."""
        return poll(
            lambda: next((line for line in self.output if text in line), ""),
            within,
            lambda: f"{self} prints {text!r}.{self.report()}",
        )

    def finish(self, within: float = RUN_WITHIN) -> dict[str, Any]:
        """Waits for the end, which must be a success, and gives back all facts."""
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not within {within:g} s: {self} ends.{self.report()}") from None
        self.kill()  # what the main process may have left behind
        self._reader.join(5)
        assert code == 0, f"{self} ended with {code}.{self.report()}"
        return self.facts

    def kill(self) -> None:
        """SIGKILL to the program and all its children."""
        signal_group(self._process, signal.SIGKILL)
        self._process.wait()

    def report(self) -> str:
        lines = "\n".join(self.output[-40:])
        return f"\n--- its stdout\n{lines}\n--- its stderr\n{tail(self._log)}"

    def __str__(self) -> str:
        return f"program {self.name}"

    def _read(self) -> None:
        for line in self._process.stdout:
            self.output.append(line.rstrip("\n"))
            with contextlib.suppress(ValueError):
                fact = json.loads(line)
                if isinstance(fact, dict):
                    self.said.append(fact)
                    self.facts.update(fact)


AGENT_PRELUDE = """\
from agentspan.agents import *
from stage import *
"""

WORKER_PRELUDE = """\
import time
from conductor.client.automator.task_handler import TaskHandler
from conductor.client.configuration.configuration import Configuration
from conductor.client.worker.worker_task import worker_task
from stage import *
"""

WORKER_MAIN = """
if __name__ == "__main__":
    handler = TaskHandler(workers=[], configuration=Configuration(), scan_for_annotated_workers=True)
    handler.start_processes()
    say(working=True)
    handler.join_processes()
"""


class Stage:
    """One test's stage: its programs in one virtual environment, their model script, gates and side effects."""

    def __init__(self, server: Server, llm: Any, venvs: Path, venv: str, room: Path, name: str) -> None:
        self.server = server
        self.room = room
        self.name = name
        self.venv = venv
        self._llm = llm
        self._venvs = venvs
        self._programs: list[Program] = []
        self._environment = {
            "AGENTSPAN_SERVER_URL": server.api,
            "CONDUCTOR_SERVER_URL": server.api,
            "AGENTSPAN_AUTO_START_SERVER": "false",
            "AGENTSPAN_LOG_LEVEL": "WARNING",
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "STAGE_ROOM": str(room),
            "STAGE_NAME": name,
            "STAGE_VENV": venv,
        }

    def model(self, *steps: dict, script: str = "") -> None:
        """Scripts the model of the agents of this stage's next programs."""
        name = f"{self.name}-{script}" if script else self.name
        self._environment["STAGE_MODEL"] = self._llm.script(name, *steps)

    def asked(self, script: str = "") -> list[dict]:
        """Every request that the model got from this stage, oldest first."""
        return self._llm.requests(f"{self.name}-{script}" if script else self.name)

    def start(self, *blocks: str, **environment: str) -> Program:
        """Starts an agent program, given as blocks of text, in the virtual environment under test."""
        return self._start(self.venv, AGENT_PRELUDE + "".join(map(dedent, blocks)), environment)

    def run(self, *blocks: str, within: float = RUN_WITHIN, **environment: str) -> dict[str, Any]:
        """Runs an agent program to its end and gives back what it said."""
        return self.start(*blocks, **environment).finish(within)

    def worker(self, functions: str, venv: str = "worker-2.0.0") -> Program:
        """Starts a plain Conductor worker and waits until it polls."""
        program = self._start(venv, WORKER_PRELUDE + dedent(functions) + WORKER_MAIN, {})
        program.says("working")
        return program

    def command(self, venv: str, *arguments: str | Path, **environment: str) -> Program:
        """Starts any command of a virtual environment's Python."""
        name = f"{len(self._programs)}-{Path(arguments[0]).stem}"
        python = self._venvs / venv / "bin" / "python"
        program = Program([python, *arguments], {**self._environment, **environment}, self.room, name)
        self._programs.append(program)
        return program

    def open(self, gate: str) -> None:
        (self.room / f"gate.{gate}").touch()

    def effects(self) -> list[str]:
        file = self.room / "effects"
        return file.read_text().splitlines() if file.exists() else []

    def until_effect(self, effect: str, within: float = SAY_WITHIN) -> None:
        poll(lambda: effect in self.effects(), within, lambda: f"effect {effect!r}; so far {self.effects()}")

    def until_asked(self, times: int, within: float = SAY_WITHIN) -> None:
        poll(lambda: len(self.asked()) >= times, within, lambda: f"the model is asked {times} times")

    def until_defined(self, task: str, within: float = SAY_WITHIN) -> None:
        """Waits until a worker has registered the definition of its task."""
        path = f"/api/metadata/taskdefs/{task}"
        poll(lambda: self.server.request("GET", path)[0] == 200, within, lambda: f"{task} is defined")

    def until_result(self, task: str, execution: str, within: float = SAY_WITHIN) -> None:
        """Waits until the server has the result of a tool."""

        def look() -> bool:
            tasks = self.server.get(f"/api/workflow/{execution}?includeTasks=true")["tasks"]
            return any(one["taskType"] == task and one["status"] == "COMPLETED" for one in tasks)

        poll(look, within, lambda: f"{task} of {execution} has a result")

    def close(self) -> None:
        for program in self._programs:
            program.kill()
        self.server.cancel_leftovers()

    def report(self) -> str:
        return "".join(f"\n--- {program}{program.report()}" for program in self._programs)

    def _start(self, venv: str, text: str, environment: Mapping[str, str]) -> Program:
        file = self.room / f"program{len(self._programs)}.py"
        file.write_text(text)
        return self.command(venv, file, **environment)


class Proxy:
    """A TCP path to the server whose event streams can be cut in the middle, as a failing network does it."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._sent: list[bytearray] = []
        self._streams: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.api = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_streams(self) -> int:
        """Resets every open connection that carries an event stream; says how many there were."""
        cut, self._streams = self._streams, []
        for client in cut:
            with contextlib.suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.shutdown(socket.SHUT_RDWR)
            client.close()
        return len(cut)

    def sent(self, pattern: str) -> list[str]:
        """What matches in all that clients sent so far; with a group, the group."""
        sent = b"\n".join(bytes(part) for part in self._sent).decode(errors="replace")
        return re.findall(pattern, sent, re.MULTILINE | re.IGNORECASE)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                sent = bytearray()
                self._sent.append(sent)
                threading.Thread(target=self._pump, args=(client, server, sent), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, None), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, sent: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if sent is not None:
                    sent += data
                    if b"/agent/stream/" in data:
                        self._streams.append(source)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
