"""How fast asyncsctp is, beside TCP, aiortc's SCTP and usrsctp, measured in one run: `python -m benchmarks`."""
