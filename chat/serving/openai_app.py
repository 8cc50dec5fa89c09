"""The server's application: `GET /v1/models`, `POST /v1/chat/completions` and, for text without the chat form,
`POST /v1/completions` (whole or as a stream of finished blocks).

A stream brings text that no later step changes: the blocks that are finished, but for what might become a stop.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.applications import Starlette  # pyright: ignore[reportMissingImports]
from starlette.requests import Request  # pyright: ignore[reportMissingImports]
from starlette.responses import JSONResponse, Response  # pyright: ignore[reportMissingImports]
from starlette.routing import Route  # pyright: ignore[reportMissingImports]

from chat.serving.batches import Batches, Job, Limits, QueueFullError
from chat.serving.forms import CHAT, TEXT, Form, choice
from chat.serving.requests import Asked, ChatRequest, CompletionRequest, RequestError, TextRequest, read_request
from common.errors import InputError
from llada.sampling.settings import SamplerConfig

if TYPE_CHECKING:
    from chat.serving.guard import Message, Receive, Send
    from chat.systems import Systems

PATHS = re.compile(r"/v1/(models(/[\w.-]{1,100})?|(chat/)?completions)|/health")
LONGEST_TEXT = 200_000  # characters of all messages together, or of a text
HEADERS = {"cache-control": "no-store"}


class Server:
    """The systems as models; `app` answers over HTTP."""

    def __init__(
        self, systems: Systems, sampling: SamplerConfig, system_prompt: str | None, limits: Limits | None = None
    ) -> None:
        self.systems, self.sampling, self.system_prompt = systems, sampling, system_prompt
        self.limits = limits or Limits()
        self.batches = Batches(systems, self.limits)
        self.longest = min(self.limits.answer_tokens, systems.config.max_sequence_length - 1)
        self.begun = int(time.time())
        self.app = Starlette(
            routes=[
                Route("/health", self._health),
                Route("/v1/models", self._models),
                Route("/v1/models/{name}", self._model),
                Route("/v1/chat/completions", self._converse, methods=["POST"]),
                Route("/v1/completions", self._continue, methods=["POST"]),
            ],
            exception_handlers={RequestError: _refused, 404: _not_found, 405: _not_found},
        )

    def close(self) -> None:
        self.batches.close()

    def _described(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self.begun, "owned_by": "llada-indonesian"}

    async def _health(self, _: Request) -> Response:
        waiting, computed = self.batches.load
        return JSONResponse({"status": "ok", "waiting": waiting, "computed": computed}, headers=HEADERS)

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._described(name) for name in self.systems.names]})

    async def _model(self, request: Request) -> Response:
        return JSONResponse(self._described(self._known(request.path_params["name"])))

    def _known(self, name: str) -> str:
        if name not in self.systems.names:
            raise RequestError(
                404, f"model {name!r}: not here; there are {', '.join(self.systems.names)}", "model", "model_not_found"
            )
        return name

    async def _converse(self, request: Request) -> Response:
        asked, sampling, most_tokens = await self._asked(request, ChatRequest)
        prompt = await to_thread.run_sync(self._conversation, asked, sampling)
        return _Answer(self, asked, Work(CHAT, prompt, sampling, most_tokens))

    async def _continue(self, request: Request) -> Response:
        asked, sampling, most_tokens = await self._asked(request, TextRequest)
        prompt = await to_thread.run_sync(self._beginning, asked, sampling)
        return _Answer(self, asked, Work(TEXT, prompt, sampling, most_tokens, asked.prompt if asked.echo else ""))

    async def _asked(self, request: Request, kind: type[Asked]) -> tuple[Asked, SamplerConfig, int]:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise RequestError(415, "the body must be JSON, with the content type application/json")
        asked = read_request(await request.body(), kind)
        self._known(asked.model)
        return asked, *asked.sampling(self.sampling, self.longest)

    def _conversation(self, asked: ChatRequest, sampling: SamplerConfig) -> list[int]:
        messages = asked.conversation(self.system_prompt)
        if (length := sum(len(message["content"]) for message in messages)) > LONGEST_TEXT:
            raise RequestError(
                400, f"the messages have {length:,} characters, allowed: {LONGEST_TEXT:,}", "messages", TOO_LONG
            )
        if not messages[-1]["content"].strip():
            raise RequestError(400, "the last message is empty", "messages")
        try:
            ids, left_out = self.systems.prompt(messages, sampling)
        except InputError as error:
            raise RequestError(400, str(error).replace("gen_length", "max_tokens"), "messages", TOO_LONG) from None
        if left_out:
            raise RequestError(
                400,
                f"the conversation and an answer of {sampling.longest} do not fit into "
                f"{self.systems.config.max_sequence_length} tokens; leave out its {left_out} oldest messages, or lower "
                "max_tokens",
                "messages",
                TOO_LONG,
            )
        return ids

    def _beginning(self, asked: TextRequest, sampling: SamplerConfig) -> list[int]:
        if (length := len(asked.prompt)) > LONGEST_TEXT:
            raise RequestError(
                400, f"the text has {length:,} characters, allowed: {LONGEST_TEXT:,}", "prompt", TOO_LONG
            )
        if not asked.prompt.strip():
            raise RequestError(400, "the text is empty", "prompt")
        try:
            return self.systems.beginning(asked.prompt, sampling)
        except InputError as error:
            raise RequestError(400, str(error).replace("gen_length", "max_tokens"), "prompt", TOO_LONG) from None


TOO_LONG = "context_length_exceeded"


@dataclass(frozen=True)
class Work:
    """What is to be computed for one request, and the form of its answer. before: text that stands before it."""

    form: Form
    prompt: Sequence[int]
    sampling: SamplerConfig
    most_tokens: int
    before: str = ""


class _Answer(Response):
    """Waits for a job and sends its answer; a client that leaves gives it up."""

    def __init__(self, server: Server, asked: CompletionRequest, work: Work) -> None:
        super().__init__()
        self.server, self.asked, self.work = server, asked, work
        self.identity = work.form.identity(asked.model)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        loop, progress = asyncio.get_running_loop(), asyncio.Event()
        work, limits = self.work, self.server.limits

        def tell(_: Job) -> None:
            with suppress(RuntimeError):  # the server has ended, and its loop with it
                loop.call_soon_threadsafe(progress.set)

        job = Job(
            system=self.asked.model,
            prompt=work.prompt,
            sampling=work.sampling,
            seed=secrets.randbits(63) if self.asked.seed is None else self.asked.seed,
            most_tokens=work.most_tokens,
            deadline=time.monotonic() + limits.seconds,
            tell=tell,
            stops=self.asked.stops,
            trim=work.form.trim,
        )
        try:
            self.server.batches.submit(job)
        except QueueFullError:
            full = RequestError(429, "the queue is full; try again in a moment", code="queue_full")
            await JSONResponse(full.body(), 429, {"retry-after": "2", **HEADERS})(scope, receive, send)
            return
        answering = asyncio.ensure_future(self._answer(job, progress, scope, receive, send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.server.batches.give_up(job)
            leaving.cancel()
            answering.cancel() if not answering.done() else None
        if answering.done() and not answering.cancelled():
            answering.result()

    async def _answer(self, job: Job, progress: asyncio.Event, scope: Message, receive: Receive, send: Send) -> None:
        if self.asked.stream:
            await self._stream(job, progress, send)
            return
        while job.ended is None:
            await progress.wait()
            progress.clear()
        fault = _fault(job, self.server.limits)
        content = fault.body() if fault else self._whole(job)
        await JSONResponse(content, fault.status if fault else 200, HEADERS)(scope, receive, send)

    def _whole(self, job: Job) -> dict[str, Any]:
        form = self.work.form
        choices = [choice(form.answer(self.work.before + job.text), job.ended)]
        return {**self.identity, "object": form.whole, "choices": choices, "usage": self._usage(job)}

    def _usage(self, job: Job) -> dict[str, int]:
        prompt = len(self.work.prompt)
        return {"prompt_tokens": prompt, "completion_tokens": job.tokens, "total_tokens": prompt + job.tokens}

    async def _stream(self, job: Job, progress: asyncio.Event, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for event in self._events(job, progress):
            data = json.dumps(event, ensure_ascii=False, separators=(",", ":")) if event else "[DONE]"
            await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _events(self, job: Job, progress: asyncio.Event) -> AsyncIterator[dict[str, Any] | None]:
        """The chunks of a stream; None is its end."""
        usage = bool(self.asked.stream_options and self.asked.stream_options.include_usage)

        form = self.work.form

        def chunk(content: dict[str, Any], ended: str | None = None) -> dict[str, Any]:
            whole = {**self.identity, "object": form.chunk, "choices": [choice(content, ended)]}
            return whole | ({"usage": None} if usage else {})

        if form.opening is not None:
            yield chunk(form.opening)
        if self.work.before:
            yield chunk(form.part(self.work.before))
        sent = ""
        while True:
            await progress.wait()
            progress.clear()
            ended = job.ended
            if fault := _fault(job, self.server.limits):
                yield fault.body()
                break
            text = job.text if ended else settled(job.text, job.stops)
            if text.startswith(sent) and len(text) > len(sent):
                yield chunk(form.part(text[len(sent) :]))
                sent = text
            if ended:
                yield chunk(form.part(""), ended)
                if usage:
                    yield {**chunk(form.part("")), "choices": [], "usage": self._usage(job)}
                break
        yield None


def settled(text: str, stops: Sequence[str]) -> str:
    """The part of an unfinished answer that no later block changes: without half a character or white space at its end
    and without what may be the beginning of a stop.
    """
    text = text.rstrip("\ufffd").rstrip()
    longest = max((len(stop) - 1 for stop in stops), default=0)
    for length in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return text[:-length].rstrip()
    return text


def _fault(job: Job, limits: Limits) -> RequestError | None:
    if job.ended == "time":
        return RequestError(503, f"the answer was not finished within {limits.seconds:g} s", code="timeout")
    if job.ended == "fault":
        return RequestError(500, "the model failed on this request; the server's log says why")
    return None


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return JSONResponse(error.body(), error.status, HEADERS)


async def _not_found(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return JSONResponse(RequestError(status, "there is nothing at this path with this method").body(), status)
