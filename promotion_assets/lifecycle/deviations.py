"""What in the registry is not what the ledger says, and whether we or somebody else left it so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from promotion_assets.lifecycle.events import Deviation, IntentRecorded, MirrorSlice, Stage
from promotion_assets.lifecycle.mirror import STAGE_TAG, aliases_of, tags_of
from promotion_assets.lifecycle.ports import MirroredVersion, RegistryView
from promotion_assets.lifecycle.stages import ModelState, version_key

# Who set these stages of a version that never came through the platform went around it.
_LIVE = (str(Stage.STAGING), str(Stage.PRODUCTION))

DigestOf = Callable[[str], str | None]
"""From a version to the digest of its artifact's bytes now; ``None`` where there are none."""


@dataclass(frozen=True)
class Findings:
    """What a comparison found.

    Attributes:
        deviations: what somebody else has changed.
        behind: versions whose tags are still those of an earlier evaluation, or none: our own
            writing that did not come to its end.
    """

    deviations: tuple[Deviation, ...]
    behind: tuple[str, ...]


def side_of(intent: IntentRecorded, view: RegistryView) -> str:
    """Say on which side of the change the registry stands.

    Returns:
        ``after`` if all of it is done, ``between`` if each part is on one of both sides,
        ``elsewhere`` if a part is on neither.
    """
    sides = [
        (found == after, found in (before, after))
        for found, before, after in _parts(intent.before, intent.after, view)
    ]
    if all(done for done, _ in sides):
        return "after"
    return "between" if all(known for _, known in sides) else "elsewhere"


def intent_deviations(intent: IntentRecorded, view: RegistryView) -> tuple[Deviation, ...]:
    """Return what stands on neither side of the change."""
    found = []
    for name, target in intent.after.aliases.items():
        seen = view.aliases.get(name)
        if seen not in (target, intent.before.aliases.get(name)):
            found.append(Deviation(subject="alias", name=name, expected=target, found=seen))
    for version, stage in intent.after.stages.items():
        seen = _stage_seen(view.versions.get(version))
        if seen not in (str(stage), str(intent.before.stages.get(version))):
            found.append(
                Deviation(
                    subject="tag",
                    name=STAGE_TAG,
                    version=version,
                    expected=str(stage),
                    found=seen,
                )
            )
    return tuple(found)


def compare(state: ModelState, view: RegistryView, digest_of: DigestOf | None) -> Findings:
    """Compare all that the registry shows of a model with its state, no intent being open."""
    deviations = list(_alias_deviations(state, view))
    behind: list[str] = []
    for version in state.versions():
        mirrored = view.versions.get(version)
        if mirrored is None:
            if state.stage_anywhere(version) in (Stage.STAGING, Stage.PRODUCTION):
                deviations.append(
                    Deviation(
                        subject="version",
                        name=version,
                        version=version,
                        expected="present",
                        found=None,
                    )
                )
            continue
        own = _tag_deviations(state, version, mirrored)
        if own and _is_behind(state, version, own):
            behind.append(version)
        else:
            deviations += own
        deviations += _stage_deviations(version, mirrored, str(state.stage_anywhere(version)))
    deviations += _strangers(state, view)
    deviations += _artifact_deviations(state, view, digest_of)
    return Findings(tuple(deviations), tuple(behind))


def versions_of(deviations: Iterable[Deviation]) -> tuple[str, ...]:
    """Return the versions whose mirror has to be written to undo ``deviations``."""
    named: set[str] = set()
    for deviation in deviations:
        if deviation.subject == "alias":
            named |= {v for v in (deviation.expected, deviation.found) if v is not None}
        elif deviation.subject in ("stage", "tag") and deviation.version is not None:
            named.add(deviation.version)
    return tuple(sorted(named, key=version_key))


def _parts(
    before: MirrorSlice, after: MirrorSlice, view: RegistryView
) -> Iterable[tuple[str | None, str | None, str | None]]:
    for name in after.aliases:
        yield view.aliases.get(name), before.aliases.get(name), after.aliases.get(name)
    for version, stage in after.stages.items():
        yield _stage_seen(view.versions.get(version)), str(before.stages[version]), str(stage)


def _stage_seen(mirrored: MirroredVersion | None) -> str | None:
    if mirrored is None:
        return None
    return mirrored.stage or str(Stage.NONE)


def _alias_deviations(state: ModelState, view: RegistryView) -> Iterable[Deviation]:
    expected = aliases_of(state)
    if not expected and not state.lines:
        # Before its adoption a model's aliases are not ours.
        return
    for name in sorted(expected.keys() | view.aliases.keys()):
        if expected.get(name) != view.aliases.get(name):
            yield Deviation(
                subject="alias",
                name=name,
                expected=expected.get(name),
                found=view.aliases.get(name),
            )


def _tag_deviations(state: ModelState, version: str, mirrored: MirroredVersion) -> list[Deviation]:
    return [
        Deviation(
            subject="tag",
            name=name,
            version=version,
            expected=value,
            found=mirrored.tags.get(name),
        )
        for name, value in tags_of(state, version).items()
        if mirrored.tags.get(name) != value
    ]


def _is_behind(state: ModelState, version: str, own: Iterable[Deviation]) -> bool:
    """Whether every tag found wrong is one that we have not come to writing yet."""
    staged = state.stage_anywhere(version) is not Stage.NONE
    past = state.past_tags.get(version, ())
    for deviation in own:
        if deviation.name.startswith(STAGE_TAG) and (staged or deviation.found is not None):
            return False
        earlier = {tags.get(deviation.name) for tags in past}
        if deviation.found is not None and deviation.found not in earlier:
            return False
        if deviation.found is None and staged and not past:
            return False
    return True


def _stage_deviations(
    version: str, mirrored: MirroredVersion, expected: str
) -> Iterable[Deviation]:
    if mirrored.legacy_stage not in (None, expected):
        yield Deviation(
            subject="stage",
            name="stage",
            version=version,
            expected=expected,
            found=mirrored.legacy_stage,
        )


def _strangers(state: ModelState, view: RegistryView) -> Iterable[Deviation]:
    """Yield versions that are live in the registry and unknown to the ledger."""
    if not state.lines:
        return
    known = set(state.versions())
    for version in sorted(view.versions.keys() - known, key=version_key):
        mirrored = view.versions[version]
        for subject, seen in (("stage", mirrored.legacy_stage), ("tag", mirrored.stage)):
            if seen in _LIVE:
                yield Deviation.model_validate(
                    {
                        "subject": subject,
                        "name": "stage" if subject == "stage" else STAGE_TAG,
                        "version": version,
                        "expected": str(Stage.NONE),
                        "found": seen,
                    }
                )


def _artifact_deviations(
    state: ModelState, view: RegistryView, digest_of: DigestOf | None
) -> Iterable[Deviation]:
    if digest_of is None:
        return
    for version in state.versions():
        if version not in view.versions:
            continue
        if state.stage_anywhere(version) not in (Stage.STAGING, Stage.PRODUCTION):
            continue
        expected, found = state.digests.get(version), digest_of(version)
        if expected != found:
            yield Deviation(
                subject="artifact",
                name="digest",
                version=version,
                expected=expected,
                found=found,
            )
