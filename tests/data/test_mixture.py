"""The mixture's order: exact shares, everything reached before anything repeats, the same for any ranks and workers."""

import json
import logging
import pickle
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from itertools import islice
from multiprocessing import get_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_video.data.findings import FaultError, Findings
from sama_video.data.mixture import BLOCK, Choice, Mixture
from sama_video.data.mixture_order import Apportionment, permuted
from sama_video.data.mixture_shares import MixturePart
from sama_video.data.records import TASKS, DialogueRecord, FileClip, RecordTurn, Task
from sama_video.data.stores.store import RecordStore
from sama_video.errors import DataError, VideoError


class CountedStore(RecordStore):
    """Records called by their number; some of them refused."""

    def __init__(self, size: int, tasks: tuple[Task, ...] = ("dialogue",), bad: frozenset[int] = frozenset()) -> None:
        self.name = "counted"
        self.findings = Findings()
        self.size, self.tasks, self.bad = size, tasks, bad

    def __len__(self) -> int:
        return self.size

    def record(self, index: int, epoch: int = 0) -> DialogueRecord:
        if index in self.bad:
            raise FaultError("bad_rle", "masks.json", f"record {index}", "the mask is cut off")
        turn = RecordTurn("Is it day?", (), "Yes.", ())
        return DialogueRecord(f"{index}", FileClip("a.mp4", 1, 4, 4), (), (turn,), "made", "CC0-1.0")

    def task(self, index: int) -> Task:
        return self.tasks[index % len(self.tasks)]


def mixture_of(*sizes: int, **options) -> Mixture:
    return Mixture([MixturePart(f"part{n}", CountedStore(size)) for n, size in enumerate(sizes)], **options)


@given(st.integers(1, 1200), st.integers(0, 2**64 - 1))
@settings(max_examples=25)
def test_permutation_takes_each_place_once(count: int, key: int) -> None:
    assert sorted(permuted(place, count, key) for place in range(count)) == list(range(count))


def test_permutations_of_other_keys_are_others() -> None:
    orders = {tuple(permuted(place, 5, key) for place in range(5)) for key in range(1500)}
    assert len(orders) == 120  # all there are
    firsts = Counter(permuted(0, 5, key) for key in range(1500))
    assert all(abs(count - 300) < 75 for count in firsts.values())


def test_permutation_of_a_huge_part_needs_no_list() -> None:
    places = [permuted(place, 10**12, 7) for place in range(1000)]
    assert len(set(places)) == 1000
    assert min(places) < 10**10 < 9 * 10**11 < max(places)


shares = st.lists(st.integers(1, 50), min_size=1, max_size=9).map(
    lambda weights: [Fraction(one, sum(weights)) for one in weights]
)


@given(shares, st.integers(0, 10**9), st.integers(0, 1000))
def test_apportionment_is_exact_and_never_takes_back(parts: list[Fraction], draws: int, more: int) -> None:
    apportionment = Apportionment(parts)
    before, after = apportionment.counts(draws), apportionment.counts(draws + more)
    assert sum(before) == draws
    assert all(later >= earlier for earlier, later in zip(before, after, strict=True))
    assert all(abs(count - draws * share) <= 4 for count, share in zip(before, parts, strict=True))


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=1, max_size=4),
    st.integers(0, 1000),
    st.sampled_from(["draws", "passes"]),
)
@settings(max_examples=8)
def test_every_record_of_a_part_comes_before_any_comes_again(parts: list, seed: int, weighting: str) -> None:
    mixture = Mixture(
        [MixturePart(f"p{n}", CountedStore(size), weight) for n, (size, weight) in enumerate(parts)],
        seed=seed,
        balance="none",
        weighting=weighting,
    )
    seen: dict[int, list[Choice]] = {}
    for position in range(3 * BLOCK):
        choice = mixture.choice(position)
        seen.setdefault(choice.part, []).append(choice)
    for part, choices in seen.items():
        size = parts[part][0]
        for epoch in range(len(choices) // size):
            one_pass = choices[epoch * size : (epoch + 1) * size]
            assert sorted(choice.index for choice in one_pass) == list(range(size))
            assert {choice.epoch for choice in one_pass} == {epoch}


def test_passes_of_an_epoch_are_all_records_each_so_often() -> None:
    # What the published sampler gets wrong: the end of its mix is never drawn.
    mixture = Mixture(
        [
            MixturePart("a", CountedStore(30), 4),
            MixturePart("b", CountedStore(50), 1),
            MixturePart("c", CountedStore(7), 10),
        ],
        balance="none",
        weighting="passes",
    )
    epoch = 30 * 4 + 50 + 7 * 10
    choices = [mixture.choice(position) for position in range(8 * epoch)]
    counts = Counter((choice.part, choice.index) for choice in choices)
    assert len(counts) == 30 + 50 + 7
    for (part, _), count in counts.items():
        assert abs(count - 8 * (4, 1, 10)[part]) <= 1


@pytest.mark.parametrize(
    ("weights", "wanted"), [((1, 1), (0.5, 0.5)), ((0.1, 0.3), (0.25, 0.75)), ((3, 1e-3), (3000 / 3001, 1 / 3001))]
)
def test_shares_are_exact_over_long_runs(weights: tuple, wanted: tuple) -> None:
    parts = [MixturePart(f"p{n}", CountedStore(9), weight) for n, weight in enumerate(weights)]
    mixture = Mixture(parts, balance="none")
    draws = 8 * BLOCK
    counts = Counter(mixture.choice(position).part for position in range(draws))
    assert [abs(counts[n] - draws * share) <= 1 for n, share in enumerate(wanted)] == [True, True]


def test_every_block_holds_the_shares_in_an_order_of_its_own() -> None:
    mixture = mixture_of(100, 100, 100, balance="none")
    blocks = [[mixture.choice(number * BLOCK + slot).part for slot in range(BLOCK)] for number in range(3)]
    assert all(max(Counter(block).values()) - min(Counter(block).values()) <= 2 for block in blocks)
    assert blocks[0] != blocks[1] != blocks[2]
    assert blocks[0] != sorted(blocks[0])


def test_tasks_are_balanced_and_parts_share_inside_a_task() -> None:
    parts = [
        MixturePart("talks", CountedStore(300, ("dialogue", "dialogue", "referring"))),
        MixturePart("words", CountedStore(10, ("grounding",)), 2),
        MixturePart("more words", CountedStore(90, ("grounding",)), 1),
    ]
    told = {(name, task): share for name, task, _, share in Mixture(parts).shares()}
    third = Fraction(1, 3)
    assert told == {
        ("talks", "referring"): third,
        ("talks", "dialogue"): third,
        ("words", "grounding"): third * 2 / 3,
        ("more words", "grounding"): third / 3,
    }
    stated = Mixture(parts, balance={"grounding": 3, "dialogue": 1})
    assert Counter(stated.parts[stated.choice(p).part].name for p in range(4 * BLOCK)) == {
        "talks": BLOCK,
        "words": 2 * BLOCK,
        "more words": BLOCK,
    }
    talks = parts[0].store
    drawn = {stated.choice(p).index for p in range(5 * BLOCK) if stated.choice(p).part == 0}
    assert {talks.task(index) for index in drawn} == {"dialogue"}
    by_size = {(name, task): share for name, task, _, share in Mixture(parts, weighting="passes").shares()}
    assert by_size["words", "grounding"] / by_size["more words", "grounding"] == Fraction(20, 90)


@given(st.integers(1, 7), st.integers(0, 50))
@settings(max_examples=10)
def test_ranks_together_read_the_one_order(ranks: int, start: int) -> None:
    mixture = mixture_of(13, 29, seed=5)
    read = {}
    for rank in range(ranks):
        for position in islice(mixture.positions(rank, ranks, start), 20):
            assert position not in read
            read[position] = mixture.choice(position)
    whole = mixture_of(13, 29, seed=5)
    assert read == {position: whole.choice(position) for position in range(start, start + 20 * ranks)}


def choices_of(mixture: Mixture, positions: list[int]) -> list[Choice]:
    return [mixture.choice(position) for position in positions]


def test_order_does_not_depend_on_what_was_read_before() -> None:
    mixture = mixture_of(50, 20, seed=3)
    wanted = choices_of(mixture, list(range(400)))
    copy = pickle.loads(pickle.dumps(mixture))
    assert [*reversed(choices_of(copy, list(range(399, -1, -1))))] == wanted


@pytest.mark.slow
def test_worker_processes_read_the_same() -> None:
    mixture = mixture_of(50, 20, seed=3)
    chunks = [list(range(number, 400, 4)) for number in range(4)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(choices_of, mixture, chunk) for chunk in chunks]
        assert [future.result() for future in futures] == [choices_of(mixture, chunk) for chunk in chunks]


def test_order_is_that_of_the_seed_and_of_no_library() -> None:
    # Written down: a run that is resumed with a later version goes on with the same records.
    mixture = mixture_of(1000, 10, seed=1, balance="none")
    assert [(one.part, one.index) for one in choices_of(mixture, list(range(6)))] == GOLDEN
    assert choices_of(mixture_of(1000, 10, seed=2, balance="none"), [0, 1]) != choices_of(mixture, [0, 1])
    seeds = [mixture.choice(position).seed for position in range(500)]
    assert len(set(seeds)) == 500
    assert all(0 <= seed < 2**63 for seed in seeds)


GOLDEN = [(1, 3), (0, 915), (1, 9), (0, 826), (0, 864), (1, 6)]


def test_part_keeps_its_order_when_others_come() -> None:
    alone = mixture_of(40, seed=2)
    pair = Mixture([MixturePart("new", CountedStore(5), 3), MixturePart("part0", CountedStore(40))], seed=2)
    of_part = [one.index for one in choices_of(pair, list(range(10 * BLOCK))) if one.part == 1]
    assert of_part[:40] == [one.index for one in choices_of(alone, list(range(40)))]


def with_bad(bad: set[int], size: int = 20, **options) -> Mixture:
    parts = [MixturePart("a", CountedStore(size, bad=frozenset(bad))), MixturePart("b", CountedStore(9))]
    return Mixture(parts, balance="none", **options)


def test_bad_record_is_replaced_and_nothing_else_moves(caplog: pytest.LogCaptureFixture) -> None:
    sound, spoilt = with_bad(set()), with_bad({3, 7})
    positions = range(6 * BLOCK)
    with caplog.at_level(logging.WARNING):
        for position in positions:
            wanted, found = sound.choice(position), spoilt.record(position)
            if wanted.part == 0 and wanted.index in (3, 7):
                assert found.record_id not in ("3", "7")
                assert found == spoilt.draw(position).item  # the same again
                assert spoilt.draw(position).choice.part == 0
            else:
                assert found.record_id == str(wanted.index)
    met = Counter(sound.choice(position).index for position in positions if sound.choice(position).part == 0)
    assert list(spoilt.drops) == ["a"]
    assert spoilt.drops["a"]["bad_rle"] >= met[3] + met[7] > 0
    assert len(caplog.records) == 1
    assert "bad_rle" in caplog.text


def test_strict_mixture_stops_at_a_bad_record() -> None:
    mixture = with_bad({3}, strict=True)
    bad = next(p for p in range(6 * BLOCK) if mixture.choice(p).part == 0 and mixture.choice(p).index == 3)
    assert mixture.record(bad + 1)
    with pytest.raises(FaultError, match="cut off"):
        mixture.record(bad)


def test_part_without_a_usable_record_ends_the_run() -> None:
    mixture = with_bad(set(range(20)))
    position = next(p for p in range(BLOCK) if mixture.choice(p).part == 0)
    with pytest.raises(DataError, match=r"part 'a': 20 records in a row"):
        mixture.record(position)


def test_what_cannot_be_decoded_is_replaced_as_well() -> None:
    mixture = mixture_of(10, balance="none")

    def decode(record: DialogueRecord, choice: Choice) -> str:
        if record.record_id == "4":
            raise VideoError("the video is damaged; fetch it again.")
        return record.record_id

    drawn = [mixture.draw_with(position, decode) for position in range(10)]
    assert [one.item for one in drawn].count("4") == 0
    refused = [one for each in drawn for one in each.refused]
    assert [(one.index, one.reason) for one in refused] == [(4, "unreadable_video")]
    assert not mixture.drops
    mixture.count(refused)
    assert mixture.drops == {"part0": {"unreadable_video": 1}}

    def broken(record: DialogueRecord, choice: Choice) -> str:
        raise KeyError("a mistake of the program")

    with pytest.raises(KeyError):
        mixture.draw_with(0, broken)


@pytest.mark.parametrize("stop", [0, 1, 77, BLOCK, 299])
def test_resumed_run_reads_what_the_unbroken_one_does(stop: int) -> None:
    unbroken = [record.record_id for record in islice(with_bad({3, 5}).stream(1, 2), 300)]
    first = with_bad({3, 5})
    begun = [record.record_id for record in islice(first.stream(1, 2), stop)]
    state = json.loads(json.dumps(first.state()))
    assert state["position"] == 2 * stop
    second = pickle.loads(pickle.dumps(with_bad({3, 5})))
    second.restore(state)
    assert second.drops == first.drops
    rest = [record.record_id for record in islice(second.stream(1, 2), 300 - stop)]
    assert begun + rest == unbroken
    whole = with_bad({3, 5})
    list(islice(whole.stream(1, 2), 300))
    assert second.drops == whole.drops


@pytest.mark.parametrize(
    "other",
    [
        lambda: mixture_of(10, 20, seed=1),
        lambda: mixture_of(10, 21),
        lambda: mixture_of(10, 20, 30),
        lambda: mixture_of(10, 20, weighting="passes"),
    ],
)
def test_state_of_another_mixture_is_refused(other) -> None:
    state = mixture_of(10, 20).state(4)
    with pytest.raises(DataError, match="resume with the same data"):
        other().restore(state)
    with pytest.raises(DataError, match="schema"):
        mixture_of(10, 20).restore({**state, "schema": "sama-mixture/9"})


@pytest.mark.parametrize(
    ("parts", "options", "message"),
    [
        ([], {}, "no parts"),
        ([("a", 1, 1), ("a", 1, 1)], {}, "two parts"),
        ([("a", 0, 1)], {}, "no records"),
        ([("a", 1, 0)], {}, "weight of part 'a' is 0"),
        ([("a", 1, float("nan"))], {}, "weight of part 'a' is nan"),
        ([("a", 1, 1)], {"balance": "fair"}, "'fair'"),
        ([("a", 1, 1)], {"balance": {}}, "names no task"),
        ([("a", 1, 1)], {"balance": {"vqa": 1}}, "no part has such records"),
        ([("a", 1, 1)], {"balance": {"talk": 1}}, "'talk'"),
        ([("a", 1, 1)], {"weighting": "size"}, "'size'"),
    ],
)
def test_mixture_that_cannot_be_is_refused(parts: list, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        Mixture([MixturePart(name, CountedStore(size), weight) for name, size, weight in parts], **options)
    assert "\n" not in str(caught.value)


def test_positions_and_ranks_are_checked() -> None:
    with pytest.raises(DataError, match="rank 2 of 2"):
        next(mixture_of(3).positions(2, 2))
    with pytest.raises(DataError, match="position -1"):
        mixture_of(3).choice(-1)


def test_all_tasks_can_be_mixed() -> None:
    mixture = Mixture([MixturePart("all", CountedStore(60, TASKS))])
    drawn = Counter(mixture.parts[0].store.task(mixture.choice(p).index) for p in range(6 * BLOCK))
    assert set(drawn) == set(TASKS)
    assert max(drawn.values()) - min(drawn.values()) <= 2
