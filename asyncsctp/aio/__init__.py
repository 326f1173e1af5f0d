"""The asyncio shell: the only room that knows sockets, the event loop and the time."""
