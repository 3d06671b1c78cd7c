"""Tokenizer files of a checkpoint: copied, completed and checked, so that nothing but data is left to load."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sama_video.dialogue.markup import BACKBONE_TOKENS, GROUNDING_TOKENS, QFORMER_START, QFORMER_TOKENS
from sama_video.errors import CheckpointError
from sama_video.model.configuration_sama import SamaAggregatorConfig

QUESTION_FOLDER = "qformer_tokenizer"
BERT_REPOSITORY = "google-bert/bert-base-uncased"

_LANGUAGE_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)
_BERT_MARKS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def special_token_ids(folder: Path) -> dict[str, int]:
    """Ids of the added tokens that a tokenizer's files name; empty for a folder without tokenizer."""
    ids: dict[str, int] = {}
    if (file := folder / "added_tokens.json").is_file():
        ids.update(json.loads(file.read_text()))
    if (file := folder / "tokenizer_config.json").is_file():
        listed = json.loads(file.read_text()).get("added_tokens_decoder", {})
        ids.update({token["content"]: int(index) for index, token in listed.items()})
    if (file := folder / "tokenizer.json").is_file():
        ids.update({token["content"]: token["id"] for token in json.loads(file.read_text())["added_tokens"]})
    return ids


def checked_token_ids(folder: Path, vocab_size: int) -> dict[str, int]:
    """Ids of the added tokens of a published checkpoint's decoder.

    Raises:
        CheckpointError: Tokens are missing, in another order than published, or have no row in the embedding.
    """
    ids = special_token_ids(folder)
    wanted = (*BACKBONE_TOKENS, *GROUNDING_TOKENS)
    missing = [token for token in wanted if token not in ids]
    if missing:
        raise CheckpointError(
            f"the tokenizer in {folder} lacks {', '.join(missing)}; copy all its files from the release."
        )
    order = [ids[token] for token in wanted]
    if order != sorted(order) or order[-1] >= vocab_size:
        raise CheckpointError(
            f"the tokenizer in {folder} has {', '.join(f'{token} {ids[token]}' for token in wanted)}; these ids must "
            f"rise in this order and lie within the {vocab_size} rows of the embedding."
        )
    return ids


def copy_language_tokenizer(source: Path, dest: Path) -> None:
    """Bring the decoder's tokenizer to `dest` as plain data that loads without a release's own code."""
    for name in _LANGUAGE_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, dest / name)
    settings_file = dest / "tokenizer_config.json"
    settings = json.loads(settings_file.read_text()) if settings_file.is_file() else {}
    if not any((dest / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        if not (dest / "tokenizer.model").is_file():
            raise CheckpointError(
                f"{source} has neither tokenizer.json, vocab.json nor tokenizer.model; copy them from the release."
            )
        _build_fast_tokenizer(dest / "tokenizer.model", settings).save(str(dest / "tokenizer.json"))
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    if settings.pop("auto_map", None) is not None:
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    if settings:
        settings_file.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


def copy_question_tokenizer(source: Path, dest: Path, config: SamaAggregatorConfig, vocab_file: Path | None) -> None:
    """Bring the aggregator's WordPiece tokenizer to `dest/qformer_tokenizer`, building it where none is stored.

    Args:
        vocab_file: Public vocabulary of uncased BERT. Without it `source/vocab.txt` is taken, else the Hub's.
    """
    folder = dest / QUESTION_FOLDER
    if (source / QUESTION_FOLDER).is_dir() and vocab_file is None:
        shutil.copytree(source / QUESTION_FOLDER, folder)
    else:
        vocab_file = vocab_file or source / "vocab.txt"
        words = _read_words(vocab_file if vocab_file.is_file() else _fetch_vocabulary(config.vocab_size))
        _write_question_tokenizer(words, folder)
    ids = special_token_ids(folder)
    slots = (ids.get(QFORMER_TOKENS[1]), ids.get(QFORMER_TOKENS[2]))
    if slots != (config.mask_slot_id, config.position_slot_id) or max(ids.values()) >= config.vocab_size:
        raise CheckpointError(
            f"the Q-Former's tokenizer gives {QFORMER_TOKENS[1]} and {QFORMER_TOKENS[2]} the ids {slots}, but "
            f"the weights have {config.vocab_size} rows and slots {config.mask_slot_id} and {config.position_slot_id}; "
            "give the vocabulary it was trained with as --qformer-vocab."
        )


def _read_words(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def _write_question_tokenizer(words: Sequence[str], folder: Path) -> None:
    missing = [mark for mark in _BERT_MARKS.values() if mark not in words]
    if missing:
        raise CheckpointError(f"the Q-Former's vocabulary lacks {', '.join(missing)}; give uncased BERT's vocab.txt.")
    folder.mkdir()
    added = {token: len(words) + index for index, token in enumerate(QFORMER_TOKENS)}
    marks = {words.index(mark): mark for mark in _BERT_MARKS.values()} | {
        index: token for token, index in added.items()
    }
    extra = list(QFORMER_TOKENS[1:])
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "truncation_side": "left",
        "clean_up_tokenization_spaces": True,
        "bos_token": QFORMER_START,
        **_BERT_MARKS,
        "additional_special_tokens": extra,
        "added_tokens_decoder": {str(index): _added_token(token) for index, token in sorted(marks.items())},
    }
    (folder / "vocab.txt").write_text("".join(word + "\n" for word in words), encoding="utf-8")
    marks_by_role = {"bos_token": QFORMER_START, **_BERT_MARKS, "additional_special_tokens": extra}
    for name, content in (
        ("added_tokens.json", added),
        ("special_tokens_map.json", marks_by_role),
        ("tokenizer_config.json", settings),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")


def _added_token(content: str) -> dict[str, Any]:
    return {
        "content": content,
        "special": True,
        **dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False),
    }


def _fetch_vocabulary(rows: int) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(BERT_REPOSITORY, "vocab.txt"))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"this checkpoint does not hold the Q-Former's vocabulary ({rows - len(QFORMER_TOKENS)} words) and the Hub "
            f"cannot be reached; fetch https://huggingface.co/{BERT_REPOSITORY}/resolve/main/vocab.txt and give it as "
            "--qformer-vocab FILE, or put it beside the checkpoint's config.json as vocab.txt."
        ) from error


def _build_fast_tokenizer(model_file: Path, settings: Mapping[str, Any]) -> Any:
    """InternLM2's SentencePiece model as a fast tokenizer: BPE with byte fallback, `<s>` in front."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors

    scores, has_prefix = _read_pieces(model_file)
    # Releases rename spare pieces in their settings; the name in the settings is the one that is in use.
    renamed = {int(index): token["content"] for index, token in settings.get("added_tokens_decoder", {}).items()}
    pieces = [(renamed.get(index, piece), score) for index, (piece, score) in enumerate(scores)]
    vocab = {piece: index for index, (piece, _) in enumerate(pieces)}
    bpe = models.BPE(vocab, _merges(vocab, dict(pieces)), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(bpe)
    tokenizer.add_special_tokens([pieces[index][0] for index in range(3)])
    tokenizer.add_special_tokens(
        [renamed[index] for index in sorted(renamed) if renamed[index] not in vocab or index > 2]
    )
    tokenizer.add_special_tokens([t for t in settings.get("additional_special_tokens", []) if isinstance(t, str)])
    replace = [normalizers.Replace(" ", "▁")]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), *replace] if has_prefix else replace)
    strip = [decoders.Strip(" ", 1, 0)] if has_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    start = pieces[1][0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start}:0 $A:0", pair=f"{start}:0 $A:0 {start}:1 $B:1", special_tokens=[(start, 1)]
    )
    return tokenizer


def _read_pieces(model_file: Path) -> tuple[list[tuple[str, float]], bool]:
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as error:
        raise CheckpointError(
            f"{model_file.name} is the only form of this tokenizer and reading it needs sentencepiece; "
            "run: pip install sentencepiece"
        ) from error
    processor = SentencePieceProcessor(model_file=str(model_file))
    count = processor.get_piece_size()
    pieces = [(processor.id_to_piece(index), processor.get_score(index)) for index in range(count)]
    return pieces, processor.encode("a", out_type=str)[0].startswith("▁")


def _merges(vocab: Mapping[str, int], scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """The order in which pairs join: by the score of what they make; a pair of earlier pieces first."""
    pairs = []
    for piece, score in scores.items():
        cuts = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        known = [cut for cut in cuts if cut[0] in vocab and cut[1] in vocab]
        pairs += [(-score, cut) for cut in sorted(known, key=lambda cut: (vocab[cut[0]], vocab[cut[1]]))]
    return [cut for _, cut in sorted(pairs, key=lambda pair: pair[0])]
