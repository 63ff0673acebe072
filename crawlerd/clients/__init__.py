"""The accounts' APIs, as handlers see them."""
