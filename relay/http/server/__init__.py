"""The HTTP server: waitress, told what it needs to know and given our limits, deadlines and errors."""

from relay.http.server.listening import listen
from relay.http.server.options import CORSHeaders, Gate, RequestHead, ServerOptions
from relay.http.server.process import pin_to_one_cpu
from relay.http.server.server import Server

__all__ = ["CORSHeaders", "Gate", "RequestHead", "Server", "ServerOptions", "listen", "pin_to_one_cpu"]
