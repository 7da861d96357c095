"""Runs from start to result, as the SDK's users write them."""

from __future__ import annotations

import pytest
from harness import Stage


def test_a_run_completes_after_the_program_that_started_it_has_ended(stage: Stage) -> None:
    stage.model({"text": "all is well", "delay": 2})
    started = stage.run("""
        agent = Agent(name="fire_and_forget", model=MODEL, instructions="Answer.")
        with AgentRuntime() as runtime:
            handle = runtime.start(agent, "How is checkout-api?")
            status = handle.get_status()
            say(id=handle.execution_id, status=status.status, running=status.is_running, complete=status.is_complete)
    """)
    assert (started["status"], started["running"], started["complete"]) == ("RUNNING", True, False)
    stage.server.until(started["id"], "COMPLETED")
    assert stage.server.get(f"/api/agent/{started['id']}/status")["output"]["result"] == "all is well"
    (question,) = stage.asked()
    assert [message["content"] for message in question["body"]["messages"]] == ["Answer.", "How is checkout-api?"]


def test_two_tools_of_one_turn_run_side_by_side_and_share_state(stage: Stage) -> None:
    stage.model(
        {"calls": [{"name": "read_errors", "arguments": {"service": "checkout-api"}},
                   {"name": "read_deploys", "arguments": {"service": "checkout-api", "limit": 3}}]},
        {"text": "{tools}"},
    )
    result = stage.run("""
        @tool
        def read_errors(service: str, context: ToolContext = None) -> dict:
            \"\"\"Errors of a service.\"\"\"
            open_gate("errors")
            gate("deploys")  # returns only if the other tool runs at the same time
            context.state["errors"] = 18
            return {"service": service, "rate": 18}

        @tool
        def read_deploys(service: str, limit: int = 1, context: ToolContext = None) -> str:
            \"\"\"Deploys of a service.\"\"\"
            open_gate("deploys")
            gate("errors")
            context.state["deploys"] = limit
            return f"{limit} deploys of {service}"

        agent = Agent(name="two_tools", model=MODEL, tools=[read_errors, read_deploys])
        with AgentRuntime() as runtime:
            result = runtime.run(agent, "Look.")
            say(status=result.status, output=result.output, calls=result.tool_calls,
                tokens=result.token_usage.total_tokens)
    """)
    assert result["status"] == "COMPLETED"
    assert result["output"]["context"] == {"errors": 18, "deploys": 3}
    assert "3 deploys of checkout-api" in str(result["output"]["result"])
    calls = {call["name"]: call for call in result["calls"]}
    assert calls.keys() == {"read_errors", "read_deploys"}
    assert calls["read_errors"]["result"]["rate"] == 18
    assert calls["read_deploys"]["args"]["limit"] == 3
    assert result["tokens"] == 2 * 16


def test_the_runs_of_two_agents_do_not_mix(stage: Stage) -> None:
    program = """
        import os
        mine = os.environ["MINE"]

        @tool(name=f"look_up_{mine}")
        def look_up(what: str) -> str:
            \"\"\"Looks something up.\"\"\"
            return f"found by {mine}"

        agent = Agent(name=f"agent_{mine}", model=MODEL, tools=[look_up])
        with AgentRuntime() as runtime:
            handles = [runtime.start(agent, f"{mine} asks {n}.") for n in range(3)]
            results = [handle.join(timeout=60) for handle in handles]
            say(results=[result.output["result"] for result in results], ids=[h.execution_id for h in handles])
    """
    programs = {}
    for mine in ("ada", "bob"):
        call = {"name": f"look_up_{mine}", "arguments": {"what": "it"}}
        stage.model({"calls": [call]}, {"text": "{prompt} {tools}"}, script=mine)
        programs[mine] = stage.start(program, MINE=mine)
    facts = {mine: running.finish() for mine, running in programs.items()}
    for mine, said in facts.items():
        for number, result in enumerate(said["results"]):
            assert f"{mine} asks {number}." in result
            assert f"found by {mine}" in result
    assert len({run for said in facts.values() for run in said["ids"]}) == 6


def test_one_idempotency_key_starts_one_execution(stage: Stage) -> None:
    stage.model({"text": "once", "delay": 1})
    program = """
        agent = Agent(name="only_once", model=MODEL)
        with AgentRuntime() as runtime:
            handle = runtime.start(agent, "Go.", idempotency_key=NAME)
            handle.join(timeout=60)
            say(id=handle.execution_id)
    """
    both = [stage.start(program), stage.start(program)]
    first, second = (running.finish()["id"] for running in both)
    again = stage.run(program)["id"]
    assert first == second == again
    assert len(stage.asked()) == 1


@pytest.mark.parametrize("sdk", ["sdk-0.2.0"], indirect=True)  # older versions read messages only from variables
def test_a_second_run_of_a_session_remembers_the_first(stage: Stage) -> None:
    stage.model({"text": "noted"})
    stage.run("""
        agent = Agent(name="with_memory", model=MODEL)
        with AgentRuntime() as runtime:
            runtime.run(agent, "My name is Ada.", session_id=NAME)
            runtime.run(agent, "Who am I?", session_id=NAME)
            runtime.run(agent, "And who am I?", session_id=NAME + "-other")
    """)
    _, second, other = (str(question["body"]["messages"]) for question in stage.asked())
    assert "My name is Ada." in second and "Who am I?" in second
    assert "My name is Ada." not in other


def test_a_deployed_agent_runs_by_its_name(stage: Stage) -> None:
    stage.model({"calls": [{"name": "count_orders", "arguments": {"day": "monday"}}]}, {"text": "{tools}"})
    agent = """
        @tool
        def count_orders(day: str) -> dict:
            \"\"\"Counts the orders of a day.\"\"\"
            return {"day": day, "orders": 42}

        agent = Agent(name="by_name", model=MODEL, tools=[count_orders])
    """
    deployed = stage.run(agent, """
        with AgentRuntime() as runtime:
            (info,) = runtime.deploy(agent)
            say(registered=info.registered_name)
    """)
    assert deployed["registered"] == "by_name"
    worker = stage.start(agent, """
        with AgentRuntime() as runtime:
            runtime.serve(agent, blocking=False)
            say(serving=True)
            gate("never", within=600)
    """)
    worker.says("serving")
    result = stage.run("""
        with AgentRuntime() as runtime:
            result = runtime.run("by_name", "How many?")
            say(status=result.status, output=result.output, calls=[call["name"] for call in result.tool_calls])
    """)
    assert result["status"] == "COMPLETED"
    assert "42" in str(result["output"]["result"])
    assert result["calls"] == ["count_orders"]
    assert "by_name" in [agent["name"] for agent in stage.server.get("/api/agent/list")]


def test_a_plan_names_the_agent_and_starts_nothing(stage: Stage) -> None:
    stage.model({"text": "never asked"})
    plan = stage.run("""
        @tool(external=True)
        def fetch(service: str) -> dict:
            \"\"\"Fetches.\"\"\"

        with AgentRuntime() as runtime:
            say(plan=runtime.plan(Agent(name="only_planned", model=MODEL, tools=[fetch])))
    """)["plan"]
    assert plan["workflowDef"]["name"] == "only_planned"
    assert plan["workflowDef"]["tasks"], "a plan shows its tasks"
    assert "requiredWorkers" in plan
    assert stage.asked() == []
    assert "only_planned" not in [agent["name"] for agent in stage.server.get("/api/agent/list")]


def test_the_tools_of_a_stateful_run_execute_in_the_process_that_started_it(stage: Stage) -> None:
    stage.model({"calls": [{"name": "remember", "arguments": {"what": "x"}}]}, {"text": "{tools}"})
    program = """
        import os

        @tool(stateful=True)
        def remember(what: str) -> str:
            \"\"\"Remembers.\"\"\"
            return "in " + os.environ["MINE"]

        agent = Agent(name="stateful", model=MODEL, tools=[remember])
        with AgentRuntime() as runtime:
            say(ready=True)
            gate("both")
            result = runtime.run(agent, "Remember.")
            say(id=result.execution_id, result=result.output["result"])
    """
    programs = {mine: stage.start(program, MINE=mine) for mine in ("left", "right")}
    for running in programs.values():
        running.says("ready")
    stage.open("both")
    domains = set()
    for mine, running in programs.items():
        said = running.finish()
        assert f"in {mine}" in said["result"]
        domains.add(stage.server.get(f"/api/workflow/{said['id']}")["taskToDomain"]["remember"])
    assert len(domains) == 2 and all(domains)


def test_a_plain_worker_of_another_client_version_performs_an_external_tool(stage: Stage) -> None:
    stage.model({"calls": [{"name": "fetch_context", "arguments": {"service": "checkout-api"}}]}, {"text": "{tools}"})
    stage.worker("""
        @worker_task(task_definition_name="fetch_context", register_task_def=True)
        def fetch_context(service: str, window_minutes: int = 15) -> dict:
            return {"service": service, "window": window_minutes, "severity": "sev2"}
    """)
    result = stage.run("""
        @tool(external=True)
        def fetch_context(service: str, window_minutes: int = 15) -> dict:
            \"\"\"Fetches the context of an incident.\"\"\"

        with AgentRuntime() as runtime:
            result = runtime.run(Agent(name="external_tool", model=MODEL, tools=[fetch_context]), "Why?")
            say(status=result.status, output=result.output, calls=result.tool_calls)
    """)
    assert result["status"] == "COMPLETED"
    assert "sev2" in str(result["output"]["result"])
    (call,) = result["calls"]
    assert call["result"] == {"service": "checkout-api", "window": 15, "severity": "sev2"}
