"""One try: a reader on a damaged copy of its files, in a process of its own with a time limit, and what came of it."""

import json
import os
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from trainer.utils.errors import InputError

LIMIT_SECONDS = 20  # of a try
MEMORY = 6 << 30  # bytes of address space that a try may take beyond what it starts with
LONGEST_MESSAGE = 1000  # characters

REFUSED = "refused in one line"
HARMLESS = "harmless, same result"
ACCEPTED = "accepted for a reason"
BAD = ("traceback", "wrong words", "hang", "half-written", "accepted silently")


@dataclass(frozen=True, eq=False)
class Reader:
    """Something of the product that reads files of a user.

    ``make(folder)`` writes valid files; ``read(folder)`` reads them as the product does and returns what it understood.
    ``files``: those that are damaged, one at a time, by ``damages``; ``values(path)`` returns more for a whole file.
    ``outputs``: files that must not be there after a refusal. ``named``: a pattern of what a refusal must name, by
    default the file. ``limit``: seconds.
    """

    name: str
    files: tuple[str, ...]
    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    damages: dict[str, Callable[[Path], None]]
    values: Callable[[Path], dict[str, Callable[[Path], None]]] | None = None
    outputs: tuple[str, ...] = ()
    named: str | None = None
    limit: float = LIMIT_SECONDS


@dataclass(frozen=True, eq=False)
class Try:
    """A reader, the file to damage (None: none) and how."""

    reader: Reader
    file: str | None
    damage: str
    apply: Callable[[Path], None] | None

    @property
    def name(self):
        return f"{self.reader.name}: {self.file}: {self.damage}"


@dataclass(frozen=True, eq=False)
class Outcome:
    kind: str
    words: str  # the message; or what was understood
    seconds: float = 0.0


# --- In the process of a try -----------------------------------------------------------------------------------------


def attempt(one: Try, folder: Path) -> Outcome:
    """Write the files, damage one, and read them."""
    one.reader.make(folder)
    if one.apply:
        one.apply(folder / one.file)
    try:
        value = one.reader.read(folder)
    except InputError as error:
        return _judged(str(error), one, folder)
    except SystemExit as error:
        if not error.code:
            return Outcome("accepted silently", "exit status 0")
        lines = (folder.parent / "stderr").read_text(errors="replace").splitlines() or [""]
        if not lines[-1].startswith("error: "):
            return Outcome("wrong words", f"the last line is {lines[-1]!r}")
        return _judged(lines[-1].removeprefix("error: "), one, folder)
    except BaseException as error:
        place = _last_place(error.__traceback__)
        return Outcome("traceback", f"{type(error).__name__}: {str(error)[:300]} ({place})")
    return Outcome("accepted", _plain(value).replace(str(folder), "FOLDER"))


def _judged(message, one, folder):
    """Judge the words of a refusal."""
    problems = []
    if "\n" in message.strip("\n") or message != message.strip():
        problems.append("not one line")
    if not message.replace("\n", "").isprintable():
        problems.append("control characters")
    if one.file and not re.search(one.reader.named or re.escape(Path(one.file).name), message):
        problems.append("does not name the file")
    if len(message) > LONGEST_MESSAGE:
        problems.append(f"{len(message)} characters")
    if re.search(r"<class '|object at 0x|\bNoneType\b|Traceback", message):
        problems.append("words of Python")
    left = [name for name in one.reader.outputs if (folder / name).exists()]
    if left:
        return Outcome("half-written", f"{', '.join(left)} after: {message[:300]}")
    if problems:
        return Outcome("wrong words", f"{', '.join(problems)}: {message[:400]!r}")
    return Outcome(REFUSED, message.replace(str(folder), "FOLDER"))


def _last_place(traceback):
    """Return where in our code an exception was raised."""
    place = "?"
    while traceback:
        file = traceback.tb_frame.f_code.co_filename
        if re.search(r"/(trainer|workflow)/", file) and "site-packages" not in file:
            place = f"{'/'.join(Path(file).parts[-3:])}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def _plain(value) -> str:
    """Return what a reader understood as a text that is equal if it is."""
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    match value:
        case pd.DataFrame():
            text = value.to_csv()
        case torch.Tensor():
            text = _plain(value.detach().numpy())
        case np.ndarray():
            text = f"{value.shape} {value.ravel().tolist()}"
        case dict():
            text = "{" + ", ".join(f"{key!r}: {_plain(item)}" for key, item in value.items()) + "}"
        case set():
            text = _plain(sorted(value))
        case list() | tuple():
            text = "[" + ", ".join(map(_plain, value)) + "]"
        case _:
            text = repr(value)
    return text


# --- In the process that tries all -----------------------------------------------------------------------------------


class Tries:
    """Run tries in children, two at a time, and collect their outcomes."""

    def __init__(self, scratch: Path, at_once=2):
        self.scratch, self.at_once = scratch, at_once
        self.running = {}  # process id: (try, folder, start)
        self.outcomes: dict[Try, Outcome] = {}

    def add(self, one: Try):
        """Start a try as soon as a place is free."""
        while len(self.running) >= self.at_once:
            self._collect()
        folder = self.scratch / f"{len(self.outcomes) + len(self.running):05d}-{os.urandom(3).hex()}"
        folder.mkdir()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _child(one, folder)
        self.running[pid] = (one, folder, time.monotonic())

    def finish(self) -> dict[Try, Outcome]:
        """Wait for the last tries; return all outcomes."""
        while self.running:
            self._collect()
        return self.outcomes

    def _collect(self):
        """Take up the outcomes of tries that have ended; kill those that take too long."""
        for pid, (one, folder, start) in list(self.running.items()):
            ended, _ = os.waitpid(pid, os.WNOHANG)
            seconds = time.monotonic() - start
            if not ended and seconds < one.reader.limit:
                continue
            if ended:
                self.outcomes[one] = _outcome_of(folder, seconds)
            else:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                self.outcomes[one] = Outcome("hang", f"over {one.reader.limit} s", seconds)
            del self.running[pid]
            shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.002)


def _child(one, folder):
    """Attempt a try and leave its outcome in a file; never return."""
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        output = os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        torch.set_num_threads(1)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        files = folder / "files"
        files.mkdir()
        outcome = attempt(one, files)
        sys.stdout.flush()
        sys.stderr.flush()
        (folder / "outcome").write_text(json.dumps(asdict(outcome)))
    except BaseException as error:  # of the attack itself
        (folder / "outcome").write_text(json.dumps({"kind": "broken attack", "words": repr(error)}))
        raise
    finally:
        os._exit(0)


def _outcome_of(folder, seconds):
    path = folder / "outcome"
    if not path.exists():
        return Outcome("traceback", "the process died", seconds)
    return Outcome(**json.loads(path.read_text()) | {"seconds": seconds})
