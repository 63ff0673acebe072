"""Files that nobody else may read, change, or put something else in place of.

* `making`: how they are made, with which rights.
* `bounded_reading`: how small ones are read: whole, up to a size.
"""
