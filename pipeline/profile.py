"""The profile: one YAML file under `configs/`, composed of the sections that each package owns, validated strictly.

Every fault is reported at once, with its file (or `--set`), key, value and what is allowed, and a suggestion where a
key is misspelt. Nothing is read from the environment.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from adapters.config import METHOD_NAMES, SYSTEM_METHODS, MethodConfig, ModelConfig, SystemMethod
from adapters.methods import METHODS, largest_rank, like_lora, misfits
from adapters.naming import AdapterName
from common.errors import InputError, in_words
from common.section import LARGEST_SEED, Section, refuse_truth_value
from common.systems import TWIN, is_twin
from common.yaml_text import parse_yaml, read_yaml
from data_prep.config import DataConfig
from eval.config import EvaluationConfig
from llada.sampling.settings import LONGEST, SamplerConfig
from training.config import TrainConfig

EMBEDDED_CONTEXT = 4096  # data_prep.bundled.base makes it so
SHIPPED_VOCABULARY, SHIPPED_WIDTHS = 1536, (128, 192)  # of the base that comes with the project: d_model, MLP
MLP_TARGETS = ("ff_proj", "up_proj", "ff_out")
CONFIGS = Path(__file__).resolve().parent.parent / "configs"


class Profile(Section):
    """One experiment, whole."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=100,
        description="the profile's name, and its artefacts' folder",
    )
    seed: int = Field(42, ge=0, le=LARGEST_SEED, description="the only seed; every random draw is derived from it")
    language: Literal["en", "id"] = Field(
        "en", description="of the report's frame, the chat page and the terminal chat: English or Indonesian"
    )
    data: DataConfig = Field(default_factory=lambda: DataConfig.model_validate({}))
    model: ModelConfig = Field(default_factory=lambda: ModelConfig.model_validate({}))
    twin: ModelConfig | None = Field(
        None, description="an autoregressive base to compare with, for the systems ar-base, ar-lora ...; null: none"
    )
    train: TrainConfig = Field(default_factory=lambda: TrainConfig.model_validate({}))
    methods: dict[SystemMethod, MethodConfig] = Field(
        min_length=1, description="the adapters, by method; ar-lora, ar-loraplus, ar-pissa: on the twin"
    )
    sampling: SamplerConfig = Field(default_factory=SamplerConfig, description="how answers are generated")
    evaluation: EvaluationConfig = Field(default_factory=lambda: EvaluationConfig.model_validate({}))

    @field_validator("sampling", mode="before")
    @classmethod
    def _no_truth_value_is_a_number_here_either(cls, values: Any) -> Any:
        hints = typing.get_type_hints(SamplerConfig)
        for key, value in values.items() if isinstance(values, dict) else ():
            try:
                refuse_truth_value(value, hints.get(key))
            except ValueError as error:
                raise ValueError(f"sampling.{key}: {value!r} is not allowed: {error}") from None
        return values

    @model_validator(mode="after")
    def _sections_agree(self) -> Profile:
        parts = (
            self._split_faults, self._budget_faults, self._row_faults, self._embedded_faults, self._method_faults,
            self._twin_faults,
        )  # fmt: skip
        faults = [fault for part in parts for fault in part()]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _split_faults(self) -> Iterator[str]:
        if self.data.test_size > self.data.test_pool:
            yield (
                f"data.test_size: {self.data.test_size} is larger than data.test_pool: {self.data.test_pool}; "
                "the test set is drawn from the pool, so raise the pool or lower the size"
            )
        drawn = self.data.clusters * self.data.per_cluster
        validation = max(1, int(self.data.validation_fraction * drawn + 0.5))
        if validation >= drawn:
            yield (
                f"data.validation_fraction: {self.data.validation_fraction} of the {drawn} rows that data.clusters x "
                "data.per_cluster draw leaves none to train on; lower it, or raise data.per_cluster"
            )

    def _row_faults(self) -> Iterator[str]:
        """What the rows that we make cannot give; of any others this is known when they are read."""
        data = self.data
        if data.source != "embedded" or not data.deduplicate:
            return
        candidates = max(1, int(data.sample_fraction * data.embedded.rows + 0.5))
        wanted = data.clusters * data.per_cluster + data.test_pool
        if wanted > candidates:
            yield (
                f"data.per_cluster: {data.per_cluster} x data.clusters: {data.clusters} + data.test_pool: "
                f"{data.test_pool} are {wanted:,} rows, but data.sample_fraction of data.embedded.rows gives at most "
                f"{candidates:,}; lower one, or raise these"
            )

    def _budget_faults(self) -> Iterator[str]:
        block = self.sampling.block_length
        for budget in self.evaluation.eos_overflow:
            if budget % block:
                yield f"evaluation.eos_overflow: {budget}; must be a multiple of sampling.block_length ({block})"
            elif (steps := self.sampling.steps_per_block * (budget // block)) > LONGEST:
                yield (
                    f"evaluation.eos_overflow: {budget} tokens are {steps:,} steps at sampling.steps: "
                    f"{self.sampling.steps}, allowed: {LONGEST:,}; lower one of them"
                )
            elif self.model.base == "embedded" and budget >= EMBEDDED_CONTEXT:
                yield (
                    f"evaluation.eos_overflow: {budget} leaves no room for a prompt in the embedded base's context, "
                    f"{EMBEDDED_CONTEXT}"
                )

    def _embedded_faults(self) -> Iterator[str]:
        """What the base that we make cannot take; of any other base this is known when it is loaded."""
        if self.model.base != "embedded":
            return
        sizes, longest = self.data.embedded, self.sampling.longest
        vocabulary = SHIPPED_VOCABULARY if sizes.base == "shipped" else sizes.vocabulary
        if self.data.max_length > EMBEDDED_CONTEXT:
            yield f"data.max_length: {self.data.max_length} is over the embedded base's context, {EMBEDDED_CONTEXT}"
        if longest >= EMBEDDED_CONTEXT:
            yield (
                f"sampling: an answer of {longest} tokens leaves no room for a prompt in the embedded base's context, "
                f"{EMBEDDED_CONTEXT}; lower gen_length or max_gen_length"
            )
        beyond = [token for token in self.sampling.stop_token_ids or () if token >= vocabulary]
        if beyond:
            yield (
                f"sampling.stop_token_ids: {beyond[0]} is no token of the embedded base, whose vocabulary has "
                f"{vocabulary}"
            )
        if (self.sampling.known_tokens or 0) > vocabulary:
            yield (
                f"sampling.known_tokens: {self.sampling.known_tokens} is more than the embedded base's vocabulary: "
                f"{vocabulary}"
            )

    def _method_faults(self) -> Iterator[str]:
        """Settings of a method that do not fit each other or its base, whose sizes are known where we make it."""
        sizes = self.data.embedded
        both = SHIPPED_WIDTHS if sizes.base == "shipped" else (sizes.base_width, sizes.base_mlp_width)
        for name, config in self.methods.items():
            section, method = f"methods.{name}", METHODS[name.removeprefix(TWIN)]
            model = (self.twin or self.model) if is_twin(name) else self.model
            yield from misfits(section, method, config, model.quantization)
            if model.base != "embedded":
                continue
            widths = both if any(target in MLP_TARGETS for target in config.targets) else both[:1]
            most = largest_rank(method, min(widths))
            if most is not None and config.rank > most:
                yield f"{section}.rank: {config.rank}; {method.title} takes at most {most} on the embedded base"
            if method.form == "gralora" and any(width % config.blocks for width in widths):
                yield f"{section}.blocks: {config.blocks} do not divide the embedded base's widths, {widths}"

    def _twin_faults(self) -> Iterator[str]:
        names = [name for name in self.methods if is_twin(name)]
        if names and self.twin is None:
            yield f"methods.{names[0]} needs a twin; write a section twin with a causal base, or remove {names[0]}"
        if names and len(names) == len(self.methods):
            yield f"methods: {', '.join(names)} are all of the twin; a method of the diffusion model has to be there"

    def method(self, name: str) -> MethodConfig:
        """The configuration of an adapter's method, whatever seed it was trained with (`lora`, `lora-seed2`): its
        section, or where the profile has none, what follows from the section `lora`.

        Raises:
            InputError: the method is unknown (says what there is), or the seed in the name is the profile's own, whose
            adapter has the method's name alone.
        """
        adapter = AdapterName.parse(name)
        if adapter.method not in SYSTEM_METHODS:
            raise InputError(
                f"--method: {adapter.method!r} is not a method; choose one of {', '.join(METHOD_NAMES)}, "
                "with -seedN behind it for another training seed"
            )
        if adapter.seed == self.seed:
            raise InputError(f"--method: {name!r}: {self.seed} is the profile's own seed; write {adapter.method}")
        for known, config in self.methods.items():
            if known == adapter.method:
                return config
        if is_twin(adapter.method) and self.twin is None:
            raise InputError(
                f"--method: {name!r}: profile {self.name!r} has no section twin, whose adapter it would be"
            )
        lora = next(
            (config for known, config in self.methods.items() if known == "lora"), MethodConfig.model_validate({})
        )
        return like_lora(adapter.method, lora, self.train.learning_rate)


def profile_file(name: str) -> Path:
    """The file of a profile: `configs/NAME.yaml`, or NAME itself where it is a path ending in .yaml."""
    known = sorted(entry.stem for entry in CONFIGS.glob("*.yaml"))
    if name in known:
        return CONFIGS / f"{name}.yaml"
    if not name.endswith((".yaml", ".yml")):
        raise InputError(f"--profile: unknown profile {name!r}{_suggestion(name, known)}; there are {', '.join(known)}")
    path = Path(name)
    try:
        there = path.is_file()
    except OSError as error:
        raise InputError(f"--profile: {in_words(error) or error}") from None
    if not there:
        raise InputError(f"--profile: no such file: {name}")
    return path


def load_profile(name: str = "mini", overrides: Sequence[str] = ()) -> Profile:
    """Read, override and validate a profile.

    Args:
        name: a profile under `configs/`, or the path of a YAML file.
        overrides: `KEY=VALUE` strings as given to `--set`, KEY dotted (`train.learning_rate=1e-4`), VALUE in YAML.

    Raises:
        InputError: all faults at once, one line each.
    """
    path = profile_file(name)
    values = _read_yaml(path)
    changed = [_apply(values, override) for override in overrides]
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        raise InputError([_fault(entry, path, changed) for entry in error.errors()]) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected sections (name, seed, data, model, ...), found {type(values).__name__}")
    return values


def _apply(values: dict[str, Any], override: str) -> str:
    """Set one `KEY=VALUE` in place; return the key."""
    key, separator, text = override.partition("=")
    key = key.strip()
    if not separator or not all(key.split(".")):
        raise InputError(f"--set: {override!r} is not KEY=VALUE, for example train.learning_rate=1e-4")
    value = parse_yaml(text, f"--set {key}")
    *parents, last = key.split(".")
    section = values
    for depth, name in enumerate(parents):
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise InputError(f"--set: {key}: {'.'.join(parents[: depth + 1])} is a value, not a section")
    section[last] = value
    return key


def _fault(error: Any, path: Path, changed: Sequence[str]) -> str:
    location = [part for part in error["loc"] if part != "[key]"]
    key = ".".join(str(part) for part in location)
    message = error["msg"].removeprefix("Value error, ")
    named = message if message.startswith(key) else key  # a fault between sections names its keys itself
    origin = "--set" if any(f"{named}:".startswith((f"{name}.", f"{name}:")) for name in changed) else str(path)
    value = error["input"]
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _known_keys(location[:-1])
        hint = _suggestion(str(location[-1]), known) or f"; known here: {', '.join(known)}"
        return f"{origin}: unknown key {key}{hint}"
    if error["type"] == "missing":
        return f"{origin}: {key} is missing"
    if not key or message.startswith(key):
        return f"{origin}: {message}"
    if location[0] == "methods" and "[key]" in error["loc"]:
        hint = _suggestion(str(value), SYSTEM_METHODS)
        return f"{origin}: unknown method {key}{hint}; there are {', '.join(METHOD_NAMES)}"
    if isinstance(value, dict):
        return f"{origin}: {key}: {message}"
    return f"{origin}: {key}: {value!r} is not allowed: {message[0].lower()}{message[1:]}"


def _known_keys(location: Sequence[Any]) -> list[str]:
    """The keys that a section knows, found by walking the models along `location`."""
    model: Any = Profile
    for part in location:
        hints = typing.get_type_hints(model) if _is_section(model) else {}
        model = _section_of(hints[part]) if part in hints else _section_of(model)
    if isinstance(model, type) and issubclass(model, Section):
        return list(model.model_fields)
    return [field.name for field in dataclasses.fields(model)] if dataclasses.is_dataclass(model) else []


def _is_section(model: Any) -> bool:
    return isinstance(model, type) and (issubclass(model, Section) or dataclasses.is_dataclass(model))


def _section_of(annotation: Any) -> Any:
    """The section class inside an annotation: itself, the value type of a dict, or a member of a union."""
    if _is_section(annotation):
        return annotation
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is dict:
        return arguments[1] if _is_section(arguments[1]) else annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next((argument for argument in arguments if _is_section(argument)), annotation)
    return annotation


def _suggestion(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
