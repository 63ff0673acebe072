"""The clients through which handlers call the APIs of accounts.

http: requests of an HTTP API.
http_error: turns an error response (status, Retry-After, body) into an exception.
response_head: parses the header lines of a response.
deadline: ends a request that takes too long in all.
oauth2: gets access tokens for client credentials.
aws: calls of AWS services.
aws_error: turns an error of an AWS service into an exception.
"""
