"""The daemon's web server: one thread with one event loop, for TCP and the Unix sockets.

serving: the thread with its loop.
connection: one connection, and its time limits.
app: which address is answered by what.
answering: problems, and the headers of each answer.
guard: which requests are refused before they are read further.
callers, loopback_peer: who sends a request, and what they may do.
tokens: how people on other machines show who they are.
login: exchanges a token for a cookie.
streams: answers that do not end.
openapi, api_resources: the document of the API, and the list of resources that it is made from.
happenings: what happens, as server-sent events.
context: what the page may use of the daemon.
"""
