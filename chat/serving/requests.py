"""Requests in the OpenAI forms, of a chat and of raw text: what is read of them, and what is said where one is wrong.

Settings that do nothing here (`tools`, `logprobs`, penalties) are refused unless they say that nothing is wanted, so
that nobody relies on them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from common.errors import one_line
from llada.chat_format import whole_characters
from llada.sampling.settings import SamplerConfig

MOST_MESSAGES, MOST_STOPS, LONGEST_STOP = 512, 4, 200


class RequestError(Exception):
    """A request that is not answered: an HTTP status, the parameter that is wrong, and one sentence."""

    def __init__(self, status: int, words: str, param: str | None = None, code: str | None = None) -> None:
        self.status, self.param, self.code = status, param, code
        self.words = one_line(words)
        super().__init__(self.words)

    def body(self) -> dict[str, Any]:
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        kind = kinds.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.words, "type": kind, "param": self.param, "code": self.code}}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _TextPart(_Strict):
    type: Literal["text"]
    text: str


class _Message(_Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_TextPart]
    name: str | None = None

    @property
    def text(self) -> str:
        parts = [self.content] if isinstance(self.content, str) else [part.text for part in self.content]
        return whole_characters("".join(parts))


class _StreamOptions(_Strict):
    include_usage: bool = False
    include_obfuscation: bool = False


class _ResponseFormat(_Strict):
    type: Literal["text"]


class CompletionRequest(_Strict):
    """What the bodies of both forms hold."""

    model: str = Field(max_length=200)
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**64)
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    # taken where they ask for nothing, or for what is given anyhow
    n: Literal[1] | None = None
    presence_penalty: Literal[0] | float | None = Field(None, ge=0, le=0)
    frequency_penalty: Literal[0] | float | None = Field(None, ge=0, le=0)
    logit_bias: dict[str, float] | None = Field(None, max_length=0)
    user: str | None = None

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, value: str | list[str] | None) -> str | list[str] | None:
        stops = [value] if isinstance(value, str) else value or []
        if len(stops) > MOST_STOPS or not all(0 < len(stop) <= LONGEST_STOP for stop in stops):
            raise ValueError(f"at most {MOST_STOPS} texts of 1 to {LONGEST_STOP} characters are allowed")
        return value

    @property
    def stops(self) -> tuple[str, ...]:
        return tuple([self.stop] if isinstance(self.stop, str) else self.stop or ())

    @property
    def most_tokens(self) -> int | None:
        """At which the answer is cut, where the request says so."""
        return self.max_tokens

    def sampling(self, defaults: SamplerConfig, longest: int) -> tuple[SamplerConfig, int]:
        """The sampler's settings, and the number of tokens at which the answer is cut.

        The answer's length is a whole number of blocks, each of as many steps as in the defaults.

        Raises:
            RequestError: a longer answer than `longest`, or settings that contradict each other.
        """
        asked = self.most_tokens
        wanted = asked or min(defaults.longest, longest)
        if wanted > longest:
            raise RequestError(400, f"max_tokens is {wanted}, allowed: 1 to {longest}", "max_tokens")
        changes: dict[str, Any] = {}
        if asked or defaults.longest > longest:
            blocks = -(-wanted // defaults.block_length)
            changes = {"gen_length": blocks * defaults.block_length, "steps": blocks * defaults.steps_per_block}
            if defaults.max_gen_length is not None:
                changes |= {"max_gen_length": None, "insert_masks": 0}
        if self.temperature is not None:
            changes["temperature"] = float(self.temperature)
        if self.top_p is not None and changes.get("temperature", defaults.temperature) > 0:
            changes["top_p"] = float(self.top_p)
        try:
            return dataclasses.replace(defaults, **changes), wanted
        except ValueError as error:
            raise RequestError(400, str(error)) from None


class ChatRequest(CompletionRequest):
    """The body of `POST /v1/chat/completions`."""

    messages: list[_Message] = Field(min_length=1, max_length=MOST_MESSAGES)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: Literal[False] | None = None
    tools: list[Any] | None = Field(None, max_length=0)
    response_format: _ResponseFormat | None = None
    store: Literal[False] | None = None
    metadata: dict[str, str] | None = None

    @field_validator("messages")
    @classmethod
    def _ends_with_the_user(cls, messages: list[_Message]) -> list[_Message]:
        if messages and messages[-1].role != "user":
            raise ValueError("the last message must be the user's")
        return messages

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    def conversation(self, system_prompt: str | None) -> list[Mapping[str, str]]:
        """The messages as the chat format takes them; the profile's system prompt first where there is no other."""
        roles = {"developer": "system"}
        messages = [{"role": roles.get(one.role, one.role), "content": one.text} for one in self.messages]
        if system_prompt and messages[0]["role"] != "system":
            return [{"role": "system", "content": system_prompt}, *messages]
        return [*messages]


class TextRequest(CompletionRequest):
    """The body of `POST /v1/completions`: a text that the model goes on with, without the chat form."""

    prompt: str
    echo: bool | None = None
    logprobs: None = None
    suffix: Literal[""] | None = None
    best_of: Literal[1] | None = None

    @field_validator("prompt", mode="before")
    @classmethod
    def _one_text(cls, value: Any) -> Any:
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    @field_validator("prompt")
    @classmethod
    def _whole(cls, value: str) -> str:
        return whole_characters(value)


Asked = TypeVar("Asked", bound=CompletionRequest)


def read_request(body: bytes, kind: type[Asked]) -> Asked:
    """The request that a body holds.

    Raises:
        RequestError: it is no JSON or something else than a request; the first fault is named.
    """
    try:
        content = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        words = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestError(400, f"the body is not valid JSON ({words})") from None
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        words = "not a parameter that is known here" if first["type"] == "extra_forbidden" else first["msg"]
        words = words.removeprefix("Value error, ")
        raise RequestError(
            400, f"{param}: {words}" if param else f"the body: {words}", param and one_line(param, 80)
        ) from None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")
