"""The page's pure modules against the Python they mirror; they run in node, which is quick."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_server import PAGE

from sama_video.errors import RegionError
from sama_video.regions.ink import palette, text_on
from sama_video.regions.rle import Rle, area, box_of, decode, encode, overlap_areas

RUN = """
import { readFileSync } from "node:fs";
const { program, given } = JSON.parse(readFileSync(0, "utf-8"));
const url = "data:text/javascript," + encodeURIComponent(program.replaceAll('from "./', `from "${process.argv[2]}`));
const { run } = await import(url);
process.stdout.write(JSON.stringify(await run(given)));
"""


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    for path in PAGE.glob("*.js"):
        shutil.copy(path, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "run.mjs").write_text(RUN)
    return folder


def run(modules: Path, program: str, given: Any) -> Any:
    """Run a module's `export function run(given)`."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; the browser's tests use these modules too")
    done = subprocess.run(
        [node, str(modules / "run.mjs"), modules.as_uri() + "/"],
        input=json.dumps({"program": program, "given": given}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def some_masks() -> list[np.ndarray]:
    random = np.random.default_rng(7)
    masks = [np.zeros((5, 7), dtype=bool), np.ones((5, 7), dtype=bool), np.ones((1, 1), dtype=bool)]
    for share in (0.02, 0.5, 0.98):
        masks.append(random.random((37, 53)) < share)
    rows, columns = np.mgrid[:240, :320]
    masks.append((rows - 100) ** 2 + (columns - 200) ** 2 < 70**2)
    masks.append(rows * columns % 977 < 300)
    wide = np.zeros((3, 4000), dtype=bool)
    wide[0, 0] = wide[2, -1] = True
    masks.append(wide)
    return masks


CODEC = """
import { area, boxOf, contains, decode, encode, overlap } from "./rle.js";
import { loopsOf } from "./outline.js";
const shoelace = (loop) => loop.reduce((sum, [x, y], i) => {
    const [u, v] = loop[(i + 1) % loop.length];
    return sum + (x * v - u * y) / 2;
}, 0);
export const run = (masks) => masks.map((rle) => {
    const mask = decode(rle);
    const [height, width] = rle.size;
    return {
        pixels: Array.from(mask),
        again: encode(mask, height, width),
        area: area(rle),
        box: boxOf(rle),
        same: mask.every((value, i) => i % 97 || Boolean(value) === contains(rle, i % width, Math.floor(i / width))),
        outside: contains(rle, -1, 0) || contains(rle, width, 0) || contains(rle, 0, height),
        overlap: overlap(rle, masks.find((other) => other.size.join() === rle.size.join())),
        inside: loopsOf(rle).reduce((sum, loop) => sum + shoelace(loop), 0),
    };
});
"""


def test_codec_agrees_with_the_python_one(modules: Path) -> None:
    masks = some_masks()
    rles = [encode(mask) for mask in masks]
    for mask, rle, found in zip(masks, rles, run(modules, CODEC, rles), strict=True):
        assert found["pixels"] == mask.astype(int).ravel().tolist()
        assert found["again"] == rle
        assert found["area"] == area(rle)
        assert found["box"] == (None if box_of(rle) is None else list(box_of(rle) or ()))
        assert found["same"]
        assert not found["outside"]
        other = next(other for other in rles if other["size"] == rle["size"])
        assert tuple(found["overlap"]) == overlap_areas(rle, other)


def test_outline_goes_round_the_mask(modules: Path) -> None:
    masks = [some_masks()[6], np.ones((20, 30), dtype=bool)]
    ring = some_masks()[6].copy()
    ring[80:120, 180:220] = False
    discs, full, hole = run(modules, CODEC, [encode(mask) for mask in (*masks, ring)])
    assert discs["inside"] == pytest.approx(int(masks[0].sum()), rel=0.01)
    assert full["inside"] == pytest.approx(600, abs=1)
    assert hole["inside"] == pytest.approx(int(ring.sum()), rel=0.01)


def test_codec_reads_what_this_project_stores(modules: Path) -> None:
    from sama_video.app.demo import load_demo

    truth = load_demo().truth["red star"]
    rles: list[Rle] = [rle for rle in truth.rles[::24] if rle is not None]
    for rle, found in zip(rles, run(modules, CODEC, rles), strict=True):
        assert found["pixels"] == decode(rle).astype(int).ravel().tolist()


DAMAGED = ["~~", "0", "`", "PPPPPPPPPPPP", "\u20ac1", "11"]


def test_damaged_counts_are_refused_as_in_python(modules: Path) -> None:
    program = """
import { RleError, runsOf } from "./rle.js";
export const run = (masks) => masks.map((rle) => {
    try {
        return runsOf(rle);
    } catch (error) {
        return error instanceof RleError;
    }
});
"""
    rles: list[Rle] = [{"size": [4, 4], "counts": counts} for counts in DAMAGED]
    for rle in rles:
        with pytest.raises(RegionError):
            decode(rle)
    assert run(modules, program, rles) == [True] * len(rles)


def test_colours_are_those_of_the_overlay(modules: Path) -> None:
    program = """
import { palette, textOn } from "./ink.js";
export const run = (numbers) => numbers.map((number) => [palette(number), textOn(palette(number))]);
"""
    numbers = list(range(1, 60))
    expected = [[list(palette(f"obj{n}")), list(text_on(palette(f"obj{n}")))] for n in numbers]
    found = run(modules, program, numbers)
    # Halves are rounded to even in Python and up here, which no eye can see.
    assert np.abs(np.array(found) - np.array(expected)).max() <= 1


TEXT = """
import { nameFrom, partsOf } from "./answer_text.js";
export const run = (texts) => texts.map(({ text, phrases }) => ({
    parts: partsOf(text, phrases),
    names: phrases.map((phrase) => nameFrom(phrase.text)),
}));
"""


def phrase(text: str, words: str) -> dict[str, Any]:
    start = text.index(words)
    return {"text": words, "start": start, "end": start + len(words), "object": "obj1"}


def test_answer_is_cut_at_phrases_by_code_points(modules: Path) -> None:
    text = "😀 The 𝒻ast star turns 😀."
    found = run(modules, TEXT, [{"text": text, "phrases": [phrase(text, "The 𝒻ast star")]}])[0]
    assert [part["text"] for part in found["parts"]] == ["😀 ", "The 𝒻ast star", " turns 😀."]
    assert found["names"] == ["𝒻ast star"]


def test_phrases_that_overlap_or_lie_outside_lose_nothing_of_the_text(modules: Path) -> None:
    text = "A red star."
    spans = [(0, 5), (2, 10), (9, 99), (7, 7)]
    phrases = [{"text": "x", "start": start, "end": end, "object": None} for start, end in spans]
    found = run(modules, TEXT, [{"text": text, "phrases": phrases}])[0]
    assert "".join(part["text"] for part in found["parts"]) == text
    assert sum("phrase" in part for part in found["parts"]) == 1


TIMES: dict[str, list[tuple[float, float | None]]] = {
    "It waits from 1.2 s to 2.8 s.": [(1.2, 2.8)],
    "between 1 and 3 seconds": [(1, 3)],
    "1.5–2s, then at 4.0 s": [(1.5, 2), (4.0, None)],
    "at 12 seconds": [(12, None)],
    "3 stars and 2 squares": [],
    "2 stars": [],
    "from 3 s to 1 s": [],
    "0.5s": [(0.5, None)],
}


def test_times_become_links(modules: Path) -> None:
    found = run(modules, TEXT, [{"text": text, "phrases": []} for text in TIMES])
    for (text, times), told in zip(TIMES.items(), found, strict=True):
        assert [(part["from"], part["to"]) for part in told["parts"] if "from" in part] == times
        assert "".join(part["text"] for part in told["parts"]) == text


def test_frame_of_a_time_is_the_one_that_begins_nearest(modules: Path) -> None:
    program = """
import { frameAt } from "./player.js";
export const run = ({ times, seconds }) => seconds.map((time) => frameAt(times, time));
"""
    times = [0.0, 0.04, 0.08, 0.5, 0.54]
    seconds = [-1, 0, 0.0399, 0.041, 0.079, 0.2, 0.4, 0.5, 9]
    assert run(modules, program, {"times": times, "seconds": seconds}) == [0, 0, 1, 1, 2, 2, 3, 3, 4]


EDITS = """
import * as doc from "./document.js";
import { createBook } from "./store.js";
export function run() {
    const file = { id: "f", filename: "f.mp4", video: { frames: 3, height: 2, width: 2 } };
    let page = doc.newSession(file);
    let first, second;
    [page, first] = doc.withObject(page, {});
    [page, second] = doc.withObject(page, { from: "answer", masklet: { frames: [] } });
    const turn = { ...doc.newTurn([{ text: "a" }]), status: "done", names: { obj2: second.key } };
    page = doc.withTurn(page, turn);
    const forked = doc.forkAfter(page, turn.id);
    const replaced = doc.withTurn(page, doc.newTurn([{ text: "b" }]), turn.id);
    const book = createBook(page);
    book.commit("drop", (now) => doc.withoutObject(now, first.key));
    book.amend((now) => ({ ...now, draft: [{ text: "typed" }] }));
    book.undo();
    return {
        slots: page.objects.map((object) => object.slot),
        forked: forked.branches.map((branch) => branch.turns.length),
        names: doc.namesBefore(page),
        second: second.key,
        replaced: replaced.objects.map((object) => object.slot),
        undone: book.get().objects.length,
        draft: book.get().draft,
        redo: book.canRedo(),
    };
}
"""


def test_document_keeps_names_slots_and_drafts(modules: Path) -> None:
    found = run(modules, EDITS, None)
    assert found["slots"] == [1, 2]
    assert found["forked"] == [1, 1]
    assert found["names"] == {"obj2": found["second"]}
    assert found["replaced"] == [1]
    assert found["undone"] == 2
    assert found["draft"] == [{"text": "typed"}]
    assert found["redo"] == "drop"
