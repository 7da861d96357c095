"""Event streams: their order, their end, and what happens when they are cut."""

from __future__ import annotations

import json
import urllib.request

import pytest
from harness import Proxy, Stage

ONE_TOOL = ({"calls": [{"name": "measure", "arguments": {"what": "latency"}}]}, {"text": "measured: {tools}"})
EVENTS = ["thinking", "tool_call", "tool_result", "thinking", "done"]

MEASURE = """
    import asyncio

    @tool
    def measure(what: str) -> dict:
        \"\"\"Measures.\"\"\"
        effect("measuring")
        gate("measured")
        return {what: 4210}

    agent = Agent(name="streamer", model=MODEL, tools=[measure])

    def tell(event):
        say(event=event.type, tool=event.tool_name, result=event.result, output=event.output)
"""
SYNC = MEASURE + """
    with AgentRuntime() as runtime:
        handle = runtime.start(agent, "Measure.")
        say(id=handle.execution_id)
        stream = handle.stream()
        for event in stream:
            tell(event)
        result = stream.get_result()
        say(status=result.status, calls=[call["name"] for call in result.tool_calls])
"""
ASYNC = MEASURE + """
    async def main():
        async with AgentRuntime() as runtime:
            handle = await runtime.start_async(agent, "Measure.")
            say(id=handle.execution_id)
            stream = handle.stream_async()
            async for event in stream:
                tell(event)
            result = await stream.get_result()
            say(status=result.status, calls=[call["name"] for call in result.tool_calls])

    asyncio.run(main())
"""


@pytest.fixture(params=[SYNC, ASYNC], ids=["sync", "async"])
def client(request: pytest.FixtureRequest) -> str:
    return request.param


def events(program) -> list[str]:
    return [fact["event"] for fact in program.said if "event" in fact]


def test_a_stream_tells_every_event_in_order_and_ends_with_done(stage: Stage, client: str) -> None:
    stage.model(*ONE_TOOL)
    stage.open("measured")
    program = stage.start(client)
    said = program.finish()
    assert events(program) == EVENTS
    assert said["status"] == "COMPLETED"
    assert said["calls"] == ["measure"]
    results = [fact for fact in program.said if fact.get("event") == "tool_result"]
    assert [(fact["tool"], fact["result"]) for fact in results] == [("measure", {"latency": 4210})]
    assert "4210" in str(said["output"]["result"])


def test_a_stream_that_the_network_cuts_goes_on_where_it_was(stage: Stage, client: str, proxy: Proxy) -> None:
    stage.model(*ONE_TOOL)
    program = stage.start(client, AGENTSPAN_SERVER_URL=proxy.api)
    program.says("event")
    stage.until_effect("measuring")
    assert proxy.cut_streams() == 1
    stage.open("measured")
    program.finish()
    assert events(program) == EVENTS
    assert proxy.sent(r"^last-event-id: *(\d+)") == ["1"]


def test_a_stream_survives_the_death_of_the_server(stage: Stage, client: str) -> None:
    stage.model(*ONE_TOOL)
    program = stage.start(client)
    program.says("event")
    stage.until_effect("measuring")
    stage.server.restart()
    stage.open("measured")
    program.finish(within=90)
    assert events(program) == EVENTS


def test_a_client_without_streams_sees_the_run_by_polling(stage: Stage) -> None:
    stage.model(*ONE_TOOL)
    stage.open("measured")
    program = stage.start(SYNC, AGENTSPAN_STREAMING_ENABLED="false")
    said = program.finish()
    assert said["status"] == "COMPLETED"
    assert events(program)[-1] == "done"
    assert "4210" in said["output"]  # on this way the SDK hands out the bare text


def test_the_stream_of_a_finished_run_replays_from_the_last_event_seen(stage: Stage) -> None:
    stage.model(*ONE_TOOL)
    stage.open("measured")
    run = stage.run(SYNC)["id"]
    everything = read_stream(f"{stage.server.api}/agent/stream/{run}")
    assert [event["type"] for event in everything] == EVENTS
    numbers = [event["id"] for event in everything]
    assert numbers == sorted(set(numbers)) and numbers[0] == 1
    rest = read_stream(f"{stage.server.api}/agent/stream/{run}", last_event=numbers[1])
    assert rest == everything[2:]


def read_stream(url: str, last_event: int | None = None) -> list[dict]:
    """Reads a stream to its clean end; each frame's `event` and `id` lines must agree with its data."""
    headers = {"Accept": "text/event-stream"}
    if last_event is not None:
        headers["Last-Event-ID"] = str(last_event)
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as reply:
        assert reply.headers["Content-Type"].startswith("text/event-stream")
        text = reply.read().decode()
    seen = []
    for frame in text.split("\n\n"):
        fields = dict(line.split(":", 1) for line in frame.splitlines() if line and not line.startswith(":"))
        if fields:
            event = json.loads(fields["data"])
            assert fields["event"].strip() == event["type"]
            assert int(fields["id"]) == event["id"]
            seen.append(event)
    return seen
