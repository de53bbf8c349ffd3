"""Leave a comment on the pull request of the running CI job, or replace the one left before.

Each platform says in its own variables where its API is and which pull request it builds. The token comes
from a variable too, and is in no argument, log or error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from blueprints.errors import ExitCode, Problem, UsageProblem
from stacks.ci.comment import marker

if TYPE_CHECKING:
    import httpx

_PAGE = 100


@dataclass(frozen=True)
class Board:
    """Where the comments of one pull request are.

    Attributes:
        comments: URL that lists them and takes a new one.
        one: URL of one, with ``{id}``.
        method: How one is replaced.
        headers: The credentials.
        threads: Azure keeps a comment inside a thread; the others do not.
    """

    comments: str
    one: str
    method: str
    headers: Mapping[str, str]
    threads: bool = False


def post(text: str, variables: Mapping[str, str] | None = None) -> str:
    """Post ``text``. Returns ``updated`` or ``added``.

    Raises:
        UsageProblem: No CI job of a pull request, or a variable is missing.
        Problem: The platform refuses or does not answer.
    """
    import httpx

    first = marker(text)
    board = find_board(os.environ if variables is None else variables)
    try:
        with httpx.Client(headers=dict(board.headers), timeout=30) as client:
            found = next((key for key, body in _all(client, board) if body.startswith(first)), None)
            if found is None:
                _answer(client.post(board.comments, json=_body(board, text)))
                return "added"
            _answer(client.request(board.method, board.one.format(id=found), json=_edit(board, text)))
            return "updated"
    except httpx.HTTPError as error:
        raise Problem(
            f"the comment cannot be posted: {error or type(error).__name__}",
            where=urlsplit(board.comments).netloc,
            todo="run the job again; the plan is in its log",
            code=ExitCode.RETRY,
        ) from None


def find_board(variables: Mapping[str, str]) -> Board:
    """Where to post, by the variables of the CI job.

    Raises:
        UsageProblem: Not in a CI job of a pull request, or a variable is missing.
    """
    if variables.get("GITHUB_ACTIONS"):
        number = re.match(r"refs/pull/(\d+)/", _need(variables, "GITHUB_REF"))
        if number is None:
            raise _no_request()
        return _github(
            variables, _need(variables, "GITHUB_API_URL"), _need(variables, "GITHUB_REPOSITORY"), number[1]
        )
    if variables.get("GITLAB_CI"):
        if not variables.get("CI_MERGE_REQUEST_IID"):
            raise _no_request()
        names = ("CI_API_V4_URL", "CI_PROJECT_ID", "CI_MERGE_REQUEST_IID")
        return _gitlab(variables, *(_need(variables, name) for name in names))
    if variables.get("TF_BUILD"):
        return _azure(variables)
    if variables.get("CHANGE_URL"):
        return _change(variables, variables["CHANGE_URL"])
    raise _no_request()


def _github(variables: Mapping[str, str], api: str, repository: str, number: str) -> Board:
    base = f"{api.rstrip('/')}/repos/{repository}/issues"
    return Board(
        f"{base}/{number}/comments",
        f"{base}/comments/{{id}}",
        "PATCH",
        {
            "Authorization": f"Bearer {_need(variables, 'GITHUB_TOKEN')}",
            "Accept": "application/vnd.github+json",
        },
    )


def _gitlab(variables: Mapping[str, str], api: str, project: str, number: str) -> Board:
    base = f"{api.rstrip('/')}/projects/{quote(project, safe='')}/merge_requests/{number}/notes"
    return Board(base, f"{base}/{{id}}", "PUT", {"PRIVATE-TOKEN": _need(variables, "GITLAB_TOKEN")})


def _azure(variables: Mapping[str, str]) -> Board:
    if not variables.get("SYSTEM_PULLREQUEST_PULLREQUESTID"):
        raise _no_request()
    names = (
        "SYSTEM_COLLECTIONURI",
        "SYSTEM_TEAMPROJECT",
        "BUILD_REPOSITORY_ID",
        "SYSTEM_PULLREQUEST_PULLREQUESTID",
    )
    home, project, repository, number = (_need(variables, name) for name in names)
    base = f"{home.rstrip('/')}/{quote(project)}/_apis/git/repositories/{repository}"
    base += f"/pullRequests/{number}/threads"
    version = "?api-version=7.1"
    return Board(
        base + version,
        f"{base}/{{id}}/comments/1{version}",
        "PATCH",
        {"Authorization": f"Bearer {_need(variables, 'SYSTEM_ACCESSTOKEN')}"},
        threads=True,
    )


def _change(variables: Mapping[str, str], url: str) -> Board:
    """Jenkins builds requests of any host; the request's address tells which."""
    parts = urlsplit(url)
    site = f"{parts.scheme}://{parts.netloc}"
    if match := re.fullmatch(r"/([^/]+/[^/]+)/pull/(\d+)", parts.path):
        public = parts.netloc == "github.com"
        api = variables.get("GITHUB_API_URL") or (
            f"{parts.scheme}://api.{parts.netloc}" if public else f"{site}/api/v3"
        )
        return _github(variables, api, match[1], match[2])
    if match := re.fullmatch(r"/(.+?)(?:/-)?/merge_requests/(\d+)", parts.path):
        return _gitlab(variables, variables.get("CI_API_V4_URL") or f"{site}/api/v4", match[1], match[2])
    raise UsageProblem(
        "the pull request is of a host that Modelyard does not know",
        where="CHANGE_URL",
        expected="an address of GitHub or GitLab",
        todo="post the Markdown of modelyard ci comment with the host's own tool",
    )


def _all(client: httpx.Client, board: Board) -> Iterator[tuple[str, str]]:
    """Every comment: what identifies it, and its text."""
    if board.threads:
        for thread in _answer(client.get(board.comments)).get("value", ()):
            comments = thread.get("comments") or [{}]
            yield str(thread.get("id")), str(comments[0].get("content") or "")
        return
    page = 1
    while True:
        found = _answer(client.get(board.comments, params={"per_page": _PAGE, "page": page}))
        for each in found:
            yield str(each["id"]), str(each.get("body") or "")
        if len(found) < _PAGE:
            return
        page += 1


def _body(board: Board, text: str) -> dict[str, Any]:
    if not board.threads:
        return {"body": text}
    # A thread that is closed from the start informs and blocks no merge.
    return {"comments": [{"parentCommentId": 0, "content": text, "commentType": 1}], "status": 4}


def _edit(board: Board, text: str) -> dict[str, Any]:
    return {"content": text} if board.threads else {"body": text}


def _answer(answer: httpx.Response) -> Any:
    """The JSON of an answer.

    Raises:
        Problem: The platform refused; its own words may hold what was sent, so only the status is told.
    """
    if answer.is_success:
        try:
            return answer.json()
        except ValueError:
            pass
    denied = answer.status_code in (401, 403, 404)
    raise Problem(
        f"the platform answers {answer.status_code} to {answer.request.method}",
        where=f"{answer.request.url.host}{answer.request.url.path}",
        expected="permission to write comments on the pull request" if denied else "",
        todo="see docs/ci.md for the permission or token each platform needs"
        if denied
        else "run the job again",
        code=ExitCode.FAILED if denied else ExitCode.RETRY,
    )


def _need(variables: Mapping[str, str], name: str) -> str:
    value = variables.get(name, "")
    # Azure leaves a variable that is not set as its own name.
    if not value or value.startswith("$("):
        raise UsageProblem(
            f"{name} is not set",
            where="ci post",
            expected="a job of a pull request with the token that docs/ci.md names",
            todo=f"give {name} to the step that posts",
        )
    return value


def _no_request() -> UsageProblem:
    return UsageProblem(
        "this is no CI job of a pull request",
        where="ci post",
        expected="a job of GitHub, GitLab, Azure or Jenkins that builds a pull request",
        todo="modelyard ci comment prints the same text",
    )
