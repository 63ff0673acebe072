"""To begin with something: a trial of one page, a package with a source, a first configuration.

trial: one page of a source, asked for and explained.
scaffold: a package with a source in Python.
first_configuration: what `init` writes.
"""
