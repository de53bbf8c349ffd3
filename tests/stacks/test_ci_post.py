"""One comment a pull request, replaced by the next, on the APIs of three platforms."""

from __future__ import annotations

import pytest

from blueprints.errors import ExitCode, Problem, UsageProblem
from stacks.ci.post import find_board, post
from tests.servers import PullRequest, serving

TEXT = "<!-- modelyard flights/dev -->\nfirst\n"
GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/7/merge", "GITHUB_REPOSITORY": "team/flights"}
GITLAB = {"GITLAB_CI": "true", "CI_PROJECT_ID": "42", "CI_MERGE_REQUEST_IID": "7"}
AZURE = {
    "TF_BUILD": "True",
    "SYSTEM_TEAMPROJECT": "My Project",
    "BUILD_REPOSITORY_ID": "r1",
    "SYSTEM_PULLREQUEST_PULLREQUESTID": "7",
}


def variables(platform: str, url: str, token: str = "t0ken") -> dict[str, str]:
    return {
        "github": {**GITHUB, "GITHUB_API_URL": url, "GITHUB_TOKEN": token},
        "gitlab": {**GITLAB, "CI_API_V4_URL": url, "GITLAB_TOKEN": token},
        "azure": {**AZURE, "SYSTEM_COLLECTIONURI": f"{url}/team/", "SYSTEM_ACCESSTOKEN": token},
        "jenkins": {
            "CHANGE_URL": "https://code.example/team/flights/pull/7",
            "GITHUB_API_URL": url,
            "GITHUB_TOKEN": token,
        },
    }[platform]


@pytest.mark.parametrize("platform", ["github", "gitlab", "azure", "jenkins"])
def test_the_second_comment_replaces_the_first_and_no_other(platform: str) -> None:
    # More than a page of others, one of them quoting ours.
    others = {number: f"talk {number}" for number in range(130)}
    others[50] = f"see {TEXT}"
    request = PullRequest(comments=dict(others))
    with serving(request) as url:
        given = variables(platform, url)
        assert post(TEXT, given) == "added"
        assert post(TEXT.replace("first", "second"), given) == "updated"
        assert post(TEXT.replace("/dev", "/prod"), given) == "added"
    assert {key: text for key, text in request.comments.items() if key in others} == others
    ours = [text for key, text in request.comments.items() if key not in others]
    assert ours == [TEXT.replace("first", "second"), TEXT.replace("/dev", "/prod")]


@pytest.mark.parametrize("platform", ["github", "gitlab", "azure"])
def test_a_refusal_is_told_without_the_token(platform: str) -> None:
    with serving(PullRequest()) as url, pytest.raises(Problem, match="answers 401") as caught:
        post(TEXT, variables(platform, url, token="wr0ng"))
    assert caught.value.code is ExitCode.FAILED
    assert "wr0ng" not in str(caught.value)


def test_a_platform_that_does_not_answer_may_later() -> None:
    with serving(PullRequest()) as url:
        given = variables("github", url)
    with pytest.raises(Problem, match="cannot be posted") as caught:
        post(TEXT, given)
    assert caught.value.code is ExitCode.RETRY


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageProblem, match="GITLAB_TOKEN is not set"):
        find_board({**GITLAB, "CI_API_V4_URL": "http://127.0.0.1:1"})
    with pytest.raises(UsageProblem, match="SYSTEM_ACCESSTOKEN is not set"):
        find_board(
            {
                **AZURE,
                "SYSTEM_COLLECTIONURI": "http://127.0.0.1:1",
                "SYSTEM_ACCESSTOKEN": "$(System.AccessToken)",
            }
        )
    for nothing in ({}, {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/heads/main"}, {"GITLAB_CI": "true"}):
        with pytest.raises(UsageProblem, match="no CI job of a pull request"):
            find_board(nothing)
    with pytest.raises(UsageProblem, match="host that Modelyard does not know"):
        find_board({"CHANGE_URL": "https://code.example/changes/7"})
    with pytest.raises(UsageProblem, match="no comment"):
        post("hello", variables("github", "http://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("url", "comments"),
    [
        (
            "https://github.com/team/flights/pull/7",
            "https://api.github.com/repos/team/flights/issues/7/comments",
        ),
        (
            "https://git.example/team/flights/pull/7",
            "https://git.example/api/v3/repos/team/flights/issues/7/comments",
        ),
        (
            "https://git.example/a/b/flights/-/merge_requests/7",
            "https://git.example/api/v4/projects/a%2Fb%2Fflights/merge_requests/7/notes",
        ),
    ],
)
def test_jenkins_finds_the_host_by_the_address_of_the_request(url: str, comments: str) -> None:
    board = find_board({"CHANGE_URL": url, "GITHUB_TOKEN": "a", "GITLAB_TOKEN": "a"})
    assert board.comments == comments
