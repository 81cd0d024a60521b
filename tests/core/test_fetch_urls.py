"""Which URLs are allowed: every way a URL can name, or come to, an address that is not public."""

import pytest

from relay.addresses import MAX_ADDRESSES, is_public, resolve_url
from relay.errors import UrlNotAllowed
from relay.fetch import check_url
from tests.internet import Internet

PUBLIC = "93.184.216.34"

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:2800:220:1::1%eth0",
    "fec0::1",
    "ff02::1",
    "not an address",
    "",
]
PUBLIC_ONES = ["1.1.1.1", "8.8.8.8", PUBLIC, "100.63.255.255", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::1"]


@pytest.fixture
def internet(monkeypatch):
    return Internet(monkeypatch)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused_whatever_name_leads_to_it(internet, address):
    assert not is_public(address)
    internet.names["a.example"] = [[address]]
    with pytest.raises(UrlNotAllowed):
        check_url("http://a.example/")


@pytest.mark.parametrize("address", [a for a in NOT_PUBLIC if a and " " not in a])
def test_an_address_that_is_not_public_is_refused_written_out(internet, address):
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(UrlNotAllowed):
        check_url(f"http://{host}/")


@pytest.mark.parametrize("address", PUBLIC_ONES)
def test_public_addresses_are_allowed(internet, address):
    assert is_public(address)
    internet.names["a.example"] = [[address]]
    check_url("https://a.example/")
    check_url(f"https://[{address}]/" if ":" in address else f"https://{address}/")


@pytest.mark.parametrize("order", [["127.0.0.1", PUBLIC], [PUBLIC, "127.0.0.1"], [PUBLIC, "2606:4700::1", "fd00::1"]])
def test_one_private_address_among_public_ones_refuses(internet, order):
    internet.names["a.example"] = [order]
    with pytest.raises(UrlNotAllowed):
        check_url("http://a.example/")


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "1572395042",  # 93.184.216.34
        "0x5db8d822",
        "93.184.55330",
        "0135.0270.0330.042",
        "093.184.216.034",
        "93.184.216.34.5",
        "a.0x7f",
        "a.1",
    ],
)
def test_addresses_in_other_notations_are_refused_also_public_ones(internet, host):
    internet.names[host] = [[PUBLIC]]
    with pytest.raises(UrlNotAllowed, match="number"):
        check_url(f"http://{host}/")
    with pytest.raises(UrlNotAllowed, match="number"):
        check_url(f"http://{host}./")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "//a.example/",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://a.example/x",
        "gopher://a.example:25/_HELO",
        "data:audio/wav;base64,AAAA",
        "javascript:alert(1)",
        "unix:///run/relay.sock",
        "http+unix://%2Frun%2Frelay.sock/",
        "http:a.example",
        "http:///x",
        "http://",
        "http://:80/",
        "http://user@a.example/",
        "http://user:pw@a.example/",
        "http://:@a.example/",
        "http://@a.example/",
        "http://a.example@127.0.0.1/",
        "http://a.example\\@127.0.0.1/",
        "http://a.example:80@127.0.0.1/",
        "http://a.example/\r\nX-Evil: 1",
        "http://a.example\r\n.evil/",
        "http://a.example/ x",
        " http://a.example/",
        "http://a.example/\x00",
        "http://a.example/\x7f",
        "http://a.example/\x85",
        "http://a.example/\u2028",
        "http://a.exam\tple/",
        "http://a.example:0/",
        "http://a.example:65536/",
        "http://a.example:-1/",
        "http://a.example:8o/",
        "http://a..example/",
        "http://.a.example/",
        "http://a.example../",
        "http://-a.example/",
        "http://%61.example/",
        "http://a.example%2f@127.0.0.1/",
        "http://[::1/",
        "http://[]/",
        "http://[a.example]/",
        "http://[v1.x]/",
        "http://[93.184.216.34]/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://①②⑦.0.0.1/",
        "http://a。example\u3002\u3002/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 130 + "example/",
        "http://a.example/" + "x" * 8192,
    ],
)
def test_what_is_not_a_plain_http_url_is_refused(internet, url):
    internet.names["a.example"] = [[PUBLIC]]
    with pytest.raises(UrlNotAllowed) as refused:
        check_url(url)
    assert (refused.value.status, refused.value.code, refused.value.origin) == (400, "url_not_allowed", "caller")


def test_a_long_url_within_the_limit_is_allowed(internet):
    internet.names["a.example"] = [[PUBLIC]]
    check_url("http://a.example/" + "x" * 8000)


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("http://A.Example", "a.example", 80, "/", "a.example"),
        ("HTTPS://a.example:443/x?y#z", "a.example", 443, "/x?y", "a.example"),
        ("https://a.example.:8443?q", "a.example", 8443, "/?q", "a.example:8443"),
        ("http://a.example:443/", "a.example", 443, "/", "a.example:443"),
        ("http://a.example:/", "a.example", 80, "/", "a.example"),
        ("http://[2606:4700::1]:81/", "2606:4700::1", 81, "/", "[2606:4700::1]:81"),
        ("http://a.example/é ü".replace(" ", ""), "a.example", 80, "/%C3%A9%C3%BC", "a.example"),
    ],
)
def test_a_url_is_taken_apart(internet, url, host, port, path, authority):
    internet.names["a.example"] = [[PUBLIC]]
    target = resolve_url(url)
    assert (target.host, target.port, target.path, target.authority) == (host, port, path, authority)


def test_an_unknown_name_and_one_without_addresses_are_refused(internet):
    internet.names["empty.example"] = [[]]
    for name in ("unknown.example", "empty.example"):
        with pytest.raises(UrlNotAllowed, match="cannot be found"):
            check_url(f"http://{name}/")


def test_a_name_with_very_many_addresses_is_refused(internet):
    internet.names["a.example"] = [[f"8.8.8.{n}" for n in range(MAX_ADDRESSES + 1)]]
    with pytest.raises(UrlNotAllowed, match="more than"):
        check_url("http://a.example/")


def test_the_private_address_is_not_told_to_the_caller(internet):
    internet.names["a.example"] = [["10.11.12.13"]]
    with pytest.raises(UrlNotAllowed) as refused:
        check_url("http://a.example/")
    assert "10.11.12.13" not in refused.value.message
