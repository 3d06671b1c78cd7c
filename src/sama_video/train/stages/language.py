"""What the stages that talk have in common: reading dialogues, the losses on them, and how answers are scored."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sama_video.model.configuration_sama import SamaConfig
from sama_video.model.modeling_sama import SamaForConditionalGeneration
from sama_video.model.processing_sama import TrainingInputs
from sama_video.train import losses
from sama_video.train.config import LanguageConfig, TrainConfig
from sama_video.train.initialise import look_back, spread_layers
from sama_video.train.lessons.attributes import (
    NUM_CLASSES,
    AttributePrompts,
)
from sama_video.train.lessons.dialogues import (
    Blind,
    Kinds,
    Teller,
    Told,
    centre_targets,
    encode_blind,
    encode_told,
    pad_rows,
    seg_objects,
    turns_of,
)
from sama_video.train.lessons.gazes import gazes_of
from sama_video.train.lessons.level_dialogues import LevelTeller
from sama_video.train.lessons.plain_dialogues import PlainTeller
from sama_video.train.lessons.scenes import cell_labels
from sama_video.train.lessons.worlds import PlainWorld
from sama_video.train.stages.base import Logs, Weights, load_strictly, low_precision, part_of
from sama_video.train.stages.dialogue_batch import DialogueBatch, MaskTargets
from sama_video.train.stages.looking import gaze_loss
from sama_video.train.stages.reading import HEADS, ReadingStage, last_read
from sama_video.train.stages.scores import Scores, asked_attribute
from sama_video.train.stages.seg_codes import class_codes, translate_head
from sama_video.train.starting_model import STARTING_MODEL, config_of, processor_of

LANGUAGE_PARTS: Final = ("language_model", "grounding_head")
PICTURE_PARTS: Final = ("multi_modal_projector", "aggregator", "region_encoder")
_EVALUATION_BATCH: Final = 4


class LanguageStage(ReadingStage):
    """A stage that talks: the finished model's own parts, driven as a conversation drives them.

    Args:
        config: The model's sizes, where they are not those of the recipe's preset.
    """

    trained_parts: tuple[str, ...] = LANGUAGE_PARTS
    kinds: Kinds | None = None
    region_kinds: Kinds | None = None
    text_kinds: Kinds | None = None
    """Weights of kinds of turns, where they are not the teller's usual ones."""

    def __init__(self, run: TrainConfig, config: SamaConfig | None = None) -> None:
        super().__init__(run)
        self.config = config or config_of(run)
        self.processor = processor_of(run, self.config)
        self.sama = SamaForConditionalGeneration(self.config)
        self.sama.requires_grad_(False)
        parts = self.sama.model
        for name in self.trained_parts:
            getattr(parts, name).requires_grad_(True)
        for fresh in (parts.multi_modal_projector, parts.aggregator, parts.region_encoder, parts.grounding_head):
            spread_layers(fresh)
        look_back(parts.language_model)
        self.add_heads()
        prompt_dim = self.config.segmenter_config.mask_decoder_config.hidden_size
        self.seg_codes: Tensor
        self.register_buffer("seg_codes", class_codes(prompt_dim))

    @property
    def language_settings(self) -> LanguageConfig:
        """The stage's part of the recipe."""
        settings = self.settings
        assert isinstance(settings, LanguageConfig)
        return settings

    @property
    def teller(self) -> Teller:
        """Who makes the dialogues about the stage's world."""
        if isinstance(self.world, PlainWorld):
            return PlainTeller()
        settings = self.language_settings
        return LevelTeller(settings.plain_share, settings.gray_share, settings.renamed_share, settings.reworded_share)

    def start(self, results: Mapping[str, Weights]) -> None:
        """Take over what was learnt before; heads that a finished model came without learn to read it first."""
        super().start(results)
        learnt = {part.split(".")[0] for name, result in results.items() if name != STARTING_MODEL for part in result}
        self.settle_grounding_head(results, STARTING_MODEL not in results or "grounding_head" in learnt)
        if STARTING_MODEL in results and not learnt & set(HEADS) and set(PICTURE_PARTS) & set(self.trained_parts):
            self.acquaint_heads(self._misread)

    def settle_grounding_head(self, results: Mapping[str, Weights], speaks_codes: bool) -> None:
        """Make the `[SEG]`s of a finished model say the codes that the stages before SAM 2 teach.

        Args:
            speaks_codes: Whether they say them already, or nothing yet.
        """
        if not speaks_codes:
            prompts, names = AttributePrompts(self.seg_codes.shape[1]), self.world.name_classes()
            load_strictly(prompts, part_of(results[STARTING_MODEL], "attribute_prompts"), "attribute_prompts")
            translate_head(self.sama.model.grounding_head, prompts(names), self.seg_targets(names))

    def take_over(self, weights: Weights) -> None:
        """Load each part of the model, and each head, that these weights hold."""
        for name, module in (*self.sama.model.named_children(), *self.named_children()):
            part = part_of(weights, name)
            if part:
                load_strictly(module, part, name)

    def result(self) -> dict[str, Tensor]:
        """The weights this stage hands on."""
        state = {**self.state_dict(), **self.sama.model.state_dict()}
        wanted = tuple(f"{name}." for name in self.products)
        return {key: value.contiguous() for key, value in state.items() if key.startswith(wanted)}

    # batches

    def seen_batch(self, rng: np.random.Generator) -> DialogueBatch:
        """Fresh clips with a dialogue about each, some of them without dense frames."""
        told = [self.tell(rng, self.world.draw(rng)) for _ in range(self.language_settings.batch)]
        return self.stack_seen(told, rng)

    def tell(self, rng: np.random.Generator, scene: Any) -> Told:
        """One dialogue in pictures."""
        settings, usual = self.language_settings, self.teller.usual
        region_only = rng.random() < settings.region_only_share
        seen = self.kinds or usual.get(self.name.removeprefix("plain_"), usual["all"])
        return self.teller.tell(
            rng,
            scene,
            self.config,
            settings.turns,
            kinds=(self.region_kinds or usual["region"]) if region_only else seen,
            region_only=region_only,
            late_share=settings.late_frame_share,
        )

    def text_batch(self, rng: np.random.Generator, settings: LanguageConfig) -> DialogueBatch:
        """Fresh dialogues without pictures."""
        scenes = [self.world.draw(rng) for _ in range(settings.batch)]
        return self.stack_text([self.tell_blind(rng, scene, settings.turns) for scene in scenes])

    def tell_blind(self, rng: np.random.Generator, scene: Any, num_turns: int) -> Blind:
        """One dialogue without pictures."""
        return self.teller.tell_blind(rng, scene, num_turns, self.text_kinds or self.teller.usual["text"])

    def stack_seen(self, dialogues: Sequence[Told], rng: np.random.Generator | None = None) -> DialogueBatch:
        """Dialogues in pictures as one batch.

        Args:
            rng: Chooses what the batch does not show whole; left out, everything is in it.
        """
        rows = [encode_told(self.processor, told) for told in dialogues]
        classes = [told.names[list(told.seg_objects)] for told in dialogues]
        meant = [(told, told.region_objects) for told in dialogues] + [(told, told.seg_objects) for told in dialogues]
        centres, weights = zip(*(centre_targets(*each, self.config.dense_frames) for each in meant), strict=True)
        labels = [self._cell_labels(told) for told in dialogues]
        return self._batch(
            rows,
            classes,
            videos=tuple(row.video for row in rows),
            cell_labels=torch.from_numpy(np.concatenate(labels)),
            centres=torch.from_numpy(np.concatenate(centres)),
            centre_weights=torch.from_numpy(np.concatenate(weights)),
            looks=torch.from_numpy(np.concatenate([told.region_looks for told in dialogues])),
            gazes=gazes_of(self.processor.tokenizer, dialogues, rows, self.config.tokens_per_side),
            masks=self.mask_targets(dialogues, rng),
        )

    def stack_text(self, dialogues: Sequence[Blind]) -> DialogueBatch:
        """Dialogues without pictures as one batch."""
        rows = [encode_blind(self.processor, blind) for blind in dialogues]
        classes = [blind.names[list(seg_objects(blind.turns))] for blind in dialogues]
        return self._batch(rows, classes, videos=())

    def mask_targets(self, dialogues: Sequence[Told], rng: np.random.Generator | None) -> MaskTargets | None:
        """What masks the `[SEG]`s should give; nothing in a stage that makes none."""
        return None

    # losses

    def forward(self, batch: DialogueBatch) -> tuple[Tensor, Logs]:
        """Cross-entropy of the answers, distillation of `[SEG]` prompts, and what the pictures should tell."""
        settings = self.language_settings
        embeds, features = self.read_pictures(batch)
        states, layers = self.read(embeds)
        text = self.text_loss(states, batch.labels)
        prompts = self.seg_prompts(states, batch.input_ids)
        distilled = losses.distillation_loss(prompts, self.seg_targets(batch.seg_classes), self.target_variance())
        loss = text + settings.distillation_weight * distilled
        logs = {"text": text.item(), "distillation": distilled.item()}
        if features is not None:
            pictures, told = self.picture_loss(features, layers, batch)
            loss, logs = loss + pictures, logs | told
        if batch.masks is not None:
            masks = self.mask_loss(prompts, batch.masks)
            loss = loss + settings.mask_weight * masks
            logs["masks"] = masks.item()
        return loss, logs

    def picture_loss(
        self, features: Float[Tensor, "frames tokens dim"], layers: Sequence[Tensor], batch: DialogueBatch
    ) -> tuple[Float[Tensor, ""], Logs]:
        """What heads read off the model, weighted, and where the model looks."""
        settings = self.language_settings
        assert batch.gazes is not None
        told = self.readings(features, layers, batch)
        gaze = features.new_zeros(())
        if settings.gaze_weight:
            gaze = gaze_loss(self.sama.model.language_model, layers, batch.gazes)
        loss = settings.dense_weight * told["dense"] + settings.look_weight * told["looks"]
        loss = loss + settings.centre_weight * (told["centre"] + told["place"] + told["moves"])
        loss = loss + settings.gaze_weight * gaze
        return loss, {name: value.item() for name, value in (told | {"gaze": gaze}).items()}

    def read_pictures(self, batch: DialogueBatch) -> tuple[Tensor, Tensor | None]:
        """Embedded rows, and the tokens of all pictures: one pass of the tower, one of the spatial reader."""
        parts = self.sama.model
        with low_precision(batch.input_ids.device):
            if not batch.videos:
                return parts.embed_tokens(batch.input_ids, None), None
            features = parts.encode_frames(torch.cat([video.pixel_values for video in batch.videos]))
            by_video = features.split([len(video.pixel_values) for video in batch.videos])
            context = [f[list(v.context_positions)] for f, v in zip(by_video, batch.videos, strict=True)]
            spatial = parts.aggregator.spatial_states(torch.cat(context)).split([len(each) for each in context])
            placeholders = [
                embedding
                for own, read, video in zip(by_video, spatial, batch.videos, strict=True)
                for embedding in parts.turn_embeddings(own, read, video.context_positions, video.turns)
            ]
            return parts.embed_tokens(batch.input_ids, torch.cat(placeholders)), features

    def read(
        self, embeds: Float[Tensor, "rows tokens dim"]
    ) -> tuple[Float[Tensor, "rows tokens dim"], tuple[Tensor, ...]]:
        """States after the decoder's last norm, and those that each of its layers reads."""
        with low_precision(embeds.device):
            read = self.sama.model.language_model(inputs_embeds=embeds, use_cache=False, output_hidden_states=True)
        return read.last_hidden_state, read.hidden_states[:-1]

    def text_loss(
        self, states: Float[Tensor, "rows tokens dim"], labels: Int[Tensor, "rows tokens"]
    ) -> Float[Tensor, ""]:
        """Next-token cross-entropy, with logits only where there is something to learn."""
        told = labels[:, 1:] != -100
        if not told.any():
            return states.sum() * 0.0
        with low_precision(states.device):
            logits = self.sama.lm_head(states[:, :-1][told])
        return F.cross_entropy(logits.float(), labels[:, 1:][told])

    def seg_prompts(
        self, states: Float[Tensor, "rows tokens dim"], input_ids: Int[Tensor, "rows tokens"]
    ) -> Float[Tensor, "segs prompt_dim"]:
        """The SAM 2 prompt of every `[SEG]`, in float32."""
        return self.sama.model.grounding_head(states[input_ids == self.config.seg_token_id].float())

    def seg_targets(self, classes: Int[Tensor, "segs 4"]) -> Float[Tensor, "segs prompt_dim"]:
        """What each `[SEG]` should say.

        Before SAM 2 is at hand these are fixed codes of colour and shape; SAM 2's own prompts for them are sums of the
        same form, so one linear map leads from the codes to the prompts.
        """
        colors, shapes = self.seg_codes.split(NUM_CLASSES[:2])
        return colors[classes[:, 0]] + shapes[classes[:, 1]]

    def target_variance(self) -> Float[Tensor, ""]:
        """Mean variance of the targets over all names."""
        return self.seg_targets(self.world.name_classes().to(self.seg_codes.device)).var(0).mean()

    @abstractmethod
    def mask_loss(self, prompts: Float[Tensor, "segs prompt_dim"], targets: MaskTargets) -> Float[Tensor, ""]:
        """What the masks of `[SEG]` prompts cost."""

    # scores

    def held_out(self, count: int, make: Callable[[np.random.Generator, Any], Any]) -> Iterable[list[Any]]:
        """Dialogues about held-out scenes, always the same ones, in small groups."""
        for first in range(0, count, _EVALUATION_BATCH):
            rng = np.random.default_rng([1, first])
            numbers = range(first, min(count, first + _EVALUATION_BATCH))
            yield [make(rng, self.world.held_out("dialogues", number)) for number in numbers]

    def tell_held_out(self, rng: np.random.Generator, scene: Any) -> Told:
        """One dialogue of every kind of turn, shown as a conversation shows it."""
        settings = self.language_settings
        teller = LevelTeller() if isinstance(self.teller, LevelTeller) else self.teller
        return teller.tell(
            rng, scene, self.config, settings.turns, kinds=teller.usual["all"], late_share=settings.late_frame_share
        )

    @torch.no_grad()
    def evaluate(self) -> Logs:
        """Share of held-out answers that are right word for word, by kind, and how far `[SEG]` prompts are off."""
        scores = Scores()
        for dialogues in self.held_out(self.language_settings.evaluation_scenes, self.tell_held_out):
            self.score(dialogues, self.stack_seen(dialogues), scores)
        return scores.means()

    def score(self, dialogues: Sequence[Told], batch: DialogueBatch, scores: Scores) -> Tensor:
        """Add a batch's scores; its `[SEG]` prompts are returned."""
        embeds, _ = self.read_pictures(batch)
        states, layers = self.read(embeds)
        inner = last_read(layers)
        for told, right in zip(dialogues, self.right_answers(states, batch.labels), strict=True):
            for turn, is_right in zip(told.turns, right, strict=True):
                scores.add(turn.kind, is_right)
                if turn.kind == "attribute":
                    scores.add(asked_attribute(turn), is_right)
        scores.add("centre_off", self.centre_loss(inner, batch).item())
        return self.score_prompts(states, batch, scores)

    def score_prompts(self, states: Tensor, batch: DialogueBatch, scores: Scores) -> Tensor:
        """Add the squared error of the `[SEG]` prompts per unit of variance; the prompts are returned."""
        prompts, targets = self.seg_prompts(states, batch.input_ids), self.seg_targets(batch.seg_classes)
        if len(prompts):
            scores.add("distillation", losses.distillation_loss(prompts, targets, self.target_variance()).item())
        return prompts

    def right_answers(
        self, states: Float[Tensor, "rows tokens dim"], labels: Int[Tensor, "rows tokens"]
    ) -> list[list[float]]:
        """For every row and answer, 1.0 where each token is the likeliest after the true ones before it."""
        guesses = self.sama.lm_head(states[:, :-1].float()).argmax(-1)
        rows = []
        for guess, row in zip(guesses, labels, strict=True):
            turns, wrong = turns_of(row)[1:], guess != row[1:]
            rows.append([1.0 - float(wrong[turns == turn].any()) for turn in range(int(turns.max()) + 1)])
        return rows

    # parts

    def _misread(self, number: int) -> Float[Tensor, ""]:
        """How far off the heads are on one batch, which the model itself learns nothing from."""
        batch = self.seen_batch(np.random.default_rng([self.run.seed, number]))
        with torch.no_grad():
            embeds, features = self.read_pictures(batch)
            _, layers = self.read(embeds)
        assert features is not None
        return torch.stack(list(self.readings(features, layers, batch).values())).sum()

    def _batch(self, rows: Sequence[TrainingInputs], classes: Sequence[np.ndarray], **pictures: Any) -> DialogueBatch:
        ids, labels = pad_rows(rows, self.processor.tokenizer.pad_token_id)
        return DialogueBatch(ids, labels, seg_classes=torch.from_numpy(np.concatenate(classes)), **pictures)

    def _cell_labels(self, told: Told) -> np.ndarray:
        shot, grid, factor = told.shot, self.config.tokens_per_side, self.factor
        frames = range(shot.num_frames)
        cells = np.stack([cell_labels(shot.masks[:, i], shot.looks[:, i], grid * factor, 0.4) for i in frames])
        folded = cells.reshape(len(cells), grid, factor, grid, factor, -1).transpose(0, 1, 3, 2, 4, 5)
        return folded.reshape(len(cells), grid * grid, factor * factor, -1)
