"""Where things are. A flag beats the environment beats the file beats the default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from relay.config import Config, load_config
from relay.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Places:
    """The settings file, and the data dir if a flag or the environment named one."""

    config: Path
    data: Path | None

    def load(self) -> Config:
        return load_config(self.config)

    def data_dir(self, config: Config) -> Path:
        return self.data if self.data is not None else Path(config.settings.relay.data_dir)


def make_data_dir(path: Path) -> Path:
    """The data dir, made with mode 0700 when it is not there. Raises ConfigError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        reason = "it is a file" if path.is_file() else exc.strerror
        raise ConfigError(f"data dir {path}: {reason}. Choose another with --data or RELAY_DATA_DIR") from None
    return path
