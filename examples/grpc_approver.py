"""An approver for Quorate's `grpc` type, from the published proto alone: grpcio, grpcio-tools, and a rule of your own.

    python examples/grpc_approver.py 127.0.0.1:7300 proto forbidden

It rejects requests in which the word occurs and approves all others. Digest and nonce go back as they came: the node
takes no answer for another question's. Plain text is for loopback; elsewhere add a port with TLS credentials.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

ADDRESS, PROTO, WORD = sys.argv[1:]
APPROVE, REJECT = 1, 2  # 0 is no answer: the node refuses

with TemporaryDirectory() as scratch:
    out = Path(scratch, "approver.binpb")
    protoc.main(["protoc", f"-I{PROTO}", f"--descriptor_set_out={out}", "quorate/approval/v1/approver.proto"])
    [file] = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
described = pool.FindServiceByName("quorate.approval.v1.ApproverService").methods_by_name["Decide"]
Question, Answer = map(message_factory.GetMessageClass, (described.input_type, described.output_type))


def decide(question: Any, _: grpc.ServicerContext) -> Any:
    """``question.request`` is the operation as JSON, as a webhook would get it."""
    verdict = REJECT if WORD in question.request else APPROVE
    return Answer(
        verdict=verdict, digest=question.digest, nonce=question.nonce, explanation=f"looked for {WORD}"
    )


handler = grpc.unary_unary_rpc_method_handler(decide, Question.FromString, Answer.SerializeToString)
server = grpc.server(ThreadPoolExecutor(4))
server.add_generic_rpc_handlers(
    [grpc.method_handlers_generic_handler("quorate.approval.v1.ApproverService", {"Decide": handler})]
)
print("listening on port", server.add_insecure_port(ADDRESS), flush=True)
server.start()
server.wait_for_termination()
