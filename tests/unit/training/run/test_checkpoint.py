"""Checkpoints: whole or absent, verified, without pickle, for every optimizer."""

import json

import pytest
import torch

from training.config import TrainConfig
from training.optimizer import optimizer_class
from training.run.checkpoint import (
    Checkpoint,
    damage,
    flatten,
    list_checkpoints,
    load_newest_checkpoint,
    remove_leftovers,
    save_checkpoint,
    unflatten,
)


def checkpoint(step, best=None):
    optimizer = {"state": {0: {"step": torch.tensor(float(step))}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]}
    return Checkpoint(step, {"a": torch.full((3, 2), float(step))}, optimizer, best, {"tokens": 10 * step})


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    save_checkpoint(tmp_path, checkpoint(5, best={"a": torch.ones(3, 2)}), keep=2)
    loaded = load_newest_checkpoint(tmp_path)
    assert loaded.step == 5
    assert torch.equal(loaded.adapter["a"], torch.full((3, 2), 5.0))
    assert torch.equal(loaded.best["a"], torch.ones(3, 2))
    assert loaded.progress == {"tokens": 50}
    assert loaded.optimizer["param_groups"] == [{"lr": 0.1, "betas": (0.9, 0.99)}]
    assert loaded.optimizer["state"][0]["step"] == 5.0


def test_no_checkpoint_is_none(tmp_path):
    assert load_newest_checkpoint(tmp_path / "nothing") is None


def test_files_are_safetensors_and_json(tmp_path):
    folder = save_checkpoint(tmp_path, checkpoint(1), keep=1)
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}


def test_the_newest_are_kept(tmp_path):
    for step in (1, 2, 3, 10):
        save_checkpoint(tmp_path, checkpoint(step), keep=2)
    assert [step for step, _ in list_checkpoints(tmp_path)] == [10, 3]


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("name", ["adapter.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("harm", [truncate, flip_a_bit, lambda path: path.unlink()])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, capsys, name, harm):
    save_checkpoint(tmp_path, checkpoint(1), keep=2)
    newest = save_checkpoint(tmp_path, checkpoint(2), keep=2)
    harm(newest / name)
    if name == "manifest.json" and harm is flip_a_bit:
        (newest / name).write_text("{}")  # the flipped bit is the final newline; make the manifest list nothing
    assert damage(newest) is not None
    assert load_newest_checkpoint(tmp_path).step == 1
    said = "".join(capsys.readouterr().err.split())
    assert "step-00000002isdamaged" in said


def test_a_checkpoint_of_another_format_is_not_used(tmp_path):
    folder = save_checkpoint(tmp_path, checkpoint(1), keep=1)
    state = json.loads((folder / "state.json").read_text())
    assert damage(folder) is None
    (folder / "state.json").write_text(json.dumps(state | {"format": 0}))
    assert damage(folder) is not None


def test_a_half_written_checkpoint_is_ignored_and_swept(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1), keep=2)
    half = tmp_path / ".step-00000002-abc"
    half.mkdir()
    (half / "adapter.safetensors").write_bytes(b"half")
    assert load_newest_checkpoint(tmp_path).step == 1
    remove_leftovers(tmp_path)
    assert not half.exists()


@pytest.mark.parametrize("name", ["adamw", "adamw_8bit", "paged_adamw_8bit"])
def test_every_optimizer_continues_exactly_from_disk(tmp_path, name):
    """80 x 80 exceeds bitsandbytes' threshold for 8-bit state, 5 x 5 does not."""
    start = [torch.randn(shape, shape, generator=torch.Generator().manual_seed(shape)) for shape in (80, 5)]
    cls, arguments = optimizer_class(TrainConfig(optimizer=name))

    def fresh(values):
        parameters = [torch.nn.Parameter(value.clone()) for value in values]
        return parameters, cls(parameters, lr=0.01, weight_decay=0.1, **arguments)

    def steps(parameters, optimizer, first, last):
        for step in range(first, last):
            for parameter in parameters:
                generator = torch.Generator().manual_seed(100 * step + len(parameter))
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()

    parameters, optimizer = fresh(start)
    steps(parameters, optimizer, 0, 3)
    stored = Checkpoint(3, {str(i): p.detach() for i, p in enumerate(parameters)}, optimizer.state_dict())
    save_checkpoint(tmp_path, stored, keep=1)
    steps(parameters, optimizer, 3, 6)

    loaded = load_newest_checkpoint(tmp_path)
    resumed, optimizer = fresh([loaded.adapter["0"], loaded.adapter["1"]])
    optimizer.load_state_dict(loaded.optimizer)
    steps(resumed, optimizer, 3, 6)
    assert all(torch.equal(one, two) for one, two in zip(parameters, resumed, strict=True))


def test_nested_state_survives_flattening():
    state = {"a": [1, (2.5, None)], 3: {"t": torch.arange(3), "flag": True}, "empty": {}}
    tensors = {}
    skeleton = json.loads(json.dumps(flatten(state, tensors)))
    back = unflatten(skeleton, tensors)
    assert back["a"] == [1, (2.5, None)]
    assert torch.equal(back[3]["t"], torch.arange(3))
    assert back[3]["flag"] is True
    assert back["empty"] == {}


def test_state_that_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="/f"):
        flatten({"f": object()}, {})
