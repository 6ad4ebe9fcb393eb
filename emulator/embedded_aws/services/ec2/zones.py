"""Availability zones: their names mean other zones in every account, and the oldest zone lacks what is newer.

Source: AWS, EC2 user guide, "Availability Zone IDs"; PrivateLink guide, "Availability Zones" (a service is where its
provider put it); that us-east-1's use1-az3 lacks many services is what users report (terraform-aws-vpc issue 462).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend, Zone

LACKING = frozenset({"use1-az3"})  # no SageMaker, no interface endpoint


@lru_cache
def of(account: str, region: str) -> Sequence[Zone]:
    """Return a region's zones as an account calls them.

    >>> [of(account, "us-east-1")[0].zone_id for account in ("111122223333", "777788889999")]
    ['use1-az3', 'use1-az1']
    """
    plain = RegionsAndZonesBackend.zones.get(region, [])
    turned = zlib.crc32(account.encode()) % len(plain) if plain else 0
    ids = [zone.zone_id for zone in plain]
    return tuple(
        Zone(zone.name, region, zone_id, zone.zone_type)
        for zone, zone_id in zip(plain, [*ids[turned:], *ids[:turned]], strict=True)
    )


def lacks(account: str, region: str, name: str) -> bool:
    """Tell whether a zone, as an account calls it, is one in which little is."""
    return any(zone.name == name and zone.zone_id in LACKING for zone in of(account, region))
