"""secp256k1 (SEC 2, section 2.4.1). Points are compressed, 33 bytes; scalars are big-endian."""

from quorate.curves.group import Group
from quorate.identifiers import Curve

SECP256K1 = Group(
    curve=Curve.SECP256K1,
    order=0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
    point_size=33,
    byteorder="big",
)
