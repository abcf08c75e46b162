"""Which connection is closed when there are too many."""

from prometheus_client import CollectorRegistry

from densitylab.backend.api.client_address import client_address
from densitylab.backend.api.connections import Connections


class Peer:
    """A connection that notes how it was closed."""

    def __init__(self, connections: Connections, address: str = "a", descriptor: int = 10) -> None:
        self.connections, self.address = connections, address
        self.closed_by: tuple[int, str] | None = None
        connections.opened(self, descriptor)

    def refuse(self, status: int, reason: str) -> None:
        self.closed_by = (status, reason)
        self.connections.refused(self, reason)
        self.connections.closed(self)


def test_the_longest_silent_is_replaced():
    connections = Connections(3, 1024, CollectorRegistry())
    peers = [Peer(connections) for _ in range(3)]
    connections.wait(peers[0])  # it has sent something
    Peer(connections)
    assert [peer.closed_by for peer in peers] == [None, (503, "connections"), None]


def test_a_request_that_is_served_is_not_replaced():
    connections = Connections(2, 1024, CollectorRegistry())
    served = [Peer(connections) for _ in range(2)]
    for peer in served:
        connections.serve(peer)
    assert Peer(connections).closed_by == (503, "connections")  # nobody else waits
    connections.wait(served[0])  # its response is complete
    assert Peer(connections).closed_by is None
    assert served[0].closed_by is not None and served[1].closed_by is None


def test_the_address_with_most_connections_loses_one():
    connections = Connections(4, 1024, CollectorRegistry())
    quiet = Peer(connections, "quiet")
    loud = [Peer(connections, "loud") for _ in range(10)]
    assert quiet.closed_by is None
    assert [peer.closed_by is None for peer in loud] == [False] * 7 + [True] * 3


def test_few_descriptors_close_connections_as_well():
    registry = CollectorRegistry()
    connections = Connections(1000, 1024, registry)
    first, second = Peer(connections), Peer(connections, descriptor=1024 - 128)
    assert first.closed_by == (503, "descriptors") and second.closed_by is None
    counted = {"reason": "descriptors"}
    assert registry.get_sample_value("densitylab_refused_connections_total", counted) == 1


def test_an_ipv6_network_is_one_address():
    assert client_address(("2a00:1450::1", 1)) == client_address(("2a00:1450::ffff:1", 2)) != client_address(None)
    assert client_address(("2a00:1450:0:1::1", 1)) != client_address(("2a00:1450::1", 1))
    assert client_address(("fe80::1%eth0", 1)) == "fe80::/64"
    assert client_address(("93.184.216.34", 1)) == "93.184.216.34"
    assert client_address(("not:an:address", 1)) == "not:an:address"
