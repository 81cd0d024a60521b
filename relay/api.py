"""The one import for plugin authors. What is listed here is stable; everything else is ours to move."""

from relay.audio import DecodedAudio, cut_on_silence, decode, write_wav
from relay.crash import crash_point
from relay.domain.speakers import DiarizedChunk, SpeakerTurn, stitch_speakers
from relay.errors import (
    AuthRejected,
    BadIdentity,
    BlockedByUpstream,
    ConfigError,
    Forbidden,
    Invalid,
    NotFound,
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
from relay.ports.auth import AuthStrategy, CallerKey, Identity, KeyIssuer
from relay.ports.inference import (
    Audio,
    CallContext,
    ChatRequest,
    Delta,
    Diarization,
    Diarizer,
    DiarizeRequest,
    Health,
    InferenceBackend,
    Segment,
    Task,
    TranscribeRequest,
    Transcript,
    Turn,
    Word,
)
from relay.ports.space import Space, SpaceReadTx, SpaceTx
from relay.ports.storage import (
    AlreadyExists,
    Collection,
    Doc,
    Document,
    IndexValue,
    ReadTx,
    Storage,
    Tx,
)
from relay.shapes.chat import openai_chat
from relay.shapes.chunks import Chunk, Chunking, decoded, in_chunks
from relay.shapes.endpoint import Endpoint
from relay.shapes.failures import ServerName
from relay.shapes.models import openai_models
from relay.shapes.speech import transcribe_in_chunks
from relay.tables import read_settings
from relay.upstream import HTTPClient, HTTPReply, HTTPStream

__all__ = [
    "AlreadyExists",
    "Audio",
    "AuthRejected",
    "AuthStrategy",
    "BadIdentity",
    "BlockedByUpstream",
    "CallContext",
    "CallerKey",
    "ChatRequest",
    "Chunk",
    "Chunking",
    "Collection",
    "ConfigError",
    "DecodedAudio",
    "Delta",
    "Diarization",
    "DiarizeRequest",
    "DiarizedChunk",
    "Diarizer",
    "Doc",
    "Document",
    "Endpoint",
    "Forbidden",
    "HTTPClient",
    "HTTPReply",
    "HTTPStream",
    "Health",
    "Identity",
    "IndexValue",
    "InferenceBackend",
    "Invalid",
    "KeyIssuer",
    "NotFound",
    "OutcomeUnknown",
    "PluginError",
    "ReadTx",
    "Segment",
    "ServerName",
    "Space",
    "SpaceReadTx",
    "SpaceTx",
    "SpeakerTurn",
    "Storage",
    "StorageFull",
    "StorageUnavailable",
    "Task",
    "TranscribeRequest",
    "Transcript",
    "Turn",
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
    "decoded",
    "hookimpl",
    "in_chunks",
    "openai_chat",
    "openai_models",
    "read_settings",
    "stitch_speakers",
    "transcribe_in_chunks",
    "write_wav",
]
