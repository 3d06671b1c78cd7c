"""The model, in the manner of `transformers`; importing this room registers it with the Auto classes."""

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from sama_video.model.configuration_sama import SamaAggregatorConfig, SamaConfig
from sama_video.model.modeling_sama import SamaForConditionalGeneration, SamaModel
from sama_video.model.processing_sama import SamaProcessor

AutoConfig.register("sama", SamaConfig)
AutoModelForImageTextToText.register(SamaConfig, SamaForConditionalGeneration)
AutoProcessor.register(SamaConfig, SamaProcessor)

__all__ = ["SamaAggregatorConfig", "SamaConfig", "SamaForConditionalGeneration", "SamaModel", "SamaProcessor"]
