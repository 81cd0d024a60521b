"""The published vectors, and every way to spoil them."""

from __future__ import annotations

import hashlib

import pytest
from relay_keysat.licence import BadFormat, Licence, parse
from relay_keysat.pinned import PinnedKeys, read_pem

from tests.plugins.keysat.keys import (
    ACCOUNT,
    ISSUED,
    LICENCE,
    OTHER_SIGNER,
    PEM,
    PRODUCT,
    SIGNER,
    base32,
    key_of,
    licence_key,
    payload_of,
    pem_of,
)

V1 = (
    "LIC1-AEABCEIRCERCEQZTQRCFKVKVKVKVLKVKVKVLXO2MZSG533XO53XO53QAAAAAAZKT6EAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAA-JAHXZ6STY3RLHUQAK2VWLWCOFLWDSADEHKYSQV6XKBMP44WQWLIYTNFBLCA2XQSZK3KGGRAF6WPL56IYTCQZRNQKIEA"
    "5WXFZINMGWDI"
)
V2 = (
    "LIC1-AIABCEIRCERCEQZTQRCFKVKVKVKVLKVKVKVLXO2MZSG533XO53XO53QAAAAAAZKT6EAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAECLSMVWGC6JOOBZG6A3HOB2Q-2WIG4ORWLOB2HH6BGTIQYMKY7676DL6T4XBZBTIN4XGXPMFG56VL4B"
    "QIGK4FOZDK7KGXU5INCUF4WIYDUGRSXBLMKBLIADOHBSNO6DY"
)
BOUND = (
    "LIC1-AIBRCEIRCERCEQZTQRCFKVKVKVKVLKVKVKVLXO2MZSG533XO53XO53QAAAAAAZKT6EAAAAAAABYT7MYACAPR3I4IN3AKVF5Q7BERZ6D"
    "ERCHBYKRLPNX3NLHGVTZKHSK2IC4QA-BO7GJJKD4TJACKRMEHUEAEKMY5IDHYZSRTWLX5TDBRORIORWGIUERQ56PMTF4YT7GLJI242JTCKAF"
    "Q6KHLN3D2GSMJXCRKF4QTCPWBY"
)
EXPIRED = (
    "LIC1-AIABCEIRCERCEQZTQRCFKVKVKVKVLKVKVKVLXO2MZSG533XO53XO53QAAAAAAZKT6EAAAAAAABSVH4IBAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAACCLSMVWGC6JOOBZG6-JYEKZXWK3TCCQPNP6D5RCMRD5PEBJ7QA2RZEGO64ZFSW3GRJJTINBYJ54LGHH"
    "T6KWZH42VSPOJQECB32QRTQQF57OZWCKY3WZUUIIDI"
)
PINNED = PinnedKeys([read_pem(PEM)])
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def says(licence: Licence) -> tuple[object, ...]:
    return licence.version, licence.bound, licence.expires_at, licence.entitlements


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (V1, (1, False, 0, ())),
        (V2, (2, False, 0, ("relay.pro", "gpu"))),
        (BOUND, (2, True, 1_900_000_000, ())),
        (EXPIRED, (2, False, 1_700_000_001, ("relay.pro",))),
    ],
)
def test_the_published_keys_are_read_and_verified(text, said):
    licence = parse(text)
    assert (licence.product, licence.id, licence.issued_at) == (PRODUCT, LICENCE, ISSUED)
    assert says(licence) == said
    assert licence.account == ACCOUNT
    assert PINNED.signer(licence) in PINNED.names


def test_a_bound_key_names_the_hash_of_its_fingerprint():
    assert parse(BOUND).fingerprint_hash == hashlib.sha256(b"host-01").digest()


def test_our_own_keys_are_the_published_ones():
    assert licence_key(version=1) == V1
    assert licence_key(entitlements=("relay.pro", "gpu")) == V2
    assert licence_key(bound="host-01", trial=True, expires=1_900_000_000) == BOUND
    assert licence_key(expires=1_700_000_001, entitlements=("relay.pro",)) == EXPIRED


def test_letter_case_makes_no_other_licence():
    prefix, payload, signature = V2.split("-")
    other = parse(f"{prefix}-{payload.lower()}-{signature.capitalize()}")
    assert other == parse(V2)
    assert PINNED.signer(other)


@pytest.mark.parametrize("text", [V1, V2, BOUND, EXPIRED])
def test_any_other_character_of_the_payload_breaks_the_signature_or_the_form(text):
    prefix, payload, signature = text.split("-")
    for at, letter in enumerate(payload):
        other = ALPHABET[(ALPHABET.index(letter) + 1) % 32]
        try:
            licence = parse("-".join([prefix, payload[:at] + other + payload[at + 1 :], signature]))
        except BadFormat:
            continue
        assert PINNED.signer(licence) is None


def spoilt() -> dict[str, str]:
    prefix, payload, signature = V2.split("-")
    raw, v1 = payload_of(entitlements=("relay.pro",)), payload_of(version=1)
    return {
        "empty": "",
        "prefix alone": "LIC1-",
        "lower-case prefix": f"lic1-{payload}-{signature}",
        "other prefix": f"LIC2-{payload}-{signature}",
        "two parts": f"{prefix}-{payload}",
        "four parts": f"{V2}-A",
        "no payload": f"{prefix}--{signature}",
        "no signature": f"{prefix}-{payload}-",
        "inner space": f"{prefix}-{payload[:9]} {payload[9:]}-{signature}",
        "inner line end": f"{prefix}-{payload}\n-{signature}",
        "line end behind": f"{V2}\n",
        "padding": f"{prefix}-{payload}-{signature}=",
        "a digit of no base32": f"{prefix}-{payload[:-1]}1-{signature}",
        "a letter that is S in capitals": f"{prefix}-{payload}-{signature[:-1]}\u017f",
        "dots": V2.replace("-", "."),
        "one character more": f"{prefix}-{payload}A-{signature}",
        "stray bits": f"{prefix}-{payload}-{signature[:-1]}{ALPHABET[ALPHABET.index(signature[-1]) + 1]}",
        "short signature": f"{prefix}-{payload}-{base32(bytes(63))}",
        "long signature": f"{prefix}-{payload}-{base32(bytes(65))}",
        "version 0": key_of(bytes([0]) + raw[1:]),
        "version 3": key_of(bytes([3]) + raw[1:]),
        "a byte more": key_of(raw + b"\0"),
        "a byte less": key_of(raw[:-1]),
        "version 1, a byte more": key_of(v1 + b"\0"),
        "version 1, a byte less": key_of(v1[:-1]),
        "version 2 as long as 1": key_of(bytes([2]) + v1[1:]),
        "version 1 as long as 2": key_of(bytes([1]) + raw[1:]),
        "one entitlement too few": key_of(raw[:82] + b"\x02" + raw[83:]),
        "one entitlement too many": key_of(raw[:82] + b"\x00" + raw[83:]),
        "an entitlement past the end": key_of(raw[:83] + b"\xff" + raw[84:]),
        "an entitlement of no UTF-8": key_of(payload_of(entitlements=(b"\xff\xfe",))),
        "endless": "LIC1-" + "A" * 200_000 + "-" + signature,
    }


@pytest.mark.parametrize("name", spoilt())
def test_a_spoilt_key_is_no_key(name):
    text = spoilt()[name]
    with pytest.raises(BadFormat) as refusal:
        parse(text)
    assert not any(len(part) > 9 and part in str(refusal.value) for part in text.split("-"))


def test_the_largest_possible_key_is_read():
    words = tuple(f"{n:03}" + "x" * 252 for n in range(255))
    assert parse(licence_key(entitlements=words)).entitlements == words


def test_a_key_of_another_issuer_is_not_verified():
    assert PINNED.signer(parse(licence_key(OTHER_SIGNER))) is None


def test_several_pinned_keys_each_verify_their_own():
    both = PinnedKeys([read_pem(PEM), read_pem(pem_of(OTHER_SIGNER))])
    signers = {both.signer(parse(licence_key(signer))) for signer in (SIGNER, OTHER_SIGNER)}
    assert signers == both.names


def test_a_signature_whose_number_is_out_of_range_is_refused():
    """s + L verifies in the equation too; without this check one key would have many spellings."""
    order = 2**252 + 27742317777372353535851937790883648493
    payload = payload_of()
    good = SIGNER.sign(payload)
    forged = good[:32] + (int.from_bytes(good[32:], "little") + order).to_bytes(32, "little")
    assert PINNED.signer(parse(f"LIC1-{base32(payload)}-{base32(forged)}")) is None


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        PEM.replace("PUBLIC", "PRIVATE"),
        PEM.replace("MCow", "MCo!"),
        PEM.replace("MCow", "MCox"),
        PEM.replace("Mbg=", ""),
        PEM + PEM,
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
    ],
)
def test_a_pem_that_holds_no_ed25519_key_is_refused(pem):
    with pytest.raises(ValueError, match=r"this is not|the text between"):
        read_pem(pem)


@pytest.mark.parametrize("end", ["\n", "\r\n", " "])
def test_a_pem_is_read_whatever_its_line_ends(end):
    assert read_pem(PEM.replace("\n", end) + end) == SIGNER.public_key().public_bytes_raw()
