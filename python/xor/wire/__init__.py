"""Messages between client, service and machines, and their codecs. No sockets, no state."""
