"""Language names as speech servers write them, to ISO 639-1."""

from __future__ import annotations

from typing import Any

# The 25 languages of Parakeet TDT 0.6b v3, and the most used others that Whisper names in full.
NAMES = {
    "arabic": "ar", "bulgarian": "bg", "chinese": "zh", "croatian": "hr", "czech": "cs", "danish": "da",
    "dutch": "nl", "english": "en", "estonian": "et", "finnish": "fi", "french": "fr", "german": "de",
    "greek": "el", "hebrew": "he", "hindi": "hi", "hungarian": "hu", "indonesian": "id", "italian": "it",
    "japanese": "ja", "korean": "ko", "latvian": "lv", "lithuanian": "lt", "maltese": "mt", "norwegian": "no",
    "polish": "pl", "portuguese": "pt", "romanian": "ro", "russian": "ru", "slovak": "sk", "slovenian": "sl",
    "spanish": "es", "swedish": "sv", "thai": "th", "turkish": "tr", "ukrainian": "uk", "vietnamese": "vi",
}  # fmt: skip


def iso_639_1(value: Any) -> str | None:
    """`english`, `en` and `en-US` are all `en`; None for what is no language or not known here."""
    if not isinstance(value, str):
        return None
    name = value.strip().lower().replace("_", "-")
    short = name.partition("-")[0]
    return short if len(short) == len("en") and short.isascii() and short.isalpha() else NAMES.get(name)
