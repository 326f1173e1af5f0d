"""Many associations on one port: who a packet is for, and what is answered to one that is for none."""
