"""The subgroup of prime order of edwards25519 (RFC 8032, section 5.1). Points are 32 bytes; scalars are
little-endian."""

from quorate.curves.group import Group
from quorate.identifiers import Curve

ED25519 = Group(
    curve=Curve.ED25519,
    order=2**252 + 27742317777372353535851937790883648493,
    point_size=32,
    byteorder="little",
)
