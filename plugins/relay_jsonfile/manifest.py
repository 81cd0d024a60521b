"""`checkpoint.json`: what the last checkpoint holds, to tell an edit by hand from damage and from a crash."""

from __future__ import annotations

from pathlib import Path

import msgspec

from relay.api import ConfigError

from .files import replace_file

NAME = "checkpoint.json"


class FileState(msgspec.Struct, omit_defaults=True):
    """One file. `sha256` is None for no file. While a checkpoint is under way (`changing`), `next` is good too."""

    sha256: str | None
    rows: int = 0
    next: str | None = None
    changing: bool = False

    def accepts(self, digest: str | None) -> bool:
        return digest == self.sha256 or (self.changing and digest == self.next)


class StreamState(msgspec.Struct):
    """`segments`: the length of each in bytes. `heads`: the file with the newest record of every partition."""

    segments: list[int]
    partitions: int
    heads: str
    sha256: str


class Manifest(msgspec.Struct):
    """`seq`: the last batch of the journal that the files hold. `files`: by path under the data directory.

    `logs`: of each collection of that layout, the length in bytes of each segment.
    """

    seq: int = 0
    time: str = ""
    files: dict[str, FileState] = {}
    streams: dict[str, StreamState] = {}
    logs: dict[str, dict[int, int]] = {}

    def last_good(self, name: str = "") -> str:
        """The last good state, for a complaint about a damaged file."""
        if not self.time:
            return "there is no checkpoint yet"
        state = self.files.get(name)
        rows = f", {state.rows} rows in {name}" if state else ""
        return f"the last good state is the checkpoint of {self.time} (batch {self.seq}{rows})"


def load_manifest(data_dir: Path) -> Manifest | None:
    """None when there is none. Raises ConfigError for a damaged one."""
    path = data_dir / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        raise damaged(path, str(exc), "it cannot be told how old the other files are") from exc


def save_manifest(data_dir: Path, manifest: Manifest) -> None:
    replace_file(data_dir / NAME, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def damaged(path: Path, why: str, last_good: str) -> ConfigError:
    return ConfigError(
        f"{path} is damaged: {why}; {last_good}. Nothing was changed. Put a good copy of this file back (from a "
        "backup of the data directory), or restore a whole backup into an empty data directory, then start again"
    )
