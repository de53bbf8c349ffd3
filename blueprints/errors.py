"""The one way every room says that something is wrong."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line; they are an interface and stay as they are."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    RETRY = 3
    """The same command may succeed later: a lock is held, a service is starting."""
    INTERRUPTED = 130


class Problem(Exception):  # noqa: N818 - it is told to people, who have a problem, not an error
    """A fault told the way a person needs it: what, where, what was expected, what to do.

    Args:
        what: The fact, one sentence, no full stop needed ("port 5000 is in use by postgres, pid 812").
        where: The key, file or resource it concerns ("tracking.port", "Pulumi.dev.yaml:7").
        expected: What would have been right ("a free port, 1024 to 65535").
        todo: What the reader can do about it ("modelyard init --set tracking.port=5001").
        code: The exit code the command line ends with.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        expected: str = "",
        todo: str = "",
        code: ExitCode = ExitCode.FAILED,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.todo = todo
        self.code = code

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The message, a line a part, parts that are unknown left out."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        parts = [("expected", self.expected), ("do", self.todo)]
        return [head, *(f"  {label}: {text}" for label, text in parts if text)]

    def as_dict(self) -> dict[str, str | int]:
        """The message as data, for ``--json``."""
        return {
            "error": self.what,
            "where": self.where,
            "expected": self.expected,
            "do": self.todo,
            "exit": int(self.code),
        }


class UsageProblem(Problem):
    """A :class:`Problem` in what the caller gave: exit code 2."""

    def __init__(self, what: str, *, where: str = "", expected: str = "", todo: str = "") -> None:
        super().__init__(what, where=where, expected=expected, todo=todo, code=ExitCode.USAGE)
