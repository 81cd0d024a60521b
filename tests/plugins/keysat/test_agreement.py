"""Our reading of licence keys against that of Keysat's own client, on keys and mutations of them.

Ours is stricter in four things, none of which a genuine key has: letters outside ASCII that have an ASCII capital,
`=` at an end, stray bits in a last character, and (where theirs raises another error than its own) entitlements that
are not UTF-8. Spaces around a key are the header's affair here.
"""

from __future__ import annotations

import base64
from uuid import UUID

import keysat_licensing_client as theirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relay_keysat.licence import BadFormat, parse
from relay_keysat.pinned import PinnedKeys, read_pem

from tests.plugins.keysat.keys import PEM, key_of, payload_of

PINNED = PinnedKeys([read_pem(PEM)])
VERIFIER = theirs.Verifier(theirs.PublicKey.from_pem(PEM))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

words = st.text(max_size=60).filter(lambda word: len(word.encode("utf-8", "replace")) <= 255)
u64 = st.integers(0, 2**64 - 1)
payloads = st.builds(
    payload_of,
    version=st.sampled_from([1, 2, 2]),
    product=st.uuids(),
    licence=st.uuids(),
    issued=u64,
    expires=u64,
    bound=st.sampled_from(["", "host-01"]),
    trial=st.booleans(),
    entitlements=st.lists(words, max_size=6).map(tuple),
)


def ours_says(text: str):
    try:
        licence = parse(text)
    except BadFormat:
        return "bad_format"
    if PINNED.signer(licence) is None:
        return "bad_signature"
    return (
        licence.version,
        licence.flags,
        licence.product,
        licence.id,
        licence.issued_at,
        licence.expires_at,
        licence.fingerprint_hash,
        licence.entitlements,
    )


def theirs_says(text: str):
    try:
        found = theirs.parse_license_key(text)
        VERIFIER.verify(text)
    except theirs.LicensingError as exc:
        return exc.kind
    except UnicodeDecodeError:
        return "bad_format"
    payload = found.payload
    return (
        payload.version,
        payload.flags,
        UUID(str(payload.product_id)),
        UUID(str(payload.license_id)),
        payload.issued_at,
        payload.expires_at,
        payload.fingerprint_hash,
        tuple(payload.entitlements),
    )


def stricter(text: str) -> bool:
    """Whether the key has one of the things that only we refuse."""
    parts = text.split("-")
    return not text.isascii() or "=" in text or text != text.strip() or any(stray_bits(part) for part in parts[1:])


def stray_bits(part: str) -> bool:
    try:
        data = base64.b32decode(part.upper() + "=" * (-len(part) % 8))
    except ValueError:
        return False
    return base64.b32encode(data).decode().rstrip("=") != part.upper()


def agree(text: str) -> None:
    ours, other = ours_says(text), theirs_says(text)
    assert ours == other or (ours == "bad_format" and stricter(text)), (text, ours, other)


@settings(max_examples=300, deadline=None)
@given(payloads)
def test_every_key_that_can_be_made_is_read_alike(payload):
    text = key_of(payload)
    assert isinstance(ours_says(text), tuple)
    agree(text)


@settings(max_examples=1500, deadline=None)
@given(payloads, st.data())
def test_keys_with_characters_changed_are_judged_alike(payload, data):
    text = key_of(payload)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        how = data.draw(st.sampled_from(["change", "drop", "double", "insert", "case"]))
        letter = data.draw(st.sampled_from([*ALPHABET, *"abc018-=_ .\n", "\u017f", "\u0131", "\u00e9"]))
        middle = {
            "change": letter,
            "drop": "",
            "double": text[at] * 2,
            "insert": text[at] + letter,
            "case": text[at].swapcase(),
        }
        text = text[:at] + middle[how] + text[at + 1 :]
    agree(text)


@settings(max_examples=1500, deadline=None)
@given(payloads, st.data())
def test_payloads_with_bytes_changed_and_signed_again_are_judged_alike(payload, data):
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from([0, 1, 42, 49, 73, 81, 82, 83, len(payload) - 1]))
        at = min(at, len(payload) - 1)
        how = data.draw(st.sampled_from(["change", "drop", "insert", "cut", "more"]))
        byte = bytes([data.draw(st.integers(0, 255))])
        payload = {
            "change": payload[:at] + byte + payload[at + 1 :],
            "drop": payload[:at] + payload[at + 1 :],
            "insert": payload[:at] + byte + payload[at:],
            "cut": payload[: at + 1],
            "more": payload + byte,
        }[how] or b"\x02"
    agree(key_of(payload))


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=ALPHABET + "abcLIC1-=\n ", max_size=300))
def test_text_of_any_kind_is_judged_alike(text):
    agree(f"LIC1-{text}")
    agree(text)


@pytest.mark.parametrize(
    ("change", "accepted_there"),
    [
        (lambda prefix, payload, signature: f"{prefix}-{payload}-{signature}=", True),
        (lambda prefix, payload, signature: f"{prefix}-{payload}-{signature[:-1]}{odd(signature[-1])}", True),
        (lambda prefix, payload, signature: f"{prefix}-{payload.replace('S', chr(0x17F))}-{signature}", True),
        (lambda prefix, payload, signature: f" {prefix}-{payload}-{signature}\n", True),
    ],
)
def test_these_are_what_only_we_refuse(change, accepted_there):
    text = change(*key_of(payload_of(entitlements=("SSSS",), issued=1)).split("-"))
    assert ours_says(text) == "bad_format"
    assert isinstance(theirs_says(text), tuple) is accepted_there


def odd(letter: str) -> str:
    return ALPHABET[ALPHABET.index(letter) + 1]
