"""Runs that outlive their workers, their starters and the server."""

from __future__ import annotations

from harness import Stage

CHARGE_THEN_SHIP = (
    {"calls": [{"name": "charge", "arguments": {"order": 7}}]},
    {"calls": [{"name": "ship", "arguments": {"order": 7}}]},
    {"text": "done: {tools}"},
)

# Two tools that leave traces; the second waits at a gate, in the middle of its call.
SHOP = """
    @tool
    def charge(order: int) -> dict:
        \"\"\"Charges an order.\"\"\"
        effect("charged")
        return {"charged": order}

    @tool
    def ship(order: int) -> dict:
        \"\"\"Ships an order.\"\"\"
        effect("shipping")
        gate("shipped")
        effect("shipped")
        return {"shipped": order}

    agent = Agent(name="shop", model=MODEL, tools=[charge, ship], instructions="Charge, then ship.")
"""
SERVE = SHOP + """
    with AgentRuntime() as runtime:
        runtime.serve(agent, blocking=False)
        say(serving=True)
        gate("never", within=600)
"""
# join() of SDK 0.2.0 survives the server's absence; that of 0.1.10 gives up, and has to be called again.
JOIN = """
    def join(handle):
        if VENV == "sdk-0.2.0":
            return handle.join(timeout=90)
        return persistently(handle.join)
"""
# An invoker knows the tools' contract only: their code runs elsewhere.
START_ELSEWHERE = """
    @tool(external=True)
    def charge(order: int) -> dict:
        \"\"\"Charges an order.\"\"\"

    @tool(external=True)
    def ship(order: int) -> dict:
        \"\"\"Ships an order.\"\"\"

    with AgentRuntime() as runtime:
        handle = runtime.start(Agent(name="shop", model=MODEL, tools=[charge, ship]), "Order 7.")
        say(id=handle.execution_id)
"""


def test_a_run_started_while_its_worker_is_dead_waits_and_completes_under_the_same_id(stage: Stage) -> None:
    stage.model({"calls": [{"name": "fetch_later", "arguments": {"service": "checkout-api"}}]}, {"text": "{tools}"})
    started = stage.run("""
        @tool(external=True)
        def fetch_later(service: str) -> dict:
            \"\"\"Fetches.\"\"\"

        agent = Agent(name="incident", model=MODEL, tools=[fetch_later])
        with AgentRuntime() as runtime:
            runtime.deploy(agent)
            say(id=runtime.start("incident", "Why?").execution_id)
    """)
    stage.server.until_waiting_for("fetch_later", started["id"])
    assert stage.server.status(started["id"]) == "RUNNING"
    stage.worker("""
        @worker_task(task_definition_name="fetch_later", register_task_def=True)
        def fetch_later(service: str) -> dict:
            return {"service": service, "deploy": "dpl-481"}
    """)
    stage.server.until(started["id"], "COMPLETED")
    assert "dpl-481" in str(stage.server.get(f"/api/agent/{started['id']}/status")["output"]["result"])
    assert len(stage.asked()) == 2


def test_a_worker_killed_in_the_middle_of_its_call_costs_no_finished_step(stage: Stage) -> None:
    stage.model(*CHARGE_THEN_SHIP)
    worker = stage.start(SERVE)
    worker.says("serving")
    run = stage.run(START_ELSEWHERE)["id"]
    stage.until_effect("shipping")
    worker.kill()
    stage.open("shipped")
    assert stage.server.status(run) == "RUNNING"
    stage.start(SERVE).says("serving")
    stage.server.until(run, "COMPLETED", within=60)
    assert stage.effects() == ["charged", "shipping", "shipping", "shipped"]
    assert len(stage.asked()) == 3


def test_a_server_killed_in_the_middle_of_a_run_takes_it_up_again(stage: Stage) -> None:
    stage.model(*CHARGE_THEN_SHIP)
    program = stage.start(SHOP, JOIN, """
    with AgentRuntime() as runtime:
        handle = runtime.start(agent, "Order 7.")
        say(id=handle.execution_id)
        result = join(handle)
        say(status=result.status, result=result.output["result"], same=result.execution_id == handle.execution_id)
    """)
    run = program.says("id")
    stage.until_effect("shipping")
    stage.server.restart()
    assert stage.server.status(run) == "RUNNING"
    stage.open("shipped")
    said = program.finish(within=90)
    assert (said["status"], said["same"]) == ("COMPLETED", True)
    assert "shipped" in said["result"]
    assert stage.effects() == ["charged", "shipping", "shipped"]


def test_a_server_killed_while_the_model_thinks_asks_it_again(stage: Stage) -> None:
    stage.model({"text": "thought through", "delay": 3})
    program = stage.start(JOIN, """
        with AgentRuntime() as runtime:
            handle = runtime.start(Agent(name="thinker", model=MODEL), "Think.")
            say(id=handle.execution_id)
            say(status=join(handle).status)
    """)
    run = program.says("id")
    stage.until_asked(1)
    stage.server.restart()
    assert program.finish(within=90)["status"] == "COMPLETED"
    assert stage.server.get(f"/api/agent/{run}/status")["output"]["result"] == "thought through"
    assert len(stage.asked()) == 2


def test_another_process_takes_up_a_run_without_tools_by_its_id(stage: Stage) -> None:
    stage.model({"text": "still here", "delay": 8})
    run = stage.run("""
        with AgentRuntime() as runtime:
            say(id=runtime.start(Agent(name="no_tools", model=MODEL), "Answer slowly.").execution_id)
    """)["id"]
    said = stage.run("""
        runtime = AgentRuntime()
        handle = AgentHandle(execution_id=EXECUTION, runtime=runtime)
        say(before=handle.get_status().status)
        result = handle.stream().get_result()
        say(status=result.status, output=result.output)
    """, STAGE_EXECUTION=run)
    assert said["before"] == "RUNNING"
    assert said["status"] == "COMPLETED"
    assert said["output"]["result"] == "still here"


def test_another_process_takes_up_a_run_with_tools_by_its_id(stage: Stage) -> None:
    stage.model(*CHARGE_THEN_SHIP)
    first = stage.start(SHOP, """
    handle = start(agent, "Order 7.")  # the module's own runtime; its workers die with this process
    say(id=handle.execution_id)
    gate("never", within=600)
    """)
    run = first.says("id")
    stage.until_effect("shipping")
    first.kill()
    stage.open("shipped")
    said = stage.run(SHOP, """
    with AgentRuntime() as runtime:
        handle = runtime.resume(EXECUTION, agent)
        result = handle.join(timeout=60)
        say(status=result.status, result=result.output["result"])
    """, STAGE_EXECUTION=run)
    assert said["status"] == "COMPLETED"
    assert stage.effects() == ["charged", "shipping", "shipping", "shipped"]


def test_the_invoker_may_be_another_program_than_the_worker(stage: Stage) -> None:
    stage.model(*CHARGE_THEN_SHIP)
    stage.open("shipped")
    stage.start(SERVE).says("serving")
    run = stage.run(START_ELSEWHERE)["id"]
    stage.server.until(run, "COMPLETED")
    assert stage.effects() == ["charged", "shipping", "shipped"]


def test_ensure_running_starts_a_run_once_and_finds_it_again(stage: Stage) -> None:
    stage.model({"text": "analysed", "delay": 2})
    said = stage.run("""
        agent = Agent(name="ensured", model=MODEL)
        runtime = AgentRuntime()

        def ensure_running(known: str | None) -> AgentHandle:
            if known:
                handle = AgentHandle(execution_id=known, runtime=runtime)
                status = handle.get_status()
                if status.is_complete or status.is_running:
                    return handle
            return runtime.start(agent, "Analyse.")

        first = ensure_running(None)
        second = ensure_running(first.execution_id)  # still running
        first.join(timeout=60)
        third = ensure_running(first.execution_id)  # complete
        say(ids=[handle.execution_id for handle in (first, second, third)])
    """)
    assert len(set(said["ids"])) == 1
    assert len(stage.asked()) == 1
