"""gRPC at arm's length; protobuf lives here and nowhere else."""

import os

# gRPC's C core writes every failed handshake to stderr. We name those that concern somebody ourselves.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
