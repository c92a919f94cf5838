"""What holds for every test."""

import os

os.environ["LC_ALL"] = "C.UTF-8"  # the commands answer in the terminal's language

collect_ignore = ["browser"]  # a run of its own: `make browser`
