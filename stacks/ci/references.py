"""Actions and images named in a text: found, pinned to a digest, and taken back to their tag.

Works on lines, not on parsed YAML: a person's comments and layout stay as they are, and the same rules read
workflow files, a Jenkinsfile and ``Pulumi.<env>.yaml``. A reference that holds a variable is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

_ACTION = re.compile(
    r"""^(?P<head>\s*(?:-\s+)?uses:\s*)(?P<quote>['"]?)(?P<name>[\w.-]+/[\w./-]+)@(?P<ref>[\w./+-]+)(?P=quote)"""
    r"""(?P<comment>\s+\#.*)?\s*$"""
)
_IMAGE = re.compile(
    r"""^(?P<head>\s*(?:-\s+)?(?:uses:\s*['"]?docker://|[\w:.-]*image:?\s+['"]?))"""
    r"""(?P<name>[\w.-]+(?::\d+(?=/))?(?:/[\w.-]+)*)(?::(?P<tag>[\w.-]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"""
    r"""(?P<tail>['"]?\s*(?:\#.*)?)$"""
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Reference:
    """Something that CI or an environment runs, named by a tag.

    Attributes:
        kind: ``action`` or ``image``.
        name: ``actions/checkout``, ``library/python``; as written.
        tag: ``v6.0.2``.
    """

    kind: str
    name: str
    tag: str

    def __str__(self) -> str:
        return f"{self.name}{'@' if self.kind == 'action' else ':'}{self.tag}"


def references(text: str) -> Iterator[tuple[Reference, str | None]]:
    """Every reference in ``text`` with its digest (None: named by its tag only), in order."""
    found: list[tuple[Reference, str | None]] = []

    def note(reference: Reference, digest: str | None) -> str | None:
        found.append((reference, digest))
        return digest

    _rewrite(text, note)
    return iter(found)


def pin(text: str, digests: Mapping[Reference, str]) -> str:
    """``text`` with a digest wherever one is known for a reference that has none; the tag stays readable."""
    return _rewrite(text, lambda reference, digest: digest or digests.get(reference))


def unpin(text: str) -> str:
    """``text`` with every reference back at its tag."""
    return _rewrite(text, lambda _reference, _digest: None)


def _rewrite(text: str, choose: Callable[[Reference, str | None], str | None]) -> str:
    return "".join(_line(line, choose) for line in text.splitlines(keepends=True))


def _line(line: str, choose: Callable[[Reference, str | None], str | None]) -> str:
    body = line.rstrip("\r\n")
    end = line[len(body) :]
    if match := _ACTION.match(body):
        return _action(match, choose) + end
    match = _IMAGE.match(body)
    # `image: name` alone may be the name of anything; with a slash, a tag or a digest it is an image.
    if match and (match["tag"] or match["digest"] or "/" in match["name"]):
        return _image(match, choose) + end
    return line


def _action(match: re.Match[str], choose: Callable[[Reference, str | None], str | None]) -> str:
    note = (match["comment"] or "").strip().removeprefix("#").strip()
    tag, digest = match["ref"], None
    if _COMMIT.fullmatch(tag):
        digest = tag
        # The tag of a commit stands in the comment; a commit without one has no tag to go back to.
        tag, _, note = note.partition(" ") if note else (tag, "", "")
    chosen = choose(Reference("action", match["name"], tag), digest)
    quote = match["quote"]
    if chosen and chosen != tag:
        return f"{match['head']}{quote}{match['name']}@{chosen}{quote} # {tag}{' ' + note if note else ''}"
    return f"{match['head']}{quote}{match['name']}@{tag}{quote}{' # ' + note if note else ''}"


def _image(match: re.Match[str], choose: Callable[[Reference, str | None], str | None]) -> str:
    tag = match["tag"] or ("" if match["digest"] else "latest")
    chosen = choose(Reference("image", match["name"], tag), match["digest"])
    shown = f"{match['name']}:{tag}" if match["tag"] or (chosen and tag) else match["name"]
    if chosen is None and not tag:
        chosen = match["digest"]  # named by its digest alone: there is no tag to go back to
    return f"{match['head']}{shown}{'@' + chosen if chosen else ''}{match['tail']}"
