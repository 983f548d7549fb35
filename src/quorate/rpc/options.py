"""Channel arguments and limits, in one place. Sizes are bytes, times milliseconds unless named otherwise."""

from __future__ import annotations

from typing import Final

PEER_BODY_LIMIT: Final = 4 << 20
CLIENT_BODY_LIMIT: Final = 3 << 20  # so that a proposal that carries the request fits a peer call
ANSWER_LIMIT: Final = 32 << 20
OVERHEAD: Final = 1 << 10  # protobuf's own bytes around a body

HANDSHAKE_TIMEOUT: Final = 10_000

Arguments = list[tuple[str, int | str]]

# A dead peer is noticed after KEEPALIVE + KEEPALIVE_TIMEOUT without a byte from it.
_KEEPALIVE: Final[Arguments] = [
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
_RECONNECT: Final[Arguments] = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),  # this one is how long an attempt may take
    ("grpc.max_reconnect_backoff_ms", 1000),
]
# One gRPC channel is one connection of its own: channels to equal targets do not share.
_OWN_CONNECTION: Final[Arguments] = [("grpc.use_local_subchannel_pool", 1)]
_NO_PROXY: Final[Arguments] = [("grpc.enable_http_proxy", 0)]


def peer_channel(server_name: str) -> Arguments:
    return [
        *_KEEPALIVE,
        *_RECONNECT,
        *_OWN_CONNECTION,
        *_NO_PROXY,
        *message_limits(receive=PEER_BODY_LIMIT, send=PEER_BODY_LIMIT),
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.enable_retries", 0),
    ]


def peer_server() -> Arguments:
    return [
        *_KEEPALIVE,
        ("grpc.http2.min_ping_interval_without_data_ms", 1000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
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


def message_limits(*, receive: int, send: int) -> Arguments:
    return [
        ("grpc.max_receive_message_length", receive + OVERHEAD),
        ("grpc.max_send_message_length", send + OVERHEAD),
    ]
