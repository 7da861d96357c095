"""People decide: the SDK's own human-in-the-loop, and the server's other channels beside it."""

from __future__ import annotations

from harness import Stage, poll

GATED = """
    @tool(approval_required=True)
    def drop(name: str) -> str:
        \"\"\"Drop a database.\"\"\"
        effect(f"dropped {name}")
        return f"dropped {name}"

    agent = Agent(name="dba", model=MODEL, tools=[drop], instructions="Drop it.")
    runtime = AgentRuntime()
"""
START = """
    handle = runtime.start(agent, "Drop staging.")
    say(id=handle.execution_id)
"""
DROPS = ({"calls": [{"name": "drop", "arguments": {"name": "staging"}}]}, {"text": "It is gone."})


def until_waiting(stage: Stage, run: str) -> dict:
    """Waits until the run asks somebody; what it asks."""
    path = f"/api/agent/{run}/status"
    poll(lambda: stage.server.get(path).get("isWaiting"), 40, lambda: f"{run} waits for a person")
    return stage.server.get(path)["pendingTool"]


WAIT = """
    import time
    for _ in range(400):
        status = handle.get_status()
        if status.is_waiting:
            break
        time.sleep(0.1)
    say(waiting=status.is_waiting, pending=status.pending_tool)
"""


def test_an_approved_call_runs(stage: Stage) -> None:
    stage.model(*DROPS)
    said = stage.run(GATED, START, WAIT, """
    say(ran_before=(ROOM / "effects").exists())
    handle.approve()
    result = handle.join(timeout=60)
    say(status=result.status, output=result.output, rejected=result.is_rejected)
    """)
    assert said["waiting"] is True
    assert (said["pending"]["tool_name"], said["pending"]["parameters"]) == ("drop", {"name": "staging"})
    assert said["ran_before"] is False, "nothing runs before somebody agrees"
    assert (said["status"], said["output"]["result"]) == ("COMPLETED", "It is gone.")
    assert stage.effects() == ["dropped staging"]


def test_a_rejected_call_never_runs_and_its_run_is_rejected(stage: Stage) -> None:
    stage.model(*DROPS)
    said = stage.run(GATED, START, WAIT, """
    handle.reject("not on a Friday")
    result = handle.join(timeout=60)
    say(status=result.status, output=result.output, rejected=result.is_rejected)
    """)
    assert (said["status"], said["rejected"]) == ("COMPLETED", True)
    assert said["output"]["rejectionReason"] == "not on a Friday"
    assert stage.effects() == []
    assert len(stage.asked()) == 1, "the model is not asked again"


def test_a_stream_waits_for_the_decision_that_its_reader_makes(stage: Stage) -> None:
    stage.model(*DROPS)
    said = stage.run(GATED, """
    kinds = []
    stream = runtime.start(agent, "Drop staging.").stream()
    for event in stream:
        kinds.append(str(getattr(event.type, "value", event.type)))
        if kinds[-1] == "waiting":
            stream.approve()
    say(kinds=kinds, output=stream.get_result().output)
    """)
    assert said["kinds"] == ["thinking", "waiting", "tool_call", "tool_result", "thinking", "done"]
    assert said["output"]["result"] == "It is gone."
    assert stage.effects() == ["dropped staging"]


def test_a_person_answers_what_the_model_asks(stage: Stage) -> None:
    stage.model({"calls": [{"name": "ask_owner", "arguments": {"question": "Which?"}}]}, {"text": "The blue one."})
    said = stage.run("""
    ask_owner = human_tool(name="ask_owner", description="Ask the owner.")
    agent = Agent(name="asker", model=MODEL, tools=[ask_owner], instructions="Ask.")
    runtime = AgentRuntime()
    handle = runtime.start(agent, "Which database?")
    say(id=handle.execution_id)
    """, WAIT, """
    handle.respond("the blue one")
    say(status=handle.join(timeout=60).status)
    """)
    assert said["pending"]["tool_name"] == "ask_owner"
    assert said["status"] == "COMPLETED"
    assert "the blue one" in str(stage.asked()[1]["body"]["messages"])


def test_what_somebody_else_edits_reaches_the_sdks_tool(stage: Stage) -> None:
    stage.model(*DROPS)
    program = stage.start(GATED, START, """
    result = handle.join(timeout=60)
    say(status=result.status)
    """)
    run = program.says("id")
    until_waiting(stage, run)
    asked = stage.server.get(f"/api/v1/approvals?execution={run}")["approvals"][0]
    what = {"decision": "approve", "by": "mira", "arguments": {"name": "scratch"}}
    status, answer = stage.server.request("POST", f"/api/v1/approvals/{asked['id']}/decide", what)
    assert (status, answer["outcome"]) == (200, "decided")
    assert program.finish()["status"] == "COMPLETED"
    assert stage.effects() == ["dropped scratch"]
    assert "name was" in str(stage.asked()[1]["body"]["messages"]), "the model is told what was changed"


def test_a_decision_waits_through_a_kill_of_the_server(stage: Stage) -> None:
    stage.model(*DROPS)
    program = stage.start(GATED, START, """
    gate("decide")
    handle.approve()
    result = handle.join(timeout=60)
    say(status=result.status)
    """)
    run = program.says("id")
    until_waiting(stage, run)
    stage.server.restart()
    until_waiting(stage, run)
    stage.open("decide")
    assert program.finish()["status"] == "COMPLETED"
    assert stage.effects() == ["dropped staging"]
