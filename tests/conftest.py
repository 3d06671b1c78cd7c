import os
from pathlib import Path

import pytest
import shared_folders

# One thread for each test process: side by side they would otherwise fight for the cores. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# The default run is offline; `HF_HUB_OFFLINE=0 pytest -m network` is not.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_configure(config: pytest.Config) -> None:
    # Examples take as long as the shared cores let them; the same ones each time, so that a red run is repeatable.
    from hypothesis import settings

    settings.register_profile("sama", max_examples=50, deadline=None, derandomize=True, database=None)
    settings.load_profile("sama")


@pytest.fixture(scope="session")
def repository() -> Path:
    return shared_folders.REPOSITORY


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    return shared_folders.need_folder(*shared_folders.PARITY)


@pytest.fixture(scope="session")
def golden_metrics_dir() -> Path:
    return shared_folders.need_folder(*shared_folders.GOLDEN_METRICS)


@pytest.fixture(scope="session")
def records_dir() -> Path:
    return shared_folders.need_folder(*shared_folders.RECORDS)


@pytest.fixture(scope="session")
def videos_dir() -> Path:
    return shared_folders.need_folder(*shared_folders.VIDEOS)


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variable of ours is set, whatever the caller's shell says."""
    for name in [name for name in os.environ if name.startswith("SAMA_")]:
        monkeypatch.delenv(name)
    return monkeypatch
