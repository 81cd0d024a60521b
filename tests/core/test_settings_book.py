"""Settings saved in the dashboard: they beat the file, are checked as a whole, and never stop a start."""

import msgspec
import pytest

from relay.books import audit
from relay.books.settings import Overrides
from relay.config import load_config
from relay.domain.instants import iso
from relay.errors import ConfigError, Conflict, Invalid, NotFound
from relay.ports.storage import COLLECTIONS, STREAMS
from relay.services.effective import Layers
from relay.services.policy import Policy
from relay.services.settings_book import SettingsBook
from relay.services.settings_items import IN_THE_FILE_ONLY, has, items
from relay.services.settings_view import settings_view
from relay.settings import Settings
from relay.testing.memory import MemoryStorage
from tests.core.books import Books

FILE = """
[tiers.core]
lifetime_credits = 10
[tiers.pro]
monthly_credits = 50
price = "5.00"
[limits]
requests_per_minute = 60
"""


class House:
    """A file and a storage; `start` reads both anew, as a start of the relay does."""

    def __init__(self, folder) -> None:
        self.path = folder / "plugins.toml"
        self.storage = MemoryStorage()
        self.storage.open(folder, COLLECTIONS, STREAMS)
        self.write(FILE)

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")
        self.start()

    def start(self) -> None:
        self.book = SettingsBook(self.storage, Layers(load_config(self.path), ["local", "spark"]))

    @property
    def now(self) -> Settings:
        return self.book.live.now

    def save(self, **changes):
        return self.book.save("admin", {key.replace("__", "."): value for key, value in changes.items()})

    def rows(self):
        return {row["key"]: row for row in settings_view(self.book)["settings"]}

    def log(self):
        return self.storage.read(lambda tx: [line for _, line in audit.page(tx, limit=50)])


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.delenv("RELAY_ADMIN_PASSWORD", raising=False)
    return House(tmp_path)


def refused(house, path, changes, **more):
    version = house.book.state.overrides.version
    with pytest.raises(Invalid) as failure:
        house.book.save("admin", changes, **more)
    assert failure.value.details["path"] == path, failure.value.message
    assert house.book.state.overrides.version == version
    return failure.value.message


def test_a_saved_value_beats_the_file_until_it_is_reset(house):
    assert house.now.limits.requests_per_minute == 60
    assert house.save(limits__requests_per_minute=7) == (1, ["limits.requests_per_minute"], [])
    assert house.now.limits.requests_per_minute == 7
    house.start()
    assert house.now.limits.requests_per_minute == 7
    row = house.rows()["limits.requests_per_minute"]
    assert (row["value"], row["file"], row["default"], row["source"]) == (7, 60, 120, "dashboard")
    saved = house.book.save("admin", {}, reset=["limits.requests_per_minute"])
    assert saved.version == 2
    assert house.now.limits.requests_per_minute == 60
    assert house.rows()["limits.requests_per_minute"]["source"] == "file"
    assert house.rows()["limits.concurrent_calls"]["source"] == "default"


def test_every_save_is_one_line_of_the_audit_log_with_before_and_after(house):
    house.book.save("key:abc", {"tiers.pro.price": "6.00", "jobs.max_calls": 9}, reason="summer")
    house.book.save("admin", {}, reset=["jobs.max_calls"])
    second, first = house.log()
    assert (first.actor, first.action, first.reason) == ("key:abc", "settings.change", "summer")
    assert first.before == {"tiers.pro.price": "5.00", "jobs.max_calls": 500}
    assert first.after == {"tiers.pro.price": "6.00", "jobs.max_calls": 9}
    assert (second.before, second.after) == ({"jobs.max_calls": 9}, {"jobs.max_calls": 500})
    rows = house.book.history(10)
    assert [row["actor"] for row in rows] == ["admin", "key:abc"]
    assert rows[1]["at"] == iso(first.at)


def test_saving_what_is_there_already_changes_nothing(house):
    house.save(jobs__max_calls=9)
    assert house.save(jobs__max_calls=9) == (1, [], [])
    assert house.book.save("admin", {}, reset=["limits.concurrent_calls"]).version == 1
    assert len(house.log()) == 1


WRONG = [
    ({"limits.requests_per_minute": "7"}, "limits.requests_per_minute"),
    ({"limits.requests_per_minute": True}, "limits.requests_per_minute"),
    ({"limits.requests_per_minute": -1}, "limits.requests_per_minute"),
    ({"limits.requests_per_minute": 10**30}, "limits.requests_per_minute"),
    ({"limits.requests_per_minute": None}, "limits.requests_per_minute"),
    ({"limits.requests_per_minute": {"env": "HOME"}}, "limits.requests_per_minute"),
    ({"jobs.free_window_hours": -0.5}, "jobs.free_window_hours"),
    ({"tiers.pro.lifetime_credits": 5}, "tiers.pro.lifetime_credits"),
    ({"tiers.pro.price": "0"}, "tiers.pro.price"),
    ({"tiers.pro.price": "5.001"}, "tiers.pro.price"),
    ({"tiers.pro.price": 5}, "tiers.pro.price"),
    ({"tiers.pro.currency": "usd"}, "tiers.pro.currency"),
    ({"tiers.pro.currency": None}, "tiers.pro.currency"),
    ({"tiers.gold.price": "5.00"}, "tiers.gold.price"),
    ({"tiers.core": None}, "tiers.core"),
    ({"tiers": {}}, "tiers"),
    ({"": 1}, ""),
    ({"relay": {}}, "relay"),
    ({"relay.admin_password": "hunter2"}, "relay.admin_password"),
    ({"relay.port": 1}, "relay.port"),
    ({"events.secret": "0123456789abcdef"}, "events.secret"),
    ({"events.kinds": ["nothing"]}, "events.kinds"),
    ({"plugins.gemini.api_key": "x"}, "plugins.gemini.api_key"),
    ({"packages": [{"id": "a", "credits": 1, "price": "1.00"}] * 2}, "packages"),
    ({"packages": [{"id": "../a", "credits": 1, "price": "1.00"}]}, "packages"),
    ({"packages": [{"id": "a", "credits": True, "price": "1.00"}]}, "packages"),
    ({"packages": [{"id": "a", "credits": 1}]}, "packages"),
    ({"packages": "none"}, "packages"),
    ({"prompts.recap": ""}, "prompts.recap"),
    ({"prompts.recap": " \n "}, "prompts.recap"),
    ({"prompts.recap": "x" * 20_001}, "prompts.recap"),
    ({"routing.transcribe": ["nobody"]}, "routing.transcribe"),
    ({"relay.reserve_threads": 4000}, "relay.reserve_threads"),
    ({"relay.public_url": "https://user:pw@relay.example"}, "relay.public_url"),
    ({"relay.public_url": "https://relay.example?••••"}, "relay.public_url"),
    ({"relay.public_url": "javascript:alert(1)"}, "relay.public_url"),
    ({"relay.trusted_proxies": ["10.0.0.0/99"]}, "relay.trusted_proxies"),
    ({"relay.cors_origins": ["https://a.example"] * 201}, "relay.cors_origins"),
]


@pytest.mark.parametrize(("changes", "path"), WRONG, ids=lambda value: str(value)[:60])
def test_a_bad_value_is_refused_with_its_key_and_a_sentence(house, changes, path):
    assert len(refused(house, path, changes)) > 10
    assert house.now == load_config(house.path).settings
    assert house.log() == []


def test_settings_that_contradict_each_other_are_refused_together(house):
    message = refused(house, "tiers.pro.lifetime_credits", {"jobs.max_calls": 9, "tiers.pro.lifetime_credits": 9})
    assert "lifetime_* or monthly_*" in message
    assert house.now.jobs.max_calls == 500, "all or nothing"
    house.book.save("admin", {"tiers.pro.lifetime_credits": 9, "tiers.pro.monthly_credits": None})
    assert Policy.of(house.now).tiers["pro"].counts == "lifetime"
    assert "lifetime_* or monthly_*" in refused(
        house, "tiers.pro.monthly_credits", {}, reset=["tiers.pro.monthly_credits"]
    )


def test_a_key_is_changed_or_reset_not_both(house):
    refused(house, "jobs.max_calls", {"jobs.max_calls": 4}, reset=["jobs.max_calls"])
    refused(house, "no.such", {}, reset=["no.such"])


def test_a_stale_version_is_refused_with_the_difference(house):
    house.save(jobs__max_calls=7)
    with pytest.raises(Conflict) as failure:
        house.book.save("admin", {"jobs.max_calls": 9, "limits.concurrent_calls": 8}, version=0)
    assert failure.value.code == "stale_settings"
    assert failure.value.details == {"version": 1, "difference": {"jobs.max_calls": {"yours": 9, "theirs": 7}}}
    assert house.now.jobs.max_calls == 7
    with pytest.raises(Conflict) as failure:
        house.book.save("admin", {}, reset=["jobs.max_calls"], version=0)
    assert failure.value.details["difference"] == {"jobs.max_calls": {"yours": 500, "theirs": 7}}
    with pytest.raises(Conflict):
        house.book.save("admin", {"jobs.max_calls": 9}, version=5)


def test_what_needs_a_restart_is_saved_and_waits_for_it(house):
    saved = house.book.save("admin", {"relay.threads": 64, "jobs.max_calls": 9, "routing.analyze": ["spark"]})
    assert saved.restart_needed == ["relay.threads", "relay.reserve_threads", "routing.analyze"]
    assert (house.now.relay.threads, house.now.jobs.max_calls) == (256, 9)
    assert house.rows()["relay.threads"]["value"] == 64
    assert house.rows()["relay.threads"]["live"] is False
    assert house.book.routes() == {}
    house.start()
    assert house.now.relay.threads == 64
    assert house.now.relay.reserve_threads == 16, "nobody chose it, so it follows"
    assert house.book.restart_needed() == []
    assert house.book.routes() == {"analyze": ("spark",)}
    house.book.save("admin", {}, reset=["relay.threads"])
    assert house.now.relay.threads == 64
    assert "relay.threads" in house.book.restart_needed()


def test_a_value_that_does_not_fit_any_more_is_set_aside_and_the_relay_starts(house):
    house.save(tiers__pro__price="6.00", jobs__max_calls=9)
    house.write(FILE.replace("tiers.pro", "tiers.gold"))
    assert house.now.jobs.max_calls == 9, "the others stay in force"
    assert set(house.now.tiers) == {"core", "gold"}
    row = house.rows()["tiers.pro.price"]
    assert "there is no such setting" in row["problem"]
    house.save(jobs__max_calls=10)
    assert house.rows()["tiers.pro.price"]["problem"], "a save of something else leaves it where it is"
    house.book.save("admin", {}, reset=["tiers.pro.price"])
    assert "tiers.pro.price" not in house.rows()


def test_a_value_that_contradicts_an_edit_of_the_file_is_set_aside(house):
    house.save(tiers__pro__monthly_gemini=5)
    house.write(FILE.replace("monthly_credits = 50", "lifetime_credits = 50"))
    assert house.now.tiers["pro"].lifetime_credits == 50
    row = house.rows()["tiers.pro.monthly_gemini"]
    assert "lifetime_* or monthly_*" in row["problem"]
    assert (row["value"], row["source"]) == (None, "default")
    house.write(FILE)
    assert house.now.tiers["pro"].monthly_gemini == 5, "it is back when the file is"


@pytest.mark.parametrize("newer", ["monthly_credits", "lifetime_credits"])
def test_of_two_that_contradict_each_other_the_newer_one_stays(house, newer):
    """As an upgrade with a stricter rule would find them."""
    values = {"tiers.pro.monthly_credits": 5, "tiers.pro.lifetime_credits": 6}
    saved = {key: 2 if key.endswith(newer) else 1 for key in values}
    house.storage.transact(lambda tx: tx.put("settings", "overrides", Overrides(2, values, saved)))
    house.write("[tiers.core]\n[tiers.pro]\n")
    assert set(house.book.state.kept) == {f"tiers.pro.{newer}"}
    assert len(house.book.state.problems) == 1


def test_a_tier_that_was_moved_to_months_does_not_become_unlimited_by_an_edit_of_the_file(house):
    house.book.save("admin", {"tiers.core.lifetime_credits": None, "tiers.core.monthly_credits": 4})
    house.write(FILE.replace("lifetime_credits = 10", "lifetime_credits = 10\nlifetime_gemini = 2"))
    core = house.now.tiers["core"]
    assert (core.lifetime_credits, core.lifetime_gemini, core.monthly_credits) == (10, 2, None)
    rows = house.rows()
    assert all(rows[f"tiers.core.{name}"]["problem"] for name in ("lifetime_credits", "monthly_credits"))
    house.write(FILE)
    assert house.now.tiers["core"].monthly_credits == 4, "it is back when the file is"


def test_saved_settings_that_cannot_be_read_are_named(house):
    house.storage.transact(lambda tx: tx.put("settings", "overrides", {"version": "one"}))
    with pytest.raises(ConfigError, match="what the dashboard saved"):
        house.start()


def test_what_another_process_saved_is_adopted(house):
    other = SettingsBook(house.storage, Layers(load_config(house.path), ["local"]))
    told = []
    other.changed = lambda: told.append(other.live.jobs.max_calls)
    house.save(jobs__max_calls=3)
    assert other.live.jobs.max_calls == 500
    other.refresh()
    other.refresh()
    assert told == [3]


def test_quotas_have_a_short_form(house):
    saved = house.book.quotas("admin", {"pro": {"monthly_credits": 60, "monthly_gemini": None}}, None)
    assert saved.changed == ["tiers.pro.monthly_credits", "tiers.pro.monthly_gemini"]
    assert house.now.tiers["pro"].monthly_credits == 60
    assert house.log()[0].action == "quotas.change"
    for given, path in (({"gold": {"monthly_credits": 1}}, "tiers.gold"), ({"pro": {"price": 1}}, "tiers.pro.price")):
        with pytest.raises(Invalid) as failure:
            house.book.quotas("admin", given, None)
        assert failure.value.details["path"] == path


def test_a_promoted_prompt_is_the_one_in_force(house):
    house.book.promote("admin", "recap", "Say it short. https://example.com/?a=b", None)
    assert house.now.prompts.recap == "Say it short. https://example.com/?a=b"
    assert house.rows()["prompts.recap"]["value"] == "Say it short. https://example.com/?a=b"
    with pytest.raises(NotFound):
        house.book.promote("admin", "poem", "Sing.", None)


def test_every_setting_has_a_group_and_a_sentence_and_is_really_there(house):
    tree = msgspec.to_builtins(house.now)
    groups = ["Quotas", "Prices", "Packages", "Jobs", "Limits", "Retention", "Payments", "Prompts", "Server"]
    for item in items(house.now, ["local"]).values():
        assert has(tree, item.path), item.key
        assert item.group in groups
        assert item.help.endswith("."), item.key
        assert len(item.help) > 15, item.key


def test_every_setting_can_be_set_in_the_dashboard_or_is_known_to_be_the_files(house):
    known = set(items(house.now, [])) | IN_THE_FILE_ONLY
    tree = msgspec.to_builtins(house.now)
    for section, table in tree.items():
        names = {section} if isinstance(table, list | tuple) else {f"{section}.{name}" for name in table}
        if section == "tiers":
            names = {f"tiers.pro.{name}" for name in table["pro"]}
        assert names <= known, f"say in settings_items.py what {names - known} is"


@pytest.mark.parametrize("key", sorted(items(Settings(), ["local"])))
def test_every_setting_takes_its_own_default(house, key):
    """The kinds are right: what the dashboard reads it may write."""
    row = house.rows().get(key)
    if row is None:
        return
    house.book.save("admin", {key: row["value"]})
    kinds = {"int": int, "float": int | float, "bool": bool, "list": list | tuple}
    assert row["value"] is None or isinstance(row["value"], kinds.get(row["kind"], str)), row
    assert row["unlimited"] or row["value"] is not None


def test_a_lower_quota_leaves_nothing_and_never_less(house):
    books = Books()
    books.policy = Policy.of(house.book.live)
    books.credits._policy = books.policy
    books.meter = books.new_process()
    for n in range(5):
        books.answer(job=f"job-{n}")
    open_call = books.begin(job="open")
    house.save(tiers__core__lifetime_credits=2)
    assert books.read()["remaining"] == 0
    assert books.settle(open_call).charged == 1, "what runs ends as it began"
    view = books.read()
    assert (view["remaining"], view["total"]) == (0, 0)
    books.verified()
