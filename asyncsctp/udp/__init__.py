"""UDP datagrams in and out: plain, in batches, steered to one of several processes."""
