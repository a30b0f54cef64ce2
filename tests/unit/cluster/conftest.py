"""Every implementation of bus and registry; the contracts in this folder run against each of them."""

from __future__ import annotations

import pytest

from tests.unit.cluster.parts import Cluster
from xmppd.cluster.local import LocalBus, LocalRegistry


@pytest.fixture(params=["local"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    assert request.param == "local"
    bus = LocalBus()
    cluster = Cluster(bus, LocalRegistry(bus))
    cluster.join("a", "b", "c")
    return cluster
