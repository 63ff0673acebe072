"""Files that other users cannot read, change, or replace.

making: makes files and directories with the right permissions.
folders: directories that appear only when they are complete.
owners: the owner of a file, in words for users who may not access it.
bounded_reading: reads small files whole, up to a size.
"""
