"""Images: what runs tomorrow is what was tested today."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stacks.policy.rule import ANY, Example, Resource, Rule, Setting
from stacks.policy.workloads import CONTAINERS, containers

_LAMBDA = "aws:lambda/function:Function"
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_POD = "kubernetes:apps/v1:Deployment"


def _images(resource: Resource) -> Iterator[tuple[str, str]]:
    """``(container, image)`` of every image that is known."""
    uri = resource.get("imageUri")
    if resource.type == _LAMBDA and isinstance(uri, str):
        yield resource.name, uri
    for container in containers(resource):
        if container.image:
            yield container.name, container.image


def _deployment(image: str, setting: Setting = ANY) -> Example:
    container = {"name": "server", "image": image}
    props = {"spec": {"template": {"spec": {"containers": [container]}}}}
    return Example((Resource(_POD, "it", props),), setting)


class ImageTagged(Rule):
    """No image is `latest` or untagged."""

    id = "image-not-latest"
    what = "Every image names a version: a tag other than latest, or a digest."
    why = "latest is another image after every push: a restart deploys what nobody previewed or tested."
    fix = "Name the version, registry/name:1.2.3, or the digest, registry/name@sha256:…"
    types = CONTAINERS | {_LAMBDA}
    fails = _deployment("registry.example/mlflow:latest")
    passes = _deployment("registry.example/mlflow:3.17.2")

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for name, image in _images(resource):
            # A colon before the last slash is the registry's port.
            tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
            if "@sha256:" not in image and tag in ("", "latest"):
                yield f"container {name}: {image} {'is latest' if tag else 'has no tag'}"


class ImageByDigest(Rule):
    """Protected environments run images by digest."""

    id = "image-by-digest"
    what = "In a protected environment every image is named by its digest."
    why = "A tag can be pushed again; a digest is the content itself, so staging's image is production's."
    fix = "registry/name:1.2.3@sha256:… ; the registry's page and every push print the digest."
    types = CONTAINERS | {_LAMBDA}
    fails = _deployment("registry.example/mlflow:3.17.2", Setting(protected=True))
    passes = _deployment(f"registry.example/mlflow:3.17.2@sha256:{'0' * 64}", Setting(protected=True))

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        for name, image in _images(resource) if setting.protected else ():
            if not _DIGEST.search(image):
                yield f"container {name}: {image} has no digest"


class RepositoryImmutable(Rule):
    """Tags of a repository cannot be pushed again."""

    id = "image-tags-immutable"
    what = "An image repository refuses a second push of the same tag."
    why = "What a tag means must not change between the preview and the restart that pulls it."
    fix = 'Set image_tag_mutability="IMMUTABLE".'
    types = frozenset({"aws:ecr/repository:Repository"})
    fails = Example((Resource("aws:ecr/repository:Repository", "it", {"name": "gateway"}),))
    passes = Example((Resource("aws:ecr/repository:Repository", "it", {"imageTagMutability": "IMMUTABLE"}),))

    def check(self, resource: Resource, setting: Setting) -> Iterator[str]:
        if resource.lacks("imageTagMutability", "IMMUTABLE"):
            yield "imageTagMutability is not IMMUTABLE"


RULES: tuple[Rule, ...] = (ImageTagged(), ImageByDigest(), RepositoryImmutable())
