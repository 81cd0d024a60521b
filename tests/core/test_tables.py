"""A plugin's table: secrets by reference, absent and unread keys, and settings as a typed Struct."""

from __future__ import annotations

import msgspec
import pytest

from relay.errors import ConfigError
from relay.tables import Table, read_settings


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    key: str
    token: str | None = None
    seconds: float = 5
    names: tuple[str, ...] = ()
    products: dict[str, str] = {}


def test_references_are_resolved(monkeypatch, tmp_path):
    (tmp_path / "token").write_text("  from a file\n", encoding="utf-8")
    monkeypatch.setenv("SOME_KEY", "from the environment")
    table = Table({"key": {"env": "SOME_KEY"}, "token": {"file": str(tmp_path / "token")}}, "plugins.x")
    assert dict(table) == {"key": "from the environment", "token": "from a file"}


@pytest.fixture
def unset(monkeypatch, tmp_path):
    """References to what is not there, each with the reason an operator reads."""
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("BLANK", " \n")
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    return [
        ({"env": "UNSET"}, "the environment variable UNSET is not set"),
        ({"env": "EMPTY"}, "the environment variable EMPTY is empty"),
        ({"env": "BLANK"}, "the environment variable BLANK is empty"),
        ({"file": str(tmp_path / "gone")}, f"the file {tmp_path}/gone does not exist"),
        ({"file": str(tmp_path / "empty")}, f"the file {tmp_path}/empty is empty"),
    ]


def test_a_missing_secret_of_a_required_key_says_what_to_set(unset):
    for reference, reason in unset:
        with pytest.raises(ConfigError) as refusal:
            read_settings(Table({"url": "u", "key": reference}, "plugins.x"), Settings)
        assert refusal.value.message == f"plugins.x.key: {reason}"


def test_a_missing_secret_of_an_optional_key_is_absent(unset):
    for reference, _ in unset:
        settings = read_settings(Table({"url": "u", "key": "k", "token": reference}, "plugins.x"), Settings)
        assert settings.token is None


def test_a_missing_secret_is_absent_for_in_and_get_and_a_complaint_for_brackets(unset):
    for reference, reason in unset:
        table = Table({"key": reference}, "plugins.x")
        assert "key" not in table
        assert table.get("key", "fallback") == "fallback"
        assert len(table) == 0
        with pytest.raises(ConfigError, match=r"plugins\.x\.key: ") as refusal:
            table["key"]
        assert reason in refusal.value.message
        assert table.unread() == []


def test_a_missing_secret_in_a_sub_table_says_what_to_set_too(unset):
    reference, reason = unset[0]

    class Instances(msgspec.Struct):
        together: Settings

    table = Table({"together": {"url": "u", "key": reference}}, "plugins.x")
    for read in (lambda: read_settings(table, Instances), lambda: read_settings(table["together"], Settings)):
        with pytest.raises(ConfigError) as refusal:
            read()
        assert refusal.value.message == f"plugins.x.together.key: {reason}"


def test_a_secret_file_that_cannot_be_read_is_a_complaint(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xff")
    for file in (str(tmp_path), str(tmp_path / "binary"), "a\0b"):
        with pytest.raises(ConfigError, match=r"^plugins\.x\.key: cannot read"):
            Table({"key": {"file": file}}, "plugins.x")


WRONG = [
    ({"url": "u", "key": "k", "colour": 1}, "plugins.x.colour: unknown key"),
    ({"key": "k"}, "plugins.x.url: this key is required"),
    ({"url": 5, "key": "k"}, "plugins.x.url: expected str, got int"),
    ({"url": "u", "key": "k", "seconds": "5"}, "plugins.x.seconds: expected float, got str"),
    ({"url": "u", "key": "k", "names": ["a", 5]}, "plugins.x.names.1: expected str, got int"),
    ({"url": "u", "key": "k", "products": {"uuid": 5}}, "plugins.x.products: expected str, got int"),
    ({"url": "u", "key": {"evn": "K"}}, "plugins.x.key: expected str, got table"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_a_wrong_value_is_refused_by_its_full_name(values, message):
    with pytest.raises(ConfigError) as refusal:
        read_settings(Table(values, "plugins.x"), Settings)
    assert refusal.value.message == message


def test_a_value_never_appears_in_a_complaint():
    class Numbers(msgspec.Struct):
        key: int

    with pytest.raises(ConfigError) as refusal:
        read_settings(Table({"key": "hunter2"}, "plugins.x"), Numbers)
    assert "hunter2" not in refusal.value.message
    assert "hunter2" not in repr(Table({"key": "hunter2"}, "plugins.x"))


def test_keys_nobody_asked_for_are_told_in_sub_tables_too():
    table = Table({"a": 1, "b": 2, "c": {"env": "NOPE"}, "sub": {"d": 1, "e": 2}, "other": {"f": 1}}, "plugins.x")
    table["a"]
    table["sub"].get("d")
    assert table.unread() == ["plugins.x.b", "plugins.x.c", "plugins.x.other", "plugins.x.sub.e"]


def test_a_table_read_as_a_whole_has_no_unread_keys():
    table = Table({"url": "u", "key": "k", "products": {"uuid": "pro"}}, "plugins.x")
    assert read_settings(table, Settings).products == {"uuid": "pro"}
    assert table.unread() == []


def test_a_plain_dict_works_for_an_authors_own_tests():
    assert read_settings({"url": "u", "key": "k"}, Settings).key == "k"
    with pytest.raises(ConfigError, match=r"^settings\.url: "):
        read_settings({"key": "k"}, Settings)
