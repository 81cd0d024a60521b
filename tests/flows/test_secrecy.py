"""No secret and no install id in what the relay writes or answers, whatever goes wrong."""

import json

import urllib3

from tests.flows.live import WAV, multipart
from tests.flows.processes import relay_process
from tests.loopback import Server, json_reply, reply

OPERATOR_KEY = "operator-key-marker-4f1c9a7d"
PASSWORD = "password-marker-8b2e"
SPARK_TOKEN = "spark-token-marker-77d0"
INSTALL = "install-marker-c3d9"
USER = "user-marker-5e5e"
JOB = "job-marker-1a1a"
WORDS = "words-marker-spoken-in-confidence"
WRONG = "wrong-marker-e0e0"
SETTINGS = """
[relay]
threads = 32
reserve_threads = 8
admin_password = {{ env = "ADMIN" }}
log_level = "debug"
[plugins.jsonfile]
[plugins.operator_key]
key = {{ env = "OPERATOR" }}
[plugins.install_id]
[plugins.spark]
url = "{url}"
token = {{ env = "SPARK" }}
"""
ENVIRONMENT = {"ADMIN": PASSWORD, "OPERATOR": OPERATOR_KEY, "SPARK": SPARK_TOKEN}
ANSWER = {"choices": [{"message": {"content": f"They said {WORDS}."}, "finish_reason": "stop"}]}


def calls(base: str):
    """All sorts of calls, good and bad; yields each answer's text."""
    pool = urllib3.PoolManager(retries=False)
    who = {"X-Recap-Install-Id": INSTALL, "X-Recap-Job-Id": JOB}
    cloud = {"X-Recap-Operator-Key": OPERATOR_KEY, "X-Recap-User-Id": USER}

    def call(method: str, path: str, headers: dict, body: bytes | None = None, kind: str = "application/json"):
        reply = pool.request(method, base + path, body=body, headers=headers | {"Content-Type": kind}, timeout=20)
        return reply.status, reply.headers, reply.data.decode()

    ask = json.dumps({"prompt": WORDS, "transcript": WORDS}).encode()
    body, kind = multipart(WAV, prompt=WORDS)
    yield call("POST", "/relay/analyze", who, ask)
    yield call("POST", "/relay/analyze", cloud, ask)
    yield call("POST", "/relay/transcribe", who, body, kind)
    yield call("POST", "/relay/transcribe", who, b"--cut" + WORDS.encode(), kind)
    yield call("POST", "/relay/analyze", who, WORDS.encode())
    yield call("POST", "/relay/analyze", who | {"X-Recap-Install-Id": f"{INSTALL}/bad"}, ask)
    yield call("POST", "/relay/analyze", {"X-Recap-Operator-Key": WRONG, "X-Recap-User-Id": USER}, ask)
    yield call("POST", "/relay/analyze", {"Authorization": f"Bearer rk_{WRONG}"}, ask)
    yield call("PUT", f"/relay/users/{USER}/tier", cloud, b'{"tier":"pro"}')
    yield call("POST", f"/relay/users/{USER}/credits", cloud, b'{"amount":5,"reason":"x"}')
    yield call("GET", f"/relay/users/{USER}%20x", cloud)
    yield call("GET", f"/relay/{INSTALL}?key={WRONG}", who)
    yield call("POST", "/admin/login", {}, json.dumps({"password": WRONG}).encode())
    login = call("POST", "/admin/login", {}, json.dumps({"password": PASSWORD}).encode())
    yield login
    cookie = {"Cookie": login[1]["set-cookie"].partition(";")[0], "X-CSRF-Token": json.loads(login[2])["csrf_token"]}
    yield call(
        "POST", "/admin/credits/grant", cookie, json.dumps({"credit_key": f"inst:{INSTALL}", "amount": 1}).encode()
    )
    yield call("POST", "/admin/logout", cookie)


def test_nothing_secret_is_written_to_the_log(tmp_path) -> None:
    said = {"now": json_reply(ANSWER)}

    def answer(request):
        return json_reply({"data": [{"id": "m"}]}) if request.path == "/v1/models" else said["now"]

    texts, statuses, cookies = [], set(), []
    with (
        Server(answer) as upstream,
        relay_process(SETTINGS.format(url=upstream.url), tmp_path / "data", ENVIRONMENT) as relay,
    ):
        echo = reply(500, f"Authorization: Bearer {SPARK_TOKEN} refused".encode())
        for now in (json_reply(ANSWER), echo):
            said["now"] = now
            for status, headers, text in calls(relay.url):
                statuses.add(status)
                texts.append(text)
                cookies += [headers["set-cookie"].split("=")[1][:20]] if "set-cookie" in headers else []
        assert relay.stop() == 0
        log = relay.stderr() + "".join(relay.lines)
    assert {200, 400, 401, 404, 502} <= statuses
    assert '"request"' in log, "the log is not empty"
    for secret in (OPERATOR_KEY, PASSWORD, SPARK_TOKEN, INSTALL, USER, JOB, WORDS, WRONG, *filter(None, cookies)):
        assert secret not in log, secret
    for secret in (OPERATOR_KEY, PASSWORD, SPARK_TOKEN):
        assert not [text for text in texts if secret in text], secret
    assert not [text for text in texts if "Traceback" in text]
