"""A small API on this machine to import from: customers, and the orders of each.

It permits 40 requests a second and answers 429 to more; one request in 50 gets a 503; a page has 20 objects.

    python api.py [PORT]
"""

import json
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

CUSTOMERS, PAGE, RATE, FAULT = 60, 20, 40, 50


def customers():
    return [{"id": f"c{number:03}", "name": f"Customer {number}"} for number in range(CUSTOMERS)]


def orders(customer):
    return [{"id": f"{customer}-{number}", "total": 10 * number} for number in range(1 + int(customer[1:]) % 3)]


class Api(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), Handler)
        self.lock, self.times, self.count, self.throttled = threading.Lock(), deque(), 0, 0

    def status(self):
        """What the next request gets."""
        with self.lock:
            now = time.monotonic()
            while self.times and self.times[0] <= now - 1:
                self.times.popleft()
            if len(self.times) >= RATE:
                self.throttled += 1
                return 429
            self.times.append(now)
            self.count += 1
            return 503 if self.count % FAULT == 0 else 200


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        parts = urlsplit(self.path)
        words, query = parts.path.strip("/").split("/"), dict(parse_qsl(parts.query))
        status, answer = self.server.status(), {}
        if status == 200:
            found = customers() if words == ["customers"] else orders(words[1])
            first = int(query.get("cursor", 0))
            more = first + PAGE < len(found)
            answer = {"data": found[first : first + PAGE], "next": str(first + PAGE) if more else None}
        body = json.dumps(answer).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    api = Api(int(sys.argv[1]) if len(sys.argv) > 1 else 8100)
    print(f"http://127.0.0.1:{api.server_address[1]}", flush=True)
    api.serve_forever()
