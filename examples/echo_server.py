"""A server that sends back each message on the stream it came on, with the same PPID.

    python examples/echo_server.py                              # all addresses, SCTP port 5001 over UDP port 9899
    python examples/echo_server.py --host 127.0.0.1 --udp-port 0        # one address, a free UDP port

Talk to it with echo_client.py, or with any SCTP that speaks UDP encapsulation (RFC 6951). Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import sys

import asyncsctp


async def echo(assoc: asyncsctp.Association) -> None:
    """Serve one association. What is raised here because it ended is dealt with by the server."""
    name = f"{assoc.peer} port {assoc.peer_port}"
    print(f"{name}: up, {assoc.incoming_streams} streams in, {assoc.outgoing_streams} out", flush=True)
    count = 0
    try:
        async for message in assoc:
            stream = message.stream % assoc.outgoing_streams  # there may be fewer streams back than there are here
            await assoc.send(message.data, stream=stream, ppid=message.ppid, unordered=message.unordered)
            count += 1
    finally:
        print(f"{name}: ended after {count} messages", flush=True)


async def serve(args: argparse.Namespace) -> None:
    """Listen until cancelled."""
    async with asyncsctp.serve(echo, args.host, args.port, udp_port=args.udp_port, limit=args.limit) as server:
        where = args.host or "all addresses"
        print(f"listening at {where}, SCTP port {server.port}, UDP port {server.udp_port}", flush=True)
        await server.serve_forever()


def main() -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(description="Send back each message on the stream it came on.")
    parser.add_argument("--host", help="a name or address to listen at; all of them by default")
    parser.add_argument("--port", type=int, default=5001, help="SCTP port (default %(default)s; 0: a free one)")
    parser.add_argument("--udp-port", type=int, default=9899, help="UDP port (default %(default)s; 0: a free one)")
    parser.add_argument("--limit", type=int, help="the most associations at a time; no limit by default")
    args = parser.parse_args()
    try:
        asyncsctp.run(serve(args))
    except KeyboardInterrupt:
        print("stopped")
    except (OSError, ValueError) as exc:
        print(f"echo_server: can't listen: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
