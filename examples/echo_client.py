"""Send messages to an echo server, each on a stream of its own, and print what comes back and how long it took.

    python examples/echo_client.py 127.0.0.1 one two three
    python examples/echo_client.py server.example --port 5001 --udp-port 9899

Several addresses of one server, separated by commas, make the association multihomed: 192.0.2.1,198.51.100.1
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

import asyncsctp


async def ask(assoc: asyncsctp.Association, text: str) -> str:
    """One message there and back, on a stream that nobody else uses."""
    reader, writer = assoc.open_stream()
    started = time.perf_counter()
    await writer.send(text.encode(), ppid=46)
    reply = await reader.read()
    took = (time.perf_counter() - started) * 1e3
    return f"stream {reply.stream}, PPID {reply.ppid}: {reply.data.decode(errors='replace')} ({took:.1f} ms)"


async def talk(args: argparse.Namespace) -> None:
    """Set up, send all, print the replies in the order of the messages, shut down."""
    hosts = args.host.split(",")
    host = hosts[0] if len(hosts) == 1 else hosts
    async with asyncio.timeout(args.timeout):
        async with asyncsctp.connect(host, args.port, udp_port=args.udp_port) as assoc:
            print(f"up with {', '.join(path.address for path in assoc.paths)}")
            for reply in await asyncio.gather(*(ask(assoc, text) for text in args.message)):
                print(reply)
    print("shut down")


def main() -> int:
    """The command line; gives the exit code."""
    parser = argparse.ArgumentParser(description="Send messages to an SCTP echo server.")
    parser.add_argument("host", help="a name, an address, or addresses of one server separated by commas")
    parser.add_argument("message", nargs="*", default=["hello"], help="what to send (default: hello)")
    parser.add_argument("--port", type=int, default=5001, help="SCTP port (default %(default)s)")
    parser.add_argument("--udp-port", type=int, default=9899, help="UDP port (default %(default)s)")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for all of it (default %(default)g)")
    args = parser.parse_intermixed_args()
    try:
        asyncsctp.run(talk(args))
    except KeyboardInterrupt:
        return 130
    except asyncsctp.AssociationRefused as exc:
        print(f"echo_client: refused by {args.host}: {exc}", file=sys.stderr)
        return 1
    except TimeoutError:
        print(f"echo_client: no answer from {args.host} in {args.timeout:g} s", file=sys.stderr)
        return 1
    except (OSError, EOFError, ValueError) as exc:
        print(f"echo_client: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
