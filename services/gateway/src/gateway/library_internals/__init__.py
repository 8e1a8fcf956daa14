"""Every private or undocumented name of a library that the gateway uses: one module per library.

The rules are those of `chassis.library_internals`, which holds the names that services use too.
"""
