"""SAM 2's parts driven directly: frames, prompts and memories in, masks out.

Nothing here switches gradients off, so the same calls serve training and use. Coordinates are pixels of the square
frame the model sees (`image_size` x `image_size`).
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import EdgeTamVideoModel, Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import NO_OBJ_SCORE

from sama_video.errors import ConfigError
from sama_video.model.features import FrameFeatures
from sama_video.model.image_pyramid import feature_maps
from sama_video.model.memory_coding import Constants, MemoryCoder, resized

__all__ = ["Decoded", "FrameFeatures", "MaskPrediction", "Segmenter"]

# A mask given by the caller stands as logits of +10 and -10, as SAM 2 was trained with.
MASK_SCALE, MASK_BIAS = 20.0, -10.0


@dataclass(frozen=True, eq=False)
class Decoded:
    """Every candidate the mask decoder gives for each prompt."""

    mask_logits: Float[Tensor, "prompts candidates height4 width4"]
    iou: Float[Tensor, "prompts candidates"]
    tokens: Float[Tensor, "prompts candidates dim"]
    object_score: Float[Tensor, " prompts"]


@dataclass(frozen=True, eq=False)
class MaskPrediction:
    """The chosen mask of each prompt, and what a memory of it needs."""

    mask_logits: Float[Tensor, "prompts height4 width4"]
    iou: Float[Tensor, " prompts"]
    object_score: Float[Tensor, " prompts"]
    object_pointer: Float[Tensor, "prompts dim"]


class Segmenter:
    """The parts of a SAM 2 or EdgeTAM video model, driven without its inference session.

    Holds no parameters of its own; device and dtype are the wrapped model's.

    Args:
        model: The wrapped model.
        original_mask_decoder: A second decoder, known as "original"; the model's own is "main".
        suppress_absent: Replace the mask logits of an object judged absent by -1024, as SAM 2 does.
        memory_dtype: How memories are kept; by default as the model's own session does (bfloat16 for SAM 2, the
            model's dtype for EdgeTAM).
        binarize_prompted_memory: Threshold the masks of prompted frames before they enter the memory.
    """

    def __init__(
        self,
        model: Sam2VideoModel | EdgeTamVideoModel,
        *,
        original_mask_decoder: nn.Module | None = None,
        suppress_absent: bool = True,
        memory_dtype: torch.dtype | None = None,
        binarize_prompted_memory: bool = True,
    ) -> None:
        if 0 <= model.config.max_cond_frame_num < 2:
            given = model.config.max_cond_frame_num
            raise ConfigError(f"max_cond_frame_num={given}, but attention needs 2 or more; use -1 for no limit.")
        self.model: Any = model
        self.config: Any = model.config
        self.decoders: dict[str, Any] = {"main": model.mask_decoder}
        if original_mask_decoder is not None:
            self.decoders["original"] = original_mask_decoder
        self.suppress_absent = suppress_absent
        self._constants = Constants()
        self._memory = MemoryCoder(
            model, self._constants, binarize_prompted=binarize_prompted_memory, dtype=memory_dtype
        )

    @property
    def device(self) -> torch.device:
        """Where the wrapped model lies."""
        device: torch.device = self.model.no_memory_embedding.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the wrapped model."""
        dtype: torch.dtype = self.model.no_memory_embedding.dtype
        return dtype

    @property
    def image_size(self) -> int:
        """Side of the square frame the model sees, in pixels."""
        return int(self.model.image_size)

    def encode(self, pixel_values: Float[Tensor, "frames 3 side side"]) -> FrameFeatures:
        """Features of normalised frames, with the fine maps of every decoder."""
        pixel_values = pixel_values.to(self.device, self.dtype)
        fine4, fine8, low = feature_maps(self.model.vision_encoder, pixel_values)
        high = {name: (decoder.conv_s0(fine4), decoder.conv_s1(fine8)) for name, decoder in self.decoders.items()}
        return FrameFeatures(low, high)

    def with_no_memory(self, low: Float[Tensor, "frames dim height width"]) -> Float[Tensor, "frames dim height width"]:
        """The coarsest map as the decoder expects it when nothing is remembered."""
        return low + self.model.no_memory_embedding.view(1, -1, 1, 1)

    def embed_prompts(
        self,
        *,
        points: Float[Tensor, "prompts points 2"] | None = None,
        labels: Int[Tensor, "prompts points"] | None = None,
        boxes: Float[Tensor, "prompts 4"] | None = None,
        mask_inputs: Float[Tensor, "prompts mask_height mask_width"] | None = None,
        embeddings: Float[Tensor, "prompts dim"] | None = None,
    ) -> tuple[Float[Tensor, "prompts tokens dim"], Float[Tensor, "prompts dim height width"]]:
        """Sparse tokens and dense map of prompts; with no argument, those of one empty prompt.

        A box counts as two labelled points and may be refined by points. An embedding is one more token at the end.

        Args:
            points: Pixels of the model's frame, x first.
            labels: 1 on the object, 0 beside it, -1 not a point; all 1 by default.
            boxes: Corners in pixels of the model's frame.
            mask_inputs: Mask logits as a hint, any size.
            embeddings: Prompt tokens made elsewhere.
        """
        given = next((value for value in (points, boxes, mask_inputs, embeddings) if value is not None), None)
        count = 1 if given is None else given.shape[0]
        points, labels = self._labelled_points(count, points, labels, boxes)
        encoder = self.model.prompt_encoder
        if mask_inputs is not None:
            mask_inputs = resized(mask_inputs[:, None], encoder.mask_input_size).to(self.dtype)
        sparse, dense = encoder(
            input_points=points[:, None], input_labels=labels[:, None], input_boxes=None, input_masks=mask_inputs
        )
        sparse = sparse[:, 0]
        if embeddings is not None:
            sparse = torch.cat([sparse, embeddings[:, None].to(sparse)], dim=1)
        return sparse, dense

    def _labelled_points(
        self, count: int, points: Tensor | None, labels: Tensor | None, boxes: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if points is None:
            empty = 0 if boxes is not None else 1
            points = torch.zeros(count, empty, 2, device=self.device)
            labels = torch.full((count, empty), -1, dtype=torch.int32, device=self.device)
        points = points.to(self.device)
        labels = torch.ones_like(points[..., 0], dtype=torch.int32) if labels is None else labels.to(self.device)
        if boxes is not None:
            corners = boxes.to(self.device).view(count, 2, 2)
            corner_labels = torch.tensor([2, 3], dtype=labels.dtype, device=self.device).expand(count, 2)
            points, labels = torch.cat([corners, points], dim=1), torch.cat([corner_labels, labels], dim=1)
        return points, labels

    def use_multimask(self, *, num_points: int, prompted: bool) -> bool:
        """Whether the decoder should offer several candidates; a box counts as two points."""
        config = self.config
        return bool(
            config.multimask_output_in_sam
            and (prompted or config.multimask_output_for_tracking)
            and config.multimask_min_pt_num <= num_points <= config.multimask_max_pt_num
        )

    def decode(
        self,
        image_embeddings: Float[Tensor, "#prompts dim height width"],
        features: FrameFeatures,
        frame_of_prompt: Int[Tensor, " prompts"] | None,
        sparse: Float[Tensor, "prompts tokens dim"],
        dense: Float[Tensor, "#prompts dim height width"],
        *,
        multimask: bool,
        decoder: str = "main",
    ) -> Decoded:
        """Mask candidates of each prompt.

        Args:
            image_embeddings: The coarsest map each prompt is decoded on, memory already mixed in.
            features: Where the fine maps come from.
            frame_of_prompt: Position in `features` of each prompt's frame; None when there is one frame, or one frame
                for each prompt.
            sparse: Prompt tokens.
            dense: Dense prompt maps.
            multimask: Three candidates rather than one.
            decoder: "main" or "original".
        """
        prompts = sparse.shape[0]
        fine4, fine8 = features.high[decoder]
        if frame_of_prompt is not None and len(features) > 1:
            fine4, fine8 = fine4[frame_of_prompt], fine8[frame_of_prompt]
        if prompts == 0:
            return self._nothing_decoded(sparse, fine4, multimask)
        mask_logits, iou, tokens, score = self.decoders[decoder](
            image_embeddings=image_embeddings.expand(prompts, -1, -1, -1),
            image_positional_embeddings=self._image_positions(),
            sparse_prompt_embeddings=sparse[:, None],
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            high_resolution_features=[fine4, fine8],
        )
        return Decoded(mask_logits[:, 0], iou[:, 0], tokens[:, 0], score[:, 0, 0])

    def _nothing_decoded(self, sparse: Tensor, fine4: Tensor, multimask: bool) -> Decoded:
        candidates = self.config.mask_decoder_config.num_multimask_outputs if multimask else 1
        return Decoded(
            sparse.new_zeros(0, candidates, *fine4.shape[-2:]),
            sparse.new_zeros(0, candidates),
            sparse.new_zeros(0, candidates, sparse.shape[-1]),
            sparse.new_zeros(0),
        )

    def choose(self, decoded: Decoded) -> MaskPrediction:
        """The candidate of highest predicted IoU, its object pointer, and absence acted upon."""
        rows = torch.arange(decoded.iou.shape[0], device=decoded.iou.device)
        best = decoded.iou.argmax(dim=-1)
        mask_logits, token = decoded.mask_logits[rows, best], decoded.tokens[rows, best]
        present = decoded.object_score > 0
        if self.suppress_absent:
            mask_logits = mask_logits.masked_fill(~present[:, None, None], NO_OBJ_SCORE)
        pointer = torch.where(present[:, None], self.model.object_pointer_proj(token), self.model.no_object_pointer)
        return MaskPrediction(mask_logits, decoded.iou[rows, best], decoded.object_score, pointer)

    def predict(
        self,
        features: FrameFeatures,
        frame_of_prompt: Int[Tensor, " prompts"] | None = None,
        *,
        points: Float[Tensor, "prompts points 2"] | None = None,
        labels: Int[Tensor, "prompts points"] | None = None,
        boxes: Float[Tensor, "prompts 4"] | None = None,
        mask_inputs: Float[Tensor, "prompts mask_height mask_width"] | None = None,
        embeddings: Float[Tensor, "prompts dim"] | None = None,
        decoder: str = "main",
    ) -> MaskPrediction:
        """The mask of each prompt on its own frame, without any memory."""
        sparse, dense = self.embed_prompts(
            points=points, labels=labels, boxes=boxes, mask_inputs=mask_inputs, embeddings=embeddings
        )
        low = features.low if frame_of_prompt is None or len(features) == 1 else features.low[frame_of_prompt]
        num_points = (0 if points is None else points.shape[1]) + (0 if boxes is None else 2)
        multimask = self.use_multimask(num_points=num_points, prompted=True)
        image_embeddings = self.with_no_memory(low)
        decoded = self.decode(
            image_embeddings, features, frame_of_prompt, sparse, dense, multimask=multimask, decoder=decoder
        )
        return self.choose(decoded)

    def fit_masks(self, masks: Bool[Tensor, "prompts mask_height mask_width"]) -> Float[Tensor, "prompts side side"]:
        """Masks of any size as zeros and ones at the model's frame size."""
        side = self.image_size
        fitted = masks.to(self.device, torch.float32)
        if fitted.shape[-2:] != (side, side):
            fitted = (resized(fitted[:, None], (side, side))[:, 0] >= 0.5).float()
        return fitted.to(self.dtype)

    def mask_as_output(
        self,
        features: FrameFeatures,
        frame_of_prompt: Int[Tensor, " prompts"] | None,
        fitted: Float[Tensor, "prompts side side"],
        *,
        decoder: str = "main",
    ) -> MaskPrediction:
        """Given masks taken as the answer; only their object pointers come from the decoder.

        Args:
            features: The frames the masks lie on.
            frame_of_prompt: As in `decode`.
            fitted: From `fit_masks`.
            decoder: Which decoder makes the pointers.
        """
        size = self.model.prompt_encoder.mask_input_size
        mask_logits = resized((fitted * MASK_SCALE + MASK_BIAS)[:, None], size)[:, 0].to(fitted.dtype)
        sparse, dense = self.embed_prompts(mask_inputs=self.model.mask_downsample(fitted[:, None])[:, 0])
        low = features.low if frame_of_prompt is None or len(features) == 1 else features.low[frame_of_prompt]
        decoded = self.decode(low, features, frame_of_prompt, sparse, dense, multimask=True, decoder=decoder)
        present = fitted.flatten(1).any(dim=1)
        pointer = torch.where(present[:, None], self.choose(decoded).object_pointer, self.model.no_object_pointer)
        score = present.to(fitted.dtype) * MASK_SCALE + MASK_BIAS
        return MaskPrediction(mask_logits, torch.ones_like(score), score, pointer)

    def encode_memory(
        self,
        low: Float[Tensor, "#prompts dim height width"],
        mask_logits: Float[Tensor, "prompts mask_height mask_width"],
        object_score: Float[Tensor, " prompts"],
        *,
        prompted: bool,
    ) -> Float[Tensor, "prompts tokens memory_dim"]:
        """What to remember of masks on their frames.

        Args:
            low: Coarsest maps without the no-memory embedding; one frame may serve all masks.
            mask_logits: Any size.
            object_score: Above 0 where the object is present.
            prompted: Whether these masks came from the caller's prompts.
        """
        return self._memory.encode(low, mask_logits, object_score, prompted=prompted)

    def condition_on_memory(
        self,
        low: Float[Tensor, "#objects dim height width"],
        memories: Float[Tensor, "objects entries tokens memory_dim"],
        ages: Int[Tensor, "#objects entries"],
        pointers: Float[Tensor, "objects pointers dim"] | None = None,
        pointer_ages: Float[Tensor, "#objects pointers"] | None = None,
        *,
        max_pointers: int = 16,
    ) -> Float[Tensor, "objects dim height width"]:
        """A frame's coarsest map seen in the light of each object's memories.

        Args:
            low: The frame, without the no-memory embedding; one may serve all objects.
            memories: Each object's memories, conditioning frames first.
            ages: Steps back of each memory; 0 for a conditioning frame, whatever its distance.
            pointers: Each object's object pointers.
            pointer_ages: Steps back of each pointer; needed where the model codes them
                (`enable_temporal_pos_encoding_for_object_pointers`).
            max_pointers: The age that time codes of pointers are scaled by, plus one.
        """
        return self._memory.condition(low, memories, ages, pointers, pointer_ages, max_pointers=max_pointers)

    def _image_positions(self) -> Tensor:
        table = self.model.shared_image_embedding.positional_embedding
        key = ("image", table.device, table.dtype, table.data_ptr(), table._version)
        return self._constants.get(key, self.model.get_image_wide_positional_embeddings)
