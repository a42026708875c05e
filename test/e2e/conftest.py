# SPDX-License-Identifier: BSD-2-Clause
"""The servers of the end-to-end tests: the shipped configuration before the scripted responder or the real worker."""
import resource
import shutil
from pathlib import Path

import pytest
from bench import Bench


def pytest_configure(config):
    config.addinivalue_line("markers", "sanitize: run with the sanitizers' binary as well")


@pytest.fixture(scope="session", autouse=True)
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="session")
def responder(binary):
    return Path(binary).parent / "test" / "responder"


@pytest.fixture(scope="session")
def bench(scratch, responder):
    with Bench(scratch / "bench", responder) as running:
        yield running


@pytest.fixture
def folder(scratch, request):
    """An empty folder for one test's own stack."""
    path = scratch / request.node.name[:24]
    path.mkdir()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)
