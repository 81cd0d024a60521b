import pytest

from relay.shapes.endpoint import Endpoint
from relay.shapes.failures import ServerName
from relay.upstream import HTTPClient


@pytest.fixture
def endpoint_for():
    clients = []

    def make(url="http://127.0.0.1:1", path="/v1/chat/completions", **options):
        clients.append(HTTPClient(url, **options))
        server = ServerName("the test server", "plugins.test", "token", ("sesame-token",))
        return Endpoint(clients[-1], path, "plugins.test.path", server)

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def endpoint(endpoint_for):
    """For readers: nobody is asked."""
    return endpoint_for()
