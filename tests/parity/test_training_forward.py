"""The reference's training batch: several turns, regions in some, padded rows, one loss."""

import json
from pathlib import Path

import pytest
import shared_folders
import torch
from safetensors.torch import load_file

from sama_video.dialogue.markup import SEG, question_from_record
from sama_video.model import SamaForConditionalGeneration, SamaProcessor
from sama_video.model.convert_sama_weights import convert_checkpoint
from sama_video.model.frame_choice import context_frames
from sama_video.model.processing_sama import PlacedRegion, TurnSpec
from sama_video.video.sampling import training_dense_positions

_FOLDER = shared_folders.find_folder(*shared_folders.PARITY)
CASES = sorted(_FOLDER.glob("golden_*_train_forward.json")) if _FOLDER else []
pytestmark = pytest.mark.skipif(_FOLDER is None, reason="no parity data; set SAMA_PARITY_DIR to a folder that holds it")


def _turns(facts: dict, golden: dict, sample: int, drawn: list[int]) -> list[TurnSpec]:
    """The sample's turns; each region is seen on the dense frame that the reference drew for its turn."""
    settings = facts[f"sample{sample}"]
    dense = settings["dense_positions"]
    regions = iter(range(99))
    turns = []
    for index, (question, answer) in enumerate(settings["conversation"]):
        text = question_from_record(question)
        placed = []
        for _ in range((settings["mask_count"] or [0] * 9)[index]):
            masks = golden[f"in.region_mask_dense_full.{sample}.{next(regions)}"].bool().numpy()
            placed.append(PlacedRegion(dense[drawn[index]], masks[drawn[index]]))
        turns.append(TurnSpec(text, tuple(placed), tuple(dense) if index == 0 else (), answer=answer))
    return turns


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem.removeprefix("golden_"))
@torch.inference_mode()
def test_training_batch_agrees_with_the_reference(path: Path, tmp_path: Path) -> None:
    facts, golden = json.loads(path.read_text()), load_file(path.with_suffix(".safetensors"))
    convert_checkpoint(_FOLDER / "tiny" / path.stem.split("_")[1], tmp_path / "checkpoint")
    model = SamaForConditionalGeneration.from_pretrained(tmp_path / "checkpoint").eval()
    processor = SamaProcessor.from_pretrained(tmp_path / "checkpoint")
    rows = []
    for sample in range(2):
        frames = golden[f"in.frames.{sample}"].numpy()
        sparse = context_frames(model.config, len(frames))
        assert sparse == facts[f"sample{sample}"]["sparse_indices"]
        assert training_dense_positions(len(sparse)) == facts[f"sample{sample}"]["dense_positions"]
        turns = _turns(facts, golden, sample, facts["random_dense_index_per_prompt"][f"sample{sample}"])
        rows.append(processor.encode_dialogue(frames[sparse], range(len(sparse)), turns, newline_after_context=False))
    ids, labels, mask = (golden[f"in.{name}"].long() for name in ("input_ids", "labels", "attention_mask"))
    for row, encoded in enumerate(rows):
        length = len(encoded.input_ids)
        assert encoded.input_ids.tolist() == ids[row, :length].tolist()
        assert encoded.labels.tolist() == labels[row, :length].tolist()
        # The reference also writes a separator after the last turn; nothing is learnt from it, so ours leaves it out.
        tail = ids[row, length : int(mask[row].sum())].tolist()
        assert tail == processor.token_ids(processor.template.separator)
        assert set(labels[row, length:].tolist()) == {-100}

    placeholders = [model.model.video_embeddings(encoded.video) for encoded in rows]
    embeds = model.model.embed_tokens(ids, torch.cat(placeholders))
    real = mask.bool()
    assert (embeds - golden["mid.inputs_embeds"])[real].abs().max() < 1e-4
    positions = torch.arange(ids.shape[1]).expand_as(ids)
    out = model(inputs_embeds=embeds, attention_mask=mask, position_ids=positions, labels=labels)
    assert abs(out.loss - golden["out.ce_loss"].item()) < 1e-5
    for row, length in enumerate(mask.sum(1).tolist()):
        assert (out.logits[row, length - 4 : length] - golden["out.logits_last_valid4"][row]).abs().max() < 2e-4
    seg = processor.tokenizer.convert_tokens_to_ids(SEG)
    states = out.last_hidden_state[(ids == seg) & real]
    assert (states - golden["out.seg_hidden"]).abs().max() < 1e-4
    assert (model.model.grounding_head(states) - golden["out.seg_embed"]).abs().max() < 2e-4
