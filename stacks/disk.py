"""Files on disk: read and written whole, their faults told in words."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from blueprints.errors import Problem, UsageProblem

_RESTORE = "put it right, or restore it from version control"


def disk_problem(error: OSError, path: Path) -> Problem:
    """What an operating system error means for the person who reads it."""
    where = str(error.filename or path)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Problem(
            "no permission to write here", where=where, todo="choose a folder you own: modelyard -C DIR …"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem("the disk is full", where=where, todo="free some space, then run the same again")
    return Problem(error.strerror or str(error), where=where)


def write_together(root: Path, texts: dict[str, str]) -> None:
    """Write every file or none: into a temporary folder on the same disk, then moved in place.

    Args:
        root: Where the paths start; made when it is not there.
        texts: Relative path -> text.

    Raises:
        OSError: A file cannot be written; everything is as before.
    """
    targets = {root / path: text for path, text in texts.items()}
    folders = {folder for target in targets for folder in target.parents if not folder.exists()}
    before = {target: target.read_bytes() for target in targets if target.is_file()}
    moved: list[Path] = []
    staging = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".modelyard-init-", dir=root))
        for number, text in enumerate(targets.values()):
            write_file(staging / str(number), text)
        for number, target in enumerate(targets):
            target.parent.mkdir(parents=True, exist_ok=True)
            moved.append(target)
            (staging / str(number)).replace(target)
    except BaseException:
        for target in moved:
            with contextlib.suppress(OSError):
                earlier = before.get(target)
                target.unlink(missing_ok=True) if earlier is None else target.write_bytes(earlier)
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        for folder in sorted(folders, reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    staging.rmdir()


def write_file(path: Path, text: str, mode: int = 0o644) -> None:
    """Write in one step: a reader sees the old text or the new, whole."""
    try:
        descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        # The temporary name says nothing to the person who reads it.
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(part).chmod(mode)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def read_yaml(path: Path) -> dict[str, Any]:
    """The map in a YAML file; an empty file is an empty one.

    Raises:
        UsageProblem: It is no YAML, or no map of keys.
        Problem: It cannot be read.
    """
    import yaml

    try:
        data = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise disk_problem(error, path) from None
    except UnicodeDecodeError as error:
        raise UsageProblem(
            f"is not text in UTF-8 (byte {error.start})", where=str(path), todo=_RESTORE
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UsageProblem(
            f"is not YAML: {getattr(error, 'problem', error)}", where=f"{path}{line}", todo=_RESTORE
        ) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageProblem("is not a map of keys", where=str(path), expected="name: …", todo=_RESTORE)
    return data


def yaml_text(data: dict[str, Any]) -> str:
    """The map as YAML, its order kept."""
    import yaml

    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
