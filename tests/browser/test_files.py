"""The dashboard's files as they are served. No browser needed."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator

import pytest

from relay.http.pages.assets import FOLDER, HEADERS, Assets
from tests.flows.fake_backend import FakeBackend
from tests.flows.live import Live, Reply, assert_error, running

VENDORED = {
    "hooks.js": "5c65ab263688d0805862fd0807c779af02c2799c44fda0873dfcb870d0da70a0",
    "htm.LICENSE.txt": "740725f7252e750af735d0028cc534970772f513331e9f68150fede8fb3ce00f",
    "htm.js": "ab33dd3f38059b9be4d5f5350128eefb2356639c4e0bbe9d9e8b3ba75847e9e4",
    "preact.LICENSE.txt": "1fe6958409c8c257a70c587a18b6f7f412b179b456630790d30b2ec9a8e4b7d4",
    "preact.js": "225d7a773766e6fb2cfcc45274fe41d2059f5782f3f2c4569aa5132a2d3a2902",
    "uplot.LICENSE.txt": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    "uplot.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uplot.js": "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
}
OURS = [path for path in FOLDER.rglob("*.js") if path.parent.name != "vendor"]


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("files"), [FakeBackend()]) as relay:
        yield relay


@pytest.fixture(scope="module")
def base(live: Live) -> str:
    found = re.search(r'src="(/dashboard/[0-9a-f]{12})/app\.js"', live.get("/dashboard").body.decode())
    assert found is not None
    return found[1]


def test_the_vendored_libraries_are_what_their_authors_published() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (FOLDER / "vendor").iterdir()}
    assert found == VENDORED


def test_every_import_leads_to_a_file() -> None:
    for path in OURS:
        for name in re.findall(r'(?:from |import\()"([^"\n]+)"', path.read_text()):
            assert (path.parent / name).resolve().is_file(), f"{path.name} imports {name}"


def test_no_template_has_a_style_or_a_handler_that_the_policy_would_refuse() -> None:
    for path in OURS:
        text = path.read_text()
        assert not re.search(r'\bstyle=["\']|\bstyle=\$\{`', text), path
        assert not re.search(r'\bon[a-z]+=["\']|innerHTML|insertAdjacentHTML|\beval\(|new Function', text), path


def test_every_file_the_index_names_is_there(live: Live, base: str) -> None:
    index = live.get("/dashboard").body.decode()
    assert "{base}" not in index
    names = re.findall(rf'(?:href|src)="{base}/([^"]+)"', index)
    assert len(names) >= 6
    for name in names:
        assert live.get(f"{base}/{name}").status == 200


def test_every_page_carries_the_headers_that_keep_it_safe(live: Live, base: str) -> None:
    for path in ("/", "/dashboard", f"{base}/app.js", f"{base}/icon.svg"):
        reply = live.get(path)
        assert reply.status == 200
        for name, value in HEADERS.items():
            assert reply.headers[name.lower()] == value, path
        policy = reply.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("app.js", "text/javascript; charset=utf-8"),
        ("css/base.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("vendor/htm.LICENSE.txt", "text/plain; charset=utf-8"),
    ],
)
def test_a_file_says_what_it_is_and_may_be_kept_for_ever(live: Live, base: str, name: str, kind: str) -> None:
    reply = live.get(f"{base}/{name}")
    assert reply.headers["content-type"] == kind
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert reply.body == (FOLDER / name).read_bytes()


def test_packed_for_those_who_take_it(live: Live, base: str) -> None:
    def ask(accepted: str | None) -> Reply:
        return live.get(f"{base}/app.js", {} if accepted is None else {"Accept-Encoding": accepted})

    plain = (FOLDER / "app.js").read_bytes()
    for accepted in ("gzip", "br, gzip, deflate", "GZIP;q=0.5"):
        reply = ask(accepted)
        assert reply.headers["content-encoding"] == "gzip"
        assert gzip.decompress(reply.body) == plain
        assert reply.headers["vary"] == "Accept-Encoding"
    for accepted in (None, "br", "gzip;q=0", "xgzip", "*;q=0"):
        reply = ask(accepted)
        assert "content-encoding" not in reply.headers
        assert reply.body == plain


def test_the_page_is_asked_for_again_and_sent_only_when_it_changed(live: Live) -> None:
    for path in ("/", "/dashboard"):
        first = live.get(path)
        assert first.headers["cache-control"] == "no-cache"
        again = live.get(path, {"If-None-Match": first.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert live.get(path, {"If-None-Match": 'W/"another"'}).status == 200


def test_a_head_is_a_get_without_the_body(live: Live, base: str) -> None:
    for path in ("/", "/dashboard", f"{base}/app.js"):
        got, head = live.get(path), live.call("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(got.body))
        assert_error(live.call("POST", path), 405, "method_not_allowed")


def test_a_change_of_any_file_moves_them_all(tmp_path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "index.html").write_text("{base}")
    (tmp_path / "lib" / "a.js").write_text("1")
    before = Assets(tmp_path)
    assert (before.index.body.decode(), list(before.files)) == (before.base, ["lib/a.js"])
    (tmp_path / "lib" / "a.js").write_text("2")
    assert Assets(tmp_path).base != before.base


def test_files_of_another_version_are_not_mixed_in(live: Live) -> None:
    assert_error(live.get("/dashboard/000000000000/app.js"), 404, "not_found")


@pytest.mark.parametrize(
    "name",
    [
        "../__init__.py",
        "..%2f__init__.py",
        "%2e%2e/__init__.py",
        "lib/../app.js",
        "lib//api.js",
        "/etc/passwd",
        "app.js/",
        "app.js%00",
        "index.html",
        "lib",
        "",
        "..\\__init__.py",
        "APP.JS",
    ],
)
def test_no_other_name_leads_anywhere(live: Live, base: str, name: str) -> None:
    assert live.get(f"{base}/{name}").status in {400, 404}
