"""What tools and models do wrong, and what becomes of the run."""

from __future__ import annotations

from harness import Proxy, Stage

RUN = """
    with AgentRuntime() as runtime:
        result = runtime.run(agent, "Go.")
        say(id=result.execution_id, status=result.status, output=result.output, error=result.error)
"""


def tool_messages(question: dict) -> str:
    messages = question["body"]["messages"]
    return "\n".join(str(message["content"]) for message in messages if message["role"] == "tool")


def test_a_tool_that_fails_once_is_tried_again_and_the_run_completes(stage: Stage) -> None:
    stage.model({"calls": [{"name": "flaky", "arguments": {"n": 1}}]}, {"text": "{tools}"})
    said = stage.run("""
        @tool
        def flaky(n: int) -> str:
            \"\"\"Fails at first.\"\"\"
            effect("tried")
            if not (ROOM / "gate.again").exists():
                open_gate("again")
                raise RuntimeError("connection reset")
            return "it worked"

        agent = Agent(name="flaky_agent", model=MODEL, tools=[flaky])
    """, RUN)
    assert said["status"] == "COMPLETED"
    assert "it worked" in str(said["output"]["result"])
    assert stage.effects() == ["tried", "tried"]


def test_a_tool_that_always_fails_is_retried_and_then_told_to_the_model(stage: Stage) -> None:
    stage.model({"calls": [{"name": "broken", "arguments": {"n": 1}}]}, {"text": "I could not."})
    said = stage.run("""
        @tool
        def broken(n: int) -> str:
            \"\"\"Always fails.\"\"\"
            effect("tried")
            raise RuntimeError("card declined by bank")

        agent = Agent(name="broken_agent", model=MODEL, tools=[broken])
    """, RUN)
    assert said["status"] == "COMPLETED"
    assert said["output"]["result"] == "I could not."
    assert stage.effects() == ["tried"] * 3
    _, told = stage.asked()
    assert "card declined by bank" in tool_messages(told)


def test_a_terminal_tool_error_is_told_to_the_model_at_once(stage: Stage) -> None:
    stage.model({"calls": [{"name": "hopeless", "arguments": {"n": 1}}]}, {"text": "I could not."})
    said = stage.run("""
        @tool
        def hopeless(n: int) -> str:
            \"\"\"Cannot work.\"\"\"
            effect("tried")
            raise TerminalToolError("no such account")

        agent = Agent(name="hopeless_agent", model=MODEL, tools=[hopeless])
    """, RUN)
    assert said["status"] == "COMPLETED"
    assert stage.effects() == ["tried"]
    _, told = stage.asked()
    assert "no such account" in tool_messages(told)


def test_a_tool_that_takes_longer_than_its_lease_keeps_it(stage: Stage, proxy: Proxy) -> None:
    stage.model({"calls": [{"name": "take_long", "arguments": {"seconds": 20}}]}, {"text": "{tools}"})
    program = stage.start("""
        @tool
        def take_long(seconds: int) -> str:
            \"\"\"Works for long: the SDK's lease is 10 s.\"\"\"
            effect("started")
            time.sleep(seconds)
            return "slept well"

        agent = Agent(name="patient", model=MODEL, tools=[take_long])
        with AgentRuntime() as runtime:
            runtime.serve(agent, blocking=False)
            gate("defined")
            result = runtime.run(agent, "Go.")
            say(status=result.status, output=result.output)
    """, AGENTSPAN_SERVER_URL=proxy.api)
    stage.until_defined("take_long")
    stage.open("defined")
    said = program.finish(within=90)
    assert said["status"] == "COMPLETED"
    assert "slept well" in str(said["output"]["result"])
    assert stage.effects() == ["started"]
    assert len(proxy.sent('"extendLease": ?true')) == 2


def test_a_call_of_an_unknown_tool_is_answered_at_once(stage: Stage) -> None:
    stage.model({"calls": [{"name": "no_such_tool", "arguments": {}}]}, {"text": "I made that up."})
    said = stage.run("""
        @tool
        def known(n: int) -> str:
            \"\"\"Exists.\"\"\"
            return "known"

        agent = Agent(name="confused", model=MODEL, tools=[known])
    """, RUN)
    assert said["status"] == "COMPLETED"
    assert said["output"]["result"] == "I made that up."
    _, told = stage.asked()
    assert "no_such_tool" in tool_messages(told)


def test_malformed_arguments_do_not_break_the_run(stage: Stage) -> None:
    stage.model({"calls": [{"name": "lenient", "arguments": '{"n": 1,,'}]}, {"text": "Done."})
    said = stage.run("""
        @tool
        def lenient(n: int = 0) -> str:
            \"\"\"Takes a number.\"\"\"
            return f"got {n}"

        agent = Agent(name="careless", model=MODEL, tools=[lenient])
    """, RUN)
    assert said["status"] == "COMPLETED"
    assert said["output"]["result"] == "Done."
    _, told = stage.asked()
    assert tool_messages(told), "the model hears what became of its call"


def test_a_run_ends_after_its_last_turn(stage: Stage) -> None:
    stage.model({"calls": [{"name": "again", "arguments": {"n": 1}}], "repeat": True})
    said = stage.run("""
        @tool
        def again(n: int) -> str:
            \"\"\"Never enough.\"\"\"
            effect("called")
            return "more"

        agent = Agent(name="endless", model=MODEL, tools=[again], max_turns=3)
    """, RUN)
    assert said["status"] == "COMPLETED"
    assert len(stage.asked()) == 3


def test_a_provider_that_is_busy_is_asked_again_when_it_said(stage: Stage) -> None:
    stage.model({"text": "now", "fail": {"status": 429, "retry_after": 1, "times": 2}})
    said = stage.run('agent = Agent(name="throttled", model=MODEL)', RUN)
    assert said["status"] == "COMPLETED"
    assert said["output"]["result"] == "now"
    asked = stage.asked()
    assert [question["status"] for question in asked] == [429, 429, 200]
    assert all(later["at"] - earlier["at"] >= 1 for earlier, later in zip(asked, asked[1:]))


def test_a_provider_that_refuses_for_good_fails_the_run_with_its_reason(stage: Stage) -> None:
    stage.model({"text": "never", "fail": {"status": 401, "times": 99}})
    said = stage.run('agent = Agent(name="refused", model=MODEL)', RUN)
    assert said["status"] == "FAILED"
    assert "401" in said["error"]
    assert len(stage.asked()) == 1
