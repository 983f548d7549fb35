"""Channel arguments and limits, in one place. Sizes are bytes, times milliseconds unless named otherwise."""

from __future__ import annotations

from typing import Final

PEER_BODY_LIMIT: Final = 4 << 20
CLIENT_BODY_LIMIT: Final = 3 << 20  # so that a proposal that carries the request fits a peer call
ANSWER_LIMIT: Final = 32 << 20
OVERHEAD: Final = 1 << 10  # protobuf's own bytes around a body

HANDSHAKE_TIMEOUT: Final = 10_000
# A peer that is gone without a word is noticed after both of these together.
KEEPALIVE = 2000
KEEPALIVE_TIMEOUT = 2000

Arguments = list[tuple[str, int | str]]

_RECONNECT: Final[Arguments] = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),  # this one is how long an attempt may take
    ("grpc.max_reconnect_backoff_ms", 1000),
]
# One gRPC channel is one connection of its own: channels to equal targets do not share.
_OWN_CONNECTION: Final[Arguments] = [("grpc.use_local_subchannel_pool", 1)]
_NO_PROXY: Final[Arguments] = [("grpc.enable_http_proxy", 0)]


def target(address: str) -> str:
    """host:port as gRPC takes it, and as nothing else: no other scheme gets in through an address."""
    return f"dns:///{address}"


def peer_channel(server_name: str) -> Arguments:
    return [
        *_keepalive(),
        *_RECONNECT,
        *_OWN_CONNECTION,
        *_NO_PROXY,
        *message_limits(receive=PEER_BODY_LIMIT, send=PEER_BODY_LIMIT),
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.enable_retries", 0),
    ]


def peer_server() -> Arguments:
    return [
        *_keepalive(),
        ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE // 2),
        ("grpc.max_concurrent_streams", 256),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT),
        *message_limits(receive=PEER_BODY_LIMIT, send=PEER_BODY_LIMIT),
        ("grpc.so_reuseport", 0),
    ]


def client_channel(server_name: str | None) -> Arguments:
    named: Arguments = [("grpc.ssl_target_name_override", server_name)] if server_name else []
    return [
        *_RECONNECT,
        *_OWN_CONNECTION,
        *_NO_PROXY,
        *message_limits(receive=ANSWER_LIMIT, send=CLIENT_BODY_LIMIT),
        *named,
        ("grpc.enable_retries", 0),
    ]


def node_server() -> Arguments:
    return [
        *message_limits(receive=CLIENT_BODY_LIMIT, send=ANSWER_LIMIT),
        ("grpc.max_metadata_size", 8 << 10),
        ("grpc.max_concurrent_streams", 512),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT),
        ("grpc.so_reuseport", 0),
    ]


def _keepalive() -> Arguments:
    return [
        ("grpc.keepalive_time_ms", KEEPALIVE),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT),
        # Another ping may be under way when the line goes dead, for bandwidth: the keepalive ping then waits for it.
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def message_limits(*, receive: int, send: int) -> Arguments:
    return [
        ("grpc.max_receive_message_length", receive + OVERHEAD),
        ("grpc.max_send_message_length", send + OVERHEAD),
    ]
