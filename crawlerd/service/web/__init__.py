"""The daemon's web server: one thread, one event loop, for TCP and the Unix sockets.

serving: the thread with its loop.
connection: one connection, and how long it may take.
app: what is answered at which address.
api_resources, openapi: all resources with their types, and the document that is made from these.
answering: problems, and the headers of each answer.
guard: which requests are refused before anything looks at them.
callers, loopback_peer: who asks, and what they may do.
tokens: what shows who one is, from elsewhere.
login: a token becomes a cookie.
streams: answers that do not end.
openapi, api_resources: the document of the API, and what it is made from.
happenings: what happens, as server-sent events.
context: what the page gets of the daemon.
"""
