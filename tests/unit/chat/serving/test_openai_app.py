"""The server as clients use it: the same answers as alone, plain refusals, places that become free."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import torch

from adapters.attach import attach
from adapters.base import load_base
from adapters.config import MethodConfig, ModelConfig
from adapters.methods import METHODS
from adapters.storage import save_adapter, trainable_tensors
from chat.serving.batches import Limits
from chat.serving.openai_app import PATHS, Server, settled
from chat.systems import Systems
from common.memory import resident_bytes
from llada import SamplerConfig
from llada.chat_format import decode_answer
from llada.sampling.generate import generate
from tests.support.evaluation import write_tiny_base
from tests.support.imports import LONG
from tests.support.nasty_texts import NASTY
from tests.support.web.serving import running

SAMPLING = SamplerConfig(gen_length=16, block_length=8, steps=16, temperature=0.7, eos_policy="suppress")
SLOW = dataclasses.replace(SAMPLING, gen_length=192, steps=192)
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Systems:
    folder = tmp_path_factory.mktemp("serving")
    base, config, model = write_tiny_base(folder / "base"), MethodConfig(rank=4), ModelConfig()
    result = attach(load_base(model, base, "cpu"), METHODS["lora"], config, model, folder / "cache", seed=1)
    with torch.no_grad():
        for tensor in trainable_tensors(result.model).values():
            tensor.add_(0.2 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0)))
    (folder / "lora").mkdir()
    save_adapter(folder / "lora", result.model, trainable_tensors(result.model), METHODS["lora"], config, None, None)
    return Systems(model, base, {"lora": folder / "lora", "base": None})


@pytest.fixture(scope="module")
def server(systems: Systems) -> Iterator[Server]:
    server = Server(systems, SAMPLING, None, Limits(waiting=64, seconds=60))
    yield server
    server.close()


@pytest.fixture(scope="module")
def url(server: Server) -> Iterator[str]:
    with running(server.app, PATHS) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


def request(content: str = "Apa ibu kota Indonesia?", **others: Any) -> dict[str, Any]:
    return {"model": "base", "messages": [{"role": "user", "content": content}], "seed": 3, **others}


def text_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


def text_request(prompt: Any = "Hujan turun di kota ", **others: Any) -> dict[str, Any]:
    return {"model": "lora", "prompt": prompt, "seed": 3, **others}


def streamed(client: httpx.Client, body: dict[str, Any], path: str = CHAT) -> list[dict[str, Any]]:
    with client.stream("POST", path, json={**body, "stream": True}) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def wait_until_idle(client: httpx.Client, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while (load := client.get("/health").json())["waiting"] + load["computed"] > 0:
        assert time.monotonic() < deadline, load
        time.sleep(0.02)


def test_models_are_base_and_adapters(client: httpx.Client) -> None:
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["lora", "base"]
    assert client.get("/v1/models/lora").json()["object"] == "model"
    assert client.get("/v1/models/pissa").status_code == 404


def test_fifty_clients_at_once_get_the_answers_that_each_gets_alone(systems: Systems, client: httpx.Client) -> None:
    def body(number: int) -> dict[str, Any]:
        model, temperature = ("lora", "base")[number % 2], (0.7, 0.0)[number % 3 == 0]
        return {
            "model": model, "seed": number, "temperature": temperature,
            "messages": [{"role": "user", "content": f"Tulis {'kata ' * (number % 7)}nomor {number}."}],
        }  # fmt: skip

    def alone(asked: dict[str, Any]) -> str:
        """The other path: `generate` on this one prompt."""
        sampling = dataclasses.replace(SAMPLING, temperature=asked["temperature"])
        ids, _ = systems.prompt(asked["messages"], sampling)
        with systems.holding(asked["model"]) as network:
            noise = torch.Generator().manual_seed(0)
            result = generate(network, torch.tensor([ids]), None, sampling, noise, row_ids=[asked["seed"]])
        return decode_answer(systems.tokenizer, result.tokens[0, len(ids) :].tolist(), systems.stops(sampling))

    with ThreadPoolExecutor(50) as pool:
        together = list(pool.map(lambda number: text_of(client.post(CHAT, json=body(number))), range(50)))
    assert together == [alone(body(number)) for number in range(50)]
    assert len(set(together)) > 40


def test_a_stream_brings_the_same_answer_in_blocks(client: httpx.Client) -> None:
    whole = client.post(CHAT, json=request(max_tokens=40)).json()
    chunks = streamed(client, request(max_tokens=40, stream_options={"include_usage": True}))
    parts = [chunk["choices"][0]["delta"].get("content") for chunk in chunks[:-1]]
    assert "".join(part or "" for part in parts) == whole["choices"][0]["message"]["content"]
    assert len([part for part in parts if part]) > 2
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "length"
    assert chunks[-1] | {"usage": None} == chunks[-2] | {"choices": [], "usage": None}
    assert chunks[-1]["usage"] == whole["usage"]


@pytest.mark.parametrize("most", [1, 7, 8, 9, 24])
def test_an_answer_has_at_most_the_tokens_asked_for(client: httpx.Client, most: int) -> None:
    answer = client.post(CHAT, json=request(max_tokens=most)).json()
    assert answer["usage"]["completion_tokens"] == most
    assert answer["choices"][0]["finish_reason"] == "length"


def test_an_answer_ends_before_a_stop(client: httpx.Client) -> None:
    whole = text_of(client.post(CHAT, json=request(max_tokens=40)))
    middle = whole[len(whole) // 2 :][:3]
    expected = whole[: whole.find(middle)]
    answer = client.post(CHAT, json=request(max_tokens=40, stop=["tidak ada", middle]))
    assert text_of(answer) == expected
    assert answer.json()["choices"][0]["finish_reason"] == "stop"
    chunks = streamed(client, request(max_tokens=40, stop=middle))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == expected


@pytest.mark.parametrize(
    ("text", "stops", "shown"),
    [("abc", (), "abc"), ("abc ", (), "abc"), ("ab\ufffd", (), "ab"), ("abEN", ("END",), "ab"),
     ("abEN", ("X", "NEW"), "abE"), ("ENEN", ("ENEND",), ""), ("", ("a",), "")],
)  # fmt: skip
def test_what_might_become_a_stop_is_held_back(text: str, stops: tuple[str, ...], shown: str) -> None:
    assert settled(text, stops) == shown


def test_seeds_decide_and_the_system_prompt_of_the_profile_comes_first(systems: Systems, client: httpx.Client) -> None:
    assert text_of(client.post(CHAT, json=request(seed=5))) == text_of(client.post(CHAT, json=request(seed=5)))
    assert text_of(client.post(CHAT, json=request(seed=5))) != text_of(client.post(CHAT, json=request(seed=6)))
    system = {"role": "developer", "content": [{"type": "text", "text": "Jawab singkat."}]}
    with_prompt = Server(systems, SAMPLING, "Jawab singkat.")
    try:
        with running(with_prompt.app, PATHS) as url:
            own = httpx.post(url + CHAT, json=request(), trust_env=False)
    finally:
        with_prompt.close()
    asked = request()
    asked["messages"].insert(0, system)
    assert text_of(own) == text_of(client.post(CHAT, json=asked))


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_place(systems: Systems, stream: bool) -> None:
    server = Server(systems, SLOW, None, Limits())
    with running(server.app, PATHS) as url, httpx.Client(base_url=url, trust_env=False) as client:
        host, port = url.removeprefix("http://").split(":")
        body = json.dumps(request(stream=stream)).encode()
        lines = ("Host: localhost", "Content-Type: application/json", f"Content-Length: {len(body)}")
        head = "\r\n".join((f"POST {CHAT} HTTP/1.1", *lines, "", ""))
        with socket.create_connection((host, int(port))) as leaving:
            leaving.sendall(head.encode() + body)
            deadline = time.monotonic() + 5
            while client.get("/health").json()["computed"] == 0:
                assert time.monotonic() < deadline
        wait_until_idle(client)
    server.close()


def test_a_full_queue_and_a_late_answer_are_said(systems: Systems) -> None:
    server = Server(systems, SLOW, None, Limits(waiting=2, batches=1, positions=300, seconds=0.3))
    with running(server.app, PATHS) as url:

        async def ask_all() -> list[httpx.Response]:
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
                return await asyncio.gather(*(client.post(CHAT, json=request(seed=seed)) for seed in range(8)))

        answers = asyncio.run(ask_all())
    server.close()
    full = [answer for answer in answers if answer.status_code == 429]
    assert full
    assert full[0].json()["error"]["code"] == "queue_full"
    assert full[0].headers["retry-after"]
    late = [answer for answer in answers if answer.status_code == 503]
    assert late
    assert late[0].json()["error"]["code"] == "timeout"


def test_a_conversation_that_does_not_fit_is_refused_at_once(client: httpx.Client) -> None:
    turns = [{"role": role, "content": "kata " * 30} for _ in range(250) for role in ("user", "assistant")]
    begun = time.monotonic()
    answer = client.post(CHAT, json=request() | {"messages": [*turns, {"role": "user", "content": "Halo"}]})
    assert time.monotonic() - begun < 10
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"


def test_a_text_is_continued_without_the_chat_form(systems: Systems, client: httpx.Client) -> None:
    """The other path: `generate` after the begin-of-text token and the text itself, nothing trimmed."""
    tokenizer = systems.tokenizer
    texts = ["Hujan turun di kota ", " <|eot_id|>Bogor\n", "a"]
    for seed, text in enumerate(texts):
        ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        prompt = torch.tensor([[tokenizer.bos_token_id, *ids]])
        with systems.holding("lora") as network:
            made = generate(network, prompt, None, SAMPLING, torch.Generator().manual_seed(0), row_ids=[seed])
        expected = tokenizer.decode(made.tokens[0, prompt.shape[1] :], skip_special_tokens=True)
        answer = client.post(TEXT, json=text_request([text] if seed else text, seed=seed)).json()
        [choice] = answer["choices"]
        assert (answer["object"], answer["model"], answer["id"][:5]) == ("text_completion", "lora", "cmpl-")
        assert choice == {"index": 0, "text": expected, "logprobs": None, "finish_reason": "length"}
        tokens = {"prompt_tokens": prompt.shape[1], "completion_tokens": 16, "total_tokens": prompt.shape[1] + 16}
        assert answer["usage"] == tokens
        echoed = client.post(TEXT, json=text_request(text, seed=seed, echo=True)).json()
        assert echoed["choices"][0]["text"] == text + expected
        assert echoed["usage"] == tokens


@pytest.mark.parametrize("echo", [False, True])
def test_a_streamed_text_is_the_whole_one_in_blocks(client: httpx.Client, echo: bool) -> None:
    asked = text_request(max_tokens=40, echo=echo)
    whole = client.post(TEXT, json=asked).json()
    chunks = streamed(client, asked | {"stream_options": {"include_usage": True}}, TEXT)
    parts = [chunk["choices"][0]["text"] for chunk in chunks[:-1]]
    assert "".join(parts) == whole["choices"][0]["text"]
    assert len([part for part in parts if part]) > 2
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    ends = [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]]
    assert ends == [None] * (len(ends) - 1) + ["length"]
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], whole["usage"])


def test_a_text_obeys_stop_length_temperature_and_seed(client: httpx.Client) -> None:
    def text(**others: Any) -> str:
        return client.post(TEXT, json=text_request(**{"max_tokens": 24, **others})).json()["choices"][0]["text"]

    whole = text()
    middle = whole[len(whole) // 2 :][:3]
    assert text(stop=middle) == whole[: whole.find(middle)]
    assert text(stop=[middle], echo=True) == "Hujan turun di kota " + whole[: whole.find(middle)]
    assert client.post(TEXT, json=text_request(max_tokens=7)).json()["usage"]["completion_tokens"] == 7
    assert text(seed=4) != whole == text(seed=3)
    assert text(seed=4, temperature=0) == text(seed=3, temperature=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"prompt": ["a", "b"]}, "prompt: Input should be a valid string"), ({"prompt": [[1, 2]]}, "prompt: Input should"),
     ({"prompt": [1, 2]}, "prompt: Input should"), ({"prompt": " \n"}, "the text is empty"),
     ({"prompt": "kata " * 3000}, "tokens, and an answer of"), ({"prompt": "x" * 300_000}, "allowed: 200,000"),
     ({"logprobs": 0}, "logprobs: Input should be None"), ({"suffix": "x"}, "suffix: Input should be ''"),
     ({"best_of": 2}, "best_of: Input should be 1"), ({"echo": "yes"}, "echo: Input should be a valid boolean"),
     ({"messages": []}, "messages: not a parameter"), ({"max_tokens": 5000}, "max_tokens is 5000"),
     ({"model": "pissa"}, "there are lora, base")],
)  # fmt: skip
def test_a_text_request_that_is_wrong_is_refused(client: httpx.Client, changes: dict[str, Any], words: str) -> None:
    answer = client.post(TEXT, json=text_request() | changes)
    assert answer.status_code == (404 if "model" in changes else 400)
    error = answer.json()["error"]
    assert words in error["message"]
    assert error["param"] in changes
    assert "prompt" in client.post(TEXT, json={"model": "base"}).json()["error"]["param"]


def test_texts_and_chats_wait_in_one_queue(systems: Systems) -> None:
    server = Server(systems, SLOW, None, Limits(waiting=1, batches=1, positions=300))
    with running(server.app, PATHS) as url:

        async def ask_all() -> list[httpx.Response]:
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
                bodies = [(CHAT, request(max_tokens=8)), (TEXT, text_request(max_tokens=8))] * 4
                return await asyncio.gather(*(client.post(path, json=body) for path, body in bodies))

        answers = asyncio.run(ask_all())
    server.close()
    full = [answer.url.path for answer in answers if answer.status_code == 429]
    assert set(full) == {CHAT, TEXT}
    assert {answer.status_code for answer in answers} == {200, 429}


def bad_requests(count: int) -> Iterator[tuple[bytes, dict[str, str]]]:
    """Bodies and headers that are all wrong, each in another way or place."""
    dice = random.Random(0)
    strange: list[Any] = [None, True, -1, 0, 1.5, 10**30, "", "x", [], {}, [[]], {"a": 1}, *NASTY.values()]
    good = json.dumps(request()).encode()
    wrong = {
        "model": [None, 1, [], "gpt-4o", *NASTY.values()],
        "messages": [*strange, [None], [[]], [{}], [{"role": "user"}], [{"role": "tool", "content": "x"}],
                     [{"role": "user", "content": 5}], [{"role": "user", "content": " "}],
                     [{"role": "assistant", "content": "x"}],
                     [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}],
                     [{"role": "user", "content": "x" * 300_000}], [{"role": "user", "content": "x"}] * 600],
        "max_tokens": [0, -1, 1.5, "8", True, 10**9, [], {}],
        "max_completion_tokens": [0, "8", 10**30],
        "temperature": [-0.1, 2.1, "hot", 1e999, [], {}], "top_p": [0, 1.1, "x"], "seed": ["x", 1.5, 2**70],
        "stop": [[""], ["a"] * 9, "x" * 300, 5, {}, [5]], "stream": ["yes", 1], "n": [0, 2, "1"],
        "tools": [[{"type": "function"}], 5], "logprobs": [True], "presence_penalty": [1, "x"],
        "logit_bias": [{"5": 1}], "response_format": [{"type": "json_object"}, 5], "stream_options": [5, {"x": 1}],
        **{f"unknown {text[:20]}": [1] for text in NASTY.values()}, "__class__": [1], "functions": [[]],
    }  # fmt: skip
    for number in range(count):
        match number % 8:
            case 0:
                yield good[: dice.randrange(len(good))], {}
            case 1:
                yield bytes(dice.randrange(256) for _ in range(dice.randrange(1, 400))), {}
            case 2:
                yield b"[" * dice.randrange(1, 100_000), {}
            case 3:
                yield json.dumps(dice.choice(strange)).encode(), {}
            case 4 if number % 3 == 0:
                yield good, {"content-type": dice.choice(["text/plain", "", "multipart/form-data"])}
            case _:
                key = dice.choice(list(wrong))
                yield json.dumps(request() | {key: dice.choice(wrong[key])}).encode("utf-8", "surrogatepass"), {}


def test_bad_requests_are_refused_in_a_sentence_and_leave_no_traceback(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        for body, headers in bad_requests(1000 if LONG else 160):
            answer = client.post(CHAT, content=body, headers={"content-type": "application/json", **headers})
            assert 400 <= answer.status_code < 500, (answer.status_code, body[:300], answer.text)
            error = answer.json()["error"]
            assert 0 < len(error["message"]) <= 300
            assert error["message"].isprintable()
            assert "Traceback" not in answer.text
    assert caplog.text == ""
    assert "Traceback" not in "".join(capfd.readouterr())
    wait_until_idle(client)


def test_the_openai_client_works(url: str) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", http_client=httpx.Client(trust_env=False)) as client:
        assert [model.id for model in client.models.list()] == ["lora", "base"]
        asked: dict[str, Any] = {"model": "lora", "messages": [{"role": "user", "content": "Halo"}], "seed": 1}
        answer = client.chat.completions.create(**asked, max_tokens=24, temperature=0.5)
        chunks = list(client.chat.completions.create(**asked, max_tokens=24, temperature=0.5, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == answer.choices[0].message.content
        text = client.completions.create(model="lora", prompt="Hujan turun", seed=1, max_tokens=24, echo=True)
        parts = client.completions.create(model="lora", prompt="Hujan turun", seed=1, max_tokens=24, stream=True)
        assert text.choices[0].text == "Hujan turun" + "".join(part.choices[0].text for part in parts)
        with pytest.raises(openai.NotFoundError, match="model 'x': not here"):
            client.chat.completions.create(**asked | {"model": "x"})
        with pytest.raises(openai.BadRequestError, match="max_tokens is 5000, allowed: 1 to"):
            client.chat.completions.create(**asked, max_tokens=5000)


def test_memory_is_flat_over_many_requests(client: httpx.Client) -> None:
    """A sample of what `benchmarks/serving/server.py` measures over 1,000."""

    def ask(count: int) -> int:
        with ThreadPoolExecutor(16) as pool:
            statuses = list(
                pool.map(
                    lambda seed: client.post(CHAT, json=request(seed=seed, max_tokens=8)).status_code, range(count)
                )
            )
        assert set(statuses) == {200}
        return resident_bytes() or 0

    ask(32)
    first = ask(16)
    assert ask(1000 if LONG else 64) <= 1.05 * first
