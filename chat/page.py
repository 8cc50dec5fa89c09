"""The conversation on a local web page: answers denoise as they are written, and a slider goes back over the steps.

Needs gradio (the extra `demo`). Nothing leaves the machine: no analytics, no font from elsewhere, no public link.
"""

from __future__ import annotations

import dataclasses
import html
import importlib.util
import os
import re
import time
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from chat.conversation import Conversation, changed
from chat.serving.listening import listen
from chat.wording import Language, Say, wording
from common.errors import InputError
from common.escaping import visible
from common.section import attribute_docstrings
from llada.chat_format import whole_characters
from llada.sampling.settings import SamplerConfig

if TYPE_CHECKING:
    from chat.frames import Frame, TokenView
    from chat.systems import Systems

TITLE = "LLaDA, in Indonesian"
LANGUAGES = [("English", "en"), ("Bahasa Indonesia", "id")]
MASK = "░░"
PATHS = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?|/(assets|static|svelte)/[\w./@-]{1,200}"
    r"|/gradio_api/(queue/(join|data)|heartbeat/\w+|cancel|reset|startup-events|app_id|info)/?"
)
"""All that the page asks for. gradio has many more routes (files, uploads, proxies, an editor): none is let through."""
MOST_BYTES = 256 * 1024  # of a request
MOST_WAITING, MOST_SESSIONS, KEPT_SECONDS = 32, 64, 3600
LONGEST_ANSWER, MOST_STEPS, LONGEST_SECONDS = 1024, 4096, 300
NO_STATISTICS = {"GRADIO_ANALYTICS_MAX_EVENTS": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9)}
"""gradio would keep 10,000 requests and make a table of them all after each one, for a page that is not let through."""
FRAMES_A_SECOND = 20  # painted; the slider has every step
CSS = """
.panel { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 10px 12px; min-height: 9rem; }
.panel h2 { font-size: 1rem; margin: 0 0 .4rem; }
.panel p { margin: .25rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.panel .question { color: var(--body-text-color-subdued); }
.panel .cost { font-size: .8rem; color: var(--body-text-color-subdued); }
.panel :is(p, span) { unicode-bidi: isolate; }
.token.masked { opacity: .45; }
.token.new { color: #111; border-radius: 3px; }
.token.level-0 { background: #ffafaf; text-decoration: underline; }
.token.level-1 { background: #ffd787; text-decoration: underline; }
.token.level-2 { background: #ffffaf; }
.token.level-3 { background: #d7ffaf; }
.token.level-4 { background: #afd7af; }
.fault { color: #b3261e; font-weight: 600; }
.dark .fault { color: #ff8a80; }
"""
CONFIDENCES = ("below 0.25", "0.25 to 0.5", "0.5 to 0.75", "0.75 to 0.9", "0.9 and above")


@dataclass
class Shown:
    """The question on the page, what was said before it, and every round of frames of its answer."""

    question: str = ""
    before: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    rounds: list[dict[str, Frame]] = field(default_factory=list)
    language: Language = "en"


def require_gradio() -> None:
    """Raises InputError where gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise InputError("the web page needs gradio, which is not installed; run `pip install --editable '.[demo]'`")


def serve(systems: Systems, conversation: Conversation, host: str, port: int, language: Language = "en") -> None:
    """Serve the page until Ctrl-C. Each browser tab starts from its own copy of `conversation`, and in `language`.

    Raises:
        InputError: the port is taken, or the address is not one of this machine's.
    """
    with TemporaryDirectory() as folder:
        app = application(systems, conversation, folder, language)
        listen(app, host, port, PATHS, MOST_BYTES, "open {url} in a browser; Ctrl-C ends")


def application(systems: Systems, conversation: Conversation, folder: str, language: Language = "en") -> Any:
    """The page as an ASGI application; it stands behind `chat.serving.guard` with PATHS and MOST_BYTES.

    Args:
        folder: for what gradio would otherwise keep in a folder of a known name that all users share.
    """
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": folder,
        **NO_STATISTICS,
    }  # read by the import
    import gradio as gr  # pyright: ignore[reportMissingImports]
    from fastapi import FastAPI  # pyright: ignore[reportMissingImports]

    page, look = build(systems, conversation, language)
    page.queue(max_size=MOST_WAITING, default_concurrency_limit=4)
    page.state_session_capacity = MOST_SESSIONS
    return gr.mount_gradio_app(
        FastAPI(openapi_url=None), page, path="/", footer_links=[], run_history=False, enable_monitoring=False,
        ssr_mode=False, mcp_server=False, show_error=False, max_file_size=0, **look,
    )  # fmt: skip


def build(systems: Systems, conversation: Conversation, language: Language) -> tuple[Any, dict[str, Any]]:
    """The page, and what gives it its look."""
    import gradio as gr  # pyright: ignore[reportMissingImports]

    say = wording(language)
    with gr.Blocks(title=say(TITLE), analytics_enabled=False) as page:
        state = gr.State(conversation, time_to_live=KEPT_SECONDS)
        shown = gr.State(Shown(language=language), time_to_live=KEPT_SECONDS)
        title = gr.Markdown(_title(say))
        choice = gr.Radio(LANGUAGES, value=language, show_label=False, container=False, elem_id="language")
        with gr.Row():
            panels = [_column(gr, panel(name, [], "", None, say)) for name in systems.names]
        colours = gr.HTML(legend(say))
        slider = gr.Slider(0, 1, value=0, step=1, label=say("Denoising step"), interactive=False, elem_id="step")
        status = gr.HTML("", elem_id="status")
        question = gr.Textbox(label=say("Question"), lines=2, max_lines=8, elem_id="question")
        with gr.Row():
            send = gr.Button(say("Send"), variant="primary", elem_id="send")
            stop = gr.Button(say("Stop"), elem_id="stop")
            reset = gr.Button(say("New conversation"), elem_id="reset")
        with gr.Accordion(say("Sampler settings"), open=False) as settings:
            controls = _controls(gr, conversation)

        def speak(language: Language, step: float, now: Shown) -> list[Any]:
            """Everything that the page itself says, in the language, and what remembers it."""
            now.language, say = language, wording(language)
            labelled = [gr.update(label=say(text)) for text in ("Denoising step", "Question", "Sampler settings")]
            buttons = [gr.update(value=say(text)) for text in ("Send", "Stop", "New conversation")]
            panels = _painted(systems.names, now, int(step))
            return [_title(say), *panels, legend(say), "", *labelled, *buttons, now]

        def answer(text: str, talk: Conversation, language: Language, *values: Any) -> Iterator[list[Any]]:
            """Yields the panels, the slider, the status, the question box and the two states."""
            text, say = whole_characters(text), wording(language)
            now = Shown(text.strip(), {name: list(past) for name, past in talk.histories.items()}, language=language)
            still = [gr.skip() for _ in panels]
            try:
                _apply(talk, dict(zip(controls, values, strict=True)))
                begun, painted = time.monotonic(), 0.0
                for latest in talk.ask(systems, text):
                    now.rounds.append(latest)
                    last, clock = len(now.rounds), time.monotonic()
                    if clock > begun + LONGEST_SECONDS:
                        raise InputError(f"stopped after {LONGEST_SECONDS} s; the question is not remembered")
                    if clock > painted + 1 / FRAMES_A_SECOND:
                        painted = clock
                        yield [
                            *_painted(systems.names, now, last), gr.update(maximum=last, value=last, interactive=False),
                            "", "", now, talk,
                        ]  # fmt: skip
            except InputError as error:
                yield [*still, gr.skip(), _fault(error), gr.skip(), gr.skip(), gr.skip()]
                return
            last, left_out = len(now.rounds), talk.left_out
            note = say("The {count} oldest messages did not fit and were left out.").format(count=left_out)
            slider_at = gr.update(maximum=last, value=last, interactive=True)
            yield [*_painted(systems.names, now, last), slider_at, note if left_out else "", "", now, talk]

        def back_to(step: float, now: Shown) -> list[str]:
            return _painted(systems.names, now, int(step))

        def stopped(now: Shown) -> list[Any]:
            last = len(now.rounds)
            words = wording(now.language)("Stopped; the question and the answer are not remembered.")
            return [gr.update(maximum=max(1, last), value=last, interactive=last > 0), words]

        def forget(talk: Conversation, language: Language) -> list[Any]:
            talk.reset()
            now = Shown(language=language)
            slider_at = gr.update(maximum=1, value=0, interactive=False)
            return [*_painted(systems.names, now, 0), slider_at, "", "", now, talk]

        outputs = [*panels, slider, status, question, shown, state]
        inputs = [question, state, choice, *controls.values()]
        asking = gr.on([send.click, question.submit], answer, inputs, outputs, show_progress="hidden")
        stop.click(stopped, [shown], [slider, status], cancels=[asking], show_progress="hidden")
        # "always_last": gradio would otherwise drop the steps that the slider reaches while an earlier one is painted.
        slider.input(back_to, [slider, shown], panels, show_progress="hidden", trigger_mode="always_last")
        reset.click(forget, [state, choice], outputs, cancels=[asking], show_progress="hidden")
        said = [title, *panels, colours, status, slider, question, settings, send, stop, reset, shown]
        choice.change(speak, [choice, slider, shown], said, show_progress="hidden")
    fonts = ("ui-sans-serif", "system-ui", "sans-serif")
    theme = gr.themes.Default(primary_hue="blue", font=fonts, font_mono=("ui-monospace", "monospace"))
    theme.set(  # gradio's own greys and its button are too pale to read for many (WCAG AA: 4.5 to 1)
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
    )
    return page, {"theme": theme, "css": CSS}


def _title(say: Say) -> str:
    return f"# {say(TITLE)}"


def legend(say: Say) -> str:
    """What the colours mean, as HTML."""
    parts = [
        f'<span class="token new level-{level}">&nbsp;{say(words)}&nbsp;</span>'
        for level, words in enumerate(CONFIDENCES)
    ]
    masked = f'<span class="token masked">{MASK}</span> {say("masked")}'
    return f"<p>{say('Confidence of a new token:')} {' '.join(parts)} {masked}</p>"


def panel(name: str, before: Sequence[Mapping[str, str]], question: str, frame: Frame | None, say: Say = str) -> str:
    """One system's conversation as HTML; whatever was typed or generated is escaped."""
    parts = [f'<section class="panel" aria-label="{_text(name)}"><h2>{_text(name)}</h2>']
    for message in before:
        kind = "answer" if message["role"] == "assistant" else "question"
        parts.append(f'<p class="{kind}">{_text(message["content"])}</p>')
    if question:
        parts.append(f'<p class="question">{_text(question)}</p>')
    if frame is not None:
        tokens = "".join(_token(frame, token, say) for token in frame.tokens)
        parts.append(f'<p class="answer now">{tokens or _cost([say("(empty answer)")], "span")}</p>')
        cost = [
            say("step {step}").format(step=frame.step + 1),
            say("{passes} passes").format(passes=frame.forward_passes),
        ]
        cost.append(f"{frame.seconds:.1f} s")
        if frame.taken_back:
            cost.append(say("{count} taken back").format(count=frame.taken_back))
        parts.append(_cost(cost, "p"))
    return "".join([*parts, "</section>"])


def _cost(parts: Sequence[str], tag: str) -> str:
    return f'<{tag} class="cost">{", ".join(parts)}</{tag}>'


def _text(text: str) -> str:
    """How this page shows a text of somebody else's."""
    return html.escape(visible(text))


def _token(frame: Frame, token: TokenView, say: Say) -> str:
    if token.masked:
        return f'<span class="token masked"> {MASK}</span>'
    if not frame.new(token):
        return f'<span class="token">{_text(token.text)}</span>'
    title = say("confidence {value:.2f}").format(value=token.confidence)
    return f'<span class="token new level-{token.level}" title="{title}">{_text(token.text)}</span>'


def _painted(names: Sequence[str], now: Shown, step: int) -> list[str]:
    """The panels after so many steps; after none there is no answer yet."""
    latest = now.rounds[min(step, len(now.rounds)) - 1] if step and now.rounds else {}
    say = wording(now.language)
    return [panel(name, now.before.get(name, []), now.question, latest.get(name), say) for name in names]


def _column(gr: Any, content: str) -> Any:
    with gr.Column(min_width=260):  # below this width the columns stand one below the other
        return gr.HTML(content)


def _controls(gr: Any, conversation: Conversation) -> dict[str, Any]:
    """One control per setting that is a number, a switch or a choice; and the seed."""
    meanings = attribute_docstrings(SamplerConfig)
    controls: dict[str, Any] = {}
    with gr.Row():
        for name, kind in typing.get_type_hints(SamplerConfig).items():
            value = getattr(conversation.sampling, name, None)
            about = {"label": name, "info": meanings.get(name, ""), "value": value, "min_width": 220}
            if typing.get_origin(kind) is typing.Literal:
                controls[name] = gr.Dropdown(list(typing.get_args(kind)), **about)
            elif kind is bool:
                controls[name] = gr.Checkbox(**about)
            elif kind in (int, float):
                controls[name] = gr.Number(precision=0 if kind is int else None, **about)
        controls["seed"] = gr.Number(
            label="seed", info="of the noise, where the settings want any", value=conversation.seed, precision=0,
            min_width=220,
        )  # fmt: skip
    return controls


def _apply(talk: Conversation, values: dict[str, Any]) -> None:
    """Take the controls' values over, all at once; raises InputError."""
    empty = [name for name, value in values.items() if value is None]
    if empty:
        raise InputError(f"{', '.join(empty)}: no value")
    talk.change("seed", int(values.pop("seed")))
    kinds = {entry.name: type(getattr(talk.sampling, entry.name)) for entry in dataclasses.fields(talk.sampling)}
    sampling = changed(talk.sampling, {name: kinds[name](value) for name, value in values.items()})
    for name, value, most in (("gen_length", sampling.longest, LONGEST_ANSWER), ("steps", sampling.steps, MOST_STEPS)):
        if value > most:
            raise InputError(f"{name} is {value:,}, allowed on this page: at most {most:,}")
    talk.sampling = sampling


def _fault(error: InputError) -> str:
    return "".join(f'<p class="fault" role="alert">{_text(fault)}</p>' for fault in error.faults)
