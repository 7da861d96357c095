"""Fixtures of the SDK tests.

Environment: TENURE_BIN (the binary under test) or TENURE_TEST_URL with TENURE_TEST_LLM_PORT (a server that already
runs with OPENAI_BASE_URL=http://127.0.0.1:<that port>/v1); TENURE_TEST_VENVS (made by venvs.sh).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_openai import FakeOpenAI
from harness import Proxy, Server, Stage, tail

SDKS = ("sdk-0.2.0", "sdk-0.1.10")


@pytest.fixture(scope="session")
def venvs() -> Path:
    made = os.environ.get("TENURE_TEST_VENVS")
    assert made, "set TENURE_TEST_VENVS to the directory that tests/sdk/venvs.sh prints"
    return Path(made)


@pytest.fixture(scope="session")
def llm() -> Iterator[FakeOpenAI]:
    provider = FakeOpenAI(int(os.environ.get("TENURE_TEST_LLM_PORT", "0")))
    yield provider
    provider.close()


@pytest.fixture(scope="session")
def server(llm: FakeOpenAI) -> Iterator[Server]:
    """One server for all tests of this process; a test that kills it starts it again."""
    url = os.environ.get("TENURE_TEST_URL", "")
    binary = os.environ.get("TENURE_BIN", "")
    assert url or binary, "set TENURE_BIN to the binary under test, or TENURE_TEST_URL to a running server"
    with Server(binary, {"OPENAI_BASE_URL": llm.url, "OPENAI_API_KEY": "test-key"}, url=url) as under_test:
        yield under_test


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest) -> str:
    """The SDK version under test: each test that uses it runs once with each."""
    return request.param


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, server: Server, llm: FakeOpenAI, venvs: Path, sdk: str, tmp_path: Path
) -> Iterator[Stage]:
    server.start()  # a failed crash test may have left it dead
    name = "gpt-4o-mini-" + re.sub(r"\W+", "-", request.node.name).strip("-")
    stage = Stage(server, llm, venvs, sdk, tmp_path, name)
    request.node.stage = stage
    yield stage
    stage.close()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    path = Proxy(server.port)
    yield path
    path.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test shows what its programs and the server had to say."""
    outcome = yield
    report = outcome.get_result()
    stage = getattr(item, "stage", None)
    if report.failed and stage is not None:
        report.sections.append(("programs", stage.report()))
        if hasattr(stage.server, "log"):
            report.sections.append(("server log", tail(stage.server.log, 60)))
