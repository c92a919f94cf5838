"""Targets: by when each session of a market is to be complete, and whether it was.

`deadlines` says which sessions are due when, `contents` what is stored of one, `judgement` what became of it,
and `shortfall` which securities are missing and why.
"""
