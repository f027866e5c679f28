"""The part of other projects' published schemas that our renderings use, as JSON Schema.

Written after the sources named; whatever a rendering may hold is listed, and nothing else passes,
while the clusters themselves drop unknown fields in silence.

- KServe, ``config/crd/full/serving.kserve.io_inferenceservices.yaml`` (v1beta1) and
  ``serving.kserve.io_inferencegraphs.yaml`` (v1alpha1), at aaac4e294dae.
- Istio, ``kubernetes/customresourcedefinitions.gen.yaml`` (VirtualService, v1), at b8f8791d9653.

Envoy's is not here: its generated protocol buffers are a package (``xds-protos``).
"""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]


def closed(required: tuple[str, ...] = (), **properties: Any) -> JSON:
    """Return the schema of an object that has these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


TEXT: JSON = {"type": "string"}
NAME: JSON = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
METADATA = closed(
    ("name",),
    name=NAME,
    namespace=NAME,
    annotations={"type": "object", "additionalProperties": TEXT},
)


def resource(api_version: str, kind: str, spec: JSON) -> JSON:
    """Return the schema of a Kubernetes object."""
    return closed(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": api_version},
        kind={"const": kind},
        metadata=METADATA,
        spec=spec,
    )


INFERENCE_SERVICE = resource(
    "serving.kserve.io/v1beta1",
    "InferenceService",
    closed(
        ("predictor",),
        predictor=closed(
            model=closed(
                modelFormat=closed(("name",), name=TEXT, version=TEXT),
                protocolVersion=TEXT,
                storageUri=TEXT,
            )
        ),
    ),
)
INFERENCE_GRAPH = resource(
    "serving.kserve.io/v1alpha1",
    "InferenceGraph",
    closed(
        ("nodes",),
        nodes={
            "type": "object",
            "additionalProperties": closed(
                ("routerType",),
                routerType={"enum": ["Sequence", "Splitter", "Ensemble", "Switch"]},
                steps={
                    "type": "array",
                    "items": closed(serviceName=TEXT, weight={"type": "integer"}),
                },
            ),
        },
    ),
)
DESTINATION = closed(
    ("host",),
    host=TEXT,
    port=closed(number={"type": "integer", "minimum": 0, "maximum": 4294967295}),
)
HEADERS: JSON = {
    "type": "object",
    "propertyNames": {"pattern": "^[a-z0-9-]+$"},
    "additionalProperties": {
        **closed(exact=TEXT, prefix=TEXT, regex=TEXT),
        "maxProperties": 1,
    },
}
VIRTUAL_SERVICE = resource(
    "networking.istio.io/v1",
    "VirtualService",
    closed(
        hosts={"type": "array", "items": TEXT, "minItems": 1},
        http={
            "type": "array",
            "items": closed(
                name=TEXT,
                match={"type": "array", "items": closed(headers=HEADERS)},
                route={
                    "type": "array",
                    "items": closed(
                        ("destination",), destination=DESTINATION, weight={"type": "integer"}
                    ),
                },
                mirrors={
                    "type": "array",
                    "items": closed(
                        ("destination",),
                        destination=DESTINATION,
                        percentage=closed(value={"type": "number"}),
                    ),
                },
            ),
        },
    ),
)
BY_KIND = {
    "InferenceService": INFERENCE_SERVICE,
    "InferenceGraph": INFERENCE_GRAPH,
    "VirtualService": VIRTUAL_SERVICE,
}
