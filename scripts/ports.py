"""Ports for the servers of tests and benchmarks."""

import socket

HELD = []


def free_port() -> int:
    """A port that nobody uses, kept for a server: a socket that is bound but does not listen holds it until this program ends."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    HELD.append(holder)
    return holder.getsockname()[1]
