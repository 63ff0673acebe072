"""The accounts' APIs, as handlers see them.

http: requests of an HTTP API.
http_error: what an error response means: status, Retry-After, body.
response_head: how the header lines of a response are parsed.
deadline: the deadline of a whole request.
oauth2: access tokens of client credentials.
aws: calls of AWS services.
aws_error: what an error of an AWS service means.
"""
