"""Flower's gRPC service, all that the server uses of it: what to carry if Flower removes it (decision 0021).

Not part of Flower's public interface: one pin and the tests hold it. A connection is a stream of protocol buffers,
``ServerMessage`` and ``ClientMessage``; the bridge makes questions and answers of them.
"""

from flwr.proto.transport_pb2 import ClientMessage, ServerMessage
from flwr.proto.transport_pb2_grpc import add_FlowerServiceServicer_to_server
from flwr.server.superlink.fleet.grpc_bidi.flower_service_servicer import FlowerServiceServicer
from flwr.server.superlink.fleet.grpc_bidi.grpc_bridge import GrpcBridge, GrpcBridgeClosed
from flwr.server.superlink.fleet.grpc_bidi.grpc_client_proxy import GrpcClientProxy

__all__ = [
    "ClientMessage",
    "FlowerServiceServicer",
    "GrpcBridge",
    "GrpcBridgeClosed",
    "GrpcClientProxy",
    "ServerMessage",
    "add_FlowerServiceServicer_to_server",
]
