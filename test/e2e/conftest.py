# SPDX-License-Identifier: BSD-2-Clause
"""The servers of the end-to-end tests: the shipped configuration before the scripted responder or the real worker."""
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
from bench import Bench


# What does not mind when other suites run meanwhile (scripts/test); the others measure time, or fill the machine.
BESIDE = {f"test_{name}" for name in ("alerts", "balancer", "bench", "cdn", "cluster", "corpus_check", "corpus_parts", "deploy",
                                      "health", "loadtest", "logs", "metrics", "peers", "readme", "sandbox",
                                      "soak", "watching")}


def pytest_configure(config):
    config.addinivalue_line("markers", "beside: may run beside other suites")
    config.addinivalue_line("markers", "sanitize: run with the sanitizers' binary as well")
    config.addinivalue_line("markers", "mounts: only where this process may mount volumes")


def may_mount():
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return os.geteuid() == 0 and subprocess.run(probe, capture_output=True).returncode == 0


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.module.__name__ in BESIDE:
            item.add_marker(pytest.mark.beside)
    mounting = [i for i in items if i.get_closest_marker("mounts")]
    if mounting and not may_mount():
        config.hook.pytest_deselected(items=mounting)
        items[:] = [i for i in items if i not in mounting]


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
