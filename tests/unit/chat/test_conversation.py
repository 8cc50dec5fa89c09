"""Several systems on one base: each answers as it would alone, and what the reader sees adds up to the answer."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from adapters import load_adapter
from adapters.attach import attach
from adapters.base import load_base
from adapters.config import MethodConfig, ModelConfig
from adapters.methods import METHODS
from adapters.storage import save_adapter, trainable_tensors
from chat.conversation import Conversation, changed
from chat.frames import STOP, frames, pieces
from chat.page import panel, require_gradio
from chat.systems import Systems
from chat.terminal import STYLES, paint, talk
from common.errors import InputError
from llada import SamplerConfig, generate
from llada.chat_format import decode_answer, encode_prompt, load_tokenizer
from tests.support.evaluation import BASES

QUESTION = "Di pulau mana kota Medan berada?"
SAMPLING = SamplerConfig(gen_length=16, block_length=8, steps=16, temperature=0.5)
ADAPTERS = ("lora", "pissa", "dora", "hira")


@pytest.fixture(scope="module", params=BASES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and adapters that were moved away from their start."""
    folder = tmp_path_factory.mktemp("systems")
    base = BASES[request.param](folder / "base")
    for place, name in enumerate(ADAPTERS):
        config, model = MethodConfig(rank=4), ModelConfig()
        result = attach(load_base(model, base, "cpu"), METHODS[name], config, model, folder / "cache", seed=place)
        generator = torch.Generator().manual_seed(place)
        with torch.no_grad():
            for tensor in trainable_tensors(result.model).values():
                tensor.add_(0.2 * torch.randn(tensor.shape, generator=generator))
        (folder / name).mkdir()
        tensors = trainable_tensors(result.model)
        save_adapter(folder / name, result.model, tensors, METHODS[name], config, result.initial, None)
    return folder


@pytest.fixture(scope="module")
def systems(folder: Path) -> Systems:
    adapters = {
        "lora": folder / "lora",
        "base": None,
        "pissa": folder / "pissa",
        "dora": folder / "dora",
        "hira": folder / "hira",
    }
    return Systems(ModelConfig(), folder / "base", adapters)


def answer_alone(folder: Path, name: str, messages: list[dict[str, str]], sampling: SamplerConfig, seed: int) -> str:
    """The other path: a fresh base, one adapter, `generate`."""
    tokenizer = load_tokenizer(folder / "base")
    network = load_base(ModelConfig(), folder / "base", "cpu")
    if name != "base":
        network = load_adapter(network, folder / name)
    ids = encode_prompt(tokenizer, messages)
    generator = torch.Generator().manual_seed(seed)
    result = generate(network, torch.tensor([ids]), config=sampling, generator=generator)
    stops = (network.config.eos_token_id, network.config.eot_token_id)
    return decode_answer(tokenizer, result.tokens[0, len(ids) :].tolist(), stops)


@pytest.mark.parametrize("cache", ["none", "dual"])
def test_side_by_side_each_system_answers_as_it_would_alone(folder: Path, systems: Systems, cache: str) -> None:
    sampling = dataclasses.replace(SAMPLING, cache=cache)
    talk = Conversation(systems.names, sampling, seed=3)
    *_, latest = talk.ask(systems, QUESTION)
    asked = [{"role": "user", "content": QUESTION}]
    expected = {name: answer_alone(folder, name, asked, sampling, seed=3) for name in systems.names}
    assert {name: frame.answer for name, frame in latest.items()} == expected
    assert len(set(expected.values())) == 1 + len(ADAPTERS)  # they do differ


def test_each_system_hears_its_own_answers_again(folder: Path, systems: Systems) -> None:
    talk = Conversation(systems.names, SAMPLING, seed=3, system_prompt="Jawab singkat.")
    for question in (QUESTION, "Dan Ambon?"):
        *_, latest = talk.ask(systems, question)
    history = talk.histories["pissa"]
    assert [message["role"] for message in history] == ["system", "user", "assistant", "user", "assistant"]
    assert answer_alone(folder, "pissa", history[:-1], SAMPLING, seed=3) == latest["pissa"].answer
    assert talk.histories["lora"][2] != history[2]
    talk.reset()
    assert talk.turns == 0
    assert talk.histories["pissa"] == [{"role": "system", "content": "Jawab singkat."}]


def test_a_stopped_answer_is_not_remembered(systems: Systems) -> None:
    talk = Conversation(systems.names, SAMPLING, seed=3)
    stream = talk.ask(systems, QUESTION)
    next(stream)
    stream.close()
    assert talk.turns == 0


def test_the_oldest_exchange_is_left_out_when_the_conversation_grows_too_long(systems: Systems) -> None:
    long = "kota " * 150
    past = [{"role": "user", "content": long}, {"role": "assistant", "content": long}]
    now = [{"role": "system", "content": "Jawab."}, *past, *past, {"role": "user", "content": QUESTION}]
    ids, left_out = systems.prompt(now, SAMPLING)
    assert left_out == 2
    assert ids == encode_prompt(systems.tokenizer, [now[0], *past, now[-1]])
    assert len(ids) + SAMPLING.longest <= systems.config.max_sequence_length
    with pytest.raises(InputError, match="lower gen_length"):
        systems.prompt([{"role": "user", "content": long * 4}], SAMPLING)


def test_frames_show_what_each_step_wrote_and_took_back() -> None:
    steps = [  # one row: a prompt of one token, three answer tokens; 9 is the mask, 0 the stop
        step([5, 9, 7, 9], new=[0, 0, 1, 0], confidence=[0, 0, 0.3, 0]),
        step([5, 6, 9, 9], new=[0, 1, 0, 0], confidence=[0, 0.95, 0, 0], back=[0, 0, 1, 0]),
        step([5, 6, 0, 8], new=[0, 0, 1, 1], confidence=[0, 0, 0.8, 0.1]),
    ]
    first, second, third = frames(steps, 1, WORDS, mask=9, stops={0})
    assert [token.masked for token in first.tokens] == [True, False, True]
    assert (first.tokens[1].text, first.tokens[1].level, first.answer) == ("tujuh ", 1, "tujuh")
    assert second.taken_back == 1
    assert [token.masked for token in second.tokens] == [False, True, True]
    assert (second.tokens[0].level, second.new(second.tokens[0]), third.new(third.tokens[0])) == (4, True, False)
    assert [token.text for token in third.tokens] == ["enam "]  # nothing is shown from the stop on
    assert third.answer == "enam"


def test_frames_keep_what_they_know_of_tokens_that_an_insertion_moves() -> None:
    steps = [
        step([5, 9, 7, 0, 0], new=[0, 0, 1, 0, 0], confidence=[0, 0, 0.3, 0, 0]),
        step([5, 9, 9, 7, 0], new=[0, 0, 0, 0, 1], confidence=[0, 0, 0, 0, 0.4], inserted=(0, 1)),
        step([5, 6, 8, 7, 0], new=[0, 1, 1, 0, 0], confidence=[0, 0.95, 0.9, 0, 0]),
    ]
    *_, second, third = frames(steps, 1, WORDS, mask=9, stops={0})
    assert [(token.text, token.confidence) for token in second.tokens[:3]] == [
        ("", None),
        ("", None),
        ("tujuh ", pytest.approx(0.3)),
    ]
    assert [(token.text, token.step) for token in third.tokens] == [("enam ", 2), ("delapan ", 2), ("tujuh ", 0)]


class Words:
    """A vocabulary of words in the tokenizer's place."""

    def decode(self, ids: list[int], **_: object) -> str:
        return "".join({5: "lima ", 6: "enam ", 7: "tujuh ", 8: "delapan "}[token] for token in ids)


WORDS = Words()


def step(
    tokens: list[int],
    new: list[int],
    confidence: list[float],
    back: list[int] | None = None,
    inserted: tuple[int, int] = (0, 0),
) -> SimpleNamespace:
    return SimpleNamespace(
        tokens=torch.tensor([tokens]),
        revealed=torch.tensor([new]).bool(),
        confidence=torch.tensor([confidence], dtype=torch.float32),
        taken_back=torch.tensor([back or [0] * len(tokens)]).bool(),
        inserted=torch.tensor([inserted]),
        forward_passes=1,
    )


@pytest.mark.parametrize("text", ["Rp5.000 ☕ 日本 é", "halo\n\ndunia", "🙂🙂"])
def test_pieces_add_up_to_the_text_and_split_no_character(systems: Systems, text: str) -> None:
    tokenizer = systems.tokenizer
    ids = tokenizer.encode(text, add_special_tokens=False)
    mask, stop = tokenizer.mask_token_id, tokenizer.eos_token_id
    texts = pieces(tokenizer, [*ids, mask, stop], mask, {stop})
    assert len(texts) == len(ids) + 2
    assert "".join(texts[:-2]) == text
    assert texts[-2:] == ["", STOP]


def test_new_tokens_are_coloured_by_their_confidence_and_old_ones_are_not(systems: Systems) -> None:
    talk = Conversation(("lora",), SAMPLING, seed=3)
    for latest in talk.ask(systems, QUESTION):
        frame = latest["lora"]
        new = [token for token in frame.tokens if frame.new(token) and token.text]
        spans = [span.style for span in paint(frame).spans if span.style in STYLES]
        assert spans == [STYLES[token.level] for token in new]


def test_without_a_terminal_the_answers_are_printed_plainly(
    systems: Systems, capsys: pytest.CaptureFixture[str]
) -> None:
    talk(systems, Conversation(("lora",), SAMPLING, seed=3), QUESTION, pace=0.0)
    alone = capsys.readouterr().out
    talk(systems, Conversation(("lora", "base"), SAMPLING, seed=3), QUESTION, pace=0.0)
    both = capsys.readouterr().out
    assert both.startswith(f"[lora]\n{alone.rstrip()}")
    assert "\n[base]\n" in both
    with pytest.raises(InputError, match="empty"):
        talk(systems, Conversation(("lora",), SAMPLING, seed=3), "  ", pace=0.0)


@pytest.mark.parametrize("question", ["Di mana\udcff Medan?", "\ud800", "\ud83d\ude42 apa kabar?"])
def test_bytes_that_are_no_text_are_asked_as_replacement_characters(systems: Systems, question: str) -> None:
    talk = Conversation(("lora",), SAMPLING, seed=3)
    *_, _last = talk.ask(systems, question)
    talk.histories["lora"][0]["content"].encode("utf-8")


def test_the_page_escapes_what_was_typed_and_generated() -> None:
    content = panel("lora", [{"role": "assistant", "content": "<img src=x>"}], "<script>", None)
    assert "<img" not in content
    assert "<script" not in content


def test_a_missing_gradio_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install --editable '\.\[demo\]'"):
        require_gradio()


def test_settings_change_by_name_and_only_to_what_is_allowed() -> None:
    talk = Conversation(("base",), SamplerConfig(), seed=1)
    for key, text, value in [
        ("temperature", "0.7", 0.7),
        ("temperature", "1", 1),
        ("entropy_bound", "1e-1", 0.1),
        ("stop_at_eos", "true", True),
        ("rule", "threshold", "threshold"),
        ("stop_token_ids", "[1, 2]", (1, 2)),
        ("max_gen_length", "256", 256),
        ("max_gen_length", "null", None),
        ("seed", "7", 7),
    ]:
        talk.change(key, text)
        assert talk.settings()[key] == value
    before = talk.settings()
    for key, text in [("temperature", "hot"), ("steps", "1.5"), ("rule", "best"), ("seed", "-1"), ("pace", "1"),
                      ("steps", "true"), ("temperature", "-1"), ("gen_length", "33")]:  # fmt: skip
        with pytest.raises(InputError, match=key):
            talk.change(key, text)
    assert talk.settings() == before


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        changed(SamplerConfig(), {"steps": "many", "rule": "best"})
    assert len(caught.value.faults) == 2


def test_raw_text_goes_on_without_the_chat_form(
    systems: Systems, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "  Hujan turun di <|eot_id|> Bogor,"
    tokenizer = load_tokenizer(folder / "base")
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids = [*begin, *tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)]
    assert tokenizer.decode(ids[len(begin) :]) == text
    network = load_base(ModelConfig(), folder / "base", "cpu")
    generator = torch.Generator().manual_seed(3)
    written = generate(network, torch.tensor([ids]), config=SAMPLING, generator=generator).tokens[0, len(ids) :]
    conversation = Conversation(("base",), SAMPLING, seed=3, raw=True)
    talk(systems, conversation, text, pace=0)
    expected = decode_answer(tokenizer, written.tolist(), systems.stops(SAMPLING), trim=False)
    assert capsys.readouterr().out == expected.rstrip("\n") + "\n"
    assert conversation.turns == 0
    with pytest.raises(InputError, match="shorten it, or lower gen_length"):
        list(Conversation(("base",), SAMPLING, seed=3, raw=True).ask(systems, "kata " * 3000))
