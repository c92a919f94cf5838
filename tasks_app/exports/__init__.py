"""Stored data as files: exports in several layouts, and imports of a whole export.

An export writes *parts*, each a file or a few that change together (the bars of a market and year, the rows
of a table). `versions` tells from the database which parts changed since they were written, `folder` replaces
them so that no reader sees half of one, and `run` is the story from the first query to the manifest. `tables`
decides which tables a whole export holds, `restore` brings them back into an empty database.
"""
