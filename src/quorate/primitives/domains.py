"""The one table of domain tags. Every hash in the program starts with one; no two uses share one."""

from __future__ import annotations

from enum import StrEnum


class Domain(StrEnum):
    # identities and statements
    DEVICE_ID = "quorate/v1/device-id"
    DEVICE_CARD = "quorate/v1/device-card"
    FINGERPRINT = "quorate/v1/device-fingerprint"
    STATEMENT = "quorate/v1/statement"
    OPERATION_ID = "quorate/v1/operation-id"
    OPERATION = "quorate/v1/operation"
    SAMPLE = "quorate/v1/sample"
    RECEIPT = "quorate/v1/receipt"
    VAULT_ID = "quorate/v1/vault-id"
    SIGNER_ID = "quorate/v1/signer-id"
    CURVE_ID = "quorate/v1/curve-id"
    PARTY_ID = "quorate/v1/party-id"
    # sessions and the wire
    CEREMONY = "quorate/v1/ceremony"
    SESSION = "quorate/v1/session"
    ENVELOPE = "quorate/v1/envelope"
    FLIGHT = "quorate/v1/flight"
    BODY = "quorate/v1/body"
    VIEW = "quorate/v1/view"
    ROUND = "quorate/v1/round"
    SEAL_KEY = "quorate/v1/seal-key"
    # the store
    STORE_SEAL = "quorate/v1/store-seal"
    STORE_KEY = "quorate/v1/store-key"
    # the audit chain
    AUDIT_RECORD = "quorate/v1/audit-record"
    AUDIT_HEAD = "quorate/v1/audit-head"
    # backups
    BACKUP = "quorate/v1/backup"
    BACKUP_LABEL = "quorate/v1/backup-label"
    DEVICE_BACKUP = "quorate/v1/device-backup"
    DEVICE_BACKUP_LABEL = "quorate/v1/device-backup-label"
    # keygen
    KEYGEN_COMMIT = "quorate/v1/keygen/commit"
    KEYGEN_RID = "quorate/v1/keygen/rid"
    KEYGEN_CHAIN_CODE = "quorate/v1/keygen/chain-code"
    SCHNORR = "quorate/v1/schnorr"
    EPOCH_RECORD = "quorate/v1/epoch-record"
    EPOCH_SIGNATURE = "quorate/v1/epoch-signature"
    ACKNOWLEDGEMENT = "quorate/v1/acknowledgement"
    TRANSCRIPT = "quorate/v1/transcript"
    # signing
    MESSAGES = "quorate/v1/messages"
    INTERNAL = "quorate/v1/internal"
    ECDSA_TERMS = "quorate/v1/ecdsa/terms"
    ECDSA_COMMIT = "quorate/v1/ecdsa/commit"
    ECDSA_ZERO = "quorate/v1/ecdsa/zero"
    # oblivious transfer
    OT_SETUP = "quorate/v1/ot/set-up"
    OT_SETUP_ID = "quorate/v1/ot/set-up-id"
    OT_ZERO = "quorate/v1/ot/zero"
    OT_POINT = "quorate/v1/ot/point"
    OT_KEY = "quorate/v1/ot/key"
    OT_TREE = "quorate/v1/ot/tree"
    OT_LEAF = "quorate/v1/ot/leaf"
    OT_LEAVES = "quorate/v1/ot/leaves"
    OT_CONTEXT = "quorate/v1/ot/context"
    OT_SIGNERS = "quorate/v1/ot/signers"
    OT_STREAM = "quorate/v1/ot/stream"
    OT_ROWS = "quorate/v1/ot/rows"
    OT_FOLD = "quorate/v1/ot/fold"
    OT_FOLDS = "quorate/v1/ot/folds"
    OT_SALTS = "quorate/v1/ot/salts"
    OT_PAD = "quorate/v1/ot/pad"
    OT_GADGETS = "quorate/v1/ot/gadgets"
    OT_GADGET = "quorate/v1/ot/gadget"
    OT_MATRIX = "quorate/v1/ot/matrix"
    OT_THETA = "quorate/v1/ot/theta"
    OT_MU = "quorate/v1/ot/mu"
    # randomness
    DRBG = "quorate/v1/drbg"
    NONCE = "quorate/v1/nonce"
    HEDGE = "quorate/v1/hedge"
