"""Overlap of an answer with its reference, counted by the reference libraries.

BLEU and chrF++ (`word_order=2`) are sacrebleu's corpus scores, ROUGE is rouge-score's mean F1 without its English
stemmer, METEOR is nltk's alignment with exact matches and Indonesian Snowball stems (no synonyms: WordNet is English).
rouge-score keeps only a-z and 0-9: enough for Indonesian, which is written with the 26 letters, but accents are dropped
and other scripts score nothing. For other languages its tokenizer can be replaced by words of any script
(`evaluation.rouge_tokenizer: unicode`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from eval.config import RougeTokenizer
from eval.metrics.statistics import Array, mean_statistics
from eval.metrics.words import lowercase_words, words_of_any_script

ROUGE = ("rouge1", "rouge2", "rougeL")
_ROUGE_TOKENS = {"ascii": "tokens of a-z and 0-9", "unicode": "words of any script"}


def overlap_statistics(
    answers: Sequence[str], references: Sequence[str], rouge_tokenizer: RougeTokenizer = "ascii"
) -> dict[str, Array]:
    """Statistics (n, K) of ROUGE, chrF++, BLEU and METEOR."""
    rouge, stem = _rouge(rouge_tokenizer), _Stems()
    per_item = [rouge.score(reference, answer) for answer, reference in zip(answers, references, strict=True)]
    statistics = {kind: mean_statistics([100.0 * scores[kind].fmeasure for scores in per_item]) for kind in ROUGE}
    # sacrebleu keeps its per-segment counts behind an underscore; a test holds our sums against its public corpus_score
    for key, metric in (("chrf", _chrf()), ("bleu", _bleu())):
        counts = metric._extract_corpus_statistics(list(answers), [list(references)])
        statistics[key] = np.asarray(counts, dtype=np.float64)
    pairs = zip(answers, references, strict=True)
    statistics["meteor"] = mean_statistics([100.0 * meteor(answer, reference, stem) for answer, reference in pairs])
    return statistics


def meteor(answer: str, reference: str, stem: _Stems | None = None) -> float:
    """nltk's METEOR in 0..1 on lower-case words, with Indonesian Snowball stems and without synonyms."""
    from nltk.translate.meteor_score import single_meteor_score

    stems: Any = stem or _Stems()
    no_synonyms: Any = _NoSynonyms()
    return single_meteor_score(lowercase_words(reference), lowercase_words(answer), stemmer=stems, wordnet=no_synonyms)


def signatures(rouge_tokenizer: RougeTokenizer = "ascii") -> dict[str, str]:
    """sacrebleu's signatures and the other libraries' versions, so that a score can be repeated elsewhere."""
    from importlib.metadata import version

    chrf, bleu = _chrf(), _bleu()
    for metric in (chrf, bleu):
        metric.corpus_score(["a"], [["a"]])  # a signature is complete only after a score
    return {
        "chrf": str(chrf.get_signature()),
        "bleu": str(bleu.get_signature()),
        "rouge": f"rouge-score {version('rouge-score')}, use_stemmer=False, {_ROUGE_TOKENS[rouge_tokenizer]}",
        "meteor": f"nltk {version('nltk')}, exact and stem, snowballstemmer {version('snowballstemmer')} indonesian",
        "language": f"pycld2 {version('pycld2')}",
    }


@cache
def _rouge(tokenizer: RougeTokenizer) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    own = None if tokenizer == "ascii" else _AnyScript()
    return RougeScorer(list(ROUGE), use_stemmer=False, tokenizer=own)


class _AnyScript:
    """The `tokenize` method rouge-score asks for."""

    def tokenize(self, text: str) -> list[str]:
        return words_of_any_script(text)


def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF(word_order=2)


def _bleu() -> Any:
    from sacrebleu.metrics import BLEU

    return BLEU()


class _Stems:
    """The `stem` method nltk asks for, over the Indonesian Snowball stemmer (BSD-3, Tala 2003), remembered per word."""

    def __init__(self) -> None:
        import snowballstemmer

        self._stemmer = snowballstemmer.stemmer("indonesian")
        self._known: dict[str, str] = {}

    def stem(self, token: str) -> str:
        if token not in self._known:
            self._known[token] = self._stemmer.stemWord(token)
        return self._known[token]


class _NoSynonyms:
    """Stands where nltk wants WordNet, which is English."""

    def synsets(self, word: str) -> list[Any]:
        return []
