"""The one import for plugin authors. What is listed here is stable; everything else is ours to move."""

from relay.audio import DecodedAudio, cut_on_silence, decode, write_wav
from relay.crash import crash_point
from relay.errors import (
    AuthRejected,
    BadIdentity,
    BlockedByUpstream,
    ConfigError,
    Invalid,
    OutcomeUnknown,
    PluginError,
    StorageFull,
    StorageUnavailable,
    Unavailable,
    Unsupported,
    UnsupportedMedia,
    UpstreamFailed,
    UpstreamTimeout,
)
from relay.hookspecs import hookimpl
from relay.identity import check_id
from relay.ports.auth import AuthStrategy, Identity
from relay.ports.inference import (
    Audio,
    CallContext,
    ChatRequest,
    Delta,
    Health,
    InferenceBackend,
    Segment,
    Task,
    TranscribeRequest,
    Transcript,
    Word,
)
from relay.ports.storage import (
    AlreadyExists,
    Collection,
    Doc,
    IndexValue,
    ReadTx,
    Storage,
    Tx,
)
from relay.tables import read_settings
from relay.upstream import HTTPClient, HTTPReply

__all__ = [
    "AlreadyExists",
    "Audio",
    "AuthRejected",
    "AuthStrategy",
    "BadIdentity",
    "BlockedByUpstream",
    "CallContext",
    "ChatRequest",
    "Collection",
    "ConfigError",
    "DecodedAudio",
    "Delta",
    "Doc",
    "HTTPClient",
    "HTTPReply",
    "Health",
    "Identity",
    "IndexValue",
    "InferenceBackend",
    "Invalid",
    "OutcomeUnknown",
    "PluginError",
    "ReadTx",
    "Segment",
    "Storage",
    "StorageFull",
    "StorageUnavailable",
    "Task",
    "TranscribeRequest",
    "Transcript",
    "Tx",
    "Unavailable",
    "Unsupported",
    "UnsupportedMedia",
    "UpstreamFailed",
    "UpstreamTimeout",
    "Word",
    "check_id",
    "crash_point",
    "cut_on_silence",
    "decode",
    "hookimpl",
    "read_settings",
    "write_wav",
]
