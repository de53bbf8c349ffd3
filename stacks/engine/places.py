"""Where state and keys are kept may be wrong, closed or out of reach: told in words, with what to do."""

from __future__ import annotations

import re

from blueprints.errors import ExitCode, Problem, UsageProblem

_URLS = "file://…, s3://BUCKET?region=…, gs://BUCKET or azblob://CONTAINER"
#: (what the services say, what it means, what to do, whether the same may work later)
_CAUSES = (
    (
        r"ExpiredToken|token (included in the request )?(has|is) expired|RequestExpired",
        "the credentials have expired",
        "log in again (aws sso login, a new AWS_SESSION_TOKEN), then run the same",
        False,
    ),
    (
        r"get credentials|IMDS|NoCredentialProviders|could not find default credentials|cached credentials",
        "there are no credentials for it",
        "log in (aws sso login, AWS_PROFILE, AWS_ACCESS_KEY_ID …), then run the same",
        False,
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|UnrecognizedClient|InvalidClientTokenId",
        "the credentials are not accepted",
        "log in with those of the account it belongs to",
        False,
    ),
    (
        r"AccessDenied|PermissionDenied|StatusCode: 403|Forbidden",
        "the credentials may not use it",
        "ask whoever runs the account for access, or log in as somebody who has it",
        False,
    ),
    (
        r"NoSuchBucket|NotFoundException|StatusCode: 404",
        "it is not there",
        "put the name or region right",
        False,
    ),
    (
        r"connection refused|no such host|i/o timeout|dial tcp|network is unreachable",
        "it cannot be reached",
        "see to the network and the address, then run the same",
        True,
    ),
)


def place_problem(text: str, where: str, *, in_folder: bool = False) -> Problem | None:
    """The Problem behind the engine's words about a backend or a key service; None: they are about neither.

    Args:
        text: Everything the engine printed.
        where: ``environment NAME``.
        in_folder: Whether the state is kept in a folder of this machine.
    """
    name = where.split(" ")[-1]
    if re.search(
        r"operation error KMS|secrets \(code=|open keeper|awskms|azurekeyvault|gcpkms|hashivault", text
    ):
        place = f"Pulumi.{name}.yaml secretsprovider"
        return _caused(text, "the key service that keeps the secrets", place, "a key service that answers")
    if "PULUMI_ACCESS_TOKEN must be set" in text or "unable to open bucket" in text:
        return UsageProblem(
            "is no place for the state that Modelyard knows",
            where="Pulumi.yaml backend.url",
            expected=_URLS,
            todo="put the URL right",
        )
    folder = re.search(r'unable to open state directory "([^"]+)"', text)
    if folder:
        return UsageProblem(
            f"{folder[1]} is no folder that can be opened",
            where="Pulumi.yaml backend.url",
            expected=_URLS,
            todo="make the folder, or put the URL right",
        )
    if not in_folder and re.search(r"operation error S3|blob \(key|\(code=\w+\)", text):
        return _caused(text, "the place of the state", "Pulumi.yaml backend.url", "a place that answers")
    return None


def _caused(text: str, thing: str, where: str, expected: str) -> Problem:
    for pattern, meaning, todo, later in _CAUSES:
        if re.search(pattern, text):
            code = ExitCode.RETRY if later else ExitCode.FAILED
            return Problem(f"{thing}: {meaning}", where=where, expected=expected, todo=todo, code=code)
    said = re.search(r"api error (\w+)", text)
    return Problem(
        f"{thing} refuses" + (f": {said[1]}" if said else ""),
        where=where,
        expected=expected,
        todo="see to the service, then run the same",
    )
