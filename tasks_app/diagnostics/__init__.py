"""What is wrong with this installation, and what to do about it: for `manage.py doctor` and the System page.

Each module examines one area. What it may find are its constants of the type `Kind`; `report` runs all areas.
"""
