"""A cluster makes the same data set as one process, and one more worker changes nothing."""

import os
from collections.abc import Iterator
from pathlib import Path

import annotate_world
import pytest
from annotate_world import published_hashes, settings_of

from sama_video.annotate.inputs.catalogue import Listed
from sama_video.annotate.inputs.records import RecordInput
from sama_video.annotate.pipeline import Annotation
from sama_video.annotate.probing import ProbeSettings
from sama_video.annotate.ray_backend import RayMapper
from sama_video.annotate.works import Job, ProbeWork
from sama_video.errors import ConfigError, SamaError

ray = pytest.importorskip("ray")
pytest.importorskip("pandas", reason="Ray Data needs it")

pytestmark = [
    pytest.mark.slow,
    # Ray's own processes and sockets outlive a test for a moment.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    path = {
        "PYTHONPATH": os.pathsep.join([str(Path(annotate_world.__file__).parent), os.environ.get("PYTHONPATH", "")])
    }
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": path})
    yield
    ray.shutdown()


def annotated(tmp_path: Path, name: str, workers: int | None) -> dict[str, str]:
    settings = settings_of(tmp_path)
    if workers is None:
        with Annotation(settings, tmp_path / name) as annotation:
            annotation.run()
    else:
        with RayMapper("auto", workers) as mapper, Annotation(settings, tmp_path / name, mapper=mapper) as annotation:
            annotation.run()
    return dict(published_hashes(tmp_path / name))


def test_one_process_one_worker_and_two_workers_make_the_same_data_set(tmp_path: Path) -> None:
    alone = annotated(tmp_path, "alone", None)
    assert annotated(tmp_path, "one", 1) == alone
    assert annotated(tmp_path, "two", 2) == alone


def test_what_a_worker_refuses_is_told_in_its_words() -> None:
    job = Job(RecordInput(Path("/nowhere/r.jsonl")), Listed("a", "00" * 16, [0]))
    with RayMapper("auto") as mapper, pytest.raises(SamaError, match="is not there"):
        list(mapper.map(Failing(), [job]))


class Failing(ProbeWork):
    """Raises what is no fault of a clip."""

    def __init__(self) -> None:
        super().__init__(ProbeSettings())

    def __call__(self, job: Job) -> None:  # type: ignore[override]
        raise ConfigError("the tool is not there; install it.")


def test_an_address_where_nobody_is_is_told_at_once() -> None:
    from sama_video.remote.cluster import join_cluster

    with pytest.raises(ConfigError, match=r"--ray 127.0.0.1:1: no cluster answers there \(ConnectionRefusedError"):
        join_cluster(ray, "127.0.0.1:1")
