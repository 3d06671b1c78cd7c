"""A contact sheet: frames of a clip in rows and, beneath them, what was said about it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from sama_video.errors import RegionError
from sama_video.regions.ink import Colour, fitted, font, palette, text_on

_PAPER, _RULE, _INK, _FAINT = (252, 252, 250), (214, 214, 210), (24, 26, 30), (105, 108, 114)
_MARGIN, _GAP = 24, 12
_BODY, _SMALL = 22, 16
_LINE = 34
_PADDING = 6.0
_TALLEST_TILE = 460


@dataclass(frozen=True)
class Words:
    """Some words of a question or an answer; with an object they are painted in its colour and followed by its name."""

    text: str
    object_id: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class SpokenTurn:
    """A question and its answer as they are to be read: blanks are part of the words."""

    question: tuple[Words, ...]
    answer: tuple[Words, ...]


@dataclass(frozen=True)
class _Atom:
    """A piece of text that is never broken, and what it is drawn with."""

    text: str
    face: ImageFont.FreeTypeFont
    ink: Colour
    blank: bool  # a blank stands before it, where a line may break
    words_idx: int = -1  # which phrase it belongs to; -1 for none
    plate: Colour | None = None  # under the phrase; a phrase without an object is underlined instead
    lead: float = 0.0  # room before it
    trail: float = 0.0  # room after it

    @property
    def width(self) -> float:
        return self.lead + self.face.getlength(self.text) + self.trail


@dataclass
class _Line:
    """One line of text: atoms and the places where they start."""

    atoms: list[tuple[float, _Atom]] = field(default_factory=list)
    width: float = 0.0


def contact_sheet(
    frames: Sequence[UInt8[np.ndarray, "height width 3"]],
    frame_titles: Sequence[str],
    turns: Sequence[SpokenTurn] = (),
    colours: Mapping[str, Colour] | None = None,
    *,
    width: int = 1280,
) -> UInt8[np.ndarray, "sheet_height sheet_width 3"]:
    """Put frames in rows with a title each, and the dialogue beneath, its phrases coloured as their masks.

    Args:
        frames: Overlays of one size; they are resized unless they were drawn at `tile_scale`.
        frame_titles: One for each frame, such as `frame 12 - 0.50 s`.
        turns: What was said, in order.
        colours: By object id; objects without one get theirs from the palette.
        width: Of the sheet in pixels.
    """
    if len(frames) != len(frame_titles):
        raise RegionError(
            f"sheet has {len(frames)} frames and {len(frame_titles)} titles; give one title for each frame."
        )
    tiles = _tiles(frames, width)
    rows, columns = _rows_of(tiles, width)
    paragraphs = [(turn_idx, "QA"[part], lines) for turn_idx, part, lines in _paragraphs(turns, colours or {}, width)]
    text_height = sum(len(lines) * _LINE + (10 if mark == "A" else 0) for _, mark, lines in paragraphs)
    row_height = (tiles[0].height if tiles else 0) + _SMALL + 14 + _GAP
    grid_height = rows * row_height
    sheet = Image.new("RGB", (width, _MARGIN * 2 + grid_height + text_height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for place, (tile, title) in enumerate(zip(tiles, frame_titles, strict=True)):
        left = _MARGIN + (place % columns) * (tile.width + _GAP)
        top = _MARGIN + (place // columns) * row_height
        pen.text((left, top), fitted(title, font(_SMALL), tile.width), font=font(_SMALL), fill=_FAINT)
        sheet.paste(tile, (left, top + _SMALL + 8))
    top = _MARGIN + grid_height
    for turn_idx, mark, lines in paragraphs:
        if mark == "Q" and (turn_idx or tiles):
            pen.line((_MARGIN, top - 5, width - _MARGIN, top - 5), fill=_RULE)
        pen.text((_MARGIN, top + 4), mark, font=font(_BODY), fill=_FAINT)
        for line in lines:
            _draw_line(pen, line, _MARGIN + 36, top)
            top += _LINE
        top += 10 if mark == "A" else 0
    return np.array(sheet)


def tile_scale(num_frames: int, height: int, width: int, *, sheet_width: int = 1280) -> float:
    """How many times larger than the clip's frames the tiles of a sheet are.

    Overlays drawn at this scale enter the sheet as they are, with labels of a readable size.
    """
    columns = _columns(num_frames, width / height)
    tile_width = (sheet_width - 2 * _MARGIN - (columns - 1) * _GAP) // columns
    return min(tile_width / width, _TALLEST_TILE / height)


def _tiles(frames: Sequence[UInt8[np.ndarray, "height width 3"]], width: int) -> list[Image.Image]:
    """The frames, all at the size that fills a row of the sheet."""
    if not frames:
        return []
    if len({frame.shape for frame in frames}) > 1:
        raise RegionError("sheet frames differ in size; give overlays of one clip.")
    high, wide = frames[0].shape[:2]
    scale = tile_scale(len(frames), high, wide, sheet_width=width)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    return [Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS) for frame in frames]


def _columns(count: int, aspect: float) -> int:
    """Tiles in a row: fewer of wide frames than of tall ones, and rows as even as can be."""
    most = 3 if aspect > 2 else 4 if aspect > 1.2 else 6
    return math.ceil(count / math.ceil(count / most))


def _rows_of(tiles: Sequence[Image.Image], width: int) -> tuple[int, int]:
    if not tiles:
        return 0, 1
    columns = min(len(tiles), max(1, (width - 2 * _MARGIN + _GAP) // (tiles[0].width + _GAP)))
    return math.ceil(len(tiles) / columns), columns


def _paragraphs(
    turns: Sequence[SpokenTurn], colours: Mapping[str, Colour], width: int
) -> Iterator[tuple[int, int, list[_Line]]]:
    """For each turn its question (0) and its answer (1), broken into lines."""
    room = width - 2 * _MARGIN - 36
    for turn_idx, turn in enumerate(turns):
        for part, words in enumerate((turn.question, turn.answer)):
            yield turn_idx, part, _broken(list(_atoms(words, colours)), room)


def _atoms(words: Sequence[Words], colours: Mapping[str, Colour]) -> Iterator[_Atom]:
    body, small = font(_BODY), font(_SMALL)
    blank = False
    for words_idx, part in enumerate(words):
        blank = blank or part.text[:1].isspace()
        pieces = [(word, body, blank or word_idx > 0) for word_idx, word in enumerate(part.text.split())]
        if part.object_id is not None and part.object_id != part.text.strip():
            pieces.append((part.object_id, small, False))
        blank = part.text[-1:].isspace() or (blank and not pieces)
        if part.object_id is None:
            phrase_idx = -1 if part.note is None else words_idx
            yield from (_Atom(text, face, _INK, apart, phrase_idx) for text, face, apart in pieces)
        else:
            yield from _on_plate(pieces, words_idx, colours.get(part.object_id, palette(part.object_id)))
        if part.note is not None:
            yield _Atom(f"({' '.join(part.note.split())})", small, _FAINT, False, lead=_PADDING)


def _on_plate(
    pieces: Sequence[tuple[str, ImageFont.FreeTypeFont, bool]], words_idx: int, plate: Colour
) -> Iterator[_Atom]:
    """The pieces of a phrase, with room for the ends of its plate and before the object's name."""
    for place, (text, face, apart) in enumerate(pieces):
        lead = _PADDING if place == 0 or not apart else 0.0
        trail = _PADDING if place == len(pieces) - 1 else 0.0
        yield _Atom(text, face, text_on(plate), apart, words_idx, plate, lead, trail)


def _broken(atoms: Sequence[_Atom], room: float | int) -> list[_Line]:
    """Break text into lines between words; a word wider than a line is cut."""
    lines = [_Line()]
    unit: list[_Atom] = []
    for atom in (*atoms, None):
        if atom is None or (atom.blank and unit):
            _append(lines, unit, room)
            unit = []
        if atom is not None:
            unit.append(atom)
    return lines


def _append(lines: list[_Line], unit: Sequence[_Atom], room: float | int) -> None:
    blank = unit[0].face.getlength(" ") if unit and lines[-1].atoms and unit[0].blank else 0.0
    if lines[-1].atoms and lines[-1].width + blank + sum(atom.width for atom in unit) > room:
        lines.append(_Line())
        blank = 0.0
    lines[-1].width += blank
    for atom in unit:
        for piece in _cut(atom, room):
            if lines[-1].atoms and lines[-1].width + piece.width > room:
                lines.append(_Line())
            lines[-1].atoms.append((lines[-1].width, piece))
            lines[-1].width += piece.width


def _cut(atom: _Atom, room: float | int) -> Iterator[_Atom]:
    text = atom.text
    while text:
        length = len(text)
        while length > 1 and atom.face.getlength(text[:length]) > room:
            length -= max(1, length // 8)
        length = max(1, length)
        yield replace(atom, text=text[:length])
        text = text[length:]


def _draw_line(pen: ImageDraw.ImageDraw, line: _Line, left: float | int, top: float | int) -> None:
    """Plates and underlines first, each beneath all words of its phrase on this line, then the words."""
    spans: dict[int, tuple[float, float, Colour | None]] = {}
    for start, atom in line.atoms:
        if atom.words_idx >= 0:
            begin = spans[atom.words_idx][0] if atom.words_idx in spans else left + start
            spans[atom.words_idx] = (begin, left + start + atom.width, atom.plate)
    baseline = top + 4 + font(_BODY).getmetrics()[0]
    for begin, end, plate in spans.values():
        if plate is None:
            pen.line((begin, baseline + 4, end, baseline + 4), fill=_FAINT)
        else:
            pen.rounded_rectangle((begin, top + 2, end, top + _LINE - 3), radius=5, fill=plate)
    for start, atom in line.atoms:
        pen.text((left + start + atom.lead, baseline), atom.text, font=atom.face, fill=atom.ink, anchor="ls")
