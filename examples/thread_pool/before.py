"""Before: a thread pool that reads an API into SQLite. docs/tutorial.md says what is wrong with it.

python before.py [URL]
"""

import json
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor

import requests

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8100"


def pages(path):
    cursor = None
    while True:
        response = requests.get(URL + path, params={"cursor": cursor}, timeout=30)
        response.raise_for_status()
        page = response.json()
        yield from page["data"]
        cursor = page["next"]
        if not cursor:
            return


def orders_of(customer):
    return customer, list(pages(f"/customers/{customer['id']}/orders"))


database = sqlite3.connect("before.db")
database.execute("CREATE TABLE customers (id, data)")
database.execute("CREATE TABLE orders (id, data)")
with ThreadPoolExecutor(16) as pool:
    for customer, orders in pool.map(orders_of, pages("/customers")):
        database.execute("INSERT INTO customers VALUES (?, ?)", (customer["id"], json.dumps(customer)))
        database.executemany("INSERT INTO orders VALUES (?, ?)", [(each["id"], json.dumps(each)) for each in orders])
database.commit()
