"""A report says what was measured and what is missing, in three forms that agree, the same bytes each time."""

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from fake_bench import FRAMES, HEIGHT, WIDTH, FakeModel, FakeTask, OpenedSource, box_track
from PIL import Image
from shared_folders import REPOSITORY, need_folder

from sama_video.app.cli.main import main
from sama_video.bench.figures import read_figures
from sama_video.bench.models import Outcome
from sama_video.bench.predicting import Job, run_shard
from sama_video.bench.published import HEADING
from sama_video.bench.report import WIDE
from sama_video.bench.report_charts import CurvePoint, curve, interval_bar
from sama_video.bench.report_files import clips_of, read_report, write_report
from sama_video.bench.report_markdown import table
from sama_video.bench.report_pictures import frames_to_show, illustrate, pair_colours
from sama_video.bench.report_questions import LONGEST, pick, pieces_of, said_of
from sama_video.bench.scoring import ToolsChoice, score_run
from sama_video.bench.sharding import Shard
from sama_video.bench.store import RunFolder
from sama_video.bench.task import Measure, Mode, Prediction, TaskOptions
from sama_video.bench.tasks.revos import Revos
from sama_video.errors import DataError
from sama_video.regions.rle import encode

BOTH: tuple[Mode, ...] = ("reference", "strict")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&lt;"


class HostileModel(FakeModel):
    """Answers with what would run if a page let it."""

    def answer(self, samples, options, known):  # type: ignore[no-untyped-def]
        for outcome in super().answer(samples, options, known):
            yield Outcome(**{**outcome.__dict__, "text": f"{HOSTILE} <p> it </p> [SEG] | `x`"})


def run(folder: Path, model: FakeModel | None = None, shards: int = 1, **changes: object) -> RunFolder:
    job = replace(Job(FakeTask(), OpenedSource(model or FakeModel()), TaskOptions()), **changes)
    for index in range(shards):
        run_shard(job, RunFolder(folder), Shard(index, shards), lambda done, total: None)
    return RunFolder(folder)


def scored(
    folder: Path, model: FakeModel | None = None, modes: tuple[Mode, ...] = BOTH, **changes: object
) -> RunFolder:
    made = run(folder, model, **changes)
    score_run(made, modes, ToolsChoice(), 1, task=FakeTask())
    return made


def report(folder: RunFolder, data: Path | None = None, pictured: int = 4) -> dict[str, object]:
    write_report(folder, data, pictured, task=FakeTask())
    return json.loads((folder.path / "report.json").read_text())


def texts(folder: RunFolder) -> dict[str, str]:
    return {name: (folder.path / name).read_text() for name in ("report.json", "report.md", "report.html")}


class Elements(HTMLParser):
    """The elements and attributes that a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "script":
            self.scripts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_json_has_the_keys_of_the_contract(tmp_path: Path) -> None:
    document = report(scored(tmp_path / "run"))
    told = {key: document[key] for key in ("schema", "task", "model", "complete", "questions", "videos")}
    assert told == {
        "schema": "sama-report/1",
        "task": "fake",
        "model": "fake model",
        "complete": True,
        "questions": 12,
        "videos": 4,
    }
    assert "banner" not in document
    exact = document["metrics"]["exact"]
    assert set(exact) == {"value", "low", "high", "mode"}
    assert exact["value"] == pytest.approx(8 / 12)
    assert exact["mode"] == "reference"
    assert document["metrics"]["exact/strict"]["mode"] == "strict"
    assert document["metrics"]["count"] == {
        "value": 12.0, "low": None, "high": None, "mode": "reference", "unit": "questions"
    }  # fmt: skip


def measure(name: str, mode: Mode, subset: str = "") -> dict[str, object]:
    told = {"name": name, "mode": mode, "subset": subset, "value": 0.5, "low": 0.4, "high": 0.6}
    return {**told, "unit": "fraction", "missing": None}


def test_no_two_figures_share_a_name_and_a_name_keeps_its_meaning() -> None:
    both = [measure("miou", "reference"), measure("recall", "reference"), measure("recall", "strict")]
    both += [measure("miou_over_gt", "strict")]
    assert [figure.name for figure in read_figures(both, BOTH)] == ["miou", "recall", "recall/strict", "miou_over_gt"]
    only_strict_was_scored = [figure.name for figure in read_figures(both[2:], BOTH)]
    assert only_strict_was_scored == ["recall/strict", "miou_over_gt/strict"]
    there_is_no_other_mode = [figure.name for figure in read_figures(both[2:], ("strict",))]
    assert there_is_no_other_mode == ["recall", "miou_over_gt"]


def test_subsets_and_turns_are_told_apart(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run")
    scores = json.loads(folder.scores_path.read_text())
    parts = [measure("exact", "strict", part) for part in ("odd", "even", "turn 10", "turn 2")]
    folder.scores_path.write_text(json.dumps({**scores, "measures": scores["measures"] + parts}))
    document = report(folder)
    assert list(document["subsets"]) == ["even", "odd"]
    assert {key: document["subsets"]["odd"][key] for key in ("questions", "videos")} == {"questions": 6, "videos": 2}
    assert list(document["turns"]) == ["turn 2", "turn 10"]
    assert document["turns"]["turn 2"]["questions"] == 4
    page = (folder.path / "report.html").read_text()
    assert page.count("<polyline") == 1
    assert "exact (strict) by turn" in page


def test_reports_are_the_same_bytes_whatever_the_shards(tmp_path: Path) -> None:
    one, three = scored(tmp_path / "one"), scored(tmp_path / "three", shards=3)
    for folder in (one, three):
        report(folder, tmp_path)
    first = texts(one)
    assert first == texts(three)
    report(one, tmp_path)
    assert texts(one) == first


def test_an_incomplete_run_says_so_in_every_form(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run", FakeModel(failing=frozenset({"0/1", "3/2"})))
    document = report(folder)
    assert document["complete"] is False
    assert document["failed"] == {"cannot say": 2}
    assert document["banner"].startswith("INCOMPLETE: 10 of 12 questions answered; 2 failed (cannot say).")
    markdown, page = texts(folder)["report.md"], texts(folder)["report.html"]
    assert "> **INCOMPLETE: 10 of 12" in markdown.split("##")[0]
    assert '<div class="banner" role="alert">INCOMPLETE: 10 of 12' in page
    assert "<title>INCOMPLETE: fake model on fake</title>" in page
    assert "10 of 12 / 4" in page
    assert "10 of 12 / 4" in markdown
    questions = embedded(page)
    assert [one["id"] for one in questions if one["error"] is not None] == ["0/1", "3/2"]


def test_a_complete_run_has_no_banner(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run")
    report(folder)
    assert not any("INCOMPLETE" in text for text in texts(folder).values())
    assert 'class="banner"' not in texts(folder)["report.html"]


def test_questions_that_were_never_asked_are_listed_as_such(tmp_path: Path) -> None:
    job = Job(FakeTask(), OpenedSource(FakeModel()), TaskOptions())
    folder = RunFolder(tmp_path / "run")
    run_shard(job, folder, Shard(0, 2), lambda done, total: None)
    score_run(folder, BOTH, ToolsChoice(), 1, task=FakeTask())
    document = report(folder)
    assert document["missing"] > 0
    unasked = [one for one in embedded(texts(folder)["report.html"]) if one["error"] == "not asked yet"]
    assert len(unasked) == document["missing"]


def test_a_run_cut_short_is_incomplete(tmp_path: Path) -> None:
    document = report(scored(tmp_path / "run", limit=6))
    assert document["complete"] is False
    assert "the first 6" in document["banner"]


def test_scores_of_other_answers_are_refused(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run", FakeModel(failing=frozenset({"0/1"})))
    run(tmp_path / "run")  # answers what failed
    with pytest.raises(
        DataError, match="has changed since it was scored .12 of 12 questions answered.; run sama bench"
    ):
        report(folder)


def test_a_run_without_scores_is_refused_with_the_next_step(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    with pytest.raises(DataError, match="is not scored; run sama bench score"):
        report(folder)


def embedded(page: str) -> list[dict[str, object]]:
    return json.loads(re.search(r'<script type="application/json" id="questions">(.*?)</script>', page, re.S)[1])


def test_hostile_answers_stay_text(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run", HostileModel())
    report(folder)
    page = texts(folder)["report.html"]
    elements = Elements(page)
    assert len(elements.named("script")) == 2
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in elements.named("img"))
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    assert HOSTILE in "".join(text for text, _ in embedded(page)[0]["answer"])
    assert "<script" not in texts(folder)["report.md"]


def test_only_the_pages_own_script_and_style_may_run(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run")
    report(folder)
    page = texts(folder)["report.html"]
    policy = next(one["content"] for one in Elements(page).named("meta") if "http-equiv" in one)
    for tag in ("script", "style"):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"https?://", page)
    assert 'style="' not in page


def test_pictures_are_jpegs_of_the_frames_and_few(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run")
    report(folder, tmp_path, pictured=3)
    page = texts(folder)["report.html"]
    images = [image["src"].partition(",")[2] for image in Elements(page).named("img")]
    assert len(images) == 3 * 2 * 2  # questions, frames with masks, sides
    picture = Image.open(io.BytesIO(base64.b64decode(images[0])))
    assert picture.format == "JPEG"
    assert (picture.width / picture.height, picture.width <= 420) == (WIDTH / HEIGHT, True)
    assert "plain ground" not in page


def test_without_data_masks_lie_on_a_plain_ground_and_it_is_said(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run")
    report(folder)
    assert "plain ground: no --data was given" in texts(folder)["report.html"]


def test_no_pictures_on_request(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run")
    report(folder, tmp_path, pictured=0)
    assert Elements(texts(folder)["report.html"]).named("img") == []


def test_quoted_figures_stand_apart_from_the_measured(tmp_path: Path) -> None:
    class Mevis(FakeTask):
        name = "mevis-valid-u"

    job = Job(Mevis(), OpenedSource(FakeModel()), TaskOptions())
    folder = RunFolder(tmp_path / "run")
    run_shard(job, folder, Shard(), lambda done, total: None)
    score_run(folder, BOTH, ToolsChoice(), 1, task=Mevis())
    write_report(folder, None, 0, task=Mevis())
    markdown, page = texts(folder)["report.md"], texts(folder)["report.html"]
    document = json.loads(texts(folder)["report.json"])
    assert {row["model"] for row in document["quoted"]["rows"]} >= {"SAMA-8B", "Molmo2-8B"}
    measured = json.dumps([document["metrics"], document["subsets"], document["turns"]])
    assert "Molmo2" not in measured
    for text in (markdown, page):
        ours, theirs = text.split(HEADING, 1)
        assert "Molmo2" not in ours
        assert "70.8" in theirs
        assert "◇" in theirs
        assert "exact" in ours
    assert page.index('class="quoted"') > page.rindex('<section data-mode="strict">')
    assert "exact" not in page[page.index('class="quoted"') : page.index("<h2>This run</h2>")]


def test_a_submission_is_shown_with_its_fingerprint(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run")
    told = {"schema": "sama-submission/1", "file": "x.zip", "pngs": 88, "sha256": "ab" * 32}
    (folder.path / "submission.json").write_text(json.dumps(told))
    assert report(folder)["submission"] == told
    assert all("ab" * 32 in text for text in texts(folder).values())


def test_worst_questions_come_first_and_the_median_ones_lie_in_the_middle(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run")
    read = read_report(folder, FakeTask())
    said = said_of(read, folder.predictions())
    marked = [replace(one, main={"strict": ("iou", float(place))}) for place, one in enumerate(reversed(said))]
    worst, median = pick(marked, ("reference", "strict"), 4).values()
    assert [one.main["strict"][1] for one in worst] == [0, 1]
    assert [one.main["strict"][1] for one in median] == [5, 6]
    every = pick(marked, ("strict",), 50)
    assert sum(len(group) for group in every.values()) == len(said)


def test_questions_with_masks_are_picked_where_there_are_some(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run")
    said = said_of(read_report(folder, FakeTask()), folder.predictions())
    (picked,) = pick(said, ("strict",), 4, {said[3].sample_id}).values()
    assert picked == (said[3],)
    assert len([one for group in pick(said, ("strict",), 4, set()).values() for one in group]) == 4


class ManyParts(FakeTask):
    """Figures of more parts than a table has room for as columns, the last of them of none of its own questions."""

    def summarise(self, rows, mode, tools):  # type: ignore[no-untyped-def]
        summary = super().summarise(rows, mode, tools)
        parts = ["even", "odd", *(f"kind {idx}" for idx in range(WIDE))]
        measures = (Measure("iou", mode, part, value=0.25) for part in parts)
        return replace(summary, measures=(*summary.measures, *measures))


def test_many_parts_become_rows_and_only_questions_of_their_own_are_counted(tmp_path: Path) -> None:
    folder, task = run(tmp_path / "run"), ManyParts()
    score_run(folder, ("strict",), ToolsChoice(), 1, task=task)
    write_report(folder, None, 0, task=task)
    document, markdown, page = texts(folder).values()
    assert "| even | 6 / 2 | iou 25.0 |" in markdown
    assert "| kind 8 | — | iou 25.0 |" in markdown
    assert '<th scope="row">odd</th><td>6 / 2</td>' in page
    assert "questions" not in json.loads(document)["subsets"]["kind 8"]


class Drawn(FakeTask):
    """Its clips come from no file."""

    needs_data = False


def test_frames_are_shown_without_data_where_the_benchmark_draws_them(tmp_path: Path) -> None:
    folder = scored(tmp_path / "run")
    said = said_of(read_report(folder, FakeTask()), folder.predictions())
    assert clips_of(FakeTask(), folder.run, None, said) == {}
    assert set(clips_of(Drawn(), folder.run, None, said)) == {one.sample_id for one in said}
    otherwise = replace(said[0], question="Which other one?")
    assert clips_of(Drawn(), folder.run, None, [otherwise]) == {}


def test_answers_of_a_benchmark_without_scores_are_shown_all_the_same(tmp_path: Path) -> None:
    said = said_of(read_report(scored(tmp_path / "run"), FakeTask()), RunFolder(tmp_path / "run").predictions())
    bare = [replace(one, main={}) for one in said]
    assert [len(group) for group in pick(bare, ("strict",), 3).values()] == [3]


def test_phrases_keep_their_masks_and_long_answers_are_cut() -> None:
    pieces = pieces_of("See <p> the cat </p> [SEG] and <p> a dog </p>.")
    assert [(piece.text, piece.phrase, piece.mask_idx) for piece in pieces] == [
        ("See ", False, None),
        ("the cat", True, 0),
        (" and ", False, None),
        ("a dog", True, None),
        (".", False, None),
    ]
    (cut,) = pieces_of("a" * 10 * LONGEST)
    assert len(cut.text) < LONGEST + 20
    assert cut.text.endswith("(cut)")


def test_predictions_share_the_colour_of_what_they_overlap_most() -> None:
    wanted = (box_track(0), box_track(6))
    given = (box_track(5), box_track(3), box_track(1))
    assert pair_colours(wanted, given) == (("obj1", "obj2"), ("obj2", "obj3", "obj1"))
    assert pair_colours((), given)[1] == ("obj1", "obj2", "obj3")


def test_frames_are_those_with_masks() -> None:
    some, none = box_track(0)[0], None
    assert frames_to_show([(none, some, some, none)], [(none, none, none, some)]) == (1, 2, 3)
    assert frames_to_show([(none, some)], []) == (1,)
    assert frames_to_show([(none, none)], [(none, encode(np.zeros((HEIGHT, WIDTH), bool)))]) == ()


def answer(wanted: tuple[object, ...], given: tuple[object, ...]) -> Prediction:
    names = ("q", "fake", "fake", "", "v", "q", "?")
    return Prediction(*names, gt_text="", gt_phrases=(), gt_tracks=wanted, pred_text="x", pred_tracks=given)


def test_masks_that_only_a_score_needs_are_not_shown() -> None:
    stored = answer((box_track(0), box_track(4)), ())
    assert len(illustrate(stored, None).reference_objects) == 2
    assert illustrate(stored, None, Revos.answering).reference_objects == ("obj1",)


def test_masks_that_do_not_fit_give_a_reason_instead_of_a_picture() -> None:
    larger = (encode(np.ones((20, 20), bool)),) * FRAMES
    drawn = illustrate(answer((box_track(0),), (larger,)), None)
    assert drawn.pictures == ()
    assert drawn.note.startswith("no picture: ")
    other_frames = illustrate(answer((), (larger,)), lambda: FakeTask().clip(1))
    assert other_frames.note == "plain ground: the masks are 20x20, the frames 10x8"
    assert len(other_frames.pictures) == 3


def test_charts_leave_out_what_has_no_common_scale() -> None:
    share, count = read_figures(
        [measure("miou", "strict"), {**measure("n", "strict"), "unit": "questions"}], ("strict",)
    )
    assert interval_bar(share).count("<line") == 2
    assert interval_bar(count) == ""
    unknown = replace(share, value=None, low=None, high=None)
    drawn = curve("x < y", [CurvePoint("turn 1", 3, share), CurvePoint("turn 2", 0, unknown)])
    assert drawn.count("<circle") == 1
    assert drawn.count("n = ") == 2
    assert "x &lt; y" in drawn


def test_cells_cannot_break_a_table() -> None:
    assert table(("a",), [("x | y\n<b>",)]).splitlines()[-1] == "| x \\| y &lt;b> |"


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the miniature of SAMA-Bench G, with the oracle's answers and with noisy ones, scored without captions."""
    data = need_folder("SAMA_BENCH_FIXTURES_DIR", REPOSITORY.parent / "shared" / "fixtures" / "bench_mini")
    folder = tmp_path_factory.mktemp("miniature")
    for name in ("oracle", "noisy"):
        words = ["--model", f"file:{data / f'predictions_{name}.jsonl'}", "--data", str(data)]
        assert main(["bench", "run", "sama-bench-g", *words, "--out", str(folder / name)]) == 0
        assert main(["bench", "score", str(folder / name), "--no-captions"]) == 0
    return folder


def test_the_command_reports_the_miniature(miniature: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = need_folder("SAMA_BENCH_FIXTURES_DIR", REPOSITORY.parent / "shared" / "fixtures" / "bench_mini")
    capsys.readouterr()
    words = ["bench", "report", str(miniature / "noisy"), "--data", str(data), "--pictures", "2"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((miniature / "noisy" / "report.json").read_text())
    expected = json.loads((data / "expected_scores.json").read_text())["predictions_noisy.jsonl"]["G"]
    over_videos = expected["total"]["mean_over_videos"]
    assert told["metrics"]["miou"]["value"] == pytest.approx(over_videos["reference"]["miou"])
    assert told["metrics"]["recall/strict"]["value"] == pytest.approx(over_videos["strict"]["recall"])
    assert {name: part["questions"] for name, part in told["subsets"].items()} == {
        name: part["questions"] for name, part in expected["per_subset"].items()
    }
    assert [told["turns"][f"turn {turn}"]["questions"] for turn in (1, 2, 3, 4)] == [8, 8, 8, 1]
    page = (miniature / "noisy" / "report.html").read_text()
    assert "plain ground" not in page
    assert page.count("data:image/jpeg") >= 4
    assert main(words) == 0
    assert "miou: 64.5 (" in capsys.readouterr().out


def test_the_command_compares_the_miniatures(miniature: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    pair = [str(miniature / "oracle"), str(miniature / "noisy")]
    assert main(["bench", "compare", *pair, "--no-captions", "--json", "--out", str(miniature / "both")]) == 0
    told = json.loads(capsys.readouterr().out)
    miou = next(one for one in told["differences"] if (one["name"], one["subset"]) == ("miou", ""))
    assert (miou["verdict"], miou["videos"]) == ("A is higher", 8)
    assert miou["value"] == pytest.approx(0.8854166 - 0.6454246, abs=1e-6)
    assert json.loads((miniature / "both" / "comparison.json").read_text()) == told
    assert "| miou, % | 88.5 | 64.5 | +24.0 |" in (miniature / "both" / "comparison.md").read_text()


@pytest.mark.slow
def test_the_page_runs_in_a_browser_and_hostile_answers_do_not(tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("there is no Chromium")
    folder = scored(tmp_path / "run", HostileModel())
    report(folder, tmp_path)
    page = folder.path / "report.html"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    words = [browser, *options, "--virtual-time-budget=3000", "--dump-dom", page.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    dom = Elements(done.stdout)
    assert "12 of 12 questions, 12 shown" in done.stdout  # written by the page's script
    assert len(dom.named("details")) == 12
    assert len(dom.named("script")) == 2
    assert not any("onerror" in attributes for attributes in dom.named("img"))
