"""gRPC at arm's length; protobuf lives here and nowhere else."""
