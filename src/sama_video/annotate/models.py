"""The language models of a run: one behind an address, the scripted one, or recorded replies alone."""

from collections.abc import Callable

from sama_video.annotate.case import Subject
from sama_video.annotate.settings import SCRIPTED, ModelSettings
from sama_video.remote.language_model import LanguageModel, open_language_model
from sama_video.remote.reply_store import ReplyStore
from sama_video.remote.transport import Endpoint, Transport

Finder = Callable[[str], Subject]
"""Gives a subject by its name, as far as it has come."""


def open_model(
    settings: ModelSettings, store: ReplyStore, find: Finder, seed: int, *, replay: bool = False
) -> LanguageModel:
    """A model as the settings have it; its key comes from the environment.

    Args:
        store: Shared by all models of a run, with the one book of what they cost.
        find: For the scripted model, which has to know what is true of a clip.
        seed: Of the scripted model.
        replay: Take recorded replies alone.

    Raises:
        ConfigError: The address is none, or a key is needed and there is none.
        MissingExtraError: The `openai` package is not installed.
    """
    if replay:
        return open_language_model(settings.model, None, store, settings.limits)
    if settings.model == SCRIPTED:
        return LanguageModel(settings.model, store, _scripted(settings, find, seed), settings.limits)
    endpoint = Endpoint.find(settings.base_url, limit_name=settings.limit_name)
    return open_language_model(settings.model, endpoint, store, settings.limits)


def _scripted(settings: ModelSettings, find: Finder, seed: int) -> Transport:
    from sama_video.annotate.scripted import ScriptedTransport, Slips, truth_of

    slips = Slips(rate=settings.mistakes)
    return ScriptedTransport(slips, seed, settings.delay_ms / 1000, find=lambda name: truth_of(find(name)))
