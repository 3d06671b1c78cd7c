"""The nano's tokenizers follow from their texts alone."""

from sama_video.data.synthetic import corpus
from sama_video.dialogue.markup import qformer_text
from sama_video.model.nano_tokenizers import NANO_TOKENS, build_language_tokenizer, build_question_tokenizer

TEXTS = ["What is the red star?", "Is the red star moving left?", "Where does the blue ring go?", "zebra apple"]


def test_the_same_texts_give_the_same_ids() -> None:
    texts = [turn.question for turn in corpus(0, 200)]
    for build in (build_language_tokenizer, build_question_tokenizer):
        assert len({str(sorted(build(texts).get_vocab().items())) for _ in range(4)}) == 1


def test_questions_are_read_word_by_word_with_their_slots() -> None:
    tokenizer = build_question_tokenizer(TEXTS)
    assert tokenizer.tokenize("Is the RED star here?") == ["is", "the", "red", "star", "h", "##e", "##r", "##e", "?"]
    ids = tokenizer.encode(qformer_text("Is <region> red?"))
    assert ids[0] == NANO_TOKENS.question_ids["[CLS]"]
    assert NANO_TOKENS.question_ids["<mask>"] in ids
    assert tokenizer.unk_token_id not in ids
    assert len(tokenizer) <= NANO_TOKENS.question_rows
