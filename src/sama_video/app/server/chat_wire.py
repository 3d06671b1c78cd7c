"""The body of `POST /v1/chat/completions` and its answers: OpenAI's, with regions going in and grounding coming out."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, FiniteFloat, WithJsonSchema, model_validator

from sama_video.app.server.problems import ApiError
from sama_video.app.server.wire import MASKLET_SCHEMA, Text, Told, Wire, WireRegion

NO_SYSTEM = (
    "this model was trained without system messages, so it would not read one; write what it should know into the "
    "user's question."
)


class Url(Wire):
    """An address of a video: a file's id, a `data:` URL, or http(s) where the server may fetch."""

    url: Text
    detail: Literal["auto", "low", "high"] | None = None


class FileName(Wire):
    """A file's id."""

    file_id: Text


class TextPart(Wire):
    """Words."""

    type: Literal["text"]
    text: Text


class VideoPart(Wire):
    """The video that the conversation is about."""

    type: Literal["video_url"]
    video_url: Url


class ImagePart(Wire):
    """A picture that the conversation is about: a video of one frame."""

    type: Literal["image_url"]
    image_url: Url


class FilePart(Wire):
    """The video, by the id of its file."""

    type: Literal["file"]
    file: FileName


class RegionPart(Wire):
    """What the next `<region>` of the text stands for."""

    type: Literal["region"]
    region: WireRegion


Part: TypeAlias = Annotated[TextPart | VideoPart | ImagePart | FilePart | RegionPart, Field(discriminator="type")]


def _as_parts(content: object) -> object:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class UserMessage(Wire):
    """A question."""

    role: Literal["user"]
    content: Annotated[
        Annotated[list[Part], Field(min_length=1)],
        BeforeValidator(_as_parts, json_schema_input_type=Text | Annotated[list[Part], Field(min_length=1)]),
    ]
    name: Text | None = None


class AssistantMessage(Wire):
    """An earlier answer. With its `grounding` unchanged, its objects are known again; without, it is plain text."""

    # Clients send whole messages back, with whatever fields their library adds.
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    role: Literal["assistant"]
    content: Annotated[list[TextPart], BeforeValidator(_as_parts, json_schema_input_type=Text | list[TextPart])]
    grounding: dict[str, Any] | None = None


Message: TypeAlias = Annotated[UserMessage | AssistantMessage, Field(discriminator="role")]


class StreamOptions(Wire):
    """Of a streamed answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ResponseFormat(Wire):
    """Only text is there."""

    type: Literal["text"]


class ChatRequest(Wire):
    """A conversation whose last message is the question. Fields of OpenAI's that change nothing here are taken."""

    messages: Annotated[list[Message], Field(min_length=1)]
    model: Text | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None

    ground: Annotated[
        Literal["auto"] | bool,
        Field(description="auto: the model decides on masks; true: at least one; false: text only."),
    ] = "auto"
    span: Annotated[list[FiniteFloat], Field(min_length=2, max_length=2, description="Seconds from and to.")] | None = (
        None
    )
    masklets: Annotated[
        Literal["answer", "all", "none"],
        Field(
            description="Whose masklets to send: of what the answer grounds, of what was pointed at as well, or none."
        ),
    ] = "answer"

    # Taken only where they ask for what is done anyway.
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    response_format: ResponseFormat | None = None
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    stop: None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    # Taken and not looked at.
    user: Text | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: Text | None = None
    safety_identifier: Text | None = None
    prompt_cache_key: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_system_message(cls, value: Any) -> Any:
        messages = value.get("messages") if isinstance(value, dict) else None
        for message in messages if isinstance(messages, list) else ():
            if isinstance(message, dict) and message.get("role") in ("system", "developer"):
                raise ApiError(400, NO_SYSTEM, code="unsupported_value", param="messages")
        return value


class GroundedPhrase(Told):
    """A span of the text, `text[start:end]`, and its object; without one, why."""

    text: str
    start: int
    end: int
    object: str | None
    reason: str | None = None


class GroundedObject(Told):
    """An object of this turn, and where it comes from."""

    id: str
    from_: Annotated[Literal["question", "answer"], Field(alias="from")]


class Grounding(Told):
    """What the words of an answer mean in the video. Send it back unchanged with the message."""

    phrases: list[GroundedPhrase]
    objects: list[GroundedObject]
    regions: Annotated[list[dict[str, Any]], Field(description="The question's regions with the objects they became.")]
    masklets: list[Annotated[dict[str, Any], WithJsonSchema(MASKLET_SCHEMA)]]
    raw: Annotated[str, Field(description="The answer as the model wrote it, with its marks.")]
    state: Annotated[dict[str, Any], Field(description="What makes the turn exact when it is sent back.")]


class Reply(Told):
    """The answer."""

    role: Literal["assistant"]
    content: str
    grounding: Grounding
    refusal: None = None


class Choice(Told):
    """The one answer."""

    index: Literal[0]
    message: Reply
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class PromptDetails(Told):
    """How much of the prompt came from the cache."""

    cached_tokens: int


class Usage(Told):
    """Tokens of the language model."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class ChatCompletion(Told):
    """The whole answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
