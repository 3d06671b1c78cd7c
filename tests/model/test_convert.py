"""Checkpoints go to our layout and back without loss, and what does not fit is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from sama_video.errors import CheckpointError
from sama_video.model import SamaConfig, SamaForConditionalGeneration, SamaProcessor
from sama_video.model.convert_sama_weights import convert_checkpoint, load_official
from sama_video.model.key_plan import check_source, key_rules, plan_keys
from sama_video.model.presets import preset_config
from sama_video.model.weight_files import TensorSpec, WeightFiles, plan_shards, write_weights

REPOSITORY = Path(__file__).parents[2]
PARITY = REPOSITORY.parent / "shared" / "parity"
FAMILIES = ("qwen2", "internlm2")
SAM2 = "grounding_encoder.sam2_model."
REGION_PREFIXES = ("spatial_Qformer", "temporal_Qformer", "Qformer_", "vlm2spatial")

pytestmark = pytest.mark.skipif(not PARITY.is_dir(), reason=f"no parity data in {PARITY}")
Tensors = dict[str, torch.Tensor]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("converted")
    for family in FAMILIES:
        convert_checkpoint(PARITY / "tiny" / family, folder / family)
    return {family: folder / family for family in FAMILIES}


@pytest.fixture
def altered(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a tiny official checkpoint whose tensors a function has changed."""

    def make(change: Callable[[Tensors], object], family: str = "qwen2") -> Path:
        source = tmp_path / f"altered-{family}"
        shutil.copytree(PARITY / "tiny" / family, source)
        file = source / "model.safetensors"
        file.chmod(0o644)
        tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
        change(tensors)
        save_file(tensors, file, metadata={"format": "pt"})
        return source

    return make


def same_tensors(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


def stored_tensors(folder: Path) -> Tensors:
    files = WeightFiles(folder)
    return {name: files.tensor(name).clone() for name in files.specs}


# --- real sizes, on the meta device ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["1b", *(pytest.param(scale, marks=pytest.mark.slow) for scale in ("4b", "8b"))])
def test_every_published_key_maps_both_ways(scale: str) -> None:
    listed = json.loads((PARITY / f"keys_{scale}.json").read_text())["keys"]
    specs = {
        name: TensorSpec(tuple(entry["shape"]), getattr(torch, entry["dtype"].removeprefix("torch.")))
        for name, entry in listed.items()
    }
    plan = plan_keys(preset_config(f"sama-{scale}"))

    rules = check_source(plan, specs, "sama", PARITY)
    ours = {
        name: TensorSpec.of(tensor)
        for rule in rules
        for name, tensor in zip(
            rule.ours, rule.apply([specs[source].meta() for source in rule.official], "sama"), strict=True
        )
    }
    assert {name: spec.shape for name, spec in ours.items()} == {name: spec.shape for name, spec in plan.ours.items()}
    assert sorted(name for rule in rules for name in rule.official) == sorted(specs)

    back = {
        name: TensorSpec.of(tensor)
        for rule in check_source(plan, ours, "official", PARITY)
        for name, tensor in zip(
            rule.official, rule.apply([ours[source].meta() for source in rule.ours], "official"), strict=True
        )
    }
    assert back == specs


@pytest.mark.slow
def test_each_of_our_weights_has_one_rule_in_either_family() -> None:
    for name in ("sama-1b", "sama-8b"):
        config = preset_config(name)
        config.has_original_mask_decoder = True
        ours = [one for rule in key_rules(config) for one in rule.ours]
        assert len(ours) == len(set(ours))
        assert any(one.startswith("model.original_mask_decoder.") for one in ours)


# --- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_round_trip_is_bitwise(family: str, converted: dict[str, Path], tmp_path: Path) -> None:
    source = PARITY / "tiny" / family
    report = convert_checkpoint(converted[family], tmp_path / "back", to="official")
    assert same_tensors(stored_tensors(tmp_path / "back"), stored_tensors(source))
    assert report.left_behind == ()

    convert_checkpoint(tmp_path / "back", tmp_path / "again")
    assert same_tensors(stored_tensors(tmp_path / "again"), stored_tensors(converted[family]))
    for name in ("config.json", "processor_config.json"):
        assert (tmp_path / "again" / name).read_text() == (converted[family] / name).read_text()
    one, other = (json.loads((folder / "config.json").read_text()) for folder in (source, tmp_path / "back"))
    assert other["llm_config"].items() >= one["llm_config"].items()
    assert other["vision_config"].items() >= one["vision_config"].items()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_converted_folder_loads_whole(family: str, converted: dict[str, Path]) -> None:
    model, info = SamaForConditionalGeneration.from_pretrained(converted[family], output_loading_info=True)
    assert not any(info.values())
    assert model.config.aggregator_config.spatial_layers == 4
    assert model.config.aggregator_config.num_attention_heads == 4
    assert model.config.segmenter_config.image_size == 128

    processor = SamaProcessor.from_pretrained(converted[family])
    golden = json.loads((PARITY / f"golden_{family}_video_two_regions.json").read_text())
    with safe_open(PARITY / f"golden_{family}_video_two_regions.safetensors", framework="pt") as tensors:
        ids = tensors.get_tensor("in.input_ids").flatten().tolist()
    assert processor.tokenizer.encode(golden["prompt"]) == ids
    assert processor.tokenizer.convert_tokens_to_ids("[SEG]") == model.config.seg_token_id
    assert processor.qformer_tokenizer.convert_tokens_to_ids("<mask>") == model.config.aggregator_config.mask_slot_id


@pytest.mark.slow
def test_streamed_weights_are_those_written(converted: dict[str, Path]) -> None:
    config, weights = load_official(PARITY / "tiny" / "internlm2")
    assert config.text_config.model_type == "llama"
    assert same_tensors({name: tensor.clone() for name, tensor in weights}, stored_tensors(converted["internlm2"]))


@pytest.mark.slow
def test_dtype_of_each_tensor_is_kept(altered: Callable[..., Path], tmp_path: Path) -> None:
    def half_of_it(tensors: Tensors) -> None:
        for name in tensors:
            if name.startswith(("language_model.", "vision_model.")):
                tensors[name] = tensors[name].bfloat16()

    source = altered(half_of_it)
    convert_checkpoint(source, tmp_path / "ours")
    ours = stored_tensors(tmp_path / "ours")
    assert ours["model.vision_tower.encoder.layer.0.attention.q_proj.weight"].dtype == torch.bfloat16
    assert ours["model.aggregator.input_proj.weight"].dtype == torch.float32
    convert_checkpoint(tmp_path / "ours", tmp_path / "back", to="official")
    assert same_tensors(stored_tensors(tmp_path / "back"), stored_tensors(source))


@pytest.mark.slow
def test_sa2va_gives_no_aggregator_and_says_so(altered: Callable[..., Path], tmp_path: Path) -> None:
    def without_aggregator(tensors: Tensors) -> None:
        for name in [name for name in tensors if name.startswith(REGION_PREFIXES)]:
            del tensors[name]

    source = altered(without_aggregator)
    report = convert_checkpoint(source, tmp_path / "ours")
    assert report.absent_groups[:2] == ("aggregator", "region_encoder")
    assert "absent, new when trained: aggregator, region_encoder" in report.to_text()
    assert SamaConfig.from_pretrained(tmp_path / "ours").aggregator_config is None
    assert SamaProcessor.from_pretrained(tmp_path / "ours").qformer_tokenizer is None
    convert_checkpoint(tmp_path / "ours", tmp_path / "back", to="official")
    assert same_tensors(stored_tensors(tmp_path / "back"), stored_tensors(source))


@pytest.mark.slow
def test_head_stored_as_the_embedding_is_found_there(converted: dict[str, Path], tmp_path: Path) -> None:
    source = tmp_path / "tied"
    shutil.copytree(converted["qwen2"], source)
    config = SamaConfig.from_pretrained(source)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    config.save_pretrained(source)
    tensors = stored_tensors(source)
    del tensors["lm_head.weight"]
    save_file(tensors, source / "model.safetensors")
    convert_checkpoint(source, tmp_path / "official", to="official")
    official = stored_tensors(tmp_path / "official")
    table = official["language_model.model.embed_tokens.weight"]
    assert torch.equal(official["language_model.lm_head.weight"], table)
    assert torch.equal(table, tensors["model.language_model.embed_tokens.weight"])


def test_report_counts_every_weight(tmp_path: Path) -> None:
    source = PARITY / "tiny" / "qwen2"
    report = convert_checkpoint(source, tmp_path / "ours")
    assert sorted(name for keys in report.mapped for name in keys.sources) == sorted(WeightFiles(source).specs)
    assert sorted(name for keys in report.mapped for name in keys.targets) == sorted(
        WeightFiles(tmp_path / "ours").specs
    )
    assert report.transforms["split q, k, v"] == 6
    assert report.transforms["one for two"] == 1
    assert report.transforms["drop, reconstructable"] == 2
    floats = [spec for spec in WeightFiles(source).specs.values() if spec.dtype == torch.float32]
    assert sum(count.num_parameters for count in report.groups.values()) == sum(spec.num_elements for spec in floats)
    assert json.loads(json.dumps(report.to_json()))["groups"]["segmenter"]["num_sources"] == 335
    assert "grounding_head" in report.to_text()


# --- what does not fit -----------------------------------------------------------------------------------------------

NORM = "language_model.model.norm.weight"
FUSED = "language_model.model.layers.0.self_attn.k_proj.weight"
COUNTER = "spatial_Qformer.bert.embeddings.position_ids"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop(NORM), rf"1 missing \({NORM}\)"),
        (lambda t: t.pop("spatial_Qformer_query_tokens"), "lacks spatial_Qformer_query_tokens"),
        (lambda t: t.update({"extra.weight": torch.zeros(2)}), r"1 left over \(extra.weight\)"),
        (lambda t: t.update({NORM: torch.zeros(65)}), rf"wrong shape \({NORM} is \[65\], not \[64\]\)"),
        (
            lambda t: t.update({NORM: torch.zeros(64, dtype=torch.int8)}),
            rf"wrong dtype \({NORM} is int8, not a float\)",
        ),
        (lambda t: t.update({COUNTER: t[COUNTER].int()}), rf"{COUNTER} is int32, not int64"),
        (lambda t: t.update({COUNTER: t[COUNTER].flip(1)}), rf"{COUNTER} does not count 0, 1, 2"),
    ],
    ids=["missing", "missing and needed for sizes", "extra", "shape", "dtype", "counter dtype", "counter values"],
)
def test_official_checkpoint_that_does_not_fit_is_refused(
    change: Callable[[Tensors], object], told: str, altered: Callable[..., Path], tmp_path: Path
) -> None:
    source = altered(change)
    with pytest.raises(CheckpointError, match=told) as caught:
        convert_checkpoint(source, tmp_path / "ours")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == [source.name]


@pytest.mark.slow
def test_absent_counters_cost_nothing(altered: Callable[..., Path], tmp_path: Path) -> None:
    source = altered(lambda tensors: tensors.pop(COUNTER))
    convert_checkpoint(source, tmp_path / "ours")


GAUSSIAN = "model.segmenter.shared_image_embedding.positional_embedding"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("lm_head.weight"), r"1 missing \(lm_head.weight\)"),
        (lambda t: t.update({"model.extra": torch.zeros(1)}), r"1 left over \(model.extra\)"),
        (lambda t: t.update({GAUSSIAN: t[GAUSSIAN] + 1}), "differ, but the official layout has one tensor for both"),
        (
            lambda t: t.update({(k := "model.vision_tower.encoder.layer.0.attention.k_proj.bias"): t[k].half()}),
            "k_proj.bias is float16, but .*q_proj.bias, which joins it, is float32",
        ),
    ],
    ids=["missing", "extra", "shared values differ", "parts of one tensor differ in dtype"],
)
def test_checkpoint_of_ours_that_does_not_fit_is_refused(
    change: Callable[[Tensors], object], told: str, converted: dict[str, Path], tmp_path: Path
) -> None:
    source = tmp_path / "ours"
    shutil.copytree(converted["qwen2"], source)
    tensors = stored_tensors(source)
    change(tensors)
    save_file(tensors, source / "model.safetensors")
    with pytest.raises(CheckpointError, match=told):
        convert_checkpoint(source, tmp_path / "official", to="official")
    assert not (tmp_path / "official").exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ps_version": "v1"}, "ps_version 'v1'; only 'v2'"),
        ({"model_type": "sama"}, "model_type 'sama'; the official layout"),
        ({"template": "vicuna"}, "template 'vicuna'; known are"),
        (
            {"llm_config": {"architectures": ["Phi3ForCausalLM"], "vocab_size": 497, "rope_theta": 1.0}},
            "Phi3ForCausalLM",
        ),
        ({"vision_config": {}}, "lacks 'image_size'"),
    ],
)
def test_configuration_that_means_another_model_is_refused(
    settings: dict[str, object], told: str, altered: Callable[..., Path], tmp_path: Path
) -> None:
    source = altered(lambda tensors: None)
    file = source / "config.json"
    file.chmod(0o644)
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    with pytest.raises(CheckpointError, match=told):
        convert_checkpoint(source, tmp_path / "ours")


def test_unknown_sizes_ask_for_the_sizes_file(altered: Callable[..., Path], tmp_path: Path) -> None:
    source = altered(lambda tensors: None)
    (source / "tiny_sizes.json").unlink()
    with pytest.raises(CheckpointError, match=r"put these into tiny_sizes.json"):
        convert_checkpoint(source, tmp_path / "ours")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "README.md"])
def test_only_safetensors_are_read(name: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / name).write_bytes(b"\x80\x04.")
    with pytest.raises(CheckpointError, match="safetensors files alone"):
        convert_checkpoint(tmp_path / "source", tmp_path / "ours")


def test_damaged_file_is_named(altered: Callable[..., Path], tmp_path: Path) -> None:
    source = altered(lambda tensors: None)
    file = source / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is no readable safetensors file"):
        convert_checkpoint(source, tmp_path / "ours")


def test_edgetam_has_no_place_in_the_official_layout() -> None:
    config = SamaConfig(segmenter_config={"model_type": "edgetam_video"})
    with pytest.raises(CheckpointError, match="segmenter is edgetam_video"):
        key_rules(config)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_shards_in_and_out(converted: dict[str, Path], tmp_path: Path) -> None:
    convert_checkpoint(converted["qwen2"], tmp_path / "official", to="official", max_shard_bytes=1_000_000)
    shards = sorted(path.name for path in (tmp_path / "official").glob("*.safetensors"))
    assert len(shards) > 5
    assert shards[0] == f"model-00001-of-{len(shards):05}.safetensors"
    assert same_tensors(stored_tensors(tmp_path / "official"), stored_tensors(PARITY / "tiny" / "qwen2"))

    convert_checkpoint(tmp_path / "official", tmp_path / "ours", max_shard_bytes=2_000_000)
    assert same_tensors(stored_tensors(tmp_path / "ours"), stored_tensors(converted["qwen2"]))
    SamaForConditionalGeneration.from_pretrained(tmp_path / "ours")


@pytest.mark.slow
def test_index_that_disagrees_with_its_shards_is_refused(converted: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "official"
    convert_checkpoint(converted["qwen2"], folder, to="official", max_shard_bytes=1_000_000)
    index = folder / "model.safetensors.index.json"
    good = json.loads(index.read_text())

    def refuse(weight_map: dict[str, str], told: str) -> None:
        index.write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(CheckpointError, match=told):
            WeightFiles(folder)

    first, *others = good["weight_map"]
    refuse({name: good["weight_map"][name] for name in others}, "disagree about")
    refuse({**good["weight_map"], first: "../elsewhere.safetensors"}, "shards lie beside their index")
    refuse({**good["weight_map"], first: "model-00099-of-00099.safetensors"}, "which is not there")
    index.write_text(json.dumps(good))
    shutil.copy(folder / good["weight_map"][first], folder / "stray.safetensors")
    with pytest.raises(CheckpointError, match=r"holds stray\.safetensors"):
        WeightFiles(folder)


def test_a_full_shard_is_on_disk_before_the_next_tensor_is_read(tmp_path: Path) -> None:
    specs = {f"w{i}": TensorSpec((10,), torch.float32) for i in range(6)}
    seen = []

    def arriving() -> Iterator[tuple[str, torch.Tensor]]:
        for name in specs:
            seen.append(len(list(tmp_path.glob("*.safetensors"))))
            yield name, torch.zeros(10)

    write_weights(tmp_path, specs, arriving(), max_shard_bytes=80)
    assert seen == [0, 0, 1, 1, 2, 2]


def test_tensor_larger_than_a_shard_gets_its_own() -> None:
    specs = {name: TensorSpec((size,), torch.int8) for name, size in (("a", 1), ("b", 9), ("c", 1), ("d", 1))}
    assert plan_shards(specs, 4) == [["a"], ["b"], ["c", "d"]]


def test_full_destination_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "mine.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="not empty"):
        convert_checkpoint(PARITY / "tiny" / "qwen2", tmp_path / "ours")
    assert [path.name for path in tmp_path.rglob("*.*")] == ["mine.txt"]


@pytest.mark.slow
def test_killed_conversion_leaves_no_destination(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from sama_video.model import weight_files\n"
        "from sama_video.model.convert_sama_weights import convert_checkpoint\n"
        "save, done = weight_files.save_file, []\n"
        "def save_two(*args, **kwargs):\n"
        "    if len(done) == 2:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    done.append(save(*args, **kwargs))\n"
        "weight_files.save_file = save_two\n"
        "convert_checkpoint(Path(sys.argv[1]), Path(sys.argv[2]), max_shard_bytes=1_000_000)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", script, str(PARITY / "tiny" / "qwen2"), str(tmp_path / "ours")]
    assert subprocess.run(arguments, env=environment, check=False).returncode == -signal.SIGKILL
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == [".ours.partial"]
    convert_checkpoint(PARITY / "tiny" / "qwen2", tmp_path / "ours")


# --- the original mask decoder ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sam2_state() -> Tensors:
    """SAM 2 as it was before its decoder was fine-tuned, under its published names."""
    state = {
        name.removeprefix(SAM2).replace("g_weight", "gamma"): tensor.clone()
        for name, tensor in load_file(PARITY / "tiny" / "qwen2" / "model.safetensors").items()
        if name.startswith(SAM2)
    }
    return {name: tensor + 1 if name.startswith("sam_mask_decoder.") else tensor for name, tensor in state.items()}


def store_sam2(state: Tensors, path: Path, converted: Path) -> Path:
    if path.suffix == ".pt":
        torch.save({"model": state}, path)
    elif path.suffix == ".safetensors":
        save_file({name.replace("gamma", "g_weight"): tensor for name, tensor in state.items()}, path)
    else:
        model = SamaForConditionalGeneration.from_pretrained(converted).model.segmenter
        with torch.no_grad():
            for parameter in model.mask_decoder.parameters():
                parameter += 1
        model.save_pretrained(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) for name in ("sam2.pt", "sam2.safetensors", "sam2-folder")]
)
def test_original_decoder_travels_beside_the_tuned_one(
    name: str, sam2_state: Tensors, converted: dict[str, Path], tmp_path: Path
) -> None:
    sam2 = store_sam2(sam2_state, tmp_path / name, converted["qwen2"])
    report = convert_checkpoint(PARITY / "tiny" / "qwen2", tmp_path / "ours", sam2=sam2)
    assert report.absent_groups == ()
    model = SamaForConditionalGeneration.from_pretrained(tmp_path / "ours").model
    tuned, original = model.segmenter.mask_decoder.state_dict(), model.original_mask_decoder.state_dict()
    assert all(torch.equal(original[key], tuned[key] + 1) for key in tuned)

    back = convert_checkpoint(tmp_path / "ours", tmp_path / "back", to="official")
    assert len(back.left_behind) == len(tuned)
    assert same_tensors(stored_tensors(tmp_path / "back"), stored_tensors(PARITY / "tiny" / "qwen2"))


@pytest.mark.slow
def test_decoder_of_another_sam2_is_refused(sam2_state: Tensors, converted: dict[str, Path], tmp_path: Path) -> None:
    other = {**sam2_state, "no_mem_embed": sam2_state["no_mem_embed"] + 1}
    sam2 = store_sam2(other, tmp_path / "sam2.pt", converted["qwen2"])
    with pytest.raises(CheckpointError, match=r"not the SAM 2 .*no_mem_embed differs"):
        convert_checkpoint(PARITY / "tiny" / "qwen2", tmp_path / "ours", sam2=sam2)


@pytest.mark.slow
def test_incomplete_decoder_is_refused(sam2_state: Tensors, converted: dict[str, Path], tmp_path: Path) -> None:
    less = {name: tensor for name, tensor in sam2_state.items() if name != "sam_mask_decoder.iou_token.weight"}
    sam2 = store_sam2(less, tmp_path / "sam2.pt", converted["qwen2"])
    with pytest.raises(CheckpointError, match=r"1 missing \(sam_mask_decoder.iou_token.weight\)"):
        convert_checkpoint(PARITY / "tiny" / "qwen2", tmp_path / "ours", sam2=sam2)


@pytest.mark.slow
def test_pickle_with_more_than_tensors_is_not_run(tmp_path: Path) -> None:
    torch.save({"model": {"x": tmp_path}}, tmp_path / "sam2.pt")
    with pytest.raises(CheckpointError, match="cannot be read as tensors alone"):
        convert_checkpoint(PARITY / "tiny" / "qwen2", tmp_path / "ours", sam2=tmp_path / "sam2.pt")


# --- tokenizers ------------------------------------------------------------------------------------------------------


def bare(source: Path) -> Path:
    """The checkpoint as published: no Q-Former tokenizer, and the decoder's only in its first form."""
    (source / "tokenizer.json").unlink()
    shutil.move(source / "qformer_tokenizer" / "vocab.txt", source / "bert.txt")
    shutil.rmtree(source / "qformer_tokenizer")
    return source


TEXTS = ("What  is <p> it</p> [SEG] doing?\n12 times", " <img><IMG_CONTEXT></img><|im_end|>", "\u5317\u4eac na\u00efve")


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_tokenizers_are_rebuilt_from_what_is_published(
    family: str, altered: Callable[..., Path], converted: dict[str, Path], tmp_path: Path
) -> None:
    if family == "internlm2":
        pytest.importorskip("sentencepiece")
    source = bare(altered(lambda tensors: None, family))
    settings = source / "tokenizer_config.json"
    if family == "internlm2":  # as released: its own code, and the added tokens listed with their ids
        added = json.loads((PARITY / "tiny" / family / "tokenizer.json").read_text())["added_tokens"]
        listed = {str(token["id"]): {"content": token["content"], "special": True} for token in added}
        own = {"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}, "added_tokens_decoder": listed}
        settings.chmod(0o644)
        settings.write_text(json.dumps(json.loads(settings.read_text()) | own))
    convert_checkpoint(source, tmp_path / "ours", qformer_vocab=source / "bert.txt")
    assert "auto_map" not in (tmp_path / "ours" / "tokenizer_config.json").read_text()
    for part in (".", "qformer_tokenizer"):
        rebuilt, stored = (
            AutoTokenizer.from_pretrained(folder / part) for folder in (tmp_path / "ours", converted[family])
        )
        assert len(rebuilt) == len(stored)
        for text in TEXTS:
            assert rebuilt.encode(text) == stored.encode(text)
            assert rebuilt.decode(rebuilt.encode(text)) == stored.decode(stored.encode(text))
        assert rebuilt.truncation_side == stored.truncation_side


def test_missing_vocabulary_says_what_to_fetch(
    altered: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bare(altered(lambda tensors: None))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        CheckpointError, match=r"bert-base-uncased/resolve/main/vocab.txt and give it as --qformer-vocab"
    ):
        convert_checkpoint(source, tmp_path / "ours")


@pytest.mark.slow
def test_vocabulary_of_another_size_is_refused(altered: Callable[..., Path], tmp_path: Path) -> None:
    source = bare(altered(lambda tensors: None))
    words = (source / "bert.txt").read_text()
    (source / "vocab.txt").write_text(words + "more\n")
    with pytest.raises(CheckpointError, match="but the weights have 788 rows"):
        convert_checkpoint(source, tmp_path / "ours")


def test_tokenizer_without_grounding_tokens_is_refused(altered: Callable[..., Path], tmp_path: Path) -> None:
    source = altered(lambda tensors: None)
    for name in ("tokenizer.json", "added_tokens.json"):
        (source / name).unlink()
    settings = source / "tokenizer_config.json"
    settings.chmod(0o644)
    stored = json.loads(settings.read_text())
    stored["added_tokens_decoder"] = {
        index: token for index, token in stored["added_tokens_decoder"].items() if token["content"] != "[SEG]"
    }
    settings.write_text(json.dumps(stored))
    with pytest.raises(CheckpointError, match=r"lacks \[SEG\]"):
        convert_checkpoint(source, tmp_path / "ours")
