"""What people and programs may do to a run, and the errors that they get."""

from __future__ import annotations

import pytest
from harness import Stage

LOOP = """
    @tool
    def step(n: int) -> str:
        \"\"\"One step.\"\"\"
        effect("step")
        gate("on")
        return "stepped"

    agent = Agent(name="stepper", model=MODEL, tools=[step], instructions="Step on.")
    runtime = AgentRuntime()
    handle = runtime.start(agent, "Go.")
    say(id=handle.execution_id)
    gate("act")
"""
STEPS_FOR_EVER = {"calls": [{"name": "step", "arguments": {"n": 1}}], "repeat": True}
ONE_STEP = ({"calls": [{"name": "step", "arguments": {"n": 1}}]}, {"text": "stepped once"})


def test_a_stopped_run_completes_after_the_turn_that_it_is_in(stage: Stage) -> None:
    stage.model(STEPS_FOR_EVER)
    program = stage.start(LOOP, """
    handle.stop()
    open_gate("on")
    say(status=handle.join(timeout=40).status)
    """)
    stage.until_effect("step")
    stage.open("act")
    assert program.finish()["status"] == "COMPLETED"
    assert stage.effects() == ["step"]
    assert len(stage.asked()) == 1


def test_a_signal_reaches_the_model_in_its_next_turn(stage: Stage) -> None:
    stage.model(*ONE_STEP)
    program = stage.start(LOOP, """
    runtime.signal(handle.execution_id, "prefer a rollback")
    open_gate("on")
    say(status=handle.join(timeout=40).status)
    """)
    stage.until_effect("step")
    stage.open("act")
    assert program.finish()["status"] == "COMPLETED"
    before, after = (str(question["body"]["messages"]) for question in stage.asked())
    assert "prefer a rollback" not in before
    assert "prefer a rollback" in after


def test_a_paused_run_stands_still_until_it_is_resumed(stage: Stage) -> None:
    stage.model(*ONE_STEP)
    program = stage.start(LOOP, """
    handle.pause()
    status = handle.get_status()
    say(paused=status.status, running=status.is_running, complete=status.is_complete)
    open_gate("on")
    gate("resume")
    handle.resume()
    result = handle.join(timeout=40)
    say(status=result.status, output=result.output)
    """)
    stage.until_effect("step")
    stage.open("act")
    assert program.says("paused") == "PAUSED"
    assert (program.facts["running"], program.facts["complete"]) == (False, False)
    run = program.says("id")
    stage.until_result("step", run)
    assert stage.server.status(run) == "PAUSED"
    assert len(stage.asked()) == 1, "a paused run asks nobody"
    stage.open("resume")
    said = program.finish()
    assert said["status"] == "COMPLETED"
    assert said["output"]["result"] == "stepped once"
    assert stage.effects() == ["step"]


def test_a_cancelled_run_is_terminated_with_its_reason(stage: Stage) -> None:
    stage.model(STEPS_FOR_EVER)
    program = stage.start(LOOP, """
    handle.cancel("wrong customer")
    result = handle.join(timeout=40)
    say(status=result.status, error=result.error)
    """)
    stage.until_effect("step")
    stage.open("act")
    said = program.finish()
    assert (said["status"], said["error"]) == ("TERMINATED", "wrong customer")
    stage.open("on")
    assert len(stage.asked()) == 1


@pytest.mark.parametrize("unknown", ["nope", "01890000-0000-7000-8000-000000000000"])
def test_the_status_of_an_unknown_run_is_not_found(stage: Stage, unknown: str) -> None:
    said = stage.run("""
        try:
            AgentRuntime().get_status(EXECUTION)
        except AgentNotFoundError as error:
            say(error=error.status_code)
    """, STAGE_EXECUTION=unknown)
    assert said == {"error": 404}


def test_an_answer_that_nobody_asked_for_is_refused(stage: Stage) -> None:
    stage.model({"text": "no question", "delay": 2})
    said = stage.run("""
        runtime = AgentRuntime()
        handle = runtime.start(Agent(name="never_asks", model=MODEL), "Go.")
        try:
            handle.approve()
        except AgentAPIError as error:
            say(error=error.status_code, text=str(error))
    """)
    assert said["error"] == 400
    assert "error" in said["text"]


def test_a_model_string_without_a_provider_is_refused_with_the_form_to_use(stage: Stage) -> None:
    said = stage.run("""
        try:
            AgentRuntime().start(Agent(name="no_provider", model="gpt-4o-mini"), "Go.")
        except AgentAPIError as error:
            say(error=error.status_code, text=str(error))
    """)
    assert said["error"] == 400
    assert "provider/model" in said["text"]


@pytest.mark.parametrize(
    ("field", "agent"),
    [
        ("guardrails", "Agent(name='later', model=MODEL, guardrails=[RegexGuardrail('secret', name='no_secrets')])"),
        ("agents", "Agent(name='later', model=MODEL, agents=[Agent(name='sub', model=MODEL)], strategy='sequential')"),
    ],
)
def test_what_is_not_there_yet_is_refused_by_the_name_of_its_field(stage: Stage, field: str, agent: str) -> None:
    stage.model({"text": "never asked"})
    said = stage.run(f"""
        def act(n: int) -> str:
            \"\"\"Acts.\"\"\"
            return "acted"

        try:
            AgentRuntime().start({agent}, "Go.")
        except AgentAPIError as error:
            say(error=error.status_code, text=str(error))
    """)
    assert said["error"] == 400
    assert field in said["text"]
    assert stage.asked() == []
