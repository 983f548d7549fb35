"""Findings in one word each: fine, a warning or a problem, with what to do by their code."""

from __future__ import annotations

from types import MappingProxyType

from quorate.rpc.findings import Finding, Level

REMEDIES = MappingProxyType(
    {
        "CERTIFICATE_ENDS": "make a new certificate on that node and add its new card here",
        "CLOCK_OFF": "set the clocks of both machines by NTP: operations made more than 30 s apart are refused",
        "DISK_LOW": "make room on the disk of QUORATE_HOME, or move it to a larger one",
        "EPOCH_BEHIND": "leave it running: it catches up from its peers by itself. If it does not, its store was "
        "restored from an older copy: do not use it, and look at its log",
        "EPOCH_CONFLICT": "stop using the vault and find out which node was restored from an older or another disk",
        "INVALID_REQUEST": "correct quorate.toml, or the variable that is named",
        "MALFORMED": "run the same release of Quorate on every node",
        "NOT_A_PEER": "correct the address: the card must name the peer port, 7100 unless it was changed",
        "NOT_ENOUGH_WEIGHT": "bring the missing signers back",
        "NOT_READY": "leave all signers running: each has to acknowledge the trial signature",
        "NOT_RUNNING": "start it: quorate run, or docker compose up -d. A running node is examined more closely",
        "NO_PEERS": "exchange device cards with the other signers: quorate peer add",
        "OLD_CARD": "add the peer's newest card there: quorate peer add",
        "PORT_IN_USE": "stop what listens there (another node?), or choose another port in quorate.toml",
        "PROTOCOL_MISMATCH": "run the same release of Quorate on both nodes",
        "READ_ONLY": "make QUORATE_HOME and node.db writable for the user that runs the node (mount, owner, mode)",
        "STORE_CORRUPT": "stop this node and restore its store; the other signers are not affected",
        "STORE_ERROR": "see the message; nothing in the store was changed",
        "STORE_LOCKED": "[key] must name the passphrase or key file of `quorate init`, with the same content",
        "TIMEOUT": "look at the peer's load and log, and at the network between",
        "UNKNOWN_CERTIFICATE": "have its operator run `quorate peer add` with this node's card (cards/ in its home)",
        "UNKNOWN_PEER": "add the missing card: quorate peer add",
        "UNREACHABLE": "start the peer, or correct its address and the firewall between: `quorate peer list`",
        "VERSION_MISMATCH": "upgrade the older node when convenient",
        "WRONG_CERTIFICATE": "correct the address, or get the peer's newest card and `quorate peer add` it here",
    }
)
_LOOK = "see this node's log"


def fine(check: str, said: str) -> Finding:
    return Finding(check=check, level=Level.OK, said=said)


def warning(check: str, *, code: str, said: str) -> Finding:
    return Finding(check=check, level=Level.WARNING, code=code, said=said, remedy=REMEDIES.get(code, _LOOK))


def problem(check: str, *, code: str, said: str) -> Finding:
    return Finding(check=check, level=Level.PROBLEM, code=code, said=said, remedy=REMEDIES.get(code, _LOOK))
