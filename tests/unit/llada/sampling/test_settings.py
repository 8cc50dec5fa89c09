"""The sampler's settings refuse what the sampler could not do, in words, and read as a section of a profile."""

import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from llada import SamplerConfig


def test_reading_the_settings_imports_no_torch():
    program = "import sys, llada; llada.SamplerConfig(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rule": "best"}, "rule is 'best', allowed: quota, threshold"),
        ({"remasking": "high"}, "remasking is 'high'"),
        ({"cache": "full"}, "cache is 'full'"),
        ({"eos_policy": "never"}, "eos_policy is 'never'"),
        ({"gen_length": 0}, "gen_length is 0"),
        ({"gen_length": 48}, r"gen_length is 48, allowed: a multiple of block_length \(32\)"),
        ({"steps": 30}, "steps is 30, allowed with the rule quota: a multiple of the number of blocks"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"top_p": 0.0}, "top_p is 0.0, allowed: above 0"),
        ({"threshold": 1.5}, "threshold is 1.5, allowed: between 0 and 1"),
        ({"cache_refresh": -1}, "cache_refresh is -1"),
        ({"known_tokens": 0}, "known_tokens is 0"),
        ({"stop_token_ids": (-1,)}, "stop_token_ids"),
        ({"max_gen_length": 100, "stop_at_eos": True}, "max_gen_length is 100"),
        ({"max_gen_length": 256}, "only with stop_at_eos"),
        ({"insert_masks": 8}, "insert_masks is 8, allowed only with max_gen_length"),
        ({"insert_below": 1.5}, "insert_below is 1.5, allowed: between 0 and 1"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"temperature": float("inf")}, "temperature is inf, allowed: from 0 to 100"),
        ({"guidance_scale": float("inf")}, "guidance_scale is inf, allowed: from 0 to 100"),
        ({"entropy_bound": float("inf")}, "entropy_bound is inf"),
        ({"factor": 1e300}, "factor is 1e"),
        ({"gen_length": 10**30, "block_length": 10**30}, "gen_length is 1000"),
        ({"cache_refresh": 10**30}, "cache_refresh is 1000"),
        ({"max_gen_length": 32 * 10**9, "stop_at_eos": True}, "max_gen_length is 32000000000"),
        ({"known_tokens": 10**30}, "known_tokens is 1000"),
        ({"stop_token_ids": (10**30,)}, "stop_token_ids"),
        ({"repetition_penalty": 0.5}, "repetition_penalty is 0.5, allowed: from 1 to 100"),
        ({"early_exit": "soon"}, "early_exit is 'soon', allowed: none, sched_linear, sched_cosine, stable"),
        ({"draft_steps": 65}, "draft_steps is 65, allowed: from 0 to 64"),
        ({"prior_clip": 0.0}, "prior_clip is 0.0, allowed: from 0.001 to 1000"),
        ({"confidence": "high"}, "confidence is 'high', allowed: plain, tempered"),
    ],
)
def test_faults_name_field_value_and_cure(values, words):
    with pytest.raises(ValueError, match=words):
        SamplerConfig(**values)


def test_every_fault_is_named_at_once():
    with pytest.raises(ValueError, match=r"rule is 'best'.*; threshold is 2"):
        SamplerConfig(rule="best", threshold=2)  # type: ignore[arg-type]


def test_a_profiles_section_is_read_strictly():
    read = TypeAdapter(SamplerConfig).validate_python
    assert read({"gen_length": 64, "steps": 64, "stop_token_ids": [1, 2]}).stop_token_ids == (1, 2)
    with pytest.raises(ValidationError, match="tempo"):
        read({"tempo": 1})
    with pytest.raises(ValidationError, match="multiple of block_length"):
        read({"gen_length": 33})


def test_steps_of_other_rules_need_not_divide():
    assert SamplerConfig(gen_length=96, steps=100, rule="threshold").steps_per_block == 33
