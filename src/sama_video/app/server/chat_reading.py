"""A chat request taken apart: one question about one video, and the turns before it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sama_video.app.server.chat_wire import (
    AssistantMessage,
    ChatRequest,
    FilePart,
    ImagePart,
    RegionPart,
    TextPart,
    UserMessage,
    VideoPart,
)
from sama_video.app.server.clip_urls import clip_of
from sama_video.app.server.problems import ApiError
from sama_video.app.server.settings import Limits
from sama_video.app.server.state import ServerState
from sama_video.chat.replay import PastTurn
from sama_video.regions.shapes import Region


@dataclass(frozen=True)
class Question:
    """One user message taken apart."""

    text: str
    regions: tuple[Region, ...]
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A request made ready for a worker."""

    clip_id: str
    turns: tuple[PastTurn, ...]
    question: Question
    request: ChatRequest

    @property
    def opening(self) -> str:
        """The words that the conversation began with."""
        return self.turns[0].question if self.turns else self.question.text


def read_request(body: ChatRequest, state: ServerState) -> Asked:
    """Take a conversation apart, and its clip in. Blocks while a clip is read or fetched.

    Raises:
        ApiError: Messages do not alternate, break a limit, or name no video or several.
    """
    limits = state.settings.limits
    roles = [message.role for message in body.messages]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise _bad("messages are not questions and answers in turn; begin and end with one of the role user")
    if (len(roles) + 1) // 2 > limits.turns:
        raise _bad(f"the conversation has more than {limits.turns} questions, which is this server's limit; start anew")
    questions = [question_of(message, limits) for message in body.messages if isinstance(message, UserMessage)]
    answers = [message for message in body.messages if isinstance(message, AssistantMessage)]
    turns = tuple(
        PastTurn(question.text, question.regions, answer_text(answer, limits), answer.grounding)
        for question, answer in zip(questions[:-1], answers, strict=True)
    )
    return Asked(_clip_id(questions, state), turns, questions[-1], body)


def question_of(message: UserMessage, limits: Limits) -> Question:
    """Words, regions and addresses of a message; words of several parts stand on lines of their own."""
    texts: list[str] = []
    regions: list[Region] = []
    urls: list[str] = []
    for part in message.content:
        match part:
            case TextPart():
                texts.append(part.text)
            case RegionPart():
                regions.append(part.region)
            case VideoPart():
                urls.append(part.video_url.url)
            case ImagePart():
                urls.append(part.image_url.url)
            case FilePart():
                urls.append(part.file.file_id)
    text = "\n".join(texts)
    if len(text) > limits.question_chars:
        raise _bad(f"a question has {len(text)} characters, and this server takes {limits.question_chars}; shorten it")
    if len(regions) > limits.regions:
        raise _bad(f"a message has {len(regions)} regions, and this server takes {limits.regions}; give fewer")
    return Question(text, tuple(regions), tuple(urls))


def answer_text(message: AssistantMessage, limits: Limits) -> str:
    """Words of an earlier answer."""
    text = "".join(part.text for part in message.content)
    if len(text) > limits.question_chars:
        raise _bad(f"an answer has {len(text)} characters, and this server takes {limits.question_chars}; shorten it")
    masklets = (message.grounding or {}).get("masklets", ())
    if isinstance(masklets, Sequence) and len(masklets) > limits.masklets:
        raise _bad(f"an answer has {len(masklets)} masklets, and this server takes {limits.masklets}; send fewer")
    return text


def _clip_id(questions: Sequence[Question], state: ServerState) -> str:
    urls = list(dict.fromkeys(url for question in questions for url in question.urls))
    if not urls:
        raise _bad("no message names a video; add a part {'type': 'video_url', 'video_url': {'url': FILE ID}}")
    if len(urls) > state.settings.limits.turns:
        raise _bad("the messages name too many videos; a conversation is about one")
    ids = {clip_of(url, state.store, state.fetcher).id for url in urls}
    if len(ids) > 1:
        raise _bad(f"the messages name {len(ids)} different videos; a conversation is about one, so name one")
    return ids.pop()


def _bad(message: str) -> ApiError:
    return ApiError(400, f"{message}.", code="invalid_value", param="messages")
