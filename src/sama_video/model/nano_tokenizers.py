"""The two small tokenizers of the nano: byte-level BPE for its decoder, WordPiece for its aggregator.

Their special tokens come first, in a fixed order, so a configuration knows their ids before any tokenizer is built. The
merges and words are learnt from a corpus that the caller brings; every other text falls back to bytes or characters.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from sama_video.dialogue.markup import BACKBONE_TOKENS, GROUNDING_TOKENS, QFORMER_TOKENS, TEMPLATES

_TEMPLATE = TEMPLATES["qwen_chat"]
_TURN_END, _PAD = _TEMPLATE.stop_strings
_TURN_START = _TEMPLATE.user_prefix.removesuffix("user\n")
_WHOLE_SECONDS = Regex(r"(?<![\d.])\d\.\d(?![\d])|\d| ?[^\s\d\p{P}\p{S}]+| ?[\p{P}\p{S}]+|\s+")
"""Pieces that stay apart: seconds with one decimal, other digits one by one, words and marks with the space before."""

_BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class TokenLayout:
    """Where the fixed ids are.

    Attributes:
        rows: Rows of the decoder's token table.
        ids: Special tokens of the decoder.
        question_rows: Rows of the aggregator's word table.
        question_ids: Special tokens of the aggregator.
        end_id: What ends an answer.
        pad_id: What fills a batch.
    """

    rows: int
    ids: dict[str, int]
    question_rows: int
    question_ids: dict[str, int]
    end_id: int
    pad_id: int


NANO_TOKENS = TokenLayout(
    rows=1024,
    ids={t: i for i, t in enumerate((_PAD, _TURN_START, _TURN_END, *BACKBONE_TOKENS, *GROUNDING_TOKENS))},
    question_rows=512,
    question_ids={token: index for index, token in enumerate((*_BERT_SPECIALS, *QFORMER_TOKENS))},
    end_id=2,
    pad_id=0,
)


def build_language_tokenizer(corpus: Iterable[str], *, whole_seconds: bool = False) -> PreTrainedTokenizerFast:
    """The decoder's tokenizer: byte-level BPE, single digits, every frequent word one token.

    Args:
        whole_seconds: Whether times such as 1.2 may be one token too, where the corpus has them often.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WHOLE_SECONDS, behavior="isolated")
            if whole_seconds
            else pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not whole_seconds),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=NANO_TOKENS.rows,
        special_tokens=list(NANO_TOKENS.ids),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        eos_token=_TURN_END,
        additional_special_tokens=[token for token in NANO_TOKENS.ids if token != _PAD],
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )


def build_question_tokenizer(corpus: Iterable[str]) -> PreTrainedTokenizerFast:
    """The aggregator's tokenizer: lower-cased words, the frequent ones whole and all others in characters.

    The library's trainer for word pieces breaks ties differently in every process; counting words does not.
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    counts = Counter(word for text in corpus for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    inner = [f"##{character}" for character in characters if character.isalnum()]
    words = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = dict.fromkeys((*NANO_TOKENS.question_ids, *characters, *inner, *words))
    pieces = {piece: index for index, piece in enumerate(islice(vocabulary, NANO_TOKENS.question_rows))}
    tokenizer = Tokenizer(models.WordPiece(vocab=pieces, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(NANO_TOKENS.question_ids))
    ids = NANO_TOKENS.question_ids
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        additional_special_tokens=list(QFORMER_TOKENS),
        truncation_side="left",
        model_max_length=64,
    )
