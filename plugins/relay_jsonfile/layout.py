"""How a collection looks on disk, so that a person can read it: one document per line, or one per file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from relay.api import Collection

_encode = msgspec.json.encode


class _Value(msgspec.Struct):
    value: msgspec.Raw


class _Keys(msgspec.Struct):
    keys: dict[str, msgspec.Raw]


class _EditedKeys(msgspec.Struct):
    keys: dict[str, Any]


def file_of(spec: Collection) -> str:
    """The collection's file under the data directory; for the layout `files` its directory."""
    return spec.name if spec.layout == "files" else rows_file(spec.name)


def rows_file(name: str) -> str:
    """Of a log: the file an older version kept it in."""
    return f"{name}.json"


def document_file(spec: Collection, key: str) -> str:
    return f"{spec.name}/{key}.json"


def lines(
    slices: Iterable[list[tuple[str, bytes]]], opening: bytes = b"{\n", closing: bytes = b"\n}\n"
) -> Iterator[bytes]:
    """A JSON object with one `"key":value` per line, in a chunk for every slice."""
    start = opening
    for items in slices:
        if items:
            yield start + b",\n".join([b"%b:%b" % (_encode(key), raw) for key, raw in items])
            start = b",\n"
    yield closing if start == b",\n" else opening + closing.lstrip(b"\n")


def encode_rows(spec: Collection, slices: Iterable[list[tuple[str, bytes]]]) -> Iterator[bytes]:
    if spec.layout == "keys":
        values = ([(key, bytes(msgspec.json.decode(raw, type=_Value).value)) for key, raw in rows] for rows in slices)
        return lines(values, b'{"keys":{\n', b"\n}}\n")
    return lines(slices)


def decode_rows(spec: Collection, data: bytes, *, edited: bool) -> dict[str, bytes]:
    """Encoded documents by key. Raises DecodeError. A file edited by hand is read with more care."""
    if spec.layout == "keys":
        if edited:
            found = msgspec.json.decode(data, type=_EditedKeys).keys
            return {key: _encode({"value": value}) for key, value in found.items()}
        raws = msgspec.json.decode(data, type=_Keys).keys
        return {key: b'{"value":%b}' % raw for key, raw in raws.items()}
    if edited:
        documents = msgspec.json.decode(data, type=dict[str, dict[str, Any]])
        return {key: _encode(document) for key, document in documents.items()}
    return {key: bytes(raw) for key, raw in msgspec.json.decode(data, type=dict[str, msgspec.Raw]).items()}


def encode_document(raw: bytes) -> bytes:
    return msgspec.json.format(raw, indent=2) + b"\n"


def decode_document(data: bytes) -> bytes:
    """Raises DecodeError."""
    return _encode(msgspec.json.decode(data, type=dict[str, Any]))


def document_files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
