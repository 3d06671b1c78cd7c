"""Conversations that the server remembers, so that a caller who sends all of one gets its next turn at a turn's cost.

What is remembered is a cache: forgetting costs time, because a caller's `grounding` brings a turn back. `same_turns`
tells when a caller's turn is one that is known.

Memory. A conversation holds its cache, its objects and its words; those about one clip under one key also share what
was encoded of the clip. The least recently used is dropped until all fit the budget, conversations before their clip.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from sama_video.app.server.remembered import Entry, Room, SharedFeatures
from sama_video.app.server.same_turns import first_link, link_of, link_of_answered
from sama_video.chat.grounding import grounding_digest
from sama_video.chat.loading import DEFAULT_CACHE_BYTES, LoadedModel
from sama_video.chat.replay import PastTurn, replay
from sama_video.chat.session import ChatSession
from sama_video.video.clip import Clip

__all__ = ["ConversationStats", "Conversations", "Lease", "PastTurn"]

FEATURES_SHARE = 4
"""One clip's features take at most this part of the budget."""
ROOM_BYTES = 32768
"""What a clip's objects take beside its features."""


@dataclass(frozen=True)
class ConversationStats:
    """What the cache did so far, and holds now.

    Attributes:
        hits: Requests with past turns, all of them known.
        partial_hits: Requests of which only the first turns were known.
        misses: Requests with past turns, none of them known.
        forks: Sessions that went on apart from where a remembered one had stood.
        turns_reused: Past turns that were known.
        turns_replayed: Past turns placed anew.
        evictions: Conversations dropped to make room.
        conversations: Remembered now, those in use included.
        in_use: Of these.
        clips: Whose encoded frames are kept.
        bytes: Of all this.
    """

    hits: int = 0
    partial_hits: int = 0
    misses: int = 0
    forks: int = 0
    turns_reused: int = 0
    turns_replayed: int = 0
    evictions: int = 0
    conversations: int = 0
    in_use: int = 0
    clips: int = 0
    bytes: int = 0


class Lease:
    """A session that stands where a request's past turns end; the caller's alone until the `with` block ends."""

    def __init__(self, owner: "Conversations", entry: Entry) -> None:
        self._owner = owner
        self._entry = entry

    def __enter__(self) -> ChatSession:
        return self._entry.session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owner._take_back(self._entry)


class Conversations:
    """The conversations that one model remembers. Any thread may use it; a session is one thread's at a time.

    Args:
        byte_budget: For what is kept between requests; sessions in use are kept whatever they take.
    """

    def __init__(self, model: LoadedModel, byte_budget: int) -> None:
        self.model = model
        self.byte_budget = byte_budget
        self._identity = [model.name, model.revision, model.protocol]
        self._lock = threading.RLock()
        self._rooms: dict[bytes, Room] = {}
        self._by_chain: dict[bytes, dict[Entry, None]] = {}
        self._recent: OrderedDict[Room | Entry, None] = OrderedDict()
        self._bytes = 0
        self._stats = ConversationStats()

    def open(self, key: str, clip_id: str, clip: Clip, turns: Sequence[PastTurn], **options: Any) -> Lease:
        """A session that stands exactly after these turns.

        Placing turns that are not known may look at frames of the clip; call this where the model may run.

        Args:
            key: Whose conversation it is; nothing is ever shared between keys.
            options: As for `LoadedModel.chat`: another protocol, `max_frames`, ...

        Raises:
            SamaError: A turn contradicts itself, the clip or the turns before it.
        """
        scope = first_link([*self._identity, key, clip_id, sorted(options.items())])
        chain = [scope]
        for turn in turns:
            chain.append(link_of(chain[-1], turn, clip))
        digests = [None if turn.grounding is None else grounding_digest(turn.grounding) for turn in turns]
        entry, num_known = self._stand(scope, clip_id, clip, chain, digests, options)
        try:
            for number, turn in enumerate(turns[num_known:], start=num_known + 1):
                replay(entry.session, turn)
                self._extend(entry, [chain[number]])
        except BaseException:
            self._take_back(entry)
            raise
        return Lease(self, entry)

    def forget(self, clip_id: str) -> None:
        """Drop every conversation about a clip that is not in use, and what was encoded of it."""
        with self._lock:
            for kept in list(self._recent):
                if isinstance(kept, Entry) and kept.room.clip_id == clip_id and not kept.in_use:
                    self._drop(kept)
            for room in [room for room in self._rooms.values() if room.clip_id == clip_id and not room.members]:
                self._drop(room)

    def stats(self) -> ConversationStats:
        """The figures now."""
        with self._lock:
            entries = [kept for kept in self._recent if isinstance(kept, Entry)]
            return replace(
                self._stats,
                conversations=len(entries),
                in_use=sum(entry.in_use for entry in entries),
                clips=len(self._rooms),
                bytes=self._bytes,
            )

    # finding

    def _stand(
        self,
        scope: bytes,
        clip_id: str,
        clip: Clip,
        chain: Sequence[bytes],
        digests: Sequence[str | None],
        options: dict[str, Any],
    ) -> tuple[Entry, int]:
        """An entry in our hands that stands after the longest known beginning, and how many turns that is."""
        with self._lock:
            room = self._room(scope, clip_id, clip, options)
            source, num_known = self._find(chain, digests)
            self._count(num_known, len(digests))
            if source is not None and not source.in_use and len(source.chain) == num_known + 1:
                source.in_use, source.standing = True, source.session.standing()
                return source, num_known
            session = room.first.another()
            entry = Entry(room, session, list(chain[: num_known + 1]), session.standing())
            self._keep(entry)
            is_free = source is not None and not source.in_use
            if source is not None:
                source.in_use = True
                self._recent.move_to_end(source)
        if source is not None:
            self._fork(source, entry, num_known, is_free=is_free)
        return entry, num_known

    def _find(self, chain: Sequence[bytes], digests: Sequence[str | None]) -> tuple[Entry | None, int]:
        """Whoever knows most of these turns; among equals the one that is cheapest to go on from."""
        for num_turns in range(len(chain) - 1, 0, -1):
            fitting = [
                entry
                for entry in self._by_chain.get(chain[num_turns], ())
                if entry.knows(digests[:num_turns]) and entry.standing_after(num_turns) is not None
            ]
            if fitting:
                return max(fitting, key=lambda entry: entry.worth(num_turns)), num_turns
        return None, 0

    def _fork(self, source: Entry, entry: Entry, num_turns: int, *, is_free: bool) -> None:
        """Let a new session go on from where another stood, with its cache if nobody else uses it."""
        try:
            standing = source.standing_after(num_turns)
            assert standing is not None, "only an entry that remembers the place is chosen"
            entry.session.stand(standing)
            entry.session.marks = source.session.marks.up_to(num_turns, standing.book)
            if is_free:
                entry.session.history.copy_cache(source.session.history)
        except BaseException:
            with self._lock:
                self._drop(entry)
            raise
        finally:
            if is_free:
                with self._lock:
                    source.in_use = False
        entry.standing = standing
        with self._lock:
            self._stats = replace(self._stats, forks=self._stats.forks + 1)

    def _count(self, num_known: int, num_turns: int) -> None:
        stats = self._stats
        kind = "hits" if num_known == num_turns else "partial_hits" if num_known else "misses"
        counted = {kind: getattr(stats, kind) + 1} if num_turns else {}
        self._stats = replace(
            stats,
            turns_reused=stats.turns_reused + num_known,
            turns_replayed=stats.turns_replayed + num_turns - num_known,
            **counted,
        )

    # keeping

    def _room(self, scope: bytes, clip_id: str, clip: Clip, options: dict[str, Any]) -> Room:
        if scope not in self._rooms:
            first = self.model.chat(clip, **options)
            first.masks.tracker.cache = SharedFeatures(min(DEFAULT_CACHE_BYTES, self.byte_budget // FEATURES_SHARE))
            self._rooms[scope] = Room(scope, clip_id, first)
        self._recent[self._rooms[scope]] = None
        return self._rooms[scope]

    def _keep(self, entry: Entry) -> None:
        entry.room.members += 1
        self._recent[entry] = None
        for link in entry.chain[1:]:
            self._by_chain.setdefault(link, {})[entry] = None

    def _extend(self, entry: Entry, links: Iterable[bytes]) -> None:
        """Others may from now on go on from where the entry stands."""
        standing = entry.session.standing()
        with self._lock:
            for link in links:
                entry.chain.append(link)
                self._by_chain.setdefault(link, {})[entry] = None
            entry.standing = standing

    def _take_back(self, entry: Entry) -> None:
        """The end of a lease: remember what was said, and make room."""
        session = entry.session
        usable = session.is_idle
        if usable:
            links: list[bytes] = []
            for turn in session.dialogue.turns[len(entry.chain) - 1 :]:
                links.append(link_of_answered((links or entry.chain)[-1], turn))
            self._extend(entry, links)
        own, shared = session.nbytes, session.shared_nbytes + ROOM_BYTES
        with self._lock:
            entry.in_use = False
            self._bytes += own - entry.size + shared - entry.room.size
            entry.size, entry.room.size = own, shared
            self._recent.move_to_end(entry)
            self._recent.move_to_end(entry.room)
            if not usable:
                self._drop(entry)
            self._make_room()

    def _make_room(self) -> None:
        while self._bytes > self.byte_budget:
            oldest = next((kept for kept in self._recent if kept.is_idle), None)
            if oldest is None:
                return
            if isinstance(oldest, Entry):
                self._stats = replace(self._stats, evictions=self._stats.evictions + 1)
            self._drop(oldest)

    def _drop(self, kept: Room | Entry) -> None:
        del self._recent[kept]
        self._bytes -= kept.size
        if isinstance(kept, Room):
            kept.first.close()
            del self._rooms[kept.scope]
            return
        # Sessions and what they are made of hold each other, so the memory would wait for the collector.
        kept.session.history.drop_cache()
        kept.room.members -= 1
        for link in kept.chain[1:]:
            entries = self._by_chain[link]
            entries.pop(kept, None)
            if not entries:
                del self._by_chain[link]
