"""Files that nobody else may read, change, or put something else in place of.

making: files and directories of ours, with their rights.
folders: directories that appear whole.
owners: whose a file is, in words for those who may not use it.
bounded_reading: small files are read whole, up to a size.
"""
