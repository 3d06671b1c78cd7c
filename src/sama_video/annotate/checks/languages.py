"""Which language a short text is in, told by its script and its commonest words.

Meant to notice a reply in another language than was asked for, not to tell any two languages apart: a text without
evidence counts as right.
"""

import re
import unicodedata
from collections import Counter
from typing import Final

_COMMON: Final[dict[str, str]] = {
    "English": "the a an of and to in is are it its that with on at from for by as which while then there this his her "
    "their they does do not no was were be has have what how when where who why one two both into towards",
    "German": "der die das und ist nicht ein eine einen einem einer zu den dem des mit von auf für im am sich es er "
    "sie wird werden sind was wie wann wo wer warum während dann nach aus bei über kein keine auch vor",
    "French": "le la les un une des du de et est dans il elle qui que pour pas avec sur au aux ce cette se en son sa "
    "ses puis sont quel quelle comment quand où pourquoi ne vers deux entre",
    "Spanish": "el la los las un una unos de del y es en que con por para se su sus no al lo como está son hacia luego "
    "mientras qué cuál cómo cuándo dónde quién hay entre",
    "Italian": "il lo la i gli le un una uno di del della dei e è in che con per si su non al dal come sono verso poi "
    "mentre quale quando dove chi nel nella sua suo",
    "Portuguese": "o a os as um uma de do da dos das e é em que com por para se não no na ao como está são seu sua "
    "enquanto depois qual quando onde quem",
    "Dutch": "de het een en is niet van in op te dat met voor zijn aan er die naar door wat hoe wanneer waar wie "
    "waarom terwijl dan uit bij over geen ook",
    "Polish": "i w na z się nie jest do to że jak po co od przez dla oraz który która jego jej są gdy potem",
    "Turkish": "ve bir bu da de için ile olarak çok daha ne nasıl mi sonra kadar olan var yok",
    "Vietnamese": "là và của có một trong không được cho với các này khi đang những người ở từ đến",
    "Indonesian": "yang dan di ke dari ini itu dengan untuk pada adalah tidak dalam akan saat oleh sebuah apa",
    "Swedish": "och i att det som en på är av för med den till inte har ett om från vid när",
}
LANGUAGES: Final = tuple(_COMMON)
"""Languages whose words are known; of others only the script is looked at."""

_SCRIPTS: Final = {
    "Chinese": ("CJK",),
    "Japanese": ("HIRAGANA", "KATAKANA", "CJK"),
    "Korean": ("HANGUL",),
    "Russian": ("CYRILLIC",),
    "Ukrainian": ("CYRILLIC",),
    "Greek": ("GREEK",),
    "Arabic": ("ARABIC",),
    "Hebrew": ("HEBREW",),
    "Hindi": ("DEVANAGARI",),
    "Thai": ("THAI",),
}
_LEAST_WORDS: Final = 4
_LEAST_HITS: Final = 2
_FEW_HITS: Final = 0.17  # of the words
_FOREIGN_SHARE: Final = 0.25  # of the letters, from which on a text is in another script
_WORD: Final = re.compile(r"[^\W\d_]+")
_WORDS_OF: Final = {language: frozenset(words.split()) for language, words in _COMMON.items()}


def other_language(text: str, wanted: str) -> str | None:
    """The language or script that a text is in where it is not the wanted one; None where nothing speaks against it.

    >>> other_language("Der rote Stern bewegt sich nach links.", "English")
    'German'
    """
    script = _foreign_script(text, _SCRIPTS.get(wanted, ("LATIN",)))
    if script is not None:
        return script
    words = [word.lower() for word in _WORD.findall(text)]
    if wanted not in _WORDS_OF or len(words) < _LEAST_WORDS:
        return None
    hits = {language: sum(word in known for word in words) for language, known in _WORDS_OF.items()}
    best = max(hits, key=lambda language: hits[language])
    if best != wanted and hits[best] >= _LEAST_HITS and hits[best] >= 2 * hits[wanted] + 1:
        return best
    # A language that is not in the table still has letters of its own, and next to none of the wanted one's words.
    has_foreign_letters = wanted == "English" and any(not word.isascii() for word in words)
    return "another language" if has_foreign_letters and hits[wanted] <= _FEW_HITS * len(words) else None


def _foreign_script(text: str, wanted: tuple[str, ...]) -> str | None:
    """The commonest script of a text besides the wanted ones, where much of it is in that."""
    if text.isascii() and "LATIN" in wanted:
        return None
    scripts = Counter(unicodedata.name(char, "UNKNOWN").split()[0].split("-")[0] for char in text if char.isalpha())
    foreign = {script: count for script, count in scripts.items() if script not in wanted}
    if sum(foreign.values()) <= _FOREIGN_SHARE * scripts.total():
        return None
    return max(foreign, key=lambda script: foreign[script]).capitalize() + " script"
