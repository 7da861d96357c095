"""Published example programs, run unchanged.

Their texts are not part of this repository. They are cut out of the published pages (directory $TENURE_SEEDS, else
`../shared/seeds` beside the repository) by line numbers, checked by hash, and given back the indentation that
publishing took from the first page: one digit per line, in steps of four spaces. The one thing that is put in is the
execution id, where a page shows a made-up one. They use port 6767 and fixed files in /tmp, so they run one by one (xdist keeps a file's tests together).
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_openai import FakeOpenAI
from harness import Program, Server, Stage, skip

PORT = 6767
SEEDS = Path(os.environ.get("TENURE_SEEDS") or Path(__file__).parents[3] / "shared" / "seeds")
LEFT_BEHIND = [Path(f"/tmp/agentspan_incident_triage.{kind}") for kind in ("execution_id", "worker.json")]


@dataclass(frozen=True)
class Excerpt:
    """Lines `first` to `last` of a page."""

    page: str
    first: int
    last: int
    sha256: str
    levels: str = ""

    def text(self) -> str:
        (page,) = SEEDS.glob(f"{self.page}_*.txt")
        lines = page.read_text(encoding="utf-8").split("\n")[self.first - 1 : self.last]
        drift = f"{page.name}, lines {self.first} to {self.last}, is not the text that this test was made for"
        assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == self.sha256, drift
        if self.levels:
            lines = [" " * 4 * int(level) + line for level, line in zip(self.levels, lines, strict=True)]
        text = "\n".join(lines) + "\n"
        ast.parse(text)
        return text


INCIDENT_AGENT = Excerpt(
    "000", 68, 99, "a2143cc603bee343918bf4bba6c231e54e7c8575e424ba30b76f38792c6dca4f",
    "00000001100011011112221001111101",
)  # fmt: skip
INCIDENT_WORKER = Excerpt(
    "000", 106, 213, "472c889e10035e59e0a6487020ac575f109819405bb5cf19a675888fc8d009ff",
    "000000000000000001010121011100122222222222101121212233332112232221111231201111011221121221221011111101121212",
)  # fmt: skip
FIRE_AND_FORGET = Excerpt("001", 29, 60, "ee515afaca2dcdf73528ee86ccb89d669a759b031a322fd684111cbcf71cb804")
RECONNECT = Excerpt("001", 68, 76, "3dfaf0128c5522003af2a6d04ff277aa4323b35322582117dc8197cc2ffa6f22")
RECONNECT_WITH_TOOLS = Excerpt("001", 80, 107, "06d81270c15f7b9759d14cd327ebb1d73e146d4f76f89495f3c796cfe886dc95")
WORKER = Excerpt("001", 121, 139, "d8610cca4e9caa027183feaa65e4112208cbffbd63c5ba01ace7db884205e2b6")
INVOKER = Excerpt("001", 140, 147, "c5e683992aee21e887aa883fd8e1961c3f12a052cdb3bf68faf0c64161b472f4")
ENSURE_RUNNING = Excerpt("001", 153, 168, "13793bff46c703294225d9f42347364f278f3638b86cc9299845d9d8aa919819")
STREAM = Excerpt("001", 174, 186, "becbc3868d0cb367157a91e546a9afb400dd0d84353915c2e642501fe01c900e")

# What the snippets take for granted: a host name that reaches the server, and the agent of the page's other snippets.
GIVEN = """
import runpy, socket, sys
from agentspan.agents import Agent, AgentHandle, AgentRuntime, tool

look_up = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **named: look_up(
    "127.0.0.1" if host == "agentspan-server" else host, *rest, **named
)

@tool(external=True)
def analyze_chunk(chunk_id: int, data: str) -> dict:
    \"\"\"Counts.\"\"\"

agent = Agent(name="data_analysis_agent", model="openai/gpt-4o", tools=[analyze_chunk])
"""
RUN_SNIPPET = GIVEN + """
runpy.run_path(sys.argv[1], init_globals={"agent": agent})
"""


@pytest.fixture(scope="module")
def server(llm: FakeOpenAI) -> Iterator[Server]:
    if not SEEDS.is_dir():
        pytest.skip(f"the published pages are not in {SEEDS}; set TENURE_SEEDS to where they are")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            skip(f"port {PORT}, which the published programs use, is taken")
    if "TENURE_BIN" not in os.environ:
        skip("the published programs need a server on their port: set TENURE_BIN")
    credentials = {"OPENAI_BASE_URL": llm.url, "OPENAI_API_KEY": "test-key"}
    with Server(os.environ["TENURE_BIN"], credentials, port=PORT) as under_test:
        yield under_test


@pytest.fixture(autouse=True)
def clean_tmp() -> Iterator[None]:
    for file in LEFT_BEHIND:
        file.unlink(missing_ok=True)
    yield
    for file in LEFT_BEHIND:
        file.unlink(missing_ok=True)


@pytest.fixture
def slow_analysis(llm: FakeOpenAI) -> None:
    """The model thinks so long that the starter has ended before the tool is called."""
    llm.script(
        "gpt-4o",
        {"calls": [{"name": "analyze_chunk", "arguments": {"chunk_id": 1, "data": "feedback"}}], "delay": 2},
        {"text": "analysed: {tools}"},
    )


def play(stage: Stage, excerpt: Excerpt, execution: str = "", wrapper: str = RUN_SNIPPET) -> Program:
    """Starts a snippet inside the wrapper that gives it what it takes for granted."""
    text = excerpt.text()
    snippet, program = (stage.room / f"{what}_{excerpt.first}.py" for what in ("snippet", "wrapper"))
    snippet.write_text(re.sub(r"exec-[0-9a-f]{6}", execution, text) if execution else text)
    program.write_text(wrapper)
    return stage.command(stage.venv, program, snippet, STAGE_EXECUTION=execution)


def start_by_hand(stage: Stage) -> str:
    """Starts a run of the page's agent and gives back its id."""
    return stage.run(GIVEN, """
        with AgentRuntime() as runtime:
            say(id=runtime.start(agent, "Analyze.").execution_id)
    """)["id"]


def test_the_incident_agent_completes_under_its_id_when_its_worker_comes_back(stage: Stage) -> None:
    agent, worker = stage.room / "incident_agent.py", stage.room / "incident_worker.py"
    agent.write_text(INCIDENT_AGENT.text())
    worker.write_text(INCIDENT_WORKER.text())

    # The page's `incident_worker.py kill` can't read the file that `run` wrote (publishing doubled a backslash),
    # so the worker's process group is killed from here, as that command would.
    first = stage.command("worker-2.0.0", worker, "run")
    first.prints("worker_state=ready")
    first.kill()

    stage.command(stage.venv, agent).finish()
    run = LEFT_BEHIND[0].read_text().strip()
    stage.server.until_waiting_for("fetch_incident_context", run)
    assert stage.server.status(run) == "RUNNING"

    stage.command("worker-2.0.0", worker, "run").prints("worker_state=ready")
    stage.server.until(run, "COMPLETED")
    result = stage.server.get(f"/api/agent/{run}/status")["output"]["result"]
    summary, next_action = result.splitlines()
    assert summary.startswith("summary:") and "dpl-481" in summary
    assert next_action.startswith("next_action:")


@pytest.mark.usefixtures("slow_analysis")
def test_the_crash_and_resume_page_reconnects_to_the_run_of_a_process_that_is_gone(stage: Stage) -> None:
    starter = play(stage, FIRE_AND_FORGET)
    run = starter.prints("Started: ").removeprefix("Started: ")
    assert starter.prints("Status: ") == "Status: RUNNING"
    starter.finish()
    stage.server.until_waiting_for("analyze_chunk", run)
    again = play(stage, RECONNECT_WITH_TOOLS, run)
    again.finish()
    assert again.output == ["RUNNING", "Completed"]
    assert stage.server.status(run) == "COMPLETED"


def test_the_crash_and_resume_page_reconnects_without_tools(stage: Stage) -> None:
    stage.model({"text": "slowly answered", "delay": 2})
    run = stage.run("""
        with AgentRuntime() as runtime:
            say(id=runtime.start(Agent(name="llm_only", model=MODEL), "Answer.").execution_id)
    """)["id"]
    again = play(stage, RECONNECT, run)
    again.finish()
    assert again.output == ["Completed"]
    assert stage.server.status(run) == "COMPLETED"


@pytest.mark.usefixtures("slow_analysis")
def test_the_crash_and_resume_page_separates_worker_and_invoker(stage: Stage) -> None:
    play(stage, WORKER)
    invoker = play(stage, INVOKER)
    run = invoker.prints("Job ID: ").removeprefix("Job ID: ")
    invoker.finish()
    stage.server.until(run, "COMPLETED")
    assert "processed" in str(stage.server.get(f"/api/agent/{run}/status")["output"]["result"])


@pytest.mark.usefixtures("slow_analysis")
def test_the_crash_and_resume_page_ensures_one_run(stage: Stage) -> None:
    play(stage, WORKER)
    program = play(stage, ENSURE_RUNNING, wrapper=GIVEN + """
ensure = runpy.run_path(sys.argv[1])["ensure_analysis_running"]
first = ensure(None, agent, "Analyze.")
second = ensure(first.execution_id, agent, "Analyze.")
first.join(timeout=60)
third = ensure(first.execution_id, agent, "Analyze.")
print(len({handle.execution_id for handle in (first, second, third)}), "execution")
""")
    program.finish()
    assert program.output == ["Still running: RUNNING", "Already done", "1 execution"]


@pytest.mark.usefixtures("slow_analysis")
def test_the_crash_and_resume_page_streams_a_run_in_progress(stage: Stage) -> None:
    run = start_by_hand(stage)
    play(stage, WORKER)
    reader = play(stage, STREAM, run)
    reader.finish()
    call, result, _, done = reader.output
    assert call.startswith("→ analyze_chunk(") and result.startswith("← analyze_chunk:")
    assert done.startswith("Result: ") and "analysed" in done
