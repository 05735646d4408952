"""Writes NIR, https://neuroir.org: graphs of nodes whose equations are continuous in time."""
