"""The suite of every rail, against the sandbox's BTCPay."""

from contextlib import contextmanager

import pytest
from relay_btcpay.events import sign

from relay.api import Delivery
from relay.testing.rails import RailConformance
from relay.testing.sandbox.box import Sandbox
from relay.testing.sandbox.btcpay import KEY, STORE
from relay.testing.sandbox.btcpay_hooks import Webhook, indented
from tests.plugins.btcpay.conftest import SECRET


class TestBTCPay(RailConformance):
    @pytest.fixture
    def rail(self, box, rail_for):
        return rail_for(url=f"{box.url}/btcpay", api_key=KEY, store_id=STORE, webhook_secret=SECRET)

    @pytest.fixture
    def settle(self, btcpay):
        return btcpay.pay

    @pytest.fixture
    def tell(self, btcpay):
        def tell(invoice):
            webhook = Webhook("hook", STORE, "", SECRET)
            metadata = btcpay.invoices[invoice].metadata
            body = indented(btcpay.webhooks.body(webhook, "InvoiceSettled", STORE, invoice, metadata, {}))
            return Delivery(body, {"btcpay-sig": f"sha256={sign(SECRET, body).decode()}"})

        return tell

    @pytest.fixture
    def down(self, box, btcpay):
        @contextmanager
        def down():
            box.close()
            yield
            again.append(Sandbox([btcpay], int(box.url.rpartition(":")[2])))

        again = []
        yield down
        for box_again in again:
            box_again.close()

    @pytest.fixture
    def losing_answers(self, broken):
        return broken("lost_answer")

    @pytest.fixture
    def refusing_the_key(self, broken):
        return broken("revoked_key")

    @pytest.fixture
    def credentials(self):
        return KEY, SECRET

    @pytest.fixture
    def broken(self, box):
        def with_fault(fault):
            @contextmanager
            def context():
                box.faults.add("btcpay", fault)
                yield
                box.faults.clear()

            return context

        return with_fault
