"""Kubernetes manifests held against the API's own types, as its Python client has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes import client

KINDS = {
    "Namespace": ("v1", "V1Namespace"),
    "ConfigMap": ("v1", "V1ConfigMap"),
    "Service": ("v1", "V1Service"),
    "ServiceAccount": ("v1", "V1ServiceAccount"),
    "PersistentVolumeClaim": ("v1", "V1PersistentVolumeClaim"),
    "Deployment": ("apps/v1", "V1Deployment"),
    "Job": ("batch/v1", "V1Job"),
    "Role": ("rbac.authorization.k8s.io/v1", "V1Role"),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "V1RoleBinding"),
    "NetworkPolicy": ("networking.k8s.io/v1", "V1NetworkPolicy"),
    "PodDisruptionBudget": ("policy/v1", "V1PodDisruptionBudget"),
}
_PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def problems(manifest: Mapping[str, Any]) -> list[str]:
    """Return what the API would not take: unknown or missing keys, values of another type."""
    kind = str(manifest.get("kind"))
    if kind not in KINDS:
        return [f"kind {kind!r} is not known here"]
    version, model = KINDS[kind]
    found = [] if manifest.get("apiVersion") == version else [f"{kind}: apiVersion {version}"]
    return found + list(_object(kind, manifest, model))


def _object(place: str, value: Any, model: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{place}: an object is due"
        return
    kind = getattr(client, model)
    types = {kind.attribute_map[name]: declared for name, declared in kind.openapi_types.items()}
    for key, inner in value.items():
        if key not in types:
            yield f"{place}.{key}: no such key"
        else:
            yield from _value(f"{place}.{key}", inner, types[key])
    snake = {camel: name for name, camel in kind.attribute_map.items()}
    given = {snake[key]: inner for key, inner in value.items() if key in snake}
    try:
        # The client's own check of what must be there.
        kind(**given)
    except (ValueError, TypeError) as error:
        yield f"{place}: {error}"


def _value(place: str, value: Any, declared: str) -> Iterator[str]:
    several = re.fullmatch(r"list\[(.+)\]", declared)
    mapping = re.fullmatch(r"dict[(\[](.+?), (.+)[)\]]", declared)
    if several:
        if not isinstance(value, list):
            yield f"{place}: a list is due"
            return
        for number, inner in enumerate(value):
            yield from _value(f"{place}[{number}]", inner, several[1])
    elif mapping:
        if not isinstance(value, Mapping):
            yield f"{place}: a mapping is due"
            return
        for key, inner in value.items():
            yield from _value(f"{place}.{key}", inner, mapping[2])
    elif declared in _PLAIN:
        if not isinstance(value, _PLAIN[declared]) or (declared == "int" and value is True):
            yield f"{place}: {declared} is due and {value!r} is there"
    elif declared not in ("object", "datetime"):
        yield from _object(place, value, declared)
