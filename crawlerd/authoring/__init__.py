"""For authors of sources: a trial of one page, and a package to begin with."""
