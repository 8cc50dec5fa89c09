"""A stranger's chat template runs in the sandbox, and neither long nor large."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError

from common.memory import peak_resident_bytes
from llada import template_limits
from llada.chat_format import CHAT_TEMPLATE, load_tokenizer
from llada.errors import CheckpointError
from llada.template_limits import bounded, check_template
from tests.support.evaluation import write_tiny_base

MESSAGES = [{"role": "user", "content": "Halo"}]
CHATML = (
    "{%- for message in messages[::1] %}{%- if loop.index0 % 2 == 0 %}{{ '<|im_start|>' + message.role }}{% endif %}"
    "{% generation %}{{ message['content'] | trim }}{% endgeneration %}{%- if not loop.last %}{% continue %}{% endif %}"
    "{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant' }}{% endif %}"
)
NUMBERS = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3
DOUBLED = "{% set n = namespace(x='abcdefgh') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
ENDLESS = "{% macro m(x) %}{{ m(x + [1]) }}{% endmacro %}{{ m([]) }}"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(write_tiny_base(tmp_path_factory.mktemp("base")))


def rendered(tokenizer: Any, template: str) -> str:
    return str(tokenizer.apply_chat_template(MESSAGES, chat_template=template, tokenize=False))


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, CHATML], ids=["LLaDA", "ChatML"])
def test_honest_templates_are_taken_and_render_as_without_limits(tokenizer: Any, template: str) -> None:
    check_template(template)
    with bounded():
        limited = rendered(tokenizer, template)
    assert limited == rendered(tokenizer, template)
    assert "Halo" in limited


@pytest.mark.parametrize(
    "template",
    ["{{ 'x' * 9999999999 }}", "{{ 2 ** 9999999999 }}", "{{ '%9999999999s' % 'x' }}", "{{ '%99999s' | format('x') }}",
     "{{ 'x'.ljust(9999999999) }}", "{{ '{:9999999999}'.format(1) }}", "{{ 'x' | center(9999999999) }}", "{% for %}",
     "x" * 100_000, "{{ " + "(" * 5000, "{% if x %}" * 500],
)  # fmt: skip
def test_what_makes_much_of_little_is_refused_unrendered(template: str) -> None:
    with pytest.raises(CheckpointError):
        check_template(template)


@pytest.mark.parametrize(
    ("template", "said"), [(NUMBERS, "takes more than 0.5 s"), (DOUBLED, "takes more than 256 MiB")]
)
def test_a_template_has_so_much_time_and_memory(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, template: str, said: str
) -> None:
    monkeypatch.setattr(template_limits, "SECONDS", 0.5 if template == NUMBERS else 20.0)
    check_template(template)
    begun, before = time.process_time(), peak_resident_bytes()
    with pytest.raises(CheckpointError, match=said), bounded():
        rendered(tokenizer, template)
    assert time.process_time() - begun < 10
    assert peak_resident_bytes() < before + (2 << 30)
    assert sys.gettrace() is None or sys.gettrace().__module__ != template_limits.__name__


@pytest.mark.parametrize(
    "template",
    ["{{ cycler.__init__.__globals__.os.system('touch owned') }}",
     "{{ messages.__class__.__mro__[1].__subclasses__() }}",
     "{% include '/etc/passwd' %}", ENDLESS],
)  # fmt: skip
def test_the_sandbox_keeps_files_and_code_away(
    tokenizer: Any, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TemplateError, AttributeError, TypeError, RecursionError)), bounded():
        rendered(tokenizer, template)
    assert not (tmp_path / "owned").exists()
