"""The port, the cpu and the open files."""

import os
import resource
import socket
from collections.abc import Iterator

import pytest

from relay.errors import ConfigError
from relay.http.server import listen, pin_to_one_cpu
from relay.http.server.process import allow_open_files


@pytest.fixture
def cpus() -> Iterator[set[int]]:
    before = os.sched_getaffinity(0)
    yield before
    os.sched_setaffinity(0, before)


def test_the_process_is_pinned_to_one_of_its_cpus(cpus: set[int]):
    if len(cpus) == 1:
        pytest.skip("only one cpu is allowed here")
    cpu = pin_to_one_cpu()
    assert cpu in cpus
    assert os.sched_getaffinity(0) == {cpu}


def test_with_one_cpu_there_is_nothing_to_pin(cpus: set[int]):
    os.sched_setaffinity(0, {min(cpus)})
    assert pin_to_one_cpu() is None


def test_the_limit_of_open_files_is_raised_as_far_as_allowed():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        assert allow_open_files(1000) == 1000
        assert allow_open_files(600) == 1000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_port_0_is_a_free_port():
    with listen("127.0.0.1", 0) as sock:
        assert sock.getsockname()[1] > 0


def test_a_name_is_looked_up():
    with listen("localhost", 0) as sock:
        assert sock.getsockname()[0] in ("127.0.0.1", "::1")


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_an_ipv6_address_works():
    try:
        with listen("::1", 0) as sock:
            assert sock.family == socket.AF_INET6
    except ConfigError:
        pytest.skip("IPv6 is switched off here")


def test_a_taken_port_is_named():
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is taken"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("no such host", 0, "not known here"),
        ("192.0.2.1", 0, "not an address of this machine"),
        ("127.0.0.1", 70000, "does not exist"),
    ],
)
def test_an_address_that_cannot_be_had_is_explained(host: str, port: int, message: str):
    with pytest.raises(ConfigError, match=message):
        listen(host, port)
