# SPDX-License-Identifier: MPL-2.0
"""A process of the simulation, from outside: it answers questions over a pipe."""

from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

_ANSWER_S = 30.0


class Child:
    """Started by the constructor; `end` ends it, whatever it is doing."""

    def __init__(self, name: str, main: Callable[..., None], *arguments: object) -> None:
        """`main` gets the pipe's other end, then `arguments`; `name` is for messages."""
        context = get_context("spawn")
        self._name = name
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=main, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def _asked(self, question: object) -> Any:
        """The answer.

        Raises:
            RuntimeError: The process has ended, or does not answer.
        """
        try:
            self._pipe.send(question)
            if self._pipe.poll(_ANSWER_S):
                return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError(f"{self._name} has ended before its time") from error
        raise RuntimeError(f"{self._name} has not answered within {_ANSWER_S:g} s")

    def end(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(5)
