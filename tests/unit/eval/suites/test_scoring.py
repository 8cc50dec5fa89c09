"""Scores against enumeration on a tiny model; accuracy on a model that knows the answers, and on one that knows
nothing.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from eval.config import SCORINGS
from eval.measure.evaluate import load_system
from eval.suites.asking import Asking, alone, examples, with_options
from eval.suites.questions import LETTERS, Question
from eval.suites.results import credit, summarise
from eval.suites.revealing import revealed_log_likelihoods
from eval.suites.scoring import Scorer
from llada import LLaDAModelLM
from llada.chat_format import encode_example, encode_prompt
from llada.diffusion.likelihood import log_likelihoods
from tests.support.evaluation import BASES

ROOM = 512


@pytest.fixture(scope="module", params=BASES)
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    from adapters.config import ModelConfig

    return load_system(ModelConfig(), BASES[request.param](tmp_path_factory.mktemp("base")), None)


def question(
    number: int, answer: int = 0, options: tuple[str, ...] = ("Bali", "Jawa", "Nias"), **more: Any
) -> Question:
    return Question(str(number), f"Soal {number}: di mana pulau itu?\n", options, answer, **more)


def scorer(system: tuple[Any, Any], samples: int = 4, pool: tuple[Question, ...] = (), shots: int = 0) -> Scorer:
    return Scorer(system[0], Asking(system[1], pool, shots, ROOM), SCORINGS, samples, 0)


def log_probabilities(model: Any, prompt: list[int], answer: list[int], masked: set[int]) -> list[float]:
    """Of the answer's tokens under the masks, from the whole logits of one row."""
    mask = model.config.mask_token_id
    row = torch.tensor([[*prompt, *(mask if place in masked else token for place, token in enumerate(answer))]])
    with torch.no_grad():
        chances = model(row).logits[0, len(prompt) :].double().log_softmax(dim=-1)
    return [float(chances[place, token]) for place, token in enumerate(answer)]


def test_the_likelihood_is_the_bound_over_all_masks(system) -> None:
    """The bound by enumeration: every number of masks, every choice of them; the estimate nears it with its samples."""
    model, tokenizer = system
    one = question(1, options=("di", "ya"))
    answers = scorer(system).asking.option_ids(one)
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": alone(one)}])
    exact = []
    for answer in answers:
        levels = []
        for count in range(1, len(answer) + 1):
            sums = []
            for masked in combinations(range(len(answer)), count):
                chances = log_probabilities(model, prompt, answer, set(masked))
                sums.append(len(answer) / count * sum(chances[place] for place in masked))
            levels.append(np.mean(sums))
        exact.append(float(np.mean(levels)))
    assert min(map(len, answers)) >= 2
    [found] = scorer(system, samples=400).score([one], [0])
    estimates = log_likelihoods(model, [prompt] * 2, answers, 400, seed=0, items=[0, 0])
    for value, expected, estimate in zip(found.scores["likelihood"], exact, estimates, strict=True):
        assert value == pytest.approx(estimate.estimate, abs=1e-4)
        assert abs(value - expected) < 4 * estimate.standard_error < abs(exact[0] - exact[1])


def test_the_prompt_and_the_answer_are_those_of_training(system) -> None:
    tokenizer = system[1]
    one = question(1)
    asking = scorer(system).asking
    expected, length = encode_example(tokenizer, alone(one), one.options[1])
    assert asking.open_prompt(one).ids == expected[:length]
    assert asking.option_ids(one)[1] == expected[length:]


def test_the_letter_is_the_probability_of_one_token(system) -> None:
    model, tokenizer = system
    several = [question(1), question(2, options=("a", "b", "c", "d", "e")), question(3, options=("ya", "tidak"))]
    for one, found in zip(several, scorer(system).score(several, [0, 1, 2]), strict=True):
        prompt = encode_prompt(tokenizer, [{"role": "user", "content": with_options(one)}])
        ids = [tokenizer.encode(letter, add_special_tokens=False) for letter in LETTERS[: len(one.options)]]
        expected = [log_probabilities(model, prompt, letter, {0})[0] for letter in ids]
        assert found.scores["letter"] == pytest.approx(expected, abs=1e-4)


def test_a_letter_of_several_tokens_gets_the_bound(system, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = system[1]
    two = [tokenizer.encode(letter, add_special_tokens=False) * 2 for letter in "ABC"]
    monkeypatch.setattr(Asking, "letter_ids", lambda self, one: two)
    one = scorer(system, samples=200)
    [found] = one.score([question(1)], [0])
    prompt = one.asking.listed_prompt(question(1)).ids
    for letter, value in zip(two, found.scores["letter"], strict=True):
        both = sum(log_probabilities(system[0], prompt, letter, {0, 1}))
        single = np.mean([2 * log_probabilities(system[0], prompt, letter, {place})[place] for place in (0, 1)])
        assert value == pytest.approx((both + single) / 2, abs=0.15)


def test_revealing_goes_from_the_surest_token_to_the_least_sure(system) -> None:
    """Against a loop over single rows, with the whole logits at each step."""
    model, tokenizer = system
    prompts = [
        encode_prompt(tokenizer, [{"role": "user", "content": text}]) for text in ("Halo", "Apa kabar, Ambon?")
    ] * 2
    answers = [tokenizer.encode(text, add_special_tokens=False) for text in ("Kota Ambon", "a", "ramai sekali", "xyz")]
    found = revealed_log_likelihoods(model, prompts, answers, max_tokens=60)
    for prompt, answer, value in zip(prompts, answers, found, strict=True):
        masked, total = set(range(len(answer))), 0.0
        while masked:
            chances = log_probabilities(model, prompt, answer, masked)
            surest = max(masked, key=lambda place: chances[place])
            total += chances[surest]
            masked -= {surest}
        assert value == pytest.approx(total, abs=1e-4)


def test_scores_do_not_depend_on_the_other_questions(system) -> None:
    several = [question(1), question(22, options=("Sumatra Barat", "Kalimantan")), question(333)]
    together = scorer(system).score(several, [0, 1, 2])
    alone_ = scorer(system).score([several[1]], [1])[0]
    for scoring in SCORINGS:
        assert together[1].scores[scoring] == pytest.approx(alone_.scores[scoring], abs=1e-4)


class Planted(LLaDAModelLM):
    """Gives the tokens of the answers that it was told probability one half or more, and all others the same."""

    def tell(self, known: list[tuple[list[int], list[int]]]) -> Planted:
        self.known = sorted(known, key=lambda pair: -len(pair[0]))
        return self

    def hidden(self, input_ids: torch.Tensor, attention_mask: Any = None, *_: Any, keep: Any = None, **__: Any) -> Any:
        logits = torch.zeros(*input_ids.shape, self.config.vocab_size)
        for row, ids in enumerate(input_ids.tolist()):
            answer, start = next(
                ((answer, len(prompt)) for prompt, answer in self.known if ids[: len(prompt)] == prompt), ([], 0)
            )
            for place, token in enumerate(answer):
                if start + place < len(ids):
                    logits[row, start + place, token] = 12.0
        if isinstance(keep, torch.Tensor):
            return logits.flatten(0, 1)[keep]
        return logits if keep is None else logits[:, keep]

    def get_output_embeddings(self) -> Any:
        return torch.nn.Identity()


def planted(system: tuple[Any, Any], questions: list[Question]) -> Any:
    asking = scorer(system).asking
    known = [(asking.open_prompt(one).ids, asking.option_ids(one)[one.answer]) for one in questions]
    known += [(asking.listed_prompt(one).ids, asking.letter_ids(one)[one.answer]) for one in questions]
    return Planted(system[0].config).eval().tell(known)


def accuracies(model: Any, tokenizer: Any, questions: list[Question], samples: int = 2) -> dict[str, Any]:
    one = Scorer(model, Asking(tokenizer, (), 0, ROOM), SCORINGS, samples, 0)
    scored = [row.scores for row in one.score(questions, list(range(len(questions))))]
    return summarise("indommlu", questions, scored, {})


KEYS = ("accuracy", "accuracy_normalised", "letter", "revealing", "revealing_normalised")


def test_a_model_that_knows_the_answers_is_always_right(system) -> None:
    questions = [question(number, number % 3, group=str(number % 4)) for number in range(24)]
    found = accuracies(planted(system, questions), system[1], questions)
    assert [found[key]["value"] for key in KEYS] == [1.0] * 5
    assert found["letter"]["high"] == 1.0


def test_a_uniform_model_is_at_chance_on_options_of_equal_length(system) -> None:
    """Every score is a tie: each option gets its share of the credit."""
    questions = [question(number, number % 2, options=("benar", "salah")) for number in range(10)]
    tokenizer = system[1]
    if len({len(tokenizer.encode(text)) for text in ("benar", "salah")}) > 1:
        questions = [question(number, number % 2, options=("xq", "qx")) for number in range(10)]
    found = accuracies(Planted(system[0].config).eval().tell([]), tokenizer, questions)
    assert [found[key]["value"] for key in KEYS] == [0.5] * 5
    assert found["chance"] == 0.5


def test_an_ignorant_model_is_at_chance_within_its_interval(system) -> None:
    rng = np.random.default_rng(0)
    questions = [question(number, int(rng.integers(3))) for number in range(90)]
    found = accuracies(*system, questions, samples=1)
    for key in KEYS:
        assert found[key]["low"] <= 1 / 3 <= found[key]["high"]


def test_a_choice_is_credited_by_hand() -> None:
    options = ("ya", "tidak sama sekali")
    assert credit([-4.0, -6.0], options, 1) == 0.0
    assert credit([-4.0, -6.0], options, 1, per_byte=True) == 1.0
    assert credit([-2.0, -2.0, -3.0], ("a", "b", "c"), 0) == 0.5
    assert credit([-2.0, -2.0, -3.0], ("a", "b", "c"), 2) == 0.0


def test_tables_go_by_the_suites_facets() -> None:
    questions = [
        question(number, facets={"subject": "IPA" if number < 6 else "IPS"}, group="x") for number in range(12)
    ]
    questions.append(question(13, facets={"subject": "Seni"}))
    scores = [{"letter": [0.0, -1.0, -1.0] if number < 6 else [-1.0, 0.0, -1.0]} for number in range(13)]
    found = summarise("indommlu", questions, scores, {"damaged": 2})
    assert found["damaged"] == 2
    table = found["tables"]["subject"]
    assert {value: row["letter"]["value"] for value, row in table.items()} == {"IPA": 1.0, "IPS": 0.0}
    assert found["groups"] == {"by": "subject and level", "count": 2}
    assert found["items"]["right"]["letter"] == [1.0] * 6 + [0.0] * 7


def test_examples_come_from_the_questions_own_group_first(system) -> None:
    pool = [question(number, number % 3, group="IPS" if number < 3 else "IPA") for number in range(6)]
    assert [one.id for one in examples(question(9, group="IPA"), pool, 4)] == ["3", "4", "5", "0"]
    assert [one.id for one in examples(question(9), pool, 2)] == ["0", "1"]
    assert [one.id for one in examples(pool[0], pool, 2)] == ["1", "2"]  # never its own answer
    asked = Asking(system[1], pool, 2, ROOM).listed_prompt(question(9, group="IPA"))
    text = system[1].decode(asked.ids)
    assert asked.shots == 2
    assert text.index("Soal 3") < text.index("Jawaban: A") < text.index("Soal 4") < text.index("Soal 9")
    told = system[1].decode(Asking(system[1], pool, 2, ROOM).open_prompt(question(9, group="IPA")).ids)
    assert "Jawaban: Bali\n\nSoal 4" in told


def test_what_does_not_fit_loses_its_examples_then_its_beginning(system) -> None:
    pool = [question(number) for number in range(3)]
    whole = Asking(system[1], pool, 3, ROOM).listed_prompt(question(9))
    less = Asking(system[1], pool, 3, len(whole.ids)).listed_prompt(question(9))
    assert (whole.shots, less.shots, less.cut) == (3, 2, False)
    long = Question("1", "kata " * 500 + "terakhir?\n", ("ya", "tidak"), 0)
    cut = Asking(system[1], (), 0, 100).listed_prompt(long)
    assert cut.cut
    assert len(cut.ids) < 100
    assert "terakhir?\nA. ya\nB. tidak" in system[1].decode(cut.ids)
