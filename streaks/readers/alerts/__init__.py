"""Alert packets of ZTF, Rubin, WINTER and DECam: one alert of all, from all that holds packets.

Only the alert itself is read (identifiers, ``candidate`` or ``diaSource``, stamps, the known object
and its orbit), not its history. Real collections hold packets that do not decode (about 2 %): each
is named and counted, none is fatal. What is unpacked (archives, blocks, stamps) is limited
(`streaks.disk`).
"""

from streaks.readers.alerts.adapters import alert_of_record, with_difference
from streaks.readers.alerts.alert import Alert, Failure, PacketOrbit, PacketTrail, is_positive
from streaks.readers.alerts.packets import (
    Lump,
    Packet,
    PacketFailure,
    alert_files,
    file_lumps,
    file_packets,
    lump_packets,
    message_packet,
)
from streaks.readers.alerts.reading import read_alerts
from streaks.readers.alerts.schemas import SchemaSource
from streaks.readers.alerts.stamps import StampBudget

__all__ = [
    "Alert",
    "Failure",
    "Lump",
    "Packet",
    "PacketFailure",
    "PacketOrbit",
    "PacketTrail",
    "SchemaSource",
    "StampBudget",
    "alert_files",
    "alert_of_record",
    "file_lumps",
    "file_packets",
    "is_positive",
    "lump_packets",
    "message_packet",
    "read_alerts",
    "with_difference",
]
