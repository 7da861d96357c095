"""A scripted model provider that speaks OpenAI's chat-completions protocol. Standard library only.

A conversation is matched to a script by its model name (`openai/<script>` on the agent) or by a marker
`[script:<name>]` in any system or user text. A script is a list of steps, one per turn:

    {"text": "…"}                                    answer; {prompt} and {tools} are filled in
    {"calls": [{"name": "…", "arguments": {…}}]}     call tools, all in one turn; a string is sent as it is
    … plus, on any step:
      "delay": 1.5                                   seconds before the answer
      "fail": {"status": 429, "retry_after": 1, "times": 2}   refuse so many times, then answer
      "repeat": true                                 on the last step: play it for ever

The turn is the number of assistant messages after the last user message, so a question that is asked again
after a crash gets the same step again. Without a script: if tools are offered and none has answered yet, the
first tool is called with arguments made up from its schema; else the answer is two lines, `summary:` and
`next_action:`.

    python fake_openai.py --port 8080 [--scripts scripts.json]
    POST   /v1/chat/completions   the protocol (needs any bearer token)
    PUT    /scripts/<name>        a list of steps
    GET    /requests[?script=…]   every chat request so far, with the status that it got
"""

from __future__ import annotations

import argparse
import json
import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

MARKER = re.compile(r"\[script:([^\]\s]+)\]")
USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


class FakeOpenAI:
    """The provider: `url` for clients, `script()` before a run, `requests()` after it."""

    def __init__(self, port: int = 0) -> None:
        self._lock = threading.Lock()
        self._scripts: dict[str, list[dict]] = {}
        self._failures: dict[tuple[str, int], int] = {}
        self._requests: list[dict] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def script(self, name: str, *steps: dict) -> str:
        """Sets the steps of a script and gives back the model string that plays it."""
        with self._lock:
            self._scripts[name] = list(steps)
            self._requests = [seen for seen in self._requests if seen["script"] != name]
            self._failures = {key: left for key, left in self._failures.items() if key[0] != name}
        return f"openai/{name}"

    def requests(self, script: str | None = None) -> list[dict]:
        """All chat requests, oldest first: `{at, script, turn, status, body}`."""
        with self._lock:
            return [seen for seen in self._requests if script in (None, seen["script"])]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, body: dict) -> tuple[int, dict[str, str], dict, float]:
        messages = body.get("messages") or []
        name = self._script_of(body.get("model", ""), messages)
        turn = turns_since_prompt(messages)
        with self._lock:
            steps = self._scripts.get(name)
            step = pick(steps, turn) if steps is not None else made_up_step(body)
            status, headers = self._refusal(name, turn, step.get("fail"))
            seen = {"at": time.time(), "script": name, "turn": turn, "status": status, "body": body}
            self._requests.append(seen)
        if status != 200:
            return status, headers, {"error": {"message": f"scripted {status}", "type": "scripted"}}, 0
        return 200, {}, completion(body, step), float(step.get("delay", 0))

    def _script_of(self, model: str, messages: list[dict]) -> str:
        for message in messages:
            if message.get("role") in ("system", "developer", "user"):
                found = MARKER.search(text_of(message))
                if found:
                    return found.group(1)
        return model

    def _refusal(self, name: str, turn: int, fail: dict | None) -> tuple[int, dict[str, str]]:
        if not fail:
            return 200, {}
        left = self._failures.setdefault((name, turn), fail.get("times", 1))
        if left == 0:
            return 200, {}
        self._failures[name, turn] = left - 1
        retry = {"Retry-After": str(fail["retry_after"])} if "retry_after" in fail else {}
        return int(fail["status"]), retry

    def _handler(provider):  # noqa: N805: the handler's own `self` is the request
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                if urlsplit(self.path).path != "/v1/chat/completions":
                    return self.reply(404, {"error": {"message": f"no route {self.path}"}})
                if len(self.headers.get("Authorization", "")) <= len("Bearer "):
                    return self.reply(401, {"error": {"message": "no API key"}})
                try:
                    body = json.loads(self.body())
                except ValueError as error:
                    return self.reply(400, {"error": {"message": f"not JSON: {error}"}})
                if body.get("stream"):
                    return self.reply(400, {"error": {"message": "this provider does not stream"}})
                status, headers, answer, delay = provider._answer(body)
                time.sleep(delay)
                self.reply(status, answer, headers)

            def do_PUT(self) -> None:
                path = urlsplit(self.path).path
                if not path.startswith("/scripts/"):
                    return self.reply(404, {"error": {"message": f"no route {self.path}"}})
                provider.script(path.removeprefix("/scripts/"), *json.loads(self.body()))
                self.reply(200, {})

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                if url.path != "/requests":
                    return self.reply(404, {"error": {"message": f"no route {self.path}"}})
                self.reply(200, provider.requests(parse_qs(url.query).get("script", [None])[0]))

            def body(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def reply(self, status: int, answer: object, headers: dict[str, str] | None = None) -> None:
                data = json.dumps(answer).encode()
                try:
                    self.send_response(status)
                    for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
                        self.send_header(key, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True  # the asker died; that is what some tests are about

            def log_message(self, *_: object) -> None:
                """Says nothing: tests read `requests()`."""

        return Handler


def text_of(message: dict) -> str:
    """The text of a message whose content is a string, a list of parts, or nothing."""
    content = message.get("content") or ""
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content)
    return content


def turns_since_prompt(messages: list[dict]) -> int:
    turns = 0
    for message in messages:
        if message.get("role") == "user":
            turns = 0
        turns += message.get("role") == "assistant"
    return turns


def pick(steps: list[dict], turn: int) -> dict:
    if turn < len(steps):
        return steps[turn]
    if steps and steps[-1].get("repeat"):
        return steps[-1]
    return {"text": f"(the script has no step {turn})"}


def made_up_step(body: dict) -> dict:
    answered = any(message.get("role") == "tool" for message in body.get("messages") or [])
    if body.get("tools") and not answered:
        function = body["tools"][0]["function"]
        return {"calls": [{"name": function["name"], "arguments": sample(function.get("parameters") or {})}]}
    return {"text": "summary: {tools}\nnext_action: roll back and watch"}


def sample(schema: dict) -> object:
    """A value that fits the schema: always the same one."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: sample(of) for name, of in (schema.get("properties") or {}).items()}
        case "array":
            return [sample(schema.get("items") or {"type": "string"})]
        case "integer" | "number":
            return 7
        case "boolean":
            return True
        case _:
            return "checkout-api"


def completion(body: dict, step: dict) -> dict:
    message: dict = {"role": "assistant", "content": None}
    reason = "stop"
    if "text" in step:
        message["content"] = fill(step["text"], body.get("messages") or [])
    if "calls" in step:
        reason = "tool_calls"
        message["tool_calls"] = [
            {
                "id": f"call_{uuid.uuid4().hex[:24]}",
                "type": "function",
                "function": {"name": call["name"], "arguments": as_text(call.get("arguments", {}))},
            }
            for call in step["calls"]
        ]
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.get("model", ""),
        "choices": [{"index": 0, "message": message, "finish_reason": step.get("finish", reason)}],
        "usage": USAGE,
    }


def as_text(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def fill(text: str, messages: list[dict]) -> str:
    prompts = [text_of(message) for message in messages if message.get("role") == "user"]
    answers = [text_of(message) for message in messages if message.get("role") == "tool"]
    return text.replace("{prompt}", prompts[-1] if prompts else "").replace("{tools}", " | ".join(answers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--scripts", type=Path, help="a JSON object: script name to list of steps")
    options = parser.parse_args()
    provider = FakeOpenAI(options.port)
    if options.scripts:
        for name, steps in json.loads(options.scripts.read_text()).items():
            provider.script(name, *steps)
    print(f"OPENAI_BASE_URL={provider.url}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
