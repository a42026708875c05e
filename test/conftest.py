# SPDX-License-Identifier: BSD-2-Clause
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPO / "scripts"), str(REPO / "test"), str(REPO / "test" / "data")]

import make_images  # noqa: E402


def binary_path():
    return Path(os.environ.get("LORIKEET_BINARY", REPO / "build" / "release" / "lorikeet"))


def pytest_configure(config):
    config.addinivalue_line("markers", "release_only: not where a sanitizer's allocator ends the process")


def pytest_collection_modifyitems(config, items):
    if "asan" in binary_path().parts:
        left_out = [i for i in items if i.get_closest_marker("release_only")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [i for i in items if i not in left_out]


@pytest.fixture(scope="session")
def binary():
    return binary_path()


@pytest.fixture(scope="session")
def scratch():
    """A folder that the workers' own user can reach; pytest's are its caller's alone."""
    folder = Path(tempfile.mkdtemp(prefix="lorikeet-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def images(scratch):
    """The made images, in a copy that tests may add to."""
    made = make_images.ensure(str(REPO / "build" / "test-images"))
    shutil.copytree(made, scratch / "images")
    return scratch / "images"
