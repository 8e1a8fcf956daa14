"""Every private or undocumented name of a library that we use, in one module per library.

Such a name may change in any release. So no other module uses one (tests/architecture checks it),
each name has a canary test, and pyproject.toml keeps the library below the next release that may
change it.

To raise a version bound: raise it, run `pytest libs/chassis/tests/library_internals` (or the
gateway's tests of that name), and correct here what a failing canary test names.
"""
