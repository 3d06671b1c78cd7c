"""The spatio-temporal context aggregator: frames, regions and a question squeezed into one token a frame.

Follows SAMA's aggregator as its authors' code has it (spec model 6): a spatial Q-Former reads each frame on its own, a
temporal Q-Former reads windows of those readings beside the question's words, and an attention from the frame tokens to
the result gives one context token per (question, frame).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerModel

from sama_video.model.configuration_sama import SamaAggregatorConfig


class ContextInjection(nn.Module):
    """Attention from frame tokens to the temporal states, averaged over each frame (spec model 6.7).

    The published form projects every frame token to a query, and every attended value back. Both projections are linear
    and only the mean over a frame is kept, so here the keys are taken into the frame's space instead and the mean is
    taken before the values are projected: the same numbers for a fraction of the work.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(width, dim)
        self.value = nn.Linear(width, dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, features: Float[Tensor, "frames tokens dim"], states: Float[Tensor, "prompts states width"]
    ) -> Float[Tensor, "prompts frames dim"]:
        """One vector per prompt and frame: the frame's mean token plus what the states add to it."""
        keys, values = self.key(states), self.value(states)
        keys_in_frame_space = keys @ self.query.weight  # prompts states dim
        scores = torch.einsum("ftd,psd->pfts", features, keys_in_frame_space)
        scores = scores + (keys @ self.query.bias)[:, None, None, :]
        weights = (scores.float() * features.shape[-1] ** -0.5).softmax(-1).mean(2).to(values.dtype)
        return self.out(weights @ values) + features.mean(1)  # prompts frames dim


class SpatioTemporalAggregator(nn.Module):
    """Frames, regions and question in; a context token per frame out."""

    def __init__(self, config: SamaAggregatorConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.input_proj = nn.Linear(dim, config.encoder_width)
        self.input_norm = nn.LayerNorm(config.encoder_width, eps=1e-5)
        self.spatial_queries = nn.Parameter(torch.zeros(1, config.num_spatial_queries, width))
        self.temporal_queries = nn.Parameter(torch.zeros(1, config.num_temporal_queries, width))
        self.spatial = Blip2QFormerModel(config.spatial_config())
        self.temporal = Blip2QFormerModel(config.temporal_config())
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=0)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.injection = ContextInjection(dim, width)
        self.output_proj = nn.Linear(dim, dim)

    def spatial_states(self, features: Float[Tensor, "frames tokens dim"]) -> Float[Tensor, "frames queries width"]:
        """What the spatial Q-Former reads off each frame; it does not depend on the question."""
        encoded = self.input_norm(self.input_proj(features))
        queries = self.spatial_queries.expand(len(features), -1, -1)
        return self.spatial(query_embeds=queries, encoder_hidden_states=encoded).last_hidden_state

    def temporal_states(
        self,
        spatial: Float[Tensor, "frames queries width"],
        question_ids: Int[Tensor, "prompts text"],
        question_mask: Int[Tensor, "prompts text"],
        *,
        pooled_slots: Float[Tensor, "regions width"] | None = None,
        shape_slots: Float[Tensor, "regions width"] | None = None,
        embedding_bias: Float[Tensor, "1 width"] | None = None,
    ) -> Float[Tensor, "prompts states width"]:
        """What the temporal Q-Former reads off the windows, for each question.

        Args:
            pooled_slots: In order of their `<mask>` tokens over all questions, what replaces those embeddings.
            shape_slots: The same for `<pos>` tokens.
            embedding_bias: Added to every embedding; the published inference does so when a dialogue has no region
                (spec model 6.5).
        """
        queries = self.temporal_queries.expand(len(question_ids), -1, -1)
        embeds = torch.cat([queries, self._embed_question(question_ids, pooled_slots, shape_slots)], dim=1)
        if embedding_bias is not None:
            embeds = embeds + embedding_bias
        num_queries = queries.shape[1]
        mask = torch.cat([question_mask.new_ones(len(question_ids), num_queries), question_mask], dim=1)
        flat = spatial.flatten(0, 1)  # (frames queries) width
        outputs = [
            self.temporal(
                query_embeds=embeds,
                query_length=num_queries,
                attention_mask=mask,
                encoder_hidden_states=window.expand(len(question_ids), -1, -1),
            ).last_hidden_state[:, :num_queries]
            for window in flat.split(self.config.window_size)
        ]
        return torch.cat(outputs, dim=1)

    def forward(
        self,
        features: Float[Tensor, "frames tokens dim"],
        spatial: Float[Tensor, "frames queries width"],
        question_ids: Int[Tensor, "prompts text"],
        question_mask: Int[Tensor, "prompts text"],
        *,
        pooled_slots: Float[Tensor, "regions width"] | None = None,
        shape_slots: Float[Tensor, "regions width"] | None = None,
        embedding_bias: Float[Tensor, "1 width"] | None = None,
    ) -> Float[Tensor, "prompts frames dim"]:
        """Context tokens: one per question and frame. Arguments as in `temporal_states`."""
        states = self.temporal_states(
            spatial,
            question_ids,
            question_mask,
            pooled_slots=pooled_slots,
            shape_slots=shape_slots,
            embedding_bias=embedding_bias,
        )
        return self.output_proj(self.injection(features, states))

    def _embed_question(
        self,
        question_ids: Int[Tensor, "prompts text"],
        pooled_slots: Float[Tensor, "regions width"] | None,
        shape_slots: Float[Tensor, "regions width"] | None,
    ) -> Float[Tensor, "prompts text width"]:
        positions = torch.arange(question_ids.shape[1], device=question_ids.device)
        embeds = self.word_embeddings(question_ids) + self.position_embeddings(positions)
        for slot_id, slots in (
            (self.config.mask_slot_id, pooled_slots),
            (self.config.position_slot_id, shape_slots),
        ):
            if slots is not None:
                embeds = fill_slots(embeds, question_ids == slot_id, slots)
        return embeds


def fill_slots(
    embeds: Float[Tensor, "batch tokens dim"], slots: Tensor, fillings: Float[Tensor, "fillings dim"]
) -> Float[Tensor, "batch tokens dim"]:
    """The embeddings with those at `slots` replaced, in order, by the fillings.

    Args:
        slots: Boolean [batch tokens].

    Raises:
        ValueError: The number of slots and fillings differ; nothing is inserted then.
    """
    found = int(slots.sum())
    if found != len(fillings):
        raise ValueError(f"{found} placeholders in the text, but {len(fillings)} features to put there.")
    if found == 0:
        return embeds
    return embeds.masked_scatter(slots[..., None], fillings.to(embeds.dtype))


def init_aggregator(module: nn.Module, std: float) -> None:
    """Give the aggregator's own parameters their initial values; its submodules bring their own."""
    if isinstance(module, SpatioTemporalAggregator):
        for queries in (module.spatial_queries, module.temporal_queries):
            nn.init.normal_(queries, std=std)


__all__ = ["ContextInjection", "SpatioTemporalAggregator", "fill_slots", "init_aggregator"]
