"""Helps authors to begin: a trial of one page, a package with a source, a first configuration.

trial: requests one page of a source, and explains it.
scaffold: a package with a source in Python.
first_configuration: the file that `init` writes.
"""
