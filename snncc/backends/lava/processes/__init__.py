"""Lava processes, in a package of their own.

Lava looks for the models of a process by executing every file in its directory.
"""
