"""Stage `inputs`: rows, encoder and base, each bundled, from a folder or from the hub, resolved to files here.

`inputs.json` says what was resolved: kind, revision (the commit, for the hub), paths (relative to the artefacts where
they lie inside them) and the SHA-256 of encoder and base. The tokenizer lives in the base's folder, as published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import seals
from common.errors import InputError
from common.files import atomic_folder, model_files, sha256_of_model_folder, write_json
from common.progress import console
from common.text.sentence_encoder import check_encoder
from data_prep.config import DataConfig
from data_prep.inputs.finding import GLOB_CHARACTERS, SUFFIXES, search
from data_prep.inputs.row_files import check_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llada.network.modeling import LLaDAConfig

ANSWER_KEYS = "answer_keys.jsonl"
EMBEDDED = "embedded"
"""The setting that asks for the bundled corpus, encoder or base."""
WEIGHTS = (".safetensors", ".bin")


def prepare_inputs(
    data: DataConfig,
    *,
    base: str,
    base_revision: str | None,
    seed: int,
    folder: Path,
    facts: Path,
    token_ids: Mapping[str, int] | None = None,
    twin: str | None = None,
    twin_revision: str | None = None,
) -> None:
    """Resolve or make everything a run reads, and write `facts`.

    Args:
        token_ids: of the base, by their keys, where the profile sets any.
        twin: an autoregressive base, or None.

    What needs only a look (folders, files, columns) is done before what takes minutes (training the bundled models).

    Raises:
        InputError: with one line per fault, naming the file, the column or the key.
    """
    folder.mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "dataset": lambda: _dataset(data, seed, folder),
        "encoder": lambda: _encoder(data, seed, folder),
        "base": lambda: _base(data, base, base_revision, seed, folder, token_ids or {}),
    }
    sources = {"dataset": data.source, "encoder": data.encoder, "base": base}
    if twin is not None:
        makers["twin"] = lambda: _twin(data, twin, twin_revision, seed, folder)
        sources["twin"] = twin
    resolved, faults = {}, []
    for name in sorted(makers, key=lambda name: (sources[name] == EMBEDDED, list(makers).index(name))):
        if faults and sources[name] == EMBEDDED:
            break
        try:
            resolved[name] = makers[name]()
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    content = _relative({name: resolved[name] for name in makers}, facts.parent)
    places = [file["path"] for file in resolved["dataset"]["files"]] + resolved["dataset"].get("sources", [])
    models = [file for name in makers if name != "dataset" for file in model_files(resolved[name]["path"])]
    read = [*places, *models, *sorted(folder.glob("*.jsonl"))]
    write_json(facts, seals.sealed(facts, content, read=read, wrote=()))


def _dataset(data: DataConfig, seed: int, folder: Path) -> dict[str, Any]:
    kind, revision, chosen = _kind(data.source), None, {}
    if data.files is not None and kind != "hub":
        raise InputError(
            f"data.files: {data.files}: a pattern within a hub repository; elsewhere write it in data.source"
        )
    if kind == EMBEDDED:
        from data_prep.bundled.instructions.corpus import write_answer_keys, write_corpus
        from data_prep.bundled.instructions.rows import tasks

        made = tasks(data.embedded.rows, seed)
        files = write_corpus(made, seed=seed, folder=folder / "dataset")
        write_answer_keys(made, path=folder / ANSWER_KEYS)
    elif kind == "hub":
        from data_prep.inputs.hub import fetch_dataset

        snapshot = fetch_dataset(data.source, data.revision, folder / "dataset", split=data.split, pattern=data.files)
        files, revision = list(snapshot.files), snapshot.revision
        chosen = {"chosen": [str(path.relative_to(snapshot.folder)) for path in files]}
        console.print(
            f"{data.source}: {len(files)} files, {', '.join(chosen['chosen'][:5])}{', ...' if len(files) > 5 else ''}",
            soft_wrap=True,
        )
    else:
        found = search(str(Path(data.source).expanduser()))
        files = found.files
        chosen = {"sources": files}
        if found.hidden:
            console.print(f"{found.hidden} hidden files passed over (names that begin with . or _)", soft_wrap=True)
    columns = data.columns if kind != EMBEDDED else {}
    rows = check_rows(files, columns, folder / "dataset", _source_name(data.source))
    if rows.ignored_columns:
        console.print(f"columns left unread: {', '.join(rows.ignored_columns)}", soft_wrap=True)
    if rows.dropped:
        console.print(
            f"rows dropped: {', '.join(f'{count:,} {reason}' for reason, count in rows.dropped.items())}",
            soft_wrap=True,
        )
    return {
        "source": data.source,
        "kind": kind,
        "revision": revision,
        "columns": rows.columns,
        "files": [{"path": path, "bytes": path.stat().st_size} for path in rows.paths],
        "ignored_columns": rows.ignored_columns,
        "dropped": dict(rows.dropped),
        **chosen,
    }


def _source_name(source: str) -> str:
    """The last part of a source that names something: `rows` of `rows/*.jsonl`."""
    there = Path(source).expanduser().exists()
    named = [part for part in Path(source).parts if there or not GLOB_CHARACTERS & set(part)]
    if not named:
        return "rows"
    name = named[-1].removesuffix(".gz")
    ending = Path(name).suffix
    return name.removesuffix(ending) if ending.lower() in SUFFIXES else name


def _encoder(data: DataConfig, seed: int, folder: Path) -> dict[str, Any]:
    def make(place: Path) -> None:
        from data_prep.bundled.models.shipped import provide_encoder

        provide_encoder(data.embedded, seed=seed, folder=place)

    return _model(data.encoder, data.encoder_revision, folder / "encoder", make, _check_encoder)


def _base(
    data: DataConfig, base: str, revision: str | None, seed: int, folder: Path, token_ids: Mapping[str, int]
) -> dict[str, Any]:
    def make(place: Path) -> None:
        from data_prep.bundled.models.base import provide_base

        provide_base(data.embedded, seed=seed, folder=place)

    return _model(base, revision, folder / "base", make, lambda path: _check_base(path, token_ids))


def _twin(data: DataConfig, base: str, revision: str | None, seed: int, folder: Path) -> dict[str, Any]:
    def make(place: Path) -> None:
        from data_prep.bundled.models.base import provide_twin

        provide_twin(data.embedded, seed=seed, folder=place)

    return _model(base, revision, folder / "twin", make, _check_twin)


def _model(
    source: str, revision: str | None, bundled: Path, make: Callable[[Path], None], check: Callable[[Path], None]
) -> dict[str, Any]:
    """The facts of a model in a folder on this machine: made at `bundled`, fetched, or where it lies. What was not made
    here is checked, for which the network's code and torch are imported.
    """
    kind, commit, path = _kind(source), None, bundled
    if kind == EMBEDDED:
        with atomic_folder(path) as temporary:
            make(temporary)
    elif kind == "hub":
        from data_prep.inputs.hub import fetch_model

        snapshot = fetch_model(source, revision)
        path, commit = snapshot.folder, snapshot.revision
    else:
        path = Path(source).expanduser()
    if kind != EMBEDDED:
        check(path)
    return _model_facts(source, kind, commit, path, bundled.name)


def _check_twin(path: Path) -> None:
    """Raises InputError unless the folder holds a causal language model that adapters fit, and a tokenizer."""
    from causal.network import check_causal_folder
    from llada.chat_format import load_tokenizer
    from llada.errors import CheckpointError

    if not path.is_dir():
        raise InputError(f"twin.base: {path}: no such folder; give the folder of a causal language model, or a hub id")
    faults: list[str] = []
    for check in (check_causal_folder, load_tokenizer):
        try:
            check(path)
        except CheckpointError as error:
            faults += [fault for fault in str(error).splitlines() if fault not in faults]
    if faults:
        raise InputError([f"twin.base: {fault}" for fault in faults])


def local_place(source: str) -> Path | None:
    """Where a source of this machine's lies, of a glob the folder before it; None for the bundled one and the hub."""
    if _kind(source) != "folder":
        return None
    path = Path(source).expanduser()
    while not path.exists() and GLOB_CHARACTERS & set(str(path)):
        path = path.parent
    return path.absolute()


def _kind(source: str) -> str:
    """embedded | folder | hub. What exists on this machine, or cannot be a hub id, is a folder (or file, or glob)."""
    from llada.network.published import is_folder_name

    if source == EMBEDDED:
        return EMBEDDED
    local = Path(source).expanduser().exists() or bool(GLOB_CHARACTERS & set(source)) or is_folder_name(source)
    return "folder" if local or "/" not in source else "hub"


def _check_encoder(path: Path) -> None:
    """Raises InputError unless the folder holds an encoder with weights and tokenizer that pools by the mean."""
    if not path.is_dir():
        raise InputError(
            f"data.encoder: {path}: no such folder; give a BERT or sentence-transformers folder, or a hub id"
        )
    names = {file.name for file in path.rglob("*")}
    if not names & {"config.json", "modules.json"}:
        raise InputError(f"data.encoder: {path}: no config.json; give a BERT or sentence-transformers folder")
    if not any(name.endswith(WEIGHTS) for name in names):
        raise InputError(f"data.encoder: {path}: no weights (model.safetensors); fetch the encoder again")
    if not names & {"tokenizer.json", "vocab.txt", "sentencepiece.bpe.model", "spiece.model", "vocab.json"}:
        raise InputError(f"data.encoder: {path}: no tokenizer (tokenizer.json or vocab.txt); fetch the encoder again")
    check_encoder(path)


def _check_base(path: Path, token_ids: Mapping[str, int]) -> None:
    """Raises InputError unless the folder holds a supported base, whole, whose token ids are known, and a tokenizer
    with LLaDA's special tokens or a chat template.
    """
    from llada.chat_format import load_tokenizer
    from llada.errors import CheckpointError
    from llada.network.checkpoint import check_folder
    from llada.network.token_ids import settled_config

    if not path.is_dir():
        raise InputError(f"model.base: {path}: no such folder; give a LLaDA checkpoint's folder, or a hub id")
    faults: list[str] = []
    tokenizer: Any = None
    made: Any = None
    for load in (check_folder, load_tokenizer, lambda folder: settled_config(folder, token_ids)):
        try:
            made = load(path)
            tokenizer = made if load is load_tokenizer else tokenizer
        except CheckpointError as error:
            faults += [fault for fault in str(error).splitlines() if fault not in faults]
    if not faults:
        faults = special_token_faults(path, tokenizer, made)
    if faults:
        raise InputError([f"model.base: {fault}" for fault in faults])


def special_token_faults(folder: Path, tokenizer: PreTrainedTokenizerFast, config: LLaDAConfig) -> list[str]:
    """Where tokenizer and network of a checkpoint folder do not mean the same mask token, or the network has no
    embedding for a special token: they were added to a tokenizer that lacked them, say.
    """
    from llada.chat_format import MASK_TOKEN, SPECIAL_TOKENS, special_token_id

    known = {token: special_token_id(tokenizer, token) for token in SPECIAL_TOKENS}
    ids = {token: number for token, number in known.items() if number is not None}  # none with a template's form
    cure = "take the tokenizer that the network was trained with"
    outside = [f"{token} ({number})" for token, number in ids.items() if number >= config.embedding_size]
    if outside:
        return [
            f"{folder}: the tokenizer numbers {', '.join(outside)}, the network has {config.embedding_size} "
            f"embeddings; {cure}"
        ]
    if ids.get(MASK_TOKEN, config.mask_token_id) != config.mask_token_id:
        return [
            f"{folder}: {MASK_TOKEN} is {ids[MASK_TOKEN]} in the tokenizer and {config.mask_token_id} in config.json "
            f"(mask_token_id); {cure}"
        ]
    return []


def _model_facts(source: str, kind: str, revision: str | None, path: Path, name: str) -> dict[str, Any]:
    return {
        "source": source,
        "kind": kind,
        "revision": revision,
        "path": path,
        "sha256": sha256_of_model_folder(path, name),
    }


def _relative(value: Any, root: Path) -> Any:
    """Every path inside: relative to `root` where it lies there, absolute elsewhere."""
    if isinstance(value, dict):
        return {key: _relative(item, root) for key, item in value.items()}
    if isinstance(value, list):
        return [_relative(item, root) for item in value]
    if isinstance(value, Path):
        absolute, root = value.absolute(), root.absolute()
        return str(absolute.relative_to(root) if absolute.is_relative_to(root) else absolute)
    return value
