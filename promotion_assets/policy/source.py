"""YAML that remembers where everything was written, so that an error can name the line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from promotion_assets.errors import PolicyError

Path = tuple[str | int, ...]


# A file of a few lines can name its parts again and again until they fill the memory.
MOST_VALUES = 100_000
PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null")
)


class _Loader(yaml.SafeLoader):
    """The safe loader without dates: JSON has none, and pydantic reads them from text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute
        first: [
            (tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Take in what is merged with ``<<``; merges of merges could fill the memory."""
        super().flatten_mapping(node)
        if len(node.value) > MOST_VALUES:
            raise yaml.MarkedYAMLError(
                problem=f"merges with << unfold to more than {MOST_VALUES:,} values",
                problem_mark=node.start_mark,
            )


@dataclass(frozen=True)
class Source:
    """A parsed file and the lines of its keys.

    Attributes:
        name: the file, for messages.
        data: plain Python values. Keys are text, exactly as written, so that ``on`` and ``3``
            are the words ``on`` and ``3``.
        lines: line number, from 1, of every key path.
    """

    name: str
    data: Any
    lines: Mapping[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """Return the line of ``path``, or of the nearest stanza around it that was written."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1


def read_source(text: str, name: str) -> Source:
    """Parse ``text``.

    Raises:
        PolicyError: not YAML, empty, a key written twice in one mapping, a tag such as
            ``!!python/object``, or aliases that unfold without end.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise PolicyError(f"reading {name}", "the file is empty", "run `promotion init`")
        lines: dict[Path, int] = {(): node.start_mark.line + 1}
        data = _plain(loader, node, (), lines, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise PolicyError(
            f"reading {name}:{line}",
            f"this is not valid YAML: {error.problem or error.context}",
            "correct the line; mind indentation and quotes",
        ) from None
    except yaml.YAMLError as error:
        raise PolicyError(
            f"reading {name}",
            f"this is not valid YAML: {' '.join(str(error).split())}",
            "save the file as plain UTF-8 text",
        ) from None
    except RecursionError:
        raise PolicyError(
            f"reading {name}",
            "values are nested too deeply, or an anchor contains itself",
            "write the policy flat",
        ) from None
    return Source(name=name, data=data, lines=lines)


def _plain(loader: _Loader, node: yaml.Node, path: Path, lines: dict[Path, int], name: str) -> Any:
    if node.tag not in PLAIN_TAGS:
        raise PolicyError(
            f"reading {name}:{node.start_mark.line + 1}",
            f"a policy is plain YAML, without tags such as {node.tag.rpartition(',')[2]!r}",
            "write the value itself",
        )
    if isinstance(node, yaml.MappingNode):
        _refuse_repeats(node, path, name)
        loader.flatten_mapping(node)
        return {
            _key(key, name): _child(loader, key, value, (*path, _key(key, name)), lines, name)
            for key, value in node.value
        }
    if isinstance(node, yaml.SequenceNode):
        return [
            _child(loader, item, item, (*path, at), lines, name)
            for at, item in enumerate(node.value)
        ]
    try:
        return loader.construct_object(node)
    except ValueError as error:
        raise PolicyError(
            f"reading {name}:{node.start_mark.line + 1}",
            f"{node.value[:40]!r} is no value that can be read ({str(error)[:80]})",
            "write a number of usual size, or quote a text",
        ) from None


def _child(
    loader: _Loader,
    key: yaml.Node,
    value: yaml.Node,
    path: Path,
    lines: dict[Path, int],
    name: str,
) -> Any:
    lines[path] = key.start_mark.line + 1
    if len(lines) > MOST_VALUES:
        raise PolicyError(
            f"reading {name}:{lines[path]}",
            f"anchors and aliases unfold to more than {MOST_VALUES:,} values",
            "write out what is meant",
        )
    return _plain(loader, value, path, lines, name)


def _key(node: yaml.Node, name: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise PolicyError(
            f"reading {name}:{node.start_mark.line + 1}",
            "a key is not a word",
            "write keys as plain words",
        )
    return str(node.value)


def _refuse_repeats(node: yaml.MappingNode, path: Path, name: str) -> None:
    first: dict[str, int] = {}
    for key, _ in node.value:
        word, line = _key(key, name), key.start_mark.line + 1
        if word in first:
            where = ".".join(str(part) for part in (*path, word))
            raise PolicyError(
                f"reading {name}:{line}",
                f"{where} is written twice, first on line {first[word]}",
                "remove one of them",
            )
        first[word] = line
