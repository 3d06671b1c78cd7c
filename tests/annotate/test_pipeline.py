"""From clips to a data set, with the scripted model in this process."""

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotate_world import drawn_clips, published_hashes, settings_of

from sama_video.annotate import pipeline
from sama_video.annotate.case import Subject
from sama_video.annotate.models import open_model
from sama_video.annotate.pipeline import Annotation, Options
from sama_video.annotate.reporting import RunReport
from sama_video.annotate.settings import AnnotateSettings
from sama_video.annotate.works import HereMapper, Job, Work
from sama_video.data.checking import CheckReport, check_folder
from sama_video.data.describing import OWN_TERMS, describe
from sama_video.data.findings import Findings
from sama_video.data.records import read_records
from sama_video.data.stores.opening import open_store
from sama_video.errors import ConfigError
from sama_video.remote.language_model import LanguageModel
from sama_video.remote.messages import Reply
from sama_video.remote.reply_store import BudgetError, ReplyStore
from sama_video.remote.transport import EndpointError


def annotate(settings: AnnotateSettings, out: Path, **options: Any) -> RunReport:
    mapper = options.pop("mapper", None)
    with Annotation(settings, out, mapper=mapper, options=Options(**options)) as annotation:
        return annotation.run()


def checked(folder: Path) -> CheckReport:
    report = CheckReport(Findings(base=folder))
    check_folder(folder, report, lambda _: None)
    assert not report.findings.faults
    return report


def requests_of(out: Path) -> int:
    store = ReplyStore(out / "replies.sqlite")
    try:
        return store.spent().requests
    finally:
        store.close()


def test_clips_become_a_data_set_that_the_checks_accept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = annotate(settings_of(tmp_path), out)
    assert report.complete
    assert [tally.stage for tally in report.stages] == [
        "probe", "select", "track", "ask", "check", "repair", "recheck", "balance",
    ]  # fmt: skip
    found = checked(out)
    rows = [record for part in ("train", "test") for record in read_records(out / f"{part}.jsonl")]
    assert found.records == len(rows) == 6
    assert found.turns_kept == sum(len(record.turns) for record in rows)
    for record in rows:
        assert record.clip.open().num_frames == record.clip.num_frames
        assert {"model", "prompt", "seed", "asked", "input_hash", "content_hash"} <= set(record.provenance)
    train, test = ({record.clip for record in read_records(out / f"{part}.jsonl")} for part in ("train", "test"))
    assert train
    assert test
    assert train.isdisjoint(test)
    manifest = json.loads((out / "dataset.json").read_text())
    assert manifest["parts"]["train"]["clips"] == len(train)
    assert "license: apache-2.0" in (out / "README.md").read_text()
    assert json.loads((out / "report.json").read_text())["complete"] is True


def test_the_same_command_again_does_nothing_and_changes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = settings_of(tmp_path)
    annotate(settings, out)
    before, times = published_hashes(out), {path: path.stat().st_mtime_ns for path in out.glob("*.jsonl")}
    sent = requests_of(out)
    again = annotate(settings, out)
    assert sum(tally.new for tally in again.stages) == 0
    assert requests_of(out) == sent
    assert published_hashes(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.jsonl")} == times


@pytest.mark.slow
def test_changed_settings_redo_only_what_depends_on_them(tmp_path: Path) -> None:
    out = tmp_path / "out"
    annotate(settings_of(tmp_path), out)
    sent = requests_of(out)
    stricter = annotate(settings_of(tmp_path, check={"phrase_words": 11}), out)
    new = {tally.stage: tally.new for tally in stricter.stages}
    assert (new["probe"], new["track"], new["ask"], new["check"]) == (0, 0, 0, 3)
    assert requests_of(out) == sent
    other = annotate(settings_of(tmp_path, draw={"pictures": 3, "longest_side": 96}), out)
    assert {tally.stage: tally.new for tally in other.stages}["ask"] == 3
    assert {tally.stage: tally.new for tally in other.stages}["probe"] == 0


class Shuffled(HereMapper):
    """Results in another order, as a cluster gives them."""

    def map(self, work: Work, jobs: Iterable[Job]) -> Iterator[tuple[str, Any]]:
        return iter(sorted(super().map(work, jobs), key=lambda row: row[0], reverse=True))


def test_the_data_set_is_the_same_in_whatever_order_the_work_is_done(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, publish={"layouts": ["sama239k", "sama_bench"]})
    annotate(settings, tmp_path / "a")
    one_by_one = replace(settings, ask=replace(settings.ask, workers=1))
    annotate(one_by_one, tmp_path / "b", mapper=Shuffled())
    a, b = (published_hashes(tmp_path / name) for name in "ab")
    same = {"README.md", "dataset.json"}  # these name the settings, of which workers are one
    assert {name: value for name, value in a.items() if name not in same} == {
        name: value for name, value in b.items() if name not in same
    }
    assert set(a) == set(b)


def test_official_layouts_are_accepted_and_hold_the_same_turns(tmp_path: Path) -> None:
    out = tmp_path / "out"
    annotate(settings_of(tmp_path, publish={"layouts": ["sama239k", "sama_bench"]}), out)
    found = checked(out)
    assert found.layouts == ["sama239k_data", "sama_bench", "."]
    assert not found.findings.notes
    rows = [record for part in ("train", "test") for record in read_records(out / f"{part}.jsonl")]
    talks = sum(len(record.turns) for record in rows if record.task == "dialogue")
    told = sum(len(record.turns) for record in rows if record.task == "referring")
    # The records beside them are counted as well.
    assert (found.turns_kept, found.descriptions) == (talks + talks + told, told)
    assert found.records == len(rows) + 3
    parts = list(describe(out, Findings()))
    assert [part.layout for part in parts] == ["sama239k_data", "sama_bench", "."]
    assert {part.licence for part in parts[:2]} == {OWN_TERMS}
    entries = json.loads((out / "sama239k_data" / "sama239k_train_final.json").read_text())
    masks = json.loads((out / "sama239k_data" / "mevis_train_mask_dict.json").read_text())
    asked = [known for entry in entries for known in [*entry["obj_masks"], *chain(*entry["groundtruth"])]]
    assert {str(one) for group in asked for one in group} <= set(masks)
    # Without them, an earlier run's layouts do not stay behind.
    annotate(settings_of(tmp_path), out)
    assert not (out / "sama239k_data").exists()


@pytest.mark.slow
def test_parquet_shards_stand_by_themselves(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    out = tmp_path / "out"
    publish = {"format": "parquet", "records_per_shard": 1, "layouts": ["sama_bench"]}
    annotate(settings_of(tmp_path, publish=publish), out)
    store = open_store(out / "train")
    assert len(list((out / "train").glob("train-*.parquet"))) == len(store)
    for record in store:
        assert record.clip.open().num_frames == record.clip.num_frames
    found = checked(out)
    assert found.layouts == ["sama_bench", "train", "test"]
    benched = json.loads((out / "sama_bench" / "mevis.json").read_text())
    assert found.records == len(store) + len(open_store(out / "test")) + len(benched)
    annotate(settings_of(tmp_path, split={"test_share": 0}), out)
    assert not (out / "train").exists()
    assert (out / "train.jsonl").exists()


@pytest.mark.slow
def test_webdataset_shards_hold_records_and_frames(tmp_path: Path) -> None:
    plain, out = tmp_path / "plain", tmp_path / "out"
    annotate(settings_of(tmp_path), plain)
    annotate(settings_of(tmp_path, publish={"format": "webdataset", "samples_per_shard": 1}), out)
    shards = sorted(out.glob("*/*.tar"))
    assert len(shards) == 3
    for shard in shards:
        clip = open_store(shard).record(0).clip
        with tarfile.open(shard) as tar:
            names = tar.getnames()
            assert {member.mtime for member in tar.getmembers()} == {0}
        name = names[0].removesuffix(".json")
        assert names == [f"{name}.json", *(f"{name}.{n:05d}.jpg" for n in range(clip.num_frames))]
    for part in ("test", "train"):
        rows = list(read_records(plain / f"{part}.jsonl"))
        packed = list(open_store(out / part))
        assert [(one.record_id, one.turns, one.objects) for one in packed] == [
            (one.record_id, one.turns, one.objects) for one in rows
        ]
        for one, row in zip(packed, rows, strict=True):
            assert np.array_equal(one.clip.open().frame(1), row.clip.open().frame(1))
    assert not (out / "clips").exists()
    found, wanted = checked(out), checked(plain)
    assert found.layouts == ["train", "test"]
    assert (found.records, found.turns_kept) == (wanted.records, wanted.turns_kept)


@pytest.mark.slow
def test_clips_may_be_linked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    annotate(settings_of(tmp_path, publish={"clips": "link"}), out)
    frame = next(out.glob("clips/*/00000.jpg"))
    assert frame.stat().st_nlink > 1
    checked(out)


@pytest.mark.slow
def test_clips_may_stay_where_they_are(tmp_path: Path) -> None:
    out = tmp_path / "out"
    annotate(settings_of(tmp_path, publish={"clips": "relative", "root": str(drawn_clips())}), out)
    assert not (out / "clips").exists()
    store = open_store(out / "train.jsonl", root=drawn_clips())
    assert store.record(0).clip.open().num_frames > 1


def test_a_dry_run_says_what_would_be_asked_and_sends_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = settings_of(tmp_path, ask={"model": "scripted", "prices": {"prompt": 1.0, "completion": 2.0}})
    with Annotation(settings, out) as annotation:
        state, estimate, first = annotation.dry_run()
    assert (estimate.requests, estimate.recorded) == (3, 0)
    assert 0 < estimate.likely_money <= estimate.most_money
    assert first is not None
    assert first.num_pictures == 2
    assert requests_of(out) == 0
    assert state.tallies[-1].stage == "track"
    annotate(settings, out)
    with Annotation(settings, out) as annotation:
        _, estimate, _ = annotation.dry_run()
    assert (estimate.requests, estimate.recorded) == (0, 3)


def test_a_budget_ends_the_asking_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(BudgetError):
        annotate(settings_of(tmp_path, ask={"model": "scripted", "workers": 1, "budget": {"requests": 2}}), out)
    assert requests_of(out) == 2
    report = annotate(settings_of(tmp_path, ask={"model": "scripted", "workers": 1}), out)
    assert report.complete
    assert requests_of(out) == 3


@pytest.mark.slow
def test_a_replay_sends_nothing_and_tells_who_waits(tmp_path: Path) -> None:
    out = tmp_path / "out"
    annotate(settings_of(tmp_path, inputs=[{"records": str(drawn_clips(2) / "records.jsonl")}]), out)
    sent = requests_of(out)
    report = annotate(settings_of(tmp_path), out, replay=True)
    assert not report.complete
    assert report.waiting == {"not_recorded": 1}
    assert requests_of(out) == sent


@pytest.mark.slow
def test_a_limit_takes_the_first_clips_by_name(tmp_path: Path) -> None:
    report = annotate(settings_of(tmp_path), tmp_path / "out", limit=1)
    assert report.stages[0].entered == 1


class Failing:
    """Refuses one clip, and has no answer for another; the others are answered by the true transport."""

    limit_name = "max_tokens"

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def send(self, body: Mapping[str, Any], seconds: float | int) -> Reply:
        text = str(body["messages"][1]["content"])
        if "10000001" in text:
            raise EndpointError("rejected", "no")
        return Reply("I am sorry, I cannot do that.") if "10000002" in text else self.inner.send(body, seconds)

    def close(self) -> None:
        pass


def test_what_gets_no_reply_waits_and_what_is_refused_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any, **options: Any) -> LanguageModel:
        model = open_model(*arguments, **options)
        return LanguageModel(model.name, model.store, Failing(model._transport), model.limits)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "open_model", failing)
        report = annotate(settings_of(tmp_path), out)
    assert report.waiting == {"rejected": 1}
    recheck = next(tally for tally in report.stages if tally.stage == "recheck")
    assert recheck.dropped == {"nothing_kept": 1}
    assert checked(out).records == 2
    after = annotate(settings_of(tmp_path), out)
    assert after.complete
    assert checked(out).records == 4


def only_first(subject: Subject, clip: Any) -> str | None:
    return None if subject.subject_id.endswith("0") else f"{clip.num_frames} frames of it"


@pytest.mark.slow
def test_the_safety_hook_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    select = {"duplicate_bits": None, "safety": "test_pipeline:only_first"}
    report = annotate(settings_of(tmp_path, select=select), tmp_path / "out")
    safety = next(tally for tally in report.stages if tally.stage == "safety")
    assert (safety.kept, safety.dropped) == (1, {"unsafe": 2})


@pytest.mark.parametrize("hook", ["nowhere:at_all", "json", "json:no_such", "json:__name__"])
def test_a_hook_that_is_none_is_told_before_any_work(tmp_path: Path, hook: str) -> None:
    settings = settings_of(tmp_path, select={"safety": hook})
    with pytest.raises(ConfigError, match=r"select\.safety"), Annotation(settings, tmp_path / "out"):
        pass
    assert not (tmp_path / "out" / "ledger.sqlite").exists()


@pytest.mark.slow
def test_a_critic_looks_at_what_passed(tmp_path: Path) -> None:
    report = annotate(settings_of(tmp_path, critic={"model": "scripted"}), tmp_path / "out")
    stages = [tally.stage for tally in report.stages]
    assert stages[-3:] == ["critic", "after_critic", "balance"]
    assert report.complete
    checked(tmp_path / "out")


@pytest.mark.slow
def test_balance_limits_sources_and_shares(tmp_path: Path) -> None:
    report = annotate(settings_of(tmp_path, balance={"clips_per_source": 2}), tmp_path / "a")
    assert report.stages[-1].dropped == {"source_is_full": 1}
    report = annotate(settings_of(tmp_path, balance={"largest_share": 0.6}), tmp_path / "b")
    assert report.stages[-1].dropped["records_over_share"] >= 1
    counts = {"dialogue": 0, "referring": 0}
    for part in ("train", "test"):
        for record in read_records(tmp_path / "b" / f"{part}.jsonl"):
            counts[record.task] += len(record.turns)
    assert min(counts.values()) > 0


@pytest.mark.slow
def test_a_rejected_sample_leaves_the_data_set(tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = settings_of(tmp_path)
    report = annotate(settings, out, review=True)
    assert report.pages is not None
    assert report.pages.is_file()
    with Annotation(settings, out) as annotation:
        state = annotation._masklets()
        dialogues = annotation._dialogues(state)
        dialogues.run()
        name = sorted(state.alive)[0]
        content = pipeline.sample_of(state, name, dialogues.last_draft).content
    decision = {"sample": name, "content": content, "decision": "reject", "time": "2026-05-01T09:58:12Z"}
    document = {"schema": "sama-review/1", "reviewer": "Ann", "decisions": [decision]}
    (out / "review" / "decisions-ann.json").write_text(json.dumps(document))
    after = annotate(settings, out)
    assert after.review.count("reject") == 1
    left = {record.clip for part in ("train", "test") for record in read_records(out / f"{part}.jsonl")}
    assert len(left) == 2
    assert not (out / "clips" / name).exists()


@pytest.mark.slow
def test_a_data_set_that_was_damaged_is_made_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = settings_of(tmp_path)
    annotate(settings, out)
    before = published_hashes(out)
    (out / "train.jsonl").write_text("")
    (out / ".train.jsonl.part").write_text("half")
    annotate(settings, out)
    assert published_hashes(out) == before
