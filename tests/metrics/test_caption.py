import json
import os
import sys
import time
from pathlib import Path

import pytest

from sama_video.errors import DeviceError
from sama_video.metrics import caption, caption_programs
from sama_video.metrics.caption import METRICS, CaptionPair, CaptionScorer, cut_text, first_words
from sama_video.metrics.caption_programs import MeteorProcess, Programs, find_java, ptb_tokens, spice_scores

needs_package = pytest.mark.skipif(caption_programs.find_package() is None, reason="pycocoevalcap is not installed")
posix = pytest.mark.skipif(os.name != "posix", reason="the stand-ins for Java are shell scripts")

DOG = CaptionPair("a dog runs", ("a dog runs",))
SLEEP = CaptionPair("a dog sleeps", ("a dog runs",))
CAT = CaptionPair("the cat sits on a red mat", ("a cat sits on the mat",))
EMPTY = CaptionPair("", ("a dog runs",))


def fake_java(folder, lines):
    """A program in place of Java: a shell script."""
    path = folder / "java"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A state-of-the-art bag and/or box.", "a state-of-the-art bag and/or box"),
        ("You can't (see) [it] {now} ||| a.b", "you ca n't -lrb- see -rrb- -lsb- it -rsb- -lcb- now -rcb- | | | a.b"),
        ("Two lines\nof one\r\ncaption\u2028here\x85end", "two lines of one caption here end"),
        ("...", ""),
        ("café", "café"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("", ""),
    ],
)
@pytest.mark.slow
def test_tokens(text, tokens, caption_scorer):
    assert caption_scorer.tokens([text]) == (tokens,)


@pytest.mark.slow
def test_scores_of_a_corpus_are_means_or_pools_of_its_captions(caption_scorer):
    (scores,) = caption_scorer.score([DOG, SLEEP, CAT]).corpora
    assert set(scores.corpus) == set(scores.items) == set(METRICS) - {"SPICE"}
    for name in ("ROUGE_L", "CIDEr"):
        assert scores.corpus[name] == pytest.approx(sum(scores.items[name]) / 3)
    assert scores.corpus["Bleu_1"] == pytest.approx((3 + 2 + 6) / (3 + 3 + 7), abs=1e-6)
    assert scores.items["METEOR"][0] > scores.items["METEOR"][1]


@pytest.mark.slow
def test_an_empty_caption_scores_nothing_and_spoils_nothing(caption_scorer):
    (scores,) = caption_scorer.score([EMPTY, DOG, CaptionPair("...", ("...",))]).corpora
    for name in scores.items:
        assert (scores.items[name][0], scores.items[name][2]) == (0.0, 0.0), name
    assert scores.items["ROUGE_L"][1] == 1.0
    assert 0 < scores.corpus["METEOR"] < 1


@pytest.mark.slow
def test_cider_of_a_corpus_of_one_is_nothing_even_for_a_perfect_answer(caption_scorer):
    together, alone = caption_scorer.score([DOG, CAT], [[0, 1], [0]]).corpora
    assert alone.corpus["CIDEr"] == 0.0
    assert together.items["CIDEr"][0] == pytest.approx(7.5)  # three words hold no run of four, one of the four kinds
    assert together.items["METEOR"][0] == alone.items["METEOR"][0]


@pytest.mark.slow
def test_references_without_words_stop_nothing(caption_scorer):
    (scores,) = caption_scorer.score([CaptionPair("a dog runs", ("",)), CaptionPair("", ("",))]).corpora
    assert set(scores.corpus.values()) == {0.0} or max(scores.corpus.values()) < 1e-6


@pytest.mark.slow
def test_no_captions_are_no_corpus(caption_scorer):
    assert caption_scorer.score([]).corpora == ()


@pytest.mark.slow
def test_scoring_leaves_no_files(caption_scorer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = caption_programs.find_package()
    before = sorted(path for path in package.rglob("*") if "__pycache__" not in path.parts)
    caption_scorer.score([DOG, CAT])
    caption_scorer.tokens(["A caption that no other test has."])
    assert list(tmp_path.iterdir()) == []
    assert sorted(path for path in package.rglob("*") if "__pycache__" not in path.parts) == before


def test_texts_are_cut_by_words_then_by_characters():
    assert first_words("a b c", 2) == "a b"
    assert cut_text("a  b") == "a  b"
    assert len(cut_text("word " * 400).split()) == 300
    assert cut_text("x" * 3000) == "x" * 2000


def test_without_java_every_metric_is_missing_with_the_reason(monkeypatch):
    monkeypatch.setattr(caption, "find_java", lambda: None)
    with CaptionScorer() as scorer:
        scores = scorer.score([DOG, CAT], [[0], [1]])
        assert [dict(one.corpus) for one in scores.corpora] == [{}, {}]
        assert set(scores.missing) == set(METRICS)
        assert "Java" in scores.missing["METEOR"]
        with pytest.raises(DeviceError, match="Java is not installed"):
            scorer.tokens(["a dog"])


def test_without_the_package_every_metric_is_missing_with_the_reason(monkeypatch):
    monkeypatch.setattr(caption, "find_package", lambda: None)
    scores = CaptionScorer().score([DOG])
    assert set(scores.missing) == set(METRICS)
    assert "pip install 'sama-video[bench]'" in scores.missing["CIDEr"]


@posix
def test_java_home_comes_before_the_path(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    program = fake_java(tmp_path / "bin", [])
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java() == program


TOKENIZER = 'case "$*" in *PTBTokenizer*) exec cat;; esac'


@posix
@needs_package
@pytest.mark.parametrize(
    ("meteor", "message"),
    [
        (["read line", "kill -9 $$"], "METEOR, a Java program, was killed by signal 9"),
        (["echo 'Out of memory' >&2", "exit 3"], "METEOR, a Java program, ended with code 3: Out of memory"),
        (["exec sleep 60"], "METEOR, a Java program, said nothing for 0.5 seconds"),
        (["read line", "echo 'Error: no words'", "exec cat"], "refused a caption: Error: no words"),
    ],
)
def test_a_broken_meteor_is_told_in_one_line(tmp_path, meteor, message):
    java = fake_java(tmp_path, [TOKENIZER, *meteor])
    started = time.monotonic()
    with CaptionScorer(java=java, timeout_seconds=0.5) as scorer, pytest.raises(DeviceError) as error:
        scorer.score([DOG])
    assert time.monotonic() - started < 20
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@posix
@needs_package
@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (["exec sleep 60"], "the PTB tokenizer, a Java program, was not done after 0.5 seconds"),
        (["echo 'no class' >&2", "exit 1"], "ended with code 1: no class"),
        (["cat >/dev/null", "echo one"], "gave 1 lines for 2 captions"),
    ],
)
def test_a_broken_tokenizer_is_told_in_one_line(tmp_path, tokenizer, message):
    programs = Programs(fake_java(tmp_path, tokenizer), Path(), 0.5)
    with pytest.raises(DeviceError, match=message):
        ptb_tokens(["a", "b"], programs)


@needs_package
def test_a_program_that_is_not_there_is_told_in_one_line(tmp_path):
    programs = Programs(str(tmp_path / "nowhere"), caption_programs.find_package(), 5)
    for start in (lambda: ptb_tokens(["a"], programs), lambda: MeteorProcess(programs)):
        with pytest.raises(DeviceError, match="could not be started"):
            start()


@posix
@needs_package
def test_closing_ends_the_process_and_the_next_score_starts_another(tmp_path):
    starts = tmp_path / "starts"
    java = fake_java(tmp_path, [TOKENIZER, f"echo started >> {starts}", "while read line; do echo 0.5; done"])
    scorer = CaptionScorer(java=java, timeout_seconds=10)
    for expected in (1, 1, 2):
        if expected == 2:
            scorer.close()
        assert scorer._start_meteor().statistics("a dog", ["a dog"]) == "0.5"
        assert starts.read_text().count("started") == expected
    scorer.close()
    scorer.close()


@posix
@pytest.mark.slow
def test_spice_is_missing_without_its_models_and_the_rest_stays(caption_scorer):
    wants = CaptionScorer(spice=True)
    wants._tokens, wants._meteor = caption_scorer._tokens, caption_scorer._start_meteor()
    scores = wants.score([DOG, CAT])
    assert set(scores.missing) == {"SPICE"}
    assert "models of Stanford CoreNLP 3.6.0" in scores.missing["SPICE"]
    assert scores.corpora[0].corpus["ROUGE_L"] > 0


@posix
def test_spice_results_are_read_by_number(tmp_path):
    package = tmp_path / "package"
    (package / "spice" / "lib").mkdir(parents=True)
    (package / "spice" / "lib" / "stanford-corenlp-3.6.0-models.jar").touch()
    program = tmp_path / "spice.py"
    program.write_text(
        "import json, sys\n"
        "asked = json.load(open(sys.argv[-4]))\n"
        "found = [{'image_id': a['image_id'], 'scores': {'All': {'f': len(a['test']) / 10}}} for a in asked[::-1]]\n"
        "json.dump(found, open(sys.argv[-2], 'w'))\n",
        encoding="utf-8",
    )
    programs = Programs(fake_java(tmp_path, [f'exec {sys.executable} {program} "$@"']), package, 30)
    assert spice_scores([("a", ["x"]), ("four", ["x", "y"])], programs) == [0.1, 0.4]
    failing = Programs(fake_java(tmp_path, ["exit 1"]), package, 30)
    with pytest.raises(DeviceError, match="SPICE, a Java program, ended with code 1"):
        spice_scores([("a", ["x"])], failing)
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == '["java", "package", "spice.py"]'
