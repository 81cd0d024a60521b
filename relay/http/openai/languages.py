"""Languages as OpenAI's verbose transcripts name them: in English, in full."""

from __future__ import annotations

NAMES = {
    "af": "afrikaans", "ar": "arabic", "az": "azerbaijani", "be": "belarusian", "bg": "bulgarian", "bs": "bosnian",
    "ca": "catalan", "cs": "czech", "cy": "welsh", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "et": "estonian", "fa": "persian", "fi": "finnish", "fr": "french", "gl": "galician",
    "he": "hebrew", "hi": "hindi", "hr": "croatian", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "is": "icelandic", "it": "italian", "ja": "japanese", "kk": "kazakh", "kn": "kannada", "ko": "korean",
    "lt": "lithuanian", "lv": "latvian", "mi": "maori", "mk": "macedonian", "mr": "marathi", "ms": "malay",
    "mt": "maltese", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sk": "slovak", "sl": "slovenian", "sr": "serbian", "sv": "swedish",
    "sw": "swahili", "ta": "tamil", "th": "thai", "tl": "tagalog", "tr": "turkish", "uk": "ukrainian", "ur": "urdu",
    "vi": "vietnamese", "zh": "chinese",
}  # fmt: skip


def language_name(code: str | None) -> str:
    """`english` for `en`; the code itself where the name is not known here, "" where the language is not."""
    return NAMES.get(code or "", code or "")
