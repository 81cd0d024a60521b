"""kill -9 anywhere from an order to its grant: what was paid is credited once, after one reconcile at the latest."""

import hashlib
import hmac
import itertools
import json
import random
import subprocess
import sys
import threading
import time

import pytest
import urllib3

from relay.testing.sandbox import sandbox
from relay.testing.sandbox.btcpay import KEY, STORE, BTCPay
from tests.crash import harness
from tests.crash.harness import TIMEOUT, Nursery, ledger_verify

POINTS = ["checkout.saved", "checkout.sold", "settle.applied"]
SECRET = "the-webhook-secret-of-this-test"
ROUNDS = 100
SHOP = f"""
[[packages]]
id = "small"
credits = 20
price = "5.00"
currency = "USD"
[reconcile]
initial_delay_seconds = 0
interval_seconds = 1
[plugins.btcpay]
url = "BOX/btcpay"
api_key = "{KEY}"
store_id = "{STORE}"
webhook_secret = "{SECRET}"
"""


@pytest.fixture
def box():
    with sandbox([BTCPay()]) as box:
        yield box


@pytest.fixture
def nursery(tmp_path, box, monkeypatch):
    monkeypatch.setattr(harness, "SETTINGS", harness.SETTINGS + SHOP.replace("BOX", box.url))
    with Nursery(tmp_path) as nursery:
        yield nursery


class Buyers:
    """Each buys for a user of its own, pays, and tells the relay. `paid`: users whose money has arrived."""

    def __init__(self, box) -> None:
        self.btcpay = box["btcpay"]
        self.numbers = itertools.count()
        self.users: set[str] = set()

    def run(self, url, threads=6):
        stop = threading.Event()
        running = [threading.Thread(target=self._loop, args=(url, stop)) for _ in range(threads)]
        for thread in running:
            thread.start()

        def end() -> None:
            stop.set()
            for thread in running:
                thread.join(60)

        return end

    def _loop(self, url, stop) -> None:
        with urllib3.PoolManager(maxsize=1, retries=False) as pool:
            while not stop.is_set():
                try:
                    self._buy(pool, url, f"buyer-{next(self.numbers)}")
                except urllib3.exceptions.HTTPError:
                    return

    def _buy(self, pool, url, user) -> None:
        self.users.add(user)
        body = json.dumps({"package": "small"}).encode()
        reply = pool.request("POST", f"{url}/relay/credits/checkout", body=body, headers=headers(user), timeout=TIMEOUT)
        assert reply.status == 201, reply.data
        invoice = reply.json()["invoice"]["checkout_url"].rpartition("/")[2]
        self.btcpay.pay(invoice)
        for _ in range(2):
            raw = json.dumps({"type": "InvoiceSettled", "invoiceId": invoice, "storeId": STORE}, indent=2).encode()
            pool.request("POST", f"{url}/relay/btcpay/webhook", body=raw, headers=signed(raw), timeout=TIMEOUT)

    def pay_everything(self) -> int:
        """What was made at the rail and whose buyer never came to pay; returns how many invoices there are."""
        invoices = list(self.btcpay.invoices.values())
        for invoice in invoices:
            if invoice.status == "New":
                self.btcpay.pay(invoice.id)
        return len(invoices)


def headers(user):
    return harness.HEADERS | {"X-Recap-User-Id": user}


def signed(raw):
    digest = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    return {"BTCPay-Sig": f"sha256={digest}", "Content-Type": "application/json"}


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_a_named_point(nursery, box, point):
    buyers = Buyers(box)
    end = buyers.run(nursery.start(f"{point}:20"))
    reached = nursery.wait(30)
    end()
    assert reached, f"{point} was never reached"
    settle_up(nursery, buyers)


@pytest.mark.timeout(600)
def test_kills_at_random_moments(nursery, box):
    rng, buyers = random.Random(11), Buyers(box)
    for _ in range(ROUNDS):
        end = buyers.run(nursery.start(), threads=4)
        time.sleep(rng.uniform(0.02, 0.2))
        nursery.kill()
        end()
    settle_up(nursery, buyers)


def settle_up(nursery, buyers) -> None:
    made = buyers.pay_everything()
    assert made
    url = nursery.start()
    report = reconcile(nursery.folder)
    assert report["ok"] is True, report
    with urllib3.PoolManager(retries=False) as pool:
        bought = sum(purchased(pool, url, user) for user in buyers.users)
    assert bought == 20 * made, "each payment is credited exactly once"
    nursery.kill()
    verified = ledger_verify(nursery.folder)
    assert verified.returncode == 0, verified.stdout


def reconcile(folder):
    command = [sys.executable, "-m", "relay", "reconcile", "--json", "--config", folder / "plugins.toml", "--data"]
    done = subprocess.run([*command, folder / "data"], capture_output=True, text=True, timeout=120, check=False)
    return json.loads(done.stdout)


def purchased(pool, url, user):
    reply = pool.request("GET", f"{url}/relay/credits", headers=headers(user), timeout=TIMEOUT)
    return reply.json()["credits"]["purchased"]
