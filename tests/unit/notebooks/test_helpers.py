"""What the notebook's cells call: refusals, commands, the copy that outlasts a session, pictures."""

import json
import sys

import pytest

from notebooks import helpers, looking
from notebooks.helpers import Hardware, Stopped

T4 = Hardware("Tesla T4", (7, 5), 14.6, "550.54", 12.7, 60.0)


def changed(**values):
    return Hardware(**vars(T4) | values)


def test_a_free_t4_is_not_refused():
    assert T4.refusals() == []
    helpers.require(T4, "llada-8b-t4")
    assert "float16" in str(T4)
    assert "bfloat16" in str(changed(capability=(8, 0)))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gpu": None, "driver": ""}, "choose a T4"),
        (
            {"gpu": None, "why_not": "torch is built for CUDA 13.0"},
            "Driver 550.54 is too old: torch is built for CUDA 13.0",
        ),
        ({"gpu": "Tesla P100", "capability": (6, 0)}, "P100 is older"),
        ({"memory": 11.2}, "The GPU has 11.2 GiB"),
        ({"host": 7.0}, "The host has 7.0 GiB"),
        ({"disk": 12.0}, "12 GiB of disk"),
    ],
)
def test_what_is_too_small_is_said_in_both_languages_and_stops_the_8b_half_alone(values, words):
    machine = changed(**values)
    assert [words in sentence and " | " in sentence for sentence in machine.refusals()] == [True]
    with pytest.raises(Stopped, match=words):
        helpers.require(machine, "llada-8b-t4")
    helpers.require(machine, "mini")


def test_this_machine_is_asked():
    found = helpers.hardware()
    assert found.host > 0.5
    assert found.disk > 0


def test_a_command_shows_what_it_says_and_its_failure_stops_the_notebook(capfd):
    calls = []
    helpers.run("python", "-c", "print('halo')", meanwhile=lambda: calls.append(1))
    assert calls
    assert "halo" in capfd.readouterr().out
    with pytest.raises(Stopped, match="status 3") as stopped:
        helpers.run("python", "-c", "import sys; sys.exit(3)")
    assert "Traceback" not in "".join(stopped.value._render_traceback_())


def test_an_interrupt_reaches_the_command(tmp_path):
    begun, code = tmp_path / "begun", "import signal, pathlib, sys, time; {}"
    words = "signal.signal(signal.SIGINT, lambda *_: (pathlib.Path({!r}).touch(), sys.exit(0)))"
    saved = tmp_path / "saved"
    code = code.format(f"{words.format(str(saved))}; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)")

    def interrupt():
        if begun.is_file():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        helpers.run(sys.executable, "-c", code, meanwhile=interrupt)
    assert saved.is_file()


def write(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_a_new_session_finds_what_the_last_one_mirrored(tmp_path):
    work, kept, fresh = (tmp_path / name for name in ("work", "kept", "fresh"))
    step = "scratch/training/run-1/step-00000010"
    names = ("select.json", "candidates.parquet", "splits/train.parquet", f"{step}/state.json", "inputs/rows.parquet")
    for name in names:
        write(work, name, name)
    helpers.mirror(work, kept)
    helpers.mirror(kept, fresh)
    assert [(fresh / name).is_file() for name in names] == [True, True, True, True, False]  # inputs come from the hub
    write(work, "select.json", "changed!!!!")
    (work / step / "state.json").unlink()
    (work / step).rmdir()
    write(work, step.replace("10", "20") + "/state.json", "{}")
    helpers.mirror(work, kept)
    assert (kept / "select.json").read_text() == "changed!!!!"
    assert [path.name for path in kept.glob("scratch/training/run-1/*")] == ["step-00000020"]


def test_what_is_there_is_not_made_again(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(helpers, "run", lambda *words, **_: said.append(words))
    work = helpers.Work("mini", ["seed=7"], tmp_path)
    for name in ("select.json", "embed.json", "cluster.json", "evaluation/base/metrics.json"):
        write(tmp_path, name, "{}")
    work.prepare()
    work.evaluate("base", "lora")
    places = {"dataset": {"files": [{"path": "inputs/rows.jsonl"}]}, "encoder": {"path": "e"}, "base": {"path": "b"}}
    write(tmp_path, "inputs.json", json.dumps(places))
    for name in ("inputs/rows.jsonl", "e", "split.json", "leakage.json", "format.json"):
        write(tmp_path, name, "{}")
    work.prepare()  # the base is lost: inputs alone run again
    write(tmp_path, "b", "{}")
    work.prepare()
    options = ("--profile", "mini", "--artifacts", str(tmp_path), "--set", "seed=7")
    stages = [("python", "-m", "pipeline", stage, *options) for stage in ("inputs", "split", "format")]
    measured = ("python", "-m", "pipeline", "evaluate", "--method", "lora", *options)
    assert said == [*stages, measured, stages[0]]


def test_the_curve_is_the_same_from_a_checkpoint_and_from_a_finished_training(tmp_path):
    rows = [
        {"step": 0.0, "train_loss": None, "validation_loss": 2.0},
        {"step": 5.0, "train_loss": 1.5, "validation_loss": None},
    ]
    write(tmp_path, "state.json", json.dumps({"progress": {"curve": rows}}))
    write(tmp_path, "curve.csv", "step,train_loss,validation_loss\n0,,2.0\n5,1.5,\n")
    assert looking.curve(tmp_path / "state.json") == looking.curve(tmp_path / "curve.csv") == rows
    axes = looking.loss_figure(rows).axes[0]
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[5.0, 1.5]], [[0.0, 2.0]]]


def test_the_live_plot_draws_each_checkpoint_once(tmp_path, monkeypatch):
    live, drawn = looking.Live(tmp_path), []
    monkeypatch.setattr(looking.Live, "show", lambda self, picture: drawn.append(picture[:4]))
    assert not live.draw()
    write(tmp_path, "scratch/training/run/step-00000001/state.json", json.dumps({"progress": {"curve": []}}))
    assert live.draw()
    assert not live.draw()
    write(tmp_path, "scratch/training/run/step-00000002/state.json", "{")  # just being removed
    assert not live.draw()
    assert drawn == [b"\x89PNG"]


def test_the_picture_shows_tokens_where_and_when_they_were_written_and_taken_back():
    trace = {
        "length": 3,
        "steps": [
            {"commit": [[1, " satu", 0.5]], "take_back": []},
            {"commit": [[0, "$x$", 0.9]], "take_back": [1]},
        ],
    }
    axes = looking.denoising_figure(trace).axes[0]
    texts = [(text.get_position(), text.get_text()) for text in axes.texts if text.get_text()]
    assert texts == [((1.5, 0), "satu"), ((0.5, 1), r"\$x\$")]
    looking.png(axes.figure)


def test_texts_in_the_table_are_data(tmp_path):
    for system, answer in (("base", "<script>1</script>"), ("lora", "a & b\u2028c")):
        row = {"id": "1", "prompt": "<b>", "answer": answer, "reference": "r"}
        write(tmp_path, f"evaluation/{system}/items.jsonl", json.dumps(row, ensure_ascii=False) + "\n")
    page = looking.table(tmp_path, "base", "lora", 8)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "a &amp; b\u2028c" in page
