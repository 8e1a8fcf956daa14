"""Commands for operators: the steps before the services can start, wherever they run.

They read addresses and passwords only from settings, and need no local server and no repository:
the image of the operators' jobs contains them. Each has a module of its own, since jobs wait for
what it imports.
"""
