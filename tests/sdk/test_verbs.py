"""One program does to its runs everything that the SDK can do, and the server is killed under it, again and again."""

from __future__ import annotations

from harness import Stage, poll

# Each of these runs is in a call that waits: for a person, for a message, or for its worker.
TOOLS = {
    "approve": "@tool(approval_required=True)\ndef drop_approve(n: int) -> str:",
    "reject": "@tool(approval_required=True)\ndef drop_reject(n: int) -> str:",
    **{
        verb: f"@tool\ndef step_{verb}(n: int) -> str:"
        for verb in ("pause", "signal", "stop", "cancel", "stream")
    },
}
BODY = """
    \"\"\"Acts.\"\"\"
    effect("{verb}")
    {wait}
    return "acted"

"""
RUNS = """
    import threading

    tools["respond"] = human_tool(name="ask_respond", description="Ask the owner.")
    tools["message"] = wait_for_message_tool(name="hear_message", description="Wait for news.")
    runtime = AgentRuntime()
    runs = {}
    for verb, acts in tools.items():
        agent = Agent(name=f"verb_{verb}", model=f"openai/{NAME}-{verb}", tools=[acts])
        runs[verb] = runtime.start(agent, "Go.")
    say(**{verb: run.execution_id for verb, run in runs.items()})

    kinds = []
    def follow():
        for event in runs["stream"].stream():
            kinds.append(str(getattr(event.type, "value", event.type)))
            say(seen=len(kinds))
    follower = threading.Thread(target=follow)
    follower.start()
"""
ACT = """
    gate("act")
    runs["approve"].approve()
    runs["reject"].reject("not on a Friday")
    runs["respond"].respond("the blue one")
    runtime.send_message(runs["message"].execution_id, "the deploy is over")
    runs["pause"].pause()
    runtime.signal(runs["signal"].execution_id, "prefer a rollback")
    runs["stop"].stop()
    runs["cancel"].cancel("wrong customer")
    say(acted=True)

    gate("resume")
    runs["pause"].resume()

    gate("end")
    def end(run):
        result = persistently(run.join) if VENV == "sdk-0.1.10" else run.join(timeout=60)
        return [result.status, result.output, str(result.error)]
    say(**{f"{verb} ended": end(run) for verb, run in runs.items()})
    follower.join(60)
    say(kinds=kinds)
"""


def test_every_verb_of_the_sdk_holds_across_kills_of_the_server(stage: Stage) -> None:
    for verb in (*TOOLS, "respond", "message"):
        name = {"respond": "ask_", "message": "hear_", "approve": "drop_", "reject": "drop_"}.get(verb, "step_") + verb
        arguments = {"question": "Which?"} if verb == "respond" else {} if verb == "message" else {"n": 1}
        call = {"calls": [{"name": name, "arguments": arguments}]}
        steps = ({**call, "repeat": True},) if verb in ("stop", "cancel") else (call, {"text": "{tools}"})
        stage.model(*steps, script=verb)
    tools = "".join(
        head + BODY.format(verb=verb, wait="" if head.startswith("@tool(") else 'gate("on")')
        for verb, head in TOOLS.items()
    )
    names = ", ".join(f"{verb}={head.split('def ')[1].split('(')[0]}" for verb, head in TOOLS.items())
    program = stage.start(tools, f"tools = dict({names})\n", RUNS, ACT)

    ids = {verb: program.says(verb) for verb in (*TOOLS, "respond", "message")}
    for verb in ("pause", "signal", "stop", "cancel", "stream"):
        stage.until_effect(verb)
    for verb in ("approve", "reject", "respond", "message"):
        path = f"/api/agent/{ids[verb]}/status"
        poll(lambda path=path: stage.server.get(path).get("isWaiting"), 40, lambda verb=verb: f"{verb} waits")
    program.says("seen")
    stage.server.restart()
    assert stage.effects().count("approve") == 0, "a kill is no consent"

    stage.open("act")
    program.says("acted")
    stage.server.restart()
    stage.open("on")
    stage.until_result("step_pause", ids["pause"])
    assert stage.server.status(ids["pause"]) == "PAUSED"
    assert len(stage.asked("pause")) == 1, "a paused run asks nobody"
    stage.open("resume")
    stage.open("end")
    said = program.finish(within=90)

    ended = {verb: said[f"{verb} ended"] for verb in ids}
    assert {verb: how[0] for verb, how in ended.items() if verb != "cancel"} == dict.fromkeys(
        set(ids) - {"cancel"}, "COMPLETED"
    )
    assert (ended["cancel"][0], ended["cancel"][2]) == ("TERMINATED", "wrong customer")
    assert ended["reject"][1]["rejectionReason"] == "not on a Friday"
    assert "the blue one" in str(ended["respond"][1]["result"])
    assert "the deploy is over" in str(ended["message"][1]["result"])
    assert "acted" in str(ended["approve"][1]["result"])
    assert "prefer a rollback" in str(stage.asked("signal")[-1]["body"]["messages"])
    assert said["kinds"] == ["thinking", "tool_call", "tool_result", "thinking", "done"]
    effects = stage.effects()
    assert sorted(effects) == sorted(["approve", "pause", "signal", "stop", "cancel", "stream"]), "each tool ran once"
    assert len(stage.asked("stop")) == 1 and len(stage.asked("cancel")) == 1
