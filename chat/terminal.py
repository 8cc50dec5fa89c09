"""The conversation in a terminal: answers denoise before the reader's eyes, one column per system.

New tokens are coloured by the confidence with which they were written, the unsure ones underlined too. Without a
terminal, the final answer is printed plainly, for pipes and scripts.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from chat.conversation import Conversation
from chat.frames import LEVELS, Frame
from chat.systems import Systems
from chat.wording import Language, Say, wording
from common.errors import InputError
from common.escaping import visible
from common.progress import plain_console

try:
    import termios
except ImportError:  # not a Unix
    termios = None

STYLES = (
    "underline black on color(217)",
    "underline black on color(222)",
    "black on color(229)",
    "black on color(193)",
    "black on color(151)",
)
MASK = "░░"
HELP = """/settings        show the sampler's settings
/set KEY VALUE   change one, for example /set temperature 0.7
/reset           forget the conversation
/quit            leave (also Ctrl-D)
Ctrl-C stops an answer; a stopped answer is not remembered."""


def talk(
    systems: Systems, conversation: Conversation, prompt: str | None, pace: float, language: Language = "en"
) -> None:
    """Answer `prompt`, or whatever the user types until they leave. Frames are drawn where stdout is a terminal.

    Args:
        language: of what is said around the answers.

    Raises:
        InputError: the prompt is empty or too long, or the settings do not fit the model.
    """
    console = plain_console()
    if prompt is None:
        Terminal(systems, conversation, console, pace, language).run()
    elif console.is_terminal and prompt.strip():
        Terminal(systems, conversation, console, pace, language).ask(prompt)
    else:
        print_answer(systems, conversation, prompt)


class Terminal:
    """An interactive conversation.

    Args:
        pace: seconds that a step lasts at the least, so that a fast model can be watched.
    """

    def __init__(
        self, systems: Systems, conversation: Conversation, console: Console, pace: float, language: Language = "en"
    ) -> None:
        self.systems, self.conversation, self.console, self.pace = systems, conversation, console, pace
        self.say = wording(language)

    def run(self) -> None:
        """Ask and answer until the user leaves."""
        import readline  # noqa: F401  (line editing and history for `input`)

        greeting = self.say("{names}   /help for the commands")
        self.console.print(greeting.format(names=" · ".join(self.systems.names)), style="bold")
        self.console.print(legend(self.say))
        while True:
            try:
                line = self.console.input(Text("\n> ", style="bold")).strip()
            except EOFError:
                self.console.print()
                return
            except KeyboardInterrupt:
                self.console.print("\n" + self.say("/quit or Ctrl-D leaves"), style="dim")
                continue
            if line == "/quit":
                return
            try:
                self._obey(line) if line.startswith("/") else self.ask(line)
            except InputError as error:
                for fault in error.faults:
                    self.console.print(fault, style="red")

    def ask(self, question: str) -> None:
        """Show one answer as it is written. Ctrl-C stops it."""
        if not question:
            return
        latest: dict[str, Frame] = {}
        try:
            with _no_echo(), Live(console=self.console, transient=True, auto_refresh=False) as live:
                begin = time.monotonic()
                for latest in self.conversation.ask(self.systems, question):
                    live.update(side_by_side(latest, self.console, say=self.say), refresh=True)
                    time.sleep(max(0.0, begin + self.pace - time.monotonic()))
                    begin = time.monotonic()
        except KeyboardInterrupt:
            if latest:
                self.console.print(side_by_side(latest, self.console, say=self.say))
            self.console.print(self.say("Stopped; the question and the answer are not remembered."), style="dim")
            return
        self.console.print(side_by_side(latest, self.console, finished=True, say=self.say))
        if self.conversation.left_out:
            text = self.say("The {count} oldest messages did not fit and were left out.")
            self.console.print(text.format(count=self.conversation.left_out), style="dim")

    def _obey(self, line: str) -> None:
        command, *words = line.split(maxsplit=2)
        if command == "/reset":
            self.conversation.reset()
            self.console.print(self.say("forgotten"), style="dim")
        elif command == "/settings":
            self.console.print(_settings(self.conversation))
        elif command == "/set" and len(words) == 2:
            self.conversation.change(*words)
            self.console.print(f"{words[0]} = {self.conversation.settings()[words[0]]}", style="dim")
        else:
            self.console.print(self.say(HELP), style="dim")


def print_answer(systems: Systems, conversation: Conversation, question: str) -> None:
    """Answer one question and print the text alone, in a pipe or a file as it is; with several systems each under its
    name.
    """
    *_, latest = conversation.ask(systems, question)
    parts = [frame.answer if len(latest) == 1 else f"[{name}]\n{frame.answer}\n" for name, frame in latest.items()]
    text = "\n".join(parts).rstrip("\n")
    print(visible(text) if sys.stdout.isatty() else text)


def side_by_side(
    latest: Mapping[str, Frame], console: Console, finished: bool = False, say: Say = str
) -> RenderableType:
    """One panel per system: in a row where the terminal is wide enough, else one below the other."""
    panels = [
        Panel(
            paint(frame, finished, say),
            title=Text(name, style="bold"),
            title_align="left",
            subtitle=_subtitle(frame, say),
            subtitle_align="right",
        )
        for name, frame in latest.items()
    ]
    if len(panels) == 1 or console.width < 36 * len(panels):
        return Group(*panels)
    table = Table.grid(expand=True)
    for _ in panels:
        table.add_column(ratio=1)
    table.add_row(*panels)
    return table


def paint(frame: Frame, finished: bool = False, say: Say = str) -> Text:
    """The answer with its newest tokens coloured and its masks as shaded blocks; `finished`: as plain text."""
    if finished:
        return Text(visible(frame.answer) or say("(empty answer)"), style="" if frame.answer else "dim")
    text = Text()
    for token in frame.tokens:
        if token.masked:
            text.append(" " + MASK, style="dim")
        else:
            text.append(visible(token.text), style=STYLES[token.level] if frame.new(token) else "")
    return text


def legend(say: Say) -> RenderableType:
    """What the colours mean."""
    bounds = ("0", *(f"{bound:g}" for bound in LEVELS), "1")
    parts = [
        Text(f" {say('{low} to {high}').format(low=low, high=high)} ", style=style)
        for low, high, style in zip(bounds, bounds[1:], STYLES, strict=False)
    ]
    return Columns([Text(say("Confidence of a new token:")), *parts, Text(f"{MASK} {say('masked')}", style="dim")])


@contextmanager
def _no_echo() -> Iterator[None]:
    """Keep what is typed meanwhile off the screen, where it would break the drawing. It is read afterwards."""
    if termios is None or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _subtitle(frame: Frame, say: Say) -> str:
    """Short, because three panels share a line; the passes only where caches or verification make them differ."""
    step, passes = frame.step + 1, frame.forward_passes
    parts = [
        say("{count} tokens").format(count=sum(not token.masked for token in frame.tokens)),
        f"{frame.seconds:.1f} s",
    ]
    parts.append(say("step {step}").format(step=step))
    if passes != step:
        parts.append(say("{passes} passes").format(passes=passes))
    if frame.taken_back:
        parts.append(say("{count} taken back").format(count=frame.taken_back))
    return " · ".join(parts)


def _settings(conversation: Conversation) -> RenderableType:
    settings = [f"{key} = {value}" for key, value in conversation.settings().items()]
    rows = math.ceil(len(settings) / 2)
    table = Table.grid(padding=(0, 4))
    for place in range(rows):
        table.add_row(*settings[place::rows])
    return table
