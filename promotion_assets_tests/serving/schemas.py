"""The part of other projects' published schemas that our renderings use, as JSON Schema.

Written after the sources named; whatever a rendering may hold is listed, and nothing else passes,
while the clusters themselves drop unknown fields in silence.

- KServe, ``config/crd/full/serving.kserve.io_inferenceservices.yaml`` (v1beta1) and
  ``serving.kserve.io_inferencegraphs.yaml`` (v1alpha1), at aaac4e294dae.
- Istio, ``kubernetes/customresourcedefinitions.gen.yaml`` (VirtualService, v1), at b8f8791d9653.
- Envoy, ``envoy/config/route/v3/route.proto`` and ``route_components.proto``, in proto3's JSON
  form, as the generated protocol buffers of xds-protos 1.85 describe them. The package itself is
  no dependency: it overwrites files of OpenTelemetry's, and MLflow does not import after that.
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
INT64: JSON = {"type": "string", "pattern": "^-?[0-9]+$"}
CLUSTER: JSON = {**NAME, "minLength": 1}
HEADER_MATCHER: JSON = {
    **closed(
        ("name",),
        name={"type": "string", "minLength": 1},
        string_match=closed(("exact",), exact=TEXT),
        range_match=closed(("start", "end"), start=INT64, end=INT64),
    ),
    "minProperties": 2,
    "maxProperties": 2,
}
WEIGHTED_CLUSTERS = closed(
    ("clusters",),
    clusters={
        "type": "array",
        "minItems": 1,
        "items": closed(
            ("name", "weight"),
            name=CLUSTER,
            weight={"type": "integer", "minimum": 0, "maximum": 4294967295},
        ),
    },
    total_weight={"type": "integer", "minimum": 1, "maximum": 4294967295},
)
FRACTION = closed(
    ("numerator", "denominator"),
    numerator={"type": "integer", "minimum": 0},
    denominator={"enum": ["HUNDRED", "TEN_THOUSAND", "MILLION"]},
)
ROUTE_ACTION: JSON = {
    **closed(
        cluster=CLUSTER,
        weighted_clusters=WEIGHTED_CLUSTERS,
        request_mirror_policies={
            "type": "array",
            "items": closed(
                ("cluster",), cluster=CLUSTER, runtime_fraction=closed(default_value=FRACTION)
            ),
        },
    ),
    "oneOf": [{"required": ["cluster"]}, {"required": ["weighted_clusters"]}],
}
ROUTE_CONFIGURATION = closed(
    ("virtual_hosts",),
    name=TEXT,
    virtual_hosts={
        "type": "array",
        "items": closed(
            ("name", "domains"),
            name={"type": "string", "minLength": 1},
            domains={"type": "array", "items": TEXT, "minItems": 1},
            routes={
                "type": "array",
                "items": closed(
                    ("match", "route"),
                    name=TEXT,
                    match=closed(
                        ("prefix",),
                        prefix=TEXT,
                        headers={"type": "array", "items": HEADER_MATCHER},
                    ),
                    route=ROUTE_ACTION,
                ),
            },
            response_headers_to_add={
                "type": "array",
                "maxItems": 1000,
                "items": closed(("header",), header=closed(("key",), key=TEXT, value=TEXT)),
            },
        ),
    },
)
BY_KIND = {
    "InferenceService": INFERENCE_SERVICE,
    "InferenceGraph": INFERENCE_GRAPH,
    "VirtualService": VIRTUAL_SERVICE,
}
