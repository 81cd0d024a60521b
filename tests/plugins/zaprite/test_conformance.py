"""The suite of every rail, against the sandbox's Zaprite."""

import json
from contextlib import contextmanager

import pytest

from relay.api import Delivery
from relay.domain.instants import utcnow
from relay.testing.rails import RailConformance
from relay.testing.sandbox.box import Sandbox
from relay.testing.sandbox.zaprite import KEY, ORG
from tests.plugins.zaprite.test_webhook import TOKEN


class TestZaprite(RailConformance):
    @pytest.fixture
    def rail(self, box, rail_for):
        return rail_for(f"{box.url}/zaprite", api_key=KEY, webhook_token=TOKEN, org_id=ORG, clock=utcnow)

    @pytest.fixture
    def settle(self, box):
        return box["zaprite"].pay

    @pytest.fixture(params=["A", "B"])
    def tell(self, request):
        def tell(order):
            shape_a = {"eventType": "order.change", "orderId": order, "orgId": ORG}
            shape_b = {"event": "order.change", "data": {"id": order, "status": "PAID"}}
            body = json.dumps(shape_a if request.param == "A" else shape_b).encode()
            return Delivery(body, {"content-type": "application/json"}, TOKEN)

        return tell

    @pytest.fixture
    def down(self, box):
        @contextmanager
        def down():
            box.close()
            yield
            again.append(Sandbox([box["zaprite"]], int(box.url.rpartition(":")[2])))

        again = []
        yield down
        for box_again in again:
            box_again.close()

    @pytest.fixture
    def losing_answers(self, box):
        return lambda: broken(box, "lost_answer")

    @pytest.fixture
    def refusing_the_key(self, box):
        return lambda: broken(box, "status", status=401)

    @pytest.fixture
    def credentials(self):
        return KEY, TOKEN


@contextmanager
def broken(box, fault, **options):
    box.faults.add("zaprite", fault, **options)
    yield
    box.faults.clear()
