"""The parts of `relay bench`: its load counts what really came back, its ratios are those of one round."""

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from relay.bench import mock, report
from relay.bench.alone import Crowd, Health, Overspend
from relay.bench.drive import drive, drive_fastest
from relay.bench.load import Found, Job, Load, complete
from relay.bench.processes import cpu_seconds, rss_mib, started
from relay.bench.side_by_side import Sample
from relay.bench.targets import direct, find_portkey
from relay.cli.bench import peers
from relay.errors import ConfigError
from tests.loopback import HANG_UP, Raw, Server, reply

ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def load(server, **job):
    return Load(Job(server.port, [ASK], **{"callers": 1, "each": 1} | job)).run()


class TestLoad:
    def test_each_caller_asks_as_often_as_it_was_told(self):
        with Server(lambda _: reply(200, b"x" * 100_000)) as server:
            found = load(server, callers=3, each=5)
        assert found.statuses == {200: 15}
        assert (len(server.requests), server.connections) == (15, 3)

    def test_statuses_are_told_apart_and_only_200_counts(self):
        answers = [
            reply(200),
            reply(402),
            HANG_UP,
            Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", close=True),
        ]
        with Server(lambda _: answers.pop(0)) as server:
            found = load(server, each=4)
        assert found.statuses == {0: 2, 200: 1, 402: 1}
        assert found.refused == 3

    @pytest.mark.parametrize(
        "answer",
        [
            Raw(b"HTTP/1.1 200 OK\r\n\r\nuntil it closes", close=True),
            Raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", close=True),
        ],
    )
    def test_a_server_that_closes_gets_a_new_connection(self, answer):
        with Server(lambda _: answer) as server:
            assert load(server, each=3).statuses == {200: 3}
        assert server.connections == 3

    def test_the_first_event_of_a_stream_is_timed_apart_from_its_end(self):
        went_on = threading.Event()

        def slowly(request, connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
            went_on.wait(0.2)
            connection.sendall(b"0\r\n\r\n")

        with Server(lambda _: Raw(), on_head=slowly) as server:
            found = load(server)
        assert found.statuses == {200: 1}
        assert found.first_p50 < found.p50

    def test_a_warm_up_is_not_counted(self):
        with Server() as server:
            found = Load(Job(server.port, [ASK], callers=1, seconds=0.2, warm_up=0.2)).run()
        assert 0 < found.statuses[200] < len(server.requests)

    @pytest.mark.parametrize(
        ("data", "whole"),
        [
            (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", False),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", False),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nxy", True),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", False),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", True),
            (b"HTTP/1.1 200 OK\r\n\r\nx", False),
        ],
    )
    def test_a_whole_answer_is_known_by_its_length_or_its_last_chunk(self, data, whole):
        assert complete(data) is whole

    def test_what_the_load_generator_says_is_passed_on(self):
        with pytest.raises(ConfigError, match="refused"):
            drive(Job(1, [ASK], 1, each=1))


class TestMock:
    @pytest.mark.parametrize(
        ("request_", "length"),
        [
            (b"POST / HTTP/1.1\r\n", 0),
            (b"GET / HTTP/1.1\r\n\r\n", 18),
            (b"POST / HTTP/1.1\r\nContent-Type: x\r\nContent-Length: 3\r\n\r\nab", 0),
            (b"POST / HTTP/1.1\r\ncontent-type: x\r\ncontent-length: 3\r\n\r\nabcPOST", 58),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", 0),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 58),
        ],
    )
    def test_a_whole_request_is_found(self, request_, length):
        assert mock.whole(request_) == length

    def test_it_answers_plainly_in_events_and_in_pieces(self):
        with subprocess.Popen([sys.executable, "-m", "relay.bench.mock"], stdout=subprocess.PIPE) as process:
            try:
                port = int(process.stdout.readline())
                with direct(port) as target:
                    for requests in (target.requests(2), target.requests(2, stream=True), [ASK]):
                        assert drive(Job(port, requests, 2, each=2)).statuses == {200: 4}
            finally:
                process.kill()
        assert 450 <= len(mock.COMPLETION) <= 600


class TestWrk:
    @pytest.fixture
    def path(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

        def write(script):
            program = tmp_path / "wrk"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            return tmp_path

        return write

    def test_it_is_used_when_it_is_installed(self, path):
        said = '{"requests":30,"us":2000000,"p50":1500,"p99":2500,"refused":6,"broken":4}'
        folder = path(f"echo \"$@\" >> $(dirname $0)/calls; echo; echo 'FOUND {said}'")
        found = drive_fastest(Job(80, [ASK], 16, seconds=2, warm_up=0.5))
        assert found == Found(12.0, 1.5, 2.5, statuses={200: 24, 0: 10})
        calls = (folder / "calls").read_text().splitlines()
        assert [call.split()[:3] for call in calls] == [["-t1", "-c16", "-d1s"], ["-t1", "-c16", "-d2s"]]

    def test_what_it_complains_about_is_passed_on(self, path):
        path("echo no such host >&2; exit 1")
        with pytest.raises(ConfigError, match="no such host"):
            drive_fastest(Job(80, [ASK], 1))


class TestProcesses:
    def test_cpu_and_memory_include_children_and_all_are_stopped(self, tmp_path):
        script = "(trap '' TERM; while true; do true; done) & echo $!; wait"
        with started(["sh", "-c", script], tmp_path / "log", os.environ, says=True) as process:
            child = int(process.stdout.readline())
            while cpu_seconds(process.pid) == 0:
                pass
            assert rss_mib(process.pid) > rss_mib(child) > 0
        end = time.monotonic() + 20
        while runs(child):
            assert time.monotonic() < end, "a child was left behind"


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def found(per_second, p50, **more):
    return Found(per_second, p50, p50 * 2, **{"statuses": {200: 100}} | more)


def sample(target, number, per_second, p50, **more):
    streamed = {1: found(1, 9, first_p50=p50)}
    return Sample(target, number, 1.0, {1: found(per_second, p50, **more)}, streamed, {1: 50.0}, 10.0)


class TestReport:
    def test_ratios_are_of_one_round_and_told_as_median_least_and_most(self):
        samples = []
        for number, (ours, theirs) in enumerate([(100, 10), (300, 20), (90, 10)]):
            samples += [sample("direct", number, 1000, 1), sample("relay", number, ours, 3)]
            samples.append(sample("peer", number, theirs, 21))
        rows = {row.what: row for row in report.rows(samples, (1,), (1,))}
        assert rows["calls, 1 caller"].values == {"direct": 1000, "relay": 100, "peer": 10}
        assert rows["calls, 1 caller"].ratios == {"peer": (10, 9, 15)}
        assert rows["added to a call, 1 caller"].ratios == {"peer": (0.1, 0.1, 0.1)}

    def test_a_peer_that_fails_has_no_figure(self):
        failing = sample("peer", 0, 9999, 0.1, statuses={200: 1, 500: 99})
        rows = report.rows([sample("direct", 0, 1000, 1), sample("relay", 0, 10, 3), failing], (1,), (1,))
        assert rows[0].values == {"direct": 1000, "relay": 10}
        assert rows[0].ratios == {}

    def test_the_table_has_a_column_pair_per_peer(self):
        samples = [sample(name, 0, 10, 3) for name in ("direct", "relay", "peer")]
        results = report.Results(
            report.rows(samples, (1,), (1,)),
            [Health(8, 8, 100, 1, 2, 3, found(1, 1))],
            [Crowd(8, found(10, 1), found(9, 1))],
            Overspend(10, 16, 64, 11, -1, False),
            samples,
            [],
        )
        head, lines = report.table(results)
        assert head == ["", "relay", "no gateway", "peer", "relay : peer"]
        assert {len(line) for line in lines} == {5}
        assert lines[0] == ["calls, 1 caller", "10.0 /s", "10.0 /s", "10.0 /s", "1.00 x (1.00-1.00)"]
        assert "NOT balanced" in lines[-1][1]
        assert not results.overspend.ok


class TestPeers:
    def test_portkey_is_found_by_its_file_or_a_folder(self, tmp_path):
        server = tmp_path / "node_modules/@portkey-ai/gateway/build/start-server.js"
        server.parent.mkdir(parents=True)
        server.touch()
        for given in (server, tmp_path, tmp_path / "node_modules", server.parent.parent):
            assert find_portkey(given) == server
        with pytest.raises(ConfigError, match="no Portkey"):
            find_portkey(tmp_path / "elsewhere" / "deep")

    def test_without_peers_the_notes_say_how_to_get_them(self, monkeypatch):
        monkeypatch.setenv("PATH", "/nonexistent")
        starts, notes = peers(None, None, quick=False)
        assert list(starts) == ["direct", "relay"]
        assert "docs/benchmarks.md" in notes[-1]
