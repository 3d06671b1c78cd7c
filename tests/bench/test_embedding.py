"""Phrases compared by the mean of a language model's last hidden states, on a small one with random weights."""

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from sama_video.bench.embedding import open_similarity
from sama_video.bench.scoring import ToolsChoice
from sama_video.errors import CheckpointError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "red", "dog", "cat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=512, **sizes)).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_it_is_the_cosine_of_means_over_all_tokens(folder: Path) -> None:
    model, ids = BertModel.from_pretrained(folder).eval(), {word: place for place, word in enumerate(WORDS)}

    def mean(text: str) -> torch.Tensor:
        tokens = [ids[word] for word in ["[CLS]", *text.split(), "[SEP]"]]
        with torch.inference_mode():
            return model(torch.tensor([tokens])).last_hidden_state[0].mean(dim=0)

    texts = ["the red dog", "a cat"]
    expected = torch.cosine_similarity(mean(texts[0]), mean(texts[1]), dim=0).item()
    rows = open_similarity(str(folder))(texts, texts)
    assert rows[0][0] == pytest.approx(1.0, abs=1e-6)
    assert rows[0][1] == rows[1][0] == pytest.approx(max(0.0, expected), abs=1e-6)
    assert expected < 0.999


def test_a_long_text_is_cut(folder: Path) -> None:
    long = " ".join(["dog"] * 700)
    assert open_similarity(str(folder))([long], [" ".join(["dog"] * 600)]) == [[pytest.approx(1.0, abs=1e-6)]]


def test_the_command_line_names_it(folder: Path) -> None:
    tools = ToolsChoice(similarity=str(folder))()
    assert tools.similarity_name == str(folder)
    assert tools.similarity(["a dog"], ["a dog"]) == [[pytest.approx(1.0, abs=1e-6)]]


def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is neither exact nor overlap, and no model of transformers") as told:
        open_similarity(str(tmp_path))
    assert "\n" not in str(told.value)
