"""What Dagster's daemon runs at the site that serves: reviews and rollouts, and nobody else.

The registry is not watched there: the versions are judged before anything rolls out.
"""

import dagster as dg

from promotion_assets.defs.factory import ModelParts
from promotion_assets.defs.names import Names
from promotion_assets.defs.platform import Platform
from promotion_assets.defs.review import reviews_sensor
from promotion_assets.defs.rollout import rollouts_sensor
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets_tests.end_to_end.rolling_models import MODEL, REVIEW_SECONDS

_policy = Workspace.open().policy_of(MODEL)
_names = Names.of(MODEL, set())
_parts = ModelParts.of(_names, _policy)

defs = dg.Definitions(
    assets=_parts.assets(),
    jobs=list(_parts.jobs.values()),
    sensors=[
        reviews_sensor([_names], {MODEL: _parts.jobs["promote"]}, interval_seconds=REVIEW_SECONDS),
        rollouts_sensor(
            [_names],
            {MODEL: _parts.jobs["rollout"]},
            interval_seconds=_policy.rollout.tick_seconds,
        ),
    ],
    resources={"platform": Platform()},
)
