"""Every reason code this program gives, what it means and what to do about it: the one table.

Codes cross gRPC, stand in operations, logs and metrics, and never change their meaning. ``docs/reference/reasons.md``
is made of this; a test compares the table with the codes in the source.
"""

from __future__ import annotations

from typing import NamedTuple

OTHER = "OTHER"


class Reason(NamedTuple):
    meaning: str
    remedy: str


_BUG = "read this node's log around that time and report it; nothing was signed that was not approved"
_REPEAT = (
    "ask again: a new attempt takes new values; if it persists, look at the log of the node that refused"
)
_SAME_RELEASE = "run the same release of Quorate on every node; if they do, the peer is faulty or hostile"
_OWN_CARDS = "exchange device cards again (`quorate peer list`, `quorate peer add`) and compare fingerprints"

REASONS: dict[str, Reason] = {
    "ABORTED": Reason(
        "A session ended without output.",
        "ask again; the operation's detail and the log say what came first",
    ),
    "ALREADY_CERTIFIED": Reason(
        "A key generation was begun for a vault that has its certificate.",
        "nothing: the node that asked is behind and catches up by itself",
    ),
    "ALREADY_DECIDED": Reason(
        "A person has decided on this operation before, otherwise.",
        "nothing can change it: a signed vote stands; `quorate operation show` tells how it went",
    ),
    "ALREADY_READY": Reason(
        "A trial was begun for a vault that everybody has acknowledged.",
        "nothing: the node that asked is behind and catches up by itself",
    ),
    "AMBIGUOUS_EPOCH": Reason(
        "Two backups have two certificates of one epoch.",
        "leave out the file of the one that did not live: the other signers know (`quorate vault history`)",
    ),
    "AMBIGUOUS_VAULT": Reason(
        "Two vaults have this name here.", "name the vault by its id (`quorate vault list`)"
    ),
    "APPROVER_UNAVAILABLE": Reason(
        "The approver gave no usable answer when it was last asked.",
        "check that the approver runs, is reachable from this node and signs with the key in [approver.webhook]",
    ),
    "ATTEMPT_NOT_RISING": Reason(
        "An attempt, or a session's id, was used before: each counts once, also across a restart.",
        "nothing: the proposer starts another attempt; after a node was restored from an old disk, do not run it",
    ),
    "AUDIT_SET_BACK": Reason(
        "This node signed records of its audit chain that its store does not have: the store was set back, or cut.",
        "stop the node, and bring back the newest store; what the peers hold says how far it went",
    ),
    "BACKUP_LOCKED": Reason(
        "A backup does not open.",
        "give the passphrase or the private recovery key it was made with; if it is the right one, the file was"
        " changed: take another copy",
    ),
    "BAD_BACKUP": Reason(
        "A file is no backup, or one that was cut or changed.", "take another copy of it, or another member's"
    ),
    "BAD_CERTIFICATE": Reason(
        "A vault's certificate was shown without every member's signature.", _SAME_RELEASE
    ),
    "BAD_EFFECT": Reason(
        "What is to be tried on a policy does not say what an operation does.",
        "write it as the guide to policies shows, or take one that `quorate policy replay --all --json` prints",
    ),
    "BAD_POLICY": Reason(
        "A policy file cannot be used.",
        "correct the lines that the message names; `quorate policy check FILE` tells all mistakes at once",
    ),
    "BAD_RECEIPT": Reason(
        "Something in a receipt is not as what it carries proves: it was edited, or is of another vault.",
        "do not rely on it; ask the node that was asked to sign for the receipt again (`quorate receipt show`)",
    ),
    "BAD_SIGNATURE": Reason("A signature that was shown does not verify.", _SAME_RELEASE),
    "BATCH_SIZE": Reason(
        "A batch has no message, or too many.", "send between one message and the limit it names"
    ),
    "BUSY": Reason(
        "Too much of this caller or proposer is under way at once.",
        "wait for some of it to end and ask again; limits.unfinished sets how many operations may be open",
    ),
    "CANCELLED": Reason(
        "A session was ended by a node's own decision: its deadline, its stop, a newer attempt, a cheat that it alone"
        " saw.",
        "ask again once the nodes are up; the log of the node that ended it says why",
    ),
    "CANNOT_RECOVER": Reason(
        "These backups together are no key.",
        "bring backups of one epoch, of members that together reach the threshold; `quorate-recover check` counts",
    ),
    "CERTIFICATE_ENDS": Reason(
        "A node's TLS certificate has ended, or ends within a month.",
        "make a new certificate on that node: `quorate cert rotate`",
    ),
    "CERTIFICATE_TAKEN": Reason(
        "A certificate's key is another client's already.", "make a key of its own for each client"
    ),
    "CHAIN_DISAGREES": Reason(
        "An endpoint took a transaction and calls it by another hash than this program.",
        "look for the transaction at another endpoint before anything is sent again, and do not use this one",
    ),
    "CHAIN_REFUSED": Reason(
        "An endpoint of a chain refuses what it was asked, or answers what makes no sense.",
        "read its words: nonce too low, too little fee and no funds are about the account that pays",
    ),
    "CHAIN_UNREACHABLE": Reason(
        "An endpoint of a chain gives no answer that could be read.",
        "check rpc in [chains.ID] of quorate.toml, or --rpc, and the network between; asking again is safe",
    ),
    "CLAIM_DISAGREES": Reason(
        "A transaction does something else than the request says.",
        "look at the transaction: it, not the request, is what would have been signed",
    ),
    "CLIENT_EXISTS": Reason(
        "A client has this name.",
        "choose another, or `quorate client rotate` for a new secret, or `quorate client revoke` first for other roles",
    ),
    "CLOCK_AHEAD": Reason(
        "An operation was made in the future by this node's clock.",
        "set the clocks of both nodes by NTP; limits.clock_tolerance says how far apart they may be",
    ),
    "CLOCK_OFF": Reason(
        "The clocks of two machines are apart by more than is comfortable.",
        "set the clocks of both machines by NTP; limits.clock_tolerance says how far apart they may be",
    ),
    "CONSUMED": Reason("A secret that may be used once was asked for again.", _BUG),
    "DEMO_FAILED": Reason("The demo did not go as it should.", "read the logs it names and report it"),
    "DENIED": Reason(
        "An approver or a check of this node said no.",
        "read who and which rule in the message; the approver's own log says why it decided so",
    ),
    "DERIVATION_TOO_DEEP": Reason("A derivation path has too many steps.", "shorten the path"),
    "DISK_FULL": Reason(
        "The disk of a node's store is full, or so nearly that nothing new is begun.",
        "make room on the disk of QUORATE_HOME: the node goes on by itself, and nothing was lost",
    ),
    "DISK_LOW": Reason(
        "The disk of a node's home is nearly full.",
        "make room on the disk of QUORATE_HOME, or move it to a larger one",
    ),
    "DIVERGED": Reason(
        "Nodes were told different things in one round, and nobody could be named yet.",
        "look at the logs of all signers; one of them, or the network between, lies",
    ),
    "DRAINING": Reason(
        "This node is stopping and begins nothing new.", "ask another node, or this one when it is back"
    ),
    "DUPLICATE_SIGNER": Reason(
        "A signer is named twice for one vault.", "name each signer once, with its whole weight"
    ),
    "ENCODING": Reason(
        "A value is not in its one encoding.", "check the value; ids and keys are copied whole"
    ),
    "EPOCH_CONFLICT": Reason(
        "A peer holds another certificate than this node for the same epoch of a vault.",
        "stop using the vault and find out which node was restored from an older or another disk",
    ),
    "EXPIRED": Reason(
        "The operation's time passed before it was done.",
        "ask again, with a longer --expires where approvals take long; the detail says whose vote was missing",
    ),
    "EXPIRY_TOO_LONG": Reason(
        "An operation would live longer than this node allows.",
        "ask for a shorter life, or raise limits.longest_expiry on every node",
    ),
    "FAILED": Reason("It failed, and nothing more precise is known.", "read the message and this node's log"),
    "FORGED_HEAD": Reason(
        "A peer showed a head of an audit chain that its device did not sign.",
        "look at that peer: its program is another, or it attacks",
    ),
    "FORK": Reason(
        "A certificate contradicts the one held here: somebody signed two.",
        "stop using the vault; `quorate vault history` on each signer shows what was refused, and who signed both",
    ),
    "HARDENED_DERIVATION": Reason(
        "A derivation path has a hardened step, which needs the whole private key.",
        "use a path without ' or h",
    ),
    "INTERNAL": Reason("A bug of ours.", _BUG),
    "INTERNAL_MESSAGE": Reason(
        "The message is one that only nodes sign among themselves.",
        "sign something else; nobody needs this one",
    ),
    "INVALID_CARD": Reason(
        "A device card does not read, is not signed by its device, or does not fit.",
        "get the card again from its node: it stands in cards/ of its home",
    ),
    "INVALID_DERIVATION": Reason("A derivation path does not read.", "write it as m/0/1: numbers below 2^31"),
    "INVALID_PAYLOAD": Reason(
        "The data is not what its content type says.", "check data and content type together"
    ),
    "INVALID_REQUEST": Reason(
        "The request or the command line is wrong.", "the message says what; nothing was sent"
    ),
    "INVALID_TIME": Reason("A time is out of range.", "use Unix milliseconds of this century"),
    "INVALID_TRANSACTION": Reason(
        "A transaction does not read, or not every byte of it was understood.",
        "send the unsigned transaction in its standard encoding",
    ),
    "JOIN_EXPIRED": Reason(
        "What a node gave for an attempt is too old or used.", "nothing: the proposer asks it again"
    ),
    "MALFORMED": Reason("A peer's message does not read.", _SAME_RELEASE),
    "MEMBER_DOWN": Reason(
        "A signer of the new roster is not connected, and every one of them takes part in a reshare.",
        "start it, or leave it out with --remove",
    ),
    "MESSAGE_TOO_LONG": Reason("A message to sign is over the limit.", "sign its hash, or split it"),
    "NOT_ALLOWED": Reason(
        "This client's role or vaults do not include that.",
        "use credentials that do; `quorate client list` shows roles and vaults",
    ),
    "NOT_APPROVED": Reason(
        "Not enough weight approved, or a vote that is needed says no.",
        "the detail has every vote; ask the operators whose nodes did not approve",
    ),
    "NOT_ASKED": Reason(
        "This node's approver was not asked about this operation, or what it was asked was not kept.",
        "nothing, where the operation was refused or ended first; ask a member that voted",
    ),
    "NOT_A_PARTY": Reason("A node was asked to run an attempt it is no party of.", _SAME_RELEASE),
    "NOT_A_PEER": Reason(
        "What answers at a peer's address does not speak TLS.", "correct the address on its card"
    ),
    "NOT_A_SIGNER": Reason(
        "This node was a signer of the vault, and is none any more.",
        "ask a signer of it; `quorate vault history` shows the epochs",
    ),
    "NOT_COMPLETED": Reason(
        "The operation has no signature, or not yet.", "wait for it: `quorate operation show`"
    ),
    "NOT_ENOUGH_WEIGHT": Reason(
        "The signers who are here, or in an attempt, have less weight than the threshold.",
        "bring the missing signers back; `quorate status` names those that are not connected",
    ),
    "NOT_IN_ROSTER": Reason(
        "A node has no part in this vault or operation.", "ask a node that is a signer of the vault"
    ),
    "NOT_MANUAL": Reason(
        "This node's approver is not a person.",
        'decide where the approver asks; for people set [approver] type = "manual" and restart the node',
    ),
    "NOT_PENDING": Reason(
        "The operation waits for no decision here.", "list what waits: `quorate approve list`"
    ),
    "NOT_RECONCILABLE": Reason(
        "There is nothing that a vault could be released from.",
        "nothing where it is out of quarantine; a share that is lost comes back by `quorate vault refresh` at another"
        " signer",
    ),
    "NOT_RECONCILED": Reason(
        "A signer has not shown that it holds a restored vault as this node does.",
        "bring it up; if it is gone for good, name it with --without",
    ),
    "NOT_RUNNING": Reason(
        "No node runs on this home.",
        "start it (`quorate run`, `docker compose up -d`); a running node is examined more closely",
    ),
    "NOT_THE_PROPOSER": Reason(
        "A vote, or a wish to cancel, came to a node that did not propose the operation.",
        "cancel an operation at the node that was asked for it; for a vote, run the same release on every node",
    ),
    "NO_APPROVER": Reason(
        "This node has no approver and refuses every operation.",
        "configure [approver] in quorate.toml and restart the node",
    ),
    "NO_BACKUPS": Reason(
        "This node is not set up to make backups.",
        "set folder, and passphrase_file or recovery_key_file, in [backup] of quorate.toml, and start it again",
    ),
    "NO_BOTO3": Reason(
        "The node key is in AWS KMS, and what asks for it is not installed.",
        "pip install 'quorate[aws]'",
    ),
    "NO_DEVICE_BACKUP": Reason(
        "Without a copy of its identity nobody knows a restored node.",
        "give the newest *.device file from its [backup] folder; if there is none, make a new node and have it join",
    ),
    "NO_EARLIER_EPOCH": Reason(
        "The vault has no epoch before its present one.",
        "nothing: there is nothing to erase",
    ),
    "NO_GOVERNING_VAULT": Reason(
        "This node names no vault that signs its policies, or does not know that vault's key.",
        "set [policy] vault, and on a node that never was its signer key, in quorate.toml; restart the node",
    ),
    "NO_LIVE_SETUP": Reason(
        "There is no live pair set-up with a signer, which ECDSA needs.",
        "make another with the signer that the message names: `quorate vault pair-reset VAULT SIGNER`",
    ),
    "NO_PAIR": Reason(
        "A pair set-up is between this node and another signer, and none such was named.",
        "name another signer of the vault (`quorate vault show`); a vault of one signer needs no set-up",
    ),
    "NO_PEERS": Reason(
        "A node knows no other signer.",
        "exchange device cards with the other signers: `quorate peer add`",
    ),
    "NO_RECEIPT": Reason(
        "There is no receipt of this operation here: it made no signature, or other nodes have the votes on it.",
        "ask the node that was asked for the signature, or one of the signers that `quorate operation show` names",
    ),
    "NO_SUCH_KEY": Reason(
        "There is no key at this path, as happens about once in 2^127.", "use the next index of the path"
    ),
    "OLD_CARD": Reason(
        "A node holds an earlier card of another than there is: its address or certificate changed since.",
        "nothing, once the two are connected: cards are learned; else add the newest by hand: `quorate peer add`",
    ),
    "OPERATION_CONFLICT": Reason(
        "One id stands for two different operations.", "use another idempotency key for another request"
    ),
    "OPERATION_OVER": Reason("The operation has ended.", "nothing: the node that asked hears how it ended"),
    "OTHER": Reason(
        "In metrics only: a reason that a peer gave and this release does not know.",
        "run the same release of Quorate on every node; the operation itself has the reason as it was given",
    ),
    "OVERSIZE": Reason("A peer's statement is over the size limit.", _SAME_RELEASE),
    "PEER_AUDIT_SET_BACK": Reason(
        "A peer's audit chain is not what it showed before: its store was set back, or it signed two chains.",
        "ask whoever runs that node whether its disk was restored; until that is clear approve nothing it proposes",
    ),
    "PEER_ERROR": Reason("A peer could not be reached or refused.", "the message says which and why"),
    "PEER_SET_BACK": Reason(
        "The store of a peer is an old copy: it told of an earlier start than before.",
        "find out who put its disk back; it takes no part until it is reconciled",
    ),
    "POLICY_BEHIND": Reason(
        "This node does not have the policy that is in force: a later version is signed.",
        "bring a signer of the governing vault back that has it, or `quorate policy install` it here",
    ),
    "POLICY_EDITED": Reason(
        "A signed policy was changed after it was signed.",
        "take the file that `quorate policy export` wrote at a node that has the policy in force",
    ),
    "POLICY_FORGED": Reason(
        "The governing vault did not sign this policy as this version.",
        "take the file that `quorate policy export` wrote; ask who made this one",
    ),
    "POLICY_OLD": Reason(
        "A later version of the policy is in force.",
        "nothing: to go back, propose the old rules as a new version",
    ),
    "POLICY_SUPERSEDED": Reason(
        "The policy that was to be replaced is in force no more.",
        "look at what is in force by now (`quorate policy show`), and propose again",
    ),
    "POLICY_UNSIGNED": Reason(
        "A policy was given without a signature.",
        "`quorate policy propose` has the governing vault sign one",
    ),
    "POLICY_VERSION": Reason(
        "A policy's version does not follow the one in force.",
        "leave out --version: the node takes the next",
    ),
    "POLICY_VERSION_SPENT": Reason(
        "This node gave its share of the signature for another policy of this version.",
        "propose again, under the version that the message names",
    ),
    "POLICY_WRONG_VAULT": Reason(
        "A policy is signed by, or was proposed to, another vault than the one that governs this node.",
        "compare [policy] vault in quorate.toml with `quorate vault list`; a node is governed by one vault for good",
    ),
    "PORT_IN_USE": Reason(
        "Another program listens on a port this node is to have.",
        "stop what listens there (another node?), or choose another port in quorate.toml",
    ),
    "PROCESS_FAILED": Reason("A process of the demo ended too early.", "read the log it names"),
    "PROTOCOL_ABORT": Reason(
        "A check of the protocol failed: who is named did not follow it.",
        "keep the log, which has the rule; leave the named signer out and find out what it runs",
    ),
    "PROTOCOL_MISMATCH": Reason(
        "A peer speaks another version of the protocol between nodes.",
        "run the same release of Quorate on both nodes",
    ),
    "QUARANTINED": Reason(
        "A vault was restored from a backup, and this node takes no part in it until every other signer has shown that"
        " it holds the same epoch.",
        "bring the signers up that `quorate status` names; one that is gone for good: `quorate vault release VAULT"
        " --without NAME`",
    ),
    "RATE_LIMITED": Reason(
        "This client, or callers from this address that did not prove who they are, call too often.",
        "wait as long as the answer says; [client.limits] sets the paces; many failures may be somebody guessing",
    ),
    "READ_ONLY": Reason(
        "A node's home or its store cannot be written.",
        "make QUORATE_HOME and node.db writable for the user that runs the node: mount, owner, mode",
    ),
    "REFUSED": Reason(
        "A node or a peer refused, without or with a reason of its own.",
        "read the detail, and the log of the one that did",
    ),
    "REMOTE_ERROR": Reason("The node answered with an error.", "read the message"),
    "REQUEST_TOO_LONG": Reason("A request is over the size limit.", "send less in one request"),
    "RESET_RUNNING": Reason(
        "Another reset of the same pair set-up is running.",
        "nothing: the proposer tries again; of two resets at once one makes the set-up for both",
    ),
    "SEALED": Reason(
        "The operator sealed this node: its key and its shares are in no memory.",
        "`quorate unseal` on that node, once what it was sealed for is over",
    ),
    "SHARE_LOST": Reason(
        "A later epoch of the vault lives, and this node has no share of it: its backup was older.",
        "have another signer refresh the vault (`quorate vault refresh`): this node gets a new share with all others",
    ),
    "STALE_ANSWER": Reason(
        "A peer answered another inquiry than the one that was made.",
        "run the same release of Quorate on every node; if they do, the peer is faulty or hostile",
    ),
    "STALE_EPOCH": Reason(
        "Another epoch of the vault is live than the one asked for, or than this node holds.",
        "ask again by the vault's name; a node that is behind must reach a peer to catch up",
    ),
    "STALE_GENERATION": Reason(
        "A pair reset asks for a set-up that the pair has had already.",
        "ask for the reset again, at the other node of the pair if it repeats: that one holds a later set-up",
    ),
    "STALLED": Reason(
        "A signer did not speak in time.",
        "check the named signer and the link to it: `quorate status` on both",
    ),
    "STARTING": Reason("The node is not serving yet.", "wait; if it stays so, read its log"),
    "STILL_A_SIGNER": Reason(
        "A peer is to be trusted no more that a vault has as a signer.",
        "take it out of the vault first: `quorate vault reshare VAULT --remove NAME`",
    ),
    "STORE_CORRUPT": Reason(
        "The store is damaged, or a row in it was changed.",
        "stop this node and restore its store; the other signers are not affected",
    ),
    "STORE_ERROR": Reason(
        "The store cannot be read or written.",
        "make room on the disk, make it writable, then restart the node if the message says so",
    ),
    "STORE_EXISTS": Reason(
        "There is a store in the home that a node is to be restored into.",
        "choose an empty home: a restore never takes the place of a store",
    ),
    "STORE_LOCKED": Reason(
        "The key does not open the store.",
        "check [key] in quorate.toml: it must name what the store was locked with, and KMS must answer if it is that",
    ),
    "STORE_SET_BACK": Reason(
        "This node's store is an old copy of itself: peers hold what it signed later, and it takes no part in the"
        " vaults until every other signer has shown that it holds the same epoch.",
        "find out who put the disk back; bring the signers up that `quorate status` names, then make new pair set-ups"
        " (`quorate vault pair-reset`)",
    ),
    "STORE_STUCK": Reason(
        "The disk of a node's store neither takes a write nor refuses it.",
        "look at the disk and its mount; the node goes on by itself if the disk does, else restart it",
    ),
    "TIMEOUT": Reason(
        "No answer came in time.", "try again; if it persists, look at that node's load and network"
    ),
    "TOO_LARGE": Reason("A message is over a size limit.", "send less in one request"),
    "UNAUTHENTICATED": Reason(
        "The client id or the secret is missing, wrong or revoked.",
        "make new credentials with `quorate client rotate`, or with `quorate client add` for a client that was revoked",
    ),
    "UNKNOWN_CERTIFICATE": Reason(
        "A node saw a certificate that is on none of its cards.",
        "have this node's current card added there: `quorate peer add`",
    ),
    "UNKNOWN_CLIENT": Reason("No such client is live here.", "`quorate client list` shows who is"),
    "UNKNOWN_OPERATION": Reason(
        "There is no such operation on this node.", "ask the node that was asked first, or check the id"
    ),
    "UNKNOWN_PEER": Reason("A device is not known here.", "add its card: `quorate peer add`"),
    "UNKNOWN_VAULT": Reason(
        "There is no such vault on this node.", "`quorate vault list` shows those there are"
    ),
    "UNREACHABLE": Reason(
        "Nothing answers there.",
        "check that the node runs and that its address is right: `quorate peer list`",
    ),
    "UNRESPONSIVE": Reason(
        "The node's event loop has not turned for seconds.",
        "look at the machine's load and disk; restart the node if it stays so",
    ),
    "UNSUPPORTED_ALGORITHM": Reason(
        "This algorithm is not known, or not served for this key.", "use one that the message names"
    ),
    "UNSUPPORTED_CONTENT_TYPE": Reason("This content type is not known.", "use one that the message names"),
    "VAULT_NOT_READY": Reason(
        "Not every signer of the vault has acknowledged it.",
        "bring the signers it waits for back: they acknowledge by themselves",
    ),
    "VAULT_RESHARING": Reason(
        "The next epoch of the vault is being made.",
        "nothing: the proposer tries again once it is there; a signature is then asked for anew",
    ),
    "VERSION_MISMATCH": Reason(
        "A peer runs another release that speaks the same protocol.",
        "upgrade the older node when convenient",
    ),
    "WATCH_BEHIND": Reason(
        "Operations changed faster than a watcher read.", "watch again, and list what was missed"
    ),
    "WITHDRAWN": Reason(
        "The operation was cancelled at the node that proposed it.",
        "nothing; ask again if it is wanted after all",
    ),
    "WRONG_CERTIFICATE": Reason(
        "What answers does not hold the certificate it should.",
        "correct the address, or get the current card or credentials file; if neither helps, somebody is in between",
    ),
    "WRONG_CHAIN": Reason(
        "An endpoint serves another chain than the one meant.", "give the endpoint of the transaction's chain"
    ),
    "WRONG_DEVICE": Reason(
        "Backups of several devices were given for one node.",
        "give the files of one node alone; each is labelled (`quorate backup verify`)",
    ),
    "WRONG_DIGEST": Reason(
        "A decision was made on another request than the one that waits.",
        "look at it again (`quorate approve show`) and decide on what it shows",
    ),
    "WRONG_IDENTITY": Reason("A device stands under a key that is not its own.", _OWN_CARDS),
    "WRONG_JOIN": Reason("A join is not for this attempt, or not its sender's.", _REPEAT),
    "WRONG_NAME": Reason(
        "A reshare names the vault otherwise than this node knows it.",
        "ask for it at a node that has the vault under its name: names are part of what is voted on",
    ),
    "WRONG_OUTCOME": Reason("An outcome does not fit the operation's kind.", _SAME_RELEASE),
    "WRONG_PARTIES": Reason(
        "An attempt has parties that its kind does not have.",
        "nothing at this node: the proposer is at fault, or runs another release",
    ),
    "WRONG_PROPOSER": Reason("A node proposed in another's name.", _SAME_RELEASE),
    "WRONG_SENDER": Reason("A node passed on another's statement as its own.", _SAME_RELEASE),
    "WRONG_STAGE": Reason("A stage was begun that does not come next.", _REPEAT),
    "WRONG_VOTE": Reason("A vote is not its sender's, or for another operation.", _SAME_RELEASE),
}


def known(code: str) -> str:
    """The code if it is one of ours, else OTHER: what a peer makes up must not become a label."""
    return code if code in REASONS else OTHER
